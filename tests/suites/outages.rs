//! The coordinator is away, or its disk fails: jobs that run go on, and nothing it said is forgotten (C-2).

use sumac_tests::{Cluster, Fault, Job, Outcome};

const STEP: u64 = 17;

#[test]
fn a_full_disk_refuses_new_work_and_the_running_job_goes_on() {
    let mut cluster = Cluster::of(1);
    cluster.join_faulty("w1", &Fault::die("after-backward", STEP));
    cluster.join_faulty("w2", &Fault::hold("after-backward", STEP));
    let job = Job::toy("running").at_most(3);
    let id = cluster.submit(&job);
    cluster.stands("w2");
    cluster.dies("w1");
    cluster.coordinator().limit_files(Some(0));

    let refused = cluster.try_submit(&Job::toy("more"));
    refused.assert(1, &["its state cannot be saved", "jobs that run go on"]);
    cluster.sumac(&["version"]).assert(0, &["trouble", "cannot be saved"]);
    // The next generation's number has to be durable before anybody hears of it.
    cluster.release("w2");
    cluster.worker("w2").says("generation left", 1);
    cluster.coordinator().limit_files(None);
    let run = cluster.finished(&id, &job);
    run.assert_same_run(Outcome::undisturbed(), &format!("{:#?}", cluster.facts(&id)));
    assert!(run.count("/generations") >= 2);
    cluster.run(&Job::toy("more").at_most(1)).assert_same_run(Outcome::undisturbed(), "submitted again");
}

#[test]
fn a_second_coordinator_on_the_same_state_is_refused() {
    let cluster = Cluster::digits();
    let second = cluster.room().sumac(&["serve", "--listen", "127.0.0.1:0", "--state", "state"]);
    second.assert(1, &["another coordinator is using", "--state"]);
}

#[test]
fn a_coordinator_killed_again_and_again_changes_nothing() {
    let job = Job::toy("killed").set("train.steps", 2_000).at_most(3);
    let alone = Cluster::of(1).run(&Job::toy("alone").set("train.steps", 2_000).exactly(1));
    let mut cluster = Cluster::of(3);
    let id = cluster.submit(&job);
    cluster.wait_for(&id, "running").assert(0, &[]);
    for life in 2..6 {
        cluster.kill_coordinator();
        cluster.restart_coordinator();
        for name in ["w0", "w1", "w2"] {
            cluster.worker(name).says("attached", life);
        }
    }
    let run = cluster.finished(&id, &job);
    run.assert_same_run(&alone, "four deaths of the coordinator");
    assert_eq!((run.count("/generations"), run.count("/steps_redone")), (1, 0));
}
