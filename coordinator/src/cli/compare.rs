//! Several runs beside each other, by what they left in their folders. Whether refined images help is another question, which
//! `evaluate` answers.

use super::{
    args::{self, Reading},
    failure::{Exit, Failure},
    list::{Around, Listed, list, rows_of},
    render::{Cell, grouped},
    samples::job_of,
};
use serde::Serialize;
use std::{
    fs,
    path::{Path, PathBuf},
};
use sumac_common::{
    balance,
    ids::Step,
    metrics,
    spec::{self, Spec},
};

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
    /// How far it is, where that is known.
    #[serde(skip)]
    percent: Option<u64>,
}

pub(super) async fn compare(args: args::Compare) -> Result<Exit, Failure> {
    let around = Around { nothing: "no run is named", below: |_| None };
    list(&args.list, around, async || {
        let mut runs = Vec::new();
        for named in &args.runs {
            runs.push(if Path::new(named).is_dir() {
                Compared::of(named, Path::new(named), None)?
            } else {
                let job = job_of(named, &args.reach).await?;
                Compared::of(named, Path::new(&job.output_dir), job.spec)?
            });
        }
        Ok(runs)
    })
    .await
}

impl Compared {
    /// A run leaves its spec when it ends; until then who knows it says it.
    pub(super) fn of(run: &str, folder: &Path, known: Option<Spec>) -> Result<Self, Failure> {
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
        let left = || spec::read(&fs::read_to_string(folder.join(SPEC)).ok()?, &[]).ok();
        let spec = known.or_else(left);
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
            percent: spec.as_ref().and_then(|spec| (100 * steps.0).checked_div(spec.what.train.steps.0)),
            imbalance: spec.and_then(|spec| Some(balance::imbalance(&losses, &spec.what, steps)?.to_string())),
        })
    }
}

impl Listed for Compared {
    const HEADS: &'static [&'static str] = &[
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
    const WIDE: &'static [&'static str] = &["OUTPUT"];

    fn called(&self) -> &str {
        &self.run
    }

    fn row(&self) -> Vec<Cell> {
        let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
        let share = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{:.0}%", 100.0 * value));
        [
            self.run.clone(),
            grouped(self.steps),
            self.lambda.map_or_else(|| "-".to_owned(), |lambda| lambda.to_string()),
            figure(self.realism),
            figure(self.regularisation),
            figure(self.change),
            figure(self.discriminator),
            share(self.accuracy_on_refined),
            share(self.accuracy_on_real),
            self.imbalance.clone().unwrap_or_default(),
        ]
        .map(Cell::from)
        .to_vec()
    }

    fn wide(&self) -> Vec<Cell> {
        vec![self.output_dir.display().to_string().into()]
    }

    fn mark(&self) -> String {
        format!("{:?} {:?}", self.percent, self.imbalance)
    }
}

/// As `compare` prints them.
pub(super) fn print(runs: &[Compared]) {
    anstream::print!("{}", rows_of(runs, &Reading::default()));
}
