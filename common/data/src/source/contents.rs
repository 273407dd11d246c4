//! A file as it was when somebody looked: its stamp, and its content up to a limit.
//!
//! Knows nothing of what files hold.

use crate::storage;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

/// What tells that a file has not been touched since: its length, when it was last written to in seconds, and a `mark` that
/// tells writes within a second apart: the nanoseconds, in a bucket the object's tag. It is 0 where it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, i64, i64)", into = "(u64, i64, i64)")]
pub(crate) struct Stamp {
    pub(crate) bytes: u64,
    modified: i64,
    mark: i64,
}

impl From<(u64, i64, i64)> for Stamp {
    fn from((bytes, modified, mark): (u64, i64, i64)) -> Self {
        Self { bytes, modified, mark }
    }
}

impl From<Stamp> for (u64, i64, i64) {
    fn from(stamp: Stamp) -> Self {
        (stamp.bytes, stamp.modified, stamp.mark)
    }
}

impl Stamp {
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        Self { bytes: metadata.len(), modified: metadata.mtime(), mark: metadata.mtime_nsec() }
    }

    /// A file that was touched since it was listed is no longer what was listed.
    pub(crate) fn agrees(self, found: Self) -> io::Result<()> {
        let is_unmarked = self.mark == 0 || found.mark == 0;
        if (found.bytes, found.modified) == (self.bytes, self.modified) && (is_unmarked || found.mark == self.mark) {
            return Ok(());
        }
        Err(io::Error::other("it was changed after it was listed: let nobody write to it, and begin again"))
    }
}

/// All of a file and what it looked like when it was opened; only the latter as an `Err` where it is longer than `most`.
pub(super) fn contents(path: &Path, most: u64) -> io::Result<Result<(Vec<u8>, Stamp), Stamp>> {
    if let Some(remote) = storage::remote(path)? {
        return remote.whole(most);
    }
    let file = File::open(path)?;
    let stamp = Stamp::of(&file.metadata()?);
    let mut bytes = Vec::new();
    // It may grow while it is read.
    let length = file.take(most + 1).read_to_end(&mut bytes)? as u64;
    Ok(if length > most { Err(stamp) } else { Ok((bytes, stamp)) })
}
