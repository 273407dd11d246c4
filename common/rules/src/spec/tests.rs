//! A job file from outside: what is filled in, what is refused and in which words, and the way back to TOML.

use super::{model::*, *};
use crate::ids::Step;
use proptest::prelude::*;

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

/// The one fault of the short job under these overrides, as a sentence.
fn fault(overrides: &[(&str, &str)]) -> String {
    let faults = short_with(overrides).expect_err("it has a fault").0;
    assert_eq!(faults.len(), 1, "{faults:#?}");
    assert_eq!(faults[0].place, Place::Set);
    faults[0].to_string()
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
    assert_eq!(what.train.history, History { size: 51_200, replicas: 1, on_loss: OnHistoryLoss::Rollback });
    assert_eq!(how.workers, Workers { min: 1, max: 64, device: Device::Auto });
    assert_eq!(how.output.dir, PathBuf::from("runs/eyes"));
    assert_eq!(how.output.checkpoint_every, Duration::from_secs(300));
    assert_eq!((how.output.checkpoint_steps, how.output.samples_every), (None, 250));
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
    assert_eq!((train.lambda, train.psi), (0.3, Psi::Gradients));
    let spec =
        short_with(&[("name", "007"), ("output.checkpoint_every", "90s"), ("model.refiner.width", "8")]).unwrap();
    assert_eq!((spec.name.as_str(), spec.what.model.refiner.width), ("007", 8));
    assert_eq!(spec.how.output.checkpoint_every, Duration::from_secs(90));
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
fn each_fault_is_a_sentence_with_its_remedy() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (
            &[("train.batch", "500"), ("train.lanes", "16")],
            "train.batch = 500: must be a multiple of 2 x lanes (32): nearest are 480 and 512",
        ),
        (&[("train.lanes", "7")], "train.lanes = 7: must divide half the batch (256): nearest are 4 and 8"),
        (
            &[("train.batch", "65")],
            "train.batch = 65: must be even, since half of what the discriminator sees comes from the history: \
             nearest are 64 and 66",
        ),
        (
            &[("train.history.size", "51201")],
            "train.history.size = 51201: must be a multiple of train.lanes = 64: nearest are 51200 and 51264",
        ),
        (
            &[("train.history.size", "100")],
            "train.history.size = 100: must be at least train.batch = 512, or 0 for none: the nearest is 512",
        ),
        (&[("train.lamda", "0.5")], "train.lamda = 0.5: is not a field of a job: did you mean `lambda`?"),
        (&[("train.threads", "2")], "train.threads = 2: is not a field of a job: did you mean `workers.threads`?"),
        (
            &[("data.image.colour", "true")],
            "data.image.colour = true: is not a field of a job: `data.image` has `channels` and `size`",
        ),
        (&[("trian.seed", "3")], "trian: is not a field of a job: did you mean `train`?"),
        (
            &[("train.steps", "'600'")],
            "train.steps = '600': must be a whole number of at least 1, not text: write 600 without the quotes",
        ),
        (&[("train.steps", "0")], "train.steps = 0: must be a whole number of at least 1: the nearest is 1"),
        (
            &[("train.steps", "6e2")],
            "train.steps = 6e2: must be a whole number of at least 1, not a fraction: write 600",
        ),
        (&[("train.k_refiner", "0")], "train.k_refiner = 0: must be a whole number from 1 to 10000: the nearest is 1"),
        (&[("model.refiner.kernel", "4")], "model.refiner.kernel = 4: must be odd: nearest are 3 and 5"),
        (
            &[("data.image.size", "[0, 55]")],
            "data.image.size = [0, 55]: must be a whole number from 1 to 4096: the nearest is 1",
        ),
        (
            &[("data.image.size", "35")],
            "data.image.size = 35: must be [height, width], not a whole number: such as size = [32, 48]",
        ),
        (&[("train.lambda", "-1")], "train.lambda = -1: must be a number of at least 0"),
        (&[("train.lambda", "nan")], "train.lambda = nan: must be a number of at least 0"),
        (&[("train.ema", "1")], "train.ema = 1: must be a number from 0 (none) to below 1"),
        (
            &[("train.psi", "gradient")],
            "train.psi = gradient: must be `identity`, `gradients` or `channel-mean`: did you mean `gradients`?",
        ),
        (
            &[("output.checkpoint_every", "5")],
            "output.checkpoint_every = 5: must be a duration with its unit, in quotes, from 1ms to 31d: \
             such as \"5m\", \"30s\" or \"250ms\"",
        ),
        (
            &[("data.max_bad", "110%")],
            "data.max_bad = 110%: must be a share from 0 to 1, or a percentage in quotes: such as 0.001 or \"0.1%\"",
        ),
        (
            &[("workers.max", "65")],
            "workers.max = 65: is more workers than train.lanes = 64 can occupy: \
             write at most 64, or more lanes; workers beyond 65 would stand by",
        ),
        (
            &[("workers.min", "3"), ("workers.max", "2")],
            "workers.min = 3: must not be above workers.max = 2: write at most 2",
        ),
        (&[("kind", "refine")], "kind = refine: is not yet a kind of job file: only `train` is"),
        (
            &[("name", "My Eyes")],
            "name = My Eyes: must be 1 to 40 small letters, digits, `-` or `_`, a letter or digit first: such as \"eyes-2\"",
        ),
        (&[("data.real", "")], "data.real: must not be empty"),
        (
            &[("train.shift", "35")],
            "train.shift = 35: must be smaller than the image's shorter side (35): write at most 34",
        ),
        (
            &[("train.optimizer.momentum", "0.9"), ("train.optimizer.kind", "adam"), ("train.optimizer.lr", "1e-3")],
            "train.optimizer.momentum = 0.9: belongs to sgd, and this is adam: write kind = \"sgd\", or leave it out",
        ),
        (
            &[("train.optimizer.decay", "[{step=9, lr=1.0}, {step=9, lr=0.5}]")],
            "train.optimizer.decay[1].step = 9: must be above the 9 before it: list changes in their order",
        ),
        (
            &[("model.discriminator.layers", "[{conv=3, maps=1}]")],
            "model.discriminator.layers = [{conv=3, maps=1}]: must end in a convolution with two maps, real and refined: \
             end with { conv = 1, maps = 2 }",
        ),
        (
            &[("model.discriminator.layers", "[{conv=3, pool=3, maps=2}]")],
            "model.discriminator.layers[0].conv = 3: has a pool beside it: \
             a layer is one of the two, with its kernel's side as value",
        ),
        (&[("train", "5")], "train = 5: must be a table, not a whole number: write [train] with its fields below"),
        (&[("name.first", "x")], "name.first = x: cannot be set: `name` is text, not a table: set `name` as a whole"),
        (&[("train..seed", "1")], "train..seed = 1: is not a field's path: write it as --set train.lambda=0.2"),
    ];
    for (overrides, sentence) in cases {
        // A table replaced takes its required fields with it; those faults are not the case's point.
        let faults = short_with(overrides).expect_err(sentence).0;
        let said: Vec<String> = faults.iter().filter(|f| f.place == Place::Set).map(ToString::to_string).collect();
        assert_eq!(said, [*sentence]);
    }
}

#[test]
fn a_fault_of_one_field_does_not_drag_others_along() {
    assert_eq!(
        fault(&[("train.batch", "none"), ("train.lanes", "7"), ("train.history.size", "13"), ("workers.max", "999")]),
        "train.batch = none: must be a whole number from 2 to 1048576, not text"
    );
    assert_eq!(
        fault(&[("train.optimizer.kind", "adamw"), ("train.optimizer.beta1", "0.5")]),
        "train.optimizer.kind = adamw: must be `sgd` or `adam`"
    );
}

#[test]
fn nothing_is_blamed_for_not_fitting_the_defaults_of_a_preset_nobody_knows() {
    let unknown =
        [("model.preset", "paper-ears"), ("train.lanes", "7"), ("train.history.size", "70"), ("train.shift", "30")];
    let sentence =
        "model.preset = paper-ears: must be `paper-eyes`, `paper-hands`, `digits` or `toy`: did you mean `paper-eyes`?";
    assert_eq!(fault(&[unknown.as_slice(), &[("train.optimizer.kind", "adam")]].concat()), sentence);
}

#[test]
fn a_learning_rate_does_not_carry_over_to_another_optimizer() {
    let faults = short_with(&[("train.optimizer.kind", "adam")]).unwrap_err();
    let fields: Vec<&str> = faults.0.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["train.optimizer.refiner.lr", "train.optimizer.discriminator.lr"]);
}

#[test]
fn all_faults_come_at_once_by_line_and_in_columns() {
    let text = r#"name = "eyes"
kind = "train"

[data]
synthetic = "drawn"
image = { size = [35, 55], channels = "1" }

[model]
preset = "paper-eyes"

[train]
batch = 500
lanes = 16
lamda = 0.5
"#;
    let faults = read(text, &set(&[("workers.max", "many")])).unwrap_err();
    assert_eq!(
        faults.to_string(),
        "\
6 faults
  line 6   data.image.channels = \"1\"  must be a whole number from 1 to 16, not text: write 1 without the quotes
  line 12  train.batch = 500          must be a multiple of 2 x lanes (32): nearest are 480 and 512
  line 14  train.lamda = 0.5          is not a field of a job: did you mean `lambda`?
  --set    workers.max = many         must be a whole number of at least 1, not text
           data.real                  is missing: name the folder of unlabelled real images
           train.steps                is missing: say how many updates of either network the run has, such as steps = 600"
    );
}

#[test]
fn an_empty_file_lacks_exactly_what_nobody_can_guess() {
    let faults = read("", &[]).unwrap_err().0;
    let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["name", "model.preset", "data.synthetic", "data.real", "train.steps"]);
}

#[test]
fn what_is_not_toml_is_one_fault_with_a_picture_of_the_place() {
    let faults = read("name = \"eyes\"\nlambda = = 2\n", &[]).unwrap_err();
    assert_eq!(faults.0.len(), 1);
    assert_eq!(faults.0[0].line(), Some(2));
    let said = faults.to_string();
    assert!(said.starts_with("1 fault\nthe file is not TOML\nTOML parse error at line 2, column 10\n"), "{said}");
    assert!(said.contains("2 | lambda = = 2\n  |          ^"), "{said}");
}

#[test]
fn the_same_field_twice_is_not_toml() {
    let faults = read("name = \"a\"\nname = \"b\"\n", &[]).unwrap_err();
    assert_eq!((faults.0.len(), faults.0[0].line()), (1, Some(2)));
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
    for (path, value) in
        [("train.steps", "60000"), ("data.real", "elsewhere"), ("workers.max", "2"), ("output.dir", "x")]
    {
        assert_eq!(identity(path, value), original, "{path}");
    }
    for (path, value) in [("train.seed", "1"), ("train.lanes", "32"), ("workers.threads", "2"), ("train.lambda", "1")] {
        assert_ne!(identity(path, value), original, "{path}");
    }
}

#[test]
fn lambda_in_the_papers_sums_is_the_authors_for_the_authors_mean() {
    // PAPER A7: 0.01 between sums over 126 patches and 1,925 pixels is 0.15 between means.
    let lambda = short_with(&[("train.lambda", "0.152777")]).unwrap().paper_lambda();
    assert!((lambda - 0.01).abs() < 1e-6, "{lambda}");
}

#[test]
fn psi_counts_what_it_compares() {
    let image = ImageShape { channels: 3, height: 4, width: 5 };
    assert_eq!(Psi::Identity.values(image), 60);
    assert_eq!(Psi::Gradients.values(image), 3 * (3 * 5 + 4 * 4));
    assert_eq!(Psi::ChannelMean.values(image), 20);
}

#[test]
fn each_warning_names_its_numbers() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (
            &[("train.steps", "1200")],
            "the run ends inside pre-training: train.steps = 1200, and pre-training alone takes 1200 \
             (1000 refiner + 200 discriminator); raise train.steps or lower train.pretrain",
        ),
        (
            &[("train.lambda", "300")],
            "train.lambda = 300.0 is outside 0.01 to 100.0, where published runs lie: refined images stay as they are",
        ),
        (
            &[("workers.max", "3")],
            "64 lanes do not divide evenly over workers.max = 3: some have 22 and the others wait for them; \
             2 workers would share evenly",
        ),
        (
            &[("train.lanes", "128"), ("workers.max", "4")],
            "a lane has 4 images (train.batch = 512, train.lanes = 128); below 8 a step spends its time on starting lanes",
        ),
        (
            &[("train.optimizer.decay", "[{step=90000, lr=1e-4}]")],
            "the learning rate changes at step 90000, after the run's end at train.steps = 30000",
        ),
        (&[("data.real", "drawn")], "data.synthetic and data.real are the same folder, drawn"),
        (
            &[("train.history.replicas", "0")],
            "train.history.replicas = 0: the loss of any worker sends the run back to its last checkpoint",
        ),
    ];
    for (overrides, sentence) in cases {
        assert_eq!(short_with(overrides).unwrap().warnings(), [*sentence]);
    }
}

#[test]
fn a_history_that_cannot_fill_is_warned_about() {
    // 200 in pre-training and 10 in cycles, 256 images each, and twice as many in the first.
    let spec = short_with(&[("train.steps", "1230"), ("train.history.size", "102400")]).unwrap();
    assert_eq!(
        spec.warnings(),
        [
            "the history never fills: train.history.size = 102400, and 210 discriminator updates bring about 54016 images"
        ]
    );
}

#[test]
fn the_summary_says_what_will_run() {
    let spec = short_with(&[("train.lanes", "16")]).unwrap();
    assert_eq!(
        spec.summary(),
        [
            "job            eyes, preset paper-eyes, seed 0",
            "images         35x55, 1 channel",
            "refiner        3x3 to 64 maps, 4 blocks, tanh; 296,129 parameters; sees 19 px",
            "discriminator  5 convolutions, 1 pool; 75,906 parameters; 9x14 = 126 patches of 23 px",
            "lambda         0.5 between means, psi identity; as the paper's sums 0.0327",
            "batch          512 = 16 lanes x 32 images",
            "history        51,200 images, 3,200 a lane, each lane's copied to a guard",
            "schedule       30,000 steps = pre-training 1,000 refiner + 200 discriminator, then 9,600 cycles of 2 + 1",
            "workers        1 to 16 workers, device auto, 1 thread each",
        ]
    );
}

#[test]
fn every_example_is_a_job_without_faults_or_warnings() {
    let examples = [
        ("demo", include_str!("../../../../examples/demo.toml")),
        ("digits", include_str!("../../../../examples/digits.toml")),
        ("signs", include_str!("../../../../examples/signs.toml")),
    ];
    for (name, text) in examples {
        let spec = read(text, &[]).unwrap_or_else(|faults| panic!("{name}: {faults}"));
        assert_eq!(spec.name, name);
        assert_eq!(spec.warnings(), [""; 0], "{name}");
        assert_eq!(read(&spec.to_toml(), &[]), Ok(spec), "{name}");
    }
}

#[test]
fn the_signs_example_is_the_recipe_it_says_it_is() {
    let Spec { what, .. } = read(include_str!("../../../../examples/signs.toml"), &[]).unwrap();
    let (model, train) = (&what.model, &what.train);
    assert_eq!(model.discriminator.map(what.data.image), (8, 8));
    assert_eq!(model.discriminator.receptive_field(), 15);
    let rates = (train.refiner.lr, train.discriminator.lr);
    assert_eq!((rates, train.lambda, train.ema, train.steps), ((1e-3, 3e-4), 2.0, Some(0.99), Step(850)));
    assert_eq!(train.refiner.kind, OptimizerKind::ADAM);
}

prop_compose! {
    fn optimizers()(
        adam in any::<bool>(),
        shares in prop::array::uniform2(0.0..1.0_f64),
        lr in 1e-9..10.0_f64,
        rates in prop::collection::btree_map(1..u64::MAX / 2, 1e-9..1.0_f64, 0..3),
    ) -> Optimizer {
        let [beta1, beta2] = shares;
        let kind = if adam { OptimizerKind::Adam { beta1, beta2, epsilon: lr } } else { OptimizerKind::Sgd { momentum: beta1 } };
        Optimizer { kind, lr, decay: rates.into_iter().map(|(step, lr)| (Step(step), lr)).collect() }
    }
}

fn layers() -> impl Strategy<Value = Vec<Layer>> {
    let layer = prop_oneof![
        (0..4_u32, 1..4_u32, 1..200_u32).prop_map(|(k, stride, maps)| Layer::Conv { kernel: 2 * k + 1, stride, maps }),
        (0..4_u32, 1..4_u32).prop_map(|(k, stride)| Layer::MaxPool { kernel: 2 * k + 1, stride }),
    ];
    prop::collection::vec(layer, 0..6).prop_map(|mut layers| {
        layers.push(Layer::Conv { kernel: 1, stride: 1, maps: 2 });
        layers
    })
}

prop_compose! {
    fn models()(
        preset in prop::sample::select(vec![Preset::PaperEyes, Preset::PaperHands, Preset::Digits, Preset::Toy]),
        (width, blocks, half) in (1..300_u32, 0..12_u32, 0..5_u32),
        (tanh, zeros, relu, spectral_norm) in any::<(bool, bool, bool, bool)>(),
        layers in layers(),
    ) -> Model {
        let output = if tanh { RefinerOutput::Tanh } else { RefinerOutput::Residual };
        let padding = if zeros { Padding::Zeros } else { Padding::Replicate };
        let activation = if relu { Activation::Relu } else { Activation::LeakyRelu };
        Model {
            preset,
            refiner: Refiner { width, blocks, kernel: 2 * half + 1, output, padding },
            discriminator: Discriminator { layers, activation, spectral_norm },
        }
    }
}

prop_compose! {
    fn trainings()(
        seed in 0..=i64::MAX as u64,
        (lanes, halves, spare) in (1..70_u32, 1..20_u32, 0..500_u32),
        steps in 1..u64::MAX / 2,
        pretrain in (0..10_000_u64, 0..10_000_u64),
        (k_refiner, k_discriminator) in (1..60_u32, 1..60_u32),
        lambda in prop_oneof![Just(0.0), 0.0..1e3_f64],
        psi in prop::sample::select(vec![Psi::Identity, Psi::Gradients, Psi::ChannelMean]),
        (refiner, discriminator) in (optimizers(), optimizers()),
        ema in prop::option::of(0.001..1.0_f64),
        shift in 0..2_u32,
        (with_history, replicas, rewarm) in (any::<bool>(), 0..2_u32, any::<bool>()),
    ) -> Train {
        let batch = 2 * lanes * halves;
        let size = if with_history { batch + spare * lanes } else { 0 };
        let on_loss = if rewarm { OnHistoryLoss::Rewarm } else { OnHistoryLoss::Rollback };
        Train {
            seed, batch, lanes, steps: Step(steps),
            pretrain: Pretrain { refiner: pretrain.0, discriminator: pretrain.1 },
            k_refiner, k_discriminator, lambda, psi, refiner, discriminator, ema, shift,
            history: History { size, replicas, on_loss },
        }
    }
}

prop_compose! {
    fn specs()(
        name in "[a-z0-9][a-z0-9_-]{0,30}",
        (synthetic, real, dir) in ("\\PC{0,12}[a-z]", "[^\\x00]{0,12}[a-z]", "[a-z'\"\\\\# \t]{0,12}[a-z]"),
        (channels, height, width) in (1..5_u32, 2..300_u32, 2..300_u32),
        resize in prop::sample::select(vec![Resize::Exact, Resize::Area, Resize::Crop]),
        (max_bad, labelled) in (0.0..=1.0_f64, any::<bool>()),
        model in models(),
        train in trainings(),
        threads in 1..64_u32,
        (min, more) in (0.0..1.0_f64, 0.0..1.0_f64),
        device in prop::sample::select(vec![Device::Auto, Device::Cpu, Device::Cuda]),
        milliseconds in prop_oneof![1..100_000_u64, (1..500_u64).prop_map(|minutes| minutes * 60_000)],
        checkpoint_steps in prop::option::of(1..1_000_000_u64),
        samples_every in 1..1_000_000_u64,
    ) -> Spec {
        let max = 1 + (more * f64::from(train.lanes - 1)) as u32;
        let min = 1 + (min * f64::from(max - 1)) as u32;
        Spec {
            name,
            what: What {
                data: Data {
                    synthetic: synthetic.into(), real: real.into(),
                    image: ImageShape { channels, height, width },
                    resize, max_bad,
                    labels: if labelled { Labels::Required } else { Labels::Optional },
                },
                model, train, threads,
            },
            how: How {
                workers: Workers { min, max, device },
                output: Output {
                    dir: dir.into(),
                    checkpoint_every: Duration::from_millis(milliseconds),
                    checkpoint_steps, samples_every,
                },
            },
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_spec_written_is_the_spec_read(spec in specs()) {
        let toml = spec.to_toml();
        prop_assert_eq!(read(&toml, &[]), Ok(spec), "{}", toml);
    }

    #[test]
    fn no_text_and_no_override_makes_the_reading_panic(text in "\\PC{0,80}", path in "[a-z_.]{0,20}", value in "\\PC{0,20}") {
        let overrides = [(path, value)];
        let _ = read(&text, &overrides);
        let _ = read(SHORT, &overrides);
    }

    #[test]
    fn a_spec_of_any_kind_can_be_summed_up_and_warned_about(spec in specs()) {
        prop_assert!(spec.paper_lambda().is_finite());
        prop_assert_eq!(spec.summary().len(), 9);
        let _ = spec.warnings();
    }
}
