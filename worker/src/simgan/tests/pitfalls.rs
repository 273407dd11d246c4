//! Faults that public reimplementations of the paper have, each as a test that it is not ours.

use super::*;
use crate::simgan::loss::{Class, cross_entropy, distance, taken_for};

/// Maps of 2 x 2 patches: real a b c d, refined e f g h.
const LOGITS: [f32; 8] = [0.5, -1.0, 2.0, 0.0, 1.5, 0.25, -0.75, 3.0];

fn logits(values: [f32; 8]) -> Tensor {
    Tensor::from_slice(&values).view([1, 2, 2, 2]).to_kind(Kind::Double)
}

fn taken(logits_b2hw: &Tensor, class: Class) -> f64 {
    taken_for(logits_b2hw, class).unwrap().double_value(&[])
}

#[test]
fn the_softmax_pairs_the_two_maps_of_a_patch_not_neighbouring_pixels() {
    let by_hand: f64 = (0..4).map(|patch| f64::from(LOGITS[4 + patch] - LOGITS[patch]).exp().ln_1p()).sum();
    let sum = |values| cross_entropy(&logits(values), Class::Real).unwrap().double_value(&[]);
    assert!((sum(LOGITS) - by_hand).abs() < 1e-12);

    let [a, b, c, d, e, f, g, h] = LOGITS;
    let patches_swapped = [b, a, c, d, f, e, g, h];
    let one_map_swapped = [b, a, c, d, e, f, g, h];
    assert!((sum(patches_swapped) - by_hand).abs() < 1e-12);
    assert!((sum(one_map_swapped) - by_hand).abs() > 0.1);
}

#[test]
fn class_0_is_real_and_class_1_refined() {
    let real_only = logits([9.0, 9.0, 9.0, 9.0, -9.0, -9.0, -9.0, -9.0]);
    let loss = |class| cross_entropy(&real_only, class).unwrap().double_value(&[]);
    assert!(loss(Class::Real) < 1e-6);
    assert!((loss(Class::Refined) - 4.0 * 18.0).abs() < 1e-6);
    assert_eq!([Class::Real, Class::Refined].map(|class| taken(&real_only, class)), [4.0, 0.0]);
    let undecided = logits([1.0; 8]);
    assert_eq!([Class::Real, Class::Refined].map(|class| taken(&undecided, class)), [0.0, 0.0]);
}

fn judge(simgan: &SimGan, images: &Images) -> Tensor {
    let weights = simgan.discriminator_weights(&simgan.discriminator.flat.views().unwrap()).unwrap();
    simgan.discriminator.net.forward(&weights, &simgan.tensor(images).unwrap()).unwrap()
}

fn with_activation(activation: Activation) -> Spec {
    small_with(|what| {
        what.model.discriminator.activation = activation;
        what.model.discriminator.layers = vec![conv(3, 2, 4), conv(3, 1, 3), conv(1, 1, 2)];
    })
}

#[test]
fn logits_have_both_signs() {
    for activation in [Activation::Relu, Activation::LeakyRelu] {
        let spec = with_activation(activation);
        let simgan = SimGan::new(&spec).unwrap();
        let images = noise(spec.what.data.image, 0, 4);
        for bias in [-100.0, 100.0] {
            let _ = simgan.discriminator.flat.views().unwrap().last_mut().unwrap().fill_(bias);
            let logits = floats(&judge(&simgan, &images));
            assert!(logits.iter().all(|logit| (logit - bias).abs() < 50.0), "{activation:?}: {logits:?}");
        }
    }
}

/// An affine f has f(x) + f(-x) = 2 f(0); without pools only the activations can bend it.
#[test]
fn the_discriminator_is_not_linear() {
    for activation in [Activation::Relu, Activation::LeakyRelu] {
        let spec = with_activation(activation);
        let simgan = SimGan::at(&spec, F64).unwrap();
        let images = noise(spec.what.data.image, 0, 4);
        let times = |factor: f32| {
            judge(
                &simgan,
                &Images { ids: images.ids.clone(), pixels: images.pixels.iter().map(|p| p * factor).collect() },
            )
        };
        let bend = (times(1.0) + times(-1.0) - times(0.0) * 2.0).abs().max().double_value(&[]);
        assert!(bend > 1e-3, "{activation:?}: {bend}");
    }
}

#[test]
fn every_convolution_of_the_discriminator_but_the_last_is_followed_by_its_activation() {
    for activation in [Activation::Relu, Activation::LeakyRelu] {
        let simgan = SimGan::at(&with_activation(activation), F64).unwrap();
        let images = noise(simgan.shape, 0, 4);
        let w: Vec<Tensor> = simgan.discriminator.flat.views().unwrap().iter().map(Tensor::contiguous).collect();
        let slope = if activation == Activation::Relu { 0.0 } else { 0.2 };
        let bend = |x: Tensor| x.relu() - (-x).relu() * slope;
        let x = simgan.tensor(&images).unwrap();
        let x = bend(x.conv2d(&w[0], Some(&w[1]), [2, 2], [1, 1], [1, 1], 1));
        let x = bend(x.conv2d(&w[2], Some(&w[3]), [1, 1], [1, 1], [1, 1], 1));
        let x = x.conv2d(&w[4], Some(&w[5]), [1, 1], [0, 0], [1, 1], 1);
        let off = (judge(&simgan, &images) - x).abs().max().double_value(&[]);
        assert!(off < 1e-12, "{activation:?}: largest difference {off}");
    }
}

#[test]
fn the_refiner_learns_from_the_discriminator_once_pretraining_is_over() {
    let gradient = |phase, stirred: bool| {
        let spec = small();
        let mut simgan = SimGan::new(&spec).unwrap();
        if stirred {
            let _ = simgan.discriminator.flat.values.g_mul_scalar_(-2.0);
        }
        let portion = simgan.chew(&meal(&spec, phase, 0, 0, 4)).unwrap();
        (floats(&portion.sum.0), portion.losses.realism.count)
    };
    assert_ne!(gradient(Phase::Refiner, false), gradient(Phase::Refiner, true));
    assert_eq!(gradient(Phase::PretrainRefiner, false), gradient(Phase::PretrainRefiner, true));
    assert_eq!([Phase::Refiner, Phase::PretrainRefiner].map(|phase| gradient(phase, false).1), [16, 0]);
}

/// A step down the refiner's gradient must raise the probability of "real", not of "refined".
#[test]
fn the_refiner_wants_to_be_taken_for_real() {
    let spec = small_with(|what| what.train.lambda = Some(0.0));
    let mut simgan = SimGan::at(&spec, F64).unwrap();
    let meal = meal(&spec, Phase::Refiner, 0, 0, 4);
    let before = simgan.chew(&meal).unwrap();
    simgan.apply(Phase::Refiner, Step(0), &before.sum).unwrap();
    let after = simgan.chew(&meal).unwrap();
    assert!(after.losses.realism.sum < before.losses.realism.sum);
    let by_hand = cross_entropy(&judge(&simgan, &simgan.refine(&meal.synthetic).unwrap()), Class::Real).unwrap();
    assert!((after.losses.realism.sum - by_hand.double_value(&[])).abs() < 1e-5);
}

/// A refiner that is the identity has nothing to answer for, image by image.
#[test]
fn self_regularisation_compares_with_the_refiners_own_input() {
    let identity = small_with(|what| what.model.refiner.output = RefinerOutput::Residual);
    for phase in [Phase::PretrainRefiner, Phase::Refiner] {
        let losses = SimGan::new(&identity).unwrap().chew(&meal(&identity, phase, 0, 0, 4)).unwrap().losses;
        assert_eq!((losses.regularisation.sum, losses.change.sum), (0.0, 0.0));
        assert_eq!((losses.regularisation.count, losses.change.count), (4 * 84, 4 * 84));
    }
}

#[test]
fn the_reported_change_is_in_pixels_whatever_psi_is() {
    let spec = small_with(|what| what.train.psi = Psi::ChannelMean);
    let mut simgan = SimGan::new(&spec).unwrap();
    let meal = meal(&spec, Phase::Refiner, 0, 0, 4);
    let losses = simgan.chew(&meal).unwrap().losses;
    let refined = simgan.refine(&meal.synthetic).unwrap();
    let by_hand: f64 = refined.pixels.iter().zip(&meal.synthetic.pixels).map(|(y, x)| f64::from((y - x).abs())).sum();
    assert!((losses.change.sum - by_hand).abs() < 1e-3);
    assert_eq!((losses.change.count, losses.regularisation.count), (4 * 84, 4 * 42));
    assert!(losses.regularisation.sum < losses.change.sum);
}

/// One image of 1 x 2 x 3: differences along rows and columns both count.
#[test]
fn psi_is_what_its_name_says() {
    let y = Tensor::from_slice(&[1.0f64, 2.0, 4.0, 0.0, 0.0, 8.0]).view([1, 1, 2, 3]);
    let zero = y.zeros_like();
    let sum = |psi, y: &Tensor| distance(psi, y, &zero.view(y.size().as_slice())).unwrap().double_value(&[]);
    assert_eq!(sum(Psi::Identity, &y), 15.0);
    let (along_rows, along_columns) = (1.0 + 2.0 + 0.0 + 8.0, 1.0 + 2.0 + 4.0);
    assert_eq!(sum(Psi::Gradients, &y), along_rows + along_columns);
    let of_two_channels = y.view([1, 2, 1, 3]);
    assert_eq!(sum(Psi::ChannelMean, &of_two_channels), 0.5 + 1.0 + 6.0);
    // One row of 5: a square of which one row of four is there, and one of a single pixel.
    let row = Tensor::from_slice(&[1.0f64, 2.0, 4.0, 5.0, 8.0]).view([1, 1, 1, 5]);
    assert_eq!(distance(Psi::LowPass, &row, &row.zeros_like()).unwrap().double_value(&[]), 3.0 + 8.0);
}

/// Light and contrast may change, structure may not.
#[test]
fn the_standardised_grey_does_not_see_light() {
    let x = Tensor::from_slice(&[0.1f64, -0.4, 0.3, 0.2, -0.6, 0.5]).view([1, 1, 2, 3]);
    let flipped = x.flip([3]);
    let seen = |y: &Tensor| distance(Psi::Standardised, y, &x).unwrap().double_value(&[]);
    assert!(seen(&(&x + 0.3)) < 1e-12);
    assert!(seen(&(&x * 1.4 - 0.1)) < 0.2 * seen(&flipped));
    assert!(seen(&flipped) > 1.0);
}

#[test]
fn history_goes_to_the_discriminator_and_not_through_the_refiner() {
    let spec = small();
    let mut simgan = SimGan::at(&spec, F64).unwrap();
    let meal = meal(&spec, Phase::Discriminator, 6, 0, 4);
    let portion = simgan.chew(&meal).unwrap();
    let fresh = simgan.refine(&meal.synthetic).unwrap();
    let on = |images: &Images| cross_entropy(&judge(&simgan, images), Class::Refined).unwrap().double_value(&[]);
    let by_hand = on(&fresh) + on(&meal.history);
    assert!((portion.losses.on_refined.sum - by_hand).abs() < 1e-5, "{by_hand}");
    let through = on(&fresh) + on(&simgan.refine(&meal.history).unwrap());
    assert!((portion.losses.on_refined.sum - through).abs() > 1e-3, "the test cannot tell the two apart");
}

#[test]
fn the_history_takes_the_first_fresh_images_as_refined_at_this_step() {
    let spec = small();
    let mut simgan = SimGan::new(&spec).unwrap();
    let mut meal = meal(&spec, Phase::PretrainDiscriminator, 6, 0, 4);
    meal.synthetic = noise(spec.what.data.image, 70, 4);
    meal.history = Images::default();
    let fresh = simgan.chew(&meal).unwrap().fresh;
    assert_eq!(fresh.ids, [70, 71].map(|sample| ContentId { sample: SampleId(sample), step: Step(6) }));
    // Another number of images at a time may be added up in another order.
    let refined = simgan.refine(&noise(spec.what.data.image, 70, 4)).unwrap().pixels;
    let off = fresh.pixels.iter().zip(&refined[..2 * 84]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(fresh.pixels.len() == 2 * 84 && off < 1e-6, "off by {off}");
}

#[test]
fn each_networks_step_leaves_the_other_alone() {
    let spec = small();
    let mut simgan = SimGan::new(&spec).unwrap();
    let weights = |simgan: &SimGan| (floats(&simgan.refiner.flat.values), floats(&simgan.discriminator.flat.values));
    let start = weights(&simgan);
    let refiner_step = simgan.chew(&meal(&spec, Phase::Refiner, 0, 0, 4)).unwrap();
    assert_eq!(weights(&simgan), start, "computing changes nothing");
    simgan.apply(Phase::Refiner, Step(0), &refiner_step.sum).unwrap();
    let after_refiner = weights(&simgan);
    assert!(after_refiner.0 != start.0 && after_refiner.1 == start.1);
    let discriminator_step = simgan.chew(&meal(&spec, Phase::Discriminator, 1, 0, 4)).unwrap();
    simgan.apply(Phase::Discriminator, Step(1), &discriminator_step.sum).unwrap();
    let after_discriminator = weights(&simgan);
    assert!(after_discriminator.0 == after_refiner.0 && after_discriminator.1 != after_refiner.1);
}

#[test]
fn a_pixel_outside_of_the_range_is_refused() {
    let spec = small();
    let mut simgan = SimGan::new(&spec).unwrap();
    let mut meal = meal(&spec, Phase::Refiner, 0, 0, 4);
    meal.synthetic.pixels[3] = 128.0;
    let refusal = simgan.chew(&meal).unwrap_err().to_string();
    assert!(refusal.contains("a pixel is 128, outside of [-1, 1]"), "{refusal}");
}

#[test]
fn images_of_another_size_are_refused() {
    let spec = small();
    let mut meal = meal(&spec, Phase::Refiner, 0, 0, 4);
    meal.synthetic.pixels.pop();
    let refusal = SimGan::new(&spec).unwrap().chew(&meal).unwrap_err().to_string();
    assert!(refusal.contains("4 images came with 335 pixel values, not 336"), "{refusal}");
}

#[test]
fn refined_images_stay_in_the_range_however_large_the_weights() {
    for output in [RefinerOutput::Tanh, RefinerOutput::Residual] {
        let spec = small_with(|what| what.model.refiner.output = output);
        let simgan = SimGan::new(&spec).unwrap();
        stir(&simgan, 8, 50.0);
        let refined = simgan.refine(&noise(spec.what.data.image, 0, 4)).unwrap();
        assert!(refined.pixels.iter().all(|pixel| pixel.abs() <= 1.0), "{output:?}");
        assert!(refined.pixels.contains(&1.0), "{output:?}: the range is reached");
    }
}

#[test]
fn accuracy_on_refined_images_is_counted_on_refined_images() {
    let spec = small();
    let mut simgan = SimGan::new(&spec).unwrap();
    stir(&simgan, 16, 0.6);
    let meal = meal(&spec, Phase::Discriminator, 0, 0, 4);
    let losses = simgan.chew(&meal).unwrap().losses;
    let fresh = simgan.refine(&meal.synthetic).unwrap();
    let of = |images: &Images, class| taken(&judge(&simgan, images), class);
    let refined = of(&fresh, Class::Refined) + of(&meal.history, Class::Refined);
    let real = of(&meal.real, Class::Real);
    assert_eq!((losses.right_on_refined.sum, losses.right_on_refined.count), (refined, 16));
    assert_eq!((losses.right_on_real.sum, losses.right_on_real.count), (real, 16));
    let on_the_wrong_half = of(&meal.real, Class::Refined);
    assert_ne!(refined, on_the_wrong_half, "the test cannot tell the halves apart");
    assert_eq!((losses.realism.count, losses.change.count), (0, 0));
}

/// At chance level the loss says ln 2, whatever k_refiner and k_discriminator are.
#[test]
fn an_undecided_discriminator_loses_ln_2_per_patch() {
    let spec = small();
    let mut simgan = SimGan::new(&spec).unwrap();
    let _ = simgan.discriminator.flat.values.zero_();
    let losses = simgan.chew(&meal(&spec, Phase::Discriminator, 0, 0, 4)).unwrap().losses;
    for mean in [losses.on_real, losses.on_refined] {
        assert!((mean.value().unwrap() - std::f64::consts::LN_2).abs() < 1e-6);
    }
}

#[test]
fn products_of_fewer_bits_lose_little_and_are_the_same_each_time() {
    // Of the second one the refiner's convolutions are our own, with borders that repeat and sums of what came before.
    let wide = |what: &mut What| {
        what.model.refiner = Preset::Digits.recipe().refiner;
    };
    let [spec, short] = [Precision::F32, Precision::Bf16].map(|precision| {
        let plain = small_with(|what| what.train.precision = precision);
        let wide = small_with(|what| {
            wide(what);
            what.train.precision = precision;
        });
        [plain, wide]
    });
    let cases =
        spec.iter().zip(&short).flat_map(|pair| [Phase::Refiner, Phase::Discriminator].map(|phase| (pair, phase)));
    for ((spec, short), phase) in cases {
        let of = |spec: &Spec| {
            let portion = SimGan::new(spec).unwrap().chew(&meal(spec, phase, 0, 0, 4)).unwrap();
            let gradient: Vec<f32> = Vec::try_from(portion.sum.0).unwrap();
            let losses = portion.losses.means().map(|mean| mean.value().unwrap_or_default());
            (gradient, losses)
        };
        let (full, cut) = (of(spec), of(short));
        assert_eq!(of(short), cut, "{phase:?}");
        assert_ne!(full.0, cut.0, "{phase:?}");
        let norm = |values: &[f32]| values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        let apart: Vec<f32> = full.0.iter().zip(&cut.0).map(|(full, cut)| full - cut).collect();
        assert!(norm(&apart) < 0.1 * norm(&full.0), "{phase:?}: {} of {}", norm(&apart), norm(&full.0));
        // Losses, that is, not what is right: one patch of few may tip over.
        for (full, cut) in full.1.iter().zip(cut.1).take(5) {
            assert!((full - cut).abs() < 0.02 * full.abs().max(0.1), "{phase:?}: {full} and {cut}");
        }
    }
}
