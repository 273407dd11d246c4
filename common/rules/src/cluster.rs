//! The coordinator's side of membership: who is here, which job runs where, which generation may open.
//!
//! `step(now, event) -> actions`; the driver carries the actions out in their order and decides nothing. `now` is a duration
//! on the coordinator's own monotonic clock: no wall clock enters a decision. It refuses to know streams, stores and tensors.
//!
//! C-1 a generation's roster never changes: it is written in [`Action::Tell`] once and never again.
//! C-2 generations only grow: [`Job::generation`] is saved before any order that names it.
//! C-6 a generation opens only after a member of the last one acknowledged leaving it (`Job::frozen`).

mod fact;
mod incident;
mod job;
mod leaving;
mod opening;

pub use fact::{Fact, Loss};
pub use incident::{Cause, Evidence, Incident, Mended};
use job::Others;
pub use job::{Job, JobState};

use crate::{
    conversation::{Beat, Ending, Holding, Incarnation, Leaving, Order, Report, Seat, Standing, Wish},
    ids::{Generation, JobId, WorkerId},
    spec::Spec,
};
use std::{collections::BTreeMap, time::Duration};

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
    /// A job that could use more workers waits so long for them before it first starts.
    pub gather_for: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            silent_after: Duration::from_secs(5),
            reattach_within: Duration::from_secs(2),
            all_lost_after: Duration::from_secs(600),
            gather_for: Duration::from_secs(2),
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
    /// It is about to end.
    says_goodbye: bool,
    /// An operator wants it to be given no work.
    pub drained: bool,
    /// It was put out: nobody waits for its word.
    evicted: bool,
    /// Order of arrival among those here.
    arrived: u64,
}

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

#[derive(Clone, Debug)]
pub struct Cluster {
    settings: Settings,
    workers: BTreeMap<WorkerId, Worker>,
    /// In order of submission.
    jobs: Vec<Job>,
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
        Self { settings, workers: BTreeMap::new(), jobs: restored, drains, arrivals: 0 }
    }

    /// Names of workers and nodes that are to be given no work.
    pub fn drains(&self) -> impl Iterator<Item = &str> {
        self.drains.keys().map(String::as_str)
    }

    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter()
    }

    #[must_use]
    pub fn job(&self, id: &JobId) -> Option<&Job> {
        self.jobs.iter().find(|job| job.id == *id)
    }

    #[must_use]
    pub fn workers(&self) -> &BTreeMap<WorkerId, Worker> {
        &self.workers
    }

    pub fn step(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Attached { seat, standing } => self.attached(now, seat, standing, &mut actions),
            Event::Said { worker, incarnation, report } => {
                if self.hear(now, &worker, incarnation) {
                    self.said(now, &worker, report, &mut actions);
                }
            }
            Event::Detached { worker, incarnation } => {
                if self.present(&worker, incarnation).is_some_and(|known| known.presence == Presence::Here)
                    && !self.has_left(&worker, &mut actions)
                    && let Some(known) = self.present(&worker, incarnation)
                {
                    known.presence = Presence::Suspect(now);
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
            Event::Cancelled { job } => self.end(&job, JobState::Cancelled, &mut actions),
            Event::PauseWished { job } => self.pause(&job, &mut actions),
            Event::Scaled { job, min, max } => self.scale(&job, min, max, &mut actions),
            Event::Drained { .. } | Event::Undrained { .. } | Event::Evicted { .. } => {
                self.drain(now, event, &mut actions);
            }
            Event::GivenUp { job } => {
                // The word is about members that are silent now, not about those of some later day.
                if let Some(job) = self.jobs.iter_mut().find(|known| known.id == job && !known.state.is_open()) {
                    job.given_up = true;
                }
            }
            Event::Tick => {}
        }
        self.notice_silence(now, &mut actions);
        self.notice_deadlines(now, &mut actions);
        self.settle(now, &mut actions);
        actions
    }

    /// The worker, if it is this start of it and not gone.
    fn present(&mut self, worker: &WorkerId, incarnation: Incarnation) -> Option<&mut Worker> {
        self.workers.get_mut(worker).filter(|known| known.seat.incarnation == incarnation && !known.is_gone())
    }

    fn hear(&mut self, now: Duration, worker: &WorkerId, incarnation: Incarnation) -> bool {
        self.present(worker, incarnation).map(|known| known.heard = now).is_some()
    }

    fn attached(&mut self, now: Duration, seat: Seat, standing: Option<Standing>, actions: &mut Vec<Action>) {
        let worker = seat.worker.clone();
        if seat.version != self.settings.version {
            let why = format!(
                "worker {worker} is sumac {}, this coordinator is {}: install the same version on both",
                seat.version, self.settings.version
            );
            actions.push(Action::Refuse(worker, why));
            return;
        }
        match self.workers.get(&worker) {
            Some(known) if known.seat.incarnation > seat.incarnation => {
                let why =
                    format!("another process already joined as {worker}: give each worker a name of its own (--name)");
                actions.push(Action::Refuse(worker, why));
                return;
            }
            // Only a process whose stream broke can be taken for dead because of its successor.
            Some(known) if known.seat.incarnation < seat.incarnation && known.presence == Presence::Here => {
                let why = format!(
                    "{worker} is the name of a worker that is here (on {}): end that one, or give this one another name (--name)",
                    known.seat.node
                );
                actions.push(Action::Defer(worker, why));
                return;
            }
            Some(known) if known.seat.incarnation < seat.incarnation && !known.is_gone() => {
                self.lose(now, &worker, Loss::Died, actions);
            }
            _ => {}
        }
        let returns = self.workers.get(&worker).is_some_and(|known| known.seat.incarnation == seat.incarnation)
            || standing.is_some();
        self.arrivals += 1;
        let arrived = self.arrivals;
        let job = standing.as_ref().map(|standing| standing.job.clone());
        let fresh = Worker {
            seat,
            presence: Presence::Here,
            heard: now,
            job: job.clone(),
            beat: None,
            says_goodbye: false,
            drained: false,
            evicted: false,
            arrived,
        };
        self.workers.insert(worker.clone(), fresh);
        self.mark_drained();
        actions.push(Action::Note(if returns {
            Fact::WorkerReturned { worker: worker.clone() }
        } else {
            Fact::WorkerJoined { worker: worker.clone() }
        }));
        let elsewhere = "it came back without taking part".to_owned();
        self.stands_outside(now, &worker, job.as_ref(), elsewhere, actions);
        self.reattach(now, &worker, standing, job, actions);
    }

    /// It takes no part in any job but this one: if it was a member of another's last generation, it has left that one, be it
    /// by its death. A member that is gone and comes back as a new process is heard here, too.
    fn stands_outside(
        &mut self,
        now: Duration,
        worker: &WorkerId,
        works_for: Option<&JobId>,
        why: String,
        actions: &mut Vec<Action>,
    ) {
        let others = self.jobs.iter_mut().filter(|job| Some(&job.id) != works_for && !job.state.is_over());
        for job in others.filter(|job| job.was_member(worker)) {
            job.ready.remove(worker);
            job.standings.insert(worker.clone(), Standing::outside(job.id.clone()));
            if job.roster.contains(worker) {
                job.frozen = true;
                let cause = Cause::Said { worker: worker.clone(), why: why.clone() };
                job.close(now, worker, Some(cause), job.generation, Others::AreTold, actions);
            }
        }
    }

    /// What it says about itself replaces what was believed.
    fn reattach(
        &mut self,
        now: Duration,
        worker: &WorkerId,
        standing: Option<Standing>,
        job: Option<JobId>,
        actions: &mut Vec<Action>,
    ) {
        let (Some(standing), Some(job_id)) = (standing, job) else { return };
        let Some(job) = self.jobs.iter_mut().find(|known| known.id == job_id && !known.state.is_over()) else {
            // It works for a job that ended, or that nobody knows.
            actions.push(Action::Tell(worker.clone(), Order::Release { job: job_id, why: None }));
            if let Some(known) = self.workers.get_mut(worker) {
                known.job = None;
            }
            return;
        };
        if let Some(why) = standing.ready.as_ref().and_then(|readiness| job.misfit(readiness)) {
            job.standings.insert(worker.clone(), Standing::outside(job_id.clone()));
            job.unfit.insert(worker.clone(), why.clone());
            self.turn_away(worker, job_id, why, actions);
            return;
        }
        job.set_aside.remove(worker);
        job.learn(worker, &standing);
        match standing.engaged {
            Some(engaged) if engaged == job.generation && job.state.is_open() => {
                job.standings.remove(worker);
                // What it was told before may not have reached it.
                if let Some(wish) = job.asked {
                    actions.push(Action::Tell(worker.clone(), Order::Wish { job: job_id.clone(), wish }));
                }
            }
            Some(engaged) => {
                // That generation is closed, or was never opened by anybody we know: leave it, then say where you stand.
                actions.push(Action::Tell(worker.clone(), Order::Close { job: job_id, generation: engaged }));
            }
            None => {
                job.standings.insert(worker.clone(), standing.clone());
                if job.roster.contains(worker) {
                    job.frozen = true;
                    let why = "it had left when it came back".to_owned();
                    let cause = Cause::Said { worker: worker.clone(), why };
                    job.close(now, worker, Some(cause), job.generation, Others::AreTold, actions);
                }
                if standing.ready.is_none() {
                    // It may have failed to prepare, and the word of it was lost.
                    let spec = job.spec.clone();
                    actions.push(Action::Tell(worker.clone(), Order::Prepare { job: job_id, spec }));
                }
            }
        }
        if let Some(readiness) = standing.ready {
            job.ready.insert(worker.clone(), readiness);
        }
    }

    fn said(&mut self, now: Duration, worker: &WorkerId, report: Report, actions: &mut Vec<Action>) {
        if report == Report::Leaving {
            return self.says_goodbye(worker);
        }
        if let Report::Beat(beat) = report {
            if let Some(known) = self.workers.get_mut(worker) {
                known.beat = beat.clone();
            }
            if let Some(beat) = beat
                && let Some(job) = self.jobs.iter_mut().find(|known| known.id == beat.job)
                && job.roster.first() == Some(worker)
            {
                if let Some(slow) = beat.slow.as_ref().filter(|slow| job.slow.as_ref() != Some(&slow.worker)) {
                    job.slow = Some(slow.worker.clone());
                    actions.push(Action::Note(Fact::WorkerSlow {
                        job: job.id.clone(),
                        worker: slow.worker.clone(),
                        own_us: slow.own_us as u64,
                        others_us: slow.others_us as u64,
                    }));
                }
                job.beat = Some(beat);
            }
            return;
        }
        let id = match &report {
            Report::Ready { job, .. }
            | Report::Unable { job, .. }
            | Report::Entered { job, .. }
            | Report::Saved { job, .. }
            | Report::Unsaved { job, .. }
            | Report::Ended { job, .. } => job.clone(),
            Report::Left { standing, .. } => standing.job.clone(),
            Report::Beat(_) | Report::Leaving => return,
        };
        let Some(job) = self.jobs.iter_mut().find(|known| known.id == id && !known.state.is_over()) else { return };
        match report {
            // Released in the meantime: it said so before it heard of that.
            Report::Ready { .. } if self.workers.get(worker).is_none_or(|known| known.job.as_ref() != Some(&id)) => {}
            Report::Ready { readiness, .. } => {
                if let Some(why) = job.misfit(&readiness).or_else(|| job.out_of_reach(worker, &self.workers)) {
                    job.unfit.insert(worker.clone(), why.clone());
                    self.turn_away(worker, id, why, actions);
                } else {
                    job.gathering_since.get_or_insert(now);
                    let newcomer = || Standing::newcomer(id, readiness.clone());
                    job.standings.entry(worker.clone()).or_insert_with(newcomer);
                    job.ready.insert(worker.clone(), readiness);
                }
            }
            Report::Unable { why, .. } => {
                let ended = JobState::Failed(format!("{worker}: {why}"));
                self.end(&id, ended, actions);
            }
            Report::Entered { generation, step, redone, .. } => {
                let takes_part = generation == job.generation && job.roster.contains(worker);
                // Rank 0 keeps the metrics, which know how far the run had come.
                let counts = takes_part && redone > 0 && job.roster.first() == Some(worker);
                if counts {
                    job.so_far.steps_redone += redone;
                }
                let is_first = takes_part && job.enter(worker, generation, step);
                if is_first || counts {
                    actions.push(Action::Save(id.clone()));
                }
                if is_first {
                    actions.push(Action::Note(Fact::GenerationEntered { job: id, generation, step }));
                    actions.extend(job.mend_incident(now, step));
                }
            }
            Report::Left { generation, standing, why } => {
                let is_member = job.roster.contains(worker);
                if is_member && generation != job.generation {
                    // An old story, told again: where it stands now it will say when it leaves this generation.
                    return;
                }
                job.learn(worker, &standing);
                let at = standing.holds.map(|holds| holds.step);
                if self.workers.get(worker).is_some_and(|known| known.job.as_ref() == Some(&id)) {
                    job.standings.insert(worker.clone(), standing);
                }
                // Else it was released meanwhile, and what it held is forgotten.
                if is_member {
                    job.frozen = true;
                    job.blame(&why);
                    // Who was told to leave was not the only one: the others leave at the same step, aborting nothing.
                    let others = if why == Leaving::Told { Others::LeaveByThemselves } else { Others::AreTold };
                    let cause = why.sentence().map(|why| Cause::Said { worker: worker.clone(), why });
                    job.close(now, worker, cause, generation, others, actions);
                    job.hear_incident(worker, at, &why);
                }
            }
            Report::Saved { step, there, .. } => {
                job.saved = Some(step);
                job.checkpoints = there;
                job.cannot_save = false;
                actions.push(Action::Save(id.clone()));
                actions.push(Action::Note(Fact::CheckpointSaved { job: id, step }));
            }
            // Once until it works again: every member may say so, at every checkpoint.
            Report::Unsaved { step, why, .. } => {
                if !std::mem::replace(&mut job.cannot_save, true) {
                    let worker = worker.clone();
                    actions.push(Action::Note(Fact::CheckpointFailed { job: id, worker, step, why }));
                }
            }
            Report::Ended { generation, step, ending, .. } => {
                if generation == job.generation && job.roster.contains(worker) {
                    job.reached = step;
                    let state = match ending {
                        Ending::Failed(why) => JobState::Failed(why),
                        Ending::Finished => {
                            job.saved = Some(step);
                            JobState::Finished
                        }
                        Ending::Parked => {
                            job.saved = Some(step);
                            if !job.pause_wished {
                                return job.park(worker, actions);
                            }
                            JobState::Paused
                        }
                    };
                    self.end(&id, state, actions);
                }
            }
            Report::Beat(_) | Report::Leaving => {}
        }
    }

    /// This worker cannot take part in this job; the job goes on without it.
    fn turn_away(&mut self, worker: &WorkerId, job: JobId, why: String, actions: &mut Vec<Action>) {
        if let Some(known) = self.workers.get_mut(worker) {
            known.job = None;
        }
        actions.push(Action::Tell(worker.clone(), Order::Release { job: job.clone(), why: Some(why.clone()) }));
        actions.push(Action::Note(Fact::WorkerUnfit { job, worker: worker.clone(), why }));
    }

    fn submitted(&mut self, id: JobId, spec: Box<Spec>, actions: &mut Vec<Action>) {
        if let Some(known) = self.jobs.iter_mut().find(|known| known.id == id) {
            // The same run again: it goes on from its checkpoint, perhaps with more steps or other workers.
            if known.state.is_over() {
                known.spec = spec;
                known.queue_again();
            }
        } else {
            self.jobs.push(Job::new(id.clone(), spec));
        }
        actions.push(Action::Save(id.clone()));
        actions.push(Action::Note(Fact::JobSubmitted { job: id }));
    }

    fn pause(&mut self, id: &JobId, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.iter_mut().find(|known| known.id == *id && !known.state.is_over()) else { return };
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
        let Some(job) = self.jobs.iter_mut().find(|known| known.id == *id && !known.state.is_over()) else { return };
        job.spec.how.workers.min = min;
        job.spec.how.workers.max = max;
        actions.push(Action::Save(id.clone()));
        actions.push(Action::Note(Fact::JobScaled { job: id.clone(), min, max }));
    }

    /// Ends a job in a state that is over, and lets its workers go.
    fn end(&mut self, id: &JobId, state: JobState, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.iter_mut().find(|known| known.id == *id && !known.state.is_over()) else { return };
        actions.push(Action::Save(id.clone()));
        actions.extend(job.incident.take().map(|(_, incident)| Action::Note(Fact::Incident(Box::new(incident)))));
        actions.push(Action::Note(Fact::JobEnded { job: id.clone(), state: state.to_string() }));
        job.finish(state);
        for (worker, known) in &mut self.workers {
            if known.job.as_ref() == Some(id) {
                known.job = None;
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

    fn lose(&mut self, now: Duration, worker: &WorkerId, why: Loss, actions: &mut Vec<Action>) {
        let Some(known) = self.workers.get_mut(worker) else { return };
        known.presence = Presence::Gone(why);
        known.beat = None;
        let job = known.job.take();
        actions.push(Action::Note(Fact::WorkerLost { worker: worker.clone(), why, job: job.clone() }));
        if why == Loss::Silent {
            actions.push(Action::HangUp(worker.clone()));
        }
        let Some(job) = job.and_then(|id| self.jobs.iter_mut().find(|known| known.id == id)) else { return };
        job.ready.remove(worker);
        job.standings.remove(worker);
        if !job.state.is_over() && job.roster.contains(worker) {
            let cause = Cause::Lost { worker: worker.clone(), why };
            job.blame_incident(&cause);
            // A dead member cannot take another step, and every step needs all: that freezes its generation (C-6).
            job.frozen |= why == Loss::Died;
            job.close(now, worker, Some(cause), job.generation, Others::AreTold, actions);
        }
    }

    /// Gives free workers to jobs, first come first served, and opens what may open.
    fn settle(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.let_go(actions);
        for at in 0..self.jobs.len() {
            if self.jobs[at].state.is_over() {
                continue;
            }
            self.assign(at, actions);
            self.advance(now, at, actions);
        }
    }

    fn assign(&mut self, at: usize, actions: &mut Vec<Action>) {
        let job = &mut self.jobs[at];
        let taken = self.workers.values().filter(|worker| worker.job.as_ref() == Some(&job.id)).count();
        let mut free: Vec<(&WorkerId, &mut Worker)> = self
            .workers
            .iter_mut()
            .filter(|(id, worker)| {
                let is_free = worker.job.is_none() && worker.presence == Presence::Here && !worker.is_leaving();
                is_free && !job.unfit.contains_key(*id)
            })
            .collect();
        free.sort_by_key(|(_, worker)| worker.arrived);
        for (id, worker) in free.into_iter().take(job.wanted().saturating_sub(taken)) {
            worker.job = Some(job.id.clone());
            actions.push(Action::Tell(id.clone(), Order::Prepare { job: job.id.clone(), spec: job.spec.clone() }));
        }
    }

    fn advance(&mut self, now: Duration, at: usize, actions: &mut Vec<Action>) {
        let job = &mut self.jobs[at];
        if job.state.is_open() {
            let unseen = |member: &&WorkerId| !self.workers.contains_key(*member);
            match job.roster.iter().find(unseen).cloned() {
                // It was a member before this coordinator started, at 0 on its clock, and has not come back.
                Some(member) if now >= self.settings.silent_after => {
                    let cause = Cause::Lost { worker: member.clone(), why: Loss::Silent };
                    job.close(now, &member, Some(cause), job.generation, Others::AreTold, actions);
                }
                _ => job.ask_for_change(now, &self.workers, actions),
            }
        }
        if job.state.is_open() {
            return;
        }
        let was_lost = job.state == JobState::Lost;
        let opening = job.may_open(now, &self.settings, &self.workers);
        if job.state == JobState::Lost && !was_lost {
            actions.push(Action::Note(Fact::AllLost { job: job.id.clone(), generation: job.generation }));
        }
        if let Some(opening) = opening {
            job.blame_the_missing(&opening, &self.workers);
            actions.extend(job.open(opening));
        }
    }
}

/// The generation and step of what a standing holds, counting what it had offered when an entry broke off that others finished.
fn holding(standing: &Standing, entered: Generation) -> Option<Holding> {
    [standing.holds, standing.offered].into_iter().flatten().find(|holding| holding.generation == entered)
}
