//! Saved states on disk, under `output.dir/checkpoints/step-000000123/`.
//!
//! A checkpoint is the state a donor would send, written down: counters and weights by rank 0, each lane's slots by the lane's
//! owner, the manifest last and by rename (K-1: loadable or absent, never torn). It refuses to know when to save.

use crate::{
    bytes::Writer,
    history::Slots,
    learner::Learner,
    state::{State, StateError, whole},
};
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};
use sumac_common::{
    checkpoint::{FORMAT, Foreign, Manifest, Part, RunId},
    ids::{Digest, Lane, Step},
};
use tracing::warn;

/// The newest ones that are kept.
const KEPT: usize = 2;
const MANIFEST: &str = "manifest.json";
const COUNTERS: &str = "counters.json";
const MODEL: &str = "model.safetensors";

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("cannot {attempt} {}: {source}: output.dir must be writable and reachable from every worker", path.display())]
    Disk { attempt: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is not what its manifest says ({why}): the file was changed or damaged after it was written", path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("the checkpoint in {} cannot be gone on from: {why}", path.display())]
    Foreign { path: PathBuf, why: Foreign },
    #[error(
        "none of the {n} checkpoints in {} can be loaded; the newest: {why}. Move the folder away to start the run over",
        path.display()
    )]
    NoneLoadable { n: usize, path: PathBuf, why: Box<Self> },
    #[error(transparent)]
    State(#[from] StateError),
}

pub struct Checkpoints {
    folder: PathBuf,
}

fn lane_file(lane: Lane) -> String {
    format!("lane-{:03}.slots", lane.0)
}

impl Checkpoints {
    #[must_use]
    pub fn of(output: &Path) -> Self {
        Self { folder: output.join("checkpoints") }
    }

    fn at(&self, step: Step) -> PathBuf {
        self.folder.join(format!("step-{:09}", step.0))
    }

    /// Writes the replicated part. Durable when it returns.
    pub fn save_replicated<L: Learner>(&self, state: &State<L>) -> Result<(), CheckpointError> {
        let folder = self.at(state.counters.step);
        make(&folder)?;
        let counters = serde_json::to_vec(&state.counters).map_err(StateError::Counters)?;
        write(&folder.join(COUNTERS), &counters)?;
        write(&folder.join(MODEL), &state.learner.save().map_err(StateError::Learner)?)
    }

    /// Writes one lane's slots. Durable when it returns.
    pub fn save_lane(&self, step: Step, lane: Lane, slots: &Slots) -> Result<(), CheckpointError> {
        let folder = self.at(step);
        make(&folder)?;
        write(&folder.join(lane_file(lane)), &slots.pack())
    }

    /// Completes the checkpoint of a step whose every part is durable: reads the parts back, writes the manifest, and lets
    /// older checkpoints go.
    pub fn complete(&self, step: Step, lanes: u32, run: &RunId) -> Result<Manifest, CheckpointError> {
        let folder = self.at(step);
        let names =
            [COUNTERS.to_owned(), MODEL.to_owned()].into_iter().chain((0..lanes).map(|lane| lane_file(Lane(lane))));
        let mut parts = Vec::new();
        let mut replicated = Writer::default();
        let mut slots = Vec::new();
        let mut trace = Digest::default();
        for (at, file) in names.enumerate() {
            let bytes = read(&folder.join(&file))?;
            let part = Part { bytes: bytes.len() as u64, sha256: Digest::of(&bytes), file };
            if at == 0 {
                let counters: crate::state::Counters = serde_json::from_slice(&bytes).map_err(StateError::Counters)?;
                trace = counters.trace_digest();
            }
            if at < 2 {
                replicated.bytes(&bytes)
            } else {
                slots.push(part.sha256)
            }
            parts.push(part);
        }
        let state = whole(Digest::of(&replicated.done()), slots);
        let manifest =
            Manifest { format: FORMAT, run: run.clone(), step, state_sha256: state, trace_sha256: trace, parts };
        let json = serde_json::to_vec_pretty(&manifest).map_err(StateError::Counters)?;
        write(&folder.join(MANIFEST), &json)?;
        self.thin_out();
        Ok(manifest)
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
                let (n, path) = (found.len(), self.folder.clone());
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

    /// Folders with a manifest, oldest first.
    fn listed(&self) -> Result<Vec<(Step, PathBuf)>, CheckpointError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            Err(source) => return Err(CheckpointError::Disk { attempt: "list", path: self.folder.clone(), source }),
        };
        let mut found: Vec<(Step, PathBuf)> = entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let step = path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()?;
                path.join(MANIFEST).exists().then_some((Step(step), path))
            })
            .collect();
        found.sort();
        Ok(found)
    }

    fn thin_out(&self) {
        let Ok(found) = self.listed() else { return };
        for (step, folder) in found.iter().rev().skip(KEPT) {
            // The manifest goes first, so that what remains after a crash here is no checkpoint rather than half of one.
            if let Err(error) = fs::remove_file(folder.join(MANIFEST)).and_then(|()| fs::remove_dir_all(folder)) {
                warn!(%step, %error, "an old checkpoint stays");
            }
        }
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
    let bytes = read(&path)?;
    serde_json::from_slice(&bytes).map_err(|error| CheckpointError::Damaged { path, why: error.to_string() })
}

fn whole_part(path: &Path, part: &Part) -> Result<Vec<u8>, CheckpointError> {
    let bytes = read(path)?;
    let damaged = |why: String| CheckpointError::Damaged { path: path.to_owned(), why };
    if bytes.len() as u64 != part.bytes {
        return Err(damaged(format!("{} bytes of {}", bytes.len(), part.bytes)));
    }
    if Digest::of(&bytes) != part.sha256 {
        return Err(damaged("its checksum differs".to_owned()));
    }
    Ok(bytes)
}

fn make(folder: &Path) -> Result<(), CheckpointError> {
    fs::create_dir_all(folder).map_err(|source| CheckpointError::Disk {
        attempt: "create",
        path: folder.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    let mut bytes = Vec::new();
    let opened = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
    opened.map_err(|source| CheckpointError::Disk { attempt: "read", path: path.to_owned(), source })?;
    Ok(bytes)
}

/// All of the file or nothing: written beside, synced, renamed, folder synced.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let beside = path.with_extension("part");
    let put = || -> io::Result<()> {
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    put().map_err(|source| CheckpointError::Disk { attempt: "write", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        history::{Staged, Write as SlotWrite},
        learner::Images,
        toy::Toy,
    };
    use sumac_common::{
        conversation::Fingerprint,
        ids::{ContentId, SampleId},
    };

    fn run() -> RunId {
        let fingerprint = Fingerprint {
            libtorch: String::new(),
            device: "cpu".into(),
            instructions: String::new(),
            threads: 1,
            canary: Digest::default(),
        };
        RunId { spec: Digest::of(b"spec"), data: Digest::of(b"data"), fingerprint }
    }

    fn state(step: u64) -> State<Toy> {
        let mut state = State::start(Toy::default(), 2);
        state.counters.step = Step(step);
        let ids = vec![ContentId { sample: SampleId(step), step: Step(step) }];
        let write = |lane| SlotWrite {
            lane: Lane(lane),
            slots: vec![0],
            images: Images { ids: ids.clone(), pixels: vec![0.5; 4] },
        };
        state.write(&Staged { step: Step(step), writes: vec![write(0), write(1)] });
        state
    }

    fn save(checkpoints: &Checkpoints, state: &State<Toy>) -> Manifest {
        checkpoints.save_replicated(state).unwrap();
        for (lane, slots) in &state.lanes {
            checkpoints.save_lane(state.counters.step, *lane, slots).unwrap();
        }
        checkpoints.complete(state.counters.step, 2, &run()).unwrap()
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(folder.path());
        let saved = state(7);
        let manifest = save(&checkpoints, &saved);
        assert_eq!(checkpoints.newest(&run(), Step(9)).unwrap(), Some(manifest));
        let mut loaded = State::start(Toy::default(), 2);
        checkpoints.load(Step(7), &[Lane(0), Lane(1)], &mut loaded).unwrap();
        assert_eq!(loaded.pack().unwrap(), saved.pack().unwrap());
        assert_eq!(loaded.lanes, saved.lanes);
    }

    #[test]
    fn without_a_manifest_there_is_no_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(folder.path());
        checkpoints.save_replicated(&state(7)).unwrap();
        assert_eq!(checkpoints.newest(&run(), Step(9)).unwrap(), None);
    }

    #[test]
    fn a_damaged_checkpoint_is_passed_over_for_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(folder.path());
        save(&checkpoints, &state(7));
        save(&checkpoints, &state(9));
        let path = checkpoints.at(Step(9)).join(lane_file(Lane(1)));
        let mut bytes = fs::read(&path).unwrap();
        bytes[20] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(checkpoints.newest(&run(), Step(20)).unwrap().unwrap().step, Step(7));
    }

    #[test]
    fn when_every_checkpoint_is_damaged_the_run_does_not_quietly_start_over() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(folder.path());
        save(&checkpoints, &state(7));
        fs::write(checkpoints.at(Step(7)).join(MODEL), b"short").unwrap();
        let error = checkpoints.newest(&run(), Step(20)).unwrap_err().to_string();
        assert!(error.contains("none of the 1 checkpoints") && error.contains("5 bytes of"), "{error}");
    }

    #[test]
    fn a_checkpoint_of_another_run_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(folder.path());
        save(&checkpoints, &state(7));
        let other = RunId { spec: Digest::of(b"other"), ..run() };
        let error = checkpoints.newest(&other, Step(20)).unwrap_err().to_string();
        assert!(error.contains("another run"), "{error}");
    }

    #[test]
    fn only_the_newest_two_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(folder.path());
        for step in [3, 5, 8] {
            save(&checkpoints, &state(step));
        }
        let steps: Vec<u64> = checkpoints.listed().unwrap().iter().map(|(step, _)| step.0).collect();
        assert_eq!(steps, [5, 8]);
    }
}
