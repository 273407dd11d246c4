//! Checkpoints while steps go on: on a slow disk, on one that refuses, and with deaths in the midst of them (K-1).

use std::{fs, path::PathBuf};
use sumac_tests::{Cluster, Fault, Job, Outcome};

/// The same run of so many steps on one worker, left in peace.
fn in_peace(cluster: &Cluster, steps: u64) -> Outcome {
    cluster.run(&Job::toy("peace").exactly(1).set("train.steps", steps))
}

/// Steps of the complete checkpoints, oldest first.
fn saved(cluster: &Cluster, job: &Job) -> Vec<u64> {
    let folder = cluster.room().at(&format!("{}/checkpoints", job.output()));
    let folders: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path())
        .filter(|path| path.join("manifest.json").exists())
        .collect();
    let step = |path: PathBuf| path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok();
    let mut steps: Vec<u64> = folders.into_iter().filter_map(step).collect();
    steps.sort_unstable();
    steps
}

// === a slow disk ===

#[test]
fn steps_go_on_while_a_checkpoint_is_written() {
    let mut cluster = Cluster::digits();
    cluster.join_faulty("w0", &Fault::hold("mid-save", 10));
    cluster.join("w1");
    let job = Job::toy("slow").at_most(2).set("train.steps", 400);
    let id = cluster.submit(&job);
    cluster.stands("w0");
    cluster.wait_for(&id, "step=300").assert(0, &[]);
    assert_eq!(saved(&cluster, &job), [0_u64; 0], "the checkpoint at 10 is complete although a part of it is not");
    cluster.release("w0");
    let run = cluster.finished(&id, &job);
    assert_eq!((run.count("/generations"), run.count("/steps_redone")), (1, 0));
    run.assert_same_run(&in_peace(&cluster, 400), "a slow disk");
}

// === a death ===

/// A worker dies on the thread that writes, the others go on, and so does the run when it is alone.
fn die(point: &'static str, victim: &str, workers: u32) {
    let mut cluster = Cluster::digits();
    for worker in ["w0", "w1", "w2"].into_iter().take(workers as usize) {
        if worker == victim {
            cluster.join_faulty(worker, &Fault::die(point, 20));
        } else {
            cluster.join(worker);
        }
    }
    let job = Job::toy("killed").at_most(workers).set("output.checkpoint_steps", 5).set("train.steps", 300);
    let id = cluster.submit(&job);
    cluster.dies(victim);
    if workers == 1 {
        cluster.join("w0");
    }
    let run = cluster.finished(&id, &job);
    let cell = format!("{victim} of {workers} at {point}: {:#?}", cluster.facts(&id));
    assert!(run.count("/generations") > 1, "no new generation after {cell}");
    if workers == 1 {
        assert!(run.count("/steps_redone") > 0, "nothing was done again after {cell}");
    } else {
        assert_eq!(run.count("/steps_redone"), 0, "steps were done again although nothing was lost with {cell}");
    }
    assert!(saved(&cluster, &job).contains(&300), "{cell}");
    run.assert_same_run(&in_peace(&cluster, 300), &cell);
}

#[test]
fn a_death_in_the_midst_of_a_part_changes_nothing() {
    die("mid-save", "w0", 3);
}

#[test]
fn the_death_of_another_in_the_midst_of_its_part_changes_nothing() {
    die("mid-save", "w1", 3);
}

#[test]
fn a_death_before_the_manifest_changes_nothing() {
    die("before-manifest", "w0", 3);
}

#[test]
fn a_death_after_the_manifest_changes_nothing() {
    die("after-manifest", "w0", 3);
}

#[test]
fn a_lone_worker_that_dies_in_the_midst_of_a_checkpoint_goes_on_from_the_one_before() {
    die("mid-save", "w0", 1);
}

#[test]
fn a_lone_worker_that_dies_before_the_manifest_goes_on_from_the_one_before() {
    die("before-manifest", "w0", 1);
}

// === a disk that refuses ===

#[test]
fn a_checkpoint_that_cannot_be_written_is_an_incident_and_the_run_goes_on() {
    let mut cluster = Cluster::digits();
    cluster.join_faulty("w0", &Fault::hold("after-backward", 5));
    cluster.join_faulty("w1", &Fault::hold("after-backward", 300));
    let job = Job::toy("refused").exactly(2).set("train.steps", 600);
    let id = cluster.submit(&job);
    cluster.stands("w0");
    let in_the_way = cluster.room().write(&format!("{}/checkpoints", job.output()), "");
    cluster.release("w0");
    cluster.stands("w1");
    let incidents = |cluster: &Cluster| {
        let facts = cluster.facts(&id);
        facts.into_iter().filter(|fact| fact.contains("could not save a checkpoint")).collect::<Vec<_>>()
    };
    cluster.worker("w0").says("checkpoint not saved", 2);
    assert_eq!(incidents(&cluster).len(), 1, "once, until it works again: {:#?}", cluster.facts(&id));
    assert!(incidents(&cluster)[0].contains("cannot create"), "{:#?}", incidents(&cluster));
    let removed = fs::remove_file(&in_the_way);
    removed.unwrap_or_else(|error| panic!("{}: {error}", in_the_way.display()));
    cluster.release("w1");
    let run = cluster.finished(&id, &job);
    assert_eq!((run.count("/generations"), run.count("/steps_redone")), (1, 0), "{:#?}", cluster.facts(&id));
    assert!(saved(&cluster, &job).contains(&600));
    run.assert_same_run(&in_peace(&cluster, 600), "a disk that refuses");
}

#[test]
fn a_run_whose_end_cannot_be_written_fails_in_words() {
    let mut cluster = Cluster::digits();
    cluster.join_faulty("w0", &Fault::hold("after-backward", 5));
    let job = Job::toy("refused").exactly(1);
    let id = cluster.submit(&job);
    cluster.stands("w0");
    cluster.room().write(&format!("{}/checkpoints", job.output()), "");
    cluster.release("w0");
    cluster.wait(&id).assert(5, &["cannot create", "output.dir must be writable and reachable from every worker"]);
}

// === what is kept ===

#[test]
fn the_newest_and_the_milestones_are_kept_and_listed() {
    let cluster = Cluster::of(1);
    let job = Job::toy("kept").set("train.steps", 2_000).set("output.keep_every", 200);
    let id = cluster.submit(&job);
    cluster.wait(&id).assert(0, &[]);
    let there = saved(&cluster, &job);
    // How many the disk was fast enough for is its own affair.
    assert!(there.len() > 2 && there.last() == Some(&2_000), "{there:?}");
    let spans: Vec<u64> = there[..there.len() - 2].iter().map(|step| step / 200).collect();
    assert!(spans.is_sorted_by(|a, b| a < b) && spans[0] > 0, "two milestones in one span: {there:?}");
    let listed = cluster.sumac(&["checkpoints", &id]);
    listed.assert(0, &["STEP", "AGE", "SIZE", "PATH"]);
    let paths: Vec<&str> = listed.stdout.lines().skip(1).filter_map(|line| line.split_whitespace().last()).collect();
    assert!(paths.iter().all(|path| cluster.room().at(path).join("manifest.json").exists()), "{paths:?}");
    assert_eq!(paths.len(), there.len(), "{listed:?}, on the disk: {there:?}");
}
