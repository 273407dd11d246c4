// What every function behind the C interface begins with.
#pragma once
#include "shim.h"

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstring>
#include <exception>

// Runs `body`; what it throws comes back as text.
template <typename Body>
sumac_fault attempt(Body body) {
  try {
    body();
    return nullptr;
  } catch (const c10::Error& error) {
    return strdup(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("a C++ exception without a message");
  }
}

inline at::Tensor borrowed(sumac_tensor tensor) {
  return *static_cast<const at::Tensor*>(tensor);
}
