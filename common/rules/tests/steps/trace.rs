use crate::model::{Run, churn, train};
use proptest::prelude::*;
use std::collections::BTreeSet;
use sumac_common::{
    ids::{Digest, Lane},
    schedule::{Network, Progress, Schedule},
    tail::Agreed,
};

/// Every step's digests and losses, and the weights after it.
type Trace = Vec<(Vec<Digest>, String, [u32; 3], Progress)>;

fn record(run: &Run, agreed: &Agreed) -> (Vec<Digest>, String, [u32; 3], Progress) {
    (agreed.digests.clone(), format!("{:?}", agreed.losses), run.weights.map(f32::to_bits), run.progress)
}

/// Runs the story: so many workers in each step; a thrown-away attempt is computed on a copy that is then forgotten.
fn trace(mut run: Run, story: &[(usize, bool)], poisoned: &BTreeSet<u64>) -> Trace {
    let steps = story.iter().map(|&(workers, thrown_away)| {
        let poison = poisoned.contains(&run.step.0).then_some(Lane(0));
        if thrown_away {
            run.clone().step(workers, None).expect("a whole roster agrees");
        }
        let agreed = run.step(workers, poison).expect("a whole roster agrees");
        record(&run, &agreed)
    });
    steps.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// L-2.
    #[test]
    fn any_churn_leaves_the_trace_of_one_worker(
        seed: u64,
        lanes in 1u32..12,
        half in 1u32..4,
        slots in 0u32..3,
        synthetic_n in 1u64..90,
        poisoned in prop::collection::btree_set(0u64..60, 0..6),
    ) {
        let slots = if slots == 0 { 0 } else { 2 * half * slots };
        let schedule = Schedule::new(&train(seed, lanes, half, slots), synthetic_n, 17).expect("a sound job");
        let alone: Vec<_> = (0..60).map(|_| (1, false)).collect();
        let crowded = churn(seed, 60, lanes as usize);
        let expected = trace(Run::new(schedule.clone()), &alone, &poisoned);
        prop_assert_eq!(trace(Run::new(schedule), &crowded, &poisoned), expected);
    }

    /// H-1: conservation.
    #[test]
    fn a_history_holds_what_it_was_offered_and_nothing_twice(
        seed: u64,
        lanes in 1u32..5,
        half in 1u32..5,
        spare in 0u32..9,
        poisoned in prop::collection::btree_set(0u64..60, 0..12),
    ) {
        let capacity = 2 * half + spare;
        let schedule = Schedule::new(&train(seed, lanes, half, capacity), 41, 41).expect("a sound job");
        let mut run = Run::new(schedule.clone());
        let mut offered = 0;
        for step in 0..60 {
            let poison = poisoned.contains(&step).then_some(Lane(0));
            let trains_discriminator = schedule.phase(run.step).network() == Network::Discriminator;
            let agreed = run.step(1, poison).expect("one worker agrees with itself");
            prop_assert_eq!(agreed.skipped, poison.is_some());
            offered += if trains_discriminator && !agreed.skipped { half } else { 0 };
            for lane in &run.lanes {
                let images: BTreeSet<_> = lane.history.iter().collect();
                prop_assert_eq!(images.len(), lane.history.len());
                prop_assert_eq!(images.len(), offered.min(capacity) as usize);
            }
        }
    }
}

#[test]
fn one_bit_of_one_weight_shows_in_every_digest() {
    // The oracle of L-2 must be able to fail.
    let schedule = Schedule::new(&train(5, 11, 1, 2), 50, 50).expect("a sound job");
    let mut run = Run::new(schedule.clone());
    let mut other = Run::new(schedule);
    other.weights[0] = f32::from_bits(other.weights[0].to_bits() + 1);
    let digests = |run: &mut Run| run.step(3, None).expect("a whole roster agrees").digests;
    let pairs = digests(&mut run).into_iter().zip(digests(&mut other));
    assert_eq!(pairs.filter(|(ours, theirs)| ours == theirs).count(), 0);
}
