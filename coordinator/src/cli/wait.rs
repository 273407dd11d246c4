//! `wait`: return when a job is as far as wanted, for scripts.

use super::{
    args::{self, Until},
    failure::{Exit, Failure},
    follow::Watch,
    view::JobView,
};
use std::future::pending;
use tokio::time::sleep;

pub(super) async fn wait(wait: args::Wait) -> Result<Exit, Failure> {
    let (dialled, job) = wait.target.dial().await?;
    let mut watch = Watch::new(dialled, job.clone());
    let too_long = async {
        match wait.timeout {
            Some(timeout) => sleep(timeout).await,
            None => pending().await,
        }
    };
    tokio::pin!(too_long);
    let (mut was_lost, mut seen) = (false, String::new());
    loop {
        let view = tokio::select! {
            view = watch.next() => view?,
            () = &mut too_long => {
                let waited = humantime::format_duration(wait.timeout.unwrap_or_default());
                return Err(Failure::new(Exit::TimedOut, format!("{job} was not there within {waited}{seen}")));
            }
        };
        match view {
            Some(view) if is_reached(&view, wait.until) => {
                anstream::println!("{} {} at step {}/{}", view.id, view.state, view.step, view.steps);
                return Ok(Exit::Done);
            }
            Some(view) if view.is_over() => {
                let reason = view.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                let ended = format!("{} {} at step {}/{}{reason}", view.id, view.state, view.step, view.steps);
                return Err(Failure::new(Exit::JobUnsuccessful, ended));
            }
            Some(view) => {
                seen = format!(": it is {} at step {}/{}", view.state, view.step, view.steps);
                let is_lost = view.is_lost();
                if is_lost && !was_lost {
                    let reason = view.reason.unwrap_or_default();
                    anstream::eprintln!("{} {}: {reason}: `sumac give-up {0}`", view.id, view.state);
                }
                was_lost = is_lost;
            }
            None => return Err(Failure::new(Exit::JobUnsuccessful, format!("{job} ended before it was there"))),
        }
    }
}

fn is_reached(job: &JobView, until: Until) -> bool {
    match until {
        Until::Done => job.state == "finished",
        Until::Running => matches!(job.state, "running" | "finished"),
        Until::Step(step) => job.step >= step,
    }
}
