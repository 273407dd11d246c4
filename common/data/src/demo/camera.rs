//! The camera that took the "real" pictures: blur, light from one side, vignette, exposure, contrast curve, noise.
//!
//! It is the gap that a refiner has to close. It moves nothing: a label true of the scene is true of its photograph.

use super::{canvas::Canvas, dice::Dice};

/// What stays the same from shot to shot.
pub(super) struct Camera {
    /// Standard deviation of its blur, pixels; each shot differs a little.
    pub blur: f64,
    /// Share of light lost in the corners.
    pub vignette: f64,
    /// Most the light falls off from one side of the picture to the other.
    pub slant: f64,
    /// Exponent of its curve: below 1 lifts the shadows.
    pub gamma: f64,
    /// What black comes out as, and white.
    pub range: (f64, f64),
    /// Deviation of its noise in full light.
    pub noise: f64,
}

impl Camera {
    pub(super) fn photograph(&self, scene: &Canvas, dice: &mut Dice) -> Canvas {
        let Canvas { width, height, .. } = *scene;
        let (half_width, half_height) = (width as f64 / 2.0, height as f64 / 2.0);
        let exposure = dice.normal(1.0, 0.08).clamp(0.75, 1.25);
        let slant = (dice.normal(0.0, 0.5 * self.slant), dice.normal(0.0, 0.3 * self.slant));
        let lens = scene.blurred((self.blur * dice.normal(1.0, 0.15)).max(0.3));
        let mut values = lens.values.into_iter();
        Canvas::paint(width, height, |x, y| {
            let light = values.next().unwrap_or_default();
            let (across, down) = ((x - half_width) / half_width, (y - half_height) / half_height);
            let falloff = 1.0 - self.vignette * 0.5 * (across * across + down * down);
            let lit = (light * exposure * falloff * (1.0 + slant.0 * across + slant.1 * down)).clamp(0.0, 1.0);
            let curved = lit.powf(self.gamma);
            // Photons come by the square root; the electronics add a little everywhere.
            let grain = dice.normal(0.0, self.noise * (0.35 + 0.65 * lit.sqrt()));
            let (black, white) = self.range;
            (black + (white - black) * curved + grain).clamp(0.0, 1.0)
        })
    }
}
