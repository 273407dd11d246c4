//! Images per second of the paper's networks for eyes at a batch of 64, beside what a plain convolution reaches on as many
//! threads: refinement alone, and full cycles of real runs, on one worker and on two. Medians of interleaved rounds, since
//! machines are shared and drift. Refuses to know how fast anything should be.

mod arithmetic;
mod cycles;
mod probe;

use anyhow::Context;
use arithmetic::Work;
use clap::Parser;
use cycles::{STEPS, Track};
use probe::Probe;
use serde::Serialize;
use std::{env, fs, path::PathBuf, time::Duration};
use sumac_common::spec;
use sumac_worker::native::{self, Facts};

/// The bench's job, but for its length and its workers. Neither checkpoints nor pictures on the way.
const JOB: &str = r#"
name = "bench"
model.preset = "paper-eyes"

[data]
synthetic = "eyes/synthetic"
real = "eyes/real"

[train]
seed = 7
batch = 64
lanes = 8
steps = 3
pretrain = { refiner = 0, discriminator = 0 }
k_refiner = 2
k_discriminator = 1
history.size = 1_024

[output]
checkpoint_every = "1h"
samples_every = 1_000_000
"#;
const BATCH: f64 = 64.0;
const WORKERS: [usize; 2] = [1, 2];

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

    /// Where to write the figures.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// The program to measure [default: the one built beside this]
    #[arg(long, value_name = "FILE")]
    sumac: Option<PathBuf>,

    /// Be one of several processes that are measured together.
    #[arg(long, hide = true)]
    probe: Option<Probe>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // As a worker does.
    let _ = native::memory::keep();
    tch::set_num_interop_threads(1);
    tch::set_num_threads(1);
    native::determinism::require()?;
    let spec = spec::read(JOB, &[]).map_err(|faults| anyhow::anyhow!("the bench's own job: {:?}", faults.0))?;
    let length = Duration::try_from_secs_f64(args.seconds).context("--seconds")?;
    if let Some(probe) = args.probe {
        return probe.work(&spec, length);
    }

    let machine = Machine::look()?;
    if machine.load > 0.5 {
        eprintln!("load is {:.1} before anything is measured: other programs will slow this one down", machine.load);
    }
    let sumac = match &args.sumac {
        Some(sumac) => sumac.clone(),
        None => env::current_exe()?.parent().context("this program lies nowhere")?.with_file_name("sumac"),
    };
    let mut track = Track::lay(&sumac)?;
    let work = Work::of(&spec.what.model.refiner, &spec.what.model.discriminator, spec.what.data.image);
    let per_image = [Probe::convolution_work(), work.refiner, work.of_cycle() / STEPS as f64];
    let kinds = ["convolution", "refinement", "full cycle"];
    let mut rows: Vec<Row> = WORKERS
        .iter()
        .flat_map(|&workers| kinds.iter().zip(per_image).map(move |(kind, flop)| Row::new(kind, workers, flop)))
        .collect();
    for round in 1..=args.rounds {
        eprintln!("round {round} of {}", args.rounds);
        for of_workers in rows.chunks_mut(kinds.len()) {
            let workers = of_workers[0].workers;
            of_workers[0].rates.push(Probe::Convolution.rate(workers, length)?);
            of_workers[1].rates.push(Probe::Refinement.rate(workers, length)?);
            let seconds = track.run(JOB, workers, args.cycles as usize)?;
            of_workers[2].rates.extend(seconds.iter().map(|seconds| STEPS as f64 * BATCH / seconds));
        }
    }
    rows.iter_mut().for_each(Row::conclude);
    let table = Table { machine, rounds: args.rounds, rows };
    table.print();
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&table)?;
        fs::write(path, text + "\n").with_context(|| format!("writing `{}`", path.display()))?;
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

/// One kind of work on so many workers with one thread each.
#[derive(Serialize)]
struct Row {
    work: &'static str,
    workers: usize,
    flop_per_image: f64,
    /// Images per second, one for each measurement.
    rates: Vec<f64>,
    images_per_second: f64,
    gflop_per_second: f64,
}

impl Row {
    fn new(work: &'static str, workers: usize, flop_per_image: f64) -> Self {
        Self { work, workers, flop_per_image, rates: Vec::new(), images_per_second: 0.0, gflop_per_second: 0.0 }
    }

    fn conclude(&mut self) {
        self.images_per_second = median(&self.rates);
        self.gflop_per_second = self.images_per_second * self.flop_per_image / 1e9;
    }
}

/// Of two in the middle their mean.
fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let n = values.len();
    (values[(n - 1) / 2] + values[n / 2]) / 2.0
}

#[derive(Serialize)]
struct Table {
    machine: Machine,
    rounds: u32,
    rows: Vec<Row>,
}

impl Table {
    fn print(&self) {
        let Machine { cpu, cores, libtorch, instructions, load } = &self.machine;
        println!(
            "paper-eyes, batch 64, 8 lanes, history 1024; one thread per worker; medians of {} rounds",
            self.rounds
        );
        println!("{cpu}, {cores} cores, {instructions}; libtorch {libtorch}; load before {load:.1}\n");
        println!(
            "{:12}  {:>7}  {:>8}  {:>17}  {:>7}  {:>14}",
            "", "workers", "images/s", "least .. most", "GFLOP/s", "of convolution"
        );
        for row in &self.rows {
            let Row { work, workers, rates, images_per_second, gflop_per_second, .. } = row;
            let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
            let most = rates.iter().copied().fold(0.0, f64::max);
            let share = 100.0 * gflop_per_second / self.of("convolution", *workers).gflop_per_second;
            println!(
                "{work:12}  {workers:>7}  {images_per_second:>8.1}  {:>17}  {gflop_per_second:>7.1}  {share:>12.0} %",
                format!("{least:.1} .. {most:.1}")
            );
        }
        let gain = |work: &str| self.of(work, 2).images_per_second / self.of(work, 1).images_per_second;
        println!("\n2 workers over 1: full cycle {:.2}x, convolution {:.2}x", gain("full cycle"), gain("convolution"));
        println!(
            "a full cycle is 2 refiner and 1 discriminator updates through which 3 batches pass; GFLOP are useful work"
        );
    }

    fn of(&self, work: &str, workers: usize) -> &Row {
        self.rows
            .iter()
            .find(|row| row.work == work && row.workers == workers)
            .expect("every kind is measured on 1 and on 2")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bench_knows_its_job() {
        let spec = spec::read(JOB, &[]).unwrap();
        assert_eq!(f64::from(spec.what.train.batch), BATCH);
        assert_eq!((spec.what.train.k_refiner + spec.what.train.k_discriminator) as usize, STEPS);
    }

    #[test]
    fn a_median_is_the_one_in_the_middle() {
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), 3.0);
    }
}
