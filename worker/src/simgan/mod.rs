//! SimGAN as a learner: a refiner and a discriminator trained against each other (Shrivastava et al. 2017).
//!
//! * `refiner`, `convolution`, `orderly`, `chance`, `discriminator`, `spectral`: the networks, and the noise that one sees
//! * `loss`, `shift`, `lane`: what one lane makes of its images
//! * `flat`, `optimizer`, `average`: what a whole batch's gradient does to the weights
//! * `weights`, `state`: saved states and exported networks
//! * `inference`, `tiles`: the refiner alone, for images of any size
//!
//! It knows one lane at a time and the weights; it refuses to know workers, generations, files and the coordinator. Chance
//! comes from `sumac_common::random`, never from libtorch's own generator. Every operation here has one order of addition, on one
//! thread of a CPU and on a card; where libtorch has none on a card, `orderly` has it.

mod average;
mod chance;
mod convolution;
mod discriminator;
mod flat;
mod inference;
mod lane;
mod loss;
mod optimizer;
mod orderly;
mod refiner;
mod shift;
mod spectral;
mod state;
#[cfg(test)]
mod tests;
mod tiles;
mod weights;

pub use flat::Gradient;
pub use inference::RefinerNet;

use crate::{
    learner::{Images, LearnError, Learner, Meal, Portion, Sets},
    native::precision::{Autocast, ShortProducts},
};
use average::Average;
use discriminator::Discriminator;
use flat::{Flat, Place, place};
use inference::Easel;
use lane::Opponent;
use optimizer::Optimizer;
use refiner::Refiner;
use shift::Shift;
use spectral::SingularPair;
use sumac_common::{
    device::Device,
    ids::{ContentId, Lane, Step},
    losses::Mean,
    random::{self, Stream},
    schedule::{Network, Phase},
    spec::{ImageShape, Precision, Spec, Train},
};
use tch::{TchError, Tensor, no_grad};

/// Both networks, their optimisers and the refiner's moving average.
pub struct SimGan {
    place: Place,
    shape: ImageShape,
    train: Train,
    lambda: f64,
    /// Local patches per image.
    patches: u64,
    /// Values of psi per image.
    psi_values: u64,
    shift: Shift,
    refiner: Trained<Refiner>,
    discriminator: Trained<Discriminator>,
    /// One per convolution of the discriminator; empty without spectral normalisation.
    singular: Vec<SingularPair>,
    average: Option<Average>,
    sets: Sets,
}

/// A network, its weights and their optimiser.
struct Trained<Net> {
    net: Net,
    flat: Flat,
    optimizer: Optimizer,
}

impl SimGan {
    /// The state before step 0, on that device: the same on every worker.
    ///
    /// # Errors
    /// If libtorch refuses, out of memory for instance.
    pub fn with(spec: &Spec, sets: &Sets, device: Device) -> Result<Self, LearnError> {
        let simgan = Self::at(spec, place(device)).map_err(engine("laying out the networks"))?;
        Ok(Self { sets: sets.clone(), ..simgan })
    }

    /// On the CPU, without data sets: no image gets another one's light.
    ///
    /// # Errors
    /// If libtorch refuses, out of memory for instance.
    pub fn new(spec: &Spec) -> Result<Self, LearnError> {
        Self::with(spec, &Sets::default(), Device::Cpu)
    }

    fn at(spec: &Spec, place: Place) -> Result<Self, TchError> {
        let (shape, train, model) = (spec.what.data.image, spec.what.train.clone(), &spec.what.model);
        let mut init = random::stream(train.seed, Stream::Init, Lane(0), Step(0));

        let refiner = Refiner { spec: model.refiner.clone() };
        let refiner_flat = Flat::uniform(model.refiner.tensors(shape.channels), place, &mut init)?;
        let mut weights = refiner_flat.views()?;
        if refiner.starts_as_identity() {
            weights[refiner.last_convolution()].iter_mut().try_for_each(|last| last.f_zero_().map(drop))?;
        }
        // The head for light begins with little to say.
        if let [weight, bias] =
            &mut weights[refiner.last_convolution().end..].iter_mut().skip(2).collect::<Vec<_>>()[..]
        {
            let _ = weight.f_mul_scalar_(0.3)?;
            let _ = bias.f_zero_()?;
        }
        let discriminator = Discriminator::new(model.discriminator.clone(), place)?;
        let discriminator_flat = Flat::uniform(model.discriminator.tensors(shape.channels), place, &mut init)?;

        let mut singular_start = random::stream(train.seed, Stream::SpectralNorm, Lane(0), Step(0));
        let normalised = if model.discriminator.spectral_norm { discriminator_flat.views()? } else { Vec::new() };
        let singular = normalised
            .iter()
            .step_by(2)
            .map(|weight| SingularPair::warmed_up(weight, &mut singular_start))
            .collect::<Result<_, _>>()?;

        Ok(Self {
            place,
            shape,
            // A run has one before anything is trained.
            lambda: train.lambda.unwrap_or_default(),
            patches: model.discriminator.patches(shape) as u64,
            psi_values: train.psi.values(shape) as u64,
            shift: Shift::up_to(train.shift),
            average: train.ema.map(|decay| Average::of(&refiner_flat, decay)).transpose()?,
            refiner: Trained {
                net: refiner,
                optimizer: Optimizer::new(&train.refiner, &refiner_flat.values)?,
                flat: refiner_flat,
            },
            discriminator: Trained {
                net: discriminator,
                optimizer: Optimizer::new(&train.discriminator, &discriminator_flat.values)?,
                flat: discriminator_flat,
            },
            singular,
            sets: Sets::default(),
            train,
        })
    }

    /// The discriminator's parameters as its convolutions use them: normalised, if the spec says so.
    fn discriminator_weights(&self, parameters: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
        let mut weights: Vec<Tensor> = parameters.iter().map(Tensor::shallow_clone).collect();
        for (pair, weight) in self.singular.iter().zip(weights.iter_mut().step_by(2)) {
            *weight = pair.normalised(weight)?;
        }
        Ok(weights)
    }

    /// What chance an image has. Where nothing is known of the sets, by its number.
    fn draw(&self, id: &ContentId) -> u64 {
        self.sets.draws.get(id.sample.0 as usize).copied().unwrap_or(id.sample.0)
    }

    /// Synthetic images as the refiner's convolutions see them.
    fn matched(&self, images: &Images) -> Images {
        let mut matched = images.clone();
        for (id, image) in images.ids.iter().zip(matched.pixels.chunks_exact_mut(self.shape.len())) {
            self.sets.lights.lend(image, self.draw(id));
        }
        matched
    }

    /// The weights that refine: the moving average's where one is kept.
    fn refining(&self) -> &Flat {
        self.average.as_ref().map_or(&self.refiner.flat, |average| &average.weights)
    }

    /// A network's forward pass in the run's precision; what comes out is in that of sums.
    fn forward(&self, pass: impl FnOnce() -> Result<Tensor, TchError>) -> Result<Tensor, TchError> {
        let _while_it_passes = (self.train.precision == Precision::Bf16).then(|| Autocast::on(self.place.1));
        pass()?.f_to_kind(self.place.0)
    }

    fn update_refiner(&mut self, gradient: &Tensor, step: Step) -> Result<(), TchError> {
        let Trained { flat, optimizer, .. } = &mut self.refiner;
        optimizer.update(&mut flat.values, gradient, step)?;
        self.average.as_mut().map_or(Ok(()), |average| average.take_in(&flat.values))
    }

    fn update_discriminator(&mut self, gradient: &Tensor, step: Step) -> Result<(), TchError> {
        let Trained { flat, optimizer, .. } = &mut self.discriminator;
        optimizer.update(&mut flat.values, gradient, step)?;
        for (pair, weight) in self.singular.iter_mut().zip(flat.views()?.iter().step_by(2)) {
            *pair = pair.iterated(weight)?;
        }
        Ok(())
    }
}

impl Learner for SimGan {
    type Sum = Gradient;

    fn chew(&mut self, meal: &Meal) -> Result<Portion<Gradient>, LearnError> {
        let _until_both_passes_are_done = (self.train.precision == Precision::Tf32).then(ShortProducts::new);
        match meal.phase {
            Phase::PretrainRefiner => self.refiner_portion(meal, Opponent::None),
            Phase::Refiner => self.refiner_portion(meal, Opponent::Discriminator),
            Phase::PretrainDiscriminator | Phase::Discriminator => self.discriminator_portion(meal),
        }
    }

    fn apply(&mut self, phase: Phase, step: Step, gradient: &Gradient) -> Result<(), LearnError> {
        no_grad(|| match phase.network() {
            Network::Refiner => self.update_refiner(&gradient.0, step),
            Network::Discriminator => self.update_discriminator(&gradient.0, step),
        })
        .map_err(engine("applying the whole batch's gradient"))
    }

    fn zero(&self, phase: Phase) -> Gradient {
        match phase.network() {
            Network::Refiner => self.refiner.flat.zero_gradient(),
            Network::Discriminator => self.discriminator.flat.zero_gradient(),
        }
    }

    fn save(&self) -> Result<Vec<u8>, LearnError> {
        self.saved()
    }

    fn load(&mut self, saved: &[u8]) -> Result<(), LearnError> {
        self.take_over(saved)
    }

    fn refine(&self, images: &Images) -> Result<Images, LearnError> {
        let weights = self.refining().views().map_err(engine("refining images"))?;
        let easel = Easel { lights: &self.sets.lights, ..Easel::of(&self.refiner.net, &weights, self.place) };
        let draws: Vec<u64> = images.ids.iter().map(|id| self.draw(id)).collect();
        let pixels = easel.refine(&images.pixels, self.shape, &draws, &|| true)?;
        Ok(Images { ids: images.ids.clone(), pixels: pixels.expect("nobody said stop") })
    }

    fn pull(&self, images: &Images) -> Result<Mean, LearnError> {
        self.pull_at(images)
    }

    fn export(&self) -> Result<Vec<(&'static str, Vec<u8>)>, LearnError> {
        self.exported()
    }
}

/// What libtorch said, without the C++ stack it says it with.
fn engine(attempt: &'static str) -> impl Fn(TchError) -> LearnError {
    move |error| {
        let text = error.to_string();
        LearnError::Engine { attempt, reason: text.lines().next().unwrap_or_default().to_owned() }
    }
}
