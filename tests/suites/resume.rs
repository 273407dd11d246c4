//! What was paused goes on: with other workers, with more steps, from an older checkpoint; and from nothing else (K-1).

use std::{fs, path::PathBuf};
use sumac_tests::{Cluster, Fault, Job, Outcome};

const STEP: u64 = 17;

/// Three workers, and the job paused at about [`STEP`], with a checkpoint there, and one before if the disk was fast enough.
/// Gives the step.
fn paused(cluster: &mut Cluster, job: &Job) -> u64 {
    cluster.join_faulty("w0", &Fault::hold("after-backward", STEP));
    cluster.join("w1");
    cluster.join("w2");
    let id = cluster.submit(job);
    cluster.stands("w0");
    cluster.sumac(&["pause", &id]).assert(0, &["pausing"]);
    cluster.worker("w0").says("Park", 1);
    cluster.release("w0");
    cluster.wait(&id).assert(5, &["paused at step"]);
    let job = cluster.job(&id);
    assert_eq!(job["state"], "paused");
    let (step, saved) = (job["step"].as_u64(), job["saved"].as_u64());
    assert_eq!(step, saved, "paused without a checkpoint");
    let step = step.unwrap_or_default();
    assert!((STEP..40).contains(&step), "paused at {step}");
    step
}

/// Folders of the complete checkpoints, oldest first.
fn saved(cluster: &Cluster) -> Vec<PathBuf> {
    let folder = cluster.room().at("runs/paused/checkpoints");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = paths.filter(|path| path.join("manifest.json").exists()).collect();
    found.sort();
    found
}

fn in_peace(cluster: &Cluster) -> Outcome {
    cluster.run(&Job::toy("peace").exactly(1))
}

fn job() -> Job {
    Job::toy("paused").at_most(3)
}

/// Changes one byte of a file.
fn damage(cluster: &Cluster, file: &str) {
    let mut bytes = cluster.room().read(file);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    cluster.room().write(file, bytes);
}

#[test]
fn a_run_paused_on_three_workers_goes_on_with_two() {
    let mut cluster = Cluster::digits();
    paused(&mut cluster, &job());
    cluster.kill("w0");
    let resumed = cluster.run(&job().exactly(2));
    assert_eq!(resumed.count("/steps_redone"), 0);
    resumed.assert_same_run(&in_peace(&cluster), "resumed with two");
}

#[test]
fn a_finished_run_goes_on_when_it_is_given_more_steps() {
    let cluster = Cluster::of(2);
    let short = Job::toy("longer").set("train.steps", 24);
    assert_eq!(cluster.run(&short).count("/steps"), 24);
    let longer = cluster.run(&Job::toy("longer"));
    assert_eq!(longer.count("/steps"), 40);
    longer.assert_same_run(&in_peace(&cluster), "24 steps and then 16");
}

#[test]
fn a_run_of_fewer_steps_than_are_done_is_refused() {
    let cluster = Cluster::of(1);
    let first = cluster.run(&Job::toy("shorter"));
    let id = cluster.submit(&Job::toy("shorter").set("train.steps", 24));
    cluster.wait(&id).assert(5, &["step 40", "24"]);
    Outcome::read(cluster.room(), "runs/shorter").assert_same_run(&first, "what was there");
}

#[test]
fn a_damaged_checkpoint_costs_steps_and_nothing_else() {
    let mut cluster = Cluster::digits();
    // So that there is one before, however slow the disk is.
    cluster.join("early");
    cluster.run(&job().set("train.steps", 12));
    cluster.kill("early");
    let step = paused(&mut cluster, &job());
    damage(&cluster, &format!("runs/paused/checkpoints/step-{step:09}/lane-003.slots"));
    let saved = saved(&cluster);
    let before =
        saved.iter().rev().nth(1).and_then(|path| path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok());
    let before: u64 = before.unwrap_or_else(|| panic!("no checkpoint before the last: {saved:?}"));
    let resumed = cluster.run(&job());
    assert_eq!(resumed.count("/steps_redone"), step - before);
    resumed.assert_same_run(&in_peace(&cluster), "from the checkpoint before");
}

#[test]
fn a_run_whose_checkpoints_are_all_damaged_does_not_quietly_start_over() {
    let mut cluster = Cluster::digits();
    paused(&mut cluster, &job());
    let steps = saved(&cluster);
    for step in &steps {
        fs::write(step.join("counters.json"), "{").unwrap_or_else(|error| panic!("{}: {error}", step.display()));
    }
    let metrics = cluster.room().read("runs/paused/metrics.jsonl");
    let id = cluster.submit(&job());
    cluster.wait(&id).assert(5, &[&format!("none of the {} checkpoints", steps.len()), "Move the folder away"]);
    assert!(steps.iter().all(|step| step.exists()), "a damaged checkpoint was thrown away");
    assert!(cluster.room().read("runs/paused/metrics.jsonl") == metrics, "metrics.jsonl was touched");
}

#[test]
fn another_run_does_not_go_on_in_the_output_of_one_that_ended() {
    let cluster = Cluster::of(1);
    let first = cluster.run(&Job::toy("mine"));
    let id = cluster.submit(&Job::toy("mine").set("train.seed", 12));
    cluster.wait(&id).assert(5, &["another run", "runs/mine"]);
    Outcome::read(cluster.room(), "runs/mine").assert_same_run(&first, "what was there");
}

#[test]
fn two_runs_do_not_write_into_one_output() {
    let mut cluster = Cluster::digits();
    cluster.join_faulty("w0", &Fault::hold("after-backward", STEP));
    let mine = Job::toy("mine").exactly(1);
    let id = cluster.submit(&mine);
    cluster.stands("w0");
    let other = Job::toy("mine").set("train.seed", 12);
    cluster.try_submit(&other).assert(1, &["belongs to job", &id, "another output.dir"]);
    cluster.release("w0");
    let run = cluster.finished(&id, &mine);
    run.assert_same_run(&in_peace(&cluster), "the one that was there first");
}

#[test]
fn the_same_submit_twice_is_one_job() {
    let mut cluster = Cluster::digits();
    cluster.join_faulty("w0", &Fault::hold("after-backward", STEP));
    let id = cluster.submit(&Job::toy("once"));
    cluster.stands("w0");
    assert_eq!(cluster.submit(&Job::toy("once")), id);
    cluster.release("w0");
    cluster.wait(&id).assert(0, &[]);
}
