//! Between the loop and the conversation with the coordinator: orders come in, reports go out, and where the worker stands is
//! kept for the next time it attaches. It refuses to know what either means.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use sumac_common::conversation::{Beat, Order, Report, Standing};

/// Who waits says so every few milliseconds.
const WAITS_NO_MORE_AFTER: Duration = Duration::from_millis(500);

#[derive(Default)]
pub struct Mailbox {
    inside: Mutex<Inside>,
    changed: Condvar,
}

#[derive(Default)]
struct Inside {
    orders: Vec<Order>,
    reports: Vec<Report>,
    standing: Option<Standing>,
    beat: Option<Beat>,
    /// Since when the loop waits for the others, and when it last said that it still does.
    waiting: Option<(Instant, Instant)>,
    /// The process is asked to end in good order; whether the loop has heard of it.
    goodbye: Option<bool>,
    /// Something other than the coordinator has news for the loop.
    nudged: bool,
    /// When the end was asked for.
    closed: Option<Instant>,
    /// Wakes the conversation when there is a report; given by it.
    knock: Option<Box<dyn Fn() + Send>>,
}

impl Mailbox {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        // Plain data: a panic elsewhere leaves nothing half done in it.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // === the loop's side ===

    /// The orders that came in, oldest first.
    pub fn orders(&self) -> Vec<Order> {
        std::mem::take(&mut self.inside().orders)
    }

    /// Whether one of the orders not yet taken is like this.
    pub fn any(&self, like: impl Fn(&Order) -> bool) -> bool {
        self.inside().orders.iter().any(like)
    }

    /// Whether the process is asked to end in good order: true once.
    pub fn goodbye(&self) -> bool {
        let mut inside = self.inside();
        let unheard = inside.goodbye == Some(false);
        inside.goodbye = inside.goodbye.map(|_| true);
        unheard
    }

    /// Sleeps until there is an order, a goodbye or the end.
    pub fn wait(&self) {
        let mut inside = self.inside();
        while inside.orders.is_empty() && inside.goodbye != Some(false) && inside.closed.is_none() {
            inside = self.changed.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// As [`wait`](Self::wait), and until a nudge, but no longer than so long.
    pub fn wait_at_most(&self, limit: Duration) {
        let inside = self.inside();
        let is_quiet = |inside: &mut Inside| {
            inside.orders.is_empty() && inside.goodbye != Some(false) && inside.closed.is_none() && !inside.nudged
        };
        let (mut inside, _) =
            self.changed.wait_timeout_while(inside, limit, is_quiet).unwrap_or_else(PoisonError::into_inner);
        inside.nudged = false;
    }

    /// Wakes the loop.
    pub fn nudge(&self) {
        self.inside().nudged = true;
        self.changed.notify_all();
    }

    pub fn closed(&self) -> bool {
        self.inside().closed.is_some()
    }

    /// How long ago the end was asked for, if it was.
    pub fn closed_for(&self) -> Option<Duration> {
        self.inside().closed.map(|since| since.elapsed())
    }

    /// Says something, together with where that leaves the worker.
    pub fn report(&self, reports: Vec<Report>, standing: Option<Standing>) {
        let mut inside = self.inside();
        inside.standing = standing;
        if reports.is_empty() {
            return;
        }
        inside.reports.extend(reports);
        if let Some(knock) = &inside.knock {
            knock();
        }
    }

    pub fn beat(&self, beat: Option<Beat>) {
        self.inside().beat = beat;
    }

    /// Said again and again while the loop waits for other members since then.
    pub fn waits(&self, since: Instant) {
        self.inside().waiting = Some((since, Instant::now()));
    }

    // === the conversation's side ===

    pub fn deliver(&self, order: Order) {
        self.inside().orders.push(order);
        self.changed.notify_all();
    }

    /// Asks the loop to let go of what it has, in good order, and to end then.
    pub fn leave(&self) {
        self.inside().goodbye.get_or_insert(false);
        self.changed.notify_all();
    }

    pub fn is_leaving(&self) -> bool {
        self.inside().goodbye.is_some()
    }

    /// Ends the loop between two steps.
    pub fn close(&self) {
        self.inside().closed.get_or_insert_with(Instant::now);
        self.changed.notify_all();
    }

    pub fn on_report(&self, knock: impl Fn() + Send + 'static) {
        self.inside().knock = Some(Box::new(knock));
    }

    /// The reports not yet sent, oldest first.
    pub fn reports(&self) -> Vec<Report> {
        std::mem::take(&mut self.inside().reports)
    }

    /// Where the worker stands, for attaching. Reports not yet sent are contained in it or still to come.
    pub fn standing(&self) -> Option<Standing> {
        self.inside().standing.clone()
    }

    pub fn last_beat(&self) -> Option<Beat> {
        let inside = self.inside();
        let waiting = inside.waiting.filter(|(_, said)| said.elapsed() < WAITS_NO_MORE_AFTER);
        let waits_ms = waiting.map_or(0, |(since, _)| since.elapsed().as_millis() as u64);
        inside.beat.clone().map(|beat| Beat { waits_ms, ..beat })
    }
}
