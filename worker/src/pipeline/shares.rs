//! How busy each stage of a pipeline is. Knows times and counts, not what is done in them.

use super::Common;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Read,
    Decode,
    Refine,
    Encode,
    Write,
}

impl Stage {
    pub const ALL: [Self; 5] = [Self::Read, Self::Decode, Self::Refine, Self::Encode, Self::Write];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Decode => "decode",
            Self::Refine => "refine",
            Self::Encode => "encode",
            Self::Write => "write",
        }
    }
}

/// Times since the pipeline began, added up by whoever works.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    /// Nanoseconds, as [`Stage::ALL`].
    busy: [AtomicU64; 5],
    threads: [usize; 5],
    images: AtomicU64,
}

impl Clocks {
    pub(super) fn of(threads: [usize; 5]) -> Self {
        Self { threads, ..Self::default() }
    }

    pub(super) fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        let took = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.busy[stage as usize].fetch_add(took, Ordering::Relaxed);
        done
    }

    /// One more image has come out.
    pub(super) fn count(&self) {
        self.images.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> ([u64; 5], u64) {
        (self.busy.each_ref().map(|busy| busy.load(Ordering::Relaxed)), self.images.load(Ordering::Relaxed))
    }
}

/// Of the time between two looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// Busy time over wall-clock time, of all threads of a stage, 0..=1; as [`Stage::ALL`].
    pub busy: [f64; 5],
    /// Images that came out, bad ones too.
    pub images_per_second: f64,
}

impl Shares {
    #[must_use]
    pub fn of(&self, stage: Stage) -> f64 {
        self.busy[stage as usize]
    }

    /// The stage that the others wait for: the busiest.
    #[must_use]
    pub fn bottleneck(&self) -> Stage {
        Stage::ALL.into_iter().max_by(|one, other| self.of(*one).total_cmp(&self.of(*other))).unwrap_or(Stage::Refine)
    }
}

/// Looks at the clocks now and then.
pub struct Gauge {
    common: Arc<Common>,
    looked: Instant,
    busy: [u64; 5],
    images: u64,
}

impl Gauge {
    pub(super) fn of(common: Arc<Common>) -> Self {
        let (busy, images) = common.clocks.read();
        Self { common, looked: Instant::now(), busy, images }
    }

    /// Since the last look. What takes longer than the time between two looks counts in the one in which it ends.
    pub fn look(&mut self) -> Shares {
        let Clocks { threads, .. } = &self.common.clocks;
        let (busy, images) = self.common.clocks.read();
        let seconds = self.looked.elapsed().as_secs_f64().max(1e-9);
        let share = |stage: usize| {
            let seconds_busy = (busy[stage] - self.busy[stage]) as f64 / 1e9;
            (seconds_busy / (seconds * threads[stage].max(1) as f64)).min(1.0)
        };
        let shares =
            Shares { busy: [0, 1, 2, 3, 4].map(share), images_per_second: (images - self.images) as f64 / seconds };
        (self.looked, self.busy, self.images) = (Instant::now(), busy, images);
        shares
    }
}
