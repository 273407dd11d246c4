//! `jobs`, `job`, `checkpoints`, `nodes`: what is there, as tables or JSON.

use super::{
    args::{Describe, List, Output, Target},
    failure::{Exit, Failure},
    render::{Cell, counted, figure, grouped, print_item, print_items, size, span, table},
    view::{CheckpointView, JobView, PiecesView, SlowView, WorkerView},
};
use owo_colors::Style;
use std::time::Duration;

/// Facts shown under a job.
const FACTS_SHOWN: usize = 10;

pub(super) async fn jobs(list: List) -> Result<Exit, Failure> {
    let wire = list.reach.dial().await?.jobs().await?;
    let jobs = wire.into_iter().map(JobView::of).collect::<Result<Vec<_>, _>>()?;
    match list.read.output {
        Output::Json => print_items(&jobs),
        Output::Table if jobs.is_empty() => anstream::eprintln!("no jobs yet: `sumac submit FILE` queues one"),
        Output::Table => {
            let heads = ["JOB", "KIND", "STATE", "STEP", "WORKERS", "STEP/S", "ETA", "LOSS R/D", "AGE", "REASON"];
            anstream::print!("{}", table(&heads, &jobs.iter().map(row).collect::<Vec<_>>()));
        }
    }
    Ok(Exit::Done)
}

fn row(job: &JobView) -> Vec<Cell> {
    vec![
        job.id.clone().into(),
        job.kind.into(),
        Cell::styled(job.state, style(job.state)),
        progress(job).into(),
        format!("{}/{}", job.workers.len(), most(job)).into(),
        speed(job).into(),
        eta(job).into(),
        losses(job).into(),
        span(Duration::from_secs(job.age_seconds)).into(),
        job.reason.clone().unwrap_or_default().into(),
    ]
}

fn progress(job: &JobView) -> String {
    let percent = (job.step * 100).checked_div(job.steps).unwrap_or(0);
    let unit = job.pieces.as_ref().map(|pieces| format!(" {}s", pieces.unit)).unwrap_or_default();
    format!("{}/{}{unit} {percent}%", grouped(job.step), grouped(job.steps))
}

/// In steps; of a job in pieces in images.
pub(super) fn speed(job: &JobView) -> String {
    match (&job.pieces, job.images_per_second) {
        (Some(_), Some(rate)) => format!("{} img/s", grouped(rate as u64)),
        (Some(_), None) => "-".to_owned(),
        (None, _) => rate(job.steps_per_second),
    }
}

fn rate(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"))
}

pub(super) fn eta(job: &JobView) -> String {
    job.eta_seconds.map_or_else(|| "-".to_owned(), |eta| span(Duration::from_secs(eta)))
}

fn losses(job: &JobView) -> String {
    job.losses
        .map_or_else(|| "-".to_owned(), |losses| format!("{}/{}", figure(losses.refiner), figure(losses.discriminator)))
}

/// What a word means for its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
    Doubtful,
    Plain,
}

pub(super) fn tone(word: &str) -> Tone {
    match word {
        "running" | "finished" | "training" | "refining" => Tone::Good,
        "failed" | "gone" => Tone::Bad,
        "incident" | "waiting" | "suspect" | "paused" | "left" | "draining" | "drained" | "leaving" | "cancelled" => {
            Tone::Doubtful
        }
        _ => Tone::Plain,
    }
}

/// Colour repeats what the word says, and never says more.
pub(super) fn style(word: &str) -> Style {
    match tone(word) {
        Tone::Good => Style::new().green(),
        Tone::Bad => Style::new().red(),
        Tone::Doubtful => Style::new().yellow(),
        Tone::Plain => Style::new(),
    }
}

async fn asked(target: Target) -> Result<JobView, Failure> {
    let (mut dialled, job) = target.dial().await?;
    dialled.job(job).await
}

pub(super) async fn checkpoints(args: Describe) -> Result<Exit, Failure> {
    let job = asked(args.target).await?;
    match args.read.output {
        Output::Json => print_items(&job.checkpoints),
        Output::Table if job.checkpoints.is_empty() => anstream::eprintln!("{} has no checkpoint yet", job.id),
        Output::Table => {
            let row = |known: &CheckpointView| {
                let age = span(Duration::from_secs(known.age_seconds));
                vec![grouped(known.step).into(), age.into(), size(known.bytes).into(), known.path.clone().into()]
            };
            let rows: Vec<Vec<Cell>> = job.checkpoints.iter().map(row).collect();
            anstream::print!("{}", table(&["STEP", "AGE", "SIZE", "PATH"], &rows));
        }
    }
    Ok(Exit::Done)
}

pub(super) async fn job(args: Describe) -> Result<Exit, Failure> {
    let job = asked(args.target).await?;
    match args.read.output {
        Output::Json => print_item(&job),
        Output::Table => describe(&job),
    }
    Ok(Exit::Done)
}

fn describe(job: &JobView) {
    match &job.pieces {
        Some(known) => describe_pieces(job, known),
        None => describe_run(job),
    }
    if !job.facts.is_empty() {
        anstream::println!("last events");
        for fact in job.facts.iter().rev().take(FACTS_SHOWN).rev() {
            let class = style(&fact.class).style(format!("{:<9}", fact.class)).to_string();
            anstream::println!("  {}  {class} {}", fact.at, fact.what);
        }
    }
}

fn describe_pieces(job: &JobView, known: &PiecesView) {
    let state = style(job.state).style(job.state).to_string();
    let age = span(Duration::from_secs(job.age_seconds));
    let (id, kind, identity) = (&job.id, job.kind, job.identity.get(..6).unwrap_or_default());
    anstream::println!(
        "{id}  {kind}  {state}   submitted {age} ago   spec sha {identity}   refiner of {}",
        known.runs.join(", ")
    );
    if let Some(reason) = &job.reason {
        anstream::println!("reason    {reason}");
    }
    let pace = job.images_per_second.map(|_| format!("   {}   eta {}", speed(job), eta(job))).unwrap_or_default();
    anstream::println!("progress  {}{pace}", progress(job));
    let PiecesView { items, done, bad, leased, quarantined, .. } = known;
    if known.is_of_images() {
        anstream::println!("images    {} of {} refined, {} bad", grouped(*done), grouped(*items), grouped(*bad));
    }
    anstream::println!(
        "{:<9} {} leased, {} quarantined",
        format!("{}s", known.unit),
        grouped(*leased),
        grouped(*quarantined)
    );
    if known.sealing {
        anstream::println!("sealing   all of them are over; what came out is put together");
    }
    workers_of(job);
    if let Some(bottleneck) = known.bottleneck {
        let stages = known.stages.iter().map(|(stage, share)| format!("{stage} {:.0}%", share * 100.0));
        let stages = stages.collect::<Vec<_>>().join(", ");
        anstream::println!("stages    {stages}   the others wait for {bottleneck}");
    }
    anstream::println!("source    {}", known.source.display());
    anstream::println!("output    {}", job.output_dir);
}

fn workers_of(job: &JobView) {
    if job.workers.is_empty() {
        anstream::println!("workers   none of {} to {}", job.workers_min, most(job));
    } else {
        let names = job.workers.join(", ");
        anstream::println!("workers   {} of {} to {}: {names}", job.workers.len(), job.workers_min, most(job));
    }
}

pub(super) fn most(job: &JobView) -> String {
    if job.workers_max == u32::MAX { "all".to_owned() } else { job.workers_max.to_string() }
}

fn describe_run(job: &JobView) {
    let seed = job.seed.map(|seed| format!("   seed {seed}")).unwrap_or_default();
    let identity = job.identity.get(..6).unwrap_or_default();
    let (id, kind, state) = (&job.id, job.kind, style(job.state).style(job.state).to_string());
    let age = span(Duration::from_secs(job.age_seconds));
    anstream::println!(
        "{id}  {kind}  {state}   submitted {age} ago   spec sha {identity}{seed}   generation {}",
        job.generation
    );
    if let Some(reason) = &job.reason {
        anstream::println!("reason    {reason}");
    }
    let images = job.images_per_second.map(|rate| format!("  {} images/s", grouped(rate as u64))).unwrap_or_default();
    let speed = match job.steps_per_second {
        Some(_) => format!("   {} step/s{images}   eta {}", rate(job.steps_per_second), eta(job)),
        None => String::new(),
    };
    anstream::println!("progress  {}{speed}", progress(job));
    workers_of(job);
    if let (Some(own), Some(first)) = (job.own_ms, job.workers.first()) {
        let waited = job.waited_ms.unwrap_or(0.0);
        anstream::println!("a step    {own:.1} ms of its own work and {waited:.1} ms waiting on {first}");
    }
    if let Some(SlowView { worker, own_ms, others_ms }) = &job.slow {
        anstream::println!("slow      {worker}: {own_ms:.1} ms of its own work in a step, the others {others_ms:.1}");
    }
    if let Some(losses) = job.losses {
        let percent =
            |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{:.0}%", share * 100.0));
        anstream::println!(
            "losses    refiner {} (realism {}, self-reg {})   discriminator {}   D accuracy {} on real, {} on refined",
            figure(losses.refiner),
            figure(losses.realism),
            figure(losses.regularisation),
            figure(losses.discriminator),
            percent(losses.accuracy_on_real),
            percent(losses.accuracy_on_refined),
        );
    }
    if let Some(imbalance) = &job.imbalance {
        anstream::println!("balance   {imbalance}");
    }
    if let (Some(history), Some(size)) = (job.history, job.history_size) {
        anstream::println!("history   {}/{} images", grouped(history), grouped(size.into()));
    }
    match job.saved {
        Some(step) => anstream::println!("checkpoint  step {}", grouped(step)),
        None => anstream::println!("checkpoint  none yet"),
    }
    anstream::println!("output    {}", job.output_dir);
    anstream::println!(
        "so far    {}, {}, {} done again",
        counted(job.workers_seen, "worker"),
        counted(job.generations, "generation"),
        counted(job.steps_redone, "step")
    );
}

pub(super) async fn nodes(list: List) -> Result<Exit, Failure> {
    let wire = list.reach.dial().await?.workers().await?;
    let workers = wire.into_iter().map(WorkerView::of).collect::<Result<Vec<_>, _>>()?;
    match list.read.output {
        Output::Json => print_items(&workers),
        Output::Table if workers.is_empty() => {
            anstream::eprintln!(
                "no worker has joined yet: `sumac-worker node --coordinator URL` starts one per device"
            );
        }
        Output::Table => {
            let heads = ["WORKER", "NODE", "STATE", "DEVICE", "JOB", "STEP", "STEP/S", "OWN/WAIT ms", "SEEN", "REASON"];
            anstream::print!("{}", table(&heads, &workers.iter().map(worker_row).collect::<Vec<_>>()));
            let are = |presence: &str| workers.iter().filter(|worker| worker.presence == presence).count();
            let (here, suspect, gone) = (are("here"), are("suspect"), are("gone"));
            let idle = workers.iter().filter(|worker| worker.is_free()).count();
            let all = counted(workers.len() as u64, "worker");
            let barred = workers.iter().filter(|worker| worker.state == "drained").count();
            let busy = here - idle - barred;
            anstream::println!("{all}: {busy} busy, {idle} idle, {barred} drained, {suspect} suspect, {gone} gone");
        }
    }
    Ok(Exit::Done)
}

fn worker_row(worker: &WorkerView) -> Vec<Cell> {
    let dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let silent = Duration::try_from_secs_f64(worker.silent_seconds).unwrap_or_default();
    vec![
        worker.name.clone().into(),
        worker.node.clone().into(),
        Cell::styled(worker.state.clone(), style(&worker.state)),
        worker.device.clone().into(),
        dash(worker.job.clone()).into(),
        dash(worker.step.map(grouped)).into(),
        worker_speed(worker).into(),
        own_and_wait(worker).into(),
        format!("{} ago", span(silent)).into(),
        worker.cause.clone().unwrap_or_default().into(),
    ]
}

/// In steps, or in images where it refines.
pub(super) fn worker_speed(worker: &WorkerView) -> String {
    match (worker.steps_per_second, worker.images_per_second) {
        (None, Some(images)) => format!("{} img/s", grouped(images as u64)),
        (steps, _) => rate(steps),
    }
}

/// How long it works in a step, and how long it waits for others.
pub(super) fn own_and_wait(worker: &WorkerView) -> String {
    worker.own_ms.map_or_else(|| "-".to_owned(), |own| format!("{own:.1}/{:.1}", worker.waited_ms.unwrap_or(0.0)))
}
