// Names alone: libtorch's headers mention them, and the plugin calls nothing of them. So its 770 MB of wheels are not fetched.
#pragma once
typedef struct cublasLtContext* cublasLtHandle_t;
