//! How much arithmetic an image asks for: two operations per multiplication and addition of a convolution; all else together
//! is below 1%. Counts useful work only: what an implementation computes twice counts once. Knows nothing of how long it takes.

use crate::spec::{
    ImageShape,
    model::{Discriminator, Layer, Refiner, TensorShape},
};

/// Floating-point operations of one forward pass of one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    pub refiner: f64,
    pub discriminator: f64,
}

impl Work {
    #[must_use]
    pub fn of(refiner: &Refiner, discriminator: &Discriminator, image: ImageShape) -> Self {
        let side = f64::from(image.height) * f64::from(image.width);
        let of_refiner = weights(&refiner.tensors(image.channels)).map(|weights| 2.0 * weights * side).sum();
        let mut of_discriminator = 0.0;
        let mut convolutions = weights(&discriminator.tensors(image.channels)).collect::<Vec<_>>().into_iter();
        for reached in 1..=discriminator.layers.len() {
            let layers = discriminator.layers[..reached].to_vec();
            if let Some(Layer::Conv { .. }) = layers.last() {
                let so_far = Discriminator { layers, ..discriminator.clone() };
                of_discriminator += 2.0 * convolutions.next().unwrap_or_default() * so_far.patches(image) as f64;
            }
        }
        Self { refiner: of_refiner, discriminator: of_discriminator }
    }

    /// Of one update of the refiner, per image of the batch. A backward pass costs two forward ones, one if only what flows
    /// through is wanted: 3 refiner and 2 discriminator passes.
    #[must_use]
    pub fn of_refiner_step(self) -> f64 {
        3.0 * self.refiner + 2.0 * self.discriminator
    }

    /// Of one update of the discriminator, per image of the batch. It refines half a batch and judges two: half fresh, half
    /// history, and as many real.
    #[must_use]
    pub fn of_discriminator_step(self) -> f64 {
        0.5 * self.refiner + 6.0 * self.discriminator
    }

    /// Of one cycle with so many updates of either, per image of the batch.
    #[must_use]
    pub fn of_cycle(self, k_refiner: u32, k_discriminator: u32) -> f64 {
        f64::from(k_refiner) * self.of_refiner_step() + f64::from(k_discriminator) * self.of_discriminator_step()
    }
}

fn weights(tensors: &[TensorShape]) -> impl Iterator<Item = f64> {
    tensors.iter().filter(|tensor| tensor.shape.len() == 4).map(|tensor| tensor.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::model::Preset;

    /// By hand: 2 x 1,925 pixels x (576 + 8 x 36,864 + 64) weights; for the discriminator 18x28 positions of 864 weights,
    /// 9x14 of 55,296, and after the pool 9x14 of 18,432, 1,024 and 64.
    #[test]
    fn the_papers_networks_for_eyes_cost_what_they_cost_by_hand() {
        let recipe = Preset::PaperEyes.recipe();
        let work = Work::of(&recipe.refiner, &recipe.discriminator, recipe.image);
        let refiner = 2.0 * 1_925.0 * (576.0 + 8.0 * 36_864.0 + 64.0);
        let discriminator = 2.0 * (504.0 * 864.0 + 126.0 * (55_296.0 + 18_432.0 + 1_024.0 + 64.0));
        assert_eq!(work, Work { refiner, discriminator });
        assert_eq!(work.of_cycle(2, 1), 6.5 * refiner + 10.0 * discriminator);
    }

    #[test]
    fn a_cycle_is_its_steps() {
        let work = Work { refiner: 8.0, discriminator: 2.0 };
        assert_eq!((work.of_refiner_step(), work.of_discriminator_step()), (28.0, 16.0));
        assert_eq!(work.of_cycle(50, 3), 50.0 * 28.0 + 3.0 * 16.0);
    }
}
