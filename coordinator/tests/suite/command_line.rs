//! The real binary: exit codes, tables, JSON, sentences.

use crate::play::{Played, Sumac, coordinator, job_when, operator, place, readiness, settings, soon, spec, submit};
use std::{
    net::TcpListener,
    time::{Duration, SystemTime},
};
use sumac::serve::Coordinator;
use sumac_common::{
    cluster::{Presence, Settings},
    conversation::{Beat, Doing, Ending, Report, SlowWorker},
    ids::Step,
    logging::{Level, Line},
    losses::{Losses, Mean},
    pace::Times,
};
use sumac_proto::{Up, v1};
use tempfile::tempdir;

#[tokio::test]
async fn a_misspelt_command_is_usage_and_gets_a_tip() {
    let ended = Sumac::new().runs(&["jbos"]).await.with(2);
    assert!(ended.stderr.contains("'jobs'"), "{ended:?}");
}

#[tokio::test]
async fn a_coordinator_that_is_not_there_is_exit_3_with_cause_and_hint() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    for command in [
        &["status"][..],
        &["jobs"],
        &["nodes"],
        &["node", "x"],
        &["workers"],
        &["logs"],
        &["job", "x"],
        &["wait", "x"],
        &["cancel", "x", "--yes"],
    ] {
        let ended = Sumac::new().at(&url, command).await.with(3);
        assert!(ended.stderr.contains(&format!("cannot reach the coordinator at {url}")), "{ended:?}");
        assert!(ended.stderr.contains("cause: Connection refused"), "{ended:?}");
        assert!(ended.stderr.contains("hint: is it running?"), "{ended:?}");
    }
}

#[tokio::test]
async fn what_several_processes_log_is_told_in_time_and_their_names_each_once() {
    let (state, sumac) = (tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let line = |second: u64| Line {
        at: SystemTime::now() + Duration::from_secs(second),
        level: Level::Warn,
        text: format!("number {second}"),
        job: None,
        generation: None,
        step: None,
    };
    let (a, b) = (Played::joins(&url, "a").await, Played::joins(&url, "b").await);
    a.tells(Up::Logged(vec![line(1), line(3)])).await;
    b.tells(Up::Logged(vec![line(2)])).await;
    let logs =
        async |words: &[&str]| sumac.at(&url, &[&["logs", "--level", "warn"], words].concat()).await.with(0).stdout;
    soon("all three", async { while logs(&[]).await.lines().count() < 3 {} }).await;
    let told = logs(&[]).await;
    let numbers: Vec<&str> = told.lines().filter_map(|line| line.trim_end().split("number ").nth(1)).collect();
    assert_eq!(numbers, ["1", "2", "3"], "{told}");
    assert_eq!(logs(&["-o", "name"]).await, "a\nb\n");
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn an_address_without_http_is_usage_and_shown_right() {
    let jobs = Sumac::new().runs(&["jobs", "--coordinator", "localhost:7070"]).await.with(2);
    assert!(jobs.stderr.contains("`localhost:7070` is not the URL") && jobs.stderr.contains("http://HOST"), "{jobs:?}");
}

#[tokio::test]
async fn more_workers_than_lanes_are_refused_with_both_numbers() {
    let (state, sumac) = (tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    sumac.job_file();
    sumac.at(&url, &["submit", "job.toml"]).await.with(0);
    let scale = sumac.at(&url, &["scale", "eyes", "--workers", "99"]).await.with(2);
    assert!(scale.stderr.contains("lanes") && scale.stderr.contains("not on 99"), "{scale:?}");
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_job_file_with_faults_is_exit_2_with_each_of_them() {
    let sumac = Sumac::new();
    sumac.file("job.toml", "name = \"eyes\"\n[train]\nlamda = 0.5\nbatch = 63\n");
    let ended = sumac.runs(&["submit", "job.toml"]).await.with(2);
    assert!(ended.stderr.starts_with("error: job.toml: "), "{ended:?}");
    assert!(ended.stderr.contains("lamda") && ended.stderr.contains("batch"), "{ended:?}");
}

#[tokio::test]
async fn a_job_file_that_is_not_there_is_exit_2() {
    let ended = Sumac::new().runs(&["submit", "nowhere.toml"]).await.with(2);
    assert!(ended.stderr.contains("cannot read the job file nowhere.toml"), "{ended:?}");
}

#[tokio::test]
async fn listening_beyond_this_machine_needs_a_word() {
    let sumac = Sumac::new();
    let ended = sumac.runs(&["serve", "--listen", "0.0.0.0:0"]).await.with(2);
    assert!(ended.stderr.contains("can be reached from other machines"), "{ended:?}");
    assert!(ended.stderr.contains("--insecure"), "{ended:?}");
    assert!(!sumac.folder.path().join(".sumac").exists(), "a refused serve leaves nothing behind");
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let ended = Sumac::new().runs(&["serve", "--listen", &address.to_string()]).await.with(1);
    assert!(ended.stderr.contains(&format!("port {} of 127.0.0.1 is taken", address.port())), "{ended:?}");
}

#[tokio::test]
async fn a_state_directory_in_use_is_said_so() {
    let sumac = Sumac::new();
    let held = coordinator(&sumac.folder.path().join(".sumac")).await;
    let ended = sumac.runs(&["serve", "--listen", "127.0.0.1:0"]).await.with(1);
    assert!(ended.stderr.contains("another coordinator is using the state directory .sumac"), "{ended:?}");
    held.stop().await.unwrap();
}

#[tokio::test]
async fn exit_codes_are_documented_where_the_manual_says() {
    let ended = Sumac::new().runs(&["help", "exit-codes"]).await.with(0);
    for code in ["0", "1", "2", "3", "5", "6", "130"] {
        let is_listed = ended.stdout.lines().any(|line| line.trim_start().starts_with(&format!("{code}  ")));
        assert!(is_listed, "{code} in {}", ended.stdout);
    }
}

pub(crate) fn beat(job: &str, step: u64) -> Report {
    let losses = Losses {
        realism: Mean::of(4.2, 20),
        regularisation: Mean::of(6.84, 20),
        on_refined: Mean::of(14.0, 20),
        on_real: Mean::of(12.0, 20),
        ..Losses::default()
    };
    Report::Beat(Some(Beat {
        job: job.into(),
        doing: Doing::Training,
        generation: sumac_common::ids::Generation(1),
        step: Step(step),
        losses,
        steps_per_second: 11.8,
        images_per_second: 6_042.0,
        history: 512,
        times: Times {
            data_us: 1_000.0,
            forward_us: 20_000.0,
            backward_us: 40_000.0,
            guard_us: 2_000.0,
            reduce_us: 12_000.0,
            optimiser_us: 3_000.0,
            waiting_us: 22_000.0,
        },
        waits_ms: 0,
        shares: None,
        slow: Some(SlowWorker { worker: "local-0".into(), own_us: 61_000.0, others_us: 20_000.0 }),
    }))
}

#[tokio::test]
async fn jobs_and_workers_show_a_running_job_as_tables_and_as_json() {
    let (state, output, sumac) = (tempdir().unwrap(), tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let mut a = Played::joins(&url, "local-0").await;
    let (_, job) = submit(&url, &spec(output.path())).await;
    a.takes_part(0).await;
    a.says(beat(&job.id, 120)).await;
    job_when(&url, &job.id, |job| job.step == 120).await;

    let table = sumac.at(&url, &["jobs"]).await.with(0).stdout;
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["JOB", "KIND", "STATE", "STEP", "WORKERS", "STEP/S", "ETA", "LOSS", "R/D", "AGE", "REASON"]);
    assert_eq!(lines[1][..8], [job.id.as_str(), "train", "running", "120/600", "20%", "1/2", "11.8", "40s"]);
    assert!(!table.contains('\x1b'), "no colour where it is piped: {table:?}");

    let json = sumac.at(&url, &["jobs", "-o", "json"]).await.with(0).json();
    assert_eq!(json["apiVersion"], "sumac/v1");
    let item = &json["items"][0];
    assert_eq!((&item["id"], &item["state"], &item["step"]), (&job.id.clone().into(), &"running".into(), &120.into()));
    assert!((item["losses"]["discriminator"].as_f64().unwrap() - 0.65).abs() < 1e-9, "{item}");
    assert!((item["losses"]["realism"].as_f64().unwrap() - 0.21).abs() < 1e-9, "{item}");

    let workers = sumac.at(&url, &["workers"]).await.with(0).stdout;
    assert!(workers.starts_with("WORKER   NODE  STATE     DEVICE"), "{workers}");
    assert!(workers.contains("local-0  here  training  cpu (played)"), "{workers}");
    assert!(workers.contains("61.0/22.0"), "{workers}");
    let json = sumac.at(&url, &["workers", "-o", "json"]).await.with(0).json();
    assert_eq!(json["items"][0]["job"], job.id.as_str());
    assert_eq!(json["items"][0]["step_ms"]["backward"], 40.0);

    let described = sumac.at(&url, &["job", "ey"]).await.with(0).stdout;
    assert!(described.contains("120/600 20%") && described.contains("last events"), "{described}");
    let part = |name: &str| described.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default();
    let heads: Vec<&str> = part("worker ").split_whitespace().collect();
    assert_eq!(heads[1..4], ["data", "forward", "backward"], "{described}");
    let parts: Vec<&str> = part("local-0 ").split_whitespace().collect();
    assert_eq!(parts[1..], ["1%", "20%", "40%", "2%", "12%", "3%", "22%", "100.0", "ms"], "{described}");
    assert!(described.contains("generations\n  1  ") && described.contains("from step 0"), "{described}");
    assert!(described.contains("slow      local-0: 61.0 ms of its own work in a step, the others 20.0"), "{described}");
    let events = sumac.at(&url, &["events"]).await.with(0).stdout;
    assert!(events.contains("local-0 is slow: 61.0 ms of its own in a step, the others 20.0"), "{events}");
    let json = sumac.at(&url, &["job", &job.id, "-o", "json"]).await.with(0).json();
    assert_eq!((&json["apiVersion"], &json["id"]), (&"sumac/v1".into(), &job.id.clone().into()));
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_job_that_does_not_run_has_losses_and_no_speed() {
    let (state, output, sumac) = (tempdir().unwrap(), tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let mut a = Played::joins(&url, "a").await;
    let (_, job) = submit(&url, &spec(output.path())).await;
    let opening = a.takes_part(0).await;
    a.says(beat(&job.id, 600)).await;
    let running = job_when(&url, &job.id, |job| job.step == 600).await;
    assert_eq!(running.state(), v1::JobState::Running);
    let described = sumac.at(&url, &["job", &job.id]).await.with(0).stdout;
    assert!(described.contains("11.8 step/s  6,042 images/s   eta 0s"), "{described}");

    a.ends(&opening, 600, Ending::Finished).await;
    job_when(&url, &job.id, |job| job.state() == v1::JobState::Finished).await;
    let json = sumac.at(&url, &["job", &job.id, "-o", "json"]).await.with(0).json();
    for field in ["steps_per_second", "images_per_second", "eta_seconds"] {
        assert!(json[field].is_null(), "{field} of {json}");
    }
    assert!((json["losses"]["realism"].as_f64().unwrap() - 0.21).abs() < 1e-9, "{json}");
    let table = sumac.at(&url, &["jobs"]).await.with(0).stdout;
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[2..8], ["finished", "600/600", "100%", "0/2", "-", "-"]);
    let described = sumac.at(&url, &["job", &job.id]).await.with(0).stdout;
    assert!(described.contains("progress  600/600 100%\n"), "{described}");
    assert!(described.contains("so far    1 worker, 1 generation, 0 steps done again"), "{described}");
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_suspect_worker_is_neither_busy_nor_idle() {
    let (state, sumac) = (tempdir().unwrap(), Sumac::new());
    let patient = Settings { reattach_within: Duration::from_secs(600), ..settings() };
    let coordinator = Coordinator::start(place(state.path()), patient).await.unwrap();
    let url = coordinator.url();
    let _here = Played::joins(&url, "a").await;
    let one = sumac.at(&url, &["workers"]).await.with(0).stdout;
    assert!(one.ends_with("1 worker: 0 busy, 1 idle, 0 drained, 0 suspect, 0 lost, 0 left\n"), "{one}");
    drop(Played::joins(&url, "b").await);
    let mut picture = coordinator.picture();
    let suspected = picture
        .wait_for(|picture| picture.workers.iter().any(|worker| matches!(worker.presence, Presence::Suspect(_))));
    drop(soon("a suspect", suspected).await.unwrap());
    let two = sumac.at(&url, &["workers"]).await.with(0).stdout;
    assert!(two.ends_with("2 workers: 0 busy, 1 idle, 0 drained, 1 suspect, 0 lost, 0 left\n"), "{two}");
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn an_unknown_job_is_answered_with_the_nearest() {
    let (state, output) = (tempdir().unwrap(), tempdir().unwrap());
    let coordinator = coordinator(state.path()).await;
    let (_, job) = submit(&coordinator.url(), &spec(output.path())).await;
    let ended = Sumac::new().at(&coordinator.url(), &["job", "eyse"]).await.with(1);
    assert!(ended.stderr.contains("no job is called `eyse`"), "{ended:?}");
    assert!(ended.stderr.contains(&format!("did you mean {}?", job.id)), "{ended:?}");
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn wait_returns_0_when_there_5_when_it_ended_otherwise_6_when_too_late() {
    let (state, output, sumac) = (tempdir().unwrap(), tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let mut a = Played::joins(&url, "a").await;
    let (_, job) = submit(&url, &spec(output.path())).await;
    let late = sumac.at(&url, &["wait", &job.id, "--timeout", "1ms"]).await.with(6);
    assert!(late.stderr.contains("within 1ms"), "{late:?}");

    let opening = a.takes_part(0).await;
    sumac.at(&url, &["wait", &job.id, "--for", "running"]).await.with(0);
    a.says(beat(&job.id, 120)).await;
    sumac.at(&url, &["wait", &job.id, "--for", "step=100"]).await.with(0);
    a.ends(&opening, 600, Ending::Finished).await;
    let done = sumac.at(&url, &["wait", &job.id]).await.with(0);
    assert_eq!(done.stdout.trim(), format!("{} finished at step 600/600", job.id));

    let (_, again) = submit(&url, &spec(output.path())).await;
    operator(&url).await.cancel(v1::CancelRequest { job: again.id.clone() }).await.unwrap();
    let ended = sumac.at(&url, &["wait", &again.id]).await.with(5);
    assert!(ended.stderr.contains("cancelled"), "{ended:?}");
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn cancel_from_a_script_has_to_say_yes() {
    let (state, output, sumac) = (tempdir().unwrap(), tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let (_, job) = submit(&url, &spec(output.path())).await;
    let asked = sumac.at(&url, &["cancel", &job.id]).await.with(2);
    assert!(asked.stderr.contains("--yes"), "{asked:?}");
    job_when(&url, &job.id, |job| job.state() == v1::JobState::Queued).await;
    sumac.at(&url, &["cancel", "eyes", "--yes"]).await.with(0);
    job_when(&url, &job.id, |job| job.state() == v1::JobState::Cancelled).await;
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_dry_run_prints_the_resolved_job_and_changes_nothing() {
    let (state, sumac) = (tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let file = sumac.job_file();
    let args = ["submit", file.to_str().unwrap(), "--dry-run", "--set", "train.seed=11", "--name", "other"];
    let shown = sumac.at(&coordinator.url(), &args).await.with(0).stdout;
    assert!(shown.contains("name = \"other\"") && shown.contains("seed = 11"), "{shown}");
    assert!(shown.contains("# placement      queued: 0 workers free, at least 1 needed"), "{shown}");
    let jobs = operator(&coordinator.url()).await.list_jobs(v1::ListJobsRequest {}).await.unwrap();
    assert!(jobs.into_inner().jobs.is_empty());
    let read = sumac_common::spec::read(&shown, &[]).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(read.what.train.seed, 11, "what a dry run prints is a job file");
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn submit_says_which_job_it_became_and_that_it_is_there_already() {
    let (state, sumac) = (tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let file = sumac.job_file();
    let first = sumac.at(&coordinator.url(), &["submit", file.to_str().unwrap()]).await.with(0);
    assert!(first.stdout.contains("eyes-") && first.stdout.contains("queued"), "{first:?}");
    let second = sumac.at(&coordinator.url(), &["submit", file.to_str().unwrap()]).await.with(0);
    assert!(second.stdout.contains("already queued"), "{second:?}");
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn version_tells_both_sides() {
    let (state, sumac) = (tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let json = sumac.at(&coordinator.url(), &["version", "-o", "json"]).await.with(0).json();
    assert_eq!((&json["version"], &json["coordinator"]["term"]), (&env!("CARGO_PKG_VERSION").into(), &1.into()));
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn the_coordinator_of_this_folder_is_found_without_a_flag() {
    let sumac = Sumac::new();
    let coordinator = coordinator(&sumac.folder.path().join(".sumac")).await;
    let ended = sumac.runs(&["nodes"]).await.with(0);
    assert!(ended.stderr.contains("no worker has joined yet"), "{ended:?}");
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_ready_worker_of_other_images_is_shown_with_the_reason() {
    let (state, output, sumac) = (tempdir().unwrap(), tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let mut a = Played::joins(&url, "a").await;
    let (_, job) = submit(&url, &spec(output.path())).await;
    a.takes_part(0).await;
    let mut b = Played::joins(&url, "b").await;
    let (prepared, _) = b.is_prepared().await;
    let other = sumac_common::conversation::Readiness { data: sumac_common::ids::Digest::of(b"other"), ..readiness() };
    b.says(Report::Ready { job: prepared, readiness: other }).await;
    b.hears_order().await;
    let shown = sumac.at(&url, &["job", &job.id]).await.with(0).stdout;
    assert!(shown.contains("its images are not the ones the run began with"), "{shown}");
    coordinator.stop().await.unwrap();
}
