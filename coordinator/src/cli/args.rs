//! What can be typed. The comments are the help texts.

use crate::{serve::LISTEN, web::At};
use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::{net::SocketAddr, path::PathBuf, str::FromStr};
use sumac_common::{
    device::Wanted,
    logging::Level,
    spec::{ImageShape, model::Preset},
    sweep::Axis,
};

/// Where the coordinator keeps what must survive, if nothing else is said.
pub const STATE: &str = ".sumac";

/// Distributed, exactly reproducible training of SimGAN refiners.
#[derive(Debug, Parser)]
#[command(name = "sumac", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
    /// Show what happens, not only what goes wrong
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a coordinator, workers and a job on this machine
    Up(Up),
    /// Run the coordinator alone
    Serve(Serve),
    /// Write a first job file, with comments, from a look at two data sets
    ///
    /// Size, channels and labels are read off the images, the rest is a proposal for a first run. A file that is there stays as it is.
    Init(Init),
    /// Queue a job
    Submit(Submit),
    /// The cluster at a glance: who is here, what runs, what is wrong
    Status(Look),
    /// List all jobs
    Jobs(List),
    /// Describe one job
    Job(DescribeJob),
    /// A live view of jobs, workers and events in the terminal
    ///
    /// Jobs with their curves and what is out of balance, workers by machine with when they were heard last, events as they come.
    /// It stays while the coordinator is away. `?` says which keys there are; `q` leaves, and jobs go on.
    #[command(visible_alias = "top")]
    Watch(Watch),
    /// The pictures of a run, in the terminal: synthetic, refined and real images side by side
    Samples(Samples),
    /// List the checkpoints of a job, oldest first
    Checkpoints(ListCheckpoints),
    /// List the machines and how they are
    Nodes(List),
    /// Describe one machine and the workers on it
    Node(DescribeNode),
    /// List the workers and what they do
    Workers(List),
    /// What workers and the coordinator log, from wherever they are
    Logs(Logs),
    /// What happened: failures, each with its cause, and what was done
    Events(Events),
    /// A web page of the cluster, on this machine: workers, curves, pictures before and after, incidents
    ///
    /// It is served on 127.0.0.1 only and asks the coordinator over the same port as every other command, so it needs no port of the
    /// cluster's and works from anywhere the coordinator can be reached. It shows, and changes nothing. Curves and pictures are read
    /// from the job's output folder where this machine has it.
    Dashboard(Dashboard),
    /// Wait until a job is as far as wanted
    Wait(Wait),
    /// End a job now, without a checkpoint
    Cancel(Cancel),
    /// Let a job's workers go between two steps, with a checkpoint
    Pause(Target),
    /// Go on with a paused job from its checkpoint
    Resume(Target),
    /// Change on how many workers a job runs; it goes on meanwhile
    Scale(Scale),
    /// Give a worker or a node no more work, and let go what it has between two steps
    Drain(Drain),
    /// Take a drain back
    Undrain(Member),
    /// Put a worker or a node out at once, in the midst of a step
    Evict(Evict),
    /// All members of a job are lost for good: go back to its last checkpoint
    GiveUp(Target),
    /// Turn a labelled simulator data set into a refined one, with a refiner that was trained
    ///
    /// The same command goes on where it was stopped, and finds a finished data set finished. Without a coordinator it brings its
    /// own, with workers on this machine, as `up` does.
    Refine(Box<Refine>),
    /// Does it help? Train a model on synthetic, matched and refined images, test it on labelled real ones
    ///
    /// The same small model learns from each kind of images, with the same seeds and the same number of updates, and is tested on
    /// real images that nothing was trained on: as the synthetic ones are, lit as real ones without any learning (moment-match,
    /// image-match), refined, and synthetic ones together with each. The table says by how much each is better, seed by seed.
    ///
    /// The same command goes on where it was stopped, and prints the table of a finished evaluation. Without a coordinator it brings
    /// its own, with workers on this machine.
    Evaluate(Box<Evaluate>),
    /// Run one job with other values, each variant a run of its own, and compare them
    #[command(long_about = SWEEP)]
    Sweep(Box<Sweep>),
    /// Runs beside each other: losses, how far the refiner goes, who is ahead, what is out of balance
    Compare(Compare),
    /// How fast a job would train on 1 to 256 workers, where the rest goes, and where more do not pay
    #[command(long_about = PREDICT)]
    Predict(Box<Predict>),
    /// Check a refined data set: each image once, every byte as it was written, every label as in the source
    Verify(Verify),
    /// A trained refiner for use elsewhere: weights, a PyTorch module that loads them, the job it comes from
    Export(Export),
    /// Look at data sets, draw one to play with
    Data {
        #[command(subcommand)]
        data: Data,
    },
    /// What is wrong with this machine, the cluster or a job, each with its remedy, before it costs a night
    ///
    /// It looks at libtorch, the processor, GPUs and their driver, shared memory, disks, names and clocks; with --cluster at the ways
    /// between all machines, and whether they compute alike; with --job at the images and the output folder, from every machine. It
    /// changes nothing, disturbs nobody who works, and takes less than a minute. Ends with 1 if anything fails.
    Doctor(Doctor),
    /// Versions of this tool and of the coordinator
    Version(Look),
    /// What your shell needs to complete this command line
    ///
    /// For bash: `sumac completion bash > ~/.local/share/bash-completion/completions/sumac`. For zsh: into a file `_sumac` in a folder
    /// of $fpath. For fish: into `~/.config/fish/completions/sumac.fish`.
    Completion(Completion),
    /// The manual: this command's page on stdout, or all pages into a folder
    ///
    /// `sumac man | man -l -` reads it here; `sumac man ~/.local/share/man/man1` makes `man sumac-job` work.
    Man(Man),
    /// Explain a command or a topic: `sumac help exit-codes`
    Help {
        /// A command, or exit-codes, environment, json: the form of what -o json prints [default: all commands]
        topic: Vec<String>,
    },
}

/// What was looked at once, such as a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    #[default]
    Table,
    Json,
}

#[derive(Debug, clap::Args)]
pub struct Read {
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// What a cluster is asked again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    #[default]
    Table,
    /// With all there is to say, and nothing cut
    Wide,
    Json,
    /// Nothing but names, a line each, as other commands take them
    Name,
}

/// How the cluster is read.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Reading {
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Form,
    /// Go on, and print again whatever changes its state, its members or its reason; figures are as of then
    #[arg(short, long)]
    pub watch: bool,
}

impl Reading {
    pub(super) fn is_wide(&self) -> bool {
        self.output == Form::Wide
    }

    /// Characters of a line on this terminal; what is piped is never cut.
    pub(super) fn width(&self) -> Option<usize> {
        if self.is_wide() { None } else { super::render::terminal_width() }
    }
}

// Only the commands that dial have it.
#[derive(Debug, clap::Args)]
pub struct Reach {
    /// Where the coordinator is [default: the one of ./.sumac, else http://127.0.0.1:7070]
    #[arg(long, value_name = "URL", env = "SUMAC_COORDINATOR")]
    pub coordinator: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct Look {
    #[command(flatten)]
    pub reading: Reading,
    #[command(flatten)]
    pub reach: Reach,
}

/// How a list is read.
#[derive(Debug, clap::Args)]
pub struct ListReading {
    #[command(flatten)]
    pub reading: Reading,
    /// Rows alone: no heads, no sum below
    #[arg(long)]
    pub no_header: bool,
}

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    pub list: ListReading,
    #[command(flatten)]
    pub reach: Reach,
}

#[derive(Debug, clap::Args)]
pub struct DescribeNode {
    /// Its name, or enough of its beginning
    pub node: String,
    #[command(flatten)]
    pub reading: Reading,
    #[command(flatten)]
    pub reach: Reach,
}

#[derive(Debug, clap::Args)]
pub struct Logs {
    /// A job, a worker, a node or `coordinator`, or enough of its beginning [default: everybody]
    pub about: Option<String>,
    /// Go on with what is said from now on
    #[arg(short, long, visible_short_alias = 'w', visible_alias = "watch")]
    pub follow: bool,
    /// Of what was said before, the newest so many lines; 0 for all that are kept
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub tail: u32,
    /// Nothing older than this, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub since: Option<std::time::Duration>,
    /// Nothing that matters less: debug, info, warn or error
    #[arg(long, default_value = "info")]
    pub level: Level,
    /// Of a job or a node only what this worker says
    #[arg(long, value_name = "WORKER")]
    pub worker: Option<String>,
    /// Only lines that contain this
    #[arg(long, value_name = "TEXT")]
    pub grep: Option<String>,
    /// How to print; the names are of those who say something, each once
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Form,
    #[command(flatten)]
    pub reach: Reach,
}

#[derive(Debug, clap::Args)]
pub struct Target {
    /// Its id, or enough of its beginning
    pub job: String,
    #[command(flatten)]
    pub reach: Reach,
}

#[derive(Debug, clap::Args)]
pub struct Events {
    /// A job, a worker or a node, or enough of its beginning [default: everything]
    pub about: Option<String>,
    /// Go on with what happens from now on
    #[arg(short, long, visible_short_alias = 'w', visible_alias = "watch")]
    pub follow: bool,
    /// Each word of a failure too, not only what it comes to
    #[arg(short, long)]
    pub all: bool,
    /// How to print; the names are of the jobs and workers that something happened to, each once
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Form,
    #[command(flatten)]
    pub reach: Reach,
}

#[derive(Debug, clap::Args)]
pub struct Dashboard {
    /// Port of this machine to serve it on; 0 takes any free one [default: 7072, any free one if that is taken]
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
    /// Open it in the browser
    #[arg(long)]
    pub open: bool,
    #[command(flatten)]
    pub reach: Reach,
}

#[derive(Debug, clap::Args)]
pub struct Scale {
    #[command(flatten)]
    pub target: Target,
    /// 4, or 2..8: at least and at most so many
    #[arg(long, value_name = "N|MIN..MAX")]
    pub workers: Span,
}

#[derive(Debug, clap::Args)]
pub struct Member {
    /// Name of a worker or of a node, or enough of its beginning
    pub name: String,
    #[command(flatten)]
    pub reach: Reach,
}

#[derive(Debug, clap::Args)]
pub struct Drain {
    #[command(flatten)]
    pub member: Member,
    /// Put out whoever is not free after so long, such as 90s or 2m
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub deadline: Option<std::time::Duration>,
    /// Do not wait until it is free
    #[arg(long)]
    pub no_wait: bool,
}

#[derive(Debug, clap::Args)]
pub struct Evict {
    #[command(flatten)]
    pub member: Member,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, clap::Args)]
pub struct DescribeJob {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub reading: Reading,
}

#[derive(Debug, clap::Args)]
pub struct ListCheckpoints {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub list: ListReading,
}

#[derive(Debug, clap::Args)]
pub struct Watch {
    /// The job to begin with: its id, or enough of its beginning [default: an overview of all]
    pub job: Option<String>,
    #[command(flatten)]
    pub reach: Reach,
}

#[derive(Debug, clap::Args)]
pub struct Samples {
    /// A job, or the output folder of a run
    #[arg(value_name = "JOB")]
    pub run: String,
    /// Those of this step [default: the newest]
    #[arg(long, value_name = "N")]
    pub step: Option<u64>,
    /// Draw them although nobody looks: stdout is no terminal
    #[arg(long)]
    pub draw: bool,
    #[command(flatten)]
    pub reach: Reach,
}

#[derive(Debug, clap::Args)]
pub struct Up {
    /// The job to run to its end [default: none, serve until ctrl-C]
    #[arg(value_name = "JOB.toml", conflicts_with = "demo")]
    pub job: Option<PathBuf>,
    /// Draw two small sets of eyes and run the built-in demo on them
    #[arg(long)]
    pub demo: bool,
    /// How many workers [default: one per card, else one per 2 cores, at most as many as the job wants; 2 for --demo]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub workers: Option<u32>,
    /// What the workers compute on: auto (cards, where there are any), cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value_t, env = "SUMAC_DEVICE")]
    pub device: Wanted,
    /// Change a value of the job, such as train.lambda=0.2
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub overrides: Vec<Override>,
    /// Where the coordinator keeps what must survive
    #[arg(long, value_name = "DIR", default_value = STATE, env = "SUMAC_STATE_DIR")]
    pub state: PathBuf,
    /// Address to listen on; port 0 takes any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", env = "SUMAC_LISTEN")]
    pub listen: SocketAddr,
    /// Allow --listen beyond this machine, unencrypted
    #[arg(long, env = "SUMAC_INSECURE")]
    pub insecure: bool,
}

#[derive(Debug, clap::Args)]
pub struct Serve {
    /// Address to listen on; port 0 takes any free one
    #[arg(long, value_name = "ADDR", default_value = LISTEN, env = "SUMAC_LISTEN")]
    pub listen: SocketAddr,
    /// Where the coordinator keeps what must survive
    #[arg(long, value_name = "DIR", default_value = STATE, env = "SUMAC_STATE_DIR")]
    pub state: PathBuf,
    /// Where probes and scrapers ask: /healthz, /readyz, /metrics; off for nowhere [default: 127.0.0.1:7071, or any free port if
    /// that one is taken]
    #[arg(long, value_name = "ADDR", env = "SUMAC_HTTP")]
    pub http: Option<Http>,
    /// Allow --listen and --http beyond this machine, unencrypted
    #[arg(long, env = "SUMAC_INSECURE")]
    pub insecure: bool,
}

#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// Look at every machine of the cluster too, and at the ways between them
    #[arg(long)]
    pub cluster: bool,
    /// Look at the data sets and the output folder of this job, too
    #[arg(long, value_name = "FILE")]
    pub job: Option<PathBuf>,
    /// Change a value of the job, such as data.real=photos
    #[arg(long = "set", value_name = "PATH=VALUE", requires = "job")]
    pub overrides: Vec<Override>,
    #[command(flatten)]
    pub read: Read,
    #[command(flatten)]
    pub reach: Reach,
}

#[derive(Debug, clap::Args)]
pub struct Completion {
    /// Which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

#[derive(Debug, clap::Args)]
pub struct Man {
    /// The folder for all pages; it is made if it is not there
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Init {
    /// The file to write; `-` prints it
    #[arg(value_name = "FILE", default_value = "job.toml")]
    pub file: PathBuf,
    /// The labelled simulated images: whatever `sumac data inspect` knows
    #[arg(long, value_name = "SRC")]
    pub synthetic: PathBuf,
    /// The real ones, without labels
    #[arg(long, value_name = "SRC")]
    pub real: PathBuf,
    /// Name the job [default: as the file]
    #[arg(long)]
    pub name: Option<String>,
    /// The networks: digits, small-colour, small-colour-matched, paper-eyes or paper-hands [default: by the channels]
    #[arg(long, value_name = "NAME", value_parser = preset)]
    pub preset: Option<Preset>,
}

#[derive(Debug, clap::Args)]
pub struct Submit {
    /// The job file; `-` reads it from stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Change a value of the job, such as train.lambda=0.2
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub overrides: Vec<Override>,
    /// Name the job differently
    #[arg(long)]
    pub name: Option<String>,
    /// Follow it to its end; ctrl-C detaches and leaves it running
    #[arg(short, long, conflicts_with = "dry_run")]
    pub follow: bool,
    /// Print the resolved job and where it would run; change nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub reach: Reach,
}

/// One job with other values.
#[derive(Debug, clap::Args)]
pub struct Sweep {
    /// A job file, or a sweep's
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Values to try of a field, such as train.lambda=0.5,2,8; of several fields, each with each
    #[arg(long, value_name = "PATH=VALUE,VALUE", value_parser = Axis::read)]
    pub over: Vec<Axis>,
    /// Change a value of the job for all variants, such as train.steps=200
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub overrides: Vec<Override>,
    /// Each run writes into a folder of its name in this one [default: beside the job's own output.dir]
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
    /// Without a coordinator: so many workers are started [default: one per 2 cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub workers: Option<u32>,
    /// Say which runs there would be; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Without a coordinator: where its own keeps what must survive
    #[arg(long, value_name = "DIR", default_value = STATE, env = "SUMAC_STATE_DIR")]
    pub state: PathBuf,
    /// The coordinator to queue them with [default: the one of ./.sumac if it runs, else none]
    #[arg(long, value_name = "URL", env = "SUMAC_COORDINATOR")]
    pub coordinator: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct Compare {
    /// Jobs, or output folders of runs
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<String>,
    #[command(flatten)]
    pub list: ListReading,
    #[command(flatten)]
    pub reach: Reach,
}

const SWEEP: &str = "\
Run one job with other values, each variant a run of its own, and compare them.

FILE is a job, varied by --over, or a sweep:

  job = \"signs.toml\"              # beside this file
  [variants.as-it-is]
  [variants.no-history]
  train.history.size = 0
  [over]                          # each variant with each of these
  train.seed = [7, 8]

The same command goes on where it was stopped. Without a coordinator it brings its own, with workers on this machine.";

/// A job, and where it would run.
#[derive(Debug, clap::Args)]
pub struct Predict {
    /// The job; `-` reads it from stdin [default: a job of --preset]
    #[arg(value_name = "JOB.toml", conflicts_with = "preset")]
    pub job: Option<PathBuf>,
    /// The networks: digits, small-colour, small-colour-matched, paper-eyes or paper-hands [default: paper-eyes]
    #[arg(long, value_name = "NAME", value_parser = preset)]
    pub preset: Option<Preset>,
    /// Images of an update, of all workers together [default: the job's, or the preset's]
    #[arg(long, value_name = "B")]
    pub batch: Option<u32>,
    /// Shares of the batch that workers carry [default: the job's, or as many as there can be of 8 images, up to 64]
    #[arg(long, value_name = "V")]
    pub lanes: Option<u32>,
    /// Images of this shape, such as 35x55x1: height, width, channels [default: the job's, or the preset's]
    #[arg(long, value_name = "HxWxC")]
    pub image: Option<Shape>,
    /// Change another value of the job, such as train.k_refiner=50
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub overrides: Vec<Override>,
    /// As far as so many workers
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub up_to: u32,
    /// Workers on each machine
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub workers_per_machine: u32,
    /// Cores of each machine [default: of the one that was measured]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub cores: Option<u32>,
    /// Speed of the network between machines, in Gbit/s [default: it adds nothing to what is measured within one]
    #[arg(long, value_name = "G", value_parser = above_zero)]
    pub gigabits: Option<f64>,
    /// Delay of a round over that network, in microseconds
    #[arg(long, value_name = "L", default_value_t = 50.0, value_parser = above_zero, requires = "gigabits")]
    pub latency_us: f64,
    /// Hours from one death of a worker to its next
    #[arg(long, value_name = "H", default_value_t = 1_000.0, value_parser = above_zero)]
    pub hours_between_deaths: f64,
    /// Figures that `make bench-scale` has measured [default: those built in]
    #[arg(long, value_name = "FILE")]
    pub measured: Option<PathBuf>,
    #[command(flatten)]
    pub read: Read,
}

const PREDICT: &str = "\
How fast a job would train on 1 to 256 workers, where the rest goes, and where more do not pay.

A cost model, from parts that were measured one by one on one machine: a lane's forward and backward pass, the reduction of \
gradients by size and number of workers, handing images to guards, the update, a regrouping. Nothing runs, and nobody is asked.

EFFICIENCY is the speed-up over one worker, by worker. COMPUTE to REGROUP are shares of a cycle: what a worker computes, waits for \
those who have a lane more, hands to its guard, adds up with the others, does alike with all others, and loses when somebody dies. \
The last column names what most is lost to. Then it says where efficiency falls below 90% and why, what would help, and how far \
off the model is for runs that were measured.

  sumac predict                                     the paper's networks for eyes
  sumac predict eyes.toml --gigabits 10             your job on machines with a network of 10 Gbit/s
  sumac predict --batch 64 --workers-per-machine 4 --cores 8
  sumac predict --preset paper-hands --image 112x112x1 --lanes 128 --up-to 128";

#[derive(Debug, clap::Args)]
pub struct Wait {
    #[command(flatten)]
    pub target: Target,
    /// done, running, or step=N
    #[arg(long = "for", value_name = "WHAT", default_value = "done")]
    pub until: Until,
    /// Give up after so long, such as 90s or 2h (exit code 6)
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub timeout: Option<std::time::Duration>,
}

#[derive(Debug, clap::Args)]
pub struct Cancel {
    #[command(flatten)]
    pub target: Target,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// A data set through a refiner.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Refine {
    #[command(subcommand)]
    pub about: Option<RefineAbout>,
    /// The labelled images: whatever `sumac data inspect` knows
    #[arg(value_name = "SRC", required = true)]
    pub source: Option<PathBuf>,
    /// The folder for the refined ones: a new or an empty one, or that of this very refinement
    #[arg(value_name = "DST", required = true)]
    pub destination: Option<PathBuf>,
    /// The refiner: a job, JOB@STEP, a run's output folder, a checkpoint's folder, or a refiner.safetensors with its spec.toml
    #[arg(long, value_name = "WHICH", required = true)]
    pub checkpoint: Option<String>,
    #[command(flatten)]
    pub written: Written,
    /// Bring every image to the size that the refiner was trained on [default: each is refined at its own size]
    #[arg(long, value_enum)]
    pub fit: Option<FitWord>,
    /// Name the job [default: the name of DST]
    #[arg(long)]
    pub name: Option<String>,
    /// At most so many workers; without a coordinator so many are started [default: all; one per 2 cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub workers: Option<u32>,
    /// Queue it, and do not wait for its end; needs a coordinator
    #[arg(long, conflicts_with = "dry_run")]
    pub detach: bool,
    /// Without any coordinator: do one of N shares, I from 0 to N - 1, as a task of an array job; `merge` then puts them together
    #[arg(long, value_name = "I/N", value_parser = share_of, conflicts_with_all = ["detach", "dry_run", "workers"])]
    pub shard_of: Option<String>,
    /// The coordinator to queue it with [default: the one of ./.sumac if it runs, else none]
    #[arg(long, value_name = "URL", env = "SUMAC_COORDINATOR")]
    pub coordinator: Option<String>,
}

/// How a data set is written.
#[derive(Debug, clap::Args)]
pub struct Written {
    /// mirror: the same tree and names; shards: WebDataset tars [default: mirror, shards from tars and above 100,000 images]
    #[arg(long, value_enum)]
    pub layout: Option<LayoutWord>,
    /// same: a JPEG stays a JPEG; png: without loss, whatever went in
    #[arg(long, value_enum, default_value_t)]
    pub format: FormatWord,
    /// Share of the images that may be bad, such as 0.1%; above it the command fails
    #[arg(long, value_name = "SHARE", default_value = "0.1%", value_parser = share)]
    pub max_bad: f64,
    /// Images that are done, or done again after a failure, as one [default: by the number of images]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub shard_images: Option<u32>,
    /// Say what would be done; write nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub enum RefineAbout {
    /// Put together what the tasks of an array job have refined (--shard-of)
    Merge {
        /// The folder of the refined images
        destination: PathBuf,
    },
    /// How far a refinement is, by its folder, also where no coordinator runs
    Status {
        /// The folder of the refined images
        destination: PathBuf,
        #[command(flatten)]
        read: Read,
    },
}

/// Models that learn from refined images.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Evaluate {
    #[command(subcommand)]
    pub about: Option<EvaluateAbout>,
    /// The refiners: each a job, JOB@STEP, a run's output folder, a checkpoint's folder, or a refiner.safetensors with its spec.toml
    #[arg(value_name = "WHICH", required = true)]
    pub refiners: Vec<String>,
    /// Labelled real images to test on; none of them may be among those that were trained on
    #[arg(long, value_name = "DIR", required = true)]
    pub real_test: Option<PathBuf>,
    /// A table with the labels of --real-test, if they are not with the images
    #[arg(long, value_name = "FILE")]
    pub test_labels: Option<PathBuf>,
    /// Where the figures are written: a new or an empty folder, or that of this very evaluation
    #[arg(long, value_name = "DIR", required = true)]
    pub into: Option<PathBuf>,
    /// The labelled synthetic images [default: those of the first refiner's run]
    #[arg(long, value_name = "DIR")]
    pub synthetic: Option<PathBuf>,
    /// A table with their labels, if they are not with the images
    #[arg(long, value_name = "FILE")]
    pub synthetic_labels: Option<PathBuf>,
    /// The unlabelled real images [default: those of the first refiner's run]
    #[arg(long, value_name = "DIR")]
    pub real: Option<PathBuf>,
    /// Labelled real images to learn from: what labels would give, and what the gap is measured by
    #[arg(long, value_name = "DIR")]
    pub real_labelled: Option<PathBuf>,
    /// A table with the labels of --real-labelled, if they are not with the images
    #[arg(long, value_name = "FILE", requires = "real_labelled")]
    pub real_labels: Option<PathBuf>,
    /// A few labelled real images by which to choose among refiners; none of them may be in the test
    #[arg(long, value_name = "DIR")]
    pub real_validation: Option<PathBuf>,
    /// A table with the labels of --real-validation, if they are not with the images
    #[arg(long, value_name = "FILE", requires = "real_validation")]
    pub validation_labels: Option<PathBuf>,
    /// What in the labels of the synthetic images is a point, as --label names it, such as pupil: x and y in pixels from the upper
    /// left. How far it moves in refining is said
    #[arg(long, value_name = "NAME")]
    pub point: Vec<String>,
    /// A column whose values, such as persons, may not be both in the test and among labelled images to learn or to choose from
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// The column of the tables (or the path in the JSON beside each image, as eye_details.look_vec) that is the label; several are
    /// the numbers of one label
    #[arg(long, value_name = "NAME")]
    pub label: Vec<String>,
    /// The same for the synthetic images, where theirs have other names
    #[arg(long, value_name = "NAME")]
    pub synthetic_label: Vec<String>,
    /// What the model is to say
    #[arg(long, value_enum, default_value_t)]
    pub task: TaskWord,
    /// Compare by the mean over classes, for tests that have more of some
    #[arg(long)]
    pub balanced: bool,
    /// Add arms with so much of the labelled real images, such as 10%
    #[arg(long, value_name = "SHARE", value_parser = share, requires = "real_labelled")]
    pub mix: Vec<f64>,
    /// Leave out the arms of synthetic images together with others
    #[arg(long)]
    pub apart: bool,
    /// Seeds that each arm's model is trained with
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub seeds: u32,
    /// The model
    #[arg(long, value_enum, default_value_t)]
    pub net: NetWord,
    /// Maps of the small model's first layer
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub width: u32,
    /// Updates of each model
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub updates: u64,
    /// Images in an update
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=65_536))]
    pub batch: u32,
    /// Share of the images of a set that may be bad, such as 1% [default: as the first refiner's run allowed]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub max_bad: Option<f64>,
    /// Pixels by which images are shifted at random while the model learns
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=64))]
    pub shift: u32,
    /// Name the job [default: the name of --into]
    #[arg(long)]
    pub name: Option<String>,
    /// At most so many workers; without a coordinator so many are started [default: all; one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub workers: Option<u32>,
    /// Queue it, and do not wait for its end; needs a coordinator
    #[arg(long, conflicts_with = "dry_run")]
    pub detach: bool,
    /// Say which arms would be compared; write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Where decoded images are kept [default: the user's cache folder]
    #[arg(long, env = "SUMAC_CACHE", value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// The coordinator to queue it with [default: the one of ./.sumac if it runs, else none]
    #[arg(long, value_name = "URL", env = "SUMAC_COORDINATOR")]
    pub coordinator: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum EvaluateAbout {
    /// The table of an evaluation, finished or under way, by its folder
    Show {
        /// The folder that was given as --into
        into: PathBuf,
        #[command(flatten)]
        read: Read,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TaskWord {
    /// The class of an image
    #[default]
    Classes,
    /// Numbers, by their mean absolute error
    Numbers,
    /// A direction in space, by the angle in degrees
    Direction,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum NetWord {
    /// Three blocks of convolution, norm and pooling
    #[default]
    Small,
    /// The gaze network of the paper
    PaperGaze,
}

#[derive(Debug, clap::Args)]
pub struct Verify {
    /// The folder of the refined images
    #[arg(value_name = "DST")]
    pub destination: PathBuf,
    /// The data set it was made from: its keys and labels are compared, too
    #[arg(long, value_name = "SRC")]
    pub source: Option<PathBuf>,
    #[command(flatten)]
    pub read: Read,
}

#[derive(Debug, clap::Args)]
pub struct Export {
    /// A job, JOB@STEP, a run's output folder, a checkpoint's folder, or a refiner.safetensors with its spec.toml
    #[arg(value_name = "WHICH")]
    pub which: String,
    /// Where to; it is made if it is not there
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    #[command(flatten)]
    pub reach: Reach,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LayoutWord {
    Mirror,
    Shards,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FormatWord {
    #[default]
    Same,
    Png,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FitWord {
    /// Averaging over the covered area
    Area,
    /// The middle is cut out; a smaller image is bad
    Crop,
    /// Another size is bad
    Exact,
}

/// `0.1%` or `0.001`.
fn share(text: &str) -> Result<f64, String> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse().map(|percent: f64| percent / 100.0),
        None => text.parse(),
    };
    let share = share.ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "must be a share such as 0.1% or 0.001".to_owned())
}

/// A figure to divide by.
fn above_zero(text: &str) -> Result<f64, String> {
    let figure = text.parse().ok().filter(|figure: &f64| figure.is_finite() && *figure > 0.0);
    figure.ok_or_else(|| "must be a number above 0".to_owned())
}

/// `3/8`: one of so many shares, from 0 on.
fn share_of(text: &str) -> Result<String, String> {
    let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse::<u32>().ok()?, n.parse::<u32>().ok()?)));
    match numbers {
        Some((i, n)) if i < n => Ok(text.to_owned()),
        _ => Err("must be I/N, I from 0 to N - 1, such as 0/8".to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub enum Data {
    /// Say what a data set is: images, sizes, labels, faults
    Inspect {
        /// A folder, a table, a tar or a pattern of tars, an idx, npy, npz or parquet file, an image
        source: PathBuf,
        #[command(flatten)]
        read: Read,
    },
    /// Decode every image and read every label; say which are bad and why, and end with 1 if any is
    ///
    /// `inspect` reads headers alone and is quicker; a job or a refinement finds what `validate` finds when it comes to it.
    Validate {
        /// A folder, a table, a tar or a pattern of tars, an idx, npy, npz or parquet file, an image
        source: PathBuf,
        #[command(flatten)]
        read: Read,
    },
    /// Figures over all pixels: sizes, depth, mean and deviation of each channel, labels
    Stats {
        /// A folder, a table, a tar or a pattern of tars, an idx, npy, npz or parquet file, an image
        source: PathBuf,
        #[command(flatten)]
        read: Read,
    },
    /// Write a labelled data set in another form: another size, another layout, labels byte for byte
    ///
    /// Without --image and --format png each image's file stays as it is. The same command goes on where it was stopped, and
    /// `sumac verify DST --source SRC` checks what it wrote.
    Convert {
        /// The images: whatever `sumac data inspect` knows
        source: PathBuf,
        /// The folder to write to: a new or an empty one, or that of this very conversion
        destination: PathBuf,
        /// Bring every image to this shape, such as 35x55x1: height, width, channels (1 grey, 3 colour)
        #[arg(long, value_name = "HxWxC")]
        image: Option<Shape>,
        /// How to get to --image
        #[arg(long, value_enum, default_value = "area", requires = "image")]
        fit: FitWord,
        #[command(flatten)]
        written: Written,
    },
    /// Draw a pair of data sets: labelled synthetic images, and what a camera would see
    Demo {
        /// What to draw
        subject: Subject,
        /// The folder for both sets: a new or an empty one, or one that holds this very drawing
        dir: PathBuf,
        /// Images in each of the two sets
        #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        count: u64,
        /// The same seed draws the same bytes
        #[arg(long, value_name = "N", default_value_t = 7)]
        seed: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Subject {
    /// Grey eyes of 55x35 pixels, labelled with pupil, gaze and lids
    Eyes,
    /// Grey digits of 28x28 pixels, a folder per class
    Digits,
}

/// `35x55x1`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape(pub ImageShape);

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Option<Vec<u32>> = text.split('x').map(|number| number.parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[height @ 1..=16_384, width @ 1..=16_384, channels @ (1 | 3)]) => {
                Ok(Self(ImageShape { channels, height, width }))
            }
            _ => Err("must be height, width and channels, such as 35x55x1 or 64x64x3".to_owned()),
        }
    }
}

/// As job files name it.
pub(super) fn preset(text: &str) -> Result<Preset, String> {
    serde_json::from_value(text.into())
        .map_err(|_| "must be digits, small-colour, small-colour-matched, paper-eyes or paper-hands".to_owned())
}

/// `127.0.0.1:7071`, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http(pub At);

impl FromStr for Http {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = if text == "off" { Ok(At::Off) } else { text.parse().map(At::Exactly) };
        at.map(Self).map_err(|_| "must be an address and a port, such as 127.0.0.1:7071, or off".to_owned())
    }
}

/// `train.lambda=0.2`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    pub path: String,
    pub value: String,
}

impl FromStr for Override {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((path, value)) if !path.trim().is_empty() => {
                Ok(Self { path: path.trim().to_owned(), value: value.trim().to_owned() })
            }
            _ => Err("must be PATH=VALUE, such as train.lambda=0.2".to_owned()),
        }
    }
}

/// Numbers of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub min: u32,
    pub max: u32,
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (min, max) = text.split_once("..").map_or((None, text), |(min, max)| (Some(min), max));
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0);
        let span = number(max).and_then(|max| Some(Self { min: min.map_or(Some(1), number)?.min(max), max }));
        let is_in_order =
            min.is_none_or(|min| min.parse::<u32>().is_ok_and(|min| span.is_some_and(|span| min <= span.max)));
        span.filter(|_| is_in_order).ok_or_else(|| "must be a number of workers, or MIN..MAX such as 2..8".to_owned())
    }
}

/// What `wait` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    Done,
    Running,
    Step(u64),
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("step=").map(str::parse)) {
            ("done", _) => Ok(Self::Done),
            ("running", _) => Ok(Self::Running),
            (_, Some(Ok(step))) => Ok(Self::Step(step)),
            _ => Err("must be done, running or step=N".to_owned()),
        }
    }
}
