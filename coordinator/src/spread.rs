//! How long something took, time and again: counted by length, as Prometheus wants it. Knows nothing of what it was.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Durations by bucket.
#[derive(Clone, Debug)]
pub struct Spread {
    /// Upper bounds of the buckets, in seconds.
    bounds: &'static [f64],
    sum: Duration,
    /// By bucket, and beyond all of them.
    counts: Vec<u64>,
}

impl Spread {
    /// Of none so far; bounds in seconds, the least first.
    #[must_use]
    pub fn within(bounds: &'static [f64]) -> Self {
        Self { bounds, sum: Duration::ZERO, counts: vec![0; bounds.len() + 1] }
    }

    /// One more.
    pub fn add(&mut self, took: Duration) {
        let bucket = self.bounds.iter().take_while(|bound| took.as_secs_f64() > **bound).count();
        self.counts[bucket] += 1;
        self.sum += took;
    }

    /// Of all of them together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Each with its upper bound.
    #[must_use]
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        self.bounds.iter().copied().chain([f64::INFINITY]).zip(self.counts.iter().copied()).collect()
    }
}

/// One that is added to in one place and read in another.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Mutex<Spread>>);

impl Shared {
    /// Of none so far; bounds in seconds, the least first.
    #[must_use]
    pub fn within(bounds: &'static [f64]) -> Self {
        Self(Arc::new(Mutex::new(Spread::within(bounds))))
    }

    /// One more.
    pub fn add(&self, took: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(took);
    }

    /// As it is now.
    #[must_use]
    pub fn look(&self) -> Spread {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_bucket_that_holds_them() {
        let mut spread = Spread::within(&[0.1, 0.25, 5.0]);
        [50, 100, 3_100, 900_000].map(Duration::from_millis).into_iter().for_each(|took| spread.add(took));
        assert_eq!(spread.buckets(), [(0.1, 2), (0.25, 0), (5.0, 1), (f64::INFINITY, 1)]);
        assert_eq!((spread.count(), spread.sum()), (4, Duration::from_millis(903_250)));
    }
}
