//! A job in pieces among the jobs: who works on them, and when it is over. The life of each piece is in
//! [`leases`](crate::leases).

use super::{Action, Cluster, Fact, JobState, Presence, Workers};
use crate::{
    conversation::{Fingerprint, Order, Readiness, Report, Standing},
    ids::{JobId, Term, WorkerId},
    leases::{self, Counts, Fate, Held, Kept, Leases},
    piecework::Piecework,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What is serialised is what re-attaching workers cannot rebuild; the fates of its shards are kept beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Leasing {
    pub id: JobId,
    pub spec: Box<Piecework>,
    pub state: JobState,
    /// So many runs were submitted before it, and come first.
    pub(super) after: usize,
    /// Fixed by its first ready worker.
    pub fingerprint: Option<Fingerprint>,
    #[serde(skip)]
    pub(super) leases: Option<Leases>,
    #[serde(skip)]
    pub(super) ready: BTreeSet<WorkerId>,
    /// Workers that cannot take part, and why.
    #[serde(skip)]
    pub unfit: BTreeMap<WorkerId, String>,
    /// Who puts the data set together.
    #[serde(skip)]
    pub(super) sealing: Option<WorkerId>,
}

/// A job in pieces as readers see it, without them.
#[derive(Clone, Debug)]
pub struct Overview {
    pub id: JobId,
    pub spec: Box<Piecework>,
    pub state: JobState,
    pub reason: Option<String>,
    pub counts: Counts,
    /// Images that did not come out, those of quarantined shards among them.
    pub bad: u64,
    /// Its shards are over, and the data set is put together.
    pub is_sealing: bool,
    /// Who works on it, in the order of their names.
    pub workers: Vec<WorkerId>,
}

impl Leasing {
    fn new(id: JobId, spec: Box<Piecework>, after: usize) -> Self {
        Self {
            id,
            spec,
            state: JobState::Queued,
            after,
            fingerprint: None,
            leases: None,
            ready: BTreeSet::new(),
            unfit: BTreeMap::new(),
            sealing: None,
        }
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        let none = || Counts { shards: self.spec.pieces().into(), ..Counts::default() };
        self.leases.as_ref().map_or_else(none, Leases::counts)
    }

    #[must_use]
    pub fn overview(&self) -> Overview {
        Overview {
            id: self.id.clone(),
            spec: self.spec.clone(),
            state: self.state.clone(),
            reason: self.reason(),
            counts: self.counts(),
            bad: self.bad(),
            is_sealing: self.sealing.is_some(),
            workers: self.ready.iter().cloned().collect(),
        }
    }

    /// As it is saved: a clone of all shards would be a large one.
    #[must_use]
    pub fn without_shards(&self) -> Self {
        let fingerprint = self.fingerprint.clone();
        let fresh = Self::new(self.id.clone(), self.spec.clone(), self.after);
        Self { state: self.state.clone(), fingerprint, ..fresh }
    }

    /// Why it does not run, or why it failed.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match (&self.state, self.unfit.iter().next_back()) {
            (JobState::Failed(why), _) => Some(why.clone()),
            (JobState::Queued, Some((worker, why))) => {
                Some(format!("no worker is ready; {worker} does not fit: {why}"))
            }
            (JobState::Queued, None) => Some("waiting for a worker".to_owned()),
            _ => None,
        }
    }

    pub(super) fn wanted(&self) -> usize {
        self.spec.workers().max as usize
    }

    /// Images that did not come out, those of quarantined shards among them.
    #[must_use]
    pub fn bad(&self) -> u64 {
        let Some(leases) = &self.leases else { return 0 };
        leases.counts().bad + leases.quarantined().map(|(piece, _)| self.spec.items_of(piece)).sum::<u64>()
    }

    fn misfit(&self, readiness: &Readiness) -> Option<String> {
        if readiness.data != self.spec.identity() {
            return Some("it read other data or another refiner than the job was submitted with".to_owned());
        }
        let fingerprint = self.fingerprint.as_ref().filter(|known| **known != readiness.fingerprint)?;
        Some(format!(
            "its numbers would differ from those of what is done (it has {}; they have {fingerprint}): a job needs one kind of \
             machine",
            readiness.fingerprint
        ))
    }

    fn tell(&self, action: leases::Action) -> Action {
        let job = self.id.clone();
        match action {
            leases::Action::Keep { shard, fate } => Action::Keep { job, shard, fate },
            leases::Action::Grant { worker, attempt, shards } => {
                Action::Tell(worker, Order::Lease { job, attempt, shards })
            }
            leases::Action::Publish { worker, attempt, shard } => {
                Action::Tell(worker, Order::Publish { job, attempt, shard })
            }
            leases::Action::Discard { worker, attempt, shard } => {
                Action::Tell(worker, Order::Discard { job, attempt, shard })
            }
        }
    }

    fn lease(&mut self, now: Duration, event: leases::Event, actions: &mut Vec<Action>) {
        let Some(leases) = &mut self.leases else { return };
        let done = leases.step(now, event);
        for action in &done {
            if let leases::Action::Keep { shard, fate: Fate::Quarantined { why } } = action {
                let fact = Fact::ShardQuarantined { job: self.id.clone(), shard: *shard, why: why.clone() };
                actions.push(Action::Note(fact));
            }
        }
        actions.extend(done.into_iter().map(|action| self.tell(action)));
    }

    fn forget(&mut self, now: Duration, worker: &WorkerId, actions: &mut Vec<Action>) {
        self.ready.remove(worker);
        self.sealing.take_if(|sealing| sealing == worker);
        self.lease(now, leases::Event::Gone { worker: worker.clone() }, actions);
    }

    /// The last word on it: every shard is over, and somebody is to put the data set together.
    fn seal(&mut self, workers: &Workers, actions: &mut Vec<Action>) {
        let Some(leases) = self.leases.as_ref().filter(|leases| leases.is_over() && self.sealing.is_none()) else {
            return;
        };
        let is_here = |id: &&WorkerId| workers.get(*id).is_some_and(|known| known.presence == Presence::Here);
        let Some(worker) = self.ready.iter().find(is_here).cloned() else { return };
        let quarantined = leases.quarantined().map(|(shard, why)| (shard, why.to_owned())).collect();
        let order = Order::Seal { job: self.id.clone(), receipts: leases.chain(), quarantined };
        actions.push(Action::Tell(worker.clone(), order));
        self.sealing = Some(worker);
    }
}

impl Cluster {
    /// What a coordinator that starts knows of jobs in pieces: those who work on them are given the time to say so.
    pub fn remember(&mut self, term: Term, leasings: Vec<(Leasing, Kept)>) {
        self.term = term;
        for (mut leasing, kept) in leasings {
            let count = leasing.spec.pieces();
            let settings = self.settings.leases.clone();
            leasing.leases = Some(Leases::new(settings, term, count, kept, self.settings.silent_after));
            self.leasings.push(leasing);
        }
    }

    pub fn leasings(&self) -> impl Iterator<Item = &Leasing> + Clone {
        self.leasings.iter()
    }

    #[must_use]
    pub fn leasing(&self, id: &JobId) -> Option<&Leasing> {
        self.leasings.iter().find(|known| known.id == *id)
    }

    pub(super) fn leasing_mut(&mut self, id: &JobId) -> Option<&mut Leasing> {
        self.leasings.iter_mut().find(|known| known.id == *id && !known.state.is_over())
    }

    /// A new one, or one that had stopped and goes on: what was quarantined is then tried again.
    pub(super) fn offer(&mut self, id: JobId, spec: Box<Piecework>, actions: &mut Vec<Action>) {
        let fact = match self.leasings.iter_mut().find(|known| known.id == id) {
            Some(known) if known.state.is_over() => {
                known.spec = spec;
                known.state = JobState::Queued;
                known.unfit.clear();
                known.leases.iter_mut().for_each(Leases::pardon);
                actions.push(Action::Pardon(id.clone()));
                Fact::RefinementResumed { job: id.clone(), committed: known.counts().committed }
            }
            Some(_) => return,
            None => {
                let mut leasing = Leasing::new(id.clone(), spec, self.jobs.len());
                let (settings, count) = (self.settings.leases.clone(), leasing.spec.pieces());
                leasing.leases = Some(Leases::new(settings, self.term, count, Kept::new(), Duration::ZERO));
                self.leasings.push(leasing);
                Fact::JobSubmitted { job: id.clone() }
            }
        };
        actions.push(Action::Save(id));
        actions.push(Action::Note(fact));
    }

    pub(super) fn give_up_leasing(&mut self, id: &JobId) {
        if let Some(leases) = self.leasing_mut(id).and_then(|leasing| leasing.leases.as_mut()) {
            leases.give_up();
        }
    }

    pub(super) fn end_leasing(&mut self, now: Duration, id: &JobId, state: JobState, actions: &mut Vec<Action>) {
        if self.leasing_mut(id).is_none() {
            return;
        }
        for worker in self.workers_of(id) {
            self.release_from_leasing(now, &worker, id, actions);
        }
        let Some(leasing) = self.leasing_mut(id) else { return };
        leasing.state = state.clone();
        actions.push(Action::Save(id.clone()));
        actions.push(Action::Note(Fact::JobEnded { job: id.clone(), state: state.to_string() }));
    }

    /// In the order of their names.
    fn workers_of(&self, id: &JobId) -> Vec<WorkerId> {
        let works_for_it = self.workers.iter().filter(|(_, known)| known.job.as_ref() == Some(id));
        works_for_it.map(|(worker, _)| worker.clone()).collect()
    }

    fn release_from_leasing(&mut self, now: Duration, worker: &WorkerId, id: &JobId, actions: &mut Vec<Action>) {
        self.take_work_from(worker);
        if let Some(leasing) = self.leasing_mut(id) {
            leasing.forget(now, worker, actions);
        }
        actions.push(Action::Tell(worker.clone(), Order::Release { job: id.clone(), why: None }));
    }

    /// It came back with something of a job in pieces in its hands.
    pub(super) fn returned_to_leasing(
        &mut self,
        now: Duration,
        worker: &WorkerId,
        standing: Standing,
        actions: &mut Vec<Action>,
    ) {
        let Standing { job: id, ready, held, .. } = standing;
        let Some(leasing) = self.leasing_mut(&id) else {
            self.take_work_from(worker);
            actions.push(Action::Tell(worker.clone(), Order::Release { job: id, why: None }));
            return;
        };
        match ready {
            Some(readiness) => self.ready_for_leases(now, worker, id, readiness, held, actions),
            // The order may have been lost, or what it led to.
            None => {
                let order = Order::Piecework { job: id, work: leasing.spec.clone() };
                actions.push(Action::Tell(worker.clone(), order));
            }
        }
    }

    fn ready_for_leases(
        &mut self,
        now: Duration,
        worker: &WorkerId,
        id: JobId,
        readiness: Readiness,
        held: Held,
        actions: &mut Vec<Action>,
    ) {
        let Some(leasing) = self.leasing_mut(&id) else { return };
        if let Some(why) = leasing.misfit(&readiness) {
            leasing.unfit.insert(worker.clone(), why.clone());
            leasing.forget(now, worker, actions);
            self.turn_away(worker, id, why, actions);
            return;
        }
        let is_first = leasing.fingerprint.is_none();
        if is_first || leasing.state == JobState::Queued {
            leasing.fingerprint.get_or_insert(readiness.fingerprint);
            leasing.state = JobState::Running;
            actions.push(Action::Save(id));
        }
        leasing.ready.insert(worker.clone());
        // Who seals says so again, or is told again.
        leasing.sealing.take_if(|sealing| sealing == worker);
        leasing.lease(now, leases::Event::Returned { worker: worker.clone(), held }, actions);
    }

    pub(super) fn said_in_leasing(
        &mut self,
        now: Duration,
        worker: &WorkerId,
        report: Report,
        actions: &mut Vec<Action>,
    ) {
        let Some(id) = report.job().cloned() else { return };
        // Released in the meantime: it said so before it heard of that.
        let works_for_it = self.workers.get(worker).is_some_and(|known| known.job.as_ref() == Some(&id));
        let Some(leasing) = self.leasing_mut(&id).filter(|_| works_for_it) else { return };
        let worker = worker.clone();
        match report {
            Report::Ready { readiness, .. } => {
                self.ready_for_leases(now, &worker, id, readiness, Held::default(), actions);
            }
            Report::Unable { why, .. } => {
                self.end_leasing(now, &id, JobState::Failed(format!("{worker}: {why}")), actions);
            }
            Report::Asks { .. } => leasing.lease(now, leases::Event::Asked { worker }, actions),
            Report::Wrote { attempt, shard, receipt, .. } => {
                leasing.lease(now, leases::Event::Wrote { worker, attempt, shard, receipt }, actions);
            }
            Report::Failed { attempt, shard, why, .. } => {
                leasing.lease(now, leases::Event::Failed { worker, attempt, shard, why }, actions);
            }
            Report::Sealed { .. } => self.end_leasing(now, &id, JobState::Finished, actions),
            _ => {}
        }
    }

    pub(super) fn heard_in_leasing(&mut self, now: Duration, worker: &WorkerId, actions: &mut Vec<Action>) {
        let job = self.workers.get(worker).and_then(|known| known.job.clone());
        if let Some(leasing) = job.and_then(|id| self.leasing_mut(&id)) {
            leasing.lease(now, leases::Event::Heard { worker: worker.clone() }, actions);
        }
    }

    pub(super) fn lose_in_leasing(&mut self, now: Duration, worker: &WorkerId, id: &JobId, actions: &mut Vec<Action>) {
        let Some(leasing) = self.leasing_mut(id) else { return };
        let shards = leasing.leases.as_ref().map_or(0, |leases| leases.held_by(worker));
        if shards > 0 {
            let (job, worker) = (id.clone(), worker.clone());
            actions.push(Action::Note(Fact::ShardsReturned { job, worker, shards }));
        }
        leasing.forget(now, worker, actions);
    }

    /// Lets go those that leave, and those beyond how many are wanted. What they had is given to others at once.
    pub(super) fn let_go_from_leasings(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let mut free: Vec<(WorkerId, JobId)> = Vec::new();
        for leasing in self.leasings.iter().filter(|leasing| !leasing.state.is_over()) {
            let leaves = |id: &WorkerId| self.workers.get(id).is_some_and(|known| known.is_leaving());
            let (leaving, staying): (Vec<_>, Vec<_>) = self.workers_of(&leasing.id).into_iter().partition(leaves);
            let surplus = staying.into_iter().skip(leasing.wanted());
            free.extend(leaving.into_iter().chain(surplus).map(|worker| (worker, leasing.id.clone())));
        }
        for (worker, id) in free {
            self.release_from_leasing(now, &worker, &id, actions);
        }
    }

    pub(super) fn advance_leasing(&mut self, now: Duration, at: usize, actions: &mut Vec<Action>) {
        let leasing = &mut self.leasings[at];
        leasing.lease(now, leases::Event::Tick, actions);
        if leasing.state == JobState::Running && leasing.ready.is_empty() {
            leasing.state = JobState::Queued;
        }
        let bad = leasing.bad();
        let lost = leasing.leases.as_ref().and_then(|leases| leases.quarantined().next());
        if let Some(why) = leasing.spec.is_too_bad(bad, lost) {
            let id = leasing.id.clone();
            return self.end_leasing(now, &id, JobState::Failed(why), actions);
        }
        leasing.seal(&self.workers, actions);
    }
}
