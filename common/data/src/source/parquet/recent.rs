//! What was made last, up to so many things and so many bytes of them. What could not be made is not tried again while that is
//! remembered, unless the disk was to blame. Knows nothing of what they are.

use super::broken::Broken;
use std::{collections::VecDeque, sync::Arc};

#[derive(Debug)]
pub(super) struct Recent<K, V> {
    things_max: usize,
    bytes_max: u64,
    /// The one used last is the last.
    kept: VecDeque<Kept<K, V>>,
}

#[derive(Debug)]
struct Kept<K, V> {
    key: K,
    made: Result<Arc<V>, String>,
    bytes: u64,
}

impl<K: PartialEq, V> Recent<K, V> {
    pub(super) fn new(things_max: usize, bytes_max: u64) -> Self {
        Self { things_max, bytes_max, kept: VecDeque::new() }
    }

    /// What is kept under this key, or else what `make` makes, with the number of its bytes. What is too large to be kept beside
    /// anything is kept alone.
    pub(super) fn get(&mut self, key: &K, make: impl FnOnce() -> Result<(V, u64), Broken>) -> Result<Arc<V>, Broken>
    where
        K: Clone,
    {
        let at = self.kept.iter().rposition(|kept| kept.key == *key);
        let kept = match at.and_then(|at| self.kept.remove(at)) {
            Some(kept) => kept,
            None => {
                let (made, bytes) = match make() {
                    Ok((value, bytes)) => (Ok(Arc::new(value)), bytes),
                    Err(Broken::Content(what)) => (Err(what), 0),
                    Err(broken) => return Err(broken),
                };
                self.make_room(bytes);
                Kept { key: key.clone(), made, bytes }
            }
        };
        let made = kept.made.clone();
        self.kept.push_back(kept);
        made.map_err(Broken::Content)
    }

    /// Forgets what was used longest ago until another thing of so many bytes fits.
    fn make_room(&mut self, bytes: u64) {
        let fits = |kept: &VecDeque<Kept<K, V>>| {
            let all: u64 = kept.iter().map(|kept| kept.bytes).sum();
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
    use std::io;

    /// Whether it had to be made.
    fn made(recent: &mut Recent<&'static str, ()>, key: &'static str, bytes: u64) -> bool {
        let mut is_new = false;
        let _kept = recent.get(&key, || {
            is_new = true;
            if key == "bad" { Err(Broken::of("no")) } else { Ok(((), bytes)) }
        });
        is_new
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut recent = Recent::new(3, 100);
        for key in ["a", "b", "c"] {
            assert!(made(&mut recent, key, 10));
        }
        assert!(!made(&mut recent, "a", 10));
        assert!(made(&mut recent, "d", 10));
        assert!(!made(&mut recent, "a", 10) && !made(&mut recent, "c", 10) && made(&mut recent, "b", 10));
        assert!(made(&mut recent, "large", 1000));
        assert!(!made(&mut recent, "large", 1000) && made(&mut recent, "a", 10));
    }

    #[test]
    fn what_cannot_be_made_is_tried_once_and_what_the_disk_refused_again() {
        let mut recent = Recent::new(3, 100);
        assert!(made(&mut recent, "bad", 0) && !made(&mut recent, "bad", 0));
        let mut refused = 0;
        for _ in 0..2 {
            let read = recent.get(&"a", || {
                refused += 1;
                Err(Broken::Io(io::ErrorKind::Other.into()))
            });
            assert!(matches!(read, Err(Broken::Io(_))));
        }
        assert_eq!(refused, 2);
    }
}
