//! A refinement among workers that come, go and hang, under a coordinator that dies: both halves of the rules, one seeded queue
//! of events, no clock. F-1: each shard is over once, and what is published is what was committed.

use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};
use sumac_common::{
    cluster::{Action, Cluster, Event, JobState, Leasing, Settings},
    conversation::{Fingerprint, Incarnation, Order, Readiness, Report, Seat, Standing},
    ids::{Digest, JobId, NodeId, Term, WorkerId},
    leases::{Attempt, Fate, Kept, Receipt, Shard, chain},
    member::{self, Member, Next},
    piecework::Piecework,
    refinement::{Format, How, Layout, Origin, Refinement, Trained, What},
    spec::{Device, ImageShape, Workers, model},
    workbench,
};

const WORKERS: usize = 3;

fn refinement(shards: u32) -> Refinement {
    Refinement {
        name: "eyes".to_owned(),
        what: What {
            input: Digest::of(b"input"),
            samples: u64::from(shards) * 10,
            shard_samples: 10,
            refiner: Some(Trained {
                weights: Digest::of(b"weights"),
                net: model::Refiner {
                    width: 8,
                    blocks: 1,
                    kernel: 3,
                    output: model::RefinerOutput::Tanh,
                    padding: model::Padding::Zeros,
                    noise: model::Noise::NONE,
                    light: false,
                    matching: model::Matching::None,
                },
                threads: 1,
                origin: Origin { run: "eyes-7f3".to_owned(), step: 100, lambda: 0.5, seed: 7 },
            }),
            image: ImageShape { channels: 1, height: 35, width: 55 },
            fit: None,
            layout: Layout::Shards,
            format: Format::Png,
            max_bad: 0.5,
        },
        how: How {
            source: "eyes".into(),
            destination: "refined".into(),
            workers: Workers { min: 1, max: 8, device: Device::Auto },
        },
    }
}

fn job() -> JobId {
    JobId::from("eyes-r")
}

fn receipt(shard: Shard) -> Receipt {
    Receipt { digest: Digest::of(&shard.0.to_le_bytes()), refined: 10, bad: 0 }
}

fn readiness(work: &Piecework) -> Readiness {
    let fingerprint = Fingerprint {
        libtorch: "2.11.0".to_owned(),
        device: "cpu".to_owned(),
        instructions: "AVX2".to_owned(),
        threads: 1,
        canary: Digest::default(),
    };
    Readiness { data: work.identity(), fingerprint, lambda: None }
}

/// A process with its stream to the coordinator, if it has one.
struct Process {
    member: Member,
    start: u64,
    up: VecDeque<Up>,
    down: VecDeque<Order>,
    attached: bool,
    /// Under way, in order.
    takes: VecDeque<(Attempt, Shard)>,
}

enum Up {
    Joins(Option<Standing>),
    Says(Report),
}

/// What outlives every process: the coordinator's store, and the files.
#[derive(Default)]
struct Disk {
    refining: Option<String>,
    kept: Kept,
    /// Whole attempts that have not got their names.
    attempts: BTreeSet<(Shard, Attempt)>,
    published: BTreeMap<Shard, Attempt>,
    sealed: bool,
}

struct World {
    refinement: Refinement,
    cluster: Cluster,
    term: u64,
    now: Duration,
    processes: Vec<Process>,
    disk: Disk,
}

#[derive(Clone, Debug)]
enum Happens {
    /// The worker does one thing.
    Works(usize),
    /// One message of its stream arrives, upwards and downwards.
    Hears(usize),
    /// Its shard fails.
    Spoils(usize),
    Dies(usize),
    /// Its stream breaks; it attaches anew.
    Breaks(usize),
    /// It is asked to end, and a new process takes its place.
    Leaves(usize),
    Restarts,
    Passes(u64),
}

impl World {
    fn new(shards: u32) -> Self {
        let refinement = refinement(shards);
        let processes = (0..WORKERS).map(|_| Process::new(0)).collect();
        let mut cluster = Cluster::new(Settings::default(), vec![], vec![]);
        cluster.remember(Term(1), vec![]);
        let (now, disk) = (Duration::ZERO, Disk::default());
        let mut world = Self { refinement: refinement.clone(), cluster, term: 1, now, processes, disk };
        world.raise(Event::Piecework { job: job(), work: Box::new(Piecework::Refine(Box::new(refinement))) });
        world
    }

    fn raise(&mut self, event: Event) {
        for action in self.cluster.step(self.now, event) {
            match action {
                Action::Save(_) => {
                    let refining = self.cluster.leasing(&job()).expect("it was submitted");
                    self.disk.refining = Some(serde_json::to_string(refining).expect("it is plain data"));
                }
                Action::Keep { shard, fate, .. } => {
                    assert!(self.disk.kept.insert(shard, fate).is_none(), "F-1: {shard} is over twice");
                }
                Action::Tell(worker, order) => {
                    let at: usize = worker.0[1..].parse().expect("workers are called w0, w1, ...");
                    self.processes[at].down.push_back(order);
                }
                Action::HangUp(worker) => {
                    let at: usize = worker.0[1..].parse().expect("workers are called w0, w1, ...");
                    self.processes[at].lose_stream();
                }
                Action::Defer(..) | Action::Note(_) | Action::SaveDrains => {}
                Action::Refuse(worker, why) => panic!("{worker} is refused: {why}"),
                Action::Pardon(_) => panic!("it was submitted once"),
            }
        }
    }

    fn happens(&mut self, what: &Happens) {
        match *what {
            Happens::Works(at) => self.works(at, false),
            Happens::Spoils(at) => self.works(at, true),
            Happens::Hears(at) => self.hears(at),
            Happens::Dies(at) => self.dies(at),
            Happens::Breaks(at) => self.breaks(at),
            Happens::Leaves(at) => {
                let said = self.processes[at].member.step(member::Event::Goodbye);
                self.processes[at].say(said);
            }
            Happens::Restarts => self.restarts(),
            Happens::Passes(seconds) => {
                self.now += Duration::from_secs(seconds);
                self.raise(Event::Tick);
            }
        }
    }

    fn dies(&mut self, at: usize) {
        let (worker, incarnation) = (name(at), Incarnation(self.processes[at].start));
        self.processes[at] = Process::new(self.processes[at].start + 1);
        self.raise(Event::Died { worker, incarnation });
    }

    fn breaks(&mut self, at: usize) {
        if std::mem::take(&mut self.processes[at].attached) {
            self.raise(Event::Detached { worker: name(at), incarnation: Incarnation(self.processes[at].start) });
        }
        self.processes[at].lose_stream();
    }

    fn restarts(&mut self) {
        self.term += 1;
        self.now = Duration::ZERO;
        let refining: Leasing =
            serde_json::from_str(self.disk.refining.as_ref().expect("it was saved")).expect("it was written here");
        self.cluster = Cluster::new(Settings::default(), vec![], vec![]);
        self.cluster.remember(Term(self.term), vec![(refining, self.disk.kept.clone())]);
        self.processes.iter_mut().for_each(Process::lose_stream);
    }

    fn hears(&mut self, at: usize) {
        let process = &mut self.processes[at];
        if process.member.may_go() {
            return self.dies(at);
        }
        let (worker, incarnation) = (name(at), Incarnation(process.start));
        if !process.attached {
            process.attached = true;
            process.up.push_back(Up::Joins(process.member.standing()));
        }
        match process.up.pop_front() {
            Some(Up::Joins(standing)) => {
                let seat = seat(at, incarnation);
                self.raise(Event::Attached { seat, standing });
            }
            Some(Up::Says(report)) => self.raise(Event::Said { worker, incarnation, report }),
            None => self.raise(Event::Said { worker, incarnation, report: Report::Beat(None) }),
        }
        let process = &mut self.processes[at];
        if let Some(order) = process.down.pop_front() {
            let said = process.member.step(member::Event::Told(order));
            process.say(said);
            if process.member.bench().is_none() {
                process.takes.clear();
            }
        }
    }

    fn works(&mut self, at: usize, spoils: bool) {
        let process = &mut self.processes[at];
        let Next::Bench(bench) = process.member.next() else { return };
        let event = match bench.next() {
            workbench::Next::Prepare => workbench::Event::Prepared(readiness(bench.work())),
            workbench::Next::Publish { attempt, shard } => {
                assert!(matches!(self.disk.kept[&shard], Fate::Committed { attempt: kept, .. } if kept == attempt));
                if self.disk.attempts.remove(&(shard, attempt)) {
                    assert_eq!(self.disk.published.insert(shard, attempt), None, "{shard} is published twice");
                }
                workbench::Event::Settled
            }
            workbench::Next::Discard { attempt, shard } => {
                assert!(!matches!(self.disk.kept[&shard], Fate::Committed { attempt: kept, .. } if kept == attempt));
                self.disk.attempts.remove(&(shard, attempt));
                workbench::Event::Settled
            }
            workbench::Next::Take { attempt, shard } if process.takes.len() < 2 => {
                process.takes.push_back((attempt, shard));
                workbench::Event::Took
            }
            workbench::Next::Seal { receipts, quarantined } => {
                let of = |fate: &Fate| match fate {
                    Fate::Committed { receipt, .. } => Some(receipt.digest),
                    Fate::Quarantined { .. } => None,
                };
                assert_eq!(self.disk.kept.len(), self.refinement.what.shards() as usize, "sealed before its time");
                assert_eq!(receipts, chain(self.disk.kept.values().filter_map(of)));
                let lost = self.disk.kept.values().filter(|fate| of(fate).is_none()).count();
                assert_eq!(quarantined.len(), lost);
                for (shard, fate) in &self.disk.kept {
                    if let Fate::Committed { attempt, .. } = fate {
                        let is_there = self.disk.published.get(shard) == Some(attempt);
                        assert!(is_there || self.disk.attempts.contains(&(*shard, *attempt)), "{shard} is lost");
                    }
                }
                self.disk.sealed = true;
                workbench::Event::Sealed
            }
            workbench::Next::Take { .. } | workbench::Next::Wait => match process.takes.pop_front() {
                Some((attempt, shard)) if spoils => {
                    workbench::Event::Failed { attempt, shard, why: "no room".to_owned() }
                }
                Some((attempt, shard)) => {
                    self.disk.attempts.insert((shard, attempt));
                    workbench::Event::Wrote { attempt, shard, receipt: receipt(shard) }
                }
                None => return,
            },
        };
        let said = process.member.step(member::Event::Bench(event));
        process.say(said);
    }
}

impl Process {
    fn new(start: u64) -> Self {
        let member = Member::new(WorkerId::default());
        Self { member, start, up: VecDeque::new(), down: VecDeque::new(), attached: false, takes: VecDeque::new() }
    }

    /// What nobody would hear is not said: its standing will say it.
    fn say(&mut self, reports: Vec<Report>) {
        if self.attached {
            self.up.extend(reports.into_iter().map(Up::Says));
        }
    }

    fn lose_stream(&mut self) {
        self.attached = false;
        self.up.clear();
        self.down.clear();
    }
}

fn name(at: usize) -> WorkerId {
    WorkerId(format!("w{at}"))
}

fn seat(at: usize, incarnation: Incarnation) -> Seat {
    Seat {
        worker: name(at),
        incarnation,
        node: NodeId::from("here"),
        store: ([127, 0, 0, 1], 1).into(),
        version: Settings::default().version,
        device: "cpu".to_owned(),
    }
}

fn happenings() -> impl Strategy<Value = Vec<Happens>> {
    let one = prop_oneof![
        20 => (0..WORKERS).prop_map(Happens::Works),
        20 => (0..WORKERS).prop_map(Happens::Hears),
        1 => (0..WORKERS).prop_map(Happens::Spoils),
        1 => (0..WORKERS).prop_map(Happens::Dies),
        1 => (0..WORKERS).prop_map(Happens::Breaks),
        1 => (0..WORKERS).prop_map(Happens::Leaves),
        1 => Just(Happens::Restarts),
        2 => (0u64..8).prop_map(Happens::Passes),
    ];
    prop::collection::vec(one, 0..400)
}

proptest! {
    /// And once the faults are over, the data set is sealed, or the job says why not.
    #[test]
    fn a_refinement_through_a_storm_is_complete(shards in 1u32..30, happenings in happenings()) {
        let mut world = World::new(shards);
        for what in &happenings {
            world.happens(what);
        }
        for round in 0..2_000 {
            let state = &world.cluster.leasing(&job()).expect("it was submitted").state;
            if state.is_over() {
                break;
            }
            for at in 0..WORKERS {
                world.happens(&Happens::Hears(at));
                world.happens(&Happens::Works(at));
            }
            world.happens(&Happens::Passes(u64::from(round % 10 == 0)));
        }
        let refining = world.cluster.leasing(&job()).expect("it was submitted");
        match &refining.state {
            JobState::Finished => prop_assert!(world.disk.sealed),
            JobState::Failed(why) => prop_assert!(refining.bad() * 2 > refining.spec.items(), "{}", why),
            other => prop_assert!(false, "it is {other}: {:?}, {:?}", refining.reason(), refining.counts()),
        }
    }
}
