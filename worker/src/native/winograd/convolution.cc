// Between libtorch and the kernels: layouts, threads, and what autograd asks for.
#include "../attempt.h"
#include "../shim.h"
#include "winograd.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>

namespace {

using at::Tensor;
using sumac::winograd::Kernels;
using sumac::winograd::Shape;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr auto kLast = at::MemoryFormat::ChannelsLast;
// Blocks whose share of a weight's gradient is summed by one thread, in their order: so that the sum is the same for any number.
// About four images of 35x55: few enough for two threads to share a lane, enough to spread the cost of a sum.
constexpr int64_t kGroup = 21;

// For what libtorch itself takes this processor for, so that ATEN_CPU_CAPABILITY holds for both.
const Kernels* kernels() {
  static const Kernels* const found = [] {
    const auto capability = at::get_cpu_capability();
    return capability == "AVX512" ? sumac::winograd::avx512() : capability == "AVX2" ? sumac::winograd::avx2() : nullptr;
  }();
  return found;
}

Shape shape_of(const Tensor& images, const Tensor& weight, int64_t pad) {
  return {images.size(2), images.size(3), images.size(1), weight.size(0), pad};
}

Tensor floats(int64_t count) { return at::empty({count}, at::kFloat); }

Tensor convolved(const Shape& shape, const Tensor& images, const Tensor& transformed, const float* bias, const float* added,
                 bool rectified) {
  auto output = at::empty({images.size(0), shape.out, shape.out_height(), shape.out_width()}, images.options(), kLast);
  const float* from = images.const_data_ptr<float>();
  const float* by = transformed.const_data_ptr<float>();
  float* to = output.mutable_data_ptr<float>();
  const int64_t blocks = shape.blocks();
  // Blocks of all images, spread over threads: none of them knows of another.
  at::parallel_for(0, images.size(0) * blocks, 1, [&](int64_t begin, int64_t end) {
    auto scratch = floats(shape.scratch());
    for (int64_t block = begin; block < end; ++block) {
      const int64_t image = block / blocks, at = image * shape.pixels_out();
      kernels()->convolve(shape, block % blocks, from + image * shape.pixels_in(), by, bias, added ? added + at : nullptr, rectified,
                          to + at, scratch.mutable_data_ptr<float>());
    }
  });
  return output;
}

// The gradient of weights [out, in, 3, 3].
Tensor weighed(const Shape& shape, const Tensor& images, const Tensor& gradient) {
  const int64_t blocks = shape.blocks(), all = images.size(0) * blocks, groups = (all + kGroup - 1) / kGroup;
  auto sums = floats(groups * shape.transformed());
  const float* from = images.const_data_ptr<float>();
  const float* wanted = gradient.const_data_ptr<float>();
  float* to = sums.mutable_data_ptr<float>();
  at::parallel_for(0, groups, 1, [&](int64_t begin, int64_t end) {
    auto scratch = floats(shape.scratch());
    for (int64_t at = begin * kGroup; at < std::min(all, end * kGroup); ++at) {
      const int64_t image = at / blocks;
      kernels()->weigh(shape, at % blocks, from + image * shape.pixels_in(), wanted + image * shape.pixels_out(), at % kGroup == 0,
                       to + at / kGroup * shape.transformed(), scratch.mutable_data_ptr<float>());
    }
  });
  auto weights = at::empty({shape.out, shape.in, 3, 3}, images.options(), kLast);
  kernels()->gather(shape, groups, to, weights.mutable_data_ptr<float>());
  return weights;
}

struct Convolution : torch::autograd::Function<Convolution> {
  static Tensor forward(AutogradContext* context, const Tensor& images, const Tensor& weight, const Tensor& bias,
                        const std::optional<Tensor>& added, bool rectified, int64_t pad) {
    const auto seen = images.contiguous(kLast), by = weight.contiguous(kLast), offset = bias.contiguous();
    const Shape shape = shape_of(seen, by, pad);
    auto transformed = floats(shape.transformed());
    kernels()->transform(shape, by.const_data_ptr<float>(), transformed.mutable_data_ptr<float>());
    const auto more = added ? added->contiguous(kLast) : Tensor();
    auto output = convolved(shape, seen, transformed, offset.const_data_ptr<float>(),
                            more.defined() ? more.const_data_ptr<float>() : nullptr, rectified);
    context->save_for_backward({seen, by, rectified ? output : Tensor()});
    context->saved_data["pad"] = pad;
    context->saved_data["adds"] = added.has_value();
    return output;
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto &images = saved[0], &weight = saved[1], &output = saved[2];
    const Shape shape = shape_of(images, weight, context->saved_data["pad"].toInt());
    const auto wanted = gradients[0].contiguous(kLast);
    const int64_t n = images.size(0), pixels = shape.out_height() * shape.out_width();

    auto masked = output.defined() ? at::empty_like(wanted) : wanted;
    auto sums = at::empty({n, shape.out}, wanted.options());
    const float* from = wanted.const_data_ptr<float>();
    const float* made = output.defined() ? output.const_data_ptr<float>() : nullptr;
    float* to = output.defined() ? masked.mutable_data_ptr<float>() : nullptr;
    float* sum = sums.mutable_data_ptr<float>();
    at::parallel_for(0, n, 1, [&](int64_t begin, int64_t end) {
      for (int64_t image = begin; image < end; ++image) {
        const int64_t at = image * shape.pixels_out();
        kernels()->mask(pixels, shape.out, from + at, made ? made + at : nullptr, to ? to + at : nullptr, sum + image * shape.out);
      }
    });

    Tensor of_images, of_weight, of_bias;
    if (context->needs_input_grad(0)) {
      const Shape back{shape.out_height(), shape.out_width(), shape.out, shape.in, 2 - shape.pad};
      auto transformed = floats(shape.transformed());
      kernels()->transform_back(shape, weight.const_data_ptr<float>(), transformed.mutable_data_ptr<float>());
      of_images = convolved(back, masked, transformed, nullptr, nullptr, false);
    }
    if (context->needs_input_grad(1)) of_weight = weighed(shape, images, masked);
    if (context->needs_input_grad(2)) of_bias = sums.sum(0);
    const bool adds = context->saved_data["adds"].toBool() && context->needs_input_grad(3);
    return {of_images, of_weight, of_bias, adds ? masked : Tensor(), Tensor(), Tensor()};
  }
};

} // namespace

extern "C" {

int sumac_convolution_is_there(void) {
  // Whoever casts wants products of fewer bits, and these have all.
  return kernels() != nullptr && !at::autocast::is_autocast_enabled(at::kCPU);
}

sumac_fault sumac_convolution(sumac_tensor images, sumac_tensor weight, sumac_tensor bias, sumac_tensor added, int rectified,
                              int64_t pad, sumac_new_tensor* out) {
  return attempt([&] {
    const auto more = added ? std::optional<Tensor>(borrowed(added)) : std::nullopt;
    *out = new Tensor(Convolution::apply(borrowed(images), borrowed(weight), borrowed(bias), more, rectified != 0, pad));
  });
}

} // extern "C"
