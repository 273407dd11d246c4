//! `refine`: a labelled data set through a refiner, on a coordinator's workers, or on workers of its own.
//!
//! What it writes, and where, is laid down in the destination first. Decides nothing about shards.

use super::{
    args::{self, Output, Reach, RefineAbout},
    destination::{Laid, Plan, blocking, fit, state, tidy, unusable, word},
    dial::Dialled,
    failure::{Exit, Failure},
    follow::Watch,
    node::{Node, worker_program},
    outcome::here,
    progress::Progress,
    refiner,
    render::{counted, grouped, print_item, say, span},
    stand::{self, Signals},
    submit, up,
    view::JobView,
};
use crate::serve::{ADDRESS_FILE, Place};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    thread::available_parallelism,
    time::Duration,
};
use sumac_common::{
    piecework::Piecework,
    refinement::{How, Refinement, WORK, What},
};
use sumac_data::{refined, storage::absolute};
use sumac_proto::v1;

pub(super) async fn refine(mut args: args::Refine, verbose: bool) -> Result<Exit, Failure> {
    if let Some(about) = args.about.take() {
        return tell_about(about).await;
    }
    let reach = Reach { coordinator: args.coordinator.clone() };
    let (Some(source), Some(destination), Some(named)) = (&args.source, &args.destination, &args.checkpoint) else {
        return Err(Failure::new(Exit::Usage, "SRC, DST and --checkpoint are needed").hint("sumac refine --help"));
    };
    let trained = refiner::find(named, &reach).await?;
    let plan = Plan {
        source,
        destination,
        written: &args.written,
        refiner: Some(&trained),
        image: trained.spec.what.data.image,
        fit: args.fit.map(fit),
        name: args.name.as_deref(),
        workers: args.workers,
    };
    let Laid::ToDo(refinement) = plan.lay_down().await? else { return Ok(Exit::Done) };
    if let Some(share) = &args.shard_of {
        return share_of(&refinement, share).await;
    }
    match coordinator(&reach).await? {
        Some(dialled) => on_cluster(&refinement, dialled, args.detach).await,
        None if args.detach => Err(Failure::new(Exit::Usage, "without a coordinator there is nobody to leave it to")
            .hint("leave out --detach, or name a coordinator with --coordinator URL")),
        None => on_this_machine(&refinement, &args, verbose).await,
    }
}

/// The one that was named, or the one that runs here; a cluster that is named and away is a failure.
async fn coordinator(reach: &Reach) -> Result<Option<Dialled>, Failure> {
    match reach.coordinator {
        Some(_) => reach.dial().await.map(Some),
        None if Path::new(args::STATE).join(ADDRESS_FILE).exists() => Ok(reach.dial().await.ok()),
        None => Ok(None),
    }
}

// === carrying it out ===

async fn on_cluster(refinement: &Refinement, mut dialled: Dialled, detach: bool) -> Result<Exit, Failure> {
    let job = queue(&mut dialled, refinement).await?;
    if detach {
        say("next", format!("`sumac wait {0}`, `sumac job {0}`, `sumac pause {0}`", job.id));
        return Ok(Exit::Done);
    }
    let mut watch = Watch::new(dialled, job.id.clone());
    let (mut progress, mut last) = (Progress::new(), job);
    loop {
        let next = tokio::select! {
            next = watch.next() => next?,
            _ = tokio::signal::ctrl_c() => {
                progress.end();
                say("detached", format!("{} goes on; `sumac wait {0}`, `sumac job {0}`, `sumac pause {0}`", last.id));
                return Ok(Exit::Interrupted);
            }
        };
        let Some(job) = next else { break };
        progress.show(&job);
        last = job;
    }
    progress.end();
    tell(refinement, &last)
}

/// A coordinator and workers of its own, gone with it.
async fn on_this_machine(refinement: &Refinement, args: &args::Refine, verbose: bool) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let program = worker_program()?;
    let by_cores = || available_parallelism().map_or(1, |cores| cores.get() / 2).max(1);
    let count = args.workers.unwrap_or_else(|| u32::try_from(by_cores()).unwrap_or(1));
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let place = Place { listen, state: state(refinement), insecure: false };
    let coordinator = stand::start(place).await?;
    let dialled = Dialled::at(coordinator.url()).await?;
    let mut node = match Node::start(&program, count, verbose, &dialled.url) {
        Ok(node) => node,
        Err(failure) => {
            stand::stop(coordinator).await?;
            return Err(failure);
        }
    };
    let stopping = coordinator.stopping();
    let evening = async {
        tokio::select! {
            () = up::gather(&coordinator, count) => {}
            () = signals.next() => return Ok(Exit::Interrupted),
        }
        see_through(refinement, dialled.clone(), &mut signals).await
    };
    let ended = tokio::select! {
        ended = evening => ended,
        failure = node.failed() => Err(failure),
        // Why it stopped is told by `stop` below.
        () = stopping.cancelled() => Ok(Exit::Failed),
    };
    node.stop().await;
    stand::stop(coordinator).await?;
    if matches!(ended, Ok(Exit::Done)) {
        tidy(refinement)?;
    }
    ended
}

/// One task of an array job: a worker that asks nobody. It says itself what went wrong.
async fn share_of(refinement: &Refinement, share: &str) -> Result<Exit, Failure> {
    let program = worker_program()?;
    let mut command = tokio::process::Command::new(&program);
    command.arg("refine").arg(&refinement.how.destination).args(["--shard-of", share]);
    command.arg(format!("--die-with-parent={}", std::process::id()));
    if env::var_os("SUMAC_LOG").is_none() {
        command.env("SUMAC_LOG", "warn");
    }
    let mut signals = Signals::new()?;
    let mut task = command.spawn().map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot start {}", program.display())).because(Some(&error))
    })?;
    let status = loop {
        tokio::select! {
            status = task.wait() => break status,
            // In an array job the signal may be for this process alone.
            () = signals.next() => if let Some(pid) = task.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
                // It may have ended meanwhile.
                let _ = kill_process(pid, Signal::TERM);
            },
        }
    };
    let status =
        status.map_err(|error| Failure::new(Exit::Failed, "cannot wait for the worker").because(Some(&error)))?;
    if !status.success() {
        return Ok(Exit::Failed);
    }
    say("share", format!("{share} of {} is done", counted(refinement.what.shards().into(), "shard")));
    say("next", format!("when all tasks are done: sumac refine merge {}", here(&refinement.how.destination).display()));
    Ok(Exit::Done)
}

async fn merge(destination: PathBuf) -> Result<Exit, Failure> {
    let destination = absolute(&destination).map_err(|error| unusable(&destination, &error))?;
    let into = destination.clone();
    let merged = blocking(move || -> Result<_, refined::RefinedError> {
        if let Some(sealed) = refined::sealed(&into)? {
            return Ok(Some(sealed));
        }
        let Some(order) = refined::order(&into)? else { return Ok(None) };
        let how = How { destination: into.clone(), ..order.how };
        refined::seal(&Refinement { how, ..order }, &[], None, &|_, _| {}).map(Some)
    });
    let manifest = merged.await?.map_err(|error| Failure::of(Exit::Failed, &error))?;
    let manifest = manifest.ok_or_else(|| no_refinement(&destination))?;
    say("finished", format!("{}   {}", here(&destination).display(), counted(manifest.shards(), "shard")));
    say("images", format!("{} refined, {} bad", grouped(manifest.images), grouped(manifest.bad)));
    Ok(Exit::Done)
}

fn no_refinement(destination: &Path) -> Failure {
    Failure::new(Exit::Failed, format!("{} is no refined data set", destination.display()))
        .hint("name the folder that `sumac refine SRC DST` was given as DST")
}

async fn see_through(refinement: &Refinement, mut dialled: Dialled, signals: &mut Signals) -> Result<Exit, Failure> {
    let mut last = queue(&mut dialled, refinement).await?;
    // Workers of an earlier command died with it, for certain: nobody waits for what they held.
    let given_up = v1::GiveUpRequest { job: last.id.clone() };
    dialled.operator.give_up(given_up).await.map_err(|status| dialled.failed(&status))?;
    let mut watch = Watch::new(dialled.clone(), last.id.clone());
    let mut progress = Progress::new();
    let mut pausing = false;
    loop {
        let next = tokio::select! {
            next = watch.next() => next?,
            () = signals.next() => {
                if pausing {
                    return Ok(Exit::Interrupted);
                }
                pausing = true;
                let pause = v1::PauseRequest { job: last.id.clone() };
                dialled.operator.pause(pause).await.map_err(|status| dialled.failed(&status))?;
                continue;
            }
        };
        let Some(job) = next else { break };
        progress.show(&job);
        last = job;
    }
    progress.end();
    if pausing && last.state == "paused" {
        say("paused", format!("{} of {} done", grouped(last.step), counted(last.steps, "shard")));
        say("next", "the same command goes on from there");
        return Ok(Exit::Interrupted);
    }
    tell(refinement, &last)
}

/// Submits, and says what became of it.
async fn queue(dialled: &mut Dialled, refinement: &Refinement) -> Result<JobView, Failure> {
    let work = Piecework::Refine(refinement.clone());
    let request = v1::SubmitPieceworkRequest { work_json: work.to_json() };
    let reply = dialled.operator.submit_piecework(request).await.map_err(|status| dialled.failed(&status))?;
    let (admission, job) = submit::answered(reply.into_inner())?;
    let shards = counted(job.steps, "shard");
    let placed = match admission {
        v1::Admission::AlreadyThere | v1::Admission::GoesOn => {
            format!("goes on: {} of {shards} done", grouped(job.step))
        }
        _ => shards,
    };
    say("job", format!("{}   {placed}", job.id));
    Ok(job)
}

/// The last lines.
fn tell(refinement: &Refinement, job: &JobView) -> Result<Exit, Failure> {
    let destination = &refinement.how.destination;
    let age = span(Duration::from_secs(job.age_seconds));
    say(job.state, format!("{}   {} of {}, {age}", job.id, grouped(job.step), counted(job.steps, "shard")));
    if let Some(reason) = &job.reason {
        say("reason", reason);
    }
    if job.state != "finished" {
        return Ok(job.exit());
    }
    let known = job.pieces.as_ref();
    let (refined, bad) = known.map_or((0, 0), |known| (known.done, known.bad));
    say("images", format!("{} refined, {} bad", grouped(refined), grouped(bad)));
    if bad > 0 {
        say("bad", format!("{}   each with its reason", here(&destination.join(refined::ERRORS)).display()));
    }
    say("refined", format!("{}   {}", here(destination).display(), word(refinement.what.layout)));
    say(
        "check",
        format!("sumac verify {} --source {}", here(destination).display(), here(&refinement.how.source).display()),
    );
    Ok(job.exit())
}

// === how far it is ===

#[derive(Debug, Serialize)]
struct Status {
    destination: PathBuf,
    /// refining or finished
    state: &'static str,
    source: Option<PathBuf>,
    images: u64,
    shards: u64,
    /// Shards whose output has its final names.
    published: u64,
}

async fn tell_about(about: RefineAbout) -> Result<Exit, Failure> {
    let (destination, read) = match about {
        RefineAbout::Status { destination, read } => (destination, read),
        RefineAbout::Merge { destination } => return merge(destination).await,
    };
    let status = blocking(move || status(&destination)).await??;
    match read.output {
        Output::Json => print_item(&status),
        Output::Table => {
            say(status.state, status.destination.display());
            if let Some(source) = &status.source {
                say("source", source.display());
            }
            say("images", grouped(status.images));
            say("shards", format!("{} of {}", grouped(status.published), grouped(status.shards)));
        }
    }
    Ok(Exit::Done)
}

fn status(destination: &Path) -> Result<Status, Failure> {
    if let Some(sealed) = refined::sealed(destination).map_err(|error| Failure::of(Exit::Failed, &error))? {
        let (images, shards) = (sealed.images, sealed.shards());
        let destination = destination.to_owned();
        return Ok(Status { destination, state: "finished", source: None, images, shards, published: shards });
    }
    let order = refined::order(destination).map_err(|error| Failure::of(Exit::Failed, &error))?;
    let refinement = order.ok_or_else(|| no_refinement(destination))?;
    let published = refined::published(&destination.join(WORK)).map_err(|error| Failure::of(Exit::Failed, &error))?;
    let What { samples, .. } = refinement.what;
    Ok(Status {
        destination: destination.to_owned(),
        state: "refining",
        source: Some(refinement.how.source.clone()),
        images: samples,
        shards: refinement.what.shards().into(),
        published,
    })
}
