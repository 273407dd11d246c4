//! What is wrong with a job, word by word.

use super::{set, short_with};
use crate::spec::{Place, read};

/// The one fault of the short job under these overrides, as a sentence.
fn fault(overrides: &[(&str, &str)]) -> String {
    let faults = short_with(overrides).expect_err("it has a fault").0;
    assert_eq!(faults.len(), 1, "{faults:#?}");
    assert_eq!(faults[0].place, Place::Set);
    faults[0].to_string()
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
        (&[("train.lambda", "-1")], "train.lambda = -1: must be a number of at least 0, or \"calibrated\""),
        (&[("train.lambda", "nan")], "train.lambda = nan: must be a number of at least 0, or \"calibrated\""),
        (&[("train.ema", "1")], "train.ema = 1: must be a number from 0 (none) to below 1"),
        (
            &[("train.psi", "gradient")],
            "train.psi = gradient: must be `identity`, `gradients`, `channel-mean`, `low-pass` or `standardised`: did you mean `gradients`?",
        ),
        (&[("output.keep", "1")], "output.keep = 1: must be a whole number from 2 to 1000: the nearest is 2"),
        (
            &[("output.keep_every", "0")],
            "output.keep_every = 0: must be a whole number of at least 1: the nearest is 1",
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
             write at most 64, or raise train.lanes",
        ),
        (
            &[("workers.min", "3"), ("workers.max", "2")],
            "workers.min = 3: must not be above workers.max = 2: write at most 2",
        ),
        (&[("kind", "refine")], "kind = refine: must be `train` here: name a job that trains"),
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
    let sentence = "model.preset = paper-ears: must be `paper-eyes`, `paper-hands`, `digits`, `small-colour`, `small-colour-matched` or `toy`: did you mean `paper-eyes`?";
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
           data.real                  is missing: say where the unlabelled real images are
           train.steps                is missing: say how many updates of either network the run has, such as steps = 600"
    );
}

#[test]
fn a_misspelt_table_is_one_fault_whatever_it_holds() {
    let faults = read("[trian]\nseed = 3\nbatch = 8\n", &[]).unwrap_err().0;
    let said: Vec<String> = faults.iter().filter(|f| f.line().is_some()).map(ToString::to_string).collect();
    assert_eq!(said, ["trian: is not a field of a job: did you mean `train`?"]);
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
