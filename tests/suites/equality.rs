//! The same job gives the same bits on any number of workers (L-2, L-3), three of which do not divide its eight lanes.

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
