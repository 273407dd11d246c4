//! What a submitted run becomes: a new job, one that is there already, or a stopped one that goes on.
//!
//! Pure: the same jobs and the same spec give the same answer. Knows nothing of who asks.

use std::{path::PathBuf, sync::Arc};
use sumac_common::{
    cluster::{Job, JobState, Leasing},
    ids::{Digest, JobId},
    piecework::Piecework,
    spec::Spec,
};

/// Enough that two jobs in pieces never have the same.
const PIECEWORK_DIGITS: usize = 8;

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
pub fn admit<'j>(jobs: impl Iterator<Item = &'j Arc<Job>>, spec: &Spec) -> Result<Admission, NotAdmitted> {
    let jobs: Vec<&Job> = jobs.map(Arc::as_ref).collect();
    let into_the_same: Vec<&&Job> = jobs.iter().filter(|job| job.spec.how.output.dir == spec.how.output.dir).collect();
    if let Some(active) = into_the_same.iter().find(|job| !job.state.is_over()) {
        return if is_same_run(&active.spec, &active.resolved(spec)) {
            Ok(Admission::AlreadyThere(active.id.clone()))
        } else {
            Err(NotAdmitted::OutputTaken { dir: spec.how.output.dir.clone(), job: active.id.clone() })
        };
    }
    // Only the last writer of this output can go on in it.
    if let Some(last) = into_the_same.last()
        && last.state == JobState::Paused
        && last.spec.what.identity() == last.resolved(spec).what.identity()
    {
        return Ok(Admission::GoesOn(last.id.clone()));
    }
    Ok(Admission::New(mint(spec, &jobs)))
}

/// The id follows from what it is: the same command finds its job again.
///
/// # Errors
/// If another one that has not ended writes into the same destination.
pub fn admit_piecework<'r>(
    known: impl Iterator<Item = &'r Leasing> + Clone,
    work: &Piecework,
) -> Result<Admission, NotAdmitted> {
    let destination = work.destination();
    let identity = work.identity().then(destination.as_os_str().as_encoded_bytes());
    let letter = &work.kind()[..1];
    let id = JobId(format!("{}-{letter}{}", work.name(), &base36(identity)[..PIECEWORK_DIGITS]));
    let is_other = |other: &&Leasing| other.id != id && other.spec.destination() == destination;
    if let Some(other) = known.clone().filter(is_other).find(|other| !other.state.is_over()) {
        return Err(NotAdmitted::OutputTaken { dir: destination.to_owned(), job: other.id.clone() });
    }
    Ok(match known.clone().find(|other| other.id == id).map(|same| &same.state) {
        None => Admission::New(id),
        Some(state) if state.is_over() => Admission::GoesOn(id),
        Some(_) => Admission::AlreadyThere(id),
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use sumac_common::{
        cluster::{Cluster, Event, Settings},
        spec,
    };

    fn spec(output: &str) -> Spec {
        let text = format!(
            "name = \"eyes\"\n[data]\nsynthetic = \"a\"\nreal = \"b\"\nimage = {{ size = [35, 55], channels = 1 }}\n\
             [model]\npreset = \"digits\"\n[train]\nsteps = 10\n[output]\ndir = {output:?}\n"
        );
        spec::read(&text, &[]).unwrap_or_else(|faults| panic!("{faults}"))
    }

    fn submit(cluster: &mut Cluster, spec: &Spec) -> JobId {
        let admission = admit(cluster.jobs(), spec).unwrap();
        let job = admission.job().clone();
        cluster.step(Duration::ZERO, Event::Submitted { job: job.clone(), spec: Box::new(spec.clone()) });
        job
    }

    #[test]
    fn an_id_is_the_name_and_three_digits() {
        let mut cluster = Cluster::new(Settings::default(), vec![], vec![]);
        let JobId(id) = submit(&mut cluster, &spec("one"));
        let digits = id.strip_prefix("eyes-").unwrap();
        assert!(digits.len() == 3 && digits.chars().all(|digit| digit.is_digit(36)), "{id}");
    }

    #[test]
    fn many_jobs_of_one_run_have_different_ids() {
        let mut cluster = Cluster::new(Settings::default(), vec![], vec![]);
        let ids: std::collections::BTreeSet<JobId> =
            (0..500).map(|n| submit(&mut cluster, &spec(&n.to_string()))).collect();
        assert_eq!(ids.len(), 500);
    }

    #[test]
    fn other_data_into_an_output_in_use_is_another_run() {
        let mut cluster = Cluster::new(Settings::default(), vec![], vec![]);
        let job = submit(&mut cluster, &spec("one"));
        let mut other = spec("one");
        other.what.data.real = "c".into();
        let taken = NotAdmitted::OutputTaken { dir: "one".into(), job };
        assert_eq!(admit(cluster.jobs(), &other), Err(taken));
    }

    #[test]
    fn a_stopped_run_is_not_gone_on_with_once_another_wrote_there() {
        let mut cluster = Cluster::new(Settings::default(), vec![], vec![]);
        let first = submit(&mut cluster, &spec("one"));
        cluster.step(Duration::ZERO, Event::PauseWished { job: first.clone() });
        let mut other = spec("one");
        other.what.train.seed += 1;
        let second = submit(&mut cluster, &other);
        cluster.step(Duration::ZERO, Event::Cancelled { job: second });
        assert!(matches!(admit(cluster.jobs(), &spec("one")), Ok(Admission::New(job)) if job != first));
    }
}
