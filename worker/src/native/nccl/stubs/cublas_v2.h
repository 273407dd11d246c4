// Names alone: libtorch's headers mention them, and the plugin calls nothing of them. So its 770 MB of wheels are not fetched.
#pragma once
typedef struct cublasContext* cublasHandle_t;
typedef enum { CUBLAS_STATUS_SUCCESS = 0 } cublasStatus_t;
