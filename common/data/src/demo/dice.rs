//! Chance, from a seed: each picture has a stream of its own, so that they can be drawn in any order.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use std::f64::consts::TAU;

pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    pub(super) fn new(seed: u64, world: u64, picture: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&world.to_le_bytes());
        key[16..24].copy_from_slice(&picture.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// 0..1
    pub(super) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub(super) fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let (radius, angle) = ((-2.0 * (1.0 - self.unit()).ln()).sqrt(), TAU * self.unit());
        mean + deviation * radius * angle.cos()
    }

    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }
}
