//! Saved states on disk, under `output.dir/checkpoints/step-000000123/`.
//!
//! A checkpoint is the state a donor would send, written down: counters and weights by rank 0, each lane's slots by the lane's
//! owner, the manifest last and by rename (K-1: loadable or absent, never torn). It refuses to know when to save, and on which
//! thread.
//!
//! How the checksums come into the manifest: each member leaves a receipt beside its parts, with the hashes of what it handed
//! to the disk, and rank 0 adds the receipts up. So no part is read again to complete a checkpoint, and nothing but the one
//! folder all workers share is asked of the disk; a receipt is named by generation and rank, so that rank 0 opens it once and
//! never finds an older one in its place. What the disk made of the bytes is found out when they are loaded.

#[cfg(test)]
mod tests;

use crate::{
    bytes::Writer,
    durable::{self, DiskError},
    history::Slots,
    learner::Learner,
    state::{State, StateError, whole},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};
use sumac_common::{
    checkpoint::{self, FORMAT, Foreign, Manifest, Part, RunId, Saved, Sealed},
    ids::{Digest, Generation, Lane, Rank, Step},
    spec::Output,
};
use tracing::warn;

const MANIFEST: &str = "manifest.json";
const COUNTERS: &str = "counters.json";
const MODEL: &str = "model.safetensors";

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{} is not what its manifest says ({why}): the file was changed or damaged after it was written", path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("{} is not as rank {rank} wrote it ({why}): output.dir must be one and the same folder for all workers", path.display())]
    Missing { path: PathBuf, rank: Rank, why: String },
    #[error("the checkpoint in {} cannot be gone on from: {why}", path.display())]
    Foreign { path: PathBuf, why: Foreign },
    #[error(
        "none of the {n} checkpoints in {} can be loaded; the newest: {why}. Move the folder away to start the run over",
        path.display()
    )]
    NoneLoadable { n: usize, path: PathBuf, why: Box<Self> },
    #[error(transparent)]
    State(#[from] StateError),
    #[error("the thread that writes checkpoints ended early")]
    Gone,
}

/// Which attempt at which checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub generation: Generation,
    pub step: Step,
}

impl Ticket {
    /// Names what one member writes on the way, so that nobody else's is taken for it.
    fn of(self, rank: Rank) -> String {
        format!("g{:06}-r{:03}", self.generation.0, rank.0)
    }
}

/// One member's part of a checkpoint, in memory.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub ticket: Ticket,
    rank: Rank,
    files: Vec<(String, Vec<u8>)>,
    /// Of rank 0 only: hash over the lanes' digests.
    trace: Option<Digest>,
}

impl Snapshot {
    /// The slots of these lanes; by rank 0 the replicated state too.
    pub fn of<L: Learner>(
        state: &State<L>,
        generation: Generation,
        rank: Rank,
        lanes: impl IntoIterator<Item = Lane>,
    ) -> Result<Self, StateError> {
        let mut files = Vec::new();
        if rank == Rank(0) {
            files.push((COUNTERS.to_owned(), serde_json::to_vec(&state.counters)?));
            files.push((MODEL.to_owned(), state.learner.save()?));
        }
        let nothing = Slots::default();
        files.extend(lanes.into_iter().map(|lane| {
            let slots = state.lanes.get(&lane).unwrap_or(&nothing);
            (lane_file(lane), slots.pack())
        }));
        let trace = (rank == Rank(0)).then(|| state.counters.trace_digest());
        Ok(Self { ticket: Ticket { generation, step: state.counters.step }, rank, files, trace })
    }

    #[must_use]
    pub fn bytes(&self) -> usize {
        self.files.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Hash of the replicated state, as a donor would pack it (L-3).
    fn replicated(&self) -> Option<Digest> {
        self.trace?;
        let mut packed = Writer::default();
        self.files.iter().take(2).for_each(|(_, bytes)| packed.bytes(bytes));
        Some(Digest::of(&packed.done()))
    }
}

/// What one member wrote.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Receipt {
    parts: Vec<Part>,
    /// Of rank 0 only, as the next.
    replicated_sha256: Option<Digest>,
    trace_sha256: Option<Digest>,
}

/// Everything that is needed to complete a checkpoint whose every part is durable.
#[derive(Clone, Debug)]
pub struct Completion {
    pub ticket: Ticket,
    pub workers: usize,
    pub lanes: u32,
    pub run: RunId,
    /// What is kept besides it.
    pub output: Output,
}

/// A checkpoint that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    pub manifest: Manifest,
    /// All that are there, oldest first.
    pub there: Vec<Saved>,
}

#[derive(Clone, Debug)]
pub struct Checkpoints {
    /// The run's.
    output: PathBuf,
}

fn lane_file(lane: Lane) -> String {
    format!("lane-{:03}.slots", lane.0)
}

fn receipt_file(ticket: Ticket, rank: Rank) -> String {
    format!("receipt-{}.json", ticket.of(rank))
}

impl Checkpoints {
    #[must_use]
    pub fn of(output: &Path) -> Self {
        Self { output: output.to_owned() }
    }

    fn at(&self, step: Step) -> PathBuf {
        self.output.join(checkpoint::folder(step))
    }

    /// The folder of them all.
    fn shelf(&self) -> PathBuf {
        self.output.join("checkpoints")
    }

    /// Writes one member's part, and its receipt last. Durable when it returns. `after_each` is called when another file is.
    pub fn write(&self, snapshot: &Snapshot, after_each: impl Fn()) -> Result<(), CheckpointError> {
        let folder = self.at(snapshot.ticket.step);
        durable::make_folder(&folder)?;
        let draft = snapshot.ticket.of(snapshot.rank);
        let mut parts = Vec::new();
        for (file, bytes) in &snapshot.files {
            durable::write(&folder.join(file), &draft, bytes)?;
            parts.push(Part { file: file.clone(), bytes: bytes.len() as u64, sha256: Digest::of(bytes) });
            after_each();
        }
        let receipt = Receipt { parts, replicated_sha256: snapshot.replicated(), trace_sha256: snapshot.trace };
        let json = serde_json::to_vec_pretty(&receipt).map_err(StateError::Counters)?;
        Ok(durable::write(&folder.join(receipt_file(snapshot.ticket, snapshot.rank)), &draft, &json)?)
    }

    /// Completes a checkpoint whose every part is durable: adds the receipts up, writes the manifest, and lets go of what is
    /// kept no longer.
    pub fn complete(&self, completion: &Completion) -> Result<Completed, CheckpointError> {
        let Completion { ticket, run, .. } = completion;
        let folder = self.at(ticket.step);
        let (parts, state, trace) = self.add_up(completion)?;
        let (run, step) = (run.clone(), ticket.step);
        let manifest = Manifest { format: FORMAT, run, step, state_sha256: state, trace_sha256: trace, parts };
        let json = serde_json::to_vec_pretty(&manifest.clone().sealed()).map_err(StateError::Counters)?;
        durable::write(&folder.join(MANIFEST), &ticket.of(Rank(0)), &json)?;
        if let Err(error) = self.tidy(&manifest, &completion.output) {
            // It is there, whatever else lies around.
            warn!(step = %ticket.step, %error, "what is no longer needed stays");
        }
        let there = self.there().unwrap_or_else(|error| {
            warn!(step = %ticket.step, %error, "what is there cannot be listed");
            vec![]
        });
        Ok(Completed { manifest, there })
    }

    /// The parts in the order of the manifest, the hash of the whole state and that of the trace, from the receipts of all.
    fn add_up(&self, completion: &Completion) -> Result<(Vec<Part>, Digest, Digest), CheckpointError> {
        let folder = self.at(completion.ticket.step);
        let mut written = BTreeMap::new();
        let mut first = None;
        for rank in (0..completion.workers as u32).map(Rank) {
            let path = folder.join(receipt_file(completion.ticket, rank));
            let bytes = durable::read(&path)?;
            let receipt: Receipt = serde_json::from_slice(&bytes).map_err(|error| CheckpointError::Missing {
                path,
                rank,
                why: error.to_string(),
            })?;
            first = first.or(receipt.replicated_sha256.zip(receipt.trace_sha256));
            written.extend(receipt.parts.into_iter().map(|part| (part.file.clone(), (rank, part))));
        }
        let names =
            [COUNTERS.to_owned(), MODEL.to_owned()].into_iter().chain((0..completion.lanes).map(Lane).map(lane_file));
        let mut parts = Vec::new();
        for file in names {
            let path = folder.join(&file);
            let absent =
                |why: &str| CheckpointError::Missing { path: path.clone(), rank: Rank(0), why: why.to_owned() };
            let (rank, part) = written.remove(&file).ok_or_else(|| absent("no receipt names it"))?;
            let len = fs::metadata(&path).map(|metadata| metadata.len());
            if len.as_ref().ok() != Some(&part.bytes) {
                let why = len.map_or_else(|error| error.to_string(), |len| format!("{len} bytes of {}", part.bytes));
                return Err(CheckpointError::Missing { path, rank, why });
            }
            parts.push(part);
        }
        let (replicated, trace) = first.ok_or_else(|| CheckpointError::Missing {
            path: folder,
            rank: Rank(0),
            why: "no receipt has the hash of the weights".to_owned(),
        })?;
        let state = whole(replicated, parts.iter().skip(2).map(|part| part.sha256));
        Ok((parts, state, trace))
    }

    /// The newest checkpoint that is whole, if this run may go on from it; `None` where there is none at all. A damaged one
    /// is passed over with a warning as long as an older one is whole.
    pub fn newest(&self, run: &RunId, steps: Step) -> Result<Option<Manifest>, CheckpointError> {
        let found = self.listed()?;
        let mut first = None;
        for (step, folder) in found.iter().rev() {
            match check(folder) {
                Ok(manifest) => {
                    let foreign = |why| CheckpointError::Foreign { path: folder.clone(), why };
                    manifest.continues(run, steps).map_err(foreign)?;
                    return Ok(Some(manifest));
                }
                Err(error) => {
                    warn!(%step, %error, "a checkpoint is passed over");
                    first.get_or_insert(error);
                }
            }
        }
        match first {
            None => Ok(None),
            Some(why) => {
                let (n, path) = (found.len(), self.shelf());
                Err(CheckpointError::NoneLoadable { n, path, why: Box::new(why) })
            }
        }
    }

    /// Loads the replicated part of the checkpoint at `step`, and the slots of `lanes`.
    pub fn load<L: Learner>(&self, step: Step, lanes: &[Lane], state: &mut State<L>) -> Result<(), CheckpointError> {
        let folder = self.at(step);
        let manifest = manifest(&folder)?;
        let part = |file: &str| -> Result<Vec<u8>, CheckpointError> {
            let path = folder.join(file);
            let Some(part) = manifest.parts.iter().find(|part| part.file == file) else {
                return Err(CheckpointError::Damaged { path, why: "the manifest does not name it".to_owned() });
            };
            whole_part(&path, part)
        };
        let mut replicated = Writer::default();
        replicated.bytes(&part(COUNTERS)?);
        replicated.bytes(&part(MODEL)?);
        let mut slots = Vec::new();
        for lane in lanes {
            let unpacked = Slots::unpack(&part(&lane_file(*lane))?).map_err(StateError::Short)?;
            slots.push((*lane, unpacked));
        }
        state.unpack(&replicated.done())?;
        state.lanes = slots.into_iter().collect();
        Ok(())
    }

    /// All step folders, oldest first, those without a manifest among them.
    fn folders(&self) -> Result<Vec<(Step, PathBuf)>, CheckpointError> {
        let step = |path: PathBuf| {
            let step = path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()?;
            Some((Step(step), path))
        };
        let mut found: Vec<(Step, PathBuf)> = durable::list(&self.shelf())?.into_iter().filter_map(step).collect();
        found.sort();
        Ok(found)
    }

    /// Folders with a manifest, oldest first.
    fn listed(&self) -> Result<Vec<(Step, PathBuf)>, CheckpointError> {
        Ok(self.folders()?.into_iter().filter(|(_, folder)| folder.join(MANIFEST).exists()).collect())
    }

    /// The checkpoints that are there, oldest first. One whose manifest cannot be read is left out: it cannot be loaded either.
    fn there(&self) -> Result<Vec<Saved>, CheckpointError> {
        let saved = |(step, folder): (Step, PathBuf)| {
            let written = fs::metadata(folder.join(MANIFEST)).and_then(|metadata| metadata.modified()).ok()?;
            let at = written.duration_since(UNIX_EPOCH).unwrap_or_default();
            let at_ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
            Some(Saved { step, bytes: manifest(&folder).ok()?.bytes(), at_ms })
        };
        Ok(self.listed()?.into_iter().filter_map(saved).collect())
    }

    /// Lets go of checkpoints that are kept no longer, of attempts before this one that came to nothing, and of what lies beside
    /// the parts of this one.
    fn tidy(&self, newest: &Manifest, output: &Output) -> Result<(), CheckpointError> {
        let here = self.at(newest.step);
        let belongs = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name == MANIFEST || newest.parts.iter().any(|part| part.file == name))
        };
        let beside: Vec<PathBuf> = durable::list(&here)?.into_iter().filter(|path| !belongs(path)).collect();
        durable::remove(&here, &beside)?;

        let complete: Vec<Step> = self.listed()?.into_iter().map(|(step, _)| step).collect();
        let expendable = checkpoint::expendable(output, &complete);
        let came_to_nothing = |step: &Step| *step < newest.step && !complete.contains(step);
        for (step, folder) in self.folders()? {
            if expendable.contains(&step) || came_to_nothing(&step) {
                // The manifest goes first, so that what remains after a crash here is no checkpoint rather than half of one.
                durable::remove(&folder, &[folder.join(MANIFEST)])?;
                durable::remove(&folder, &durable::list(&folder)?)?;
                durable::remove_folder(&folder)?;
            }
        }
        Ok(())
    }
}

fn check(folder: &Path) -> Result<Manifest, CheckpointError> {
    let manifest = manifest(folder)?;
    for part in &manifest.parts {
        whole_part(&folder.join(&part.file), part)?;
    }
    Ok(manifest)
}

fn manifest(folder: &Path) -> Result<Manifest, CheckpointError> {
    let path = folder.join(MANIFEST);
    let bytes = durable::read(&path)?;
    let damaged = |why: String| CheckpointError::Damaged { path: path.clone(), why };
    let sealed: Sealed = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    sealed.open().map_err(|tampered| damaged(tampered.to_string()))
}

fn whole_part(path: &Path, part: &Part) -> Result<Vec<u8>, CheckpointError> {
    let bytes = durable::read(path)?;
    let damaged = |why: String| CheckpointError::Damaged { path: path.to_owned(), why };
    if bytes.len() as u64 != part.bytes {
        return Err(damaged(format!("{} bytes of {}", bytes.len(), part.bytes)));
    }
    if Digest::of(&bytes) != part.sha256 {
        return Err(damaged("its checksum differs".to_owned()));
    }
    Ok(bytes)
}
