//! Whoever died: every lane gets to whom it belongs, from somebody who has it.

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
        prop_assert_eq!(entry.step, Some(FURTHEST));
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
    let nothing = Entry { step: None, behind: vec![], donor: None, receivers: vec![], moves: vec![] };
    assert_eq!(Entry::of(&opening, 4, 1), nothing);
}
