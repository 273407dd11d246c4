// Names alone: libtorch's headers mention them, and the plugin calls nothing of them. So its 770 MB of wheels are not fetched.
#pragma once
typedef enum { CUSOLVER_STATUS_SUCCESS = 0 } cusolverStatus_t;
