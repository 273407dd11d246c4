//! A file as it was when somebody looked: its stamp, and its content up to a limit.
//!
//! Knows nothing of what files hold.

use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

/// What tells that a file has not been touched since: its length and when it was last written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, i64, i64)", into = "(u64, i64, i64)")]
pub(crate) struct Stamp {
    pub(super) bytes: u64,
    modified: (i64, i64),
}

impl From<(u64, i64, i64)> for Stamp {
    fn from((bytes, seconds, nanoseconds): (u64, i64, i64)) -> Self {
        Self { bytes, modified: (seconds, nanoseconds) }
    }
}

impl From<Stamp> for (u64, i64, i64) {
    fn from(stamp: Stamp) -> Self {
        (stamp.bytes, stamp.modified.0, stamp.modified.1)
    }
}

impl Stamp {
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        Self { bytes: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
    }

    /// A file that was touched since it was listed is no longer what was listed.
    pub(crate) fn check(self, found: &fs::Metadata) -> io::Result<()> {
        self.agrees(Self::of(found))
    }

    pub(super) fn agrees(self, found: Self) -> io::Result<()> {
        if found == self {
            return Ok(());
        }
        Err(io::Error::other("it was changed after it was listed: let nobody write to it, and begin again"))
    }
}

/// All of a file and what it looked like when it was opened; only the latter as an `Err` where it is longer than `most`.
pub(super) fn contents(path: &Path, most: u64) -> io::Result<Result<(Vec<u8>, Stamp), Stamp>> {
    let file = File::open(path)?;
    let stamp = Stamp::of(&file.metadata()?);
    let mut bytes = Vec::new();
    // It may grow while it is read.
    let length = file.take(most + 1).read_to_end(&mut bytes)? as u64;
    Ok(if length > most { Err(stamp) } else { Ok((bytes, stamp)) })
}
