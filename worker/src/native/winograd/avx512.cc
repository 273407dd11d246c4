// The kernels for AVX-512: 16 floats a register, 32 registers.
#include "winograd.h"

#ifdef __AVX512F__
#include <immintrin.h>

namespace {

using V = __m512;
constexpr int64_t kLanes = 16;
// Registers of a row of sums.
constexpr int kWide = 4;

inline V load(const float* from) { return _mm512_loadu_ps(from); }
inline void store(float* to, V value) { _mm512_storeu_ps(to, value); }
inline V set(float value) { return _mm512_set1_ps(value); }
inline V add(V a, V b) { return _mm512_add_ps(a, b); }
inline V sub(V a, V b) { return _mm512_sub_ps(a, b); }
inline V mul(V a, V b) { return _mm512_mul_ps(a, b); }
inline V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
inline V max(V a, V b) { return _mm512_max_ps(a, b); }
inline V where_above_zero(V test, V value) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(test, _mm512_setzero_ps(), _CMP_NLE_UQ), value);
}

} // namespace

#include "kernel.h"

const sumac::winograd::Kernels* sumac::winograd::avx512() { return &kKernels; }
#else
const sumac::winograd::Kernels* sumac::winograd::avx512() { return nullptr; }
#endif
