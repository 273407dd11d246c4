//! The generations of a job, one after the other, and how much of the time went into steps that count: from its facts.
//!
//! Pure: the same facts at the same time give the same timeline. Knows nothing of the wire.

use serde::Serialize;
use std::time::{Duration, SystemTime};

/// What happened to a generation, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub at: SystemTime,
    pub generation: u64,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Opened {
        workers: Vec<String>,
    },
    /// The first of its members went on from this step.
    Entered {
        step: u64,
    },
    /// Said again with the cause, once that is known.
    Closed {
        why: Option<String>,
        /// For so long before no step had been seen to end.
        stood: Duration,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct GenerationView {
    pub generation: u64,
    /// RFC 3339, UTC.
    pub opened: String,
    /// In rank order.
    pub workers: Vec<String>,
    /// Where it went on; none where nobody entered it.
    pub from_step: Option<u64>,
    /// From its opening until somebody took a step, in seconds.
    pub formed_seconds: Option<f64>,
    /// From then until its last step was seen to end, or until now.
    pub ran_seconds: f64,
    pub is_open: bool,
    /// What broke it; none where all left by agreement.
    pub why: Option<String>,
    #[serde(skip)]
    opened_at: SystemTime,
    #[serde(skip)]
    entered_at: Option<SystemTime>,
}

/// `ended`: when the job ended, or now.
pub(super) fn generations(turns: &[Turn], ended: SystemTime, is_over: bool) -> Vec<GenerationView> {
    let mut all: Vec<GenerationView> = Vec::new();
    for turn in turns {
        let known = all.iter_mut().rev().find(|known| known.generation == turn.generation);
        match (&turn.what, known) {
            (What::Opened { workers }, _) => all.push(opened(turn, workers)),
            (What::Entered { step }, Some(known)) if known.entered_at.is_none() => {
                known.from_step = Some(*step);
                known.formed_seconds = Some(seconds(known.opened_at, turn.at));
                known.entered_at = Some(turn.at);
            }
            (What::Closed { why, .. }, Some(known)) if !known.is_open => known.why.clone_from(why),
            (What::Closed { why, stood }, Some(known)) => {
                known.is_open = false;
                known.why.clone_from(why);
                let open = known.entered_at.map_or(0.0, |entered| seconds(entered, turn.at));
                known.ran_seconds = (open - stood.as_secs_f64()).max(0.0);
            }
            // Of one whose beginning is not remembered any more.
            (What::Entered { .. } | What::Closed { .. }, _) => {}
        }
    }
    for open in all.iter_mut().filter(|known| known.is_open) {
        open.ran_seconds = open.entered_at.map_or(0.0, |entered| seconds(entered, ended));
        open.is_open = !is_over;
    }
    all
}

fn opened(turn: &Turn, workers: &[String]) -> GenerationView {
    GenerationView {
        generation: turn.generation,
        opened: humantime::format_rfc3339_seconds(turn.at).to_string(),
        workers: workers.to_vec(),
        from_step: None,
        formed_seconds: None,
        ran_seconds: 0.0,
        is_open: true,
        why: None,
        opened_at: turn.at,
        entered_at: None,
    }
}

/// By clocks that people read: one that was set back makes no time negative.
fn seconds(from: SystemTime, to: SystemTime) -> f64 {
    to.duration_since(from).unwrap_or(Duration::ZERO).as_secs_f64()
}

/// Of the time since the first of these generations opened, the share that went into steps that count, 0 to 1: neither into
/// forming and waiting, nor into steps that had to be done again.
pub(super) fn goodput(generations: &[GenerationView], ended: SystemTime, step: u64, redone: u64) -> Option<f64> {
    let first = generations.first()?;
    let all = seconds(first.opened_at, ended);
    let ran: f64 = generations.iter().map(|generation| generation.ran_seconds).sum();
    let kept = step as f64 / (step + redone).max(1) as f64;
    (all > 0.0 && ran > 0.0).then(|| (ran / all).min(1.0) * kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn turn(seconds: u64, generation: u64, what: What) -> Turn {
        Turn { at: at(seconds), generation, what }
    }

    /// Three members form within a second, run for 60; one dies; the others take three seconds and run for 36.
    fn a_death() -> Vec<Turn> {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        vec![
            turn(0, 1, What::Opened { workers: names(&["a", "b", "c"]) }),
            turn(1, 1, What::Entered { step: 0 }),
            turn(61, 1, What::Closed { why: Some("c lost: it fell silent".to_owned()), stood: Duration::ZERO }),
            turn(62, 2, What::Opened { workers: names(&["a", "b"]) }),
            turn(64, 2, What::Entered { step: 600 }),
        ]
    }

    #[test]
    fn each_generation_has_its_members_its_step_and_what_ended_it() {
        let all = generations(&a_death(), at(100), false);
        assert_eq!((all[0].from_step, all[0].ran_seconds, all[0].is_open), (Some(0), 60.0, false));
        assert_eq!(all[0].why.as_deref(), Some("c lost: it fell silent"));
        assert_eq!((all[1].formed_seconds, all[1].ran_seconds, all[1].is_open), (Some(2.0), 36.0, true));
    }

    #[test]
    fn what_broke_a_generation_is_what_was_found_out_last() {
        let mut turns = a_death();
        turns.push(turn(
            65,
            1,
            What::Closed { why: Some("c was lost: its process ended".to_owned()), stood: Duration::ZERO },
        ));
        let all = generations(&turns, at(100), false);
        assert_eq!((all[0].why.as_deref(), all[0].ran_seconds), (Some("c was lost: its process ended"), 60.0));
    }

    #[test]
    fn goodput_counts_neither_waiting_nor_steps_done_again() {
        let all = generations(&a_death(), at(100), false);
        assert_eq!(goodput(&all, at(100), 1_000, 0), Some(0.96));
        assert!((goodput(&all, at(100), 900, 100).unwrap() - 0.864).abs() < 1e-9);
        assert_eq!(goodput(&[], at(100), 0, 0), None);
    }

    #[test]
    fn a_generation_that_stood_before_it_was_closed_did_not_run_meanwhile() {
        let mut turns = a_death();
        turns[2] = turn(61, 1, What::Closed { why: None, stood: Duration::from_secs(5) });
        let all = generations(&turns, at(100), false);
        assert_eq!(all[0].ran_seconds, 55.0);
        assert_eq!(goodput(&all, at(100), 1_000, 0), Some(0.91));
    }

    #[test]
    fn the_end_of_a_generation_that_nobody_remembers_is_let_pass() {
        let rest = a_death().split_off(1);
        let all = generations(&rest, at(100), true);
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].generation, all[0].is_open), (2, false));
    }
}
