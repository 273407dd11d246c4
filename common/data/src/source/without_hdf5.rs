//! HDF5 where it was not built in: a file of it is known, and refused with how to build it in.

use super::{
    Piece, Source, SourceError, Unread,
    stack::{Stack, Values},
};
use std::path::Path;

/// There is none.
#[derive(Debug)]
pub(super) enum Set {}

impl Set {
    pub(super) fn image(&self, _key: &str) -> Result<(Stack, Vec<u8>), Unread> {
        match *self {}
    }

    pub(super) fn pieces(&self, _key: &str) -> Result<Vec<Piece>, Unread> {
        match *self {}
    }

    pub(super) fn texts(&self, _record: u64) -> Vec<Piece> {
        match *self {}
    }
}

impl Source {
    pub(super) fn hdf5(path: &Path, _named: Option<&str>, _known: Option<Values>) -> Result<Self, SourceError> {
        Err(SourceError::NotBuiltIn { path: path.to_owned(), format: "an HDF5 file", feature: "hdf5" })
    }
}
