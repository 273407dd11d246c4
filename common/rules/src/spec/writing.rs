//! A resolved spec as a job file: nothing left to defaults, and read back as the same spec.

use super::{Optimizer, OptimizerKind, Spec, model::Layer, quantity, training::CALIBRATED, words::Choice as _};
use std::{fmt, path::Path};

impl Spec {
    /// The job with every default filled in. [`read`](super::read) makes an equal spec of it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        Resolved(self).to_string()
    }
}

struct Resolved<'s>(&'s Spec);

impl fmt::Display for Resolved<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spec { name, what, how } = self.0;
        writeln!(f, "name = {}", quoted(name))?;
        writeln!(f, "kind = \"train\"")?;

        let data = &what.data;
        writeln!(f, "\n[data]")?;
        writeln!(f, "synthetic = {}", path(&data.synthetic))?;
        writeln!(f, "real = {}", path(&data.real))?;
        let image = data.image;
        writeln!(f, "image = {{ size = [{}, {}], channels = {} }}", image.height, image.width, image.channels)?;
        writeln!(f, "resize = \"{}\"", data.resize.word())?;
        writeln!(f, "max_bad = {:?}", data.max_bad)?;
        writeln!(f, "labels = \"{}\"", data.labels.word())?;

        writeln!(f, "\n[model]")?;
        writeln!(f, "preset = \"{}\"", what.model.preset.word())?;
        let refiner = &what.model.refiner;
        writeln!(f, "\n[model.refiner]")?;
        writeln!(f, "width = {}", refiner.width)?;
        writeln!(f, "blocks = {}", refiner.blocks)?;
        writeln!(f, "kernel = {}", refiner.kernel)?;
        writeln!(f, "output = \"{}\"", refiner.output.word())?;
        writeln!(f, "padding = \"{}\"", refiner.padding.word())?;
        writeln!(f, "noise = {{ image = {}, pixel = {} }}", refiner.noise.image, refiner.noise.pixel)?;
        writeln!(f, "light = {}", refiner.light)?;
        writeln!(f, "match = \"{}\"", refiner.matching.word())?;
        let discriminator = &what.model.discriminator;
        writeln!(f, "\n[model.discriminator]")?;
        writeln!(f, "layers = [")?;
        for layer in &discriminator.layers {
            match layer {
                Layer::Conv { kernel, stride, maps } => {
                    writeln!(f, "    {{ conv = {kernel}, stride = {stride}, maps = {maps} }},")?;
                }
                Layer::MaxPool { kernel, stride } => writeln!(f, "    {{ pool = {kernel}, stride = {stride} }},")?,
            }
        }
        writeln!(f, "]")?;
        writeln!(f, "activation = \"{}\"", discriminator.activation.word())?;
        writeln!(f, "spectral_norm = {}", discriminator.spectral_norm)?;

        let train = &what.train;
        writeln!(f, "\n[train]")?;
        writeln!(f, "seed = {}", train.seed)?;
        writeln!(f, "batch = {}", train.batch)?;
        writeln!(f, "lanes = {}", train.lanes)?;
        writeln!(f, "steps = {}", train.steps)?;
        let pretrain = train.pretrain;
        writeln!(f, "pretrain = {{ refiner = {}, discriminator = {} }}", pretrain.refiner, pretrain.discriminator)?;
        writeln!(f, "k_refiner = {}", train.k_refiner)?;
        writeln!(f, "k_discriminator = {}", train.k_discriminator)?;
        match train.lambda {
            Some(lambda) => writeln!(f, "lambda = {lambda:?}")?,
            None => writeln!(f, "lambda = {CALIBRATED:?}")?,
        }
        writeln!(f, "psi = \"{}\"", train.psi.word())?;
        // 0 is "none", and says so against a preset that has one.
        writeln!(f, "ema = {:?}", train.ema.unwrap_or(0.0))?;
        writeln!(f, "shift = {}", train.shift)?;
        writeln!(f, "precision = \"{}\"", train.precision.word())?;
        optimizer(f, "refiner", &train.refiner)?;
        optimizer(f, "discriminator", &train.discriminator)?;
        let history = &train.history;
        writeln!(f, "\n[train.history]")?;
        writeln!(f, "size = {}", history.size)?;
        writeln!(f, "replicas = {}", history.replicas)?;

        writeln!(f, "\n[workers]")?;
        writeln!(f, "min = {}", how.workers.min)?;
        writeln!(f, "max = {}", how.workers.max)?;
        writeln!(f, "device = \"{}\"", how.workers.device.word())?;
        writeln!(f, "threads = {}", what.threads)?;

        writeln!(f, "\n[output]")?;
        writeln!(f, "dir = {}", path(&how.output.dir))?;
        writeln!(f, "checkpoint_every = \"{}\"", quantity::written(how.output.checkpoint_every))?;
        if let Some(steps) = how.output.checkpoint_steps {
            writeln!(f, "checkpoint_steps = {steps}")?;
        }
        writeln!(f, "keep = {}", how.output.keep)?;
        if let Some(steps) = how.output.keep_every {
            writeln!(f, "keep_every = {steps}")?;
        }
        writeln!(f, "samples_every = {}", how.output.samples_every)
    }
}

fn optimizer(f: &mut fmt::Formatter<'_>, network: &str, optimizer: &Optimizer) -> fmt::Result {
    writeln!(f, "\n[train.optimizer.{network}]")?;
    match optimizer.kind {
        OptimizerKind::Sgd { momentum } => writeln!(f, "kind = \"sgd\"\nmomentum = {momentum:?}")?,
        OptimizerKind::Adam { beta1, beta2, epsilon } => {
            writeln!(f, "kind = \"adam\"\nbeta1 = {beta1:?}\nbeta2 = {beta2:?}\nepsilon = {epsilon:?}")?;
        }
    }
    writeln!(f, "lr = {:?}", optimizer.lr)?;
    let changes: Vec<String> =
        optimizer.decay.iter().map(|(step, lr)| format!("{{ step = {step}, lr = {lr:?} }}")).collect();
    writeln!(f, "decay = [{}]", changes.join(", "))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}
