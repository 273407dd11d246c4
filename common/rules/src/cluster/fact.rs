//! What happened, for the journal and for people: a sentence each. Decides nothing.

use crate::ids::{Generation, JobId, Step, WorkerId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What happened, for the journal and for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "fact")]
pub enum Fact {
    WorkerJoined {
        worker: WorkerId,
    },
    WorkerReturned {
        worker: WorkerId,
    },
    /// `job`: the one it worked for.
    WorkerLost {
        worker: WorkerId,
        why: Loss,
        #[serde(default)]
        job: Option<JobId>,
    },
    JobSubmitted {
        job: JobId,
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
    /// `worker`: who said so first; `why`: what went wrong, none where all left by agreement.
    GenerationClosed {
        job: JobId,
        generation: Generation,
        worker: WorkerId,
        why: Option<String>,
    },
    AllLost {
        job: JobId,
        generation: Generation,
    },
    WorkerUnfit {
        job: JobId,
        worker: WorkerId,
        why: String,
    },
    CheckpointSaved {
        job: JobId,
        step: Step,
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
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Died => "its process ended",
            Self::Unattached => "its connection broke and it did not come back",
            Self::Silent => "it fell silent",
        })
    }
}

impl Fact {
    /// job, worker or checkpoint: the column CLASS of `events`.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::WorkerJoined { .. } | Self::WorkerReturned { .. } | Self::WorkerUnfit { .. } => "worker",
            Self::WorkerLost { .. } | Self::GenerationClosed { why: Some(_), .. } | Self::AllLost { .. } => "incident",
            Self::JobSubmitted { .. }
            | Self::GenerationClosed { why: None, .. }
            | Self::GenerationOpened { .. }
            | Self::GenerationEntered { .. }
            | Self::CheckpointSaved { .. }
            | Self::JobEnded { .. } => "job",
        }
    }

    #[must_use]
    pub fn job(&self) -> Option<&JobId> {
        match self {
            Self::JobSubmitted { job }
            | Self::GenerationOpened { job, .. }
            | Self::GenerationEntered { job, .. }
            | Self::GenerationClosed { job, .. }
            | Self::AllLost { job, .. }
            | Self::WorkerUnfit { job, .. }
            | Self::CheckpointSaved { job, .. }
            | Self::JobEnded { job, .. } => Some(job),
            Self::WorkerLost { job, .. } => job.as_ref(),
            Self::WorkerJoined { .. } | Self::WorkerReturned { .. } => None,
        }
    }

    #[must_use]
    pub fn worker(&self) -> Option<&WorkerId> {
        match self {
            Self::WorkerJoined { worker }
            | Self::WorkerReturned { worker }
            | Self::WorkerLost { worker, .. }
            | Self::GenerationClosed { worker, .. }
            | Self::WorkerUnfit { worker, .. } => Some(worker),
            _ => None,
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WorkerJoined { worker } => write!(f, "{worker} joined"),
            Self::WorkerReturned { worker } => write!(f, "{worker} is back"),
            Self::WorkerLost { worker, why, .. } => write!(f, "{worker} lost: {why}"),
            Self::JobSubmitted { job } => write!(f, "{job} submitted"),
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
            Self::GenerationClosed { generation, worker, why: Some(why), .. } => {
                write!(f, "generation {generation} closed: {worker}: {why}")
            }
            Self::AllLost { generation, .. } => {
                write!(f, "every member of generation {generation} is silent: waiting for one of them")
            }
            Self::WorkerUnfit { worker, why, .. } => write!(f, "{worker} cannot take part: {why}"),
            Self::CheckpointSaved { step, .. } => write!(f, "checkpoint at step {step} saved"),
            Self::JobEnded { state, .. } => write!(f, "{state}"),
        }
    }
}
