//! What a job amounts to, and what is allowed but rarely meant.

use super::short_with;
use crate::{
    ids::Step,
    schedule::{Network, Schedule},
    spec::{ImageShape, Psi},
};

#[test]
fn lambda_in_the_papers_sums_is_the_authors_for_the_authors_mean() {
    // PAPER A7: 0.01 between sums over 126 patches and 1,925 pixels is 0.15 between means.
    let lambda = short_with(&[("train.lambda", "0.152777")]).unwrap().paper_lambda().unwrap();
    assert!((lambda - 0.01).abs() < 1e-6, "{lambda}");
}

#[test]
fn psi_counts_what_it_compares() {
    let image = ImageShape { channels: 3, height: 4, width: 5 };
    assert_eq!(Psi::Identity.values(image), 60);
    assert_eq!(Psi::Gradients.values(image), 3 * (3 * 5 + 4 * 4));
    assert_eq!(Psi::ChannelMean.values(image), 20);
    assert_eq!(Psi::Standardised.values(image), 20);
    assert_eq!(Psi::LowPass.values(image), 3 * 2);
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
    // 200 in pre-training and 10 in cycles, each of which offers half its batch.
    let spec = short_with(&[("train.steps", "1230"), ("train.history.size", "102400")]).unwrap();
    assert_eq!(
        spec.warnings(),
        ["the history never fills: train.history.size = 102400, and 210 discriminator updates bring 53760 images"]
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
            "workers        1 to 16 workers, device auto, 1 thread each, f32",
        ]
    );
}

#[test]
fn discriminator_updates_are_counted_as_the_schedule_has_them() {
    let pretrain = [("train.pretrain.refiner", "3"), ("train.pretrain.discriminator", "4")];
    let cycle = [("train.k_refiner", "3"), ("train.k_discriminator", "2")];
    let train = short_with(&[pretrain, cycle].concat()).unwrap().what.train;
    let schedule = Schedule::new(&train, 100, 100).unwrap();
    let mut updates = 0;
    for step in 0..40 {
        assert_eq!(train.discriminator_steps(step), updates, "before step {step}");
        updates += u64::from(schedule.phase(Step(step)).network() == Network::Discriminator);
    }
}
