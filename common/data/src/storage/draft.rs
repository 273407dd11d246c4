//! A folder of files that count together, once somebody says so: written on this machine, wherever it belongs. Knows nothing of
//! what is written.

use super::{Spool, remote, remove_folder, writing::sync};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

#[derive(Debug)]
pub(crate) struct Draft {
    /// Where it belongs.
    place: PathBuf,
    /// Where it is written, if that is elsewhere.
    spool: Option<Spool>,
}

impl Draft {
    /// Empty, whatever was in its place.
    pub(crate) fn begin(place: PathBuf) -> io::Result<Self> {
        remove_folder(&place)?;
        let spool = remote(&place)?.map(|remote| remote.spool()).transpose()?;
        Ok(Self { place, spool })
    }

    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// Where its files are to be written.
    pub(crate) fn folder(&self) -> &Path {
        self.spool.as_ref().map_or(&self.place, Spool::path)
    }

    /// All that was written is in its place, and durable.
    pub(crate) fn settle(&self) -> io::Result<()> {
        if let Some(remote) = remote(&self.place)? {
            return remote.put_below(self.folder());
        }
        sync_below(&self.place)?;
        self.place.parent().map_or(Ok(()), sync)
    }
}

/// This folder and all below it.
fn sync_below(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_below(&entry.path())?;
        }
    }
    sync(folder)
}
