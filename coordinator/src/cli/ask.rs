//! `cancel`, `pause`, `resume`, `scale`, `give-up`: one word to the coordinator about one job.

use super::{
    args::{Cancel, Scale, Span, Target},
    failure::{Exit, Failure},
    render::{counted, say},
    submit,
};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use sumac_proto::v1;

pub(super) async fn cancel(cancel: Cancel) -> Result<Exit, Failure> {
    let (mut dialled, job) = cancel.target.dial().await?;
    let loss = format!("cancelling {job} loses what it did since its last checkpoint");
    if !cancel.yes && !confirmed(&loss, "`sumac pause` ends it with a checkpoint")? {
        say("kept", &job);
        return Ok(Exit::Done);
    }
    let reply = dialled.operator.cancel(v1::CancelRequest { job }).await;
    let job = dialled.answered(reply)?;
    say(job.state, format!("{} at step {}; what it wrote stays in {}", job.id, job.step, job.output_dir));
    Ok(Exit::Done)
}

/// What throws work away is asked of a person, and a script has to say so.
pub(super) fn confirmed(loss: &str, gentler: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Usage, loss).hint(format!("confirm with --yes; {gentler}")));
    }
    anstream::eprint!("{loss}; do it? [y/N] ");
    let mut answer = String::new();
    let read = io::stderr().flush().and_then(|()| io::stdin().lock().read_line(&mut answer));
    read.map_err(|error| Failure::of(Exit::Failed, &error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

pub(super) async fn pause(target: Target) -> Result<Exit, Failure> {
    let (mut dialled, job) = target.dial().await?;
    let reply = dialled.operator.pause(v1::PauseRequest { job }).await;
    let job = dialled.answered(reply)?;
    if job.is_lost() {
        let id = &job.id;
        return Err(Failure::new(Exit::Failed, format!("nobody is there to pause {id}: all its members are silent"))
            .hint(format!(
                "it pauses when one of them is back; `sumac give-up {id}` goes back to its last checkpoint"
            )));
    }
    if job.is_over() {
        say(job.state, &job.id);
    } else {
        say("pausing", format!("{} after its next step, with a checkpoint: `sumac resume {0}` goes on then", job.id));
    }
    Ok(Exit::Done)
}

/// The same run submitted again goes on from its checkpoint.
pub(super) async fn resume(target: Target) -> Result<Exit, Failure> {
    let (mut dialled, job) = target.dial().await?;
    let job = dialled.job(job).await?;
    if job.state != "paused" {
        return Err(Failure::new(Exit::Failed, format!("{} is {}: only a paused job resumes", job.id, job.state)));
    }
    let spec = job.spec.ok_or_else(|| Failure::other_version(format!("the spec of {} cannot be read", job.id)))?;
    submit::queue(&mut dialled, &spec).await?;
    Ok(Exit::Done)
}

pub(super) async fn scale(scale: Scale) -> Result<Exit, Failure> {
    let (mut dialled, job) = scale.target.dial().await?;
    let Span { min: workers_min, max: workers_max } = scale.workers;
    let reply = dialled.operator.scale(v1::ScaleRequest { job, workers_min, workers_max }).await;
    let job = dialled.answered(reply)?;
    if job.is_over() {
        return Err(Failure::new(Exit::Failed, format!("{} is {}: it runs on no workers", job.id, job.state)));
    }
    let wanted = match (workers_min, workers_max) {
        (min, max) if min == max => counted(u64::from(max), "worker"),
        (min, max) => format!("{min} to {max} workers"),
    };
    say("scaled", format!("{}: {wanted}, now on {}", job.id, job.workers.len()));
    Ok(Exit::Done)
}

pub(super) async fn give_up(target: Target) -> Result<Exit, Failure> {
    let (mut dialled, job) = target.dial().await?;
    let reply = dialled.operator.give_up(v1::GiveUpRequest { job }).await;
    let job = dialled.answered(reply)?;
    if job.is_open() || job.is_over() {
        return Err(Failure::new(Exit::Failed, format!("{} is {}: there is nobody to give up", job.id, job.state)));
    }
    say(job.state, format!("{}: goes back to its last checkpoint if no member comes back", job.id));
    Ok(Exit::Done)
}
