//! The coordinator's side of membership: who is here, which job runs where, which generation may open.
//!
//! `step(now, event) -> actions`; the driver carries the actions out in their order and decides nothing. `now` is a duration
//! on the coordinator's own monotonic clock: no wall clock enters a decision. It refuses to know streams, stores and tensors.
//!
//! C-1 a generation's roster never changes: it is written in [`Action::Tell`] once and never again.
//! C-2 generations only grow: [`Job::generation`] is saved before any order that names it.
//! C-6 a generation opens only after a member of the last one acknowledged leaving it (`Job::frozen`).

mod attaching;
mod fact;
mod hearing;
mod incident;
mod job;
mod leasing;
mod leaving;
mod opening;

pub use fact::{Fact, Loss};
pub use incident::{Cause, Evidence, Incident, Mended};
use job::Others;
pub use job::{Job, JobState};
pub use leasing::{Leasing, Overview};

use crate::{
    conversation::{Beat, Holding, Incarnation, Order, Report, Seat, Standing, Wish},
    ids::{Generation, JobId, Term, WorkerId},
    leases::{self, Fate, Shard},
    piecework::Piecework,
    spec::{Device, Spec},
    vitals::Vitals,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How patient the coordinator is. All durations on its own monotonic clock.
#[derive(Clone, Debug)]
pub struct Settings {
    pub version: String,
    /// A worker that said nothing for so long is gone. Also the time that a restarted coordinator gives everybody to come back.
    pub silent_after: Duration,
    /// A worker whose stream broke has so long to attach again.
    pub reattach_within: Duration,
    /// When every member of the last generation is silent, none acknowledged and so long has passed, the job goes back to its checkpoint.
    pub all_lost_after: Duration,
    /// When every member of a running generation has waited for the others for so long, nothing will come any more.
    pub standstill_after: Duration,
    /// The same while they form one: that ends by itself, and says who was not reached.
    pub unformed_after: Duration,
    /// A job that could use more workers waits so long for them before it first starts.
    pub gather_for: Duration,
    /// A machine that was asked to look at itself and has not answered for so long is said not to. With what `sumac doctor` takes
    /// before, below a minute.
    pub look_within: Duration,
    /// Of the pieces of a job.
    pub leases: leases::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            silent_after: Duration::from_secs(5),
            reattach_within: Duration::from_secs(2),
            all_lost_after: Duration::from_secs(600),
            standstill_after: Duration::from_secs(10),
            unformed_after: Duration::from_secs(60),
            gather_for: Duration::from_secs(2),
            look_within: Duration::from_secs(30),
            leases: leases::Settings::default(),
        }
    }
}

#[derive(Clone, Debug)]
pub enum Event {
    /// A worker's stream opened: it is new, or it comes back with where it stands.
    Attached {
        seat: Seat,
        standing: Option<Standing>,
    },
    Said {
        worker: WorkerId,
        incarnation: Incarnation,
        report: Report,
    },
    /// Its stream broke. It may be dead, or only out of reach.
    Detached {
        worker: WorkerId,
        incarnation: Incarnation,
    },
    /// Its parent saw it exit: certain.
    Died {
        worker: WorkerId,
        incarnation: Incarnation,
    },
    Submitted {
        job: JobId,
        spec: Box<Spec>,
    },
    Piecework {
        job: JobId,
        work: Box<Piecework>,
    },
    Cancelled {
        job: JobId,
    },
    /// Save and let the workers go, to go on later.
    PauseWished {
        job: JobId,
    },
    /// The job is to run on so many workers from now on.
    Scaled {
        job: JobId,
        min: u32,
        max: u32,
    },
    /// This worker, or all workers of this node, those to come included, are to be let go between two steps; whoever is not
    /// out by the deadline is put out.
    Drained {
        name: String,
        deadline: Option<Duration>,
    },
    Undrained {
        name: String,
    },
    /// As drained, but out at once, in the midst of a step.
    Evicted {
        name: String,
    },
    /// The operator's word that the members of the last generation will not come back.
    GivenUp {
        job: JobId,
    },
    Tick,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Tell(WorkerId, Order),
    /// The job as it stands after this step must be durable before the actions that follow.
    Save(JobId),
    /// What became of this piece of a job must be durable before the actions that follow.
    Keep {
        job: JobId,
        shard: Shard,
        fate: Fate,
    },
    /// That no piece of this job is quarantined any more must be durable before the actions that follow.
    Pardon(JobId),
    /// What is drained must be durable before the actions that follow.
    SaveDrains,
    Note(Fact),
    /// End this worker's session with a sentence: it must not be restarted as it is.
    Refuse(WorkerId, String),
    /// This newcomer's name is held by a process that is here: it may ask again.
    Defer(WorkerId, String),
    /// End this worker's stream, if it still stands: it counts as gone, and is heard again only when it attaches anew and
    /// says where it stands.
    HangUp(WorkerId),
}

/// A worker as the coordinator sees it.
#[derive(Clone, Debug)]
pub struct Worker {
    pub seat: Seat,
    pub presence: Presence,
    /// When it was last heard.
    pub heard: Duration,
    pub job: Option<JobId>,
    pub beat: Option<Beat>,
    /// As it last said it, for people.
    pub vitals: Option<Vitals>,
    /// It is about to end.
    says_goodbye: bool,
    /// An operator wants it to be given no work.
    pub drained: bool,
    /// It was put out: nobody waits for its word.
    evicted: bool,
    /// Order of arrival among those here.
    arrived: u64,
}

type Workers = BTreeMap<WorkerId, Arc<Worker>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Here,
    /// Its stream broke at this time.
    Suspect(Duration),
    Gone(Loss),
}

impl Worker {
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.presence, Presence::Gone(_))
    }
}

/// Readers share its workers and jobs and keep them as they were: what changes is copied first, and nothing else is.
#[derive(Clone, Debug)]
pub struct Cluster {
    settings: Settings,
    workers: Workers,
    /// In order of submission.
    jobs: Vec<Arc<Job>>,
    /// In order of submission, too.
    leasings: Vec<Leasing>,
    term: Term,
    /// Workers and nodes that are to be given no work, and when they are put out.
    drains: BTreeMap<String, Option<Duration>>,
    arrivals: u64,
}

impl Cluster {
    /// A coordinator that starts, with the jobs its store remembers. Members of their last rosters count as suspect from now
    /// on: they have the full silence limit to come back (C-6).
    #[must_use]
    pub fn new(settings: Settings, restored: Vec<Job>, drained: Vec<String>) -> Self {
        let drains = drained.into_iter().map(|name| (name, None)).collect();
        let (workers, leasings, term) = (BTreeMap::new(), Vec::new(), Term::default());
        let jobs = restored.into_iter().map(Arc::new).collect();
        Self { settings, workers, jobs, leasings, term, drains, arrivals: 0 }
    }

    /// Names of workers and nodes that are to be given no work.
    pub fn drains(&self) -> impl Iterator<Item = &str> {
        self.drains.keys().map(String::as_str)
    }

    pub fn jobs(&self) -> impl Iterator<Item = &Arc<Job>> {
        self.jobs.iter()
    }

    #[must_use]
    pub fn job(&self, id: &JobId) -> Option<&Job> {
        self.jobs.iter().find(|job| job.id == *id).map(Arc::as_ref)
    }

    #[must_use]
    pub fn workers(&self) -> &BTreeMap<WorkerId, Arc<Worker>> {
        &self.workers
    }

    pub fn step(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Attached { seat, standing } => self.attached(now, seat, standing, &mut actions),
            Event::Said { worker, incarnation, report } => {
                let is_about_progress = report.is_about_progress();
                if self.hear(now, &worker, incarnation) {
                    self.said(now, &worker, report, &mut actions);
                }
                if is_about_progress {
                    // Thousands a second, and what time brings can wait for a tick.
                    return actions;
                }
            }
            Event::Detached { worker, incarnation } => {
                if let Some(known) = self.present(&worker, incarnation)
                    && known.presence == Presence::Here
                {
                    known.presence = Presence::Suspect(now);
                    self.take_leave(&worker, &mut actions);
                }
            }
            Event::Died { worker, incarnation } => {
                if self.present(&worker, incarnation).is_some() {
                    self.lose(now, &worker, Loss::Died, &mut actions);
                } else if self.workers.get(&worker).is_some_and(|known| known.seat.incarnation == incarnation) {
                    self.stands_outside(now, &worker, None, Loss::Died.to_string(), &mut actions);
                }
            }
            Event::Submitted { job, spec } => self.submitted(job, spec, &mut actions),
            Event::Piecework { job, work } => self.offer(job, work, &mut actions),
            Event::Cancelled { job } => {
                self.end(&job, JobState::Cancelled, &mut actions);
                self.end_leasing(now, &job, JobState::Cancelled, &mut actions);
            }
            Event::PauseWished { job } => {
                self.pause(&job, &mut actions);
                // What is done of it is durable at any time.
                self.end_leasing(now, &job, JobState::Paused, &mut actions);
            }
            Event::Scaled { job, min, max } => self.scale(&job, min, max, &mut actions),
            Event::Drained { name, deadline } => {
                actions.push(Action::Note(Fact::Drained { name: name.clone() }));
                self.drain(name, deadline.map(|deadline| now + deadline), &mut actions);
            }
            // A drain whose time is over at once.
            Event::Evicted { name } => self.drain(name, Some(now), &mut actions),
            Event::Undrained { name } => self.undrain(name, &mut actions),
            Event::GivenUp { job: id } => {
                // The word is about members that are silent now, not about those of some later day.
                if let Some(job) = self.jobs.iter_mut().find(|known| known.id == id && !known.state.is_open()) {
                    Arc::make_mut(job).given_up = true;
                }
                self.give_up_leasing(&id);
            }
            Event::Tick => {}
        }
        self.notice_silence(now, &mut actions);
        self.notice_deadlines(now, &mut actions);
        self.notice_standstill(now, &mut actions);
        self.settle(now, &mut actions);
        actions
    }

    /// The worker, if it is this start of it and not gone.
    fn present(&mut self, worker: &WorkerId, incarnation: Incarnation) -> Option<&mut Worker> {
        let known = self.workers.get_mut(worker)?;
        (known.seat.incarnation == incarnation && !known.is_gone()).then(|| Arc::make_mut(known))
    }

    fn hear(&mut self, now: Duration, worker: &WorkerId, incarnation: Incarnation) -> bool {
        self.present(worker, incarnation).map(|known| known.heard = now).is_some()
    }

    fn worker_mut(&mut self, worker: &WorkerId) -> Option<&mut Worker> {
        self.workers.get_mut(worker).map(Arc::make_mut)
    }

    fn take_work_from(&mut self, worker: &WorkerId) {
        if let Some(known) = self.worker_mut(worker) {
            known.job = None;
        }
    }

    fn job_mut(&mut self, id: &JobId) -> Option<&mut Job> {
        job_in(&mut self.jobs, id)
    }

    /// This worker cannot take part in this job; the job goes on without it.
    fn turn_away(&mut self, worker: &WorkerId, job: JobId, why: String, actions: &mut Vec<Action>) {
        self.take_work_from(worker);
        actions.push(Action::Tell(worker.clone(), Order::Release { job: job.clone(), why: Some(why.clone()) }));
        actions.push(Action::Note(Fact::WorkerUnfit { job, worker: worker.clone(), why }));
    }

    fn submitted(&mut self, id: JobId, spec: Box<Spec>, actions: &mut Vec<Action>) {
        let fact = match self.job_mut(&id) {
            // The same run again: it goes on from its checkpoint, perhaps with more steps or other workers.
            Some(known) if known.state.is_over() => {
                let spec = Box::new(known.resolved(&spec));
                let before = std::mem::replace(&mut known.spec, spec).what.train.steps;
                known.queue_again();
                let steps = known.spec.what.train.steps;
                let steps_before = (before != steps).then_some(before);
                Fact::JobResumed { job: id.clone(), from: known.saved, steps, steps_before }
            }
            Some(_) => Fact::JobSubmitted { job: id.clone() },
            None => {
                self.jobs.push(Arc::new(Job::new(id.clone(), spec)));
                Fact::JobSubmitted { job: id.clone() }
            }
        };
        actions.push(Action::Save(id));
        actions.push(Action::Note(fact));
    }

    fn pause(&mut self, id: &JobId, actions: &mut Vec<Action>) {
        let Some(job) = self.job_mut(id).filter(|known| !known.state.is_over()) else { return };
        job.pause_wished = true;
        if job.state.is_open() {
            job.ask(Wish::Park, actions);
        } else if job.entered.is_none() {
            // Nobody has begun, or begun again: there is nothing to save.
            self.end(id, JobState::Paused, actions);
        }
        actions.push(Action::Save(id.clone()));
    }

    fn scale(&mut self, id: &JobId, min: u32, max: u32, actions: &mut Vec<Action>) {
        let run = job_in(&mut self.jobs, id).filter(|known| !known.state.is_over());
        let run = run.map(|job| &mut job.spec.how.workers);
        let leasing = self.leasings.iter_mut().find(|known| known.id == *id && !known.state.is_over());
        let Some(workers) = run.or(leasing.map(|leasing| leasing.spec.workers_mut())) else { return };
        workers.min = min;
        workers.max = max;
        actions.push(Action::Save(id.clone()));
        actions.push(Action::Note(Fact::JobScaled { job: id.clone(), min, max }));
    }

    /// Ends a job in a state that is over, and lets its workers go.
    fn end(&mut self, id: &JobId, state: JobState, actions: &mut Vec<Action>) {
        let Some(job) = job_in(&mut self.jobs, id).filter(|known| !known.state.is_over()) else { return };
        actions.push(Action::Save(id.clone()));
        actions.extend(job.incident.take().map(|(_, incident)| Action::Note(Fact::Incident(Box::new(incident)))));
        actions.push(Action::Note(Fact::JobEnded { job: id.clone(), state: state.to_string() }));
        job.finish(state);
        for (worker, known) in &mut self.workers {
            if known.job.as_ref() == Some(id) {
                Arc::make_mut(known).job = None;
                actions.push(Action::Tell(worker.clone(), Order::Release { job: id.clone(), why: None }));
            }
        }
    }

    fn notice_silence(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let lost: Vec<(WorkerId, Loss)> = self
            .workers
            .iter()
            .filter_map(|(id, worker)| match worker.presence {
                Presence::Suspect(since) if now >= since + self.settings.reattach_within => {
                    Some((id.clone(), Loss::Unattached))
                }
                Presence::Here | Presence::Suspect(_) if now >= worker.heard + self.settings.silent_after => {
                    Some((id.clone(), Loss::Silent))
                }
                _ => None,
            })
            .collect();
        for (worker, why) in lost {
            self.lose(now, &worker, why, actions);
        }
    }

    /// Everybody is heard here, and everybody waits for the others: what is between them is broken.
    fn notice_standstill(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for job in &mut self.jobs {
            let limit = match job.state {
                JobState::Running => self.settings.standstill_after,
                JobState::Forming => self.settings.unformed_after,
                _ => continue,
            };
            let beat = |member: &WorkerId| {
                let known = self.workers.get(member).filter(|known| known.presence == Presence::Here)?;
                job.beat_of(known)
            };
            let waits = |member| beat(member).is_some_and(|beat| Duration::from_millis(beat.waits_ms) >= limit);
            if job.roster.len() > 1 && job.roster.iter().all(waits) {
                let step = job.roster.iter().filter_map(beat).map(|beat| beat.step).max().unwrap_or_default();
                let job = Arc::make_mut(job);
                job.close(now, None, Some(Cause::Standstill { step }), job.generation, Others::AreTold, actions);
            }
        }
    }

    fn lose(&mut self, now: Duration, worker: &WorkerId, why: Loss, actions: &mut Vec<Action>) {
        let Some(known) = self.worker_mut(worker) else { return };
        known.presence = Presence::Gone(why);
        known.beat = None;
        let job = known.job.take();
        actions.push(Action::Note(Fact::WorkerLost { worker: worker.clone(), why, job: job.clone() }));
        if why == Loss::Silent {
            actions.push(Action::HangUp(worker.clone()));
        }
        if let Some(id) = &job {
            self.lose_in_leasing(now, worker, id, actions);
        }
        let Some(job) = job.and_then(|id| self.job_mut(&id)) else { return };
        job.ready.remove(worker);
        job.standings.remove(worker);
        if !job.state.is_over() && job.roster.contains(worker) {
            let cause = Cause::Lost { worker: worker.clone(), why };
            job.put_incident_down_to(&cause);
            // A dead member cannot take another step, and every step needs all: that freezes its generation (C-6).
            job.frozen |= why == Loss::Died;
            job.close(now, Some(worker), Some(cause), job.generation, Others::AreTold, actions);
        }
    }

    /// Gives free workers to jobs, first come first served, and opens what may open.
    fn settle(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.let_go(actions);
        self.let_go_from_leasings(now, actions);
        let mut hands = Hands::of(&self.workers);
        for at in 0..=self.jobs.len() {
            for leasing in 0..self.leasings.len() {
                let known = &self.leasings[leasing];
                if known.after == at && !known.state.is_over() {
                    let order = || Order::Piecework { job: known.id.clone(), work: known.spec.clone() };
                    let hired = hands.hired(&known.id, known.spec.workers().device, known.wanted(), &known.unfit);
                    give_work(&mut self.workers, &known.id, hired, order, actions);
                    self.advance_leasing(now, leasing, actions);
                    if self.leasings[leasing].state.is_over() {
                        // Those it let go are there for the jobs behind it.
                        hands = Hands::of(&self.workers);
                    }
                }
            }
            if let Some(job) = self.jobs.get(at).filter(|job| !job.state.is_over()) {
                let order = || Order::Prepare { job: job.id.clone(), spec: job.spec.clone() };
                let hired = hands.hired(&job.id, job.spec.how.workers.device, job.wanted(), &job.unfit);
                give_work(&mut self.workers, &job.id, hired, order, actions);
                self.advance(now, at, &hands, actions);
            }
        }
    }

    fn advance(&mut self, now: Duration, at: usize, hands: &Hands, actions: &mut Vec<Action>) {
        let job = &mut self.jobs[at];
        if job.state.is_open() {
            // Members from before this coordinator started, at 0 on its clock, that have not come back.
            let mut unseen = job.roster.iter().filter(|member| !self.workers.contains_key(*member));
            let member = if now >= self.settings.silent_after { unseen.next().cloned() } else { None };
            if let Some(member) = member {
                let cause = Cause::Lost { worker: member.clone(), why: Loss::Silent };
                let job = Arc::make_mut(job);
                job.close(now, Some(&member), Some(cause), job.generation, Others::AreTold, actions);
            } else if let Some(wish) = job.wish(now, &self.workers, hands) {
                Arc::make_mut(job).ask(wish, actions);
            }
        }
        if job.state.is_open() {
            return;
        }
        let job = Arc::make_mut(job);
        let was_lost = job.state == JobState::Lost;
        let opening = job.may_open(now, &self.settings, &self.workers);
        if job.state == JobState::Lost && !was_lost {
            actions.push(Action::Note(Fact::AllLost { job: job.id.clone(), generation: job.generation }));
        }
        if let Some(opening) = opening {
            job.put_incident_down_to_the_missing(&opening, &self.workers);
            actions.extend(job.open(opening));
        }
    }
}

fn job_in<'j>(jobs: &'j mut [Arc<Job>], id: &JobId) -> Option<&'j mut Job> {
    jobs.iter_mut().find(|job| job.id == *id).map(Arc::make_mut)
}

/// Who could be given work, how many each job has, whether anybody is to go: one look at all workers for all jobs.
struct Hands {
    /// The longest here first, each with what it computes on.
    free: Vec<(WorkerId, Device)>,
    taken: BTreeMap<JobId, usize>,
    somebody_leaves: bool,
}

impl Hands {
    fn of(workers: &Workers) -> Self {
        let is_free =
            |worker: &Worker| worker.job.is_none() && worker.presence == Presence::Here && !worker.is_leaving();
        let mut free: Vec<(&WorkerId, &Arc<Worker>)> = workers.iter().filter(|(_, worker)| is_free(worker)).collect();
        free.sort_by_key(|(_, worker)| worker.arrived);
        let mut taken: BTreeMap<JobId, usize> = BTreeMap::new();
        // Where nobody is to be hired, nobody asks.
        let at_work = workers.values().filter(|_| !free.is_empty()).filter_map(|worker| worker.job.as_ref());
        for job in at_work {
            match taken.get_mut(job) {
                Some(count) => *count += 1,
                None => drop(taken.insert(job.clone(), 1)),
            }
        }
        let somebody_leaves = workers.values().any(|worker| worker.is_leaving());
        let free = free.into_iter().map(|(id, worker)| (id.clone(), Device::of(&worker.seat.device))).collect();
        Self { free, taken, somebody_leaves }
    }

    /// Free workers for a job, on devices that it wants, up to how many it wants.
    fn hired(
        &mut self,
        job: &JobId,
        device: Device,
        wanted: usize,
        unfit: &BTreeMap<WorkerId, String>,
    ) -> Vec<WorkerId> {
        let mut room = wanted.saturating_sub(self.taken.get(job).copied().unwrap_or(0));
        self.free
            .extract_if(.., |(id, kind)| {
                let is_hired = room > 0 && device.admits(*kind) && !unfit.contains_key(id);
                room -= usize::from(is_hired);
                is_hired
            })
            .map(|(id, _)| id)
            .collect()
    }
}

/// Gives it to these workers, and tells them.
fn give_work(
    workers: &mut Workers,
    job: &JobId,
    to: Vec<WorkerId>,
    order: impl Fn() -> Order,
    actions: &mut Vec<Action>,
) {
    for id in to {
        if let Some(worker) = workers.get_mut(&id) {
            Arc::make_mut(worker).job = Some(job.clone());
        }
        actions.push(Action::Tell(id, order()));
    }
}

/// The generation and step of what a standing holds, counting what it had offered when an entry broke off that others finished.
fn holding(standing: &Standing, entered: Generation) -> Option<Holding> {
    [standing.holds, standing.offered].into_iter().flatten().find(|holding| holding.generation == entered)
}
