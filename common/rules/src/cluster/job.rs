//! One job as the coordinator sees it: its state, its last generation, who stands where.

use super::{Action, Cause, Fact, Incident, Worker};
use crate::{
    balance::{self, Imbalance},
    checkpoint::Saved,
    conversation::{Beat, Fingerprint, Leaving, Order, Readiness, SoFar, Standing, Wish},
    ids::{Digest, Generation, JobId, Step, WorkerId},
    spec::Spec,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

/// Beats in a row, about a second each, after which an imbalance is a fact.
const UNBALANCED_BEATS: u32 = 3;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "why")]
pub enum JobState {
    /// No generation is open: it waits for workers, or for the members of the last generation to leave it.
    Queued,
    /// A generation is open, nobody has entered it yet.
    Forming,
    Running,
    /// Every member of the last generation is silent and none acknowledged: it waits for one of them.
    Lost,
    Finished,
    /// Its workers were let go by wish, its state is in a checkpoint; submitting it again goes on.
    Paused,
    Failed(String),
    Cancelled,
}

impl JobState {
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Finished | Self::Paused | Self::Failed(_) | Self::Cancelled)
    }

    /// A generation is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Forming | Self::Running)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Queued => "queued",
            Self::Forming => "forming",
            Self::Running => "running",
            Self::Lost => "waiting",
            Self::Finished => "finished",
            Self::Paused => "paused",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
        })
    }
}

/// A run one of whose members waits for so long has no speed.
const STANDS_AFTER: Duration = Duration::from_secs(3);
/// Of a generation that broke it is told for how long it had not moved, from here on.
const STOOD_LEAST: Duration = Duration::from_secs(2);
/// A worker that nobody reached is not asked again for so long, at first.
const SET_ASIDE_FOR: Duration = Duration::from_secs(60);
/// To about an hour.
const SET_ASIDE_DOUBLINGS: u32 = 6;

/// The rest of a generation that one member has left.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    AreTold,
    LeaveByThemselves,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SetAside {
    until: Duration,
    /// For longer each time.
    times: u32,
}

/// What is serialised is what re-attaching workers cannot rebuild.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    pub id: JobId,
    pub spec: Box<Spec>,
    pub state: JobState,
    /// The last generation that was opened; 0 before the first.
    pub generation: Generation,
    /// Its members in rank order.
    pub roster: Vec<WorkerId>,
    /// The last generation that anybody entered, and its members in rank order.
    pub entered: Option<(Generation, Vec<WorkerId>)>,
    /// The furthest step anybody was known to stand at when a generation closed or the job ended.
    pub reached: Step,
    /// The last checkpoint that was reported.
    pub saved: Option<Step>,
    /// Those that were there then, oldest first.
    #[serde(default)]
    pub checkpoints: Vec<Saved>,
    pub so_far: SoFar,
    /// Data and fingerprint of the run, fixed by its first ready worker.
    pub data: Option<Digest>,
    pub fingerprint: Option<Fingerprint>,
    /// Its spec left lambda open; the number that stands there now was found.
    #[serde(default)]
    pub calibrated: bool,
    pub(super) seen: BTreeSet<WorkerId>,
    pub(super) pause_wished: bool,
    /// The last generation left its state in the checkpoint: what its members may still hold does not count.
    #[serde(default)]
    pub(super) parked: bool,

    #[serde(skip)]
    pub(super) ready: BTreeMap<WorkerId, Readiness>,
    /// Where the ready workers stand that are not engaged.
    #[serde(skip)]
    pub(super) standings: BTreeMap<WorkerId, Standing>,
    /// Workers that cannot take part, and why.
    #[serde(skip)]
    pub unfit: BTreeMap<WorkerId, String>,
    /// A member of the last generation acknowledged leaving it, or is certainly dead (C-6).
    #[serde(skip)]
    pub(super) frozen: bool,
    #[serde(skip)]
    pub(super) given_up: bool,
    /// When the first worker was ready, on the coordinator's clock.
    #[serde(skip)]
    pub(super) gathering_since: Option<Duration>,
    /// When the last generation closed.
    #[serde(skip)]
    pub(super) closed_at: Option<Duration>,
    /// When its first member was last heard to have come further, as long as a generation is open.
    #[serde(skip)]
    pub(super) moved_at: Option<Duration>,
    /// Entries in a row that failed.
    #[serde(skip)]
    pub(super) failures: u32,
    /// How often each was named as not reached in the last attempt.
    #[serde(skip)]
    pub(super) blamed: BTreeMap<WorkerId, u32>,
    /// Not reached twice in a row: left out for a while, if there are enough others.
    #[serde(skip)]
    pub(super) set_aside: BTreeMap<WorkerId, SetAside>,
    /// The last attempt at a checkpoint failed, and a fact says so.
    #[serde(skip)]
    pub(super) cannot_save: bool,
    /// What the members of the open generation were asked to do between two steps.
    #[serde(skip)]
    pub(super) asked: Option<Wish>,
    #[serde(skip)]
    pub(super) beat: Option<Beat>,
    /// Named as slow in this generation.
    #[serde(skip)]
    pub(super) slow: Option<WorkerId>,
    /// Heard with the last beats, so many in a row; a single step says little.
    #[serde(skip)]
    pub(super) imbalance: Option<(Imbalance, u32)>,
    /// What is not mended yet, and since when.
    #[serde(skip)]
    pub(super) incident: Option<(Duration, Incident)>,
    /// Why it does not run, in words.
    #[serde(skip)]
    pub(super) waits_for: Option<String>,
}

impl Job {
    pub(super) fn new(id: JobId, spec: Box<Spec>) -> Self {
        Self {
            id,
            spec,
            state: JobState::Queued,
            generation: Generation(0),
            roster: Vec::new(),
            entered: None,
            reached: Step(0),
            saved: None,
            checkpoints: Vec::new(),
            so_far: SoFar::default(),
            data: None,
            fingerprint: None,
            calibrated: false,
            seen: BTreeSet::new(),
            pause_wished: false,
            parked: false,
            ready: BTreeMap::new(),
            standings: BTreeMap::new(),
            unfit: BTreeMap::new(),
            frozen: false,
            given_up: false,
            gathering_since: None,
            closed_at: None,
            moved_at: None,
            failures: 0,
            blamed: BTreeMap::new(),
            set_aside: BTreeMap::new(),
            cannot_save: false,
            asked: None,
            beat: None,
            slow: None,
            imbalance: None,
            incident: None,
            waits_for: None,
        }
    }

    /// Why it does not run, or why it failed.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match &self.state {
            JobState::Failed(why) => Some(why.clone()),
            JobState::Lost => Some(format!(
                "every member of generation {} is silent; waiting for one of them (or give them up to go back to the last checkpoint)",
                self.generation
            )),
            JobState::Queued => self.waits_for.clone(),
            _ => None,
        }
    }

    /// What the first member last said of its progress.
    #[must_use]
    pub fn progress(&self) -> Option<&Beat> {
        self.beat.as_ref()
    }

    /// What this worker last said as a member of its generation.
    pub(super) fn beat_of<'w>(&self, worker: &'w Worker) -> Option<&'w Beat> {
        worker.beat.as_ref().filter(|beat| beat.job == self.id && beat.generation == self.generation)
    }

    /// Whether one of its members has waited for the others, or been silent, for a while: whatever was said of its speed is old.
    #[must_use]
    pub fn stands<'w>(&self, members: impl IntoIterator<Item = &'w Worker>, now: Duration) -> bool {
        let waits = |member: &'w Worker| {
            let silent = now.saturating_sub(member.heard);
            Some(silent.max(Duration::from_millis(self.beat_of(member)?.waits_ms)))
        };
        members.into_iter().filter_map(waits).max().is_none_or(|waits| waits >= STANDS_AFTER)
    }

    /// What is out of balance, once, when it has been for a while.
    pub(super) fn heard_imbalance(&mut self, beat: &Beat) -> Option<Imbalance> {
        let found = balance::imbalance(&beat.losses, &self.spec.what, beat.step);
        let (known, beats) = self.imbalance.unzip();
        let is_said = beats.is_some_and(|beats| beats >= UNBALANCED_BEATS);
        match (found, known) {
            (Some(found), Some(known)) if found.is_alike(known) => {
                let beats = beats.unwrap_or(0).saturating_add(1);
                self.imbalance = Some((found, beats));
                (beats == UNBALANCED_BEATS).then_some(found)
            }
            // What was said is said again only if it is another.
            (None, _) if is_said => None,
            (found, _) => {
                self.imbalance = found.map(|found| (found, 1));
                None
            }
        }
    }

    /// How many workers it would like to have.
    pub(super) fn wanted(&self) -> usize {
        self.spec.how.workers.max.min(self.spec.what.train.lanes) as usize
    }

    pub(super) fn least(&self) -> usize {
        (self.spec.how.workers.min as usize).clamp(1, self.wanted().max(1))
    }

    pub(super) fn has_history(&self) -> bool {
        self.spec.what.train.history.size > 0
    }

    /// Over, and now wanted again: a new life that starts from the checkpoint. Generations go on counting (C-2).
    pub(super) fn queue_again(&mut self) {
        self.state = JobState::Queued;
        self.pause_wished = false;
        self.frozen = true;
        self.given_up = true;
        self.entered = None;
        self.roster.clear();
        self.unfit.clear();
        self.set_aside.clear();
        self.gathering_since = None;
        self.failures = 0;
        if self.generation == Generation(0) {
            // It never began: what its first ready worker said binds nobody.
            self.data = None;
            self.fingerprint = None;
        }
    }

    pub(super) fn finish(&mut self, state: JobState) {
        self.state = state;
        self.standings.clear();
        self.ready.clear();
        self.waits_for = None;
    }

    /// Why this worker cannot share a run with the others, if so.
    pub(super) fn misfit(&mut self, readiness: &Readiness) -> Option<String> {
        let data = *self.data.get_or_insert(readiness.data);
        if data != readiness.data {
            return Some(format!(
                "its images are not the ones the run began with (data {}, the run has {}): give every worker the same files",
                readiness.data.short(),
                data.short()
            ));
        }
        let fingerprint = self.fingerprint.get_or_insert_with(|| readiness.fingerprint.clone());
        if *fingerprint != readiness.fingerprint {
            return Some(format!(
                "its numbers would differ from the run's (it has {}; the run has {fingerprint}): a run needs one kind of machine",
                readiness.fingerprint
            ));
        }
        let lambda = self.spec.what.train.lambda;
        if let Some((theirs, ours)) = readiness.lambda.zip(lambda).filter(|(theirs, ours)| theirs != ours) {
            return Some(format!(
                "it calibrated lambda to {theirs}, and the run has {ours}: a run needs one kind of machine"
            ));
        }
        None
    }

    /// The number that a ready worker found, if the spec still asks for it.
    pub(super) fn calibrate(&mut self, readiness: &Readiness) -> Option<f64> {
        let lambda = &mut self.spec.what.train.lambda;
        if lambda.is_none() {
            *lambda = readiness.lambda;
            self.calibrated = lambda.is_some();
            return *lambda;
        }
        None
    }

    /// This spec as a spec of this job: where it leaves lambda open as this job's did, it has what was found. The same images and
    /// the same discriminator give the same number, and nothing is gained by looking for it again.
    #[must_use]
    pub fn resolved(&self, spec: &Spec) -> Spec {
        let mut spec = spec.clone();
        if self.calibrated && spec.what.train.lambda.is_none() {
            spec.what.train.lambda = self.spec.what.train.lambda;
        }
        spec
    }

    /// A member of the last generation opened, or of the last one entered.
    pub(super) fn was_member(&self, worker: &WorkerId) -> bool {
        let entered = self.entered.as_ref().is_some_and(|(_, roster)| roster.contains(worker));
        entered || self.roster.contains(worker)
    }

    /// Whoever holds the state of the last generation has entered it, even if the word of that was lost.
    pub(super) fn learn(&mut self, worker: &WorkerId, standing: &Standing) {
        let Some(holds) = standing.holds else { return };
        let unheard = !self.parked && self.entered.as_ref().is_none_or(|(entered, _)| *entered < holds.generation);
        if unheard && holds.generation == self.generation && self.roster.contains(worker) {
            self.entered = Some((holds.generation, self.roster.clone()));
            self.failures = 0;
            if self.state.is_open() {
                self.state = JobState::Running;
            }
        }
    }

    /// Why this worker and those that are ready cannot reach each other, if so: a loopback address is this machine, whatever
    /// machine one is on.
    pub(super) fn out_of_reach(&self, worker: &WorkerId, workers: &super::Workers) -> Option<String> {
        let seat = |id: &WorkerId| workers.get(id).map(|known| &known.seat);
        let mine = seat(worker)?;
        let unreached = self.ready.keys().filter_map(seat).find_map(|theirs| {
            let inside = [mine, theirs].into_iter().find(|seat| seat.store.ip().is_loopback())?;
            (theirs.node != mine.node).then_some((theirs, inside))
        });
        let (theirs, inside) = unreached?;
        Some(format!(
            "it is on {} and {} is on {}, but {} gave the address {}, which only its own machine reaches: start that one with --host \
             ADDRESS, or with the coordinator's address in the network",
            mine.node,
            theirs.worker,
            theirs.node,
            inside.worker,
            inside.store.ip()
        ))
    }

    /// Returns whether this is the first member to enter.
    pub(super) fn enter(&mut self, worker: &WorkerId, generation: Generation, step: Step) -> bool {
        self.standings.remove(worker);
        self.failures = 0;
        self.blamed.clear();
        self.set_aside.retain(|known, _| !self.roster.contains(known));
        let first = self.entered.as_ref().is_none_or(|(entered, _)| *entered < generation);
        if first {
            self.reached = step;
            self.entered = Some((generation, self.roster.clone()));
            if self.state.is_open() {
                self.state = JobState::Running;
            }
        }
        first
    }

    pub(super) fn blame(&mut self, why: &Leaving) {
        if let Leaving::Unformed { unreached, .. } = why {
            for worker in unreached {
                *self.blamed.entry(worker.clone()).or_default() += 1;
            }
        }
    }

    /// Closes the open generation, if it is this one: because of a failure, or by agreement. `knows`: who needs not be told.
    pub(super) fn close(
        &mut self,
        now: Duration,
        knows: Option<&WorkerId>,
        cause: Option<Cause>,
        generation: Generation,
        others: Others,
        actions: &mut Vec<Action>,
    ) {
        if !self.state.is_open() || generation != self.generation {
            return;
        }
        if self.state == JobState::Forming {
            self.failures += 1;
        }
        self.state = JobState::Queued;
        self.closed_at = Some(now);
        self.beat = None;
        let why = cause.as_ref().map(ToString::to_string);
        // Beats come every second: a moment says nothing.
        let stood = self.moved_at.take().map(|moved| now.saturating_sub(moved));
        let stood = stood.filter(|stood| cause.is_some() && *stood >= STOOD_LEAST).unwrap_or_default();
        actions.push(Action::Note(Fact::GenerationClosed { job: self.id.clone(), generation, why, stood }));
        if let Some(cause) = cause {
            let broken = Incident::new(self.id.clone(), generation, self.roster.len(), cause);
            let incident = || (now, Incident { stood, ..broken });
            self.incident.get_or_insert_with(incident);
        }
        if others == Others::AreTold {
            let order = Order::Close { job: self.id.clone(), generation };
            let others = self.roster.iter().filter(|member| Some(*member) != knows);
            actions.extend(others.map(|member| Action::Tell(member.clone(), order.clone())));
        }
    }

    /// An attempt with it costs everybody a pause.
    pub(super) fn set_aside(&mut self, now: Duration, worker: WorkerId) {
        let times = self.set_aside.get(&worker).map_or(0, |aside| aside.times) + 1;
        let until = now + SET_ASIDE_FOR * (1 << (times - 1).min(SET_ASIDE_DOUBLINGS));
        self.set_aside.insert(worker, SetAside { until, times });
    }

    pub(super) fn is_set_aside(&self, now: Duration, worker: &WorkerId) -> bool {
        self.set_aside.get(worker).is_some_and(|aside| now < aside.until)
    }

    /// Ready workers outside the last roster that could take part now.
    pub(super) fn newcomers<'a>(&'a self, workers: &'a super::Workers) -> impl Iterator<Item = &'a WorkerId> {
        self.ready.keys().filter(|id| {
            let is_here = |known: &Worker| {
                known.presence == super::Presence::Here && known.job.as_ref() == Some(&self.id) && !known.is_leaving()
            };
            !self.roster.contains(*id)
                && self.stands_outside(id)
                && workers.get(*id).is_some_and(|known| is_here(known))
        })
    }
}
