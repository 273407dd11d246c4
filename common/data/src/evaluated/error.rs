//! What can go wrong around an evaluation.

use crate::{FreezeError, ReadError, SourceError};
use std::{io, path::PathBuf};
use sumac_common::leases::Shard;

#[derive(Debug, thiserror::Error)]
pub enum EvaluatedError {
    #[error("the {which} images: {source}")]
    Source { which: &'static str, source: SourceError },
    #[error("the {which} images: {source}")]
    Freeze { which: &'static str, source: FreezeError },
    #[error("the {which} images: {source}")]
    Read { which: &'static str, source: ReadError },
    #[error("the {which} images: {what}")]
    Labels { which: &'static str, what: String },
    #[error(
        "{} of the real test images are among the {which} images too, `{test}` as `{real}` for one: take them out, or the test proves \
         nothing",
        count
    )]
    Leak { count: usize, which: &'static str, test: String, real: String },
    #[error("{} holds another evaluation: name another folder", path.display())]
    AnotherOrder { path: PathBuf },
    #[error("{}: another refiner than was submitted", path.display())]
    AnotherRefiner { path: PathBuf },
    #[error("{} says what cannot be: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("the figures of cell {cell} are not there, in {}", path.display())]
    NoCell { cell: Shard, path: PathBuf },
    #[error("the figures in {} are not those that were committed", path.display())]
    OtherCells { path: PathBuf },
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}: make room, or choose another folder", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
}

impl EvaluatedError {
    pub(super) fn unreadable(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Unreadable { path, source }
    }

    pub(super) fn unwritable(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Unwritable { path, source }
    }
}
