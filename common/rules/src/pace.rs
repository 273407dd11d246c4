//! How fast it goes, and who holds the others up: from the times that all members say in their tails. For people; decides nothing
//! about the run.
//!
//! Members own different numbers of lanes, and steps of different phases take different times: so times count per lane, and each
//! step is compared within itself.

use crate::{ids::Rank, lanes};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// So many of the latest steps count.
const WINDOW: usize = 20;
/// A member that was the slow one in so many of them is named.
const NAMED_AFTER: usize = 10;
/// Slow: more than so many times what the others need for a lane.
const SLOW_TIMES: f64 = 2.0;

/// The latest steps of one generation.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    recent: VecDeque<Step>,
}

#[derive(Clone, Debug)]
struct Step {
    /// By rank, in microseconds: worked on its lanes.
    own_us: Vec<f64>,
    /// This member's waiting for others, in microseconds.
    waited_us: f64,
    /// Who was slow, and what the others would have needed for its lanes.
    slow: Option<(Rank, f64)>,
}

/// Mean times of a step, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    pub own_us: f64,
    pub waited_us: f64,
}

/// Where the time goes in a refinement: the share of it that each stage is busy, 0..=1, a stage of several threads on average.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    pub read: f64,
    pub decode: f64,
    pub refine: f64,
    pub encode: f64,
    pub write: f64,
}

impl Shares {
    /// Under their names, in the order in which an image passes them.
    #[must_use]
    pub fn named(&self) -> [(&'static str, f64); 5] {
        let Self { read, decode, refine, encode, write } = *self;
        [("read", read), ("decode", decode), ("refine", refine), ("encode", encode), ("write", write)]
    }

    /// The stage that the others wait for.
    #[must_use]
    pub fn bottleneck(&self) -> &'static str {
        let [first, rest @ ..] = self.named();
        rest.into_iter().fold(first, |most, stage| if stage.1 > most.1 { stage } else { most }).0
    }
}

/// A member that holds the others up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slow {
    pub rank: Rank,
    /// Mean time it works on its lanes in a step, in microseconds.
    pub own_us: f64,
    /// What the others would need for as many lanes.
    pub others_us: f64,
}

impl Pace {
    /// A committed step: what each member said it worked, by rank, and how long this one waited.
    pub fn note(&mut self, lanes: u32, own_us: &[u64], waited_us: u64) {
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        let own_us: Vec<f64> = own_us.iter().map(|own| *own as f64).collect();
        let slow = slow_one(lanes, &own_us);
        self.recent.push_back(Step { own_us, waited_us: waited_us as f64, slow });
    }

    /// Of this member.
    #[must_use]
    pub fn times(&self, rank: Rank) -> Times {
        let steps = self.recent.len().max(1) as f64;
        let own = self.recent.iter().filter_map(|step| step.own_us.get(rank.index())).sum::<f64>();
        let waited = self.recent.iter().map(|step| step.waited_us).sum::<f64>();
        Times { own_us: own / steps, waited_us: waited / steps }
    }

    /// The one that was slow most often of late, if it was often.
    #[must_use]
    pub fn slow(&self) -> Option<Slow> {
        let first = self.recent.front()?;
        let steps = |rank: Rank| {
            let is_slow = move |step: &&Step| step.slow.is_some_and(|(slow, _)| slow == rank);
            self.recent.iter().filter(is_slow)
        };
        let ranks = (0..first.own_us.len() as u32).map(Rank);
        let rank = ranks.max_by_key(|rank| (steps(*rank).count(), std::cmp::Reverse(*rank)))?;
        let times = steps(rank).count();
        if times < NAMED_AFTER {
            return None;
        }
        let mean = |sum: f64| sum / times as f64;
        let own_us = mean(steps(rank).map(|step| step.own_us[rank.index()]).sum());
        let others_us = mean(steps(rank).filter_map(|step| Some(step.slow?.1)).sum());
        Some(Slow { rank, own_us, others_us })
    }
}

/// Beside the middle of the others, per lane: one that is slow with any number of fast ones is found, and none among equals.
fn slow_one(lanes: u32, own_us: &[f64]) -> Option<(Rank, f64)> {
    let owned = |rank: usize| lanes::owned(lanes, own_us.len(), Rank(rank as u32)).len().max(1) as f64;
    let per_lane: Vec<f64> = own_us.iter().enumerate().map(|(rank, own)| own / owned(rank)).collect();
    let (rank, slowest) = per_lane.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let mut others: Vec<f64> =
        per_lane.iter().copied().enumerate().filter(|(at, _)| *at != rank).map(|(_, own)| own).collect();
    others.sort_by(f64::total_cmp);
    let usual = *others.get(others.len() / 2)?;
    (slowest > SLOW_TIMES * usual).then(|| (Rank(rank as u32), usual * owned(rank)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANES: u32 = 8;

    /// The step in which it was first named, counted from 1.
    fn named(own_us: &[u64], steps: usize) -> Option<(usize, Slow)> {
        let mut pace = Pace::default();
        (1..=steps).find_map(|step| {
            pace.note(LANES, own_us, 0);
            Some((step, pace.slow()?))
        })
    }

    #[test]
    fn a_slow_member_is_named_within_twenty_steps() {
        let (step, slow) = named(&[200, 2_000, 210, 190], 20).expect("it is ten times slower");
        assert!(step <= 20, "named in step {step}");
        assert_eq!(slow, Slow { rank: Rank(1), own_us: 2_000.0, others_us: 200.0 });
    }

    #[test]
    fn of_two_the_slow_one_is_named() {
        assert_eq!(named(&[3_000, 400], 20).expect("it is slow").1.rank, Rank(0));
    }

    #[test]
    fn who_has_more_lanes_is_not_slow() {
        // Eight lanes on three members: 3, 3 and 2.
        assert!(named(&[300, 300, 200], 100).is_none());
    }

    #[test]
    fn equals_and_a_lone_worker_are_not_slow() {
        assert!(named(&[300, 301, 299, 300], 100).is_none() && named(&[5_000], 100).is_none());
    }

    #[test]
    fn a_hiccup_names_nobody() {
        let mut pace = Pace::default();
        for step in 0..100_u64 {
            pace.note(LANES, &[200, if step % 5 == 0 { 4_000 } else { 200 }], 0);
            assert_eq!(pace.slow(), None, "step {step}");
        }
    }

    #[test]
    fn who_is_fast_again_is_named_no_more() {
        let mut pace = Pace::default();
        (0..20).for_each(|_| pace.note(LANES, &[200, 4_000], 0));
        assert!(pace.slow().is_some());
        (0..20).for_each(|_| pace.note(LANES, &[200, 200], 0));
        assert_eq!(pace.slow(), None);
    }

    #[test]
    fn own_time_and_waiting_are_told_apart() {
        let mut pace = Pace::default();
        pace.note(LANES, &[100, 300], 250);
        pace.note(LANES, &[200, 300], 150);
        assert_eq!(pace.times(Rank(0)), Times { own_us: 150.0, waited_us: 200.0 });
    }
}
