//! `kill -9`: of one worker, of a worker and its guard, of everybody.

use crate::{
    campaign::{Campaign, Play},
    row::{Row, Times},
    stage::{Model, Stage, wait_a_moment},
};
use std::{
    thread,
    time::{Duration, Instant},
};

const WORKERS: usize = 3;
/// About as long as the writing of a checkpoint takes.
const SAVING: Duration = Duration::from_millis(20);

pub(crate) fn of_a_worker(campaign: &mut Campaign, model: Model, n: u64) -> Row {
    let mut row = Row::new("kill -9 a worker", model.name());
    let play = Play { n, per_run: 25, workers: WORKERS, redone_max: Some(0) };
    campaign.play(
        &mut row,
        model,
        &play,
        |job| job,
        |stage, row, dice| {
            let Some((before, victim)) = stage.victim(WORKERS, dice) else { return false };
            let since = Instant::now();
            stage.cluster.kill(&victim);
            let (times, entered) = stage.mended(since, before.generation);
            row.time(times);
            stage.cluster.join(&victim);
            entered.is_some()
        },
    );
    row.demand_recovery(Duration::from_secs(2), Duration::from_secs(5));
    row
}

/// Both copies of some lanes' history go.
pub(crate) fn of_a_worker_and_its_guard(campaign: &mut Campaign, model: Model, n: u64) -> Row {
    let mut row = Row::new("kill -9 a worker and its guard", model.name());
    let play = Play { n, per_run: 3, workers: WORKERS, redone_max: None };
    let job = |job: sumac_tests::Job| job.set("output.checkpoint_steps", 50);
    campaign.play(&mut row, model, &play, job, |stage, row, dice| {
        let Some(before) = stage.whole(WORKERS) else { return false };
        let rank = dice.below(WORKERS);
        let victims = [rank, (rank + 1) % WORKERS].map(|rank| before.roster[rank].clone());
        wait_a_moment(dice);
        back_to_a_checkpoint(stage, row, before.generation, &victims).is_some()
    });
    row
}

/// While a checkpoint is being written: the newest one that was whole when they died is the one they go on from.
pub(crate) fn of_everybody(campaign: &mut Campaign, model: Model, n: u64) -> Row {
    let mut row = Row::new("kill -9 everybody while saving", model.name());
    let play = Play { n, per_run: 25, workers: WORKERS, redone_max: None };
    let (mut loadable, mut torn) = (0, 0);
    let job = |job: sumac_tests::Job| job.set("output.checkpoint_steps", if model == Model::Toy { 100 } else { 10 });
    campaign.play(&mut row, model, &play, job, |stage, row, dice| {
        let Some(before) = stage.whole(WORKERS) else { return false };
        let moment = dice.between(Duration::ZERO, SAVING);
        if !stage.saving() {
            return false;
        }
        thread::sleep(moment);
        let went_on = back_to_a_checkpoint(stage, row, before.generation, &before.roster);
        loadable += u64::from(went_on.is_some());
        torn += u64::from(went_on == Some(Found::Torn));
        went_on.is_some()
    });
    row.notes
        .push(format!("the newest whole checkpoint loaded {loadable}/{} times, beside a torn one {torn} times", row.n));
    row
}

/// What lay beside the whole checkpoints when all were dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// One without a manifest.
    Torn,
    Whole,
}

/// They die, they come back, and all go on from the newest checkpoint.
fn back_to_a_checkpoint(stage: &mut Stage, row: &mut Row, generation: u64, victims: &[String]) -> Option<Found> {
    let since = Instant::now();
    stage.cluster.kill_all(victims);
    let reached = stage.journal.last_step().map_or(0, |last| last + 1);
    let saved = stage.checkpoints().last().copied().unwrap_or(0);
    let found = if stage.is_saving() { Found::Torn } else { Found::Whole };
    let everybody_died = victims.len() == WORKERS;
    let survivors_go_on = (!everybody_died).then(|| stage.mended(since, generation));
    victims.iter().for_each(|victim| stage.cluster.join(victim));
    let (times, entered) = survivors_go_on.unwrap_or_else(|| stage.mended(since, generation));
    // That nobody is left to speak is found out when they come back, which is the campaign's own doing.
    row.time(if everybody_died { Times { detection: None, ..times } } else { times });
    let entered = entered?;
    row.redone_max = row.redone_max.max(reached.saturating_sub(entered.step));
    // The survivors may have completed one more while the others died.
    let is_newest = if everybody_died { entered.step == saved } else { entered.step >= saved };
    row.demand(is_newest, || {
        format!("went on at step {}, though the checkpoint at {saved} was whole at step {reached}", entered.step)
    });
    Some(found)
}
