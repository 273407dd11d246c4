//! An evaluation as it was submitted: which images a downstream model learns from, arm by arm and seed by seed, and on which
//! labelled real images it is tested. *What* it is, hashed, is its identity; *how* it runs is not.
//!
//! Its unit is the cell: one model trained and tested, or one set of refined images judged by itself. Cells know nothing of each
//! other, and the same cell gives the same figures wherever it runs. Refuses to know files and tensors.

pub mod choice;
pub mod figures;
pub mod table;

use crate::{
    ids::Digest,
    leases::Shard,
    refinement::{Trained, WORK},
    spec::{ImageShape, Resize, Workers},
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    pub name: String,
    pub what: What,
    pub how: How,
}

/// Two evaluations with equal `What` and an equal numeric fingerprint give the same figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct What {
    /// Over the frozen images of all sets, and what is asked of their labels.
    pub data: Digest,
    pub task: Task,
    /// Their names, in the order of their numbers; of another task none.
    pub classes: Vec<String>,
    /// What the arms are compared by.
    pub measure: Measure,
    pub image: ImageShape,
    pub resize: Resize,
    /// Share of the images of a set that may be bad, 0..=1.
    pub max_bad: f64,
    pub refiners: Vec<Candidate>,
    pub arms: Vec<Arm>,
    /// Images of the test.
    #[serde(default)]
    pub tested: u64,
    /// The model is trained with each of the seeds `0..seeds`, the same for all arms.
    pub seeds: u32,
    pub model: Downstream,
    /// Threads per CPU worker: part of the numeric fingerprint.
    pub threads: u32,
}

/// What the model is to say of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Its class.
    Classes,
    /// Some numbers; the error is the mean absolute one.
    Numbers,
    /// A direction in space; the error is the angle, in degrees.
    Direction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Share of the test images whose class was recognised.
    Accuracy,
    /// The same, class by class, and the mean of that.
    BalancedAccuracy,
    /// The mean error; less is better.
    Error,
}

/// A refiner whose images are tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// Unique among them.
    pub name: String,
    /// Over all that its run is a function of: runs of one name may differ.
    pub run: Digest,
    pub trained: Trained,
}

/// What one model learns from: all of its parts together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    pub name: String,
    pub parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// As the simulator drew them.
    Synthetic,
    /// With the mean and the deviation of each channel of the unlabelled real images together, then blurred by a Gaussian of
    /// `blur` pixels; 0 is not blurred.
    MomentMatched { blur: f64 },
    /// Each with those of one unlabelled real image, drawn once for each image by its key: Reinhard et al. 2001, without learning.
    ImageMatched,
    /// Through a refiner, by its place among the candidates.
    Refined { refiner: usize },
    /// Labelled real images, this share of them, 0..=1: the first of an order drawn from the cell's seed.
    Real { share: f64 },
}

/// The model that learns the task: the same for all arms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Downstream {
    pub net: Net,
    /// Updates of the model, whatever the number of images.
    pub updates: u64,
    pub batch: u32,
    /// Pixels by which each image is shifted at random, each way, at most.
    pub shift: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Net {
    /// 3 x [conv 3x3, batch norm, ReLU, max-pool 2] of `width`, 2 and 4 times `width` maps, FC 8 x `width`, ReLU, dropout 0.3, FC.
    Small { width: u32 },
    /// The gaze network of the paper (section 3.1): conv 3x3 32, 32, 64, max-pool 3x3 s2, conv 3x3 80, 192, max-pool 2x2 s2 (9,600
    /// values of 35x55 images), FC 1000, FC.
    PaperGaze,
}

/// Of the model that judges images, whatever the one is that learns from them.
pub const JUDGE_NET: Net = Net::Small { width: 16 };
/// With fewer images of a kind no half of them has a variance.
pub const IMAGES_MIN: usize = 8;

impl Net {
    /// Pixels of an image's shorter side, at least: what its pools leave something of.
    #[must_use]
    pub fn side_min(self) -> u32 {
        match self {
            Self::Small { .. } => 8,
            Self::PaperGaze => 21,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct How {
    pub synthetic: Labelled,
    /// Without labels: what the refiners were trained towards.
    pub real: PathBuf,
    pub test: Labelled,
    /// Of real images to train with.
    pub real_labelled: Option<Labelled>,
    /// A few labelled real images by which refiners are chosen.
    #[serde(default)]
    pub validation: Option<Labelled>,
    /// A column of the tables: no group of the test may be one of those that were learned from.
    #[serde(default)]
    pub group: Option<String>,
    /// What in the labels of the synthetic images is a point, as [`Labelled::columns`] are: x and y in pixels from the upper left.
    #[serde(default)]
    pub point: Vec<String>,
    /// Where the runs of the refiners lie, in their order, if that is known: for their curves.
    #[serde(default)]
    pub runs: Vec<Option<PathBuf>>,
    /// Where the figures are written, reachable from every worker; work in progress is below [`WORK`] in it.
    pub destination: PathBuf,
    pub workers: Workers,
}

/// A data set and where its labels are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labelled {
    pub images: PathBuf,
    /// A table that names the images; `None`: they bring their labels along.
    pub table: Option<PathBuf>,
    /// Column of the table, dotted path in the JSON beside each image, or array; several are the numbers of one label in their order.
    pub columns: Vec<String>,
}

/// One piece of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// The model learns from an arm, and is tested.
    Model { arm: usize, seed: u32 },
    /// The images of an arm are held against the real ones, and their labels against a model's.
    Images { arm: usize },
}

impl Arm {
    /// Whether it is one set of images that come from the synthetic ones one by one, and so can be judged as images.
    #[must_use]
    pub fn is_made_of_synthetic(&self) -> bool {
        matches!(self.parts[..], [part] if !matches!(part, Part::Real { .. }))
    }
}

impl What {
    /// The evaluation's identity, its fingerprint aside.
    #[must_use]
    pub fn identity(&self) -> Digest {
        Digest::of(serde_json::to_string(self).expect("an evaluation is plain data: its JSON cannot fail").as_bytes())
    }

    /// All cells: images first, then each seed over all arms, so that what is there early compares all of them.
    #[must_use]
    pub fn cells(&self) -> Vec<Cell> {
        let images = (0..self.arms.len()).filter(|arm| self.arms[*arm].is_made_of_synthetic());
        let models = (0..self.seeds).flat_map(|seed| (0..self.arms.len()).map(move |arm| Cell::Model { arm, seed }));
        images.map(|arm| Cell::Images { arm }).chain(models).collect()
    }

    #[must_use]
    pub fn cell(&self, shard: Shard) -> Option<Cell> {
        self.cells().get(shard.0 as usize).copied()
    }
}

impl Evaluation {
    /// For the wire and for the disk.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an evaluation is plain data: its JSON cannot fail")
    }

    /// Where work in progress is.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.how.destination.join(WORK)
    }

    /// # Errors
    /// What cannot be, in a sentence.
    pub fn check(&self) -> Result<(), String> {
        let What { arms, refiners, seeds, model, max_bad, .. } = &self.what;
        if arms.is_empty() || *seeds == 0 || model.updates == 0 || model.batch == 0 {
            return Err("an evaluation needs arms, seeds, updates and a batch".to_owned());
        }
        if !(0.0..=1.0).contains(max_bad) {
            return Err(format!("a share of {max_bad} bad images cannot be"));
        }
        if (self.what.task == Task::Classes) == (self.what.measure == Measure::Error) {
            return Err("classes are measured by accuracy, numbers and directions by their error".to_owned());
        }
        let side = self.what.image.height.min(self.what.image.width);
        let least = model.net.side_min().max(JUDGE_NET.side_min());
        if side < least {
            return Err(format!("images of {side} pixels are too small: this model needs {least} at least"));
        }
        let parts = || arms.iter().flat_map(|arm| &arm.parts);
        if arms.iter().any(|arm| arm.parts.is_empty()) {
            return Err("an arm has no images".to_owned());
        }
        if parts().any(|part| matches!(part, Part::Refined { refiner } if *refiner >= refiners.len())) {
            return Err("an arm names a refiner that is not there".to_owned());
        }
        let is_real = |part: &Part| matches!(part, Part::Real { .. });
        if self.how.real_labelled.is_none() && parts().any(is_real) {
            return Err("an arm has labelled real images, and there are none".to_owned());
        }
        let bad_number = |part: &Part| match part {
            Part::Real { share } => !(*share > 0.0 && *share <= 1.0),
            Part::MomentMatched { blur } => !(0.0..=16.0).contains(blur),
            _ => false,
        };
        if parts().any(bad_number) {
            return Err("a share of real images is above 0 and at most 1, a blur is from 0 to 16 pixels".to_owned());
        }
        Ok(())
    }
}
