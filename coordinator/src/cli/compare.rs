//! Several runs beside each other, by what they left in their folders. Whether refined images help is another question, which
//! `evaluate` answers.

use super::{
    args::{self, Output},
    failure::{Exit, Failure},
    render::{Cell, grouped, print_items, table},
    samples::output_of,
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};
use sumac_common::{
    balance,
    ids::Step,
    losses::{Losses, Mean},
    spec,
};

const METRICS: &str = "metrics.jsonl";
const SPEC: &str = "spec.toml";
/// Of the last so many parts of a run: one step says little.
const LAST_OF: usize = 10;

/// A row of metrics.jsonl, as far as it is looked at.
#[derive(Deserialize)]
struct Row {
    step: u64,
    realism: Option<f64>,
    regularisation: Option<f64>,
    change: Option<f64>,
    discriminator: Option<f64>,
    accuracy_on_refined: Option<f64>,
    accuracy_on_real: Option<f64>,
}

/// Means over the last tenth of a run.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    pub run: String,
    pub output_dir: PathBuf,
    pub steps: u64,
    pub realism: Option<f64>,
    pub regularisation: Option<f64>,
    pub change: Option<f64>,
    pub discriminator: Option<f64>,
    pub accuracy_on_refined: Option<f64>,
    pub accuracy_on_real: Option<f64>,
    /// What is out of balance, in words.
    pub imbalance: Option<String>,
}

pub(super) async fn compare(args: args::Compare) -> Result<Exit, Failure> {
    let mut runs = Vec::new();
    for named in &args.runs {
        let folder =
            if Path::new(named).is_dir() { PathBuf::from(named) } else { output_of(named, &args.reach).await? };
        runs.push(Compared::of(named, &folder)?);
    }
    match args.read.output {
        Output::Json => print_items(&runs),
        Output::Table => print(&runs),
    }
    Ok(Exit::Done)
}

impl Compared {
    pub(super) fn of(run: &str, folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(METRICS);
        let text = fs::read_to_string(&path).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot read {}", path.display()))
                .because(Some(&error))
                .hint("name the output folder of a run, or its job")
        })?;
        // The last line of a run that goes on may be half there.
        let rows: Vec<Row> = text.lines().map_while(|line| serde_json::from_str(line).ok()).collect();
        let last = &rows[rows.len() - rows.len().div_ceil(LAST_OF)..];
        let mean = |of: fn(&Row) -> Option<f64>| {
            let values: Vec<f64> = last.iter().filter_map(of).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let mut compared = Self {
            run: run.to_owned(),
            output_dir: folder.to_owned(),
            steps: rows.last().map_or(0, |row| row.step + 1),
            realism: mean(|row| row.realism),
            regularisation: mean(|row| row.regularisation),
            change: mean(|row| row.change),
            discriminator: mean(|row| row.discriminator),
            accuracy_on_refined: mean(|row| row.accuracy_on_refined),
            accuracy_on_real: mean(|row| row.accuracy_on_real),
            imbalance: None,
        };
        compared.imbalance = compared.out_of_balance(&folder.join(SPEC));
        Ok(compared)
    }

    /// `None` also where the run has not left its spec yet.
    fn out_of_balance(&self, spec: &Path) -> Option<String> {
        let spec = spec::read(&fs::read_to_string(spec).ok()?, &[]).ok()?;
        let known = |value: Option<f64>| value.map_or_else(Mean::default, |value| Mean::of(value, 1));
        let losses = Losses {
            realism: known(self.realism),
            regularisation: known(self.regularisation),
            change: known(self.change),
            on_refined: known(self.discriminator),
            on_real: known(self.discriminator),
            right_on_refined: known(self.accuracy_on_refined),
            right_on_real: known(self.accuracy_on_real),
        };
        Some(balance::imbalance(&losses, &spec.what, Step(self.steps))?.to_string())
    }
}

pub(super) fn print(runs: &[Compared]) {
    let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    let share = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{:.0}%", 100.0 * value));
    let row = |run: &Compared| {
        [
            run.run.clone(),
            grouped(run.steps),
            figure(run.realism),
            figure(run.regularisation),
            figure(run.change),
            figure(run.discriminator),
            share(run.accuracy_on_refined),
            share(run.accuracy_on_real),
            run.imbalance.clone().unwrap_or_default(),
        ]
        .map(Cell::from)
        .to_vec()
    };
    let heads =
        ["RUN", "STEPS", "REALISM", "REGULARISATION", "CHANGE", "DISC", "RIGHT ON REFINED", "ON REAL", "BALANCE"];
    anstream::print!("{}", table(&heads, &runs.iter().map(row).collect::<Vec<_>>()));
}
