//! What comes in any order, taken out in the order of its numbers. Knows nothing of what it is.

use std::collections::BTreeMap;

/// Numbers are 0, 1, 2 …, each once.
#[derive(Debug)]
pub(super) struct InOrder<T> {
    next: u64,
    early: BTreeMap<u64, T>,
}

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self { next: 0, early: BTreeMap::new() }
    }
}

impl<T> InOrder<T> {
    pub(super) fn put(&mut self, number: u64, it: T) {
        let before = self.early.insert(number, it);
        assert!(before.is_none() && number >= self.next, "number {number} came twice");
    }

    /// The next one, if it is there.
    pub(super) fn next(&mut self) -> Option<T> {
        let it = self.early.remove(&self.next)?;
        self.next += 1;
        Some(it)
    }

    /// Whether as many as `count` were taken out.
    pub(super) fn has_given(&self, count: u64) -> bool {
        self.next == count
    }
}
