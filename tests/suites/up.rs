//! One command on one machine: `sumac up` runs a job to its end, drains when it is told to, goes on, and leaves nobody behind.

use std::collections::BTreeSet;
use sumac_tests::{Fault, Job, Outcome, Process, Room, TALKATIVE, children, is_alive};

const OUTPUTS: [&str; 8] = [
    "refiner.safetensors",
    "discriminator.safetensors",
    "grid.png",
    "labels.json",
    "losses.svg",
    "metrics.jsonl",
    "spec.toml",
    "summary.json",
];

const FIGURES: [&str; 18] = [
    "name",
    "steps",
    "updates",
    "refiner_sha256",
    "discriminator_sha256",
    "state_sha256",
    "trace_sha256",
    "history",
    "steps_redone",
    "steps_skipped",
    "exact",
    "fingerprint",
    "threads",
    "spec_sha256",
    "data_sha256",
    "images_per_second",
    "workers_seen",
    "generations",
];

fn up(room: &Room, job: &Job, environment: &[(&str, &str)]) -> Process {
    let arguments = job.write(room);
    let arguments: Vec<&str> =
        ["up", "--workers", "2"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
    room.start_sumac(&arguments, environment)
}

/// The workers that `up` has: the children of its one child.
fn workers(of: &Process) -> BTreeSet<u32> {
    let nodes = children(of.pid());
    assert_eq!(nodes.len(), 1, "{nodes:?}");
    let workers: BTreeSet<u32> = nodes.into_iter().flat_map(children).collect();
    assert_eq!(workers.len(), 2, "{workers:?}");
    workers
}

fn in_peace(room: &Room) -> Outcome {
    let job = Job::toy("peace");
    up(room, &job, &[]).finish().assert(0, &[]);
    Outcome::read(room, &job.output())
}

#[test]
fn up_runs_a_job_to_its_end_and_leaves_every_output() {
    let room = Room::with_digits(200);
    let job = Job::simgan("eyes");
    let ended = up(&room, &job, &[]).finish();
    ended.assert(0, &["local-0", "local-1", "finished", "24 of 24 steps", "exact: the same job gives the same bits"]);
    for file in OUTPUTS {
        assert!(!room.read(&format!("{}/{file}", job.output())).is_empty(), "{file} is empty");
    }
    let run = Outcome::read(&room, &job.output());
    let missing: Vec<&str> = FIGURES.into_iter().filter(|figure| run.summary.get(figure).is_none()).collect();
    assert!(missing.is_empty(), "the summary lacks {missing:?}");
    assert_eq!(run.count("/steps"), 24);
    assert_eq!(run.metrics.iter().filter(|byte| **byte == b'\n').count(), 24);
    assert_eq!(run.summary["exact"], true);
}

#[test]
fn the_spec_that_up_leaves_behind_is_the_same_run() {
    let room = Room::with_digits(200);
    let first = in_peace(&room);
    room.sumac(&["up", "runs/peace/spec.toml", "--set", "output.dir=runs/again"]).assert(0, &[]);
    Outcome::read(&room, "runs/again").assert_same_run(&first, "from its own spec.toml");
}

#[test]
fn ctrl_c_drains_with_a_checkpoint_and_the_same_command_goes_on() {
    let room = Room::with_digits(200);
    let job = Job::toy("drained");
    // Both workers are told; the mark lets one of them stand still.
    let fault = Fault::hold("after-backward", 17);
    let fault = fault.arm(&room, "either");
    let mut first = up(&room, &job, &[("SUMAC_FAULT", &fault), TALKATIVE]);
    first.says("a fault that was asked for", 1);
    let workers = workers(&first);
    first.interrupt();
    first.says("draining", 1);
    first.says("Park", 2);
    Fault::release(&room, "either");
    first.wait();
    assert!(!workers.iter().any(|pid| is_alive(*pid)), "a worker outlived `up`");
    let ended = first.finish();
    assert_eq!(ended.code(), Some(130), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("written, nothing lost"), "{}", ended.stdout);
    assert!(
        !room.at("runs/drained/summary.json").exists() || Outcome::read(&room, "runs/drained").count("/steps") < 40
    );

    let again = up(&room, &job, &[]).finish();
    again.assert(0, &["goes on from step", "finished"]);
    let drained = Outcome::read(&room, &job.output());
    assert_eq!(drained.count("/steps_redone"), 0);
    drained.assert_same_run(&in_peace(&room), "drained and gone on");
}

#[test]
fn killing_up_takes_its_workers_along_and_the_same_command_goes_on() {
    let room = Room::with_digits(200);
    let job = Job::toy("killed");
    let fault = Fault::hold("after-backward", 17).arm(&room, "either");
    let mut first = up(&room, &job, &[("SUMAC_FAULT", &fault)]);
    first.says("a fault that was asked for", 1);
    let workers = workers(&first);
    first.kill();

    let again = up(&room, &job, &[]).finish();
    again.assert(0, &["finished"]);
    assert!(!workers.iter().any(|pid| is_alive(*pid)), "a worker outlived `up`");
    let killed = Outcome::read(&room, &job.output());
    assert!(killed.count("/steps_redone") > 0);
    killed.assert_same_run(&in_peace(&room), "killed and gone on");
}

#[test]
fn a_worker_that_dies_under_up_is_started_again() {
    let room = Room::with_digits(200);
    let job = Job::toy("raised");
    let fault = Fault::die("before-apply", 17).arm(&room, "either");
    let ended = up(&room, &job, &[("SUMAC_FAULT", &fault)]).finish();
    ended.assert(0, &["finished"]);
    assert!(ended.stderr.contains("starts again in"), "{}", ended.stderr);
    let raised = Outcome::read(&room, &job.output());
    assert!(raised.count("/generations") > 1);
    raised.assert_same_run(&in_peace(&room), "with a death in it");
}

#[test]
fn up_on_a_job_that_cannot_run_says_why_and_ends() {
    let room = Room::with_digits(40);
    let job = Job::toy("missing").set("data.real", "data/elsewhere");
    let ended = up(&room, &job, &[]).finish();
    assert_eq!(ended.code(), Some(5), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("there is no file or folder"), "{}", ended.stdout);
}
