//! A job, read and checked: *what* a run is (hashed: its identity) and *how* it runs (free to change).
//!
//! [`read`] turns TOML into a [`Spec`] or into all of its faults at once; [`Spec::to_toml`] is the way back. Knows nothing
//! of files: whether a folder exists is found out by who opens it.

mod advice;
mod document;
mod fault;
pub mod model;
pub mod presets;
mod quantity;
mod reading;
mod section;
#[cfg(test)]
mod tests;
mod training;
mod words;
mod writing;

pub use fault::{Fault, Faults, Place};
pub use quantity::in_percent;
pub(crate) use quantity::plural;
pub use reading::read;
pub use training::default_lanes;

use crate::ids::{Digest, Step};
use model::Model;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// A checked job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    pub name: String,
    pub what: What,
    pub how: How,
}

/// What the run is. Two jobs with equal `What`, equal frozen data and an equal numeric fingerprint are the same run:
/// same trace, same weights. `steps` stands outside the identity: a run may be made longer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct What {
    pub data: Data,
    pub model: Model,
    pub train: Train,
    /// Threads per CPU worker: part of the numeric fingerprint.
    pub threads: u32,
}

/// How it runs: workers, places, intervals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct How {
    pub workers: Workers,
    pub output: Output,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Data {
    pub synthetic: PathBuf,
    pub real: PathBuf,
    pub image: ImageShape,
    pub resize: Resize,
    /// Share of unreadable images, 0..=1, above which the job stops before step 0.
    pub max_bad: f64,
    /// Whether every synthetic image must come with a label (sidecar, class folder or table row).
    pub labels: Labels,
}

/// Pixels of one image: `[channels, height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageShape {
    pub channels: u32,
    pub height: u32,
    pub width: u32,
}

impl ImageShape {
    /// Values in one image.
    #[must_use]
    pub fn len(&self) -> usize {
        self.channels as usize * self.height as usize * self.width as usize
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How an image of another size becomes `data.image.size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// It does not: another size is a bad image.
    Exact,
    /// Averaging over the covered area (box filter).
    Area,
    /// The middle is cut out; a smaller image is a bad image.
    Crop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Labels {
    /// Carried along if there are any.
    Optional,
    /// A synthetic image without a label is a fault of the data set.
    Required,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Train {
    pub seed: u64,
    /// Images in a mini-batch of the whole cluster (the paper's b).
    pub batch: u32,
    pub lanes: u32,
    /// Updates of either network, pre-training included.
    pub steps: Step,
    pub pretrain: Pretrain,
    /// Refiner updates per cycle of Algorithm 1 (the paper's K_g).
    pub k_refiner: u32,
    /// Discriminator updates per cycle (K_d).
    pub k_discriminator: u32,
    /// Weight of self-regularisation: mean over patches + lambda * mean over pixels. `None`: to be found before step 0
    /// ([`calibration`](crate::calibration)).
    pub lambda: Option<f64>,
    pub psi: Psi,
    pub refiner: Optimizer,
    pub discriminator: Optimizer,
    /// Decay of the refiner's exponential moving average, with the warm-up min(ema, (1 + n) / (10 + n)); `None`: no average is kept.
    pub ema: Option<f64>,
    /// Largest random shift, in pixels, of what the discriminator sees, real and refined alike. 0: none.
    pub shift: u32,
    #[serde(default, skip_serializing_if = "Precision::is_single")]
    pub precision: Precision,
    pub history: History,
}

/// How many bits of its factors a product keeps; sums and weights have single precision whatever it is, losses double.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// All.
    #[default]
    F32,
    /// 10, where a card has tensor cores; all elsewhere.
    Tf32,
    /// 7, and what lies between two layers has no more either.
    Bf16,
}

impl Precision {
    /// A spec that leaves precision alone is written, and hashed, as one of a time without the choice.
    fn is_single(&self) -> bool {
        *self == Self::F32
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pretrain {
    pub refiner: u64,
    pub discriminator: u64,
}

/// What self-regularisation compares (PAPER eq. 4 and its second version).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Psi {
    Identity,
    Gradients,
    ChannelMean,
    /// Means of squares of [`Psi::SQUARE`] pixels: tone and colour are held, grain is free.
    LowPass,
    /// The mean of the channels, each image brought to one brightness and contrast: structure is held, light is free.
    Standardised,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Optimizer {
    pub kind: OptimizerKind,
    pub lr: f64,
    /// Learning rates that take over later: at this update of the whole run (step), this rate. Ascending.
    pub decay: Vec<(Step, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum OptimizerKind {
    Sgd { momentum: f64 },
    Adam { beta1: f64, beta2: f64, epsilon: f64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Images, all lanes together; 0 switches the history off.
    pub size: u32,
    /// Copies of each lane's slots on other workers.
    pub replicas: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workers {
    pub min: u32,
    pub max: u32,
    pub device: Device,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Device {
    Auto,
    Cpu,
    Cuda,
}

impl Device {
    /// The kind of a device that a worker names, `cpu` or `cuda:0 (NVIDIA H100)`.
    #[must_use]
    pub fn of(named: &str) -> Self {
        if named.starts_with("cuda") { Self::Cuda } else { Self::Cpu }
    }

    /// Whether a job that wants this may run on a device of that kind.
    #[must_use]
    pub fn admits(self, kind: Self) -> bool {
        self == Self::Auto || self == kind
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    pub dir: PathBuf,
    pub checkpoint_every: Duration,
    /// Also every so many steps, if given.
    pub checkpoint_steps: Option<u64>,
    /// The newest checkpoints that are kept.
    pub keep: u32,
    /// The first checkpoint at or after each multiple of so many steps is kept for ever, if given.
    pub keep_every: Option<u64>,
    pub samples_every: u64,
}

impl What {
    /// The run's identity, data sets and fingerprint aside: a hash over everything that changes results, `steps` excepted.
    #[must_use]
    pub fn identity(&self) -> Digest {
        let mut what = self.clone();
        what.train.steps = Step(0);
        // Copies of the history and limits on bad images change no result; where the images lie is not what they are: the
        // manifests' hashes stand for them.
        what.train.history.replicas = 0;
        what.data.max_bad = 0.0;
        what.data.labels = Labels::Optional;
        what.data.synthetic = PathBuf::new();
        what.data.real = PathBuf::new();
        Digest::of(serde_json::to_string(&what).expect("a spec is plain data: its JSON cannot fail").as_bytes())
    }
}
