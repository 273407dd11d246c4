//! Who is to leave a running job, and how that costs no step: by regrouping where the others hold all lanes between them, and
//! by parking the run in a checkpoint of that very step where they do not.

use super::{Action, Cause, Cluster, Fact, Hands, Job, JobState, Loss, Presence, Worker, Workers, job::Others, job_in};
use crate::{
    conversation::{Order, Standing, Wish},
    ids::{JobId, Rank, WorkerId},
    lanes,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// A worker that went away in good order is listed for so long.
const LEFT_LISTED_FOR: Duration = Duration::from_secs(60);

impl Worker {
    /// It is to be given no work, and to be let go of what it has.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.says_goodbye || self.drained
    }
}

impl Cluster {
    /// Its stream has ended: if it had said goodbye and had nothing left to do, it is not missed.
    pub(super) fn take_leave(&mut self, worker: &WorkerId, actions: &mut Vec<Action>) {
        if let Some(known) = self.worker_mut(worker).filter(|known| known.says_goodbye && known.job.is_none()) {
            known.presence = Presence::Gone(Loss::Left);
            known.beat = None;
            actions.push(Action::Note(Fact::WorkerLeft { worker: worker.clone() }));
        }
    }

    /// Operators name a worker, or a node and mean all workers there, those to come included. Whoever is not out by then is put
    /// out.
    pub(super) fn drain(&mut self, name: String, by: Option<Duration>, actions: &mut Vec<Action>) {
        self.drains.insert(name, by);
        self.mark_drained();
        actions.push(Action::SaveDrains);
    }

    pub(super) fn undrain(&mut self, name: String, actions: &mut Vec<Action>) {
        if self.drains.remove(&name).is_some() {
            self.mark_drained();
            actions.push(Action::Note(Fact::Undrained { name }));
            actions.push(Action::SaveDrains);
        }
    }

    pub(super) fn mark_drained(&mut self) {
        let drains = &self.drains;
        for (id, worker) in &mut self.workers {
            let drained = drains.contains_key(&id.0) || drains.contains_key(&worker.seat.node.0);
            let evicted = worker.evicted && drained;
            if (worker.drained, worker.evicted) != (drained, evicted) {
                let worker = Arc::make_mut(worker);
                (worker.drained, worker.evicted) = (drained, evicted);
            }
        }
    }

    /// Whoever is not out at the end of its time is put out.
    pub(super) fn notice_deadlines(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let is_over = |deadline: &Option<Duration>| deadline.is_some_and(|deadline| now >= deadline);
        let over: Vec<String> =
            self.drains.iter().filter(|(_, deadline)| is_over(deadline)).map(|(name, _)| name.clone()).collect();
        for name in over {
            self.drains.insert(name.clone(), None);
            self.evict(now, &name, actions);
        }
        let is_old = |worker: &Worker| worker.presence == Presence::Gone(Loss::Left);
        self.workers.retain(|_, worker| !is_old(worker) || now < worker.heard + LEFT_LISTED_FOR);
    }

    /// Its generation ends at once, in the midst of a step, and the next one does not wait for its word: it may hang.
    fn evict(&mut self, now: Duration, name: &str, actions: &mut Vec<Action>) {
        let named = |(id, worker): &(&WorkerId, &mut Arc<Worker>)| id.0 == name || worker.seat.node.0 == name;
        for (worker, known) in self.workers.iter_mut().filter(named) {
            let known = Arc::make_mut(known);
            known.evicted = true;
            let Some(job) = known.job.as_ref().and_then(|id| job_in(&mut self.jobs, id)) else {
                continue;
            };
            actions.push(Action::Note(Fact::WorkerEvicted { worker: worker.clone(), job: job.id.clone() }));
            if job.state.is_open() && job.roster.contains(worker) {
                let close = Order::Close { job: job.id.clone(), generation: job.generation };
                actions.push(Action::Tell(worker.clone(), close));
                let cause = Cause::Evicted { worker: worker.clone() };
                job.close(now, Some(worker), Some(cause), job.generation, Others::AreTold, actions);
            }
        }
    }

    /// Lets those go that leave and are needed no more.
    pub(super) fn let_go(&mut self, actions: &mut Vec<Action>) {
        // Few jobs have more workers than they want, and of the others only those that leave need be looked at.
        let crowded: BTreeSet<&JobId> = self.jobs.iter().filter(|job| job.is_crowded()).map(|job| &job.id).collect();
        let free: Vec<(WorkerId, JobId)> = self
            .workers
            .iter()
            .filter_map(|(id, worker)| Some((id, worker, worker.job.as_ref()?)))
            .filter(|(_, worker, job)| worker.is_leaving() || crowded.contains(job))
            .filter(|(_, _, job)| self.leasing(job).is_none())
            .filter(|(id, worker, job)| {
                let job = self.jobs.iter().find(|known| known.id == **job);
                job.is_none_or(|job| !job.needs(id) && (worker.is_leaving() || job.is_surplus(id, &self.workers)))
            })
            .map(|(id, _, job)| (id.clone(), job.clone()))
            .collect();
        for (worker, job) in free {
            self.release(&worker, &job, actions);
        }
    }

    fn release(&mut self, worker: &WorkerId, job: &JobId, actions: &mut Vec<Action>) {
        self.take_work_from(worker);
        if let Some(job) = self.job_mut(job) {
            job.ready.remove(worker);
            job.standings.remove(worker);
        }
        actions.push(Action::Tell(worker.clone(), Order::Release { job: job.clone(), why: None }));
    }
}

fn is_leaving(worker: &WorkerId, workers: &Workers) -> bool {
    workers.get(worker).is_some_and(|known| known.is_leaving())
}

impl Job {
    /// Members of the last generation that are not to be in the next: those that leave, and the last in rank beyond how many
    /// are wanted.
    fn leavers<'a>(&'a self, workers: &'a Workers) -> impl Iterator<Item = &'a WorkerId> {
        let leaves = |id: &&WorkerId| is_leaving(id, workers);
        let surplus = self.roster.iter().filter(move |id| !leaves(id)).skip(self.wanted());
        self.roster.iter().filter(leaves).chain(surplus)
    }

    /// It runs, and more workers are ready for it than it wants, be it that some of them leave.
    fn is_crowded(&self) -> bool {
        self.state == JobState::Running && self.ready.len() > self.wanted()
    }

    /// It works for the job, and there is no room for it.
    fn is_surplus(&self, worker: &WorkerId, workers: &Workers) -> bool {
        let others = self.ready.keys().filter(|id| !is_leaving(id, workers)).count();
        self.is_crowded() && !self.roster.contains(worker) && others > self.wanted()
    }

    /// What the members of a running generation are to do between two steps, when some of them are to go or a newcomer stands
    /// by that they could use.
    pub(super) fn wish(&self, now: Duration, workers: &Workers, hands: &Hands) -> Option<Wish> {
        // Most have all they want, and nobody leaves: each of their members need not be looked at to know that.
        let is_content = !hands.somebody_leaves && self.roster.len() == self.wanted();
        if self.state != JobState::Running || is_content {
            return None;
        }
        let leavers: Vec<&WorkerId> = self.leavers(workers).collect();
        let newcomers = self.newcomers(workers).filter(|id| !self.is_set_aside(now, id)).count();
        let staying = self.roster.len() - leavers.len();
        let wish = if leavers.is_empty() {
            (newcomers > 0 && self.roster.len() < self.wanted()).then_some(Wish::Regroup)
        } else if staying + newcomers >= self.least() && self.survives_without(&leavers) {
            Some(Wish::Regroup)
        } else {
            Some(Wish::Park)
        };
        wish.filter(|wish| self.asked < Some(*wish))
    }

    /// What was asked for already is not asked again, but for more.
    pub(super) fn ask(&mut self, wish: Wish, actions: &mut Vec<Action>) {
        if self.asked < Some(wish) {
            self.asked = Some(wish);
            let order = Order::Wish { job: self.id.clone(), generation: self.generation, wish };
            actions.extend(self.roster.iter().map(|member| Action::Tell(member.clone(), order.clone())));
        }
    }

    /// Between them, the others hold every lane's history.
    fn survives_without(&self, leavers: &[&WorkerId]) -> bool {
        let stays = |rank: Rank| !leavers.contains(&&self.roster[rank.index()]);
        let mut ranks = (0..self.roster.len() as u32).map(Rank);
        if !self.has_history() {
            return ranks.any(stays);
        }
        let guards = self.spec.what.train.history.replicas > 0;
        ranks.all(|rank| stays(rank) || guards && lanes::guard(self.roster.len(), rank).is_some_and(stays))
    }

    /// It takes part, or holds what the next generation may begin with.
    fn needs(&self, worker: &WorkerId) -> bool {
        if self.state.is_over() {
            return false;
        }
        let last_entered = self.entered.as_ref().is_some_and(|(_, roster)| roster.contains(worker));
        self.state.is_open() && self.roster.contains(worker) || last_entered
    }

    /// This member has seen the state saved and has left: once all have, it opens again from there, with whom there is.
    pub(super) fn park(&mut self, worker: &WorkerId, actions: &mut Vec<Action>) {
        if self.state.is_open() {
            self.state = JobState::Queued;
            self.beat = None;
            actions.push(Action::Note(Fact::JobParked { job: self.id.clone(), step: self.reached }));
        }
        self.entered = None;
        self.parked = true;
        self.frozen = true;
        if let Some(readiness) = self.ready.get(worker) {
            self.standings.insert(worker.clone(), Standing::newcomer(self.id.clone(), readiness.clone()));
        }
        actions.push(Action::Save(self.id.clone()));
    }
}
