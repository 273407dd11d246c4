//! The discriminator: images in, two logits per local patch out (the paper, section 2). Knows nothing of losses.
//!
//! Fully convolutional. Map 0 speaks for "real", map 1 for "refined"; nothing stands between the last convolution and the
//! softmax, so that logits have both signs.

use super::{flat::Place, orderly};
use sumac_common::spec::model::{self, Activation, Layer};
use tch::{TchError, Tensor};

/// The slope below zero of a leaky ReLU.
const LEAK: f64 = 0.2;

pub(crate) struct Discriminator {
    pub(crate) spec: model::Discriminator,
    /// `[1]`, the slope below zero as an operand; `None`: plain ReLU.
    leak: Option<Tensor>,
}

impl Discriminator {
    pub(crate) fn new(spec: model::Discriminator, (kind, device): Place) -> Result<Self, TchError> {
        let leak = match spec.activation {
            Activation::Relu => None,
            Activation::LeakyRelu => Some(Tensor::f_from_slice(&[LEAK])?.f_to_device(device)?.f_to_kind(kind)?),
        };
        Ok(Self { spec, leak })
    }

    /// `[b, c, h, w]` to logits `[b, 2, patch rows, patch columns]`.
    pub(crate) fn forward(&self, weights: &[Tensor], images_bchw: &Tensor) -> Result<Tensor, TchError> {
        let mut maps = images_bchw.shallow_clone();
        let mut convolutions = weights.chunks_exact(2);
        for layer in &self.spec.layers {
            maps = match *layer {
                Layer::MaxPool { kernel, stride } => orderly::pooled(&maps, i64::from(kernel), i64::from(stride))?,
                Layer::Conv { kernel, stride, .. } => {
                    let of_layer = convolutions.next().expect("the spec lists every convolution of its layers");
                    let (reach, stride) = (i64::from(kernel) / 2, i64::from(stride));
                    let sums = maps.f_conv2d(&of_layer[0], Some(&of_layer[1]), [stride; 2], [reach; 2], [1, 1], 1)?;
                    // A nonlinearity on the logits would make them one-sided, as in many a reimplementation.
                    if convolutions.len() == 0 { sums } else { self.activate(sums)? }
                }
            };
        }
        Ok(maps)
    }

    fn activate(&self, mut sums: Tensor) -> Result<Tensor, TchError> {
        match &self.leak {
            None => sums.f_relu_(),
            Some(slope) => sums.f_prelu(slope),
        }
    }
}
