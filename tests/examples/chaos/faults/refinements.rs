//! A refinement whose workers and whose coordinator are killed: the same command again, the same bytes.

use crate::{
    campaign::Campaign,
    dice::Dice,
    row::Row,
    stage::{Model, bare_room},
};
use std::{
    collections::BTreeSet,
    fs, thread,
    time::{Duration, Instant},
};
use sumac_tests::{Job, Process, Room, Tree, children};

const IMAGES: u32 = 20_000;
const WORKERS: usize = 3;
const LOOK_EVERY: Duration = Duration::from_millis(3);
/// A refinement that does nothing for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(60);
const DESTINATION: &str = "refined";

/// Of any worker, or of the command with all of them, each time after a shard or more has come out. The row counts deaths; what
/// it says of steps is said of shards.
pub(crate) fn killed(campaign: &mut Campaign, model: Model, n: u64) -> Row {
    let mut row = Row::new("refinement killed", model.name());
    let mut dice = campaign.dice(&row);
    let room = bare_room().draw_digits(IMAGES);
    train(&room);
    refine(&room, "peace", 1).finish().assert(0, &["finished"]);
    let peace = Tree::of(&room, "peace");
    let (wanted, mut lost) = (campaign.times(n), 0);
    while row.n < wanted {
        let Storm { deaths, hands, wasted } = storm(&room, wanted - row.n, &mut dice);
        let difference = Tree::of(&room, DESTINATION).difference(&peace);
        let verified = room.sumac(&["verify", DESTINATION, "--source", "data/synthetic"]);
        row.n += deaths;
        match difference {
            None if verified.code() == Some(0) => row.equal += deaths,
            None => row.missed.push(format!("verify says: {}", verified.stdout)),
            Some(difference) => row.missed.push(format!("not the undisturbed bytes: {difference}")),
        }
        lost += wasted;
        row.demand(wasted <= hands, || format!("{wasted} shards begun anew after {hands} workers had died"));
        eprintln!("  {}: {} deaths, {wasted} shards begun anew", row.fault, row.n);
        if let Err(error) = fs::remove_dir_all(room.at(DESTINATION)) {
            row.missed.push(format!("{DESTINATION} cannot be removed: {error}"));
            break;
        }
    }
    let (equal, all) = (row.equal, row.n);
    row.demand(equal == all && all > 0, || format!("{equal} of {all} in refinements that ended equal"));
    row.notes.push(format!("{lost} shards begun anew, of {IMAGES} images on {WORKERS} workers"));
    row
}

/// The preset as users get it; what it has learned does not matter here.
fn train(room: &Room) {
    room.train(&Job::digits("net").set("train.steps", 6), &[]);
}

fn refine(room: &Room, destination: &str, workers: usize) -> Process {
    let workers = workers.to_string();
    let words = ["refine", "data/synthetic", destination, "--checkpoint", "runs/net", "--workers", &workers];
    room.start_sumac(&words, &[])
}

struct Storm {
    deaths: u64,
    /// Workers that died of them.
    hands: u64,
    /// Shards that were begun more than once.
    wasted: u64,
}

/// One refinement to its end, with at most so many deaths.
fn storm(room: &Room, most: u64, dice: &mut Dice) -> Storm {
    let mut storm = Storm { deaths: 0, hands: 0, wasted: 0 };
    let (mut begun, mut shards) = (BTreeSet::new(), BTreeSet::new());
    let (mut command, mut progress) = (refine(room, DESTINATION, WORKERS), 0);
    let mut since = Instant::now();
    while !command.has_ended() {
        thread::sleep(LOOK_EVERY);
        begun.extend(names(room, "attempts"));
        let done = names(room, "shards");
        shards.extend(done.iter().cloned());
        assert!(since.elapsed() < STUCK_AFTER, "nothing has come out for {STUCK_AFTER:?}");
        if done.len() <= progress {
            continue;
        }
        since = Instant::now();
        if storm.deaths == most {
            continue;
        }
        thread::sleep(dice.between(Duration::ZERO, Duration::from_millis(100)));
        let workers: Vec<u32> = children(command.pid()).into_iter().flat_map(children).collect();
        let victim = dice.below(workers.len() + 1);
        match workers.get(victim) {
            Some(worker) => {
                strike(*worker);
                storm.hands += 1;
            }
            None => {
                command.kill();
                storm.hands += WORKERS as u64;
                command = refine(room, DESTINATION, WORKERS);
            }
        }
        storm.deaths += 1;
        progress = names(room, "shards").len();
    }
    command.finish().assert(0, &["finished"]);
    storm.wasted = (begun.len() as u64).saturating_sub(shards.len() as u64);
    storm
}

/// What is in this folder of work in progress, if it is there.
fn names(room: &Room, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(room.at(&format!("{DESTINATION}/.sumac/{folder}"))).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn strike(pid: u32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed()) {
        // It may have ended meanwhile.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}
