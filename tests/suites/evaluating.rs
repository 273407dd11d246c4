//! Whether refined images help, found out by real processes that are killed: the same figures whatever happened on the way.

use std::collections::BTreeSet;
use sumac_data::{decode::decode, picture::Pixels};
use sumac_tests::{Cluster, Job, Process, Room, TALKATIVE, browse, kill, workers};

/// Alone; together with synthetic ones; and what is judged as images.
const CELLS: usize = 5 + 2 * (5 + 3);

/// Drawn digits, labelled ones that pass for real, and a refiner that was trained for a moment.
fn room() -> Room {
    let room = Room::with_digits(96).with_refiner();
    room.sumac(&["data", "demo", "digits", "other", "--count", "64", "--seed", "9"]).assert(0, &[]);
    room
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
    assert!(!report.contains("://"), "a report needs no network");
    room.sumac(&["evaluate", "show", "found"]).assert(0, &["LEARNED FROM"]);
    // Nothing is done again.
    evaluate(&room, "found", &[], &[]).finish().assert(0, &["LEARNED FROM"]);
}

#[test]
fn of_several_refiners_one_is_named_by_validation_images_or_without_any_label() {
    let room = room();
    room.sumac(&["data", "demo", "digits", "few", "--count", "32", "--seed", "11"]).assert(0, &[]);
    room.train(&Job::simgan("other").set("train.steps", 6).set("train.seed", 12), &["--state", "again"]);
    let two = ["runs/other", "--apart"];
    evaluate(&room, "bare", &two, &[]).finish().assert(0, &["without any label of a real image, take: refined by "]);
    let words = [&two[..], &["--real-validation", "few/synthetic"]].concat();
    evaluate(&room, "found", &words, &[]).finish().assert(0, &["by the validation images, take: refined by "]);
    evaluate(&room, "found", &words, &[]).finish().assert(0, &["by the validation images"]);
}

#[test]
fn a_browser_shows_the_report_without_a_network_and_without_complaint() {
    let room = room();
    room.train(&Job::simgan("net").set("train.steps", 6), &["--state", "again"]);
    evaluate(&room, "found", &["--apart"], &[]).finish().assert(0, &["report.html"]);
    for width in [400, 1_200] {
        let Some(page) = browse(&room.at("found/report.html"), width) else { return };
        assert_eq!(page.console, Vec::<String>::new());
        for part in
            ["<h2>The images</h2>", "<h2>The runs</h2>", "<polyline", "<rect", "class=\"label\"", "Class by class"]
        {
            assert!(page.dom.contains(part), "{part} is missing");
        }
        // A policy that refuses pictures or styles leaves a page that is nearly all of one colour.
        let shot = decode(&page.screenshot).expect("a browser draws PNG");
        let Pixels::U8(values) = &shot.pixels else { panic!("a screenshot has 8 bits") };
        let tones: BTreeSet<u8> = values.iter().copied().collect();
        assert!(tones.len() > 64, "{} tones at {width} pixels", tones.len());
    }
}

#[test]
fn workers_that_are_killed_and_a_command_that_is_given_again_change_no_figure() {
    let room = room();
    evaluate(&room, "peace", &["--workers", "1"], &[]).finish().assert(0, &["LEARNED FROM"]);
    let mut command = evaluate(&room, "found", &["--workers", "2"], &[TALKATIVE]);
    command.says("Publish", 2);
    kill(workers(command.pid())[0]);
    command.says("Publish", 6);
    command.kill();
    evaluate(&room, "found", &["--workers", "2"], &[]).finish().assert(0, &["goes on", "LEARNED FROM"]);
    assert_eq!(figures(&room, "found"), figures(&room, "peace"));
}

#[test]
fn a_job_file_evaluates_as_its_command_does() {
    let room = room();
    evaluate(&room, "found", &["--workers", "2", "--apart"], &[]).finish().assert(0, &["LEARNED FROM"]);
    room.write(
        "helps.toml",
        "kind = \"evaluate\"\nrefiners = [\"runs/net\"]\nsynthetic = \"data/synthetic\"\nreal = \"data/real\"\n\
         real_test = \"other/synthetic\"\ninto = \"helps\"\nseeds = 9\nupdates = 6\nwidth = 4\napart = true\n",
    );
    room.sumac(&["up", "helps.toml", "--workers", "2", "--set", "seeds=2"]).assert(0, &["LEARNED FROM"]);
    assert_eq!(figures(&room, "helps"), figures(&room, "found"));

    let cluster = Cluster::start(room);
    let refused = cluster.sumac(&["submit", "helps.toml", "--set", "seed=2"]);
    assert_eq!(refused.code(), Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("'seed'")
            && refused.stderr.contains("'seeds'")
            && refused.stderr.contains("with _ for -"),
        "{}",
        refused.stderr
    );
    cluster.sumac(&["submit", "helps.toml", "--set", "into=queued"]).assert(0, &["job", "sumac wait queued-"]);
}

#[test]
fn a_test_image_that_was_trained_on_is_refused() {
    let room = room();
    let name = walk(&room, "data/real");
    let bytes = room.read(&name);
    room.write("other/synthetic/0/leaked.png", bytes);
    let ended = evaluate(&room, "found", &[], &[]).finish();
    assert_eq!(ended.code(), Some(2), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("leaked.png") && ended.stderr.contains("take them out"), "{}", ended.stderr);
    let own = ["evaluate", "runs/net", "--synthetic", "other/synthetic", "--real", "data/real", "--cache", "cache"];
    let own = room.sumac(&[&own[..], &["--real-test", "other/synthetic", "--into", "own"]].concat());
    assert_eq!(own.code(), Some(2), "{}{}", own.stdout, own.stderr);
    assert!(own.stderr.contains("among the synthetic images"), "{}", own.stderr);
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
