//! The refiner: synthetic images in, images of the same size out (the paper, section 3). Knows nothing of losses and weights' origin.
//!
//! Legend: b images, c channels, p planes of noise, k = c + p, h height, w width, f maps.

use super::{
    chance::Drawn,
    convolution::{Then, convolve},
};
use sumac_common::spec::model::{self, RefinerOutput};
use tch::{TchError, Tensor};

/// The slope below zero of the head for light.
const LEAK: f64 = 0.2;

/// conv kxk -> f maps, ReLU; blocks of (conv kxk, ReLU, conv kxk, + input, ReLU); conv 1x1 -> c; then tanh or + input; then light.
pub(crate) struct Refiner {
    pub(crate) spec: model::Refiner,
}

impl Refiner {
    /// Whether the last convolution starts at zero, so that the refiner starts as the identity.
    pub(crate) fn starts_as_identity(&self) -> bool {
        self.spec.output == RefinerOutput::Residual
    }

    /// The last convolution among the weights.
    pub(crate) fn last_convolution(&self) -> std::ops::Range<usize> {
        let end = 2 * (2 + 2 * self.spec.blocks as usize);
        end - 2..end
    }

    /// `[b, c, h, w]` in [-1, 1], in and out.
    pub(crate) fn forward(
        &self,
        weights: &[Tensor],
        synthetic_bchw: &Tensor,
        noise: &Drawn,
    ) -> Result<Tensor, TchError> {
        let light_bs = match &noise.light_b4 {
            Some(noise_b4) => Some(self.light(weights, synthetic_bchw, noise_b4)?),
            None => None,
        };
        match &noise.planes_bphw {
            Some(planes_bphw) => {
                let seen_bkhw = Tensor::f_cat(&[synthetic_bchw, planes_bphw], 1)?;
                self.forward_lit(weights, &seen_bkhw, light_bs.as_ref())
            }
            None => self.forward_lit(weights, synthetic_bchw, light_bs.as_ref()),
        }
    }

    /// Of whole images `[b, c, h, w]` and noise `[b, 4]` what `forward_lit` makes their light with: `[b, 2c]`, gains before offsets.
    pub(crate) fn light(
        &self,
        weights: &[Tensor],
        images_bchw: &Tensor,
        noise_b4: &Tensor,
    ) -> Result<Tensor, TchError> {
        let head = &weights[self.last_convolution().end..];
        let mean_bc11 = images_bchw.f_mean_dim([2, 3].as_slice(), true, None)?;
        let variance_bc = images_bchw.f_sub(&mean_bc11)?.f_square()?.f_mean_dim([2, 3].as_slice(), false, None)?;
        let mean_bc = mean_bc11.f_flatten(1, 3)?;
        let seen = Tensor::f_cat(&[noise_b4, &mean_bc, &variance_bc.f_add_scalar(1e-6)?.f_sqrt()?], 1)?;
        let hidden = seen.f_linear(&head[0], Some(&head[1]))?;
        let hidden = hidden.f_maximum(&hidden.f_mul_scalar(LEAK)?)?;
        hidden.f_linear(&head[2], Some(&head[3]))
    }

    /// `[b, k, h, w]`, images and then planes of noise, to `[b, c, h, w]` in [-1, 1].
    pub(crate) fn forward_lit(
        &self,
        weights: &[Tensor],
        seen_bkhw: &Tensor,
        light_bs: Option<&Tensor>,
    ) -> Result<Tensor, TchError> {
        let mut convolutions = weights[..self.last_convolution().end].chunks_exact(2);
        let mut next = || {
            let layer = convolutions.next().expect("the spec lists as many convolutions as forward() asks for");
            [&layer[0], &layer[1]]
        };
        let padding = self.spec.padding;
        let mut maps_bfhw = convolve(seen_bkhw, next(), padding, Then::Relu)?;
        for _ in 0..self.spec.blocks {
            let inner_bfhw = convolve(&maps_bfhw, next(), padding, Then::Relu)?;
            maps_bfhw = convolve(&inner_bfhw, next(), padding, Then::AddRelu(&maps_bfhw))?;
        }
        let drawn_bchw = convolve(&maps_bfhw, next(), padding, Then::Nothing)?;
        let channels = drawn_bchw.size()[1];
        let refined_bchw = match self.spec.output {
            RefinerOutput::Tanh => drawn_bchw.f_tanh()?,
            RefinerOutput::Residual => drawn_bchw.f_add(&seen_bkhw.f_narrow(1, 0, channels)?)?,
        };
        let lit_bchw = match light_bs {
            Some(light_bs) => lit(&refined_bchw, light_bs)?,
            None if self.spec.output == RefinerOutput::Tanh => return Ok(refined_bchw),
            None => refined_bchw,
        };
        // A pixel that left the range has no gradient until the rest of the image brings it back.
        lit_bchw.f_clamp(-1.0, 1.0)
    }
}

/// `(y + 1) exp(gain) + offset - 1`, channel by channel.
fn lit(images_bchw: &Tensor, light_bs: &Tensor) -> Result<Tensor, TchError> {
    let (images, channels) = (images_bchw.size()[0], images_bchw.size()[1]);
    let part = |from: i64| light_bs.f_narrow(1, from, channels)?.f_reshape([images, channels, 1, 1]);
    let (gain, offset) = (part(0)?.f_exp()?, part(channels)?);
    images_bchw.f_add_scalar(1.0)?.f_mul(&gain)?.f_add(&offset)?.f_sub_scalar(1.0)
}
