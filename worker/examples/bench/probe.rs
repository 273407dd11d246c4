//! Rates of one kind of work in several processes at once. This program starts itself; a process says
//! when it is warm, so that all are measured through the same seconds. Knows nothing of training.

use crate::{Setup, scene::Scene};
use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};
use sumac_common::{
    ids::{ContentId, Lane, Step},
    random::{self, Stream},
};
use sumac_worker::{
    learner::{Images, Learner},
    simgan::SimGan,
};
use tch::Tensor;

/// Maps in and out, and the kernel, of the plain convolution: one of the refiner's.
const MAPS: i64 = 64;
const KERNEL: i64 = 3;
/// Images at a time.
const BATCH: i64 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Probe {
    /// Forward passes of one large convolution, in the layout that libtorch is fastest in.
    Convolution,
    /// The refiner, as a run uses it.
    Refinement,
}

/// What one process did.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Done {
    images: f64,
    seconds: f64,
}

impl Probe {
    /// Images per second of all processes together.
    pub(crate) fn rate(self, scene: Scene, setup: Setup, length: Duration) -> anyhow::Result<f64> {
        let started = (0..setup.workers).map(|_| Running::start(self, scene, setup.threads, length));
        let mut probes = started.collect::<anyhow::Result<Vec<_>>>()?;
        for probe in &mut probes {
            let warm = probe.hear()?;
            ensure!(warm == "warm", "a probe said `{warm}` before it was measured");
        }
        for probe in &mut probes {
            // A closed pipe is what it waits for.
            drop(probe.child.stdin.take());
        }
        let mut rate = 0.0;
        for probe in &mut probes {
            let done: Done = serde_json::from_str(&probe.hear()?).context("a probe did not say what it did")?;
            rate += done.images / done.seconds;
        }
        Ok(rate)
    }

    /// Arithmetic of one image of the plain convolution.
    pub(crate) fn convolution_work(scene: Scene) -> f64 {
        let [_, height, width] = scene.image().map(i64::from);
        (2 * MAPS * MAPS * KERNEL * KERNEL * height * width) as f64
    }

    /// The other side of [`rate`](Self::rate): this process is one of those.
    pub(crate) fn work(self, scene: Scene, length: Duration) -> anyhow::Result<()> {
        let mut portion: Box<dyn FnMut() -> anyhow::Result<()>> = match self {
            Self::Convolution => {
                let (maps, kernel, [_, height, width]) = (MAPS, KERNEL, scene.image().map(i64::from));
                let channels_last = |n: i64, h: i64, w: i64| {
                    Tensor::from_slice(&noise((n * h * w * maps) as usize)).view([n, h, w, maps]).permute([0, 3, 1, 2])
                };
                let (images, weights) = (channels_last(BATCH, height, width), channels_last(maps, kernel, kernel));
                Box::new(move || {
                    let _ = images.f_conv2d(&weights, None::<Tensor>, [1, 1], [kernel / 2; 2], [1, 1], 1)?;
                    Ok(())
                })
            }
            Self::Refinement => {
                let spec = scene.spec()?;
                let refiner = SimGan::new(&spec)?;
                let pixels = noise(BATCH as usize * spec.what.data.image.len());
                let images = Images { ids: vec![ContentId::default(); BATCH as usize], pixels };
                Box::new(move || {
                    refiner.refine(&images)?;
                    Ok(())
                })
            }
        };
        portion()?;
        portion()?;
        println!("warm");
        io::stdin().read_line(&mut String::new())?;
        let (begun, mut images) = (Instant::now(), 0.0);
        while begun.elapsed() < length {
            portion()?;
            images += BATCH as f64;
        }
        println!("{}", serde_json::to_string(&Done { images, seconds: begun.elapsed().as_secs_f64() })?);
        io::stdout().flush()?;
        Ok(())
    }
}

/// In (-1, 1).
pub(crate) fn noise(n: usize) -> Vec<f32> {
    let mut chance = random::stream(7, Stream::Init, Lane(0), Step(0));
    (0..n).map(|_| 1.9 * random::uniform(&mut chance) - 0.95).collect()
}

/// A process of this program that measures; it ends when this is dropped.
struct Running {
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Running {
    fn start(probe: Probe, scene: Scene, threads: usize, length: Duration) -> anyhow::Result<Self> {
        let name = probe.to_possible_value().context("every probe has a name")?;
        let with = scene.to_possible_value().context("every scene has a name")?;
        let mut child = Command::new(env::current_exe()?)
            .args(["--probe", name.get_name(), "--threads", &threads.to_string()])
            .args(["--scenes", with.get_name(), "--seconds", &length.as_secs_f64().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a probe")?;
        let says = BufReader::new(child.stdout.take().context("a probe has no output")?);
        Ok(Self { child, says })
    }

    fn hear(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if self.says.read_line(&mut line)? == 0 {
            bail!("a probe ended early");
        }
        Ok(line.trim().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and is only waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
