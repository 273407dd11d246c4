//! When a generation may open, with whom, and from what.

use super::{Action, Fact, Job, JobState, Presence, Settings, Worker, Workers, holding};
use crate::{
    conversation::{Basis, Doing, Opening, Order, Place, Wish},
    ids::{Rank, Step, WorkerId},
    lanes,
    spec::{Device, plural},
};
use std::{sync::Arc, time::Duration};

/// What opens next.
pub(super) struct Next {
    roster: Vec<Place>,
    basis: Basis,
}

impl Next {
    pub(super) fn takes_part(&self, worker: &WorkerId) -> bool {
        self.roster.iter().any(|place| place.worker == *worker)
    }
}

impl Job {
    /// The ladder: no member of the last generation still takes part in it, as far as is known; one of them acknowledged
    /// (C-6); enough workers ready; a moment's patience; what is missing is nowhere to be waited for. Each rung that does not
    /// hold says why.
    pub(super) fn may_open(&mut self, now: Duration, settings: &Settings, workers: &Workers) -> Option<Next> {
        // Whose stream just broke is most likely dead, and is not waited for where the others can go on without it.
        let dispensable = |member: &WorkerId| {
            let is_suspect = |known: &Worker| matches!(known.presence, Presence::Suspect(_));
            self.frozen && workers.get(member).is_some_and(|known| is_suspect(known))
        };
        let unaccounted = |member: &&WorkerId| !self.is_accounted(member, now, settings, workers);
        if let Some(missing) = self.roster.iter().filter(unaccounted).find(|member| !dispensable(member)) {
            self.waits_for = Some(format!("waiting for {missing} to leave generation {}", self.generation));
            return None;
        }
        if !self.frozen && !self.roster.is_empty() && !self.given_up {
            let since = *self.closed_at.get_or_insert(now);
            if now < since + settings.all_lost_after {
                self.state = JobState::Lost;
                return None;
            }
        }
        if self.state == JobState::Lost {
            self.state = JobState::Queued;
        }
        let members = self.candidates(now, workers);
        if members.len() < self.least() {
            let prepares = |known: &&Arc<Worker>| {
                known.beat.as_ref().is_some_and(|beat| beat.job == self.id && beat.doing == Doing::Preparing)
            };
            let preparing = match workers.values().filter(prepares).count() {
                0 => String::new(),
                preparing => format!(", {preparing} preparing"),
            };
            let least = plural(self.least() as u64, "worker");
            let device = match self.spec.how.workers.device {
                Device::Auto => "",
                Device::Cpu => " that computes on a CPU (workers.device)",
                Device::Cuda => " that computes on a card (workers.device)",
            };
            let short = format!("{} of at least {least}{device} ready{preparing}", members.len());
            self.waits_for = Some(match self.unfit.iter().next_back() {
                Some((worker, why)) => format!("{short}; {worker} does not fit: {why}"),
                None => short,
            });
            return None;
        }
        if self.roster.is_empty() {
            let since = *self.gathering_since.get_or_insert(now);
            if members.len() < self.wanted() && now < since + settings.gather_for {
                let ready = plural(members.len() as u64, "worker");
                self.waits_for = Some(format!("{ready} ready, gathering up to {}", self.wanted()));
                return None;
            }
        }
        // Attempts that fail one after the other must not become a storm.
        let pause = match self.failures {
            0 => Duration::ZERO,
            failures => Duration::from_millis(50) * (1 << failures.min(6)),
        };
        if self.closed_at.is_some_and(|closed| now < closed + pause) {
            return None;
        }
        let basis = self.basis(&members);
        if let (Basis::Saved, Some((generation, roster))) = (&basis, &self.entered)
            && let Some(missing) = roster.iter().find(|member| !self.is_accounted(member, now, settings, workers))
        {
            // It may hold the very lanes that are missing.
            self.waits_for = Some(format!("waiting for {missing} to say what it holds of generation {generation}"));
            return None;
        }
        if let Some(worker) = self.most_blamed().filter(|worker| !members.contains(*worker)).cloned() {
            self.set_aside(now, worker);
        }
        let place = |worker: &WorkerId| Place { worker: worker.clone(), store: workers[worker].seat.store };
        Some(Next { roster: members.iter().map(place).collect(), basis })
    }

    /// It is here and takes part in no generation.
    pub(super) fn stands_outside(&self, worker: &WorkerId) -> bool {
        self.standings.get(worker).is_some_and(|standing| standing.engaged.is_none())
    }

    /// Left, or gone, or never coming back.
    fn is_accounted(&self, member: &WorkerId, now: Duration, settings: &Settings, workers: &Workers) -> bool {
        match workers.get(member) {
            Some(known) => {
                let put_out = known.evicted && (self.frozen || self.given_up);
                let let_go = known.job.as_ref() != Some(&self.id);
                // A broken stream is given its moment.
                let stands_aside = known.presence == Presence::Here && (let_go || self.stands_outside(member));
                known.is_gone() || put_out || stands_aside
            }
            // Not seen since this coordinator started, at 0 on its clock.
            None => now >= settings.silent_after,
        }
    }

    /// Survivors as they were, newcomers last; at most as many as are wanted; without those not reached, if there are enough
    /// others.
    fn candidates(&self, now: Duration, workers: &Workers) -> Vec<WorkerId> {
        let here = |id: &&WorkerId| {
            workers.get(*id).is_some_and(|known| known.presence == Presence::Here)
                && self.ready.contains_key(*id)
                && self.stands_outside(id)
        };
        let mut newcomers: Vec<&WorkerId> = self.newcomers(workers).filter(here).collect();
        newcomers.sort_by_key(|id| workers[*id].arrived);
        let mut all: Vec<WorkerId> = self.roster.iter().filter(here).chain(newcomers).cloned().collect();
        // Whoever holds something comes first, so that no room is given away that its lanes need. A restarted member holds nothing.
        if let Some((generation, roster)) = &self.entered {
            let holds =
                |id: &WorkerId| self.standings.get(id).is_some_and(|standing| holding(standing, *generation).is_some());
            all.sort_by_key(|id| roster.iter().position(|member| member == id && holds(id)).unwrap_or(roster.len()));
        }
        let left_out = |id: &&WorkerId| self.is_set_aside(now, id) || self.most_blamed() == Some(*id);
        let reached: Vec<WorkerId> = all.iter().filter(|id| !left_out(id)).cloned().collect();
        let mut members = if reached.len() < self.least() { all } else { reached };
        members.truncate(self.spec.what.train.lanes as usize);
        let stays = |id: &&WorkerId| workers.get(*id).is_some_and(|known| !known.is_leaving());
        let staying: Vec<WorkerId> = members.iter().filter(stays).take(self.wanted()).cloned().collect();
        // Those that leave take part once more where the others do not hold everything: they will save it first.
        let holds = |members: &[WorkerId]| matches!(self.basis(members), Basis::Held { .. });
        let suffices = holds(&staying) && staying.len() >= self.least();
        if holds(&members) && !suffices { members } else { staying }
    }

    /// The one most often not reached, once two attempts in a row have failed.
    fn most_blamed(&self) -> Option<&WorkerId> {
        let worst = self.blamed.iter().max_by_key(|(_, times)| **times);
        worst.map(|(worker, _)| worker).filter(|_| self.failures > 1)
    }

    /// C-5: only what the last entered generation's members hold counts; if a lane's slots are in nobody's hands, the
    /// checkpoint does.
    fn basis(&self, members: &[WorkerId]) -> Basis {
        let Some((generation, roster)) = &self.entered else { return Basis::Saved };
        let generation = *generation;
        let standing = |member: &WorkerId| holding(self.standings.get(member)?, generation).map(|held| held.step);
        let steps: Vec<(WorkerId, Step)> =
            members.iter().filter_map(|member| Some((member.clone(), standing(member)?))).collect();
        let Some(furthest) = steps.iter().map(|(_, step)| *step).max() else { return Basis::Saved };
        let holders: Vec<(WorkerId, Step)> = steps.into_iter().filter(|(_, step)| step.0 + 1 >= furthest.0).collect();
        let holds = |rank: Rank| holders.iter().any(|(worker, _)| *worker == roster[rank.index()]);
        let kept = (0..roster.len())
            .map(|rank| Rank(rank as u32))
            .all(|rank| holds(rank) || (self.replicas() > 0 && lanes::guard(roster.len(), rank).is_some_and(holds)));
        if kept || !self.has_history() {
            Basis::Held { generation, roster: roster.clone(), holders }
        } else {
            Basis::Saved
        }
    }

    fn replicas(&self) -> u32 {
        self.spec.what.train.history.replicas
    }

    pub(super) fn open(&mut self, next: Next) -> Vec<Action> {
        let Next { roster, basis } = next;
        let furthest = self.standings.values().filter_map(|standing| standing.holds).map(|holds| holds.step).max();
        self.reached = self.reached.max(furthest.unwrap_or_default());
        self.generation = self.generation.next();
        self.moved_at = None;
        self.roster = roster.iter().map(|place| place.worker.clone()).collect();
        self.seen.extend(self.roster.iter().cloned());
        self.so_far.workers_seen = self.seen.len() as u64;
        self.so_far.generations += 1;
        self.state = JobState::Forming;
        self.frozen = false;
        self.given_up = false;
        self.closed_at = None;
        self.asked = None;
        self.parked = false;
        self.slow = None;
        self.waits_for = None;
        self.blamed.clear();
        for member in &self.roster {
            self.standings.remove(member);
        }
        let from = match &basis {
            Basis::Saved => "the last checkpoint, or the start".to_owned(),
            Basis::Held { generation, .. } => format!("generation {generation}"),
        };
        let opened = Fact::GenerationOpened {
            job: self.id.clone(),
            generation: self.generation,
            workers: self.roster.clone(),
            from,
        };
        let opening = Opening { job: self.id.clone(), generation: self.generation, roster, basis, so_far: self.so_far };
        let mut actions = vec![Action::Save(self.id.clone()), Action::Note(opened)];
        let tell = |order: Order| self.roster.iter().map(move |member| Action::Tell(member.clone(), order.clone()));
        actions.extend(tell(Order::Open(Box::new(opening))));
        if self.pause_wished {
            self.ask(Wish::Park, &mut actions);
        }
        actions
    }
}
