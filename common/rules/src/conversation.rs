//! What coordinator and worker say to each other: reports go up, orders come down.
//!
//! One request up (join), one stream down (orders), a report where something happened. A worker never asks who is in charge
//! of what; it is told a roster and computes the rest. Knows nothing of how the words travel.

use crate::{
    checkpoint::Saved,
    ids::{Digest, Generation, JobId, NodeId, Step, WorkerId},
    leases::{Attempt, Held, Receipt, Shard},
    losses::Losses,
    pace::{Shares, Times},
    piecework::Piecework,
    spec::Spec,
    vitals::Vitals,
};
use serde::{Deserialize, Serialize};
use std::{fmt, net::SocketAddr};

/// A start of a worker process. A higher one under the same name means that the lower one is dead, once its stream is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

/// Who joins, and where others reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    pub worker: WorkerId,
    pub incarnation: Incarnation,
    pub node: NodeId,
    /// Where this worker's rendezvous store listens, for the generations in which it has rank 0.
    pub store: SocketAddr,
    /// Version of Sumac; another one is refused.
    pub version: String,
    /// For people: `cpu (1 thread)`, `H100 80GB HBM3`.
    pub device: String,
}

/// What has to be equal for the same bits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    pub libtorch: String,
    pub device: String,
    pub instructions: String,
    pub threads: u32,
    /// Hash of a small forward and backward pass.
    pub canary: Digest,
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { libtorch, device, instructions, threads, canary } = self;
        write!(f, "libtorch {libtorch}, {device}, {instructions}, {threads} thread(s), canary {}", canary.short())
    }
}

/// The state a worker has in its hands: that of the last generation it entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    pub generation: Generation,
    pub step: Step,
}

/// Where a worker stands in a job: said when it leaves a generation and when it attaches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    pub job: JobId,
    /// The generation it takes part in at this moment and has not left.
    pub engaged: Option<Generation>,
    /// What it holds since it last entered a generation (C-5).
    pub holds: Option<Holding>,
    /// What it had verified and offered when an entry broke off. Counts as held if anybody entered that generation.
    pub offered: Option<Holding>,
    /// Data frozen and model built: may be given a roster. What it said when it became ready.
    pub ready: Option<Readiness>,
    /// Its last word in a generation that it saw through: the stream that carried it may have broken.
    pub ended: Option<End>,
    /// What it has in its hands, of a job in pieces.
    pub held: Held,
}

impl Standing {
    /// Not in any generation, with nothing in hands and not ready.
    #[must_use]
    pub fn outside(job: JobId) -> Self {
        Self { job, engaged: None, holds: None, offered: None, ready: None, ended: None, held: Held::default() }
    }

    /// Ready for a job, with nothing of it in hands.
    #[must_use]
    pub fn newcomer(job: JobId, readiness: Readiness) -> Self {
        Self { ready: Some(readiness), ..Self::outside(job) }
    }
}

/// What a worker prepared a job with: members of one run must say the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Readiness {
    /// Over the manifests of both frozen data sets; of a job in pieces, its identity.
    pub data: Digest,
    pub fingerprint: Fingerprint,
    /// Of a run whose spec left it open: what the worker found ([`calibration`](crate::calibration)).
    pub lambda: Option<f64>,
}

/// Coordinator to worker.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Freeze the data, build the model, say `Ready`.
    Prepare { job: JobId, spec: Box<Spec> },
    /// Take part in this generation.
    Open(Box<Opening>),
    /// Leave this generation at once, whatever you are doing; keep what is staged.
    Close { job: JobId, generation: Generation },
    /// Put this into the next tails of this generation: it takes effect between two steps for everybody.
    Wish { job: JobId, generation: Generation, wish: Wish },
    /// The job needs you no more. Forget it. `why` where it is this worker that does not fit.
    Release { job: JobId, why: Option<String> },
    /// Open the data, load the refiners, say `Ready`, and ask for pieces.
    Piecework { job: JobId, work: Box<Piecework> },
    /// Do these pieces under this attempt, in this order.
    Lease { job: JobId, attempt: Attempt, shards: Vec<Shard> },
    /// This attempt counts: give its files their names.
    Publish { job: JobId, attempt: Attempt, shard: Shard },
    /// Another attempt counts: delete this one's files.
    Discard { job: JobId, attempt: Attempt, shard: Shard },
    /// Every shard is over: put the data set together.
    Seal { job: JobId, receipts: Digest, quarantined: Vec<(Shard, String)> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Wish {
    /// Leave the generation together, so that others can join.
    Regroup,
    /// Save the state and leave: the run goes on from there, later or elsewhere.
    Park,
}

/// A new generation, with everything its members need to compute the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Opening {
    pub job: JobId,
    pub generation: Generation,
    /// In rank order: survivors as they were, newcomers last.
    pub roster: Vec<Place>,
    pub basis: Basis,
    /// For the summary.
    pub so_far: SoFar,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub worker: WorkerId,
    pub store: SocketAddr,
}

/// What a generation starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The newest loadable checkpoint in the job's output, or step 0 where there is none.
    Saved,
    /// The state of the last generation that anybody entered.
    Held {
        generation: Generation,
        /// Its roster, in rank order: says whose lanes and whose guards these were.
        roster: Vec<WorkerId>,
        /// Who holds it and takes part now, and at which step: the furthest one's or the one before.
        holders: Vec<(WorkerId, Step)>,
    },
}

/// What has happened to the job, for people: no result depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoFar {
    /// Different workers that ever were in a roster.
    pub workers_seen: u64,
    pub generations: u64,
    /// Committed steps that had to be done again from a checkpoint.
    pub steps_redone: u64,
}

/// Worker to coordinator.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    Ready {
        job: JobId,
        readiness: Readiness,
    },
    /// It cannot prepare or go on with the job, and nobody could: the data or the spec is at fault.
    Unable {
        job: JobId,
        why: String,
    },
    /// Its state copy is verified and equal everywhere.
    Entered {
        job: JobId,
        generation: Generation,
        step: Step,
        /// Steps that stood in the metrics and are done again from here.
        redone: u64,
    },
    /// It takes no further part in the generation it was engaged in.
    Left {
        generation: Generation,
        standing: Standing,
        why: Leaving,
    },
    /// A checkpoint is complete.
    Saved {
        job: JobId,
        step: Step,
        /// All that are there now, oldest first.
        there: Vec<Saved>,
    },
    /// A checkpoint could not be written. The run goes on, and tries again when the next one is due.
    Unsaved {
        job: JobId,
        step: Step,
        why: String,
    },
    /// It has seen its generation through.
    Ended {
        job: JobId,
        end: End,
    },
    /// About once a second.
    Beat(Option<Beat>),
    /// Every few seconds.
    Vitals(Vitals),
    /// It is about to end, and waits to be let go of what it has.
    Leaving,
    /// It could do with more shards.
    Asks {
        job: JobId,
    },
    /// The output of this shard is whole and durable.
    Wrote {
        job: JobId,
        attempt: Attempt,
        shard: Shard,
        receipt: Receipt,
    },
    /// This shard cannot be done here.
    Failed {
        job: JobId,
        attempt: Attempt,
        shard: Shard,
        why: String,
    },
    /// The refined data set is complete.
    Sealed {
        job: JobId,
    },
}

impl Report {
    /// The job it is about.
    #[must_use]
    pub fn job(&self) -> Option<&JobId> {
        match self {
            Self::Ready { job, .. }
            | Self::Unable { job, .. }
            | Self::Entered { job, .. }
            | Self::Saved { job, .. }
            | Self::Unsaved { job, .. }
            | Self::Ended { job, .. }
            | Self::Asks { job }
            | Self::Wrote { job, .. }
            | Self::Failed { job, .. }
            | Self::Sealed { job } => Some(job),
            Self::Left { standing, .. } => Some(&standing.job),
            Self::Beat(beat) => beat.as_ref().map(|beat| &beat.job),
            Self::Leaving | Self::Vitals(_) => None,
        }
    }

    /// It says how it goes, and by itself gives nobody another place.
    #[must_use]
    pub fn is_about_progress(&self) -> bool {
        matches!(self, Self::Beat(_) | Self::Vitals(_))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Leaving {
    /// It was told to, or all agreed to.
    Told,
    /// A collective failed.
    Broke(String),
    /// The group did not form; these were not reached, as far as it can tell.
    Unformed { unreached: Vec<WorkerId>, why: String },
}

impl Leaving {
    /// What went wrong, if anything did.
    #[must_use]
    pub fn sentence(&self) -> Option<String> {
        match self {
            Self::Told => None,
            Self::Broke(why) => Some(why.clone()),
            Self::Unformed { unreached, why } if unreached.is_empty() => Some(format!("the group did not form: {why}")),
            Self::Unformed { unreached, why } => {
                let names: Vec<&str> = unreached.iter().map(|worker| worker.0.as_str()).collect();
                Some(format!("the group did not form, {} not reached: {why}", names.join(", ")))
            }
        }
    }
}

/// How a generation ended that did not break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub generation: Generation,
    pub step: Step,
    pub ending: Ending,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    Finished,
    /// By wish, with a checkpoint.
    Parked,
    Failed(String),
}

/// How far a worker is: for people, but that nobody who waits can go on when all do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beat {
    pub job: JobId,
    pub doing: Doing,
    pub generation: Generation,
    pub step: Step,
    /// The last refiner step's and the last discriminator step's, merged.
    pub losses: Losses,
    pub steps_per_second: f64,
    pub images_per_second: f64,
    /// Images in the history, all lanes together.
    pub history: u64,
    /// Of this worker.
    pub times: Times,
    /// For so long it has been waiting for the other members in one call, in milliseconds.
    pub waits_ms: u64,
    /// Who holds the others up, as all members see it.
    pub slow: Option<SlowWorker>,
    /// Where the time goes in a refinement.
    pub shares: Option<Shares>,
}

/// A worker that holds the others up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlowWorker {
    pub worker: WorkerId,
    /// Mean time it works on its lanes in a step, in microseconds.
    pub own_us: f64,
    /// What the others would need for as many lanes.
    pub others_us: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doing {
    Preparing,
    Waiting,
    Entering,
    Training,
    Refining,
    Evaluating,
    Sealing,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Preparing => "preparing",
            Self::Waiting => "waiting",
            Self::Entering => "entering",
            Self::Training => "training",
            Self::Refining => "refining",
            Self::Evaluating => "evaluating",
            Self::Sealing => "sealing",
        })
    }
}
