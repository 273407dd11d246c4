// The kernels over a register `V` of `kLanes` floats, which whoever includes this has named, with load, store, set, add, sub, mul,
// fma, max (its second operand where one is no number) and where_above_zero (true of what is no number), and `kWide`, how many
// registers a row of sums takes. Everything is in an unnamed namespace, and nothing of the standard library is included: what is
// compiled for one processor is never linked into what runs on another.

#include "winograd.h"

namespace {

using sumac::winograd::kBlock;
using sumac::winograd::kInputs;
using sumac::winograd::kOutputs;
using sumac::winograd::kProducts;
using sumac::winograd::Shape;

constexpr int64_t kTaps = 3;
alignas(64) constexpr float kNothing[kLanes] = {};

// Lavin's matrices for the points 0, 1, -1, 2, -2 and infinity, each applied to one row or column.

// B^T: of 6 inputs.
inline void of_inputs(const V (&d)[6], V (&t)[6]) {
  const V even = fma(set(-4), d[2], d[4]), odd = fma(set(-4), d[1], d[3]);
  const V inner = sub(d[4], d[2]), outer = mul(set(2), sub(d[3], d[1]));
  t[0] = fma(set(-5), d[2], fma(set(4), d[0], d[4]));
  t[1] = add(even, odd);
  t[2] = sub(even, odd);
  t[3] = add(inner, outer);
  t[4] = sub(inner, outer);
  t[5] = fma(set(-5), d[3], fma(set(4), d[1], d[5]));
}

// A^T: 4 outputs of 6 products.
inline void to_outputs(const V (&p)[6], V (&y)[4]) {
  const V s1 = add(p[1], p[2]), d1 = sub(p[1], p[2]), s2 = add(p[3], p[4]), d2 = sub(p[3], p[4]);
  y[0] = add(add(p[0], s1), s2);
  y[1] = fma(set(2), d2, d1);
  y[2] = fma(set(4), s2, s1);
  y[3] = add(fma(set(8), d2, d1), p[5]);
}

// A: of 4 outputs' gradients.
inline void of_outputs(const V (&y)[4], V (&t)[6]) {
  const V even1 = add(y[0], y[2]), odd1 = add(y[1], y[3]);
  const V even2 = fma(set(4), y[2], y[0]), odd2 = mul(set(2), fma(set(4), y[3], y[1]));
  t[0] = y[0];
  t[1] = add(even1, odd1);
  t[2] = sub(even1, odd1);
  t[3] = add(even2, odd2);
  t[4] = sub(even2, odd2);
  t[5] = y[3];
}

// G: of 3 weights.
inline void of_weights(const V (&g)[3], V (&t)[6]) {
  const V ends = add(g[0], g[2]), wide = fma(set(4), g[2], g[0]);
  t[0] = mul(set(1.0f / 4), g[0]);
  t[1] = mul(set(-1.0f / 6), add(ends, g[1]));
  t[2] = mul(set(-1.0f / 6), sub(ends, g[1]));
  t[3] = mul(set(1.0f / 24), fma(set(2), g[1], wide));
  t[4] = mul(set(1.0f / 24), fma(set(-2), g[1], wide));
  t[5] = g[2];
}

// G^T: 3 weights' gradients of 6 products.
inline void to_weights(const V (&p)[6], V (&g)[3]) {
  const V s1 = mul(set(-1.0f / 6), add(p[1], p[2])), d1 = mul(set(-1.0f / 6), sub(p[1], p[2]));
  const V s2 = mul(set(1.0f / 24), add(p[3], p[4])), d2 = mul(set(1.0f / 12), sub(p[3], p[4]));
  g[0] = add(fma(set(1.0f / 4), p[0], s1), s2);
  g[1] = add(d1, d2);
  g[2] = add(fma(set(4), s2, s1), p[5]);
}

// Rows and columns alike.
template <int kFrom, int kTo, typename Apply>
inline void on_both_sides(Apply apply, const V (&from)[kFrom][kFrom], V (&to)[kTo][kTo]) {
  V half[kTo][kFrom];
  for (int column = 0; column < kFrom; ++column) {
    V line[kFrom], applied[kTo];
    for (int row = 0; row < kFrom; ++row) line[row] = from[row][column];
    apply(line, applied);
    for (int row = 0; row < kTo; ++row) half[row][column] = applied[row];
  }
  for (int row = 0; row < kTo; ++row) apply(half[row], to[row]);
}

// `kRows` rows of c = a b, or of c += a b, held in registers: of `kVectors` of them each.
template <int kRows, int kVectors>
inline void multiply_rows(int64_t deep, const float* a, int64_t a_row, int64_t a_step, const float* b, int64_t b_step, bool adds,
                          float* c, int64_t c_row) {
  V sums[kRows][kVectors];
  for (int row = 0; row < kRows; ++row) {
    for (int v = 0; v < kVectors; ++v) sums[row][v] = adds ? load(c + row * c_row + v * kLanes) : set(0);
  }
  for (int64_t k = 0; k < deep; ++k) {
    V right[kVectors];
    for (int v = 0; v < kVectors; ++v) right[v] = load(b + k * b_step + v * kLanes);
    for (int row = 0; row < kRows; ++row) {
      const V left = set(a[row * a_row + k * a_step]);
      for (int v = 0; v < kVectors; ++v) sums[row][v] = fma(left, right[v], sums[row][v]);
    }
  }
  for (int row = 0; row < kRows; ++row) {
    for (int v = 0; v < kVectors; ++v) store(c + row * c_row + v * kLanes, sums[row][v]);
  }
}

template <int kCount>
struct Count {
  static constexpr int value = kCount;
};

template <int kVectors>
void multiply_columns(int64_t rows, int64_t deep, const float* a, int64_t a_row, int64_t a_step, const float* b, int64_t b_step,
                      bool adds, float* c, int64_t c_row) {
  const auto some = [&](auto count, int64_t row) {
    multiply_rows<decltype(count)::value, kVectors>(deep, a + row * a_row, a_row, a_step, b, b_step, adds, c + row * c_row, c_row);
  };
  int64_t row = 0;
  for (; row + 6 <= rows; row += 6) some(Count<6>{}, row);
  switch (rows - row) {
    case 5: return some(Count<5>{}, row);
    case 4: return some(Count<4>{}, row);
    case 3: return some(Count<3>{}, row);
    case 2: return some(Count<2>{}, row);
    case 1: return some(Count<1>{}, row);
    default: return;
  }
}

// c [rows][columns] = a b, or += : `a` is read at row * a_row + k * a_step, so that it may lie the other way.
void multiply(int64_t rows, int64_t columns, int64_t deep, const float* a, int64_t a_row, int64_t a_step, const float* b, bool adds,
              float* c) {
  int64_t column = 0;
  for (; column + kWide * kLanes <= columns; column += kWide * kLanes) {
    multiply_columns<kWide>(rows, deep, a, a_row, a_step, b + column, columns, adds, c + column, columns);
  }
  for (; column < columns; column += kLanes) {
    multiply_columns<1>(rows, deep, a, a_row, a_step, b + column, columns, adds, c + column, columns);
  }
}

// Where a block's tile lies among outputs.
struct Tile {
  int64_t row, column;
};

inline Tile tile_at(const Shape& shape, int64_t tile) {
  return {tile / shape.columns() * kOutputs, tile % shape.columns() * kOutputs};
}

inline int64_t tiles_in(const Shape& shape, int64_t block) {
  const int64_t left = shape.tiles() - block * kBlock;
  return left < kBlock ? left : kBlock;
}

// B^T d B of each tile: [product][tile][in].
void transform_inputs(const Shape& shape, int64_t block, int64_t tiles, const float* image, float* transformed) {
  for (int64_t t = 0; t < tiles; ++t) {
    const Tile tile = tile_at(shape, block * kBlock + t);
    const float* from[kInputs][kInputs];
    for (int64_t i = 0; i < kInputs; ++i) {
      for (int64_t j = 0; j < kInputs; ++j) {
        const int64_t row = tile.row + i - shape.pad, column = tile.column + j - shape.pad;
        const bool inside = row >= 0 && row < shape.height && column >= 0 && column < shape.width;
        from[i][j] = inside ? image + (row * shape.width + column) * shape.in : nullptr;
      }
    }
    for (int64_t c = 0; c < shape.in; c += kLanes) {
      V seen[kInputs][kInputs], made[kInputs][kInputs];
      for (int64_t i = 0; i < kInputs; ++i) {
        for (int64_t j = 0; j < kInputs; ++j) seen[i][j] = load(from[i][j] ? from[i][j] + c : kNothing);
      }
      on_both_sides<6, 6>(of_inputs, seen, made);
      for (int64_t p = 0; p < kProducts; ++p) {
        store(transformed + (p * kBlock + t) * shape.in + c, made[p / kInputs][p % kInputs]);
      }
    }
  }
}

void convolve(const Shape& shape, int64_t block, const float* image, const float* transformed, const float* bias,
              const float* added, bool rectified, float* output, float* scratch) {
  const int64_t tiles = tiles_in(shape, block);
  float* seen = scratch;
  float* products = scratch + kProducts * kBlock * shape.in;
  transform_inputs(shape, block, tiles, image, seen);
  for (int64_t p = 0; p < kProducts; ++p) {
    multiply(tiles, shape.out, shape.in, seen + p * kBlock * shape.in, shape.in, 1, transformed + p * shape.in * shape.out, false,
             products + p * kBlock * shape.out);
  }
  for (int64_t t = 0; t < tiles; ++t) {
    const Tile tile = tile_at(shape, block * kBlock + t);
    for (int64_t c = 0; c < shape.out; c += kLanes) {
      V of_tile[kInputs][kInputs], made[kOutputs][kOutputs];
      for (int64_t p = 0; p < kProducts; ++p) {
        of_tile[p / kInputs][p % kInputs] = load(products + (p * kBlock + t) * shape.out + c);
      }
      on_both_sides<6, 4>(to_outputs, of_tile, made);
      const V offset = bias ? load(bias + c) : set(0);
      for (int64_t i = 0; i < kOutputs && tile.row + i < shape.out_height(); ++i) {
        for (int64_t j = 0; j < kOutputs && tile.column + j < shape.out_width(); ++j) {
          const int64_t at = ((tile.row + i) * shape.out_width() + tile.column + j) * shape.out + c;
          V value = add(made[i][j], offset);
          if (added) value = add(value, load(added + at));
          store(output + at, rectified ? max(set(0), value) : value);
        }
      }
    }
  }
}

void weigh(const Shape& shape, int64_t block, const float* image, const float* gradient, bool first, float* sum, float* scratch) {
  const int64_t tiles = tiles_in(shape, block);
  float* seen = scratch;
  float* wanted = scratch + kProducts * kBlock * shape.in;
  transform_inputs(shape, block, tiles, image, seen);
  for (int64_t t = 0; t < tiles; ++t) {
    const Tile tile = tile_at(shape, block * kBlock + t);
    for (int64_t c = 0; c < shape.out; c += kLanes) {
      V of_tile[kOutputs][kOutputs], made[kInputs][kInputs];
      for (int64_t i = 0; i < kOutputs; ++i) {
        for (int64_t j = 0; j < kOutputs; ++j) {
          const int64_t row = tile.row + i, column = tile.column + j;
          const bool inside = row < shape.out_height() && column < shape.out_width();
          of_tile[i][j] = load(inside ? gradient + (row * shape.out_width() + column) * shape.out + c : kNothing);
        }
      }
      on_both_sides<4, 6>(of_outputs, of_tile, made);
      for (int64_t p = 0; p < kProducts; ++p) {
        store(wanted + (p * kBlock + t) * shape.out + c, made[p / kInputs][p % kInputs]);
      }
    }
  }
  for (int64_t p = 0; p < kProducts; ++p) {
    multiply(shape.in, shape.out, tiles, seen + p * kBlock * shape.in, 1, shape.in, wanted + p * kBlock * shape.out, !first,
             sum + p * shape.in * shape.out);
  }
}

// [from][3][3][to] to [product][from][to], the registers along `to`: where `source` lies among `transformed` itself, behind the products
// but the last nine, each pair of channels reads its taps before it writes its products.
void transform_weights(int64_t from, int64_t to, const float* source, int64_t tap_step, int64_t from_step, bool turned,
                       float* transformed) {
  for (int64_t f = 0; f < from; ++f) {
    for (int64_t t = 0; t < to; t += kLanes) {
      V taps[kTaps][kTaps], made[kInputs][kInputs];
      for (int64_t tap = 0; tap < kTaps * kTaps; ++tap) {
        // Back from outputs to inputs the weights are turned by half a turn.
        const int64_t at = turned ? kTaps * kTaps - 1 - tap : tap;
        taps[tap / kTaps][tap % kTaps] = load(source + at * tap_step + f * from_step + t);
      }
      on_both_sides<3, 6>(of_weights, taps, made);
      for (int64_t p = 0; p < kProducts; ++p) store(transformed + (p * from + f) * to + t, made[p / kInputs][p % kInputs]);
    }
  }
}

void transform(const Shape& shape, const float* weights, float* transformed) {
  const int64_t in = shape.in, out = shape.out, taps = kTaps * kTaps;
  float* turned_over = transformed + (kProducts - taps) * in * out;
  for (int64_t tap = 0; tap < taps; ++tap) {
    for (int64_t i = 0; i < in; ++i) {
      for (int64_t o = 0; o < out; ++o) turned_over[(tap * in + i) * out + o] = weights[(o * taps + tap) * in + i];
    }
  }
  transform_weights(in, out, turned_over, in * out, out, false, transformed);
}

void transform_back(const Shape& shape, const float* weights, float* transformed) {
  transform_weights(shape.out, shape.in, weights, shape.in, kTaps * kTaps * shape.in, true, transformed);
}

void gather(const Shape& shape, int64_t n, const float* sums, float* gradient) {
  for (int64_t i = 0; i < shape.in; ++i) {
    for (int64_t o = 0; o < shape.out; o += kLanes) {
      V of_pair[kInputs][kInputs], made[kTaps][kTaps];
      for (int64_t p = 0; p < kProducts; ++p) {
        V total = load(sums + (p * shape.in + i) * shape.out + o);
        for (int64_t part = 1; part < n; ++part) {
          total = add(total, load(sums + part * shape.transformed() + (p * shape.in + i) * shape.out + o));
        }
        of_pair[p / kInputs][p % kInputs] = total;
      }
      on_both_sides<6, 3>(to_weights, of_pair, made);
      for (int64_t tap = 0; tap < kTaps * kTaps; ++tap) {
        alignas(64) float one[kLanes];
        store(one, made[tap / kTaps][tap % kTaps]);
        for (int64_t lane = 0; lane < kLanes; ++lane) {
          gradient[((o + lane) * kTaps * kTaps + tap) * shape.in + i] = one[lane];
        }
      }
    }
  }
}

// Sums of `kSums` registers of channels, from the first on.
template <int kSums>
inline void mask_channels(int64_t pixels, int64_t out, const float* gradient, const float* output, float* masked, float* sum) {
  V sums[kSums];
  for (V& of_lanes : sums) of_lanes = set(0);
  for (int64_t pixel = 0; pixel < pixels; ++pixel) {
    for (int s = 0; s < kSums; ++s) {
      const int64_t at = pixel * out + s * kLanes;
      V value = load(gradient + at);
      if (output) {
        value = where_above_zero(load(output + at), value);
        store(masked + at, value);
      }
      sums[s] = add(sums[s], value);
    }
  }
  for (int s = 0; s < kSums; ++s) store(sum + s * kLanes, sums[s]);
}

void mask(int64_t pixels, int64_t out, const float* gradient, const float* output, float* masked, float* sum) {
  constexpr int64_t kMany = 64, kFew = sumac::winograd::kChannels;
  int64_t c = 0;
  const auto from = [&](auto* floats) { return floats ? floats + c : nullptr; };
  for (; c + kMany <= out; c += kMany) {
    mask_channels<kMany / kLanes>(pixels, out, gradient + c, from(output), from(masked), sum + c);
  }
  for (; c < out; c += kFew) {
    mask_channels<kFew / kLanes>(pixels, out, gradient + c, from(output), from(masked), sum + c);
  }
}

constexpr sumac::winograd::Kernels kKernels = {
    transform, transform_back, convolve, weigh, gather, mask,
};

} // namespace
