//! Which slots of a lane's history are drawn and which are replaced.
//!
//! A lane owns `capacity` slots (B / V of the run's B). They fill in order; from then on each discriminator step that
//! counts replaces some at random, so that an image's age follows the geometric law (H-1). Knows nothing of images: what
//! lies in a slot is the business of who holds the pixels.

use crate::random::{self, Rng};

/// How full a lane's history is. Slots `0..occupied` hold images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    pub capacity: u32,
    pub occupied: u32,
}

impl Slots {
    /// After `offered` images in all: occupancy = min(capacity, offered) (H-1).
    #[must_use]
    pub fn after(capacity: u32, offered: u64) -> Self {
        // Bounded by the capacity, so it fits.
        Self { capacity, occupied: offered.min(capacity.into()) as u32 }
    }

    #[must_use]
    pub fn free(&self) -> u32 {
        self.capacity - self.occupied
    }

    /// `images` different occupied slots, in random order.
    ///
    /// # Panics
    /// If fewer are occupied.
    pub fn draw(&self, rng: &mut impl Rng, images: u32) -> Vec<u32> {
        slots(random::choose(rng, images as usize, self.occupied as usize))
    }

    /// Where `images` new ones go, the first of them first: the free slots in order, then different ones at random among
    /// those occupied before. No slot comes twice.
    ///
    /// # Panics
    /// If there are more images than slots.
    pub fn replace(&self, rng: &mut impl Rng, images: u32) -> Vec<u32> {
        let filled = images.min(self.free());
        let overwritten = random::choose(rng, (images - filled) as usize, self.occupied as usize);
        (self.occupied..self.occupied + filled).chain(slots(overwritten)).collect()
    }
}

fn slots(indices: Vec<usize>) -> Vec<u32> {
    indices.into_iter().map(|index| index as u32).collect()
}
