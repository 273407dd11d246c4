//! Parquet where it was not built in: a file of it is known, and refused with how to build it in.

use super::{Piece, Source, SourceError, Unread, Whole, folder::Found, shard::Shard};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

/// There are none.
#[derive(Debug)]
pub(crate) enum Parquets {}

#[derive(Debug)]
#[expect(dead_code, reason = "nothing is written where nothing is read")]
pub(crate) enum Unwritten {
    Gap,
    Unread(Unread),
    Io(io::Error),
}

impl Parquets {
    pub(super) fn of(root: &Path, _column: String) -> Result<Self, SourceError> {
        Err(not_built_in(root))
    }

    pub(super) fn column(&self) -> &str {
        match *self {}
    }

    pub(super) fn image(&self, _whole: &Whole, _row: u64) -> Result<Vec<u8>, Unread> {
        match *self {}
    }

    pub(super) fn pieces(&self, _whole: &Whole, _row: u64) -> Result<Vec<Piece>, Unread> {
        match *self {}
    }

    pub(crate) fn rewrite(
        &self,
        _whole: &Whole,
        _is_there: &[bool],
        _next: &mut dyn FnMut() -> io::Result<Vec<u8>>,
        _out: &mut (impl Write + Send),
    ) -> Result<(), Unwritten> {
        match *self {}
    }
}

impl Source {
    pub(super) fn parquet(
        root: PathBuf,
        files: Vec<Shard>,
        _named: Option<&str>,
        _others: Vec<Found>,
    ) -> Result<Self, SourceError> {
        Err(not_built_in(files.first().map_or(&root, |file| &file.path)))
    }
}

fn not_built_in(path: &Path) -> SourceError {
    SourceError::NotBuiltIn { path: path.to_owned(), format: "a parquet file", feature: "parquet" }
}
