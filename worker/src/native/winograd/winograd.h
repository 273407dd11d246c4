// Convolutions of 3x3 at stride 1 by Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray 2016, "Fast Algorithms for
// Convolutional Neural Networks"): 4x4 outputs at a time, 36 products instead of 144. Knows images and weights as floats in
// channels-last order; refuses to know libtorch and threads.
//
// The same numbers on every processor that has a kernel: each output is summed over its inputs in their order, each weight's
// gradient over tiles in theirs, whatever the width of a register.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace sumac::winograd {

// A tile's side of outputs and of inputs, and how many products it takes.
constexpr int64_t kOutputs = 4;
constexpr int64_t kInputs = kOutputs + 2;
constexpr int64_t kProducts = kInputs * kInputs;
// Tiles between two transformations: their products stay in a core's second cache.
constexpr int64_t kBlock = 24;
// Numbers of channels are multiples of this.
constexpr int64_t kChannels = 16;

// Of one image: `height` x `width` pixels of `in` channels become (height + 2 pad - 2) x (width + 2 pad - 2) of `out`.
struct Shape {
  int64_t height, width, in, out, pad;

  int64_t out_height() const { return height + 2 * pad - 2; }
  int64_t out_width() const { return width + 2 * pad - 2; }
  int64_t rows() const { return (out_height() + kOutputs - 1) / kOutputs; }
  int64_t columns() const { return (out_width() + kOutputs - 1) / kOutputs; }
  int64_t tiles() const { return rows() * columns(); }
  int64_t blocks() const { return (tiles() + kBlock - 1) / kBlock; }
  // Floats of one image, of transformed weights, and of what a block needs.
  int64_t pixels_in() const { return height * width * in; }
  int64_t pixels_out() const { return out_height() * out_width() * out; }
  int64_t transformed() const { return kProducts * in * out; }
  int64_t scratch() const { return kProducts * kBlock * (in + out); }
};

struct Kernels {
  // Of weights [out][3][3][in] what `convolve` takes: [product][in][out].
  void (*transform)(const Shape&, const float* weights, float* transformed);
  // The same for the gradient of the inputs, a convolution back from `out` channels to `in`: [product][out][in].
  void (*transform_back)(const Shape&, const float* weights, float* transformed);
  // One block of an image's outputs: + bias if there is one, + `added` if there is one, and if it is rectified, what is below 0 is 0.
  void (*convolve)(const Shape&, int64_t block, const float* image, const float* transformed, const float* bias,
                   const float* added, bool rectified, float* output, float* scratch);
  // What one block of an image contributes to the gradient of transformed weights, [product][in][out]; it replaces what is there
  // if it is the first.
  void (*weigh)(const Shape&, int64_t block, const float* image, const float* gradient, bool first, float* sum,
                float* scratch);
  // Of sums [n][product][in][out] the gradient of weights [out][3][3][in].
  void (*gather)(const Shape&, int64_t n, const float* sums, float* gradient);
  // The gradient in front of a rectifier, of `pixels` pixels of `out` channels: where `output` is 0 there is none. Without an output
  // nothing changes, and `masked` may be null. `sum` [out] is over pixels.
  void (*mask)(int64_t pixels, int64_t out, const float* gradient, const float* output, float* masked, float* sum);
};

// Null where the compiler or the processor has no such instructions.
const Kernels* avx2();
const Kernels* avx512();

} // namespace sumac::winograd
