//! What a whole refined data set says of itself. Written last; without one there is none.

use super::{MANIFEST, RefinedError};
use crate::storage;
use serde::{Deserialize, Serialize};
use std::path::Path;
use sumac_common::{
    ids::Digest,
    refinement::{Refinement, What},
};

pub(super) const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub tool: String,
    /// As it was submitted, without the digest of the listing: that knows when files were last written to.
    pub what: What,
    /// Images that came out, and images that are in `errors.jsonl`.
    pub images: u64,
    pub bad: u64,
    /// Over the labels of all images that came out.
    pub labels_sha256: Digest,
    pub errors_sha256: Digest,
    pub provenance_sha256: Digest,
    /// The shards, in their order.
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Keys of its first and its last image that came out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    pub images: u64,
    pub bytes: u64,
    /// Its tar.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub file: Option<PartFile>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartFile {
    pub name: String,
    pub sha256: Digest,
}

impl Manifest {
    /// Whether it is what this refinement makes.
    #[must_use]
    pub fn is_of(&self, refinement: &Refinement) -> bool {
        self.what.identity() == anywhere(&refinement.what).identity()
    }

    #[must_use]
    pub fn shards(&self) -> u64 {
        self.parts.len() as u64
    }
}

/// Without what the time of the source's files changes.
pub(super) fn anywhere(what: &What) -> What {
    What { input: Digest::default(), ..what.clone() }
}

/// The manifest of a destination, if it is sealed.
pub fn sealed(destination: &Path) -> Result<Option<Manifest>, RefinedError> {
    let not = |what: String| RefinedError::NotSealed { path: destination.to_owned(), what };
    let read = storage::read(&destination.join(MANIFEST)).map_err(|error| not(error.to_string()))?;
    let parsed = read.map(|bytes| serde_json::from_slice::<Manifest>(&bytes));
    parsed.transpose().map_err(|error| not(error.to_string()))
}
