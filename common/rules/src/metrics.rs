//! `metrics.jsonl`: a run's steps in figures, a line each, as workers write and everybody else reads them. A pure function of the
//! run like all else: it holds no time. Knows no file.

use crate::{
    ids::Step,
    losses::{Losses, Mean},
    schedule::{Network, Phase},
};
use serde::{Deserialize, Serialize};

/// Below the output's folder.
pub const FILE: &str = "metrics.jsonl";
/// Of a run's steps the last one in so many: a single step says little.
const LAST_OF: usize = 10;

/// One committed step, as a line of `metrics.jsonl`. Means over the whole batch; absent where the phase has none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub step: Step,
    /// Outer iteration of Algorithm 1; absent in pre-training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cycle: Option<u64>,
    pub phase: Phase,
    #[serde(skip_serializing_if = "is_false", default)]
    pub skipped: bool,
    /// realism + lambda * regularisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refiner: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realism: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regularisation: Option<f64>,
    /// mean |R(x) - x|.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<f64>,
    /// Mean of the two halves' cross-entropies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discriminator: Option<f64>,
    /// Share of patches it called right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy_on_refined: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy_on_real: Option<f64>,
}

impl Row {
    #[must_use]
    pub fn of(step: Step, phase: Phase, cycle: Option<u64>, skipped: bool, losses: &Losses, lambda: f64) -> Self {
        let [realism, regularisation, change, on_refined, on_real, right_on_refined, right_on_real] =
            losses.means().map(|mean| mean.value());
        let refiner = match phase.network() {
            Network::Refiner => regularisation.map(|regularisation| match phase {
                Phase::PretrainRefiner => lambda * regularisation,
                _ => realism.unwrap_or_default() + lambda * regularisation,
            }),
            Network::Discriminator => None,
        };
        Self {
            step,
            cycle,
            phase,
            skipped,
            refiner,
            realism,
            regularisation,
            change,
            discriminator: on_refined.zip(on_real).map(|(refined, real)| (refined + real) / 2.0),
            accuracy_on_refined: right_on_refined,
            accuracy_on_real: right_on_real,
        }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The rows of a text. A last line that was cut off in the writing is not there.
#[must_use]
pub fn rows(text: &str) -> Vec<Row> {
    text.lines().map_while(|line| serde_json::from_str(line).ok()).collect()
}

/// Means over the last tenth of a run, step by step. The two halves of the discriminator's loss are not told apart.
#[must_use]
pub fn at_the_end(rows: &[Row]) -> Losses {
    let last = &rows[rows.len() - rows.len().div_ceil(LAST_OF)..];
    let mean = |of: fn(&Row) -> Option<f64>| {
        let values = last.iter().filter(|row| !row.skipped).filter_map(of);
        values.fold(Mean::default(), |mean, value| mean + Mean::of(value, 1))
    };
    Losses {
        realism: mean(|row| row.realism),
        regularisation: mean(|row| row.regularisation),
        change: mean(|row| row.change),
        on_refined: mean(|row| row.discriminator),
        on_real: mean(|row| row.discriminator),
        right_on_refined: mean(|row| row.accuracy_on_refined),
        right_on_real: mean(|row| row.accuracy_on_real),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: u64, change: f64) -> Row {
        let losses = Losses { change: Mean::of(change, 1), regularisation: Mean::of(0.5, 1), ..Losses::default() };
        Row::of(Step(step), Phase::Refiner, Some(step), false, &losses, 2.0)
    }

    #[test]
    fn the_end_is_the_last_tenth() {
        let rows: Vec<Row> = (0..30).map(|step| row(step, if step < 27 { 9.0 } else { step as f64 })).collect();
        let end = at_the_end(&rows);
        assert_eq!(
            (end.change.value(), end.regularisation.value(), end.on_real.value()),
            (Some(28.0), Some(0.5), None)
        );
        assert_eq!(at_the_end(&[]), Losses::default());
    }

    #[test]
    fn rows_come_back_as_they_were_written_but_for_a_torn_one() {
        let written = [row(0, 0.1), row(1, 0.3)];
        let lines: Vec<String> = written.iter().map(|row| serde_json::to_string(row).unwrap()).collect();
        assert_eq!(rows(&lines.join("\n")), written);
        let whole = lines.join("\n");
        assert_eq!(rows(&whole[..whole.len() - 3]), written[..1]);
    }
}
