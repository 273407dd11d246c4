//! What one picture alone does not say: how often something has happened since this coordinator started.
//!
//! Fed with every picture, or with every so many: facts are numbered, and what a job counts never gets less. Counters begin at 0
//! with the coordinator, as Prometheus expects it of a process that starts: what the state directory remembers of earlier days is
//! no increase of today, and what a new job has done before anybody looked is one. Knows nothing of clocks and of how it is written.

use super::metrics::{KEPT_FOR, stands_at};
use crate::{
    picture::{Entry, Noted, Picture, Work},
    spread::Spread,
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};
use sumac_common::{
    cluster::{Cause, Fact, Loss},
    ids::JobId,
};

/// What began a failure.
const CLASSES: [&str; 11] = [
    "died",
    "unattached",
    "silent",
    "left",
    "evicted",
    "standstill",
    "broke",
    "all-lost",
    "checkpoint-failed",
    "shards-returned",
    "shard-quarantined",
];
/// Upper bounds of the buckets of recoveries, in seconds.
const BOUNDS: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

#[derive(Debug)]
pub(super) struct Tally {
    /// The number of the next fact.
    next: u64,
    incidents: BTreeMap<&'static str, u64>,
    /// How long failures lasted.
    recoveries: Spread,
    jobs: BTreeMap<JobId, Tallied>,
}

#[derive(Debug)]
pub(super) struct Tallied {
    pub(super) steps: Climb,
    pub(super) repeated: Climb,
    pub(super) refined: Climb,
    pub(super) bad: Climb,
    /// When its last checkpoint was.
    pub(super) saved: Option<SystemTime>,
    /// It was submitted to this coordinator.
    is_new: bool,
    over: Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    No,
    Since(Duration),
    /// For long, or since before this coordinator.
    Forgotten,
}

/// A number that may be told lower than it was, as one that only grows from 0 on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Climb {
    from: Option<u64>,
    highest: u64,
}

impl Climb {
    fn from(start: u64) -> Self {
        Self { from: Some(start), highest: start }
    }

    fn reach(&mut self, height: u64) {
        self.from.get_or_insert(height);
        self.highest = self.highest.max(height);
    }

    pub(super) fn count(&self) -> u64 {
        self.highest.saturating_sub(self.from.unwrap_or(self.highest))
    }
}

impl Tally {
    /// From the first picture of a coordinator on: what stands in it was before.
    pub(super) fn begin(picture: &Picture) -> Self {
        let incidents = CLASSES.into_iter().map(|class| (class, 0)).collect();
        let remembered = |entry: &Arc<Entry>| (entry.id().clone(), Tallied::remembered(entry));
        let jobs = picture.jobs.iter().map(remembered).collect();
        let mut tally = Self { next: picture.facts.next(), incidents, recoveries: Spread::within(&BOUNDS), jobs };
        for (_, Noted { at, fact }) in picture.facts.since(0) {
            tally.heed_checkpoint(*at, fact);
        }
        tally
    }

    /// A later picture.
    pub(super) fn see(&mut self, picture: &Picture, up: Duration) {
        for entry in &picture.jobs {
            if !self.jobs.contains_key(entry.id()) {
                self.jobs.insert(entry.id().clone(), Tallied::new());
            }
        }
        for (number, Noted { at, fact }) in picture.facts.since(self.next) {
            self.next = number + 1;
            self.heed_checkpoint(*at, fact);
            self.heed_beginning(fact);
            if let Some(class) = class_of(fact) {
                *self.incidents.entry(class).or_default() += 1;
            }
            if let Fact::Incident(incident) = fact
                && let Some(mended) = &incident.mended
            {
                self.recoveries.add(mended.after);
            }
        }
        for entry in &picture.jobs {
            if let Some(known) = self.jobs.get_mut(entry.id()) {
                known.see(entry, up);
            }
        }
    }

    /// A new run begins where it first enters: at 0, or at a checkpoint that lay there.
    fn heed_beginning(&mut self, fact: &Fact) {
        if let Fact::GenerationEntered { job, step, .. } = fact
            && let Some(known) = self.jobs.get_mut(job).filter(|known| known.is_new)
        {
            known.steps.reach(step.0);
        }
    }

    fn heed_checkpoint(&mut self, at: SystemTime, fact: &Fact) {
        if let Fact::CheckpointSaved { job, .. } | Fact::JobParked { job, .. } = fact
            && let Some(known) = self.jobs.get_mut(job)
        {
            known.saved = Some(at);
        }
    }

    pub(super) fn incidents(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.incidents.iter().map(|(class, count)| (*class, *count))
    }

    pub(super) fn recoveries(&self) -> &Spread {
        &self.recoveries
    }

    pub(super) fn job(&self, id: &JobId) -> Option<&Tallied> {
        self.jobs.get(id)
    }

    /// Whether it is not over, or not for long.
    pub(super) fn shows(&self, id: &JobId, up: Duration) -> bool {
        self.jobs.get(id).is_some_and(|known| known.is_shown(up))
    }
}

impl Tallied {
    fn new() -> Self {
        let [repeated, refined, bad] = [Climb::from(0); 3];
        Self { steps: Climb::default(), repeated, refined, bad, saved: None, is_new: true, over: Over::No }
    }

    fn remembered(entry: &Entry) -> Self {
        let [steps, repeated, refined, bad] = heights(entry).map(Climb::from);
        let is_over = entry.state().is_over();
        // How far one that is not over has come since it was saved, its first beat will tell.
        let steps = if is_over { steps } else { Climb::default() };
        let over = if is_over { Over::Forgotten } else { Over::No };
        Self { steps, repeated, refined, bad, saved: None, is_new: false, over }
    }

    fn see(&mut self, entry: &Entry, up: Duration) {
        let [steps, repeated, refined, bad] = heights(entry);
        let is_told = match &entry.work {
            Work::Run(job) => !self.is_new && job.progress().is_some(),
            Work::Pieces(_) => false,
        };
        if self.steps.from.is_some() || is_told {
            self.steps.reach(steps);
        }
        self.repeated.reach(repeated);
        self.refined.reach(refined);
        self.bad.reach(bad);
        self.over = match self.over {
            _ if !entry.state().is_over() => Over::No,
            Over::No => Over::Since(up),
            over if self.is_shown(up) => over,
            _ => Over::Forgotten,
        };
    }

    fn is_shown(&self, up: Duration) -> bool {
        match self.over {
            Over::No => true,
            Over::Since(since) => up.saturating_sub(since) < KEPT_FOR,
            Over::Forgotten => false,
        }
    }
}

/// Steps committed, of these done again; images refined, images that are bad.
fn heights(entry: &Entry) -> [u64; 4] {
    match &entry.work {
        Work::Run(job) => {
            let repeated = job.so_far.steps_redone;
            // Where it stands falls by as much as this grows when steps are done again.
            [stands_at(job).0 + repeated, repeated, 0, 0]
        }
        Work::Pieces(overview) => [0, 0, overview.counts.refined, overview.counts.bad],
    }
}

/// One of [`CLASSES`], of a fact that is a failure.
fn class_of(fact: &Fact) -> Option<&'static str> {
    match fact {
        Fact::Incident(incident) => Some(match &incident.cause {
            Cause::Lost { why: Loss::Died, .. } => "died",
            Cause::Lost { why: Loss::Unattached, .. } => "unattached",
            Cause::Lost { why: Loss::Silent, .. } => "silent",
            Cause::Lost { why: Loss::Left, .. } => "left",
            Cause::Evicted { .. } => "evicted",
            Cause::Standstill { .. } => "standstill",
            Cause::Said { .. } => "broke",
        }),
        Fact::AllLost { .. } => Some("all-lost"),
        Fact::CheckpointFailed { .. } => Some("checkpoint-failed"),
        Fact::ShardsReturned { .. } => Some("shards-returned"),
        Fact::ShardQuarantined { .. } => Some("shard-quarantined"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_falls_back_is_counted_once() {
        let mut steps = Climb::from(100);
        let counted: Vec<u64> = [100, 170, 160, 170, 180].map(|height| (steps.reach(height), steps.count()).1).into();
        assert_eq!(counted, [0, 70, 70, 70, 80]);
    }

    #[test]
    fn what_is_remembered_counts_from_the_first_word_on() {
        let mut steps = Climb::default();
        assert_eq!(steps.count(), 0);
        steps.reach(4_213);
        assert_eq!(steps.count(), 0);
        steps.reach(4_215);
        assert_eq!(steps.count(), 2);
    }
}
