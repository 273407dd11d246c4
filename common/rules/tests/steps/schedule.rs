use crate::model::train;
use proptest::prelude::*;
use std::collections::BTreeMap;
use sumac_common::{
    ids::{Lane, SampleId, Step},
    order::SAMPLES_MAX,
    schedule::{Phase, Plan, Progress, Schedule, Unschedulable},
};

/// 4 lanes, b = 24: 6 images in each lane; 10 slots in each.
fn schedule() -> Schedule {
    Schedule::new(&train(1, 4, 3, 10), 100, 50).expect("a sound job")
}

/// Plans of steps `0..steps`, of which those in `skipped` change nothing.
fn plans(schedule: &Schedule, steps: u64, skipped: &[u64]) -> Vec<(Plan, Progress)> {
    let mut progress = Progress::default();
    let planned = (0..steps).map(|step| {
        let plan = schedule.plan(Step(step), &progress);
        let before = progress;
        progress = progress.after(&plan, skipped.contains(&step));
        (plan, before)
    });
    planned.collect()
}

fn images(plan: &Plan) -> (u64, u64, u32, u32) {
    (plan.synthetic.end - plan.synthetic.start, plan.real.end - plan.real.start, plan.drawn, plan.offered)
}

#[test]
fn pretraining_comes_first_then_cycles() {
    use Phase::{Discriminator as D, PretrainDiscriminator as PD, PretrainRefiner as PR, Refiner as R};
    let schedule = schedule();
    let phases: Vec<_> = (0..12).map(|step| schedule.phase(Step(step))).collect();
    assert_eq!(phases, [PR, PR, PR, PD, PD, R, R, D, R, R, D, R]);
    let cycles: Vec<_> = (3..12).map(|step| schedule.cycle(Step(step))).collect();
    assert_eq!(cycles, [None, None, Some(0), Some(0), Some(0), Some(1), Some(1), Some(1), Some(2)]);
}

#[test]
fn each_phase_eats_its_row_of_the_table() {
    let planned = plans(&schedule(), 8, &[]);
    let eaten: Vec<_> = planned.iter().map(|(plan, _)| images(plan)).collect();
    let (refiner, unremembered, discriminator) = ((24, 0, 0, 0), (24, 24, 0, 3), (12, 24, 3, 3));
    assert_eq!(
        eaten,
        [refiner, refiner, refiner, unremembered, discriminator, refiner, refiner, discriminator],
        "(synthetic, real) of the batch, (drawn, offered) of a lane"
    );
}

#[test]
fn every_discriminator_step_sees_as_many_refined_as_real_images() {
    for (plan, _) in plans(&schedule(), 40, &[]).iter().filter(|(plan, _)| !plan.real.is_empty()) {
        assert_eq!(plan.refined(4), 24);
    }
}

#[test]
fn without_a_history_all_refined_images_are_fresh() {
    let schedule = Schedule::new(&train(1, 4, 3, 0), 100, 50).expect("a sound job");
    for (plan, progress) in plans(&schedule, 20, &[]).iter().filter(|(plan, _)| !plan.real.is_empty()) {
        assert_eq!(images(plan), (24, 24, 0, 0));
        let lane = schedule.lane(plan, progress, Lane(2));
        assert_eq!((lane.synthetic.len(), lane.draw.len(), lane.replace.len()), (6, 0, 0));
    }
}

#[test]
fn a_skipped_discriminator_step_eats_but_is_not_remembered() {
    let planned = plans(&schedule(), 5, &[3]);
    let (after_skip, progress) = &planned[4];
    assert_eq!(images(after_skip), (24, 24, 0, 3), "the slots are still empty");
    assert_eq!(progress.offered, 0);
    assert_eq!((progress.synthetic, progress.real), (96, 24));
    assert_eq!((progress.skipped, progress.skipped_in_a_row), (1, 1));
}

#[test]
fn an_update_ends_a_row_of_skipped_steps() {
    let schedule = schedule();
    let rows: Vec<_> =
        plans(&schedule, 7, &[1, 2, 3, 5]).iter().map(|(_, p)| (p.skipped, p.skipped_in_a_row)).collect();
    assert_eq!(rows, [(0, 0), (0, 0), (1, 1), (2, 2), (3, 3), (3, 0), (4, 1)]);
}

#[test]
fn a_lane_draws_from_what_was_there_and_fills_free_slots_first() {
    let schedule = schedule();
    let planned = plans(&schedule, 20, &[]);
    // Discriminator steps: 3, 4, 7, 10, 13, ... of which each offers 3 images to 10 slots.
    let replaced = |step: usize| schedule.lane(&planned[step].0, &planned[step].1, Lane(1)).replace;
    assert_eq!([replaced(3), replaced(4), replaced(7)], [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7, 8]]);
    let last_free = replaced(10);
    assert_eq!(last_free[0], 9);
    assert!(last_free[1..].iter().all(|&slot| slot < 9) && last_free[1] != last_free[2]);
    let second = schedule.lane(&planned[4].0, &planned[4].1, Lane(1));
    assert!(second.draw.iter().all(|&slot| slot < 3), "slots that this very step fills are not drawn");
}

#[test]
fn unsound_jobs_have_no_schedule() {
    let sound = train(1, 4, 3, 10);
    let refused = |change: &dyn Fn(&mut sumac_common::spec::Train)| {
        let mut train = sound.clone();
        change(&mut train);
        Schedule::new(&train, 10, 10).expect_err("unsound")
    };
    assert_eq!(refused(&|train| train.lanes = 5), Unschedulable::UnevenBatch { batch: 24, lanes: 5 });
    assert_eq!(refused(&|train| train.lanes = 0), Unschedulable::UnevenBatch { batch: 24, lanes: 0 });
    assert_eq!(refused(&|train| train.batch = 0), Unschedulable::UnevenBatch { batch: 0, lanes: 4 });
    let small = Unschedulable::HistorySize { size: 20, batch: 24, lanes: 4 };
    assert_eq!(refused(&|train| train.history.size = 20), small);
    let uneven = Unschedulable::HistorySize { size: 26, batch: 24, lanes: 4 };
    assert_eq!(refused(&|train| train.history.size = 26), uneven);
    assert_eq!(refused(&|train| (train.k_refiner, train.k_discriminator) = (0, 0)), Unschedulable::EmptyCycle);
    for n in [0, SAMPLES_MAX + 1] {
        assert_eq!(Schedule::new(&sound, 10, n), Err(Unschedulable::Samples { which: "real", n }));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// L-1 and D-1.
    #[test]
    fn committed_steps_show_every_sample_once_per_epoch(
        seed: u64,
        lanes in 1u32..9,
        half in 1u32..5,
        slots in prop_oneof![Just(0u32), 10u32..30],
        synthetic_n in 1u64..200,
        real_n in 1u64..200,
        skipped in prop::collection::vec(0u64..80, 0..20),
    ) {
        let schedule = Schedule::new(&train(seed, lanes, half, slots), synthetic_n, real_n).expect("a sound job");
        let (mut synthetic, mut real) = (BTreeMap::new(), BTreeMap::new());
        let mut end = Progress::default();
        for (plan, progress) in plans(&schedule, 80, &skipped) {
            for lane in (0..lanes).map(|lane| schedule.lane(&plan, &progress, Lane(lane))) {
                count(&mut synthetic, &lane.synthetic);
                count(&mut real, &lane.real);
            }
            end = progress.after(&plan, skipped.contains(&plan.step.0));
        }
        for (shown, positions, n) in [(synthetic, end.synthetic, synthetic_n), (real, end.real, real_n)] {
            prop_assert_eq!(shown.values().sum::<u64>(), positions);
            let times = |sample| shown.get(&SampleId(sample)).copied().unwrap_or(0);
            let passes = positions / n;
            prop_assert!((0..n).all(|sample| (passes..=passes + 1).contains(&times(sample))));
            prop_assert_eq!((0..n).filter(|&sample| times(sample) == passes + 1).count() as u64, positions % n);
        }
    }

    #[test]
    fn without_skipped_steps_progress_is_a_function_of_the_step(seed: u64, lanes in 1u32..9, half in 1u32..5) {
        let schedule = |seed| Schedule::new(&train(seed, lanes, half, 2 * half), 30, 40).expect("a sound job");
        let (one, other) = (plans(&schedule(seed), 50, &[]), plans(&schedule(!seed), 50, &[]));
        prop_assert_eq!(one, other);
    }
}

fn count(shown: &mut BTreeMap<SampleId, u64>, samples: &[SampleId]) {
    for &sample in samples {
        *shown.entry(sample).or_default() += 1;
    }
}
