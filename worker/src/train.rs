//! The loop: read this first.
//!
//! `member` decides what comes next, this file carries it out: enter a generation, take a step, seal the run. It runs on its own
//! thread, blocks in nothing that somebody else must answer, and tells the coordinator what happened. Everything a step needs
//! is here or with the other members: no step waits for the coordinator.

use crate::{
    calibrating,
    checkpoints::{CheckpointError, Checkpoints},
    entering::Damaged,
    faults::{Faults, Point},
    history::{Staged, Write},
    learner::{Images, LearnError, Learner, Meal, Portion, Sets, Sum},
    link::{Broken, Dial, Ear, Finite, Flat, Link},
    mailbox::Mailbox,
    outputs::{self, Metrics, OutputError},
    pantry::{Groceries, Pantry, PantryError},
    saving::Saving,
    state::{Counters, State, StateError},
    work::events,
};
use std::{
    collections::BTreeMap,
    ops::Range,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use sumac_common::{
    checkpoint::{self, RunId},
    conversation::{Beat, Doing, Fingerprint, Leaving, Opening, Readiness, SlowWorker},
    device::Device,
    entry::Apart,
    ids::{Digest, JobId, Lane, Rank, Step, WorkerId},
    lanes,
    losses::Losses,
    member::{Event, Member, Next},
    metrics::Row,
    pace::{self, Spent},
    reduce,
    schedule::{Plan, Schedule, Unschedulable},
    spec::{Precision, Spec},
    tail::{self, Agreed, Disagreement, LaneTail, Tail, Wishes},
};
use sumac_data::storage::Roots;
use tracing::{info, info_span, warn};

/// A worker that is to end finishes its step, but waits no longer than this for others who should take part in it.
const PARTING: Duration = Duration::from_secs(5);

/// What a worker works with, whatever the job.
pub struct Desk<'a> {
    pub me: WorkerId,
    pub device: Device,
    pub mailbox: &'a Arc<Mailbox>,
    pub faults: Faults,
    /// Where frozen data sets are kept on this machine.
    pub cache: PathBuf,
    /// What a job may have it read and write.
    pub roots: Roots,
    /// What its numbers depend on, with so many threads and in that precision.
    pub fingerprint: &'a dyn Fn(u32, Precision) -> Result<Fingerprint, LearnError>,
}

/// Why something that was begun is not done.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The generation is over for this member; the run goes on in another.
    #[error("{0:?}")]
    Left(Leaving),
    /// It would fail anywhere: the run is over.
    #[error("{0}")]
    Failed(String),
}

impl From<Broken> for Trouble {
    fn from(broken: Broken) -> Self {
        Self::Left(broken.into())
    }
}

macro_rules! fatal {
    ($($error:ty),*) => {$(
        impl From<$error> for Trouble {
            fn from(error: $error) -> Self {
                Self::Failed(error.to_string())
            }
        }
    )*};
}
fatal!(LearnError, StateError, CheckpointError, OutputError, PantryError, Unschedulable);

macro_rules! as_the_rules_say {
    ($($verdict:ty),*) => {$(
        impl From<$verdict> for Trouble {
            fn from(verdict: $verdict) -> Self {
                let why = verdict.to_string();
                if verdict.ends_the_run() { Self::Failed(why) } else { Self::Left(Leaving::Broke(why)) }
            }
        }
    )*};
}
as_the_rules_say!(Disagreement, Apart);

impl From<Damaged> for Trouble {
    fn from(damaged: Damaged) -> Self {
        Self::Left(Leaving::Broke(damaged.to_string()))
    }
}

/// Hears whether the member must leave what it is doing.
pub(crate) struct Listening<'a> {
    mailbox: &'a Mailbox,
    member: &'a Member,
    since: Instant,
}

impl<'a> Listening<'a> {
    pub(crate) fn to(mailbox: &'a Mailbox, member: &'a Member) -> Self {
        Self { mailbox, member, since: Instant::now() }
    }
}

impl Ear for Listening<'_> {
    fn called(&self) -> bool {
        self.mailbox.waits(self.since);
        self.mailbox.closed_for() >= Some(PARTING) || self.mailbox.any(|order| self.member.interrupts(order))
    }
}

/// The writes of a step that is not yet known to be committed: this member's own, and those it guards.
pub(crate) struct Kept {
    pub(crate) own: Staged,
    pub(crate) guarded: Option<Staged>,
}

/// What a member makes of its lanes in one step: nothing of it is applied yet.
struct Computed<S> {
    /// The maximal subtrees of its lanes, in lane order.
    parts: Vec<S>,
    tails: Vec<LaneTail>,
    staged: Staged,
    spent: Spent,
}

/// What makes a learner as it is before step 0.
pub type Make<L> = fn(&Spec, &Sets, Device) -> Result<L, LearnError>;

/// Data frozen and model built: what a worker does before it may be given a roster.
pub struct Prepared<L> {
    /// The job's, resolved.
    spec: Spec,
    /// What calibration found, if it was asked for.
    calibrated: Option<f64>,
    id: RunId,
    pantry: Pantry,
    sets: Sets,
    schedule: Schedule,
    state: State<L>,
}

impl<L: Learner> Prepared<L> {
    /// [`Trouble::Left`] where it is not `wanted` any more.
    pub fn of(desk: &Desk<'_>, spec: &Spec, make: Make<L>, wanted: &dyn Fn() -> bool) -> Result<Self, Trouble> {
        let data = &spec.what.data;
        for path in [&data.synthetic, &data.real, &spec.how.output.dir] {
            desk.roots.admit(path).map_err(|outside| Trouble::Failed(outside.to_string()))?;
        }
        outputs::make(&spec.how.output.dir)?;
        let heard = |which: &'static str, done: usize, of: usize| {
            if done == of || done.is_multiple_of(10_000) {
                info!(which, done, of, "images frozen");
            }
        };
        let mut pantry = Pantry::stock(data, &desk.cache, outputs::shown(), &heard)?;
        let schedule = Schedule::new(&spec.what.train, pantry.synthetic_len(), pantry.real_len())?;
        let fingerprint = (desk.fingerprint)(spec.what.threads, spec.what.train.precision)?;
        let sets = pantry.sets(&spec.what.model.refiner)?;
        let mut spec = spec.clone();
        let mut calibrated = None;
        if spec.what.train.lambda.is_none() {
            let found = calibrating::lambda(&spec, &mut pantry, &|probe| make(probe, &sets, desk.device), wanted)?;
            calibrated = Some(found.ok_or(Trouble::Left(Leaving::Told))?);
            spec.what.train.lambda = calibrated;
        }
        let id = RunId { spec: spec.what.identity(), data: pantry.digest(), fingerprint };
        let state = State::start(make(&spec, &sets, desk.device)?, spec.what.train.lanes);
        Ok(Self { spec, calibrated, id, pantry, sets, schedule, state })
    }

    #[must_use]
    pub fn readiness(&self) -> Readiness {
        Readiness { data: self.id.data, fingerprint: self.id.fingerprint.clone(), lambda: self.calibrated }
    }
}

/// One job on this worker, until its release.
pub struct Run<'a, L: Learner, D> {
    pub(crate) desk: &'a Desk<'a>,
    pub(crate) member: &'a mut Member,
    pub(crate) job: JobId,
    pub(crate) spec: Spec,
    pub(crate) make: Make<L>,
    pub(crate) id: RunId,
    pub(crate) pantry: Pantry,
    pub(crate) sets: Sets,
    pub(crate) schedule: Schedule,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) metrics: Metrics,
    pub(crate) state: State<L>,
    /// Slots received for a generation that is not yet entered.
    pub(crate) shadow: BTreeMap<Lane, crate::history::Slots>,
    pub(crate) kept: Option<Kept>,
    pub(crate) dial: D,
    pub(crate) link: Option<Box<dyn Link<L::Sum>>>,
    pub(crate) saving: Saving,
    pub(crate) pace: Pace,
    losses: Losses,
    /// Steps that stood in the metrics and are done again in this generation, because it began from a checkpoint before them.
    pub(crate) redone: u64,
}

/// How fast it goes, since the generation was entered.
pub(crate) struct Pace {
    pub(crate) since: Instant,
    pub(crate) steps: u64,
    recent: pace::Pace,
}

impl Pace {
    pub(crate) fn start() -> Self {
        Self { since: Instant::now(), steps: 0, recent: pace::Pace::default() }
    }

    pub(crate) fn steps_per_second(&self) -> f64 {
        self.steps as f64 / self.since.elapsed().as_secs_f64().max(1e-9)
    }
}

impl<'a, L, D> Run<'a, L, D>
where
    L: Learner,
    L::Sum: Flat,
    D: Dial<L::Sum>,
{
    pub fn new(
        desk: &'a Desk<'a>,
        member: &'a mut Member,
        job: JobId,
        make: Make<L>,
        dial: D,
        prepared: Prepared<L>,
    ) -> Self {
        let Prepared { spec, calibrated: _, id, pantry, sets, schedule, state } = prepared;
        let checkpoints = Checkpoints::of(&spec.how.output.dir);
        Self {
            saving: Saving::of(&checkpoints, &desk.faults),
            checkpoints,
            metrics: Metrics::of(&spec.how.output.dir, &spec.to_toml()),
            desk,
            member,
            job,
            spec,
            make,
            id,
            pantry,
            sets,
            schedule,
            state,
            shadow: BTreeMap::new(),
            kept: None,
            dial,
            link: None,
            pace: Pace::start(),
            losses: Losses::default(),
            redone: 0,
        }
    }

    /// Until the job is over for this worker.
    pub fn train(&mut self) {
        while self.member.job() == Some(&self.job) && !self.desk.mailbox.closed() {
            for event in events(self.desk) {
                self.tell(event);
            }
            if self.member.engaged().is_none() {
                // Dropping the link closes it, which frees everybody who still waits for us.
                self.link = None;
            }
            self.hear_of_checkpoints();
            self.say_where();
            let done = match self.member.next() {
                // The job was submitted anew, perhaps with another spec, or it is given to another: this run is over.
                Next::Prepare { .. } | Next::Bench(_) => return,
                Next::Wait => {
                    if self.member.job() == Some(&self.job) {
                        self.desk.mailbox.wait();
                    }
                    continue;
                }
                Next::Enter { opening, with } => {
                    let opening = opening.clone();
                    self.link = None;
                    self.enter(&opening, with)
                }
                Next::Step { opening, step, wishes } => {
                    let opening = opening.clone();
                    self.step(&opening, step, wishes)
                }
                Next::Seal { opening, step, ending } => {
                    let (opening, ending) = (opening.clone(), ending.clone());
                    self.seal(&opening, step, &ending)
                }
            };
            match done {
                Ok(event) => self.tell(event),
                Err(Trouble::Left(why)) => {
                    self.link = None;
                    if let Leaving::Broke(why) | Leaving::Unformed { why, .. } = &why {
                        warn!(job = %self.job, step = %self.state.counters.step, why, "generation left");
                    }
                    self.tell(Event::Broke(why));
                }
                Err(Trouble::Failed(why)) => {
                    self.link = None;
                    self.tell(Event::Failed(why));
                }
            }
        }
    }

    /// Something happened: the member takes note, the coordinator hears of it.
    pub(crate) fn tell(&mut self, event: Event) {
        let reports = self.member.step(event);
        self.desk.mailbox.report(reports, self.member.standing());
    }

    pub(crate) fn lanes(&self) -> u32 {
        self.spec.what.train.lanes
    }

    pub(crate) fn replicas(&self) -> u32 {
        self.spec.what.train.history.replicas
    }

    /// One update of one network.
    fn step(&mut self, opening: &Opening, step: Step, wishes: Wishes) -> Result<Event, Trouble> {
        let _span = info_span!("step", generation = %opening.generation, %step).entered();
        let begun = Instant::now();
        let faults = self.desk.faults.clone();
        let (rank, workers) = self.place()?;
        let owned = lanes::owned(self.lanes(), workers, rank);
        let plan = self.schedule.plan(step, &self.state.counters.progress);

        let Computed { parts, tails: lane_tails, staged, mut spent } = self.compute(&plan, owned.clone())?;
        let own_time = begun.elapsed();
        faults.at(Point::AfterBackward, step);

        let guarding = Instant::now();
        self.guard(&plan, staged, workers)?;
        spent.guard = guarding.elapsed();
        faults.at(Point::AfterGuard, step);

        let (state, lanes) = (self.digest_now_and_then(step)?, self.lanes());
        let (since_last, under_way) = (self.saving.since_last(), self.saving.is_under_way());
        let snapshot = checkpoint::is_due(&self.spec.how.output, rank, step, since_last, under_way);
        let wishes = wishes.or(Wishes { snapshot, ..Wishes::default() });
        let (durable, unsaved) = (self.saving.durable(), self.saving.failed());
        let said = |finite: Finite| Tail {
            generation: opening.generation,
            step,
            lanes: lane_tails.clone(),
            state,
            non_finite: finite == Finite::No,
            own_time_us: own_time.as_micros() as u64,
            wishes,
            durable,
            unsaved,
        };
        let lanes_max = lanes.div_ceil(workers as u32) as usize;
        let listening = Listening::to(self.desk.mailbox, self.member);
        let link = self.link.as_mut().ok_or_else(no_link)?;
        let reducing = Instant::now();
        let reduced = link.reduce(
            lanes,
            parts,
            &mut |finite| {
                faults.at(Point::BetweenCollectives, step);
                said(finite).encode(lanes_max)
            },
            &listening,
        )?;
        spent.reduce = reducing.elapsed();

        if faults.breaks(Point::BeforeApply, step) {
            return Err(Trouble::Left(Leaving::Broke("a fault that was asked for".to_owned())));
        }
        let tails = reduced.tails.iter().map(|bytes| Tail::decode(bytes)).collect::<Result<Vec<_>, _>>();
        let tails = tails.map_err(|bad| Trouble::Left(Leaving::Broke(bad.to_string())))?;
        let agreed = tail::agree(&tails, opening.generation, step, lanes)?;
        faults.at(Point::BeforeApply, step);

        let committing = Instant::now();
        self.commit(&plan, &agreed, &reduced.gradient)?;
        spent.optimiser = committing.elapsed();
        self.save(opening, rank, &agreed)?;
        self.show(rank)?;
        self.pace.recent.note(lanes, &agreed.own_us, spent);
        faults.at(Point::AfterApply, step);
        Ok(Event::Committed { wishes: agreed.wishes, skipped_in_a_row: self.state.counters.progress.skipped_in_a_row })
    }

    /// Forward and backward of this member's lanes, added up along the tree. Nothing is applied.
    fn compute(&mut self, plan: &Plan, owned: Range<u32>) -> Result<Computed<L::Sum>, Trouble> {
        let progress = self.state.counters.progress;
        let plans: Vec<_> = owned.clone().map(|lane| self.schedule.lane(plan, &progress, Lane(lane))).collect();
        let begun = Instant::now();
        let groceries = self.pantry.take(&plans)?;
        let mut spent = Spent { data: begun.elapsed(), ..Spent::default() };
        self.expect_next(plan, owned.clone());

        let mut tails = Vec::new();
        let mut staged = Staged { step: plan.step, writes: vec![] };
        let mut meals = plans.into_iter().zip(groceries);
        let mut cook = |node: reduce::Node| -> Result<Option<L::Sum>, Trouble> {
            let Some(lane) = node.lane() else { return Ok(None) };
            // Depth first and left to right is lane order, so the next meal is this lane's.
            let Some((lane_plan, Groceries { synthetic, real })) = meals.next() else { return Ok(None) };
            let history = self.state.lanes.get(&lane).map(|slots| slots.draw(&lane_plan.draw)).unwrap_or_default();
            let keep = plan.offered as usize;
            let meal = Meal { step: plan.step, phase: plan.phase, lane, synthetic, real, history, keep };
            let Portion { sum, losses, fresh, took } = self.state.learner.chew(&meal)?;
            spent.forward += took.forward;
            spent.backward += took.backward;
            let digest = self.state.counters.trace[lane.0 as usize].then(&handed(&meal));
            tails.push(LaneTail { lane, digest, losses });
            if keep > 0 {
                staged.writes.push(Write { lane, slots: lane_plan.replace, images: fresh });
            }
            Ok(Some(sum))
        };
        let parts = reduce::subtrees(owned, self.spec.what.train.lanes)
            .into_iter()
            .map(|node| reduce::fold(node, &mut cook, &mut |a: L::Sum, b: L::Sum| Ok(a.plus(b))))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Computed { parts, tails, staged, spent })
    }

    /// Streams what was staged to this member's guard, and does not go on before it has what it guards itself.
    fn guard(&mut self, plan: &Plan, staged: Staged, workers: usize) -> Result<(), Trouble> {
        let guarded = if workers > 1 && self.replicas() > 0 && plan.offered > 0 {
            let listening = Listening::to(self.desk.mailbox, self.member);
            let link = self.link.as_mut().ok_or_else(no_link)?;
            let bytes = link.pass_on(&staged.pack(), &listening)?;
            let theirs = Staged::unpack(&bytes).map_err(|short| Trouble::Left(Leaving::Broke(short.to_string())))?;
            if theirs.step != plan.step {
                let why = format!("staged images of step {} came in step {}", theirs.step, plan.step);
                return Err(Trouble::Left(Leaving::Broke(why)));
            }
            Some(theirs)
        } else {
            None
        };
        self.kept = Some(Kept { own: staged, guarded });
        Ok(())
    }

    /// All agreed: the update, the history writes, step + 1 (C-4). Wishes take effect from here on.
    fn commit(&mut self, plan: &Plan, agreed: &Agreed, gradient: &L::Sum) -> Result<(), Trouble> {
        let progress = self.state.counters.progress;
        let kept = self.kept.take();
        if !agreed.skipped {
            self.state.learner.apply(plan.phase, plan.step, gradient)?;
            for staged in kept.into_iter().flat_map(|kept| [Some(kept.own), kept.guarded]).flatten() {
                self.state.write(&staged);
            }
        }
        self.state.counters = Counters {
            step: plan.step.next(),
            progress: progress.after(plan, agreed.skipped),
            trace: agreed.digests.clone(),
        };
        self.pace.steps += 1;
        self.remember(plan, agreed)
    }

    fn remember(&mut self, plan: &Plan, agreed: &Agreed) -> Result<(), Trouble> {
        let (phase, cycle) = (plan.phase, self.schedule.cycle(plan.step));
        let lambda = self.spec.what.train.lambda.unwrap_or_default();
        self.metrics.push(Row::of(plan.step, phase, cycle, agreed.skipped, &agreed.losses, lambda))?;
        let (old, new) = (self.losses.means(), agreed.losses.means());
        self.losses = Losses::from_means(std::array::from_fn(|i| if new[i].count > 0 { new[i] } else { old[i] }));
        Ok(())
    }

    fn digest_now_and_then(&self, step: Step) -> Result<Option<Digest>, Trouble> {
        Ok(if tail::compares_states(step) { Some(Digest::of(&self.state.pack()?)) } else { None })
    }

    /// While this step is computed, the images of the next one are fetched: its plan is known if this step is not skipped.
    fn expect_next(&mut self, plan: &Plan, owned: Range<u32>) {
        let progress = self.state.counters.progress.after(plan, false);
        let next = self.schedule.plan(plan.step.next(), &progress);
        let plans = owned.map(|lane| self.schedule.lane(&next, &progress, Lane(lane))).collect();
        self.pantry.expect(plans);
    }

    pub(crate) fn place(&self) -> Result<(Rank, usize), Trouble> {
        let link = self.link.as_ref().ok_or_else(no_link)?;
        Ok((link.rank(), link.size()))
    }

    fn say_where(&self) {
        let doing = match self.member.next() {
            Next::Wait => Doing::Waiting,
            Next::Prepare { .. } => Doing::Preparing,
            Next::Enter { .. } => Doing::Entering,
            Next::Step { .. } => Doing::Training,
            Next::Seal { .. } => Doing::Sealing,
            Next::Bench(_) => Doing::Refining,
        };
        let Counters { step, progress, .. } = &self.state.counters;
        let steps_per_second = self.pace.steps_per_second();
        self.desk.mailbox.beat(Some(Beat {
            job: self.job.clone(),
            doing,
            generation: self.member.engaged().unwrap_or_default(),
            step: *step,
            losses: self.losses,
            steps_per_second,
            images_per_second: steps_per_second * f64::from(self.spec.what.train.batch),
            // The mailbox knows for how long it waits.
            waits_ms: 0,
            shares: None,
            times: self.link.as_ref().map(|link| self.pace.recent.times(link.rank())).unwrap_or_default(),
            slow: self.slow_worker(),
            history: u64::from(self.schedule.slots(progress).occupied) * u64::from(self.lanes()),
        }));
    }

    fn slow_worker(&self) -> Option<SlowWorker> {
        let Next::Step { opening, .. } = self.member.next() else { return None };
        let slow = self.pace.recent.slow()?;
        let worker = opening.roster.get(slow.rank.index())?.worker.clone();
        Some(SlowWorker { worker, own_us: slow.own_us, others_us: slow.others_us })
    }
}

pub(crate) fn no_link() -> Trouble {
    Trouble::Left(Leaving::Broke("there is no link in this generation".to_owned()))
}

/// What a lane was handed, for its trace: the names that came with the pixels, not those that were planned.
fn handed(meal: &Meal) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(meal.step.0.to_le_bytes());
    bytes.push(meal.phase as u8);
    for images in [&meal.synthetic, &meal.real, &meal.history] {
        push_names(images, &mut bytes);
    }
    bytes
}

fn push_names(images: &Images, bytes: &mut Vec<u8>) {
    bytes.extend((images.len() as u64).to_le_bytes());
    for id in &images.ids {
        bytes.extend(id.sample.0.to_le_bytes());
        bytes.extend(id.step.0.to_le_bytes());
    }
}
