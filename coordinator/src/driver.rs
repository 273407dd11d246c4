//! The one task that owns the cluster: feeds it what happens, carries out what it answers, in that order.
//!
//! It decides nothing. Time enters here, as a duration since the start. Knows nothing of streams.
//!
//! What cannot be made durable is tried again, and what was to follow it waits (C-2): the coordinator is then as good as away,
//! nothing new is taken on, and jobs that run go on.

use crate::{
    admission::{self, Admission, NotAdmitted},
    examinations::Examinations,
    logs::{self, Logs},
    picture::{Entry, Facts, Noted, Picture, Work},
    spread,
    store::{Ended, Remembered, Store, StoreError},
};
use std::{
    collections::{BTreeMap, VecDeque},
    future::pending,
    sync::Arc,
    time::{Duration, SystemTime},
};
use sumac_common::{
    cluster::{Action, Cluster, Event, Fact, Settings},
    conversation::{Incarnation, Report, Seat, Standing},
    ids::{JobId, NodeId, Term, WorkerId},
    logging::{Level, Line},
    piecework::Piecework,
    spec::Spec,
};
use sumac_proto::Down;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{error, info, warn};

/// How often the cluster looks at its clock.
const TICK: Duration = Duration::from_millis(200);
/// What workers say of how it goes is shown together with what they say within this: there may be thousands of them.
const SHOWN_WITHIN: Duration = Duration::from_millis(20);
/// Calls that may wait for the driver; beyond that, callers wait.
const CALLS_MAX: usize = 256;
/// Calls that are taken before what they lead to is carried out.
const TOGETHER_MAX: usize = 256;
/// Orders that may wait for one worker. One that does not read so many is as good as unattached.
pub const ORDERS_MAX: usize = 256;

/// Upper bounds of the buckets of heartbeats, in seconds.
const HANDLED_WITHIN: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// Told apart so that the end of an old stream is not taken for the end of its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session(pub u64);

/// Whatever happens, from whoever saw it.
#[derive(Debug)]
pub enum Call {
    Attach {
        seat: Seat,
        standing: Option<Standing>,
        session: Session,
        down: mpsc::Sender<Down>,
        /// Cancelled when nobody listens to this stream any more.
        over: CancellationToken,
    },
    Said {
        worker: WorkerId,
        incarnation: Incarnation,
        session: Session,
        report: Report,
        /// When it came in.
        came: Instant,
    },
    Detached {
        worker: WorkerId,
        incarnation: Incarnation,
        session: Session,
    },
    Submit {
        wanted: Wanted,
        answer: oneshot::Sender<Result<Result<Admission, NotAdmitted>, CannotSave>>,
    },
    /// An operator's word; answered when all it led to has been carried out, or has to wait for the disk.
    Command {
        event: Box<Event>,
        answer: oneshot::Sender<Result<(), CannotSave>>,
    },
    /// A question beside all that is decided, to a worker that may be gone by then.
    Examine {
        worker: WorkerId,
        down: Down,
    },
    /// From who wants to know whether anybody is in.
    Knock {
        answer: oneshot::Sender<()>,
    },
}

/// What is submitted.
#[derive(Debug)]
pub enum Wanted {
    Run(Box<Spec>),
    Pieces(Box<Piecework>),
}

/// The state directory takes nothing at the moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its state cannot be saved ({why}); jobs that run go on, nothing new is taken on until the disk is mended")]
pub struct CannotSave {
    pub why: String,
}

/// How others reach the driver.
#[derive(Clone, Debug)]
pub struct Desk {
    pub calls: mpsc::Sender<Call>,
    pub picture: watch::Receiver<Arc<Picture>>,
    pub logs: Arc<Logs>,
    pub examinations: Examinations,
    /// From the coming in of each until the cluster had taken it in.
    pub heartbeats: spread::Shared,
}

/// Dropping it ends the stream in both directions.
struct Attached {
    session: Session,
    down: mpsc::Sender<Down>,
    _over: DropGuard,
}

pub struct Driver {
    cluster: Cluster,
    store: Store,
    term: Term,
    began: Instant,
    attached: BTreeMap<WorkerId, Attached>,
    /// Who is still to be welcomed.
    newcomers: Vec<mpsc::Sender<Down>>,
    submitted: BTreeMap<JobId, SystemTime>,
    facts: Arc<Facts>,
    /// What is still to be carried out, with the stream of the worker that it is meant for. More than nothing only while the disk fails.
    pending: VecDeque<(Option<Session>, Action)>,
    /// Why the first of them waits.
    trouble: Option<CannotSave>,
    /// Something happened since the picture was drawn, and is to be seen before anything else is done.
    unseen: bool,
    /// When progress that is not in the picture is to be seen at the latest.
    due: Option<Instant>,
    calls: mpsc::Receiver<Call>,
    picture: watch::Sender<Arc<Picture>>,
    logs: Arc<Logs>,
    heartbeats: spread::Shared,
}

impl Driver {
    #[must_use]
    pub fn new(settings: Settings, store: Store, remembered: Remembered) -> (Self, Desk) {
        let Remembered { term, jobs, leasings, drains, facts: noted } = remembered;
        let mut facts = Facts::default();
        noted.into_iter().for_each(|noted| facts.push(noted));
        let runs = jobs.iter().map(|(job, submitted)| (job.id.clone(), *submitted));
        let others = leasings.iter().map(|(leasing, _, submitted)| (leasing.id.clone(), *submitted));
        let submitted = runs.chain(others).collect();
        let examinations = Examinations::new(settings.look_within);
        let mut cluster = Cluster::new(settings, jobs.into_iter().map(|(job, _)| job).collect(), drains);
        cluster.remember(term, leasings.into_iter().map(|(leasing, kept, _)| (leasing, kept)).collect());
        let (calls, called) = mpsc::channel(CALLS_MAX);
        let began = Instant::now();
        let facts = Arc::new(facts);
        let blank = Picture { term, began, jobs: Vec::new(), workers: Vec::new(), facts: facts.clone(), trouble: None };
        let (picture, seen) = watch::channel(Arc::new(blank));
        let attached = BTreeMap::new();
        let logs = Arc::new(Logs::default());
        let heartbeats = spread::Shared::within(&HANDLED_WITHIN);
        let mut driver = Self {
            cluster,
            store,
            term,
            began,
            attached,
            newcomers: Vec::new(),
            submitted,
            facts,
            pending: VecDeque::new(),
            trouble: None,
            unseen: false,
            due: None,
            calls: called,
            picture,
            logs: logs.clone(),
            heartbeats: heartbeats.clone(),
        };
        driver.publish();
        (driver, Desk { calls, picture: seen, logs, examinations, heartbeats })
    }

    /// Until `stopping`. What was called before is done; streams end when this returns.
    ///
    /// # Errors
    /// If the thread that writes the state has ended: going on would promise what a restart forgets.
    pub async fn run(mut self, stopping: CancellationToken) -> Result<(), StoreError> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut called = Vec::with_capacity(TOGETHER_MAX);
        loop {
            // Who looks and who fell silent come before who speaks: those may do so without end.
            tokio::select! {
                biased;
                () = stopping.cancelled() => return Ok(()),
                _ = ticks.tick() => {
                    self.step(Event::Tick).await?;
                    self.carry_out().await?;
                }
                () = until(self.due) => self.publish(),
                count = self.calls.recv_many(&mut called, TOGETHER_MAX), if called.is_empty() => {
                    if count > 0 {
                        for call in called.drain(..) {
                            self.take(call).await?;
                        }
                        self.carry_out().await?;
                    }
                }
            }
        }
    }

    /// What streams and reports lead to is carried out together with what those behind them lead to: one write for many shards, and
    /// one picture for all who come when a coordinator is there again.
    async fn take(&mut self, call: Call) -> Result<(), StoreError> {
        match call {
            Call::Attach { seat, standing, session, down, over } => {
                self.attach(seat, standing, Attached { session, down, _over: over.drop_guard() });
                Ok(())
            }
            // What an old stream still carries counts as unsaid: the worker said anew where it stands.
            Call::Said { worker, incarnation, session, report, came } if self.is_current(&worker, session) => {
                let is_beat = matches!(report, Report::Beat(_));
                self.step(Event::Said { worker, incarnation, report }).await?;
                if is_beat {
                    self.heartbeats.add(came.elapsed());
                }
                Ok(())
            }
            Call::Detached { worker, incarnation, session } if self.is_current(&worker, session) => {
                self.attached.remove(&worker);
                self.step(Event::Detached { worker, incarnation }).await
            }
            Call::Said { .. } | Call::Detached { .. } => Ok(()),
            Call::Submit { wanted, answer } => {
                let admitted = self.admit(wanted).await?;
                // Who asked may have hung up; the job is there all the same.
                let _ = answer.send(admitted);
                Ok(())
            }
            Call::Command { event, answer } => {
                self.step(*event).await?;
                self.carry_out().await?;
                let _ = answer.send(self.trouble.clone().map_or(Ok(()), Err));
                Ok(())
            }
            Call::Examine { worker, down } => {
                self.tell(&worker, down);
                Ok(())
            }
            Call::Knock { answer } => {
                let _ = answer.send(());
                Ok(())
            }
        }
    }

    fn is_current(&self, worker: &WorkerId, session: Session) -> bool {
        self.attached.get(worker).is_some_and(|attached| attached.session == session)
    }

    /// A job that could not be saved would be forgotten: it is not taken on.
    async fn admit(
        &mut self,
        wanted: Wanted,
    ) -> Result<Result<Result<Admission, NotAdmitted>, CannotSave>, StoreError> {
        let admitted = match &wanted {
            Wanted::Run(spec) => admission::admit(self.cluster.jobs(), spec),
            Wanted::Pieces(work) => admission::admit_piecework(self.cluster.leasings(), work),
        };
        if let Ok(Admission::New(job) | Admission::GoesOn(job)) = &admitted {
            self.probe().await?;
            if let Some(trouble) = self.trouble.clone() {
                return Ok(Err(trouble));
            }
            self.submitted.entry(job.clone()).or_insert_with(SystemTime::now);
            let job = job.clone();
            let event = match wanted {
                Wanted::Run(spec) => Event::Submitted { job, spec },
                Wanted::Pieces(work) => Event::Piecework { job, work },
            };
            self.step(event).await?;
            self.carry_out().await?;
        }
        Ok(self.trouble.clone().map_or(Ok(admitted), Err))
    }

    /// A refusal is for the newcomer: whoever holds the name stays attached.
    fn attach(&mut self, seat: Seat, standing: Option<Standing>, newcomer: Attached) {
        let worker = seat.worker.clone();
        let actions = self.cluster.step(self.began.elapsed(), Event::Attached { seat, standing });
        let not_welcome = actions.iter().find_map(|action| match action {
            Action::Refuse(refused, why) if *refused == worker => Some(Down::Refused(why.clone())),
            Action::Defer(deferred, why) if *deferred == worker => Some(Down::NotYet(why.clone())),
            _ => None,
        });
        if let Some(answer) = not_welcome {
            warn!(%worker, ?answer, "worker not welcome");
            // The channel is new and empty; if the worker is gone already, nobody is left to hear it.
            let _ = newcomer.down.try_send(answer);
        } else {
            self.newcomers.push(newcomer.down.clone());
            self.attached.insert(worker.clone(), newcomer);
        }
        let others =
            |action: &Action| !matches!(action, Action::Refuse(whom, _) | Action::Defer(whom, _) if *whom == worker);
        self.queue(actions.into_iter().filter(others));
    }

    /// Before their first order, and when they are in the picture: they may look for themselves.
    fn welcome(&mut self) {
        if !self.newcomers.is_empty() {
            self.publish();
        }
        for newcomer in self.newcomers.drain(..) {
            // Its channel is new and empty; if it is gone already, nobody is left to hear it.
            let _ = newcomer.try_send(Down::Welcome(self.term));
        }
    }

    async fn step(&mut self, event: Event) -> Result<(), StoreError> {
        let is_tick = matches!(event, Event::Tick);
        let is_progress = matches!(&event, Event::Said { report, .. } if report.is_about_progress());
        let actions = self.cluster.step(self.began.elapsed(), event);
        if is_tick && self.trouble.is_some() {
            self.probe().await?;
        }
        if is_progress {
            self.due.get_or_insert_with(|| Instant::now() + SHOWN_WITHIN);
        } else {
            self.unseen |= !is_tick;
        }
        self.queue(actions.into_iter());
        Ok(())
    }

    fn queue(&mut self, actions: impl Iterator<Item = Action>) {
        for action in actions {
            let stream = addressee(&action).and_then(|worker| self.session_of(worker));
            self.pending.push_back((stream, action));
        }
    }

    async fn carry_out(&mut self) -> Result<(), StoreError> {
        self.welcome();
        self.unseen |= !self.pending.is_empty();
        while let Some((stream, action)) = self.pending.pop_front() {
            // Who attached anew in the meantime has said where it stands, and was answered that.
            if addressee(&action).is_some_and(|worker| self.session_of(worker) != stream) {
                continue;
            }
            match action {
                Action::Tell(worker, order) => self.tell(&worker, Down::Told(order)),
                Action::Refuse(worker, why) => {
                    self.tell(&worker, Down::Refused(why));
                    self.attached.remove(&worker);
                }
                Action::Defer(worker, why) => {
                    self.tell(&worker, Down::NotYet(why));
                    self.attached.remove(&worker);
                }
                Action::HangUp(worker) => drop(self.attached.remove(&worker)),
                Action::Note(fact) => {
                    let facts = self.all_that_happened(fact);
                    self.note(facts).await?;
                }
                Action::Keep { job, shard, fate } => {
                    let ended = self.all_that_ended(Ended { job, shard, fate });
                    let trouble = excused(self.store.keep(ended.clone()).await)?;
                    self.mark(trouble);
                    if self.trouble.is_some() {
                        let again = ended.into_iter().rev();
                        let again = again.map(|Ended { job, shard, fate }| (None, Action::Keep { job, shard, fate }));
                        again.for_each(|keep| self.pending.push_front(keep));
                        break;
                    }
                }
                Action::Save(_) | Action::Pardon(_) | Action::SaveDrains => {
                    let trouble = excused(self.save(&action).await)?;
                    self.mark(trouble);
                    if self.trouble.is_some() {
                        self.pending.push_front((None, action));
                        break;
                    }
                }
            }
        }
        if self.unseen {
            self.publish();
        }
        Ok(())
    }

    /// This one, and those that wait behind it: kept sooner than what is before them in the queue, they harm nothing.
    fn all_that_ended(&mut self, first: Ended) -> Vec<Ended> {
        let mut ended = vec![first];
        self.pending.retain(|(_, action)| {
            let Action::Keep { job, shard, fate } = action else { return true };
            ended.push(Ended { job: job.clone(), shard: *shard, fate: fate.clone() });
            false
        });
        ended
    }

    /// This fact, and those behind it up to what must be durable before they are known: one write for all of them.
    fn all_that_happened(&mut self, first: Fact) -> Vec<Fact> {
        let mut facts = vec![first];
        let mut may_be_known = true;
        self.pending.retain(|(_, action)| {
            may_be_known &= matches!(action, Action::Note(_)) || addressee(action).is_some();
            let Action::Note(fact) = action else { return true };
            if may_be_known {
                facts.push(fact.clone());
            }
            !may_be_known
        });
        facts
    }

    /// Whether the disk takes anything.
    async fn probe(&mut self) -> Result<(), StoreError> {
        let trouble = excused(self.store.probe().await)?;
        self.mark(trouble);
        Ok(())
    }

    fn session_of(&self, worker: &WorkerId) -> Option<Session> {
        self.attached.get(worker).map(|attached| attached.session)
    }

    /// Said once when it begins and once when it is over.
    fn mark(&mut self, trouble: Option<CannotSave>) {
        match (&self.trouble, &trouble) {
            (None, Some(new)) => {
                error!("{new}");
                self.log(Level::Error, new.to_string(), None);
            }
            (Some(_), None) => {
                info!("the state can be saved again");
                self.log(Level::Info, "the state can be saved again".to_owned(), None);
            }
            _ => {}
        }
        self.trouble = trouble;
    }

    /// An order for a worker that is not attached is lost, and that is right: it says where it stands when it comes back.
    fn tell(&mut self, worker: &WorkerId, line: Down) {
        let Some(attached) = self.attached.get(worker) else { return };
        if attached.down.try_send(line).is_err() {
            // Closing the stream makes the worker attach again, and the cluster repeat what is open.
            warn!(%worker, orders = ORDERS_MAX, "worker does not read its orders: stream closed");
            self.attached.remove(worker);
        }
    }

    async fn save(&self, what: &Action) -> Result<(), StoreError> {
        let id = match what {
            Action::Save(id) => id,
            Action::Pardon(id) => return self.store.pardon(id.clone()).await,
            _ => return self.store.save_drains(self.cluster.drains().map(str::to_owned).collect()).await,
        };
        let submitted = self.submitted.get(id).copied().unwrap_or_else(SystemTime::now);
        match (self.cluster.job(id), self.cluster.leasing(id)) {
            (Some(job), _) => self.store.save(job.clone(), submitted).await,
            (None, Some(leasing)) => self.store.save_leasing(leasing.without_shards(), submitted).await,
            (None, None) => Ok(()),
        }
    }

    async fn note(&mut self, facts: Vec<Fact>) -> Result<(), StoreError> {
        let at = SystemTime::now();
        let noted: Vec<Noted> = facts.into_iter().map(|fact| Noted { at, fact }).collect();
        for Noted { fact, .. } in &noted {
            info!(class = fact.class(), job = fact.job().map(|job| job.0.as_str()), "{fact}");
            let level = if fact.class() == "incident" { Level::Warn } else { Level::Info };
            self.log(level, fact.to_string(), fact.job().cloned());
        }
        let known = Arc::make_mut(&mut self.facts);
        noted.iter().cloned().for_each(|noted| known.push(noted));
        let facts = noted.len();
        if let Some(CannotSave { why }) = excused(self.store.note(noted).await)? {
            warn!(why, facts, "the journal lacks these");
        }
        Ok(())
    }

    /// For readers of the cluster's log: the coordinator speaks in it like its workers.
    fn log(&self, level: Level, text: String, job: Option<JobId>) {
        let line = Line { at: SystemTime::now(), level, text, job, generation: None, step: None };
        self.logs.add(logs::COORDINATOR, &NodeId(logs::COORDINATOR.to_owned()), vec![line]);
    }

    fn publish(&mut self) {
        self.unseen = false;
        self.due = None;
        let entry = |id: &JobId, work: Work| {
            let submitted = self.submitted.get(id).copied().unwrap_or_else(SystemTime::now);
            Arc::new(Entry { work, submitted })
        };
        let runs = self.cluster.jobs().map(|job| entry(&job.id, Work::Run(job.clone())));
        let in_pieces = self.cluster.leasings();
        let in_pieces = in_pieces.map(|known| entry(&known.id, Work::Pieces(Box::new(known.overview()))));
        let mut jobs: Vec<Arc<Entry>> = runs.chain(in_pieces).collect();
        jobs.sort_by_key(|entry| entry.submitted);
        self.picture.send_replace(Arc::new(Picture {
            term: self.term,
            began: self.began,
            jobs,
            workers: self.cluster.workers().values().cloned().collect(),
            facts: self.facts.clone(),
            trouble: self.trouble.as_ref().map(ToString::to_string),
        }));
    }
}

/// The worker whose stream this is about.
fn addressee(action: &Action) -> Option<&WorkerId> {
    match action {
        Action::Tell(worker, _) | Action::Refuse(worker, _) | Action::Defer(worker, _) | Action::HangUp(worker) => {
            Some(worker)
        }
        _ => None,
    }
}

/// Never without a time.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

/// A disk that fails may be mended; a thread that has ended stays so.
fn excused(saved: Result<(), StoreError>) -> Result<Option<CannotSave>, StoreError> {
    match saved {
        Ok(()) => Ok(None),
        Err(StoreError::Gone) => Err(StoreError::Gone),
        Err(error) => {
            let source = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            Ok(Some(CannotSave { why: format!("{error}{source}") }))
        }
    }
}
