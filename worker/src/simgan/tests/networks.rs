use super::*;
use crate::simgan::{chance::Drawn, spectral::SingularPair};

/// The networks of one of the paper's experiments (sections 3.1 and 3.2): both on grey images.
fn paper(image: (u32, u32), kernel: u32, blocks: u32, layers: Vec<Layer>) -> Spec {
    small_with(|what| {
        what.data.image = ImageShape { channels: 1, height: image.0, width: image.1 };
        what.model.refiner.width = 64;
        what.model.refiner.kernel = kernel;
        what.model.refiner.blocks = blocks;
        what.model.discriminator = model::Discriminator { layers, activation: Activation::Relu, spectral_norm: false };
    })
}

fn paper_eyes() -> Spec {
    paper(
        (35, 55),
        3,
        4,
        vec![conv(3, 2, 96), conv(3, 2, 64), pool(3, 1), conv(3, 1, 32), conv(1, 1, 32), conv(1, 1, 2)],
    )
}

fn paper_hands() -> Spec {
    let layers = vec![conv(7, 4, 96), conv(5, 2, 64), pool(3, 2), conv(3, 2, 32), conv(1, 1, 32), conv(1, 1, 2)];
    paper((224, 224), 7, 10, layers)
}

fn sizes(spec: &Spec) -> (i64, i64, u64) {
    let simgan = SimGan::new(spec).unwrap();
    (simgan.refiner.flat.values.size1().unwrap(), simgan.discriminator.flat.values.size1().unwrap(), simgan.patches)
}

#[test]
fn the_papers_networks_have_the_papers_sizes() {
    assert_eq!(sizes(&paper_eyes()), (296_129, 75_906, 126));
    assert_eq!(sizes(&paper_hands()), (4_018_625, 178_050, 49));
}

#[test]
fn the_logits_are_as_many_as_the_patches_that_losses_are_divided_by() {
    for spec in [small(), paper_eyes(), paper_hands()] {
        let simgan = SimGan::new(&spec).unwrap();
        let image = spec.what.data.image;
        let size = [1, image.channels, image.height, image.width].map(i64::from);
        let weights = simgan.discriminator.flat.views().unwrap();
        let logits = simgan.discriminator.net.forward(&weights, &Tensor::zeros(size, F32)).unwrap();
        assert_eq!(logits.size()[..2], [1, 2]);
        assert_eq!((logits.size()[2] * logits.size()[3]) as u64, simgan.patches);
    }
}

/// Plain convolutions with row-major copies of the weights: the layout inside the flat vector may change no result.
fn refine_plainly(simgan: &SimGan, x: &Tensor) -> Tensor {
    let weights: Vec<Tensor> = simgan.refiner.flat.views().unwrap().iter().map(Tensor::contiguous).collect();
    let spec = &simgan.refiner.net.spec;
    let convolve = |x: &Tensor, i: usize| {
        let reach = weights[2 * i].size()[2] / 2;
        let (x, padding) = match spec.padding {
            Padding::Zeros => (x.shallow_clone(), reach),
            Padding::Replicate => (x.replication_pad2d([reach; 4]), 0),
        };
        x.conv2d(&weights[2 * i], Some(&weights[2 * i + 1]), [1, 1], [padding; 2], [1, 1], 1)
    };
    let mut maps = convolve(x, 0).relu();
    for block in 0..spec.blocks as usize {
        let inner = convolve(&maps, 1 + 2 * block).relu();
        maps = (convolve(&inner, 2 + 2 * block) + maps).relu();
    }
    let last = convolve(&maps, 1 + 2 * spec.blocks as usize);
    match spec.output {
        RefinerOutput::Tanh => last.tanh(),
        RefinerOutput::Residual => (x + last).clamp(-1.0, 1.0),
    }
}

#[test]
fn the_refiner_is_the_papers_whatever_its_weights_layout() {
    for output in [RefinerOutput::Tanh, RefinerOutput::Residual] {
        for padding in [Padding::Zeros, Padding::Replicate] {
            let spec = small_with(|what| {
                what.model.refiner = model::Refiner {
                    width: 5,
                    blocks: 2,
                    kernel: 3,
                    output,
                    padding,
                    noise: Noise::NONE,
                    light: false,
                    matching: Matching::None,
                };
            });
            let simgan = SimGan::at(&spec, F64).unwrap();
            stir(&simgan, 4, 0.4);
            let x = simgan.tensor(&noise(spec.what.data.image, 0, 3)).unwrap();
            let refined =
                simgan.refiner.net.forward(&simgan.refiner.flat.views().unwrap(), &x, &Drawn::default()).unwrap();
            let off = (refined - refine_plainly(&simgan, &x)).abs().max().double_value(&[]);
            assert!(off < 1e-12, "{output:?}, {padding:?}: largest difference {off}");
        }
    }
}

/// Of each image's own mean and deviation and of noise, whatever lies beside it.
#[test]
fn the_head_for_light_gives_each_channel_a_gain_and_an_offset() {
    let spec = small_with(|what| {
        what.model.refiner.output = RefinerOutput::Residual;
        what.model.refiner.light = true;
    });
    let simgan = SimGan::at(&spec, F64).unwrap();
    stir(&simgan, 4, 0.2);
    let weights: Vec<Tensor> = simgan.refiner.flat.views().unwrap();
    let head = &weights[weights.len() - 4..];
    let x = simgan.tensor(&noise(spec.what.data.image, 0, 3)).unwrap() * 0.2;
    let dice = Tensor::from_slice(&[0.3f64, -1.0, 0.5, 2.0]).view([1, 4]).repeat([3, 1]);
    let drawn = Drawn { planes_bphw: None, light_b4: Some(dice.shallow_clone()) };
    let net = &simgan.refiner.net;
    let (dark, lit) =
        (net.forward(&weights, &x, &Drawn::default()).unwrap(), net.forward(&weights, &x, &drawn).unwrap());
    let flat = x.flatten(2, 3);
    let seen = Tensor::cat(
        &[dice, flat.mean_dim([2].as_slice(), false, F64.0), flat.std_dim([2].as_slice(), false, false)],
        1,
    );
    let hidden = seen.linear(&head[0], Some(&head[1]));
    let said = hidden.maximum(&(&hidden * 0.2)).linear(&head[2], Some(&head[3])).view([3, 2, 2, 1, 1]);
    let by_hand = (&dark + 1.0) * said.select(1, 0).exp() + said.select(1, 1) - 1.0;
    let off = (&lit - by_hand.clamp(-1.0, 1.0)).abs().max().double_value(&[]);
    assert!(off < 1e-4, "largest difference {off}");
    assert!((&lit - dark).abs().max().double_value(&[]) > 0.01);
}

#[test]
fn one_image_comes_out_in_as_many_ways_as_there_is_noise() {
    for (noise_planes, light) in
        [(Noise { image: 1, pixel: 0 }, false), (Noise { image: 0, pixel: 1 }, false), (Noise::NONE, true)]
    {
        let spec = small_with(|what| {
            what.model.refiner.noise = noise_planes;
            what.model.refiner.light = light;
        });
        let simgan = SimGan::new(&spec).unwrap();
        let one = noise(spec.what.data.image, 0, 1);
        let refined = |sample: u64| {
            let ids = vec![ContentId { sample: SampleId(sample), step: Step(0) }];
            simgan.refine(&Images { ids, pixels: one.pixels.clone() }).unwrap().pixels
        };
        assert_eq!(refined(1), refined(1));
        assert_ne!(refined(1), refined(2), "{noise_planes:?}, light {light}");
    }
}

#[test]
fn a_residual_refiner_starts_as_the_identity() {
    let spec = small_with(|what| what.model.refiner.output = RefinerOutput::Residual);
    let images = noise(spec.what.data.image, 0, 20);
    assert_eq!(SimGan::new(&spec).unwrap().refine(&images).unwrap(), images);
    assert_ne!(SimGan::new(&small()).unwrap().refine(&images).unwrap().pixels, images.pixels);
}

#[test]
fn every_worker_starts_from_the_same_weights_and_another_seed_from_others() {
    let start = |seed| SimGan::new(&small_with(|what| what.train.seed = seed)).unwrap().save().unwrap();
    assert_eq!(start(1), start(1));
    assert_ne!(start(1), start(2));
}

#[test]
fn initial_weights_fill_their_bounds() {
    let simgan = SimGan::new(&paper_eyes()).unwrap();
    let flat = &simgan.refiner.flat;
    for (parameter, view) in flat.parameters.iter().zip(flat.views().unwrap()).filter(|(p, _)| p.len() > 500) {
        let bound = 1.0 / (parameter.fan_in as f64).sqrt();
        let (largest, mean) = (view.abs().max().double_value(&[]), view.mean(Kind::Double).double_value(&[]));
        assert!(0.98 * bound < largest && largest <= bound * 1.000_001, "{}: {largest}", parameter.name);
        assert!(mean.abs() < 0.1 * bound, "{}: {mean}", parameter.name);
    }
}

#[test]
fn a_normalised_weight_has_a_largest_singular_value_of_one() {
    let mut rng = random::stream(2, Stream::SpectralNorm, Lane(0), Step(0));
    let drawn: Vec<f32> = (0..6 * 3 * 9).map(|_| random::uniform(&mut rng) - 0.4).collect();
    let weight = Tensor::from_slice(&drawn).view([6, 3, 3, 3]);
    let mut pair = SingularPair::warmed_up(&weight, &mut rng).unwrap();
    for _ in 0..200 {
        pair = pair.iterated(&weight).unwrap();
    }
    let normalised = pair.normalised(&weight).unwrap().view([6, 27]);
    let (_, values, _) = normalised.svd(true, true);
    assert!((values.max().double_value(&[]) - 1.0).abs() < 1e-4, "{values:?}");
}

#[test]
fn one_power_iteration_follows_each_committed_discriminator_step_and_no_other() {
    let spec = stateful();
    let mut simgan = SimGan::new(&spec).unwrap();
    let u = |simgan: &SimGan| floats(&simgan.singular[0].u);
    let start = u(&simgan);
    let of_refiner = simgan.chew(&meal(&spec, Phase::Refiner, 0, 0, 4)).unwrap();
    simgan.apply(Phase::Refiner, Step(0), &of_refiner.sum).unwrap();
    let of_discriminator = simgan.chew(&meal(&spec, Phase::Discriminator, 1, 0, 4)).unwrap();
    assert_eq!(u(&simgan), start, "computing commits nothing");
    simgan.apply(Phase::Discriminator, Step(1), &of_discriminator.sum).unwrap();
    let weight = &simgan.discriminator.flat.views().unwrap()[0];
    let before = SingularPair { u: Tensor::from_slice(&start).to_kind(Kind::Float), v: simgan.singular[0].v.copy() };
    assert_eq!(u(&simgan), floats(&before.iterated(weight).unwrap().u));
    assert_ne!(u(&simgan), start);
}

/// A lone bright pixel in the middle can only be where one of the nine shifts puts it.
#[test]
fn a_shift_moves_an_image_by_whole_pixels_and_repeats_its_border() {
    let shift = Shift::up_to(1);
    let mut seen = std::collections::BTreeSet::new();
    for step in 0..200 {
        let mut rng = random::stream(1, Stream::Shift, Lane(0), Step(step));
        let image = Tensor::zeros([1, 1, 5, 5], F32) - 0.5;
        let _ = image.get(0).get(0).get(2).get(2).fill_(1.0);
        let moved = floats(&shift.apply(&image, &mut rng).unwrap());
        let bright: Vec<usize> = (0..25).filter(|&pixel| moved[pixel] == 1.0).collect();
        assert_eq!((bright.len(), moved.iter().filter(|&&value| value == -0.5).count()), (1, 24));
        seen.insert(bright[0]);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [6, 7, 8, 11, 12, 13, 16, 17, 18]);
}

#[test]
fn each_lane_and_step_shifts_by_draws_of_its_own() {
    let spec = small_with(|what| what.train.shift = 2);
    let mut simgan = SimGan::new(&spec).unwrap();
    let mut realism = |lane: u32, step: u64| {
        let mut meal = meal(&spec, Phase::Refiner, step, 0, 4);
        meal.lane = Lane(lane);
        simgan.chew(&meal).unwrap().losses.realism.sum
    };
    assert_eq!(realism(0, 0), realism(0, 0));
    assert_ne!(realism(0, 0), realism(1, 0));
    assert_ne!(realism(0, 0), realism(0, 1));
}
