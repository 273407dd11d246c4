//! A frozen data set as one tensor with its classes, and plain figures of such tensors. Knows nothing of networks.
//!
//! Legend: n images, c channels, h height, w width.

use anyhow::{Context, bail};
use std::path::Path;
use sumac_common::ids::SampleId;
use sumac_data::{Frozen, Label, Source, freeze, freeze::Terms};
use tch::{Kind, Tensor};

/// Below this deviation of its pixels, which lie in [-1, 1], an image shows nothing.
const FLAT: f64 = 0.03;
const PIXELS: [i64; 3] = [1, 2, 3];
const ALL_BUT_CHANNELS: [i64; 3] = [0, 2, 3];

pub(crate) struct Pictures {
    pub(crate) pixels: Vec<f32>,
    /// `[n, c, h, w]` in [-1, 1].
    pub(crate) nchw: Tensor,
    frozen: Frozen,
}

impl Pictures {
    /// All of the data set at `path`, frozen in `cache`.
    pub(crate) fn read(which: &str, path: &Path, terms: Terms, cache: &Path) -> anyhow::Result<Self> {
        let wanted = || format!("reading the {which} images of `{}`", path.display());
        let source = Source::look(path).with_context(wanted)?;
        let frozen = freeze(&source, terms, cache, &|_, _| {}).with_context(wanted)?;
        let ids: Vec<SampleId> = (0..frozen.len() as u64).map(SampleId).collect();
        let mut pixels = Vec::new();
        frozen.read(&ids, &mut pixels).with_context(wanted)?;
        let shape = frozen.shape();
        let size = [frozen.len() as i64, i64::from(shape.channels), i64::from(shape.height), i64::from(shape.width)];
        Ok(Self { nchw: Tensor::from_slice(&pixels).view(size), pixels, frozen })
    }

    pub(crate) fn len(&self) -> usize {
        self.frozen.len()
    }

    /// The class of each image, `[n]`, and how many there are.
    pub(crate) fn classes(&self) -> anyhow::Result<(Tensor, i64)> {
        let mut classes = Vec::with_capacity(self.len());
        for id in (0..self.len() as u64).map(SampleId) {
            match self.frozen.label(id) {
                Some(Label::Class { index, .. }) => classes.push(i64::from(*index)),
                _ => bail!(
                    "`{}` has no class: agreement of labels needs a folder per class",
                    self.frozen.key(id).unwrap_or_default()
                ),
            }
        }
        let k = classes.iter().max().map_or(0, |most| most + 1);
        Ok((Tensor::from_slice(&classes), k))
    }
}

/// `images` with the mean and the deviation of `like` in each channel, clipped to [-1, 1]; either `[n, c, h, w]`.
pub(crate) fn moment_matched(images_nchw: &Tensor, like_nchw: &Tensor) -> Tensor {
    let moments = |of: &Tensor| {
        let mean = of.mean_dim(ALL_BUT_CHANNELS.as_slice(), true, Kind::Float);
        (of.std_dim(ALL_BUT_CHANNELS.as_slice(), true, true), mean)
    };
    let ((spread, mean), (wanted_spread, wanted_mean)) = (moments(images_nchw), moments(like_nchw));
    ((images_nchw - mean) / spread.clamp_min(1e-6) * wanted_spread + wanted_mean).clamp(-1.0, 1.0)
}

/// How differently bright the images are: the deviation of their mean pixels.
pub(crate) fn brightness_spread(images_nchw: &Tensor) -> f64 {
    images_nchw.mean_dim(PIXELS.as_slice(), false, Kind::Double).std(true).double_value(&[])
}

/// How many images show nothing.
pub(crate) fn flat_images(images_nchw: &Tensor) -> f64 {
    let spread = images_nchw.to_kind(Kind::Double).std_dim(PIXELS.as_slice(), false, false);
    spread.lt(FLAT).sum(Kind::Double).double_value(&[])
}

/// mean |a - b| over images and pixels.
pub(crate) fn change(a_nchw: &Tensor, b_nchw: &Tensor) -> f64 {
    (a_nchw - b_nchw).abs().mean(Kind::Double).double_value(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two images of two channels and one row.
    fn images(pixels: [f32; 8]) -> Tensor {
        Tensor::from_slice(&pixels).view([2, 2, 1, 2])
    }

    #[test]
    fn moments_are_matched_channel_by_channel() {
        let like = images([0.2, 0.4, -0.5, -0.5, 0.2, 0.4, 0.5, 0.5]);
        let matched = moment_matched(&images([-0.1, 0.1, 0.3, 0.3, -0.1, 0.1, 0.1, 0.1]), &like);
        let wanted = images([0.2, 0.4, 0.5, 0.5, 0.2, 0.4, -0.5, -0.5]);
        assert!(change(&matched, &wanted) < 1e-6, "{matched:?}");
    }

    #[test]
    fn a_flat_image_is_counted_however_bright() {
        assert_eq!(flat_images(&images([0.9, 0.9, 0.9, 0.9, -0.1, 0.1, -0.1, 0.1])), 1.0);
    }

    #[test]
    fn the_spread_of_brightness_is_one_between_images() {
        let spread = brightness_spread(&images([-1.0, 1.0, -1.0, 1.0, 0.0, 0.4, 0.4, 0.0]));
        assert!((spread - 0.02f64.sqrt()).abs() < 1e-7, "{spread}");
    }
}
