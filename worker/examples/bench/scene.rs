//! What is trained and refined while it is timed: a job, its length and its workers aside, and images for it. Knows no clock.

use crate::probe::noise;
use anyhow::anyhow;
use clap::ValueEnum;
use serde::Serialize;
use std::{fs, path::Path};
use sumac_common::spec::{self, Spec};

/// Images in either set: their number is no part of what is measured, as long as a batch fits.
const IMAGES: usize = 512;

/// Of every run.
pub(crate) const LANES: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scene {
    /// The paper's networks for eyes, a batch of 64.
    Eyes,
    /// The same, a batch of 256.
    LargeBatch,
    /// The same for colour images of 64x64, a batch of 64.
    Colour,
}

impl Scene {
    pub(crate) fn batch(self) -> u32 {
        if self == Self::LargeBatch { 256 } else { 64 }
    }

    /// Channels, height and width.
    pub(crate) fn image(self) -> [u32; 3] {
        if self == Self::Colour { [3, 64, 64] } else { [1, 35, 55] }
    }

    pub(crate) fn words(self) -> String {
        let [channels, height, width] = self.image();
        let kind = if channels == 1 { "grey" } else { "colour" };
        format!("{height}x{width} in {kind}, a batch of {}", self.batch())
    }

    /// The job, but for its length and its workers. Neither checkpoints nor pictures on the way.
    pub(crate) fn job(self) -> String {
        let (batch, [channels, height, width]) = (self.batch(), self.image());
        format!(
            r#"
name = "bench"
model.preset = "paper-eyes"

[data]
synthetic = "synthetic.npy"
real = "real.npy"
image = {{ size = [{height}, {width}], channels = {channels} }}

[train]
seed = 7
batch = {batch}
lanes = {LANES}
steps = 3
pretrain = {{ refiner = 0, discriminator = 0 }}
k_refiner = 2
k_discriminator = 1
history.size = 1_024

[output]
checkpoint_every = "1h"
samples_every = 1_000_000
"#
        )
    }

    pub(crate) fn spec(self) -> anyhow::Result<Spec> {
        spec::read(&self.job(), &[]).map_err(|faults| anyhow!("the bench's own job: {:?}", faults.0))
    }

    /// Both of its sets.
    pub(crate) fn lay(self, folder: &Path) -> anyhow::Result<()> {
        for set in ["synthetic.npy", "real.npy"] {
            fs::write(folder.join(set), self.npy())?;
        }
        Ok(())
    }

    /// Noise, `[images, height, width(, channels)]` in bytes, as NumPy writes it.
    fn npy(self) -> Vec<u8> {
        let [channels, height, width] = self.image();
        let last = if channels == 1 { String::new() } else { format!(", {channels}") };
        let said = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({IMAGES}, {height}, {width}{last})}}");
        // The line ends on a multiple of 64, with what stands before it.
        let length = (said.len() + 11).next_multiple_of(64) - 10;
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((length as u16).to_le_bytes());
        file.extend(format!("{said:<0$}\n", length - 1).into_bytes());
        let pixels = noise(IMAGES * (channels * height * width) as usize);
        file.extend(pixels.iter().map(|pixel| ((pixel + 1.0) * 127.5) as u8));
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sumac_data::Source;

    #[test]
    fn every_scene_is_a_job_with_images_that_are_read() {
        for scene in [Scene::Eyes, Scene::LargeBatch, Scene::Colour] {
            let spec = scene.spec().unwrap();
            assert_eq!((spec.what.train.batch, spec.what.train.lanes), (scene.batch(), LANES));
            let folder = tempfile::tempdir().unwrap();
            scene.lay(folder.path()).unwrap();
            let source = Source::look(&folder.path().join("real.npy")).unwrap();
            assert_eq!(source.inspect(None).images, IMAGES, "{scene:?}");
        }
    }
}
