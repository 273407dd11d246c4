//! How a coordinator on one core bears two thousand workers. `make bench-coordinator` runs this and prints what it measures; how
//! fast a machine should be is not asserted, that nobody is lost is.
//!
//! The workers are played, and all of them run: each has a connection and a stream of its own, prepares, enters, and says what
//! workers say as often as they do. The coordinator is the real program, held to one core; the workers and all readers have the
//! other cores.

use crate::{
    command_line::beat,
    dashboard::{Stream, dashboard},
    play::{Played, Running, Sumac, engaged, operator, readiness, seat, soon, spec, submit},
    web::{Samples, Visitor, allow_many_connections},
};
use rustix::process::Signal;
use std::{
    collections::VecDeque,
    fs,
    ops::RangeInclusive,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};
use sumac_common::{
    checkpoint::Saved,
    cluster::Settings,
    conversation::{Beat, Order, Report, Seat},
    ids::{Generation, JobId, NodeId, Step},
    logging::{Level, Line},
    spec::{Device, Spec, Workers},
    vitals::Vitals,
};
use sumac_proto::{Down, Up, v1};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, interval_at, sleep_until},
};

const JOBS: usize = 125;
/// Of each job.
const MEMBERS: usize = 16;
const WORKERS: usize = JOBS * MEMBERS;
/// On one machine.
const NEIGHBOURS: usize = 8;
/// So many workers come at one time.
const COMING: usize = 50;
/// After all have come, before anything is measured.
const WARM_UP: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Those who follow the log of everything, and those who follow the events.
const FOLLOWERS: usize = 4;
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// Beats from one to the next of these.
const VITALS_EVERY: u64 = 3;
const LINE_EVERY: u64 = 10;
/// Lines of each worker before all else: together so many as the coordinator keeps.
const LINES_BEFORE: usize = 100;
const CHECKPOINT_EVERY: u64 = 60;
/// Steps in a second.
const PACE: u64 = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures: make bench-coordinator"]
async fn a_coordinator_on_one_core_bears_two_thousand_workers() {
    allow_many_connections();
    let cores = Cores::shared_out();
    let sumac = Sumac::new();
    let serving = Serving::on(&cores.coordinator, &sumac).await;

    let begun = Instant::now();
    let (jobs, seen) = submitted(&serving.url, sumac.folder.path()).await;
    let url = watch::Sender::new(serving.url.clone());
    let mut crowd = come(&url, &jobs).await;
    let come_after = begun.elapsed();
    all_run(&serving.url).await;
    println!(
        "{WORKERS} workers in {JOBS} jobs, {COMING} coming at a time: all run {:.1} s after the first job was submitted",
        begun.elapsed().as_secs_f64()
    );
    println!("  all had joined after {:.1} s", come_after.as_secs_f64());

    let readers = Readers::of(&serving, &sumac, &jobs).await;
    sleep_until((Instant::now() + WARM_UP).into()).await;
    let before = serving.looks().await;
    let looks = readers.look_until(before.at + MEASURED).await;
    let after = serving.looks().await;
    all_run(&serving.url).await;
    assert!(crowd.try_join_next().is_none(), "no worker's stream has ended");
    after.says_nobody_was_lost();

    print_load(&before, &after, &cores);
    print_beats(&before, &after, &seen);
    looks.print();

    let begun = Instant::now();
    let serving = serving.starts_again(&cores.coordinator, &sumac).await;
    let served_after = begun.elapsed();
    url.send_replace(serving.url.clone());
    let back_after = serving.has_all_back().await;
    println!(
        "killed and started again: it serves after {:.1} s, and then all workers come at once:",
        served_after.as_secs_f64()
    );
    println!("  all are back        {:.1} s after it serves, and nobody is lost", back_after.as_secs_f64());
    assert!(crowd.try_join_next().is_none(), "every worker came back");
    serving.ends(crowd).await;
}

/// Who computes where, in the words of `taskset`.
struct Cores {
    coordinator: String,
    others: String,
}

impl Cores {
    /// The first of those this process may use for the coordinator, the others for this process.
    fn shared_out() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
        let all: Vec<String> = allowed.trim().split(',').flat_map(cores_in).map(|core| core.to_string()).collect();
        let (first, rest) = all.split_first().unwrap();
        // Where there is but one, they share it.
        let others = if rest.is_empty() { first.clone() } else { rest.join(",") };
        let pid = std::process::id().to_string();
        let held = Command::new("taskset").args(["--all-tasks", "--cpu-list", "--pid", &others, &pid]).output();
        assert!(held.expect("taskset (util-linux) is there").status.success(), "this process is held to {others}");
        Self { coordinator: first.clone(), others }
    }
}

/// `3`, or `0-3`.
fn cores_in(range: &str) -> RangeInclusive<usize> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    first.parse().unwrap()..=last.parse().unwrap()
}

/// The coordinator.
struct Serving {
    url: String,
    visitor: Visitor,
    process: Running,
}

impl Serving {
    async fn on(core: &str, sumac: &Sumac) -> Self {
        let state = sumac.folder.path().join("state").display().to_string();
        let serve = ["serve", "--listen", "127.0.0.1:0", "--state", &state];
        let mut process = sumac.starts(&mut sumac.command_by(&["taskset", "--cpu-list", core], &serve));
        let line = process.says("serving").await;
        let (url, web) = line.split_once("   web ").unwrap();
        Self { url: url.to_owned(), visitor: Visitor::of(web), process }
    }

    async fn looks(&self) -> Looked {
        let samples = self.visitor.scrapes().await;
        let pid = self.process.child.id().unwrap();
        Looked { at: Instant::now(), samples, spent: Spent::by(pid) }
    }

    /// After its death.
    async fn starts_again(mut self, core: &str, sumac: &Sumac) -> Self {
        self.process.child.kill().await.unwrap();
        Self::on(core, sumac).await
    }

    /// How soon all workers are here; returns when those that did not come would have been missed.
    async fn has_all_back(&self) -> Duration {
        let begun = Instant::now();
        let mut people = operator(&self.url).await;
        let mut looks = interval(LOOK_EVERY / 20);
        let all_here = async {
            while people.status(v1::StatusRequest {}).await.unwrap().into_inner().workers_here as usize != WORKERS {
                looks.tick().await;
            }
        };
        soon("all workers are here", all_here).await;
        let after = begun.elapsed();
        sleep_until((begun + 2 * Settings::default().silent_after).into()).await;
        all_run(&self.url).await;
        self.looks().await.says_nobody_was_lost();
        after
    }

    /// Before its workers: who loses all of them has much to write down.
    async fn ends(self, mut crowd: JoinSet<()>) {
        self.process.signal(Signal::TERM);
        crowd.shutdown().await;
        self.process.ends().await.with(0);
    }
}

/// Of its core by a process, as the scheduler counts it.
#[derive(Clone, Copy, Default)]
struct Spent {
    computing: Duration,
    /// Its threads could have gone on, and others had the core: of its own, or of other processes.
    waiting: Duration,
}

impl Spent {
    fn by(pid: u32) -> Self {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let of = |path: &Path| fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        tasks.fold(Self::default(), |all, task| {
            let text = of(&task.unwrap().path());
            let mut nanos = text.split(' ').map(|word| Duration::from_nanos(word.trim().parse().unwrap_or(0)));
            let mut next = || nanos.next().unwrap_or_default();
            Self { computing: all.computing + next(), waiting: all.waiting + next() }
        })
    }
}

/// What the coordinator said of itself, and the system of it.
struct Looked {
    at: Instant,
    samples: Samples,
    spent: Spent,
}

impl Looked {
    fn value(&self, series: &str) -> f64 {
        self.samples.value(series).unwrap_or_else(|| panic!("no {series}"))
    }

    /// So many heartbeats were handled within so many seconds.
    fn handled_within(&self, bound: &str) -> f64 {
        self.value(&format!("sumac_heartbeat_handling_seconds_bucket{{le=\"{bound}\"}}"))
    }

    fn says_nobody_was_lost(&self) {
        let all_here = self.value("sumac_workers{state=\"training\"}");
        assert_eq!(all_here as usize, WORKERS, "all workers train");
        for class in ["died", "unattached", "silent", "left", "standstill", "broke", "all-lost"] {
            assert_eq!(self.value(&format!("sumac_incidents_total{{class=\"{class}\"}}")), 0.0, "{class}");
        }
    }
}

fn spec_of(number: usize, folder: &Path) -> Spec {
    let mut spec = spec(&folder.join(format!("run-{number}")));
    spec.name = format!("crowd-{number}");
    spec.what.train.seed = number as u64;
    spec.what.train.lanes = MEMBERS as u32;
    spec.what.train.steps = Step(1_000_000);
    spec.how.workers = Workers { min: MEMBERS as u32, max: MEMBERS as u32, device: Device::Auto };
    spec
}

/// Steps that first members have said they stand at, and when; oldest first.
type Said = Arc<Mutex<VecDeque<(u64, Instant)>>>;
/// When a beat was said, and how long after that a follower of its job was shown it.
type Seen = Arc<Mutex<Vec<(Instant, Duration)>>>;

struct Known {
    id: String,
    said: Said,
}

/// All jobs, each followed by somebody.
async fn submitted(url: &str, folder: &Path) -> (Arc<Vec<Known>>, Seen) {
    let (mut jobs, seen) = (Vec::with_capacity(JOBS), Seen::default());
    for number in 0..JOBS {
        let (_, job) = submit(url, &spec_of(number, folder)).await;
        let said = Said::default();
        tokio::spawn(followed(url.to_owned(), job.id.clone(), said.clone(), seen.clone()));
        jobs.push(Known { id: job.id, said });
    }
    (Arc::new(jobs), seen)
}

/// As `sumac submit --follow` does it, until the coordinator ends.
async fn followed(url: String, job: String, said: Said, seen: Seen) {
    let request = v1::WatchJobRequest { job };
    let mut views = operator(&url).await.watch_job(request).await.unwrap().into_inner();
    while let Ok(Some(view)) = views.message().await {
        let now = Instant::now();
        let mut said = said.lock().unwrap();
        while said.front().is_some_and(|(step, _)| *step <= view.step) {
            let (_, at) = said.pop_front().unwrap();
            seen.lock().unwrap().push((at, now - at));
        }
    }
}

/// All workers.
async fn come(url: &watch::Sender<String>, jobs: &Arc<Vec<Known>>) -> JoinSet<()> {
    let mut crowd = JoinSet::new();
    let door = Arc::new(Semaphore::new(COMING));
    let (arrived, mut arrivals) = mpsc::channel(WORKERS);
    for number in 0..WORKERS {
        let (url, jobs, door, arrived) = (url.subscribe(), jobs.clone(), door.clone(), arrived.clone());
        crowd.spawn(async move {
            let worker = {
                let _place = door.acquire().await.unwrap();
                let url = url.borrow().clone();
                Played::attaches(&url, seat_of(number), None).await.0
            };
            arrived.send(()).await.unwrap();
            Member { number, worker, url, jobs, taking_part: None, beats: 0 }.works().await;
        });
    }
    for _ in 0..WORKERS {
        arrivals.recv().await.unwrap();
    }
    crowd
}

fn name_of(number: usize) -> String {
    format!("node-{:03}-{}", number / NEIGHBOURS, number % NEIGHBOURS)
}

fn seat_of(number: usize) -> Seat {
    let machine = number / NEIGHBOURS;
    Seat {
        node: NodeId(format!("node-{machine:03}")),
        store: format!("10.0.0.{machine}:{}", 4_000 + number % NEIGHBOURS).parse().unwrap(),
        ..seat(&name_of(number), 1)
    }
}

/// A worker that does as it is told, and says what workers say.
struct Member {
    number: usize,
    worker: Played,
    url: watch::Receiver<String>,
    jobs: Arc<Vec<Known>>,
    taking_part: Option<TakingPart>,
    beats: u64,
}

struct TakingPart {
    job: JobId,
    generation: Generation,
    step: u64,
    /// Of the first member: what it says is waited for by who follows the job.
    said: Option<Said>,
}

impl Member {
    async fn works(mut self) {
        // Not all in the same moment.
        let first = Instant::now() + BEAT_EVERY * self.number as u32 / WORKERS as u32;
        let mut beats = interval_at(first.into(), BEAT_EVERY);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = beats.tick() => self.tells().await,
                word = self.worker.hears() => match word {
                    Some(Down::Told(order)) => self.does(order).await,
                    Some(other) => panic!("{} heard {other:?}", self.number),
                    None => self.comes_back().await,
                },
            }
        }
    }

    async fn does(&mut self, order: Order) {
        match order {
            Order::Prepare { job, .. } => self.worker.calls_out(Report::Ready { job, readiness: readiness() }).await,
            Order::Open(opening) => {
                let (job, generation) = (opening.job.clone(), opening.generation);
                let is_first = opening.roster[0].worker.0 == name_of(self.number);
                let known = self.jobs.iter().find(|known| known.id == job.0).unwrap();
                let said = is_first.then(|| known.said.clone());
                self.worker.calls_out(Report::Entered { job: job.clone(), generation, step: Step(0), redone: 0 }).await;
                let part = TakingPart { job, generation, step: 0, said };
                self.worker.calls_out(Up::Logged(vec![line(&part); LINES_BEFORE])).await;
                self.taking_part = Some(part);
            }
            // The coordinator ends jobs when it ends; nothing else here takes a worker out of its job.
            other => panic!("{} is told {other:?}", self.number),
        }
    }

    /// To the coordinator that follows, as soon as there is one, with where it stands.
    async fn comes_back(&mut self) {
        self.url.changed().await.unwrap();
        let part = self.taking_part.as_ref().unwrap();
        let standing = engaged(&part.job.0, part.generation.0, part.step);
        let url = self.url.borrow_and_update().clone();
        self.worker = Played::attaches(&url, seat_of(self.number), Some(standing)).await.0;
    }

    /// What is due a second after the last time.
    async fn tells(&mut self) {
        self.beats += 1;
        // Those of all workers together do not come in the same second.
        let is_due = |every: u64| (self.beats + self.number as u64).is_multiple_of(every);
        if is_due(VITALS_EVERY) {
            self.worker.calls_out(Report::Vitals(vitals())).await;
        }
        let Some(part) = &mut self.taking_part else { return self.worker.calls_out(Report::Beat(None)).await };
        part.step += PACE;
        if is_due(LINE_EVERY) {
            self.worker.calls_out(Up::Logged(vec![line(part)])).await;
        }
        let Report::Beat(Some(plain)) = beat(&part.job.0, part.step) else { panic!("no beat") };
        let beat = Beat { generation: part.generation, slow: None, ..plain };
        if let Some(said) = &part.said {
            said.lock().unwrap().push_back((part.step, Instant::now()));
        }
        self.worker.calls_out(Report::Beat(Some(beat))).await;
        if part.said.is_some() && is_due(CHECKPOINT_EVERY) {
            let there = vec![Saved { step: Step(part.step), bytes: 8 << 20, at_ms: 0 }];
            self.worker.calls_out(Report::Saved { job: part.job.clone(), step: Step(part.step), there }).await;
        }
    }
}

fn vitals() -> Vitals {
    let memory_total = 256 << 30;
    Vitals {
        process_bytes: 2 << 30,
        process_cores: 1.0,
        cores: 64,
        load: 40.0,
        memory_used: 90 << 30,
        memory_total,
        gpus: vec![],
    }
}

fn line(part: &TakingPart) -> Line {
    Line {
        at: SystemTime::now(),
        level: Level::Info,
        text: format!("cycle over step={} realism=0.21 regularisation=0.34", part.step),
        job: Some(part.job.clone()),
        generation: Some(part.generation),
        step: Some(Step(part.step)),
    }
}

/// Returns when all of them do.
async fn all_run(url: &str) {
    let mut people = operator(url).await;
    let mut looks = interval(LOOK_EVERY / 4);
    let running = async {
        loop {
            looks.tick().await;
            let jobs = people.list_jobs(v1::ListJobsRequest {}).await.unwrap().into_inner().jobs;
            if jobs.iter().all(|job| job.state() == v1::JobState::Running && job.step > 0) {
                return jobs;
            }
        }
    };
    let jobs = soon("all jobs run", running).await;
    assert!(jobs.len() == JOBS && jobs.iter().all(|job| job.generation == 1), "nobody was lost on the way");
}

/// Whoever wants to know something meanwhile.
struct Readers<'s> {
    serving: &'s Serving,
    sumac: &'s Sumac,
    jobs: &'s [Known],
    dashboard: Running,
    page: String,
    following: JoinSet<()>,
}

impl<'s> Readers<'s> {
    async fn of(serving: &'s Serving, sumac: &'s Sumac, jobs: &'s [Known]) -> Self {
        let (dashboard, page) = dashboard(sumac, &serving.url).await;
        let mut following = JoinSet::new();
        for _ in 0..FOLLOWERS {
            let (mut of_logs, mut of_events) = (operator(&serving.url).await, operator(&serving.url).await);
            following.spawn(async move {
                let request = v1::ListLogsRequest { follow: true, ..v1::ListLogsRequest::default() };
                let mut lines = of_logs.list_logs(request).await.unwrap().into_inner();
                while let Ok(Some(_)) = lines.message().await {}
            });
            following.spawn(async move {
                let request = v1::ListEventsRequest { about: String::new(), follow: true };
                let mut facts = of_events.list_events(request).await.unwrap().into_inner();
                while let Ok(Some(_)) = facts.message().await {}
            });
        }
        Self { serving, sumac, jobs, dashboard, page, following }
    }

    /// One after the other, again and again.
    async fn look_until(mut self, end: Instant) -> Looks {
        let mut looks = Looks::default();
        let mut people = operator(&self.serving.url).await;
        let mut jobs = self.jobs.iter().cycle();
        while Instant::now() < end {
            let due = Instant::now() + LOOK_EVERY;
            timed(&mut looks.workers, people.list_workers(v1::ListWorkersRequest {})).await.unwrap();
            timed(&mut looks.jobs, people.list_jobs(v1::ListJobsRequest {})).await.unwrap();
            timed(&mut looks.nodes, self.sumac.at(&self.serving.url, &["nodes"])).await.with(0);
            let job = &jobs.next().unwrap().id;
            timed(&mut looks.page, told_about(&self.page, job)).await;
            timed(&mut looks.metrics, self.serving.visitor.scrapes()).await;
            assert!(self.following.try_join_next().is_none(), "no follower's stream has ended");
            sleep_until(due.min(end).into()).await;
        }
        self.dashboard.signal(Signal::INT);
        self.dashboard.ends().await.with(0);
        looks
    }
}

/// Opens the page of a job that nobody looked at so far, and waits for all that it is made of.
async fn told_about(page: &str, job: &str) {
    let mut stream = Stream::of(page, &format!("/told/{job}")).await;
    for part in ["coordinator", "workers", "jobs", "events", "job"] {
        stream.tells(part, |_| true).await;
    }
}

async fn timed<T>(times: &mut Vec<Duration>, what: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let answer = what.await;
    times.push(begun.elapsed());
    answer
}

/// How long each took.
#[derive(Default)]
struct Looks {
    workers: Vec<Duration>,
    jobs: Vec<Duration>,
    nodes: Vec<Duration>,
    page: Vec<Duration>,
    metrics: Vec<Duration>,
}

impl Looks {
    fn print(self) {
        println!(
            "meanwhile, with a follower of each job, {FOLLOWERS} of all logs, {FOLLOWERS} of all events, and a dashboard:"
        );
        println!("  ListWorkers         {}", spread(self.workers));
        println!("  ListJobs            {}", spread(self.jobs));
        println!(
            "  sumac nodes         {}   target < 1 s, from the start of the command to its end",
            spread(self.nodes)
        );
        println!(
            "  page of a job       {}   target < 1 s, from its opening until the dashboard has told all of it",
            spread(self.page)
        );
        println!("  /metrics            {}", spread(self.metrics));
    }
}

fn print_load(before: &Looked, after: &Looked, cores: &Cores) {
    let seconds = (after.at - before.at).as_secs_f64();
    let share = |of: fn(&Spent) -> Duration| 100.0 * (of(&after.spent) - of(&before.spent)).as_secs_f64() / seconds;
    let (computing, waiting) = (share(|spent| spent.computing), share(|spent| spent.waiting));
    let Cores { coordinator, others } = cores;
    println!("through {seconds:.0} s, the coordinator on core {coordinator}, everything else on core {others}:");
    println!("  coordinator         {computing:.0}% of its core; its threads waited for it {waiting:.0}% of the time");
    let megabytes = |looked: &Looked| looked.value("process_resident_memory_bytes") / 1e6;
    println!(
        "  resident memory     {:.0} MB at the beginning, {:.0} MB at the end",
        megabytes(before),
        megabytes(after)
    );
}

fn print_beats(before: &Looked, after: &Looked, seen: &Seen) {
    let count = |bound: &str| after.handled_within(bound) - before.handled_within(bound);
    let all = count("+Inf");
    println!("heartbeats, {:.0}/s:", all / (after.at - before.at).as_secs_f64());
    let bounds = ["0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "1.0", "5.0", "+Inf"];
    let within = |share: f64| {
        let bound = bounds.into_iter().find(|bound| count(bound) >= share * all).unwrap_or("+Inf");
        bound.parse::<f64>().map_or("beyond 5 s".to_owned(), |seconds| format!("<= {} ms", seconds * 1e3))
    };
    println!(
        "  handled             p50 {}   p99 {}   max {} ({all:.0} beats)   target p99 <= 50 ms",
        within(0.5),
        within(0.99),
        within(1.0)
    );
    println!(
        "                      of every beat, from its coming in until membership has taken it in; by the coordinator's clock"
    );
    let seen = seen.lock().unwrap();
    let shown = seen.iter().filter(|(said, _)| (before.at..after.at).contains(said)).map(|(_, after)| *after).collect();
    println!("  shown               {}", spread(shown));
    println!(
        "                      of first members' beats, from a worker's saying one until who follows the job is shown it:"
    );
    println!("                      both ways over the wire, and both ends of this process are in it");
}

/// Percentiles and the most, and of how many.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1e3;
    format!("p50 {:.1} ms   p99 {:.1} ms   max {:.1} ms ({})", at(0.5), at(0.99), at(1.0), times.len())
}
