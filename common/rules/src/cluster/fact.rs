//! What happened, for the journal and for people: a sentence each. Decides nothing.

use super::Incident;
use crate::{
    ids::{Generation, JobId, Step, WorkerId},
    leases::Shard,
    spec::plural,
};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// What happened, for the journal and for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "fact")]
pub enum Fact {
    WorkerJoined {
        worker: WorkerId,
    },
    WorkerReturned {
        worker: WorkerId,
    },
    /// It came back in a generation that is closed.
    WorkerStale {
        job: JobId,
        worker: WorkerId,
        generation: Generation,
    },
    WorkerUnfit {
        job: JobId,
        worker: WorkerId,
        why: String,
    },
    /// It holds the others up.
    WorkerSlow {
        job: JobId,
        worker: WorkerId,
        /// Mean time of its own in a step, in microseconds; and what the others would need for as many lanes.
        own_us: u64,
        others_us: u64,
    },
    /// Before step 0 its workers found the lambda that the job left open.
    Calibrated {
        job: JobId,
        lambda: f64,
    },
    /// One of its two networks rules the other, or nothing is learned.
    OutOfBalance {
        job: JobId,
        what: String,
    },
    /// It said goodbye and had nothing left to do.
    WorkerLeft {
        worker: WorkerId,
    },
    WorkerLost {
        worker: WorkerId,
        why: Loss,
        /// The one it worked for.
        #[serde(default)]
        job: Option<JobId>,
    },
    WorkerEvicted {
        worker: WorkerId,
        job: JobId,
    },
    /// A worker, or all workers of a node.
    Drained {
        name: String,
    },
    Undrained {
        name: String,
    },
    JobSubmitted {
        job: JobId,
    },
    /// It was over, and is wanted again.
    JobResumed {
        job: JobId,
        /// Of the checkpoint it goes on from; without one it begins anew.
        from: Option<Step>,
        /// Its length, and what it was before if that is another.
        steps: Step,
        steps_before: Option<Step>,
    },
    /// It had stopped, and goes on.
    RefinementResumed {
        job: JobId,
        /// Shards that are done.
        committed: u64,
    },
    /// Lost with a worker, and given to others.
    ShardsReturned {
        job: JobId,
        worker: WorkerId,
        shards: u64,
    },
    /// It failed in too many hands: all its images are bad.
    ShardQuarantined {
        job: JobId,
        shard: Shard,
        why: String,
    },
    JobScaled {
        job: JobId,
        min: u32,
        max: u32,
    },
    GenerationOpened {
        job: JobId,
        generation: Generation,
        workers: Vec<WorkerId>,
        from: String,
    },
    GenerationEntered {
        job: JobId,
        generation: Generation,
        step: Step,
    },
    GenerationClosed {
        job: JobId,
        generation: Generation,
        /// What went wrong; none where all left by agreement.
        why: Option<String>,
        /// For so long before no step had been seen to end: it had stood, or what it worked on was lost.
        #[serde(default)]
        stood: Duration,
    },
    /// A failure, and what became of it.
    Incident(Box<Incident>),
    /// Saved, so that members can leave.
    JobParked {
        job: JobId,
        step: Step,
    },
    AllLost {
        job: JobId,
        generation: Generation,
    },
    CheckpointSaved {
        job: JobId,
        step: Step,
    },
    /// The run goes on without it, and tries again when the next one is due.
    CheckpointFailed {
        job: JobId,
        worker: WorkerId,
        step: Step,
        why: String,
    },
    JobEnded {
        job: JobId,
        state: String,
    },
}

/// Why a worker is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Its parent saw it exit, or a successor took its name.
    Died,
    /// Its connection broke and it did not come back.
    Unattached,
    Silent,
    /// It said goodbye.
    Left,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Died => "its process ended",
            Self::Unattached => "its connection broke and it did not come back",
            Self::Silent => "it fell silent",
            Self::Left => "it left",
        })
    }
}

impl Fact {
    /// What lies behind the sentence, a line each.
    #[must_use]
    pub fn evidence(&self) -> Vec<String> {
        match self {
            Self::Incident(incident) => incident.evidence.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        }
    }

    /// job, worker, operator, incident, or detail for what an incident tells in one: the column CLASS of the journal.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::WorkerJoined { .. }
            | Self::WorkerReturned { .. }
            | Self::WorkerStale { .. }
            | Self::WorkerUnfit { .. }
            | Self::WorkerSlow { .. }
            | Self::WorkerLost { job: None, .. }
            | Self::WorkerLeft { .. } => "worker",
            Self::Incident(_)
            | Self::AllLost { .. }
            | Self::CheckpointFailed { .. }
            | Self::ShardsReturned { .. }
            | Self::ShardQuarantined { .. } => "incident",
            Self::WorkerLost { job: Some(_), .. } | Self::GenerationClosed { why: Some(_), .. } => "detail",
            Self::WorkerEvicted { .. } | Self::Drained { .. } | Self::Undrained { .. } | Self::JobScaled { .. } => {
                "operator"
            }
            Self::JobSubmitted { .. }
            | Self::Calibrated { .. }
            | Self::OutOfBalance { .. }
            | Self::JobResumed { .. }
            | Self::RefinementResumed { .. }
            | Self::GenerationOpened { .. }
            | Self::GenerationEntered { .. }
            | Self::GenerationClosed { why: None, .. }
            | Self::JobParked { .. }
            | Self::CheckpointSaved { .. }
            | Self::JobEnded { .. } => "job",
        }
    }

    #[must_use]
    pub fn job(&self) -> Option<&JobId> {
        match self {
            Self::JobSubmitted { job }
            | Self::Calibrated { job, .. }
            | Self::OutOfBalance { job, .. }
            | Self::JobResumed { job, .. }
            | Self::RefinementResumed { job, .. }
            | Self::ShardsReturned { job, .. }
            | Self::ShardQuarantined { job, .. }
            | Self::JobScaled { job, .. }
            | Self::JobParked { job, .. }
            | Self::GenerationOpened { job, .. }
            | Self::GenerationEntered { job, .. }
            | Self::GenerationClosed { job, .. }
            | Self::AllLost { job, .. }
            | Self::WorkerStale { job, .. }
            | Self::WorkerUnfit { job, .. }
            | Self::WorkerSlow { job, .. }
            | Self::WorkerEvicted { job, .. }
            | Self::CheckpointSaved { job, .. }
            | Self::CheckpointFailed { job, .. }
            | Self::JobEnded { job, .. } => Some(job),
            Self::Incident(incident) => Some(&incident.job),
            Self::WorkerLost { job, .. } => job.as_ref(),
            Self::WorkerJoined { .. }
            | Self::WorkerReturned { .. }
            | Self::WorkerLeft { .. }
            | Self::Drained { .. }
            | Self::Undrained { .. } => None,
        }
    }

    #[must_use]
    pub fn worker(&self) -> Option<&WorkerId> {
        match self {
            Self::WorkerJoined { worker }
            | Self::WorkerReturned { worker }
            | Self::WorkerStale { worker, .. }
            | Self::WorkerLeft { worker }
            | Self::WorkerLost { worker, .. }
            | Self::WorkerEvicted { worker, .. }
            | Self::WorkerSlow { worker, .. }
            | Self::CheckpointFailed { worker, .. }
            | Self::ShardsReturned { worker, .. }
            | Self::WorkerUnfit { worker, .. } => Some(worker),
            Self::Incident(incident) => incident.cause.worker(),
            _ => None,
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WorkerJoined { worker } => write!(f, "{worker} joined"),
            Self::WorkerReturned { worker } => write!(f, "{worker} is back"),
            Self::WorkerStale { worker, generation, .. } => {
                write!(f, "{worker} stood in generation {generation}, which is closed: it is told to leave that one")
            }
            Self::WorkerUnfit { worker, why, .. } => write!(f, "{worker} cannot take part: {why}"),
            Self::WorkerSlow { worker, own_us, others_us, .. } => {
                let ms = |us: &u64| *us as f64 / 1_000.0;
                write!(
                    f,
                    "{worker} is slow: {:.1} ms of its own in a step, the others {:.1}",
                    ms(own_us),
                    ms(others_us)
                )
            }
            Self::Calibrated { lambda, .. } => write!(f, "lambda calibrated: {lambda}"),
            Self::OutOfBalance { what, .. } => write!(f, "{what}"),
            Self::WorkerLeft { worker } => write!(f, "{worker} left"),
            Self::WorkerLost { worker, why, .. } => write!(f, "{worker} lost: {why}"),
            Self::WorkerEvicted { worker, .. } => write!(f, "{worker} evicted"),
            Self::Drained { name } => write!(f, "{name} drained: it gets no more work"),
            Self::Undrained { name } => write!(f, "{name} may work again"),
            Self::JobSubmitted { job } => write!(f, "{job} submitted"),
            Self::JobResumed { job, from, steps, steps_before } => {
                match from {
                    Some(step) => write!(f, "{job} resumed from step {step}")?,
                    None => write!(f, "{job} resumed from the start")?,
                }
                match steps_before {
                    Some(before) => write!(f, ", to {} instead of {before}", plural(steps.0, "step")),
                    None => Ok(()),
                }
            }
            Self::RefinementResumed { job, committed } => {
                write!(f, "{job} resumed, {} done", plural(*committed, "shard"))
            }
            Self::ShardsReturned { worker, shards, .. } => {
                write!(f, "{worker} lost: {} of its go to others", plural(*shards, "shard"))
            }
            Self::ShardQuarantined { shard, why, .. } => {
                write!(f, "shard {shard} given up, its images count as bad: {why}")
            }
            Self::JobScaled { min, max, .. } => {
                let least = if min == max { String::new() } else { format!("{min} to ") };
                write!(f, "to run on {least}{}", plural(u64::from(*max), "worker"))
            }
            Self::GenerationOpened { generation, workers, from, .. } => {
                let names: Vec<&str> = workers.iter().map(|worker| worker.0.as_str()).collect();
                write!(f, "generation {generation} opened: {} from {from}", names.join(" "))
            }
            Self::GenerationEntered { generation, step, .. } => {
                write!(f, "generation {generation} goes on at step {step}")
            }
            Self::GenerationClosed { generation, why: None, .. } => {
                write!(f, "generation {generation} closed by agreement")
            }
            Self::GenerationClosed { generation, why: Some(why), .. } => {
                write!(f, "generation {generation} closed: {why}")
            }
            Self::Incident(incident) => write!(f, "{incident}"),
            Self::JobParked { step, .. } => write!(f, "saved at step {step} for its workers to leave"),
            Self::AllLost { generation, .. } => {
                write!(f, "every member of generation {generation} is silent: waiting for one of them")
            }
            Self::CheckpointSaved { step, .. } => write!(f, "checkpoint at step {step} saved"),
            Self::CheckpointFailed { worker, step, why, .. } => {
                write!(
                    f,
                    "{worker} could not save a checkpoint at step {step}: {why}; the run goes on and tries again at the next"
                )
            }
            Self::JobEnded { state, .. } => write!(f, "{state}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_is_not_several() {
        let scaled = |min, max| Fact::JobScaled { job: JobId::from("eyes"), min, max }.to_string();
        assert_eq!(scaled(1, 1), "to run on 1 worker");
        assert_eq!(scaled(2, 2), "to run on 2 workers");
        assert_eq!(scaled(1, 4), "to run on 1 to 4 workers");
    }

    #[test]
    fn a_resumed_job_says_from_where_and_how_far_if_that_has_changed() {
        let resumed = |from: Option<u64>, before: Option<u64>| {
            let (from, steps_before) = (from.map(Step), before.map(Step));
            Fact::JobResumed { job: JobId::from("eyes"), from, steps: Step(700), steps_before }.to_string()
        };
        assert_eq!(resumed(Some(131), None), "eyes resumed from step 131");
        assert_eq!(resumed(None, None), "eyes resumed from the start");
        assert_eq!(resumed(Some(131), Some(600)), "eyes resumed from step 131, to 700 steps instead of 600");
    }
}
