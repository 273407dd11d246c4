//! What a checked spec amounts to, in words: a summary before it runs, and warnings about what is allowed but rarely meant.
//!
//! Decides nothing.

use super::{
    Device, History, ImageShape, Precision, Psi, Spec, Train,
    model::{Layer, RefinerOutput},
    quantity::{grouped, plural},
    training::LANE_IMAGES,
    words::Choice as _,
};

/// Weights of self-regularisation between means that published SimGANs with a working adversarial term used (PAPER A7).
const LAMBDAS: std::ops::RangeInclusive<f64> = 0.01..=100.0;

impl Psi {
    /// Side of a square whose mean [`Psi::LowPass`] compares, in pixels; at the right and at the bottom what is left of one.
    pub const SQUARE: u32 = 4;

    /// Values that psi makes of one image, over which its difference is averaged. Gradients are the differences of
    /// neighbours, down and across.
    #[must_use]
    pub fn values(self, image: ImageShape) -> usize {
        let (channels, height, width) = (image.channels as usize, image.height as usize, image.width as usize);
        match self {
            Self::Identity => image.len(),
            Self::Gradients => channels * (height.saturating_sub(1) * width + height * width.saturating_sub(1)),
            Self::ChannelMean | Self::Standardised => height * width,
            Self::LowPass => channels * height.div_ceil(Self::SQUARE as usize) * width.div_ceil(Self::SQUARE as usize),
        }
    }
}

impl Train {
    /// Discriminator updates among the first `steps`: pre-training (refiner first), then cycles of Algorithm 1.
    pub(super) fn discriminator_steps(&self, steps: u64) -> u64 {
        let steps = steps.saturating_sub(self.pretrain.refiner);
        let pretrained = steps.min(self.pretrain.discriminator);
        let steps = steps - pretrained;
        let (refiner, discriminator) = (u64::from(self.k_refiner), u64::from(self.k_discriminator));
        let cycle = refiner + discriminator;
        pretrained + steps / cycle * discriminator + (steps % cycle).saturating_sub(refiner)
    }

    fn pretraining(&self) -> u64 {
        self.pretrain.refiner.saturating_add(self.pretrain.discriminator)
    }
}

impl Spec {
    /// Lambda as the paper writes the loss, a sum over patches plus lambda times a sum over pixels. A job's own lambda
    /// stands between means, so that it does not depend on the size of images and discriminators. `None` as long as it has none.
    #[must_use]
    pub fn paper_lambda(&self) -> Option<f64> {
        let image = self.what.data.image;
        let patches = self.what.model.discriminator.patches(image);
        Some(self.what.train.lambda? * patches as f64 / self.what.train.psi.values(image) as f64)
    }

    /// Sentences about what is allowed and yet probably not meant.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        [
            self.ends_in_pretraining(),
            self.late_decay(),
            self.odd_lambda(),
            self.one_patch(),
            self.small_lanes(),
            self.uneven_shares(),
            self.no_history(),
            self.history_too_large(),
            self.unguarded(),
            self.same_images(),
            self.few_bits_on_a_processor(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn ends_in_pretraining(&self) -> Option<String> {
        let train = &self.what.train;
        let (steps, before) = (train.steps.0, train.pretraining());
        (steps <= before).then(|| {
            format!(
                "the run ends inside pre-training: train.steps = {steps}, and pre-training alone takes {before} \
                 ({} refiner + {} discriminator); raise train.steps or lower train.pretrain",
                train.pretrain.refiner, train.pretrain.discriminator
            )
        })
    }

    fn late_decay(&self) -> Option<String> {
        let train = &self.what.train;
        let changes = train.refiner.decay.iter().chain(&train.discriminator.decay);
        let (late, _) = changes.filter(|(step, _)| *step >= train.steps).min_by_key(|(step, _)| *step)?;
        Some(format!("the learning rate changes at step {late}, after the run's end at train.steps = {}", train.steps))
    }

    fn odd_lambda(&self) -> Option<String> {
        let lambda = self.what.train.lambda?;
        let (least, most) = (LAMBDAS.start(), LAMBDAS.end());
        (!LAMBDAS.contains(&lambda)).then(|| {
            let effect =
                if lambda < *least { "nothing keeps the labels valid" } else { "refined images stay as they are" };
            format!("train.lambda = {lambda:?} is outside {least:?} to {most:?}, where published runs lie: {effect}")
        })
    }

    fn one_patch(&self) -> Option<String> {
        let what = &self.what;
        // The toy has one pixel to look at.
        let one = what.data.image.len() > 1 && what.model.discriminator.patches(what.data.image) == 1;
        one.then(|| {
            "the discriminator gives one verdict per image; the paper's local loss needs a map of them: \
             use smaller strides in model.discriminator.layers"
                .to_owned()
        })
    }

    fn small_lanes(&self) -> Option<String> {
        let Train { batch, lanes, .. } = self.what.train;
        let images = batch / lanes;
        (lanes > 1 && images < LANE_IMAGES).then(|| {
            format!(
                "a lane has {} (train.batch = {batch}, train.lanes = {lanes}); below {LANE_IMAGES} \
                 a step spends its time on starting lanes",
                plural(u64::from(images), "image")
            )
        })
    }

    fn uneven_shares(&self) -> Option<String> {
        let (lanes, max) = (self.what.train.lanes, self.how.workers.max);
        (!lanes.is_multiple_of(max)).then(|| {
            let even = (1..max).rev().find(|workers| lanes.is_multiple_of(*workers)).unwrap_or(1);
            format!(
                "{lanes} lanes do not divide evenly over workers.max = {max}: some have {} and the others wait for \
                 them; {} would share evenly",
                lanes.div_ceil(max),
                plural(u64::from(even), "worker")
            )
        })
    }

    fn no_history(&self) -> Option<String> {
        (self.what.train.history.size == 0).then(|| {
            "train.history.size = 0: the discriminator forgets what it has seen; \
             in the paper that cost 4.4 degrees of gaze (12.2 against 7.8)"
                .to_owned()
        })
    }

    /// Each discriminator update offers half a batch.
    fn history_too_large(&self) -> Option<String> {
        let train = &self.what.train;
        let updates = train.discriminator_steps(train.steps.0);
        let offered = updates.saturating_mul(u64::from(train.batch / 2));
        (u64::from(train.history.size) > offered && self.ends_in_pretraining().is_none()).then(|| {
            format!(
                "the history never fills: train.history.size = {}, and {updates} discriminator updates bring \
                 {offered} images",
                train.history.size
            )
        })
    }

    fn unguarded(&self) -> Option<String> {
        let History { size, replicas, .. } = self.what.train.history;
        (size > 0 && replicas == 0 && self.how.workers.max > 1).then(|| {
            "train.history.replicas = 0: the loss of any worker sends the run back to its last checkpoint".to_owned()
        })
    }

    fn same_images(&self) -> Option<String> {
        let data = &self.what.data;
        let same = data.synthetic == data.real && !data.real.as_os_str().is_empty();
        same.then(|| format!("data.synthetic and data.real are the same folder, {}", data.real.display()))
    }

    fn few_bits_on_a_processor(&self) -> Option<String> {
        let is_it = self.what.train.precision == Precision::Bf16 && self.how.workers.device != Device::Cuda;
        is_it.then(|| {
            "train.precision = \"bf16\" is many times slower than \"f32\" on processors without AMX; on cards it is faster \
             (workers.device = \"cuda\")"
                .to_owned()
        })
    }

    /// The job in a few lines, for people to check before it runs: label, two spaces, text.
    #[must_use]
    pub fn summary(&self) -> Vec<String> {
        let lines = [
            ("job", format!("{}, preset {}, seed {}", self.name, self.what.model.preset.word(), self.what.train.seed)),
            ("images", self.images()),
            ("refiner", self.refiner()),
            ("discriminator", self.discriminator()),
            ("lambda", self.lambda()),
            ("batch", self.batch()),
            ("history", self.history()),
            ("schedule", self.schedule()),
            ("workers", self.workers()),
        ];
        lines.into_iter().map(|(label, text)| format!("{label:<13}  {text}")).collect()
    }

    fn images(&self) -> String {
        let ImageShape { channels, height, width } = self.what.data.image;
        format!("{height}x{width}, {}", plural(u64::from(channels), "channel"))
    }

    fn refiner(&self) -> String {
        let refiner = &self.what.model.refiner;
        let output = match refiner.output {
            RefinerOutput::Tanh => "tanh",
            RefinerOutput::Residual => "input + change",
        };
        format!(
            "{k}x{k} to {} maps, {}, {output}; {}; sees {} px",
            refiner.width,
            plural(u64::from(refiner.blocks), "block"),
            plural(refiner.parameters(self.what.data.image.channels) as u64, "parameter"),
            refiner.receptive_field(),
            k = refiner.kernel,
        )
    }

    fn discriminator(&self) -> String {
        let (image, discriminator) = (self.what.data.image, &self.what.model.discriminator);
        let pools = discriminator.layers.iter().filter(|layer| matches!(layer, Layer::MaxPool { .. })).count();
        let (rows, columns) = discriminator.map(image);
        format!(
            "{}, {}; {}; {rows}x{columns} = {} of {} px",
            plural((discriminator.layers.len() - pools) as u64, "convolution"),
            plural(pools as u64, "pool"),
            plural(discriminator.parameters(image.channels) as u64, "parameter"),
            plural(discriminator.patches(image) as u64, "patch"),
            discriminator.receptive_field(),
        )
    }

    fn lambda(&self) -> String {
        let Train { lambda, psi, .. } = self.what.train;
        match lambda.zip(self.paper_lambda()) {
            Some((lambda, sums)) => {
                format!("{lambda:?} between means, psi {}; as the paper's sums {sums:.4}", psi.word())
            }
            None => format!("found before step 0, psi {}", psi.word()),
        }
    }

    fn batch(&self) -> String {
        let Train { batch, lanes, .. } = self.what.train;
        format!("{batch} = {} x {}", plural(u64::from(lanes), "lane"), plural(u64::from(batch / lanes), "image"))
    }

    fn history(&self) -> String {
        let Train { lanes, history, .. } = self.what.train;
        match history.size {
            0 => "none".to_owned(),
            size => format!(
                "{}, {} a lane, {}",
                plural(u64::from(size), "image"),
                grouped(size / lanes),
                match history.replicas {
                    1 => "each lane's copied to a guard",
                    _ => "no copies",
                }
            ),
        }
    }

    fn schedule(&self) -> String {
        let train = &self.what.train;
        let (refiner, discriminator) = (train.k_refiner, train.k_discriminator);
        let cycles = train.steps.0.saturating_sub(train.pretraining()) / u64::from(refiner + discriminator);
        format!(
            "{} = pre-training {} refiner + {} discriminator, then {} of {refiner} + {discriminator}",
            plural(train.steps.0, "step"),
            grouped(train.pretrain.refiner),
            grouped(train.pretrain.discriminator),
            plural(cycles, "cycle"),
        )
    }

    fn workers(&self) -> String {
        let workers = &self.how.workers;
        let (min, max) = (workers.min, workers.max);
        let count = if min == max { plural(u64::from(max), "worker") } else { format!("{min} to {max} workers") };
        let (device, threads) = (workers.device.word(), plural(u64::from(self.what.threads), "thread"));
        format!("{count}, device {device}, {threads} each, {}", self.what.train.precision.word())
    }
}
