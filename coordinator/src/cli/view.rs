//! What readers get: one set of plain structs, made from wire messages, for tables and for JSON.

use super::{
    failure::{Exit, Failure},
    timeline::{self, GenerationView, Turn, What},
};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use sumac_common::{
    balance, checkpoint,
    conversation::{Beat, SlowWorker},
    ids::{Digest, Step},
    logging::{Level, Line},
    pace::Times,
    piecework::Piecework,
    spec::{self, Spec},
    vitals::Vitals,
};
use sumac_proto::v1;

/// A worker speaks once a second: one that was not heard for so long may not be as it was.
pub(super) const STALE_AFTER: Duration = Duration::from_secs(3);

#[derive(Clone, Debug, Serialize)]
pub(super) struct JobView {
    pub id: String,
    pub name: String,
    pub kind: &'static str,
    /// queued, forming, running, waiting, finished, stopped, failed or cancelled
    pub state: &'static str,
    /// Why it waits, or why it failed.
    pub reason: Option<String>,
    /// Of the run, data sets and fingerprint aside: 64 hex digits.
    pub identity: String,
    pub generation: u64,
    /// In rank order; empty while no generation is open.
    pub workers: Vec<String>,
    pub workers_min: u32,
    pub workers_max: u32,
    /// Updates behind it, as far as it is known.
    pub step: u64,
    pub steps: u64,
    /// Step of the newest checkpoint.
    pub saved: Option<u64>,
    pub workers_seen: u64,
    pub generations: u64,
    pub steps_redone: u64,
    /// Only while it runs, like the next two.
    pub steps_per_second: Option<f64>,
    pub images_per_second: Option<f64>,
    pub eta_seconds: Option<u64>,
    /// Where the time of a step goes on the first worker.
    pub step_ms: Option<TimesView>,
    /// Who holds the others up.
    pub slow: Option<SlowView>,
    pub losses: Option<LossView>,
    /// What is out of balance, and what to do about it.
    pub imbalance: Option<String>,
    /// Images in the history.
    pub history: Option<u64>,
    pub history_size: Option<u32>,
    /// Of its spec, or as its workers calibrated it before step 0.
    pub lambda: Option<f64>,
    pub seed: Option<u64>,
    /// Since it was first submitted.
    pub age_seconds: u64,
    pub output_dir: String,
    /// Only of a job in pieces: then `step` and `steps` count these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pieces: Option<PiecesView>,
    #[serde(skip)]
    pub spec: Option<Spec>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<FactView>,
    /// Its generations, oldest first, as far as its facts are remembered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<GenerationView>,
    /// Share of the time since the first of these that went into steps that count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goodput: Option<f64>,
    /// Where the time of a step goes on each of its workers; only where one job is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<EachView>,
    /// Oldest first.
    #[serde(skip)]
    pub checkpoints: Vec<CheckpointView>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct PiecesView {
    #[serde(skip)]
    pub kind: &'static str,
    /// What its pieces are called.
    #[serde(skip)]
    pub unit: &'static str,
    pub source: PathBuf,
    /// Where the refiners come from.
    pub runs: Vec<String>,
    /// Images; of an evaluation cells.
    pub items: u64,
    pub done: u64,
    /// Items that did not come out, those of quarantined pieces among them.
    pub bad: u64,
    pub committed: u64,
    pub leased: u64,
    pub quarantined: u64,
    /// All of them are over, and what came out is put together.
    pub sealing: bool,
    /// Share of the time that each stage of the fastest worker is busy, 0 to 1.
    pub stages: Vec<(&'static str, f64)>,
    /// The stage that the others wait for.
    pub bottleneck: Option<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct CheckpointView {
    /// As --checkpoint takes it.
    pub name: String,
    pub step: u64,
    /// RFC 3339, UTC, by the clock of the disk it is on.
    pub at: String,
    pub age_seconds: u64,
    pub bytes: u64,
    pub path: String,
}

/// A worker that holds the others up.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SlowView {
    pub worker: String,
    /// Mean time it works on its lanes in a step, and what the others would need for as many, in milliseconds.
    pub own_ms: f64,
    pub others_ms: f64,
}

/// One worker of a job.
#[derive(Clone, Debug, Serialize)]
pub(super) struct EachView {
    pub worker: String,
    pub step_ms: TimesView,
}

/// Means over the whole batch of the last step of each network.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct LossView {
    /// How far the run was when they were told: its very last steps may be missing.
    pub step: u64,
    /// realism + lambda * regularisation
    pub refiner: Option<f64>,
    pub realism: Option<f64>,
    pub regularisation: Option<f64>,
    /// Mean of the two halves' cross-entropies.
    pub discriminator: Option<f64>,
    /// Shares of patches it called right.
    pub accuracy_on_real: Option<f64>,
    pub accuracy_on_refined: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct FactView {
    /// RFC 3339, UTC.
    pub at: String,
    pub class: String,
    pub job: Option<String>,
    pub worker: Option<String>,
    pub what: String,
    /// What lies behind an incident.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    #[serde(skip)]
    pub turn: Option<Turn>,
    #[serde(skip)]
    pub time: SystemTime,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct WorkerView {
    pub name: String,
    pub node: String,
    /// here, suspect, lost or left
    pub presence: &'static str,
    /// What it does: idle, preparing, waiting, entering, training, sealing; or suspect, lost, left.
    pub state: String,
    /// Why it is not here.
    pub cause: Option<String>,
    pub device: String,
    pub version: String,
    pub job: Option<String>,
    pub step: Option<u64>,
    pub steps_per_second: Option<f64>,
    pub images_per_second: Option<f64>,
    /// Where the time of a step goes.
    pub step_ms: Option<TimesView>,
    pub vitals: Option<Vitals>,
    /// Since it was heard last.
    pub silent_seconds: f64,
    /// Longer ago than a worker that is here is ever silent: what is said of it is old.
    pub stale: bool,
}

/// Means of one worker, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct TimesView {
    pub data: f64,
    pub forward: f64,
    pub backward: f64,
    pub guard: f64,
    pub reduce: f64,
    pub optimiser: f64,
    /// For workers that took longer.
    pub waiting: f64,
}

/// A line of a log.
#[derive(Clone, Debug, Serialize)]
pub(super) struct LogView {
    /// RFC 3339, UTC, by the clock of whoever said it.
    pub at: String,
    pub level: Level,
    /// A worker, or coordinator.
    pub source: String,
    pub node: String,
    pub text: String,
    pub job: Option<String>,
    pub generation: Option<u64>,
    pub step: Option<u64>,
}

impl JobView {
    pub(super) fn of(job: v1::Job) -> Result<Self, Failure> {
        let state = state(job.state())?;
        // A job in pieces has none.
        let spec = if job.spec_toml.is_empty() { None } else { spec::read(&job.spec_toml, &[]).ok() };
        let beat = job.beat.map(Beat::try_from).transpose().map_err(|bad| Failure::of(Exit::Failed, &bad))?;
        // What the last beat said of speed is true only as long as others follow.
        let under_way = beat.as_ref().filter(|_| state == "running");
        let rate = under_way.map(|beat| beat.steps_per_second).filter(|rate| *rate > 0.0);
        let images_rate = under_way.map(|beat| beat.images_per_second).filter(|rate| *rate > 0.0);
        let pieces = job.pieces.map(|wire| PiecesView::of(wire, under_way)).transpose()?;
        let eta = match &pieces {
            Some(known) if known.is_of_images() => images_rate.map(|rate| known.ahead() as f64 / rate),
            _ => rate.map(|rate| job.steps.saturating_sub(job.step) as f64 / rate),
        };
        let identity = <[u8; 32]>::try_from(job.identity).map(|bytes| Digest(bytes).to_string()).unwrap_or_default();
        let so_far = job.so_far.unwrap_or_default();
        let facts: Vec<FactView> = job.facts.into_iter().map(FactView::of).collect();
        let turns: Vec<Turn> = facts.iter().filter_map(|fact| fact.turn.clone()).collect();
        let is_over = is_over(state);
        let last = facts.last().map(|fact| fact.time).filter(|_| is_over);
        let ended = last.unwrap_or_else(SystemTime::now);
        let timeline = timeline::generations(&turns, ended, is_over);
        Ok(Self {
            id: job.id.clone(),
            name: job.name,
            kind: pieces.as_ref().map_or("train", |pieces| pieces.kind),
            state,
            reason: job.reason,
            identity,
            generation: job.generation,
            workers: job.roster,
            workers_min: job.workers_min,
            workers_max: job.workers_max,
            step: job.step,
            steps: job.steps,
            saved: job.saved,
            workers_seen: so_far.workers_seen,
            generations: so_far.generations,
            steps_redone: so_far.steps_redone,
            steps_per_second: rate,
            images_per_second: images_rate,
            eta_seconds: eta.map(|eta| eta as u64),
            step_ms: under_way.and_then(TimesView::of),
            slow: under_way.and_then(|beat| beat.slow.as_ref()).map(SlowView::of),
            imbalance: under_way.zip(spec.as_ref()).and_then(|(beat, spec)| {
                balance::imbalance(&beat.losses, &spec.what, beat.step).map(|found| found.to_string())
            }),
            losses: beat.as_ref().filter(|_| pieces.is_none()).map(|beat| LossView::of(beat, spec.as_ref())),
            history: beat.as_ref().filter(|_| pieces.is_none()).map(|beat| beat.history),
            history_size: spec.as_ref().map(|spec| spec.what.train.history.size),
            lambda: spec.as_ref().and_then(|spec| spec.what.train.lambda),
            seed: spec.as_ref().map(|spec| spec.what.train.seed),
            age_seconds: duration(job.age).as_secs(),
            checkpoints: job
                .checkpoints
                .iter()
                .map(|known| CheckpointView::of(known, &job.id, &job.output_dir))
                .collect(),
            output_dir: job.output_dir,
            pieces,
            spec,
            goodput: timeline::goodput(&timeline, ended, job.step, so_far.steps_redone),
            timeline,
            each: Vec::new(),
            facts,
        })
    }

    pub(super) fn is_over(&self) -> bool {
        is_over(self.state)
    }

    /// A generation is open.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, "forming" | "running")
    }

    /// Every member of its last generation is silent, and it waits for one of them.
    pub(super) fn is_lost(&self) -> bool {
        self.state == "waiting"
    }

    pub(super) fn exit(&self) -> Exit {
        if self.state == "finished" { Exit::Done } else { Exit::JobUnsuccessful }
    }
}

impl PiecesView {
    fn of(wire: v1::Pieces, beat: Option<&Beat>) -> Result<Self, Failure> {
        let known = Piecework::from_json(&wire.json)
            .map_err(|why| Failure::other_version(format!("the coordinator tells of a job otherwise: {why}")))?;
        let shares = beat.and_then(|beat| beat.shares);
        let (kind, unit, items) = (known.kind(), known.unit(), known.items());
        let (source, runs) = match known {
            Piecework::Refine(refinement) => {
                (refinement.how.source, refinement.what.refiner.into_iter().map(|refiner| refiner.origin.run).collect())
            }
            Piecework::Evaluate(evaluation) => {
                let runs = evaluation.what.refiners.into_iter().map(|candidate| candidate.trained.origin.run);
                (evaluation.how.synthetic.images, runs.collect())
            }
        };
        Ok(Self {
            kind,
            unit,
            source,
            runs,
            items,
            done: wire.refined,
            bad: wire.bad,
            committed: wire.committed,
            leased: wire.leased,
            quarantined: wire.quarantined,
            sealing: wire.sealing,
            stages: shares.map(|shares| shares.named().to_vec()).unwrap_or_default(),
            bottleneck: shares.map(|shares| shares.bottleneck()),
        })
    }

    fn ahead(&self) -> u64 {
        self.items.saturating_sub(self.done + self.bad)
    }

    /// What is counted in it.
    pub(super) fn is_of_images(&self) -> bool {
        self.kind == "refine"
    }
}

fn is_over(state: &str) -> bool {
    matches!(state, "finished" | "paused" | "failed" | "cancelled")
}

fn state(state: v1::JobState) -> Result<&'static str, Failure> {
    Ok(match state {
        v1::JobState::Queued => "queued",
        v1::JobState::Forming => "forming",
        v1::JobState::Running => "running",
        v1::JobState::Waiting => "waiting",
        v1::JobState::Finished => "finished",
        v1::JobState::Paused => "paused",
        v1::JobState::Failed => "failed",
        v1::JobState::Cancelled => "cancelled",
        v1::JobState::Unspecified => {
            return Err(Failure::other_version(
                "the coordinator names a state of a job that this version does not know",
            ));
        }
    })
}

impl LossView {
    fn of(beat: &Beat, spec: Option<&Spec>) -> Self {
        let losses = &beat.losses;
        let (realism, regularisation) = (losses.realism.value(), losses.regularisation.value());
        let lambda = spec.and_then(|spec| spec.what.train.lambda);
        let halves = losses.on_refined.value().zip(losses.on_real.value());
        Self {
            step: beat.step.0,
            refiner: lambda.and_then(|lambda| Some(realism? + lambda * regularisation.unwrap_or(0.0))),
            realism,
            regularisation,
            discriminator: halves.map(|(refined, real)| (refined + real) / 2.0),
            accuracy_on_real: losses.right_on_real.value(),
            accuracy_on_refined: losses.right_on_refined.value(),
        }
    }
}

impl SlowView {
    fn of(slow: &SlowWorker) -> Self {
        let SlowWorker { worker, own_us, others_us } = slow;
        Self { worker: worker.0.clone(), own_ms: own_us / 1_000.0, others_ms: others_us / 1_000.0 }
    }
}

impl FactView {
    pub(super) fn of(fact: v1::Fact) -> Self {
        // As the journal remembers it: a coordinator that was away tells the same.
        let whole = fact.at.map(|at| prost_types::Timestamp { nanos: at.nanos / 1_000_000 * 1_000_000, ..at });
        let time = time(whole);
        Self {
            at: humantime::format_rfc3339_seconds(time).to_string(),
            class: fact.class,
            job: fact.job,
            worker: fact.worker,
            what: fact.what,
            evidence: fact.evidence,
            turn: fact.turn.and_then(|turn| Self::turn(time, turn)),
            time,
        }
    }

    fn turn(at: SystemTime, turn: v1::Turn) -> Option<Turn> {
        use v1::turn;
        let what = match turn.what? {
            turn::What::Opened(opened) => What::Opened { workers: opened.workers },
            turn::What::Entered(entered) => What::Entered { step: entered.step },
            turn::What::Closed(closed) => What::Closed { why: closed.why, stood: duration(closed.stood) },
        };
        Some(Turn { at, generation: turn.generation, what })
    }
}

impl CheckpointView {
    fn of(known: &v1::Checkpoint, job: &str, output_dir: &str) -> Self {
        let at = time(known.at);
        Self {
            name: format!("{job}@{}", known.step),
            step: known.step,
            at: humantime::format_rfc3339_seconds(at).to_string(),
            age_seconds: SystemTime::now().duration_since(at).unwrap_or_default().as_secs(),
            bytes: known.bytes,
            path: Path::new(output_dir).join(checkpoint::folder(Step(known.step))).display().to_string(),
        }
    }
}

impl WorkerView {
    /// It would be given the next job.
    pub(super) fn is_free(&self) -> bool {
        self.state == "idle"
    }

    pub(super) fn of(worker: v1::Worker) -> Result<Self, Failure> {
        let presence = match worker.presence() {
            v1::Presence::Suspect => "suspect",
            v1::Presence::Lost => "lost",
            v1::Presence::Left => "left",
            v1::Presence::Here | v1::Presence::Unspecified => "here",
        };
        let beat = worker.beat.map(Beat::try_from).transpose().map_err(|bad| Failure::of(Exit::Failed, &bad))?;
        let state = match (&beat, presence) {
            (_, "here") if worker.drained && worker.job.is_none() => "drained".to_owned(),
            (_, "here") if worker.drained => "draining".to_owned(),
            (_, "here") if worker.leaving => "leaving".to_owned(),
            (Some(beat), "here") => beat.doing.to_string(),
            (None, "here") if worker.job.is_some() => "preparing".to_owned(),
            (None, "here") => "idle".to_owned(),
            _ => presence.to_owned(),
        };
        Ok(Self {
            name: worker.name,
            node: worker.node,
            presence,
            state,
            cause: worker.cause,
            device: worker.device,
            version: worker.version,
            job: worker.job,
            step: beat.as_ref().map(|beat| beat.step.0),
            steps_per_second: beat.as_ref().map(|beat| beat.steps_per_second).filter(|rate| *rate > 0.0),
            images_per_second: beat.as_ref().map(|beat| beat.images_per_second).filter(|rate| *rate > 0.0),
            step_ms: beat.as_ref().and_then(TimesView::of),
            vitals: worker.vitals.map(Into::into),
            silent_seconds: duration(worker.silent).as_secs_f64(),
            stale: duration(worker.silent) > STALE_AFTER,
        })
    }

    pub(super) fn is_here(&self) -> bool {
        matches!(self.presence, "here" | "suspect")
    }
}

impl TimesView {
    /// `None` before a step was measured.
    fn of(beat: &Beat) -> Option<Self> {
        let ms = |us: f64| us / 1_000.0;
        let Times { data_us, forward_us, backward_us, guard_us, reduce_us, optimiser_us, waiting_us } = beat.times;
        (beat.times.step_us() > 0.0).then_some(Self {
            data: ms(data_us),
            forward: ms(forward_us),
            backward: ms(backward_us),
            guard: ms(guard_us),
            reduce: ms(reduce_us),
            optimiser: ms(optimiser_us),
            waiting: ms(waiting_us),
        })
    }

    /// On its own lanes.
    pub(super) fn own(&self) -> f64 {
        self.data + self.forward + self.backward
    }

    fn named(&self) -> [(&'static str, f64); 7] {
        let Self { data, forward, backward, guard, reduce, optimiser, waiting } = *self;
        [
            ("data", data),
            ("forward", forward),
            ("backward", backward),
            ("guard", guard),
            ("reduce", reduce),
            ("optimiser", optimiser),
            ("waiting", waiting),
        ]
    }

    /// A whole step.
    pub(super) fn step(&self) -> f64 {
        self.named().iter().map(|(_, ms)| ms).sum()
    }

    /// Each part's share of a step, 0 to 1, under its name.
    pub(super) fn shares(&self) -> [(&'static str, f64); 7] {
        let step = self.step().max(f64::MIN_POSITIVE);
        self.named().map(|(part, ms)| (part, ms / step))
    }
}

impl LogView {
    pub(super) fn of(log: v1::Log) -> Result<Self, Failure> {
        let line = log.line.ok_or_else(Failure::unanswered)?;
        let line = Line::try_from(line).map_err(|bad| Failure::of(Exit::Failed, &bad))?;
        Ok(Self {
            at: humantime::format_rfc3339_millis(line.at).to_string(),
            level: line.level,
            source: log.source,
            node: log.node,
            text: line.text,
            job: line.job.map(|job| job.0),
            generation: line.generation.map(|generation| generation.0),
            step: line.step.map(|step| step.0),
        })
    }
}

pub(super) fn time(wire: Option<prost_types::Timestamp>) -> SystemTime {
    let at = wire.unwrap_or_default();
    UNIX_EPOCH + Duration::new(at.seconds.max(0).unsigned_abs(), at.nanos.max(0).unsigned_abs())
}

pub(super) fn duration(wire: Option<prost_types::Duration>) -> Duration {
    let wire = wire.unwrap_or_default();
    Duration::new(wire.seconds.max(0).unsigned_abs(), wire.nanos.max(0).unsigned_abs())
}
