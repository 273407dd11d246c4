// The kernels for AVX2 with FMA: 8 floats a register, 16 registers.
#include "winograd.h"

#ifdef __AVX2__
#include <immintrin.h>

namespace {

using V = __m256;
constexpr int64_t kLanes = 8;
// Registers of a row of sums.
constexpr int kWide = 2;

inline V load(const float* from) { return _mm256_loadu_ps(from); }
inline void store(float* to, V value) { _mm256_storeu_ps(to, value); }
inline V set(float value) { return _mm256_set1_ps(value); }
inline V add(V a, V b) { return _mm256_add_ps(a, b); }
inline V sub(V a, V b) { return _mm256_sub_ps(a, b); }
inline V mul(V a, V b) { return _mm256_mul_ps(a, b); }
inline V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
inline V max(V a, V b) { return _mm256_max_ps(a, b); }
inline V where_above_zero(V test, V value) {
  return _mm256_and_ps(_mm256_cmp_ps(test, _mm256_setzero_ps(), _CMP_NLE_UQ), value);
}

} // namespace

#include "kernel.h"

const sumac::winograd::Kernels* sumac::winograd::avx2() { return &kKernels; }
#else
const sumac::winograd::Kernels* sumac::winograd::avx2() { return nullptr; }
#endif
