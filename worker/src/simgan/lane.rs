//! One lane's forward and backward pass, for either network. Reads weights, changes none.
//!
//! Sums are divided by the counts of the *whole* batch, so that the lanes' gradients add up to the batch's whatever the
//! number of lanes, and lambda means the same at any batch size and resolution:
//!
//! * refiner: CE(real) / (b patches) + lambda |psi(R(x)) - psi(x)| / (b values of psi)
//! * discriminator: [CE(refined) / (b patches) + CE(real) / (b patches)] / 2, the refined half being fresh and history images
//!
//! Everything is computed on freshly allocated tensors: the same layout and alignment whoever executes the lane.

use super::{
    SimGan,
    chance::{self, Chance, Drawn},
    engine,
    flat::Gradient,
    loss::{self, Class},
};
use crate::learner::{Images, LearnError, Meal, Portion, Took};
use std::time::Instant;
use sumac_common::{
    ids::{ContentId, Step},
    losses::{Losses, Mean},
    random::{self, Stream},
    spec::Psi,
};
use tch::{Device, Kind, TchError, Tensor, no_grad};

/// Whether the refiner is already trained against the discriminator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opponent {
    None,
    Discriminator,
}

impl SimGan {
    /// A refiner step (eq. 4 of the paper). The discriminator's weights are constants here.
    pub(crate) fn refiner_portion(&self, meal: &Meal, opponent: Opponent) -> Result<Portion<Gradient>, LearnError> {
        let synthetic_bchw = self.tensor(&self.matched(&meal.synthetic))?;
        let portion = || {
            let begun = Instant::now();
            let n = meal.synthetic.len() as u64;
            let leaves = self.refiner.flat.leaves()?;
            let noise = self.noise(meal)?;
            let refined_bchw = self.forward(|| self.refiner.net.forward(&leaves, &synthetic_bchw, &noise))?;
            let distance = loss::distance(self.train.psi, &refined_bchw, &synthetic_bchw)?;
            let mut total = distance.f_mul_scalar(self.lambda / self.per_batch(self.psi_values))?;
            let change = no_grad(|| loss::distance(Psi::Identity, &refined_bchw, &synthetic_bchw))?;
            let mut realism = None;
            if opponent == Opponent::Discriminator {
                let logits =
                    self.judge(meal, &self.discriminator_weights(&self.discriminator.flat.views()?)?, &refined_bchw)?;
                let of_patches = loss::cross_entropy(&logits, Class::Real)?;
                total = total.f_add(&of_patches.f_div_scalar(self.per_batch(self.patches))?)?;
                realism = Some(of_patches);
            }
            let forward = begun.elapsed();
            let sum = self.refiner.flat.backward(&total, &leaves)?;
            // Where nobody judges, the first is read in its place and counts for nothing.
            let [distance, change, of_patches] = read([&distance, &change, realism.as_ref().unwrap_or(&distance)])?;
            let losses = Losses {
                regularisation: Mean::of(distance, n * self.psi_values),
                change: Mean::of(change, n * self.shape.len() as u64),
                realism: realism.map_or_else(Mean::default, |_| Mean::of(of_patches, n * self.patches)),
                ..Losses::default()
            };
            let took = Took { forward, backward: begun.elapsed() - forward };
            Ok(Portion { sum, losses, fresh: Images::default(), took })
        };
        portion().map_err(engine("computing a lane's part of a refiner step"))
    }

    /// A discriminator step (eq. 2). The refiner runs without a graph: its weights are constants here, and history images
    /// go straight to the discriminator, past the refiner that made them long ago.
    pub(crate) fn discriminator_portion(&self, meal: &Meal) -> Result<Portion<Gradient>, LearnError> {
        let synthetic_bchw = self.tensor(&self.matched(&meal.synthetic))?;
        let history_bchw = self.tensor(&meal.history)?;
        let real_bchw = self.tensor(&meal.real)?;
        let portion = || {
            let begun = Instant::now();
            let noise = self.noise(meal)?;
            let fresh_bchw = no_grad(|| {
                self.forward(|| self.refiner.net.forward(&self.refiner.flat.views()?, &synthetic_bchw, &noise))
            })?;
            let refined = fresh_bchw.size()[0] + history_bchw.size()[0];
            let real = real_bchw.size()[0];
            let leaves = self.discriminator.flat.leaves()?;
            let weights = self.discriminator_weights(&leaves)?;
            let seen_bchw = Tensor::f_cat(&[&fresh_bchw, &history_bchw, &real_bchw], 0)?;
            let logits = self.judge(meal, &weights, &seen_bchw)?;
            let (of_refined, of_real) = (logits.f_narrow(0, 0, refined)?, logits.f_narrow(0, refined, real)?);
            let on_refined = loss::cross_entropy(&of_refined, Class::Refined)?;
            let on_real = loss::cross_entropy(&of_real, Class::Real)?;
            let total = on_refined.f_add(&on_real)?.f_div_scalar(2.0 * self.per_batch(self.patches))?;
            let (refined_patches, real_patches) = (refined as u64 * self.patches, real as u64 * self.patches);
            let right_on_refined = loss::taken_for(&of_refined, Class::Refined)?;
            let right_on_real = loss::taken_for(&of_real, Class::Real)?;
            let forward = begun.elapsed();
            let sum = self.discriminator.flat.backward(&total, &leaves)?;
            let [on_refined, on_real, right_on_refined, right_on_real] =
                read([&on_refined, &on_real, &right_on_refined, &right_on_real])?;
            let losses = Losses {
                on_refined: Mean::of(on_refined, refined_patches),
                on_real: Mean::of(on_real, real_patches),
                right_on_refined: Mean::of(right_on_refined, refined_patches),
                right_on_real: Mean::of(right_on_real, real_patches),
                ..Losses::default()
            };
            let took = Took { forward, backward: begun.elapsed() - forward };
            Ok(Portion { sum, losses, fresh: kept(meal, &fresh_bchw)?, took })
        };
        portion().map_err(engine("computing a lane's part of a discriminator step"))
    }

    /// The gradient of realism at images that are not refined, which nothing else is added to.
    pub(crate) fn pull_at(&self, images: &Images) -> Result<Mean, LearnError> {
        let images_bchw = self.tensor(&self.matched(images))?;
        let pull = || {
            let leaf = images_bchw.f_set_requires_grad(true)?;
            let weights = self.discriminator_weights(&self.discriminator.flat.views()?)?;
            let logits = self.discriminator.net.forward(&weights, &leaf)?;
            let realism = loss::cross_entropy(&logits, Class::Real)?.f_div_scalar(self.patches as f64)?;
            let gradients = Tensor::f_run_backward(&[&realism], &[&leaf], false, false)?;
            let strength = gradients.first().map(|gradient| gradient.f_abs()?.f_sum(Kind::Double)).transpose()?;
            let strength = strength.map_or(Ok(0.0), |strength| strength.f_double_value(&[]))?;
            Ok(Mean::of(strength, images.pixels.len() as u64))
        };
        pull().map_err(engine("asking the discriminator where it pulls"))
    }

    /// The discriminator's logits of images shifted by the lane's draws for this step.
    fn judge(&self, meal: &Meal, weights: &[Tensor], images_bchw: &Tensor) -> Result<Tensor, TchError> {
        let mut rng = random::stream(self.train.seed, Stream::Shift, meal.lane, meal.step);
        let shifted_bchw = self.shift.apply(images_bchw, &mut rng)?;
        self.forward(|| self.discriminator.net.forward(weights, &shifted_bchw))
    }

    /// What the refiner sees beside the lane's synthetic images in this step.
    fn noise(&self, meal: &Meal) -> Result<Drawn, TchError> {
        let size = (self.shape.height as usize, self.shape.width as usize);
        let mut chance = Chance::none(&self.refiner.net.spec, size);
        if self.refiner.net.spec.is_random() {
            let mut rng = random::stream(self.train.seed, Stream::Noise, meal.lane, meal.step);
            (0..meal.synthetic.len()).for_each(|_| chance.draw(&mut rng));
        }
        chance.drawn(self.place)
    }

    fn per_batch(&self, per_image: u64) -> f64 {
        (u64::from(self.train.batch) * per_image) as f64
    }

    /// `[n, c, h, w]`, freshly allocated.
    pub(crate) fn tensor(&self, images: &Images) -> Result<Tensor, LearnError> {
        let attempt = "laying out a lane's images";
        let wanted = images.len() * self.shape.len();
        if images.pixels.len() != wanted {
            let reason =
                format!("{} images came with {} pixel values, not {wanted}", images.len(), images.pixels.len());
            return Err(LearnError::Engine { attempt, reason });
        }
        check_range(&images.pixels, attempt)?;
        let (channels, height, width) = (self.shape.channels, self.shape.height, self.shape.width);
        let size = [images.len() as i64, i64::from(channels), i64::from(height), i64::from(width)];
        chance::tensor(&images.pixels, &size, self.place).map_err(engine(attempt))
    }
}

/// A pixel that is not a number passes: in training it makes a gradient that is none either, and a skipped step.
pub(crate) fn check_range(pixels: &[f32], attempt: &'static str) -> Result<(), LearnError> {
    match pixels.iter().find(|pixel| pixel.abs() > 1.0) {
        Some(pixel) => {
            let reason = format!("a pixel is {pixel}, outside of [-1, 1]");
            Err(LearnError::Engine { attempt, reason })
        }
        None => Ok(()),
    }
}

/// Images out of the engine: `[n, c, h, w]`, row-major.
pub(crate) fn pixels(images_bchw: &Tensor) -> Result<Vec<f32>, TchError> {
    let flat = images_bchw.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
    let mut pixels = vec![0.0; flat.numel()];
    flat.f_copy_data(&mut pixels, flat.numel())?;
    Ok(pixels)
}

/// The refined images that the history takes, under their names.
fn kept(meal: &Meal, fresh_bchw: &Tensor) -> Result<Images, TchError> {
    let named = |made_from: &ContentId, step: Step| ContentId { sample: made_from.sample, step };
    Ok(Images {
        ids: meal.synthetic.ids.iter().take(meal.keep).map(|id| named(id, meal.step)).collect(),
        pixels: pixels(&fresh_bchw.f_narrow(0, 0, meal.keep as i64)?)?,
    })
}

/// Sums as numbers, fetched together: whoever fetches waits for all that was asked of a card.
fn read<const N: usize>(sums: [&Tensor; N]) -> Result<[f64; N], TchError> {
    let doubles = sums.iter().map(|sum| sum.f_detach()?.f_to_kind(Kind::Double)).collect::<Result<Vec<_>, _>>()?;
    let mut values = [0.0; N];
    Tensor::f_stack(&doubles, 0)?.f_to_device(Device::Cpu)?.f_copy_data(&mut values, N)?;
    Ok(values)
}
