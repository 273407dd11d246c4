//! The noise that a refiner sees beside images: drawn image by image, so that what one image gets depends on no other. Knows
//! nothing of what is made of it.
//!
//! Legend: b images, p planes of noise, h height, w width.

use super::flat::Place;
use sumac_common::{
    random::{self, ChaCha8Rng},
    spec::model::{self, LIGHT_NOISE},
};
use tch::{Device, TchError, Tensor};

/// Of some images of one size.
pub(super) struct Chance<'a> {
    net: &'a model::Refiner,
    /// Height and width.
    size: (usize, usize),
    images: usize,
    /// `[b, p, h, w]`
    planes: Vec<f32>,
    /// `[b, 4]`
    light: Vec<f32>,
}

/// As tensors; `None` where the refiner has no use for it.
#[derive(Default)]
pub(super) struct Drawn {
    pub(super) planes_bphw: Option<Tensor>,
    pub(super) light_b4: Option<Tensor>,
}

impl<'a> Chance<'a> {
    pub(super) fn none(net: &'a model::Refiner, size: (usize, usize)) -> Self {
        Self { net, size, images: 0, planes: Vec::new(), light: Vec::new() }
    }

    /// One more image's: the values for the whole image, the head's, then pixel by pixel.
    pub(super) fn draw(&mut self, rng: &mut ChaCha8Rng) {
        self.images += 1;
        let area = self.size.0 * self.size.1;
        for _ in 0..self.net.noise.image {
            let value = random::normal(rng);
            self.planes.extend(std::iter::repeat_n(value, area));
        }
        if self.net.light {
            self.light.extend((0..LIGHT_NOISE).map(|_| random::normal(rng)));
        }
        self.planes.extend((0..self.net.noise.pixel as usize * area).map(|_| random::normal(rng)));
    }

    /// `[p, h, w]` of one image.
    pub(super) fn planes(&self, image: usize) -> &[f32] {
        let values = self.net.noise.planes() as usize * self.size.0 * self.size.1;
        &self.planes[image * values..][..values]
    }

    /// `[1, 4]` of one image.
    pub(super) fn light(&self, image: usize, place: Place) -> Result<Option<Tensor>, TchError> {
        let of_it = self.light.chunks_exact(LIGHT_NOISE as usize).nth(image);
        of_it.map(|values| tensor(values, &[1, i64::from(LIGHT_NOISE)], place)).transpose()
    }

    pub(super) fn drawn(&self, place: Place) -> Result<Drawn, TchError> {
        let (images, planes) = (self.images as i64, i64::from(self.net.noise.planes()));
        let size = [images, planes, self.size.0 as i64, self.size.1 as i64];
        let some = |values: &[f32], size: &[i64]| match values {
            [] => Ok(None),
            values => tensor(values, size, place).map(Some),
        };
        Ok(Drawn {
            planes_bphw: some(&self.planes, &size)?,
            light_b4: some(&self.light, &[images, i64::from(LIGHT_NOISE)])?,
        })
    }
}

/// Freshly allocated.
pub(super) fn tensor(values: &[f32], size: &[i64], (kind, device): Place) -> Result<Tensor, TchError> {
    let here = Tensor::f_from_slice(values)?.f_view(size)?;
    if device == Device::Cpu {
        return here.f_to_kind(kind);
    }
    // From pages that stay where they are a card fetches while this thread goes on.
    here.f_pin_memory(device)?.f_to_device_(device, kind, true, false)
}
