//! The same job gives the same bits on any number of workers (L-2, L-3), three of which do not divide its eight lanes.

use sumac_common::spec;
use sumac_tests::{Cluster, Job, Outcome};

const WORKERS: u32 = 4;

/// The job on 1, 2, 3 and 4 workers.
fn on_each_number_of_workers(job: fn(&str) -> Job) -> Vec<Outcome> {
    let cluster = Cluster::of(WORKERS as usize);
    let jobs: Vec<Job> = (1..=WORKERS).map(|n| job(&format!("of-{n}")).exactly(n)).collect();
    let ids: Vec<String> = jobs.iter().map(|job| cluster.submit(job)).collect();
    ids.iter().zip(&jobs).map(|(id, job)| cluster.finished(id, job)).collect()
}

fn assert_everything_happened(run: &Outcome) {
    for phase in ["pretrain_refiner", "pretrain_discriminator", "refiner", "discriminator"] {
        assert!(run.count(&format!("/updates/{phase}")) > 0, "no update in {phase}: {}", run.summary);
    }
    assert!(
        run.count("/history/offered") > 2 * run.count("/history/capacity") && run.count("/history/drawn") > 0,
        "the history was not turned over: {}",
        run.summary["history"]
    );
    assert_eq!(run.count("/steps_redone"), 0);
    assert_eq!(run.count("/generations"), 1);
}

fn assert_one_run(runs: &[Outcome]) {
    for (n, run) in (1u64..).zip(runs) {
        assert_everything_happened(run);
        assert_eq!(run.count("/workers_seen"), n);
        run.assert_same_run(&runs[0], &format!("{n} workers"));
    }
}

#[test]
fn a_toy_is_the_same_on_one_to_four_workers() {
    assert_one_run(&on_each_number_of_workers(Job::toy));
}

#[test]
fn a_simgan_is_the_same_on_one_to_four_workers() {
    assert_one_run(&on_each_number_of_workers(Job::simgan));
}

/// What calibration finds is a number like any other: a worker that comes later is told it, and whoever writes it into the job
/// has the same run.
#[test]
fn a_calibrated_run_is_the_run_that_names_the_number_it_found() {
    let cluster = Cluster::of(3);
    let open = |name: &str| Job::simgan(name).set("train.lambda", "calibrated");
    let jobs = [open("of-one").exactly(1), open("of-three").exactly(3)];
    let found: Vec<Outcome> = jobs.iter().map(|job| cluster.run(job)).collect();
    let resolved = cluster.room().read("runs/of-one/spec.toml");
    let resolved = spec::read(&String::from_utf8_lossy(&resolved), &[]).expect("a run leaves a spec");
    let lambda = resolved.what.train.lambda.expect("its spec has a number in it");
    let named = cluster.run(&Job::simgan("named").set("train.lambda", lambda));
    for (run, workers) in found.iter().zip(["one worker", "three workers"]) {
        run.assert_same_run(&named, workers);
    }
    let other = cluster.run(&Job::simgan("other").set("train.lambda", 2.0 * lambda));
    assert_ne!(other.text("/state_sha256"), named.text("/state_sha256"), "lambda {lambda} weighs nothing");
}

/// A hash that is always the same would pass the tests above.
#[test]
fn another_seed_is_another_run() {
    let cluster = Cluster::of(2);
    let (one, other) = (Job::toy("one"), Job::toy("other").set("train.seed", 12));
    let (one, other) = (cluster.run(&one), cluster.run(&other));
    for hash in ["/state_sha256", "/trace_sha256", "/refiner_sha256", "/discriminator_sha256"] {
        assert_ne!(one.text(hash), other.text(hash), "{hash}");
    }
}
