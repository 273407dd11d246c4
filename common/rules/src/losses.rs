//! What a step says about itself: sums with their counts, never means of means. Knows nothing of how they were computed.

use serde::{Deserialize, Serialize};
use std::ops::Add;

/// A sum that remembers over how many it was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    pub sum: f64,
    pub count: u64,
}

impl Mean {
    #[must_use]
    pub fn of(sum: f64, count: u64) -> Self {
        Self { sum, count }
    }

    /// `None` where nothing was counted.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

impl Add for Mean {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { sum: self.sum + other.sum, count: self.count + other.count }
    }
}

/// The losses of one lane, or of the whole batch once the lanes' are added in lane order.
/// A refiner step fills the first three, a discriminator step the last four.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    /// -log(1 - D(R(x))), over patches (PAPER eq. 3).
    pub realism: Mean,
    /// |psi(R(x)) - psi(x)|, over values of psi (eq. 4).
    pub regularisation: Mean,
    /// |R(x) - x|, over pixels, whatever psi is.
    pub change: Mean,
    /// -log D(R(x)), over patches (eq. 2, first sum).
    pub on_refined: Mean,
    /// -log(1 - D(y)), over patches (eq. 2, second sum).
    pub on_real: Mean,
    /// Patches of refined images that the discriminator called refined.
    pub right_on_refined: Mean,
    /// Patches of real images that the discriminator called real.
    pub right_on_real: Mean,
}

impl Losses {
    /// In the order of the fields: how they travel.
    #[must_use]
    pub fn means(&self) -> [Mean; 7] {
        [
            self.realism,
            self.regularisation,
            self.change,
            self.on_refined,
            self.on_real,
            self.right_on_refined,
            self.right_on_real,
        ]
    }

    #[must_use]
    pub fn from_means(means: [Mean; 7]) -> Self {
        let [realism, regularisation, change, on_refined, on_real, right_on_refined, right_on_real] = means;
        Self { realism, regularisation, change, on_refined, on_real, right_on_refined, right_on_real }
    }
}

impl Add for Losses {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (mine, theirs) = (self.means(), other.means());
        Self::from_means(std::array::from_fn(|i| mine[i] + theirs[i]))
    }
}
