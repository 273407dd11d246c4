//! What a worker's numbers depend on, and a small forward and backward pass whose hash stands for all that was forgotten.
//! Refuses to know jobs.

use crate::learner::LearnError;
use sumac_common::conversation::Fingerprint;

/// Without tensors: plain f32 arithmetic of this build.
#[cfg(not(feature = "torch"))]
pub fn on_cpu(threads: u32) -> Result<Fingerprint, LearnError> {
    Ok(Fingerprint {
        libtorch: "none".to_owned(),
        device: "cpu".to_owned(),
        instructions: std::env::consts::ARCH.to_owned(),
        threads,
        canary: sumac_common::ids::Digest::of(env!("CARGO_PKG_VERSION").as_bytes()),
    })
}

#[cfg(feature = "torch")]
pub use torch::{on_cpu, use_threads};

/// Of tensors there are none.
#[cfg(not(feature = "torch"))]
pub fn use_threads(_: u32) {}

#[cfg(feature = "torch")]
mod torch {
    use super::{Fingerprint, LearnError};
    use crate::{
        learner::{Images, Learner, Meal},
        link::gloo::AsTensor,
        native::{Facts, NativeError},
        simgan::SimGan,
    };
    use sumac_common::{
        ids::{ContentId, Digest, Lane, Step},
        random::{self, Stream},
        schedule::Phase,
        spec,
    };

    /// Of this process on its CPU; from now on it uses so many threads.
    pub fn on_cpu(threads: u32) -> Result<Fingerprint, LearnError> {
        let facts = Facts::read().map_err(|error: NativeError| LearnError::Engine {
            attempt: "read libtorch's facts",
            reason: error.to_string(),
        })?;
        use_threads(threads);
        Ok(Fingerprint {
            libtorch: facts.libtorch,
            device: "cpu".to_owned(),
            instructions: facts.cpu_capability,
            threads,
            canary: canary()?,
        })
    }

    /// What the calling thread computes with from now on: each thread that computes has to say so itself.
    pub fn use_threads(threads: u32) {
        tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    }

    /// Small networks of the kind that is trained, one lane, each network's gradient.
    fn canary() -> Result<Digest, LearnError> {
        const SPEC: &str = "name = \"canary\"\nmodel.preset = \"digits\"\n[data]\nsynthetic = \"-\"\nreal = \"-\"\n\
                            [train]\nsteps = 2\nbatch = 16\nlanes = 1\nhistory.size = 16\n";
        let spec = spec::read(SPEC, &[]).expect("the canary's spec is a constant that the tests read");
        let shape = spec.what.data.image;
        let images = |n: usize, stream: Stream| {
            let mut chance = random::stream(1, stream, Lane(0), Step(0));
            let pixels = (0..n * shape.len()).map(|_| random::uniform(&mut chance) * 2.0 - 1.0).collect();
            Images { ids: vec![ContentId::default(); n], pixels }
        };
        let mut learner = SimGan::new(&spec)?;
        let mut digest = Digest::default();
        for phase in [Phase::Refiner, Phase::Discriminator] {
            let meal = Meal {
                step: Step(0),
                phase,
                lane: Lane(0),
                synthetic: images(16, Stream::Synthetic),
                real: if phase == Phase::Refiner { Images::default() } else { images(16, Stream::Real) },
                history: Images::default(),
                keep: 0,
            };
            let gradient = learner.chew(&meal)?.sum.tensor();
            let values: Vec<f32> = Vec::try_from(gradient.contiguous()).unwrap_or_default();
            digest = digest.then(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
        }
        Ok(digest)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_canary_sings_the_same_song_twice() {
            let once = on_cpu(1).unwrap();
            assert_eq!(on_cpu(1).unwrap(), once);
            assert_ne!(once.canary, Digest::default());
        }
    }
}
