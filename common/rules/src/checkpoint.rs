//! The manifest of a saved state: what it is of, which parts it has, and whether a run may go on from it (K-1).
//!
//! Written last and by rename, so a checkpoint without one does not exist. Knows nothing of folders and disks.

use crate::{
    conversation::Fingerprint,
    ids::{Digest, Step},
};
use serde::{Deserialize, Serialize};

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
}
