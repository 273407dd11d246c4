//! An eye: lids, eyeball, iris and pupil, turned to where it looks, and its labels.
//!
//! Lengths are pixels, angles degrees; yaw to the right and pitch upwards are positive. Drawn from distances to edges, so that
//! every edge is smooth.

use super::{
    Sheet, Subject,
    camera::Camera,
    canvas::{Canvas, Clouds, bell, covered, mix, to_line},
    dice::Dice,
};
use std::f64::consts::TAU;

const WIDTH: usize = 55;
const HEIGHT: usize = 35;

pub(super) const SUBJECT: Subject = Subject {
    one: "eye",
    columns: "pupil_x,pupil_y,gaze_yaw,gaze_pitch,lid_upper,lid_lower",
    synthetic: |at, dice| {
        let eye = Eye::posed(Poses::Simulated, dice);
        let label = eye.label();
        Sheet { name: format!("{at:06}"), canvas: eye.drawn(&Finish::flat()), sidecar: Some(label), row: eye.row() }
    },
    real: |at, dice| {
        let eye = Eye::posed(Poses::Lived, dice);
        let scene = eye.drawn(&Finish::alive(dice));
        Sheet { name: format!("{at:06}"), canvas: CAMERA.photograph(&scene, dice), sidecar: None, row: eye.row() }
    },
};

const CAMERA: Camera =
    Camera { blur: 0.75, vignette: 0.35, slant: 0.45, gamma: 0.85, range: (0.05, 0.88), noise: 0.035 };

/// How eyes are posed: evenly by a simulator, or as people at their screens do.
#[derive(Clone, Copy, PartialEq)]
enum Poses {
    Simulated,
    Lived,
}

struct Eye {
    centre: (f64, f64),
    half_width: f64,
    tilt: f64,
    /// +1: the nose is to the right.
    nose: f64,
    yaw: f64,
    pitch: f64,
    /// Heights of the lids above and below the corners, at the middle.
    upper: f64,
    lower: f64,
    iris: f64,
    pupil: f64,
    /// Where the lamp mirrors, relative to the middle of the iris.
    glint: (f64, f64),
    iris_tone: f64,
    fibres: [(f64, f64); 4],
    lashes: Vec<(f64, f64)>,
}

impl Eye {
    fn posed(poses: Poses, dice: &mut Dice) -> Self {
        let (yaw, pitch, openness) = match poses {
            Poses::Simulated => (dice.between(-32.0, 32.0), dice.between(-20.0, 20.0), dice.between(0.75, 1.1)),
            Poses::Lived => (dice.normal(4.0, 13.0), dice.normal(-7.0, 7.0), dice.normal(0.8, 0.14).clamp(0.45, 1.1)),
        };
        let (yaw, pitch) = (yaw.clamp(-36.0, 36.0), pitch.clamp(-24.0, 24.0));
        let half_width = dice.between(19.0, 22.5);
        let iris = half_width * dice.between(0.40, 0.44);
        let nose = if dice.chance(0.5) { 1.0 } else { -1.0 };
        let lash =
            |at: usize, dice: &mut Dice| (-0.82 + 0.15 * at as f64 + dice.between(-0.04, 0.04), dice.between(1.8, 3.4));
        Self {
            centre: (27.5 + dice.normal(0.0, 1.3), 18.5 + dice.normal(0.0, 1.0)),
            half_width,
            tilt: nose * 3.0 + dice.normal(0.0, 3.0),
            nose,
            yaw,
            pitch,
            // The upper lid follows the gaze; the lower one hardly does.
            upper: half_width * (0.47 + 0.006 * pitch) * openness,
            lower: half_width * (0.30 - 0.0015 * pitch) * openness.sqrt(),
            iris,
            pupil: iris * dice.between(0.34, 0.52),
            glint: (iris * dice.between(-0.4, 0.4), -iris * dice.between(0.25, 0.5)),
            iris_tone: dice.between(0.22, 0.52),
            fibres: std::array::from_fn(|at| (dice.between(5.0, 9.0).round() * (at + 1) as f64, TAU * dice.unit())),
            lashes: (0..12).map(|at| lash(at, dice)).collect(),
        }
    }

    /// Along the lids and across them: a point of the picture as the eye has it.
    fn own(&self, x: f64, y: f64) -> (f64, f64) {
        let (sin, cos) = self.tilt.to_radians().sin_cos();
        let (dx, dy) = (x - self.centre.0, y - self.centre.1);
        (dx * cos + dy * sin, dy * cos - dx * sin)
    }

    /// Middle of the iris, in the eye's own terms: the eyeball has about 0.78 of the half width.
    fn aim(&self) -> (f64, f64) {
        let (yaw, pitch) = (self.yaw.to_radians(), self.pitch.to_radians());
        let ball = 0.78 * self.half_width;
        (ball * yaw.sin() * pitch.cos(), -ball * pitch.sin() - 0.04 * self.half_width)
    }

    fn pupil_in_picture(&self) -> (f64, f64) {
        let (sin, cos) = self.tilt.to_radians().sin_cos();
        let (u, v) = self.aim();
        (self.centre.0 + u * cos - v * sin, self.centre.1 + u * sin + v * cos)
    }

    /// The edge of the upper lid over a point (negative: above the corners), and of the lower lid.
    fn lids(&self, u: f64) -> (f64, f64) {
        let across = (u / self.half_width).clamp(-1.0, 1.0);
        let arch = 1.0 - across * across;
        // Highest a little towards the nose, deepest a little away from it.
        let upper = -self.upper * arch.powf(0.85) * (1.0 + 0.18 * self.nose * across);
        (upper, self.lower * arch * (1.0 - 0.22 * self.nose * across))
    }

    fn drawn(&self, finish: &Finish) -> Canvas {
        Canvas::paint(WIDTH, HEIGHT, |x, y| {
            let (u, v) = self.own(x, y);
            let (upper, lower) = self.lids(u);
            let steep = 1.0 + 0.9 * (u / self.half_width).powi(2);
            let open = covered((v - upper).min(lower - v) / steep) * covered(self.half_width - u.abs());
            let skin = self.skin(x, y, finish);
            if open > 0.0 { mix(skin, self.ball(u, v, finish), open) } else { skin }
        })
    }

    fn ball(&self, u: f64, v: f64, finish: &Finish) -> f64 {
        let (upper, _) = self.lids(u);
        let aim = self.aim();
        let (du, dv) = (u - aim.0, v - aim.1);
        // A disc on a turned ball is seen foreshortened along the turn.
        let turn = aim.0.hypot(aim.1).max(1e-9);
        let flat = (1.0 - (turn / (1.1 * self.half_width)).powi(2)).sqrt();
        let along = (du * aim.0 + dv * aim.1) / turn / flat;
        let aside = (dv * aim.0 - du * aim.1) / turn;
        let radius = along.hypot(aside);

        let corner = bell(u - self.nose * 0.93 * self.half_width, 2.2);
        let white = finish.sclera * (1.0 - 0.22 * (u / self.half_width).powi(2)) * (1.0 - 0.3 * corner);
        let iris = self.iris_at(radius, aside.atan2(along), finish);
        let inside = covered(self.iris - radius);
        let pupil = covered(self.pupil - radius);
        let lit = mix(mix(white, iris, inside), 0.04, pupil);
        // The lid and its lashes keep the light off the upper part of the ball.
        let shade = 1.0 - finish.lid_shadow * bell((v - upper).max(0.0), 2.6);
        let glint = bell((du - self.glint.0).hypot(dv - self.glint.1), 0.85) * finish.glint;
        (lit * shade + glint).min(1.0)
    }

    fn iris_at(&self, radius: f64, angle: f64, finish: &Finish) -> f64 {
        let out = ((radius - self.pupil) / (self.iris - self.pupil)).clamp(0.0, 1.0);
        let fibres: f64 = self.fibres.iter().map(|(often, phase)| (often * angle + phase).cos()).sum();
        let collar = bell(out - 0.25, 0.16);
        let rim = ((out - 0.72) / 0.28).clamp(0.0, 1.0).powi(2);
        let tone = self.iris_tone * finish.iris;
        tone * (1.0 + 0.09 * fibres + 0.35 * collar) * (1.0 - 0.6 * rim)
    }

    fn skin(&self, x: f64, y: f64, finish: &Finish) -> f64 {
        let (u, v) = self.own(x, y);
        let (upper, lower) = self.lids(u);
        let across = (u / self.half_width).abs();
        let fade = (1.25 - across).clamp(0.0, 1.0).min(1.0);
        let mut skin = finish.skin * (1.0 + finish.texture_at(x, y));
        // The socket is deeper towards the nose, the lid bulges over the ball.
        skin *= 1.0 - 0.22 * bell(u - self.nose * 1.15 * self.half_width, 7.0) * bell(v + 4.0, 8.0);
        skin *= 1.0 + 0.10 * bell(v - 1.25 * upper + 1.0, 2.0) * fade;
        let crease = v - (1.38 * upper - 2.2);
        skin *= 1.0 - finish.crease * bell(crease, 0.9) * fade;
        let bag = v - (1.5 * lower + 2.6);
        skin *= 1.0 - 0.35 * finish.crease * bell(bag, 1.2) * fade;
        if finish.brow > 0.0 {
            let hair = v + 15.5 + 1.5 * across;
            skin *= 1.0 - finish.brow * bell(hair.max(0.0), 1.6) * (0.8 + 0.2 * (3.1 * u + v).sin());
        }
        let within = covered(self.half_width + 0.8 - u.abs());
        skin = mix(skin, 0.09, 0.85 * bell(v - upper + 0.5, 0.75) * within);
        skin = mix(skin, 0.25, 0.45 * bell(v - lower - 0.4, 0.6) * within);
        mix(skin, 0.08, finish.lashes * self.lash_at(u, v))
    }

    fn lash_at(&self, u: f64, v: f64) -> f64 {
        if !(-8.0..2.0).contains(&(v - self.lids(u).0)) {
            return 0.0;
        }
        let of = |&(place, length): &(f64, f64)| {
            let root = (place * self.half_width, self.lids(place * self.half_width).0 - 0.3);
            let tip = (root.0 + place * length * 0.8, root.1 - length * 0.9);
            covered(-to_line((u, v), root, tip) + 0.05)
        };
        self.lashes.iter().map(of).fold(0.0, f64::max)
    }

    fn label(&self) -> String {
        let (x, y) = self.pupil_in_picture();
        format!(
            "{{\n  \"pupil\": [{x:.3}, {y:.3}],\n  \"gaze\": {{ \"yaw\": {:.3}, \"pitch\": {:.3} }},\n  \
             \"eyelids\": {{ \"upper\": {:.3}, \"lower\": {:.3} }}\n}}\n",
            self.yaw, self.pitch, self.upper, self.lower
        )
    }

    fn row(&self) -> String {
        let (x, y) = self.pupil_in_picture();
        format!("{x:.3},{y:.3},{:.3},{:.3},{:.3},{:.3}", self.yaw, self.pitch, self.upper, self.lower)
    }
}

/// Surfaces: how bright they are, and how much there is to see on them.
struct Finish {
    skin: f64,
    sclera: f64,
    iris: f64,
    glint: f64,
    crease: f64,
    lid_shadow: f64,
    lashes: f64,
    brow: f64,
    texture: Vec<(Clouds, f64)>,
}

impl Finish {
    /// A simulator's: the same for every eye.
    fn flat() -> Self {
        Self {
            skin: 0.70,
            sclera: 0.93,
            iris: 1.0,
            glint: 0.9,
            crease: 0.22,
            lid_shadow: 0.22,
            lashes: 0.55,
            brow: 0.0,
            texture: Vec::new(),
        }
    }

    /// A person's.
    fn alive(dice: &mut Dice) -> Self {
        let mut clouds = |grain: f64, share: f64| (Clouds::new(WIDTH, HEIGHT, grain, dice), share);
        let texture = vec![clouds(11.0, 0.12), clouds(4.0, 0.07), clouds(1.6, 0.06)];
        Self {
            texture,
            skin: dice.normal(0.52, 0.09).clamp(0.3, 0.72),
            sclera: dice.between(0.66, 0.82),
            iris: dice.between(0.5, 0.9),
            glint: dice.between(0.2, 0.7),
            crease: dice.between(0.25, 0.5),
            lid_shadow: dice.between(0.35, 0.55),
            lashes: dice.between(0.5, 0.9),
            brow: if dice.chance(0.5) { dice.between(0.2, 0.6) } else { 0.0 },
        }
    }

    fn texture_at(&self, x: f64, y: f64) -> f64 {
        self.texture.iter().map(|(clouds, share)| share * clouds.at(x, y)).sum()
    }
}
