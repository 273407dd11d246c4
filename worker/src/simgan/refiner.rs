//! The refiner: synthetic images in, images of the same size out (the paper, section 3). Knows nothing of losses and weights' origin.
//!
//! Legend: b images, c channels, h height, w width, f maps.

use sumac_common::spec::model::{self, Padding, RefinerOutput};
use tch::{TchError, Tensor};

/// conv kxk -> f maps, ReLU; blocks of (conv kxk, ReLU, conv kxk, + input, ReLU); conv 1x1 -> c; then tanh or + input.
pub(crate) struct Refiner {
    pub(crate) spec: model::Refiner,
}

impl Refiner {
    /// Whether the last convolution starts at zero, so that the refiner starts as the identity.
    pub(crate) fn starts_as_identity(&self) -> bool {
        self.spec.output == RefinerOutput::Residual
    }

    /// `[b, c, h, w]` in [-1, 1], in and out.
    pub(crate) fn forward(&self, weights: &[Tensor], synthetic_bchw: &Tensor) -> Result<Tensor, TchError> {
        let mut convolutions = weights.chunks_exact(2);
        let mut next = |x: &Tensor| {
            let layer = convolutions.next().expect("the spec lists as many convolutions as forward() asks for");
            self.convolve(x, &layer[0], &layer[1])
        };
        let mut maps_bfhw = next(synthetic_bchw)?.f_relu_()?;
        for _ in 0..self.spec.blocks {
            let inner_bfhw = next(&maps_bfhw)?.f_relu_()?;
            maps_bfhw = next(&inner_bfhw)?.f_add_(&maps_bfhw)?.f_relu_()?;
        }
        let drawn_bchw = next(&maps_bfhw)?;
        match self.spec.output {
            RefinerOutput::Tanh => drawn_bchw.f_tanh(),
            // A pixel that left the range has no gradient until the rest of the image brings it back.
            RefinerOutput::Residual => drawn_bchw.f_add(synthetic_bchw)?.f_clamp(-1.0, 1.0),
        }
    }

    fn convolve(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor, TchError> {
        let reach = weight.size()[2] / 2;
        match self.spec.padding {
            Padding::Replicate if reach > 0 => {
                let continued = x.f_replication_pad2d([reach; 4])?;
                continued.f_conv2d(weight, Some(bias), [1, 1], [0, 0], [1, 1], 1)
            }
            _ => x.f_conv2d(weight, Some(bias), [1, 1], [reach, reach], [1, 1], 1),
        }
    }
}
