//! What workers report, and what the coordinator makes of it.

use super::{Action, Cause, Cluster, Fact, JobState, job::Others, job_in};
use crate::{
    conversation::{End, Ending, Leaving, Report, Standing},
    ids::WorkerId,
};
use std::{sync::Arc, time::Duration};

impl Cluster {
    pub(super) fn said(&mut self, now: Duration, worker: &WorkerId, report: Report, actions: &mut Vec<Action>) {
        if report == Report::Leaving {
            if let Some(known) = self.worker_mut(worker) {
                known.says_goodbye = true;
            }
            return;
        }
        if let Report::Vitals(vitals) = report {
            if let Some(known) = self.worker_mut(worker) {
                known.vitals = Some(vitals);
            }
            return;
        }
        if let Report::Beat(beat) = report {
            self.heard_in_leasing(now, worker, actions);
            if let Some(known) = self.worker_mut(worker) {
                known.beat = beat.clone();
            }
            if let Some(beat) = beat
                && let Some(job) = self.jobs.iter_mut().find(|known| known.id == beat.job)
                && job.roster.first() == Some(worker)
            {
                let job = Arc::make_mut(job);
                if let Some(slow) = beat.slow.as_ref().filter(|slow| job.slow.as_ref() != Some(&slow.worker)) {
                    job.slow = Some(slow.worker.clone());
                    actions.push(Action::Note(Fact::WorkerSlow {
                        job: job.id.clone(),
                        worker: slow.worker.clone(),
                        own_us: slow.own_us as u64,
                        others_us: slow.others_us as u64,
                    }));
                }
                if let Some(found) = job.heard_imbalance(&beat) {
                    actions.push(Action::Note(Fact::OutOfBalance { job: job.id.clone(), what: found.to_string() }));
                }
                if job.moved_at.is_none() || job.beat.as_ref().is_none_or(|last| last.step < beat.step) {
                    job.moved_at = Some(now);
                }
                job.beat = Some(beat);
            }
            return;
        }
        let Some(id) = report.job().cloned() else { return };
        if self.leasing(&id).is_some() {
            return self.said_in_leasing(now, worker, report, actions);
        }
        let Some(job) = job_in(&mut self.jobs, &id).filter(|known| !known.state.is_over()) else { return };
        match report {
            // Released in the meantime: it said so before it heard of that.
            Report::Ready { .. } if self.workers.get(worker).is_none_or(|known| known.job.as_ref() != Some(&id)) => {}
            Report::Ready { readiness, .. } => {
                if let Some(why) = job.misfit(&readiness).or_else(|| job.out_of_reach(worker, &self.workers)) {
                    job.unfit.insert(worker.clone(), why.clone());
                    self.turn_away(worker, id, why, actions);
                } else {
                    if let Some(lambda) = job.calibrate(&readiness) {
                        actions.push(Action::Save(id.clone()));
                        actions.push(Action::Note(Fact::Calibrated { job: id.clone(), lambda }));
                    }
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
                    job.close(now, Some(worker), cause, generation, others, actions);
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
            Report::Ended { end: End { generation, step, ending }, .. } => {
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
            Report::Beat(_) | Report::Vitals(_) | Report::Leaving => {}
            Report::Asks { .. } | Report::Wrote { .. } | Report::Failed { .. } | Report::Sealed { .. } => {}
        }
    }
}
