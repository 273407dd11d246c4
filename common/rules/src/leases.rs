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
    str::FromStr,
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

impl FromStr for Attempt {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (term, number) = text.split_once('-').ok_or(())?;
        Ok(Self { term: Term(term.parse().map_err(drop)?), number: number.parse().map_err(drop)? })
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.term, self.number)
    }
}

/// What a whole attempt says of itself. Equal for equal attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Over the names and hashes of all that it wrote.
    pub digest: Digest,
    /// Images that came out.
    pub refined: u64,
    /// Images that are in the list of errors instead.
    pub bad: u64,
}

/// What became of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "fate")]
pub enum Fate {
    Committed {
        attempt: Attempt,
        receipt: Receipt,
    },
    /// It failed in so many hands, for these reasons: all its images are in the list of errors.
    Quarantined {
        why: String,
    },
}

/// The shards that are over, as a coordinator that starts has to know them.
pub type Kept = BTreeMap<Shard, Fate>;

/// What a worker has in its hands: said when it attaches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub leases: Vec<(Attempt, Vec<Shard>)>,
    /// Whole, and not yet known to count or not to count.
    pub wrote: Vec<(Attempt, Shard, Receipt)>,
    /// It could do with more.
    pub asks: bool,
}

/// Over the receipts of the committed shards, in their order.
#[must_use]
pub fn chain(receipts: impl IntoIterator<Item = Digest>) -> Digest {
    receipts.into_iter().fold(Digest::default(), |chain, receipt| chain.then(&receipt.0))
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
    /// This worker could do with more.
    Asked {
        worker: WorkerId,
    },
    /// It attached again. What it still works on gets a fresh term.
    Returned {
        worker: WorkerId,
        held: Held,
    },
    /// The output of this shard is whole and durable.
    Wrote {
        worker: WorkerId,
        attempt: Attempt,
        shard: Shard,
        receipt: Receipt,
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
    Keep {
        shard: Shard,
        fate: Fate,
    },
    Grant {
        worker: WorkerId,
        attempt: Attempt,
        shards: Vec<Shard>,
    },
    /// This attempt counts: its files get their names.
    Publish {
        worker: WorkerId,
        attempt: Attempt,
        shard: Shard,
    },
    /// This attempt came too late: its files are to be deleted.
    Discard {
        worker: WorkerId,
        attempt: Attempt,
        shard: Shard,
    },
}

#[derive(Clone, Debug)]
struct Lease {
    worker: WorkerId,
    /// Those not yet written, in order.
    shards: BTreeSet<Shard>,
    since: Duration,
    until: Duration,
}

/// How far it is, in shards and in images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub shards: u64,
    pub committed: u64,
    pub quarantined: u64,
    pub leased: u64,
    pub refined: u64,
    /// In committed shards.
    pub bad: u64,
}

/// All shards of one refinement.
#[derive(Clone, Debug)]
pub struct Leases {
    settings: Settings,
    term: Term,
    /// `None`: not over, whether leased or not.
    fates: Vec<Option<Fate>>,
    /// Of these, those that are quarantined: few, and asked for at every step.
    quarantined: BTreeSet<Shard>,
    counts: Counts,
    /// Nothing is granted before: those who worked when the last coordinator died are given the time to say so.
    quiet_until: Duration,
    /// Open, and in no lease: these, and all from `fresh` on.
    returned: BTreeSet<Shard>,
    fresh: Shard,
    leases: BTreeMap<Attempt, Lease>,
    failures: BTreeMap<Shard, Vec<(Attempt, WorkerId, String)>>,
    /// Mean time of a shard, by everybody who ever asked and is not gone.
    pace: BTreeMap<WorkerId, Option<Duration>>,
    /// Those who asked and got nothing yet.
    asking: BTreeSet<WorkerId>,
    last: u64,
}

impl Leases {
    /// `count` shards, of which some were finished in earlier terms.
    #[must_use]
    pub fn new(settings: Settings, term: Term, count: u32, kept: Kept, quiet_until: Duration) -> Self {
        let mut counts = Counts { shards: count.into(), ..Counts::default() };
        let mut fates = vec![None; count as usize];
        let mut quarantined = BTreeSet::new();
        for (shard, fate) in kept {
            // What is kept of another input is not this one's.
            let Some(known) = fates.get_mut(shard.0 as usize) else { continue };
            counts.add(&fate);
            if let Fate::Quarantined { .. } = fate {
                quarantined.insert(shard);
            }
            *known = Some(fate);
        }
        Self {
            settings,
            term,
            fates,
            quarantined,
            counts,
            quiet_until,
            returned: BTreeSet::new(),
            fresh: Shard(0),
            leases: BTreeMap::new(),
            failures: BTreeMap::new(),
            pace: BTreeMap::new(),
            asking: BTreeSet::new(),
            last: 0,
        }
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        let leased = self.leases.values().map(|lease| lease.shards.len() as u64).sum();
        Counts { leased, ..self.counts }
    }

    /// Every shard is committed or quarantined.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.open() == 0
    }

    fn open(&self) -> u64 {
        self.counts.shards - self.counts.committed - self.counts.quarantined
    }

    /// Over the receipts of the committed shards.
    #[must_use]
    pub fn chain(&self) -> Digest {
        chain(self.fates.iter().flatten().filter_map(|fate| match fate {
            Fate::Committed { receipt, .. } => Some(receipt.digest),
            Fate::Quarantined { .. } => None,
        }))
    }

    /// With the reasons.
    pub fn quarantined(&self) -> impl Iterator<Item = (Shard, &str)> {
        self.quarantined.iter().filter_map(|shard| match self.fates.get(shard.0 as usize)? {
            Some(Fate::Quarantined { why }) => Some((*shard, why.as_str())),
            _ => None,
        })
    }

    /// Those who worked when the last coordinator died will not come back: nobody waits for their word.
    pub fn give_up(&mut self) {
        self.quiet_until = Duration::ZERO;
    }

    /// What was quarantined gets another chance.
    pub fn pardon(&mut self) {
        let pardoned = std::mem::take(&mut self.quarantined);
        for shard in &pardoned {
            self.fates[shard.0 as usize] = None;
            self.counts.quarantined -= 1;
        }
        self.give_back(pardoned);
    }

    /// Shards in this worker's hands.
    #[must_use]
    pub fn held_by(&self, worker: &WorkerId) -> u64 {
        let of_it = self.leases.values().filter(|lease| lease.worker == *worker);
        of_it.map(|lease| lease.shards.len() as u64).sum()
    }

    pub fn step(&mut self, now: Duration, event: Event) -> Vec<Action> {
        self.expire(now);
        let mut actions = Vec::new();
        match event {
            Event::Asked { worker } => self.asked(worker),
            Event::Returned { worker, held } => self.take_back(now, &worker, held, &mut actions),
            Event::Wrote { worker, attempt, shard, receipt } => {
                self.wrote(now, worker, attempt, shard, receipt, &mut actions);
            }
            Event::Failed { worker, attempt, shard, why } => self.failed(worker, attempt, shard, why, &mut actions),
            Event::Heard { worker } => {
                let until = now + self.settings.lease_for;
                self.leases.values_mut().filter(|lease| lease.worker == worker).for_each(|lease| lease.until = until);
            }
            Event::Gone { worker } => {
                self.pace.remove(&worker);
                self.asking.remove(&worker);
                self.end_leases(|lease| lease.worker == worker);
            }
            Event::Tick => {}
        }
        self.serve(now, &mut actions);
        actions
    }

    fn asked(&mut self, worker: WorkerId) {
        self.pace.entry(worker.clone()).or_default();
        self.asking.insert(worker);
    }

    /// Gives those who asked what there is.
    fn serve(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if now < self.quiet_until || self.is_over() {
            return;
        }
        for worker in self.asking.clone() {
            let shards = self.choose(&worker);
            let shards = if shards.is_empty() { self.backup(now, &worker).into_iter().collect() } else { shards };
            if !shards.is_empty() {
                self.asking.remove(&worker);
                self.last += 1;
                let attempt = Attempt { term: self.term, number: self.last };
                self.lease(now, worker.clone(), attempt, shards.iter().copied());
                actions.push(Action::Grant { worker, attempt, shards });
            }
        }
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
        let by_rest = self.open() as usize / (2 * self.pace.len().max(1));
        let most = usize::try_from(by_time).unwrap_or(usize::MAX).min(by_rest).clamp(1, self.settings.shards_max);
        let mut chosen = Vec::new();
        for shard in self.returned.clone() {
            if chosen.len() < most && self.may_try(worker, shard) {
                self.returned.remove(&shard);
                chosen.push(shard);
            }
        }
        while chosen.len() < most && self.fresh.0 < self.fates.len() as u32 {
            let shard = self.fresh;
            self.fresh.0 += 1;
            if self.is_open(shard) && !self.is_leased(shard) {
                chosen.push(shard);
            }
        }
        chosen
    }

    /// Another one is to try what failed in these hands, as long as there is another one.
    fn may_try(&self, worker: &WorkerId, shard: Shard) -> bool {
        let failed = |worker: &WorkerId| {
            self.failures.get(&shard).is_some_and(|failures| failures.iter().any(|(_, known, _)| known == worker))
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

    fn take_back(&mut self, now: Duration, worker: &WorkerId, held: Held, actions: &mut Vec<Action>) {
        self.pace.entry(worker.clone()).or_default();
        // What it says it holds is all it holds.
        self.end_leases(|lease| lease.worker == *worker);
        self.asking.remove(worker);
        for (attempt, shards) in held.leases {
            let open: Vec<Shard> = shards.into_iter().filter(|shard| self.is_open(*shard)).collect();
            self.returned.retain(|shard| !open.contains(shard));
            if !open.is_empty() {
                self.lease(now, worker.clone(), attempt, open.into_iter());
            }
        }
        for (attempt, shard, receipt) in held.wrote {
            self.wrote(now, worker.clone(), attempt, shard, receipt, actions);
        }
        if held.asks {
            self.asking.insert(worker.clone());
        }
    }

    /// Compare and set: whoever comes first, under whatever lease.
    fn wrote(
        &mut self,
        now: Duration,
        worker: WorkerId,
        attempt: Attempt,
        shard: Shard,
        receipt: Receipt,
        actions: &mut Vec<Action>,
    ) {
        self.learn_pace(now, attempt, shard);
        let counts = match self.fates.get(shard.0 as usize) {
            Some(None) => {
                self.end(shard, Fate::Committed { attempt, receipt }, actions);
                true
            }
            // Said again by someone who did not hear the answer.
            Some(Some(Fate::Committed { attempt: first, .. })) => *first == attempt,
            Some(Some(Fate::Quarantined { .. })) | None => false,
        };
        actions.push(if counts {
            Action::Publish { worker, attempt, shard }
        } else {
            Action::Discard { worker, attempt, shard }
        });
    }

    fn failed(&mut self, worker: WorkerId, attempt: Attempt, shard: Shard, why: String, actions: &mut Vec<Action>) {
        if !self.is_open(shard) {
            return;
        }
        if let Some(lease) = self.leases.get_mut(&attempt) {
            lease.shards.remove(&shard);
        }
        self.leases.retain(|_, lease| !lease.shards.is_empty());
        let failures = self.failures.entry(shard).or_default();
        // A word that is said again counts once.
        if failures.iter().any(|(known, ..)| *known == attempt) {
            return;
        }
        failures.push((attempt, worker, why));
        if failures.len() >= self.settings.failures_max {
            let sentences: Vec<String> = failures.iter().map(|(_, worker, why)| format!("{worker}: {why}")).collect();
            self.end(shard, Fate::Quarantined { why: sentences.join("; ") }, actions);
        } else {
            self.give_back([shard]);
        }
    }

    fn end(&mut self, shard: Shard, fate: Fate, actions: &mut Vec<Action>) {
        self.counts.add(&fate);
        if let Fate::Quarantined { .. } = fate {
            self.quarantined.insert(shard);
        }
        self.fates[shard.0 as usize] = Some(fate.clone());
        self.returned.remove(&shard);
        self.failures.remove(&shard);
        self.leases.retain(|_, lease| {
            lease.shards.remove(&shard);
            !lease.shards.is_empty()
        });
        actions.push(Action::Keep { shard, fate });
    }

    /// A shard beyond the input, which nobody leased, is as good as finished.
    fn is_open(&self, shard: Shard) -> bool {
        self.fates.get(shard.0 as usize).is_some_and(Option::is_none)
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
            if self.is_open(shard) && !self.is_leased(shard) && shard < self.fresh {
                self.returned.insert(shard);
            }
        }
    }
}

impl Counts {
    fn add(&mut self, fate: &Fate) {
        match fate {
            Fate::Committed { receipt, .. } => {
                self.committed += 1;
                self.refined += receipt.refined;
                self.bad += receipt.bad;
            }
            Fate::Quarantined { .. } => self.quarantined += 1,
        }
    }
}
