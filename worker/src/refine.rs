//! A refinement, carried out: opens the frozen input, loads the refiner, feeds the [`pipeline`] with the shards
//! it is given, says what came out, and gives files their names when told to. What is next the
//! [workbench](sumac_common::workbench) decides; refuses to know whose attempt counts.

use crate::{
    fingerprint,
    pipeline::{self, Crew, Feed, Gauge, Limits, News, Pipeline, PipelineError, Refines, Stage, Stopped},
    train::Desk,
    work::events,
};
use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use sumac_common::{
    conversation::{Beat, Doing, Readiness},
    ids::{Generation, Step},
    leases::{Attempt, Receipt},
    losses::Losses,
    member::{self, Member},
    pace::{Shares, Times},
    refinement::Refinement,
    workbench::{Event, Next},
};
use sumac_data::refined::{self, Input};
use tracing::{error, info, warn};

/// Shards that wait to be read besides the one that is: so that the reader never waits for a word.
const AHEAD: usize = 1;
/// How often it looks at the clocks of the pipeline.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Works on the member's refinement until it is released from it or the mailbox closes.
pub fn refine(desk: &Desk<'_>, member: &mut Member) {
    let Some(order) = member.bench().map(|bench| bench.refinement().clone()) else { return };
    let mut shop = Shop { desk, member, order, line: None, pace: None };
    shop.work();
    shop.close();
}

struct Shop<'a> {
    desk: &'a Desk<'a>,
    member: &'a mut Member,
    order: Refinement,
    line: Option<Line>,
    pace: Option<pipeline::Shares>,
}

/// The pipeline runs on a thread of its own; this one listens to the coordinator.
struct Line {
    feed: Feed,
    news: mpsc::Receiver<News>,
    gauge: Gauge,
    looked: Instant,
    thread: JoinHandle<Result<Stopped, PipelineError>>,
}

impl Shop<'_> {
    fn work(&mut self) {
        let job = self.member.job().cloned();
        while !self.desk.mailbox.closed() {
            for event in events(self.desk) {
                self.tell(event);
            }
            // Released, or given to another job.
            if self.member.bench().is_none() || self.member.job() != job.as_ref() {
                return;
            }
            self.hear();
            self.beat();
            match self.next() {
                Some(event) => self.tell(member::Event::Refined(event)),
                None => self.desk.mailbox.wait_at_most(LOOK_EVERY),
            }
        }
    }

    fn tell(&mut self, event: member::Event) {
        let reports = self.member.step(event);
        self.desk.mailbox.report(reports, self.member.standing());
    }

    /// What came out of the pipeline since the last time.
    fn hear(&mut self) {
        let Some(line) = &self.line else { return };
        // Asked first: what it said before it ended is in the channel by then.
        let has_ended = line.thread.is_finished();
        for news in line.news.try_iter().collect::<Vec<_>>() {
            if let Some(event) = came_out(news) {
                self.tell(member::Event::Refined(event));
            }
        }
        if has_ended && let Some(line) = self.line.take() {
            let why = line.end().err().unwrap_or_else(|| "its pipeline ended before its time".to_owned());
            self.tell(member::Event::Refined(Event::Unprepared(why)));
        }
    }

    /// Does what is next, and says what came of it; `None` where there is nothing to do but to wait.
    fn next(&mut self) -> Option<Event> {
        match self.member.bench()?.next() {
            Next::Wait => None,
            Next::Prepare => Some(match self.prepare() {
                Ok(readiness) => Event::Prepared(readiness),
                Err(why) => Event::Unprepared(why),
            }),
            Next::Take { attempt, shard } => {
                let line = self.line.as_ref().filter(|line| line.feed.waiting() < AHEAD)?;
                line.feed.give(shard, attempt.to_string()).then_some(Event::Took)
            }
            Next::Publish { attempt, shard } => {
                if let Err(error) = refined::publish(&self.order, shard, &attempt.to_string()) {
                    // It is whole where it is, and who seals publishes what is left.
                    warn!(%shard, %attempt, %error, "could not give the files of a shard their names");
                }
                Some(Event::Settled)
            }
            Next::Discard { attempt, shard } => {
                if let Err(error) = refined::discard(&self.order, shard, &attempt.to_string()) {
                    warn!(%shard, %attempt, %error, "could not delete an attempt that came too late");
                }
                Some(Event::Settled)
            }
            Next::Seal { receipts, quarantined } => {
                info!(receipts = %receipts.short(), "putting the data set together");
                Some(match refined::seal(&self.order, quarantined, Some(receipts), &|_, _| {}) {
                    Ok(_) => Event::Sealed,
                    Err(error) => Event::Unsealed(in_full(&error)),
                })
            }
        }
    }

    /// The input and the refiner as they were submitted, and a pipeline that waits for shards.
    fn prepare(&mut self) -> Result<Readiness, String> {
        for path in [&self.order.how.source, &self.order.how.destination] {
            self.desk.roots.admit(path).map_err(|outside| outside.to_string())?;
        }
        let (what, work) = (&self.order.what, self.order.work());
        let input = Input::open(&work).map_err(|error| in_full(&error))?;
        let (trained, weights) = refined::refiner(&self.order)
            .map_err(|error| format!("{}: the destination must be reachable from every worker", in_full(&error)))?;
        if input.digest() != what.input {
            return Err(format!("{} holds another input than was submitted", work.display()));
        }
        let fingerprint = (self.desk.fingerprint)(trained.threads).map_err(|error| error.to_string())?;
        let net = pipeline::load(&trained.net, what.image.channels, &weights).map_err(|error| error.to_string())?;
        self.line = Some(Line::start(self.desk, &self.order, input, net, trained.threads)?);
        Ok(Readiness { data: what.identity(), fingerprint })
    }

    fn beat(&mut self) {
        let Some(bench) = self.member.bench() else { return };
        if let Some(line) = self.line.as_mut().filter(|line| line.looked.elapsed() >= LOOK_EVERY) {
            self.pace = Some(line.gauge.look());
            line.looked = Instant::now();
        }
        let doing = match (&self.line, bench.is_sealing()) {
            (None, _) => Doing::Preparing,
            (Some(_), true) => Doing::Sealing,
            (Some(_), false) => Doing::Refining,
        };
        self.desk.mailbox.beat(Some(Beat {
            job: bench.job().clone(),
            doing,
            generation: Generation(0),
            step: Step(bench.done()),
            losses: Losses::default(),
            steps_per_second: 0.0,
            images_per_second: self.pace.as_ref().map_or(0.0, |pace| pace.images_per_second),
            history: 0,
            times: Times::default(),
            waits_ms: 0,
            slow: None,
            shares: self.pace.as_ref().map(shares),
        }));
    }

    /// What is begun is deleted; what is whole stays for whoever hears of it.
    fn close(mut self) {
        if let Some(line) = self.line.take()
            && let Err(why) = line.end()
        {
            error!(why, "the pipeline did not end well");
        }
    }
}

impl Line {
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
        Ok(Self { feed, news, gauge, looked: Instant::now(), thread })
    }

    fn end(self) -> Result<(), String> {
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

fn shares(pace: &pipeline::Shares) -> Shares {
    Shares {
        read: pace.of(Stage::Read),
        decode: pace.of(Stage::Decode),
        refine: pace.of(Stage::Refine),
        encode: pace.of(Stage::Encode),
        write: pace.of(Stage::Write),
    }
}

/// With what lies behind it.
fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
