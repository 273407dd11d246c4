//! `cancel`, `stop`, `give-up`: one word to the coordinator about one job.

use super::{
    args::{Cancel, Target},
    failure::{Exit, Failure},
    render::say,
};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use sumac_proto::v1;

pub(super) async fn cancel(cancel: Cancel) -> Result<Exit, Failure> {
    let (mut dialled, job) = cancel.target.dial().await?;
    if !cancel.yes && !confirmed(&job)? {
        say("kept", &job);
        return Ok(Exit::Done);
    }
    let reply = dialled.operator.cancel(v1::CancelRequest { job }).await;
    let job = dialled.answered(reply)?;
    say(job.state, format!("{} at step {}; what it wrote stays in {}", job.id, job.step, job.output_dir));
    Ok(Exit::Done)
}

/// Cancelling throws work away, so a person is asked, and a script has to say so.
fn confirmed(job: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Usage, format!("cancelling {job} loses what it did since its last checkpoint"))
            .hint("confirm with --yes; `sumac stop` ends it with a checkpoint"));
    }
    anstream::eprint!("cancel {job}, losing what it did since its last checkpoint? [y/N] ");
    let mut answer = String::new();
    let read = io::stderr().flush().and_then(|()| io::stdin().lock().read_line(&mut answer));
    read.map_err(|error| Failure::of(Exit::Failed, &error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

pub(super) async fn stop(target: Target) -> Result<Exit, Failure> {
    let (mut dialled, job) = target.dial().await?;
    let reply = dialled.operator.stop(v1::StopRequest { job }).await;
    let job = dialled.answered(reply)?;
    if job.is_lost() {
        let id = &job.id;
        return Err(Failure::new(Exit::Failed, format!("nobody is there to stop {id}: all its members are silent"))
            .hint(format!(
                "it stops when one of them is back; `sumac give-up {id}` goes back to its last checkpoint"
            )));
    }
    if job.is_over() {
        say(job.state, &job.id);
    } else {
        say("stopping", format!("{} after its next step, with a checkpoint: `sumac wait {0}` returns then", job.id));
    }
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
