//! The thread that writes checkpoints down while steps go on.
//!
//! It does one thing at a time. One more may wait, and is replaced by what is given later: only what was given up is ever
//! overtaken. What becomes of it is news, to be asked for between two steps. It refuses to know when to save, and whether the
//! others have written their parts.

use crate::{
    checkpoints::{CheckpointError, Checkpoints, Completed, Completion, Snapshot, Ticket},
    faults::{Faults, Point},
};
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

/// What there is to write.
#[derive(Debug)]
pub enum Task {
    /// This member's part.
    Write(Snapshot),
    /// The manifest, once all parts are durable.
    Complete(Box<Completion>),
}

impl Task {
    fn ticket(&self) -> Ticket {
        match self {
            Self::Write(snapshot) => snapshot.ticket,
            Self::Complete(completion) => completion.ticket,
        }
    }
}

/// What became of it.
#[derive(Debug)]
pub enum News {
    /// This member's part is durable.
    Written,
    Completed(Box<Completed>),
    Failed(CheckpointError),
}

pub struct Scribe {
    tray: Arc<Tray>,
    news: mpsc::Receiver<(Ticket, News)>,
    thread: Option<JoinHandle<()>>,
}

/// Where tasks are put down and picked up.
#[derive(Default)]
struct Tray {
    inside: Mutex<Inside>,
    changed: Condvar,
}

#[derive(Default)]
struct Inside {
    waits: Option<Task>,
    at_work: bool,
    closed: bool,
}

impl Tray {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        // Plain data: a panic elsewhere leaves nothing half done in it.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next task, when there is one; `None` when there will be none any more.
    fn pick_up(&self) -> Option<Task> {
        let mut inside = self.inside();
        inside.at_work = false;
        loop {
            if inside.closed {
                return None;
            }
            if let Some(task) = inside.waits.take() {
                inside.at_work = true;
                return Some(task);
            }
            inside = self.changed.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Scribe {
    #[must_use]
    pub fn of(checkpoints: Checkpoints, faults: Faults) -> Self {
        let tray = Arc::new(Tray::default());
        let (tell, news) = mpsc::channel();
        let theirs = Arc::clone(&tray);
        let work = move || {
            while let Some(task) = theirs.pick_up() {
                let ticket = task.ticket();
                let done = carry_out(&task, &checkpoints, &faults).unwrap_or_else(News::Failed);
                // What is written is freed before anybody hears of it and gives more.
                drop(task);
                if tell.send((ticket, done)).is_err() {
                    return;
                }
            }
        };
        // Without a thread every task fails, in words.
        let thread = thread::Builder::new().name("scribe".to_owned()).spawn(work).ok();
        Self { tray, news, thread }
    }

    pub fn give(&self, task: Task) {
        self.tray.inside().waits = Some(task);
        self.tray.changed.notify_all();
    }

    #[must_use]
    pub fn is_busy(&self) -> bool {
        let inside = self.tray.inside();
        inside.at_work || inside.waits.is_some()
    }

    /// What happened since the last time, if anything.
    pub fn news(&self) -> Option<(Ticket, News)> {
        self.news.try_recv().ok()
    }

    /// Whether it works no more, although it was not asked to end.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// What happens next; `None` if it is gone.
    pub fn next_news(&self) -> Option<(Ticket, News)> {
        self.news.recv().ok()
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        self.tray.inside().closed = true;
        self.tray.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // What it is writing at this moment it writes to the end: another run may be next in this folder. A panic in there
            // was already printed.
            let _ = thread.join();
        }
    }
}

fn carry_out(task: &Task, checkpoints: &Checkpoints, faults: &Faults) -> Result<News, CheckpointError> {
    match task {
        Task::Write(snapshot) => {
            checkpoints.write(snapshot, || faults.at(Point::MidSave, snapshot.ticket.step))?;
            Ok(News::Written)
        }
        Task::Complete(completion) => {
            faults.at(Point::BeforeManifest, completion.ticket.step);
            let completed = checkpoints.complete(completion)?;
            faults.at(Point::AfterManifest, completion.ticket.step);
            Ok(News::Completed(Box::new(completed)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{state::State, toy::Toy};
    use std::path::Path;
    use sumac_common::ids::{Generation, Lane, Rank, Step};

    fn snapshot(step: u64) -> Snapshot {
        let mut state = State::start(Toy::default(), 1);
        state.counters.step = Step(step);
        Snapshot::of(&state, Generation(1), Rank(0), [Lane(0)]).unwrap()
    }

    fn scribe(folder: &Path) -> Scribe {
        Scribe::of(Checkpoints::of(folder), Faults::default())
    }

    #[test]
    fn what_is_given_is_written_and_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let scribe = scribe(folder.path());
        scribe.give(Task::Write(snapshot(7)));
        let (ticket, news) = scribe.next_news().unwrap();
        assert_eq!(ticket.step, Step(7));
        assert!(matches!(news, News::Written), "{news:?}");
        assert!(folder.path().join("checkpoints/step-000000007/lane-000.slots").exists());
    }

    #[test]
    fn a_disk_that_refuses_ends_the_task_and_not_the_thread() {
        let folder = tempfile::tempdir().unwrap();
        let in_the_way = folder.path().join("checkpoints");
        std::fs::write(&in_the_way, b"").unwrap();
        let scribe = scribe(folder.path());
        scribe.give(Task::Write(snapshot(7)));
        let (_, news) = scribe.next_news().unwrap();
        let News::Failed(error) = news else { panic!("{news:?}") };
        assert!(error.to_string().starts_with("cannot create"), "{error}");
        std::fs::remove_file(in_the_way).unwrap();
        scribe.give(Task::Write(snapshot(9)));
        assert!(matches!(scribe.next_news(), Some((_, News::Written))));
        assert!(!scribe.is_gone());
    }

    #[test]
    fn what_is_being_written_when_the_scribe_goes_is_written_to_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let scribe = scribe(folder.path());
        scribe.give(Task::Write(snapshot(7)));
        // Until it was picked up it may as well be forgotten.
        while scribe.tray.inside().waits.is_some() {
            thread::yield_now();
        }
        drop(scribe);
        let receipt = folder.path().join("checkpoints/step-000000007/receipt-g000001-r000.json");
        assert!(receipt.exists());
    }
}
