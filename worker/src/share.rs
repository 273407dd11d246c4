//! A share of a refinement, done without a coordinator: every n-th shard, as the task of an array job. Whoever comes first with a
//! shard publishes it; what was published is not done again. Refuses to know who seals.

use crate::{
    fingerprint,
    learner::LearnError,
    pipeline::{self, Crew, Limits, News, Pipeline, PipelineError},
};
use std::{path::Path, str::FromStr, thread};
use sumac_common::{device::Device, leases::Shard, refinement::Refinement, spec::Precision};
use sumac_data::refined::{self, Input, RefinedError};
use tracing::{info, warn};

/// `3/16`: the shards whose number leaves 3 when divided by 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub task: u32,
    pub tasks: u32,
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(task, tasks)| {
            Some(Self { task: task.parse().ok()?, tasks: tasks.parse().ok().filter(|tasks| *tasks > 0)? })
        });
        let share = parsed.filter(|share| share.task < share.tasks);
        share.ok_or_else(|| "must be I/N with I from 0 to N - 1, such as 0/16".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    #[error("`{0}` holds no refinement: give `sumac refine SRC DST --checkpoint ... --shard-of I/N`")]
    NoOrder(String),
    #[error(transparent)]
    Refined(#[from] RefinedError),
    #[error("`{0}` holds another input than was submitted: delete it and begin again")]
    AnotherOne(String),
    #[error(transparent)]
    Learner(#[from] LearnError),
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    #[error(
        "{failed} of {of} shards of this share failed, the last one because {why}: mend that and run the task again"
    )]
    Failed { failed: u64, of: u64, why: String },
    #[error("stopped with {done} of {of} shards of this share done: run the task again")]
    Stopped { done: u64, of: u64 },
}

/// Refines the share's shards into `destination`. `stopped` waits until the process is asked to end.
///
/// # Errors
/// If a shard could not be done, or before all were done it was stopped: what is done stays, and the same call goes on.
pub fn refine(
    destination: &Path,
    share: Share,
    device: Device,
    stopped: impl FnOnce() + Send + 'static,
) -> Result<(), ShareError> {
    let shown = || destination.display().to_string();
    if refined::sealed(destination)?.is_some() {
        info!(destination = shown(), "sealed already");
        return Ok(());
    }
    let order = refined::order(destination)?.ok_or_else(|| ShareError::NoOrder(shown()))?;
    // Where the work lies is where it was found, whatever the path was when it was laid down.
    let order = Refinement {
        how: sumac_common::refinement::How { destination: destination.to_owned(), ..order.how.clone() },
        ..order
    };
    let input = Input::open(&order.work())?;
    let (trained, weights) = refined::refiner(&order)?;
    if input.digest() != order.what.input {
        return Err(ShareError::AnotherOne(shown()));
    }
    refined::agree(&order, &fingerprint::on(device, trained.threads, Precision::F32)?.to_string())?;
    let mine = mine(&order, share)?;
    fingerprint::use_threads(trained.threads);
    let net = pipeline::load(&trained.net, order.what.image.channels, &weights, device)?;
    let (mut pipeline, feed) = Pipeline::new(order.clone(), input, net, Limits::default(), Crew::default())?;
    let (of, name) = (mine.len() as u64, format!("task-{}-{}", share.task, std::process::id()));
    let stopper = feed.clone();
    // It ends with the process: whoever is never stopped waits in it for ever.
    thread::spawn(move || {
        stopped();
        stopper.stop();
    });
    let feeder = {
        let name = name.clone();
        thread::spawn(move || mine.into_iter().all(|shard| feed.give(shard, name.clone())))
    };
    let (mut done, mut failed, mut last) = (0, 0, String::new());
    while done + failed < of
        && let Some(news) = pipeline.next_news()?
    {
        match news {
            News::Done { shard, attempt, .. } => {
                refined::publish_if_first(&order, shard, &attempt)?;
                done += 1;
                info!(%shard, done, of, "shard done");
            }
            News::Failed { shard, why, .. } => {
                failed += 1;
                warn!(%shard, why, "shard failed");
                last = why;
            }
        }
    }
    pipeline.stop()?;
    // Feeding ends with the pipeline.
    let _all = feeder.join();
    match failed {
        0 if done == of => Ok(()),
        0 => Err(ShareError::Stopped { done, of }),
        failed => Err(ShareError::Failed { failed, of, why: last }),
    }
}

/// Those of the share that nobody has published.
fn mine(order: &Refinement, share: Share) -> Result<Vec<Shard>, ShareError> {
    let mut mine = Vec::new();
    for shard in (share.task..order.what.shards()).step_by(share.tasks as usize).map(Shard) {
        if !refined::is_published(order, shard)? {
            mine.push(shard);
        }
    }
    Ok(mine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_one_of_so_many() {
        assert_eq!("3/16".parse(), Ok(Share { task: 3, tasks: 16 }));
        for wrong in ["16/16", "1", "-1/4", "1/0", "a/b", ""] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }
}
