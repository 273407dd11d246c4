//! A refinement, carried out: opens the frozen input, loads the refiner, and feeds the [`pipeline`] with the shards it is given.
//! Refuses to know whose attempt counts.

use crate::{
    fingerprint,
    piecework::{Line, Pace, in_full},
    pipeline::{self, Crew, Feed, Gauge, Limits, News, Pipeline, PipelineError, Refines, Stage, Stopped},
    train::Desk,
};
use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};
use sumac_common::{
    conversation::{Doing, Readiness},
    ids::Digest,
    leases::{Attempt, Receipt, Shard},
    pace::Shares,
    refinement::Refinement,
    spec::Precision,
    workbench::Event,
};
use sumac_data::refined::{self, Input};
use tracing::warn;

/// Shards that wait to be read besides the one that is: so that the reader never waits for a word.
const AHEAD: usize = 1;

/// The pipeline runs on a thread of its own; whoever holds this listens to the coordinator.
struct Refining {
    order: Refinement,
    feed: Feed,
    news: mpsc::Receiver<News>,
    gauge: Gauge,
    thread: JoinHandle<Result<Stopped, PipelineError>>,
}

/// The input and the refiner as they were submitted, and a pipeline that waits for shards.
pub(crate) fn open(desk: &Desk<'_>, order: &Refinement) -> Result<(Readiness, Box<dyn Line>), String> {
    for path in [&order.how.source, &order.how.destination] {
        desk.roots.admit(path).map_err(|outside| outside.to_string())?;
    }
    let (what, work) = (&order.what, order.work());
    let input = Input::open(&work).map_err(|error| in_full(&error))?;
    let (trained, weights) = refined::refiner(order)
        .map_err(|error| format!("{}: the destination must be reachable from every worker", in_full(&error)))?;
    if input.digest() != what.input {
        return Err(format!("{} holds another input than was submitted", work.display()));
    }
    let fingerprint = (desk.fingerprint)(trained.threads, Precision::F32).map_err(|error| error.to_string())?;
    let net =
        pipeline::load(&trained.net, what.image.channels, &weights, desk.device).map_err(|error| error.to_string())?;
    let line = Refining::start(desk, order, input, net, trained.threads)?;
    Ok((Readiness { data: what.identity(), fingerprint, lambda: None }, Box::new(line)))
}

impl Refining {
    fn start(
        desk: &Desk<'_>,
        order: &Refinement,
        input: Input,
        net: Box<dyn Refines + Send>,
        threads: u32,
    ) -> Result<Self, String> {
        let made = Pipeline::new(order.clone(), input, net, Limits::default(), Crew::default());
        let (mut line, feed) = made.map_err(|error| error.to_string())?;
        let gauge = line.gauge();
        let (tell, news) = mpsc::channel();
        let mailbox = Arc::clone(desk.mailbox);
        let run = move || {
            fingerprint::use_threads(threads);
            let ended = loop {
                match line.next_news() {
                    Ok(Some(news)) => {
                        let is_heard = tell.send(news).is_ok();
                        mailbox.nudge();
                        if !is_heard {
                            break line.stop();
                        }
                    }
                    Ok(None) => break line.stop(),
                    Err(error) => break Err(error),
                }
            };
            mailbox.nudge();
            ended
        };
        let thread = thread::Builder::new().name("refiner".to_owned()).spawn(run).map_err(|error| error.to_string())?;
        Ok(Self { order: order.clone(), feed, news, gauge, thread })
    }
}

impl Line for Refining {
    fn doing(&self) -> Doing {
        Doing::Refining
    }

    fn take(&mut self, attempt: Attempt, shard: Shard) -> bool {
        self.feed.waiting() < AHEAD && self.feed.give(shard, attempt.to_string())
    }

    fn news(&mut self) -> Vec<Event> {
        self.news.try_iter().filter_map(came_out).collect()
    }

    fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    fn pace(&mut self) -> Pace {
        let look = self.gauge.look();
        let shares = Shares {
            read: look.of(Stage::Read),
            decode: look.of(Stage::Decode),
            refine: look.of(Stage::Refine),
            encode: look.of(Stage::Encode),
            write: look.of(Stage::Write),
        };
        Pace { images_per_second: look.images_per_second, pieces_per_second: 0.0, shares: Some(shares) }
    }

    fn publish(&self, attempt: Attempt, shard: Shard) -> Result<(), String> {
        refined::publish(&self.order, shard, &attempt.to_string()).map_err(|error| in_full(&error))
    }

    fn discard(&self, attempt: Attempt, shard: Shard) -> Result<(), String> {
        refined::discard(&self.order, shard, &attempt.to_string()).map_err(|error| in_full(&error))
    }

    fn seal(&self, receipts: Digest, quarantined: &[(Shard, String)]) -> Result<(), String> {
        let sealed = refined::seal(&self.order, quarantined, Some(receipts), &|_, _| {});
        sealed.map(drop).map_err(|error| in_full(&error))
    }

    fn end(self: Box<Self>) -> Result<(), String> {
        self.feed.stop();
        match self.thread.join() {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the thread that refines panicked, which is a fault of sumac".to_owned()),
        }
    }
}

/// `None` where the attempt's name is none of ours, which cannot be.
fn came_out(news: News) -> Option<Event> {
    Some(match news {
        News::Done { shard, attempt, whole } => {
            let receipt = Receipt { digest: whole.receipt, refined: whole.refined, bad: whole.bad };
            Event::Wrote { attempt: attempt.parse::<Attempt>().ok()?, shard, receipt }
        }
        News::Failed { shard, attempt, why } => {
            warn!(%shard, attempt, why, "a shard failed");
            Event::Failed { attempt: attempt.parse::<Attempt>().ok()?, shard, why }
        }
    })
}
