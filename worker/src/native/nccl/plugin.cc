// A library of its own, which is opened only where there are cards: NCCL's group needs CUDA's half of libtorch, and whatever comes
// after its constructor is behind a virtual call.
#define USE_C10D_NCCL 1
#include "../attempt.h"
#include "plugin.h"

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include <chrono>

extern "C" __attribute__((visibility("default"))) sumac_fault sumac_nccl_connect(
    const c10::intrusive_ptr<c10d::Store>& store, int rank, int size, int card, int64_t forming_ms, int64_t call_ms,
    c10::intrusive_ptr<c10d::Backend>* out) {
  return attempt([&] {
    auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = std::chrono::milliseconds(call_ms);
    store->setTimeout(std::chrono::milliseconds(forming_ms));
    auto backend = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, size, options);
    // Else ranks would meet in the first call, which is not to wait for anybody's start.
    backend->eagerConnectSingleDevice(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(card)));
    *out = std::move(backend);
  });
}
