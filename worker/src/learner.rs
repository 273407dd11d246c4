//! What the loop needs from a model. SimGAN implements it, and a toy whose answer is known.
//!
//! A learner knows one lane at a time and the weights. It refuses to know workers, generations, the coordinator and files;
//! tensors are its own business, so this file names none.

use std::time::Duration;
use sumac_common::{
    ids::{ContentId, Lane, Step},
    losses::{Losses, Mean},
    random::{self, Stream},
    schedule::Phase,
    spec::model::Matching,
};

/// Pictures with their names: `pixels` is `[n, channels, height, width]`, row-major, in [-1, 1]; `ids` has n entries.
/// Ids travel with pixels from the disk on, so that the trace says what a learner was handed, not what was planned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Images {
    pub ids: Vec<ContentId>,
    pub pixels: Vec<f32>,
}

impl Images {
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// What a learner may know of the data sets before it sees any image. A function of their content alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sets {
    /// Of each synthetic image, by its sample's number: [`draw_of`](sumac_common::random::draw_of) its key.
    pub draws: Vec<u64>,
    /// Of real images; empty where nobody asks for them.
    pub lights: Lights,
}

/// Mean and deviation of each channel of some images, `[n, channels]`, of pixels in [-1, 1].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lights {
    pub channels: usize,
    pub mean: Vec<f32>,
    pub deviation: Vec<f32>,
}

/// The mean and the deviation of some values, added up in their order.
#[must_use]
pub fn moments(values: &[f32]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / n;
    let squares = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>();
    (mean, (squares / n).sqrt())
}

impl Lights {
    /// Adds those of images `[n, channels, area]`.
    pub fn add(&mut self, pixels: &[f32], channels: usize, area: usize) {
        self.channels = channels;
        for plane in pixels.chunks_exact(area) {
            let (mean, deviation) = moments(plane);
            self.mean.push(mean as f32);
            self.deviation.push(deviation as f32);
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.mean.len() / self.channels.max(1)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives one image, `[channels, area]`, the light of the real image that its draw chooses ([`Matching::Image`]).
    pub fn lend(&self, image: &mut [f32], draw: u64) {
        if self.is_empty() {
            return;
        }
        let mut chance = random::stream(draw, Stream::Match, Lane(0), Step(0));
        let lender = random::below(&mut chance, self.len() as u64) as usize * self.channels;
        let area = image.len() / self.channels;
        for (channel, plane) in image.chunks_exact_mut(area).enumerate() {
            let (mean, deviation) = moments(plane);
            let (lent_mean, lent) =
                (f64::from(self.mean[lender + channel]), f64::from(self.deviation[lender + channel]));
            let gain = lent / (deviation + Matching::FLAT);
            for value in plane {
                *value = ((f64::from(*value) - mean) * gain + lent_mean).clamp(-1.0, 1.0) as f32;
            }
        }
    }
}

/// What one lane eats in one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Meal {
    pub step: Step,
    pub phase: Phase,
    pub lane: Lane,
    /// Labelled images from the simulator: b/V in a refiner step, b/2V (or b/V at first) in a discriminator step.
    pub synthetic: Images,
    /// Unlabelled real images: b/V in a discriminator step, none in a refiner step.
    pub real: Images,
    /// Refined images of earlier steps, drawn from the lane's slots: b/2V or none.
    pub history: Images,
    /// How many of the freshly refined images (the first ones) the history will take.
    pub keep: usize,
}

/// What one lane makes of its meal. Nothing is applied yet.
#[derive(Debug)]
pub struct Portion<S> {
    /// The lane's part of the gradient: of sums over images and patches, already divided by the whole batch's counts.
    pub sum: S,
    pub losses: Losses,
    /// The first `keep` freshly refined images, named (sample, this step).
    pub fresh: Images,
    /// How long it took: no part of the result.
    pub took: Took,
}

/// Times of one lane's work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Took {
    pub forward: Duration,
    pub backward: Duration,
}

/// A gradient, or part of one: a flat vector of one network. Adding is elementwise and exact in its order:
/// `a.plus(b)` is a + b for every element, nothing else.
pub trait Sum: Sized {
    #[must_use]
    fn plus(self, other: Self) -> Self;
}

impl Sum for Vec<f32> {
    fn plus(mut self, other: Self) -> Self {
        assert_eq!(self.len(), other.len(), "two parts of one gradient have one length");
        self.iter_mut().zip(&other).for_each(|(mine, theirs)| *mine += theirs);
        self
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// The tensor engine refused: the text is its own.
    #[error("{attempt}: {reason}")]
    Engine { attempt: &'static str, reason: String },
    /// A saved state that is not one of this model.
    #[error("the saved state does not fit this model: {0}")]
    Misfit(String),
}

pub trait Learner {
    type Sum: Sum;

    /// Forward and backward of one lane at the present weights. A pure function of (spec, meal, weights).
    fn chew(&mut self, meal: &Meal) -> Result<Portion<Self::Sum>, LearnError>;

    /// Applies the whole batch's gradient of the phase's network: optimiser, moving average.
    fn apply(&mut self, phase: Phase, step: Step, gradient: &Self::Sum) -> Result<(), LearnError>;

    /// An all-zero gradient of the phase's network: says how long a gradient is and where it lives.
    fn zero(&self, phase: Phase) -> Self::Sum;

    /// Weights, optimiser state and moving average, as safetensors: what a donor sends and a checkpoint holds.
    /// Equal states give equal bytes.
    fn save(&self) -> Result<Vec<u8>, LearnError>;

    /// Takes over a saved state. On an error the present one stays untouched.
    fn load(&mut self, saved: &[u8]) -> Result<(), LearnError>;

    /// Refined images for the eye, by the moving average where one is kept. `[n, channels, height, width]` in and out.
    fn refine(&self, images: &Images) -> Result<Images, LearnError>;

    /// How strongly the discriminator pulls at images that are not refined: |d realism / d value| over all of their values, where
    /// the realism of an image is the mean over its patches (eq. 3).
    fn pull(&self, images: &Images) -> Result<Mean, LearnError>;

    /// What a finished run leaves for others: file names (`refiner.safetensors`) and their bytes.
    fn export(&self) -> Result<Vec<(&'static str, Vec<u8>)>, LearnError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two real images of one channel: a dark even one and a bright one with contrast.
    fn lights() -> Lights {
        let mut lights = Lights::default();
        lights.add(&[-0.8, -0.8, -0.8, -0.8, 0.1, 0.5, 0.1, 0.5], 1, 4);
        lights
    }

    #[test]
    fn an_image_gets_the_mean_and_the_deviation_of_one_real_image() {
        let mut means = std::collections::BTreeSet::new();
        for draw in 0..20 {
            let mut image = [-1.0, 0.2, 0.6, 0.2];
            lights().lend(&mut image, draw);
            let (mean, deviation) = moments(&image);
            means.insert((mean * 10.0).round() as i64);
            // The constant that flat images need takes a little of the contrast.
            let wanted = if mean < 0.0 { (-0.8, 0.0) } else { (0.3, 0.2) };
            assert!(
                (mean - wanted.0).abs() < 1e-6 && (deviation - wanted.1).abs() < 0.02,
                "{draw}: {mean} {deviation}"
            );
        }
        assert_eq!(means.into_iter().collect::<Vec<_>>(), [-8, 3]);
    }

    #[test]
    fn the_same_draw_chooses_the_same_lender_and_nobody_leaves_the_range() {
        let bright = Lights { channels: 1, mean: vec![0.9], deviation: vec![0.8] };
        let (mut one, mut other) = ([0.0, 1.0, -1.0, 0.5], [0.0, 1.0, -1.0, 0.5]);
        bright.lend(&mut one, 3);
        bright.lend(&mut other, 3);
        assert_eq!(one, other);
        assert!(one.iter().all(|value| value.abs() <= 1.0) && one.contains(&1.0));
    }

    #[test]
    fn nothing_to_lend_changes_nothing() {
        let mut image = [0.1, 0.2];
        Lights::default().lend(&mut image, 3);
        assert_eq!(image, [0.1, 0.2]);
    }
}
