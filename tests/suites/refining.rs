//! Whole data sets through a refiner, by real processes that are killed: each image exactly once, the same bytes whatever
//! happened on the way (F-1).

use std::fs;
use sumac_tests::{Cluster, Process, Room, TALKATIVE, Tree, kill, workers};

const IMAGES: u32 = 1_000;
/// Of the smallest size: 16 images each, but the last.
const SHARDS: usize = 63;

fn room() -> Room {
    Room::with_digits(IMAGES).with_refiner()
}

/// `sumac refine data/synthetic DST` with these words besides.
fn refine(room: &Room, destination: &str, words: &[&str], environment: &[(&str, &str)]) -> Process {
    let command = ["refine", "data/synthetic", destination, "--checkpoint", "runs/net"];
    room.start_sumac(&[&command, words].concat(), environment)
}

/// Left in peace on one worker: what all others have to equal.
fn in_peace(room: &Room, words: &[&str]) -> Tree {
    refine(room, "peace", &[&["--workers", "1"], words].concat(), &[]).finish().assert(0, &["finished"]);
    Tree::of(room, "peace")
}

#[test]
fn a_data_set_is_refined_verified_and_complete() {
    let room = room();
    let ended = refine(&room, "refined", &["--workers", "2"], &[]).finish();
    ended.assert(0, &["1,000 images", "63 shards", "finished", "1,000 refined, 0 bad"]);
    let (source, refined) = (Tree::of(&room, "data/synthetic"), Tree::of(&room, "refined"));
    let images: Vec<&String> = source.0.keys().filter(|name| name.ends_with(".png")).collect();
    assert_eq!(images.len(), IMAGES as usize);
    for name in &images {
        let now = refined.0.get(*name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_ne!(source.0[*name], *now, "{name} is as it was");
    }
    assert!(refined.0.keys().all(|name| !name.starts_with(".sumac")), "{:?}", refined.0.keys());
    room.sumac(&["verify", "refined", "--source", "data/synthetic"]).assert(0, &["1,000 there", "whole"]);
    room.sumac(&["data", "inspect", "refined"]).assert(0, &["1,000", "class"]);
    room.sumac(&["refine", "status", "refined"]).assert(0, &["finished", "63 of 63"]);
    let again = refine(&room, "refined", &["--workers", "2"], &[]).finish();
    again.assert(0, &["nothing to do"]);
}

#[test]
fn one_worker_and_three_write_the_same_bytes_in_both_layouts() {
    let room = room();
    for layout in ["mirror", "shards"] {
        let words = ["--layout", layout];
        refine(&room, layout, &[&["--workers", "3"], words.as_slice()].concat(), &[]).finish().assert(0, &["finished"]);
        let three = Tree::of(&room, layout);
        three.assert_same(&in_peace(&room, &words), layout);
        fs::remove_dir_all(room.at("peace")).expect("it was written here");
    }
}

#[test]
fn a_worker_that_is_killed_costs_no_image() {
    let room = room();
    let command = refine(&room, "refined", &["--workers", "2"], &[TALKATIVE]);
    for death in 1..=3 {
        command.says("Publish", 2 * death);
        let workers = workers(command.pid());
        kill(workers[death % workers.len()]);
    }
    command.finish().assert(0, &["finished", "1,000 refined, 0 bad"]);
    Tree::of(&room, "refined").assert_same(&in_peace(&room, &[]), "with three deaths");
    room.sumac(&["verify", "refined", "--source", "data/synthetic"]).assert(0, &["whole"]);
}

#[test]
fn a_command_that_is_killed_goes_on_when_it_is_given_again() {
    let room = room();
    for death in 0..4 {
        let mut command = refine(&room, "refined", &["--workers", "2"], &[TALKATIVE]);
        command.says("Publish", 1 + death);
        command.kill();
    }
    let status = room.sumac(&["refine", "status", "refined", "-o", "json"]).json();
    assert_eq!((&status["state"], &status["shards"]), (&"refining".into(), &SHARDS.into()), "{status}");
    refine(&room, "refined", &["--workers", "2"], &[]).finish().assert(0, &["goes on", "finished"]);
    Tree::of(&room, "refined").assert_same(&in_peace(&room, &[]), "killed four times");
}

#[test]
fn ctrl_c_pauses_and_the_same_command_goes_on() {
    let room = room();
    let command = refine(&room, "refined", &["--workers", "1"], &[TALKATIVE]);
    command.says("Publish", 2);
    command.interrupt();
    let ended = command.finish();
    assert_eq!(ended.code(), Some(130), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("the same command goes on"), "{}", ended.stdout);
    refine(&room, "refined", &["--workers", "1"], &[]).finish().assert(0, &["goes on", "finished"]);
    Tree::of(&room, "refined").assert_same(&in_peace(&room, &[]), "paused");
}

#[test]
fn an_image_that_cannot_be_read_is_listed_with_its_reason() {
    let room = room();
    let victim = Tree::of(&room, "data/synthetic").0.into_keys().find(|name| name.ends_with(".png")).unwrap();
    room.write(&format!("data/synthetic/{victim}"), b"\x89PNG\r\n\x1a\n and no more");
    let ended = refine(&room, "refined", &["--workers", "1", "--max-bad", "1%"], &[]).finish();
    ended.assert(0, &["999 refined, 1 bad"]);
    let errors = String::from_utf8(room.read("refined/errors.jsonl")).unwrap();
    assert!(errors.lines().count() == 1 && errors.contains(&victim), "{errors}");
    room.sumac(&["verify", "refined", "--source", "data/synthetic"]).assert(0, &["1 in the list of errors", "whole"]);

    let strict = refine(&room, "strict", &["--workers", "1", "--max-bad", "0"], &[]).finish();
    assert_eq!(strict.code(), Some(5), "{}{}", strict.stdout, strict.stderr);
    assert!(strict.stdout.contains("more than --max-bad"), "{}", strict.stdout);
}

#[test]
fn a_folder_that_holds_a_coordinators_state_and_other_files_is_nobodys_destination() {
    let room = room();
    let state = room.write("project/.sumac/state.db", b"a coordinator's");
    let theirs = room.write("project/0/000000.png", b"precious");
    for words in [
        &["refine", "data/synthetic", "project", "--checkpoint", "runs/net"][..],
        &["data", "convert", "data/synthetic", "project"],
        &["evaluate", "runs/net", "--real-test", "data/synthetic", "--into", "project"],
    ] {
        let ended = room.sumac(words);
        assert_eq!(ended.code(), Some(2), "{words:?} {}", ended.stderr);
        assert!(ended.stderr.contains("is not empty"), "{}", ended.stderr);
    }
    assert_eq!(
        (fs::read(state).unwrap(), fs::read(theirs).unwrap()),
        (b"a coordinator's".to_vec(), b"precious".to_vec())
    );
    // Where a coordinator runs in a finished data set, its state stays.
    refine(&room, "refined", &["--workers", "1"], &[]).finish().assert(0, &["finished"]);
    let state = room.write("refined/.sumac/state.db", b"a coordinator's");
    refine(&room, "refined", &["--workers", "1"], &[]).finish().assert(0, &["nothing to do", "sumac verify refined"]);
    assert!(state.exists());
}

#[test]
fn a_data_set_that_is_not_whole_is_nobodys_source() {
    let room = room();
    let mut command = refine(&room, "refined", &["--workers", "1"], &[TALKATIVE]);
    command.says("Publish", 1);
    command.kill();
    for words in [&["data", "inspect", "refined"][..], &["data", "convert", "refined", "other"]] {
        let ended = room.sumac(words);
        assert_eq!(ended.code(), Some(1), "{words:?} {}", ended.stderr);
        assert!(ended.stderr.contains("being written and not whole"), "{}", ended.stderr);
    }
    refine(&room, "refined", &["--workers", "1"], &[]).finish().assert(0, &["finished"]);
    room.sumac(&["data", "inspect", "refined"]).assert(0, &["1,000"]);
}

#[test]
fn another_model_cannot_go_on_in_the_same_folder() {
    let room = room();
    let mut command = refine(&room, "refined", &["--workers", "1"], &[TALKATIVE]);
    command.says("Publish", 1);
    command.kill();
    let mut other = room.read("runs/net/refiner.safetensors");
    *other.last_mut().unwrap() ^= 1;
    room.write("runs/net/refiner.safetensors", other);
    let ended = refine(&room, "refined", &["--workers", "1"], &[]).finish();
    assert_eq!(ended.code(), Some(1), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("is being refined otherwise"), "{}", ended.stderr);
}

#[test]
fn a_cluster_refines_while_its_coordinator_and_its_workers_die() {
    let room = room();
    let peace = in_peace(&room, &[]);
    let mut cluster = Cluster::start(room);
    ["w0", "w1", "w2"].into_iter().for_each(|name| cluster.join(name));
    let command = refine(cluster.room(), "refined", &["--coordinator", cluster.address()], &[]);
    cluster.worker("w1").says("Publish", 3);
    cluster.kill_coordinator();
    cluster.restart_coordinator();
    cluster.kill("w0");
    command.finish().assert(0, &["finished", "1,000 refined, 0 bad"]);
    Tree::of(cluster.room(), "refined").assert_same(&peace, "with the coordinator and a worker dead");
}

#[test]
fn shares_without_a_coordinator_make_the_same_data_set() {
    let room = room();
    for share in ["0/3", "2/3"] {
        refine(&room, "refined", &["--shard-of", share], &[]).finish().assert(0, &["share", "refine merge"]);
    }
    let early = room.sumac(&["refine", "merge", "refined"]);
    assert_eq!(early.code(), Some(1), "{}{}", early.stdout, early.stderr);
    assert!(early.stderr.contains("no whole attempt of shard 1"), "{}", early.stderr);
    // Killed in its midst, and given again; and one that was done is done again without harm.
    let mut task = refine(&room, "refined", &["--shard-of", "1/3"], &[("SUMAC_LOG", "info")]);
    task.says("shard done", 2);
    task.kill();
    for share in ["1/3", "0/3"] {
        refine(&room, "refined", &["--shard-of", share], &[]).finish().assert(0, &["share"]);
    }
    room.sumac(&["refine", "merge", "refined"]).assert(0, &["finished", "1,000 refined, 0 bad"]);
    Tree::of(&room, "refined").assert_same(&in_peace(&room, &[]), "in three shares");
}
