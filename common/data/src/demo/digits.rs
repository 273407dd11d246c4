//! A digit: strokes through a few points, drawn with a ruler or written with a pen.

use super::{
    Sheet, Subject,
    camera::Camera,
    canvas::{Canvas, Clouds, covered, to_line},
    dice::Dice,
};

const SIDE: usize = 28;
/// Lines between two points of a curve.
const FINENESS: usize = 6;

pub(super) const SUBJECT: Subject = Subject {
    one: "digit",
    columns: "class",
    synthetic: |at, dice| {
        let digit = at % 10;
        let canvas = Hand::ruler(dice).writes(digit, dice);
        Sheet { name: format!("{digit}/{at:06}"), canvas, sidecar: None, row: digit.to_string() }
    },
    real: |at, dice| {
        let digit = (dice.unit() * 10.0) as usize;
        let scene = Hand::pen(dice).writes(digit, dice);
        Sheet {
            name: format!("{at:06}"),
            canvas: CAMERA.photograph(&scene, dice),
            sidecar: None,
            row: digit.to_string(),
        }
    },
};

const CAMERA: Camera = Camera { blur: 0.6, vignette: 0.2, slant: 0.25, gamma: 0.8, range: (0.04, 0.95), noise: 0.03 };

/// One stroke of the pen: a curve through these points, or straight lines between them.
enum Stroke {
    Curve(&'static [(f64, f64)]),
    Lines(&'static [(f64, f64)]),
}
use Stroke::{Curve, Lines};

/// In a unit square, y downwards.
#[rustfmt::skip]
const GLYPHS: [&[Stroke]; 10] = [
    &[Curve(&[(0.50, 0.05), (0.26, 0.22), (0.20, 0.50), (0.26, 0.78), (0.50, 0.95), (0.74, 0.78), (0.80, 0.50), (0.74, 0.22), (0.50, 0.05)])],
    &[Lines(&[(0.34, 0.25), (0.55, 0.06), (0.55, 0.94)])],
    &[Curve(&[(0.20, 0.28), (0.30, 0.10), (0.54, 0.05), (0.76, 0.18), (0.74, 0.42), (0.46, 0.68), (0.20, 0.93)]), Lines(&[(0.20, 0.93), (0.82, 0.93)])],
    &[Curve(&[(0.22, 0.16), (0.46, 0.05), (0.73, 0.16), (0.71, 0.38), (0.44, 0.47)]), Curve(&[(0.44, 0.47), (0.74, 0.57), (0.78, 0.79), (0.50, 0.95), (0.20, 0.84)])],
    &[Lines(&[(0.62, 0.05), (0.17, 0.65), (0.86, 0.65)]), Lines(&[(0.64, 0.36), (0.64, 0.95)])],
    &[Lines(&[(0.76, 0.07), (0.31, 0.07), (0.27, 0.44)]), Curve(&[(0.27, 0.44), (0.51, 0.38), (0.76, 0.52), (0.76, 0.80), (0.50, 0.95), (0.22, 0.86)])],
    &[Curve(&[(0.70, 0.08), (0.42, 0.20), (0.25, 0.50), (0.26, 0.79), (0.50, 0.95), (0.74, 0.80), (0.72, 0.58), (0.50, 0.48), (0.27, 0.63)])],
    &[Lines(&[(0.18, 0.07), (0.82, 0.07), (0.42, 0.95)])],
    &[Curve(&[(0.50, 0.48), (0.28, 0.34), (0.30, 0.14), (0.50, 0.05), (0.70, 0.14), (0.72, 0.34), (0.50, 0.48), (0.24, 0.66), (0.28, 0.88), (0.50, 0.95), (0.72, 0.88), (0.76, 0.66), (0.50, 0.48)])],
    &[Curve(&[(0.73, 0.37), (0.50, 0.52), (0.27, 0.40), (0.28, 0.17), (0.50, 0.05), (0.72, 0.15), (0.74, 0.40), (0.67, 0.70), (0.48, 0.95)])],
];

/// Who writes: how big, how slanted, how steady, how thick. Lengths are pixels.
struct Hand {
    size: (f64, f64),
    place: (f64, f64),
    turn: f64,
    shear: f64,
    thickness: f64,
    /// Deviation of each point from where it belongs, of the unit square.
    wobble: f64,
    /// Share by which thickness and ink vary along a stroke.
    pressure: f64,
    paper: f64,
}

impl Hand {
    fn ruler(dice: &mut Dice) -> Self {
        let height = dice.between(18.0, 21.0);
        Self {
            size: (height * dice.between(0.72, 0.82), height),
            place: (14.0 + dice.normal(0.0, 0.7), 14.0 + dice.normal(0.0, 0.7)),
            turn: dice.normal(0.0, 3.0),
            shear: 0.0,
            thickness: dice.between(2.0, 3.0),
            wobble: 0.0,
            pressure: 0.0,
            paper: 0.0,
        }
    }

    fn pen(dice: &mut Dice) -> Self {
        let height = dice.between(17.0, 21.0);
        Self {
            size: (height * dice.between(0.6, 0.95), height),
            place: (14.0 + dice.normal(0.0, 0.9), 14.0 + dice.normal(0.0, 0.9)),
            turn: dice.normal(0.0, 5.0),
            shear: dice.normal(0.15, 0.16).clamp(-0.3, 0.55),
            thickness: dice.between(1.6, 3.4),
            wobble: 0.032,
            pressure: 0.4,
            paper: dice.between(0.0, 0.1),
        }
    }

    fn writes(&self, digit: usize, dice: &mut Dice) -> Canvas {
        let lines: Vec<_> = GLYPHS[digit].iter().flat_map(|stroke| self.lines(stroke, dice)).collect();
        let ink = Clouds::new(SIDE, SIDE, 5.0, dice);
        Canvas::paint(SIDE, SIDE, |x, y| {
            let pressure = self.pressure * ink.at(x, y);
            let near = lines.iter().map(|&(a, b)| to_line((x, y), a, b)).fold(f64::INFINITY, f64::min);
            let inked = covered(0.5 * self.thickness * (1.0 + pressure) - near);
            self.paper + (1.0 - self.paper) * inked * (1.0 - 0.5 * pressure.max(0.0))
        })
    }

    /// The stroke as short straight lines, in pixels.
    fn lines(&self, stroke: &Stroke, dice: &mut Dice) -> Vec<((f64, f64), (f64, f64))> {
        let (Curve(points) | Lines(points)) = stroke;
        let mut wobbly = |&(x, y): &(f64, f64)| (x + dice.normal(0.0, self.wobble), y + dice.normal(0.0, self.wobble));
        let points: Vec<(f64, f64)> = points.iter().map(&mut wobbly).collect();
        let path = match stroke {
            Curve(_) => smooth(&points),
            Lines(_) => points,
        };
        path.windows(2).map(|ends| (self.in_picture(ends[0]), self.in_picture(ends[1]))).collect()
    }

    fn in_picture(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let (sin, cos) = self.turn.to_radians().sin_cos();
        let (x, y) = ((x - 0.5) * self.size.0 - self.shear * (y - 0.5) * self.size.1, (y - 0.5) * self.size.1);
        (self.place.0 + x * cos - y * sin, self.place.1 + x * sin + y * cos)
    }
}

/// A Catmull-Rom curve through all points.
fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let last = points.len() - 1;
    let mut path = Vec::with_capacity(last * FINENESS + 1);
    for at in 0..last {
        let (before, from, to, after) =
            (points[at.saturating_sub(1)], points[at], points[at + 1], points[(at + 2).min(last)]);
        let bend = |a: f64, b: f64, c: f64, d: f64, t: f64| {
            0.5 * (2.0 * b
                + (c - a) * t
                + (2.0 * a - 5.0 * b + 4.0 * c - d) * t * t
                + (3.0 * (b - c) + d - a) * t * t * t)
        };
        path.extend((0..FINENESS).map(|step| {
            let t = step as f64 / FINENESS as f64;
            (bend(before.0, from.0, to.0, after.0, t), bend(before.1, from.1, to.1, after.1, t))
        }));
    }
    path.push(points[last]);
    path
}
