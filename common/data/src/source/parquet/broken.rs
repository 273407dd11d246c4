//! Why something of a parquet file could not be read: the disk's fault, or the file's.
//!
//! Knows nothing of where in the file it was.

use crate::{
    decode::Fault,
    source::{SourceError, Unread},
};
use parquet::errors::ParquetError;
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

#[derive(Debug)]
pub(super) enum Broken {
    Io(io::Error),
    /// What is wrong with its content, on this machine as on any other.
    Content(String),
}

impl Broken {
    pub(super) fn of(what: impl Into<String>) -> Self {
        Self::Content(what.into())
    }

    /// As the fault of one sample.
    pub(super) fn unread(self, path: &Path) -> Unread {
        match self {
            Self::Io(source) => Unread::Io { path: path.to_owned(), source },
            Self::Content(what) => Unread::Fault(Fault::Damaged(what)),
        }
    }

    /// As the fault of the whole file.
    pub(super) fn refused(self, path: &Path) -> SourceError {
        match self {
            Self::Io(source) => SourceError::unreadable(path, source),
            Self::Content(what) => SourceError::Damaged { path: path.to_owned(), what },
        }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What the disk said comes back through the reader in a wrapping of its own.
impl From<ParquetError> for Broken {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(error) => Self::Io(*error),
                Err(inner) => Self::Content(inner.to_string()),
            },
            ParquetError::General(what) | ParquetError::EOF(what) => Self::Content(what),
            error => Self::Content(error.to_string()),
        }
    }
}

/// The other way round, for what the reader asks of us.
impl From<Broken> for ParquetError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Io(error) => Self::External(Box::new(error)),
            Broken::Content(what) => Self::General(what),
        }
    }
}

/// The reader asserts in places what a hostile file breaks (a prefix longer than its value, a schema that is no list): such a
/// panic is the file's fault, not ours.
pub(super) fn guarded<T>(read: impl FnOnce() -> Result<T, Broken>) -> Result<T, Broken> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(Broken::of("its reader gave up in an unforeseen way")))
}
