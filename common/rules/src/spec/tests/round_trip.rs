//! The way to TOML and back, for specs of any kind.

use super::SHORT;
use crate::{
    ids::Step,
    schedule::Schedule,
    spec::{model::*, words::Choice, *},
};
use proptest::prelude::*;

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
        preset in prop::sample::select(<Preset as Choice>::WORDS.iter().map(|(_, preset)| *preset).collect::<Vec<_>>()),
        (width, blocks, half) in (1..300_u32, 0..12_u32, 0..5_u32),
        (tanh, zeros, relu, spectral_norm, light) in any::<(bool, bool, bool, bool, bool)>(),
        (image, pixel) in (0..3_u32, 0..3_u32),
        layers in layers(),
    ) -> Model {
        let output = if tanh { RefinerOutput::Tanh } else { RefinerOutput::Residual };
        let padding = if zeros { Padding::Zeros } else { Padding::Replicate };
        let activation = if relu { Activation::Relu } else { Activation::LeakyRelu };
        Model {
            preset,
            refiner: Refiner { width, blocks, kernel: 2 * half + 1, output, padding, noise: Noise { image, pixel }, light, matching: if light { Matching::Image } else { Matching::None } },
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
        lambda in prop_oneof![Just(None), Just(Some(0.0)), (0.0..1e3_f64).prop_map(Some)],
        psi in prop::sample::select(vec![Psi::Identity, Psi::Gradients, Psi::ChannelMean, Psi::LowPass, Psi::Standardised]),
        (refiner, discriminator) in (optimizers(), optimizers()),
        ema in prop::option::of(0.001..1.0_f64),
        shift in 0..2_u32,
        precision in prop::sample::select(vec![Precision::F32, Precision::Tf32, Precision::Bf16]),
        (with_history, replicas) in (any::<bool>(), 0..2_u32),
    ) -> Train {
        let batch = 2 * lanes * halves;
        let size = if with_history { batch + spare * lanes } else { 0 };
        Train {
            seed, batch, lanes, steps: Step(steps),
            pretrain: Pretrain { refiner: pretrain.0, discriminator: pretrain.1 },
            k_refiner, k_discriminator, lambda, psi, refiner, discriminator, ema, shift, precision,
            history: History { size, replicas },
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
        (keep, keep_every) in (2..=1_000_u32, prop::option::of(1..1_000_000_u64)),
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
                    checkpoint_steps, keep, keep_every, samples_every,
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
    fn a_checked_job_always_has_a_schedule(spec in specs()) {
        let checked = read(&spec.to_toml(), &[]).expect("the test above");
        prop_assert!(Schedule::new(&checked.what.train, 10, 10).is_ok());
    }

    #[test]
    fn no_text_and_no_override_makes_the_reading_panic(text in "\\PC{0,80}", path in "[a-z_.]{0,20}", value in "\\PC{0,20}") {
        let overrides = [(path, value)];
        let _ = read(&text, &overrides);
        let _ = read(SHORT, &overrides);
    }

    #[test]
    fn a_spec_of_any_kind_can_be_summed_up_and_warned_about(spec in specs()) {
        prop_assert!(spec.paper_lambda().is_none_or(f64::is_finite));
        prop_assert_eq!(spec.summary().len(), 9);
        let _ = spec.warnings();
    }
}
