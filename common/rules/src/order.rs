//! The order in which a data set is shown: position in an endless stream -> sample.
//!
//! Position p belongs to epoch p div n; within an epoch the samples come in an order keyed by (seed, stream, epoch). The order
//! is computed where it is needed and stored nowhere: random access, no memory, the same on every worker. Every sample
//! comes exactly once in each epoch (D-1). Knows nothing of images.

use crate::{
    ids::{Lane, SampleId, Step},
    random::{self, Rng as _, Stream},
};
use std::ops::Range;

/// The largest data set an order is defined for.
pub const SAMPLES_MAX: u64 = 1 << 48;

/// The order of one data set of `n` samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    seed: u64,
    stream: Stream,
    n: u64,
}

impl Order {
    /// # Panics
    /// If `n` is 0 or above [`SAMPLES_MAX`].
    #[must_use]
    pub fn new(seed: u64, stream: Stream, n: u64) -> Self {
        assert!((1..=SAMPLES_MAX).contains(&n), "an order needs 1 to {SAMPLES_MAX} samples, not {n}");
        Self { seed, stream, n }
    }

    #[must_use]
    pub fn sample(&self, position: u64) -> SampleId {
        self.shuffle(self.epoch(position)).sample(position % self.n)
    }

    /// The samples at `positions`, which may run over the ends of epochs. Same as [`Self::sample`] one by one, but keys each
    /// epoch once.
    #[must_use]
    pub fn samples(&self, positions: Range<u64>) -> Vec<SampleId> {
        let mut samples = Vec::with_capacity(positions.end.saturating_sub(positions.start) as usize);
        let mut from = positions.start;
        while from < positions.end {
            let epoch = self.epoch(from);
            let until = positions.end.min((epoch + 1).saturating_mul(self.n));
            let shuffle = self.shuffle(epoch);
            samples.extend((from..until).map(|position| shuffle.sample(position % self.n)));
            from = until;
        }
        samples
    }

    /// How many times every sample was shown before `position`.
    #[must_use]
    pub fn epoch(&self, position: u64) -> u64 {
        position / self.n
    }

    fn shuffle(&self, epoch: u64) -> Shuffle {
        let mut rng = random::stream(self.seed, self.stream, Lane(0), Step(epoch));
        // The smallest even number of bits that holds n values, and at least 2: both halves of the network need one.
        let bits = (u64::BITS - (self.n - 1).leading_zeros()).max(2);
        Shuffle { keys: std::array::from_fn(|_| rng.next_u64()), half_bits: bits.div_ceil(2), n: self.n }
    }
}

const ROUNDS: usize = 8;

/// A bijection of `0..n`: a balanced Feistel network over the next power of four, walked until it lands below `n`
/// (Black and Rogaway 2002, "Ciphers with arbitrary finite domains"). Fewer than four walks on average.
struct Shuffle {
    keys: [u64; ROUNDS],
    half_bits: u32,
    n: u64,
}

impl Shuffle {
    fn sample(&self, index: u64) -> SampleId {
        let mut value = self.permute(index);
        while value >= self.n {
            value = self.permute(value);
        }
        SampleId(value)
    }

    fn permute(&self, value: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let halves = (value >> self.half_bits, value & mask);
        let (left, right) =
            self.keys.iter().fold(halves, |(left, right), key| (right, left ^ (scramble(right ^ key) & mask)));
        left << self.half_bits | right
    }
}

/// Every bit of the result depends on every bit of `x` (the finaliser of SplitMix64; Steele, Lea and Flood 2014).
fn scramble(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
