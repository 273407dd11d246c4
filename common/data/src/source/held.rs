//! Bytes that are read by position: of a file, of what was unpacked from one, of a table that gives them row by row.
//!
//! A file that was touched since it was opened is noticed at the next read. Knows nothing of what the bytes mean.

use super::Stamp;
#[cfg(feature = "hdf5")]
use std::fmt;
use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

/// Where the records of a stack are, or the bytes of an archive.
#[derive(Clone, Debug)]
pub(super) enum Held {
    File {
        file: Arc<File>,
        stamp: Stamp,
    },
    /// Unpacked from a compressed file.
    Memory(Arc<Vec<u8>>),
    /// Rows of a table that has to be asked for each of them.
    #[cfg(feature = "hdf5")]
    Rows(Arc<dyn Rows>),
}

/// A table of rows of equal length, which lie nowhere as they are.
#[cfg(feature = "hdf5")]
pub(super) trait Rows: fmt::Debug + Send + Sync {
    /// Fills `out`, whole rows from the row `first` on.
    fn read(&self, out: &mut [u8], first: u64) -> io::Result<()>;

    fn row_bytes(&self) -> u64;
}

impl Held {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self::File { stamp: Stamp::of(&file.metadata()?), file: Arc::new(file) })
    }

    /// What the file looked like when it was opened.
    #[cfg(feature = "hdf5")]
    pub(super) fn stamp(&self) -> io::Result<Stamp> {
        match self {
            Self::File { stamp, .. } => Ok(*stamp),
            _ => Err(io::Error::other("it is no file")),
        }
    }

    /// So many bytes from `begin` on, one after the other.
    pub(super) fn reader(&self, begin: u64, bytes: u64) -> impl Read {
        Reader { held: self, at: begin, end: begin + bytes }
    }

    /// Fills `out` with what lies at `begin`.
    pub(super) fn read(&self, out: &mut [u8], begin: u64) -> io::Result<()> {
        match self {
            Self::File { file, stamp } => {
                stamp.check(&file.metadata()?)?;
                file.read_exact_at(out, begin)
            }
            Self::Memory(bytes) => {
                let begin = begin as usize;
                let found = bytes.get(begin..begin + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
                out.copy_from_slice(found);
                Ok(())
            }
            #[cfg(feature = "hdf5")]
            Self::Rows(rows) => rows.read(out, begin / rows.row_bytes().max(1)),
        }
    }
}

struct Reader<'a> {
    held: &'a Held,
    at: u64,
    end: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = (out.len() as u64).min(self.end - self.at) as usize;
        self.held.read(&mut out[..length], self.at)?;
        self.at += length as u64;
        Ok(length)
    }
}
