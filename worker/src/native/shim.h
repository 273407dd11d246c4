// The C interface to libtorch's c10d and to the few corners of libtorch that tch leaves out.
//
// Every function that can fail returns a sumac_fault: null, or a sentence on the heap for sumac_fault_free. No C++
// exception leaves a function. `out` pointers are written only on success. Tensors are `at::Tensor*`, borrowed for the
// length of the call; c10d takes references of its own to what it needs longer.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef char* sumac_fault;
typedef struct sumac_store sumac_store;
typedef struct sumac_group sumac_group;
typedef struct sumac_work sumac_work;
typedef const void* sumac_tensor;
typedef void* sumac_new_tensor; // for the caller to delete

void sumac_text_free(char* text); // faults and returned texts

// A store's server takes over `listening_fd`, a socket bound to host:port. Clients retry until the time is over.
sumac_fault sumac_store_serve(const char* host, uint16_t port, int listening_fd, int64_t timeout_ms, sumac_store** out);
sumac_fault sumac_store_connect(const char* host, uint16_t port, int64_t timeout_ms, sumac_store** out);
sumac_fault sumac_store_prefix(sumac_store* store, const char* prefix, sumac_store** out);
sumac_fault sumac_store_set(sumac_store* store, const char* key, const uint8_t* value, size_t length);
sumac_fault sumac_store_has(sumac_store* store, const char* key, int* out);
void sumac_store_free(sumac_store* store);

// Blocks until all ranks have met at the store and are connected. `host` is the address that peers connect to.
sumac_fault sumac_group_gloo(sumac_store* store, int rank, int size, const char* host, int64_t forming_ms, int64_t call_ms, sumac_group** out);
// The same over NCCL, by a plugin that is opened (nccl/plugin.h); tensors lie on that card. It takes no sends and receives.
sumac_fault sumac_group_nccl(sumac_store* store, int rank, int size, int card, const char* plugin, int64_t forming_ms, int64_t call_ms,
                             sumac_group** out);
sumac_fault sumac_group_all_to_all(sumac_group* group, sumac_tensor output, sumac_tensor input, sumac_work** out);
sumac_fault sumac_group_all_gather(sumac_group* group, sumac_tensor output, sumac_tensor input, sumac_work** out);
sumac_fault sumac_group_broadcast(sumac_group* group, sumac_tensor tensor, int root, sumac_work** out);
sumac_fault sumac_group_send(sumac_group* group, sumac_tensor tensor, int to, int tag, sumac_work** out);
sumac_fault sumac_group_recv(sumac_group* group, sumac_tensor tensor, int from, int tag, sumac_work** out);
sumac_fault sumac_group_barrier(sumac_group* group, sumac_work** out);
// Closes every connection of the group, ending what is in flight here and at the peers.
sumac_fault sumac_group_cut(sumac_group* group);
// Joins the group's threads: waits for what is in flight, so cut first.
void sumac_group_free(sumac_group* group);

// Waits until the work has ended or the time is over, and says which in `ended`. A fault is the work's own, so only with
// `ended`. A negative time means that of the group's calls. A send or recv takes no other: c10d reads a shorter wait as the group's failure.
sumac_fault sumac_work_wait(sumac_work* work, int64_t at_most_ms, int* ended);
void sumac_work_free(sumac_work* work);

// Whether there are kernels for this processor, and this thread does not ask for fewer bits.
int sumac_convolution_is_there(void);
// Images [b, in, h, w] by weights [out, in, 3, 3] at stride 1 with a border of `pad` zeros, 0 to 2; + bias [out]; + `added`, of the
// output's shape, if it is not null; rectified if so wanted. In f32 on the CPU, with channels in sixteens. It has gradients.
sumac_fault sumac_convolution(sumac_tensor images, sumac_tensor weight, sumac_tensor bias, sumac_tensor added, int rectified,
                              int64_t pad, sumac_new_tensor* out);

// Opens libtorch's half for cards. Before anything asks libtorch for cards, else it sees none as long as the process lives; and
// before other threads start, since it writes to the environment.
sumac_fault sumac_cuda_load(void);
sumac_fault sumac_cuda_count(int* out);
sumac_fault sumac_cuda_name(int card, char** out);
// Whether products in single precision on a card may be taken of factors cut to 10 bits (TF32), from now on.
sumac_fault sumac_short_products(int allowed);
// Whether this thread's convolutions and products are taken in bfloat16, on cards or on the CPU, from now on.
sumac_fault sumac_autocast(int cuda, int on);

// Counts what this thread asks of libtorch, until the end: operations, pieces of memory and their bytes.
typedef struct sumac_count sumac_count;
sumac_fault sumac_count_begin(sumac_count** out);
sumac_fault sumac_count_end(sumac_count* count, int64_t out[3]);

sumac_fault sumac_require_determinism(void);
sumac_fault sumac_cpu_capability(char** out);
sumac_fault sumac_build_config(char** out);

#ifdef __cplusplus
}
#endif
