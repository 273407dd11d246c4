//! Whether refined images help, found out by real processes that are killed: the same figures whatever happened on the way.

use std::sync::OnceLock;
use sumac_tests::{Job, Process, Room, children};

/// The orders that a worker hears are in its log.
const TALKATIVE: (&str, &str) = ("SUMAC_LOG", "warn,sumac_worker::session=debug");
/// Alone; together with synthetic ones; and what is judged as images.
const CELLS: usize = 5 + 2 * (5 + 3);

/// Drawn digits, labelled ones that pass for real, and a refiner that was trained for a moment.
fn room() -> Room {
    let room = Room::with_digits(96);
    room.sumac(&["data", "demo", "digits", "other", "--count", "64", "--seed", "9"]).assert(0, &[]);
    for (name, bytes) in refiner() {
        room.write(&format!("runs/net/{name}"), bytes);
    }
    room
}

fn refiner() -> &'static [(String, Vec<u8>)] {
    static REFINER: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    REFINER.get_or_init(|| {
        let room = Room::with_digits(64);
        let job = Job::simgan("net").set("train.steps", 6);
        let arguments = job.write(&room);
        let arguments = ["up", "--workers", "1"].into_iter().chain(arguments.iter().map(String::as_str));
        room.sumac(&arguments.collect::<Vec<_>>()).assert(0, &["finished"]);
        let left = |name: &str| (name.to_owned(), room.read(&format!("{}/{name}", job.output())));
        ["refiner.safetensors", "spec.toml"].map(left).to_vec()
    })
}

fn evaluate(room: &Room, into: &str, words: &[&str], environment: &[(&str, &str)]) -> Process {
    let command = [
        "evaluate",
        "runs/net",
        "--synthetic",
        "data/synthetic",
        "--real",
        "data/real",
        "--real-test",
        "other/synthetic",
        "--into",
        into,
        "--seeds",
        "2",
        "--updates",
        "6",
        "--width",
        "4",
        "--cache",
        "cache",
    ];
    room.start_sumac(&[&command, words].concat(), environment)
}

/// All that was found out; how long it took is no part of that.
fn figures(room: &Room, into: &str) -> Vec<(serde_json::Value, serde_json::Value)> {
    let json = room.read(&format!("{into}/evaluation.json"));
    let found: serde_json::Value = serde_json::from_slice(&json).expect("it was written as JSON");
    let cells = found["cells"].as_array().expect("it has cells");
    cells.iter().map(|cell| (cell["figures"].clone(), cell["picture"].clone())).collect()
}

#[test]
fn a_table_says_what_refined_images_are_worth() {
    let room = room();
    let ended = evaluate(&room, "found", &["--workers", "2"], &[]).finish();
    ended.assert(0, &["LEARNED FROM", "refined by net", "image-match", "IMAGES", "real beside real", "report.html"]);
    assert_eq!(figures(&room, "found").len(), CELLS);
    let report = String::from_utf8(room.read("found/report.html")).expect("a page is text");
    assert!(report.contains("refined by net") && report.contains("data:image/png;base64,"), "{}", report.len());
    assert!(!report.contains("http"), "a report needs no network");
    room.sumac(&["evaluate", "show", "found"]).assert(0, &["LEARNED FROM"]);
    // Nothing is done again.
    evaluate(&room, "found", &[], &[]).finish().assert(0, &["LEARNED FROM"]);
}

#[test]
fn workers_that_are_killed_and_a_command_that_is_given_again_change_no_figure() {
    let room = room();
    evaluate(&room, "peace", &["--workers", "1"], &[]).finish().assert(0, &["LEARNED FROM"]);
    let mut command = evaluate(&room, "found", &["--workers", "2"], &[TALKATIVE]);
    command.says("Publish", 2);
    let workers: Vec<u32> = children(command.pid()).into_iter().flat_map(children).collect();
    kill(workers[0]);
    command.says("Publish", 6);
    command.kill();
    evaluate(&room, "found", &["--workers", "2"], &[]).finish().assert(0, &["goes on", "LEARNED FROM"]);
    assert_eq!(figures(&room, "found"), figures(&room, "peace"));
}

#[test]
fn a_test_image_that_was_trained_on_is_refused() {
    let room = room();
    let name = walk(&room, "data/real");
    let bytes = room.read(&name);
    room.write("other/synthetic/0/leaked.png", bytes);
    let ended = evaluate(&room, "found", &[], &[]).finish();
    assert_eq!(ended.code(), Some(1), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("leaked.png") && ended.stderr.contains("take them out"), "{}", ended.stderr);
}

/// The first image below a folder.
fn walk(room: &Room, folder: &str) -> String {
    let mut names: Vec<String> = std::fs::read_dir(room.at(folder))
        .expect("it was drawn")
        .map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let first = format!("{folder}/{}", names[0]);
    if room.at(&first).is_dir() { walk(room, &first) } else { first }
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a process has a number");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("the worker lives");
}
