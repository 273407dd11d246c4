//! Everything around the rules: virtual time, messages that take theirs, faults, and a ledger of what must hold.

use super::{
    group::Group,
    job::{Wanted, spec},
    toy::{self, State},
    worker::Process,
};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    ops::Range,
    time::Duration,
};
use sumac_common::{
    cluster::{Action, Cluster, Event, Fact, Job, JobState, Presence, Settings, Worker},
    conversation::{Basis, Incarnation, Leaving, Opening, Order, Report, Seat, Standing},
    ids::{Generation, JobId, NodeId, Step, WorkerId},
    spec::Spec,
    tail::Wishes,
};

mod weather;

pub(crate) use weather::{FAULTS, Fault, Weather};

/// Chance, from a seed alone.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(toy::mix(seed, 0x51ac))
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        toy::mix(self.0, 0) % end
    }

    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.below(range.end - range.start))
    }
}

/// What happens at a moment.
#[expect(clippy::large_enum_variant, reason = "there are few at a time")]
pub(crate) enum Happening {
    // To a process.
    Prepared { epoch: u64 },
    Computed { epoch: u64, step: Step, wishes: Wishes },
    Heard { epoch: u64, generation: Generation, round: usize },
    Broke { epoch: u64, why: Leaving },
    Order { stream: u64, order: Order },
    StreamEnded { stream: u64 },
    Connect,
    Beat,
    GraceEnds,
    // To the coordinator.
    Up { worker: WorkerId, incarnation: u64, stream: u64, what: Up },
    Detached { worker: WorkerId, incarnation: u64, stream: u64 },
    Died { worker: WorkerId, incarnation: u64 },
    Tick,
    Submit,
    CoordinatorStarts,
    // From outside.
    Start(WorkerId),
    Undrain(String),
    Fault(Fault),
    Quiet,
}

pub(crate) enum Up {
    Attach(Seat, Option<Standing>),
    Said(Report),
}

/// A start of a worker's process.
type Start = (WorkerId, u64);

const LANES: u32 = 4;
const STEPS: u64 = 60;
const ALL_LOST_AFTER: Duration = Duration::from_secs(30);
/// After the last fault everything must be over within so long.
const PATIENCE: Duration = Duration::from_secs(150);

pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) dice: Dice,
    pub(crate) lanes: u32,
    pub(crate) replicas: u32,
    pub(crate) checkpoint_steps: u64,
    /// The states of a run of one.
    pub(crate) expected: Vec<State>,
    pub(crate) groups: BTreeMap<Generation, Group>,
    /// What checkpoints hold, by step; one is loadable when all lanes are there.
    pub(crate) disk: BTreeMap<u64, State>,
    spec: Box<Spec>,
    processes: BTreeMap<WorkerId, Process>,
    /// By time, and in the order in which it was put there: to this start of a worker, or to all the rest.
    queue: BTreeMap<(Duration, u64), (Option<Start>, Happening)>,
    queued: u64,
    /// `None` while it is down.
    cluster: Option<Cluster>,
    /// When the coordinator's clock stood at zero.
    zero: Duration,
    /// The coordinator's next crash comes in the midst of carrying out its actions.
    crashes: bool,
    /// What is durable.
    saved: Option<String>,
    drains: Vec<String>,
    attached: BTreeMap<WorkerId, u64>,
    streams: u64,
    /// When the last message of a direction of a stream arrives: later ones do not overtake it.
    arrivals: BTreeMap<(u64, bool), Duration>,
    quiet: bool,
    cruel: bool,
    pub(crate) gentle: bool,
    resubmitting: bool,
    ledger: Ledger,
    /// What happened, if somebody wants to read it.
    pub(crate) story: Option<Vec<String>>,
    given_up: bool,
}

/// What has been seen from outside, for the invariants.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) openings: BTreeMap<Generation, Opening>,
    /// The last generation that anybody entered.
    entered: Generation,
    /// The last generation of which the coordinator heard that it was entered.
    heard: Generation,
    /// Which generation committed a step of the lineage that holds now.
    committed: BTreeMap<Step, Generation>,
    /// Committed steps that are done again.
    pub(crate) redone: u64,
    /// Openings from a checkpoint after the first.
    pub(crate) went_back: u64,
}

fn job() -> JobId {
    JobId::from("job")
}

impl World {
    pub(crate) fn new(seed: u64, weather: &Weather) -> Self {
        let names: Vec<WorkerId> = (0..weather.workers).map(|i| WorkerId(format!("w{i}"))).collect();
        let wanted = Wanted {
            lanes: LANES,
            steps: STEPS,
            workers_min: 1,
            // A fifth worker stands by.
            workers_max: LANES.min(weather.workers as u32),
            replicas: weather.replicas,
        };
        let mut world = Self {
            now: Duration::ZERO,
            dice: Dice::new(seed),
            lanes: LANES,
            replicas: weather.replicas,
            checkpoint_steps: 7,
            expected: toy::alone(LANES, STEPS),
            groups: BTreeMap::new(),
            disk: BTreeMap::new(),
            spec: spec(wanted),
            processes: BTreeMap::new(),
            queue: BTreeMap::new(),
            queued: 0,
            cluster: None,
            zero: Duration::ZERO,
            crashes: false,
            saved: None,
            drains: Vec::new(),
            attached: BTreeMap::new(),
            streams: 0,
            arrivals: BTreeMap::new(),
            quiet: false,
            cruel: weather.cruel,
            gentle: weather.gentle,
            resubmitting: false,
            ledger: Ledger::default(),
            story: None,
            given_up: false,
        };
        for (i, name) in names.into_iter().enumerate() {
            let late = i + weather.newcomers >= weather.workers && i > 0;
            let at = if late { world.dice.millis(3_000..20_000) } else { world.dice.millis(0..300) };
            world.at(at, Happening::Start(name));
        }
        world.at(Duration::ZERO, Happening::CoordinatorStarts);
        world.at(Duration::from_millis(1), Happening::Submit);
        world.at(Duration::from_millis(100), Happening::Tick);
        weather.faults.iter().for_each(|(at, fault)| world.at(*at, Happening::Fault(*fault)));
        world.at(weather.quiet_at, Happening::Quiet);
        world
    }

    /// Until the job is finished; what it left behind is that of a run of one. Returns what was seen.
    pub(crate) fn run(&mut self, weather: &Weather) -> &Ledger {
        let limit = weather.quiet_at + PATIENCE;
        while !self.is_finished() {
            let ((at, _), (whom, what)) = self.queue.pop_first().expect("the coordinator ticks for ever");
            assert!(at < limit, "liveness: at {at:?} the job is not finished: {}", self.picture());
            self.now = at;
            match whom {
                Some((name, incarnation)) => self.happens_to(&name, incarnation, what),
                None => self.happens(what),
            }
        }
        let last = &self.disk[&STEPS];
        assert_eq!(*last, self.expected[STEPS as usize], "L-3: the last state is not that of a run of one");
        &self.ledger
    }

    fn is_finished(&self) -> bool {
        self.job().is_some_and(|job| job.state == JobState::Finished)
    }

    fn job(&self) -> Option<&Job> {
        self.cluster.as_ref()?.job(&job())
    }

    fn picture(&self) -> String {
        let job = self.job().map(|job| format!("{:?} {:?} {:?}", job.state, job.roster, job.reason()));
        let stands = |(name, process): (&WorkerId, &Process)| {
            format!("\n{name}: alive {}, group {:?}, {:?}", process.alive, process.group(), process.member.standing())
        };
        format!("{job:?}{}", self.processes.iter().map(stands).collect::<String>())
    }

    pub(crate) fn process(&mut self, name: &WorkerId) -> &mut Process {
        self.processes.get_mut(name).expect("named workers were started")
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(format!("{:>9.3}s {}", self.now.as_secs_f64(), line()));
        }
    }

    fn push(&mut self, at: Duration, whom: Option<Start>, what: Happening) {
        self.queued += 1;
        self.queue.insert((at, self.queued), (whom, what));
    }

    fn at(&mut self, at: Duration, what: Happening) {
        self.push(at, None, what);
    }

    /// To this start of a process, some milliseconds from now.
    pub(crate) fn later(&mut self, name: &WorkerId, millis: Range<u64>, what: Happening) {
        let at = self.now + self.dice.millis(millis);
        let incarnation = self.process(name).incarnation;
        self.push(at, Some((name.clone(), incarnation)), what);
    }

    /// When a message sent now arrives: not before those sent earlier the same way.
    fn arrival(&mut self, stream: u64, up: bool) -> Duration {
        let at = self.now + self.dice.millis(1..60);
        let last = self.arrivals.entry((stream, up)).or_default();
        *last = at.max(*last);
        *last
    }

    // A process.

    fn happens_to(&mut self, name: &WorkerId, incarnation: u64, what: Happening) {
        let process = &self.processes[name];
        if !process.alive || process.incarnation != incarnation {
            return;
        }
        if let Some(until) = process.paused_until.filter(|until| *until > self.now) {
            self.push(until, Some((name.clone(), incarnation)), what);
            return;
        }
        match what {
            Happening::Prepared { epoch } => self.prepared(name, epoch),
            Happening::Computed { epoch, step, wishes } => self.computed(name, epoch, step, wishes),
            Happening::Heard { epoch, generation, round } => self.heard(name, epoch, generation, round),
            Happening::Broke { epoch, why } => self.broke(name, epoch, why),
            Happening::Order { stream, order } => {
                if self.process(name).stream == Some(stream) {
                    self.told(name, order);
                }
            }
            Happening::StreamEnded { stream } => {
                if self.process(name).stream == Some(stream) {
                    self.process(name).stream = None;
                    self.later(name, 10..800, Happening::Connect);
                }
            }
            Happening::Connect => self.connect(name),
            Happening::Beat => {
                self.report(name, Report::Beat(None));
                self.later(name, 1_000..1_001, Happening::Beat);
                return;
            }
            Happening::GraceEnds => {
                assert!(!self.gentle, "{name} was not let go in time: {}", self.picture());
                return self.kill(name, true);
            }
            _ => unreachable!("this happens to no process"),
        }
        self.processes[name].check(name, &self.expected);
    }

    fn connect(&mut self, name: &WorkerId) {
        if self.cluster.is_none() {
            self.later(name, 100..900, Happening::Connect);
            return;
        }
        self.streams += 1;
        let stream = self.streams;
        let process = self.process(name);
        process.stream = Some(stream);
        let seat = Seat {
            worker: name.clone(),
            incarnation: Incarnation(process.incarnation),
            node: NodeId::from("node"),
            store: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            version: "1".to_owned(),
            device: "cpu".to_owned(),
        };
        let standing = process.member.standing();
        let leaving = process.leaving;
        self.up(name, Up::Attach(seat, standing));
        if leaving {
            self.report(name, Report::Leaving);
        }
    }

    fn up(&mut self, name: &WorkerId, what: Up) {
        let process = self.process(name);
        let (Some(stream), incarnation) = (process.stream, process.incarnation) else { return };
        let at = self.arrival(stream, true);
        self.push(at, None, Happening::Up { worker: name.clone(), incarnation, stream, what });
    }

    pub(crate) fn report(&mut self, name: &WorkerId, report: Report) {
        self.up(name, Up::Said(report));
    }

    fn start(&mut self, name: WorkerId) {
        let incarnation = self.processes.get(&name).map_or(1, |process| process.incarnation + 1);
        if self.processes.get(&name).is_some_and(|process| process.alive) {
            return;
        }
        self.note(|| format!("{name} starts ({incarnation})"));
        self.processes.insert(name.clone(), Process::new(name.clone(), incarnation));
        self.later(&name, 1..50, Happening::Connect);
        self.later(&name, 1_000..1_001, Happening::Beat);
    }

    // The coordinator.

    fn happens(&mut self, what: Happening) {
        match what {
            Happening::Up { worker, incarnation, stream, what } => self.hears(worker, incarnation, stream, what),
            Happening::Detached { worker, incarnation, stream } => {
                if self.attached.get(&worker) == Some(&stream) {
                    self.attached.remove(&worker);
                    self.decide(Event::Detached { worker, incarnation: Incarnation(incarnation) });
                }
            }
            Happening::Died { worker, incarnation } => {
                self.decide(Event::Died { worker, incarnation: Incarnation(incarnation) });
            }
            Happening::Tick => {
                self.decide(Event::Tick);
                self.at(self.now + Duration::from_millis(200), Happening::Tick);
                self.operate();
            }
            Happening::Submit => {
                self.resubmitting = false;
                let spec = self.spec.clone();
                self.decide(Event::Submitted { job: job(), spec });
                if self.job().is_none_or(|job| job.state.is_over()) && !self.is_finished() {
                    // Nobody was there to hear it.
                    self.at(self.now + Duration::from_millis(500), Happening::Submit);
                }
            }
            Happening::CoordinatorStarts => self.coordinator_starts(),
            Happening::Start(name) => self.start(name),
            Happening::Undrain(name) => {
                if self.cluster.is_none() {
                    self.at(self.now + Duration::from_millis(500), Happening::Undrain(name.clone()));
                }
                self.decide(Event::Undrained { name });
            }
            Happening::Fault(fault) => self.go_wrong(fault),
            Happening::Quiet => self.calm_down(),
            _ => unreachable!("this happens to a process"),
        }
    }

    fn hears(&mut self, worker: WorkerId, incarnation: u64, stream: u64, what: Up) {
        if self.cluster.is_none() {
            return;
        }
        let incarnation = Incarnation(incarnation);
        match what {
            Up::Attach(seat, standing) => {
                let known = self.cluster.as_ref().and_then(|cluster| cluster.workers().get(&worker));
                if known.is_some_and(|known| known.seat.incarnation > incarnation) {
                    return;
                }
                let is_taken =
                    |known: &Worker| known.seat.incarnation < incarnation && known.presence == Presence::Here;
                if !known.is_some_and(|known| is_taken(known)) {
                    self.attached.insert(worker.clone(), stream);
                }
                if let Some(standing) = &standing {
                    self.hears_standing(&worker, standing);
                }
                self.decide(Event::Attached { seat, standing });
            }
            Up::Said(report) => {
                if self.attached.get(&worker) != Some(&stream) {
                    return;
                }
                match &report {
                    Report::Entered { generation, .. } => self.ledger.heard = self.ledger.heard.max(*generation),
                    Report::Left { standing, .. } => self.hears_standing(&worker, standing),
                    _ => {}
                }
                self.decide(Event::Said { worker, incarnation, report });
            }
        }
    }

    fn hears_standing(&mut self, worker: &WorkerId, standing: &Standing) {
        let known = self.job().is_some_and(|job| job.roster.contains(worker));
        if let Some(holds) = standing.holds.filter(|_| known) {
            self.ledger.heard = self.ledger.heard.max(holds.generation);
        }
    }

    fn decide(&mut self, event: Event) {
        let now = self.now - self.zero;
        if !matches!(event, Event::Tick | Event::Said { report: Report::Beat(_), .. }) {
            self.note(|| format!("  < {event:?}").chars().take(400).collect());
        }
        let Some(cluster) = &mut self.cluster else { return };
        let cluster_actions = cluster.step(now, event);
        let crash_after = if self.crashes && !cluster_actions.is_empty() {
            Some(self.dice.below(cluster_actions.len() as u64 + 1) as usize)
        } else {
            None
        };
        for action in cluster_actions.into_iter().take(crash_after.unwrap_or(usize::MAX)) {
            self.carry_out(action);
        }
        if crash_after.is_some() {
            self.coordinator_crashes();
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Tell(worker, order) => {
                if let Order::Open(opening) = &order {
                    self.opens(opening);
                }
                self.note(|| format!("  > {worker}: {order:?}").chars().take(60).collect());
                let Some(stream) = self.attached.get(&worker).copied() else { return };
                let at = self.arrival(stream, false);
                let incarnation = self.process(&worker).incarnation;
                self.push(at, Some((worker, incarnation)), Happening::Order { stream, order });
            }
            Action::Save(_) => {
                let saved = self.job().map(|job| serde_json::to_string(job).expect("a job is plain data"));
                self.saved = saved;
            }
            Action::SaveDrains => {
                let drains = self.cluster.iter().flat_map(Cluster::drains).map(str::to_owned).collect();
                self.drains = drains;
            }
            Action::Note(fact) => {
                let is_abort = matches!(fact, Fact::GenerationClosed { why: Some(_), .. } | Fact::WorkerLost { .. });
                assert!(!(self.gentle && is_abort), "something was aborted on purpose: {fact}");
                self.note(|| format!("  ! {fact}"));
            }
            Action::HangUp(worker) => {
                if let Some(stream) = self.attached.remove(&worker) {
                    self.later(&worker, 1..60, Happening::StreamEnded { stream });
                }
            }
            Action::Defer(worker, _) => {
                if let Some(stream) = self.process(&worker).stream {
                    self.later(&worker, 1..60, Happening::StreamEnded { stream });
                }
            }
            Action::Refuse(worker, why) => panic!("{worker} is refused: {why}"),
            Action::Keep { .. } | Action::Pardon(_) => unreachable!("nothing is refined here"),
        }
    }

    fn coordinator_crashes(&mut self) {
        self.note(|| "coordinator crashes".to_owned());
        self.crashes = false;
        self.cluster = None;
        for (worker, stream) in std::mem::take(&mut self.attached) {
            self.later(&worker, 1..300, Happening::StreamEnded { stream });
        }
        // Those whose attaching was under way.
        let hanging: Vec<(WorkerId, u64)> =
            self.processes.iter().filter_map(|(name, process)| Some((name.clone(), process.stream?))).collect();
        for (worker, stream) in hanging {
            self.later(&worker, 1..300, Happening::StreamEnded { stream });
        }
        let at = self.now + if self.quiet { Duration::from_millis(100) } else { self.dice.millis(50..7_000) };
        self.at(at, Happening::CoordinatorStarts);
    }

    fn coordinator_starts(&mut self) {
        if self.cluster.is_some() {
            return;
        }
        self.note(|| "coordinator starts".to_owned());
        let settings = Settings { version: "1".to_owned(), all_lost_after: ALL_LOST_AFTER, ..Settings::default() };
        let jobs: Vec<Job> =
            self.saved.iter().map(|saved| serde_json::from_str(saved).expect("what was saved can be read")).collect();
        let entered = jobs.first().and_then(|job| job.entered.as_ref().map(|(generation, _)| *generation));
        self.ledger.heard = entered.unwrap_or_default();
        self.zero = self.now;
        self.cluster = Some(Cluster::new(settings, jobs, self.drains.clone()));
    }

    /// The one who looks after the job: a stopped one goes on after a while.
    fn operate(&mut self) {
        let Some(state) = self.job().map(|job| job.state.clone()) else { return };
        match state {
            JobState::Paused if !self.resubmitting => {
                self.resubmitting = true;
                let at = self.now + self.dice.millis(100..3_000);
                self.at(at, Happening::Submit);
            }
            JobState::Failed(why) => panic!("the job failed: {why}"),
            _ => {}
        }
    }

    // What must hold.

    fn opens(&mut self, opening: &Opening) {
        let generation = opening.generation;
        if let Some(known) = self.ledger.openings.get(&generation) {
            assert_eq!(known, opening, "C-1: generation {generation} is told in two ways");
            return;
        }
        let newest = self.ledger.openings.keys().next_back().copied().unwrap_or_default();
        assert!(generation > newest, "C-2: generation {generation} opens after {newest}");
        let left = self.ledger.openings.get(&newest).map(|last| {
            let takes_part =
                |name: &WorkerId| self.processes[name].alive && self.processes[name].group() == Some(newest);
            last.roster.iter().filter(|place| !takes_part(&place.worker)).count()
        });
        // Or everybody was silent for long, or given up.
        let patient = self.now > ALL_LOST_AFTER || self.given_up;
        assert!(left != Some(0) || patient, "C-6: nobody left generation {newest} when {generation} opened");
        match &opening.basis {
            Basis::Held { generation: basis, .. } => {
                assert_eq!(
                    *basis, self.ledger.heard,
                    "C-5: generation {generation} is not based on the last one entered"
                );
            }
            Basis::Saved => {
                self.ledger.went_back += u64::from(self.ledger.entered > Generation(0));
            }
        }
        self.ledger.openings.insert(generation, opening.clone());
    }

    /// Somebody entered: the lineage goes on from this step.
    pub(crate) fn entered(&mut self, generation: Generation, step: Step) {
        if generation > self.ledger.entered {
            self.ledger.entered = generation;
            let before = self.ledger.committed.len();
            self.ledger.committed.retain(|committed, _| *committed < step);
            self.ledger.redone += (before - self.ledger.committed.len()) as u64;
        }
    }

    /// C-4, L-3: in one lineage a step is committed in one generation. Who commits in a generation after a newer one was
    /// entered holds what nobody will take (C-5), and does not count.
    pub(crate) fn committed(&mut self, name: &WorkerId, generation: Generation, step: Step) {
        if generation < self.ledger.entered {
            return;
        }
        let first = *self.ledger.committed.entry(step).or_insert(generation);
        assert_eq!(first, generation, "{name} commits step {step} again without going back");
    }

    pub(crate) fn newest_checkpoint(&self) -> Option<State> {
        self.disk.values().rfind(|state| state.lanes.len() == self.lanes as usize).cloned()
    }
}
