//! Seeing the cluster: every command that reads, against a run that goes on and loses a worker; what it prints for people and for
//! programs.

use serde_json::Value;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use sumac_tests::{Cluster, Ended, Fault, Job, Process, Room, assert_form, assert_looks, child, kill, masked};

const PATIENCE: Duration = Duration::from_secs(60);

/// A run on three workers of `up`, one of which stands still in the midst of a step.
struct Live {
    room: Room,
    up: Process,
    job: String,
    /// The one that stands.
    stands: String,
}

impl Live {
    fn start() -> Self {
        let room = Room::with_digits(200);
        let job = Job::simgan("seen").exactly(3).set("output.samples_every", 8);
        let fault = Fault::hold("after-backward", 17).arm(&room, "either");
        let words = job.write(&room);
        let words: Vec<&str> = ["up", "--workers", "3"].into_iter().chain(words.iter().map(String::as_str)).collect();
        let up = room.start_sumac(&words, &[("SUMAC_FAULT", &fault)]);
        let said = up.says("a fault that was asked for", 1);
        let stands = (0..3).map(|at| format!("local-{at}")).find(|name| said.contains(name.as_str()));
        let stands = stands.unwrap_or_else(|| panic!("who stands? {said}"));
        let job = room.sumac(&["jobs", "-o", "name"]).stdout.trim().to_owned();
        // Each has said how it is since then.
        let workers = room.start_sumac(&["workers", "--watch", "-o", "json"], &[]);
        workers.hear("that all three train", |lines| {
            let trains = |name: &str| {
                let is_it =
                    |text: &str| text.contains(&format!("\"name\":\"{name}\"")) && text.contains("\"step_ms\":{");
                lines.iter().any(|line| is_it(&line.text))
            };
            ["local-0", "local-1", "local-2"].into_iter().all(trains).then_some(())
        });
        Self { room, up, job, stands }
    }

    fn sumac(&self, words: &[&str]) -> Ended {
        let ended = self.room.sumac(words);
        ended.assert(0, &[]);
        ended
    }

    /// What people see, without what differs from run to run.
    fn looks(&self, name: &str, words: &[&str]) {
        let host = self.host();
        let room = self.room.path().display().to_string();
        let known = [(self.job.as_str(), "JOB"), (&room, "ROOM"), (&host, "HOST")];
        // On a machine that does other things, too, one of them may be slow.
        let said = self.sumac(words).stdout;
        let said: Vec<&str> = said.lines().filter(|line| !line.starts_with("slow ")).collect();
        assert_looks(name, &masked(&said.join("\n"), &known));
    }

    fn host(&self) -> String {
        self.sumac(&["nodes", "-o", "name"]).stdout.trim().to_owned()
    }

    fn json(&self, words: &[&str]) -> Value {
        self.sumac(&[words, &["-o", "json"]].concat()).json()
    }

    /// Objects, a line each.
    fn lines(&self, words: &[&str]) -> Vec<Value> {
        let said = self.sumac(&[words, &["-o", "json"]].concat()).stdout;
        said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// A run that stands has no speed.
    fn awaits_standstill(&self) {
        let until = Instant::now() + PATIENCE;
        while !self.json(&["job", &self.job])["steps_per_second"].is_null() {
            assert!(Instant::now() < until, "after {PATIENCE:?} a run that stands still has a speed");
        }
    }

    /// The process of this worker.
    fn pid(&self, name: &str) -> u32 {
        child(child(self.up.pid(), "node"), name)
    }
}

#[test]
fn every_command_that_reads_tells_of_a_live_run_in_words_and_in_the_published_form() {
    let live = Live::start();
    live.awaits_standstill();
    let (job, node) = (live.job.as_str(), live.host());
    for (form, words) in [
        ("status", vec!["status"]),
        ("nodes", vec!["nodes"]),
        ("node", vec!["node", &node]),
        ("workers", vec!["workers"]),
        ("jobs", vec!["jobs"]),
        ("job", vec!["job", job]),
        ("checkpoints", vec!["checkpoints", job]),
        ("compare", vec!["compare", job]),
        ("version", vec!["version"]),
        ("doctor", vec!["doctor", "--cluster", "--job", "seen.toml"]),
    ] {
        assert_form(form, &live.json(&words));
        if form != "doctor" {
            live.looks(form, &words);
            live.looks(&format!("{form}-wide"), &[&words[..], &["-o", "wide"]].concat());
            live.looks(&format!("{form}-name"), &[&words[..], &["-o", "name"]].concat());
        }
    }
    // It asks nobody; a job says what it is about.
    assert_form("predict", &live.json(&["predict", "seen.toml", "--gigabits", "10"]));
    for (form, words) in [("log", vec!["logs", job]), ("event", vec!["events", job])] {
        let lines = live.lines(&words);
        assert!(!lines.is_empty(), "{words:?} tells nothing");
        lines.iter().for_each(|line| assert_form(form, line));
    }
    live.looks("events", &["events", job]);
    live.looks("events-wide", &["events", job, "-o", "wide"]);
    let who: BTreeSet<String> = live.sumac(&["logs", "-o", "name"]).stdout.lines().map(str::to_owned).collect();
    assert!(who.contains("coordinator") && who.contains("local-2"), "{who:?} say something");
    assert!(live.sumac(&["samples", job, "--draw"]).stdout.contains('▀'), "no picture is drawn");
    live.sumac(&["doctor", "--cluster", "--job", "seen.toml", "--verbose"]).assert(0, &["0 failed", "-> "]);
    Fault::release(&live.room, "either");
    live.up.finish().assert(0, &["finished"]);
}

#[test]
fn who_follows_is_told_of_a_killed_worker_and_that_the_run_went_on() {
    let live = Live::start();
    let host = live.host();
    let [events, logs, job, status, node] = [
        vec!["events", "--follow"],
        vec!["logs", "--follow", "--level", "warn"],
        vec!["job", live.job.as_str(), "--watch"],
        vec!["status", "--watch"],
        vec!["node", &host, "--watch"],
    ]
    .map(|words| live.room.start_sumac(&words, &[]));
    let workers = live.room.start_sumac(&["workers", "--watch", "-o", "json"], &[]);
    events.says("generation 1 goes on", 1);
    workers.says("local-2", 1);
    let victim = (0..3).map(|at| format!("local-{at}")).find(|name| *name != live.stands).unwrap();
    kill(live.pid(&victim));
    events.says(&format!("{victim} joined"), 2);
    Fault::release(&live.room, "either");
    events.says("generation 2 goes on", 1);
    events.says(&format!("{victim} was lost: its process ended"), 1);
    logs.says(&victim, 1);
    workers.says(&format!("\"name\":\"{victim}\""), 2);
    job.says("2 generations", 1);
    status.says("coordinator", 2);
    node.says(&format!("{victim}  "), 2);
    live.up.finish().assert(0, &["finished"]);
}

#[test]
fn a_worker_that_is_lost_stays_listed_with_its_cause() {
    let mut cluster = Cluster::of(2);
    cluster.kill("w1");
    let gone = cluster.room().start_sumac(&["events", "--follow", "--coordinator", cluster.address()], &[]);
    gone.says("w1", 2);
    let workers = cluster.sumac(&["workers", "-o", "json"]).json();
    assert_form("workers", &workers);
    let lost = workers["items"].as_array().and_then(|all| all.iter().find(|worker| worker["name"] == "w1")).unwrap();
    assert!(lost["presence"] != "here" && lost["cause"].is_string(), "{lost:#}");
    let node = cluster.sumac(&["nodes", "-o", "name"]).stdout.trim().to_owned();
    let told = cluster.sumac(&["workers"]).stdout;
    assert_looks("workers-lost", &masked(&told, &[(&node, "HOST")]));
}

#[test]
fn a_run_in_peace_ends_without_a_warning() {
    let room = Room::with_digits(200);
    let words = Job::simgan("peace").write(&room);
    let words: Vec<&str> = ["up", "--workers", "2"].into_iter().chain(words.iter().map(String::as_str)).collect();
    let ended = room.start_sumac(&words, &[("SUMAC_LOG", "warn"), ("SUMAC_LOG_FORMAT", "human")]).finish();
    ended.assert(0, &["finished"]);
    let warnings: Vec<&str> =
        ended.stderr.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect();
    assert!(warnings.is_empty(), "{warnings:#?}");
}
