//! A job file from outside: what is filled in, here; what is refused, what is said about it and the way back, below.

mod advice;
mod faults;
mod round_trip;

use super::*;
use crate::ids::Step;

/// The shortest job: four things nobody can guess.
const SHORT: &str = r#"
name = "eyes"
data = { synthetic = "drawn", real = "photos" }
model = { preset = "paper-eyes" }
train = { steps = 30_000 }
"#;

fn set(overrides: &[(&str, &str)]) -> Vec<(String, String)> {
    overrides.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect()
}

fn short_with(overrides: &[(&str, &str)]) -> Result<Spec, Faults> {
    read(SHORT, &set(overrides))
}

fn train(overrides: &[(&str, &str)]) -> Train {
    short_with(overrides).unwrap().what.train
}

#[test]
fn a_short_job_is_filled_in_from_its_preset() {
    let Spec { what, how, .. } = read(SHORT, &[]).unwrap();
    assert_eq!(what.data.image, ImageShape { channels: 1, height: 35, width: 55 });
    assert_eq!((what.data.resize, what.data.labels, what.data.max_bad), (Resize::Exact, Labels::Optional, 0.001));
    assert_eq!((what.train.seed, what.train.batch, what.train.lanes, what.threads), (0, 512, 64, 1));
    assert_eq!(what.train.pretrain, Pretrain { refiner: 1_000, discriminator: 200 });
    assert_eq!((what.train.k_refiner, what.train.k_discriminator, what.train.ema), (2, 1, None));
    assert_eq!(what.train.history, History { size: 51_200, replicas: 1 });
    assert_eq!(how.workers, Workers { min: 1, max: 64, device: Device::Auto });
    assert_eq!(how.output.dir, PathBuf::from("runs/eyes"));
    assert_eq!(how.output.checkpoint_every, Duration::from_secs(300));
    assert_eq!((how.output.checkpoint_steps, how.output.samples_every), (None, 250));
    assert_eq!((how.output.keep, how.output.keep_every), (2, None));
}

#[test]
fn lanes_are_by_default_as_many_as_leave_each_eight_images() {
    for (batch, lanes) in
        [("2", 1), ("16", 2), ("32", 4), ("64", 8), ("96", 12), ("100", 10), ("512", 64), ("4096", 64)]
    {
        assert_eq!(train(&[("train.batch", batch)]).lanes, lanes, "batch {batch}");
    }
}

#[test]
fn the_default_history_is_a_hundred_batches_in_whole_lanes_and_at_least_one_batch() {
    for (batch, size) in [("64", 6_400), ("512", 51_200), ("600", 51_200 / 60 * 60), ("102400", 102_400)] {
        assert_eq!(train(&[("train.batch", batch)]).history.size, size, "batch {batch}");
    }
}

#[test]
fn an_override_wins_over_the_file_and_needs_no_quotes() {
    let train = train(&[("train.lambda", "0.2"), ("train.psi", "gradients"), ("train.lambda", "0.3")]);
    assert_eq!((train.lambda, train.psi), (Some(0.3), Psi::Gradients));
    let spec =
        short_with(&[("name", "007"), ("output.checkpoint_every", "90s"), ("model.refiner.width", "8")]).unwrap();
    assert_eq!((spec.name.as_str(), spec.what.model.refiner.width), ("007", 8));
    assert_eq!(spec.how.output.checkpoint_every, Duration::from_secs(90));
}

#[test]
fn lambda_may_be_left_to_calibration_and_is_read_back_so() {
    let spec = short_with(&[("train.lambda", "calibrated")]).unwrap();
    assert_eq!(spec.what.train.lambda, None);
    assert_eq!(read(&spec.to_toml(), &[]).unwrap(), spec);
    assert_eq!(spec.warnings(), short_with(&[]).unwrap().warnings());
    assert!(spec.summary().contains(&"lambda         found before step 0, psi identity".to_owned()));
}

#[test]
fn an_optimizer_for_both_is_overridden_by_one_for_each() {
    let text = format!(
        "{SHORT}\n[train.optimizer]\nkind = \"adam\"\nlr = 1e-3\nbeta2 = 0.99\ndecay = [{{ step = 10, lr = 1e-4 }}]\n\
         [train.optimizer.discriminator]\nlr = 3e-4\n"
    )
    .replace("train = { steps = 30_000 }", "train.steps = 30_000");
    let train = read(&text, &[]).unwrap().what.train;
    let kind = OptimizerKind::Adam { beta1: 0.5, beta2: 0.99, epsilon: 1e-8 };
    assert_eq!(train.refiner, Optimizer { kind, lr: 1e-3, decay: vec![(Step(10), 1e-4)] });
    // The decay belonged to the other rate.
    assert_eq!(train.discriminator, Optimizer { kind, lr: 3e-4, decay: Vec::new() });
}

#[test]
fn an_average_is_switched_off_by_zero() {
    let digits = [("model.preset", "digits"), ("train.ema", "0")];
    assert_eq!(train(&digits[..1]).ema, Some(0.99));
    assert_eq!(train(&digits).ema, None);
}

#[test]
fn max_bad_is_a_share_or_a_percentage() {
    for (written, share) in [("0.5%", 0.005), ("0.02", 0.02), ("0", 0.0), ("100%", 1.0)] {
        assert_eq!(short_with(&[("data.max_bad", written)]).unwrap().what.data.max_bad, share, "{written}");
    }
}

#[test]
fn a_toy_needs_no_images() {
    let spec = read("name = \"toy\"\nmodel.preset = \"toy\"\ntrain.steps = 500\n", &[]).unwrap();
    assert_eq!(spec.warnings(), [""; 0]);
    assert_eq!(read(&spec.to_toml(), &[]), Ok(spec));
}

#[test]
fn the_identity_forgets_how_and_where_and_how_long_but_not_what() {
    let identity = |path, value| short_with(&[(path, value)]).unwrap().what.identity();
    let original = read(SHORT, &[]).unwrap().what.identity();
    for (path, value) in [
        ("train.steps", "60000"),
        ("data.real", "elsewhere"),
        ("workers.max", "2"),
        ("output.dir", "x"),
        ("data.max_bad", "0.5"),
    ] {
        assert_eq!(identity(path, value), original, "{path}");
    }
    for (path, value) in [("train.seed", "1"), ("train.lanes", "32"), ("workers.threads", "2"), ("train.lambda", "1")] {
        assert_ne!(identity(path, value), original, "{path}");
    }
}

#[test]
fn every_example_is_a_job_without_faults_or_warnings() {
    let examples = [
        ("demo", include_str!("../../../../../examples/demo.toml")),
        ("digits", include_str!("../../../../../examples/digits.toml")),
        ("signs", include_str!("../../../../../examples/signs.toml")),
        ("signs-matched", include_str!("../../../../../examples/signs-matched.toml")),
        ("roads", include_str!("../../../../../examples/roads.toml")),
    ];
    for (name, text) in examples {
        let spec = read(text, &[]).unwrap_or_else(|faults| panic!("{name}: {faults}"));
        assert_eq!(spec.name, name);
        assert_eq!(spec.warnings(), [""; 0], "{name}");
        assert_eq!(read(&spec.to_toml(), &[]), Ok(spec), "{name}");
    }
}

#[test]
fn the_signs_examples_are_the_recipes_they_say_they_are() {
    let signs = read(include_str!("../../../../../examples/signs.toml"), &[]).unwrap().what;
    let matched = read(include_str!("../../../../../examples/signs-matched.toml"), &[]).unwrap().what;
    let seen = |what: &What| {
        let discriminator = &what.model.discriminator;
        (discriminator.map(what.data.image), discriminator.receptive_field(), what.train.lambda, what.train.psi)
    };
    assert_eq!(seen(&signs), ((8, 8), 15, Some(2.0), Psi::Standardised));
    assert_eq!(seen(&matched), ((4, 4), 31, Some(5.0), Psi::Identity));
}
