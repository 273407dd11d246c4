//! A worker that is told to end: it does not wait long for others, and a second word ends it at once.

use std::time::{Duration, Instant};
use sumac_tests::{Cluster, Fault, Job};

const STEP: u64 = 17;
/// Ten of grace, and five for the others; the rest is for a machine that is busy.
const SOON: Duration = Duration::from_secs(45);

/// Two workers in the midst of a step. The second is frozen, so that the first, `w0`, cannot end the step; and no coordinator is
/// there to call it away.
fn frozen() -> Cluster {
    let mut cluster = Cluster::digits();
    cluster.join("w0");
    cluster.join_faulty("w1", &Fault::hold("after-backward", STEP));
    cluster.submit(&Job::toy("frozen").exactly(2));
    cluster.stands("w1");
    cluster.worker("w1").freeze();
    cluster.kill_coordinator();
    cluster
}

#[test]
fn a_worker_told_to_end_does_not_wait_for_one_that_is_frozen() {
    let mut cluster = frozen();
    let told = Instant::now();
    cluster.worker("w0").terminate();
    let status = cluster.worker("w0").wait();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(told.elapsed() < SOON, "it took {:?}", told.elapsed());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut cluster = frozen();
    cluster.worker("w0").terminate();
    // Two signals that nobody has looked at yet are one.
    cluster.worker("w0").says("told to end", 1);
    cluster.worker("w0").terminate();
    let status = cluster.worker("w0").wait();
    assert_eq!(status.code(), Some(130), "{status}");
}
