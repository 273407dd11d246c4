//! Lambda without a guess: how strongly a discriminator pulls at the pixels of images that are not refined yet.
//!
//! Self-regularisation pulls at every pixel of an image alike, by lambda over the number of values, whatever way it has moved
//! (the paper, eq. 4: it is an absolute value). So a pixel that the discriminator pulls at less stays where it is, and lambda is
//! a price: the share of pixels that may move. What a discriminator pulls with depends on the images (handwriting beside
//! photographs: twelvefold), and is why a lambda that one data set wants does nothing on another. That is so for any psi that sees
//! single pixels, as each of ours does: it weighs one of them as identity does, gradients twice (`felt`).
//!
//! A probe finds it before step 0: a discriminator of the job's own layers tells synthetic from real images, nothing being
//! refined, for as many updates as it takes until its pull grows no more. The run then has the number as if the job had said it:
//! same identity, same bits. Knows no images and no networks.

use crate::{
    ids::Step,
    losses::Mean,
    spec::{
        History, OptimizerKind, Pretrain, Psi, Spec,
        model::{Noise, Padding, Refiner, RefinerOutput},
    },
};

/// After so many updates a discriminator pulls about as hard as it ever will: 150 were enough on signs, roads and digits.
pub const UPDATES: Step = Step(200);
/// Batches of images on which it is then asked.
pub const ASKED: u64 = 4;
/// Of either set, in each update.
const BATCH: u32 = 32;
const RATE: f64 = 3e-4;
/// Lambda as a share of the mean pull: about what sweeps by hand had found on signs (a sixth), matched signs and roads (a third) and
/// digits (a sixth to three quarters). It was chosen by these sets, and so fits them.
const SHARE: f64 = 1.0 / 3.0;
/// Share of patches that the probe's discriminator must call right in the end: with fewer it pulls at nothing in particular.
const TOLD_APART: f64 = 0.53;
/// Its last updates, in which that is counted.
pub const TOLD_FROM: Step = Step(UPDATES.0 - 50);
/// More digits would say more than a probe knows.
const DIGITS: i32 = 3;

/// Why there is no lambda.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum NotCalibrated {
    #[error(
        "lambda cannot be calibrated: the discriminator that was to tell the images apart lost its numbers (pull {0}): give train.lambda a number"
    )]
    Diverged(f64),
    #[error(
        "lambda cannot be calibrated: to a discriminator synthetic and real images are the same (it is right about {:.0}% of patches): look \
         whether data.synthetic and data.real are what they should be, or give train.lambda a number",
        100.0 * .right
    )]
    TheSame { right: f64 },
}

/// The run that is only there to be asked: the job's discriminator beside a refiner that changes nothing. It depends on what the
/// discriminator sees (the images, and whether a refiner matches or shifts them), on its layers and on the seed.
#[must_use]
pub fn probe(spec: &Spec) -> Spec {
    let mut probe = spec.clone();
    let train = &mut probe.what.train;
    train.lambda = Some(0.0);
    train.batch = BATCH;
    train.lanes = 1;
    train.steps = UPDATES;
    train.pretrain = Pretrain { refiner: 0, discriminator: UPDATES.0 };
    train.discriminator.kind = OptimizerKind::ADAM;
    train.discriminator.lr = RATE;
    train.discriminator.decay = Vec::new();
    train.psi = Psi::Identity;
    train.ema = None;
    train.history = History { size: 0, replicas: 0 };
    // One pixel wide and without light, this one starts as the identity; and it is never trained.
    probe.what.model.refiner = Refiner {
        width: 1,
        blocks: 0,
        kernel: 1,
        output: RefinerOutput::Residual,
        padding: Padding::Zeros,
        noise: Noise::NONE,
        light: false,
        matching: spec.what.model.refiner.matching,
    };
    probe
}

/// What the probe found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Found {
    /// |d realism / d value|, of an image's mean over patches.
    pub pull: Mean,
    /// Patches of either set that the discriminator called right in its last updates.
    pub right: Mean,
}

/// The lambda for images of so many values, compared by this psi.
///
/// # Errors
/// If the sets cannot be told apart, or the pull is not a number.
pub fn lambda(found: &Found, values: usize, psi: Psi) -> Result<f64, NotCalibrated> {
    let pull = found.pull.value().unwrap_or(f64::NAN) * values as f64;
    let right = found.right.value().unwrap_or_default();
    if !pull.is_finite() {
        return Err(NotCalibrated::Diverged(pull));
    }
    if right < TOLD_APART || pull <= f64::from(f32::MIN_POSITIVE) {
        return Err(NotCalibrated::TheSame { right });
    }
    Ok(rounded(SHARE * pull / felt(psi)))
}

/// How much a mean over psi's values grows when one pixel moves, beside a mean over pixels. A pixel is in four differences of twice
/// as many; it is one of sixteen in a mean of which there are a sixteenth. Brought to one contrast it grows by what contrasts have,
/// which is about one for pictures.
fn felt(psi: Psi) -> f64 {
    match psi {
        Psi::Gradients => 2.0,
        Psi::Identity | Psi::ChannelMean | Psi::LowPass | Psi::Standardised => 1.0,
    }
}

/// By way of text: a number that people read and write again is the same number.
fn rounded(number: f64) -> f64 {
    let digits = (DIGITS - 1) as usize;
    format!("{number:.digits$e}").parse().expect("a finite number in scientific notation is a number")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec;
    use proptest::prelude::*;

    const SIGNS: &str = include_str!("../../../examples/signs-matched.toml");

    fn with(path: &str, value: &str) -> Spec {
        spec::read(SIGNS, &[(path.to_owned(), value.to_owned())]).expect("an example is a job")
    }

    #[test]
    fn nothing_that_a_sweep_would_change_changes_the_probe() {
        let asked = probe(&with("train.lambda", "calibrated")).what;
        for (path, value) in [
            ("train.lambda", "7"),
            ("train.batch", "64"),
            ("train.lanes", "8"),
            ("train.steps", "9000"),
            ("train.pretrain.discriminator", "300"),
            ("train.history.size", "0"),
            ("train.optimizer.discriminator.lr", "0.1"),
            ("train.ema", "0"),
            ("train.psi", "gradients"),
            ("model.refiner.width", "64"),
        ] {
            assert_eq!(probe(&with(path, value)).what.identity(), asked.identity(), "{path}");
        }
        for (path, value) in
            [("train.seed", "8"), ("model.discriminator.spectral_norm", "false"), ("model.refiner.match", "none")]
        {
            assert_ne!(probe(&with(path, value)).what.identity(), asked.identity(), "{path}");
        }
    }

    fn found(pull: f64, right: f64) -> Found {
        Found { pull: Mean::of(pull, 1), right: Mean::of(right, 1) }
    }

    #[test]
    fn sets_that_are_the_same_and_pulls_that_are_no_number_are_said_with_what_to_do() {
        for (pull, right) in [(0.01, 0.5), (0.0, 0.9), (f64::NAN, 0.9), (f64::INFINITY, 0.9)] {
            let why = lambda(&found(pull, right), 100, Psi::Identity).unwrap_err().to_string();
            assert!(why.contains("give train.lambda a number"), "{why}");
        }
        let same = lambda(&found(0.01, 0.5), 100, Psi::Identity).unwrap_err().to_string();
        assert!(same.contains("50% of patches") && same.contains("data.real"), "{same}");
        assert!(lambda(&Found::default(), 100, Psi::Identity).is_err());
    }

    /// One value of a large image moves by 1: what a mean over psi's values makes of it, beside a mean over pixels.
    #[test]
    fn a_pixel_weighs_as_much_as_psi_feels_of_it() {
        let of = |psi| lambda(&found(0.03, 0.9), 100, psi).unwrap();
        assert_eq!(of(Psi::Identity), 1.0);
        assert_eq!(of(Psi::Gradients), 0.5);
        let image = spec::ImageShape { channels: 1, height: 800, width: 800 };
        let in_differences = 4.0 / Psi::Gradients.values(image) as f64;
        assert!((in_differences * image.len() as f64 - felt(Psi::Gradients)).abs() < 0.01);
        let in_squares = 1.0 / 16.0 / Psi::LowPass.values(image) as f64;
        assert!((in_squares * image.len() as f64 - felt(Psi::LowPass)).abs() < 0.01);
    }

    proptest! {
        #[test]
        fn lambda_is_a_third_of_the_pull_in_three_digits(pull in 1e-6..1e3_f64, values in 1..1_000_000_usize) {
            let found = lambda(&found(pull, 0.9), values, Psi::Identity).unwrap();
            let exact = pull * values as f64 / 3.0;
            prop_assert!((found - exact).abs() <= 0.005 * exact, "{found} for {exact}");
            prop_assert!(format!("{found:e}").split('e').next().unwrap().len() <= 4, "{found}");
        }
    }
}
