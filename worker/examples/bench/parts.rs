//! The parts that training on several workers consists of, each for itself: what `sumac predict` puts together again for any number of
//! them. Beside the reduction stands what it is held against, Gloo's plain all-reduce of the same bytes in PyTorch. Knows no model of
//! what the parts add up to.

use crate::{
    Setup,
    cycles::{STEPS, Track},
    median,
    probe::noise,
    scene::{LANES, Scene},
};
use anyhow::{Context, anyhow, ensure};
use serde::{Deserialize, Serialize};
use std::{
    env, fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::{Command, Stdio},
    str::FromStr,
    thread,
    time::{Duration, Instant},
};
use sumac_common::{
    conversation::{Basis, Opening, Place, SoFar},
    device::Device,
    ids::{ContentId, Generation, JobId, Lane, Rank, Step, WorkerId},
    lanes, reduce,
    scaling::{Exchange, LaneTimes, Measured, Parts},
    schedule::{Phase, Progress, Schedule},
    spec::Spec,
};
use sumac_worker::{
    learner::{Images, Learner, Meal},
    link::{Dial, Ear, Link, c10d::GroupDial},
    native::Store,
    pantry::Pantry,
    simgan::{Gradient, SimGan},
};
use tch::{Kind, Tensor};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Of gradients: up to fifty of the paper's refiner for eyes.
const BYTES: [usize; 5] = [4_096, 303_624, 1_184_516, 9_476_128, 59_225_800];
const WORKERS: [usize; 3] = [2, 3, 4];
const TIMES: usize = 30;

/// The parts as `sumac predict` reads them, and what they are held against here.
#[derive(Serialize)]
pub(crate) struct Figures {
    #[serde(flatten)]
    parts: Parts,
    /// One cycle of one worker whose batch is one lane: what the order of addition costs.
    one_lane_us: f64,
    /// PyTorch's all-reduce over Gloo.
    plain: Vec<Exchange>,
}

/// One of several processes that are measured together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    rank: usize,
    size: usize,
    store: SocketAddr,
}

impl FromStr for Member {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let [rank, size, store] = text.split(',').collect::<Vec<_>>()[..] else {
            return Err(anyhow!("RANK,SIZE,STORE"));
        };
        Ok(Self { rank: rank.parse()?, size: size.parse()?, store: store.parse()? })
    }
}

/// What one of them says of all: each call ends for all at once.
#[derive(Default, Serialize, Deserialize)]
struct Told {
    reductions: Vec<Exchange>,
    guards: Vec<Exchange>,
}

struct Nobody;

impl Ear for Nobody {
    fn called(&self) -> bool {
        false
    }
}

impl Member {
    /// The other side of [`together`].
    pub(crate) fn work(self) -> anyhow::Result<()> {
        let Self { rank, size, store } = self;
        let name = |rank: usize| WorkerId(format!("w{rank}"));
        let opening = Opening {
            job: JobId("bench".to_owned()),
            generation: Generation(1),
            roster: (0..size).map(|rank| Place { worker: name(rank), store }).collect(),
            basis: Basis::Saved,
            so_far: SoFar::default(),
        };
        let mut link: Box<dyn Link<Gradient>> = GroupDial::at(HERE, Device::Cpu)
            .form(&opening, &name(rank), &Nobody)
            .map_err(|why| anyhow!("forming a group: {why:?}"))?;
        let subtrees = reduce::subtrees(lanes::owned(LANES, size, Rank(rank as u32)), LANES).len();
        let mut told = Told::default();
        let exchange = |bytes: usize, us: f64| Exchange { workers: size as u32, bytes: bytes as u64, us, busy: false };
        for bytes in BYTES {
            let us = median_us(|| {
                let part = || Gradient(Tensor::ones([(bytes / 4) as i64], (Kind::Float, tch::Device::Cpu)));
                let parts = (0..subtrees).map(|_| part()).collect();
                link.gather(&[], &Nobody)?;
                let begun = Instant::now();
                link.reduce(LANES, parts, &mut |_| vec![0; 256], &Nobody)?;
                Ok(begun.elapsed())
            })?;
            told.reductions.push(exchange(bytes, us));
        }
        for bytes in &BYTES[..4] {
            let staged = vec![0; *bytes];
            let us = median_us(|| {
                link.gather(&[], &Nobody)?;
                let begun = Instant::now();
                link.pass_on(&staged, &Nobody)?;
                Ok(begun.elapsed())
            })?;
            told.guards.push(exchange(*bytes, us));
        }
        if rank == 0 {
            println!("{}", serde_json::to_string(&told)?);
        }
        Ok(())
    }
}

/// What processes of this program that are linked to each other need for a call.
fn together(size: usize) -> anyhow::Result<Told> {
    let (_store, address) = Store::serve(HERE)?;
    let start = |rank: usize| {
        Command::new(env::current_exe()?)
            .args(["--member", &format!("{rank},{size},{address}")])
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a member")
    };
    let members = (0..size).map(start).collect::<anyhow::Result<Vec<_>>>()?;
    let mut told = None;
    for member in members {
        let said = member.wait_with_output()?;
        ensure!(said.status.success(), "a member of {size} ended with {}", said.status);
        if !said.stdout.is_empty() {
            told = Some(serde_json::from_slice(&said.stdout).context("what a member said")?);
        }
    }
    told.context("no member said anything")
}

/// PyTorch's all-reduce of as many bytes.
fn plain(python: &Path) -> anyhow::Result<Vec<Exchange>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/reduce.py");
    let list = |numbers: &[usize]| numbers.iter().map(usize::to_string).collect::<Vec<_>>();
    let mut command = Command::new(python);
    command.arg(script).arg("--processes").args(list(&WORKERS)).arg("--bytes").args(list(&BYTES));
    let done = command.output().with_context(|| format!("starting `{}`", python.display()))?;
    ensure!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).context("what PyTorch said")
}

impl Figures {
    pub(crate) fn measure(machine: &str, sumac: &Path, python: Option<&Path>, cycles: usize) -> anyhow::Result<Self> {
        let scene = Scene::Eyes;
        let spec = scene.spec()?;
        let what = &spec.what;
        let cores = thread::available_parallelism()?.get();
        eprintln!("lanes");
        let lane = lane_times(&spec)?;
        let lane_busy = Some(lane_times_busy(&spec, cores)?);
        let data_us = data_us(scene)?;
        let optimiser_us = optimiser_us(&spec)?;
        let (mut reductions, mut guards, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
        for size in WORKERS {
            eprintln!("calls among {size}");
            let told = together(size)?;
            reductions.extend(told.reductions);
            guards.extend(told.guards);
        }
        let plain = python.map(plain).transpose()?.unwrap_or_default();
        let mut track = Track::lay(scene, sumac)?;
        for workers in [1, 2, 4] {
            eprintln!("cycles of {workers}");
            let run = track.run(Setup { workers, threads: 1 }, what.train.lanes, cycles)?;
            seconds.push(Measured { workers: workers as u32, us: median(&run.seconds) * 1e6 });
        }
        eprintln!("cycles of one lane");
        let one_lane = track.run(Setup { workers: 1, threads: 1 }, 1, cycles)?;
        eprintln!("a death");
        let regroup_us = track.regroups()?.as_secs_f64() * 1e6;
        let image = what.data.image;
        let parts = Parts {
            machine: machine.to_owned(),
            cores: cores as u32,
            image,
            preset: what.model.preset,
            batch: what.train.batch,
            lanes: what.train.lanes,
            refiner_parameters: what.model.refiner.parameters(image.channels) as u64,
            discriminator_parameters: what.model.discriminator.parameters(image.channels) as u64,
            lane,
            lane_busy,
            data_us,
            optimiser_us,
            reductions,
            guards,
            regroup_us,
            cycles: seconds,
        };
        Ok(Self { parts, one_lane_us: median(&one_lane.seconds) * 1e6, plain })
    }

    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        fs::write(folder.join("scale.json"), serde_json::to_string_pretty(self)? + "\n")?;
        fs::write(folder.join("scale.md"), self.text())?;
        Ok(())
    }

    /// As Markdown.
    pub(crate) fn text(&self) -> String {
        let Parts { machine, cores, lanes, reductions, guards, cycles, regroup_us, .. } = &self.parts;
        let mut text = format!(
            "# What workers need for each other\n\nWritten by `make bench-scale`; {machine}, {cores} cores. The reduction is the exact one of a run of {lanes} lanes, \
             with its tails;\nbeside it Gloo's plain all-reduce of as many bytes in PyTorch. Medians of {TIMES}, in milliseconds, nobody \
             computing. The bytes of\nthe paper's refiner for eyes are {}, those of its discriminator {}.\n\n",
            BYTES[2], BYTES[1]
        );
        text += "| workers | bytes | reduction | plain all-reduce | over it | of a step | staged images to the guard |\n|---|---|---|---|---|---|---|\n";
        for Exchange { workers, bytes, us, .. } in reductions {
            let among =
                |all: &[Exchange]| all.iter().find(|it| it.workers == *workers && it.bytes == *bytes).map(|it| it.us);
            let (plain, guard) = (among(&self.plain), among(guards));
            let step = cycles.iter().find(|cycle| cycle.workers == *workers).map(|cycle| cycle.us / STEPS as f64);
            let cell = |value: Option<f64>, digits: usize, unit: &str| {
                value.map_or(String::new(), |value| format!("{value:.digits$}{unit}"))
            };
            text += &format!(
                "| {workers} | {bytes} | {:.2} | {} | {} | {} | {} |\n",
                us / 1e3,
                cell(plain.map(|us| us / 1e3), 2, ""),
                cell(plain.map(|plain| us / plain), 2, ""),
                cell(step.map(|step| 100.0 * us / step), 1, "%"),
                cell(guard.map(|us| us / 1e3), 2, ""),
            );
        }
        let alone = cycles.first().map_or(f64::NAN, |cycle| cycle.us);
        text += &format!(
            "\nA cycle of one worker takes {:.2} s in {} lanes and {:.2} s in one: exactness costs {:+.1}% of it. From a death to the next \
             step of the\nothers, or to the one with its successor, whatever is longer: {:.0} ms beside the step itself.\n",
            alone / 1e6,
            lanes,
            self.one_lane_us / 1e6,
            100.0 * (alone / self.one_lane_us - 1.0),
            regroup_us / 1e3,
        );
        text
    }
}

/// The median of several times, in microseconds.
fn median_us(mut once: impl FnMut() -> anyhow::Result<Duration>) -> anyhow::Result<f64> {
    let times = (0..TIMES).map(|_| Ok(once()?.as_secs_f64() * 1e6));
    Ok(median(&times.collect::<anyhow::Result<Vec<_>>>()?))
}

fn lane_times(spec: &Spec) -> anyhow::Result<LaneTimes> {
    let mut simgan = SimGan::new(spec)?;
    let mut of = |phase: Phase| {
        let meal = meal(spec, phase);
        median_us(|| {
            let begun = Instant::now();
            simgan.chew(&meal)?;
            Ok(begun.elapsed())
        })
    };
    Ok(LaneTimes { refiner_us: of(Phase::Refiner)?, discriminator_us: of(Phase::Discriminator)? })
}

/// On each core, at once: their mean.
fn lane_times_busy(spec: &Spec, cores: usize) -> anyhow::Result<LaneTimes> {
    let on_core = || {
        tch::set_num_threads(1);
        lane_times(spec)
    };
    let all = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(on_core)).collect();
        let measured =
            threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread that computes panicked"))?);
        measured.collect::<anyhow::Result<Vec<_>>>()
    })?;
    let mean = |of: fn(&LaneTimes) -> f64| all.iter().map(of).sum::<f64>() / cores as f64;
    Ok(LaneTimes { refiner_us: mean(|lane| lane.refiner_us), discriminator_us: mean(|lane| lane.discriminator_us) })
}

/// Until a step's images are there, which were fetched while the step before was computed.
fn data_us(scene: Scene) -> anyhow::Result<f64> {
    let (spec, folder) = (scene.spec()?, tempfile::tempdir()?);
    scene.lay(folder.path())?;
    let mut data = spec.what.data.clone();
    for set in [&mut data.synthetic, &mut data.real] {
        *set = folder.path().join(&*set);
    }
    let mut pantry = Pantry::stock(&data, folder.path(), 0, &|_, _, _| {})?;
    let schedule = Schedule::new(&spec.what.train, pantry.synthetic_len(), pantry.real_len())?;
    let (progress, mut simgan, meal) = (Progress::default(), SimGan::new(&spec)?, meal(&spec, Phase::Refiner));
    let mut steps = (0..).map(Step);
    median_us(|| {
        let plan = schedule.plan(steps.next().unwrap_or_default(), &progress);
        let plans: Vec<_> = (0..LANES).map(|lane| schedule.lane(&plan, &progress, Lane(lane))).collect();
        pantry.expect(plans.clone());
        simgan.chew(&meal)?;
        let begun = Instant::now();
        pantry.take(&plans)?;
        Ok(begun.elapsed())
    })
}

/// What a lane eats.
fn meal(spec: &Spec, phase: Phase) -> Meal {
    let (train, image) = (&spec.what.train, spec.what.data.image);
    let each = (train.batch / train.lanes) as usize;
    let some = |n: usize| Images { ids: vec![ContentId::default(); n], pixels: noise(n * image.len()) };
    let (synthetic, history, real) = match phase {
        Phase::Discriminator => (some(each / 2), some(each / 2), some(each)),
        _ => (some(each), Images::default(), Images::default()),
    };
    Meal { step: Step(0), phase, lane: Lane(0), synthetic, real, history, keep: 0 }
}

/// A mean over the updates of a cycle.
fn optimiser_us(spec: &Spec) -> anyhow::Result<f64> {
    let (train, mut simgan) = (&spec.what.train, SimGan::new(spec)?);
    let mut of = |phase: Phase| {
        let gradient = simgan.zero(phase);
        median_us(|| {
            let begun = Instant::now();
            simgan.apply(phase, Step(0), &gradient)?;
            Ok(begun.elapsed())
        })
    };
    let [refiner, discriminator] = [train.k_refiner, train.k_discriminator].map(f64::from);
    let all = refiner * of(Phase::Refiner)? + discriminator * of(Phase::Discriminator)?;
    Ok(all / (refiner + discriminator))
}
