//! Chance as a function: every random number of a run is named by (seed, stream, lane, step) and by nothing else.
//!
//! There is no generator to carry along, save or hand over: whoever executes a lane's step opens the streams it needs and
//! finds the same numbers in them, on every machine. Knows nothing of what is drawn.

use crate::ids::{Lane, Step};
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

pub use rand_chacha::{ChaCha8Rng, rand_core::Rng};

/// What the numbers are for. The number of a stream is part of every run's results: append, never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Weights before step 0 (lane 0, step 0).
    Init = 0,
    /// The order of the synthetic images (lane 0; the epoch stands in the step's place).
    Synthetic = 1,
    /// The order of the real images (likewise).
    Real = 2,
    /// Which history images a discriminator step sees.
    Draw = 3,
    /// Which history images it replaces.
    Replace = 4,
    /// How far what the discriminator sees is shifted.
    Shift = 5,
    /// Start vectors of spectral normalisation (lane 0, step 0).
    SpectralNorm = 6,
    /// What a refiner sees beside images in training; when it refines a data set, of one image (its draw is the seed; lane 0,
    /// step 0).
    Noise = 7,
    /// Which real image lends its light to one image (its draw is the seed; lane 0, step 0).
    Match = 8,
    /// Which features a downstream model does without (lane 0; the update stands in the step's place).
    Dropout = 9,
    /// Places and directions by which two sets of images are compared.
    Patches = 10,
}

/// The generator of one stream, at its beginning: ChaCha with 8 rounds, whose key is the SHA-256 of
/// `"sumac stream 1"`, seed (u64), stream (u32), lane (u32) and step (u64), all little-endian.
#[must_use]
pub fn stream(seed: u64, stream: Stream, lane: Lane, step: Step) -> ChaCha8Rng {
    let key = Sha256::new()
        .chain_update(b"sumac stream 1")
        .chain_update(seed.to_le_bytes())
        .chain_update((stream as u32).to_le_bytes())
        .chain_update(lane.0.to_le_bytes())
        .chain_update(step.0.to_le_bytes())
        .finalize();
    ChaCha8Rng::from_seed(key.into())
}

/// What chance an image has when it is refined, by its key in its data set: wherever it is refined, and in whatever company.
#[must_use]
pub fn draw_of(key: &str) -> u64 {
    let digest = Sha256::new().chain_update(b"sumac draw 1").chain_update(key.as_bytes()).finalize();
    u64::from_le_bytes(digest[..8].try_into().expect("a SHA-256 has 32 bytes"))
}

/// An integer in `0..n`, each equally likely (Lemire 2019, "Fast random integer generation in an interval").
///
/// # Panics
/// If `n` is 0: there is nothing to choose from.
pub fn below(rng: &mut impl Rng, n: u64) -> u64 {
    assert!(n > 0, "no integer is below 0");
    // The low words under 2^64 mod n are the surplus that would make some results likelier than others.
    let surplus = n.wrapping_neg() % n;
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(n);
        if product as u64 >= surplus {
            return (product >> 64) as u64;
        }
    }
}

/// A multiple of 2^-24 in `[0, 1)`, each equally likely.
pub fn uniform(rng: &mut impl Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1u32 << 24) as f32
}

/// Mean 0 and deviation 1, from -6 to 6, as good as normal: the sum of twelve uniform values less 6. A logarithm would have other
/// bits on other machines.
pub fn normal(rng: &mut impl Rng) -> f32 {
    (0..12).map(|_| uniform(rng)).fold(-6.0, |sum, value| sum + value)
}

/// `k` different integers of `0..n` in random order, every such sequence equally likely: the first `k` cards of a
/// shuffled deck, of which only the moved cards are remembered.
///
/// # Panics
/// If `k > n`.
pub fn choose(rng: &mut impl Rng, k: usize, n: usize) -> Vec<usize> {
    assert!(k <= n, "{k} different integers were asked for below {n}");
    let mut moved = BTreeMap::new();
    (0..k)
        .map(|top| {
            let card = top + below(rng, (n - top) as u64) as usize;
            let displaced = moved.remove(&top).unwrap_or(top);
            if card == top { displaced } else { moved.insert(card, displaced).unwrap_or(card) }
        })
        .collect()
}
