//! The discriminator: images in, two logits per local patch out (PAPER A1, A3). Knows nothing of losses.
//!
//! Fully convolutional. Map 0 speaks for "real", map 1 for "refined"; nothing stands between the last convolution and the
//! softmax, so that logits have both signs.

use super::flat::{Parameter, Place};
use sumac_common::spec::{
    ImageShape,
    model::{self, Activation, Layer},
};
use tch::{TchError, Tensor};

/// The slope below zero of a leaky ReLU.
const LEAK: f32 = 0.2;

pub(crate) struct Discriminator {
    layers: Vec<Layer>,
    /// `[1]`, the slope below zero as an operand; `None`: plain ReLU.
    leak: Option<Tensor>,
    channels: i64,
    /// Whether weights are divided by their largest singular value before use.
    pub(crate) spectral_norm: bool,
}

impl Discriminator {
    pub(crate) fn new(spec: &model::Discriminator, channels: u32, place: Place) -> Result<Self, TchError> {
        let leak = match spec.activation {
            Activation::Relu => None,
            Activation::LeakyRelu => Some(Tensor::f_from_slice(&[LEAK])?.f_to_device(place.1)?.f_to_kind(place.0)?),
        };
        let channels = i64::from(channels);
        Ok(Self { layers: spec.layers.clone(), leak, channels, spectral_norm: spec.spectral_norm })
    }

    /// Weight and bias of each convolution, first to last. A layer's number counts the pools too.
    pub(crate) fn parameters(&self) -> Vec<Parameter> {
        let mut maps_in = self.channels;
        let mut parameters = Vec::new();
        for (number, layer) in self.layers.iter().enumerate() {
            if let Layer::Conv { kernel, maps, .. } = *layer {
                let maps_out = i64::from(maps);
                parameters.extend(Parameter::convolution(
                    &format!("layers.{number}"),
                    maps_in,
                    maps_out,
                    i64::from(kernel),
                ));
                maps_in = maps_out;
            }
        }
        parameters
    }

    /// Local patches per image: height times width of the logits.
    pub(crate) fn patches(&self, shape: ImageShape) -> u64 {
        let (mut height, mut width) = (u64::from(shape.height), u64::from(shape.width));
        for layer in &self.layers {
            let (Layer::Conv { kernel, stride, .. } | Layer::MaxPool { kernel, stride }) = *layer;
            let (kernel, stride) = (u64::from(kernel), u64::from(stride));
            let positions = |pixels: u64| (pixels + 2 * (kernel / 2) - kernel) / stride + 1;
            (height, width) = (positions(height), positions(width));
        }
        height * width
    }

    /// `[b, c, h, w]` to logits `[b, 2, patch rows, patch columns]`.
    pub(crate) fn forward(&self, weights: &[Tensor], images_bchw: &Tensor) -> Result<Tensor, TchError> {
        let mut maps = images_bchw.shallow_clone();
        let mut convolutions = weights.chunks_exact(2);
        for layer in &self.layers {
            maps = match *layer {
                Layer::MaxPool { kernel, stride } => {
                    let (kernel, stride) = (i64::from(kernel), i64::from(stride));
                    maps.f_max_pool2d([kernel; 2], [stride; 2], [kernel / 2; 2], [1, 1], false)?
                }
                Layer::Conv { kernel, stride, .. } => {
                    let of_layer = convolutions.next().expect("parameters() lists every convolution of the layers");
                    let (reach, stride) = (i64::from(kernel) / 2, i64::from(stride));
                    let sums =
                        maps.f_conv2d(&of_layer[0], Some(&of_layer[1]), [stride; 2], [reach; 2], [1, 1], 1)?;
                    // A nonlinearity on the logits would make them one-sided (PAPER B1, 3).
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
