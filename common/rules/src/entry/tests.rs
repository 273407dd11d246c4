//! Whoever died: every lane gets to whom it belongs, from somebody who has it; and who does not hold what the others hold is found.

use super::*;
use crate::{
    conversation::{Place, SoFar},
    ids::{Generation, JobId},
};
use proptest::prelude::*;
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
};

const FURTHEST: Step = Step(71);

fn names(count: usize, from: usize) -> Vec<WorkerId> {
    (from..from + count).map(|i| WorkerId(format!("w{i}"))).collect()
}

/// A generation of `old`, of which those that `lives` go on, some of them a step behind, with `newcomers`.
#[derive(Clone, Debug)]
struct Change {
    lanes: u32,
    replicas: u32,
    old: Vec<WorkerId>,
    holders: Vec<(WorkerId, Step)>,
    new: Vec<WorkerId>,
}

impl Change {
    fn opening(&self) -> Opening {
        let store = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        Opening {
            job: JobId::from("job"),
            generation: Generation(2),
            roster: self.new.iter().map(|worker| Place { worker: worker.clone(), store }).collect(),
            basis: Basis::Held { generation: Generation(1), roster: self.old.clone(), holders: self.holders.clone() },
            so_far: SoFar::default(),
        }
    }

    fn entry(&self) -> Entry {
        Entry::of(&self.opening(), self.lanes, self.replicas)
    }

    fn step_of(&self, rank: Rank) -> Option<Step> {
        let worker = &self.new[rank.index()];
        self.holders.iter().find(|(holder, _)| holder == worker).map(|(_, step)| *step)
    }

    /// The lanes a member of the new roster has in its hands before anything moves.
    fn has(&self, rank: Rank) -> BTreeSet<Lane> {
        let worker = &self.new[rank.index()];
        let old = self.old.iter().position(|member| member == worker);
        match old.filter(|_| self.step_of(rank).is_some()) {
            Some(old) => kept_lanes(self.lanes, self.old.len(), self.replicas, Rank(old as u32)).into_iter().collect(),
            None => BTreeSet::new(),
        }
    }

    fn ranks(&self) -> impl Iterator<Item = Rank> + use<> {
        (0..self.new.len() as u32).map(Rank)
    }

    fn in_some_hands(&self) -> BTreeSet<Lane> {
        self.ranks().flat_map(|rank| self.has(rank)).collect()
    }
}

fn changes() -> impl Strategy<Value = Change> {
    let fates = prop::collection::vec(prop_oneof![Just(None), Just(Some(true)), Just(Some(false))], 1..6);
    (fates, 0usize..4, 0u32..2, 0u32..8, any::<bool>())
        .prop_filter("somebody stands at the furthest step", |(fates, ..)| fates.contains(&Some(true)))
        .prop_map(|(fates, newcomers, replicas, more_lanes, newcomers_first)| {
            let old = names(fates.len(), 0);
            let step = |furthest: bool| if furthest { FURTHEST } else { Step(FURTHEST.0 - 1) };
            let holders: Vec<(WorkerId, Step)> =
                old.iter().zip(&fates).filter_map(|(worker, fate)| Some((worker.clone(), step((*fate)?)))).collect();
            let survivors = holders.iter().map(|(worker, _)| worker.clone());
            let newcomers = names(newcomers, fates.len());
            // The coordinator puts newcomers last; the rules of entry do not lean on it.
            let new: Vec<WorkerId> = if newcomers_first {
                newcomers.into_iter().chain(survivors).collect()
            } else {
                survivors.chain(newcomers).collect()
            };
            let lanes = old.len().max(new.len()) as u32 + more_lanes;
            Change { lanes, replicas, old, holders, new }
        })
}

proptest! {
    #[test]
    fn moves_bring_every_lane_to_its_owner_and_its_guard(change in changes()) {
        let entry = change.entry();
        let mut hands: Vec<BTreeSet<Lane>> = change.ranks().map(|rank| change.has(rank)).collect();
        for Move { lane, from, to } in &entry.moves {
            prop_assert!(change.has(*from).contains(lane), "rank {} sends lane {}, which it does not have", from, lane);
            prop_assert!(hands[to.index()].insert(*lane), "rank {} is sent lane {}, which it has", to, lane);
        }
        let in_some_hands = change.in_some_hands();
        for rank in change.ranks() {
            for lane in kept_lanes(change.lanes, change.new.len(), change.replicas, rank) {
                let lost = !in_some_hands.contains(&lane);
                prop_assert!(lost || hands[rank.index()].contains(&lane), "rank {} is left without lane {}", rank, lane);
            }
        }
    }

    #[test]
    fn the_donor_stands_at_the_furthest_step_and_serves_exactly_those_that_do_not(change in changes()) {
        let entry = change.entry();
        let needy: Vec<Rank> = change.ranks().filter(|rank| change.step_of(*rank) != Some(FURTHEST)).collect();
        prop_assert_eq!(&entry.receivers, &needy);
        prop_assert_eq!(entry.donor.is_some(), !needy.is_empty());
        if let Some(donor) = entry.donor {
            prop_assert_eq!(change.step_of(donor), Some(FURTHEST));
        }
        let behind: Vec<Rank> = change.ranks().filter(|rank| change.step_of(*rank) == Some(Step(FURTHEST.0 - 1))).collect();
        prop_assert_eq!(&entry.behind, &behind);
    }

    #[test]
    fn nothing_moves_where_the_roster_stays(workers in 1usize..6, lanes in 6u32..12, replicas in 0u32..2) {
        let all = names(workers, 0);
        let holders = all.iter().map(|worker| (worker.clone(), FURTHEST)).collect();
        let change = Change { lanes, replicas, old: all.clone(), holders, new: all };
        let entry = change.entry();
        prop_assert_eq!(entry.moves, vec![]);
        prop_assert_eq!(entry.donor, None);
    }

    #[test]
    fn a_roster_with_guards_survives_the_loss_of_any_one(workers in 2usize..6, lost in 0usize..6, lanes in 6u32..12) {
        let old = names(workers, 0);
        let lost = &old[lost % workers];
        let new: Vec<WorkerId> = old.iter().filter(|worker| *worker != lost).cloned().collect();
        let holders = new.iter().map(|worker| (worker.clone(), FURTHEST)).collect();
        let change = Change { lanes, replicas: 1, old: old.clone(), holders, new };
        prop_assert_eq!(change.in_some_hands(), (0..lanes).map(Lane).collect::<BTreeSet<_>>());
    }
}

#[test]
fn from_a_checkpoint_nobody_sends_anything() {
    let change = Change { lanes: 4, replicas: 1, old: vec![], holders: vec![], new: names(3, 0) };
    let opening = Opening { basis: Basis::Saved, ..change.opening() };
    let nothing = Entry { behind: vec![], donor: None, receivers: vec![], moves: vec![] };
    assert_eq!(Entry::of(&opening, 4, 1), nothing);
}

// === kept writes ===

/// A member that stood at step 70 with what it had kept of it, and then took the counters of one that stands at `now`.
fn counts(now: u64, skipped: u64) -> bool {
    let before = Progress { skipped: 3, ..Progress::default() };
    kept_writes_count(Step(70), &before, Step(now), &Progress { skipped, ..before })
}

#[test]
fn what_was_kept_of_the_step_that_the_others_committed_counts() {
    assert!(counts(71, 3));
}

#[test]
fn what_was_kept_of_a_step_that_the_others_skipped_does_not_count() {
    assert!(!counts(71, 4));
}

#[test]
fn what_was_kept_of_another_step_does_not_count() {
    assert!(!counts(70, 3) && !counts(72, 3));
}

// === accounts ===

/// Three members over three lanes, each with its own and the one it guards.
fn accounts() -> [Account; 3] {
    [0, 1, 2].map(|rank| Account {
        run: Digest::of(b"run"),
        step: Step(9),
        replicated: Digest::of(b"weights"),
        lanes: [rank, (rank + 2) % 3].map(|lane| (Lane(lane), Digest::of(&[lane as u8]))).to_vec(),
    })
}

fn verdict(change: impl FnOnce(&mut [Account; 3])) -> Result<(), Apart> {
    let mut accounts = accounts();
    change(&mut accounts);
    one_state(&accounts)
}

#[test]
fn members_with_one_state_enter() {
    assert_eq!(verdict(|_| {}), Ok(()));
    assert_eq!(one_state(&[]), Ok(()));
}

/// C-5.
#[test]
fn members_with_different_states_do_not() {
    let other = Digest::of(b"other");
    let told =
        |change: fn(&mut [Account; 3], Digest)| verdict(|accounts| change(accounts, other)).map_err(|a| a.to_string());
    for (told, what) in [
        (
            told(|accounts, other| accounts[2].run = other),
            "rank 0 and rank 2 do not hold one state: they are of different runs",
        ),
        (
            told(|accounts, _| accounts[1].step = Step(8)),
            "rank 0 and rank 1 do not hold one state: they stand at step 9 and at step 8",
        ),
        (
            told(|accounts, other| accounts[2].replicated = other),
            "rank 0 and rank 2 do not hold one state: their weights and counters of step 9",
        ),
        (
            told(|accounts, other| accounts[1].lanes[1].1 = other),
            "rank 0 and rank 1 do not hold one state: their histories of lane 0 at step 9",
        ),
    ] {
        let told = told.expect_err(what);
        assert!(told.starts_with(what), "{told}");
    }
}

#[test]
fn a_lane_that_differs_is_told_of_its_two_keepers() {
    let other = Digest::of(b"other");
    let apart = verdict(|accounts| accounts[2].lanes[1].1 = other).expect_err("lane 1 differs");
    let theirs = (Digest::of(&[1]), other);
    let difference = Difference::Lane { lane: Lane(1), at: Step(9), theirs };
    assert_eq!(apart, Apart { first: Rank(1), second: Rank(2), difference });
}

#[test]
fn members_apart_end_the_run() {
    let apart = verdict(|accounts| accounts[1].step = Step(8)).expect_err("steps differ");
    assert!(apart.ends_the_run());
}
