//! Kill anything, anywhere: the run ends with the bits of one that nobody disturbed.
//!
//! A cell of the matrix is a point in the life of a step or a generation and a victim. By default every point is met with the
//! first victim and every victim at one point; `SUMAC_FULL=1` takes the whole product. Every cell proves that its point was
//! reached (the fault leaves a mark) and that the run noticed (generations, steps redone).

use sumac_tests::{Cluster, Fault, Job, Outcome};

/// Points in a step, or at the end of the last one.
const IN_A_STEP: [&str; 6] =
    ["after-backward", "after-guard", "between-collectives", "before-apply", "after-apply", "seal"];
/// Points in the entry into a generation. A first death and the return of the dead bring it about.
const IN_AN_ENTRY: [&str; 2] = ["regroup", "donor-copy"];

/// A discriminator step, half-way between the checkpoints at 10 and 20: history is staged in it.
const STEP: u64 = 17;
/// After the first death: here the others wait until the dead is back.
const PAUSE: u64 = 25;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    /// It serves the store that the others meet at, writes the outputs, donates.
    First,
    /// It guards the first one's history.
    Second,
    Third,
    Coordinator,
    /// Both copies of the first one's history go.
    FirstAndGuard,
    Everybody,
}

const VICTIMS: [Victim; 6] =
    [Victim::First, Victim::Second, Victim::Third, Victim::Coordinator, Victim::FirstAndGuard, Victim::Everybody];

impl Victim {
    fn workers(self) -> &'static [&'static str] {
        match self {
            Self::First => &["w0"],
            Self::Second => &["w1"],
            Self::Third => &["w2"],
            Self::Coordinator => &[],
            Self::FirstAndGuard => &["w0", "w1"],
            Self::Everybody => &["w0", "w1", "w2"],
        }
    }
}

fn kill(point: &'static str, victim: Victim) {
    let expected = Outcome::undisturbed();
    let mut cluster = Cluster::digits();
    let job = Job::toy("killed").at_most(3);
    let id = if IN_AN_ENTRY.contains(&point) {
        kill_in_an_entry(&mut cluster, &job, point, victim)
    } else {
        kill_in_a_step(&mut cluster, &job, point, victim)
    };
    let run = cluster.finished(&id, &job);
    let cell = format!("{victim:?} at {point}: {:#?}", cluster.facts(&id));
    run.assert_same_run(expected, &cell);
    let before = if IN_AN_ENTRY.contains(&point) { 3 } else { 1 };
    let (generations, redone) = (run.count("/generations"), run.count("/steps_redone"));
    match victim {
        Victim::Coordinator => assert_eq!((generations, redone), (before, 0), "disturbed by {cell}"),
        Victim::First | Victim::Second | Victim::Third => {
            assert!(generations > before, "no new generation after {cell}");
            assert_eq!(redone, 0, "steps were done again although nothing was lost with {cell}");
        }
        Victim::FirstAndGuard | Victim::Everybody => {
            assert!(generations > before, "no new generation after {cell}");
            assert!(redone > 0, "no step was done again although history was lost with {cell}");
        }
    }
}

/// One victim dies by itself, in the midst of the others' work; for several, the first holds still until all are dead.
fn kill_in_a_step(cluster: &mut Cluster, job: &Job, point: &'static str, victim: Victim) -> String {
    let alone = match victim.workers() {
        [one] => Some(*one),
        _ => None,
    };
    for worker in ["w0", "w1", "w2"] {
        match alone {
            Some(victim) if victim == worker => cluster.join_faulty(worker, &Fault::die(point, STEP)),
            None if worker == "w0" => cluster.join_faulty(worker, &Fault::hold(point, STEP)),
            _ => cluster.join(worker),
        }
    }
    let id = cluster.submit(job);
    match alone {
        Some(victim) => cluster.dies(victim),
        None => kill_while_the_first_stands(cluster, victim),
    }
    assert_begun_by_all(cluster, &id);
    id
}

/// The third worker dies and comes back, and while the first two take it in, the victim dies.
fn kill_in_an_entry(cluster: &mut Cluster, job: &Job, point: &'static str, victim: Victim) -> String {
    let fault = if victim == Victim::First { Fault::die(point, PAUSE) } else { Fault::hold(point, PAUSE) };
    cluster.join_faulty("w0", &fault);
    cluster.join_faulty("w1", &Fault::hold("after-backward", PAUSE));
    cluster.join_faulty("w2", &Fault::die("after-backward", STEP));
    let id = cluster.submit(job);
    cluster.dies("w2");
    cluster.stands("w1");
    assert_begun_by_all(cluster, &id);
    cluster.join("w2");
    // From here on the second one carries the wish for the third.
    cluster.worker("w1").says("Regroup", 1);
    cluster.release("w1");
    if victim == Victim::First {
        cluster.dies("w0")
    } else {
        kill_while_the_first_stands(cluster, victim)
    }
    id
}

fn kill_while_the_first_stands(cluster: &mut Cluster, victim: Victim) {
    cluster.stands("w0");
    if victim == Victim::Coordinator {
        cluster.kill_coordinator();
        cluster.restart_coordinator();
    }
    victim.workers().iter().for_each(|worker| cluster.kill(worker));
    if !victim.workers().contains(&"w0") {
        cluster.release("w0");
    }
    if victim == Victim::Everybody {
        victim.workers().iter().for_each(|worker| cluster.join(worker));
    }
}

/// Or the cell would not be the one it says it is.
fn assert_begun_by_all(cluster: &Cluster, id: &str) {
    let facts = cluster.facts(id);
    assert!(facts.iter().any(|fact| fact.starts_with("generation 1 opened: w0 w1 w2 ")), "{facts:#?}");
}

// === every point, the first worker ===

#[test]
fn a_death_after_the_backward_pass_changes_nothing() {
    kill("after-backward", Victim::First);
}

#[test]
fn a_death_after_the_guard_has_the_history_changes_nothing() {
    kill("after-guard", Victim::First);
}

#[test]
fn a_death_between_two_collectives_changes_nothing() {
    kill("between-collectives", Victim::First);
}

#[test]
fn a_death_before_the_update_is_applied_changes_nothing() {
    kill("before-apply", Victim::First);
}

#[test]
fn a_death_after_the_update_is_applied_changes_nothing() {
    kill("after-apply", Victim::First);
}

#[test]
fn a_death_while_the_outputs_are_written_changes_nothing() {
    kill("seal", Victim::First);
}

#[test]
fn a_death_while_a_generation_forms_changes_nothing() {
    kill("regroup", Victim::First);
}

#[test]
fn the_death_of_a_donor_changes_nothing() {
    kill("donor-copy", Victim::First);
}

// === every victim, one point ===

#[test]
fn the_death_of_a_guard_changes_nothing() {
    kill("after-guard", Victim::Second);
}

#[test]
fn the_death_of_the_third_changes_nothing() {
    kill("after-guard", Victim::Third);
}

#[test]
fn the_death_of_the_coordinator_disturbs_nobody() {
    kill("after-guard", Victim::Coordinator);
}

#[test]
fn the_death_of_a_worker_and_its_guard_costs_steps_and_nothing_else() {
    kill("after-guard", Victim::FirstAndGuard);
}

#[test]
fn the_death_of_all_workers_costs_steps_and_nothing_else() {
    kill("after-guard", Victim::Everybody);
}

// === one step behind ===

/// The others have committed the step that it did not: it applies what it kept and takes their weights.
fn fall_behind(job: fn(&str) -> Job, step: u64) {
    let mut cluster = Cluster::digits();
    cluster.join("w0");
    cluster.join_faulty("w1", &Fault::fall_behind(step));
    cluster.join("w2");
    let (behind, peace) = (job("behind").at_most(3), job("peace").exactly(1));
    let id = cluster.submit(&behind);
    cluster.stands("w1");
    let behind = cluster.finished(&id, &behind);
    let facts = cluster.facts(&id);
    assert!(facts.contains(&format!("generation 2 goes on at step {}", step + 1)), "{facts:#?}");
    assert_eq!(behind.count("/steps_redone"), 0, "{facts:#?}");
    behind.assert_same_run(&cluster.run(&peace), "one step behind");
}

#[test]
fn who_falls_one_step_behind_catches_up_with_what_it_kept() {
    fall_behind(Job::toy, STEP);
}

#[test]
fn a_simgan_that_falls_one_step_behind_catches_up() {
    fall_behind(Job::simgan, 13);
}

/// The first held still with the step computed and not applied, the second fell behind, the first dies: only the third has seen
/// the step's losses, and the second, now the first, has to write them.
#[test]
fn losses_that_only_the_third_worker_saw_are_in_the_metrics() {
    let mut cluster = Cluster::digits();
    cluster.join_faulty("w0", &Fault::hold("before-apply", STEP));
    cluster.join_faulty("w1", &Fault::fall_behind(STEP));
    cluster.join("w2");
    let job = Job::toy("unseen").at_most(3);
    let id = cluster.submit(&job);
    cluster.stands("w0");
    cluster.stands("w1");
    cluster.worker("w2").says("generation left", 1);
    cluster.kill("w0");
    let run = cluster.finished(&id, &job);
    let facts = cluster.facts(&id);
    assert!(facts.contains(&format!("generation 2 goes on at step {}", STEP + 1)), "{facts:#?}");
    run.assert_same_run(Outcome::undisturbed(), &format!("{facts:#?}"));
}

// === SimGAN ===

#[test]
fn a_simgan_survives_the_death_of_its_first_worker() {
    let mut cluster = Cluster::digits();
    cluster.join_faulty("w0", &Fault::die("before-apply", 13));
    cluster.join("w1");
    cluster.join("w2");
    let peace = Job::simgan("peace").exactly(1);
    let killed = Job::simgan("killed").at_most(3);
    let id = cluster.submit(&killed);
    cluster.dies("w0");
    let (killed, peace) = (cluster.finished(&id, &killed), cluster.run(&peace));
    assert!(killed.count("/generations") > 1);
    killed.assert_same_run(&peace, "SimGAN");
}

// === everything ===

/// Eight points, six victims.
#[test]
fn any_victim_at_any_point_changes_nothing() {
    if std::env::var_os("SUMAC_FULL").is_none() {
        eprintln!("skipped: the whole product of points and victims takes minutes; SUMAC_FULL=1 asks for it");
        return;
    }
    for point in IN_A_STEP.into_iter().chain(IN_AN_ENTRY) {
        for victim in VICTIMS {
            eprintln!("{victim:?} at {point}");
            kill(point, victim);
        }
    }
}
