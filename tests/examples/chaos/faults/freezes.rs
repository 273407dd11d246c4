//! SIGSTOP: a worker that lives, keeps its connections and does nothing; for a moment, and for ever.

use crate::{
    campaign::{Campaign, Play},
    row::{Row, Times},
    stage::Model,
};
use std::{
    thread,
    time::{Duration, Instant},
};

const WORKERS: usize = 3;
/// Below the five seconds after which a silent worker counts as gone.
const A_WHILE: Duration = Duration::from_secs(3);

/// Nobody is put out, nothing is regrouped: all wait.
pub(crate) fn for_a_while(campaign: &mut Campaign, model: Model, n: u64) -> Row {
    let mut row = Row::new("SIGSTOP 3 s, SIGCONT", model.name());
    let play = Play { n, per_run: 6, workers: WORKERS, redone_max: Some(0) };
    campaign.play(
        &mut row,
        model,
        &play,
        |job| job,
        |stage, row, dice| {
            let Some((before, victim)) = stage.victim(WORKERS, dice) else { return false };
            let since = Instant::now();
            stage.cluster.worker(&victim).freeze();
            thread::sleep(A_WHILE);
            let stood = stage.journal.last_step().map_or(0, |last| last + 1);
            stage.cluster.worker(&victim).thaw();
            let recovery = stage.journal.committed(stood).map(|at| at - since);
            row.time(Times { detection: None, recovery });
            let after = stage.journal.newest();
            row.demand(after == Some(before.generation), || {
                format!("generation {after:?} instead of {} after a pause of 3 s", before.generation)
            });
            recovery.is_some()
        },
    );
    row
}

pub(crate) fn for_ever(campaign: &mut Campaign, model: Model, n: u64) -> Row {
    let mut row = Row::new("SIGSTOP for ever", model.name());
    let play = Play { n, per_run: 5, workers: WORKERS, redone_max: Some(0) };
    campaign.play(
        &mut row,
        model,
        &play,
        |job| job,
        |stage, row, dice| {
            let Some((before, victim)) = stage.victim(WORKERS, dice) else { return false };
            let since = Instant::now();
            stage.cluster.worker(&victim).freeze();
            let (times, entered) = stage.mended(since, before.generation);
            row.time(times);
            stage.cluster.kill(&victim);
            stage.cluster.join(&victim);
            entered.is_some()
        },
    );
    row.demand_detection(Duration::from_millis(6_500));
    row
}
