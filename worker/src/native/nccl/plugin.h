// What the worker finds in libsumac_nccl.so. Both sides are compiled against the same headers of libtorch 2.11.
#pragma once
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

// Connects all ranks. Null, or a text for free() that says why not.
#define SUMAC_NCCL_CONNECT "sumac_nccl_connect"
using sumac_nccl_connect_fn = char* (const c10::intrusive_ptr<c10d::Store>& store, int rank, int size, int card, int64_t forming_ms,
                                     int64_t call_ms, c10::intrusive_ptr<c10d::Backend>* out);
