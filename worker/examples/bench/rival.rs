//! The same training in PyTorch: `benches/simgan.py`, started in the Python that it needs. Before it is measured it shows that it
//! computes the same: the losses of one cycle from weights and images that it is given. Knows nothing of how it is written.

use crate::{
    Setup,
    cycles::Run,
    probe::noise,
    scene::{LANES, Scene},
};
use anyhow::{Context, ensure};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use sumac_common::{
    ids::{ContentId, Lane, Step},
    losses::{Losses, Mean},
    schedule::Phase,
    spec::Spec,
};
use sumac_worker::{
    learner::{Images, Learner, Meal},
    simgan::SimGan,
};

/// Losses that differ by more of them are of another training.
const ALIKE: f64 = 1e-4;
/// glibc keeps what is freed, as Sumac's workers have it.
const MEMORY: [(&str, &str); 4] = [
    ("MALLOC_MMAP_MAX_", "0"),
    ("MALLOC_TRIM_THRESHOLD_", "2147483647"),
    ("MALLOC_TOP_PAD_", "268435456"),
    ("MALLOC_ARENA_MAX", "1"),
];

pub(crate) struct Rivals<'a> {
    python: &'a Path,
    script: PathBuf,
    scene: Scene,
    /// By how much losses differ from Sumac's at most, as a share of them.
    pub(crate) apart: f64,
}

#[derive(Deserialize)]
struct Cycles {
    seconds: Vec<f64>,
    peak: u64,
}

impl<'a> Rivals<'a> {
    /// # Errors
    /// If they cannot be started, or compute something else.
    pub(crate) fn meet(python: &'a Path, scene: Scene) -> anyhow::Result<Self> {
        let spec = &scene.spec()?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/simgan.py");
        let mut rivals = Self { python, script, scene, apart: 0.0 };
        let folder = tempfile::tempdir()?;
        let start = folder.path().join("start.safetensors");
        let images = Given::draw(spec);
        let mut simgan = SimGan::new(spec)?;
        std::fs::write(&start, images.beside(&simgan.save()?)?)?;
        let ours = losses(&mut simgan, &images)?;
        for kind in ["ordinary", "optimised"] {
            let theirs: [[f64; 2]; 3] = rivals.say(kind, &["--losses", &start.to_string_lossy()])?;
            let pairs = ours.iter().flatten().zip(theirs.iter().flatten());
            let apart = pairs.map(|(ours, theirs)| (ours - theirs).abs() / ours.abs()).fold(0.0, f64::max);
            ensure!(apart < ALIKE, "{kind} PyTorch computes something else: {theirs:?} where Sumac has {ours:?}");
            rivals.apart = rivals.apart.max(apart);
        }
        Ok(rivals)
    }

    pub(crate) fn trains(&self, kind: &str, Setup { workers, threads }: Setup, cycles: usize) -> anyhow::Result<Run> {
        let [workers, threads, cycles] = [workers, threads, cycles].map(|n| n.to_string());
        let arguments = ["--processes", &workers, "--threads", &threads, "--cycles", &cycles];
        let Cycles { seconds, peak } = self.say(kind, &arguments)?;
        Ok(Run { seconds, peak })
    }

    /// Images per second.
    pub(crate) fn refines(&self, how: &str, setup: Setup, length: Duration) -> anyhow::Result<f64> {
        let (threads, seconds) = (setup.threads.to_string(), length.as_secs_f64().to_string());
        self.say("optimised", &["--refine", how, "--threads", &threads, "--seconds", &seconds])
    }

    fn say<T: DeserializeOwned>(&self, kind: &str, arguments: &[&str]) -> anyhow::Result<T> {
        let mut command = Command::new(self.python);
        command.arg(&self.script).arg(kind).args(["--batch", &self.scene.batch().to_string(), "--image"]);
        command.args(self.scene.image().map(|extent| extent.to_string())).args(arguments);
        if kind != "ordinary" {
            command.envs(MEMORY);
        }
        let done = command.output().with_context(|| format!("starting `{}`", self.python.display()))?;
        ensure!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).with_context(|| format!("what {command:?} said"))
    }
}

/// What every step of the compared cycle sees.
struct Given {
    batch: usize,
    shape: [usize; 3],
    synthetic: Vec<f32>,
    real: Vec<f32>,
    /// Half a batch.
    history: Vec<f32>,
}

impl Given {
    fn draw(spec: &Spec) -> Self {
        let image = spec.what.data.image;
        let batch = spec.what.train.batch as usize;
        let mut pixels = noise(5 * batch / 2 * image.len()).into_iter();
        let mut images = |n: usize| pixels.by_ref().take(n * image.len()).collect();
        Self {
            batch,
            shape: [image.channels, image.height, image.width].map(|side| side as usize),
            synthetic: images(batch),
            real: images(batch),
            history: images(batch / 2),
        }
    }

    /// In one file with what a saved state holds.
    fn beside(&self, saved: &[u8]) -> anyhow::Result<Vec<u8>> {
        let [channels, height, width] = self.shape;
        let bytes = |pixels: &[f32]| pixels.iter().flat_map(|pixel| pixel.to_le_bytes()).collect::<Vec<u8>>();
        let images = [
            ("synthetic", self.batch, bytes(&self.synthetic)),
            ("real", self.batch, bytes(&self.real)),
            ("history", self.batch / 2, bytes(&self.history)),
        ];
        let mut all = SafeTensors::deserialize(saved)?.tensors();
        for (name, n, pixels) in &images {
            all.push(((*name).to_owned(), TensorView::new(Dtype::F32, vec![*n, channels, height, width], pixels)?));
        }
        Ok(safetensors::serialize(all, None)?)
    }

    fn meal(&self, phase: Phase, lane: usize, lanes: usize) -> Meal {
        let part = |pixels: &[f32], n: usize| {
            let (each, image) = (n / lanes, self.shape.iter().product::<usize>());
            let pixels = pixels[lane * each * image..][..each * image].to_vec();
            Images { ids: vec![ContentId::default(); each], pixels }
        };
        let (half, none) = (self.batch / 2, Images::default());
        let (synthetic, real, history) = match phase {
            Phase::Discriminator => {
                (part(&self.synthetic, half), part(&self.real, self.batch), part(&self.history, half))
            }
            _ => (part(&self.synthetic, self.batch), none.clone(), none),
        };
        Meal { step: Step(0), phase, lane: Lane(lane as u32), synthetic, real, history, keep: 0 }
    }
}

/// Two of each of the steps of a cycle.
fn losses(simgan: &mut SimGan, images: &Given) -> anyhow::Result<[[f64; 2]; 3]> {
    let mut told = [[0.0; 2]; 3];
    for (phase, told) in [Phase::Refiner, Phase::Refiner, Phase::Discriminator].into_iter().zip(&mut told) {
        let (mut gradient, mut sums) = (simgan.zero(phase), Losses::default());
        for lane in 0..LANES as usize {
            let portion = simgan.chew(&images.meal(phase, lane, LANES as usize))?;
            gradient = sumac_worker::learner::Sum::plus(gradient, portion.sum);
            sums = sums + portion.losses;
        }
        simgan.apply(phase, Step(0), &gradient)?;
        let value = |mean: Mean| mean.value().context("a loss of no image");
        *told = match phase {
            Phase::Discriminator => [value(sums.on_refined)?, value(sums.on_real)?],
            _ => [value(sums.realism)?, value(sums.regularisation)?],
        };
    }
    Ok(told)
}
