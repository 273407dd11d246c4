//! What a worker's numbers depend on, and a small forward and backward pass whose hash stands for all that was forgotten.
//! Refuses to know jobs.

use crate::learner::LearnError;
use sumac_common::{conversation::Fingerprint, device::Device, spec::Precision};

/// Without tensors: plain f32 arithmetic of this build.
#[cfg(not(feature = "torch"))]
pub fn on(device: Device, threads: u32, _: Precision) -> Result<Fingerprint, LearnError> {
    Ok(Fingerprint {
        libtorch: "none".to_owned(),
        device: device.to_string(),
        instructions: std::env::consts::ARCH.to_owned(),
        threads,
        canary: sumac_common::ids::Digest::of(env!("CARGO_PKG_VERSION").as_bytes()),
    })
}

#[cfg(feature = "torch")]
pub use torch::{name, on, use_threads};

/// What a device is called where people read it.
#[cfg(not(feature = "torch"))]
#[must_use]
pub fn name(device: Device) -> String {
    device.to_string()
}

/// Of tensors there are none.
#[cfg(not(feature = "torch"))]
pub fn use_threads(_: u32) {}

#[cfg(feature = "torch")]
mod torch {
    use super::{Device, Fingerprint, LearnError, Precision};
    use crate::{
        learner::{Images, Learner, Meal, Sets},
        link::c10d::AsTensor,
        native::{Facts, NativeError, cuda},
        simgan::SimGan,
    };
    use sumac_common::{
        ids::{ContentId, Digest, Lane, Step},
        random::{self, Stream},
        schedule::Phase,
        spec,
    };

    /// Of this process on its device, computing in that precision; from now on it uses so many threads.
    pub fn on(device: Device, threads: u32, precision: Precision) -> Result<Fingerprint, LearnError> {
        let unread =
            |error: NativeError| LearnError::Engine { attempt: "read libtorch's facts", reason: error.to_string() };
        let facts = Facts::read().map_err(unread)?;
        use_threads(threads);
        // Cards of one kind compute alike, whichever of a machine's it is.
        let kind = match device {
            Device::Cpu => "cpu".to_owned(),
            Device::Cuda(card) => format!("cuda ({})", cuda::name(card).map_err(unread)?),
        };
        let canary = canary(device, precision)?;
        Ok(Fingerprint { libtorch: facts.libtorch, device: kind, instructions: facts.cpu_capability, threads, canary })
    }

    /// What a device is called where people read it.
    #[must_use]
    pub fn name(device: Device) -> String {
        match device {
            Device::Cpu => device.to_string(),
            Device::Cuda(card) => cuda::name(card).map_or(device.to_string(), |name| format!("{device} ({name})")),
        }
    }

    /// What the calling thread computes with from now on: each thread that computes has to say so itself.
    pub fn use_threads(threads: u32) {
        tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    }

    /// Small networks of the kind that is trained, one lane, each network's gradient.
    fn canary(device: Device, precision: Precision) -> Result<Digest, LearnError> {
        const SPEC: &str = "name = \"canary\"\nmodel.preset = \"digits\"\n[data]\nsynthetic = \"-\"\nreal = \"-\"\n\
                            [train]\nsteps = 2\nbatch = 16\nlanes = 1\nhistory.size = 16\n";
        let mut spec = spec::read(SPEC, &[]).expect("the canary's spec is a constant that the tests read");
        spec.what.train.precision = precision;
        let shape = spec.what.data.image;
        let images = |n: usize, stream: Stream| {
            let mut chance = random::stream(1, stream, Lane(0), Step(0));
            let pixels = (0..n * shape.len()).map(|_| random::uniform(&mut chance) * 2.0 - 1.0).collect();
            Images { ids: vec![ContentId::default(); n], pixels }
        };
        let mut learner = SimGan::with(&spec, &Sets::default(), device)?;
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
            let values: Vec<f32> = Vec::try_from(gradient.to_device(tch::Device::Cpu).contiguous()).unwrap_or_default();
            digest = digest.then(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
        }
        Ok(digest)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_canary_sings_the_same_song_twice() {
            let once = on(Device::Cpu, 1, Precision::F32).unwrap();
            assert_eq!(on(Device::Cpu, 1, Precision::F32).unwrap(), once);
            assert_ne!(once.canary, Digest::default());
        }

        #[test]
        fn who_multiplies_in_fewer_bits_has_another_canary() {
            let [full, short] =
                [Precision::F32, Precision::Bf16].map(|precision| on(Device::Cpu, 1, precision).unwrap());
            assert_ne!(full.canary, short.canary);
            assert_eq!(on(Device::Cpu, 1, Precision::Bf16).unwrap(), short);
        }
    }
}
