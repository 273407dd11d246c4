//! How fast it goes, and who holds the others up: from the times that all members say in their tails. For people; decides nothing
//! about the run.
//!
//! Members own different numbers of lanes, and steps of different phases take different times: so times count per lane, and each
//! step is compared within itself.

use crate::{ids::Rank, lanes};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, time::Duration};

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
    spent: Spent,
    /// Who was slow, and what the others would have needed for its lanes.
    slow: Option<(Rank, f64)>,
}

/// What one member measured of one step, one part after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Until the images were there.
    pub data: Duration,
    pub forward: Duration,
    pub backward: Duration,
    /// Handing staged images on, and taking in those that it guards.
    pub guard: Duration,
    pub reduce: Duration,
    /// The update, the history and the metrics.
    pub optimiser: Duration,
}

/// Where the time of a step goes: means of one member, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    pub data_us: f64,
    pub forward_us: f64,
    pub backward_us: f64,
    pub guard_us: f64,
    pub reduce_us: f64,
    pub optimiser_us: f64,
    /// For members that took longer over their lanes: it is no part of the two calls in which it passes.
    pub waiting_us: f64,
}

impl Times {
    /// Under their names, in the order of a step.
    #[must_use]
    pub fn named(&self) -> [(&'static str, f64); 7] {
        let Self { data_us, forward_us, backward_us, guard_us, reduce_us, optimiser_us, waiting_us } = *self;
        [
            ("data", data_us),
            ("forward", forward_us),
            ("backward", backward_us),
            ("guard", guard_us),
            ("reduce", reduce_us),
            ("optimiser", optimiser_us),
            ("waiting", waiting_us),
        ]
    }

    /// All of them together.
    #[must_use]
    pub fn step_us(&self) -> f64 {
        self.named().iter().map(|(_, us)| us).sum()
    }
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
    /// A committed step: what each member said it worked, by rank, and what this one measured.
    pub fn note(&mut self, lanes: u32, own_us: &[u64], spent: Spent) {
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        let own_us: Vec<f64> = own_us.iter().map(|own| *own as f64).collect();
        let slow = slow_one(lanes, &own_us);
        self.recent.push_back(Step { own_us, spent, slow });
    }

    /// Of this member.
    #[must_use]
    pub fn times(&self, rank: Rank) -> Times {
        let steps = self.recent.len().max(1) as f64;
        let mean =
            |of: &dyn Fn(&Times) -> f64| self.recent.iter().map(|step| of(&step.times(rank))).sum::<f64>() / steps;
        Times {
            data_us: mean(&|times| times.data_us),
            forward_us: mean(&|times| times.forward_us),
            backward_us: mean(&|times| times.backward_us),
            guard_us: mean(&|times| times.guard_us),
            reduce_us: mean(&|times| times.reduce_us),
            optimiser_us: mean(&|times| times.optimiser_us),
            waiting_us: mean(&|times| times.waiting_us),
        }
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

impl Step {
    /// Whoever is done first waits in the first call that needs the others, and it looks as if that call took so long.
    fn times(&self, rank: Rank) -> Times {
        let us = |duration: Duration| duration.as_secs_f64() * 1e6;
        let (guard, reduce) = (us(self.spent.guard), us(self.spent.reduce));
        let slowest = self.own_us.iter().copied().fold(0.0, f64::max);
        let behind = slowest - self.own_us.get(rank.index()).copied().unwrap_or(slowest);
        let waiting = behind.clamp(0.0, guard + reduce);
        Times {
            data_us: us(self.spent.data),
            forward_us: us(self.spent.forward),
            backward_us: us(self.spent.backward),
            guard_us: (guard - waiting).max(0.0),
            reduce_us: reduce - (waiting - guard).max(0.0),
            optimiser_us: us(self.spent.optimiser),
            waiting_us: waiting,
        }
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
            pace.note(LANES, own_us, Spent::default());
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
            pace.note(LANES, &[200, if step % 5 == 0 { 4_000 } else { 200 }], Spent::default());
            assert_eq!(pace.slow(), None, "step {step}");
        }
    }

    #[test]
    fn who_is_fast_again_is_named_no_more() {
        let mut pace = Pace::default();
        (0..20).for_each(|_| pace.note(LANES, &[200, 4_000], Spent::default()));
        assert!(pace.slow().is_some());
        (0..20).for_each(|_| pace.note(LANES, &[200, 200], Spent::default()));
        assert_eq!(pace.slow(), None);
    }

    /// 100 ms of own work beside 300 of another: of the 250 ms in two calls 200 are waiting.
    #[test]
    fn waiting_for_a_slower_member_is_no_part_of_the_calls_in_which_it_passes() {
        let ms = Duration::from_millis;
        let spent = Spent {
            data: ms(10),
            forward: ms(40),
            backward: ms(50),
            guard: ms(150),
            reduce: ms(100),
            optimiser: ms(5),
        };
        let mut pace = Pace::default();
        pace.note(LANES, &[100_000, 300_000], spent);
        let times = pace.times(Rank(0));
        assert_eq!((times.guard_us, times.reduce_us, times.waiting_us), (0.0, 50_000.0, 200_000.0));
        let slowest = pace.times(Rank(1));
        assert_eq!((slowest.guard_us, slowest.reduce_us, slowest.waiting_us), (150_000.0, 100_000.0, 0.0));
        assert_eq!(times.step_us(), 355_000.0);
    }

    #[test]
    fn times_are_means_of_the_latest_steps() {
        let mut pace = Pace::default();
        for data in [1_000, 3_000] {
            pace.note(LANES, &[0], Spent { data: Duration::from_micros(data), ..Spent::default() });
        }
        assert!((pace.times(Rank(0)).data_us - 2_000.0).abs() < 1e-6);
    }
}
