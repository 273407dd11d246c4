//! The picture as wire messages.

use crate::{
    logs::Said,
    picture::{Entry, Noted, Picture, Work},
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use sumac_common::{
    cluster::{self, Fact, JobState, Overview},
    conversation::Beat,
    ids::{Digest, Step},
    logging::Line,
};
use sumac_proto::v1;

/// Facts that come with a job.
const FACTS_SHOWN: usize = 100;

pub(super) fn job(entry: &Entry, picture: &Picture) -> v1::Job {
    let age = wire_duration(SystemTime::now().duration_since(entry.submitted).unwrap_or_default());
    match &entry.work {
        Work::Run(job) => v1::Job { age, ..run(job, picture) },
        Work::Pieces(overview) => v1::Job { age, ..in_pieces(overview, picture) },
    }
}

fn run(job: &cluster::Job, picture: &Picture) -> v1::Job {
    let members = job.roster.iter().filter_map(|worker| picture.worker(worker));
    let stands = job.stands(members, picture.up());
    let beat = job.progress().cloned().map(|beat| match stands {
        true => Beat { steps_per_second: 0.0, images_per_second: 0.0, ..beat },
        false => beat,
    });
    let step = [beat.as_ref().map(|beat| beat.step), job.saved, Some(job.reached)].into_iter().flatten().max();
    let Digest(identity) = job.spec.what.identity();
    v1::Job {
        id: job.id.0.clone(),
        name: job.spec.name.clone(),
        state: state(&job.state).into(),
        reason: job.reason(),
        identity: identity.to_vec(),
        spec_toml: job.spec.to_toml(),
        generation: job.generation.0,
        roster: if job.state.is_open() { job.roster.iter().map(|worker| worker.0.clone()).collect() } else { vec![] },
        workers_min: job.spec.how.workers.min,
        workers_max: job.spec.how.workers.max,
        step: step.unwrap_or_default().0,
        steps: job.spec.what.train.steps.0,
        saved: job.saved.map(|Step(step)| step),
        so_far: Some(job.so_far.into()),
        beat: beat.map(Into::into),
        output_dir: job.spec.how.output.dir.to_string_lossy().into_owned(),
        ..v1::Job::default()
    }
}

/// Its rate is that of all its workers together.
fn in_pieces(overview: &Overview, picture: &Picture) -> v1::Job {
    let Overview { id, spec, state: now, reason, counts, bad, is_sealing, workers } = overview;
    let Digest(identity) = spec.identity();
    let beats = workers.iter().filter_map(|id| picture.worker(id)?.beat.as_ref()).filter(|beat| beat.job == *id);
    let images_per_second = beats.clone().map(|beat| beat.images_per_second).sum();
    let steps_per_second = beats.clone().map(|beat| beat.steps_per_second).sum();
    // Where the slowest stage of most is, is where the time goes.
    let busiest = beats.max_by(|one, other| one.images_per_second.total_cmp(&other.images_per_second)).cloned();
    let beat = busiest.map(|beat| v1::Beat { images_per_second, steps_per_second, ..beat.into() });
    let over = counts.committed + counts.quarantined;
    v1::Job {
        id: id.0.clone(),
        name: spec.name().to_owned(),
        state: state(now).into(),
        reason: reason.clone(),
        identity: identity.to_vec(),
        roster: workers.iter().map(|worker| worker.0.clone()).collect(),
        workers_min: spec.workers().min,
        workers_max: spec.workers().max,
        step: over,
        steps: counts.shards,
        beat,
        output_dir: spec.destination().to_string_lossy().into_owned(),
        pieces: Some(v1::Pieces {
            json: spec.to_json(),
            all: counts.shards,
            committed: counts.committed,
            quarantined: counts.quarantined,
            leased: counts.leased,
            refined: counts.refined,
            bad: *bad,
            sealing: *is_sealing,
        }),
        ..v1::Job::default()
    }
}

pub(super) fn job_with_facts(entry: &Entry, picture: &Picture) -> v1::Job {
    let about = |(_, noted): &(u64, &Noted)| noted.fact.job() == Some(entry.id());
    let mut latest: Vec<v1::Fact> = picture.facts.since(0).rev().filter(about).take(FACTS_SHOWN).map(fact).collect();
    latest.reverse();
    let checkpoints = match &entry.work {
        Work::Run(job) => job.checkpoints.iter().copied().map(Into::into).collect(),
        Work::Pieces(_) => Vec::new(),
    };
    v1::Job { facts: latest, checkpoints, ..job(entry, picture) }
}

fn state(state: &JobState) -> v1::JobState {
    match state {
        JobState::Queued => v1::JobState::Queued,
        JobState::Forming => v1::JobState::Forming,
        JobState::Running => v1::JobState::Running,
        JobState::Lost => v1::JobState::Waiting,
        JobState::Finished => v1::JobState::Finished,
        JobState::Paused => v1::JobState::Paused,
        JobState::Failed(_) => v1::JobState::Failed,
        JobState::Cancelled => v1::JobState::Cancelled,
    }
}

pub(super) fn fact((number, noted): (u64, &Noted)) -> v1::Fact {
    v1::Fact {
        at: Some(wire_time(noted.at)),
        class: noted.fact.class().to_owned(),
        job: noted.fact.job().map(|job| job.0.clone()),
        worker: noted.fact.worker().map(|worker| worker.0.clone()),
        what: noted.fact.to_string(),
        evidence: noted.fact.evidence(),
        number,
        turn: turn(&noted.fact),
    }
}

fn turn(fact: &Fact) -> Option<v1::Turn> {
    use v1::turn::{Closed, Entered, Opened, What};
    let (generation, what) = match fact {
        Fact::GenerationOpened { generation, workers, .. } => {
            (generation, What::Opened(Opened { workers: workers.iter().map(|worker| worker.0.clone()).collect() }))
        }
        Fact::GenerationEntered { generation, step, .. } => (generation, What::Entered(Entered { step: step.0 })),
        Fact::GenerationClosed { generation, why, stood, .. } => {
            (generation, What::Closed(Closed { why: why.clone(), stood: wire_duration(*stood) }))
        }
        // What broke it, once that is known: its members had only heard each other fall silent.
        Fact::Incident(incident) => {
            let closed = Closed { why: Some(incident.cause.to_string()), stood: wire_duration(incident.stood) };
            (&incident.generation, What::Closed(closed))
        }
        _ => return None,
    };
    Some(v1::Turn { generation: generation.0, what: Some(what) })
}

pub(super) fn log(said: &Said) -> v1::Log {
    let line = Line::clone(&said.line);
    v1::Log { source: said.source.to_string(), node: said.node.0.clone(), line: Some(line.into()) }
}

pub(super) fn worker(worker: &cluster::Worker, picture: &Picture) -> v1::Worker {
    let (presence, cause) = match worker.presence {
        cluster::Presence::Here => (v1::Presence::Here, None),
        cluster::Presence::Suspect(_) => (v1::Presence::Suspect, Some("its connection broke".to_owned())),
        cluster::Presence::Gone(cluster::Loss::Left) => (v1::Presence::Left, None),
        cluster::Presence::Gone(loss) => (v1::Presence::Lost, Some(loss.to_string())),
    };
    v1::Worker {
        name: worker.seat.worker.0.clone(),
        node: worker.seat.node.0.clone(),
        device: worker.seat.device.clone(),
        version: worker.seat.version.clone(),
        presence: presence.into(),
        cause,
        silent: wire_duration(picture.up().saturating_sub(worker.heard)),
        job: worker.job.as_ref().map(|job| job.0.clone()),
        beat: worker.beat.clone().map(Into::into),
        vitals: worker.vitals.clone().map(Into::into),
        leaving: worker.is_leaving() && !worker.drained,
        drained: worker.drained,
    }
}

pub(super) fn wire_time(at: SystemTime) -> prost_types::Timestamp {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    prost_types::Timestamp { seconds: seconds(since), nanos: nanos(since) }
}

pub(super) fn wire_duration(duration: Duration) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds: seconds(duration), nanos: nanos(duration) })
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn nanos(duration: Duration) -> i32 {
    duration.subsec_nanos().cast_signed()
}
