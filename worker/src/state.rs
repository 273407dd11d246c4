//! Everything a run is at a step: the replicated state, equal on every member, and the history slots this member keeps.
//!
//! What a donor sends is what a checkpoint holds: [`State::pack`] for the replicated part, `Slots::pack` for each lane.
//! It refuses to know who is a member and where files lie.

use crate::{
    bytes::{Reader, Short, Writer},
    history::{Slots, Staged},
    learner::{LearnError, Learner},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use sumac_common::{
    ids::{Digest, Lane, Step},
    schedule::Progress,
};

/// The counters of the replicated state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    pub step: Step,
    pub progress: Progress,
    /// Each lane's running digest of what it was handed: together, the trace (L-2).
    pub trace: Vec<Digest>,
}

impl Counters {
    #[must_use]
    pub fn start(lanes: u32) -> Self {
        Self { step: Step(0), progress: Progress::default(), trace: vec![Digest::default(); lanes as usize] }
    }

    /// The lanes' digests in lane order, as one.
    #[must_use]
    pub fn trace_digest(&self) -> Digest {
        Digest::of(&self.trace.iter().flat_map(|digest| digest.0).collect::<Vec<u8>>())
    }
}

pub struct State<L> {
    pub counters: Counters,
    pub learner: L,
    /// The lanes this member owns and those it guards.
    pub lanes: BTreeMap<Lane, Slots>,
}

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("the saved state is damaged: {0}")]
    Short(#[from] Short),
    #[error("the saved state's counters cannot be read: {0}")]
    Counters(#[from] serde_json::Error),
    #[error("the saved state has {got} lanes, the run has {want}")]
    Lanes { got: usize, want: usize },
    #[error(transparent)]
    Learner(#[from] LearnError),
}

impl<L: Learner> State<L> {
    #[must_use]
    pub fn start(learner: L, lanes: u32) -> Self {
        Self { counters: Counters::start(lanes), learner, lanes: BTreeMap::new() }
    }

    /// The replicated part. Equal states give equal bytes.
    pub fn pack(&self) -> Result<Vec<u8>, StateError> {
        let mut out = Writer::default();
        out.bytes(&serde_json::to_vec(&self.counters)?);
        out.bytes(&self.learner.save()?);
        Ok(out.done())
    }

    /// Takes over a replicated part. On an error the present state stays as it was.
    pub fn unpack(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut reader = Reader::new(bytes);
        let counters: Counters = serde_json::from_slice(reader.bytes()?)?;
        let learner = reader.bytes()?;
        reader.end()?;
        if counters.trace.len() != self.counters.trace.len() {
            return Err(StateError::Lanes { got: counters.trace.len(), want: self.counters.trace.len() });
        }
        self.learner.load(learner)?;
        self.counters = counters;
        Ok(())
    }

    /// Applies a committed step's history writes to the lanes kept here.
    pub fn write(&mut self, staged: &Staged) {
        for write in &staged.writes {
            self.lanes.entry(write.lane).or_default().write(write);
        }
    }
}

/// The hash of the whole state, from those of its parts: replicated part first, then the lanes in order (L-3).
#[must_use]
pub fn whole(replicated: Digest, lanes: impl IntoIterator<Item = Digest>) -> Digest {
    lanes.into_iter().fold(replicated, |sum, lane| sum.then(&lane.0))
}
