// Names alone: libtorch's headers mention them, and the plugin calls nothing of them. So its 770 MB of wheels are not fetched.
#pragma once
#include "cusolver_common.h"
typedef struct cusolverDnContext* cusolverDnHandle_t;
