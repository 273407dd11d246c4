//! What Prometheus reads: every metric with its sentence, and the page of them as a function of what is known.
//!
//! Labels are bounded: states, stages and codes are from fixed lists, and of jobs and workers so many have series of their own; the
//! sums are over all. The series of a job that is over and of a worker that is gone go away after a quarter of an hour. What nobody
//! reports has no series: neither zeros nor guesses. Knows nothing of sockets, files and clocks.

#[cfg(test)]
mod tests;

use super::{process::Process, tally::Tally};
use crate::{
    picture::{Entry, Picture, Work},
    spread::Spread,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::Registry,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
    sync::Arc,
    time::{Duration, SystemTime},
};
use sumac_common::{
    cluster::{Job, JobState, Loss, Overview, Presence, Worker},
    conversation::Doing,
    ids::Step,
    piecework::Piecework,
    vitals::Vitals,
};

/// So long the series of a job that is over, or of a worker that is gone, are still there to be looked at.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(900);
/// Of so many jobs each has series of its own: the latest.
const JOBS_MAX: usize = 200;
/// Of so many workers each has series of its own.
const WORKERS_MAX: usize = 1_000;
/// A worker whose name is longer has none: whoever joins names himself.
const NAME_BYTES_MAX: usize = 200;

/// One metric under all its labels.
#[derive(Debug)]
pub struct Family {
    /// As in a query, but that a histogram's has `_bucket`, `_sum` or `_count` behind it.
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    /// Always 1: its labels are what it says.
    Info,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        })
    }
}

impl Kind {
    /// What the text format puts behind the name of the family.
    fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Info => "_info",
            Self::Gauge | Self::Histogram => "",
        }
    }

    fn metric_type(self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
            Self::Histogram => MetricType::Histogram,
            Self::Info => MetricType::Info,
        }
    }
}

/// A table of constants, and all of them in its order.
macro_rules! families {
    ($($id:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(const $id: Family = Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)*
        /// All there are, in the order of the page.
        pub const FAMILIES: &[Family] = &[$($id),*];
    };
}

families! {
    BUILD Info "sumac_build_info" ["version"]
        "The version of the coordinator.";
    TERM Gauge "sumac_term" []
        "How often a coordinator has started on this state.";
    UP Gauge "sumac_up_seconds" []
        "How long ago this coordinator started.";
    READY Gauge "sumac_ready" []
        "1 while new jobs are taken on, 0 while the state cannot be saved: what readyz says.";

    JOBS Gauge "sumac_jobs" ["kind", "state"]
        "Jobs that are known, whatever became of them.";
    JOB_STATE Gauge "sumac_job_state" ["job", "kind", "state"]
        "1 for the state that the job is in; the other states have no series.";
    JOB_WORKERS Gauge "sumac_job_workers" ["job"]
        "Workers in the open generation of a run, or at work on the pieces of another job.";
    GENERATION Gauge "sumac_generation" ["job"]
        "The generation that was opened last: it moves whenever workers come or go.";

    STEP Gauge "sumac_train_step" ["job"]
        "Where the run stands; it falls when steps have to be done again.";
    STEPS_WANTED Gauge "sumac_train_steps_wanted" ["job"]
        "The length of the run.";
    STEPS Counter "sumac_train_steps_total" ["job"]
        "Steps committed since the coordinator started, those that were done again included.";
    STEPS_REPEATED Counter "sumac_steps_repeated_total" ["job"]
        "Steps that had to be done again from a checkpoint: what failures cost.";
    IMAGES_PER_SECOND Gauge "sumac_train_images_per_second" ["job"]
        "Images the run's workers go through in a second, all together, as they report it.";
    STEP_RATE Gauge "sumac_train_steps_per_second" ["job"]
        "Steps in a second, as the run's first worker reports them.";
    LOSS Gauge "sumac_train_loss" ["job", "term"]
        "Losses of the last steps, means: realism and regularisation of the refiner, on_refined and on_real of the discriminator.";
    CHANGE Gauge "sumac_train_change_ratio" ["job"]
        "How far the refiner moves a pixel on average, of the way from black to white.";
    ACCURACY Gauge "sumac_discriminator_accuracy_ratio" ["job", "side"]
        "Patches that the discriminator calls rightly, of real and of refined images; near 1 on both it has won, and nothing is learned.";
    HISTORY Gauge "sumac_history_images" ["job"]
        "Refined images of earlier steps in the history, of all lanes.";
    CHECKPOINT_AGE Gauge "sumac_checkpoint_age_seconds" ["job"]
        "How long ago the last checkpoint was saved, of a job that is not over.";

    INCIDENTS Counter "sumac_incidents_total" ["class"]
        "Failures since the coordinator started, by what began them.";
    RECOVERY Histogram "sumac_recovery_duration_seconds" []
        "From the first word of a failure until the run goes on.";

    WORKERS Gauge "sumac_workers" ["state"]
        "Workers by what they do; those that are lost count for a quarter of an hour.";
    HEARTBEATS Histogram "sumac_heartbeat_handling_seconds" []
        "From a worker's heartbeat coming in until the coordinator has taken it in; what takes seconds makes workers look silent.";
    WORKER_STATE Gauge "sumac_worker_state" ["worker", "node", "state"]
        "1 for the state that the worker is in; the other states have no series.";
    HEARTBEAT_AGE Gauge "sumac_worker_heartbeat_age_seconds" ["worker", "node"]
        "How long ago the worker was last heard; it speaks about once a second, and is taken for lost after five.";
    STEP_DURATION Gauge "sumac_worker_step_duration_seconds" ["worker", "part"]
        "Where the time of a step goes on a worker, means over the last 20 steps: data, forward, backward, guard, reduce, optimiser, and waiting for others.";
    WAITING Gauge "sumac_worker_wait_seconds" ["worker"]
        "For how long the worker has been waiting for the other members in one call.";
    WORKER_MEMORY Gauge "sumac_worker_resident_memory_bytes" ["worker"]
        "Memory of the worker's process that is in RAM.";
    WORKER_CORES Gauge "sumac_worker_busy_cores" ["worker"]
        "Cores that the worker's process keeps busy: 1 is one of them all the time.";
    NODE_MEMORY Gauge "sumac_node_memory_bytes" ["node", "state"]
        "Memory of the machine: used, and in all (total).";
    NODE_LOAD Gauge "sumac_node_load" ["node"]
        "Processes of the machine that want to run, over the last minute.";
    GPU_BUSY Gauge "sumac_gpu_utilization_ratio" ["node", "gpu"]
        "Share of the time that the card runs anything; only where there is one.";
    GPU_MEMORY Gauge "sumac_gpu_memory_bytes" ["node", "gpu", "state"]
        "Memory of the card: used, and in all (total).";
    GPU_HEAT Gauge "sumac_gpu_temperature_celsius" ["node", "gpu"]
        "How hot the card is, as its driver says.";
    GPU_POWER Gauge "sumac_gpu_power_watts" ["node", "gpu"]
        "What the card draws, as its driver says.";

    REFINE_IMAGES Counter "sumac_refine_images_total" ["job", "result"]
        "Images in shards committed since the coordinator started: refined, or bad.";
    REFINE_SHARDS Gauge "sumac_refine_shards" ["job", "state"]
        "Shards of a refinement: open, leased, committed, quarantined.";
    STAGE_BUSY Gauge "sumac_refine_stage_busy_ratio" ["worker", "stage"]
        "Share of the time that a stage of refining is busy: the one nearest to 1 is what the others wait for.";
    CELLS Gauge "sumac_evaluate_cells" ["job", "state"]
        "Cells of an evaluation: open, leased, committed, quarantined.";

    RPCS Counter "sumac_rpc_requests_total" ["method", "code"]
        "Calls of workers and people that have ended, by how; a worker's stream is one call.";

    RESIDENT Gauge "process_resident_memory_bytes" []
        "Memory of the coordinator that is in RAM.";
    VIRTUAL Gauge "process_virtual_memory_bytes" []
        "Address space of the coordinator.";
    OPEN_FILES Gauge "process_open_fds" []
        "Files and connections the coordinator holds open.";
}

/// All that the page is a function of.
pub(super) struct Scene<'a> {
    pub picture: &'a Picture,
    pub tally: &'a Tally,
    /// From their coming in until the driver had taken them in.
    pub heartbeats: Spread,
    /// Calls that have ended, by method and code.
    pub rpcs: Vec<(String, &'static str, u64)>,
    pub process: Option<Process>,
    /// On the cluster's clock.
    pub up: Duration,
    /// Of day.
    pub now: SystemTime,
}

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    OpenMetrics,
    /// As before OpenMetrics, for those that ask for it: promtool, and scrapers of old.
    Plain,
}

impl Form {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// # Errors
/// None that is known: text is written into memory.
pub(super) fn render(scene: &Scene<'_>, form: Form) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page::of(scene)));
    let mut page = String::new();
    text::encode(&mut page, &registry)?;
    match form {
        Form::OpenMetrics => Ok(page),
        Form::Plain => plain(&page),
    }
}

/// The same samples under the headings of the older format, which names what it heads in full.
fn plain(page: &str) -> Result<String, fmt::Error> {
    let mut text = String::with_capacity(page.len());
    for line in page.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("EOF"), ..) => {}
            (Some("#"), Some(heading), Some(name), Some(rest)) => {
                let family =
                    FAMILIES.iter().find(|family| family.name.strip_suffix(family.kind.suffix()) == Some(name));
                let suffix = family.map_or("", |family| family.kind.suffix());
                let rest = if heading == "TYPE" && rest == "info" { "gauge" } else { rest };
                writeln!(text, "# {heading} {name}{suffix} {rest}")?;
            }
            _ => writeln!(text, "{line}")?,
        }
    }
    Ok(text)
}

#[derive(Debug)]
enum Value {
    Count(u64),
    Number(f64),
    Spread(Spread),
    Said,
}

impl Value {
    fn encode(&self, sample: &mut MetricEncoder<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => sample.encode_counter::<NoLabelSet, _, f64>(count, None),
            Self::Number(number) => sample.encode_gauge(number),
            Self::Spread(spread) => {
                let (sum, count, buckets) = (spread.sum().as_secs_f64(), spread.count(), spread.buckets());
                sample.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
            }
            // It is all labels.
            Self::Said => Ok(()),
        }
    }
}

type Labels = Vec<(&'static str, String)>;

/// The samples of each family.
#[derive(Debug, Default)]
struct Page {
    samples: BTreeMap<&'static str, Vec<(Labels, Value)>>,
}

impl Page {
    fn of(scene: &Scene<'_>) -> Self {
        let mut page = Self::default();
        page.coordinator(scene);
        page.jobs(scene);
        page.workers(scene);
        page.put(&HEARTBEATS, &[], Value::Spread(scene.heartbeats.clone()));
        page.failures(scene.tally);
        for (method, code, count) in &scene.rpcs {
            page.put(&RPCS, &[method, code], Value::Count(*count));
        }
        if let Some(Process { resident_bytes, virtual_bytes, open_files }) = scene.process {
            page.number(&RESIDENT, &[], resident_bytes as f64);
            page.number(&VIRTUAL, &[], virtual_bytes as f64);
            page.number(&OPEN_FILES, &[], open_files as f64);
        }
        page
    }

    fn put(&mut self, family: &Family, labels: &[&str], value: Value) {
        assert_eq!(family.labels.len(), labels.len(), "{}: a label is missing", family.name);
        let labels = family.labels.iter().copied().zip(labels.iter().map(|label| (*label).to_owned())).collect();
        self.samples.entry(family.name).or_default().push((labels, value));
    }

    fn number(&mut self, family: &Family, labels: &[&str], value: f64) {
        self.put(family, labels, Value::Number(value));
    }

    fn seconds(&mut self, family: &Family, labels: &[&str], value: Duration) {
        self.number(family, labels, value.as_secs_f64());
    }

    fn coordinator(&mut self, scene: &Scene<'_>) {
        self.put(&BUILD, &[env!("CARGO_PKG_VERSION")], Value::Said);
        self.number(&TERM, &[], scene.picture.term.0 as f64);
        self.seconds(&UP, &[], scene.up);
        self.number(&READY, &[], if scene.picture.trouble.is_none() { 1.0 } else { 0.0 });
    }

    fn jobs(&mut self, scene: &Scene<'_>) {
        let mut counts: BTreeMap<(&str, String), u64> = BTreeMap::new();
        for entry in &scene.picture.jobs {
            *counts.entry((kind_of(entry), entry.state().to_string())).or_default() += 1;
        }
        for ((kind, state), count) in counts {
            self.number(&JOBS, &[kind, &state], count as f64);
        }
        let shown = scene.picture.jobs.iter().filter(|entry| scene.tally.shows(entry.id(), scene.up));
        for entry in shown.rev().take(JOBS_MAX) {
            let id = entry.id().0.as_str();
            self.number(&JOB_STATE, &[id, kind_of(entry), &entry.state().to_string()], 1.0);
            match &entry.work {
                Work::Run(job) => self.run(job, scene),
                Work::Pieces(overview) => self.pieces(overview, scene),
            }
        }
    }

    fn run(&mut self, job: &Job, scene: &Scene<'_>) {
        let id = job.id.0.as_str();
        let members = if job.state.is_open() { job.roster.len() } else { 0 };
        self.number(&JOB_WORKERS, &[id], members as f64);
        self.number(&GENERATION, &[id], job.generation.0 as f64);
        self.number(&STEP, &[id], stands_at(job).0 as f64);
        self.number(&STEPS_WANTED, &[id], job.spec.what.train.steps.0 as f64);
        if let Some(known) = scene.tally.job(&job.id) {
            self.put(&STEPS, &[id], Value::Count(known.steps.count()));
            self.put(&STEPS_REPEATED, &[id], Value::Count(known.repeated.count()));
            if let Some(saved) = known.saved.filter(|_| !job.state.is_over()) {
                self.seconds(&CHECKPOINT_AGE, &[id], scene.now.duration_since(saved).unwrap_or_default());
            }
        }
        let Some(beat) = job.progress().filter(|_| job.state == JobState::Running) else { return };
        self.number(&IMAGES_PER_SECOND, &[id], beat.images_per_second);
        self.number(&STEP_RATE, &[id], beat.steps_per_second);
        self.number(&HISTORY, &[id], beat.history as f64);
        let losses = &beat.losses;
        let terms = [
            ("realism", losses.realism),
            ("regularisation", losses.regularisation),
            ("on_refined", losses.on_refined),
            ("on_real", losses.on_real),
        ];
        for (term, mean) in terms {
            mean.value().into_iter().for_each(|value| self.number(&LOSS, &[id, term], value));
        }
        // Pixels lie in [-1, 1].
        losses.change.value().into_iter().for_each(|value| self.number(&CHANGE, &[id], value / 2.0));
        for (side, mean) in [("real", losses.right_on_real), ("refined", losses.right_on_refined)] {
            mean.value().into_iter().for_each(|value| self.number(&ACCURACY, &[id, side], value));
        }
    }

    fn pieces(&mut self, overview: &Overview, scene: &Scene<'_>) {
        let id = overview.id.0.as_str();
        self.number(&JOB_WORKERS, &[id], overview.workers.len() as f64);
        let counts = &overview.counts;
        // A late piece may be in two hands.
        let open = counts.shards.saturating_sub(counts.committed + counts.quarantined);
        let leased = counts.leased.min(open);
        let states = [
            ("open", open - leased),
            ("leased", leased),
            ("committed", counts.committed),
            ("quarantined", counts.quarantined),
        ];
        let is_refinement = matches!(*overview.spec, Piecework::Refine(_));
        let family = if is_refinement { &REFINE_SHARDS } else { &CELLS };
        for (state, count) in states {
            self.number(family, &[id, state], count as f64);
        }
        if let Some(known) = scene.tally.job(&overview.id).filter(|_| is_refinement) {
            self.put(&REFINE_IMAGES, &[id, "refined"], Value::Count(known.refined.count()));
            self.put(&REFINE_IMAGES, &[id, "bad"], Value::Count(known.bad.count()));
        }
    }

    fn workers(&mut self, scene: &Scene<'_>) {
        let silent = |worker: &Worker| scene.up.saturating_sub(worker.heard);
        let shown = || scene.picture.workers.iter().filter(|worker| !worker.is_gone() || silent(worker) < KEPT_FOR);
        for state in WORKER_STATES {
            let count = shown().filter(|worker| state_of(worker) == state).count();
            self.number(&WORKERS, &[state], count as f64);
        }
        let mut described = BTreeSet::new();
        let is_short =
            |worker: &&Arc<Worker>| worker.seat.worker.0.len().max(worker.seat.node.0.len()) <= NAME_BYTES_MAX;
        for worker in shown().filter(is_short).take(WORKERS_MAX) {
            let (name, node) = (worker.seat.worker.0.as_str(), worker.seat.node.0.as_str());
            self.number(&WORKER_STATE, &[name, node, state_of(worker)], 1.0);
            self.seconds(&HEARTBEAT_AGE, &[name, node], silent(worker));
            if let Some(vitals) = worker.vitals.as_ref().filter(|_| !worker.is_gone()) {
                self.number(&WORKER_MEMORY, &[name], vitals.process_bytes as f64);
                self.number(&WORKER_CORES, &[name], vitals.process_cores);
                // Workers of one machine say the same of it: the first one counts.
                if described.insert(node) {
                    self.machine(node, vitals);
                }
            }
            let Some(beat) = &worker.beat else { continue };
            self.seconds(&WAITING, &[name], Duration::from_millis(beat.waits_ms));
            if beat.doing == Doing::Training {
                for (part, us) in beat.times.named() {
                    self.number(&STEP_DURATION, &[name, part], us / 1e6);
                }
            }
            for (stage, share) in beat.shares.iter().flat_map(|shares| shares.named()) {
                self.number(&STAGE_BUSY, &[name, stage], share);
            }
        }
    }

    fn machine(&mut self, node: &str, vitals: &Vitals) {
        self.number(&NODE_MEMORY, &[node, "used"], vitals.memory_used as f64);
        self.number(&NODE_MEMORY, &[node, "total"], vitals.memory_total as f64);
        self.number(&NODE_LOAD, &[node], vitals.load);
        for (number, gpu) in vitals.gpus.iter().enumerate() {
            let number = number.to_string();
            self.number(&GPU_BUSY, &[node, &number], gpu.busy);
            self.number(&GPU_MEMORY, &[node, &number, "used"], gpu.memory_used as f64);
            self.number(&GPU_MEMORY, &[node, &number, "total"], gpu.memory_total as f64);
            self.number(&GPU_HEAT, &[node, &number], f64::from(gpu.temperature));
            self.number(&GPU_POWER, &[node, &number], gpu.watts);
        }
    }

    fn failures(&mut self, tally: &Tally) {
        for (class, count) in tally.incidents() {
            self.put(&INCIDENTS, &[class], Value::Count(count));
        }
        self.put(&RECOVERY, &[], Value::Spread(tally.recoveries().clone()));
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in FAMILIES {
            let Some(samples) = self.samples.get(family.name) else { continue };
            let name = family.name.strip_suffix(family.kind.suffix()).unwrap_or(family.name);
            let mut heading = encoder.encode_descriptor(name, family.help, None, family.kind.metric_type())?;
            for (labels, value) in samples {
                if let Value::Said = value {
                    heading.encode_info(labels)?;
                } else if labels.is_empty() {
                    value.encode(&mut heading)?;
                } else {
                    value.encode(&mut heading.encode_family(labels)?)?;
                }
            }
        }
        Ok(())
    }
}

fn kind_of(entry: &Entry) -> &'static str {
    match &entry.work {
        Work::Run(_) => "train",
        Work::Pieces(overview) => overview.spec.kind(),
    }
}

/// The furthest that is known of.
pub(super) fn stands_at(job: &Job) -> Step {
    let beat = job.progress().map(|beat| beat.step);
    [beat, job.saved].into_iter().flatten().fold(job.reached, Step::max)
}

const WORKER_STATES: [&str; 12] = [
    "idle",
    "preparing",
    "waiting",
    "entering",
    "training",
    "refining",
    "evaluating",
    "sealing",
    "leaving",
    "suspect",
    "lost",
    "left",
];

/// One of [`WORKER_STATES`].
fn state_of(worker: &Worker) -> &'static str {
    let doing = worker.beat.as_ref().filter(|_| worker.job.is_some()).map(|beat| beat.doing);
    match (worker.presence, doing) {
        (Presence::Gone(Loss::Left), _) => "left",
        (Presence::Gone(_), _) => "lost",
        (Presence::Suspect(_), _) => "suspect",
        (Presence::Here, _) if worker.is_leaving() => "leaving",
        (Presence::Here, None) if worker.job.is_some() => "preparing",
        (Presence::Here, None) => "idle",
        (Presence::Here, Some(Doing::Preparing)) => "preparing",
        (Presence::Here, Some(Doing::Waiting)) => "waiting",
        (Presence::Here, Some(Doing::Entering)) => "entering",
        (Presence::Here, Some(Doing::Training)) => "training",
        (Presence::Here, Some(Doing::Refining)) => "refining",
        (Presence::Here, Some(Doing::Evaluating)) => "evaluating",
        (Presence::Here, Some(Doing::Sealing)) => "sealing",
    }
}
