//! A learner whose answer is known: every image adds a vector that is a function of its name, its pixels and the weights.
//!
//! It stands in for SimGAN where the run itself is tested: the numbers are small floats whose sum depends on the order of
//! addition, so equal states mean that nothing was lost, doubled, reordered or mixed up. No tensors.

use crate::{
    bytes::{Reader, Writer},
    learner::{Images, LearnError, Learner, Meal, Portion, Took},
};
use sumac_common::{
    ids::{ContentId, Step},
    losses::{Losses, Mean},
    schedule::{Network, Phase},
};

/// Length of each network's weights.
const WEIGHTS: usize = 61;
const RATE: f32 = 1e-3;

#[derive(Clone, Debug, PartialEq)]
pub struct Toy {
    /// Refiner, discriminator.
    weights: [Vec<f32>; 2],
}

impl Default for Toy {
    fn default() -> Self {
        let start = |salt: u64| (0..WEIGHTS as u64).map(|i| fraction(salt, i)).collect();
        Self { weights: [start(1), start(2)] }
    }
}

fn which(phase: Phase) -> usize {
    match phase.network() {
        Network::Refiner => 0,
        Network::Discriminator => 1,
    }
}

/// A number in [-1, 1) that is a function of two others (the finaliser of SplitMix64).
fn fraction(a: u64, b: u64) -> f32 {
    let mut x = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_add(0x632b_e59b_d9b4_e019);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

fn name(id: &ContentId) -> u64 {
    id.sample.0.wrapping_mul(1_000_003).wrapping_add(id.step.0)
}

impl Toy {
    fn add(&self, images: &Images, salt: u64, of: usize, sum: &mut [f32]) -> f64 {
        let stride = images.pixels.len() / images.len().max(1);
        let mut loss = 0.0;
        for (i, id) in images.ids.iter().enumerate() {
            let brightness: f32 = images.pixels[i * stride..][..stride].iter().sum::<f32>() / stride.max(1) as f32;
            for (j, (sum, weight)) in sum.iter_mut().zip(&self.weights[of]).enumerate() {
                *sum += fraction(name(id) ^ salt, j as u64) * (1.0 + 0.25 * brightness) + 0.01 * weight;
            }
            loss += f64::from(brightness.abs());
        }
        loss
    }

    fn refined(&self, images: &Images, step: Step) -> Images {
        let weights = &self.weights[0];
        Images {
            ids: images.ids.iter().map(|id| ContentId { sample: id.sample, step }).collect(),
            pixels: images.pixels.iter().enumerate().map(|(i, x)| 0.75 * x + 0.05 * weights[i % WEIGHTS]).collect(),
        }
    }
}

impl Learner for Toy {
    type Sum = Vec<f32>;

    fn chew(&mut self, meal: &Meal) -> Result<Portion<Vec<f32>>, LearnError> {
        let of = which(meal.phase);
        let mut sum = vec![0.0; WEIGHTS];
        let refined = self.refined(&meal.synthetic, meal.step);
        let ours = self.add(&refined, 1, of, &mut sum) + self.add(&meal.history, 2, of, &mut sum);
        let theirs = self.add(&meal.real, 3, of, &mut sum);
        let stride = refined.pixels.len() / refined.len().max(1);
        let fresh =
            Images { ids: refined.ids[..meal.keep].to_vec(), pixels: refined.pixels[..meal.keep * stride].to_vec() };
        let ours = Mean::of(ours, (meal.synthetic.len() + meal.history.len()) as u64);
        let losses = match meal.phase.network() {
            Network::Refiner => Losses { realism: ours, ..Losses::default() },
            Network::Discriminator => {
                Losses { on_refined: ours, on_real: Mean::of(theirs, meal.real.len() as u64), ..Losses::default() }
            }
        };
        Ok(Portion { sum, losses, fresh, took: Took::default() })
    }

    fn apply(&mut self, phase: Phase, _: Step, gradient: &Vec<f32>) -> Result<(), LearnError> {
        self.weights[which(phase)].iter_mut().zip(gradient).for_each(|(weight, gradient)| *weight -= RATE * gradient);
        Ok(())
    }

    fn zero(&self, _: Phase) -> Vec<f32> {
        vec![0.0; WEIGHTS]
    }

    fn save(&self) -> Result<Vec<u8>, LearnError> {
        let mut out = Writer::default();
        self.weights.iter().for_each(|weights| out.f32s(weights));
        Ok(out.done())
    }

    fn load(&mut self, saved: &[u8]) -> Result<(), LearnError> {
        let mut reader = Reader::new(saved);
        let read = (reader.f32s(), reader.f32s(), reader.end());
        let (Ok(refiner), Ok(discriminator), Ok(())) = read else {
            return Err(LearnError::Misfit("not the two vectors of a toy".to_owned()));
        };
        if refiner.len() != WEIGHTS || discriminator.len() != WEIGHTS {
            return Err(LearnError::Misfit(format!("vectors of {} and {}", refiner.len(), discriminator.len())));
        }
        self.weights = [refiner, discriminator];
        Ok(())
    }

    fn refine(&self, images: &Images) -> Result<Images, LearnError> {
        Ok(self.refined(images, Step(0)))
    }

    /// Of a discriminator that pulls at what is bright.
    fn pull(&self, images: &Images) -> Result<Mean, LearnError> {
        let bright = images.pixels.iter().map(|value| f64::from(value.abs() * self.weights[1][0].abs()));
        Ok(Mean::of(bright.sum(), images.pixels.len() as u64))
    }

    fn export(&self) -> Result<Vec<(&'static str, Vec<u8>)>, LearnError> {
        let file = |weights: &Vec<f32>| {
            let mut out = Writer::default();
            out.f32s(weights);
            out.done()
        };
        Ok(vec![("refiner.safetensors", file(&self.weights[0])), ("discriminator.safetensors", file(&self.weights[1]))])
    }
}
