//! Refinements over the wire: shards are leased, kept, published, remembered, sealed.

use crate::play::{Played, coordinator, job_when, operator, readiness, seat};
use std::path::Path;
use sumac_common::{
    conversation::{Order, Readiness, Report, Standing},
    ids::{Digest, JobId},
    leases::{Attempt, Held, Receipt, Shard, chain},
    piecework::Piecework,
    refinement::{Format, How, Layout, Origin, Refinement, Trained, What},
    spec::{Device, ImageShape, Workers, model},
};
use sumac_proto::v1::{self, submit_refused::Why, submit_reply::Answer};
use tempfile::tempdir;

pub(crate) fn refinement(shards: u64, destination: &Path) -> Refinement {
    Refinement {
        name: "eyes".to_owned(),
        what: What {
            input: Digest::of(b"input"),
            samples: shards * 10,
            shard_samples: 10,
            refiner: Some(Trained {
                weights: Digest::of(b"weights"),
                net: model::Refiner {
                    width: 8,
                    blocks: 1,
                    kernel: 3,
                    output: model::RefinerOutput::Tanh,
                    padding: model::Padding::Zeros,
                    noise: model::Noise::NONE,
                    light: false,
                    matching: model::Matching::None,
                },
                threads: 1,
                origin: Origin { run: "eyes-7f3".to_owned(), step: 600, lambda: 0.5, seed: 7 },
            }),
            image: ImageShape { channels: 1, height: 35, width: 55 },
            fit: None,
            layout: Layout::Mirror,
            format: Format::Same,
            max_bad: 0.1,
        },
        how: How {
            source: "/data/drawn".into(),
            destination: destination.to_owned(),
            workers: Workers { min: 1, max: 8, device: Device::Auto },
        },
    }
}

async fn submitted(url: &str, refinement: &Refinement) -> Answer {
    let work = Piecework::Refine(Box::new(refinement.clone()));
    let request = v1::SubmitPieceworkRequest { work_json: work.to_json() };
    operator(url).await.submit_piecework(request).await.unwrap().into_inner().answer.unwrap()
}

pub(crate) async fn submit(url: &str, refinement: &Refinement) -> (v1::Admission, v1::Job) {
    match submitted(url, refinement).await {
        Answer::Submitted(submitted) => (submitted.admission(), submitted.job.unwrap()),
        Answer::Refused(refused) => panic!("not admitted: {refused:?}"),
    }
}

pub(crate) fn ready(refinement: &Refinement) -> Readiness {
    Readiness { data: refinement.what.identity(), ..readiness() }
}

pub(crate) fn receipt(shard: Shard) -> Receipt {
    Receipt { digest: Digest::of(&shard.0.to_le_bytes()), refined: 10, bad: 0 }
}

/// From Piecework to the first lease.
pub(crate) async fn begins(worker: &mut Played, refinement: &Refinement) -> (JobId, Attempt, Vec<Shard>) {
    let job = match worker.hears_order().await {
        Order::Piecework { job, work } => {
            assert_eq!(*work, Piecework::Refine(Box::new(refinement.clone())));
            job
        }
        other => panic!("no Piecework but {other:?}"),
    };
    worker.says(Report::Ready { job: job.clone(), readiness: ready(refinement) }).await;
    worker.says(Report::Asks { job: job.clone() }).await;
    is_leased(worker).await
}

pub(crate) async fn is_leased(worker: &mut Played) -> (JobId, Attempt, Vec<Shard>) {
    match worker.hears_order().await {
        Order::Lease { job, attempt, shards } => (job, attempt, shards),
        other => panic!("no Lease but {other:?}"),
    }
}

#[tokio::test]
async fn every_shard_is_leased_published_and_sealed() {
    let (state, output) = (tempdir().unwrap(), tempdir().unwrap());
    let coordinator = coordinator(state.path()).await;
    let wanted = refinement(3, output.path());
    let (admission, job) = submit(&coordinator.url(), &wanted).await;
    assert_eq!((admission, job.steps), (v1::Admission::New, 3));
    let mut a = Played::joins(&coordinator.url(), "a").await;
    let (id, mut attempt, mut shards) = begins(&mut a, &wanted).await;
    let mut done = 0;
    while done < 3 {
        for shard in std::mem::take(&mut shards) {
            a.says(Report::Wrote { job: id.clone(), attempt, shard, receipt: receipt(shard) }).await;
            assert_eq!(a.hears_order().await, Order::Publish { job: id.clone(), attempt, shard });
            done += 1;
        }
        if done < 3 {
            a.says(Report::Asks { job: id.clone() }).await;
            (_, attempt, shards) = is_leased(&mut a).await;
        }
    }
    let receipts = chain((0..3).map(|shard| receipt(Shard(shard)).digest));
    assert_eq!(a.hears_order().await, Order::Seal { job: id.clone(), receipts, quarantined: vec![] });
    a.says(Report::Sealed { job: id.clone() }).await;
    let over = job_when(&coordinator.url(), &id.0, |job| job.state() == v1::JobState::Finished).await;
    let known = over.pieces.unwrap();
    assert_eq!((known.committed, known.refined, known.bad), (3, 30, 0));
    assert_eq!(a.hears_order().await, Order::Release { job: id, why: None });
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_restarted_coordinator_remembers_each_shard_that_it_acknowledged() {
    let (state, output) = (tempdir().unwrap(), tempdir().unwrap());
    let first = coordinator(state.path()).await;
    let wanted = refinement(2, output.path());
    submit(&first.url(), &wanted).await;
    let mut a = Played::joins(&first.url(), "a").await;
    let (id, attempt, shards) = begins(&mut a, &wanted).await;
    assert_eq!(shards, [Shard(0)]);
    a.says(Report::Wrote { job: id.clone(), attempt, shard: Shard(0), receipt: receipt(Shard(0)) }).await;
    a.hears_order().await;
    a.says(Report::Asks { job: id.clone() }).await;
    let (_, later, shards) = is_leased(&mut a).await;
    assert_eq!(shards, [Shard(1)]);
    first.stop().await.unwrap();

    let second = coordinator(state.path()).await;
    let held = Held { wrote: vec![(later, Shard(1), receipt(Shard(1)))], ..Held::default() };
    let standing = Standing { held, ..Standing::newcomer(id.clone(), ready(&wanted)) };
    let (mut a, _) = Played::attaches(&second.url(), seat("a", 1), Some(standing)).await;
    assert_eq!(a.hears_order().await, Order::Publish { job: id.clone(), attempt: later, shard: Shard(1) });
    let receipts = chain([0, 1].map(|shard| receipt(Shard(shard)).digest));
    assert_eq!(a.hears_order().await, Order::Seal { job: id, receipts, quarantined: vec![] });
    second.stop().await.unwrap();
}

#[tokio::test]
async fn the_same_refinement_again_is_the_one_that_is_there_and_another_is_refused() {
    let (state, output) = (tempdir().unwrap(), tempdir().unwrap());
    let coordinator = coordinator(state.path()).await;
    let wanted = refinement(2, output.path());
    let (_, job) = submit(&coordinator.url(), &wanted).await;
    let (admission, again) = submit(&coordinator.url(), &wanted).await;
    assert_eq!((admission, again.id), (v1::Admission::AlreadyThere, job.id.clone()));

    let mut other = wanted.clone();
    other.what.refiner.as_mut().unwrap().weights = Digest::of(b"other weights");
    match submitted(&coordinator.url(), &other).await {
        Answer::Refused(v1::SubmitRefused { why: Some(Why::OutputTaken(taken)) }) => assert_eq!(taken.job, job.id),
        answer => panic!("not refused but {answer:?}"),
    }

    let paused = v1::PauseRequest { job: job.id.clone() };
    operator(&coordinator.url()).await.pause(paused).await.unwrap();
    let (admission, again) = submit(&coordinator.url(), &wanted).await;
    assert_eq!((admission, again.id), (v1::Admission::GoesOn, job.id));
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_worker_with_another_fingerprint_is_turned_away_with_the_reason() {
    let (state, output) = (tempdir().unwrap(), tempdir().unwrap());
    let coordinator = coordinator(state.path()).await;
    let wanted = refinement(4, output.path());
    submit(&coordinator.url(), &wanted).await;
    let mut a = Played::joins(&coordinator.url(), "a").await;
    begins(&mut a, &wanted).await;
    let mut b = Played::joins(&coordinator.url(), "b").await;
    let Order::Piecework { job, .. } = b.hears_order().await else { panic!("no Piecework") };
    let mut other = ready(&wanted);
    other.fingerprint.instructions = "AVX512".to_owned();
    b.says(Report::Ready { job, readiness: other }).await;
    match b.hears_order().await {
        Order::Release { why: Some(why), .. } => assert!(why.contains("AVX512"), "{why}"),
        order => panic!("no Release but {order:?}"),
    }
    coordinator.stop().await.unwrap();
}
