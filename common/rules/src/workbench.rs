//! A worker's side of a job in pieces: those it was given, those it has written, and what it says of them.
//!
//! The counterpart of [`leases`](crate::leases), in the form of [`member`](crate::member): `step(event) -> reports`, and
//! [`Workbench::next`] says what is carried out. It refuses to know files, images and streams.

#[cfg(test)]
mod tests;

use crate::{
    conversation::{Order, Readiness, Report, Standing},
    ids::{Digest, JobId},
    leases::{Attempt, Held, Receipt, Shard},
    piecework::Piecework,
};
use std::collections::{BTreeMap, VecDeque};

#[derive(Clone, Debug)]
pub enum Event {
    /// Data opened, refiners loaded.
    Prepared(Readiness),
    Unprepared(String),
    /// The next shard is under way.
    Took,
    /// Whole and durable.
    Wrote {
        attempt: Attempt,
        shard: Shard,
        receipt: Receipt,
    },
    Failed {
        attempt: Attempt,
        shard: Shard,
        why: String,
    },
    /// What was to be published or discarded is.
    Settled,
    Sealed,
    Unsealed(String),
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    Prepare,
    /// Give this attempt's files their names.
    Publish {
        attempt: Attempt,
        shard: Shard,
    },
    Discard {
        attempt: Attempt,
        shard: Shard,
    },
    /// As soon as there is room for it.
    Take {
        attempt: Attempt,
        shard: Shard,
    },
    Seal {
        receipts: Digest,
        quarantined: &'a [(Shard, String)],
    },
    /// Nothing but what is under way, until the coordinator speaks.
    Wait,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Workbench {
    job: JobId,
    work: Box<Piecework>,
    stage: Stage,
    ready: Option<Readiness>,
    /// Not yet begun, in order.
    waiting: VecDeque<(Attempt, Shard)>,
    begun: Vec<(Attempt, Shard)>,
    wrote: BTreeMap<(Attempt, Shard), Receipt>,
    /// Attempts that are to be published, or to be discarded.
    verdicts: VecDeque<(Verdict, Attempt, Shard)>,
    asks: bool,
    done: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Preparing,
    Working,
    Sealing {
        receipts: Digest,
        quarantined: Vec<(Shard, String)>,
    },
    /// Nothing more to do but to be released.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Publish,
    Discard,
}

impl Workbench {
    #[must_use]
    pub fn new(job: JobId, work: Box<Piecework>) -> Self {
        Self {
            job,
            work,
            stage: Stage::Preparing,
            ready: None,
            waiting: VecDeque::new(),
            begun: Vec::new(),
            wrote: BTreeMap::new(),
            verdicts: VecDeque::new(),
            asks: false,
            done: 0,
        }
    }

    #[must_use]
    pub fn job(&self) -> &JobId {
        &self.job
    }

    #[must_use]
    pub fn work(&self) -> &Piecework {
        &self.work
    }

    /// It failed to prepare: told again, it tries again.
    #[must_use]
    pub fn is_unprepared(&self) -> bool {
        self.stage == Stage::Over && self.ready.is_none()
    }

    /// Shards written here so far.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done
    }

    #[must_use]
    pub fn is_sealing(&self) -> bool {
        matches!(self.stage, Stage::Sealing { .. })
    }

    #[must_use]
    pub fn standing(&self) -> Standing {
        let mut leases: BTreeMap<Attempt, Vec<Shard>> = BTreeMap::new();
        for (attempt, shard) in self.begun.iter().chain(&self.waiting) {
            leases.entry(*attempt).or_default().push(*shard);
        }
        let wrote = self.wrote.iter().map(|((attempt, shard), receipt)| (*attempt, *shard, *receipt)).collect();
        let held = Held { leases: leases.into_iter().collect(), wrote, asks: self.asks };
        Standing { ready: self.ready.clone(), held, ..Standing::outside(self.job.clone()) }
    }

    #[must_use]
    pub fn next(&self) -> Next<'_> {
        if let Stage::Preparing = self.stage {
            return Next::Prepare;
        }
        match (self.verdicts.front(), self.waiting.front(), &self.stage) {
            (Some((Verdict::Publish, attempt, shard)), ..) => Next::Publish { attempt: *attempt, shard: *shard },
            (Some((Verdict::Discard, attempt, shard)), ..) => Next::Discard { attempt: *attempt, shard: *shard },
            (None, Some((attempt, shard)), _) => Next::Take { attempt: *attempt, shard: *shard },
            (None, None, Stage::Sealing { receipts, quarantined }) => Next::Seal { receipts: *receipts, quarantined },
            (None, None, _) => Next::Wait,
        }
    }

    pub fn told(&mut self, order: Order) {
        match order {
            Order::Lease { attempt, shards, .. } => {
                self.asks = false;
                self.waiting.extend(shards.into_iter().map(|shard| (attempt, shard)));
            }
            Order::Publish { attempt, shard, .. } => self.judge(Verdict::Publish, attempt, shard),
            Order::Discard { attempt, shard, .. } => self.judge(Verdict::Discard, attempt, shard),
            Order::Seal { receipts, quarantined, .. } => self.stage = Stage::Sealing { receipts, quarantined },
            _ => {}
        }
    }

    /// Heard twice, it is carried out once.
    fn judge(&mut self, verdict: Verdict, attempt: Attempt, shard: Shard) {
        if self.wrote.remove(&(attempt, shard)).is_some() {
            self.verdicts.push_back((verdict, attempt, shard));
        }
    }

    pub fn step(&mut self, event: Event) -> Vec<Report> {
        let job = self.job.clone();
        match event {
            Event::Prepared(readiness) => {
                self.ready = Some(readiness.clone());
                self.stage = Stage::Working;
                self.asks = true;
                vec![Report::Ready { job: job.clone(), readiness }, Report::Asks { job }]
            }
            Event::Unprepared(why) | Event::Unsealed(why) => {
                self.stage = Stage::Over;
                vec![Report::Unable { job, why }]
            }
            Event::Took => {
                self.begun.extend(self.waiting.pop_front());
                self.ask_when_short()
            }
            Event::Wrote { attempt, shard, receipt } => {
                self.begun.retain(|begun| *begun != (attempt, shard));
                self.wrote.insert((attempt, shard), receipt);
                self.done += 1;
                vec![Report::Wrote { job, attempt, shard, receipt }]
            }
            Event::Failed { attempt, shard, why } => {
                self.begun.retain(|begun| *begun != (attempt, shard));
                vec![Report::Failed { job, attempt, shard, why }]
            }
            Event::Settled => {
                self.verdicts.pop_front();
                vec![]
            }
            Event::Sealed => {
                self.stage = Stage::Over;
                vec![Report::Sealed { job }]
            }
        }
    }

    /// Before what it has is used up, so that it does not stand still meanwhile.
    fn ask_when_short(&mut self) -> Vec<Report> {
        if !self.waiting.is_empty() || self.asks {
            return vec![];
        }
        self.asks = true;
        vec![Report::Asks { job: self.job.clone() }]
    }
}
