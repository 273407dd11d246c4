//! A job in pieces, seen through: on a coordinator's workers, or on a coordinator and workers of its own. Knows nothing of what is
//! done in the pieces.

use super::{
    alone::{Alone, alone, count},
    args::{self, Reach},
    destination::state,
    dial::Dialled,
    failure::{Exit, Failure},
    follow::Watch,
    progress::Progress,
    render::{counted, grouped, say},
    stand::Signals,
    submit,
    view::JobView,
};
use crate::serve::ADDRESS_FILE;
use std::path::Path;
use sumac_common::piecework::Piecework;
use sumac_proto::v1;

/// How it is to be done.
pub(super) struct Wish<'a> {
    pub reach: &'a Reach,
    /// Of its own, where no coordinator is configured.
    pub workers: Option<u32>,
    pub detach: bool,
    pub verbose: bool,
}

/// What became of it.
pub(super) enum Ended {
    /// `ours`: on workers of its own, which are gone.
    Over { job: Box<JobView>, ours: bool },
    /// It goes on without this command.
    Detached,
    /// By a signal.
    Left,
    /// The coordinator stopped, and said why.
    Stopped,
}

impl Ended {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Over { job, .. } => job.exit(),
            Self::Detached => Exit::Done,
            Self::Left => Exit::Interrupted,
            Self::Stopped => Exit::Failed,
        }
    }
}

pub(super) async fn carry_out(work: &Piecework, wish: &Wish<'_>) -> Result<Ended, Failure> {
    match coordinator(wish.reach).await? {
        Some(dialled) => on_cluster(work, dialled, wish.detach).await,
        None if wish.detach => Err(Failure::new(Exit::Usage, "without a coordinator there is nobody to leave it to")
            .hint("leave out --detach, or name a coordinator with --coordinator URL")),
        None => on_this_machine(work, wish.workers, wish.verbose).await,
    }
}

/// The one that was named, or the one that runs here; a cluster that is named and away is a failure.
pub(super) async fn coordinator(reach: &Reach) -> Result<Option<Dialled>, Failure> {
    match reach.coordinator {
        Some(_) => reach.dial().await.map(Some),
        None if Path::new(args::STATE).join(ADDRESS_FILE).exists() => {
            let dialled = reach.dial().await.ok();
            if let Some(dialled) = &dialled {
                let other = "it runs in this folder; --coordinator names another";
                say("cluster", format!("{}   {other}", dialled.url));
            }
            Ok(dialled)
        }
        None => Ok(None),
    }
}

async fn on_cluster(work: &Piecework, mut dialled: Dialled, detach: bool) -> Result<Ended, Failure> {
    let job = queue(&mut dialled, work).await?;
    if detach {
        say("next", format!("`sumac wait {0}`, `sumac job {0}`, `sumac pause {0}`", job.id));
        return Ok(Ended::Detached);
    }
    let ended = submit::follow(dialled, job).await?;
    Ok(ended.map_or(Ended::Left, |job| Ended::Over { job: Box::new(job), ours: false }))
}

async fn on_this_machine(work: &Piecework, workers: Option<u32>, verbose: bool) -> Result<Ended, Failure> {
    let evening = async |dialled, signals: &mut Signals| see_through(work, dialled, signals).await;
    Ok(match alone(state(work), count(workers, None), verbose, evening).await? {
        Alone::Done(job) => Ended::Over { job: Box::new(job), ours: true },
        Alone::Left => Ended::Left,
        Alone::Stopped => Ended::Stopped,
    })
}

/// `None`: a signal paused it.
async fn see_through(
    work: &Piecework,
    mut dialled: Dialled,
    signals: &mut Signals,
) -> Result<Option<JobView>, Failure> {
    let mut last = queue(&mut dialled, work).await?;
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
                    return Ok(None);
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
        say("paused", format!("{} of {} done", grouped(last.step), counted(last.steps, work.unit())));
        say("next", "the same command goes on from there");
        return Ok(None);
    }
    Ok(Some(last))
}

/// Submits, and says what became of it.
async fn queue(dialled: &mut Dialled, work: &Piecework) -> Result<JobView, Failure> {
    let request = v1::SubmitPieceworkRequest { work_json: work.to_json() };
    let reply = dialled.operator.submit_piecework(request).await.map_err(|status| dialled.failed(&status))?;
    let (admission, job) = submit::answered(reply.into_inner())?;
    let pieces = counted(job.steps, work.unit());
    let placed = match admission {
        v1::Admission::AlreadyThere | v1::Admission::GoesOn => {
            format!("goes on: {} of {pieces} done", grouped(job.step))
        }
        _ => pieces,
    };
    say("job", format!("{}   {placed}", job.id));
    Ok(job)
}
