//! The coordinator dies again and again: training does not notice.

use crate::{
    campaign::Campaign,
    dice::Dice,
    row::Row,
    stage::{Model, Stage},
};
use std::{
    thread,
    time::{Duration, Instant},
};

const WORKERS: usize = 2;
/// The pace is taken between this step and the last but as many: the start and the end are not training.
const EDGE: u64 = 20;
const LOOK_EVERY: Duration = Duration::from_millis(5);
const PACE_MIN: f64 = 0.95;

/// Killed every two to three seconds in every other run; the runs between are left alone and give the pace to compare with.
/// `n` pairs of runs; the row counts deaths.
pub(crate) fn again_and_again(campaign: &mut Campaign, model: Model, pairs: u64) -> Row {
    let mut row = Row::new("coordinator killed every 2-3 s", model.name());
    let undisturbed = campaign.references.of(model).clone();
    let mut dice = campaign.dice(&row);
    let mut ratios = Vec::new();
    for pair in 1..=campaign.times(pairs) {
        let begin = |name: &str| Stage::begin(model, model.job(name).exactly(WORKERS as u32), WORKERS);
        let mut calm = begin("calm");
        let (calm_pace, _) = pace(&mut calm, None);
        calm.end(&undisturbed);

        let mut storm = begin("storm");
        let (storm_pace, deaths) = pace(&mut storm, Some(&mut dice));
        let verdict = storm.end(&undisturbed);
        row.judge(deaths, &verdict);
        row.redone_max = row.redone_max.max(verdict.redone);
        row.demand(verdict.redone == 0 && verdict.generations == 1, || {
            format!("{} generations and {} steps done again in pair {pair}", verdict.generations, verdict.redone)
        });
        ratios.push(storm_pace / calm_pace);
        eprintln!("  {}: pair {pair}, {deaths} deaths, {storm_pace:.2} of {calm_pace:.2} steps/s", row.fault);
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios.get(ratios.len() / 2).copied().unwrap_or_default();
    row.notes.push(format!("steps/s are {median:.3} of those of calm runs beside (median of {} pairs)", ratios.len()));
    row.demand(median >= PACE_MIN, || format!("steps/s ratio {median:.3}, at least {PACE_MIN} wanted"));
    let (equal, all) = (row.equal, row.n);
    row.demand(equal == all && all > 0, || format!("{equal} of {all} in runs that ended equal"));
    row
}

/// Steps per second, and how often the coordinator died meanwhile.
fn pace(stage: &mut Stage, mut dice: Option<&mut Dice>) -> (f64, u64) {
    let (mut deaths, mut begun) = (0, None);
    let mut next_death = None;
    let mut last = (0, Instant::now());
    while stage.has_steps_beyond(EDGE) {
        thread::sleep(LOOK_EVERY);
        let now = Instant::now();
        let step = stage.journal.last_step().unwrap_or(0);
        if step < EDGE {
            continue;
        }
        begun.get_or_insert((step, now));
        last = (step, now);
        let Some(dice) = dice.as_deref_mut() else { continue };
        let mut after = || dice.between(Duration::from_secs(2), Duration::from_secs(3));
        match next_death {
            None => next_death = Some(now + after()),
            Some(due) if now >= due => {
                stage.cluster.kill_coordinator();
                stage.cluster.restart_coordinator();
                deaths += 1;
                next_death = Some(Instant::now() + after());
            }
            Some(_) => {}
        }
    }
    let (first_step, first_at) = begun.unwrap_or((last.0, last.1));
    let seconds = (last.1 - first_at).as_secs_f64().max(f64::EPSILON);
    ((last.0 - first_step) as f64 / seconds, deaths)
}
