//! A job in pieces, carried out: opens its data, hands over the pieces it is given, says what came out, and gives files their
//! names when told to. What is next the [workbench](sumac_common::workbench) decides; how a piece is done is a `Line`'s
//! business. Refuses to know whose attempt counts.

use crate::{evaluate, refine, train::Desk, work::events};
use std::time::{Duration, Instant};
use sumac_common::{
    conversation::{Beat, Doing, Readiness},
    ids::{Digest, Generation, Step},
    leases::{Attempt, Shard},
    losses::Losses,
    member::{self, Member},
    pace::{Shares, Times},
    piecework::Piecework,
    workbench::{Event, Next},
};
use tracing::{error, info, warn};

/// How often it looks at its clocks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// One kind of piecework under way: its data is open, and a thread of its own waits for pieces.
pub(crate) trait Line {
    /// What is said of it while it works.
    fn doing(&self) -> Doing;
    /// Takes a piece on; false where there is no room for one now.
    fn take(&mut self, attempt: Attempt, piece: Shard) -> bool;
    /// What came out since the last time.
    fn news(&mut self) -> Vec<Event>;
    /// Its thread has ended, which it should not while it is wanted. Asked before [`Self::news`], so that nothing is missed.
    fn has_ended(&self) -> bool;
    fn pace(&mut self) -> Pace;
    fn publish(&self, attempt: Attempt, piece: Shard) -> Result<(), String>;
    fn discard(&self, attempt: Attempt, piece: Shard) -> Result<(), String>;
    /// Puts together what came out.
    fn seal(&self, receipts: Digest, quarantined: &[(Shard, String)]) -> Result<(), String>;
    /// What is begun is given up; what is whole stays for whoever hears of it.
    fn end(self: Box<Self>) -> Result<(), String>;
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Pace {
    pub images_per_second: f64,
    pub pieces_per_second: f64,
    pub shares: Option<Shares>,
}

/// Works on the member's job in pieces until it is released from it or the mailbox closes.
pub fn work_off(desk: &Desk<'_>, member: &mut Member) {
    let Some(work) = member.bench().map(|bench| bench.work().clone()) else { return };
    let mut shop = Shop { desk, member, work, line: None, pace: Pace::default(), looked: Instant::now() };
    shop.work();
    shop.close();
}

struct Shop<'a> {
    desk: &'a Desk<'a>,
    member: &'a mut Member,
    work: Piecework,
    line: Option<Box<dyn Line>>,
    pace: Pace,
    looked: Instant,
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
                Some(event) => self.tell(member::Event::Bench(event)),
                None => self.desk.mailbox.wait_at_most(LOOK_EVERY),
            }
        }
    }

    fn tell(&mut self, event: member::Event) {
        let reports = self.member.step(event);
        self.desk.mailbox.report(reports, self.member.standing());
    }

    /// What came out since the last time.
    fn hear(&mut self) {
        let Some(line) = &mut self.line else { return };
        let has_ended = line.has_ended();
        for event in line.news() {
            self.tell(member::Event::Bench(event));
        }
        if has_ended && let Some(line) = self.line.take() {
            let why = line.end().err().unwrap_or_else(|| "its work ended before its time".to_owned());
            self.tell(member::Event::Bench(Event::Unprepared(why)));
        }
    }

    /// Does what is next, and says what came of it; `None` where there is nothing to do but to wait.
    fn next(&mut self) -> Option<Event> {
        let next = self.member.bench()?.next();
        let Some(line) = &mut self.line else {
            return (next == Next::Prepare).then(|| self.prepare());
        };
        match next {
            Next::Wait | Next::Prepare => None,
            Next::Take { attempt, shard } => line.take(attempt, shard).then_some(Event::Took),
            Next::Publish { attempt, shard } => {
                if let Err(error) = line.publish(attempt, shard) {
                    // It is whole where it is, and who seals publishes what is left.
                    warn!(%shard, %attempt, error, "could not give the files of a piece their names");
                }
                Some(Event::Settled)
            }
            Next::Discard { attempt, shard } => {
                if let Err(error) = line.discard(attempt, shard) {
                    warn!(%shard, %attempt, error, "could not delete an attempt that came too late");
                }
                Some(Event::Settled)
            }
            Next::Seal { receipts, quarantined } => {
                info!(receipts = %receipts.short(), "putting together what came out");
                Some(match line.seal(receipts, quarantined) {
                    Ok(()) => Event::Sealed,
                    Err(why) => Event::Unsealed(why),
                })
            }
        }
    }

    fn prepare(&mut self) -> Event {
        let opened: Result<(Readiness, Box<dyn Line>), String> = match &self.work {
            Piecework::Refine(refinement) => refine::open(self.desk, refinement),
            Piecework::Evaluate(evaluation) => evaluate::open(self.desk, evaluation),
        };
        match opened {
            Ok((readiness, line)) => {
                self.line = Some(line);
                Event::Prepared(readiness)
            }
            Err(why) => Event::Unprepared(why),
        }
    }

    fn beat(&mut self) {
        let Some(bench) = self.member.bench() else { return };
        if let Some(line) = self.line.as_mut().filter(|_| self.looked.elapsed() >= LOOK_EVERY) {
            self.pace = line.pace();
            self.looked = Instant::now();
        }
        let doing = match (&self.line, bench.is_sealing()) {
            (None, _) => Doing::Preparing,
            (Some(_), true) => Doing::Sealing,
            (Some(line), false) => line.doing(),
        };
        self.desk.mailbox.beat(Some(Beat {
            job: bench.job().clone(),
            doing,
            generation: Generation(0),
            step: Step(bench.done()),
            losses: Losses::default(),
            steps_per_second: self.pace.pieces_per_second,
            images_per_second: self.pace.images_per_second,
            history: 0,
            times: Times::default(),
            waits_ms: 0,
            slow: None,
            shares: self.pace.shares,
        }));
    }

    fn close(mut self) {
        if let Some(line) = self.line.take()
            && let Err(why) = line.end()
        {
            error!(why, "it did not end well");
        }
    }
}

/// With what lies behind it.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
