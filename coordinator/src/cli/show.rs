//! `jobs`, `job`, `checkpoints`: what is there, as tables or JSON.

use super::{
    args::{DescribeJob, List, ListCheckpoints, Reading},
    describe::{Described, describe},
    dial::Dialled,
    failure::{Exit, Failure},
    list::{Around, Listed, list},
    render::{Cell, counted, figure, grouped, size, span, table, table_within},
    timeline::GenerationView,
    view::{CheckpointView, EachView, JobView, PiecesView, SlowView},
};
use owo_colors::Style;
use std::time::Duration;
use sumac_common::balance;

/// Facts shown under a job.
const FACTS_SHOWN: usize = 10;
/// The last of them.
const GENERATIONS_SHOWN: usize = 8;

pub(super) async fn jobs(args: List) -> Result<Exit, Failure> {
    let mut dialled = args.reach.dial().await?;
    let around = Around { nothing: "no jobs yet: `sumac submit FILE` queues one", below: |_| None };
    list(&args.list, around, async || dialled.jobs().await).await
}

impl Listed for JobView {
    const HEADS: &'static [&'static str] =
        &["JOB", "KIND", "STATE", "STEP", "WORKERS", "STEP/S", "ETA", "LOSS R/D", "AGE", "REASON"];
    const WIDE: &'static [&'static str] = &["GENERATION", "SAVED", "REDONE", "OUTPUT"];

    fn called(&self) -> &str {
        &self.id
    }

    fn row(&self) -> Vec<Cell> {
        vec![
            self.id.clone().into(),
            self.kind.into(),
            Cell::styled(self.state, style(self.state)),
            progress(self).into(),
            format!("{}/{}", self.workers.len(), most(self)).into(),
            speed(self).into(),
            eta(self).into(),
            losses(self).into(),
            span(Duration::from_secs(self.age_seconds)).into(),
            self.reason.clone().unwrap_or_default().into(),
        ]
    }

    fn wide(&self) -> Vec<Cell> {
        vec![
            self.generation.to_string().into(),
            self.saved.map_or_else(|| "-".to_owned(), grouped).into(),
            grouped(self.steps_redone).into(),
            self.output_dir.clone().into(),
        ]
    }

    fn mark(&self) -> String {
        let percent = (self.step * 100).checked_div(self.steps).unwrap_or(0);
        format!("{} {percent} {:?} {} {:?}", self.state, self.workers, self.generation, self.reason)
    }
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
        "failed" | "lost" => Tone::Bad,
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

/// A job, with the times of each of its workers.
pub(super) async fn one(dialled: &mut Dialled, id: String) -> Result<JobView, Failure> {
    let mut job = dialled.job(id).await?;
    if job.is_open() {
        let workers = dialled.workers().await?;
        let of = |name: &String| workers.iter().find(|worker| worker.name == *name)?.step_ms;
        let each = job.workers.iter().filter_map(|name| Some(EachView { worker: name.clone(), step_ms: of(name)? }));
        job.each = each.collect();
    }
    Ok(job)
}

impl Listed for CheckpointView {
    const HEADS: &'static [&'static str] = &["STEP", "AGE", "SIZE", "PATH"];
    const WIDE: &'static [&'static str] = &["WRITTEN"];
    const IS_CUT: bool = false;

    fn called(&self) -> &str {
        &self.name
    }

    fn row(&self) -> Vec<Cell> {
        let age = span(Duration::from_secs(self.age_seconds));
        vec![grouped(self.step).into(), age.into(), size(self.bytes).into(), self.path.clone().into()]
    }

    fn wide(&self) -> Vec<Cell> {
        vec![self.at.clone().into()]
    }

    /// Once written, it stays as it is.
    fn mark(&self) -> String {
        String::new()
    }
}

pub(super) async fn checkpoints(args: ListCheckpoints) -> Result<Exit, Failure> {
    let (mut dialled, id) = args.target.dial().await?;
    let nothing = format!("{id} has no checkpoint yet");
    let around = Around { nothing: &nothing, below: |_| None };
    list(&args.list, around, async || Ok(dialled.job(id.clone()).await?.checkpoints)).await
}

pub(super) async fn job(args: DescribeJob) -> Result<Exit, Failure> {
    let (mut dialled, id) = args.target.dial().await?;
    describe(&args.reading, async || one(&mut dialled, id.clone()).await).await
}

impl Described for JobView {
    fn called(&self) -> &str {
        &self.id
    }

    fn describe(&self, reading: &Reading) {
        match &self.pieces {
            Some(known) => describe_pieces(self, known, reading),
            None => describe_run(self, reading),
        }
        let shown = last(&self.facts, FACTS_SHOWN, reading);
        if !shown.is_empty() {
            anstream::println!("last events");
        }
        for fact in shown {
            let class = style(&fact.class).style(format!("{:<9}", fact.class)).to_string();
            anstream::println!("  {}  {class} {}", fact.at, fact.what);
        }
    }

    fn mark(&self) -> String {
        Listed::mark(self)
    }

    fn is_settled(&self) -> bool {
        self.is_over()
    }
}

/// So many; all of them where much is asked for.
fn last<'t, T>(things: &'t [T], count: usize, reading: &Reading) -> &'t [T] {
    let count = if reading.is_wide() { things.len() } else { count };
    &things[things.len().saturating_sub(count)..]
}

fn describe_pieces(job: &JobView, known: &PiecesView, reading: &Reading) {
    let state = style(job.state).style(job.state).to_string();
    let age = span(Duration::from_secs(job.age_seconds));
    let (id, kind, identity) = (&job.id, job.kind, identity(job, reading));
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

/// Of a step, by worker.
fn where_the_time_goes(job: &JobView) {
    if job.each.is_empty() {
        return;
    }
    let share = |share: f64| Cell::from(format!("{:.0}%", 100.0 * share));
    let row = |each: &EachView| {
        let shares = each.step_ms.shares().map(|(_, part)| share(part));
        let step = Cell::from(format!("{:.1} ms", each.step_ms.step()));
        std::iter::once(format!("  {}", each.worker).into()).chain(shares).chain([step]).collect::<Vec<Cell>>()
    };
    anstream::println!("where the time of a step goes");
    let parts = job.each[0].step_ms.shares().map(|(part, _)| part);
    let heads: Vec<&str> = std::iter::once("  worker").chain(parts).chain(["a step"]).collect();
    anstream::print!("{}", table(&heads, &job.each.iter().map(row).collect::<Vec<_>>()));
}

fn generations_of(job: &JobView, reading: &Reading) {
    let shown = last(&job.timeline, GENERATIONS_SHOWN, reading);
    if shown.is_empty() {
        return;
    }
    let seconds = |seconds: f64| span(Duration::from_secs(seconds as u64));
    let row = |known: &GenerationView| {
        let from =
            known.from_step.map_or_else(|| "not entered".to_owned(), |step| format!("from step {}", grouped(step)));
        let end = match (&known.why, known.is_open) {
            (Some(why), _) => why.clone(),
            (None, true) => "now".to_owned(),
            (None, false) => String::new(),
        };
        vec![
            format!("  {}", known.generation).into(),
            known.opened.get(11..19).unwrap_or_default().into(),
            counted(known.workers.len() as u64, "worker").into(),
            from.into(),
            seconds(known.ran_seconds).into(),
            end.into(),
        ]
    };
    anstream::println!("generations");
    anstream::print!("{}", table_within(&[], &shown.iter().map(row).collect::<Vec<_>>(), reading.width()));
}

fn identity<'j>(job: &'j JobView, reading: &Reading) -> &'j str {
    let digits = if reading.is_wide() { job.identity.len() } else { 6 };
    job.identity.get(..digits).unwrap_or_default()
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

fn describe_run(job: &JobView, reading: &Reading) {
    let seed = job.seed.map(|seed| format!("   seed {seed}")).unwrap_or_default();
    let identity = identity(job, reading);
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
    where_the_time_goes(job);
    if let Some(SlowView { worker, own_ms, others_ms }) = &job.slow {
        anstream::println!("slow      {worker}: {own_ms:.1} ms of its own work in a step, the others {others_ms:.1}");
    }
    if let Some(losses) = job.losses {
        anstream::println!(
            "losses    refiner {} (realism {}, self-reg {}{})   discriminator {}{}",
            figure(losses.refiner),
            figure(losses.realism),
            figure(losses.regularisation),
            job.lambda.map(|lambda| format!(", lambda {lambda}")).unwrap_or_default(),
            figure(losses.discriminator),
            if job.is_over() { format!("   at step {}", grouped(losses.step)) } else { String::new() },
        );
        if let Some((on_real, on_refined)) = losses.accuracy_on_real.zip(losses.accuracy_on_refined) {
            let words = balance::discernment(on_real, on_refined);
            let (real, refined) = (100.0 * on_real, 100.0 * on_refined);
            anstream::println!("D right   {real:.0}% of real and {refined:.0}% of refined patches: {words}");
        }
    }
    if let Some(imbalance) = &job.imbalance {
        anstream::println!("balance   {imbalance}");
    }
    if let (Some(history), Some(size)) = (job.history, job.history_size) {
        anstream::println!("history   {}/{} images", grouped(history), grouped(size.into()));
    }
    generations_of(job, reading);
    if let Some(goodput) = job.goodput {
        anstream::println!("goodput   {:.1}% of the time went into steps that count", 100.0 * goodput);
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
