//! Random shifts of what the discriminator sees, so that it cannot learn a small real set by heart. Knows nothing of which
//! images are real.

use super::orderly;
use sumac_common::random::{self, ChaCha8Rng};
use tch::{TchError, Tensor};

/// Up to `most` pixels each way.
pub(crate) struct Shift {
    most: u32,
}

impl Shift {
    pub(crate) fn up_to(most: u32) -> Self {
        Self { most }
    }

    /// `[b, c, h, w]`, each image moved by its own draw; what enters at the border repeats the border.
    pub(crate) fn apply(&self, images_bchw: &Tensor, rng: &mut ChaCha8Rng) -> Result<Tensor, TchError> {
        if self.most == 0 {
            return Ok(images_bchw.shallow_clone());
        }
        let size = images_bchw.size();
        let (height, width) = (size[2], size[3]);
        let continued = orderly::continued(images_bchw, i64::from(self.most))?;
        let moved = (0..size[0])
            .map(|image| {
                let mut draw = || random::below(rng, 2 * u64::from(self.most) + 1) as i64;
                let (down, right) = (draw(), draw());
                continued.f_narrow(0, image, 1)?.f_narrow(2, down, height)?.f_narrow(3, right, width)
            })
            .collect::<Result<Vec<_>, _>>()?;
        Tensor::f_cat(&moved, 0)
    }
}
