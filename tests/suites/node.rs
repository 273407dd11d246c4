//! The parent of a machine's workers: it replaces who dies, outlives the coordinator, leaves with all of them when it is told to,
//! and leaves nobody behind. A run does not show what happened to it.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};
use sumac_tests::{Cluster, Fault, Job, Outcome, Process, Room, binaries, child, children, is_alive};

/// A discriminator step, half-way between the checkpoints at 10 and 20: history is staged in it.
const STEP: u64 = 17;
/// Orphans are gone within this.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// `sumac-worker node`, with workers called `box-0`, `box-1`, ...
fn start(cluster: &Cluster, workers: usize, environment: &[(&str, &str)]) -> Process {
    let mut command = cluster.room().command(&binaries().worker);
    command.args(["node", "--name", "box", "--coordinator", cluster.address(), "--die-with-parent"]);
    // How long a loaded machine takes decides nothing.
    command.args(["--workers", &workers.to_string(), "--grace", "80"]);
    command.env("SUMAC_LOG", "info,sumac_worker::session=debug").env("SUMAC_LOG_FORMAT", "human");
    Process::start("box", command.envs(environment.iter().copied()))
}

/// With all its workers attached.
fn node(cluster: &Cluster, workers: usize, fault: Option<&Fault>) -> Process {
    // Workers share the fault: whoever reaches the point first has it.
    let fault = fault.map(|fault| fault.arm(cluster.room(), "either"));
    let environment: Vec<(&str, &str)> = fault.iter().map(|fault| ("SUMAC_FAULT", fault.as_str())).collect();
    let node = start(cluster, workers, &environment);
    node.says("attached", workers);
    node
}

/// The worker that stands at its fault, and the other one.
fn stands(node: &Process) -> (u32, u32) {
    let said = node.says("a fault that was asked for", 1);
    let name = said.split(':').next().unwrap_or_default();
    let workers = children(node.pid());
    assert_eq!(workers.len(), 2, "{workers:?}");
    let standing = child(node.pid(), name);
    let other = workers.into_iter().find(|pid| *pid != standing);
    (standing, other.unwrap_or(standing))
}

fn send(pid: u32, signal: Signal) {
    let sent = Pid::from_raw(pid.cast_signed()).map(|pid| kill_process(pid, signal));
    assert_eq!(sent, Some(Ok(())), "no {signal:?} for process {pid}");
}

/// Waits until none of them lives.
#[track_caller]
fn are_gone(workers: &BTreeSet<u32>) {
    let until = Instant::now() + GONE_WITHIN;
    while workers.iter().any(|pid| is_alive(*pid)) {
        assert!(Instant::now() < until, "of {workers:?} some live {GONE_WITHIN:?} after their parent");
        thread::yield_now();
    }
}

fn job() -> Job {
    Job::toy("boxed").exactly(2)
}

#[test]
fn a_worker_that_dies_is_replaced_and_the_run_is_the_same() {
    let cluster = Cluster::digits();
    let node = node(&cluster, 2, Some(&Fault::die("before-apply", STEP)));
    let run = cluster.run(&job());
    node.says("ended (signal: 9 (SIGKILL)); starts again in 100ms", 1);
    assert!(run.count("/generations") > 1);
    assert_eq!(run.count("/steps_redone"), 0);
    run.assert_same_run(Outcome::undisturbed(), "a worker replaced");
}

#[test]
fn a_worker_that_dies_while_the_coordinator_is_away_is_replaced() {
    let mut cluster = Cluster::digits();
    let node = node(&cluster, 2, Some(&Fault::hold("after-backward", STEP)));
    let id = cluster.submit(&job());
    let (_, other) = stands(&node);
    cluster.kill_coordinator();
    send(other, Signal::KILL);
    node.says("starts again in 100ms", 1);
    cluster.restart_coordinator();
    Fault::release(cluster.room(), "either");
    let run = cluster.finished(&id, &job());
    assert_eq!(run.count("/steps_redone"), 0);
    run.assert_same_run(Outcome::undisturbed(), "a worker replaced in the coordinator's absence");
}

#[test]
fn the_death_of_the_coordinator_ends_neither_node_nor_workers() {
    let mut cluster = Cluster::digits();
    let node = node(&cluster, 2, Some(&Fault::hold("after-backward", STEP)));
    let id = cluster.submit(&job());
    stands(&node);
    let workers = children(node.pid());
    cluster.kill_coordinator();
    node.says("coordinator lost, dialling again", 2);
    cluster.restart_coordinator();
    node.says("attached", 4);
    Fault::release(cluster.room(), "either");
    let run = cluster.finished(&id, &job());
    assert_eq!(children(node.pid()), workers, "another worker than before");
    assert_eq!((run.count("/generations"), run.count("/steps_redone")), (1, 0));
    run.assert_same_run(Outcome::undisturbed(), "with another coordinator");
}

#[test]
fn workers_of_a_stopped_node_keep_working() {
    let cluster = Cluster::digits();
    let node = node(&cluster, 2, None);
    send(node.pid(), Signal::STOP);
    let run = cluster.run(&job());
    assert_eq!(run.count("/generations"), 1);
    run.assert_same_run(Outcome::undisturbed(), "under a stopped node");
}

#[test]
fn killing_a_node_leaves_no_worker_and_the_run_goes_on_elsewhere() {
    let mut cluster = Cluster::digits();
    let job = Job::toy("elsewhere").exactly(2);
    cluster.join_faulty("w0", &Fault::hold("after-backward", STEP));
    let mut node = node(&cluster, 1, None);
    let id = cluster.submit(&job);
    cluster.stands("w0");
    let workers = children(node.pid());
    assert_eq!(workers.len(), 1, "{workers:?}");
    node.kill();
    are_gone(&workers);
    cluster.join("w1");
    cluster.release("w0");
    let run = cluster.finished(&id, &job);
    assert!(run.count("/generations") > 1);
    assert_eq!(run.count("/steps_redone"), 0);
    run.assert_same_run(Outcome::undisturbed(), "gone on elsewhere");
}

#[test]
fn killing_the_only_node_costs_steps_and_nothing_else() {
    let cluster = Cluster::digits();
    let mut first = node(&cluster, 2, Some(&Fault::hold("after-backward", STEP)));
    let id = cluster.submit(&job());
    stands(&first);
    let workers = children(first.pid());
    first.kill();
    are_gone(&workers);
    let _second = node(&cluster, 2, None);
    let run = cluster.finished(&id, &job());
    assert!(run.count("/steps_redone") > 0);
    run.assert_same_run(Outcome::undisturbed(), "from the checkpoint");
}

#[test]
fn a_node_that_is_told_to_end_drains_its_workers_and_nothing_is_done_again() {
    let cluster = Cluster::digits();
    let first = node(&cluster, 2, Some(&Fault::hold("after-backward", STEP)));
    let id = cluster.submit(&job());
    stands(&first);
    let workers = children(first.pid());
    send(first.pid(), Signal::TERM);
    first.says("told to end: it goes once it is let go", 2);
    Fault::release(cluster.room(), "either");
    first.finish().assert(0, &[]);
    assert!(!workers.iter().any(|pid| is_alive(*pid)), "a worker outlived its node");
    let left = cluster.job(&id);
    assert_eq!(left["state"], "queued");
    assert!(left["saved"].as_u64() >= Some(STEP) && left["saved"] == left["step"], "{left:#}");

    let _second = node(&cluster, 2, None);
    let run = cluster.finished(&id, &job());
    assert_eq!(run.count("/steps_redone"), 0);
    run.assert_same_run(Outcome::undisturbed(), "drained and gone on");
}

#[test]
fn a_second_signal_ends_a_node_and_its_workers_at_once() {
    let cluster = Cluster::digits();
    let node = node(&cluster, 2, Some(&Fault::hold("after-backward", STEP)));
    cluster.submit(&job());
    stands(&node);
    let workers = children(node.pid());
    node.interrupt();
    node.says("told to end: it goes once its workers are let go", 1);
    send(node.pid(), Signal::TERM);
    node.finish().assert(130, &["stopped at once by a second signal"]);
    are_gone(&workers);
}

/// Nobody is started in its place, so that only the node's word makes the death certain.
#[test]
fn the_coordinator_hears_of_a_death_from_the_node() {
    let cluster = Cluster::digits();
    let node = node(&cluster, 1, Some(&Fault::hold("after-backward", STEP)));
    let id = cluster.submit(&Job::toy("alone").exactly(1));
    node.says("a fault that was asked for", 1);
    node.interrupt();
    node.says("told to end: it goes once it is let go", 1);
    send(child(node.pid(), "box-0"), Signal::KILL);
    node.finish().assert(75, &["worker box-0 did not leave in good order: it ended (signal: 9 (SIGKILL))"]);
    let facts = cluster.facts(&id);
    assert!(facts.iter().any(|fact| fact.contains("its process ended")), "{facts:#?}");
}

#[test]
fn a_worker_whose_configuration_is_at_fault_ends_the_node_with_its_sentence() {
    let cluster = Cluster::start(Room::new());
    let ended = start(&cluster, 2, &[("SUMAC_FAULT", "nonsense")]).finish();
    ended.assert(78, &["error: worker box-", "cannot run here: ", "nonsense"]);
    assert!(!ended.stdout.contains("starts again"), "{}", ended.stdout);
}

#[test]
fn a_worker_whose_parent_has_ended_does_not_begin() {
    let cluster = Cluster::start(Room::new());
    let mut command = cluster.room().command(&binaries().worker);
    // The test is its parent, and process 1 is not the test.
    command.args(["run", "--coordinator", cluster.address(), "--die-with-parent=1"]);
    let ended = Process::start("orphan", &mut command).finish();
    ended.assert(75, &["process 1, which started this one, has ended"]);
}
