//! One failure, told once: its first cause, what the members said of it, and what became of it.
//!
//! A death closes a generation, breaks the collectives of the others and opens the next generation: all of that is one
//! incident. Decides nothing.

use super::{Action, Fact, Job, Loss, Presence, Workers, opening::Next};
use crate::{
    conversation::Leaving,
    ids::{Generation, JobId, Step, WorkerId},
    spec::plural,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, time::Duration};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    pub job: JobId,
    /// The one that broke.
    pub generation: Generation,
    pub cause: Cause,
    /// What members said on leaving, in the order in which it was heard.
    pub evidence: Vec<Evidence>,
    /// Members of the generation.
    pub members: usize,
    /// `None` as long as the job does not run again.
    pub mended: Option<Mended>,
    /// For so long before it was noticed no step had been seen to end; zero where it was noticed at once.
    #[serde(default)]
    pub stood: Duration,
}

/// What began it, as far as it is known: a worker that went, or what was said first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    Lost {
        worker: WorkerId,
        why: Loss,
    },
    Evicted {
        worker: WorkerId,
    },
    /// All members were here, and each waited for the others.
    Standstill {
        step: Step,
    },
    /// Nobody is known to be gone.
    Said {
        worker: WorkerId,
        why: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub worker: WorkerId,
    /// Where it stood.
    pub step: Option<Step>,
    pub what: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mended {
    pub generation: Generation,
    pub step: Step,
    pub members: usize,
    /// From the first word of it, on the coordinator's clock.
    pub after: Duration,
}

impl Incident {
    pub(super) fn new(job: JobId, generation: Generation, members: usize, cause: Cause) -> Self {
        Self { job, generation, cause, evidence: Vec::new(), members, mended: None, stood: Duration::ZERO }
    }

    /// A worker that is gone explains what the others said, whoever was heard first.
    fn put_down_to(&mut self, cause: Cause) {
        if matches!(self.cause, Cause::Said { .. }) {
            self.cause = cause;
        }
    }
}

impl Job {
    pub(super) fn put_incident_down_to(&mut self, cause: &Cause) {
        if let Some((_, incident)) = &mut self.incident {
            incident.put_down_to(cause.clone());
        }
    }

    /// A member of the broken generation that takes no part in the next, and whose stream is broken, is what went.
    pub(super) fn put_incident_down_to_the_missing(&mut self, next: &Next, workers: &Workers) {
        let lost = |worker: &WorkerId| {
            let why = match workers.get(worker)?.presence {
                Presence::Here => return None,
                Presence::Suspect(_) => Loss::Unattached,
                Presence::Gone(why) => why,
            };
            Some(Cause::Lost { worker: worker.clone(), why })
        };
        let missing = self.roster.iter().filter(|worker| !next.takes_part(worker)).find_map(lost);
        if let Some(cause) = missing {
            self.put_incident_down_to(&cause);
        }
    }

    /// A member says on leaving why it did.
    pub(super) fn hear_incident(&mut self, worker: &WorkerId, step: Option<Step>, why: &Leaving) {
        if let Some(((_, incident), what)) = self.incident.as_mut().zip(why.sentence()) {
            incident.evidence.push(Evidence { worker: worker.clone(), step, what });
        }
    }

    /// The job runs again.
    pub(super) fn mend_incident(&mut self, now: Duration, step: Step) -> Option<Action> {
        let (since, mut incident) = self.incident.take()?;
        let (generation, members) = (self.generation, self.roster.len());
        incident.mended = Some(Mended { generation, step, members, after: now.saturating_sub(since) });
        Some(Action::Note(Fact::Incident(Box::new(incident))))
    }
}

impl Cause {
    #[must_use]
    pub fn worker(&self) -> Option<&WorkerId> {
        match self {
            Self::Lost { worker, .. } | Self::Evicted { worker } | Self::Said { worker, .. } => Some(worker),
            Self::Standstill { .. } => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { worker, why } => write!(f, "{worker} was lost: {why}"),
            Self::Evicted { worker } => write!(f, "{worker} was evicted"),
            Self::Standstill { step } => {
                write!(f, "each member waited for the others at step {step}: some cannot reach each other")
            }
            Self::Said { worker, why } => write!(f, "{worker} said: {why}"),
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { worker, step, what } = self;
        match step {
            Some(step) => write!(f, "{worker} at step {step}: {what}"),
            None => write!(f, "{worker}: {what}"),
        }
    }
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        let steps = self.evidence.iter().filter_map(|evidence| evidence.step);
        match steps.max() {
            Some(step) => write!(f, "; generation {} broke at step {step}", self.generation)?,
            None => write!(f, "; generation {} broke", self.generation)?,
        }
        if !self.stood.is_zero() {
            write!(f, " after standing for {:.1} s", self.stood.as_secs_f64())?;
        }
        let heard = self.evidence.iter().map(|evidence| &evidence.worker).collect::<BTreeSet<_>>().len();
        if heard > 0 {
            write!(f, " by the word of {heard} of {}", plural(self.members as u64, "member"))?;
        }
        match &self.mended {
            Some(Mended { generation, step, members, after }) => write!(
                f,
                "; went on at step {step} as generation {generation} of {} after {:.1} s",
                plural(*members as u64, "worker"),
                after.as_secs_f64()
            ),
            None => Ok(()),
        }
    }
}
