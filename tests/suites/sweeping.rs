//! One job with other values: each variant is the run that it would be alone, whatever happens to the sweep.

use sumac_tests::{Ended, Job, Process, Room, TALKATIVE};

fn job() -> Job {
    Job::simgan("net").set("train.steps", 12)
}

/// `sumac sweep` over two values of lambda, with these words besides.
fn sweep(room: &Room, words: &[&str], environment: &[(&str, &str)]) -> Process {
    let job = job().write(room);
    let command = ["sweep", "--over", "train.lambda=0.1,1", "--workers", "2"].into_iter();
    let command: Vec<&str> = command.chain(job.iter().map(String::as_str)).chain(words.iter().copied()).collect();
    room.start_sumac(&command, environment)
}

fn assert_compared(ended: &Ended) {
    ended.assert(
        0,
        &["REALISM", "net-lambda-0-1", "net-lambda-1", "sumac evaluate runs/net-lambda-0-1 runs/net-lambda-1"],
    );
}

/// What the variant is alone.
fn assert_is_its_own_run(room: &Room) {
    room.train(&job().set("train.lambda", 1), &["--state", "alone"]);
    let weights = |run: &str| room.read(&format!("runs/{run}/refiner.safetensors"));
    assert!(weights("net-lambda-1") == weights("net"), "a variant is another run than alone");
    assert!(weights("net-lambda-0-1") != weights("net"), "the value that is varied changes nothing");
}

#[test]
fn each_variant_of_a_sweep_is_the_run_that_it_is_alone() {
    let room = Room::with_digits(96);
    assert_compared(&sweep(&room, &[], &[]).finish());
    assert_is_its_own_run(&room);
    // Nothing is done again.
    let again = sweep(&room, &[], &[]).finish();
    assert_compared(&again);
    assert_eq!(again.stderr.matches("goes on at step 12").count(), 2, "{}", again.stderr);
    let compared = room.sumac(&["compare", "runs/net-lambda-1", "runs/net", "-o", "json"]).json();
    assert_eq!(compared["items"][0]["realism"], compared["items"][1]["realism"], "{compared}");
    assert_eq!(compared["items"][0]["steps"], 12, "{compared}");
}

#[test]
fn a_sweep_that_is_killed_goes_on_when_it_is_given_again() {
    let room = Room::with_digits(96);
    let mut command = sweep(&room, &[], &[TALKATIVE]);
    command.says("Open", 3);
    command.kill();
    assert_compared(&sweep(&room, &[], &[]).finish());
    assert_is_its_own_run(&room);
}

#[test]
fn a_sweep_with_nothing_to_vary_or_a_field_that_no_job_has_is_refused() {
    let room = Room::with_digits(40);
    let file = &job().write(&room)[0];
    let nothing = room.sumac(&["sweep", file]);
    assert_eq!(nothing.code(), Some(2), "{}", nothing.stderr);
    assert!(nothing.stderr.contains("with nothing to vary is one job"), "{}", nothing.stderr);
    let unknown = room.sumac(&["sweep", file, "--over", "train.lamda=1,2"]);
    assert_eq!(unknown.code(), Some(2), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("variant lamda-1") && unknown.stderr.contains("train.lamda"), "{}", unknown.stderr);
}
