//! Workers that leave and come on purpose: nothing is aborted, nothing is done again.

use crate::{
    campaign::{Campaign, Play},
    row::{Row, Times},
    stage::{Model, wait_a_moment},
};
use std::time::Instant;

const WORKERS: usize = 3;

/// 1 -> 4 -> 2 -> 3 by `sumac scale`; recovery is from the command to the first step of the new generation.
pub(crate) fn by_scaling(campaign: &mut Campaign, model: Model, n: u64) -> Row {
    let mut row = Row::new("1 -> 4 -> 2 -> 3 workers", model.name());
    let play = Play { n, per_run: 3, workers: 4, redone_max: Some(0) };
    campaign.play(
        &mut row,
        model,
        &play,
        |job| job,
        |stage, row, dice| {
            // The last one makes it whole for the next time.
            for workers in [1, 4, 2, 3, 4] {
                wait_a_moment(dice);
                let since = Instant::now();
                stage.scale(workers);
                let Some(_) = stage.whole(workers) else { return false };
                row.time(Times { detection: None, recovery: Some(since.elapsed()) });
            }
            true
        },
    );
    row
}

/// SIGTERM: it says goodbye, is let go between two steps and ends with 0.
pub(crate) fn by_signal(campaign: &mut Campaign, model: Model, n: u64) -> Row {
    let mut row = Row::new("SIGTERM a worker", model.name());
    let play = Play { n, per_run: 10, workers: WORKERS, redone_max: Some(0) };
    campaign.play(
        &mut row,
        model,
        &play,
        |job| job,
        |stage, row, dice| {
            let Some((before, victim)) = stage.victim(WORKERS, dice) else { return false };
            let since = Instant::now();
            stage.cluster.worker(&victim).terminate();
            let entered = stage.journal.entered(before.generation);
            let recovery =
                entered.as_ref().and_then(|entered| stage.journal.committed(entered.step)).map(|at| at - since);
            row.time(Times { detection: None, recovery });
            let status = stage.cluster.worker(&victim).wait();
            row.demand(status.code() == Some(0), || format!("{victim} ended with {status} after SIGTERM"));
            stage.cluster.join(&victim);
            entered.is_some()
        },
    );
    row
}
