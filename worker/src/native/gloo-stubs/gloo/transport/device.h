#pragma once
// Stands in for the Gloo header of this name, which the torch wheel includes but does not ship.
// Class layouts only hold pointers to these.
namespace gloo {
namespace transport {
class Device;
class UnboundBuffer;
} // namespace transport
} // namespace gloo
