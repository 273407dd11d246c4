//! A worker attaches: it is new, or it comes back, and what it says about itself replaces what was believed.

use super::{Action, Cause, Cluster, Fact, Loss, Presence, Worker, job::Others, job_in};
use crate::{
    conversation::{Order, Report, Seat, Standing},
    ids::{JobId, WorkerId},
};
use std::{sync::Arc, time::Duration};

impl Cluster {
    pub(super) fn attached(
        &mut self,
        now: Duration,
        seat: Seat,
        standing: Option<Standing>,
        actions: &mut Vec<Action>,
    ) {
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
            vitals: None,
            says_goodbye: false,
            drained: false,
            evicted: false,
            arrived,
        };
        self.workers.insert(worker.clone(), Arc::new(fresh));
        // It dialled anew: it may be reached again, too.
        for job in self.jobs.iter_mut().filter(|job| job.set_aside.contains_key(&worker)) {
            Arc::make_mut(job).set_aside.remove(&worker);
        }
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
    pub(super) fn stands_outside(
        &mut self,
        now: Duration,
        worker: &WorkerId,
        works_for: Option<&JobId>,
        why: String,
        actions: &mut Vec<Action>,
    ) {
        let others = self.jobs.iter_mut().filter(|job| Some(&job.id) != works_for && !job.state.is_over());
        for job in others.filter(|job| job.was_member(worker)) {
            let job = Arc::make_mut(job);
            job.ready.remove(worker);
            job.standings.insert(worker.clone(), Standing::outside(job.id.clone()));
            if job.roster.contains(worker) {
                job.frozen = true;
                let cause = Cause::Said { worker: worker.clone(), why: why.clone() };
                job.close(now, Some(worker), Some(cause), job.generation, Others::AreTold, actions);
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
        if self.leasing(&job_id).is_some() {
            return self.returned_to_leasing(now, worker, standing, actions);
        }
        if let Some(end) = standing.ended.clone() {
            self.said(now, worker, Report::Ended { job: job_id.clone(), end }, actions);
            if self.workers.get(worker).is_none_or(|known| known.job.is_none()) {
                return;
            }
        }
        let Some(job) = job_in(&mut self.jobs, &job_id).filter(|known| !known.state.is_over()) else {
            // It works for a job that ended, or that nobody knows.
            actions.push(Action::Tell(worker.clone(), Order::Release { job: job_id, why: None }));
            self.take_work_from(worker);
            return;
        };
        if let Some(why) = standing.ready.as_ref().and_then(|readiness| job.misfit(readiness)) {
            job.standings.insert(worker.clone(), Standing::outside(job_id.clone()));
            job.unfit.insert(worker.clone(), why.clone());
            self.turn_away(worker, job_id, why, actions);
            return;
        }
        job.learn(worker, &standing);
        match standing.engaged {
            Some(engaged) if engaged == job.generation && job.state.is_open() => {
                job.standings.remove(worker);
                // What it was told before may not have reached it.
                if let Some(wish) = job.asked {
                    let order = Order::Wish { job: job_id.clone(), generation: engaged, wish };
                    actions.push(Action::Tell(worker.clone(), order));
                }
            }
            Some(engaged) => {
                // That generation is closed, or was never opened by anybody we know: leave it, then say where you stand.
                let stale = Fact::WorkerStale { job: job_id.clone(), worker: worker.clone(), generation: engaged };
                actions.push(Action::Note(stale));
                actions.push(Action::Tell(worker.clone(), Order::Close { job: job_id, generation: engaged }));
            }
            None => {
                job.standings.insert(worker.clone(), standing.clone());
                if job.roster.contains(worker) {
                    job.frozen = true;
                    let why = "it had left when it came back".to_owned();
                    let cause = Cause::Said { worker: worker.clone(), why };
                    job.close(now, Some(worker), Some(cause), job.generation, Others::AreTold, actions);
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
}
