//! When the state is saved and for how long it is kept, and the manifest of a saved one: what it is of, which parts it has, and
//! whether a run may go on from it (K-1).
//!
//! A manifest is written last and by rename, so a checkpoint without one does not exist. Knows what the folder of one is called,
//! and nothing of disks.

use crate::{
    conversation::Fingerprint,
    ids::{Digest, Rank, Step},
    spec::Output,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Layout of the files a manifest of this build names.
pub const FORMAT: u32 = 2;

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

/// A manifest as it is written down, with a checksum over all the rest, so that what was changed by hand is noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    #[serde(flatten)]
    manifest: Manifest,
    #[serde(default)]
    manifest_sha256: Digest,
}

/// A checkpoint that is there, as people are told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    pub step: Step,
    /// All its parts together.
    pub bytes: u64,
    /// When its manifest was written, in milliseconds since 1970, by the clock of the disk it is on. For people; decides nothing.
    pub at_ms: u64,
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

/// Where the checkpoint of a step is, below `output.dir`.
#[must_use]
pub fn folder(step: Step) -> String {
    format!("checkpoints/step-{:09}", step.0)
}

/// The manifest does not have the checksum that stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its content gives the checksum {}, but it carries {}", got.short(), want.short())]
pub struct Tampered {
    got: Digest,
    want: Digest,
}

impl Sealed {
    /// The manifest, if it is the one that was sealed. One of another format is let through: it is refused by its format.
    pub fn open(self) -> Result<Manifest, Tampered> {
        let (got, want) = (self.manifest.checksum(), self.manifest_sha256);
        if self.manifest.format == FORMAT && got != want { Err(Tampered { got, want }) } else { Ok(self.manifest) }
    }
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
    fn checksum(&self) -> Digest {
        Digest::of(serde_json::to_string(self).expect("a manifest is plain data: its JSON cannot fail").as_bytes())
    }

    #[must_use]
    pub fn sealed(self) -> Sealed {
        Sealed { manifest_sha256: self.checksum(), manifest: self }
    }

    /// Bytes of all parts together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

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

/// Whether this member wishes for a checkpoint in the tail of `step`, as the output asks for: after every so many steps, at a
/// milestone, and when so much time went by since the last one. Rank 0 alone looks at the clock, for all; and not while a
/// checkpoint is `under_way` to the disks: one at a time.
#[must_use]
pub fn is_due(output: &Output, rank: Rank, step: Step, since_last: Duration, under_way: bool) -> bool {
    let at_each = |every: Option<u64>| every.is_some_and(|every| every > 0 && step.next().0.is_multiple_of(every));
    let by_steps = at_each(output.checkpoint_steps) || at_each(output.keep_every);
    let by_time = output.checkpoint_every > Duration::ZERO && since_last >= output.checkpoint_every;
    rank == Rank(0) && !under_way && (by_steps || by_time)
}

/// Which of these checkpoints may go: all but the newest `keep`, and but the milestones, which stay for ever. A milestone is the
/// first one at or after each multiple of `keep_every`; not only the one on the very step, because a disk may have been full
/// just then.
#[must_use]
pub fn expendable(output: &Output, saved: &[Step]) -> Vec<Step> {
    let mut oldest_first = saved.to_vec();
    oldest_first.sort_unstable();
    let old = oldest_first.len().saturating_sub(output.keep as usize);
    let span = |step: Step| output.keep_every.filter(|every| *every > 0).map_or(0, |every| step.0 / every);
    let is_milestone = |at: usize| {
        let before = at.checked_sub(1).map_or(0, |before| span(oldest_first[before]));
        span(oldest_first[at]) > before
    };
    (0..old).filter(|at| !is_milestone(*at)).map(|at| oldest_first[at]).collect()
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

    #[test]
    fn a_manifest_changed_by_hand_is_noticed() {
        let json = serde_json::to_string(&manifest().sealed()).unwrap();
        assert_eq!(serde_json::from_str::<Sealed>(&json).unwrap().open(), Ok(manifest()));
        for (is, becomes) in [("\"step\":40", "\"step\":41"), ("AVX2", "AVX3"), ("\"bytes\":3", "\"bytes\":4")] {
            assert!(json.contains(is), "{json}");
            let error = serde_json::from_str::<Sealed>(&json.replace(is, becomes)).unwrap().open().unwrap_err();
            assert!(error.to_string().contains("gives the checksum"), "{becomes}: {error}");
        }
        let bare = serde_json::to_string(&manifest()).unwrap();
        assert!(serde_json::from_str::<Sealed>(&bare).unwrap().open().is_err(), "a manifest without a checksum");
    }

    #[test]
    fn a_manifest_of_another_format_is_refused_by_its_format() {
        let old = Manifest { format: 1, ..manifest() };
        let read: Sealed = serde_json::from_str(&serde_json::to_string(&old).unwrap()).unwrap();
        let refused = read.open().unwrap().continues(&old.run, Step(40));
        assert_eq!(refused, Err(Foreign::Format { got: 1 }));
    }

    fn gone(keep: u32, keep_every: Option<u64>, saved: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let output = Output { keep, keep_every, ..every(None, 0) };
        let saved: Vec<Step> = saved.into_iter().map(Step).collect();
        expendable(&output, &saved).into_iter().map(|step| step.0).collect()
    }

    #[test]
    fn the_newest_are_kept() {
        assert_eq!(gone(2, None, [8, 3, 5]), [3]);
        assert_eq!(gone(3, None, [8, 3, 5]), [0_u64; 0]);
    }

    #[test]
    fn the_first_at_or_after_each_milestone_is_kept_for_ever() {
        assert_eq!(gone(2, Some(100), (1..=31).map(|n| n * 10)), {
            let milestones = [100, 200, 300];
            (1..30).map(|n| n * 10).filter(|step| !milestones.contains(step)).collect::<Vec<_>>()
        });
        assert_eq!(gone(2, Some(100), [90, 130, 160, 190, 320, 330, 340]), [90, 160, 190]);
    }

    #[test]
    fn what_may_go_never_depends_on_what_is_gone_already() {
        let mut there: Vec<u64> = Vec::new();
        for step in (7..2_000).step_by(13) {
            there.push(step);
            let go = gone(2, Some(100), there.iter().copied());
            there.retain(|step| !go.contains(step));
        }
        let all_at_once = gone(2, Some(100), (7..2_000).step_by(13));
        assert_eq!(there, (7..2_000).step_by(13).filter(|step| !all_at_once.contains(step)).collect::<Vec<_>>());
    }

    #[test]
    fn a_checkpoint_is_due_at_each_milestone() {
        let output = Output { keep_every: Some(15), ..every(Some(10), 0) };
        let steps: Vec<u64> = (0..31).filter(|step| due(&output, *step, 0)).collect();
        assert_eq!(steps, [9, 14, 19, 29]);
    }

    fn every(checkpoint_steps: Option<u64>, seconds: u64) -> Output {
        let checkpoint_every = Duration::from_secs(seconds);
        Output { dir: "runs".into(), checkpoint_every, checkpoint_steps, keep: 2, keep_every: None, samples_every: 0 }
    }

    fn due(output: &Output, step: u64, seconds: u64) -> bool {
        is_due(output, Rank(0), Step(step), Duration::from_secs(seconds), false)
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
        let of = |rank: u32| is_due(&output, Rank(rank), Step(9), Duration::from_secs(300), false);
        assert_eq!([0, 1, 2].map(of), [true, false, false]);
    }

    #[test]
    fn none_is_due_while_another_is_under_way() {
        let output = every(Some(10), 300);
        assert!(!is_due(&output, Rank(0), Step(9), Duration::from_secs(300), true));
    }
}
