use proptest::prelude::*;
use std::collections::BTreeSet;
use sumac_common::{
    ids::{Lane, Rank},
    lanes::{guard, owned, owner, share},
};

proptest! {
    /// L-1.
    #[test]
    fn ranks_own_every_lane_once_in_runs_that_differ_by_one_at_most(lanes in 0u32..300, workers in 1usize..300) {
        let runs: Vec<_> = (0..workers).map(|rank| owned(lanes, workers, Rank(rank as u32))).collect();
        let dealt: Vec<u32> = runs.iter().cloned().flatten().collect();
        prop_assert_eq!(dealt, (0..lanes).collect::<Vec<_>>());
        let lengths = || runs.iter().map(|run| run.len());
        prop_assert!(lengths().max().unwrap_or(0) - lengths().min().unwrap_or(0) <= 1);
    }

    #[test]
    fn the_owner_of_a_lane_is_who_owns_it(lanes in 1u32..300, workers in 1usize..300, lane: u32) {
        let lane = Lane(lane % lanes);
        let rank = owner(lanes, workers, lane);
        prop_assert!(rank.index() < workers);
        prop_assert!(owned(lanes, workers, rank).contains(&lane.0));
    }

    /// L-1.
    #[test]
    fn the_shares_of_all_lanes_are_the_batch(start in 0u64..1 << 50, images in 0u64..5_000, lanes in 1u32..300) {
        let mut next = start;
        for lane in 0..lanes {
            let part = share(start..start + images, lanes, Lane(lane));
            prop_assert_eq!(part.start, next);
            next = part.end;
            prop_assert!((images / u64::from(lanes)..=images.div_ceil(lanes.into())).contains(&(part.end - part.start)));
        }
        prop_assert_eq!(next, start + images);
    }

    #[test]
    fn everybody_is_guarded_by_another_and_guards_another(workers in 2usize..300) {
        let all: BTreeSet<Rank> = (0..workers as u32).map(Rank).collect();
        let guards: BTreeSet<Rank> = all.iter().filter_map(|rank| guard(workers, *rank)).collect();
        prop_assert_eq!(&guards, &all);
        prop_assert!(all.iter().all(|rank| guard(workers, *rank) != Some(*rank)));
    }
}

#[test]
fn a_lone_worker_has_no_guard() {
    assert_eq!(guard(1, Rank(0)), None);
}

#[test]
fn eight_lanes_over_three_workers() {
    let runs: Vec<_> = (0..3).map(|rank| owned(8, 3, Rank(rank))).collect();
    assert_eq!(runs, [0..2, 2..5, 5..8]);
}
