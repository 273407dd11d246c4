//! A small convolutional classifier, the same for every data set: what judges labels, and whose last features a Fréchet
//! distance is taken of. Knows nothing of refiners.
//!
//! Legend: n images, c channels, h height, w width, k classes.

use sumac_common::{
    ids::{Lane, Step},
    order::Order,
    random::{self, Stream},
};
use tch::{
    Device, Kind, Tensor,
    nn::{self, Init, ModuleT, OptimizerConfig, VarStore},
    no_grad,
};

/// Maps of the three blocks; each halves the picture.
const MAPS: [i64; 3] = [16, 32, 64];
/// Features that the verdict is made of.
pub(crate) const FEATURES: i64 = 128;
/// The smallest side of which three halvings leave a pixel.
pub(crate) const SIDE_MIN: u32 = 8;
/// Updates after which a few thousand small images are learned.
pub(crate) const UPDATES: u64 = 500;
const BATCH: u64 = 64;
/// Each way, in pixels.
const SHIFT: i64 = 2;
/// Images looked at together where no gradient is wanted.
const SITTING: i64 = 256;

/// 3 x [conv 3x3, batch norm, ReLU, max-pool 2], FC 128, ReLU, FC k.
pub(crate) struct Classifier {
    variables: VarStore,
    body: nn::SequentialT,
    verdict: nn::Linear,
}

impl Classifier {
    /// Trained on `images_nchw` in [-1, 1] and their classes `[n]`, always by the same numbers: Adam at a batch of 64, one
    /// cycle of learning rates up to 2e-3 over all updates, each image shifted by up to 2 pixels.
    pub(crate) fn trained(images_nchw: &Tensor, classes_n: &Tensor, classes: i64, updates: u64, seed: u64) -> Self {
        let classifier = Self::untrained(images_nchw, classes);
        classifier.draw_weights(seed);
        let mut adam =
            nn::Adam::default().build(&classifier.variables, 0.0).expect("Adam takes any variables and rate");
        let order = Order::new(seed, Stream::Synthetic, images_nchw.size()[0] as u64);
        for update in 0..updates {
            let picked: Vec<i64> =
                order.samples(update * BATCH..(update + 1) * BATCH).iter().map(|sample| sample.0 as i64).collect();
            let picked = Tensor::from_slice(&picked);
            let shown_bchw = shifted(&images_nchw.index_select(0, &picked), seed, update);
            let logits_bk = classifier.body.forward_t(&shown_bchw, true).apply(&classifier.verdict);
            adam.set_lr(one_cycle(update, updates));
            adam.backward_step(&logits_bk.cross_entropy_for_logits(&classes_n.index_select(0, &picked)));
        }
        classifier
    }

    fn untrained(images_nchw: &Tensor, classes: i64) -> Self {
        let (channels, height, width) = match images_nchw.size()[..] {
            [_, channels, height, width] => (channels, height, width),
            _ => unreachable!("images are [n, c, h, w]"),
        };
        let variables = VarStore::new(Device::Cpu);
        let root = variables.root();
        let mut body = nn::seq_t();
        let mut inputs = channels;
        for (block, maps) in MAPS.into_iter().enumerate() {
            let convolution = nn::ConvConfig { padding: 1, bs_init: Init::Const(0.0), ..Default::default() };
            let norm = nn::BatchNormConfig { ws_init: Init::Const(1.0), ..Default::default() };
            body = body
                .add(nn::conv2d(&root / format!("conv{block}"), inputs, maps, 3, convolution))
                .add(nn::batch_norm2d(&root / format!("norm{block}"), maps, norm))
                .add_fn(|x| x.relu().max_pool2d_default(2));
            inputs = maps;
        }
        let flat = inputs * (height / 8) * (width / 8);
        let linear = nn::LinearConfig { bs_init: Some(Init::Const(0.0)), ..Default::default() };
        body = body
            .add_fn(|x| x.flatten(1, -1))
            .add(nn::linear(&root / "features", flat, FEATURES, linear))
            .add_fn(|x| x.relu());
        let verdict = nn::linear(&root / "verdict", FEATURES, classes, linear);
        Self { variables, body, verdict }
    }

    /// Uniform in ±1/sqrt(fan in), as PyTorch starts: libtorch's own generator would give other weights each time.
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

    /// What the verdict is made of, `[n, 128]`.
    pub(crate) fn features(&self, images_nchw: &Tensor) -> Tensor {
        let sittings = images_nchw.split(SITTING, 0);
        no_grad(|| {
            Tensor::cat(&sittings.iter().map(|sitting| self.body.forward_t(sitting, false)).collect::<Vec<_>>(), 0)
        })
    }

    /// The most likely class of each image, `[n]`.
    pub(crate) fn classes(&self, images_nchw: &Tensor) -> Tensor {
        no_grad(|| self.features(images_nchw).apply(&self.verdict).argmax(1, false))
    }
}

/// Each image moved by its own draw; what enters at the border repeats the border.
fn shifted(images_bchw: &Tensor, seed: u64, update: u64) -> Tensor {
    let mut chance = random::stream(seed, Stream::Shift, Lane(0), Step(update));
    let size = images_bchw.size();
    let continued = images_bchw.replication_pad2d([SHIFT; 4]);
    let moved: Vec<Tensor> = (0..size[0])
        .map(|image| {
            let mut draw = || random::below(&mut chance, 2 * SHIFT as u64 + 1) as i64;
            let (down, right) = (draw(), draw());
            continued.narrow(0, image, 1).narrow(2, down, size[2]).narrow(3, right, size[3])
        })
        .collect();
    Tensor::cat(&moved, 0)
}

/// Rises along a cosine through the first three tenths of the updates, falls along another to almost nothing
/// (Smith and Topin 2018, "Super-convergence").
fn one_cycle(update: u64, updates: u64) -> f64 {
    const PEAK: f64 = 2e-3;
    const START: f64 = PEAK / 25.0;
    const END: f64 = START / 1e4;
    let along =
        |from: f64, to: f64, passed: f64| to + (from - to) * (1.0 + (std::f64::consts::PI * passed).cos()) / 2.0;
    let (rise, passed, all) = (0.3 * updates as f64, update as f64, updates as f64);
    if passed < rise { along(START, PEAK, passed / rise) } else { along(PEAK, END, (passed - rise) / (all - rise)) }
}

/// Share of equal entries of two `[n]`, 0..=1.
pub(crate) fn agreement(a_n: &Tensor, b_n: &Tensor) -> f64 {
    a_n.eq_tensor(b_n).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dark and light squares of noise: an easy task, so that what fails is the machinery.
    fn task() -> (Tensor, Tensor) {
        let mut chance = random::stream(3, Stream::Init, Lane(1), Step(0));
        let classes: Vec<i64> = (0..128).map(|image| image % 2).collect();
        let pixels: Vec<f32> = classes
            .iter()
            .flat_map(|&class| (0..100).map(move |_| class))
            .map(|class| 0.5 * random::uniform(&mut chance) - 0.5 * class as f32)
            .collect();
        (Tensor::from_slice(&pixels).view([128, 1, 10, 10]), Tensor::from_slice(&classes))
    }

    #[test]
    fn it_learns_and_the_same_seed_gives_the_same_bits() {
        tch::set_num_threads(1);
        let (images, classes) = task();
        let once = Classifier::trained(&images, &classes, 2, 40, 5);
        assert!(agreement(&once.classes(&images), &classes) > 0.95);
        assert_eq!(once.features(&images).size(), [128, FEATURES]);
        let again = Classifier::trained(&images, &classes, 2, 40, 5);
        assert!(once.features(&images).equal(&again.features(&images)));
        let other = Classifier::trained(&images, &classes, 2, 40, 6);
        assert!(!once.features(&images).equal(&other.features(&images)));
    }

    #[test]
    fn the_learning_rate_rises_to_its_peak_and_falls_to_almost_nothing() {
        let rates: Vec<f64> = (0..500).map(|update| one_cycle(update, 500)).collect();
        let peak = rates.iter().copied().fold(0.0, f64::max);
        assert!((peak - 2e-3).abs() < 1e-9 && rates[150] == peak, "{peak}");
        assert!((rates[0] - 8e-5).abs() < 1e-12 && rates[499] < 1e-7, "{} {}", rates[0], rates[499]);
    }
}
