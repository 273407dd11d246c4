//! A frozen data set, open for reading: pixels by [`SampleId`], which travel together with their ids.
//!
//! Knows nothing of where the images came from or who eats them.

use crate::{
    label::Label,
    manifest::{Bad, Manifest},
    picture::scale,
};
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use sumac_common::{
    ids::{Digest, SampleId},
    spec::ImageShape,
};

/// Bytes of the id before the pixels of each record.
pub(crate) const ID_BYTES: usize = 8;
/// Pauses before a failed read is tried again; a network file system that stays away longer is the run's business.
const PAUSES: [Duration; 3] = [Duration::from_millis(10), Duration::from_millis(100), Duration::from_millis(400)];

/// Equal on every machine that froze equal images; may be read from several threads at once.
#[derive(Debug)]
pub struct Frozen {
    manifest: Manifest,
    hash: Digest,
    images: File,
    path: PathBuf,
    reused: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("sample {id} was asked for, but the frozen data set has {n}: this is a fault of the order of data")]
    NoSuchSample { id: SampleId, n: usize },
    #[error("sample {wanted} was read from `{}`, but {found} was there: remove the file, it is made anew", path.display())]
    WrongRecord { wanted: SampleId, found: SampleId, path: PathBuf },
    #[error("sample {id} could not be read from `{}`, {tries} times: check the disk", path.display())]
    Io {
        id: SampleId,
        path: PathBuf,
        tries: usize,
        #[source]
        source: io::Error,
    },
}

impl Frozen {
    pub(crate) fn new(manifest: Manifest, images: File, path: PathBuf, reused: bool) -> Self {
        Self { hash: manifest.hash(), manifest, images, path, reused }
    }

    /// Usable images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.manifest.samples.len()
    }

    /// Never: an empty data set does not freeze.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[must_use]
    pub fn shape(&self) -> ImageShape {
        self.manifest.shape
    }

    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// [`Manifest::hash`]: part of the identity of a run that eats these images.
    #[must_use]
    pub fn manifest_hash(&self) -> Digest {
        self.hash
    }

    /// What was left out, and why.
    #[must_use]
    pub fn bad(&self) -> &[Bad] {
        &self.manifest.bad
    }

    /// Whether the cache had it already.
    #[must_use]
    pub fn reused(&self) -> bool {
        self.reused
    }

    #[must_use]
    pub fn key(&self, id: SampleId) -> Option<&str> {
        Some(&self.manifest.samples.get(id.0 as usize)?.key)
    }

    #[must_use]
    pub fn label(&self, id: SampleId) -> Option<&Label> {
        self.manifest.samples.get(id.0 as usize)?.label.as_ref()
    }

    /// Where the sidecars of a sample lie; empty if its label is none.
    #[must_use]
    pub fn sidecars(&self, id: SampleId) -> Vec<PathBuf> {
        match self.label(id) {
            Some(Label::Sidecars(files)) => files.iter().map(|file| self.manifest.root.join(file)).collect(),
            _ => Vec::new(),
        }
    }

    /// Appends the pixels of each id in turn to `out`, `[channels, height, width]` in [-1, 1], and returns the ids as they
    /// were read with them. On an error `out` is left as it was.
    pub fn read(&self, ids: &[SampleId], out: &mut Vec<f32>) -> Result<Vec<SampleId>, ReadError> {
        let before = out.len();
        out.reserve(ids.len() * self.shape().len());
        let mut record = vec![0; record_bytes(&self.manifest)];
        let read: Result<Vec<SampleId>, ReadError> =
            ids.iter().map(|&id| self.read_one(id, &mut record, out)).collect();
        if read.is_err() {
            out.truncate(before);
        }
        read
    }

    fn read_one(&self, wanted: SampleId, record: &mut [u8], out: &mut Vec<f32>) -> Result<SampleId, ReadError> {
        if wanted.0 >= self.len() as u64 {
            return Err(ReadError::NoSuchSample { id: wanted, n: self.len() });
        }
        let begin = wanted.0 * record.len() as u64;
        self.persistently(wanted, || self.images.read_exact_at(record, begin))?;
        let (found, pixels) = split(record);
        if found != wanted {
            return Err(ReadError::WrongRecord { wanted, found, path: self.path.clone() });
        }
        scale(pixels, self.manifest.depth, out);
        Ok(found)
    }

    /// Failures that may pass are given time to pass; a file that is too short is not one of them.
    fn persistently(&self, id: SampleId, mut read: impl FnMut() -> io::Result<()>) -> Result<(), ReadError> {
        let mut tries = 0;
        loop {
            let Err(source) = read() else { return Ok(()) };
            tries += 1;
            let pause = PAUSES.get(tries - 1).filter(|_| source.kind() != io::ErrorKind::UnexpectedEof);
            let Some(pause) = pause else { return Err(ReadError::Io { id, path: self.path.clone(), tries, source }) };
            tracing::warn!(error = %source, sample = %id, path = %self.path.display(), "reading a frozen image failed; trying again");
            thread::sleep(*pause);
        }
    }

    /// The file of the cache that holds the pixels.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

pub(crate) fn record_bytes(manifest: &Manifest) -> usize {
    ID_BYTES + manifest.shape.len() * manifest.depth.bytes()
}

/// The id and the pixels of one record.
pub(crate) fn split(record: &[u8]) -> (SampleId, &[u8]) {
    let (id, pixels) = record.split_first_chunk::<ID_BYTES>().expect("records are longer than their ids: record_bytes");
    (SampleId(u64::from_le_bytes(*id)), pixels)
}
