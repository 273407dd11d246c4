//! Why a refinement cannot go on. Each sentence says what, where, and what to do about it.

use crate::source::SourceError;
use std::{io, path::PathBuf};
use sumac_common::{ids::Digest, leases::Shard};

#[derive(Debug, thiserror::Error)]
pub enum RefinedError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("`{}` could not be read: check its permissions and its disk", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{}` could not be written: make room there, and check its permissions", path.display())]
    Unwritable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the name of `{}` is not valid UTF-8: rename it", path.display())]
    Name { path: PathBuf },
    #[error("`{}` holds a file `{name}`, a name that a refined data set uses itself: rename it", path.display())]
    OwnName { path: PathBuf, name: String },
    #[error(
        "`{}` was begun with another input ({}, this one is {}): another data set, or something in it changed since; \
         name another folder, or delete this one", path.display(), found.short(), wanted.short()
    )]
    AnotherInput { path: PathBuf, found: Digest, wanted: Digest },
    #[error(
        "`{}` is being refined otherwise: give the very command it was begun with, or name another folder, or delete this one",
        path.display()
    )]
    AnotherOrder { path: PathBuf },
    #[error("`{}` is another refiner than was submitted: delete its folder and begin again", path.display())]
    AnotherRefiner { path: PathBuf },
    #[error(
        "this worker's numbers would differ from those of the images that are done (it has {wanted}; `{}` says {found}): use \
         machines of one kind", path.display()
    )]
    AnotherFingerprint { path: PathBuf, found: String, wanted: String },
    #[error(
        "{bad} of {of} images could not be refined, more than --max-bad {limit} allows, the first is {first}: mend them, or \
         allow more, and give the same command again"
    )]
    TooManyBad { bad: u64, of: u64, limit: f64, first: String },
    #[error("`{}` is damaged: {what}; delete its folder and begin again", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error(
        "shard {shard} was asked for with {wanted} samples to a shard, but the input has {shards} shards of {frozen}"
    )]
    NoSuchShard { shard: Shard, wanted: u32, shards: usize, frozen: u32 },
    #[error("`{name}` is no name for an attempt: use letters, digits, `-` and `_`")]
    AttemptName { name: String },
    #[error(
        "a stack of {}x{} pixels is not mirrored as one of {}x{}: use --layout shards", found.0, found.1, wanted.0, wanted.1
    )]
    StackSize { found: (u32, u32), wanted: (u32, u32) },
    #[error("{what} are not mirrored: use --layout shards")]
    NotMirrored { what: &'static str },
    #[error(
        "`{key}` would be called `{name}`, but its table names it as it is: keep --format same, or use --layout shards"
    )]
    NamedByTable { key: String, name: String },
    #[error("shard {shard} has {samples} samples, but {outcomes} outcomes: this is a fault of who refines it")]
    Outcomes { shard: Shard, samples: usize, outcomes: usize },
    #[error(
        "the record of `{key}` has {found} bytes, not {wanted}: write it in the stack's own form (refined::written)"
    )]
    Record { key: String, found: u64, wanted: u64 },
    #[error("no whole attempt of shard {shard} is in `{}`: run the same refinement again", path.display())]
    NoAttempt { shard: Shard, path: PathBuf },
    #[error(
        "shard {shard} is quarantined, but `{}` says that it was written: delete the folder and refine anew", path.display()
    )]
    Contradiction { shard: Shard, path: PathBuf },
    #[error(
        "the receipts in `{}` add up to {found}, but {wanted} was committed: somebody wrote to the folder; refine anew",
        path.display()
    )]
    Receipts { path: PathBuf, found: Digest, wanted: Digest },
    #[error(
        "{bad} of the {of} images of `{}` cannot be refined, the first is `{first}`, and it has no room for gaps: \
         use --layout shards", path.display()
    )]
    Gaps { path: PathBuf, bad: u64, of: u64, first: String },
    #[error("`{}` was sealed with other content: refine into another folder", path.display())]
    SealedOtherwise { path: PathBuf },
    #[error("`{}` is no refined data set: it has no MANIFEST.json that can be read ({what})", path.display())]
    NotSealed { path: PathBuf, what: String },
}

impl RefinedError {
    pub(super) fn unreadable(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Unreadable { path, source }
    }

    pub(super) fn unwritable(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Unwritable { path, source }
    }
}
