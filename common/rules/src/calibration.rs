//! Lambda without a guess: how strongly a discriminator pulls at the pixels of images that are not refined yet.
//!
//! Self-regularisation pulls at every pixel of an image alike, by lambda over the number of values, whatever way it has moved
//! (the paper, eq. 4: it is an absolute value). So a pixel that the discriminator pulls at less stays where it is, and lambda is
//! a price: the share of pixels that may move. What a discriminator pulls with depends on the images (handwriting beside
//! photographs: twelvefold), and is why a lambda that one data set wants does nothing on another.
//!
//! A probe finds it before step 0: a discriminator of the job's own layers tells synthetic from real images, nothing being
//! refined, for as many updates as it takes until its pull grows no more. The run then has the number as if the job had said it:
//! same identity, same bits. Knows no images and no networks.

use crate::{
    ids::Step,
    losses::Mean,
    spec::{
        History, OptimizerKind, Pretrain, Spec,
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
/// Lambda as a share of the mean pull. What was found by hand on signs, roads and digits lies between a fifth and a half.
const SHARE: f64 = 1.0 / 3.0;
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
        "lambda cannot be calibrated: a discriminator finds nothing to pull at, synthetic and real images are the same to it: give train.lambda a number"
    )]
    NothingToPull,
}

/// The run that is only there to be asked: the job's discriminator beside a refiner that changes nothing. It depends on the job's
/// seed, images and discriminator, on no other value.
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

/// The lambda for images of so many values that are pulled at so: |d realism / d value| of an image's mean over patches.
///
/// # Errors
/// If there is no pull, or it is not a number.
pub fn lambda(pull: Mean, values: usize) -> Result<f64, NotCalibrated> {
    let mean = pull.value().unwrap_or_default() * values as f64;
    if !mean.is_finite() {
        return Err(NotCalibrated::Diverged(mean));
    }
    if mean <= f64::from(f32::MIN_POSITIVE) {
        return Err(NotCalibrated::NothingToPull);
    }
    Ok(rounded(SHARE * mean))
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

    #[test]
    fn no_pull_and_no_number_are_said_with_what_to_do() {
        for sum in [0.0, f64::NAN, f64::INFINITY] {
            let why = lambda(Mean::of(sum, 10), 100).unwrap_err().to_string();
            assert!(why.contains("give train.lambda a number"), "{why}");
        }
        assert!(lambda(Mean::default(), 100).is_err());
    }

    proptest! {
        #[test]
        fn lambda_is_a_third_of_the_pull_in_three_digits(pull in 1e-6..1e3_f64, values in 1..1_000_000_usize) {
            let found = lambda(Mean::of(pull, 1), values).unwrap();
            let exact = pull * values as f64 / 3.0;
            prop_assert!((found - exact).abs() <= 0.005 * exact, "{found} for {exact}");
            prop_assert!(format!("{found:e}").split('e').next().unwrap().len() <= 4, "{found}");
        }
    }
}
