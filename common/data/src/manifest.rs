//! What a frozen data set holds, written down: one entry per image, and what was left out and why.
//!
//! Its [hash](Manifest::hash) covers content alone, so that two machines with equal images have equal hashes wherever the
//! images lie. Knows nothing of the cache's files.

use crate::{label::Label, picture::Depth};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use sumac_common::{
    ids::Digest,
    spec::{ImageShape, Resize},
};

/// Grows when frozen bytes change their meaning: an older cache is then made anew.
pub(crate) const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// Where the images came from; not part of the hash.
    pub root: PathBuf,
    pub shape: ImageShape,
    pub resize: Resize,
    pub depth: Depth,
    /// The file beside this manifest that holds the pixels.
    pub(crate) images: String,
    /// Sample `i` is `samples[i]`.
    pub samples: Vec<Entry>,
    pub bad: Vec<Bad>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name in the source: a path relative to the root, with `/`, or its number in a stack.
    pub key: String,
    /// Of the pixels as stored.
    pub pixels: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
}

/// An image that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bad {
    pub key: String,
    pub reason: String,
    /// (width, height), where the size is what is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<(u32, u32)>,
}

impl Bad {
    pub(crate) fn new(key: impl Into<String>, fault: &crate::decode::Fault) -> Self {
        use crate::decode::Fault;
        let size = match fault {
            Fault::Size { found, .. } | Fault::TooSmall { found, .. } => Some(*found),
            _ => None,
        };
        Self { key: key.into(), reason: fault.to_string(), size }
    }
}

impl Manifest {
    /// Part of a run's identity: over shape, depth, keys and pixels, in order. Neither paths, times, labels nor the wording of
    /// what was left out change it.
    #[must_use]
    pub fn hash(&self) -> Digest {
        let ImageShape { channels, height, width } = self.shape;
        let mut canonical =
            format!("sumac images {FORMAT} {channels}x{height}x{width} {:?} {}\n", self.depth, self.samples.len());
        for entry in &self.samples {
            // The length first: no key can pretend to be two entries.
            canonical.push_str(&format!("{} {} {}\n", entry.key.len(), entry.key, entry.pixels));
        }
        Digest::of(canonical.as_bytes())
    }
}
