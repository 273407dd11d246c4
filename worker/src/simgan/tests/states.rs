use super::*;
use crate::{learner::Lights, pipeline::Refines, simgan::weights};
use safetensors::SafeTensors;

#[test]
fn a_loaded_state_goes_on_to_the_same_bits() {
    for spec in [small(), stateful()] {
        let mut whole = SimGan::new(&spec).unwrap();
        train(&mut whole, &spec, 0..5);
        let saved = whole.save().unwrap();

        let mut resumed = SimGan::new(&spec).unwrap();
        assert_ne!(resumed.save().unwrap(), saved);
        resumed.load(&saved).unwrap();
        assert_eq!(resumed.save().unwrap(), saved);

        train(&mut whole, &spec, 5..10);
        train(&mut resumed, &spec, 5..10);
        assert_ne!(whole.save().unwrap(), saved);
        assert_eq!(resumed.save().unwrap(), whole.save().unwrap());
    }
}

#[test]
fn equal_states_give_equal_bytes() {
    let spec = stateful();
    let simgan = SimGan::new(&spec).unwrap();
    let saved = simgan.save().unwrap();
    for _ in 0..16 {
        assert_eq!(simgan.save().unwrap(), saved);
    }
}

#[test]
fn a_saved_state_names_everything_it_holds() {
    let spec = stateful();
    let saved = SimGan::new(&spec).unwrap().save().unwrap();
    let file = SafeTensors::deserialize(&saved).unwrap();
    let mut names = file.names();
    names.sort_unstable();
    let refiner = ["blocks.0.conv1", "blocks.0.conv2", "conv_in", "conv_out"];
    let discriminator = ["layers.0", "layers.2", "layers.3"];
    let pairs = |network: &str, convs: &[&str], roles: [&str; 2]| -> Vec<String> {
        convs.iter().flat_map(|conv| roles.map(|role| format!("{network}.{conv}.{role}"))).collect()
    };
    let mut expected = [
        pairs("refiner", &refiner, ["weight", "bias"]),
        pairs("ema", &refiner, ["weight", "bias"]),
        pairs("discriminator", &discriminator, ["weight", "bias"]),
        pairs("discriminator", &discriminator, ["u", "v"]),
        pairs("optimizer", &["refiner", "discriminator"], ["exp_avg", "exp_avg_sq"]),
    ]
    .concat();
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!(file.tensor("discriminator.layers.2.weight").unwrap().shape(), [3, 4, 3, 3]);
}

/// What loading says, and whether the present state survived it.
fn refusal(spec: &Spec, saved: &[u8]) -> String {
    let mut simgan = SimGan::new(spec).unwrap();
    train(&mut simgan, spec, 0..2);
    let present = simgan.save().unwrap();
    let refusal = simgan.load(saved).unwrap_err();
    assert_eq!(simgan.save().unwrap(), present, "the present state stays");
    assert!(matches!(refusal, LearnError::Misfit(_)));
    refusal.to_string()
}

fn saved_of(spec: &Spec) -> Vec<u8> {
    SimGan::new(spec).unwrap().save().unwrap()
}

#[test]
fn a_truncated_state_is_refused() {
    let saved = saved_of(&small());
    for length in [0, 7, 100, saved.len() - 1] {
        let said = refusal(&small(), &saved[..length]);
        assert!(said.contains("not a safetensors file"), "{said}");
    }
}

#[test]
fn the_state_of_a_wider_network_is_refused() {
    let wider = small_with(|what| what.model.refiner.width = 4);
    let said = refusal(&small(), &saved_of(&wider));
    assert!(
        said.contains("`refiner.conv_in.weight` is [4, 2, 3, 3]") && said.contains("wanted [3, 2, 3, 3]"),
        "{said}"
    );
}

#[test]
fn the_state_of_another_optimiser_is_refused() {
    let adam = small_with(|what| what.train.refiner.kind = ADAM);
    assert!(refusal(&small(), &saved_of(&adam)).contains("it holds `optimizer.refiner.exp_avg"));
    let plain = small_with(|what| what.train.refiner.kind = OptimizerKind::Sgd { momentum: 0.0 });
    assert!(refusal(&small(), &saved_of(&plain)).contains("it holds no `optimizer.refiner.momentum`"));
}

#[test]
fn a_state_without_its_counters_is_refused() {
    let spec = small();
    let exported = SimGan::new(&spec).unwrap().export().unwrap();
    assert!(refusal(&spec, &exported[0].1).contains("its metadata has no `sumac`"));
}

fn exported(simgan: &SimGan, name: &str) -> Vec<(String, Tensor)> {
    let files = simgan.export().unwrap();
    let (_, bytes) = files.iter().find(|(file, _)| *file == name).unwrap();
    let file = SafeTensors::deserialize(bytes).unwrap();
    let tensor = |name: &str| {
        let view = file.tensor(name).unwrap();
        let shape: Vec<i64> = view.shape().iter().map(|&extent| extent as i64).collect();
        Tensor::from_data_size(view.data(), &shape, Kind::Float)
    };
    let mut names: Vec<String> = file.names().into_iter().map(str::to_owned).collect();
    names.sort_unstable();
    names.into_iter().map(|name| (name.clone(), tensor(&name))).collect()
}

/// Run by its names, as a PyTorch module would: what is exported is what refines.
#[test]
fn the_exported_refiner_is_the_one_that_refines() {
    let spec = stateful();
    let mut simgan = SimGan::new(&spec).unwrap();
    train(&mut simgan, &spec, 0..6);
    let tensors = exported(&simgan, "refiner.safetensors");
    let names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "blocks.0.conv1.bias",
            "blocks.0.conv1.weight",
            "blocks.0.conv2.bias",
            "blocks.0.conv2.weight",
            "conv_in.bias",
            "conv_in.weight",
            "conv_out.bias",
            "conv_out.weight",
        ]
    );
    let of = |name: &str| &tensors.iter().find(|(known, _)| known == name).unwrap().1;
    let convolve = |x: &Tensor, module: &str, padding: i64| {
        let (weight, bias) = (of(&format!("{module}.weight")), of(&format!("{module}.bias")));
        x.conv2d(weight, Some(bias), [1, 1], [padding; 2], [1, 1], 1)
    };
    let images = noise(spec.what.data.image, 0, 3);
    let x = simgan.tensor(&images).unwrap();
    let maps = convolve(&x, "conv_in", 1).relu();
    let inner = convolve(&maps, "blocks.0.conv1", 1).relu();
    let maps = (convolve(&inner, "blocks.0.conv2", 1) + maps).relu();
    let plain = floats(&convolve(&maps, "conv_out", 0).tanh());
    let refined = simgan.refine(&images).unwrap();
    for (plain, refined) in plain.iter().zip(&refined.pixels) {
        assert!((plain - f64::from(*refined)).abs() < 1e-5);
    }
}

/// With a moving average and without: the average is what refines where there is one.
#[test]
fn an_exported_refiner_refines_to_the_same_bits() {
    for spec in [small(), stateful()] {
        let mut simgan = SimGan::new(&spec).unwrap();
        train(&mut simgan, &spec, 0..6);
        let images = noise(spec.what.data.image, 0, 3);
        let refined = simgan.refine(&images).unwrap();
        assert_ne!(SimGan::new(&spec).unwrap().refine(&images).unwrap(), refined);
        let files = simgan.export().unwrap();
        let (_, refiner) = files.iter().find(|(file, _)| *file == "refiner.safetensors").unwrap();
        assert_eq!(SimGan::of_exported(&spec, refiner).unwrap().refine(&images).unwrap(), refined);
    }
}

#[test]
fn an_exported_discriminator_is_no_refiner() {
    let spec = small();
    let files = SimGan::new(&spec).unwrap().export().unwrap();
    let (_, other) = files.iter().find(|(file, _)| *file == "discriminator.safetensors").unwrap();
    let refusal = SimGan::of_exported(&spec, other).map(drop).unwrap_err();
    assert!(matches!(refusal, LearnError::Misfit(_)), "{refusal}");
}

#[test]
fn the_exported_discriminator_needs_no_singular_vectors() {
    let spec = stateful();
    let mut simgan = SimGan::new(&spec).unwrap();
    train(&mut simgan, &spec, 0..6);
    let tensors = exported(&simgan, "discriminator.safetensors");
    let names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
    let layers =
        ["layers.0.bias", "layers.0.weight", "layers.2.bias", "layers.2.weight", "layers.3.bias", "layers.3.weight"];
    assert_eq!(names, layers);
    let of = |name: &str| &tensors.iter().find(|(known, _)| known == name).unwrap().1;
    let convolve = |x: &Tensor, layer: u32, stride: i64, padding: i64| {
        let (weight, bias) = (of(&format!("layers.{layer}.weight")), of(&format!("layers.{layer}.bias")));
        x.conv2d(weight, Some(bias), [stride; 2], [padding; 2], [1, 1], 1)
    };
    let leaky = |x: Tensor| x.relu() - (-x).relu() * 0.2;
    let images = simgan.tensor(&noise(spec.what.data.image, 0, 3)).unwrap();
    let maps = leaky(convolve(&images, 0, 2, 1)).max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
    let plain = convolve(&leaky(convolve(&maps, 2, 1, 1)), 3, 1, 0);
    let normalised = simgan.discriminator_weights(&simgan.discriminator.flat.views().unwrap()).unwrap();
    let off = (simgan.discriminator.net.forward(&normalised, &images).unwrap() - &plain).abs().max().double_value(&[]);
    assert!(off < 1e-5, "largest difference {off}");
    let raw = simgan.discriminator.flat.views().unwrap();
    let apart = (simgan.discriminator.net.forward(&raw, &images).unwrap() - &plain).abs().max().double_value(&[]);
    assert!(apart > 1e-3, "the test cannot tell normalised weights from raw ones");
}

#[test]
fn a_tensor_survives_its_file_whatever_its_layout() {
    let values: Vec<f32> = (0..24).map(|i| i as f32 / 7.0).collect();
    let transposed = Tensor::from_slice(&values).view([4, 6]).tr();
    let file = weights::write(&[("a".into(), transposed.shallow_clone())], ("note", "text".into())).unwrap();
    let like = Tensor::zeros([6, 4], F32);
    let (tensors, note) = weights::read(&file, &[("a".into(), like)], "note").unwrap();
    assert_eq!((floats(&tensors[0]), note.as_str()), (floats(&transposed), "text"));
}

fn lending() -> (Spec, Sets) {
    let spec = small_with(|what| {
        what.model.refiner.matching = Matching::Image;
        what.model.refiner.output = RefinerOutput::Residual;
        what.train.ema = Some(0.9);
    });
    let mut lights = Lights::default();
    (0..5).for_each(|n| lights.add(&noise(spec.what.data.image, 100 + n, 1).pixels, 2, 42));
    (spec, Sets { draws: (0..40).map(|n| 1_000 + n).collect(), lights })
}

/// The lights go with the weights, wherever these go.
#[test]
fn a_refiner_that_lends_light_takes_it_along() {
    let (spec, sets) = lending();
    let simgan = SimGan::with(&spec, &sets, Device::Cpu).unwrap();
    let images = noise(spec.what.data.image, 0, 6);
    let refined = simgan.refine(&images).unwrap();
    assert_ne!(refined.pixels, images.pixels, "an identity that only lends light");
    let (_, file) = simgan.export().unwrap().swap_remove(0);
    let net = RefinerNet::load(&spec.what.model.refiner, 2, &file, Device::Cpu).unwrap();
    let draws: Vec<u64> = images.ids.iter().map(|id| sets.draws[id.sample.0 as usize]).collect();
    assert_eq!(net.refine(&images.pixels, spec.what.data.image, &draws, &|| true).unwrap(), Some(refined.pixels));
    let plain = model::Refiner { matching: Matching::None, ..spec.what.model.refiner.clone() };
    let misfit = RefinerNet::load(&plain, 2, &file, Device::Cpu).err().unwrap().to_string();
    assert!(misfit.contains("match."), "{misfit}");
    let other = SimGan::with(&spec, &Sets::default(), Device::Cpu).unwrap().save().unwrap();
    assert!(SimGan::with(&spec, &sets, Device::Cpu).unwrap().load(&other).is_err(), "a state without its lights");
}

/// What self-regularisation compares with is what the convolutions saw.
#[test]
fn an_identity_that_lends_light_changes_nothing_of_what_it_sees() {
    let (spec, sets) = lending();
    let mut simgan = SimGan::with(&spec, &sets, Device::Cpu).unwrap();
    let losses = simgan.chew(&meal(&spec, Phase::Refiner, 0, 0, 4)).unwrap().losses;
    assert_eq!((losses.regularisation.sum, losses.change.sum), (0.0, 0.0));
}
