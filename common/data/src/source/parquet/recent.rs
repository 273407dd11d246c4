//! What was used last, up to so many things and so many bytes of them. Knows nothing of what they are.

use std::{collections::VecDeque, sync::Arc};

#[derive(Debug)]
pub(super) struct Recent<K, V> {
    things_max: usize,
    bytes_max: u64,
    /// The one used last is the last.
    kept: VecDeque<(K, Arc<V>, u64)>,
}

impl<K: PartialEq, V> Recent<K, V> {
    pub(super) fn new(things_max: usize, bytes_max: u64) -> Self {
        Self { things_max, bytes_max, kept: VecDeque::new() }
    }

    pub(super) fn get(&mut self, key: &K) -> Option<Arc<V>> {
        let at = self.kept.iter().rposition(|(kept, ..)| kept == key)?;
        let found = self.kept.remove(at)?;
        let value = Arc::clone(&found.1);
        self.kept.push_back(found);
        Some(value)
    }

    /// What is too large to be kept beside anything is kept alone.
    pub(super) fn put(&mut self, key: K, value: V, bytes: u64) -> Arc<V> {
        let value = Arc::new(value);
        self.make_room(bytes);
        self.kept.push_back((key, Arc::clone(&value), bytes));
        value
    }

    /// Forgets what was used longest ago until another thing of so many bytes fits.
    pub(super) fn make_room(&mut self, bytes: u64) {
        let fits = |kept: &VecDeque<(K, Arc<V>, u64)>| {
            let all: u64 = kept.iter().map(|(.., bytes)| bytes).sum();
            kept.len() < self.things_max && all.saturating_add(bytes) <= self.bytes_max
        };
        while !self.kept.is_empty() && !fits(&self.kept) {
            self.kept.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut recent = Recent::new(3, 100);
        for key in ["a", "b", "c"] {
            recent.put(key, key, 10);
        }
        assert!(recent.get(&"a").is_some());
        recent.put("d", "d", 10);
        let there = ["a", "b", "c", "d"].map(|key| recent.get(&key).is_some());
        assert_eq!(there, [true, false, true, true]);
        recent.put("e", "e", 1000);
        assert!(recent.get(&"d").is_none() && recent.get(&"e").is_some());
    }
}
