//! What a submitted run becomes: a new job, one that is there already, or a stopped one that goes on.
//!
//! Pure: the same jobs and the same spec give the same answer. Knows nothing of who asks.

use std::path::PathBuf;
use sumac_common::{
    cluster::{Job, JobState},
    ids::{Digest, JobId},
    spec::Spec,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Queue it under this id.
    New(JobId),
    /// The same run into the same output has not ended: nothing to do.
    AlreadyThere(JobId),
    /// The same run had been stopped: it is wanted again.
    GoesOn(JobId),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    #[error("output.dir {} belongs to job {job}, which is another run and has not ended", dir.display())]
    OutputTaken { dir: PathBuf, job: JobId },
}

impl Admission {
    #[must_use]
    pub fn job(&self) -> &JobId {
        match self {
            Self::New(job) | Self::AlreadyThere(job) | Self::GoesOn(job) => job,
        }
    }
}

/// # Errors
/// If another run that has not ended writes into the same output.
pub fn admit<'j>(jobs: impl Iterator<Item = &'j Job>, spec: &Spec) -> Result<Admission, NotAdmitted> {
    let jobs: Vec<&Job> = jobs.collect();
    let into_the_same: Vec<&&Job> = jobs.iter().filter(|job| job.spec.how.output.dir == spec.how.output.dir).collect();
    if let Some(active) = into_the_same.iter().find(|job| !job.state.is_over()) {
        return if is_same_run(&active.spec, spec) {
            Ok(Admission::AlreadyThere(active.id.clone()))
        } else {
            Err(NotAdmitted::OutputTaken { dir: spec.how.output.dir.clone(), job: active.id.clone() })
        };
    }
    // Only the last writer of this output can go on in it.
    if let Some(last) = into_the_same.last()
        && last.state == JobState::Stopped
        && last.spec.what.identity() == spec.what.identity()
    {
        return Ok(Admission::GoesOn(last.id.clone()));
    }
    Ok(Admission::New(mint(spec, &jobs)))
}

/// Equal identity and equal places of the data: while it runs, other places are another run; later the manifests decide.
fn is_same_run(one: &Spec, other: &Spec) -> bool {
    let places = |spec: &Spec| (spec.what.data.synthetic.clone(), spec.what.data.real.clone());
    one.what.identity() == other.what.identity() && places(one) == places(other)
}

/// `eyes-7f3`: the name, then as few base-36 digits as tell it from every other job, at least three.
fn mint(spec: &Spec, jobs: &[&Job]) -> JobId {
    let submissions = (jobs.len() as u64).to_le_bytes();
    let digits = base36(spec.what.identity().then(&submissions));
    let id = |length: usize| JobId(format!("{}-{}", spec.name, &digits[..length]));
    let is_free = |id: &JobId| jobs.iter().all(|job| job.id != *id);
    (3..=digits.len()).map(id).find(is_free).unwrap_or_else(|| JobId(format!("{}-{}", spec.name, jobs.len())))
}

/// The first 128 bits, as 24 digits.
fn base36(digest: Digest) -> String {
    let mut rest = digest.0[..16].iter().fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
    let mut digits = String::with_capacity(24);
    for _ in 0..24 {
        digits.extend(char::from_digit((rest % 36) as u32, 36));
        rest /= 36;
    }
    digits
}
