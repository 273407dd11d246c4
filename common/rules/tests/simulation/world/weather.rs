//! What goes wrong in a simulated run, and what is done to it on purpose.

use super::{Happening, LANES, World, job};
use std::time::Duration;
use sumac_common::{cluster::Event, ids::WorkerId, member};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Its process ends; the connection breaks at once, its parent may say so.
    Kill,
    /// Its host ends: nothing is heard of it.
    Vanish,
    /// Its process stands still, perhaps beyond all limits.
    Pause,
    StreamBreaks,
    /// Other workers do not reach it when a group forms.
    Unreached,
    CoordinatorCrash,
    /// Its process is asked to end.
    Goodbye,
    Drain,
    Evict,
    Scale,
    PauseWish,
    GivenUp,
}

/// As often as they are named here.
pub(crate) const FAULTS: [Fault; 19] = [
    Fault::Kill,
    Fault::Kill,
    Fault::Kill,
    Fault::Vanish,
    Fault::Pause,
    Fault::Pause,
    Fault::StreamBreaks,
    Fault::StreamBreaks,
    Fault::Unreached,
    Fault::Unreached,
    Fault::CoordinatorCrash,
    Fault::CoordinatorCrash,
    Fault::Goodbye,
    Fault::Goodbye,
    Fault::Drain,
    Fault::Evict,
    Fault::Scale,
    Fault::PauseWish,
    Fault::GivenUp,
];

/// What a simulated run is like.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    pub(crate) workers: usize,
    /// So many of them start late.
    pub(crate) newcomers: usize,
    pub(crate) replicas: u32,
    pub(crate) faults: Vec<(Duration, Fault)>,
    /// Members also die while others hear that all went well.
    pub(crate) cruel: bool,
    /// Nothing goes wrong: what is done is done on purpose.
    pub(crate) gentle: bool,
    /// From then on nothing goes wrong any more.
    pub(crate) quiet_at: Duration,
}

impl World {
    pub(super) fn go_wrong(&mut self, fault: Fault) {
        if self.quiet {
            return;
        }
        let alive: Vec<WorkerId> =
            self.processes.iter().filter(|(_, process)| process.alive).map(|(name, _)| name.clone()).collect();
        let victim = (!alive.is_empty()).then(|| alive[self.dice.below(alive.len() as u64) as usize].clone());
        self.note(|| format!("fault: {fault:?} {victim:?}"));
        match (fault, victim) {
            (Fault::Kill | Fault::Vanish, Some(victim)) => self.kill(&victim, fault == Fault::Kill),
            (Fault::Pause, Some(victim)) => {
                let until = self.now + self.dice.millis(100..12_000);
                self.process(&victim).paused_until = Some(until);
            }
            (Fault::StreamBreaks, Some(victim)) => {
                let Some(stream) = self.process(&victim).stream else { return };
                let incarnation = self.process(&victim).incarnation;
                let at = self.arrival(stream, true) + self.dice.millis(0..500);
                self.at(at, Happening::Detached { worker: victim.clone(), incarnation, stream });
                self.later(&victim, 1..3_000, Happening::StreamEnded { stream });
            }
            (Fault::Unreached, Some(victim)) => {
                let until = self.now + self.dice.millis(500..8_000);
                self.process(&victim).unreached_until = until;
            }
            (Fault::CoordinatorCrash, _) => self.crashes = self.cluster.is_some(),
            (Fault::Goodbye, Some(victim)) => self.goodbye(&victim),
            (Fault::Drain | Fault::Evict, Some(victim)) => {
                let name = victim.0;
                let back = self.now + self.dice.millis(500..10_000);
                self.at(back, Happening::Undrain(name.clone()));
                let deadline = self.dice.one_in(3).then_some(Duration::from_secs(3)).filter(|_| !self.gentle);
                self.decide(if fault == Fault::Drain {
                    Event::Drained { name, deadline }
                } else {
                    Event::Evicted { name }
                });
            }
            (Fault::Scale, _) => {
                let max = 1 + self.dice.below(LANES.into()) as u32;
                self.decide(Event::Scaled { job: job(), min: 1, max });
            }
            (Fault::PauseWish, _) => self.decide(Event::PauseWished { job: job() }),
            (Fault::GivenUp, _) => {
                self.given_up = true;
                self.decide(Event::GivenUp { job: job() });
            }
            (_, None) => {}
        }
    }

    /// Some have heard that a collective went well, others have not: the worst moment for one of them to go.
    pub(crate) fn worst_moment(&mut self, members: &[WorkerId], one_in: u64) {
        if !self.cruel || self.quiet || !self.dice.one_in(one_in) {
            return;
        }
        let victim = members[self.dice.below(members.len() as u64) as usize].clone();
        if self.processes[&victim].alive {
            self.note(|| format!("{victim} dies at the worst moment"));
            let known = self.dice.one_in(2);
            self.kill(&victim, known);
        }
    }

    pub(super) fn kill(&mut self, victim: &WorkerId, known: bool) {
        self.drop_group(victim);
        let process = self.process(victim);
        process.alive = false;
        let (stream, incarnation) = (process.stream, process.incarnation);
        if known {
            if let Some(stream) = stream {
                let at = self.arrival(stream, true) + self.dice.millis(0..300);
                self.at(at, Happening::Detached { worker: victim.clone(), incarnation, stream });
            }
            if self.dice.one_in(2) {
                let at = self.now + self.dice.millis(1..6_000);
                self.at(at, Happening::Died { worker: victim.clone(), incarnation });
            }
        }
        let back = self.now + self.dice.millis(100..5_000);
        self.at(back, Happening::Start(victim.clone()));
    }

    fn goodbye(&mut self, name: &WorkerId) {
        self.process(name).leaving = true;
        self.raise(name, member::Event::Goodbye);
        if self.process(name).alive {
            self.later(name, 12_000..15_000, Happening::GraceEnds);
        }
    }

    /// Its process ends of itself, in good order.
    pub(crate) fn goes(&mut self, name: &WorkerId) {
        self.note(|| format!("{name} goes"));
        let process = self.process(name);
        process.alive = false;
        let (stream, incarnation) = (process.stream, process.incarnation);
        if let Some(stream) = stream {
            let at = self.arrival(stream, true);
            self.at(at, Happening::Detached { worker: name.clone(), incarnation, stream });
        }
        let back = self.now + self.dice.millis(1_000..5_000);
        self.at(back, Happening::Start(name.clone()));
    }

    pub(super) fn calm_down(&mut self) {
        self.note(|| "quiet".to_owned());
        self.quiet = true;
        self.crashes = false;
        let now = self.now;
        let names: Vec<WorkerId> = self.processes.keys().cloned().collect();
        for name in names {
            let process = self.process(&name);
            process.unreached_until = now;
            self.at(now, Happening::Start(name));
        }
    }
}
