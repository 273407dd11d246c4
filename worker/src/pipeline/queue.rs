//! Shards that were given and did not come out yet, in order. Knows their names only.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};
use sumac_common::leases::Shard;

/// A shard, and the name under which it is written.
pub type Given = (Shard, String);

/// Shards that wait to be read, at most: as many as one lease has.
const WAITING: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Queue {
    inside: Mutex<Inside>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inside {
    waiting: VecDeque<Given>,
    unfinished: VecDeque<Given>,
    feeds: usize,
    closed: bool,
}

impl Queue {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        // Plain data: a panic elsewhere leaves nothing half done in it.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while too many wait; `false` when it is closed.
    pub(super) fn put(&self, given: Given) -> bool {
        let is_full = |inside: &mut Inside| !inside.closed && inside.waiting.len() >= WAITING;
        let mut inside = self.changed.wait_while(self.inside(), is_full).unwrap_or_else(PoisonError::into_inner);
        if inside.closed {
            return false;
        }
        inside.waiting.push_back(given.clone());
        inside.unfinished.push_back(given);
        drop(inside);
        self.changed.notify_all();
        true
    }

    /// The next one, when there is one; `None` when there will be none any more.
    pub(super) fn take(&self) -> Option<Given> {
        let is_idle = |inside: &mut Inside| !inside.closed && inside.waiting.is_empty() && inside.feeds > 0;
        let mut inside = self.changed.wait_while(self.inside(), is_idle).unwrap_or_else(PoisonError::into_inner);
        let given = if inside.closed { None } else { inside.waiting.pop_front() };
        drop(inside);
        self.changed.notify_all();
        given
    }

    pub(super) fn finished(&self, given: (Shard, &str)) {
        self.inside().unfinished.retain(|(shard, attempt)| (*shard, attempt.as_str()) != given);
    }

    pub(super) fn unfinished(&self) -> Vec<Given> {
        self.inside().unfinished.iter().cloned().collect()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.inside().unfinished.is_empty()
    }

    pub(super) fn waiting(&self) -> usize {
        self.inside().waiting.len()
    }

    pub(super) fn close(&self) {
        self.inside().closed = true;
        self.changed.notify_all();
    }

    pub(super) fn feed_came(&self) {
        self.inside().feeds += 1;
    }

    pub(super) fn feed_went(&self) {
        self.inside().feeds -= 1;
        self.changed.notify_all();
    }
}
