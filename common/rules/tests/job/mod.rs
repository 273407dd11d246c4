//! A job for tests of membership: what it trains does not matter, only how many lanes, steps, workers and copies it has.

use std::{path::PathBuf, time::Duration};
use sumac_common::{
    ids::Step,
    spec::{
        Data, Device, History, How, ImageShape, Labels, Optimizer, OptimizerKind, Output, Pretrain, Psi, Resize, Spec,
        Train, What, Workers,
        model::{Activation, Discriminator, Layer, Model, Padding, Preset, Refiner, RefinerOutput},
    },
};

#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) lanes: u32,
    pub(crate) steps: u64,
    pub(crate) workers_min: u32,
    pub(crate) workers_max: u32,
    pub(crate) replicas: u32,
}

pub(crate) fn spec(wanted: Wanted) -> Box<Spec> {
    let Wanted { lanes, steps, workers_min, workers_max, replicas } = wanted;
    let optimizer = Optimizer { kind: OptimizerKind::Sgd { momentum: 0.0 }, lr: 1e-3, decay: vec![] };
    Box::new(Spec {
        name: "test".to_owned(),
        what: What {
            data: Data {
                synthetic: PathBuf::from("synthetic"),
                real: PathBuf::from("real"),
                image: ImageShape { channels: 1, height: 1, width: 1 },
                resize: Resize::Exact,
                max_bad: 0.0,
                labels: Labels::Optional,
            },
            model: Model {
                preset: Preset::Toy,
                refiner: Refiner {
                    width: 1,
                    blocks: 0,
                    kernel: 1,
                    output: RefinerOutput::Residual,
                    padding: Padding::Zeros,
                },
                discriminator: Discriminator {
                    layers: vec![Layer::Conv { kernel: 1, stride: 1, maps: 2 }],
                    activation: Activation::Relu,
                    spectral_norm: false,
                },
            },
            train: Train {
                seed: 1,
                batch: 2 * lanes,
                lanes,
                steps: Step(steps),
                pretrain: Pretrain { refiner: 0, discriminator: 0 },
                k_refiner: 1,
                k_discriminator: 1,
                lambda: 1e-4,
                psi: Psi::Identity,
                refiner: optimizer.clone(),
                discriminator: optimizer,
                ema: None,
                shift: 0,
                history: History { size: 3 * lanes, replicas },
            },
            threads: 1,
        },
        how: How {
            workers: Workers { min: workers_min, max: workers_max, device: Device::Cpu },
            output: Output {
                dir: PathBuf::from("run"),
                checkpoint_every: Duration::from_secs(600),
                checkpoint_steps: None,
                samples_every: 0,
            },
        },
    })
}
