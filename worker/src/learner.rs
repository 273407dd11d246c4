//! What the loop needs from a model. SimGAN implements it, and a toy whose answer is known.
//!
//! A learner knows one lane at a time and the weights. It refuses to know workers, generations, the coordinator and files;
//! tensors are its own business, so this file names none.

use sumac_common::{
    ids::{ContentId, Lane, Step},
    losses::Losses,
    schedule::Phase,
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

    /// What a finished run leaves for others: file names (`refiner.safetensors`) and their bytes.
    fn export(&self) -> Result<Vec<(&'static str, Vec<u8>)>, LearnError>;
}
