//! Workers that leave and come on purpose: between two steps, aborting nothing, with nothing done again (C-3, L-2). And one that
//! is told to end where nobody lets it go: it does not wait long, and a second word ends it at once.

use std::time::{Duration, Instant};
use sumac_tests::{Cluster, Fault, Job, Outcome};

/// A discriminator step between two checkpoints: history is staged in it.
const STEP: u64 = 17;
/// Ten of grace, and five for the others; the rest is for a machine that is busy.
const SOON: Duration = Duration::from_secs(45);

/// `n` workers in the midst of a step, in which the last one holds them all. Gives the job's id and the last one's name.
fn held(n: usize, job: &Job) -> (Cluster, String, String) {
    let mut cluster = Cluster::of(n - 1);
    let last = format!("w{}", n - 1);
    cluster.join_faulty(&last, &Fault::hold("after-backward", STEP));
    let id = cluster.submit(job);
    cluster.stands(&last);
    (cluster, id, last)
}

/// The run ended as if nothing had been, in so many generations, and nothing was aborted on the way.
#[track_caller]
fn assert_nothing_lost(cluster: &Cluster, id: &str, job: &Job, generations: u64) {
    let run = cluster.finished(id, job);
    let facts = cluster.facts(id);
    run.assert_same_run(Outcome::undisturbed(), &format!("{facts:#?}"));
    assert_eq!(run.count("/steps_redone"), 0, "{facts:#?}");
    assert_eq!(run.count("/generations"), generations, "{facts:#?}");
    let is_bad = |fact: &&String| fact.contains("lost") || fact.contains("closed:");
    assert_eq!(facts.iter().find(is_bad), None, "{facts:#?}");
}

#[test]
fn a_worker_told_to_end_is_let_go_between_two_steps() {
    let job = Job::toy("told").at_most(3);
    let (mut cluster, id, last) = held(3, &job);
    cluster.worker("w1").terminate();
    cluster.worker("w1").says("told to end", 1);
    cluster.release(&last);
    let status = cluster.worker("w1").wait();
    assert_eq!(status.code(), Some(0), "{status}");
    assert_nothing_lost(&cluster, &id, &job, 2);
}

#[test]
fn a_lone_worker_told_to_end_saves_first_and_another_goes_on_from_there() {
    let job = Job::toy("alone").at_most(1);
    let (mut cluster, id, last) = held(1, &job);
    cluster.worker(&last).terminate();
    cluster.worker(&last).says("told to end", 1);
    cluster.release(&last);
    let status = cluster.worker(&last).wait();
    assert_eq!(status.code(), Some(0), "{status}");
    cluster.join("next");
    assert_nothing_lost(&cluster, &id, &job, 2);
}

#[test]
fn a_worker_and_its_guard_leave_together_and_nothing_is_done_again() {
    let job = Job::toy("both").at_most(3);
    let (mut cluster, id, last) = held(3, &job);
    for name in ["w0", "w1"] {
        cluster.sumac(&["drain", name, "--no-wait"]).assert(0, &["draining"]);
    }
    // Before both are known to leave, a regrouping would do.
    cluster.worker(&last).says("wish: Park", 1);
    cluster.release(&last);
    assert_nothing_lost(&cluster, &id, &job, 2);
    cluster.sumac(&["workers"]).assert(0, &["drained"]);
}

#[test]
fn a_drained_machine_gives_no_more_work_until_it_is_undrained() {
    let cluster = Cluster::of(1);
    let node =
        cluster.sumac(&["nodes", "-o", "json"]).json()["items"][0]["name"].as_str().unwrap_or_default().to_owned();
    cluster.sumac(&["drain", &node]).assert(0, &["drained", "sumac undrain"]);
    let job = Job::toy("waiting").at_most(1);
    let id = cluster.submit(&job);
    assert_eq!(cluster.job(&id)["state"], "queued");
    cluster.sumac(&["undrain", &node]).assert(0, &["may work again"]);
    assert_nothing_lost(&cluster, &id, &job, 1);
}

#[test]
fn an_evicted_worker_is_out_in_the_midst_of_a_step() {
    let job = Job::toy("evicted").at_most(2);
    // It hangs, and would never leave by itself.
    let (cluster, id, last) = held(2, &job);
    cluster.sumac(&["evict", &last]).assert(2, &["--yes", "sumac drain"]);
    cluster.sumac(&["evict", &last, "--yes"]).assert(0, &["evicted"]);
    let run = cluster.finished(&id, &job);
    run.assert_same_run(Outcome::undisturbed(), &format!("{:#?}", cluster.facts(&id)));
    assert_eq!(run.count("/steps_redone"), 0);
}

#[test]
fn one_four_two_and_three_workers_in_turn_change_nothing() {
    let of = |name: &str| Job::toy(name).set("train.steps", 1_200).set("output.checkpoint_steps", 500);
    let alone = Cluster::of(1).run(&of("alone").exactly(1));
    let mut cluster = Cluster::digits();
    // Alone it would be at the end before anybody can ask for more.
    cluster.join_faulty("w0", &Fault::hold("after-backward", 100));
    let job = of("scaled").at_most(1);
    let [file, sets @ ..] = &job.write(cluster.room())[..] else { panic!("a job has a file") };
    let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    let submit = [&["submit", file, "--follow", "--coordinator", cluster.address()], sets.as_slice()].concat();
    let follower = cluster.room().start_sumac(&submit, &[]);
    cluster.stands("w0");
    ["w1", "w2", "w3"].iter().for_each(|name| cluster.join(name));
    let mut generation = 1;
    for workers in ["4", "2", "3"] {
        follower.says(&format!("generation {generation} goes on"), 1);
        let id =
            cluster.sumac(&["jobs", "-o", "json"]).json()["items"][0]["id"].as_str().unwrap_or_default().to_owned();
        cluster.sumac(&["scale", &id, "--workers", workers]).assert(0, &["scaled"]);
        if generation == 1 {
            // Who is not ready yet when the others regroup is left out of it.
            let workers = &["workers", "--watch", "-o", "json", "--coordinator", cluster.address()];
            cluster.room().start_sumac(workers, &[]).hear("that the others are ready", |lines| {
                let is_ready = |name: &&str| {
                    let is_it = |text: &str| {
                        text.contains(&format!("\"name\":\"{name}\"")) && text.contains("\"state\":\"waiting\"")
                    };
                    lines.iter().any(|line| is_it(&line.text))
                };
                ["w1", "w2", "w3"].iter().all(is_ready).then_some(())
            });
            cluster.release("w0");
        }
        generation += 1;
    }
    follower.says(&format!("generation {generation} goes on"), 1);
    follower.finish().assert(0, &[]);
    let run = Outcome::read(cluster.room(), &job.output());
    run.assert_same_run(&alone, "1, 4, 2 and 3 workers");
    assert_eq!((run.count("/steps_redone"), run.count("/workers_seen")), (0, 4));
}

/// Two workers in the midst of a step. The second is frozen, so that the first, `w0`, cannot end the step; and no coordinator is
/// there to call it away.
fn frozen() -> Cluster {
    let (mut cluster, _, last) = held(2, &Job::toy("frozen").exactly(2));
    cluster.worker(&last).freeze();
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
