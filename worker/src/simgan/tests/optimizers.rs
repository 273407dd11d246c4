use super::*;

fn optimizer(kind: OptimizerKind, lr: f64, decay: Vec<(Step, f64)>) -> Optimizer {
    Optimizer::new(&OptimizerSpec { kind, lr, decay }, &Tensor::zeros([1], F64)).unwrap()
}

/// Where a weight of 1 stands after each of these gradients.
fn path(mut optimizer: Optimizer, gradients: &[f64]) -> Vec<f64> {
    let mut weight = Tensor::ones([1], F64);
    let after = |(step, gradient): (usize, &f64)| {
        optimizer.update(&mut weight, &Tensor::from_slice(&[*gradient]), Step(step as u64)).unwrap();
        weight.double_value(&[0])
    };
    gradients.iter().enumerate().map(after).collect()
}

fn assert_path(optimizer: Optimizer, gradients: &[f64], expected: &[f64]) {
    let walked = path(optimizer, gradients);
    assert_eq!(walked.len(), expected.len());
    for (walked, expected) in walked.iter().zip(expected) {
        assert!((walked - expected).abs() < 1e-9, "{walked}, worked out by hand: {expected}");
    }
}

#[test]
fn sgd_without_momentum_goes_straight_down() {
    let plain = optimizer(OptimizerKind::Sgd { momentum: 0.0 }, 0.1, Vec::new());
    assert!(plain.names().is_empty(), "it has nothing to remember");
    assert_path(plain, &[0.5, -2.0], &[0.95, 1.15]);
}

/// v = 0.5, then 0.9 * 0.5 + 0.5 = 0.95, then 0.9 * 0.95 - 1 = -0.145.
#[test]
fn sgd_with_momentum_rolls_on() {
    assert_path(optimizer(SGD, 0.1, Vec::new()), &[0.5, 0.5, -1.0], &[0.95, 0.855, 0.869_5]);
}

/// m = 1, then 1; v = 0.004, then 0.004996; corrected 2 and 4, then 4/3 and 0.004996 / 0.001999.
#[test]
fn adam_corrects_the_bias_of_its_averages() {
    let second = 0.1 * (4.0 / 3.0) / ((0.004_996_f64 / 0.001_999).sqrt() + 1e-8);
    let first = 0.1 * 2.0 / (2.0 + 1e-8);
    assert_path(optimizer(ADAM, 0.1, Vec::new()), &[2.0, 1.0], &[1.0 - first, 1.0 - first - second]);
}

/// Under one and the same gradient the corrected averages are g and g^2, whatever the age: every step is lr long.
#[test]
fn adam_walks_evenly_on_an_even_slope() {
    let walked = path(optimizer(ADAM, 0.1, Vec::new()), &[3.0; 40]);
    for (step, weight) in walked.iter().enumerate() {
        assert!((weight - (1.0 - 0.1 * (step + 1) as f64)).abs() < 1e-6, "step {step}: {weight}");
    }
}

#[test]
fn a_learning_rate_falls_at_its_step_of_the_run() {
    let falling = optimizer(SGD, 2e-4, vec![(Step(600_000), 5e-5), (Step(700_000), 1e-5)]);
    let rates = [0, 599_999, 600_000, 699_999, 700_000].map(|step| falling.rate(Step(step)));
    assert_eq!(rates, [2e-4, 2e-4, 5e-5, 5e-5, 1e-5]);
    let at_once = optimizer(OptimizerKind::Sgd { momentum: 0.0 }, 0.1, vec![(Step(1), 0.01)]);
    assert_path(at_once, &[1.0, 1.0], &[0.9, 0.89]);
}

#[test]
fn the_moving_average_forgets_its_start_quickly() {
    let spec = small();
    let flat = &SimGan::at(&spec, F64).unwrap().refiner.flat;
    let mut average = Average::of(flat, 0.5).unwrap();
    let start = floats(&average.weights.values)[0];
    let target = flat.values.zeros_like() + 1.0;
    let mut expected = start;
    for keeps in [1.0 / 10.0, 2.0 / 11.0, 3.0 / 12.0, 4.0 / 13.0] {
        assert_eq!(average.keeps(), keeps);
        average.take_in(&target).unwrap();
        expected = keeps * expected + (1.0 - keeps);
        assert!((floats(&average.weights.values)[0] - expected).abs() < 1e-12);
    }
    average.updates = 1_000;
    assert_eq!(average.keeps(), 0.5);
    assert_eq!(floats(&flat.values)[0], start, "the weights themselves stay");
}

#[test]
fn the_moving_average_takes_in_each_refiner_update_and_refines() {
    let spec = small_with(|what| what.train.ema = Some(0.99));
    let mut simgan = SimGan::new(&spec).unwrap();
    let start = floats(&simgan.refiner.flat.values)[0];
    train(&mut simgan, &spec, 0..2);
    let (now, average) = (floats(&simgan.refiner.flat.values)[0], simgan.average.as_ref().unwrap());
    assert_eq!(average.updates, 1, "the discriminator's update is none of its own");
    assert!((floats(&average.weights.values)[0] - (0.1 * start + 0.9 * now)).abs() < 1e-7);

    let images = noise(spec.what.data.image, 0, 2);
    let by_average = simgan.refine(&images).unwrap();
    simgan.average = None;
    assert_ne!(by_average, simgan.refine(&images).unwrap());
}
