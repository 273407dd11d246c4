//! What a learner's state is called: in a saved state, and in the files a finished run leaves for others.
//!
//! A saved state is one safetensors file: `refiner.<name>`, `discriminator.<name>`, `ema.<name>`,
//! `optimizer.<network>.<vector>` (flat, in the order of the weights) and, with spectral normalisation,
//! `discriminator.layers.<n>.u` and `.v`, and where the refiner lends the light of real images, `match.mean` and `match.deviation`, which an
//! exported refiner has as well; its metadata `sumac` counts the updates behind each. Weights are row-major
//! `[maps out, maps in, height, width]`, however they lie in memory.
//!
//! An exported network fits a plain PyTorch module (`load_state_dict(safetensors.torch.load_file(...))`):
//!
//! ```python
//! class Block(nn.Module):                     # blocks.N
//!     def __init__(s, f, k):
//!         super().__init__(); s.conv1, s.conv2 = (nn.Conv2d(f, f, k, padding=k // 2) for _ in range(2))
//!     def forward(s, x): return F.relu(x + s.conv2(F.relu(s.conv1(x))))
//! class Refiner(nn.Module):
//!     def __init__(s, c, f, k, blocks):
//!         super().__init__(); s.conv_in = nn.Conv2d(c, f, k, padding=k // 2)
//!         s.blocks = nn.Sequential(*(Block(f, k) for _ in range(blocks))); s.conv_out = nn.Conv2d(f, c, 1)
//!     def forward(s, x):                      # or (x + g).clamp(-1, 1)
//!         g = s.conv_out(s.blocks(F.relu(s.conv_in(x)))); return g.tanh()
//!                                             # noise and light: coordinator/src/cli/export/refiner.py
//! class Discriminator(nn.Module):             # layers.N: N counts the pools too
//!     def __init__(s, layers):                # Conv2d(..., padding=k // 2) and MaxPool2d(k, s, k // 2), in the spec's order
//!         super().__init__(); s.layers = nn.ModuleList(layers)
//!     def forward(s, x):                      # an activation after every convolution but the last
//!         for l in s.layers[:-1]: x = F.relu(l(x)) if isinstance(l, nn.Conv2d) else l(x)
//!         return s.layers[-1](x)
//! ```

use super::{
    SimGan, Trained, engine,
    flat::Flat,
    spectral::SingularPair,
    weights::{self, Named},
};
use crate::learner::{LearnError, Lights, Sets};
use serde::{Deserialize, Serialize};
use sumac_common::spec::{
    Spec,
    model::{Matching, TensorShape},
};
use tch::{Device, Kind, TchError, Tensor, no_grad};

/// The metadata key of a saved state.
const NOTE: &str = "sumac";
/// The metadata key of an exported network, and its text: what PyTorch's own files carry.
const FORMAT: (&str, &str) = ("format", "pt");
/// The attempt at taking over such a network.
pub(super) const EXPORTED: &str = "taking over an exported refiner";

/// Updates behind the state's parts: what Adam's bias correction and the average's warm-up go by.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Updates {
    refiner: u64,
    discriminator: u64,
    ema: u64,
}

impl SimGan {
    /// The refiner that a finished run left as `refiner.safetensors`, to refine with; all else is as before step 0.
    ///
    /// # Errors
    /// [`LearnError::Misfit`] if these bytes are not such a file, or one of another refiner than the spec's.
    pub fn of_exported(spec: &Spec, refiner: &[u8]) -> Result<Self, LearnError> {
        let simgan = Self::new(spec)?;
        let average = simgan.average.as_ref().map(|average| &average.weights);
        let flats = [&simgan.refiner.flat].into_iter().chain(average);
        let lights = take_over_exported(flats, spec.what.model.refiner.matching, refiner)?;
        Ok(Self { sets: Sets { lights, ..Sets::default() }, ..simgan })
    }

    pub(super) fn saved(&self) -> Result<Vec<u8>, LearnError> {
        let updates = Updates {
            refiner: self.refiner.optimizer.updates,
            discriminator: self.discriminator.optimizer.updates,
            ema: self.average.as_ref().map_or(0, |average| average.updates),
        };
        let note = serde_json::to_string(&updates).expect("three integers have a JSON form");
        weights::write(&self.tensors().map_err(engine("gathering the state"))?, (NOTE, note))
    }

    pub(super) fn take_over(&mut self, saved: &[u8]) -> Result<(), LearnError> {
        let present = self.tensors().map_err(engine("gathering the state"))?;
        let (incoming, note) = weights::read(saved, &present, NOTE)?;
        let updates: Updates = serde_json::from_str(&note).map_err(|error| {
            LearnError::Misfit(format!("its metadata `{NOTE}` is not the counts of updates: {error}"))
        })?;
        // From here on nothing can misfit: every tensor has the shape and kind of the one it replaces.
        no_grad(|| present.into_iter().zip(&incoming).try_for_each(|((_, mut now), then)| now.f_copy_(then)))
            .map_err(engine("taking over a saved state"))?;
        self.refiner.optimizer.updates = updates.refiner;
        self.discriminator.optimizer.updates = updates.discriminator;
        if let Some(average) = &mut self.average {
            average.updates = updates.ema;
        }
        Ok(())
    }

    pub(super) fn exported(&self) -> Result<Vec<(&'static str, Vec<u8>)>, LearnError> {
        let of_discriminator = || {
            let flat = &self.discriminator.flat;
            let weights = no_grad(|| self.discriminator_weights(&flat.views()?))?;
            Ok(flat
                .parameters
                .iter()
                .zip(weights)
                .map(|(parameter, weight)| (parameter.name.clone(), weight))
                .collect())
        };
        let attempt = "gathering the networks for export";
        let mut refiner: Vec<Named> = named("", self.refining()).map_err(engine(attempt))?;
        refiner.extend(lights(&self.sets.lights).map_err(engine(attempt))?);
        let discriminator: Vec<Named> = of_discriminator().map_err(engine(attempt))?;
        let note = || (FORMAT.0, FORMAT.1.to_owned());
        Ok(vec![
            ("refiner.safetensors", weights::write(&refiner, note())?),
            ("discriminator.safetensors", weights::write(&discriminator, note())?),
        ])
    }

    /// The whole state as views: what is written into them is in force.
    fn tensors(&self) -> Result<Vec<Named>, TchError> {
        let mut tensors = named("refiner.", &self.refiner.flat)?;
        tensors.extend(named("discriminator.", &self.discriminator.flat)?);
        if let Some(average) = &self.average {
            tensors.extend(named("ema.", &average.weights)?);
        }
        tensors.extend(lights(&self.sets.lights)?);
        tensors.extend(moments("refiner", &self.refiner));
        tensors.extend(moments("discriminator", &self.discriminator));
        let convolutions = self.discriminator.flat.parameters.iter().step_by(2);
        for (weight, SingularPair { u, v }) in convolutions.zip(&self.singular) {
            let layer = weight.name.trim_end_matches(".weight");
            tensors.push((format!("discriminator.{layer}.u"), u.shallow_clone()));
            tensors.push((format!("discriminator.{layer}.v"), v.shallow_clone()));
        }
        Ok(tensors)
    }
}

/// Puts an exported refiner's weights into each of these; and the lights that it lends.
pub(super) fn take_over_exported<'a>(
    flats: impl IntoIterator<Item = &'a Flat>,
    matching: Matching,
    refiner: &[u8],
) -> Result<Lights, LearnError> {
    let mut lent = Lights::default();
    for flat in flats {
        let mut present = named("", flat).map_err(engine(EXPORTED))?;
        let parameters = present.len();
        if matching == Matching::Image {
            // As many as the file says: only what it is called is known before.
            let [images, channels] = weights::extent(refiner, LIGHTS[0])?;
            let like = || Tensor::f_zeros([images, channels], (Kind::Float, Device::Cpu));
            for name in LIGHTS {
                present.push((name.to_owned(), like().map_err(engine(EXPORTED))?));
            }
        }
        let (incoming, _) = weights::read(refiner, &present, FORMAT.0)?;
        no_grad(|| {
            present.into_iter().zip(&incoming).take(parameters).try_for_each(|((_, mut now), then)| now.f_copy_(then))
        })
        .map_err(engine(EXPORTED))?;
        if let [mean, deviation] = &incoming[parameters..] {
            let values = |tensor: &Tensor| Vec::try_from(tensor.flatten(0, 1)).map_err(engine(EXPORTED));
            lent = Lights { channels: mean.size()[1] as usize, mean: values(mean)?, deviation: values(deviation)? };
        }
    }
    Ok(lent)
}

/// What the lights of real images are called that a refiner lends, `[n, channels]` each.
const LIGHTS: [&str; 2] = ["match.mean", "match.deviation"];

fn lights(lights: &Lights) -> Result<Vec<Named>, TchError> {
    if lights.is_empty() {
        return Ok(Vec::new());
    }
    let size = [lights.len() as i64, lights.channels as i64];
    let tensor = |values: &[f32]| Tensor::f_from_slice(values)?.f_view(size);
    let [mean, deviation] = LIGHTS.map(str::to_owned);
    Ok(vec![(mean, tensor(&lights.mean)?), (deviation, tensor(&lights.deviation)?)])
}

fn named(prefix: &str, flat: &Flat) -> Result<Vec<Named>, TchError> {
    let name = |parameter: &TensorShape| format!("{prefix}{}", parameter.name);
    Ok(flat.parameters.iter().map(name).zip(flat.views()?).collect())
}

fn moments<Net>(network: &str, trained: &Trained<Net>) -> Vec<Named> {
    let names = trained.optimizer.names().iter().map(|vector| format!("optimizer.{network}.{vector}"));
    names.zip(trained.optimizer.moments.iter().map(Tensor::shallow_clone)).collect()
}
