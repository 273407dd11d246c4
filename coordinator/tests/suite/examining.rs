//! `doctor --cluster`, as the coordinator has it done: who is asked what, and what becomes of the answers.

use crate::play::{Played, coordinator, job_text, operator, place, seat, settings, soon};
use std::time::{Duration, SystemTime};
use sumac::serve::Coordinator;
use sumac_common::{
    cluster::Settings,
    conversation::Seat,
    examination::{self, Answer, Examination, Finding, Grade},
    ids::NodeId,
};
use sumac_proto::{Down, Up, v1};

async fn joins(url: &str, worker: &str, node: &str) -> Played {
    let seat = Seat { node: NodeId(node.to_owned()), ..seat(worker, 1) };
    Played::attaches(url, seat, None).await.0
}

async fn is_asked(worker: &mut Played) -> (u64, Examination) {
    match worker.hears().await {
        Some(Down::Examine { number, what }) => (number, what),
        other => panic!("not asked but told {other:?}"),
    }
}

fn answer(engine: &str, findings: Vec<Finding>) -> Answer {
    Answer { engine: engine.to_owned(), findings }
}

/// Each place with what was found there, in the order in which it came.
async fn examine(url: String, spec_toml: Option<String>) -> Vec<(String, Vec<Finding>)> {
    let mut answers = operator(&url).await.examine(v1::ExamineRequest { spec_toml }).await.unwrap().into_inner();
    let mut found = Vec::new();
    while let Some(v1::Examination { place, findings, .. }) = soon("a finding", answers.message()).await.unwrap() {
        found.push((place, findings.into_iter().map(|finding| finding.try_into().unwrap()).collect()));
    }
    found
}

#[tokio::test]
async fn each_machine_looks_at_the_others_and_what_it_finds_is_told_under_its_name() {
    let room = tempfile::tempdir().unwrap();
    let coordinator = coordinator(room.path()).await;
    let mut one = joins(&coordinator.url(), "a-0", "a").await;
    let mut other = joins(&coordinator.url(), "b-0", "b").await;
    let told = tokio::spawn(examine(coordinator.url(), None));
    let (number, what) = is_asked(&mut one).await;
    let Examination::Look { peers, job: None, token: None } = what else { panic!("{what:?}") };
    assert_eq!(peers.iter().map(|peer| peer.node.0.as_str()).collect::<Vec<_>>(), ["b"]);
    let unreached = Finding::bad("a -> b: timed out", "open the ports");
    let at = SystemTime::now();
    one.tells(Up::Examined { number, at, answer: answer("libtorch 2.11.0, AVX2", vec![unreached.clone()]) }).await;
    let (number, _) = is_asked(&mut other).await;
    let late = at - Duration::from_secs(3_600);
    other.tells(Up::Examined { number, at: late, answer: answer("libtorch 2.11.0, AVX512", vec![]) }).await;
    let found = soon("all findings", told).await.unwrap();
    assert_eq!(found.iter().map(|(place, _)| place.as_str()).collect::<Vec<_>>(), ["coordinator", "a", "b", "cluster"]);
    let grades = |place: usize| found[place].1.iter().map(|finding| finding.grade).collect::<Vec<_>>();
    assert_eq!(found[1].1.last(), Some(&unreached));
    assert_eq!(grades(2), [Grade::Odd], "an hour behind: {:?}", found[2]);
    assert_eq!(grades(3), [Grade::Bad], "two kinds of processors: {:?}", found[3]);
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_machine_that_does_not_answer_is_named() {
    let room = tempfile::tempdir().unwrap();
    let hasty = Settings { look_within: Duration::ZERO, ..settings() };
    let coordinator = Coordinator::start(place(room.path()), hasty).await.unwrap();
    let _mute = joins(&coordinator.url(), "a-0", "a").await;
    let found = examine(coordinator.url(), None).await;
    assert_eq!(found.iter().map(|(place, _)| place.as_str()).collect::<Vec<_>>(), ["coordinator", "a", "cluster"]);
    assert_eq!(found[1].1, [examination::silent(Duration::ZERO)]);
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn what_machines_left_for_each_other_is_taken_away_also_when_who_asked_hangs_up() {
    let room = tempfile::tempdir().unwrap();
    let coordinator = coordinator(room.path()).await;
    let mut workers = [joins(&coordinator.url(), "a-0", "a").await, joins(&coordinator.url(), "b-0", "b").await];
    let spec_toml = Some(job_text(&room.path().join("runs")));
    let mut operator = operator(&coordinator.url()).await;
    let answers = operator.examine(v1::ExamineRequest { spec_toml }).await.unwrap().into_inner();
    let mut numbers = Vec::new();
    for worker in &mut workers {
        numbers.push(is_asked(worker).await.0);
    }
    drop((answers, operator));
    for (worker, number) in workers.iter_mut().zip(numbers) {
        worker.tells(Up::Examined { number, at: SystemTime::now(), answer: answer("alike", vec![]) }).await;
    }
    for worker in &mut workers {
        let cleared = async { while !matches!(is_asked(worker).await, (_, Examination::Clear { .. })) {} };
        soon("to be told to clear", cleared).await;
    }
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn machines_that_are_to_share_an_output_folder_look_for_each_others_files_and_take_their_own_away() {
    let room = tempfile::tempdir().unwrap();
    let coordinator = coordinator(room.path()).await;
    let mut workers = [joins(&coordinator.url(), "a-0", "a").await, joins(&coordinator.url(), "b-0", "b").await];
    let job = job_text(&room.path().join("runs"));
    let told = tokio::spawn(examine(coordinator.url(), Some(job)));
    let mut tokens = Vec::new();
    for worker in &mut workers {
        let (number, what) = is_asked(worker).await;
        let Examination::Look { job: Some(_), token: Some(token), .. } = what else { panic!("{what:?}") };
        tokens.push(token);
        worker.tells(Up::Examined { number, at: SystemTime::now(), answer: answer("alike", vec![]) }).await;
    }
    let unseen = Finding::bad("b does not see what a wrote", "share it");
    for (worker, findings) in workers.iter_mut().zip([vec![], vec![unseen.clone()]]) {
        let (number, what) = is_asked(worker).await;
        let Examination::Compare { nodes, token, .. } = what else { panic!("{what:?}") };
        assert_eq!((nodes.len(), &token), (2, &tokens[0]));
        worker.tells(Up::Examined { number, at: SystemTime::now(), answer: answer("alike", findings) }).await;
    }
    for worker in &mut workers {
        assert!(matches!(is_asked(worker).await, (_, Examination::Clear { token, .. }) if token == tokens[0]));
    }
    let found = soon("all findings", told).await.unwrap();
    assert!(found.last().unwrap().1.contains(&unseen), "{found:?}");
    coordinator.stop().await.unwrap();
}
