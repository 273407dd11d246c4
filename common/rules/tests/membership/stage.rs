//! A cluster on a stage: workers with their real members do what a script says, the coordinator answers, all of it is written down.
//!
//! | line | what happens |
//! |---|---|
//! | `submit JOB [min N] [max N] [replicas N] [steps N] [lambda open]` | a job of 4 lanes and, if nothing else is said, 100 steps |
//! | `join W [version V] [start N] [node N]` | a worker attaches and says where it stands; its first start is 1 |
//! | `restart W` | its process is another one from here on, with nothing in its hands |
//! | `W ready [data D] [libtorch L] [lambda N]`, `W unable WHY`, `W enters STEP [again N]`, `W offers STEP`, `W saved STEP`, `W seals` | it reports |
//! | `W at STEP` | it commits steps until it stands there |
//! | `W waits 12s` | it beats, and says for how long it has waited for the others |
//! | `W diverges`, `W calms` | it beats, with a loss beyond all measure, or a good one |
//! | `W leaves`, `W breaks`, `W unformed W..` | it leaves its generation: told to, by a failed collective, without having formed |
//! | `detach W`, `died W`, `tick` | what the coordinator notices |
//! | `mute W`, `unmute W` | an attached worker beats at every full second, unless its process stands still |
//! | `pause JOB`, `cancel JOB`, `give up JOB`, `scale JOB MIN MAX` | the operator, of a job |
//! | `drain NAME [within 5s]`, `undrain NAME`, `evict NAME` | the operator, of a worker or a node |
//! | `W goodbye` | its process is asked to end; it ends once it may go |
//! | `coordinator restarts` | it knows what it saved; every stream is broken; its clock begins at 0 |
//!
//! Orders reach a worker that is attached at once, but for `close`: it obeys that when the script says `leaves`.

use super::job::{Wanted, spec};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use sumac_common::{
    checkpoint::Saved,
    cluster::{Action, Cluster, Event, Job, JobState, Settings},
    conversation::{Basis, Beat, Doing, Fingerprint, Incarnation, Leaving, Order, Readiness, Report, Seat, Wish},
    ids::{Digest, JobId, NodeId, Step, WorkerId},
    losses::{Losses, Mean},
    member::{self, Member, Next},
    pace::Times,
    spec::Device,
    tail::Wishes,
};

pub(crate) struct Stage {
    now: Duration,
    cluster: Cluster,
    saved: BTreeMap<JobId, String>,
    drains: Vec<String>,
    troupe: BTreeMap<WorkerId, Actor>,
    attached: BTreeSet<WorkerId>,
    mute: BTreeSet<WorkerId>,
    transcript: Vec<String>,
    /// How each job was last seen.
    states: BTreeMap<JobId, String>,
}

struct Actor {
    member: Member,
    start: u64,
}

impl Actor {
    fn new(name: &WorkerId, start: u64) -> Self {
        Self { member: Member::new(name.clone()), start }
    }
}

fn settings() -> Settings {
    Settings { version: "1".to_owned(), ..Settings::default() }
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            now: Duration::ZERO,
            cluster: Cluster::new(settings(), vec![], vec![]),
            drains: Vec::new(),
            saved: BTreeMap::new(),
            troupe: BTreeMap::new(),
            attached: BTreeSet::new(),
            mute: BTreeSet::new(),
            transcript: Vec::new(),
            states: BTreeMap::new(),
        }
    }

    /// Carries out one line of a script, such as `at 6s  beat a, a at 70`. Returns what came of it.
    pub(crate) fn play(&mut self, line: &str) -> Vec<String> {
        let (time, commands) =
            line.strip_prefix("at ").and_then(|rest| rest.split_once(' ')).expect("at TIME COMMANDS");
        self.wait_until(seconds(time));
        for command in commands.split(',') {
            self.carry_out(command.trim());
        }
        let states = self.cluster.jobs().map(|job| (job.id.clone(), state(job))).collect::<BTreeMap<_, _>>();
        for (job, state) in &states {
            if self.states.get(job) != Some(state) {
                self.transcript.push(format!("{job} is {state}"));
            }
        }
        self.states = states;
        let transcript = std::mem::take(&mut self.transcript);
        if transcript.is_empty() { vec!["nothing".to_owned()] } else { transcript }
    }

    /// Workers beat in the meantime.
    fn wait_until(&mut self, until: Duration) {
        for second in self.now.as_secs() + 1..=until.as_secs() {
            self.now = Duration::from_secs(second);
            let before = self.transcript.len();
            for worker in self.attached.difference(&self.mute).cloned().collect::<Vec<_>>() {
                self.say(&worker, Report::Beat(None));
            }
            self.decide(Event::Tick);
            self.transcript[before..].iter_mut().for_each(|line| *line = format!("({second}s) {line}"));
        }
        self.now = until;
    }

    fn carry_out(&mut self, command: &str) {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["submit", job, rest @ ..] => {
                let number = |name: &str, usual: u32| named(rest, name).map_or(usual, |n| n.parse().expect("a number"));
                let wanted = Wanted {
                    lanes: 4,
                    steps: number("steps", 100).into(),
                    workers_min: number("min", 1),
                    workers_max: number("max", 4),
                    replicas: number("replicas", 1),
                };
                let mut spec = spec(wanted);
                if named(rest, "on") == Some("cuda") {
                    spec.how.workers.device = Device::Cuda;
                }
                if named(rest, "lambda") == Some("open") {
                    spec.what.train.lambda = None;
                }
                self.decide(Event::Submitted { job: JobId::from(*job), spec });
            }
            ["join", name, rest @ ..] => {
                self.join(&WorkerId::from(*name), named(rest, "version"), named(rest, "start"), named(rest, "node"))
            }
            ["restart", name] => {
                let name = WorkerId::from(*name);
                let start = self.actor(&name).start + 1;
                self.troupe.insert(name.clone(), Actor::new(&name, start));
                self.attached.remove(&name);
            }
            ["detach", name] => {
                let worker = WorkerId::from(*name);
                self.attached.remove(&worker);
                let incarnation = self.incarnation(&worker);
                self.decide(Event::Detached { worker, incarnation });
            }
            ["died", name] => {
                let worker = WorkerId::from(*name);
                self.attached.remove(&worker);
                let incarnation = self.incarnation(&worker);
                self.decide(Event::Died { worker, incarnation });
            }
            ["mute", name] => drop(self.mute.insert(WorkerId::from(*name))),
            ["unmute", name] => drop(self.mute.remove(&WorkerId::from(*name))),
            ["tick"] => self.decide(Event::Tick),
            ["pause", job] => self.decide(Event::PauseWished { job: JobId::from(*job) }),
            ["scale", job, min, max] => {
                let number = |text: &str| text.parse().expect("a number");
                self.decide(Event::Scaled { job: JobId::from(*job), min: number(min), max: number(max) });
            }
            ["drain", name, rest @ ..] => {
                self.decide(Event::Drained { name: (*name).to_owned(), deadline: named(rest, "within").map(seconds) });
            }
            ["undrain", name] => self.decide(Event::Undrained { name: (*name).to_owned() }),
            ["evict", name] => self.decide(Event::Evicted { name: (*name).to_owned() }),
            ["cancel", job] => self.decide(Event::Cancelled { job: JobId::from(*job) }),
            ["give", "up", job] => self.decide(Event::GivenUp { job: JobId::from(*job) }),
            ["coordinator", "restarts"] => {
                let restored =
                    self.saved.values().map(|job| serde_json::from_str(job).expect("what was saved is read"));
                self.cluster = Cluster::new(settings(), restored.collect(), self.drains.clone());
                self.attached.clear();
            }
            [name, does @ ..] => self.act(&WorkerId::from(*name), does),
            [] => panic!("an empty command"),
        }
    }

    fn act(&mut self, name: &WorkerId, does: &[&str]) {
        let step = |step: &str| Step(step.parse().expect("a step"));
        let event = match does {
            ["ready", rest @ ..] => member::Event::Prepared(readiness(rest)),
            ["unable", why @ ..] => member::Event::Unprepared(why.join(" ")),
            ["offers", at] => member::Event::Offered(step(at)),
            ["enters", at] => member::Event::Entered { step: step(at), redone: 0 },
            ["enters", at, "again", redone] => {
                member::Event::Entered { step: step(at), redone: redone.parse().expect("a number") }
            }
            ["saved", at] => {
                let saved = Saved { step: step(at), bytes: 1_000, at_ms: 0 };
                member::Event::Saved { step: step(at), there: vec![saved] }
            }
            ["unsaved", at, why @ ..] => member::Event::Unsaved { step: step(at), why: why.join(" ") },
            ["seals"] => member::Event::Sealed,
            ["breaks"] => member::Event::Broke(Leaving::Broke("connection reset".to_owned())),
            ["unformed", unreached @ ..] => member::Event::Broke(Leaving::Unformed {
                unreached: unreached.iter().map(|name| WorkerId::from(*name)).collect(),
                why: "timed out".to_owned(),
            }),
            ["goodbye"] => member::Event::Goodbye,
            ["leaves"] => {
                let generation = self.actor(name).member.engaged().expect("only who takes part leaves");
                let job = self.actor(name).member.job().cloned().expect("who takes part works for a job");
                member::Event::Told(Order::Close { job, generation })
            }
            ["at", at] => return self.walk(name, step(at)),
            ["waits", time] => return self.beat(name, seconds(time), 0.7),
            ["diverges"] => return self.beat(name, Duration::ZERO, 1e9),
            ["calms"] => return self.beat(name, Duration::ZERO, 0.7),
            _ => panic!("{name} does not know how to {does:?}"),
        };
        self.raise(name, event);
    }

    fn beat(&mut self, name: &WorkerId, waits: Duration, loss: f64) {
        let Some(standing) = self.actor(name).member.standing() else { return };
        let beat = Beat {
            job: standing.job,
            doing: Doing::Training,
            generation: standing.engaged.unwrap_or_default(),
            step: standing.holds.map(|holds| holds.step).unwrap_or_default(),
            losses: Losses { realism: Mean::of(loss, 1), ..Losses::default() },
            steps_per_second: 0.0,
            images_per_second: 0.0,
            history: 0,
            times: Times::default(),
            waits_ms: waits.as_millis() as u64,
            slow: None,
            shares: None,
        };
        self.say(name, Report::Beat(Some(beat)));
    }

    fn walk(&mut self, name: &WorkerId, to: Step) {
        while let Next::Step { step, wishes, .. } = self.actor(name).member.next() {
            if step == to {
                return;
            }
            // What one wishes, all have agreed to: the script lets all of them do it.
            let wishes = if step.next() == to { wishes } else { Wishes::default() };
            self.raise(name, member::Event::Committed { wishes, skipped_in_a_row: 0 });
        }
    }

    fn raise(&mut self, name: &WorkerId, event: member::Event) {
        let reports = self.actor(name).member.step(event);
        reports.into_iter().for_each(|report| self.say(name, report));
        if self.actor(name).member.may_go() {
            self.carry_out(&format!("detach {name}"));
        }
    }

    /// A report of a worker that is not attached is lost.
    fn say(&mut self, name: &WorkerId, report: Report) {
        if self.attached.contains(name) {
            let incarnation = self.incarnation(name);
            self.decide(Event::Said { worker: name.clone(), incarnation, report });
        }
    }

    fn join(&mut self, name: &WorkerId, version: Option<&str>, start: Option<&str>, node: Option<&str>) {
        let actor = self.troupe.entry(name.clone()).or_insert_with(|| Actor::new(name, 1));
        let start = start.map_or(actor.start, |start| start.parse().expect("a number"));
        let seat = Seat {
            worker: name.clone(),
            incarnation: Incarnation(start),
            node: NodeId::from(node.unwrap_or("node")),
            store: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            version: version.unwrap_or("1").to_owned(),
            device: if name.0.starts_with("gpu") { "cuda:0" } else { "cpu" }.to_owned(),
        };
        let standing = actor.member.standing().filter(|_| start == actor.start);
        self.attached.insert(name.clone());
        self.decide(Event::Attached { seat, standing });
    }

    fn actor(&mut self, name: &WorkerId) -> &mut Actor {
        self.troupe.get_mut(name).unwrap_or_else(|| panic!("{name} never joined"))
    }

    fn incarnation(&mut self, name: &WorkerId) -> Incarnation {
        Incarnation(self.actor(name).start)
    }

    fn decide(&mut self, event: Event) {
        let mut told: Option<(Vec<WorkerId>, Order)> = None;
        for action in self.cluster.step(self.now, event) {
            match action {
                Action::Tell(worker, order) => {
                    let (to, same) = told.get_or_insert_with(|| (Vec::new(), order.clone()));
                    if *same == order {
                        to.push(worker);
                    } else {
                        self.deliver(told.replace((vec![worker], order)));
                    }
                    continue;
                }
                other => {
                    self.deliver(told.take());
                    self.answer(other);
                }
            }
        }
        self.deliver(told);
    }

    fn deliver(&mut self, told: Option<(Vec<WorkerId>, Order)>) {
        let Some((to, order)) = told else { return };
        let names: Vec<&str> = to.iter().map(|worker| worker.0.as_str()).collect();
        self.transcript.push(format!("> {}: {}", names.join(" "), said(&order)));
        for worker in to.iter().filter(|worker| self.attached.contains(*worker)).cloned().collect::<Vec<_>>() {
            if !matches!(order, Order::Close { .. }) {
                self.raise(&worker, member::Event::Told(order.clone()));
            }
        }
    }

    fn answer(&mut self, action: Action) {
        match action {
            Action::Save(job) => {
                let known = self.cluster.job(&job).expect("only jobs there are get saved");
                self.saved.insert(job, serde_json::to_string(known).expect("a job is plain data"));
            }
            Action::SaveDrains => self.drains = self.cluster.drains().map(str::to_owned).collect(),
            Action::Note(fact) => self.transcript.push(fact.to_string()),
            Action::Refuse(worker, why) => self.transcript.push(format!("refuse {worker}: {why}")),
            Action::Defer(worker, why) => self.transcript.push(format!("not yet {worker}: {why}")),
            Action::HangUp(worker) => {
                self.attached.remove(&worker);
                self.transcript.push(format!("hang up on {worker}"));
            }
            Action::Tell(..) => unreachable!("told above"),
            Action::Keep { .. } | Action::Pardon(_) => unreachable!("runs have no shards"),
        }
    }
}

/// The word after `name`.
fn named<'w>(words: &[&'w str], name: &str) -> Option<&'w str> {
    words.chunks_exact(2).find(|pair| pair[0] == name).map(|pair| pair[1])
}

fn seconds(time: &str) -> Duration {
    let number = time.trim().strip_suffix('s').and_then(|number| number.parse().ok());
    Duration::from_secs_f64(number.unwrap_or_else(|| panic!("`{time}` is not a time, such as 1.5s")))
}

fn readiness(words: &[&str]) -> Readiness {
    Readiness {
        data: Digest::of(named(words, "data").unwrap_or("images").as_bytes()),
        lambda: named(words, "lambda").map(|lambda| lambda.parse().expect("a number")),
        fingerprint: Fingerprint {
            libtorch: named(words, "libtorch").unwrap_or("2.11").to_owned(),
            device: named(words, "device").unwrap_or("cpu").to_owned(),
            instructions: "avx2".to_owned(),
            threads: 1,
            canary: Digest::default(),
        },
    }
}

fn state(job: &Job) -> String {
    match (&job.state, job.reason()) {
        (state @ (JobState::Queued | JobState::Lost | JobState::Failed(_)), Some(why)) => format!("{state}: {why}"),
        (state, _) => state.to_string(),
    }
}

fn said(order: &Order) -> String {
    match order {
        Order::Prepare { job, spec } if spec.what.train.lambda.is_none() => format!("prepare {job}, lambda open"),
        Order::Prepare { job, .. } => format!("prepare {job}"),
        Order::Open(opening) => {
            let roster: Vec<&str> = opening.roster.iter().map(|place| place.worker.0.as_str()).collect();
            let basis = match &opening.basis {
                Basis::Saved => "what was saved".to_owned(),
                Basis::Held { generation, roster, holders } => {
                    let old: Vec<&str> = roster.iter().map(|worker| worker.0.as_str()).collect();
                    let held: Vec<String> =
                        holders.iter().map(|(worker, step)| format!("{worker} at {step}")).collect();
                    format!("what {} of generation {generation} ({}) hold", held.join(", "), old.join(" "))
                }
            };
            let again = match opening.so_far.steps_redone {
                0 => String::new(),
                steps => format!("; {steps} steps done again so far"),
            };
            format!("open {} of {}: {} from {basis}{again}", opening.generation, opening.job, roster.join(" "))
        }
        Order::Close { job, generation } => format!("close {generation} of {job}"),
        Order::Wish { job, wish: Wish::Regroup, .. } => format!("wish to regroup {job}"),
        Order::Wish { job, wish: Wish::Park, .. } => format!("wish to park {job}"),
        Order::Release { job, why: None } => format!("release from {job}"),
        Order::Release { job, why: Some(why) } => format!("release from {job}: {why}"),
        other => unreachable!("runs are not told {other:?}"),
    }
}
