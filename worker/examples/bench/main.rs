//! Images per second of the paper's networks for eyes: refinement alone, and full cycles of real runs; beside the same in PyTorch, and beside what a plain convolution reaches on as many threads. Medians of interleaved rounds, since machines
//! are shared and drift. Refuses to know how fast anything should be.

mod cycles;
mod parts;
mod probe;
mod rival;
mod scene;

use anyhow::Context;
use clap::Parser;
use cycles::{STEPS, Track};
use parts::{Figures, Member};
use probe::Probe;
use rival::Rivals;
use scene::{LANES, Scene};
use serde::Serialize;
use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};
use sumac_common::arithmetic::Work;
use sumac_worker::native::{self, Facts};

/// So many processes of so many threads each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Setup {
    pub(crate) workers: usize,
    pub(crate) threads: usize,
}

const SETUPS: [Setup; 3] =
    [Setup { workers: 1, threads: 1 }, Setup { workers: 1, threads: 2 }, Setup { workers: 2, threads: 1 }];

/// Measures how fast this machine trains and refines.
#[derive(Parser)]
#[command(name = "bench")]
struct Args {
    /// Interleaved rounds, of which medians are taken.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,

    /// Cycles that are timed in each run, after one to warm up.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    cycles: u32,

    /// How long each rate of a convolution or of refinement is measured.
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS")]
    seconds: f64,

    /// Where to write the figures, FOLDER/NAME.json, and the tables of them, FOLDER/NAME.md.
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,

    /// The program to measure [default: the one built beside this]
    #[arg(long, value_name = "FILE")]
    sumac: Option<PathBuf>,

    /// A Python that has PyTorch, to measure benches/simgan.py beside [default: only Sumac is measured]
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,

    /// What to measure with, each for itself.
    #[arg(long, value_name = "SCENE", value_delimiter = ',', default_value = "eyes")]
    scenes: Vec<Scene>,

    /// What the files are called.
    #[arg(long, value_name = "NAME", default_value = "bench")]
    called: String,

    /// Measure the parts that training on several workers consists of, FOLDER/scale.json.
    #[arg(long)]
    parts: bool,

    /// Be one of several processes that are linked to each other.
    #[arg(long, hide = true)]
    member: Option<Member>,

    /// Be one of several processes that are measured together.
    #[arg(long, hide = true)]
    probe: Option<Probe>,

    /// Of such a process.
    #[arg(long, hide = true, default_value_t = 1)]
    threads: usize,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // As a worker does.
    let _ = native::memory::keep();
    tch::set_num_interop_threads(1);
    tch::set_num_threads(args.threads.try_into().context("--threads")?);
    native::determinism::require()?;
    let length = Duration::try_from_secs_f64(args.seconds).context("--seconds")?;
    if let Some(member) = args.member {
        return member.work();
    }
    if let (Some(probe), [scene, ..]) = (args.probe, &args.scenes[..]) {
        return probe.work(*scene, length);
    }

    let machine = Machine::look()?;
    if machine.load > 0.5 {
        eprintln!("load is {:.1} before anything is measured: other programs will slow this one down", machine.load);
    }
    let sumac = match &args.sumac {
        Some(sumac) => sumac.clone(),
        None => env::current_exe()?.parent().context("this program lies nowhere")?.with_file_name("sumac"),
    };
    if args.parts {
        let figures = Figures::measure(&machine.cpu, &sumac, args.python.as_deref(), args.cycles as usize)?;
        print!("{}", figures.text());
        return args.into.as_deref().map_or(Ok(()), |folder| figures.write(folder));
    }
    let tables =
        args.scenes.iter().map(|scene| Table::of(*scene, &args, &sumac, length)).collect::<anyhow::Result<Vec<_>>>()?;
    let report = Report { machine, rounds: args.rounds, tables };
    let text = report.text(&args.called);
    print!("{text}");
    if let Some(folder) = &args.into {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("writing `{}`", path.display()))
        };
        write(&format!("{}.json", args.called), &(serde_json::to_string_pretty(&report)? + "\n"))?;
        write(&format!("{}.md", args.called), &text)?;
    }
    Ok(())
}

/// Where it was measured.
#[derive(Serialize)]
struct Machine {
    cpu: String,
    cores: usize,
    libtorch: String,
    instructions: String,
    /// Through the minute before the first measurement; 1 is one busy core.
    load: f64,
}

impl Machine {
    fn look() -> anyhow::Result<Self> {
        let facts = Facts::read()?;
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpus = read("/proc/cpuinfo");
        let named = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Ok(Self {
            cpu: named.map_or("unknown", |(_, name)| name.trim()).to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            libtorch: facts.libtorch,
            instructions: facts.cpu_capability,
            load: read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default(),
        })
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Who {
    /// The limit: one of the refiner's convolutions, forward.
    Convolution,
    Refinement,
    PytorchRefinement,
    CompiledRefinement,
    Cycle,
    OrdinaryCycle,
    OptimisedCycle,
}

impl Who {
    /// An ordinary script knows one process; refining in several is each for itself.
    fn of(setup: Setup, with_rivals: bool) -> impl Iterator<Item = Self> {
        let of_one = [Self::PytorchRefinement, Self::CompiledRefinement, Self::OrdinaryCycle];
        let is_there = move |who: &Self| match who {
            Self::Convolution | Self::Refinement | Self::Cycle => true,
            of_rivals => with_rivals && (setup.workers == 1 || !of_one.contains(of_rivals)),
        };
        let all = [
            Self::Convolution,
            Self::Refinement,
            Self::PytorchRefinement,
            Self::CompiledRefinement,
            Self::Cycle,
            Self::OrdinaryCycle,
            Self::OptimisedCycle,
        ];
        all.into_iter().filter(is_there)
    }

    fn words(self) -> &'static str {
        match self {
            Self::Convolution => "a convolution",
            Self::Refinement => "refining",
            Self::PytorchRefinement => "refining, PyTorch",
            Self::CompiledRefinement => "refining, torch.compile",
            Self::Cycle => "training",
            Self::OrdinaryCycle => "training, PyTorch, ordinary",
            Self::OptimisedCycle => "training, PyTorch, optimised",
        }
    }

    /// Whom of Sumac it is held against.
    fn against(self) -> Option<Self> {
        match self {
            Self::PytorchRefinement | Self::CompiledRefinement => Some(Self::Refinement),
            Self::OrdinaryCycle | Self::OptimisedCycle => Some(Self::Cycle),
            Self::Convolution | Self::Refinement | Self::Cycle => None,
        }
    }

    /// Useful floating-point operations per image.
    fn arithmetic(self, scene: Scene, work: Work) -> f64 {
        match self {
            Self::Convolution => Probe::convolution_work(scene),
            Self::Refinement | Self::PytorchRefinement | Self::CompiledRefinement => work.refiner,
            Self::Cycle | Self::OrdinaryCycle | Self::OptimisedCycle => work.of_cycle(2, 1) / STEPS as f64,
        }
    }
}

#[derive(Serialize)]
struct Row {
    who: Who,
    setup: Setup,
    /// Images per second, one for each measurement.
    rates: Vec<f64>,
    images_per_second: f64,
    gflop_per_second: f64,
    /// Of all processes that train, together, in bytes: the largest there was.
    peak: Option<u64>,
}

impl Row {
    fn new(who: Who, setup: Setup) -> Self {
        Self { who, setup, rates: Vec::new(), images_per_second: 0.0, gflop_per_second: 0.0, peak: None }
    }

    fn measure(
        &mut self,
        scene: Scene,
        track: &mut Track,
        rivals: Option<&Rivals<'_>>,
        length: Duration,
        cycles: usize,
    ) -> anyhow::Result<()> {
        let setup = self.setup;
        let rival = || rivals.context("nobody is there to measure");
        let run = match self.who {
            Who::Convolution => return self.take(Probe::Convolution.rate(scene, setup, length)?),
            Who::Refinement => return self.take(Probe::Refinement.rate(scene, setup, length)?),
            Who::PytorchRefinement => return self.take(rival()?.refines("eager", setup, length)?),
            Who::CompiledRefinement => return self.take(rival()?.refines("compiled", setup, length)?),
            Who::Cycle => track.run(setup, LANES, cycles)?,
            Who::OrdinaryCycle => rival()?.trains("ordinary", setup, cycles)?,
            Who::OptimisedCycle => rival()?.trains("optimised", setup, cycles)?,
        };
        self.rates.extend(run.seconds.iter().map(|seconds| STEPS as f64 * f64::from(scene.batch()) / seconds));
        self.peak = self.peak.max(Some(run.peak));
        Ok(())
    }

    fn take(&mut self, rate: f64) -> anyhow::Result<()> {
        self.rates.push(rate);
        Ok(())
    }

    fn conclude(&mut self, scene: Scene, work: Work) {
        self.images_per_second = median(&self.rates);
        self.gflop_per_second = self.images_per_second * self.who.arithmetic(scene, work) / 1e9;
    }
}

/// Of two in the middle their mean.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let n = values.len();
    (values[(n - 1) / 2] + values[n / 2]) / 2.0
}

#[derive(Serialize)]
struct Report {
    machine: Machine,
    rounds: u32,
    tables: Vec<Table>,
}

impl Report {
    /// As Markdown.
    fn text(&self, called: &str) -> String {
        let Machine { cpu, cores, libtorch, instructions, load } = &self.machine;
        let mut text = format!(
            "# Speed on a processor\n\nWritten by `make {called}`. The paper's networks for eyes; a cycle is 2 updates of the refiner and 1 of \
             the\ndiscriminator, through which 3 batches pass. {cpu}, {cores} cores, {instructions}; libtorch {libtorch}; load before \
             {load:.1};\nmedians of {} interleaved rounds.\n",
            self.rounds
        );
        for table in &self.tables {
            text += &table.text();
        }
        text += "\nGFLOP are useful work: what somebody computes twice counts once. MiB: the largest size in memory of all processes that \
                 train, together.\n";
        if self.tables.iter().any(|table| table.alike.is_some()) {
            text += "PyTorch is [`benches/simgan.py`](../benches/simgan.py): *ordinary* as scripts for SimGAN are written, *optimised* as \
                     somebody writes it who\nmeasures, with its memory kept; in two processes under DistributedDataParallel.\n";
        }
        text
    }
}

#[derive(Serialize)]
struct Table {
    scene: Scene,
    /// By how much the losses of those who train in PyTorch differ from Sumac's, at most, as a share of them.
    alike: Option<f64>,
    rows: Vec<Row>,
}

impl Table {
    fn of(scene: Scene, args: &Args, sumac: &Path, length: Duration) -> anyhow::Result<Self> {
        let spec = scene.spec()?;
        let rivals = args.python.as_deref().map(|python| Rivals::meet(python, scene)).transpose()?;
        let mut track = Track::lay(scene, sumac)?;
        let mut rows: Vec<Row> = SETUPS
            .into_iter()
            .flat_map(|setup| Who::of(setup, rivals.is_some()).map(move |who| Row::new(who, setup)))
            .collect();
        for round in 1..=args.rounds {
            eprintln!("{}: round {round} of {}", scene.words(), args.rounds);
            for row in &mut rows {
                row.measure(scene, &mut track, rivals.as_ref(), length, args.cycles as usize)?;
            }
        }
        let work = Work::of(&spec.what.model.refiner, &spec.what.model.discriminator, spec.what.data.image);
        rows.iter_mut().for_each(|row| row.conclude(scene, work));
        Ok(Self { scene, alike: rivals.map(|rivals| rivals.apart), rows })
    }

    fn text(&self) -> String {
        let mut text = format!("\n## {}\n\n", self.scene.words());
        text += "| processes x threads | what | images/s | least .. most | GFLOP/s | of a convolution | Sumac over it | MiB |\n";
        text += "|---|---|---|---|---|---|---|---|\n";
        for row in &self.rows {
            let Row { who, setup, rates, images_per_second, gflop_per_second, peak } = row;
            let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
            let most = rates.iter().copied().fold(0.0, f64::max);
            let share = 100.0 * gflop_per_second / self.row(Who::Convolution, *setup).gflop_per_second;
            let over = who.against().map(|sumac| self.row(sumac, *setup).images_per_second / images_per_second);
            let over = over.map_or(String::new(), |over| format!("{over:.2}"));
            let peak = peak.map_or(String::new(), |peak| (peak >> 20).to_string());
            text += &format!(
                "| {} x {} | {} | {images_per_second:.1} | {least:.1} .. {most:.1} | {gflop_per_second:.0} | {share:.0}% | {over} | {peak} |\n",
                setup.workers,
                setup.threads,
                who.words()
            );
        }
        let [_, threads, workers] = SETUPS;
        let gain = self.row(Who::Cycle, workers).images_per_second / self.row(Who::Cycle, threads).images_per_second;
        text += &format!("\n2 workers of a thread train {gain:.2}x as fast as 1 worker of two threads.");
        if let Some(apart) = self.alike {
            text += &format!(
                " From the same weights and images the losses of a cycle in\nPyTorch differ from Sumac's by {apart:.0e} of them at most."
            );
        }
        text + "\n"
    }

    fn row(&self, who: Who, setup: Setup) -> &Row {
        let is_it = |row: &&Row| row.who == who && row.setup == setup;
        self.rows.iter().find(is_it).expect("of Sumac everything is measured in every setup")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_one_in_the_middle() {
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), 3.0);
    }
}
