//! What can go wrong around an evaluation.

use crate::{FreezeError, SourceError};
use std::{io, path::PathBuf};
use sumac_common::leases::Shard;

#[derive(Debug, thiserror::Error)]
pub enum EvaluatedError {
    #[error("the {which} images: {error}")]
    Source { which: &'static str, error: SourceError },
    #[error("the {which} images: {error}")]
    Freeze { which: &'static str, error: FreezeError },
    #[error("the {which} images: {what}")]
    Labels { which: &'static str, what: String },
    #[error(
        "{} of the real test images are among the {which} images too, `{test}` as `{trained}` for one: take them out, or the test proves \
         nothing",
        count
    )]
    Leak { count: usize, which: &'static str, test: String, trained: String },
    #[error(
        "{count} of the test's values of `{group}` are among those of the {which} images too, `{first}` for one: split the sets by it, \
         or the test proves little"
    )]
    Groups { count: usize, group: String, which: &'static str, first: String },
    #[error(
        "{} holds another evaluation (other images, refiners, arms, seeds or models): name another folder, or remove this one",
        path.display()
    )]
    AnotherOrder { path: PathBuf },
    #[error("{}: another refiner than was submitted", path.display())]
    AnotherRefiner { path: PathBuf },
    #[error("{} says what cannot be: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("the figures of cell {cell} are not there, in {}", path.display())]
    NoCell { cell: Shard, path: PathBuf },
    #[error("the figures in {} are not those that were committed", path.display())]
    OtherCells { path: PathBuf },
    #[error("cannot read {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("cannot write {}: {error}: make room, or choose another folder", path.display())]
    Unwritable { path: PathBuf, error: io::Error },
}

impl EvaluatedError {
    pub(super) fn unreadable(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Unreadable { path, error }
    }

    pub(super) fn unwritable(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Unwritable { path, error }
    }
}
