//! What is told at the moment, and of which jobs somebody wants to know more. Knows nothing of what the parts say.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::watch;

/// One thing that is told whole, in the order in which it is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Coordinator,
    Workers,
    Jobs,
    Events,
    Job(String),
    Curves(String),
    Pictures(String),
}

impl Part {
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Workers => "workers",
            Self::Jobs => "jobs",
            Self::Events => "events",
            Self::Job(_) => "job",
            Self::Curves(_) => "curves",
            Self::Pictures(_) => "pictures",
        }
    }

    /// Of one job alone.
    #[must_use]
    pub fn job(&self) -> Option<&str> {
        match self {
            Self::Coordinator | Self::Workers | Self::Jobs | Self::Events => None,
            Self::Job(job) | Self::Curves(job) | Self::Pictures(job) => Some(job),
        }
    }
}

/// JSON, part by part.
pub(super) type Told = BTreeMap<Part, Arc<str>>;

/// Written on by one who watches, read by every page.
#[derive(Debug, Default)]
pub struct Board {
    told: watch::Sender<Told>,
    /// Where the pictures of these jobs are.
    folders: watch::Sender<BTreeMap<String, PathBuf>>,
    /// And how many pages show each.
    looked_at: watch::Sender<BTreeMap<String, usize>>,
}

impl Board {
    /// What says the same as before is not told again.
    pub fn tell(&self, part: Part, json: String) {
        self.told.send_if_modified(|told| {
            if told.get(&part).is_some_and(|before| **before == *json) {
                return false;
            }
            told.insert(part, json.into());
            true
        });
    }

    /// The pictures of a job lie below this folder.
    pub fn lay(&self, job: &str, folder: &Path) {
        self.folders.send_modify(|folders| {
            folders.insert(job.to_owned(), folder.to_owned());
        });
    }

    pub(super) fn folder(&self, job: &str) -> Option<PathBuf> {
        self.folders.borrow().get(job).cloned()
    }

    /// The jobs that are shown somewhere, as that changes.
    #[must_use]
    pub fn looked_at(&self) -> watch::Receiver<BTreeMap<String, usize>> {
        self.looked_at.subscribe()
    }

    /// What was told of jobs that nobody looks at is old by the time somebody does.
    pub fn forget_all_but(&self, jobs: &BTreeMap<String, usize>) {
        let is_meant = |part: &Part| part.job().is_none_or(|job| jobs.contains_key(job));
        self.told.send_if_modified(|told| {
            let before = told.len();
            told.retain(|part, _| is_meant(part));
            told.len() != before
        });
        self.folders.send_modify(|folders| folders.retain(|job, _| jobs.contains_key(job)));
    }

    pub(super) fn told(&self) -> watch::Receiver<Told> {
        self.told.subscribe()
    }

    /// Asks for all that is known about a job, for as long as what comes back lives.
    #[must_use]
    pub fn look_at(self: &Arc<Self>, job: String) -> Looking {
        self.looked_at.send_modify(|looked_at| *looked_at.entry(job.clone()).or_default() += 1);
        Looking { board: self.clone(), job }
    }
}

/// Somebody shows a job.
#[derive(Debug)]
pub struct Looking {
    board: Arc<Board>,
    job: String,
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.board.looked_at.send_modify(|looked_at| {
            if let Some(pages) = looked_at.get_mut(&self.job) {
                *pages -= 1;
                if *pages == 0 {
                    looked_at.remove(&self.job);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_looked_at_until_the_last_page_is_gone() {
        let board = Arc::new(Board::default());
        let [first, second, other] = ["a", "a", "b"].map(|job| board.look_at(job.to_owned()));
        let looked_at = board.looked_at();
        assert_eq!(*looked_at.borrow(), BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]));
        drop((first, other));
        assert_eq!(*looked_at.borrow(), BTreeMap::from([("a".to_owned(), 1)]));
        drop(second);
        assert!(looked_at.borrow().is_empty());
    }

    #[test]
    fn what_says_the_same_is_not_told_again() {
        let board = Board::default();
        let mut told = board.told();
        board.tell(Part::Jobs, "[]".to_owned());
        assert!(told.has_changed().unwrap());
        told.mark_unchanged();
        board.tell(Part::Jobs, "[]".to_owned());
        assert!(!told.has_changed().unwrap());
        board.tell(Part::Job("a".to_owned()), "{}".to_owned());
        board.forget_all_but(&BTreeMap::new());
        assert_eq!(told.borrow().keys().collect::<Vec<_>>(), [&Part::Jobs]);
    }
}
