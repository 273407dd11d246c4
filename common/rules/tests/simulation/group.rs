//! A group of workers and its collectives, one after the other: each is done when every member has given its part, and each
//! member hears of it in its own time. Who leaves fails all others, those too that could have heard of success.

use super::toy::{Model, Slots, State};
use std::collections::{BTreeMap, BTreeSet};
use sumac_common::{ids::WorkerId, tail::Wishes};

/// What one member gives to one collective.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Formed,
    /// The donor's weights.
    Weights(Option<Model>),
    /// The first member's newest checkpoint.
    Loaded(Option<Box<State>>),
    /// Slots of lanes that change hands.
    Lanes(BTreeMap<u32, Slots>),
    /// What it believes to stand at.
    Claim(Model),
    /// Its staged images, for its guard.
    Staged(BTreeMap<u32, u64>),
    Sums(BTreeMap<u32, u64>),
    Tail(u64, Wishes),
    Sealed,
}

#[derive(Debug)]
pub(crate) struct Group {
    members: Vec<WorkerId>,
    gone: BTreeSet<usize>,
    rounds: Vec<Round>,
    /// The round each member is in next.
    next: Vec<usize>,
}

#[derive(Debug)]
struct Round {
    parts: Vec<Option<Part>>,
    waiting: BTreeSet<usize>,
}

/// Whom a change concerns, and how its round ended.
pub(crate) struct Ends {
    pub(crate) round: usize,
    pub(crate) of: Vec<WorkerId>,
    pub(crate) well: bool,
}

impl Group {
    pub(crate) fn new(members: Vec<WorkerId>) -> Self {
        let next = vec![0; members.len()];
        Self { members, gone: BTreeSet::new(), rounds: Vec::new(), next }
    }

    fn rank(&self, worker: &WorkerId) -> usize {
        self.members.iter().position(|member| member == worker).expect("only members take part")
    }

    /// The member gives its part to its next round. Returns what ends by that.
    pub(crate) fn give(&mut self, worker: &WorkerId, part: Part) -> Option<Ends> {
        let rank = self.rank(worker);
        assert!(!self.gone.contains(&rank), "{worker} takes part in a group it has left");
        let round = self.next[rank];
        self.next[rank] += 1;
        if self.rounds.len() == round {
            self.rounds.push(Round { parts: vec![None; self.members.len()], waiting: BTreeSet::new() });
        }
        let this = &mut self.rounds[round];
        if let Some(other) = this.parts.iter().flatten().next() {
            let same = std::mem::discriminant(other) == std::mem::discriminant(&part);
            assert!(same, "{worker} gives {part:?} where another gave {other:?}");
        }
        this.parts[rank] = Some(part);
        this.waiting.insert(rank);
        if this.parts.iter().all(Option::is_some) {
            let of = this.waiting.iter().map(|rank| self.members[*rank].clone()).collect();
            return Some(Ends { round, of, well: true });
        }
        let hopeless = self.gone.iter().any(|gone| this.parts[*gone].is_none());
        hopeless.then(|| {
            this.waiting.remove(&rank);
            Ends { round, of: vec![worker.clone()], well: false }
        })
    }

    /// The member is gone: whoever waits for its part fails; `spoils` says who else fails that has not heard yet.
    pub(crate) fn leave(&mut self, worker: &WorkerId, mut spoils: impl FnMut() -> bool) -> Vec<Ends> {
        let rank = self.rank(worker);
        self.gone.insert(rank);
        let mut ends = Vec::new();
        for (round, this) in self.rounds.iter_mut().enumerate() {
            this.waiting.remove(&rank);
            let complete = this.parts.iter().all(Option::is_some);
            let hopeless = this.parts[rank].is_none();
            let failed: Vec<usize> =
                this.waiting.iter().copied().filter(|_| hopeless || complete && spoils()).collect();
            failed.iter().for_each(|rank| {
                this.waiting.remove(rank);
            });
            if !failed.is_empty() {
                let of = failed.into_iter().map(|rank| self.members[rank].clone()).collect();
                ends.push(Ends { round, of, well: false });
            }
        }
        ends
    }

    /// The member hears that its round went well, unless it failed in the meantime.
    pub(crate) fn hear(&mut self, worker: &WorkerId, round: usize) -> Option<Vec<Part>> {
        let rank = self.rank(worker);
        let this = &mut self.rounds[round];
        this.waiting.remove(&rank).then(|| this.parts.iter().flatten().cloned().collect())
    }
}
