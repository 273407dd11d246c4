//! The one task that owns the cluster: feeds it what happens, carries out what it answers, in that order.
//!
//! It decides nothing. Time enters here, as a duration since the start. Knows nothing of streams.

use crate::{
    admission::{self, Admission, NotAdmitted},
    picture::{Entry, Facts, Noted, Picture},
    store::{Remembered, Store, StoreError},
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};
use sumac_common::{
    cluster::{Action, Cluster, Event, Fact, Settings},
    conversation::{Incarnation, Report, Seat, Standing},
    ids::{JobId, Term, WorkerId},
    spec::Spec,
};
use sumac_proto::Down;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

/// How often the cluster looks at its clock.
const TICK: Duration = Duration::from_millis(200);
/// Calls that may wait for the driver; beyond that, callers wait.
const CALLS_MAX: usize = 256;
/// Orders that may wait for one worker. One that does not read so many is as good as unattached.
pub const ORDERS_MAX: usize = 256;

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
    },
    Detached {
        worker: WorkerId,
        incarnation: Incarnation,
        session: Session,
    },
    Submit {
        spec: Box<Spec>,
        answer: oneshot::Sender<Result<Admission, NotAdmitted>>,
    },
    /// An operator's word; answered when all it led to has been carried out.
    Command {
        event: Box<Event>,
        answer: oneshot::Sender<()>,
    },
}

/// How others reach the driver.
#[derive(Clone, Debug)]
pub struct Desk {
    pub calls: mpsc::Sender<Call>,
    pub picture: watch::Receiver<Arc<Picture>>,
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
    submitted: BTreeMap<JobId, SystemTime>,
    facts: Arc<Facts>,
    calls: mpsc::Receiver<Call>,
    picture: watch::Sender<Arc<Picture>>,
}

impl Driver {
    #[must_use]
    pub fn new(settings: Settings, store: Store, remembered: Remembered) -> (Self, Desk) {
        let Remembered { term, jobs, drains, facts: noted } = remembered;
        let mut facts = Facts::default();
        noted.into_iter().for_each(|noted| facts.push(noted));
        let submitted = jobs.iter().map(|entry| (entry.job.id.clone(), entry.submitted)).collect();
        let cluster = Cluster::new(settings, jobs.into_iter().map(|entry| entry.job).collect(), drains);
        let (calls, called) = mpsc::channel(CALLS_MAX);
        let began = Instant::now();
        let facts = Arc::new(facts);
        let blank = Picture { term, began, jobs: Vec::new(), workers: Vec::new(), facts: facts.clone() };
        let (picture, seen) = watch::channel(Arc::new(blank));
        let attached = BTreeMap::new();
        let driver = Self { cluster, store, term, began, attached, submitted, facts, calls: called, picture };
        driver.publish();
        (driver, Desk { calls, picture: seen })
    }

    /// Until `stopping`. What was called before is done; streams end when this returns.
    ///
    /// # Errors
    /// If something could not be made durable: going on would promise what a restart forgets.
    pub async fn run(mut self, stopping: CancellationToken) -> Result<(), StoreError> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stopping.cancelled() => return Ok(()),
                Some(call) = self.calls.recv() => self.take(call).await?,
                _ = ticks.tick() => self.step(Event::Tick).await?,
            }
        }
    }

    async fn take(&mut self, call: Call) -> Result<(), StoreError> {
        match call {
            Call::Attach { seat, standing, session, down, over } => {
                self.attach(seat, standing, Attached { session, down, _over: over.drop_guard() }).await
            }
            // What an old stream still carries counts as unsaid: the worker said anew where it stands.
            Call::Said { worker, incarnation, session, report } if self.is_current(&worker, session) => {
                self.step(Event::Said { worker, incarnation, report }).await
            }
            Call::Detached { worker, incarnation, session } if self.is_current(&worker, session) => {
                self.attached.remove(&worker);
                self.step(Event::Detached { worker, incarnation }).await
            }
            Call::Said { .. } | Call::Detached { .. } => Ok(()),
            Call::Submit { spec, answer } => {
                let admitted = self.admit(spec).await?;
                // Who asked may have hung up; the job is there all the same.
                let _ = answer.send(admitted);
                Ok(())
            }
            Call::Command { event, answer } => {
                self.step(*event).await?;
                let _ = answer.send(());
                Ok(())
            }
        }
    }

    fn is_current(&self, worker: &WorkerId, session: Session) -> bool {
        self.attached.get(worker).is_some_and(|attached| attached.session == session)
    }

    async fn admit(&mut self, spec: Box<Spec>) -> Result<Result<Admission, NotAdmitted>, StoreError> {
        let admitted = admission::admit(self.cluster.jobs(), &spec);
        if let Ok(Admission::New(job) | Admission::GoesOn(job)) = &admitted {
            self.submitted.entry(job.clone()).or_insert_with(SystemTime::now);
            self.step(Event::Submitted { job: job.clone(), spec }).await?;
        }
        Ok(admitted)
    }

    /// A refusal is for the newcomer: whoever holds the name stays attached.
    async fn attach(&mut self, seat: Seat, standing: Option<Standing>, newcomer: Attached) -> Result<(), StoreError> {
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
            let _ = newcomer.down.try_send(Down::Welcome(self.term));
            self.attached.insert(worker.clone(), newcomer);
        }
        let others =
            |action: &Action| !matches!(action, Action::Refuse(whom, _) | Action::Defer(whom, _) if *whom == worker);
        self.carry_out(actions.into_iter().filter(others).collect()).await
    }

    async fn step(&mut self, event: Event) -> Result<(), StoreError> {
        let is_tick = matches!(event, Event::Tick);
        let actions = self.cluster.step(self.began.elapsed(), event);
        if is_tick && actions.is_empty() {
            return Ok(());
        }
        self.carry_out(actions).await
    }

    async fn carry_out(&mut self, actions: Vec<Action>) -> Result<(), StoreError> {
        for action in actions {
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
                Action::Save(job) => self.save(&job).await?,
                Action::SaveDrains => {
                    self.store.save_drains(self.cluster.drains().map(str::to_owned).collect()).await?
                }
                Action::Note(fact) => self.note(fact).await?,
            }
        }
        self.publish();
        Ok(())
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

    async fn save(&mut self, job: &JobId) -> Result<(), StoreError> {
        let Some(job) = self.cluster.job(job) else { return Ok(()) };
        let submitted = self.submitted.get(&job.id).copied().unwrap_or_else(SystemTime::now);
        self.store.save(job.clone(), submitted).await
    }

    async fn note(&mut self, fact: Fact) -> Result<(), StoreError> {
        info!(class = fact.class(), job = fact.job().map(|job| job.0.as_str()), "{fact}");
        let noted = Noted { at: SystemTime::now(), fact };
        Arc::make_mut(&mut self.facts).push(noted.clone());
        self.store.note(noted).await
    }

    fn publish(&self) {
        let entry = |job: &sumac_common::cluster::Job| {
            let submitted = self.submitted.get(&job.id).copied().unwrap_or_else(SystemTime::now);
            Arc::new(Entry { job: job.clone(), submitted })
        };
        self.picture.send_replace(Arc::new(Picture {
            term: self.term,
            began: self.began,
            jobs: self.cluster.jobs().map(entry).collect(),
            workers: self.cluster.workers().values().cloned().collect(),
            facts: self.facts.clone(),
        }));
    }
}
