//! When the state is saved, and the manifest of a saved one: what it is of, which parts it has, and whether a run may go on
//! from it (K-1).
//!
//! A manifest is written last and by rename, so a checkpoint without one does not exist. Knows nothing of folders and disks.

use crate::{
    conversation::Fingerprint,
    ids::{Digest, Rank, Step},
    spec::Output,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Layout of the files a manifest of this build names.
pub const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub run: RunId,
    pub step: Step,
    /// Hash of the whole state (L-3).
    pub state_sha256: Digest,
    /// Hash over the lanes' digests (L-2).
    pub trace_sha256: Digest,
    pub parts: Vec<Part>,
}

/// What makes two runs the same run: whatever differs here gives other bits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunId {
    /// Of the *what* of the spec.
    pub spec: Digest,
    /// Of the manifests of both frozen data sets.
    pub data: Digest,
    pub fingerprint: Fingerprint,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub file: String,
    pub bytes: u64,
    pub sha256: Digest,
}

/// Why a run must not go on from a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    #[error("it has format {got}, this build reads {FORMAT}: go on with the version that wrote it")]
    Format { got: u32 },
    #[error(
        "it belongs to another run (spec {}, this job is {}): choose another output.dir, or undo the change to the job file",
        theirs.short(), ours.short()
    )]
    Spec { theirs: Digest, ours: Digest },
    #[error(
        "its images were others (data {}, now {}): put the data sets back as they were, or choose another output.dir",
        theirs.short(), ours.short()
    )]
    Data { theirs: Digest, ours: Digest },
    #[error(
        "its numbers come from another kind of machine ({theirs}; here: {ours}): go on there, or choose another output.dir"
    )]
    Fingerprint { theirs: Box<Fingerprint>, ours: Box<Fingerprint> },
    #[error("it stands at step {at}, beyond the job's train.steps = {steps}: raise train.steps")]
    Beyond { at: Step, steps: Step },
}

impl Manifest {
    /// Whether a run may go on from here.
    pub fn continues(&self, run: &RunId, steps: Step) -> Result<(), Foreign> {
        if self.format != FORMAT {
            return Err(Foreign::Format { got: self.format });
        }
        if self.run.spec != run.spec {
            return Err(Foreign::Spec { theirs: self.run.spec, ours: run.spec });
        }
        if self.run.data != run.data {
            return Err(Foreign::Data { theirs: self.run.data, ours: run.data });
        }
        if self.run.fingerprint != run.fingerprint {
            let (theirs, ours) = (Box::new(self.run.fingerprint.clone()), Box::new(run.fingerprint.clone()));
            return Err(Foreign::Fingerprint { theirs, ours });
        }
        if self.step > steps {
            return Err(Foreign::Beyond { at: self.step, steps });
        }
        Ok(())
    }
}

/// Whether this member wishes for a checkpoint in the tail of `step`, as the output's two intervals ask for: after every so many
/// steps, and when so much time went by since the last one. Rank 0 alone looks at the clock, for all; and not while the parts
/// of a checkpoint are `under_way` to the disks: one at a time.
#[must_use]
pub fn is_due(output: &Output, rank: Rank, step: Step, since_last: Duration, under_way: Option<Step>) -> bool {
    let by_steps = output.checkpoint_steps.is_some_and(|every| every > 0 && step.next().0.is_multiple_of(every));
    let by_time = output.checkpoint_every > Duration::ZERO && since_last >= output.checkpoint_every;
    rank == Rank(0) && under_way.is_none() && (by_steps || by_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let fingerprint = Fingerprint {
            libtorch: "2.11.0".into(),
            device: "cpu".into(),
            instructions: "AVX2".into(),
            threads: 1,
            canary: Digest::of(b"canary"),
        };
        Manifest {
            format: FORMAT,
            run: RunId { spec: Digest::of(b"spec"), data: Digest::of(b"data"), fingerprint },
            step: Step(40),
            state_sha256: Digest::of(b"state"),
            trace_sha256: Digest::of(b"trace"),
            parts: vec![Part { file: "lane-000.slots".into(), bytes: 3, sha256: Digest::of(b"abc") }],
        }
    }

    #[test]
    fn the_same_run_goes_on_also_with_more_steps() {
        let saved = manifest();
        assert_eq!(saved.continues(&saved.run, Step(40)), Ok(()));
        assert_eq!(saved.continues(&saved.run, Step(4_000)), Ok(()));
    }

    #[test]
    fn another_run_is_refused_with_what_differs() {
        let saved = manifest();
        let steps = Step(100);
        let mut other = saved.run.clone();
        other.spec = Digest::of(b"other");
        assert!(matches!(saved.continues(&other, steps), Err(Foreign::Spec { .. })));
        let mut other = saved.run.clone();
        other.data = Digest::of(b"other");
        assert!(matches!(saved.continues(&other, steps), Err(Foreign::Data { .. })));
        let mut other = saved.run.clone();
        other.fingerprint.threads = 2;
        assert!(matches!(saved.continues(&other, steps), Err(Foreign::Fingerprint { .. })));
        assert!(matches!(saved.continues(&saved.run, Step(39)), Err(Foreign::Beyond { .. })));
    }

    #[test]
    fn a_manifest_survives_its_own_json() {
        let json = serde_json::to_string(&manifest()).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest());
    }

    fn every(checkpoint_steps: Option<u64>, seconds: u64) -> Output {
        let checkpoint_every = Duration::from_secs(seconds);
        Output { dir: "runs".into(), checkpoint_every, checkpoint_steps, samples_every: 0 }
    }

    fn due(output: &Output, step: u64, seconds: u64) -> bool {
        is_due(output, Rank(0), Step(step), Duration::from_secs(seconds), None)
    }

    #[test]
    fn a_checkpoint_is_due_when_so_many_steps_are_done() {
        let output = every(Some(10), 0);
        let steps: Vec<u64> = (0..30).filter(|step| due(&output, *step, 0)).collect();
        assert_eq!(steps, [9, 19, 29]);
    }

    #[test]
    fn a_checkpoint_is_due_when_so_much_time_went_by() {
        let output = every(None, 300);
        assert!(!due(&output, 9, 299));
        assert!(due(&output, 9, 300) && due(&output, 10, 4_000));
    }

    #[test]
    fn either_interval_is_enough() {
        let output = every(Some(10), 300);
        assert!(due(&output, 9, 0) && due(&output, 10, 300) && !due(&output, 10, 0));
    }

    #[test]
    fn without_intervals_none_is_due() {
        for output in [every(None, 0), every(Some(0), 0)] {
            assert!((0..30).all(|step| !due(&output, step, 1_000_000)), "{output:?}");
        }
    }

    #[test]
    fn only_the_first_rank_wishes_for_a_checkpoint() {
        let output = every(Some(10), 300);
        let of = |rank: u32| is_due(&output, Rank(rank), Step(9), Duration::from_secs(300), None);
        assert_eq!([0, 1, 2].map(of), [true, false, false]);
    }

    #[test]
    fn none_is_due_while_another_is_under_way() {
        let output = every(Some(10), 300);
        assert!(!is_due(&output, Rank(0), Step(9), Duration::from_secs(300), Some(Step(8))));
    }
}
