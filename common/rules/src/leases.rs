//! The life of a refinement's shards: who works on which, and whose attempt counts.
//!
//! A shard is a run of input images. Workers pull: each asks for work, gets a *lease* of some shards, sized by time, and says of
//! each shard when its output is whole. The first whole attempt of a shard is committed, and every later one is told to delete
//! its file: what an attempt writes is a function of the job alone, so any of them will do. A shard that failed in so many hands
//! is quarantined with the reasons.
//!
//! The same form as [`cluster`](crate::cluster): `step(now, event) -> actions`. `now` is a duration on the coordinator's own
//! monotonic clock. It refuses to know files, images, streams and stores.
//!
//! F-1 each input image is exactly once in the outputs or in the error list: a shard is committed once, or quarantined.

#[cfg(test)]
mod tests;

use crate::ids::{Digest, Term, WorkerId};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

/// The index of a shard in the frozen input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shard(pub u32);

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One lease, and what names the files written under it: no two are alike, whatever the coordinator forgot when it died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attempt {
    pub term: Term,
    pub number: u64,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.term, self.number)
    }
}

#[derive(Clone, Debug)]
pub struct Settings {
    /// A lease of which nothing was heard for so long is over.
    pub lease_for: Duration,
    /// How much work a lease is to hold.
    pub work_for: Duration,
    /// Shards in a lease, at most.
    pub shards_max: usize,
    /// In so many hands a shard may fail.
    pub failures_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { lease_for: Duration::from_secs(30), work_for: Duration::from_secs(10), shards_max: 64, failures_max: 3 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This worker has nothing to do.
    Asked {
        worker: WorkerId,
    },
    /// It attached again and still works on this. All of it gets a fresh term.
    Works {
        worker: WorkerId,
        attempt: Attempt,
        shards: Vec<Shard>,
    },
    /// The output of this shard is whole and durable.
    Wrote {
        worker: WorkerId,
        attempt: Attempt,
        shard: Shard,
        receipt: Digest,
    },
    /// It cannot be done in these hands.
    Failed {
        worker: WorkerId,
        attempt: Attempt,
        shard: Shard,
        why: String,
    },
    /// It is heard: its leases go on.
    Heard {
        worker: WorkerId,
    },
    /// It is gone, or was let go.
    Gone {
        worker: WorkerId,
    },
    Tick,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Durable before the actions that follow.
    Commit {
        shard: Shard,
        attempt: Attempt,
        receipt: Digest,
    },
    /// Durable before the actions that follow: who it failed with, and why.
    Quarantine {
        shard: Shard,
        failures: Vec<(WorkerId, String)>,
    },
    Grant {
        worker: WorkerId,
        attempt: Attempt,
        shards: Vec<Shard>,
    },
    /// This attempt came too late: its file is to be deleted.
    Discard {
        worker: WorkerId,
        attempt: Attempt,
        shard: Shard,
    },
    /// Every shard is committed or quarantined.
    Finish,
}

/// What a coordinator that starts has to know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub committed: BTreeSet<Shard>,
    pub quarantined: BTreeSet<Shard>,
}

#[derive(Clone, Debug)]
struct Lease {
    worker: WorkerId,
    /// Those not yet written, in order.
    shards: BTreeSet<Shard>,
    since: Duration,
    until: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// In nobody's hands, or in somebody's.
    Open,
    Committed,
    Quarantined,
}

/// All shards of one refinement.
#[derive(Clone, Debug)]
pub struct Leases {
    settings: Settings,
    term: Term,
    lives: Vec<Life>,
    /// Those that are open.
    open: usize,
    /// Open, and in no lease: these, and all from `fresh` on.
    returned: BTreeSet<Shard>,
    fresh: Shard,
    leases: BTreeMap<Attempt, Lease>,
    failures: BTreeMap<Shard, Vec<(WorkerId, String)>>,
    /// Mean time of a shard, by everybody who ever asked and is not gone.
    pace: BTreeMap<WorkerId, Option<Duration>>,
    last: u64,
}

impl Leases {
    /// `count` shards, of which some were finished in earlier terms.
    #[must_use]
    pub fn new(settings: Settings, term: Term, count: u32, kept: &Kept) -> Self {
        let life = |shard: Shard| match () {
            () if kept.committed.contains(&shard) => Life::Committed,
            () if kept.quarantined.contains(&shard) => Life::Quarantined,
            () => Life::Open,
        };
        let lives: Vec<Life> = (0..count).map(|index| life(Shard(index))).collect();
        Self {
            settings,
            term,
            open: lives.iter().filter(|life| **life == Life::Open).count(),
            lives,
            returned: BTreeSet::new(),
            fresh: Shard(0),
            leases: BTreeMap::new(),
            failures: BTreeMap::new(),
            pace: BTreeMap::new(),
            last: 0,
        }
    }

    /// Shards that are neither committed nor quarantined.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open
    }

    pub fn step(&mut self, now: Duration, event: Event) -> Vec<Action> {
        self.expire(now);
        match event {
            Event::Asked { worker } => self.asked(now, worker),
            Event::Works { worker, attempt, shards } => {
                self.works(now, worker, attempt, shards);
                vec![]
            }
            Event::Wrote { worker, attempt, shard, receipt } => self.wrote(now, worker, attempt, shard, receipt),
            Event::Failed { worker, attempt, shard, why } => self.failed(worker, attempt, shard, why),
            Event::Heard { worker } => {
                let until = now + self.settings.lease_for;
                self.leases.values_mut().filter(|lease| lease.worker == worker).for_each(|lease| lease.until = until);
                vec![]
            }
            Event::Gone { worker } => {
                self.pace.remove(&worker);
                self.end_leases(|lease| lease.worker == worker);
                vec![]
            }
            Event::Tick => vec![],
        }
    }

    fn asked(&mut self, now: Duration, worker: WorkerId) -> Vec<Action> {
        self.pace.entry(worker.clone()).or_default();
        if self.open == 0 {
            return vec![Action::Finish];
        }
        let shards = self.choose(&worker);
        let shards = if shards.is_empty() { self.backup(now, &worker).into_iter().collect() } else { shards };
        if shards.is_empty() {
            return vec![];
        }
        self.last += 1;
        let attempt = Attempt { term: self.term, number: self.last };
        self.lease(now, worker.clone(), attempt, shards.iter().copied());
        vec![Action::Grant { worker, attempt, shards }]
    }

    fn lease(&mut self, now: Duration, worker: WorkerId, attempt: Attempt, shards: impl Iterator<Item = Shard>) {
        let lease = Lease { worker, shards: shards.collect(), since: now, until: now + self.settings.lease_for };
        self.leases.insert(attempt, lease);
    }

    /// Open shards in nobody's hands: as many as this worker does in the time of a lease, fewer towards the end, so that all
    /// end together.
    fn choose(&mut self, worker: &WorkerId) -> Vec<Shard> {
        let pace = self.pace.get(worker).copied().flatten();
        let by_time = pace.map_or(1, |pace| self.settings.work_for.as_micros() / pace.as_micros().max(1));
        let by_rest = self.open / (2 * self.pace.len().max(1));
        let most = usize::try_from(by_time).unwrap_or(usize::MAX).min(by_rest).clamp(1, self.settings.shards_max);
        let mut chosen = Vec::new();
        for shard in self.returned.clone() {
            if chosen.len() < most && self.may_try(worker, shard) {
                self.returned.remove(&shard);
                chosen.push(shard);
            }
        }
        while chosen.len() < most && self.fresh.0 < self.lives.len() as u32 {
            let shard = self.fresh;
            self.fresh.0 += 1;
            if self.life(shard) == Life::Open && !self.is_leased(shard) {
                chosen.push(shard);
            }
        }
        chosen
    }

    /// Another one is to try what failed in these hands, as long as there is another one.
    fn may_try(&self, worker: &WorkerId, shard: Shard) -> bool {
        let failed = |worker: &WorkerId| {
            self.failures.get(&shard).is_some_and(|failures| failures.iter().any(|(known, _)| known == worker))
        };
        !failed(worker) || self.pace.keys().all(failed)
    }

    /// The shard that has been in somebody else's hands the longest, and in nobody's besides: whoever is idle tries it, too.
    fn backup(&self, now: Duration, worker: &WorkerId) -> Option<Shard> {
        let late = |lease: &&Lease| lease.worker != *worker && now >= lease.since + self.settings.work_for;
        let mut slow: Vec<&Lease> = self.leases.values().filter(late).collect();
        slow.sort_by_key(|lease| lease.since);
        let alone = |shard: &Shard| self.leases.values().filter(|lease| lease.shards.contains(shard)).count() == 1;
        // The last of them is the one its worker comes to last.
        let candidates = slow.into_iter().flat_map(|lease| lease.shards.iter().rev());
        candidates.copied().find(|shard| alone(shard) && self.may_try(worker, *shard))
    }

    fn works(&mut self, now: Duration, worker: WorkerId, attempt: Attempt, shards: Vec<Shard>) {
        self.pace.entry(worker.clone()).or_default();
        let open: Vec<Shard> = shards.into_iter().filter(|shard| self.life(*shard) == Life::Open).collect();
        self.returned.retain(|shard| !open.contains(shard));
        if !open.is_empty() {
            self.lease(now, worker, attempt, open.into_iter());
        }
    }

    /// Compare and set: whoever comes first, under whatever lease.
    fn wrote(
        &mut self,
        now: Duration,
        worker: WorkerId,
        attempt: Attempt,
        shard: Shard,
        receipt: Digest,
    ) -> Vec<Action> {
        self.learn_pace(now, attempt, shard);
        if self.life(shard) != Life::Open {
            return vec![Action::Discard { worker, attempt, shard }];
        }
        self.end(shard, Life::Committed);
        self.and_finish(Action::Commit { shard, attempt, receipt })
    }

    fn failed(&mut self, worker: WorkerId, attempt: Attempt, shard: Shard, why: String) -> Vec<Action> {
        if self.life(shard) != Life::Open {
            return vec![];
        }
        if let Some(lease) = self.leases.get_mut(&attempt) {
            lease.shards.remove(&shard);
        }
        self.leases.retain(|_, lease| !lease.shards.is_empty());
        let failures = self.failures.entry(shard).or_default();
        failures.push((worker, why));
        if failures.len() >= self.settings.failures_max {
            let failures = std::mem::take(failures);
            self.end(shard, Life::Quarantined);
            return self.and_finish(Action::Quarantine { shard, failures });
        }
        self.give_back([shard]);
        vec![]
    }

    fn and_finish(&self, action: Action) -> Vec<Action> {
        if self.open == 0 { vec![action, Action::Finish] } else { vec![action] }
    }

    fn end(&mut self, shard: Shard, life: Life) {
        self.lives[shard.0 as usize] = life;
        self.open -= 1;
        self.returned.remove(&shard);
        self.failures.remove(&shard);
        self.leases.retain(|_, lease| {
            lease.shards.remove(&shard);
            !lease.shards.is_empty()
        });
    }

    /// A shard beyond the input, which nobody leased, is as good as finished.
    fn life(&self, shard: Shard) -> Life {
        self.lives.get(shard.0 as usize).copied().unwrap_or(Life::Quarantined)
    }

    fn is_leased(&self, shard: Shard) -> bool {
        self.leases.values().any(|lease| lease.shards.contains(&shard))
    }

    /// The time since the lease began or its last shard was written, averaged.
    fn learn_pace(&mut self, now: Duration, attempt: Attempt, shard: Shard) {
        let Some(lease) = self.leases.get_mut(&attempt).filter(|lease| lease.shards.contains(&shard)) else { return };
        let took = now.saturating_sub(lease.since);
        lease.since = now;
        if let Some(pace) = self.pace.get_mut(&lease.worker) {
            *pace = Some(pace.map_or(took, |pace| (pace * 3 + took) / 4));
        }
    }

    fn expire(&mut self, now: Duration) {
        self.end_leases(|lease| lease.until <= now);
    }

    fn end_leases(&mut self, over: impl Fn(&Lease) -> bool) {
        let ended: Vec<Attempt> =
            self.leases.iter().filter(|(_, lease)| over(lease)).map(|(attempt, _)| *attempt).collect();
        for lease in ended.iter().filter_map(|attempt| self.leases.remove(attempt)).collect::<Vec<_>>() {
            self.give_back(lease.shards);
        }
    }

    /// To nobody's hands, unless somebody else still has it in his.
    fn give_back(&mut self, shards: impl IntoIterator<Item = Shard>) {
        for shard in shards {
            if self.life(shard) == Life::Open && !self.is_leased(shard) {
                self.returned.insert(shard);
            }
        }
    }
}
