//! A refinement as it was submitted: which images, with which refiner, into what (*what* it is, hashed: its identity), and
//! from where to where on how many workers (*how* it runs).
//!
//! It is never written by hand: `sumac refine` makes it from its arguments and from what it finds. Refuses to know files.

use crate::{
    ids::Digest,
    leases::Shard,
    spec::{ImageShape, Resize, Workers, model},
};
use serde::{Deserialize, Serialize};
use std::{ops::Range, path::PathBuf};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refinement {
    pub name: String,
    pub what: What,
    pub how: How,
}

/// Two refinements with equal `What` and an equal numeric fingerprint give the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct What {
    /// Of the frozen input: keys, places and stamps of all samples.
    pub input: Digest,
    pub samples: u64,
    /// Samples in a shard; the last one may have fewer.
    pub shard_samples: u32,
    /// What the images go through; `None` if they are only converted.
    pub refiner: Option<Trained>,
    /// What it was trained on. Its channels are those that it takes and gives; its size counts only with `fit`.
    pub image: ImageShape,
    /// Bring every image to `image`'s size first, as training did. `None`: each is refined at its own size.
    pub fit: Option<Resize>,
    pub layout: Layout,
    pub format: Format,
    /// Share of the images that may be bad, 0..=1; above it the refinement fails.
    pub max_bad: f64,
}

/// A refiner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trained {
    /// Of its file.
    pub weights: Digest,
    pub net: model::Refiner,
    /// Threads per CPU worker: part of the numeric fingerprint.
    pub threads: u32,
    /// Where it comes from, for the provenance of each image.
    pub origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// The same tree and names; only the images' bytes differ.
    Mirror,
    /// WebDataset tars, one for each shard.
    Shards,
}

/// How refined images are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// As the image that went in: a JPEG stays one.
    Same,
    /// Without loss, whatever went in.
    Png,
}

/// The run that the refiner was trained by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    pub run: String,
    /// Updates behind it, of either network.
    pub step: u64,
    pub lambda: f64,
    pub seed: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct How {
    pub source: PathBuf,
    /// Where the refined data set is written, reachable from every worker; work in progress is below [`WORK`] in it.
    pub destination: PathBuf,
    pub workers: Workers,
}

/// The folder of a destination that holds what is not finished; it goes when the data set is sealed.
pub const WORK: &str = ".sumac";

impl Refinement {
    /// For the disk.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a refinement is plain data: its JSON cannot fail")
    }

    /// # Errors
    /// What is wrong with the text, in a sentence.
    pub fn from_json(json: &str) -> Result<Self, String> {
        let refinement: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        refinement.check()?;
        Ok(refinement)
    }

    /// # Errors
    /// What cannot be, in a sentence.
    pub fn check(&self) -> Result<(), String> {
        let What { samples, shard_samples, max_bad, .. } = &self.what;
        if *samples == 0 || *shard_samples == 0 || !(0.0..=1.0).contains(max_bad) {
            return Err(format!("{samples} images in shards of {shard_samples}, {max_bad} of them bad, cannot be"));
        }
        Ok(())
    }

    /// Where work in progress is.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.how.destination.join(WORK)
    }
}

impl What {
    /// The refinement's identity, its fingerprint aside: a hash over everything that changes results.
    #[must_use]
    pub fn identity(&self) -> Digest {
        let mut what = self.clone();
        what.max_bad = 0.0;
        Digest::of(serde_json::to_string(&what).expect("a refinement is plain data: its JSON cannot fail").as_bytes())
    }

    #[must_use]
    pub fn shards(&self) -> u32 {
        u32::try_from(self.samples.div_ceil(self.shard_samples.max(1).into())).unwrap_or(u32::MAX)
    }

    /// The samples of a shard, by their place in the input.
    #[must_use]
    pub fn samples_of(&self, shard: Shard) -> Range<u64> {
        let length = u64::from(self.shard_samples);
        let begin = (u64::from(shard.0) * length).min(self.samples);
        begin..(begin + length).min(self.samples)
    }

    /// So many bad images are one too many.
    #[must_use]
    pub fn is_too_bad(&self, bad: u64) -> bool {
        bad as f64 > self.max_bad * self.samples as f64
    }
}
