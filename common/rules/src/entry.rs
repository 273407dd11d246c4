//! What every member of a generation does to enter it: who is brought up to date, who donates, which lane's slots go where, and
//! whether they all hold one state afterwards.
//!
//! Pure functions of the opening and of what the members say, the same on every member, so that sends and receives match and
//! all reach one verdict. Knows nothing of bytes.

#[cfg(test)]
mod tests;

use crate::{
    conversation::{Basis, Opening},
    ids::{Digest, Lane, Rank, Step, WorkerId},
    lanes,
    schedule::Progress,
};
use std::collections::BTreeMap;

/// The entry into a generation, seen from the whole roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Holders one step behind: they apply their kept writes and take the donor's weights.
    pub behind: Vec<Rank>,
    /// Who sends the replicated state (weights, optimiser, counters) to everybody that needs it. `None`: nobody needs it.
    pub donor: Option<Rank>,
    /// Who needs it: holders one step behind and newcomers.
    pub receivers: Vec<Rank>,
    /// Lanes' slots that change hands, in the one order in which everybody carries them out.
    pub moves: Vec<Move>,
}

/// One lane's slots go from one member to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Move {
    pub lane: Lane,
    pub from: Rank,
    pub to: Rank,
}

/// Who has a lane's slots: its owner, and the owner's guard where replicas are kept.
fn keepers(lanes: u32, workers: usize, replicas: u32, lane: Lane) -> Vec<Rank> {
    let owner = lanes::owner(lanes, workers, lane);
    let guard = if replicas > 0 { lanes::guard(workers, owner) } else { None };
    std::iter::once(owner).chain(guard).collect()
}

impl Entry {
    #[must_use]
    pub fn of(opening: &Opening, lanes: u32, replicas: u32) -> Self {
        let Basis::Held { roster: old, holders, .. } = &opening.basis else {
            return Self { behind: vec![], donor: None, receivers: vec![], moves: vec![] };
        };
        let ranks: BTreeMap<&WorkerId, Rank> =
            (0..).map(Rank).zip(&opening.roster).map(|(rank, place)| (&place.worker, rank)).collect();
        let held: BTreeMap<Rank, Step> =
            holders.iter().filter_map(|(worker, step)| Some((*ranks.get(worker)?, *step))).collect();
        let step = held.values().max().copied();
        let at = |rank: &Rank| held.get(rank).copied();
        let everybody = || (0..opening.roster.len() as u32).map(Rank);
        let receivers: Vec<Rank> = everybody().filter(|rank| at(rank) != step).collect();
        let moves = (0..lanes)
            .map(Lane)
            .flat_map(|lane| {
                let had: Vec<Rank> = keepers(lanes, old.len(), replicas, lane)
                    .into_iter()
                    .filter_map(|rank| ranks.get(&old[rank.index()]).copied())
                    .filter(|rank| held.contains_key(rank))
                    .collect();
                let wanted = keepers(lanes, opening.roster.len(), replicas, lane);
                let from = had.first().copied();
                wanted
                    .into_iter()
                    .filter(move |to| !had.contains(to))
                    .filter_map(move |to| from.map(|from| Move { lane, from, to }))
            })
            .collect();
        Self {
            behind: held.iter().filter(|(_, held)| Some(**held) != step).map(|(rank, _)| *rank).collect(),
            donor: if receivers.is_empty() {
                None
            } else {
                held.iter().find(|(_, held)| Some(**held) == step).map(|(rank, _)| *rank)
            },
            receivers,
            moves,
        }
    }
}

/// The lanes whose slots a member has: those it owns and those it guards.
#[must_use]
pub fn kept_lanes(lanes: u32, workers: usize, replicas: u32, rank: Rank) -> Vec<Lane> {
    (0..lanes).map(Lane).filter(|lane| keepers(lanes, workers, replicas, *lane).contains(&rank)).collect()
}

/// Whether what was kept of `step` is to be written into the history, by a member that took the donor's counters and stands at
/// `now` with them: the others have committed that very step and did not skip it. `before` and `after` are its progress without
/// and with the donor's word.
#[must_use]
pub fn kept_writes_count(step: Step, before: &Progress, now: Step, after: &Progress) -> bool {
    step.next() == now && before.skipped == after.skipped
}

/// What a member is about to enter with, as it says it to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Of everything that makes two runs the same run.
    pub run: Digest,
    pub step: Step,
    /// Of weights, optimiser and counters.
    pub replicated: Digest,
    /// Of the slots of every lane it owns or guards.
    pub lanes: Vec<(Lane, Digest)>,
}

/// Two members whose accounts do not fit together, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "rank {first} and rank {second} do not hold one state: {difference}; submit the job again to go on from its newest checkpoint"
)]
pub struct Apart {
    pub first: Rank,
    pub second: Rank,
    pub difference: Difference,
}

/// What the first says and what the second says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    #[error("they are of different runs, {} and {}", .0.short(), .1.short())]
    Run(Digest, Digest),
    #[error("they stand at step {0} and at step {1}")]
    Step(Step, Step),
    #[error("their weights and counters of step {at} are {} and {}", theirs.0.short(), theirs.1.short())]
    Replicated { at: Step, theirs: (Digest, Digest) },
    #[error("their histories of lane {lane} at step {at} are {} and {}", theirs.0.short(), theirs.1.short())]
    Lane { lane: Lane, at: Step, theirs: (Digest, Digest) },
}

impl Apart {
    /// Whether it is the run that is over, and not this entry alone. Every one does: whoever could be brought up to date was,
    /// so the same two would meet again with the same in their hands.
    #[must_use]
    pub fn ends_the_run(&self) -> bool {
        match self.difference {
            Difference::Run(..) | Difference::Step(..) | Difference::Replicated { .. } | Difference::Lane { .. } => {
                true
            }
        }
    }
}

/// L-3, the state at a step is one: `accounts` by rank are of one run, one step, one set of weights and counters, and all keepers
/// of a lane hold the same slots; or the first two members of whom that is not so.
pub fn one_state(accounts: &[Account]) -> Result<(), Apart> {
    let Some(all) = accounts.first() else { return Ok(()) };
    let mut kept: BTreeMap<Lane, (Rank, Digest)> = BTreeMap::new();
    for (second, account) in (0..).map(Rank).zip(accounts) {
        let apart = |first: Rank, difference: Difference| Err(Apart { first, second, difference });
        if account.run != all.run {
            return apart(Rank(0), Difference::Run(all.run, account.run));
        }
        if account.step != all.step {
            return apart(Rank(0), Difference::Step(all.step, account.step));
        }
        let at = account.step;
        if account.replicated != all.replicated {
            return apart(Rank(0), Difference::Replicated { at, theirs: (all.replicated, account.replicated) });
        }
        for (lane, slots) in &account.lanes {
            let (first, theirs) = *kept.entry(*lane).or_insert((second, *slots));
            if theirs != *slots {
                return apart(first, Difference::Lane { lane: *lane, at, theirs: (theirs, *slots) });
            }
        }
    }
    Ok(())
}
