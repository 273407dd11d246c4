use super::*;
use crate::learner::{Sum as _, Took};
use sumac_common::losses::Losses;

/// The loss as the paper writes it, from the reported sums and from counts of this file's own: 4 images a batch, 4 patches.
fn objective(spec: &Spec, phase: Phase, losses: &Losses) -> f64 {
    let psi_values = match spec.what.train.psi {
        Psi::Identity => 2 * 6 * 7,
        Psi::Gradients => 2 * (5 * 7 + 6 * 6),
        Psi::ChannelMean | Psi::Standardised => 6 * 7,
        Psi::LowPass => 2 * 2 * 2,
    };
    match phase.network() {
        Network::Refiner => {
            losses.realism.sum / (4.0 * 4.0)
                + spec.what.train.lambda.unwrap() * losses.regularisation.sum / (4.0 * f64::from(psi_values))
        }
        Network::Discriminator => (losses.on_refined.sum / (4.0 * 4.0) + losses.on_real.sum / (4.0 * 4.0)) / 2.0,
    }
}

/// Compares every element of the gradient with a central difference of the objective.
fn assert_slope(spec: &Spec, phase: Phase) {
    const NUDGE: f64 = 1e-6;
    let seed = spec.what.train.seed;
    let mut simgan = SimGan::at(spec, F64).unwrap();
    stir(&simgan, seed, 0.6);
    let meal = meal(spec, phase, 3, 0, 4);
    let gradient = floats(&simgan.chew(&meal).unwrap().sum.0);
    assert!(
        gradient.iter().filter(|slope| slope.abs() > 1e-6).count() * 2 > gradient.len(),
        "seed {seed}: mostly flat"
    );
    let values = match phase.network() {
        Network::Refiner => simgan.refiner.flat.values.shallow_clone(),
        Network::Discriminator => simgan.discriminator.flat.values.shallow_clone(),
    };
    for (i, slope) in gradient.iter().enumerate() {
        let mut weight = values.get(i as i64);
        let mut at = |nudge: f64| {
            let _ = weight.g_add_scalar_(nudge);
            objective(spec, phase, &simgan.chew(&meal).unwrap().losses)
        };
        let measured = (at(NUDGE) - at(-2.0 * NUDGE)) / (2.0 * NUDGE);
        let _ = at(NUDGE);
        let error = (measured - slope).abs();
        assert!(error < 1e-7 + 1e-5 * slope.abs(), "seed {seed}, {phase}, weight {i}: {slope} but measured {measured}");
    }
}

#[test]
fn the_refiners_gradient_is_the_slope_of_its_loss() {
    assert_slope(&small(), Phase::Refiner);
}

#[test]
fn the_pretraining_gradient_is_the_slope_of_self_regularisation() {
    assert_slope(&small(), Phase::PretrainRefiner);
}

#[test]
fn the_discriminators_gradient_is_the_slope_of_its_loss() {
    assert_slope(&small(), Phase::Discriminator);
    assert_slope(&small(), Phase::PretrainDiscriminator);
}

#[test]
fn a_residual_refiner_has_no_slope_where_it_is_clamped() {
    let spec = small_with(|what| what.model.refiner.output = RefinerOutput::Residual);
    let simgan = SimGan::at(&spec, F64).unwrap();
    stir(&simgan, spec.what.train.seed, 0.6);
    let refined = simgan.refine(&noise(spec.what.data.image, 0, 4)).unwrap();
    let clamped = refined.pixels.iter().filter(|pixel| pixel.abs() == 1.0).count();
    assert!(0 < clamped && clamped < refined.pixels.len(), "{clamped} clamped pixels");
    assert_slope(&spec, Phase::Refiner);
    assert_slope(&spec, Phase::PretrainRefiner);
}

#[test]
fn replicate_padding_has_the_right_slope() {
    assert_slope(&small_with(|what| what.model.refiner.padding = Padding::Replicate), Phase::Refiner);
}

#[test]
fn noise_and_a_head_for_light_have_the_right_slope() {
    for output in [RefinerOutput::Tanh, RefinerOutput::Residual] {
        let spec = small_with(|what| {
            what.model.refiner.output = output;
            what.model.refiner.noise = Noise { image: 1, pixel: 1 };
            what.model.refiner.light = true;
        });
        assert_slope(&spec, Phase::Refiner);
        assert_slope(&spec, Phase::PretrainRefiner);
    }
}

#[test]
fn image_gradients_as_psi_have_the_right_slope() {
    assert_slope(&small_with(|what| what.train.psi = Psi::Gradients), Phase::Refiner);
}

#[test]
fn the_channel_mean_as_psi_has_the_right_slope() {
    assert_slope(&small_with(|what| what.train.psi = Psi::ChannelMean), Phase::Refiner);
}

#[test]
fn a_low_pass_as_psi_has_the_right_slope() {
    assert_slope(&small_with(|what| what.train.psi = Psi::LowPass), Phase::Refiner);
}

#[test]
fn the_standardised_grey_as_psi_has_the_right_slope() {
    assert_slope(&small_with(|what| what.train.psi = Psi::Standardised), Phase::Refiner);
}

#[test]
fn a_plain_relu_in_the_discriminator_has_the_right_slope() {
    let spec = small_with(|what| {
        what.model.discriminator.activation = Activation::Relu;
        what.train.seed = 12;
    });
    assert_slope(&spec, Phase::Refiner);
    assert_slope(&spec, Phase::Discriminator);
}

#[test]
fn spectral_normalisation_has_the_right_slope() {
    let spec = small_with(|what| what.model.discriminator.spectral_norm = true);
    assert_slope(&spec, Phase::Refiner);
    assert_slope(&spec, Phase::Discriminator);
}

#[test]
fn shifted_images_have_the_right_slope() {
    let spec = small_with(|what| what.train.shift = 2);
    assert_slope(&spec, Phase::Refiner);
    assert_slope(&spec, Phase::Discriminator);
}

/// Lanes of one image each (two in a discriminator step, whose refined half is half history) against one lane of all.
#[test]
fn the_lanes_gradients_add_up_to_the_batchs() {
    for (phase, lanes) in [(Phase::PretrainRefiner, 4), (Phase::Refiner, 4), (Phase::Discriminator, 2)] {
        let spec = small_with(|what| what.train.batch = 4);
        let mut simgan = SimGan::new(&spec).unwrap();
        stir(&simgan, 3, 0.5);
        let whole = simgan.chew(&meal(&spec, phase, 0, 0, 4)).unwrap();
        let share = 4 / lanes;
        let parts = (0..lanes).map(|lane| {
            let mut part = meal(&spec, phase, 0, lane * share, share);
            if phase.network() == Network::Discriminator {
                // The batch's n/2 fresh and n/2 history images start at 0 for the whole: cut them the same way.
                part.synthetic = noise(spec.what.data.image, lane * share / 2, share / 2);
                part.history = noise(spec.what.data.image, 2_000 + lane * share / 2, share / 2);
            }
            simgan.chew(&part).unwrap()
        });
        let sum = parts
            .reduce(|a, b| Portion {
                sum: a.sum.plus(b.sum),
                losses: a.losses + b.losses,
                fresh: Images::default(),
                took: Took::default(),
            })
            .unwrap();
        let off = (&sum.sum.0 - &whole.sum.0).norm().double_value(&[]) / whole.sum.0.norm().double_value(&[]);
        assert!(off < 1e-6, "{phase}: relative difference {off}");
        for (of_lanes, of_whole) in sum.losses.means().iter().zip(whole.losses.means()) {
            assert_eq!(of_lanes.count, of_whole.count, "{phase}");
            assert!((of_lanes.sum - of_whole.sum).abs() <= 1e-5 * of_whole.sum.abs(), "{phase}");
        }
    }
}

#[test]
fn the_same_meal_gives_the_same_bits() {
    let spec = stateful();
    let mut first = SimGan::new(&spec).unwrap();
    let mut second = SimGan::new(&spec).unwrap();
    for phase in [Phase::PretrainRefiner, Phase::Refiner, Phase::Discriminator] {
        let meal = meal(&spec, phase, 5, 0, 4);
        let once = first.chew(&meal).unwrap();
        let _other_work = second.chew(&self::meal(&spec, Phase::Refiner, 8, 40, 4)).unwrap();
        let again = second.chew(&meal).unwrap();
        assert_eq!(once.sum.0, again.sum.0, "{phase}");
        assert_eq!(once.losses, again.losses, "{phase}");
        assert_eq!(once.fresh, again.fresh, "{phase}");
    }
}

/// The same images twice in a batch of twice the size: were a sum not divided by the batch, lambda would count double.
#[test]
fn lambda_means_the_same_at_any_batch_size() {
    let once = small();
    let twice = small_with(|what| what.train.batch = 8);
    let single = meal(&once, Phase::Refiner, 0, 0, 4);
    let mut double = single.clone();
    double.synthetic.ids.extend(single.synthetic.ids.clone());
    double.synthetic.pixels.extend(single.synthetic.pixels.clone());
    let gradient = |spec: &Spec, meal: &Meal| {
        let mut simgan = SimGan::at(spec, F64).unwrap();
        simgan.chew(meal).unwrap().sum.0
    };
    let off = (gradient(&once, &single) - gradient(&twice, &double)).abs().max().double_value(&[]);
    assert!(off < 1e-12, "largest difference {off}");
}

/// Images tiled 2 x 2 under networks that see one pixel at a time: neither term may grow with the number of pixels.
#[test]
fn lambda_means_the_same_at_any_resolution() {
    let of_pixels = |what: &mut What| {
        what.model.refiner.kernel = 1;
        what.model.discriminator.layers = vec![conv(1, 1, 4), conv(1, 1, 2)];
    };
    let little = small_with(of_pixels);
    let large = small_with(|what| {
        of_pixels(what);
        what.data.image = ImageShape { channels: 2, height: 12, width: 14 };
    });
    let single = meal(&little, Phase::Refiner, 0, 0, 4);
    let tiled = Tensor::from_slice(&single.synthetic.pixels).view([4, 2, 6, 7]).repeat([1, 1, 2, 2]);
    let mut tiles = single.clone();
    tiles.synthetic.pixels = Vec::try_from(tiled.contiguous().view([-1])).unwrap();
    let gradient = |spec: &Spec, meal: &Meal| SimGan::at(spec, F64).unwrap().chew(meal).unwrap().sum.0;
    let off = (gradient(&little, &single) - gradient(&large, &tiles)).abs().max().double_value(&[]);
    assert!(off < 1e-12, "largest difference {off}");
}

#[test]
fn a_pixel_that_is_not_a_number_makes_a_gradient_that_is_none() {
    let spec = small();
    let mut simgan = SimGan::new(&spec).unwrap();
    let mut meal = meal(&spec, Phase::Refiner, 0, 0, 4);
    let mut finite = |meal: &Meal| simgan.chew(meal).unwrap().sum.0.isfinite().all().int64_value(&[]) == 1;
    assert!(finite(&meal));
    meal.synthetic.pixels[17] = f32::NAN;
    assert!(!finite(&meal));
}

#[test]
fn an_empty_gradient_is_as_long_as_the_phases_network() {
    let simgan = SimGan::new(&small()).unwrap();
    for phase in [Phase::PretrainRefiner, Phase::Refiner, Phase::PretrainDiscriminator, Phase::Discriminator] {
        let zero = simgan.zero(phase).0;
        let tensors = match phase.network() {
            Network::Refiner => small().what.model.refiner.parameters(2),
            Network::Discriminator => small().what.model.discriminator.parameters(2),
        };
        assert_eq!(zero.numel(), tensors);
        assert_eq!(zero.abs().sum(Kind::Double).double_value(&[]), 0.0);
    }
}

/// Every value of every image, one by one: what the discriminator pulls with is the slope of each image's own mean over patches.
#[test]
fn a_pull_is_the_slope_of_an_images_realism() {
    const NUDGE: f64 = 1e-6;
    let spec = small();
    let seed = spec.what.train.seed;
    let simgan = SimGan::at(&spec, F64).unwrap();
    stir(&simgan, seed, 0.6);
    let images = meal(&spec, Phase::Refiner, 0, 0, 4).synthetic;
    let weights = simgan.discriminator_weights(&simgan.discriminator.flat.views().unwrap()).unwrap();
    let images_bchw = simgan.tensor(&images).unwrap();
    let realism = || {
        let logits = simgan.discriminator.net.forward(&weights, &images_bchw).unwrap();
        loss::cross_entropy(&logits, loss::Class::Real).unwrap().double_value(&[]) / 4.0
    };
    let values = images_bchw.view([-1]);
    let measured: f64 = (0..images.pixels.len() as i64)
        .map(|i| {
            let mut value = values.get(i);
            let mut at = |nudge: f64| {
                let _ = value.g_add_scalar_(nudge);
                realism()
            };
            let slope = (at(NUDGE) - at(-2.0 * NUDGE)) / (2.0 * NUDGE);
            let _ = at(NUDGE);
            slope.abs()
        })
        .sum();
    let pull = simgan.pull(&images).unwrap();
    assert_eq!(pull.count, images.pixels.len() as u64);
    assert!((pull.sum - measured).abs() < 1e-6 * measured, "seed {seed}: {} but measured {measured}", pull.sum);
}
