//! A job that runs and is followed, on workers that can be harmed and brought back. It refuses to know what is done to them.

use crate::{
    dice::Dice,
    journal::{Entered, Journal},
    row::Times,
};
use std::{
    collections::BTreeMap,
    fs, thread,
    time::{Duration, Instant},
};
use sumac_tests::{Cluster, Job, Outcome, Room};

/// A drawn set this large is drawn in no time, and an epoch of it is over soon.
const IMAGES: u32 = 200;
/// Every process of the campaign dies with it, however it ends.
const MORTAL: &[&str] = &["setpriv", "--pdeathsig", "KILL"];

const MOMENT: Duration = Duration::from_millis(500);

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Model {
    /// Known arithmetic: a hundred steps a second over real links, so that many faults fit into a short time.
    Toy,
    /// SimGAN as narrow as it can be.
    SimGan,
    /// The preset of this name, nothing narrowed.
    Digits,
}

impl Model {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Toy => "toy",
            Self::SimGan => "simgan",
            Self::Digits => "digits",
        }
    }

    fn steps(self) -> u64 {
        match self {
            Self::Toy => 16_000,
            Self::SimGan => 400,
            Self::Digits => 1_200,
        }
    }

    /// A fault has to be over before the run is.
    fn margin(self) -> u64 {
        match self {
            Self::Toy => 1_500,
            Self::SimGan => 80,
            Self::Digits => 150,
        }
    }

    /// All jobs of a model are the same run; they differ in how it is run.
    pub(crate) fn job(self, name: &str) -> Job {
        let job = match self {
            Self::Toy => Job::toy(name).set("output.checkpoint_steps", 5_000),
            Self::SimGan => Job::simgan(name).set("output.checkpoint_steps", 100),
            Self::Digits => Job::digits(name),
        };
        job.set("train.steps", self.steps())
    }
}

/// Between two faults, so that they meet the run anywhere.
pub(crate) fn wait_a_moment(dice: &mut Dice) {
    thread::sleep(dice.between(Duration::ZERO, MOMENT));
}

pub(crate) fn room() -> Room {
    bare_room().draw_digits(IMAGES)
}

/// Without images.
pub(crate) fn bare_room() -> Room {
    Room::new().behind(MORTAL)
}

/// The undisturbed runs, each made once.
#[derive(Default)]
pub(crate) struct References(BTreeMap<Model, Outcome>);

impl References {
    pub(crate) fn of(&mut self, model: Model) -> &Outcome {
        self.0.entry(model).or_insert_with(|| {
            eprintln!("  undisturbed run of {}: {} steps on one worker", model.name(), model.steps());
            let stage = Stage::begin(model, model.job("undisturbed").exactly(1), 1);
            stage.finish()
        })
    }
}

/// How a run compares with the undisturbed one.
pub(crate) struct Verdict {
    pub(crate) difference: Option<String>,
    pub(crate) is_trace_equal: bool,
    pub(crate) redone: u64,
    pub(crate) generations: u64,
}

pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) journal: Journal,
    model: Model,
    job: Job,
    id: String,
}

impl Stage {
    /// `n` workers, `w0` the first, all in the job.
    pub(crate) fn begin(model: Model, job: Job, n: usize) -> Self {
        let mut cluster = Cluster::start(room());
        (0..n).for_each(|k| cluster.join(&format!("w{k}")));
        Self::on(cluster, model, job)
    }

    pub(crate) fn on(cluster: Cluster, model: Model, job: Job) -> Self {
        let follower = cluster.follow(&job);
        let metrics = cluster.room().at(&format!("{}/metrics.jsonl", job.output()));
        let said = follower.says("  job ", 1);
        let id = said.split_whitespace().nth(1).unwrap_or_default().to_owned();
        Self { cluster, journal: Journal::new(follower, metrics), model, job, id }
    }

    /// Whether there is time for one more fault.
    pub(crate) fn has_time(&self) -> bool {
        let ahead = self.model.steps().saturating_sub(self.journal.last_step().unwrap_or(0));
        !self.journal.follower().has_ended() && ahead > self.model.margin()
    }

    pub(crate) fn has_steps_beyond(&self, edge: u64) -> bool {
        !self.journal.follower().has_ended()
            && self.journal.last_step().is_none_or(|last| last + edge < self.model.steps())
    }

    /// Waits until `n` workers train. `None` if the run ended first.
    pub(crate) fn whole(&self, n: usize) -> Option<Entered> {
        let entered = self.journal.runs_on(n)?;
        self.journal.committed(entered.step)?;
        Some(entered)
    }

    /// Once `n` workers train, some moment later: one of them. `None` if the run ended first.
    pub(crate) fn victim(&self, n: usize, dice: &mut Dice) -> Option<(Entered, String)> {
        let entered = self.whole(n)?;
        let victim = entered.roster[dice.below(n)].clone();
        wait_a_moment(dice);
        Some((entered, victim))
    }

    /// From the fault at `since`, that struck this generation, to the coordinator's word of it and to the first step after it.
    pub(crate) fn mended(&self, since: Instant, generation: u64) -> (Times, Option<Entered>) {
        let detection = self.journal.detected(since).map(|at| at - since);
        let (times, entered) = self.went_on(since, generation);
        (Times { detection, ..times }, entered)
    }

    /// The same for what the coordinator tells as an incident only when it is over.
    pub(crate) fn went_on(&self, since: Instant, generation: u64) -> (Times, Option<Entered>) {
        let entered = self.journal.entered(generation);
        let recovery = entered.as_ref().and_then(|entered| self.journal.committed(entered.step)).map(|at| at - since);
        (Times { detection: None, recovery }, entered)
    }

    pub(crate) fn scale(&self, n: usize) {
        self.cluster.sumac(&["scale", &self.id, "--workers", &n.to_string()]).assert(0, &["scaled"]);
    }

    /// Steps of the checkpoints that are whole.
    pub(crate) fn checkpoints(&self) -> Vec<u64> {
        let mut whole: Vec<u64> =
            self.begun_checkpoints().filter(|(_, is_whole)| *is_whole).map(|(step, _)| step).collect();
        whole.sort_unstable();
        whole
    }

    /// Whether one is there that is not whole.
    pub(crate) fn is_saving(&self) -> bool {
        self.begun_checkpoints().any(|(_, is_whole)| !is_whole)
    }

    /// Waits until one is being written; false if the run ended first.
    pub(crate) fn saving(&self) -> bool {
        // What the dead left torn is ahead of the run until it comes there again.
        let is_reached = |step: u64| self.journal.last_step().is_some_and(|last| last + 1 >= step);
        while !self.begun_checkpoints().any(|(step, is_whole)| !is_whole && is_reached(step)) {
            if self.journal.follower().has_ended() {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// Each one's step, and whether it is whole.
    fn begun_checkpoints(&self) -> impl Iterator<Item = (u64, bool)> {
        let folder = self.cluster.room().at(&format!("{}/checkpoints", self.job.output()));
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| {
            let step = entry.file_name().to_str()?.strip_prefix("step-")?.parse().ok()?;
            Some((step, entry.path().join("manifest.json").exists()))
        })
    }

    /// To its end. A toy is alone at the end: that is twenty times as fast.
    pub(crate) fn end(self, undisturbed: &Outcome) -> Verdict {
        if self.model == Model::Toy && self.has_time() {
            self.scale(1);
        }
        let run = self.finish();
        Verdict {
            difference: run.difference(undisturbed),
            is_trace_equal: run.text("/trace_sha256") == undisturbed.text("/trace_sha256"),
            redone: run.count("/steps_redone"),
            generations: run.count("/generations"),
        }
    }

    fn finish(self) -> Outcome {
        // A long run may take longer than the harness waits for one word.
        while !self.journal.follower().has_ended() {
            let known = self.journal.last_step();
            let moved = (0..PATIENCE_LOOKS).any(|_| {
                thread::sleep(LOOK_EVERY);
                self.journal.follower().has_ended() || self.journal.last_step() != known
            });
            assert!(moved, "the run stands still at step {known:?}");
        }
        self.journal.into_follower().finish().assert(0, &[]);
        Outcome::read(self.cluster.room(), &self.job.output())
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(50);
const PATIENCE_LOOKS: usize = 1_800;
