use proptest::prelude::*;
use std::collections::BTreeSet;
use sumac_common::{
    history::Slots,
    ids::{Lane, Step},
    random::{Stream, stream},
};

proptest! {
    #[test]
    fn drawn_slots_are_occupied_and_differ(seed: u64, capacity in 0u32..300, offered: u64, images: prop::sample::Index) {
        let slots = Slots::after(capacity, offered % 600);
        let images = images.index(slots.occupied as usize + 1) as u32;
        let drawn = slots.draw(&mut stream(seed, Stream::Draw, Lane(0), Step(0)), images);
        let different: BTreeSet<_> = drawn.iter().copied().collect();
        prop_assert_eq!(different.len(), images as usize);
        prop_assert!(different.iter().all(|&slot| slot < slots.occupied));
    }

    #[test]
    fn free_slots_are_taken_in_order_before_others_are_overwritten(
        seed: u64,
        capacity in 1u32..300,
        offered: u64,
        images: prop::sample::Index,
    ) {
        let slots = Slots::after(capacity, offered % 600);
        let images = images.index(capacity as usize + 1) as u32;
        let replaced = slots.replace(&mut stream(seed, Stream::Replace, Lane(0), Step(0)), images);
        let different: BTreeSet<_> = replaced.iter().copied().collect();
        prop_assert_eq!(different.len(), images as usize);
        let filled = images.min(slots.free());
        let (free, taken) = replaced.split_at(filled as usize);
        prop_assert_eq!(free.to_vec(), (slots.occupied..slots.occupied + filled).collect::<Vec<_>>());
        prop_assert!(taken.iter().all(|&slot| slot < slots.occupied));
    }
}

#[test]
fn occupancy_never_exceeds_capacity() {
    let occupied = [0, 3, 8, 9, u64::MAX].map(|offered| Slots::after(8, offered).occupied);
    assert_eq!(occupied, [0, 3, 8, 8, 8]);
}

/// H-1: an image survives each replacement of h in B slots with probability 1 - h/B.
#[test]
fn ages_follow_the_geometric_law() {
    let (capacity, images, lanes, steps) = (100u32, 8u32, 200u32, 400u64);
    let mut ages = Vec::new();
    for lane in 0..lanes {
        let mut born = vec![0; capacity as usize];
        for step in 0..steps {
            let slots = Slots::after(capacity, step * u64::from(images));
            let mut rng = stream(2026, Stream::Replace, Lane(lane), Step(step));
            for slot in slots.replace(&mut rng, images) {
                born[slot as usize] = step;
            }
        }
        ages.extend(born.into_iter().map(|step| steps - 1 - step));
    }
    let survival = 1.0 - f64::from(images) / f64::from(capacity);
    let off = (0..60).map(|age| {
        let older = ages.iter().filter(|&&of_slot| of_slot >= age).count() as f64 / ages.len() as f64;
        (older - survival.powi(age as i32)).abs()
    });
    // Dvoretzky, Kiefer and Wolfowitz: beyond sqrt(ln(2 / p) / 2n) with probability p = 1e-6.
    let bound = ((2.0f64 / 1e-6).ln() / (2.0 * ages.len() as f64)).sqrt();
    assert!(off.fold(0.0, f64::max) < bound);
}
