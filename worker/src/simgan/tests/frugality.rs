//! What a step asks of libtorch is counted, so that nobody needs a clock to notice a copy too many. Whoever makes a limit larger
//! says in the same commit what it buys.

use super::*;
use crate::native::{
    self,
    counting::{Counts, counted},
};
use sumac_common::spec;

/// The paper's networks for eyes, a lane of 8 images. A tensor of 64 maps of them has 3.9 MB: a refiner step has 9 of them on its way
/// there and 3 for each of its 3x3 convolutions on its way back, and room to transform them.
fn lane() -> (Spec, SimGan) {
    const JOB: &str = "name = \"lane\"\nmodel.preset = \"paper-eyes\"\n[data]\nsynthetic = \"-\"\nreal = \"-\"\n\
                       [train]\nbatch = 64\nlanes = 8\nsteps = 3\nhistory.size = 64\n";
    tch::set_num_threads(1);
    let spec = spec::read(JOB, &[]).unwrap();
    let simgan = SimGan::new(&spec).unwrap();
    (spec, simgan)
}

fn of_a_lane(phase: Phase) -> Counts {
    let (spec, mut simgan) = lane();
    let image = spec.what.data.image;
    let meal = match phase.network() {
        Network::Refiner => Meal { phase, ..meal(&spec, phase, 0, 0, 8) },
        Network::Discriminator => Meal {
            synthetic: noise(image, 0, 4),
            history: noise(image, 10, 4),
            real: noise(image, 20, 8),
            keep: 4,
            ..meal(&spec, phase, 0, 0, 8)
        },
    };
    // What is made once is made before.
    simgan.chew(&meal).unwrap();
    let (portion, counts) = counted(|| simgan.chew(&meal));
    portion.unwrap();
    counts
}

fn holds(what: &str, counts: Counts, limit: Counts) {
    let plain = Tensor::zeros([1, 64, 8, 8], F32);
    if !native::convolution::is_for(&plain, &Tensor::zeros([64, 64, 3, 3], F32)) {
        eprintln!("skipped: this processor has no convolutions of our own, and libtorch's ask for more");
        return;
    }
    let within = counts.operations <= limit.operations && counts.pieces <= limit.pieces && counts.bytes <= limit.bytes;
    assert!(within, "{what} asks for {counts:?}, and must not for more than {limit:?}");
}

#[test]
fn a_lane_of_a_refiner_step_asks_for_no_more_than_it_needs() {
    holds("a refiner step", of_a_lane(Phase::Refiner), Counts { operations: 610, pieces: 178, bytes: 153_000_000 });
}

#[test]
fn a_lane_of_a_discriminator_step_asks_for_no_more_than_it_needs() {
    holds(
        "a discriminator step",
        of_a_lane(Phase::Discriminator),
        Counts { operations: 520, pieces: 140, bytes: 43_200_000 },
    );
}

#[test]
fn an_update_makes_one_vector_and_no_more() {
    let (_, mut simgan) = lane();
    let gradient = simgan.zero(Phase::Refiner);
    // Beside it the learning rate, as libtorch hands numbers on.
    let length = i64::try_from(gradient.0.numel()).unwrap() * 4 + 64;
    let (applied, counts) = counted(|| simgan.apply(Phase::Refiner, Step(0), &gradient));
    applied.unwrap();
    holds("an update", counts, Counts { operations: 7, pieces: 3, bytes: length });
}
