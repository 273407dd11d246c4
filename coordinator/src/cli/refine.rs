//! `refine`: a labelled data set through a refiner, on a coordinator's workers, or on workers of its own.
//!
//! What it writes, and where, is laid down in the destination first. Decides nothing about shards.

use super::{
    args::{self, Output, Reach, RefineAbout},
    destination::{Laid, Plan, blocking, fit, tidy, unusable, word},
    failure::{Exit, Failure},
    node::worker_program,
    outcome::{here, pasted},
    piecework::{Ended, Wish, carry_out},
    refiner,
    render::{counted, grouped, print_item, say, span},
    stand::Signals,
    view::JobView,
};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};
use sumac_common::{
    piecework::Piecework,
    refinement::{How, Refinement, WORK, What},
};
use sumac_data::{refined, storage::absolute};

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
    let work = Piecework::Refine(refinement.clone());
    let wish = Wish { reach: &reach, workers: args.workers, detach: args.detach, verbose };
    let ended = carry_out(&work, &wish).await?;
    if let Ended::Over { job, ours } = &ended {
        if *ours && job.exit() == Exit::Done {
            tidy(&refinement)?;
        }
        return tell(&refinement, job);
    }
    Ok(ended.exit())
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
    let (mut signals, mut interrupted) = (Signals::new()?, false);
    let mut task = command.spawn().map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot start {}", program.display())).because(Some(&error))
    })?;
    let status = loop {
        tokio::select! {
            status = task.wait() => break status,
            // In an array job the signal may be for this process alone.
            () = signals.next() => {
                interrupted = true;
                if let Some(pid) = task.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
                // It may have ended meanwhile.
                    let _ = kill_process(pid, Signal::TERM);
                }
            },
        }
    };
    let status =
        status.map_err(|error| Failure::new(Exit::Failed, "cannot wait for the worker").because(Some(&error)))?;
    if !status.success() {
        return Ok(if interrupted { Exit::Interrupted } else { Exit::Failed });
    }
    say("share", format!("{share} is done, of {} in all", counted(refinement.what.shards().into(), "shard")));
    say("next", format!("when all tasks are done: sumac refine merge {}", pasted(&refinement.how.destination)));
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
    // The manifest counts what was bad before anything was refined, too; it may lie where this machine does not reach.
    let known = job.pieces.as_ref();
    let (refined, bad) = match refined::sealed(destination) {
        Ok(Some(sealed)) => (sealed.images, sealed.bad),
        _ => known.map_or((0, 0), |known| (known.done, known.bad)),
    };
    say("images", format!("{} refined, {} bad", grouped(refined), grouped(bad)));
    if bad > 0 {
        say("bad", format!("{}   each with its reason", here(&destination.join(refined::ERRORS)).display()));
    }
    say("refined", format!("{}   {}", here(destination).display(), word(refinement.what.layout)));
    say("check", format!("sumac verify {} --source {}", pasted(destination), pasted(&refinement.how.source)));
    Ok(job.exit())
}

// === how far it is ===

#[derive(Debug, Serialize)]
struct Status {
    destination: PathBuf,
    /// refining or finished
    state: &'static str,
    source: Option<PathBuf>,
    /// All of the source; of a finished one those that are there.
    images: u64,
    /// Once it is finished.
    bad: Option<u64>,
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
            let bad = status.bad.map_or_else(String::new, |bad| format!(" refined, {} bad", grouped(bad)));
            say("images", format!("{}{bad}", grouped(status.images)));
            say("shards", format!("{} of {}", grouped(status.published), grouped(status.shards)));
        }
    }
    Ok(Exit::Done)
}

fn status(destination: &Path) -> Result<Status, Failure> {
    if let Some(sealed) = refined::sealed(destination).map_err(|error| Failure::of(Exit::Failed, &error))? {
        let (images, bad, shards) = (sealed.images, Some(sealed.bad), sealed.shards());
        let destination = destination.to_owned();
        return Ok(Status { destination, state: "finished", source: None, images, bad, shards, published: shards });
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
        bad: None,
        shards: refinement.what.shards().into(),
        published,
    })
}
