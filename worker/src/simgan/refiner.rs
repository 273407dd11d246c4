//! The refiner: synthetic images in, images of the same size out (PAPER A3). Knows nothing of losses and weights' origin.
//!
//! Legend: b images, c channels, h height, w width, f maps.

use super::flat::Parameter;
use sumac_common::spec::model::{self, Padding, RefinerOutput};
use tch::{TchError, Tensor};

/// conv kxk -> f maps, ReLU; blocks of (conv kxk, ReLU, conv kxk, + input, ReLU); conv 1x1 -> c; then tanh or + input.
#[derive(Clone, Debug)]
pub(crate) struct Refiner {
    blocks: usize,
    kernel: i64,
    output: RefinerOutput,
    padding: Padding,
    width: i64,
    channels: i64,
}

impl Refiner {
    pub(crate) fn new(spec: &model::Refiner, channels: u32) -> Self {
        Self {
            blocks: spec.blocks as usize,
            kernel: i64::from(spec.kernel),
            output: spec.output,
            padding: spec.padding,
            width: i64::from(spec.width),
            channels: i64::from(channels),
        }
    }

    /// Weight and bias of each convolution, first to last.
    pub(crate) fn parameters(&self) -> Vec<Parameter> {
        let first = Parameter::convolution("conv_in", self.channels, self.width, self.kernel);
        let blocks = (0..self.blocks).flat_map(|block| {
            ["conv1", "conv2"].into_iter().flat_map(move |conv| {
                Parameter::convolution(&format!("blocks.{block}.{conv}"), self.width, self.width, self.kernel)
            })
        });
        let last = Parameter::convolution("conv_out", self.width, self.channels, 1);
        first.into_iter().chain(blocks).chain(last).collect()
    }

    /// Whether the last convolution starts at zero, so that the refiner starts as the identity.
    pub(crate) fn starts_as_identity(&self) -> bool {
        self.output == RefinerOutput::Residual
    }

    /// `[b, c, h, w]` in [-1, 1], in and out.
    pub(crate) fn forward(&self, weights: &[Tensor], synthetic_bchw: &Tensor) -> Result<Tensor, TchError> {
        let mut convolutions = weights.chunks_exact(2);
        let mut next = |x: &Tensor| {
            let layer = convolutions.next().expect("parameters() lists as many convolutions as forward() asks for");
            self.convolve(x, &layer[0], &layer[1])
        };
        let mut maps_bfhw = next(synthetic_bchw)?.f_relu_()?;
        for _ in 0..self.blocks {
            let inner_bfhw = next(&maps_bfhw)?.f_relu_()?;
            maps_bfhw = next(&inner_bfhw)?.f_add_(&maps_bfhw)?.f_relu_()?;
        }
        let drawn_bchw = next(&maps_bfhw)?;
        match self.output {
            RefinerOutput::Tanh => drawn_bchw.f_tanh(),
            // A pixel that left the range has no gradient until the rest of the image brings it back.
            RefinerOutput::Residual => drawn_bchw.f_add(synthetic_bchw)?.f_clamp(-1.0, 1.0),
        }
    }

    fn convolve(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor, TchError> {
        let reach = weight.size()[2] / 2;
        match self.padding {
            Padding::Replicate if reach > 0 => {
                let continued = x.f_replication_pad2d([reach; 4])?;
                continued.f_conv2d(weight, Some(bias), [1, 1], [0, 0], [1, 1], 1)
            }
            _ => x.f_conv2d(weight, Some(bias), [1, 1], [reach, reach], [1, 1], 1),
        }
    }
}
