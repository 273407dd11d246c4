// See shim.h. Thin on purpose: what can be decided in Rust is decided there.
#include "attempt.h"
#include "nccl/plugin.h"
#include "shim.h"

#include <ATen/ATen.h>
#include <ATen/Version.h>
#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <limits>
#include <mutex>

struct sumac_store {
  c10::intrusive_ptr<c10d::Store> store;
};
struct sumac_group {
  c10::intrusive_ptr<c10d::Backend> backend;
  std::chrono::milliseconds call;
  // On cards: a call can be aborted, and a wait with a time would spin, so both go other ways.
  bool over_nccl;
};
struct sumac_work {
  c10::intrusive_ptr<c10d::Work> work;
  std::chrono::milliseconds call;
  bool over_nccl;
  // Of a call over NCCL nobody else counts the time.
  std::chrono::steady_clock::time_point last = std::chrono::steady_clock::now() + call;
};

namespace {

using std::chrono::milliseconds;

void hand_over(const sumac_group* group, c10::intrusive_ptr<c10d::Work> work, sumac_work** out) {
  *out = new sumac_work{std::move(work), group->call, group->over_nccl};
}

// Every forming prints "[Gloo] Rank 0 is connected to ..." to the process's standard output, which is not Gloo's; and
// every failed connection writes a C++ stack to standard error, though its exception says the same and comes back as a
// fault. TORCH_CPP_LOG_LEVEL brings the latter back.
void keep_quiet() {
  static std::once_flag once;
  std::call_once(once, [] {
    std::cout.setstate(std::ios_base::badbit);
    if (getenv("TORCH_CPP_LOG_LEVEL") != nullptr) {
      c10::initLogging();
    } else {
      FLAGS_caffe2_log_level = c10::GLOG_FATAL;
    }
  });
}

// No caller uses it: tags of sends come as 16 bits.
constexpr int kCutTag = std::numeric_limits<int>::max();
// Between two looks whether a card is done.
constexpr int kGlanceUs = 20;

} // namespace

extern "C" {

void sumac_text_free(char* text) {
  free(text);
}

sumac_fault sumac_store_serve(const char* host, uint16_t port, int listening_fd, int64_t timeout_ms, sumac_store** out) {
  return attempt([&] {
    keep_quiet();
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = true;
    options.waitWorkers = false;
    options.timeout = milliseconds(timeout_ms);
    options.masterListenFd = listening_fd;
    *out = new sumac_store{c10::make_intrusive<c10d::TCPStore>(host, options)};
  });
}

sumac_fault sumac_store_connect(const char* host, uint16_t port, int64_t timeout_ms, sumac_store** out) {
  return attempt([&] {
    keep_quiet();
    c10d::TCPStoreOptions options;
    options.port = port;
    options.waitWorkers = false;
    options.timeout = milliseconds(timeout_ms);
    *out = new sumac_store{c10::make_intrusive<c10d::TCPStore>(host, options)};
  });
}

sumac_fault sumac_store_prefix(sumac_store* store, const char* prefix, sumac_store** out) {
  return attempt([&] { *out = new sumac_store{c10::make_intrusive<c10d::PrefixStore>(prefix, store->store)}; });
}

sumac_fault sumac_store_set(sumac_store* store, const char* key, const uint8_t* value, size_t length) {
  return attempt([&] { store->store->set(key, std::vector<uint8_t>(value, value + length)); });
}

sumac_fault sumac_store_has(sumac_store* store, const char* key, int* out) {
  return attempt([&] { *out = store->store->check({key}); });
}

void sumac_store_free(sumac_store* store) {
  delete store;
}

sumac_fault sumac_group_gloo(sumac_store* store, int rank, int size, const char* host, int64_t forming_ms, int64_t call_ms, sumac_group** out) {
  return attempt([&] {
    keep_quiet();
    auto options = c10d::ProcessGroupGloo::Options::create(milliseconds(forming_ms));
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(host));
    auto backend = c10::make_intrusive<c10d::ProcessGroupGloo>(store->store, rank, size, options);
    backend->setTimeout(milliseconds(call_ms));
    *out = new sumac_group{std::move(backend), milliseconds(call_ms), /*over_nccl=*/false};
  });
}

sumac_fault sumac_group_nccl(sumac_store* store, int rank, int size, int card, const char* plugin, int64_t forming_ms, int64_t call_ms,
                             sumac_group** out) {
  return attempt([&] {
    keep_quiet();
    // Never closed: what it made lives as long as its groups, and there is one.
    void* const opened = dlopen(plugin, RTLD_NOW);
    void* const found = opened ? dlsym(opened, SUMAC_NCCL_CONNECT) : nullptr;
    if (found == nullptr) {
      const char* why = dlerror();
      throw std::runtime_error(why ? why : "no reason was given");
    }
    c10::intrusive_ptr<c10d::Backend> backend;
    char* const fault =
        reinterpret_cast<sumac_nccl_connect_fn*>(found)(store->store, rank, size, card, forming_ms, call_ms, &backend);
    if (fault != nullptr) {
      const std::string why(fault);
      free(fault);
      throw std::runtime_error(why);
    }
    *out = new sumac_group{std::move(backend), milliseconds(call_ms), /*over_nccl=*/true};
  });
}

sumac_fault sumac_group_all_to_all(sumac_group* group, sumac_tensor output, sumac_tensor input, sumac_work** out) {
  return attempt([&] {
    auto to = borrowed(output);
    auto from = borrowed(input);
    std::vector<int64_t> equal_splits;
    hand_over(group, group->backend->alltoall_base(to, from, equal_splits, equal_splits), out);
  });
}

sumac_fault sumac_group_all_gather(sumac_group* group, sumac_tensor output, sumac_tensor input, sumac_work** out) {
  return attempt([&] {
    auto to = borrowed(output);
    auto from = borrowed(input);
    hand_over(group, group->backend->_allgather_base(to, from), out);
  });
}

sumac_fault sumac_group_broadcast(sumac_group* group, sumac_tensor tensor, int root, sumac_work** out) {
  return attempt([&] {
    std::vector<at::Tensor> tensors{borrowed(tensor)};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    hand_over(group, group->backend->broadcast(tensors, options), out);
  });
}

sumac_fault sumac_group_send(sumac_group* group, sumac_tensor tensor, int to, int tag, sumac_work** out) {
  return attempt([&] {
    std::vector<at::Tensor> tensors{borrowed(tensor)};
    hand_over(group, group->backend->send(tensors, to, tag), out);
  });
}

sumac_fault sumac_group_recv(sumac_group* group, sumac_tensor tensor, int from, int tag, sumac_work** out) {
  return attempt([&] {
    std::vector<at::Tensor> tensors{borrowed(tensor)};
    hand_over(group, group->backend->recv(tensors, from, tag), out);
  });
}

sumac_fault sumac_group_barrier(sumac_group* group, sumac_work** out) {
  return attempt([&] { hand_over(group, group->backend->barrier(), out); });
}

// Gloo has no abort. But a receive that runs out of time fails its whole context: it closes all pairs and wakes whatever
// waits on them. So we wait one millisecond for what nobody sends. Where a pair is broken already the receive throws at
// once and nothing is closed, hence the next peer is tried; when all throw, all are closed.
sumac_fault sumac_group_cut(sumac_group* group) {
  return attempt([&] {
    auto& backend = group->backend;
    if (group->over_nccl) {
      backend->abort();
      return;
    }
    for (int peer = 0; peer < backend->getSize(); ++peer) {
      if (peer == backend->getRank()) {
        continue;
      }
      try {
        std::vector<at::Tensor> nothing{at::empty({1}, at::kByte)};
        backend->recv(nothing, peer, kCutTag)->wait(milliseconds(1));
      } catch (const std::exception&) {
      }
    }
  });
}

void sumac_group_free(sumac_group* group) {
  // A destructor that throws would end the process; Gloo's joins threads and closes sockets, whose errors it keeps.
  delete group;
}

sumac_fault sumac_work_wait(sumac_work* work, int64_t at_most_ms, int* ended) {
  *ended = 1;
  if (work->over_nccl) {
    return attempt([&] {
      const auto until = std::chrono::steady_clock::now() + milliseconds(at_most_ms);
      while (!work->work->isCompleted()) {
        const auto now = std::chrono::steady_clock::now();
        if (now >= work->last) {
          throw std::runtime_error("a call among cards did not end within " + std::to_string(work->call.count()) + " ms");
        }
        if (now >= until) {
          *ended = 0;
          return;
        }
        usleep(kGlanceUs);
      }
      work->work->wait();
    });
  }
  if (at_most_ms < 0) {
    return attempt([&] {
      // Without a time, a send or receive would take the one that the group was formed with.
      if (!work->work->wait(work->call)) {
        throw std::runtime_error("the call was aborted");
      }
    });
  }
  if (at_most_ms > 0 && !work->work->isCompleted()) {
    try {
      work->work->wait(milliseconds(at_most_ms));
    } catch (...) {
      // Either the time is over or the work has failed: what follows tells them apart.
    }
  }
  if (!work->work->isCompleted()) {
    *ended = 0;
    return nullptr;
  }
  return attempt([&] { work->work->wait(); });
}

void sumac_work_free(sumac_work* work) {
  delete work;
}

sumac_fault sumac_require_determinism(void) {
  return attempt([] {
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
    at::globalContext().setDeterministicMkldnn(true);
    at::globalContext().setDeterministicCuDNN(true);
    at::globalContext().setBenchmarkCuDNN(false);
    // Who wants products of fewer bits says so (precision.rs).
    at::globalContext().setAllowTF32CuDNN(false);
    at::globalContext().setAllowTF32CuBLAS(false);
    // Else each tensor that is about to be written is first filled with what is no number: a tenth of a step.
    at::globalContext().setDeterministicFillUninitializedMemory(false);
  });
}

sumac_fault sumac_cpu_capability(char** out) {
  return attempt([&] { *out = strdup(at::get_cpu_capability().c_str()); });
}

sumac_fault sumac_build_config(char** out) {
  return attempt([&] { *out = strdup(at::show_config().c_str()); });
}

} // extern "C"
