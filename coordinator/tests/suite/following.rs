//! What those are told who follow or wait for a job.

use crate::play::{
    Played, Running, Sumac, coordinator, engaged, job_when, operator, place, seat, settings, soon, spec, submit,
};
use std::time::Duration;
use sumac::serve::{Coordinator, Place};
use sumac_common::{
    checkpoint::Saved,
    cluster::Settings,
    conversation::{Ending, Report},
    ids::Step,
};
use sumac_proto::v1;
use tempfile::tempdir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::ChildStderr,
};

/// What a command says on stderr, line by line.
struct Aside {
    lines: Lines<BufReader<ChildStderr>>,
    said: Vec<String>,
}

impl Aside {
    fn of(running: &mut Running) -> Self {
        Self { lines: BufReader::new(running.child.stderr.take().unwrap()).lines(), said: Vec::new() }
    }

    async fn line(&mut self) -> Option<String> {
        let line = soon("a line on stderr", self.lines.next_line()).await.unwrap()?;
        self.said.push(line.trim().to_owned());
        Some(line)
    }

    async fn says(&mut self, part: &str) {
        while let Some(line) = self.line().await {
            if line.contains(part) {
                return;
            }
        }
        panic!("it ended before it said `{part}`: {:#?}", self.said);
    }

    async fn rest(mut self) -> Vec<String> {
        while self.line().await.is_some() {}
        self.said
    }
}

impl Sumac {
    /// Follows a new job from before anything happens to it.
    async fn follows(&self, url: &str) -> (Running, Aside) {
        self.job_file();
        let mut follow = self.starts(&mut self.command(&["submit", "job.toml", "-f", "--coordinator", url]));
        let mut aside = Aside::of(&mut follow);
        aside.says("queued ").await;
        (follow, aside)
    }
}

#[tokio::test]
async fn who_goes_on_into_a_pipe_ends_when_nobody_reads_it() {
    let (state, output, sumac) = (tempdir().unwrap(), tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let (_, job) = submit(&url, &spec(output.path())).await;
    let _worker = Played::joins(&url, "a").await;
    for words in [
        &["jobs", "-w"][..],
        &["workers", "-w", "-o", "json"],
        &["status", "-w"],
        &["job", &job.id, "-w"],
        &["events", "-f"],
        &["logs", "-f"],
    ] {
        let Running { mut child, mut lines, .. } =
            sumac.starts(&mut sumac.command(&[words, &["--coordinator", &url]].concat()));
        // Nothing more is to come that would tell it.
        if words[0] != "logs" {
            soon("its first line", lines.next_line()).await.unwrap().unwrap();
        }
        drop(lines);
        soon("its end", child.wait()).await.unwrap();
    }
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_follower_is_told_each_new_fact_once() {
    let (state, sumac) = (tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let (follow, mut aside) = sumac.follows(&url).await;
    let mut a = Played::joins(&url, "a").await;
    let job = a.takes_part(0).await.job;
    aside.says("generation 1 goes on").await;
    operator(&url).await.died(v1::DiedRequest { worker: "a".to_owned(), incarnation: 1 }).await.unwrap();
    let mut b = Played::joins(&url, "b").await;
    let opening = b.takes_part(0).await;
    aside.says("generation 2 goes on").await;
    let described = sumac.command(&["job", &job.0, "--coordinator", &url]).env("CLICOLOR_FORCE", "1").output();
    let described = String::from_utf8(soon("the job", described).await.unwrap().stdout).unwrap();
    assert!(described.contains("\x1b[33mincident"), "{described:?}");

    b.ends(&opening, 600, Ending::Finished).await;
    let said = aside.rest().await;
    follow.ends().await.with(0);
    for fact in [
        "job       generation 1 opened: a from the last checkpoint, or the start",
        "job       generation 1 goes on at step 0",
        "detail    generation 1 closed: a was lost: its process ended",
        "job       generation 2 opened: b from the last checkpoint, or the start",
        "job       generation 2 goes on at step 0",
    ] {
        assert_eq!(said.iter().filter(|line| *line == fact).count(), 1, "{fact} in {said:#?}");
    }
    for old_or_told_elsewhere in ["submitted", "finished"] {
        assert!(!said.iter().any(|line| line.contains(old_or_told_elsewhere)), "{said:#?}");
    }
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_failure_is_one_incident_with_its_cause_and_what_the_others_said() {
    let (state, sumac) = (tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let (follow, mut aside) = sumac.follows(&url).await;
    let mut a = Played::joins(&url, "a").await;
    let job = a.takes_part(0).await.job;
    aside.says("generation 1 goes on").await;
    operator(&url).await.died(v1::DiedRequest { worker: "a".to_owned(), incarnation: 1 }).await.unwrap();
    let mut b = Played::joins(&url, "b").await;
    let opening = b.takes_part(0).await;
    aside.says("went on at step 0 as generation 2").await;

    let events = sumac.at(&url, &["events", &job.0]).await.with(0).stdout;
    let incidents: Vec<&str> = events.lines().filter(|line| line.contains("incident")).collect();
    assert!(incidents.len() == 1 && incidents[0].contains("a was lost: its process ended"), "{events}");
    assert!(!events.contains("detail"), "{events}");
    let all = sumac.at(&url, &["events", &job.0, "--all", "-o", "json"]).await.with(0).stdout;
    assert!(all.lines().any(|line| line.contains(r#""class":"detail""#)), "{all}");
    sumac.at(&url, &["events", "nobody"]).await.with(1);

    b.ends(&opening, 600, Ending::Finished).await;
    follow.ends().await.with(0);
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_restarted_coordinator_repeats_no_fact_to_a_follower() {
    let (state, sumac) = (tempdir().unwrap(), Sumac::new());
    let first = coordinator(state.path()).await;
    let (listen, url) = (first.address(), first.url());
    let (follow, mut aside) = sumac.follows(&url).await;
    let mut a = Played::joins(&url, "a").await;
    let opening = a.takes_part(0).await;
    aside.says("generation 1 goes on").await;
    first.stop().await.unwrap();
    let second = Coordinator::start(Place { listen, ..place(state.path()) }, settings()).await.unwrap();
    let standing = engaged(&opening.job.0, opening.generation.0, 100);
    let (a, _) = Played::attaches(&url, seat("a", 1), Some(standing)).await;
    a.says(Report::Saved { job: opening.job.clone(), step: Step(100), there: vec![] }).await;
    aside.says("checkpoint at step 100 saved").await;
    a.ends(&opening, 600, Ending::Finished).await;
    let said = aside.rest().await;
    follow.ends().await.with(0);
    assert_eq!(said.iter().filter(|line| line.contains("generation 1 opened")).count(), 1, "{said:#?}");
    second.stop().await.unwrap();
}

#[tokio::test]
async fn following_outlives_a_restart_of_the_coordinator() {
    let (state, sumac) = (tempdir().unwrap(), Sumac::new());
    let first = coordinator(state.path()).await;
    let (listen, url) = (first.address(), first.url());
    sumac.job_file();
    let mut follow = sumac.starts(&mut sumac.command(&["submit", "job.toml", "-f", "--coordinator", &url]));
    let line = follow.says("job").await;
    first.stop().await.unwrap();
    let second = Coordinator::start(Place { listen, ..place(state.path()) }, settings()).await.unwrap();
    let job = line.split_whitespace().next().unwrap().to_owned();
    operator(&url).await.cancel(v1::CancelRequest { job }).await.unwrap();
    let ended = follow.ends().await.with(5);
    assert!(ended.stdout.contains("cancelled"), "{ended:?}");
    second.stop().await.unwrap();
}

#[tokio::test]
async fn following_a_job_that_fails_is_exit_5_with_its_reason() {
    let (state, sumac) = (tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let mut a = Played::joins(&url, "a").await;
    let file = sumac.job_file();
    let args = ["submit", file.to_str().unwrap(), "-f", "--coordinator", &url];
    let follow = sumac.starts(&mut sumac.command(&args));
    let (job, _) = a.is_prepared().await;
    a.says(Report::Unable { job, why: "no image in /data/drawn".to_owned() }).await;
    let ended = follow.ends().await.with(5);
    assert!(ended.stdout.contains("failed") && ended.stdout.contains("no image in /data/drawn"), "{ended:?}");
    coordinator.stop().await.unwrap();
}

/// A job whose only member is gone, nobody knows where to.
async fn lost(url: &str, output: &std::path::Path) -> v1::Job {
    let mut a = Played::joins(url, "a").await;
    let (_, job) = submit(url, &spec(output)).await;
    a.takes_part(0).await;
    job_when(url, &job.id, |job| job.state() == v1::JobState::Running).await;
    drop(a);
    job_when(url, &job.id, |job| job.state() == v1::JobState::Waiting).await
}

#[tokio::test]
async fn who_stops_or_waits_for_a_job_of_lost_members_is_told_how_to_give_them_up() {
    let (state, output, sumac) = (tempdir().unwrap(), tempdir().unwrap(), Sumac::new());
    let hasty = Settings { reattach_within: Duration::ZERO, ..settings() };
    let coordinator = Coordinator::start(place(state.path()), hasty).await.unwrap();
    let url = coordinator.url();
    let job = lost(&url, output.path()).await.id;
    let mut wait = sumac.starts(&mut sumac.command(&["wait", &job, "--coordinator", &url]));
    let mut aside = Aside::of(&mut wait);
    aside.says(&format!("`sumac give-up {job}`")).await;

    let pause = sumac.at(&url, &["pause", &job]).await.with(1);
    assert!(pause.stderr.contains(&format!("nobody is there to pause {job}: all its members are silent")), "{pause:?}");
    assert!(pause.stderr.contains(&format!("`sumac give-up {job}`")), "{pause:?}");

    let given_up = sumac.at(&url, &["give-up", &job]).await.with(0);
    assert!(given_up.stdout.contains("goes back to its last checkpoint"), "{given_up:?}");
    sumac.at(&url, &["cancel", &job, "--yes"]).await.with(0);
    wait.ends().await.with(5);
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn the_checkpoints_that_are_there_are_listed_with_size_and_place() {
    let (state, sumac) = (tempdir().unwrap(), Sumac::new());
    let first = coordinator(state.path()).await;
    let (_follow, mut aside) = sumac.follows(&first.url()).await;
    let mut a = Played::joins(&first.url(), "a").await;
    let opening = a.takes_part(0).await;
    let job = opening.job.0.clone();
    let none = sumac.at(&first.url(), &["checkpoints", &job]).await.with(0);
    assert!(none.stdout.is_empty() && none.stderr.contains("has no checkpoint yet"), "{none:#?}");

    let saved = |step: u64| Saved { step: Step(step), bytes: 4_404_020, at_ms: 1_000 * step };
    for there in [vec![saved(100), saved(200)], vec![saved(200), saved(300)]] {
        let step = there[1].step;
        a.says(Report::Saved { job: opening.job.clone(), step, there }).await;
        aside.says(&format!("checkpoint at step {step} saved")).await;
    }
    first.stop().await.unwrap();

    let second = coordinator(state.path()).await;
    let listed = sumac.at(&second.url(), &["checkpoints", &job, "-o", "json"]).await.with(0).json();
    let of =
        |field: &str| listed["items"].as_array().unwrap().iter().map(|item| item[field].clone()).collect::<Vec<_>>();
    assert_eq!(of("step"), [200, 300]);
    assert_eq!(of("bytes"), [4_404_020, 4_404_020]);
    assert_eq!(of("at"), ["1970-01-01T00:03:20Z", "1970-01-01T00:05:00Z"]);
    assert!(of("path")[1].as_str().unwrap().ends_with("runs/checkpoints/step-000000300"), "{listed}");
    let table = sumac.at(&second.url(), &["checkpoints", &job]).await.with(0).stdout;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["STEP", "AGE", "SIZE", "PATH"]);
    assert_eq!((rows.len(), rows[2][0], &rows[2][2..4]), (3, "300", ["4.2", "MiB"].as_slice()), "{table}");
    second.stop().await.unwrap();
}
