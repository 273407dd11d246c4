//! Bytes that are read by position: of a file, of what was unpacked from one, of a table that gives them row by row.
//!
//! A file that was touched since it was opened is noticed at the next read. Knows nothing of what the bytes mean.

use super::Stamp;
use crate::storage::{self, Remote};
#[cfg(feature = "hdf5")]
use std::fmt;
use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// Where the records of a stack are, or the bytes of an archive.
#[derive(Clone, Debug)]
pub(crate) enum Held {
    File {
        file: Arc<File>,
        stamp: Stamp,
    },
    /// An object of a bucket, of which the blocks that were read last are kept.
    Object {
        remote: Remote,
        stamp: Stamp,
        blocks: Arc<Mutex<Blocks>>,
    },
    /// Unpacked from a compressed file.
    Memory(Arc<Vec<u8>>),
    /// Rows of a table that has to be asked for each of them.
    #[cfg(feature = "hdf5")]
    Rows(Arc<dyn Rows>),
}

/// A table of rows of equal length, which lie nowhere as they are.
#[cfg(feature = "hdf5")]
pub(crate) trait Rows: fmt::Debug + Send + Sync {
    /// Fills `out`, whole rows from the row `first` on.
    fn read(&self, out: &mut [u8], first: u64) -> io::Result<()>;

    fn row_bytes(&self) -> u64;
}

impl Held {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if storage::is_remote(path) {
            return Self::listed(path, storage::stamp(path)?);
        }
        let file = File::open(path)?;
        Ok(Self::File { stamp: Stamp::of(&file.metadata()?), file: Arc::new(file) })
    }

    /// A file that looked so when it was listed. Whether it still does is seen when it is read.
    pub(crate) fn listed(path: &Path, stamp: Stamp) -> io::Result<Self> {
        match storage::remote(path)? {
            Some(remote) => Ok(Self::Object { remote, stamp, blocks: Arc::default() }),
            None => Ok(Self::File { stamp, file: Arc::new(File::open(path)?) }),
        }
    }

    /// What the file looked like when it was opened.
    pub(crate) fn stamp(&self) -> io::Result<Stamp> {
        match self {
            Self::File { stamp, .. } | Self::Object { stamp, .. } => Ok(*stamp),
            _ => Err(io::Error::other("it is no file")),
        }
    }

    /// So many bytes from `begin` on, one after the other.
    pub(super) fn reader(&self, begin: u64, bytes: u64) -> Reader {
        Reader { held: self.clone(), at: begin, end: begin + bytes }
    }

    /// All of a file, one byte after the other.
    pub(crate) fn into_reader(self) -> io::Result<impl Read> {
        let end = self.stamp()?.bytes;
        Ok(Reader { held: self, at: 0, end })
    }

    /// Fills `out` with what lies at `begin`.
    pub(crate) fn read(&self, out: &mut [u8], begin: u64) -> io::Result<()> {
        match self {
            Self::File { file, stamp } => {
                stamp.agrees(Stamp::of(&file.metadata()?))?;
                file.read_exact_at(out, begin)
            }
            Self::Object { remote, stamp, blocks } => {
                let mut blocks = blocks.lock().unwrap_or_else(PoisonError::into_inner);
                blocks.read(remote, *stamp, out, begin)
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

/// Readers of archives and stacks ask for a little here and a little there, mostly further on: each answer brings what lies
/// around it, too.
const BLOCK: u64 = 1 << 20;
const BLOCKS: usize = 8;

/// Some blocks of an object, by their number, the one that was read last at the end.
#[derive(Debug, Default)]
pub(crate) struct Blocks(Vec<(u64, Vec<u8>)>);

impl Blocks {
    fn read(&mut self, remote: &Remote, listed: Stamp, out: &mut [u8], begin: u64) -> io::Result<()> {
        let end = begin.checked_add(out.len() as u64).filter(|&end| end <= listed.bytes);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        if end - begin > BLOCK {
            out.copy_from_slice(&asked(remote, listed, begin..end)?);
            return Ok(());
        }
        let mut at = begin;
        while at < end {
            let (number, within) = (at / BLOCK, (at % BLOCK) as usize);
            let block = self.block(remote, listed, number)?;
            let length = (block.len() - within).min((end - at) as usize);
            out[(at - begin) as usize..][..length].copy_from_slice(&block[within..][..length]);
            at += length as u64;
        }
        Ok(())
    }

    fn block(&mut self, remote: &Remote, listed: Stamp, number: u64) -> io::Result<&[u8]> {
        let block = match self.0.iter().position(|(at, _)| *at == number) {
            Some(known) => self.0.remove(known),
            None => {
                let end = ((number + 1) * BLOCK).min(listed.bytes);
                (number, asked(remote, listed, number * BLOCK..end)?)
            }
        };
        if self.0.len() == BLOCKS {
            self.0.remove(0);
        }
        self.0.push(block);
        Ok(self.0.last().map_or(&[], |(_, bytes)| bytes))
    }
}

fn asked(remote: &Remote, listed: Stamp, range: Range<u64>) -> io::Result<Vec<u8>> {
    let (bytes, found) = remote.read(range)?;
    listed.agrees(found)?;
    Ok(bytes)
}

/// Some bytes of a file, one after the other.
pub(super) struct Reader {
    held: Held,
    at: u64,
    end: u64,
}

impl Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = (out.len() as u64).min(self.end - self.at) as usize;
        self.held.read(&mut out[..length], self.at)?;
        self.at += length as u64;
        Ok(length)
    }
}
