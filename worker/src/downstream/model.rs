//! One model, trained on images and what is to be said of them; the same numbers for every data set. Knows nothing of refiners.
//!
//! libtorch's own generator would give other numbers each time, so weights, order, shifts and dropout are drawn from named streams.

use super::pictures::Targets;
use sumac_common::{
    evaluation::{Downstream, JUDGE_NET, Net},
    ids::{Lane, Step},
    order::Order,
    random::{self, Stream},
};
use tch::{
    Device, Kind, Reduction, Tensor,
    nn::{self, Init, ModuleT, OptimizerConfig, VarStore},
    no_grad,
};

/// What judges images: small, and soon trained.
pub const JUDGE: Downstream = Downstream { net: JUDGE_NET, updates: 500, batch: 64, shift: 2 };
/// Share of the features that each update of a small model leaves out.
const DROPOUT: f64 = 0.3;
/// Images looked at together where no gradient is wanted.
const SITTING: i64 = 256;

pub struct Model {
    variables: VarStore,
    body: nn::SequentialT,
    head: nn::Linear,
    dropout: f64,
    task: Goal,
}

/// What the head says.
enum Goal {
    Classes,
    /// Standardised numbers: these bring them back.
    Numbers {
        mean_1k: Tensor,
        deviation_1k: Tensor,
    },
}

/// The highest learning rate; a network without norms bears less.
fn peak(net: Net) -> f64 {
    match net {
        Net::Small { .. } => 2e-3,
        Net::PaperGaze => 5e-4,
    }
}

/// Trains a model on `images_nchw` in [-1, 1] and what is to be said of them: Adam, one cycle of learning rates over all updates,
/// each image shifted at random. `None` once `go_on` said no.
///
/// # Errors
/// If the images are too small for the network, or its weights diverge, in a sentence.
pub fn trained(
    plan: &Downstream,
    images_nchw: &Tensor,
    targets: &Targets,
    seed: u64,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Model>, String> {
    let (_, channels, height, width) = images_nchw.size4().map_err(|error| error.to_string())?;
    let least = plan.net.side_min();
    if height.min(width) < i64::from(least) {
        return Err(format!(
            "images of {height}x{width} pixels are too small for the model, which needs {least}x{least}"
        ));
    }
    let (wanted, outputs, task) = goal(targets);
    let model = Model::untrained(plan.net, (channels, height, width), outputs, task);
    model.draw_weights(seed);
    let adam = nn::Adam::default().build(&model.variables, 0.0);
    let mut adam = adam.map_err(|error| error.to_string())?;
    let order = Order::new(seed, Stream::Synthetic, images_nchw.size()[0] as u64);
    let batch = u64::from(plan.batch);
    for update in 0..plan.updates {
        if !go_on() {
            return Ok(None);
        }
        let picked: Vec<i64> =
            order.samples(update * batch..(update + 1) * batch).iter().map(|sample| sample.0 as i64).collect();
        let picked = Tensor::from_slice(&picked);
        let shown_bchw = shifted(&images_nchw.index_select(0, &picked), i64::from(plan.shift), (seed, update));
        let features_bd = dropped(&model.body.forward_t(&shown_bchw, true), model.dropout, (seed, update));
        let said_bk = features_bd.apply(&model.head);
        let wanted_b = wanted.index_select(0, &picked);
        adam.set_lr(peak(plan.net) * one_cycle(update, plan.updates));
        adam.backward_step(&match model.task {
            Goal::Classes => said_bk.cross_entropy_for_logits(&wanted_b),
            Goal::Numbers { .. } => said_bk.mse_loss(&wanted_b, Reduction::Mean),
        });
    }
    let is_finite = |weight: &Tensor| weight.isfinite().all().int64_value(&[]) == 1;
    if !model.variables.trainable_variables().iter().all(is_finite) {
        return Err(format!("the model's weights diverged within {} updates", plan.updates));
    }
    Ok(Some(model))
}

/// What is learned, how many outputs that needs, and the way back to what was meant.
fn goal(targets: &Targets) -> (Tensor, i64, Goal) {
    match targets {
        Targets::Classes { of, count } => (Tensor::from_slice(of), *count, Goal::Classes),
        Targets::Numbers { of, width } => {
            let numbers_nk = Tensor::from_slice(of).view([-1, *width as i64]);
            let mean_1k = numbers_nk.mean_dim([0].as_slice(), true, Kind::Float);
            let deviation_1k = numbers_nk.std_dim([0].as_slice(), false, true).clamp_min(1e-6);
            let wanted = (numbers_nk - &mean_1k) / &deviation_1k;
            (wanted, *width as i64, Goal::Numbers { mean_1k, deviation_1k })
        }
    }
}

impl Model {
    fn untrained(net: Net, (channels, height, width): (i64, i64, i64), outputs: i64, task: Goal) -> Self {
        let variables = VarStore::new(Device::Cpu);
        let root = variables.root();
        let linear = nn::LinearConfig { bs_init: Some(Init::Const(0.0)), ..Default::default() };
        let (body, features, dropout) = match net {
            Net::Small { width: maps } => {
                let maps = i64::from(maps);
                let mut body = nn::seq_t();
                let mut inputs = channels;
                for (block, outputs) in [maps, 2 * maps, 4 * maps].into_iter().enumerate() {
                    let convolution = nn::ConvConfig { padding: 1, bs_init: Init::Const(0.0), ..Default::default() };
                    let norm = nn::BatchNormConfig { ws_init: Init::Const(1.0), ..Default::default() };
                    body = body
                        .add(nn::conv2d(&root / format!("conv{block}"), inputs, outputs, 3, convolution))
                        .add(nn::batch_norm2d(&root / format!("norm{block}"), outputs, norm))
                        .add_fn(|x| x.relu().max_pool2d_default(2));
                    inputs = outputs;
                }
                let flat = inputs * (height / 8) * (width / 8);
                let body =
                    body.add_fn(|x| x.flatten(1, -1)).add(nn::linear(&root / "features", flat, 8 * maps, linear));
                (body.add_fn(Tensor::relu), 8 * maps, DROPOUT)
            }
            Net::PaperGaze => {
                let convolution = |name: &str, inputs, outputs| {
                    nn::conv2d(
                        &root / name,
                        inputs,
                        outputs,
                        3,
                        nn::ConvConfig { bs_init: Init::Const(0.0), ..Default::default() },
                    )
                };
                let pool = |x: &Tensor, kernel: i64| x.max_pool2d([kernel; 2], [2; 2], [0; 2], [1; 2], false);
                // Each convolution takes a pixel off every side.
                let side = |side: i64| (((side - 6 - 3) / 2 + 1) - 4) / 2;
                let flat = 192 * side(height) * side(width);
                let body = nn::seq_t()
                    .add(convolution("conv0", channels, 32))
                    .add_fn(Tensor::relu)
                    .add(convolution("conv1", 32, 32))
                    .add_fn(Tensor::relu)
                    .add(convolution("conv2", 32, 64))
                    .add_fn(move |x| pool(&x.relu(), 3))
                    .add(convolution("conv3", 64, 80))
                    .add_fn(Tensor::relu)
                    .add(convolution("conv4", 80, 192))
                    .add_fn(move |x| pool(&x.relu(), 2).flatten(1, -1))
                    .add(nn::linear(&root / "features", flat, 1_000, linear))
                    .add_fn(Tensor::relu);
                (body, 1_000, 0.0)
            }
        };
        let head = nn::linear(&root / "head", features, outputs, linear);
        Self { variables, body, head, dropout, task }
    }

    /// Uniform in ±1/sqrt(fan in), as PyTorch starts.
    fn draw_weights(&self, seed: u64) {
        let mut chance = random::stream(seed, Stream::Init, Lane(0), Step(0));
        let mut variables: Vec<(String, Tensor)> = self.variables.variables().into_iter().collect();
        variables.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (_, mut weight) in variables.into_iter().filter(|(_, variable)| variable.dim() > 1) {
            let fan_in: i64 = weight.size()[1..].iter().product();
            let bound = 1.0 / (fan_in as f32).sqrt();
            let drawn: Vec<f32> =
                (0..weight.numel()).map(|_| (2.0 * random::uniform(&mut chance) - 1.0) * bound).collect();
            no_grad(|| weight.copy_(&Tensor::from_slice(&drawn).view_as(&weight)));
        }
    }

    /// What the head sees, `[n, d]`.
    pub fn features(&self, images_nchw: &Tensor) -> Tensor {
        let sittings = images_nchw.split(SITTING, 0);
        no_grad(|| {
            Tensor::cat(&sittings.iter().map(|sitting| self.body.forward_t(sitting, false)).collect::<Vec<_>>(), 0)
        })
    }

    /// What it says of each image: of classes the logits, of numbers the numbers themselves, `[n, k]`.
    pub fn says(&self, images_nchw: &Tensor) -> Tensor {
        let said_nk = no_grad(|| self.features(images_nchw).apply(&self.head));
        match &self.task {
            Goal::Classes => said_nk,
            Goal::Numbers { mean_1k, deviation_1k } => said_nk * deviation_1k + mean_1k,
        }
    }

    /// The most likely class of each image, `[n]`.
    pub fn classes(&self, images_nchw: &Tensor) -> Tensor {
        self.says(images_nchw).argmax(1, false)
    }
}

/// Each image moved by its own draw; what enters at the border repeats the border.
fn shifted(images_bchw: &Tensor, shift: i64, (seed, update): (u64, u64)) -> Tensor {
    if shift == 0 {
        return images_bchw.shallow_clone();
    }
    let mut chance = random::stream(seed, Stream::Shift, Lane(0), Step(update));
    let size = images_bchw.size();
    let continued = images_bchw.replication_pad2d([shift; 4]);
    let moved: Vec<Tensor> = (0..size[0])
        .map(|image| {
            let mut draw = || random::below(&mut chance, 2 * shift as u64 + 1) as i64;
            let (down, right) = (draw(), draw());
            continued.narrow(0, image, 1).narrow(2, down, size[2]).narrow(3, right, size[3])
        })
        .collect();
    Tensor::cat(&moved, 0)
}

/// Some features left out, the others made up for it (Srivastava et al. 2014).
fn dropped(features_bd: &Tensor, share: f64, (seed, update): (u64, u64)) -> Tensor {
    if share == 0.0 {
        return features_bd.shallow_clone();
    }
    let mut chance = random::stream(seed, Stream::Dropout, Lane(0), Step(update));
    let kept = (1.0 / (1.0 - share)) as f32;
    let mask: Vec<f32> = (0..features_bd.numel())
        .map(|_| if f64::from(random::uniform(&mut chance)) < share { 0.0 } else { kept })
        .collect();
    features_bd * Tensor::from_slice(&mask).view_as(features_bd)
}

/// Share of the highest rate: rises along a cosine through the first three tenths of the updates, falls along another to almost
/// nothing (Smith and Topin 2018, "Super-convergence").
fn one_cycle(update: u64, updates: u64) -> f64 {
    const PEAK: f64 = 1.0;
    const START: f64 = PEAK / 25.0;
    const END: f64 = START / 1e4;
    let along =
        |from: f64, to: f64, passed: f64| to + (from - to) * (1.0 + (std::f64::consts::PI * passed).cos()) / 2.0;
    let (rise, passed, all) = (0.3 * updates as f64, update as f64, updates as f64);
    if passed < rise { along(START, PEAK, passed / rise) } else { along(PEAK, END, (passed - rise) / (all - rise)) }
}

/// Share of equal entries of two `[n]`, 0..=1.
#[must_use]
pub fn agreement(a_n: &Tensor, b_n: &Tensor) -> f64 {
    a_n.eq_tensor(b_n).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Downstream = Downstream { net: Net::Small { width: 16 }, updates: 40, batch: 64, shift: 2 };

    /// Dark and light squares of noise: an easy task, so that what fails is the machinery.
    fn task() -> (Tensor, Tensor, Targets) {
        let mut chance = random::stream(3, Stream::Init, Lane(1), Step(0));
        let classes: Vec<i64> = (0..128).map(|image| image % 2).collect();
        let pixels: Vec<f32> = classes
            .iter()
            .flat_map(|&class| (0..100).map(move |_| class))
            .map(|class| 0.5 * random::uniform(&mut chance) - 0.5 * class as f32)
            .collect();
        let images = Tensor::from_slice(&pixels).view([128, 1, 10, 10]);
        (images, Tensor::from_slice(&classes), Targets::Classes { of: classes, count: 2 })
    }

    fn of(plan: &Downstream, images: &Tensor, targets: &Targets, seed: u64) -> Model {
        tch::set_num_threads(1);
        trained(plan, images, targets, seed, &|| true).unwrap().expect("nobody stopped it")
    }

    #[test]
    fn it_learns_and_the_same_seed_gives_the_same_bits() {
        let (images, classes, targets) = task();
        let once = of(&PLAN, &images, &targets, 5);
        assert!(agreement(&once.classes(&images), &classes) > 0.95);
        assert_eq!(once.features(&images).size(), [128, 128]);
        assert!(once.features(&images).equal(&of(&PLAN, &images, &targets, 5).features(&images)));
        assert!(!once.features(&images).equal(&of(&PLAN, &images, &targets, 6).features(&images)));
    }

    #[test]
    fn numbers_come_out_in_their_own_unit() {
        let (images, _, _) = task();
        let brightness: Vec<f32> =
            (0..128).map(|at| 100.0 + 20.0 * images.get(at).mean(Kind::Float).double_value(&[]) as f32).collect();
        let targets = Targets::Numbers { of: brightness.clone(), width: 1 };
        let said: Vec<f32> = of(&Downstream { updates: 150, ..PLAN }, &images, &targets, 1)
            .says(&images)
            .flatten(0, 1)
            .try_into()
            .unwrap();
        let error = said.iter().zip(&brightness).map(|(said, meant)| (said - meant).abs()).sum::<f32>() / 128.0;
        assert!(error < 2.0, "off by {error}");
    }

    #[test]
    fn the_gaze_network_has_the_papers_shapes() {
        let (images, targets) = (
            Tensor::zeros([2, 1, 35, 55], (Kind::Float, Device::Cpu)),
            Targets::Numbers { of: vec![0.1; 6], width: 3 },
        );
        let model = of(&Downstream { net: Net::PaperGaze, updates: 1, batch: 2, shift: 0 }, &images, &targets, 0);
        let features = model.variables.variables().remove("features.weight").expect("it has that layer");
        assert_eq!(features.size(), [1_000, 9_600]);
        assert_eq!(model.says(&images).size(), [2, 3]);
    }

    #[test]
    fn images_that_are_too_small_are_refused_with_what_is_needed() {
        let (images, targets) =
            (Tensor::zeros([2, 1, 7, 9], (Kind::Float, Device::Cpu)), Targets::Classes { of: vec![0, 1], count: 2 });
        let why = trained(&PLAN, &images, &targets, 0, &|| true).err().unwrap();
        assert_eq!(why, "images of 7x9 pixels are too small for the model, which needs 8x8");
    }

    #[test]
    fn who_is_not_wanted_any_more_ends_soon() {
        let (images, _, targets) = task();
        assert!(trained(&PLAN, &images, &targets, 0, &|| false).unwrap().is_none());
    }

    #[test]
    fn the_learning_rate_rises_to_its_peak_and_falls_to_almost_nothing() {
        let rates: Vec<f64> = (0..500).map(|update| one_cycle(update, 500)).collect();
        let peak = rates.iter().copied().fold(0.0, f64::max);
        assert!((peak - 1.0).abs() < 1e-9 && rates[150] == peak, "{peak}");
        assert!((rates[0] - 0.04).abs() < 1e-12 && rates[499] < 1e-4, "{} {}", rates[0], rates[499]);
    }
}
