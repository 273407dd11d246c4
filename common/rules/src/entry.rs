//! What every member of a generation does to enter it: who is brought up to date, who donates, which lane's slots go where.
//!
//! A pure function of the opening, the same on every member, so that sends and receives match. Knows nothing of bytes.

#[cfg(test)]
mod tests;

use crate::{
    conversation::{Basis, Opening},
    ids::{Lane, Rank, Step, WorkerId},
    lanes,
};
use std::collections::BTreeMap;

/// The entry into a generation, seen from the whole roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The step everybody stands at afterwards; unknown until read, if it comes from a checkpoint.
    pub step: Option<Step>,
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
            return Self { step: None, behind: vec![], donor: None, receivers: vec![], moves: vec![] };
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
            step,
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
