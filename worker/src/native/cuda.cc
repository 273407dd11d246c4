// Cards: libtorch's half for them is opened when it is there, so that one binary serves machines with and without.
#include "attempt.h"
#include "shim.h"

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <dlfcn.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace {

// Of the driver's interface, which is stable C.
using Initialise = int (*)(unsigned);
using Get = int (*)(int*, int);
using Name = int (*)(char*, int, int);

template <typename Function>
Function in_driver(const char* name) {
  static void* const driver = dlopen("libcuda.so.1", RTLD_NOW);
  return driver ? reinterpret_cast<Function>(dlsym(driver, name)) : nullptr;
}

} // namespace

extern "C" {

sumac_fault sumac_cuda_load(void) {
  return attempt([] {
    // Read when libraries are opened: products whose order of addition is fixed, cards counted as others count them, and no watchdog
    // that ends the process, since a failed group is the caller's business.
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
    setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID", 0);
    setenv("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0", 0);
    setenv("TORCH_NCCL_ENABLE_MONITORING", "0", 0);
    if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
      const char* why = dlerror();
      throw std::runtime_error(why ? why : "no reason was given");
    }
  });
}

sumac_fault sumac_cuda_count(int* out) {
  return attempt([&] { *out = at::hasCUDA() ? at::detail::getCUDAHooks().getNumGPUs() : 0; });
}

sumac_fault sumac_cuda_name(int card, char** out) {
  return attempt([&] {
    const auto initialise = in_driver<Initialise>("cuInit");
    const auto get = in_driver<Get>("cuDeviceGet");
    const auto name = in_driver<Name>("cuDeviceGetName");
    char text[256] = "";
    int device = 0;
    if (!initialise || !get || !name || initialise(0) != 0 || get(&device, card) != 0 || name(text, sizeof text, device) != 0) {
      throw std::runtime_error("the driver does not say what card " + std::to_string(card) + " is");
    }
    *out = strdup(text);
  });
}

sumac_fault sumac_short_products(int allowed) {
  return attempt([&] {
    at::globalContext().setAllowTF32CuDNN(allowed != 0);
    at::globalContext().setAllowTF32CuBLAS(allowed != 0);
  });
}

sumac_fault sumac_autocast(int cuda, int on) {
  return attempt([&] {
    const auto device = cuda ? at::kCUDA : at::kCPU;
    at::autocast::set_autocast_dtype(device, at::kBFloat16);
    at::autocast::set_autocast_enabled(device, on != 0);
    // Weights that were cast are kept for a pass, not for the next one, which has others.
    at::autocast::clear_cache();
  });
}

} // extern "C"
