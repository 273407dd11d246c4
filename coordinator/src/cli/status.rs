//! `status`: the cluster at a glance.

use super::{
    args::{Look, Reading},
    describe::{Described, describe},
    dial::Dialled,
    failure::{Exit, Failure},
    list::{Listed, rows_of},
    machines::{NodeView, of_nodes, of_workers},
    render::{counted, figure, grouped, size, span},
    show::style,
    view::{self, JobView, WorkerView},
};
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

#[derive(Serialize)]
struct Glance {
    url: String,
    version: String,
    term: u64,
    up_seconds: u64,
    /// Why it takes on nothing new at the moment.
    trouble: Option<String>,
    nodes: Vec<NodeView>,
    workers: Vec<WorkerView>,
    /// How many jobs are in each state.
    jobs: BTreeMap<&'static str, usize>,
    /// Those that are not over.
    unfinished: Vec<JobView>,
}

pub(super) async fn status(args: Look) -> Result<Exit, Failure> {
    let mut dialled = args.reach.dial().await?;
    describe(&args.reading, async || Glance::of(&mut dialled).await).await
}

impl Glance {
    async fn of(dialled: &mut Dialled) -> Result<Self, Failure> {
        let status = dialled.status().await?;
        let jobs = dialled.jobs().await?;
        let workers = dialled.workers().await?;
        let mut counts = BTreeMap::new();
        for job in &jobs {
            *counts.entry(job.state).or_insert(0) += 1;
        }
        Ok(Self {
            url: dialled.url.clone(),
            version: status.version,
            term: status.term,
            up_seconds: view::duration(status.up).as_secs(),
            trouble: status.trouble,
            nodes: NodeView::all_of(&workers),
            workers,
            jobs: counts,
            unfinished: jobs.into_iter().filter(|job| !job.is_over()).collect(),
        })
    }
}

impl Described for Glance {
    /// As `--coordinator` takes it.
    fn called(&self) -> &str {
        &self.url
    }

    fn describe(&self, reading: &Reading) {
        print(self);
        if reading.is_wide() {
            print_rows(&self.unfinished, reading);
            print_rows(&self.nodes, reading);
            print_rows(&self.workers, reading);
        }
    }

    fn mark(&self) -> String {
        let Self { term, trouble, jobs, .. } = self;
        let unfinished: Vec<String> = self.unfinished.iter().map(Listed::mark).collect();
        let workers: Vec<String> = self.workers.iter().map(Listed::mark).collect();
        format!("{term} {trouble:?} {jobs:?} {unfinished:?} {workers:?}")
    }
}

fn print_rows<T: Listed>(rows: &[T], reading: &Reading) {
    if !rows.is_empty() {
        anstream::print!("\n{}", rows_of(rows, reading));
    }
}

fn print(glance: &Glance) {
    let Glance { url, version, term, up_seconds, trouble, nodes, workers, jobs, unfinished } = glance;
    let up = span(Duration::from_secs(*up_seconds));
    line("coordinator", format!("{url}   sumac {version}   up {up}   term {term}"));
    if let Some(trouble) = trouble {
        line("trouble", style("failed").style(trouble));
    }
    if workers.is_empty() {
        line("nodes", "none: `sumac-worker node --coordinator URL` on a machine makes it one");
    } else {
        line("nodes", of_nodes(nodes));
        line("workers", of_workers(workers));
        line("memory", memory(nodes));
    }
    let counts: Vec<String> = jobs.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let all: usize = jobs.values().sum();
    line("jobs", if all == 0 { "none: `sumac submit FILE` queues one".to_owned() } else { counts.join(", ") });
    for job in unfinished {
        line(&job.id, at_a_glance(job));
    }
    for node in nodes.iter().filter(|node| !node.causes.is_empty()) {
        let since = span(Duration::try_from_secs_f64(node.silent_seconds).unwrap_or_default());
        let causes = node.causes.join("; ");
        line(&node.name, format!("{causes}   last heard {since} ago   `sumac events {}`", node.name));
    }
}

fn line(label: &str, text: impl std::fmt::Display) {
    anstream::println!("{label:<12} {text}");
}

/// Of machines that are heard: what the others say of themselves is old.
fn memory(nodes: &[NodeView]) -> String {
    let vitals = || nodes.iter().filter(|node| !node.stale).filter_map(|node| node.vitals.as_ref());
    if vitals().next().is_none() {
        return "-".to_owned();
    }
    let (used, total) =
        (vitals().map(|vitals| vitals.memory_used).sum(), vitals().map(|vitals| vitals.memory_total).sum());
    let cores: u32 = vitals().map(|vitals| vitals.cores).sum();
    let gpus = vitals().map(|vitals| vitals.gpus.len()).sum::<usize>();
    let gpus = if gpus == 0 { String::new() } else { format!(", {}", counted(gpus as u64, "GPU")) };
    format!("{}/{}   {}{gpus}", size(used), size(total), counted(cores.into(), "core"))
}

fn at_a_glance(job: &JobView) -> String {
    let state = style(job.state).style(job.state).to_string();
    let progress = format!(
        "{}/{} {}%",
        grouped(job.step),
        grouped(job.steps),
        (job.step * 100).checked_div(job.steps).unwrap_or(0)
    );
    let workers = counted(job.workers.len() as u64, "worker");
    let eta = job.eta_seconds.map(|eta| format!("   eta {}", span(Duration::from_secs(eta)))).unwrap_or_default();
    let losses = job.losses.filter(|losses| losses.realism.is_some());
    let losses = losses.map(|losses| format!("   realism {}", figure(losses.realism))).unwrap_or_default();
    let reason = job.reason.as_ref().or(job.imbalance.as_ref());
    let reason = reason.map(|reason| format!("   {reason}")).unwrap_or_default();
    format!("{state}   {progress}   {workers}{eta}{losses}{reason}")
}
