//! Membership under weather: one cluster, two to five members, a toy run, and everything that can go wrong, from a seed.
//!
//! No process, no socket, no clock: the rules themselves run, in virtual time. `SUMAC_SEEDS=5000 cargo test -p sumac-common
//! --test simulation` looks longer; `SUMAC_SEED=17` repeats one with its whole story.

mod group;
#[path = "../job/mod.rs"]
mod job;
mod toy;
mod worker;
mod world;

use std::{panic, time::Duration};
use world::{Dice, FAULTS, Fault, Weather, World};

/// Everything goes wrong, for half a minute; then nothing does.
fn storm(seed: u64) -> Weather {
    let mut dice = Dice::new(seed ^ 0x5707);
    let quiet_at = Duration::from_secs(30);
    let workers = 2 + dice.below(4) as usize;
    let mut faults = Vec::new();
    let mut at = Duration::from_secs(3);
    let pace = 400 + dice.below(5_000);
    loop {
        at += dice.millis(100..pace + 101);
        if at >= quiet_at {
            break;
        }
        faults.push((at, FAULTS[dice.below(FAULTS.len() as u64) as usize]));
    }
    Weather {
        workers,
        newcomers: dice.below(workers as u64) as usize,
        replicas: u32::from(!dice.one_in(4)),
        faults,
        cruel: dice.one_in(2),
        gentle: false,
        quiet_at,
    }
}

/// One thing goes wrong in the midst of a run with guards.
fn single(seed: u64) -> Weather {
    let mut dice = Dice::new(seed ^ 0x0e);
    let workers = 2 + dice.below(4) as usize;
    let newcomers = dice.below(workers as u64 - 1) as usize;
    let single = [Fault::Kill, Fault::Vanish, Fault::Pause, Fault::StreamBreaks, Fault::CoordinatorCrash];
    let fault = single[dice.below(single.len() as u64) as usize];
    let at = dice.millis(4_000..20_000);
    Weather {
        workers,
        newcomers,
        replicas: 1,
        faults: vec![(at, fault)],
        cruel: false,
        gentle: false,
        quiet_at: at + Duration::from_secs(12),
    }
}

/// Workers are asked to end, drained and come back, the job is scaled; nothing goes wrong.
fn change(seed: u64) -> Weather {
    let mut dice = Dice::new(seed ^ 0xc4a);
    let changes = [Fault::Goodbye, Fault::Goodbye, Fault::Drain, Fault::Scale];
    let workers = 1 + dice.below(5) as usize;
    let quiet_at = Duration::from_secs(40);
    let mut faults = Vec::new();
    let mut at = Duration::from_secs(2);
    while at < quiet_at {
        faults.push((at, changes[dice.below(changes.len() as u64) as usize]));
        at += dice.millis(100..6_000);
    }
    let replicas = u32::from(!dice.one_in(4));
    let newcomers = dice.below(workers as u64) as usize;
    Weather { workers, newcomers, replicas, faults, cruel: false, gentle: true, quiet_at }
}

/// What is set in the environment, if it is a number.
#[expect(clippy::disallowed_methods, reason = "how long a test looks is no rule of a run")]
fn set(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Each seed on its own; the first that fails tells its story.
fn under_many_seeds(test: &str, weather: fn(u64) -> Weather, check: fn(&mut World, &Weather)) {
    let one = set("SUMAC_SEED");
    let seeds = match one {
        Some(seed) => seed..seed + 1,
        None => 0..set("SUMAC_SEEDS").unwrap_or(200),
    };
    for seed in seeds {
        let weather = weather(seed);
        let outcome = panic::catch_unwind(|| check(&mut World::new(seed, &weather), &weather));
        if outcome.is_err() || one.is_some() {
            // The same again, with its story.
            let mut world = World::new(seed, &weather);
            world.story = Some(Vec::new());
            let outcome = panic::catch_unwind(panic::AssertUnwindSafe(|| check(&mut world, &weather)));
            let story = world.story.unwrap_or_default();
            let first = if one.is_some() { 0 } else { story.len().saturating_sub(40) };
            eprintln!("{weather:?}\n{}", story[first..].join("\n"));
            eprintln!("repeat it: SUMAC_SEED={seed} cargo test -p sumac-common --test simulation {test}");
            outcome.unwrap_or_else(|cause| panic::resume_unwind(cause));
        }
    }
}

#[test]
fn a_run_through_a_storm_ends_as_a_run_of_one() {
    under_many_seeds("storm", storm, |world, weather| {
        world.run(weather);
    });
}

#[test]
fn a_single_fault_never_takes_a_guarded_run_back_to_a_checkpoint() {
    under_many_seeds("single_fault", single, |world, weather| {
        let seen = world.run(weather);
        assert_eq!(seen.went_back, 0, "one fault ({:?}) and the run went back to a checkpoint", weather.faults);
    });
}

#[test]
fn who_leaves_on_purpose_aborts_nothing_and_costs_no_step() {
    under_many_seeds("on_purpose", change, |world, weather| {
        let seen = world.run(weather);
        assert_eq!(seen.redone, 0, "steps are done again though nothing went wrong");
    });
}
