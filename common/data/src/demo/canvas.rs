//! A grey picture in the making: brightness 0 (black) to 1 (white), by rows.

use super::dice::Dice;
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};

#[derive(Clone)]
pub(super) struct Canvas {
    pub width: usize,
    pub height: usize,
    pub values: Vec<f64>,
}

impl Canvas {
    /// Each pixel from its centre (x, y).
    pub(super) fn paint(width: usize, height: usize, mut brightness: impl FnMut(f64, f64) -> f64) -> Self {
        let centre = |at: usize| (at % width) as f64 + 0.5;
        let values = (0..width * height).map(|at| brightness(centre(at), (at / width) as f64 + 0.5)).collect();
        Self { width, height, values }
    }

    /// Gaussian, separable; what lies beyond an edge continues it.
    pub(super) fn blurred(&self, sigma: f64) -> Self {
        let reach = (3.0 * sigma).ceil() as isize;
        let weights: Vec<f64> = (-reach..=reach).map(|at| (-0.5 * (at as f64 / sigma).powi(2)).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let pass = |from: &[f64], step: usize, line: usize| -> Vec<f64> {
            let mean = |at: usize| {
                let (place, first) = (at / step % line, at - at / step % line * step);
                let of = |shift: isize| (place as isize + shift).clamp(0, line as isize - 1) as usize;
                (-reach..=reach)
                    .zip(&weights)
                    .map(|(shift, weight)| weight * from[first + of(shift) * step])
                    .sum::<f64>()
                    / sum
            };
            (0..from.len()).map(mean).collect()
        };
        let across = pass(&self.values, 1, self.width);
        Self { values: pass(&across, self.width, self.height), ..*self }
    }

    /// 8-bit grey.
    pub(super) fn png(&self) -> Vec<u8> {
        let bytes: Vec<u8> = self.values.iter().map(|value| (value * 255.0).round() as u8).collect();
        let mut png = Vec::new();
        PngEncoder::new(&mut png)
            .write_image(&bytes, self.width as u32, self.height as u32, ExtendedColorType::L8)
            .expect("a canvas has as many values as pixels, and memory takes any bytes");
        png
    }
}

/// How much of a pixel lies inside an edge that is `inside` pixels away.
pub(super) fn covered(inside: f64) -> f64 {
    (inside + 0.5).clamp(0.0, 1.0)
}

pub(super) fn mix(from: f64, to: f64, share: f64) -> f64 {
    from + (to - from) * share
}

/// A bell of height 1 at 0.
pub(super) fn bell(distance: f64, width: f64) -> f64 {
    (-0.5 * (distance / width).powi(2)).exp()
}

/// Distance of a point to a line from `a` to `b`.
pub(super) fn to_line(p: (f64, f64), a: (f64, f64), b: (f64, f64)) -> f64 {
    let (along, off) = ((b.0 - a.0, b.1 - a.1), (p.0 - a.0, p.1 - a.1));
    let length = along.0 * along.0 + along.1 * along.1;
    let share = if length > 0.0 { ((off.0 * along.0 + off.1 * along.1) / length).clamp(0.0, 1.0) } else { 0.0 };
    (off.0 - share * along.0).hypot(off.1 - share * along.1)
}

/// Smooth cloudy noise of mean 0, about -1..1, with features of `grain` pixels.
pub(super) struct Clouds {
    grain: f64,
    columns: usize,
    knots: Vec<f64>,
}

impl Clouds {
    pub(super) fn new(width: usize, height: usize, grain: f64, dice: &mut Dice) -> Self {
        let (columns, rows) = ((width as f64 / grain) as usize + 3, (height as f64 / grain) as usize + 3);
        Self { grain, columns, knots: (0..columns * rows).map(|_| dice.between(-1.0, 1.0)).collect() }
    }

    pub(super) fn at(&self, x: f64, y: f64) -> f64 {
        let (x, y) = (x / self.grain, y / self.grain);
        let (column, row) = (x as usize, y as usize);
        let ease = |t: f64| t * t * (3.0 - 2.0 * t);
        let (across, down) = (ease(x - column as f64), ease(y - row as f64));
        let knot = |dx: usize, dy: usize| self.knots[(row + dy) * self.columns + column + dx];
        mix(mix(knot(0, 0), knot(1, 0), across), mix(knot(0, 1), knot(1, 1), across), down)
    }
}
