//! What readers see: the jobs, the workers and the latest facts as they were after the last event.
//!
//! Published whole by the driver, read without asking it. What did not change is shared with the picture before. Times of day are
//! here for people only; no decision reads them.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};
use sumac_common::{
    cluster::{Fact, Job, JobState, Overview, Worker},
    ids::{JobId, Term, WorkerId},
};
use tokio::time::Instant;

/// How many facts are remembered here; the journal has them all.
const FACTS_MAX: usize = 2_000;

#[derive(Clone, Debug)]
pub struct Picture {
    pub term: Term,
    /// When this coordinator started: 0 of every `Duration` in the cluster.
    pub began: Instant,
    /// In order of submission.
    pub jobs: Vec<Arc<Entry>>,
    /// In the order of their names.
    pub workers: Vec<Arc<Worker>>,
    pub facts: Arc<Facts>,
    /// Why nothing new is taken on at the moment.
    pub trouble: Option<String>,
}

/// A job, and when it was first submitted.
#[derive(Clone, Debug)]
pub struct Entry {
    pub work: Work,
    pub submitted: SystemTime,
}

#[derive(Clone, Debug)]
pub enum Work {
    Run(Arc<Job>),
    Pieces(Box<Overview>),
}

impl Entry {
    #[must_use]
    pub fn id(&self) -> &JobId {
        match &self.work {
            Work::Run(job) => &job.id,
            Work::Pieces(leasing) => &leasing.id,
        }
    }

    /// Known to be as it was; `other` is from another picture.
    #[must_use]
    pub fn is_still(&self, other: &Self) -> bool {
        match (&self.work, &other.work) {
            (Work::Run(this), Work::Run(other)) => Arc::ptr_eq(this, other),
            // What its workers say is seen in their entries.
            _ => false,
        }
    }

    #[must_use]
    pub fn state(&self) -> &JobState {
        match &self.work {
            Work::Run(job) => &job.state,
            Work::Pieces(leasing) => &leasing.state,
        }
    }
}

/// A fact of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Noted {
    pub at: SystemTime,
    pub fact: Fact,
}

/// The latest facts, oldest first, numbered in the order in which they were noted.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    latest: VecDeque<Noted>,
    forgotten: u64,
}

impl Facts {
    pub fn push(&mut self, noted: Noted) {
        if self.latest.len() == FACTS_MAX {
            self.latest.pop_front();
            self.forgotten += 1;
        }
        self.latest.push_back(noted);
    }

    /// From this number on.
    pub fn since(&self, number: u64) -> impl DoubleEndedIterator<Item = (u64, &Noted)> {
        let first = self.forgotten;
        let known = usize::try_from(number.saturating_sub(first)).unwrap_or(usize::MAX).min(self.latest.len());
        self.latest.range(known..).enumerate().map(move |(at, noted)| (first + (known + at) as u64, noted))
    }

    /// The number of the next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.forgotten + self.latest.len() as u64
    }
}

impl Picture {
    #[must_use]
    pub fn job(&self, id: &JobId) -> Option<&Arc<Entry>> {
        self.jobs.iter().find(|entry| entry.id() == id)
    }

    #[must_use]
    pub fn worker(&self, id: &WorkerId) -> Option<&Worker> {
        let known = self.workers.binary_search_by(|worker| worker.seat.worker.cmp(id)).ok()?;
        Some(&self.workers[known])
    }

    #[must_use]
    pub fn up(&self) -> Duration {
        self.began.elapsed()
    }
}
