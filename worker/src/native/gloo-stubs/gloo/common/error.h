#pragma once
// Stands in for the Gloo header of this name, which the torch wheel includes but does not ship.
// Nothing of it is needed here.
