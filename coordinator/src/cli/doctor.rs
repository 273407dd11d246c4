//! `doctor`: what is wrong with this machine, with the cluster, with a job, before it costs a night. It measures next to nothing
//! itself: `sumac-worker doctor` looks at this machine, the coordinator has the others looked at.

use super::{
    args::{Doctor, Output},
    dial::Dialled,
    failure::{Exit, Failure},
    job_file,
    node::worker_program,
    render::{counted, print_item, span},
    view,
};
use crate::examinations::ahead;
use owo_colors::{OwoColorize as _, Style};
use serde::{Deserialize, Serialize};
use std::{
    process::{Output as Ended, Stdio},
    time::{Duration, SystemTime},
};
use sumac_common::{
    examination::{self, Finding, Grade},
    spec::Spec,
};
use sumac_proto::v1;
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

/// A worker that looks at its machine for longer hangs, perhaps on a disk.
const HERE_WITHIN: Duration = Duration::from_secs(20);

const HERE: &str = "this machine";

pub(super) async fn doctor(asked: Doctor, verbose: bool) -> Result<Exit, Failure> {
    let job = asked.job.as_ref().map(|file| job_file::read(file, &asked.overrides, None)).transpose()?;
    let (cluster, mut here) = tokio::join!(asked.reach.dial(), here(job.as_ref()));
    let mut told = Told { is_shown: asked.read.output == Output::Table, verbose, places: Vec::new() };
    match cluster {
        Ok(dialled) if asked.cluster => everywhere(dialled, job.as_ref(), here, &mut told).await?,
        Ok(mut dialled) => {
            here.push(answering(&mut dialled).await?);
            told.add(HERE, here);
        }
        Err(failure) if asked.cluster => return Err(failure),
        // Whoever names one wants it to be there, and is told of this machine all the same.
        Err(failure) if asked.reach.coordinator.is_some() => {
            told.add(HERE, here);
            told.sum();
            return Err(failure);
        }
        Err(_) => {
            here.push(Finding::good("no coordinator runs here; `sumac up` brings its own"));
            told.add(HERE, here);
        }
    }
    Ok(told.sum())
}

/// What was found so far; shown as it comes, or all at once as JSON.
struct Told {
    is_shown: bool,
    verbose: bool,
    places: Vec<Place>,
}

#[derive(Serialize)]
struct Place {
    place: String,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct Report {
    places: Vec<Place>,
    failed: usize,
    warnings: usize,
}

impl Told {
    fn add(&mut self, place: &str, findings: Vec<Finding>) {
        let place = Place { place: place.to_owned(), findings };
        if self.is_shown {
            show(&place, self.verbose);
        }
        self.places.push(place);
    }

    fn sum(self) -> Exit {
        let all = || self.places.iter().flat_map(|place| &place.findings);
        let [failed, warnings] = [Grade::Bad, Grade::Odd].map(|grade| all().filter(|it| it.grade == grade).count());
        if self.is_shown {
            anstream::println!("{failed} failed, {}", counted(warnings as u64, "warning"));
        } else {
            print_item(&Report { places: self.places, failed, warnings });
        }
        if failed == 0 { Exit::Done } else { Exit::Failed }
    }
}

async fn everywhere(
    mut dialled: Dialled,
    job: Option<&Spec>,
    mut here: Vec<Finding>,
    told: &mut Told,
) -> Result<(), Failure> {
    let request = v1::ExamineRequest { spec_toml: job.map(Spec::to_toml) };
    let answers = dialled.operator.examine(request).await;
    let mut answers = answers.map_err(|status| dialled.failed(&status))?.into_inner();
    let mut is_first = true;
    while let Some(answer) = answers.message().await.map_err(|status| dialled.failed(&status))? {
        let v1::Examination { place, findings, at } = answer;
        if std::mem::take(&mut is_first) {
            // The coordinator's own, at once: its clock is held against ours.
            here.push(clock(view::time(at)));
            told.add(HERE, std::mem::take(&mut here));
        }
        let findings = findings.into_iter().map(Finding::try_from).collect::<Result<_, _>>();
        let findings = findings.map_err(|bad| Failure::other_version(bad.to_string()))?;
        match place.as_str() {
            "coordinator" | "cluster" => told.add(&place, findings),
            node => told.add(&format!("{NODE}{node}"), findings),
        }
    }
    Ok(())
}

const NODE: &str = "node ";

async fn answering(dialled: &mut Dialled) -> Result<Finding, Failure> {
    let status = dialled.status().await?;
    let workers = counted(status.workers_here.into(), "worker");
    let up = span(view::duration(status.up));
    let v1::StatusReply { version, .. } = status;
    let what = format!("a coordinator answers at {}: sumac {version}, up {up}, {workers}", dialled.url);
    Ok(match status.workers_here {
        0 => Finding::good(what),
        _ => Finding::good(format!("{what}; `sumac doctor --cluster` looks at them")),
    })
}

/// How far ahead of the coordinator's ours is.
fn clock(theirs: SystemTime) -> Finding {
    examination::clock(ahead(SystemTime::now(), theirs))
}

#[derive(Deserialize)]
struct OfWorker {
    findings: Vec<Finding>,
}

/// What the worker that would run here finds.
async fn here(job: Option<&Spec>) -> Vec<Finding> {
    let ours = env!("CARGO_PKG_VERSION");
    let program = match worker_program() {
        Ok(program) => program,
        Err(failure) => {
            let remedy = failure.hint.clone().unwrap_or_else(|| "build it (`make`)".to_owned());
            return vec![Finding::bad(failure.what(), remedy)];
        }
    };
    let shown = program.display().to_string();
    let broken = |what: String| {
        vec![Finding::bad(
            format!("{shown}: {what}"),
            "`sumac-worker --version` says whether it starts; `make setup` fetches its libtorch, `make build` builds both",
        )]
    };
    let asked = async {
        let mut command = Command::new(&program);
        command.args(["doctor", "-o", "json"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if job.is_some() {
            command.args(["--job", "-"]);
        }
        let mut process = command.kill_on_drop(true).spawn()?;
        if let Some(mut stdin) = process.stdin.take() {
            stdin.write_all(job.map(Spec::to_toml).unwrap_or_default().as_bytes()).await?;
        }
        process.wait_with_output().await
    };
    let Ended { stdout, stderr, status } = match timeout(HERE_WITHIN, asked).await {
        Ok(Ok(ended)) => ended,
        Ok(Err(error)) => return broken(error.to_string()),
        Err(_) => return vec![examination::silent(HERE_WITHIN)],
    };
    match serde_json::from_slice::<OfWorker>(&stdout) {
        Ok(found) => std::iter::once(Finding::good(format!("sumac {ours}, {shown}"))).chain(found.findings).collect(),
        Err(_) => {
            let said = String::from_utf8_lossy(&stderr);
            let last = said.lines().last().unwrap_or("it says nothing");
            broken(format!("it ended with {status}: {last}"))
        }
    }
}

/// Of a place where all is well one line is enough, unless more is asked for or it is this machine.
fn show(place: &Place, verbose: bool) {
    let Place { place, findings } = place;
    anstream::println!("{}", place.bold());
    let good = findings.iter().filter(|it| it.grade == Grade::Good).count();
    let is_brief = !verbose && place.starts_with(NODE);
    if is_brief && good > 0 {
        say(Grade::Good, format!("{} in order", counted(good as u64, "thing")));
    }
    for Finding { grade, what, remedy } in findings.iter().filter(|it| !is_brief || it.grade != Grade::Good) {
        say(*grade, what);
        if let Some(remedy) = remedy {
            anstream::println!("        remedy: {remedy}");
        }
    }
}

fn say(grade: Grade, what: impl std::fmt::Display) {
    anstream::println!("  {} {what}", format!("{grade:<5}").style(style(grade)));
}

fn style(grade: Grade) -> Style {
    match grade {
        Grade::Good => Style::new().green(),
        Grade::Odd => Style::new().yellow(),
        Grade::Bad => Style::new().red().bold(),
    }
}
