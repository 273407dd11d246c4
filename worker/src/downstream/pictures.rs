//! A set of images as one tensor with what is to be said of them, what can be made of it without learning, and plain figures of
//! it. Knows nothing of networks.

use super::wasserstein::spread;
use crate::learner::Lights;
use sumac_common::{random, spec::ImageShape, spec::model::Matching};
use tch::{Kind, TchError, Tensor};

/// Below this deviation of its pixels, which lie in [-1, 1], an image shows nothing.
const FLAT: f64 = 0.03;
const PIXELS: [i64; 3] = [1, 2, 3];
const ALL_BUT_CHANNELS: [i64; 3] = [0, 2, 3];

/// Images of one set.
#[derive(Debug)]
pub struct Pictures {
    /// `[n, c, h, w]` in [-1, 1].
    pub nchw: Tensor,
    pub keys: Vec<String>,
    /// `None` where nothing is known of them.
    pub targets: Option<Targets>,
}

/// What is to be said of each image.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    Classes {
        of: Vec<i64>,
        count: i64,
    },
    /// `[n, width]`
    Numbers {
        of: Vec<f32>,
        width: usize,
    },
}

impl Pictures {
    /// `pixels` is `[n, c, h, w]` of `shape`, a key for each.
    pub fn new(pixels: &[f32], shape: ImageShape, keys: Vec<String>) -> Result<Self, TchError> {
        let size = [keys.len() as i64, i64::from(shape.channels), i64::from(shape.height), i64::from(shape.width)];
        Ok(Self { nchw: Tensor::f_from_slice(pixels)?.f_view(size)?, keys, targets: None })
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The pixels, row-major.
    pub(super) fn values(nchw: &Tensor) -> Result<Vec<f32>, TchError> {
        Vec::try_from(nchw.f_contiguous()?.f_view([-1])?)
    }
}

impl Targets {
    /// Of several sets together, one after the other.
    #[must_use]
    pub fn together(parts: &[Self]) -> Self {
        let mut all = parts.first().cloned().unwrap_or(Self::Numbers { of: Vec::new(), width: 1 });
        for part in parts.iter().skip(1) {
            match (&mut all, part) {
                (Self::Classes { of, .. }, Self::Classes { of: more, .. }) => of.extend(more),
                (Self::Numbers { of, .. }, Self::Numbers { of: more, .. }) => of.extend(more),
                // One evaluation asks one thing of all of its sets.
                _ => {}
            }
        }
        all
    }

    /// What is to be said of one image, for people.
    #[must_use]
    pub fn text(&self, at: usize, classes: &[String]) -> String {
        match self {
            Self::Classes { of, .. } => {
                of.get(at).and_then(|class| classes.get(*class as usize)).cloned().unwrap_or_default()
            }
            Self::Numbers { of, width } => {
                let numbers = of.iter().skip(at * width).take(*width);
                numbers.map(|number| format!("{number:.2}")).collect::<Vec<_>>().join(" ")
            }
        }
    }

    /// Of these images.
    #[must_use]
    pub fn of(&self, picked: &[i64]) -> Self {
        match self {
            Self::Classes { of, count } => {
                Self::Classes { of: picked.iter().map(|at| of[*at as usize]).collect(), count: *count }
            }
            Self::Numbers { of, width } => {
                let numbers = picked.iter().flat_map(|at| &of[*at as usize * width..][..*width]);
                Self::Numbers { of: numbers.copied().collect(), width: *width }
            }
        }
    }
}

/// `images` with the mean and the deviation of `like` in each channel, clipped to [-1, 1]; either `[n, c, h, w]`.
pub fn moment_matched(images_nchw: &Tensor, like_nchw: &Tensor) -> Tensor {
    let moments = |of: &Tensor| {
        let mean = of.mean_dim(ALL_BUT_CHANNELS.as_slice(), true, Kind::Float);
        (of.std_dim(ALL_BUT_CHANNELS.as_slice(), true, true), mean)
    };
    let ((spread, mean), (wanted_spread, wanted_mean)) = (moments(images_nchw), moments(like_nchw));
    ((images_nchw - mean) / spread.clamp_min(1e-6) * wanted_spread + wanted_mean).clamp(-1.0, 1.0)
}

/// Each image in the light of one real image, which its key chooses: what [`Matching::Image`] does before a refiner.
pub fn image_matched(images: &Pictures, real: &Pictures) -> Result<Tensor, TchError> {
    let (_, channels, height, width) = images.nchw.size4()?;
    let (channels, area) = (channels as usize, (height * width) as usize);
    let mut lights = Lights::default();
    let lenders = real.len().min(Matching::IMAGES_MAX as usize) as i64;
    lights.add(&Pictures::values(&spread(&real.nchw, lenders))?, channels, area);
    let mut pixels = Pictures::values(&images.nchw)?;
    for (image, key) in pixels.chunks_exact_mut(channels * area).zip(&images.keys) {
        lights.lend(image, random::draw_of(key));
    }
    Tensor::f_from_slice(&pixels)?.f_view_as(&images.nchw)
}

/// By a Gaussian of `sigma` pixels, three of them each way; edges are continued.
pub fn blurred(images_nchw: &Tensor, sigma: f64) -> Tensor {
    if sigma <= 0.0 {
        return images_nchw.shallow_clone();
    }
    let reach = (3.0 * sigma).ceil() as i64;
    let weights: Vec<f32> =
        (-reach..=reach).map(|at| (-((at * at) as f64) / (2.0 * sigma * sigma)).exp() as f32).collect();
    let line = Tensor::from_slice(&weights);
    let line = &line / line.sum(Kind::Float);
    let (channels, side) = (images_nchw.size()[1], 2 * reach + 1);
    let kernel = line.outer(&line).expand([channels, 1, side, side], false);
    images_nchw.replication_pad2d([reach; 4]).conv2d(&kernel, None::<Tensor>, [1; 2], [0; 2], [1; 2], channels)
}

/// How differently bright the images are: the deviation of their mean pixels.
#[must_use]
pub fn brightness_spread(images_nchw: &Tensor) -> f64 {
    images_nchw.mean_dim(PIXELS.as_slice(), false, Kind::Double).std(true).double_value(&[])
}

/// How many images show nothing.
#[must_use]
pub fn flat_images(images_nchw: &Tensor) -> u64 {
    let spread = images_nchw.to_kind(Kind::Double).std_dim(PIXELS.as_slice(), false, false);
    spread.lt(FLAT).sum(Kind::Int64).int64_value(&[]) as u64
}

/// mean |a - b| over images and pixels.
#[must_use]
pub fn change(a_nchw: &Tensor, b_nchw: &Tensor) -> f64 {
    (a_nchw - b_nchw).abs().mean(Kind::Double).double_value(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two images of two channels and one row.
    fn images(pixels: [f32; 8]) -> Tensor {
        Tensor::from_slice(&pixels).view([2, 2, 1, 2])
    }

    fn pictures(pixels: [f32; 8]) -> Pictures {
        Pictures { nchw: images(pixels), keys: vec!["a".to_owned(), "b".to_owned()], targets: None }
    }

    #[test]
    fn moments_are_matched_channel_by_channel() {
        let like = images([0.2, 0.4, -0.5, -0.5, 0.2, 0.4, 0.5, 0.5]);
        let matched = moment_matched(&images([-0.1, 0.1, 0.3, 0.3, -0.1, 0.1, 0.1, 0.1]), &like);
        let wanted = images([0.2, 0.4, 0.5, 0.5, 0.2, 0.4, -0.5, -0.5]);
        assert!(change(&matched, &wanted) < 1e-6, "{matched:?}");
    }

    #[test]
    fn an_image_takes_the_light_of_one_real_image_and_not_of_all() {
        let synthetic = pictures([-1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0]);
        let real = pictures([0.4, 0.4, 0.4, 0.4, -0.6, -0.6, -0.6, -0.6]);
        let matched = image_matched(&synthetic, &real).unwrap();
        for image in 0..2 {
            let mean = matched.get(image).mean(Kind::Double).double_value(&[]);
            assert!([0.4, -0.6].iter().any(|wanted| (mean - wanted).abs() < 1e-6), "{mean}");
        }
    }

    #[test]
    fn a_blur_keeps_what_is_even_and_spreads_a_point() {
        let even = Tensor::full([1, 2, 9, 9], 0.3, (Kind::Float, tch::Device::Cpu));
        assert!(change(&blurred(&even, 1.2), &even) < 1e-6);
        let point = even.zeros_like();
        let _ = point.get(0).get(0).get(4).get(4).fill_(1.0);
        let spread = blurred(&point, 0.7);
        assert!((spread.sum(Kind::Double).double_value(&[]) - 1.0).abs() < 1e-5);
        assert!(spread.double_value(&[0, 0, 4, 4]) < 0.5 && spread.double_value(&[0, 1, 4, 4]) == 0.0);
    }

    #[test]
    fn a_flat_image_is_counted_however_bright() {
        assert_eq!(flat_images(&images([0.9, 0.9, 0.9, 0.9, -0.1, 0.1, -0.1, 0.1])), 1);
    }

    #[test]
    fn the_spread_of_brightness_is_one_between_images() {
        let spread = brightness_spread(&images([-1.0, 1.0, -1.0, 1.0, 0.0, 0.4, 0.4, 0.0]));
        assert!((spread - 0.02f64.sqrt()).abs() < 1e-7, "{spread}");
    }

    #[test]
    fn targets_of_sets_together_stand_one_after_the_other() {
        let [one, other] = [vec![0, 1], vec![1]].map(|of| Targets::Classes { of, count: 2 });
        assert_eq!(Targets::together(&[one.clone(), other]), Targets::Classes { of: vec![0, 1, 1], count: 2 });
        assert_eq!(one.of(&[1, 1, 0]), Targets::Classes { of: vec![1, 1, 0], count: 2 });
    }
}
