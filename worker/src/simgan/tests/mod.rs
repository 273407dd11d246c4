//! Each test tells one situation. Networks are a few hundred weights small; gradients are checked in f64.

mod frugality;
mod gradients;
mod inference;
mod networks;
mod optimizers;
mod pitfalls;
mod states;

use super::*;
use sumac_common::{
    ids::{ContentId, SampleId},
    spec::{
        Data, Device as Where, History, How, ImageShape, Labels, Optimizer as OptimizerSpec, OptimizerKind, Output,
        Precision, Pretrain, Psi, Resize, What, Workers,
        model::{self, Activation, Layer, Matching, Model, Noise, Padding, Preset, RefinerOutput},
    },
};
use tch::Kind;

const F32: Place = (Kind::Float, tch::Device::Cpu);
const F64: Place = (Kind::Double, tch::Device::Cpu);

const SGD: OptimizerKind = OptimizerKind::Sgd { momentum: 0.9 };
const ADAM: OptimizerKind = OptimizerKind::Adam { beta1: 0.5, beta2: 0.999, epsilon: 1e-8 };

fn conv(kernel: u32, stride: u32, maps: u32) -> Layer {
    Layer::Conv { kernel, stride, maps }
}

fn pool(kernel: u32, stride: u32) -> Layer {
    Layer::MaxPool { kernel, stride }
}

/// Two channels of 6 x 7 pixels, a discriminator of 2 x 2 patches, a batch of 4: nothing square, nothing one.
fn small() -> Spec {
    // As a worker does by default; networks this small only lose by more.
    tch::set_num_threads(1);
    let optimizer = OptimizerSpec { kind: SGD, lr: 0.05, decay: Vec::new() };
    Spec {
        name: "small".into(),
        what: What {
            data: Data {
                synthetic: "synthetic".into(),
                real: "real".into(),
                image: ImageShape { channels: 2, height: 6, width: 7 },
                resize: Resize::Exact,
                max_bad: 0.0,
                labels: Labels::Optional,
            },
            model: Model {
                preset: Preset::Digits,
                refiner: model::Refiner {
                    width: 3,
                    blocks: 1,
                    kernel: 3,
                    output: RefinerOutput::Tanh,
                    padding: Padding::Zeros,
                    noise: Noise::NONE,
                    light: false,
                    matching: Matching::None,
                },
                discriminator: model::Discriminator {
                    layers: vec![conv(3, 2, 4), pool(3, 2), conv(3, 1, 3), conv(1, 1, 2)],
                    activation: Activation::LeakyRelu,
                    spectral_norm: false,
                },
            },
            train: Train {
                seed: 11,
                batch: 4,
                lanes: 1,
                steps: Step(100),
                pretrain: Pretrain { refiner: 0, discriminator: 0 },
                k_refiner: 1,
                k_discriminator: 1,
                lambda: Some(0.7),
                psi: Psi::Identity,
                refiner: optimizer.clone(),
                discriminator: optimizer,
                ema: None,
                shift: 0,
                precision: Precision::F32,
                history: History { size: 16, replicas: 0 },
            },
            threads: 1,
        },
        how: How {
            workers: Workers { min: 1, max: 1, device: Where::Cpu },
            output: Output {
                dir: "out".into(),
                checkpoint_every: std::time::Duration::from_secs(60),
                checkpoint_steps: None,
                keep: 2,
                keep_every: None,
                samples_every: 0,
            },
        },
    }
}

fn small_with(change: impl FnOnce(&mut What)) -> Spec {
    let mut spec = small();
    change(&mut spec.what);
    spec
}

/// Every option that keeps state: Adam, moving average, spectral normalisation.
fn stateful() -> Spec {
    small_with(|what| {
        what.train.refiner.kind = ADAM;
        what.train.discriminator.kind = ADAM;
        what.train.ema = Some(0.99);
        what.train.shift = 1;
        what.model.discriminator.spectral_norm = true;
    })
}

/// Samples `first..first + n` of an endless set of noise in (-1, 1).
fn noise(shape: ImageShape, first: u64, n: u64) -> Images {
    let pixels = |sample| {
        let mut rng = random::stream(5, Stream::Synthetic, Lane(9), Step(sample));
        (0..shape.len()).map(move |_| 1.9 * random::uniform(&mut rng) - 0.95)
    };
    Images {
        ids: (first..first + n).map(|sample| ContentId { sample: SampleId(sample), step: Step(0) }).collect(),
        pixels: (first..first + n).flat_map(pixels).collect(),
    }
}

/// What one lane of n synthetic images eats in this phase; a discriminator's refined half is half history.
fn meal(spec: &Spec, phase: Phase, step: u64, first: u64, n: u64) -> Meal {
    let images = |set: u64, first: u64, n: u64| noise(spec.what.data.image, 1_000 * set + first, n);
    let (step, lane) = (Step(step), Lane(0));
    match phase.network() {
        Network::Refiner => Meal {
            step,
            phase,
            lane,
            synthetic: images(0, first, n),
            real: Images::default(),
            history: Images::default(),
            keep: 0,
        },
        Network::Discriminator => Meal {
            step,
            phase,
            lane,
            synthetic: images(0, first, n / 2),
            real: images(1, first, n),
            history: images(2, first, n / 2),
            keep: n as usize / 2,
        },
    }
}

/// Random weights everywhere, large enough that a residual refiner leaves the range here and there.
fn stir(simgan: &SimGan, seed: u64, scale: f64) {
    let mut rng = random::stream(seed, Stream::Init, Lane(7), Step(0));
    for flat in [&simgan.refiner.flat, &simgan.discriminator.flat] {
        for mut view in flat.views().unwrap() {
            let drawn: Vec<f64> =
                (0..view.numel()).map(|_| scale * (2.0 * f64::from(random::uniform(&mut rng)) - 1.0)).collect();
            view.copy_(&Tensor::from_slice(&drawn).view(view.size().as_slice()));
        }
    }
}

fn floats(tensor: &Tensor) -> Vec<f64> {
    Vec::<f64>::try_from(tensor.to_kind(Kind::Double).contiguous().view([-1])).unwrap()
}

/// Runs a few steps of both networks and applies them: (phase, step) as Algorithm 1 alternates.
fn train(simgan: &mut SimGan, spec: &Spec, steps: std::ops::Range<u64>) {
    for step in steps {
        let phase = if step % 2 == 0 { Phase::Refiner } else { Phase::Discriminator };
        let portion = simgan.chew(&meal(spec, phase, step, 10 * step, 4)).unwrap();
        simgan.apply(phase, Step(step), &portion.sum).unwrap();
    }
}
