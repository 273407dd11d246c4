//! Membership as scripts: one situation each, what the coordinator is told and, after `----`, all it answers.
//!
//! `UPDATE=1 cargo test -p sumac-common --test membership` writes the answers down as they are; keep only what you understand.

#[path = "../job/mod.rs"]
mod job;
mod stage;

use stage::Stage;

/// The script with the answers as they are now. A block is a line of commands, `----`, and its answers up to an empty line.
fn replayed(script: &str) -> String {
    let mut stage = Stage::new();
    let mut replayed = String::new();
    let mut answers = false;
    for line in script.lines() {
        if line.starts_with("at ") {
            answers = true;
            replayed.push_str(line);
            replayed.push_str("\n----\n");
            for answer in stage.play(line) {
                replayed.push_str(&answer);
                replayed.push('\n');
            }
        } else if line.is_empty() || line.starts_with('#') {
            answers = false;
            replayed.push_str(line);
            replayed.push('\n');
        } else {
            assert!(answers, "`{line}` is neither a comment nor the answer to anything");
        }
    }
    replayed
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test reads its scripts, and says so in the environment when to write them"
)]
fn check(name: &str) {
    let path = format!("{}/tests/membership/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let script = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let replayed = replayed(&script);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, replayed).unwrap_or_else(|error| panic!("{path}: {error}"));
        return;
    }
    let differs = script.lines().zip(replayed.lines()).position(|(wanted, got)| wanted != got);
    assert_eq!(
        script,
        replayed,
        "\n{name}.txt, line {:?}\n--- it says\n{script}\n--- it is\n{replayed}",
        differs.map(|at| at + 1)
    );
}

macro_rules! scripts {
    ($($name:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            check(stringify!($name));
        }
    )*};
}

scripts! {
    a_broken_stream_is_given_its_moment_where_its_lanes_are_needed,
    a_cancelled_job_lets_its_workers_go,
    a_finished_job_releases_its_workers,
    a_job_below_its_least_waits_and_says_why,
    a_job_for_cards_is_given_to_workers_that_have_one,
    a_job_that_could_use_more_workers_gathers_them_for_a_moment,
    a_job_whose_data_is_at_fault_fails_and_can_be_submitted_again,
    a_job_that_leaves_lambda_open_takes_what_its_first_worker_found,
    a_job_whose_members_are_all_silent_waits_for_one_of_them,
    a_loopback_address_is_refused_across_machines,
    a_lost_worker_and_its_guard_take_the_run_back_to_its_checkpoint,
    a_member_restarted_while_the_coordinator_was_away_is_noticed,
    a_newcomer_is_taken_in_between_two_steps,
    a_restarted_coordinator_waits_for_every_member,
    a_restarted_first_worker_comes_last,
    a_restarted_worker_is_a_newcomer_under_its_old_name,
    a_run_that_was_paused_did_not_stand_meanwhile,
    a_silent_worker_is_hung_up_on_and_comes_back_with_where_it_stands,
    a_single_worker_restarted_after_its_loss_was_noticed_goes_on_at_once,
    a_paused_job_goes_on_when_it_is_submitted_again,
    a_paused_job_that_never_began_ends_at_once,
    a_wish_to_pause_outlives_the_coordinator,
    a_worker_of_another_version_is_refused,
    a_worker_with_other_images_or_other_numbers_is_turned_away,
    an_entry_whose_word_was_lost_counts,
    an_incident_says_how_long_the_run_had_stood,
    an_operator_gives_up_members_that_are_silent,
    attempts_that_fail_do_not_become_a_storm,
    checkpoints_that_fail_are_an_incident_once_until_one_is_saved,
    jobs_are_served_in_the_order_they_came,
    members_silent_for_ten_minutes_are_given_up,
    a_broken_stream_and_a_successor_mean_death,
    of_two_living_processes_with_one_name_the_first_one_stays,
    the_last_word_of_a_run_outlives_the_coordinator_that_missed_it,
    who_parked_while_the_coordinator_was_away_says_so_when_it_comes_back,
    who_says_goodbye_is_let_go_once_the_others_go_on,
    a_lone_worker_that_leaves_saves_first,
    who_leaves_with_its_guard_saves_first,
    leaving_below_the_least_number_of_workers_saves_first,
    who_is_not_out_by_the_deadline_is_put_out,
    a_drained_node_gives_no_worker_to_any_job,
    fewer_workers_wanted_lets_the_last_in_rank_go,
    who_was_to_leave_takes_part_again_where_the_others_do_not_hold_everything,
    steps_done_again_are_counted_once,
    one_of_the_silent_returns_and_what_it_holds_is_enough,
    members_that_all_wait_for_each_other_start_anew_without_the_one_not_reached,
    reattaching_to_a_restarted_coordinator_changes_nothing,
    survivors_go_on_from_the_furthest,
    the_certain_death_of_all_takes_the_run_back_at_once,
    the_worker_most_often_not_reached_is_left_out,
    what_a_member_still_holds_when_another_has_parked_does_not_count,
    what_was_offered_counts_when_another_entered,
    what_is_out_of_balance_for_a_while_is_said_once,
    who_left_while_the_coordinator_was_away_closes_the_generation,
}
