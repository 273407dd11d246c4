//! `serve` and `up` as processes: killed, drained, with workers that cannot run.

use crate::play::{Played, Sumac, job_when, operator, soon, submit};
use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt as _;
use sumac_common::conversation::{Ending, Wish};
use sumac_proto::v1;
use tokio::process::Command;

impl Sumac {
    /// A program that stands in for `sumac-worker node`.
    fn worker(&self, script: &str) -> std::path::PathBuf {
        let path = self.file("worker.sh", &format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn up(&self, script: &str, args: &[&str]) -> Command {
        let mut command = self.command(&[&["up"], args].concat());
        command.env("SUMAC_WORKER_BIN", self.worker(script));
        command
    }
}

/// A process that joins nowhere; the test joins in its place. It ends by itself where nobody ends it.
const ABSENT: &str = "exec sleep 60";

#[tokio::test]
async fn a_killed_coordinator_forgets_no_job() {
    let sumac = Sumac::new();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--state", "state"];
    let mut first = sumac.starts(&mut sumac.command(&serve));
    let url = first.serves().await;
    let spec = crate::play::spec(&sumac.folder.path().join("runs"));
    let (_, job) = submit(&url, &spec).await;
    first.signal(Signal::KILL);
    assert_eq!(first.ends().await.code, None);

    let mut second = sumac.starts(&mut sumac.command(&serve));
    assert!(second.says("state").await.ends_with("term 2"));
    let url = second.serves().await;
    let remembered = job_when(&url, &job.id, |_| true).await;
    assert_eq!(remembered.state(), v1::JobState::Queued);
    assert_eq!(sumac_common::spec::read(&remembered.spec_toml, &[]).unwrap(), spec);
    second.signal(Signal::TERM);
    second.ends().await.with(0);
    assert!(!sumac.folder.path().join("state/address").exists(), "it named a coordinator that is no more");
}

/// What `serve` has logged by its end.
async fn log_of_serve(format: Option<&str>) -> String {
    let sumac = Sumac::new();
    let mut command = sumac.command(&["serve", "--listen", "127.0.0.1:0"]);
    match format {
        Some(format) => command.env("SUMAC_LOG_FORMAT", format),
        None => command.env_remove("SUMAC_LOG_FORMAT"),
    };
    let mut serve = sumac.starts(command.env("SUMAC_LOG", "info"));
    let url = serve.serves().await;
    let _a = Played::joins(&url, "a").await;
    serve.signal(Signal::TERM);
    serve.ends().await.with(0).stderr
}

#[tokio::test]
async fn a_log_for_people_has_no_colours_where_there_is_no_terminal() {
    let log = log_of_serve(Some("human")).await;
    assert!(log.contains("INFO a joined") && !log.contains('\x1b'), "{log:?}");
}

#[tokio::test]
async fn a_log_is_for_programs_if_asked_and_where_there_is_no_terminal() {
    for format in [Some("json"), None] {
        let log = log_of_serve(format).await;
        assert!(log.contains("a joined"), "{log:?}");
        for line in log.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert_eq!(line["level"], "INFO");
        }
    }
}

#[tokio::test]
async fn up_ends_with_the_sentence_of_a_worker_that_cannot_run() {
    let sumac = Sumac::new();
    let sentence = "error: worker local-0 cannot run here: libtorch 2.11.0 not found: run make setup";
    let script = format!("echo started >> starts\necho '{sentence}' >&2\nexit 78");
    let up = sumac.starts(&mut sumac.up(&script, &["--workers", "1"]));
    let ended = up.ends().await.with(1);
    assert_eq!(ended.stderr.matches(sentence).count(), 1, "{ended:?}");
    assert!(ended.stderr.contains("hint: mend that first"), "{ended:?}");
    let starts = std::fs::read_to_string(sumac.folder.path().join("starts")).unwrap();
    assert_eq!(starts.lines().count(), 1, "it is not started again");
}

#[tokio::test]
async fn up_shows_what_becomes_of_workers_and_what_they_log() {
    let sumac = Sumac::new();
    let script = "echo 'local-0 ended (signal: 9 (SIGKILL)); starts again in 100ms'\necho 'local-0: error: so be it' >&2\nexit 75";
    let ended = sumac.starts(&mut sumac.up(script, &["--workers", "1"])).ends().await.with(1);
    let fact = "  worker    local-0 ended (signal: 9 (SIGKILL)); starts again in 100ms\n";
    assert!(ended.stderr.contains(fact), "{ended:?}");
    assert!(ended.stderr.contains("local-0: error: so be it\n"), "{ended:?}");
    assert!(ended.stderr.contains("error: the workers ended with the process that looks after them"), "{ended:?}");
}

#[tokio::test]
async fn up_passes_its_node_what_it_needs() {
    let sumac = Sumac::new();
    let script = "echo \"$@\" > passed\necho $PPID >> passed\necho \"error: log $SUMAC_LOG\" >&2\nexit 2";
    let ended = sumac.starts(&mut sumac.up(script, &["--workers", "3"])).ends().await.with(1);
    assert!(ended.stderr.contains("log warn"), "{ended:?}");
    let passed = std::fs::read_to_string(sumac.folder.path().join("passed")).unwrap();
    let words: Vec<&str> = passed.split_whitespace().collect();
    assert_eq!(words[..6], ["node", "--workers", "3", "--name", "local", "--coordinator"]);
    assert!(words[6].starts_with("http://127.0.0.1:"), "{passed}");
    let [parent] = words[10..] else { panic!("{passed}") };
    assert_eq!(words[7..10], [&format!("--die-with-parent={parent}"), "--device", "auto"]);
}

#[tokio::test]
async fn up_with_a_job_ends_with_it_and_says_where_the_outputs_are() {
    let sumac = Sumac::new();
    sumac.job_file();
    let output = sumac.folder.path().join("runs");
    std::fs::create_dir(&output).unwrap();
    std::fs::write(output.join("grid.png"), "").unwrap();
    std::fs::write(output.join("summary.json"), r#"{"updates": {"refiner": 400, "discriminator": 200}, "images_per_second": 0.0, "workers_seen": 1, "steps_redone": 0}"#).unwrap();
    let mut up = sumac.starts(&mut sumac.up(ABSENT, &["job.toml", "--workers", "1"]));
    let url = up.serves().await;
    let mut a = Played::joins(&url, "local-0").await;
    let opening = a.takes_part(0).await;
    a.ends(&opening, 600, Ending::Finished).await;
    let ended = up.ends().await.with(0);
    assert!(ended.stdout.contains("finished  eyes-"), "{ended:?}");
    assert!(ended.stdout.contains("runs/grid.png"), "{ended:?}");
    assert!(ended.stdout.contains("refiner 400, discriminator 200"), "{ended:?}");
    // Its last generation only sealed.
    assert!(ended.stdout.contains("1 worker seen, 0 steps done again"), "{ended:?}");
    assert!(!ended.stdout.contains("images/s"), "{ended:?}");
}

#[tokio::test]
async fn up_with_a_job_that_fails_is_exit_5() {
    let sumac = Sumac::new();
    sumac.job_file();
    let mut up = sumac.starts(&mut sumac.up(ABSENT, &["job.toml", "--workers", "1"]));
    let url = up.serves().await;
    let mut a = Played::joins(&url, "local-0").await;
    let opening = a.takes_part(0).await;
    a.ends(&opening, 10, Ending::Failed("10 steps in a row were not finite".to_owned())).await;
    let ended = up.ends().await.with(5);
    assert!(ended.stdout.contains("10 steps in a row were not finite"), "{ended:?}");
}

#[tokio::test]
async fn ctrl_c_drains_and_the_same_command_goes_on() {
    let sumac = Sumac::new();
    sumac.job_file();
    let args = ["job.toml", "--workers", "1"];
    let mut up = sumac.starts(&mut sumac.up(ABSENT, &args));
    let url = up.serves().await;
    let mut a = Played::joins(&url, "local-0").await;
    let opening = a.takes_part(0).await;
    job_when(&url, &opening.job.0, |job| job.state() == v1::JobState::Running).await;
    up.signal(Signal::INT);
    assert_eq!(a.hears_wish().await, Wish::Park);
    a.ends(&opening, 131, Ending::Parked).await;
    let ended = up.ends().await.with(130);
    assert!(ended.stderr.contains("draining"), "{ended:?}");
    assert!(ended.stdout.contains("checkpoint at step 131 written, nothing lost"), "{ended:?}");
    assert!(ended.stdout.contains("sumac up job.toml --workers 1   goes on from step 131"), "{ended:?}");

    let mut up = sumac.starts(&mut sumac.up(ABSENT, &args));
    let url = up.serves().await;
    let mut a = Played::joins(&url, "local-0").await;
    assert!(up.says("job").await.ends_with("goes on from step 131"));
    let again = a.takes_part(131).await;
    assert_eq!((again.job, again.generation), (opening.job, opening.generation.next()));
    up.signal(Signal::INT);
    assert_eq!(a.hears_wish().await, Wish::Park);
    up.signal(Signal::INT);
    up.ends().await.with(130);
}

#[tokio::test]
async fn an_up_that_was_killed_is_gone_on_with_without_waiting_for_its_dead() {
    let sumac = Sumac::new();
    sumac.job_file();
    let args = ["job.toml", "--workers", "1"];
    let mut up = sumac.starts(&mut sumac.up(ABSENT, &args));
    let url = up.serves().await;
    let mut a = Played::joins(&url, "local-0").await;
    let opening = a.takes_part(0).await;
    job_when(&url, &opening.job.0, |job| job.state() == v1::JobState::Running).await;
    up.signal(Signal::KILL);
    up.ends().await;

    let mut up = sumac.starts(&mut sumac.up(ABSENT, &args));
    let url = up.serves().await;
    let (mut a, _) = Played::attaches(&url, crate::play::seat("local-0", 2), None).await;
    assert!(up.says("earlier").await.contains(&opening.job.0));
    let again = a.takes_part(100).await;
    assert_eq!(again.generation, opening.generation.next());
    operator(&url).await.cancel(v1::CancelRequest { job: opening.job.0 }).await.unwrap();
    up.ends().await.with(5);
}

#[tokio::test]
async fn up_without_a_job_serves_until_a_signal_and_leaves_no_worker_behind() {
    let sumac = Sumac::new();
    let script = format!("echo $$ > pid\n{ABSENT}");
    let mut up = sumac.starts(&mut sumac.up(&script, &["--workers", "1"]));
    let url = up.serves().await;
    let _a = Played::joins(&url, "local-0").await;
    let joined = up.says("worker").await;
    assert!(joined.starts_with("local-0  cpu (played)   joined in "), "{joined}");
    assert!(up.says("next").await.contains("sumac submit FILE"));
    let written = async {
        loop {
            match std::fs::read_to_string(sumac.folder.path().join("pid")) {
                Ok(pid) if pid.ends_with('\n') => return pid,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let pid = soon("the worker's number", written).await;
    up.signal(Signal::TERM);
    up.ends().await.with(0);
    assert!(!std::path::Path::new("/proc").join(pid.trim()).exists(), "worker {pid} is still there");
}
