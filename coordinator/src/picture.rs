//! What readers see: the jobs, the workers and the latest facts as they were after the last event.
//!
//! Published whole by the driver, read without asking it. Times of day are here for people only; no decision reads them.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};
use sumac_common::{
    cluster::{Fact, Job, Worker},
    ids::{JobId, Term, WorkerId},
};
use tokio::time::Instant;

/// How many facts a job is remembered with here; the journal has them all.
const FACTS_MAX: usize = 200;

#[derive(Clone, Debug)]
pub struct Picture {
    pub term: Term,
    /// When this coordinator started: 0 of every `Duration` in the cluster.
    pub began: Instant,
    /// In order of submission.
    pub jobs: Vec<Arc<Entry>>,
    pub workers: Vec<Worker>,
    pub facts: Arc<Facts>,
    /// Why nothing new is taken on at the moment.
    pub trouble: Option<String>,
}

/// A job, and when it was first submitted.
#[derive(Clone, Debug)]
pub struct Entry {
    pub job: Job,
    pub submitted: SystemTime,
}

/// A fact of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    pub at: SystemTime,
    pub fact: Fact,
}

/// The latest facts, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Facts(VecDeque<Noted>);

impl Facts {
    pub fn push(&mut self, noted: Noted) {
        if self.0.len() == FACTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(noted);
    }

    pub fn of<'f>(&'f self, job: &'f JobId) -> impl Iterator<Item = &'f Noted> {
        self.0.iter().filter(move |noted| noted.fact.job() == Some(job))
    }
}

impl Picture {
    #[must_use]
    pub fn job(&self, id: &JobId) -> Option<&Arc<Entry>> {
        self.jobs.iter().find(|entry| entry.job.id == *id)
    }

    #[must_use]
    pub fn worker(&self, id: &WorkerId) -> Option<&Worker> {
        self.workers.iter().find(|worker| worker.seat.worker == *id)
    }

    #[must_use]
    pub fn up(&self) -> Duration {
        self.began.elapsed()
    }
}
