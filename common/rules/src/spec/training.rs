//! The `[train]` table: numbers that have to fit each other.
//!
//! Knows how lanes divide a batch and a history; knows nothing of what is done with them.

use super::{
    History, ImageShape, Optimizer, OptimizerKind, Pretrain, Psi, Train,
    presets::Recipe,
    section::{Section, Whole, nearest_divisors, nearest_multiples},
};
use crate::ids::Step;

/// Images in a batch; beyond it, half of one would not fit the memory of anything.
const BATCH_MOST: u32 = 1 << 20;
/// Images in a history.
const HISTORY_MOST: u32 = 1 << 28;
/// What stands for a lambda that is to be found.
pub(super) const CALIBRATED: &str = "calibrated";
/// Below this many, a lane is too little work for its own forward and backward pass.
pub(super) const LANE_IMAGES: u32 = 8;

/// `image`: as far as it could be read.
pub(super) fn train(section: &Section<'_>, recipe: &Recipe, image: Option<ImageShape>) -> Train {
    if !section.says("steps") {
        section.refuse(
            "steps",
            "is missing",
            "say how many updates of either network the run has, such as steps = 600",
        );
    }
    let batch = batch(section).unwrap_or(recipe.batch);
    let lanes = lanes(section, batch);
    let (refiner, discriminator) = optimizers(&section.section("optimizer"), recipe);
    let pretrain = section.section("pretrain");
    Train {
        seed: section.whole("seed", 0..=u64::MOST).unwrap_or(0),
        batch,
        lanes,
        steps: Step(section.whole("steps", 1..=u64::MOST).unwrap_or(1)),
        pretrain: Pretrain {
            refiner: pretrain.whole("refiner", 0..=u64::MOST).unwrap_or(recipe.pretrain.refiner),
            discriminator: pretrain.whole("discriminator", 0..=u64::MOST).unwrap_or(recipe.pretrain.discriminator),
        },
        k_refiner: section.whole("k_refiner", 1..=10_000).unwrap_or(recipe.k_refiner),
        k_discriminator: section.whole("k_discriminator", 1..=10_000).unwrap_or(recipe.k_discriminator),
        lambda: lambda(section, recipe),
        psi: psi(section, recipe, image),
        refiner,
        discriminator,
        ema: ema(section, recipe),
        shift: shift(section, image).unwrap_or(recipe.shift),
        precision: section.choice("precision").unwrap_or_default(),
        history: history(section, batch, lanes),
    }
}

fn lambda(section: &Section<'_>, recipe: &Recipe) -> Option<f64> {
    if section.is_word("lambda", CALIBRATED) {
        return None;
    }
    let wanted = format!("a number of at least 0, or {CALIBRATED:?}");
    Some(section.real("lambda", &wanted, |lambda| lambda >= 0.0).unwrap_or(recipe.lambda))
}

fn batch(section: &Section<'_>) -> Option<u32> {
    let batch = section.whole("batch", 2..=BATCH_MOST)?;
    if !batch.is_multiple_of(2) {
        let problem = "must be even, since half of what the discriminator sees comes from the history";
        section.refuse("batch", problem, nearest_multiples(batch, 2, 2));
        return None;
    }
    Some(batch)
}

/// Lanes divide half the batch. Where both were written, the batch is the one to change: lanes follow the machines.
fn lanes(section: &Section<'_>, batch: u32) -> u32 {
    let Some(lanes) = section.whole("lanes", 1..=BATCH_MOST / 2) else { return default_lanes(batch) };
    let half = batch / 2;
    if section.sound(&["batch"]) && !half.is_multiple_of(lanes) {
        if section.says("batch") {
            let problem = format!("must be a multiple of 2 x lanes ({})", 2 * lanes);
            section.refuse("batch", problem, nearest_multiples(batch, 2 * lanes, 2));
        } else {
            let problem = format!("must divide half the batch ({half})");
            section.refuse("lanes", problem, nearest_divisors(lanes, half));
        }
    }
    lanes
}

/// Lanes of a batch of which nothing else is said: as many as divide half of it, up to 64, while each still has 8 images.
#[must_use]
pub fn default_lanes(batch: u32) -> u32 {
    let fits = |lanes: &u32| (batch / 2).is_multiple_of(*lanes) && batch / lanes >= LANE_IMAGES;
    (1..=64).rev().find(fits).unwrap_or(1)
}

fn history(train: &Section<'_>, batch: u32, lanes: u32) -> History {
    let section = train.section("history");
    let size = section.whole("size", 0..=HISTORY_MOST);
    if let Some(size) = size.filter(|size| *size > 0 && train.sound(&["batch", "lanes"])) {
        let nearest = nearest_multiples(size, lanes, batch);
        if size < batch {
            section.refuse("size", format!("must be at least train.batch = {batch}, or 0 for none"), nearest);
        } else if !size.is_multiple_of(lanes) {
            section.refuse("size", format!("must be a multiple of train.lanes = {lanes}"), nearest);
        }
    }
    History {
        size: size.unwrap_or_else(|| default_history(batch, lanes)),
        // Guards hold one copy; a second would need a second guard.
        replicas: section.whole("replicas", 0..=1).unwrap_or(1),
    }
}

/// A hundred batches, as far as 51,200 images; the paper does not say.
fn default_history(batch: u32, lanes: u32) -> u32 {
    let images = batch.saturating_mul(100).min(51_200).max(batch);
    images - images % lanes.max(1)
}

fn psi(section: &Section<'_>, recipe: &Recipe, image: Option<ImageShape>) -> Psi {
    let psi = section.choice("psi").unwrap_or(recipe.psi);
    if image.is_some_and(|image| psi.values(image) == 0) {
        section.refuse("psi", "compares neighbouring pixels, and an image of 1x1 has none", "write psi = \"identity\"");
    }
    psi
}

/// 0 switches off what a preset brings.
fn ema(section: &Section<'_>, recipe: &Recipe) -> Option<f64> {
    let wanted = "a number from 0 (none) to below 1";
    let decay = section.real("ema", wanted, |decay| (0.0..1.0).contains(&decay));
    decay.map_or(recipe.ema, |decay| (decay > 0.0).then_some(decay))
}

/// What is shifted out of the picture is gone; something has to stay.
fn shift(section: &Section<'_>, image: Option<ImageShape>) -> Option<u32> {
    let shift = section.whole("shift", 0..=u32::MOST)?;
    if let Some(side) = image.map(|image| image.height.min(image.width)).filter(|side| shift >= *side) {
        let problem = format!("must be smaller than the image's shorter side ({side})");
        section.refuse("shift", problem, format!("write at most {}", side - 1));
    }
    Some(shift)
}

/// Refiner's and discriminator's: the preset's, under `optimizer`, under `optimizer.refiner` and `.discriminator`.
fn optimizers(section: &Section<'_>, recipe: &Recipe) -> (Optimizer, Optimizer) {
    let both = Wish::read(section);
    let (refiner, discriminator) = (section.section("refiner"), section.section("discriminator"));
    let resolved = |own: &Section<'_>, preset: &Optimizer| {
        let wish = Wish::read(own);
        let resolved = wish.over(&both).resolve(own, preset);
        wish.refuse_unfit(own, &[resolved.kind]);
        resolved
    };
    let networks =
        (resolved(&refiner, &recipe.refiner_optimizer), resolved(&discriminator, &recipe.discriminator_optimizer));
    both.refuse_unfit(section, &[networks.0.kind, networks.1.kind]);
    networks
}

#[derive(Clone, Copy, PartialEq)]
enum Family {
    Sgd,
    Adam,
}

impl Family {
    fn of(kind: OptimizerKind) -> Self {
        match kind {
            OptimizerKind::Sgd { .. } => Self::Sgd,
            OptimizerKind::Adam { .. } => Self::Adam,
        }
    }
}

/// What one table says about an optimiser; the rest it leaves to others.
#[derive(Clone, Default)]
struct Wish {
    family: Option<Family>,
    lr: Option<f64>,
    decay: Option<Vec<(Step, f64)>>,
    momentum: Option<f64>,
    beta1: Option<f64>,
    beta2: Option<f64>,
    epsilon: Option<f64>,
}

impl Wish {
    fn read(section: &Section<'_>) -> Self {
        let share = |field| section.real(field, "a number from 0 to below 1", |x| (0.0..1.0).contains(&x));
        let above_zero = |field| section.real(field, "a number above 0", |x| x > 0.0);
        Self {
            family: family(section),
            lr: above_zero("lr"),
            decay: decay(section),
            momentum: share("momentum"),
            beta1: share("beta1"),
            beta2: share("beta2"),
            epsilon: above_zero("epsilon"),
        }
    }

    /// This one's words, and where it is silent the other's. A decay belongs to the rate beside it: a new rate drops it.
    fn over(&self, other: &Self) -> Self {
        let decay = match self.lr {
            Some(_) => Some(self.decay.clone().unwrap_or_default()),
            None => self.decay.clone().or_else(|| other.decay.clone()),
        };
        Self {
            family: self.family.or(other.family),
            lr: self.lr.or(other.lr),
            decay,
            momentum: self.momentum.or(other.momentum),
            beta1: self.beta1.or(other.beta1),
            beta2: self.beta2.or(other.beta2),
            epsilon: self.epsilon.or(other.epsilon),
        }
    }

    fn resolve(&self, section: &Section<'_>, preset: &Optimizer) -> Optimizer {
        let family = self.family.unwrap_or(Family::of(preset.kind));
        let kept = family == Family::of(preset.kind);
        let base = match family {
            _ if kept => preset.kind,
            Family::Sgd => OptimizerKind::SGD,
            Family::Adam => OptimizerKind::ADAM,
        };
        if !kept && self.lr.is_none() && section.sound(&["lr"]) {
            let remedy = format!("say which; {:?} was meant for the preset's", preset.lr);
            section.refuse("lr", "is missing, and a rate for another kind of optimiser does not carry over", remedy);
        }
        let decay = match (&self.decay, self.lr) {
            (Some(decay), _) => decay.clone(),
            (None, None) => preset.decay.clone(),
            (None, Some(_)) => Vec::new(),
        };
        Optimizer { kind: self.tuned(base), lr: self.lr.unwrap_or(preset.lr), decay }
    }

    fn tuned(&self, kind: OptimizerKind) -> OptimizerKind {
        match kind {
            OptimizerKind::Sgd { momentum } => OptimizerKind::Sgd { momentum: self.momentum.unwrap_or(momentum) },
            OptimizerKind::Adam { beta1, beta2, epsilon } => OptimizerKind::Adam {
                beta1: self.beta1.unwrap_or(beta1),
                beta2: self.beta2.unwrap_or(beta2),
                epsilon: self.epsilon.unwrap_or(epsilon),
            },
        }
    }

    /// A setting that no network it reaches has a use for is a mistake, not a preference.
    fn refuse_unfit(&self, section: &Section<'_>, kinds: &[OptimizerKind]) {
        let settings = [
            ("momentum", self.momentum.is_some(), Family::Sgd),
            ("beta1", self.beta1.is_some(), Family::Adam),
            ("beta2", self.beta2.is_some(), Family::Adam),
            ("epsilon", self.epsilon.is_some(), Family::Adam),
        ];
        for (field, written, family) in settings {
            if written && section.sound(&["kind"]) && !kinds.iter().any(|kind| Family::of(*kind) == family) {
                let (own, used) = match family {
                    Family::Sgd => ("sgd", "adam"),
                    Family::Adam => ("adam", "sgd"),
                };
                section.refuse(
                    field,
                    format!("belongs to {own}, and this is {used}"),
                    format!("write kind = \"{own}\", or leave it out"),
                );
            }
        }
    }
}

fn family(section: &Section<'_>) -> Option<Family> {
    match section.text("kind")? {
        "sgd" => Some(Family::Sgd),
        "adam" => Some(Family::Adam),
        _ => {
            section.refuse("kind", "must be `sgd` or `adam`", "");
            None
        }
    }
}

/// `[{ step = 600_000, lr = 5e-5 }]`, ascending.
fn decay(section: &Section<'_>) -> Option<Vec<(Step, f64)>> {
    let sections = section.sections("decay", "[{ step = 600_000, lr = 5e-5 }]")?;
    let mut decay: Vec<(Step, f64)> = Vec::new();
    for change in &sections {
        for field in ["step", "lr"] {
            if !change.says(field) {
                change.refuse(field, "is missing", "each change is { step = ..., lr = ... }");
            }
        }
        let step = change.whole("step", 1..=u64::MOST).map(Step);
        let lr = change.real("lr", "a number above 0", |lr| lr > 0.0);
        let (Some(step), Some(lr)) = (step, lr) else { continue };
        if let Some((last, _)) = decay.last().filter(|(last, _)| *last >= step) {
            change.refuse("step", format!("must be above the {last} before it"), "list changes in their order");
        }
        decay.push((step, lr));
    }
    Some(decay)
}
