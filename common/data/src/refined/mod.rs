//! A refined data set: what goes in, what is written, how it is sealed and checked.
//!
//! * `input`: the listing, frozen once, from which any worker opens one shard
//! * `encode`: refined pixels to the bytes of an image
//! * `attempt`, `receipt`: one shard's output while it is written, and what it became; `publish`: it gets its names
//! * `seal`, `rows`, `manifest`: all shards together, and the manifest that says that they are whole
//! * `convert`: all of it at once, where nothing is refined
//! * `verify`: each image once, every byte as it was written, every label as it was in the source
//!
//! What is written is a function of the refinement alone: of no time, host, attempt or path. It refuses to know refiners,
//! workers and who commits a shard.

mod attempt;
mod convert;
mod encode;
mod error;
mod input;
mod manifest;
mod named;
mod order;
mod places;
mod publish;
mod receipt;
mod rows;
mod seal;
mod verify;

pub use attempt::{Attempt, Outcome, Whole};
pub use convert::convert;
pub use encode::{encode, written};
pub use error::RefinedError;
pub use input::{Frozen, Input};
pub use manifest::{Manifest, sealed};
pub use named::check;
pub use order::{agree, clear_away, is_free, lay_down, order, refiner};
pub use publish::{discard, is_published, publish, publish_if_first, published};
pub use seal::seal;
pub use verify::{Finding, Verified, verify};

/// The last file of a refined data set: who finds it has all of it.
pub const MANIFEST: &str = "MANIFEST.json";
/// Images that did not come out, a line each, with the reason.
pub const ERRORS: &str = "errors.jsonl";
/// Images that did, a line each: what it was made of, and what it became.
pub const PROVENANCE: &str = "provenance.jsonl";

/// Names at the root of a refined data set that are no part of the one it was made of.
pub(crate) const OWN_NAMES: [&str; 3] = [MANIFEST, ERRORS, PROVENANCE];

/// Written by a refinement or a conversion that has not come to its end.
pub(crate) fn is_under_way(root: &std::path::Path) -> bool {
    !is_sealed(root)
        && crate::storage::is_file(&root.join(sumac_common::refinement::WORK).join(order::ORDER)).unwrap_or(false)
}

pub(crate) fn is_sealed(root: &std::path::Path) -> bool {
    crate::storage::is_file(&root.join(MANIFEST)).unwrap_or(false)
}
