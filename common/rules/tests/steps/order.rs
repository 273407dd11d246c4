use crate::random::{chi_squared, tally};
use proptest::prelude::*;
use std::collections::BTreeSet;
use sumac_common::{
    ids::SampleId,
    order::{Order, SAMPLES_MAX},
    random::Stream,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// D-1.
    #[test]
    fn an_epoch_shows_every_sample_once(seed: u64, n in 1u64..3_000, epoch in 0u64..1 << 30) {
        let order = Order::new(seed, Stream::Synthetic, n);
        let shown: BTreeSet<_> = order.samples(epoch * n..(epoch + 1) * n).into_iter().collect();
        prop_assert_eq!(shown, (0..n).map(SampleId).collect::<BTreeSet<_>>());
    }

    #[test]
    fn samples_of_a_range_are_those_of_its_positions(seed: u64, n in 1u64..50, from in 0u64..1 << 40, count in 0u64..200) {
        let order = Order::new(seed, Stream::Real, n);
        let one_by_one: Vec<_> = (from..from + count).map(|position| order.sample(position)).collect();
        prop_assert_eq!(order.samples(from..from + count), one_by_one);
    }

    #[test]
    fn positions_of_a_huge_epoch_have_samples_of_their_own(
        seed: u64,
        n in SAMPLES_MAX / 4..=SAMPLES_MAX,
        positions in prop::collection::btree_set(0..SAMPLES_MAX / 4, 2..200),
    ) {
        let order = Order::new(seed, Stream::Synthetic, n);
        let samples: BTreeSet<_> = positions.iter().map(|&position| order.sample(position)).collect();
        prop_assert_eq!(samples.len(), positions.len());
        prop_assert!(samples.iter().all(|sample| sample.0 < n));
    }
}

#[test]
fn any_two_samples_may_open_an_epoch() {
    let order = Order::new(11, Stream::Synthetic, 7);
    let openings = tally((0..42_000).map(|epoch| (order.sample(epoch * 7), order.sample(epoch * 7 + 1))));
    // 41 degrees of freedom: above 100 less than once in a million such tests.
    assert_eq!(openings.len(), 42);
    assert!(chi_squared(&openings, 42) < 100.0, "{openings:?}");
}

#[test]
fn epochs_streams_and_seeds_are_ordered_differently() {
    let samples = |seed, stream, epoch: u64| Order::new(seed, stream, 100).samples(epoch * 100..(epoch + 1) * 100);
    let orders = BTreeSet::from([
        samples(1, Stream::Synthetic, 0),
        samples(1, Stream::Synthetic, 1),
        samples(1, Stream::Real, 0),
        samples(2, Stream::Synthetic, 0),
    ]);
    assert_eq!(orders.len(), 4);
}

#[test]
fn neighbours_of_one_epoch_are_strangers_in_the_next() {
    // Spearman's rank correlation of where samples stand in two epochs: 0 within 5 standard deviations, 1 / sqrt(n - 1) each.
    let n = 4_000;
    let order = Order::new(3, Stream::Real, n);
    let (mut first, mut second) = (vec![0.0; n as usize], vec![0.0; n as usize]);
    for position in 0..n {
        first[order.sample(position).0 as usize] = position as f64;
        second[order.sample(n + position).0 as usize] = position as f64;
    }
    let mean = (n - 1) as f64 / 2.0;
    let covariance: f64 = first.iter().zip(&second).map(|(a, b)| (a - mean) * (b - mean)).sum();
    let variance: f64 = first.iter().map(|a| (a - mean).powi(2)).sum();
    assert!((covariance / variance).abs() < 5.0 / ((n - 1) as f64).sqrt());
}

#[test]
fn the_order_of_a_run_stays_what_it_is() {
    // Computed apart, from the definition: a change here changes every run there ever was.
    let shown = Order::new(2016, Stream::Synthetic, 10).samples(0..20);
    let expected = [9, 8, 5, 7, 6, 4, 1, 3, 2, 0, 4, 7, 3, 1, 0, 6, 5, 9, 2, 8];
    assert_eq!(shown, expected.map(SampleId));
}

#[test]
fn the_epoch_counts_whole_passes() {
    let order = Order::new(0, Stream::Synthetic, 10);
    assert_eq!([0, 9, 10, 35].map(|position| order.epoch(position)), [0, 0, 1, 3]);
}
