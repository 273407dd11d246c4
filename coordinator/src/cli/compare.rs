//! Several runs beside each other, by what they left in their folders. Whether refined images help is another question, which
//! `evaluate` answers.

use super::{
    args::{self, Output},
    failure::{Exit, Failure},
    render::{Cell, grouped, print_items, table},
    samples::output_of,
};
use serde::Serialize;
use std::{
    fs,
    path::{Path, PathBuf},
};
use sumac_common::{balance, ids::Step, metrics, spec};

const SPEC: &str = "spec.toml";

/// Means over the last tenth of a run.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    pub run: String,
    pub output_dir: PathBuf,
    pub steps: u64,
    /// Given or calibrated; as the imbalance, of a run that has left its spec.
    pub lambda: Option<f64>,
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
        let path = folder.join(metrics::FILE);
        let text = fs::read_to_string(&path).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot read {}", path.display()))
                .because(Some(&error))
                .hint("name the output folder of a run, or its job")
        })?;
        let rows = metrics::rows(&text);
        // The last line of a run that goes on may be half there.
        if rows.is_empty() || rows.len() + 1 < text.lines().count() {
            let what = format!("line {} of {} is no step of a run", rows.len() + 1, path.display());
            return Err(Failure::new(Exit::Failed, what).hint("a run that goes on writes its first steps soon"));
        }
        let steps = rows.last().map_or(Step(0), |row| row.step.next());
        let losses = metrics::at_the_end(&rows);
        let spec = fs::read_to_string(folder.join(SPEC)).ok().and_then(|text| spec::read(&text, &[]).ok());
        Ok(Self {
            run: run.to_owned(),
            output_dir: folder.to_owned(),
            steps: steps.0,
            lambda: spec.as_ref().and_then(|spec| spec.what.train.lambda),
            realism: losses.realism.value(),
            regularisation: losses.regularisation.value(),
            change: losses.change.value(),
            discriminator: losses.on_refined.value(),
            accuracy_on_refined: losses.right_on_refined.value(),
            accuracy_on_real: losses.right_on_real.value(),
            imbalance: spec.and_then(|spec| Some(balance::imbalance(&losses, &spec.what, steps)?.to_string())),
        })
    }
}

pub(super) fn print(runs: &[Compared]) {
    let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    let share = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{:.0}%", 100.0 * value));
    let row = |run: &Compared| {
        [
            run.run.clone(),
            grouped(run.steps),
            run.lambda.map_or_else(|| "-".to_owned(), |lambda| lambda.to_string()),
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
    let heads = [
        "RUN",
        "STEPS",
        "LAMBDA",
        "REALISM",
        "REGULARISATION",
        "CHANGE",
        "DISC",
        "RIGHT ON REFINED",
        "ON REAL",
        "BALANCE",
    ];
    anstream::print!("{}", table(&heads, &runs.iter().map(row).collect::<Vec<_>>()));
}
