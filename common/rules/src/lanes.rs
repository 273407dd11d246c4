//! Who executes which lane, who guards whom, and which part of a batch is a lane's.
//!
//! Lanes are dealt to the ranks of a roster in order, in contiguous runs whose lengths differ by one at most. Knows nothing
//! of what a lane does.

use crate::ids::{Lane, Rank};
use std::ops::Range;

/// The lanes of `rank` among `workers`. The runs of all ranks partition `0..lanes`; with more workers than lanes some are
/// empty.
///
/// # Panics
/// If `rank` is not among `workers`.
#[must_use]
pub fn owned(lanes: u32, workers: usize, rank: Rank) -> Range<u32> {
    assert!(rank.index() < workers, "rank {rank} is not among {workers} workers");
    let first = |rank: u64| (rank * u64::from(lanes) / workers as u64) as u32;
    first(rank.0.into())..first(u64::from(rank.0) + 1)
}

/// The rank that executes `lane`: the one whose [`owned`] run contains it.
///
/// # Panics
/// If `lane` is not among `lanes`, or there are no workers.
#[must_use]
pub fn owner(lanes: u32, workers: usize, lane: Lane) -> Rank {
    assert!(lane.0 < lanes, "lane {lane} is not among {lanes} lanes");
    assert!(workers > 0, "a roster without workers owns nothing");
    // The last rank r whose run begins at or before the lane: floor(r lanes / workers) <= lane.
    Rank((((u64::from(lane.0) + 1) * workers as u64 - 1) / u64::from(lanes)) as u32)
}

/// Who holds a copy of `rank`'s history: the next in the roster, or nobody when there is no other.
#[must_use]
pub fn guard(workers: usize, rank: Rank) -> Option<Rank> {
    (workers > 1).then(|| Rank(((rank.index() + 1) % workers) as u32))
}

/// The lane's contiguous positions within those of a batch (L-1: the shares of all lanes partition it). Shares are equal
/// when `lanes` divides the batch, as it does in every checked spec.
///
/// # Panics
/// If `lane` is not among `lanes`.
#[must_use]
pub fn share(batch: Range<u64>, lanes: u32, lane: Lane) -> Range<u64> {
    assert!(lane.0 < lanes, "lane {lane} is not among {lanes} lanes");
    let images = batch.end.saturating_sub(batch.start);
    let first = |lane: u64| batch.start + (u128::from(images) * u128::from(lane) / u128::from(lanes)) as u64;
    first(lane.0.into())..first(u64::from(lane.0) + 1)
}
