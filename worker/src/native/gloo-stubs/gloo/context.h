#pragma once
// Stands in for the Gloo header of this name, which the torch wheel includes but does not ship.
#include <chrono>

namespace gloo {
class Context {
 public:
  // Called by ProcessGroupGloo::setTimeout, which is inline; defined in libtorch_cpu.so.
  void setTimeout(std::chrono::milliseconds);
};
} // namespace gloo
