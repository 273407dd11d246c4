use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use sumac_common::{
    ids::{Lane, Step},
    random::{Stream, below, choose, stream, uniform},
};

/// Sum over outcomes of (seen - expected)^2 / expected.
pub(crate) fn chi_squared<K>(seen: &BTreeMap<K, u64>, outcomes: u64) -> f64 {
    let expected = seen.values().sum::<u64>() as f64 / outcomes as f64;
    let absent = outcomes - seen.len() as u64;
    let off: f64 = seen.values().map(|&count| (count as f64 - expected).powi(2) / expected).sum();
    off + absent as f64 * expected
}

pub(crate) fn tally<K: Ord>(outcomes: impl IntoIterator<Item = K>) -> BTreeMap<K, u64> {
    outcomes.into_iter().fold(BTreeMap::new(), |mut seen, outcome| {
        *seen.entry(outcome).or_default() += 1;
        seen
    })
}

#[test]
fn each_part_of_a_streams_name_matters() {
    let streams = [
        stream(1, Stream::Draw, Lane(2), Step(3)),
        stream(2, Stream::Draw, Lane(2), Step(3)),
        stream(1, Stream::Replace, Lane(2), Step(3)),
        stream(1, Stream::Draw, Lane(3), Step(3)),
        stream(1, Stream::Draw, Lane(2), Step(4)),
        stream(1, Stream::Draw, Lane(3), Step(2)),
    ];
    let firsts: BTreeSet<u64> = streams.into_iter().map(|mut rng| rng.next_u64()).collect();
    assert_eq!(firsts.len(), 6);
}

#[test]
fn the_numbers_of_a_run_stay_what_they_are() {
    // Computed apart, from the definitions of SHA-256 and ChaCha: a change here changes every run there ever was.
    let mut rng = stream(2016, Stream::Draw, Lane(5), Step(1_000));
    let numbers: [u64; 3] = std::array::from_fn(|_| rng.next_u64());
    assert_eq!(numbers, [0x2177_1096_1860_426d, 0xcc6b_5721_6b5e_a296, 0xceb2_7721_0822_d079]);
}

#[test]
fn no_integer_is_likelier_than_another() {
    // 2^64 words over 3 * 2^62 integers: unless some words are refused, every third integer comes twice as often.
    let mut rng = stream(7, Stream::Init, Lane(0), Step(0));
    let thirds = tally((0..9_000).map(|_| below(&mut rng, 3 << 62) % 3));
    assert_eq!(thirds.len(), 3);
    assert!(chi_squared(&thirds, 3) < 24.0, "{thirds:?}");
}

#[test]
fn every_sequence_of_two_in_five_is_as_likely() {
    let mut rng = stream(7, Stream::Draw, Lane(0), Step(0));
    let sequences = tally((0..20_000).map(|_| choose(&mut rng, 2, 5)));
    assert_eq!(sequences.len(), 20);
    // 19 degrees of freedom: above 60 once in 300 000 such tests.
    assert!(chi_squared(&sequences, 20) < 60.0, "{sequences:?}");
}

#[test]
fn uniform_values_stay_below_one_and_fill_the_interval() {
    let mut rng = stream(7, Stream::Shift, Lane(0), Step(0));
    let values: Vec<f32> = (0..10_000).map(|_| uniform(&mut rng)).collect();
    assert!(values.iter().all(|value| (0.0..1.0).contains(value)));
    let tenths = tally(values.iter().map(|value| (value * 10.0) as u32));
    assert!(chi_squared(&tenths, 10) < 45.0, "{tenths:?}");
}

proptest! {
    #[test]
    fn chosen_integers_differ_and_stay_in_range(seed: u64, n in 0usize..200, k: prop::sample::Index) {
        let k = k.index(n + 1);
        let chosen = choose(&mut stream(seed, Stream::Draw, Lane(0), Step(0)), k, n);
        let different: BTreeSet<_> = chosen.iter().copied().collect();
        prop_assert_eq!(different.len(), k);
        prop_assert!(different.iter().all(|&index| index < n));
    }

    #[test]
    fn choosing_all_is_a_shuffle_of_a_whole_deck(seed: u64, n in 1usize..60) {
        // The textbook shuffle, card by card, with the same numbers.
        let mut rng = stream(seed, Stream::Draw, Lane(0), Step(0));
        let mut deck: Vec<usize> = (0..n).collect();
        for top in 0..n {
            let card = top + below(&mut rng, (n - top) as u64) as usize;
            deck.swap(top, card);
        }
        prop_assert_eq!(choose(&mut stream(seed, Stream::Draw, Lane(0), Step(0)), n, n), deck);
    }
}
