//! The frozen input: the listing of all samples in one file, of which a worker reads one shard at a time.
//!
//! First what holds for all of them, then shard after shard, then an index of where each lies and what it hashes to: the
//! digest of the index is that of the whole, and none of it is believed before it was held against the index. Knows nothing
//! of pixels.

use super::{OWN_NAMES, RefinedError};
use crate::{
    Source,
    manifest::Bad,
    source::{Head, Held, Kind, NoRun, NotUtf8, Roll},
    storage::{self, Unfinished},
};
use serde::{Deserialize, Serialize};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};
use sumac_common::{ids::Digest, leases::Shard};

/// Below the folder of work in progress.
pub(super) const FOLDER: &str = "input";
const FILE: &str = "listing";
const FORMAT: u32 = 1;

/// What was frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// Over keys, places, stamps and labels of all samples, in their order.
    pub digest: Digest,
    pub samples: u64,
}

/// The frozen input, open: its index, and what all shards share.
#[derive(Debug)]
pub struct Input {
    path: PathBuf,
    file: Held,
    index: Index,
    digest: Digest,
    /// Without samples.
    shared: Source,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Index {
    format: u32,
    samples: u64,
    shard_samples: u32,
    head: Part,
    shards: Vec<Part>,
}

/// A run of bytes of the listing.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Part {
    begin: u64,
    bytes: u64,
    sha256: Digest,
}

impl From<NoRun> for RefinedError {
    fn from(none: NoRun) -> Self {
        match none {
            NoRun::Name(NotUtf8(path)) => Self::Name { path },
            NoRun::Spool(error) => error.into(),
        }
    }
}

impl Input {
    /// Writes the listing below `work`, unless it is there already. Several may do so at once: the first one's stays.
    ///
    /// `shard_samples`: samples in a shard, at least 1. An error if another listing is there: the source is not what it was.
    pub fn freeze(roll: Roll, shard_samples: u32, work: &Path) -> Result<Frozen, RefinedError> {
        let folder = work.join(FOLDER);
        let unwritable = |error| RefinedError::unwritable(&folder)(error);
        let (source, samples) = (roll.source(), roll.samples());
        if let Some((own, ..)) = source.others().into_iter().find(|(key, ..)| OWN_NAMES.contains(&key.as_str())) {
            return Err(RefinedError::OwnName { path: source.root().to_owned(), name: own });
        }
        storage::make_folder(&folder).map_err(unwritable)?;
        let mut out = Unfinished::create(&folder, FILE).map_err(unwritable)?;
        let mut at = 0;
        let mut write = |bytes: &[u8]| {
            out.write_all(bytes).map_err(unwritable)?;
            let part = Part { begin: at, bytes: bytes.len() as u64, sha256: Digest::of(bytes) };
            at += part.bytes;
            Ok::<_, RefinedError>(part)
        };
        let head = write(&json(&source.head().map_err(NoRun::Name)?))?;
        let mut shards = Vec::new();
        roll.each_run(shard_samples.max(1) as usize, |run| {
            shards.push(write(run)?);
            Ok::<_, RefinedError>(())
        })?;
        let index = Index { format: FORMAT, samples, shard_samples: shard_samples.max(1), head, shards };
        let Part { bytes, sha256: digest, .. } = write(&json(&index))?;
        write(&bytes.to_le_bytes())?;
        if !out.finish_if_first(&folder, FILE).map_err(unwritable)? {
            let found = Self::open(work)?.digest;
            if found != digest {
                return Err(RefinedError::AnotherInput { path: work.to_owned(), found, wanted: digest });
            }
        }
        Ok(Frozen { digest, samples })
    }

    /// Reads the index and what all shards share. A stack is opened and must not have been touched since.
    pub fn open(work: &Path) -> Result<Self, RefinedError> {
        let path = work.join(FOLDER).join(FILE);
        let file = Held::open(&path).map_err(RefinedError::unreadable(&path))?;
        let damaged = |what: &str| RefinedError::Damaged { path: path.clone(), what: what.to_owned() };
        let length = file.stamp().map_err(RefinedError::unreadable(&path))?.bytes;
        let mut last = [0; 8];
        let end = length.checked_sub(8).ok_or_else(|| damaged("it is cut short"))?;
        file.read(&mut last, end).map_err(RefinedError::unreadable(&path))?;
        let begin = end.checked_sub(u64::from_le_bytes(last)).ok_or_else(|| damaged("it is cut short"))?;
        let mut index = vec![0; (end - begin) as usize];
        file.read(&mut index, begin).map_err(RefinedError::unreadable(&path))?;
        let digest = Digest::of(&index);
        let index: Index = serde_json::from_slice(&index).map_err(|error| damaged(&error.to_string()))?;
        let parts = || index.shards.iter().chain([&index.head]);
        if index.format != FORMAT || parts().any(|part| part.begin.checked_add(part.bytes).is_none_or(|it| it > begin))
        {
            return Err(damaged("its index makes no sense, or another version wrote it"));
        }
        let head = read(&file, index.head).map_err(RefinedError::unreadable(&path))?;
        let head: Head = serde_json::from_slice(&head).map_err(|error| damaged(&error.to_string()))?;
        let shared = head.open()?;
        Ok(Self { path, file, index, digest, shared })
    }

    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    #[must_use]
    pub fn samples(&self) -> u64 {
        self.index.samples
    }

    #[must_use]
    pub fn shard_samples(&self) -> u32 {
        self.index.shard_samples
    }

    #[must_use]
    pub fn kind(&self) -> Kind {
        self.shared.kind()
    }

    /// What was seen to be unusable without decoding anything.
    #[must_use]
    pub fn bad(&self) -> &[Bad] {
        self.shared.bad()
    }

    /// The source without its samples.
    pub(super) fn shared(&self) -> &Source {
        &self.shared
    }

    /// A source whose samples are those of one shard. Reading them notices what was touched since the listing was frozen.
    pub fn shard(&self, shard_samples: u32, shard: Shard) -> Result<Source, RefinedError> {
        let frozen = self.index.shard_samples;
        let part = self.index.shards.get(shard.0 as usize).filter(|_| shard_samples == frozen);
        let part = *part.ok_or(RefinedError::NoSuchShard {
            shard,
            wanted: shard_samples,
            shards: self.index.shards.len(),
            frozen,
        })?;
        let lines = read(&self.file, part).map_err(RefinedError::unreadable(&self.path))?;
        let damaged =
            |error: serde_json::Error| RefinedError::Damaged { path: self.path.clone(), what: error.to_string() };
        self.shared.of_run(&lines).map_err(damaged)
    }
}

fn read(file: &Held, part: Part) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; part.bytes as usize];
    file.read(&mut bytes, part.begin)?;
    if Digest::of(&bytes) != part.sha256 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not what was written there"));
    }
    Ok(bytes)
}

fn json(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("a listing is plain data: its JSON cannot fail");
    line.push(b'\n');
    line
}
