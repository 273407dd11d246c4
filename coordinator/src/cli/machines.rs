//! `nodes`, `node`, `workers`: the machines of a cluster and the workers on them.

use super::{
    args::{DescribeNode, List, Reading},
    describe::{self, Described},
    dial::{Named, choose},
    failure::{Exit, Failure},
    list::{Around, Listed, list, rows_of},
    render::{Cell, counted, grouped, say, size, span},
    show::style,
    view::WorkerView,
};
use owo_colors::Style;
use serde::Serialize;
use std::{collections::BTreeSet, time::Duration};
use sumac_common::vitals::{Gpu, Vitals};

const NOTHING: &str = "no worker has joined yet: `sumac-worker node --coordinator URL` starts one per device";
const NODE: Named = Named {
    what: "node",
    list: "sumac nodes",
    first: "`sumac-worker node --coordinator URL` on a machine makes it one",
};

/// A machine: what its workers say of themselves and of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct NodeView {
    pub name: String,
    /// What most of its workers do; where none of them is here, left if all of them did so in order, else lost.
    pub state: String,
    /// Workers here, and all that are known.
    pub workers_here: u64,
    pub workers: u64,
    pub devices: Vec<String>,
    pub jobs: Vec<String>,
    /// Of the whole machine, as the worker that was heard last says it; like the next one.
    pub vitals: Option<Vitals>,
    pub version: String,
    /// Of the fastest job it takes part in.
    pub steps_per_second: Option<f64>,
    /// Since any of its workers was heard last.
    pub silent_seconds: f64,
    /// Longer ago than workers are ever silent: what is said of it is old.
    pub stale: bool,
    /// Why workers of it are not here.
    pub causes: Vec<String>,
}

impl NodeView {
    /// The machines that these workers are on, by name.
    pub(super) fn all_of(workers: &[WorkerView]) -> Vec<Self> {
        let names: BTreeSet<&str> = workers.iter().map(|worker| worker.node.as_str()).collect();
        let on = |name: &str| workers.iter().filter(|worker| worker.node == name).collect::<Vec<_>>();
        names.into_iter().map(|name| Self::of(name, &on(name))).collect()
    }

    fn of(name: &str, workers: &[&WorkerView]) -> Self {
        let here: Vec<&WorkerView> = workers.iter().copied().filter(|worker| worker.is_here()).collect();
        let latest = workers.iter().copied().min_by(|a, b| a.silent_seconds.total_cmp(&b.silent_seconds));
        let distinct = |of: &dyn Fn(&WorkerView) -> Option<String>| {
            workers.iter().filter_map(|worker| of(worker)).collect::<BTreeSet<String>>().into_iter().collect::<Vec<_>>()
        };
        let rates = here.iter().filter_map(|worker| worker.steps_per_second);
        let lost = |worker: &WorkerView| Some(format!("{}: {}", worker.name, worker.cause.as_ref()?));
        Self {
            name: name.to_owned(),
            state: state(&here, workers),
            workers_here: here.len() as u64,
            workers: workers.len() as u64,
            devices: distinct(&|worker| Some(worker.device.clone())),
            jobs: distinct(&|worker| worker.job.clone()),
            vitals: latest.and_then(|worker| worker.vitals.clone()),
            version: latest.map(|worker| worker.version.clone()).unwrap_or_default(),
            steps_per_second: rates.max_by(f64::total_cmp),
            silent_seconds: latest.map_or(0.0, |worker| worker.silent_seconds),
            stale: latest.is_none_or(|worker| worker.stale || !worker.is_here()),
            causes: distinct(&lost),
        }
    }
}

/// The first of these that any of its workers does: what a person wants to hear first.
fn state(here: &[&WorkerView], workers: &[&WorkerView]) -> String {
    const FIRST: [&str; 4] = ["draining", "leaving", "training", "refining"];
    let does = |word: &&str| here.iter().any(|worker| worker.state == **word);
    match (here.first(), FIRST.iter().find(|word| does(word))) {
        (None, _) if workers.iter().all(|worker| worker.presence == "left") => "left".to_owned(),
        (None, _) => "lost".to_owned(),
        (_, Some(word)) => (*word).to_owned(),
        (Some(worker), None) => {
            let busy = here.iter().find(|worker| !worker.is_free());
            busy.copied().unwrap_or(worker).state.clone()
        }
    }
}

fn dash(text: Option<String>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned())
}

fn ago(seconds: f64, stale: bool) -> Cell {
    let text = format!("{} ago", span(Duration::try_from_secs_f64(seconds).unwrap_or_default()));
    if stale { Cell::styled(text, Style::new().yellow()) } else { text.into() }
}

/// What was true once is not shown as if it were now.
fn now(text: String, stale: bool) -> Cell {
    if stale { "-".into() } else { text.into() }
}

fn rate(rate: Option<f64>) -> String {
    dash(rate.map(|rate| format!("{rate:.1}")))
}

fn memory(vitals: Option<&Vitals>) -> String {
    let both = |vitals: &Vitals| format!("{}/{}", size(vitals.memory_used), size(vitals.memory_total));
    dash(vitals.map(both))
}

impl Listed for NodeView {
    const HEADS: &'static [&'static str] =
        &["NODE", "STATE", "WORKERS", "DEVICE", "MEMORY", "LOAD", "JOB", "STEP/S", "SEEN", "REASON"];
    const WIDE: &'static [&'static str] = &["CORES", "GPU", "VERSION"];

    fn called(&self) -> &str {
        &self.name
    }

    fn row(&self) -> Vec<Cell> {
        let vitals = self.vitals.as_ref();
        vec![
            self.name.clone().into(),
            Cell::styled(self.state.clone(), style(&self.state)),
            format!("{}/{}", self.workers_here, self.workers).into(),
            self.devices.join(", ").into(),
            now(memory(vitals), self.stale),
            now(dash(vitals.map(|vitals| format!("{:.1}", vitals.load))), self.stale),
            dash(Some(self.jobs.join(", "))).into(),
            now(rate(self.steps_per_second), self.stale),
            ago(self.silent_seconds, self.stale),
            self.causes.join("; ").into(),
        ]
    }

    fn wide(&self) -> Vec<Cell> {
        let vitals = self.vitals.as_ref();
        let gpus = vitals.map(|vitals| vitals.gpus.iter().map(gpu).collect::<Vec<_>>().join(", "));
        vec![
            dash(vitals.map(|vitals| vitals.cores.to_string())).into(),
            now(dash(gpus), self.stale),
            self.version.clone().into(),
        ]
    }

    fn mark(&self) -> String {
        format!(
            "{} {} {} {:?} {:?} {}",
            self.state, self.workers_here, self.workers, self.jobs, self.causes, self.stale
        )
    }
}

fn gpu(gpu: &Gpu) -> String {
    format!("{:.0}% {}/{}", 100.0 * gpu.busy, size(gpu.memory_used), size(gpu.memory_total))
}

impl Listed for WorkerView {
    const HEADS: &'static [&'static str] =
        &["WORKER", "NODE", "STATE", "DEVICE", "JOB", "STEP", "STEP/S", "OWN/WAIT ms", "SEEN", "REASON"];
    const WIDE: &'static [&'static str] = &["MEMORY", "CORES", "VERSION"];

    fn called(&self) -> &str {
        &self.name
    }

    fn row(&self) -> Vec<Cell> {
        let is_old = self.stale || !self.is_here();
        vec![
            self.name.clone().into(),
            self.node.clone().into(),
            Cell::styled(self.state.clone(), style(&self.state)),
            self.device.clone().into(),
            dash(self.job.clone()).into(),
            dash(self.step.map(grouped)).into(),
            now(self.speed(), is_old),
            now(self.own_and_wait(), is_old),
            ago(self.silent_seconds, is_old),
            self.cause.clone().unwrap_or_default().into(),
        ]
    }

    fn wide(&self) -> Vec<Cell> {
        let is_old = self.stale || !self.is_here();
        let vitals = self.vitals.as_ref();
        vec![
            now(dash(vitals.map(|vitals| size(vitals.process_bytes))), is_old),
            now(dash(vitals.map(|vitals| format!("{:.1}", vitals.process_cores))), is_old),
            self.version.clone().into(),
        ]
    }

    fn mark(&self) -> String {
        format!("{} {:?} {:?} {}", self.state, self.job, self.cause, self.stale)
    }
}

impl WorkerView {
    /// In steps, or in images where it refines.
    pub(super) fn speed(&self) -> String {
        match (self.steps_per_second, self.images_per_second) {
            (None, Some(images)) => format!("{} img/s", grouped(images as u64)),
            (steps, _) => rate(steps),
        }
    }

    /// How long it works in a step, and how long it waits for others.
    pub(super) fn own_and_wait(&self) -> String {
        dash(self.step_ms.map(|times| format!("{:.1}/{:.1}", times.own(), times.waiting)))
    }
}

pub(super) async fn workers(args: List) -> Result<Exit, Failure> {
    let mut dialled = args.reach.dial().await?;
    let around = Around { nothing: NOTHING, below: |workers| Some(of_workers(workers)) };
    list(&args.list, around, async || dialled.workers().await).await
}

pub(super) async fn nodes(args: List) -> Result<Exit, Failure> {
    let mut dialled = args.reach.dial().await?;
    let around = Around { nothing: NOTHING, below: |nodes| Some(of_nodes(nodes)) };
    list(&args.list, around, async || Ok(NodeView::all_of(&dialled.workers().await?))).await
}

/// `6 workers: 2 busy, 1 idle, 0 drained, 1 suspect, 1 lost, 1 left`
pub(super) fn of_workers(workers: &[WorkerView]) -> String {
    let are = |presence: &str| workers.iter().filter(|worker| worker.presence == presence).count();
    let [here, suspect, lost, left] = ["here", "suspect", "lost", "left"].map(are);
    let idle = workers.iter().filter(|worker| worker.is_free()).count();
    let barred = workers.iter().filter(|worker| worker.state == "drained").count();
    let all = counted(workers.len() as u64, "worker");
    let busy = here - idle - barred;
    format!("{all}: {busy} busy, {idle} idle, {barred} drained, {suspect} suspect, {lost} lost, {left} left")
}

/// `4 nodes: 2 training, 1 draining, 1 lost`
pub(super) fn of_nodes(nodes: &[NodeView]) -> String {
    let states: BTreeSet<&str> = nodes.iter().map(|node| node.state.as_str()).collect();
    let count = |state: &&str| nodes.iter().filter(|node| node.state == **state).count();
    let counts: Vec<String> = states.iter().map(|state| format!("{} {state}", count(state))).collect();
    format!("{}: {}", counted(nodes.len() as u64, "node"), counts.join(", "))
}

/// One machine, and each worker on it.
#[derive(Serialize)]
struct Machine {
    #[serde(flatten)]
    node: NodeView,
    of: Vec<WorkerView>,
}

pub(super) async fn node(args: DescribeNode) -> Result<Exit, Failure> {
    let mut dialled = args.reach.dial().await?;
    describe::describe(&args.reading, async || Machine::named(&args.node, dialled.workers().await?)).await
}

impl Machine {
    fn named(named: &str, workers: Vec<WorkerView>) -> Result<Self, Failure> {
        let names: BTreeSet<String> = workers.iter().map(|worker| worker.node.clone()).collect();
        let name = choose(&names.into_iter().collect::<Vec<_>>(), named, NODE)?;
        let of: Vec<WorkerView> = workers.into_iter().filter(|worker| worker.node == name).collect();
        let node = NodeView::of(&name, &of.iter().collect::<Vec<_>>());
        Ok(Self { node, of })
    }
}

impl Described for Machine {
    fn called(&self) -> &str {
        &self.node.name
    }

    fn describe(&self, reading: &Reading) {
        let node = &self.node;
        let state = style(&node.state).style(&node.state).to_string();
        let here = format!("{} of {} here", node.workers_here, counted(node.workers, "worker"));
        anstream::println!("{}  {state}   {here}   sumac {}", node.name, node.version);
        let seen = Duration::try_from_secs_f64(node.silent_seconds).unwrap_or_default();
        say("heard", format!("{} ago{}", span(seen), if node.stale { ": what follows is old" } else { "" }));
        if let Some(vitals) = &node.vitals {
            say("cores", format!("{}   load {:.1}", vitals.cores, vitals.load));
            say("memory", memory(Some(vitals)));
            for card in &vitals.gpus {
                say("gpu", format!("{}   {}   {} °C   {:.0} W", card.name, gpu(card), card.temperature, card.watts));
            }
        }
        for cause in &node.causes {
            say("lost", cause);
        }
        anstream::print!("{}", rows_of(&self.of, reading));
        anstream::println!("its log: `sumac logs {0}`; what happened: `sumac events {0}`", node.name);
    }

    fn mark(&self) -> String {
        let workers: Vec<String> = self.of.iter().map(Listed::mark).collect();
        format!("{} {workers:?}", self.node.mark())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::table;
    use sumac_common::losses::Losses;
    use sumac_proto::v1;

    fn worker(name: &str, node: &str, presence: &'static str, state: &str) -> WorkerView {
        WorkerView {
            name: name.to_owned(),
            node: node.to_owned(),
            presence,
            state: state.to_owned(),
            cause: (presence == "lost").then(|| "it fell silent".to_owned()),
            device: "cpu".to_owned(),
            version: "0.1.0".to_owned(),
            job: (state == "training").then(|| "eyes".to_owned()),
            step: None,
            steps_per_second: (state == "training").then_some(11.8),
            images_per_second: None,
            step_ms: None,
            vitals: None,
            silent_seconds: if presence == "lost" { 41.0 } else { 0.3 },
            stale: presence == "lost",
        }
    }

    #[test]
    fn a_machine_is_what_its_workers_are() {
        let workers = [
            worker("a-0", "a", "here", "training"),
            worker("a-1", "a", "here", "idle"),
            worker("b-0", "b", "lost", "lost"),
            worker("c-0", "c", "here", "idle"),
            worker("c-1", "c", "lost", "lost"),
        ];
        let nodes = NodeView::all_of(&workers);
        let seen: Vec<_> =
            nodes.iter().map(|node| (node.name.as_str(), node.state.as_str(), node.workers_here)).collect();
        assert_eq!(seen, [("a", "training", 2), ("b", "lost", 0), ("c", "idle", 1)]);
        assert_eq!(of_nodes(&nodes), "3 nodes: 1 idle, 1 lost, 1 training");
        assert_eq!(nodes[2].causes, ["c-1: it fell silent"]);
        assert!(nodes[1].stale && !nodes[2].stale);
    }

    /// As the coordinator tells it: here, and silent for so long.
    #[test]
    fn who_is_here_and_was_not_heard_for_a_while_shows_no_speed() {
        let row = |seconds| {
            let beat = v1::Beat {
                job: "eyes".to_owned(),
                doing: v1::Doing::Training.into(),
                losses: Some(Losses::default().into()),
                steps_per_second: 11.8,
                ..v1::Beat::default()
            };
            let silent = Some(prost_types::Duration { seconds, nanos: 0 });
            let presence = v1::Presence::Here.into();
            let told =
                v1::Worker { name: "a-0".to_owned(), presence, silent, beat: Some(beat), ..v1::Worker::default() };
            table(&[], &[WorkerView::of(told).unwrap().row()])
        };
        assert!(row(1).contains("11.8"), "{}", row(1));
        assert!(!row(4).contains("11.8") && row(4).contains("training"), "{}", row(4));
    }

    #[test]
    fn who_has_a_job_and_says_nothing_of_it_yet_prepares() {
        let does = |job: Option<&str>| {
            let presence = v1::Presence::Here.into();
            WorkerView::of(v1::Worker { presence, job: job.map(str::to_owned), ..v1::Worker::default() }).unwrap().state
        };
        assert_eq!([does(None), does(Some("eyes"))], ["idle", "preparing"]);
    }

    #[test]
    fn a_lost_machine_shows_nothing_as_if_it_were_now() {
        let mut lost = worker("b-0", "b", "lost", "lost");
        lost.steps_per_second = Some(11.8);
        let nodes = NodeView::all_of(std::slice::from_ref(&lost));
        let row = |cells: Vec<Cell>| table(&[], &[cells]);
        assert!(!row(nodes[0].row()).contains("11.8") && !row(lost.row()).contains("11.8"));
    }
}
