// What a thread asks of libtorch: the same each time, unlike the time that it takes.
#include "attempt.h"
#include "shim.h"

#include <ATen/record_function.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <memory>
#include <optional>

namespace {

struct Memory : c10::MemoryReportingInfoBase {
  int64_t pieces = 0, bytes = 0;

  // What is given back comes with a size below zero.
  void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device) override {
    if (size > 0) {
      ++pieces;
      bytes += size;
    }
  }

  bool memoryProfilingEnabled() const override { return true; }
};

thread_local int64_t operations = 0;

std::unique_ptr<at::ObserverContext> count(const at::RecordFunction&) {
  ++operations;
  return nullptr;
}

} // namespace

struct sumac_count {
  std::shared_ptr<Memory> memory = std::make_shared<Memory>();
  std::optional<c10::DebugInfoGuard> guard;
  at::CallbackHandle callback = 0;
};

extern "C" {

sumac_fault sumac_count_begin(sumac_count** out) {
  return attempt([&] {
    auto begun = std::make_unique<sumac_count>();
    begun->guard.emplace(c10::DebugInfoKind::PROFILER_STATE, begun->memory);
    begun->callback = at::addThreadLocalCallback(at::RecordFunctionCallback(count).scopes({at::RecordScope::FUNCTION}));
    operations = 0;
    *out = begun.release();
  });
}

sumac_fault sumac_count_end(sumac_count* count, int64_t out[3]) {
  return attempt([&] {
    const std::unique_ptr<sumac_count> ended(count);
    at::removeCallback(ended->callback);
    ended->guard.reset();
    out[0] = operations;
    out[1] = ended->memory->pieces;
    out[2] = ended->memory->bytes;
  });
}

} // extern "C"
