//! The exponential moving average of the refiner: it refines better than any one moment of its training, and the paper
//! calls it complementary to the history. Knows nothing of gradients.

use super::flat::Flat;
use tch::{TchError, Tensor};

pub(crate) struct Average {
    decay: f64,
    /// Updates taken in so far.
    pub(crate) updates: u64,
    pub(crate) weights: Flat,
}

impl Average {
    /// Starts at the present weights.
    pub(crate) fn of(weights: &Flat, decay: f64) -> Result<Self, TchError> {
        Ok(Self { decay, updates: 0, weights: weights.copy()? })
    }

    /// How much of the average stays at the next update: little at first, so that the start is soon forgotten.
    pub(crate) fn keeps(&self) -> f64 {
        let n = self.updates as f64;
        self.decay.min((1.0 + n) / (10.0 + n))
    }

    pub(crate) fn take_in(&mut self, weights: &Tensor) -> Result<(), TchError> {
        let keeps = self.keeps();
        let news = weights.f_mul_scalar(1.0 - keeps)?;
        let _ = self.weights.values.f_mul_scalar_(keeps)?.f_add_(&news)?;
        self.updates += 1;
        Ok(())
    }
}
