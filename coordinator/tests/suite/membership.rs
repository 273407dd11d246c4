//! Workers over the wire: join, prepare, open, come back, be refused, die.

use crate::play::{
    Played, Sumac, coordinator, engaged, job_when, operator, place, readiness, seat, settings, soon, spec, submit,
};
use std::{fs, sync::Arc};
use sumac::{
    picture::Picture,
    serve::{Coordinator, NotServing},
};
use sumac_common::{
    conversation::{Basis, Ending, Leaving, Order, Report, Standing, Wish},
    ids::{Generation, Step, Term, WorkerId},
};
use sumac_proto::{Down, Up, v1};
use tempfile::tempdir;
use tonic::Code;

#[tokio::test]
async fn a_worker_is_welcomed_prepared_and_given_a_roster() {
    let (state, output) = (tempdir().unwrap(), tempdir().unwrap());
    let coordinator = coordinator(state.path()).await;
    let mut a = Played::joins(&coordinator.url(), "a").await;
    let wanted = spec(output.path());
    let (_, job) = submit(&coordinator.url(), &wanted).await;

    let (prepared, spec) = a.is_prepared().await;
    assert_eq!((prepared.0.as_str(), spec), (job.id.as_str(), wanted));
    a.says(Report::Ready { job: prepared.clone(), readiness: readiness() }).await;
    let opening = a.is_opened().await;
    assert_eq!(opening.generation, Generation(1));
    assert_eq!(opening.basis, Basis::Saved);
    assert_eq!(opening.roster.iter().map(|place| place.worker.clone()).collect::<Vec<_>>(), [WorkerId::from("a")]);
    a.says(Report::Entered { job: prepared, generation: Generation(1), step: Step(0), redone: 0 }).await;
    let running = job_when(&coordinator.url(), &job.id, |job| job.state() == v1::JobState::Running).await;
    assert_eq!(running.roster, ["a"]);
    assert!(running.facts.iter().any(|fact| fact.class == "job" && fact.job.as_deref() == Some(&job.id)));
    coordinator.stop().await.unwrap();
}

/// C-2: terms and generations only grow, whatever restarts.
#[tokio::test]
async fn a_restarted_coordinator_goes_on_counting_where_it_was() {
    let (state, output) = (tempdir().unwrap(), tempdir().unwrap());
    let first = coordinator(state.path()).await;
    assert_eq!(first.term(), Term(1));
    let mut a = Played::joins(&first.url(), "a").await;
    let (_, job) = submit(&first.url(), &spec(output.path())).await;
    a.takes_part(0).await;
    job_when(&first.url(), &job.id, |job| job.state() == v1::JobState::Running).await;
    first.stop().await.unwrap();
    assert_eq!(a.hears().await, None, "a stopped coordinator ends its streams");

    let second = coordinator(state.path()).await;
    assert_eq!(second.term(), Term(2));
    let (mut a, term) = Played::attaches(&second.url(), seat("a", 1), Some(engaged(&job.id, 1, 70))).await;
    assert_eq!(term, Term(2));
    let remembered = job_when(&second.url(), &job.id, |job| job.state() == v1::JobState::Running).await;
    assert_eq!(remembered.generation, 1);

    let mut b = Played::joins(&second.url(), "b").await;
    let (prepared, _) = b.is_prepared().await;
    b.says(Report::Ready { job: prepared, readiness: readiness() }).await;
    assert_eq!(a.hears_wish().await, Wish::Regroup);
    let standing = Standing { engaged: None, ..engaged(&job.id, 1, 71) };
    a.says(Report::Left { generation: Generation(1), standing, why: Leaving::Told }).await;
    let opening = a.is_opened().await;
    assert_eq!(opening, b.is_opened().await);
    assert_eq!(opening.generation, Generation(2));
    assert!(matches!(opening.basis, Basis::Held { generation: Generation(1), .. }), "{:?}", opening.basis);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_coordinator_on_one_state_directory_is_refused() {
    let state = tempdir().unwrap();
    let first = coordinator(state.path()).await;
    let refused = Coordinator::start(place(state.path()), settings()).await.err().unwrap();
    assert!(refused.to_string().starts_with("another coordinator is using the state directory"), "{refused}");
    assert_eq!(fs::read_to_string(state.path().join("address")).unwrap().trim(), first.url());
    first.stop().await.unwrap();
    coordinator(state.path()).await.stop().await.unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_leaves_the_state_untouched() {
    let state = tempdir().unwrap();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = taken.local_addr().unwrap();
    let refused = Coordinator::start(sumac::serve::Place { listen, ..place(state.path()) }, settings()).await;
    assert!(matches!(refused.err(), Some(NotServing::PortTaken(address)) if address == listen));
    assert!(!state.path().join("state.db").exists());
}

#[tokio::test]
async fn a_worker_of_another_version_is_refused_with_both_versions() {
    let state = tempdir().unwrap();
    let coordinator = coordinator(state.path()).await;
    let other = sumac_common::conversation::Seat { version: "0.0.9".to_owned(), ..seat("a", 1) };
    let mut a = Played::opens(&coordinator.url(), Up::Join { seat: other, standing: None }).await.unwrap();
    let Some(Down::Refused(why)) = a.hears().await else { panic!("not refused") };
    assert!(why.contains("0.0.9") && why.contains(env!("CARGO_PKG_VERSION")), "{why}");
    assert_eq!(a.hears().await, None, "a refusal is the last word");
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_name_that_is_taken_stays_with_the_later_process() {
    let state = tempdir().unwrap();
    let coordinator = coordinator(state.path()).await;
    let (mut later, _) = Played::attaches(&coordinator.url(), seat("a", 2), None).await;
    let join = Up::Join { seat: seat("a", 1), standing: None };
    let mut earlier = Played::opens(&coordinator.url(), join).await.unwrap();
    assert!(matches!(earlier.hears().await, Some(Down::Refused(_))));
    let output = tempdir().unwrap();
    submit(&coordinator.url(), &spec(output.path())).await;
    later.is_prepared().await;
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_worker_that_attaches_again_is_heard_on_its_new_stream_only() {
    let (state, output) = (tempdir().unwrap(), tempdir().unwrap());
    let coordinator = coordinator(state.path()).await;
    let mut before = Played::joins(&coordinator.url(), "a").await;
    let (mut after, _) = Played::attaches(&coordinator.url(), seat("a", 1), None).await;
    assert_eq!(before.hears().await, None);
    submit(&coordinator.url(), &spec(output.path())).await;
    after.takes_part(0).await;
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_stream_that_does_not_begin_with_a_join_is_refused() {
    let state = tempdir().unwrap();
    let coordinator = coordinator(state.path()).await;
    let refused = Played::opens(&coordinator.url(), Up::Said(Report::Beat(None))).await.err().unwrap();
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "the first message of a stream is Join"));
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_death_that_its_parent_saw_is_known_at_once() {
    let (state, output) = (tempdir().unwrap(), tempdir().unwrap());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let mut a = Played::joins(&url, "a").await;
    let mut b = Played::joins(&url, "b").await;
    let (_, job) = submit(&url, &spec(output.path())).await;
    let (prepared, _) = a.is_prepared().await;
    b.is_prepared().await;
    b.says(Report::Ready { job: prepared.clone(), readiness: readiness() }).await;
    let alone = b.is_opened().await;
    b.says(Report::Entered { job: prepared.clone(), generation: alone.generation, step: Step(0), redone: 0 }).await;
    a.says(Report::Ready { job: prepared, readiness: readiness() }).await;
    assert_eq!(b.hears_wish().await, Wish::Regroup);

    let died = v1::DiedRequest { worker: "b".to_owned(), incarnation: 1 };
    assert!(operator(&url).await.died(died).await.unwrap().into_inner().known);
    let opening = a.is_opened().await;
    assert_eq!(opening.roster.len(), 1);
    assert_eq!(opening.basis, Basis::Saved, "what only the dead one held is gone");
    let workers = operator(&url).await.list_workers(v1::ListWorkersRequest {}).await.unwrap().into_inner().workers;
    let b = workers.iter().find(|worker| worker.name == "b").unwrap();
    assert_eq!((b.presence(), b.cause.as_deref()), (v1::Presence::Lost, Some("its process ended")));
    assert_eq!(job_when(&url, &job.id, |job| job.generation == 2).await.roster, ["a"]);
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn nobody_is_known_by_a_name_that_never_joined() {
    let state = tempdir().unwrap();
    let coordinator = coordinator(state.path()).await;
    let died = v1::DiedRequest { worker: "ghost".to_owned(), incarnation: 1 };
    assert!(!operator(&coordinator.url()).await.died(died).await.unwrap().into_inner().known);
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_cancelled_job_lets_its_workers_go() {
    let (state, output) = (tempdir().unwrap(), tempdir().unwrap());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let mut a = Played::joins(&url, "a").await;
    let (_, job) = submit(&url, &spec(output.path())).await;
    a.takes_part(0).await;
    operator(&url).await.cancel(v1::CancelRequest { job: job.id.clone() }).await.unwrap();
    assert!(matches!(a.hears_order().await, Order::Release { job: released, .. } if released.0 == job.id));
    job_when(&url, &job.id, |job| job.state() == v1::JobState::Cancelled).await;
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_watcher_sees_the_end_and_then_nothing() {
    let (state, output) = (tempdir().unwrap(), tempdir().unwrap());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let mut a = Played::joins(&url, "a").await;
    let (_, job) = submit(&url, &spec(output.path())).await;
    let request = v1::WatchJobRequest { job: job.id.clone() };
    let mut views = operator(&url).await.watch_job(request).await.unwrap().into_inner();
    let opening = a.takes_part(0).await;
    a.ends(&opening, 600, Ending::Finished).await;
    let mut last = None;
    while let Some(view) = views.message().await.unwrap() {
        last = Some(view);
    }
    let last = last.unwrap();
    assert_eq!((last.state(), last.step, last.saved), (v1::JobState::Finished, 600, Some(600)));
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_watcher_is_told_that_the_coordinator_ends() {
    let (state, output) = (tempdir().unwrap(), tempdir().unwrap());
    let coordinator = coordinator(state.path()).await;
    let (_, job) = submit(&coordinator.url(), &spec(output.path())).await;
    let request = v1::WatchJobRequest { job: job.id };
    let mut views = operator(&coordinator.url()).await.watch_job(request).await.unwrap().into_inner();
    views.message().await.unwrap().unwrap();
    coordinator.stop().await.unwrap();
    let ended = loop {
        match views.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended as if the job had"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::Unavailable, "{ended:?}");
}

#[tokio::test]
async fn the_death_of_one_that_was_not_welcome_is_not_that_of_its_namesake() {
    let (state, output) = (tempdir().unwrap(), tempdir().unwrap());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let mut a = Played::joins(&url, "a").await;
    let (_, job) = submit(&url, &spec(output.path())).await;
    a.takes_part(0).await;
    let died = v1::DiedRequest { worker: "a".to_owned(), incarnation: 2 };
    assert!(!operator(&url).await.died(died).await.unwrap().into_inner().known);
    let workers = operator(&url).await.list_workers(v1::ListWorkersRequest {}).await.unwrap().into_inner().workers;
    assert_eq!(workers[0].presence(), v1::Presence::Here);
    job_when(&url, &job.id, |job| job.state() == v1::JobState::Running).await;
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn who_serves_may_hold_as_many_files_open_as_the_system_lets_it() {
    let sumac = Sumac::new();
    let few = ["sh", "-c", "ulimit -S -n 256; exec \"$0\" \"$@\""];
    let mut serve = sumac.starts(&mut sumac.command_by(&few, &["serve", "--listen", "127.0.0.1:0"]));
    serve.serves().await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", serve.child.id().unwrap())).unwrap();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let mut soft_and_hard = files.split_whitespace();
    assert_eq!(soft_and_hard.next(), soft_and_hard.next(), "{files}");
}

#[tokio::test]
async fn a_picture_shares_with_the_one_before_what_did_not_change() {
    let state = tempdir().unwrap();
    let coordinator = coordinator(state.path()).await;
    let (a, _b) = (Played::joins(&coordinator.url(), "a").await, Played::joins(&coordinator.url(), "b").await);
    let mut picture = coordinator.picture();
    let before = soon("both", picture.wait_for(|picture| picture.workers.len() == 2)).await.unwrap().clone();
    let is_shared = |now: &Picture, at: usize| Arc::ptr_eq(&before.workers[at], &now.workers[at]);
    a.says(Report::Beat(None)).await;
    let after = soon("the beat", picture.wait_for(|now| !is_shared(now, 0))).await.unwrap().clone();
    assert!(is_shared(&after, 1), "nothing was heard of b");
    coordinator.stop().await.unwrap();
}
