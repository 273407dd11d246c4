//! A worker's side of membership: what it does next, and what it holds when a step fails.
//!
//! The same form as [`cluster`](crate::cluster): `step(event) -> reports`, and [`Member::next`] says what the loop carries out.
//! It refuses to know sockets, tensors, files and clocks.
//!
//! C-3 membership moves only in `next`, between two steps. C-4 a step counts as committed only by [`Event::Committed`], which
//! the loop raises after all tails agreed. C-5 what is held is that of the last generation it entered.

#[cfg(test)]
mod tests;

use crate::{
    checkpoint::Saved,
    conversation::{Basis, End, Ending, Holding, Leaving, Opening, Order, Readiness, Report, Standing, Wish},
    ids::{Generation, JobId, Step, WorkerId},
    leases::Held,
    spec::Spec,
    tail::Wishes,
    workbench::{self, Workbench},
};

/// So many skipped steps in a row are a failed run: the gradients have become useless.
pub const SKIPPED_IN_A_ROW_MAX: u32 = 10;

#[derive(Clone, Debug)]
pub enum Event {
    /// The coordinator said something.
    Told(Order),
    /// Data frozen, model built.
    Prepared(Readiness),
    Unprepared(String),
    /// It applied what it had kept and took the donor's weights: it holds the furthest step now.
    Aligned(Step),
    /// Its state for this generation is complete and verified; it is about to say so to the others.
    Offered(Step),
    /// All said the same: it has entered. Steps that stood in the metrics are done again from here.
    Entered {
        step: Step,
        redone: u64,
    },
    /// All tails of the present step agreed, and it is applied, or skipped.
    Committed {
        wishes: Wishes,
        skipped_in_a_row: u32,
    },
    /// A checkpoint became complete; these are there now, oldest first.
    Saved {
        step: Step,
        there: Vec<Saved>,
    },
    /// The checkpoint of this step could not be written.
    Unsaved {
        step: Step,
        why: String,
    },
    /// Outputs are written and everybody knows.
    Sealed,
    /// A collective, a copy or the forming of the group failed.
    Broke(Leaving),
    /// Its process is asked to end.
    Goodbye,
    /// The learning itself failed, in a way that would repeat anywhere.
    Failed(String),
    /// In a job in pieces.
    Bench(workbench::Event),
}

/// What the loop does now.
#[derive(Clone, Debug, PartialEq)]
pub enum Next<'a> {
    /// Nothing, until the coordinator speaks.
    Wait,
    Prepare {
        job: &'a JobId,
        spec: &'a Spec,
    },
    /// Form the group, bring everybody up to date, compare.
    Enter {
        opening: &'a Opening,
        with: With,
    },
    /// Carry out one step and put these wishes into the tail.
    Step {
        opening: &'a Opening,
        step: Step,
        wishes: Wishes,
    },
    /// Write what the run leaves behind, at this step.
    Seal {
        opening: &'a Opening,
        step: Step,
        ending: &'a Ending,
    },
    /// What is next on the workbench.
    Bench(&'a Workbench),
}

/// What a member brings to a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// What it holds, at this step.
    Held(Step),
    /// What it had offered to a generation that others entered: that is held now.
    Offered(Step),
    Nothing,
}

#[derive(Clone, Debug)]
pub struct Member {
    me: WorkerId,
    leaving: bool,
    task: Option<Task>,
    /// The job in pieces it works for, instead of a run.
    bench: Option<Workbench>,
}

/// The run it works for.
#[derive(Clone, Debug)]
struct Task {
    job: JobId,
    spec: Box<Spec>,
    /// The newest generation of this job that it was told of: older ones are not listened to (C-2).
    newest: Generation,
    ready: Option<Readiness>,
    holds: Option<Holding>,
    offered: Option<Holding>,
    wishes: Wishes,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    Preparing,
    /// Outside any generation.
    Waiting,
    Entering(Box<Opening>, With),
    Training(Box<Opening>, Step),
    Sealing(Box<Opening>, Step, Ending),
    /// Nothing more to do for this job but to be released. Its last word, if it saw a generation through.
    Over(Option<End>),
}

impl Stage {
    fn opening(&self) -> Option<&Opening> {
        match self {
            Self::Entering(opening, _) | Self::Training(opening, _) | Self::Sealing(opening, _, _) => Some(opening),
            Self::Preparing | Self::Waiting | Self::Over(_) => None,
        }
    }
}

impl Member {
    #[must_use]
    pub fn new(me: WorkerId) -> Self {
        Self { me, leaving: false, task: None, bench: None }
    }

    #[must_use]
    pub fn job(&self) -> Option<&JobId> {
        self.task.as_ref().map(|task| &task.job).or(self.bench.as_ref().map(Workbench::job))
    }

    /// The job in pieces it works for.
    #[must_use]
    pub fn bench(&self) -> Option<&Workbench> {
        self.bench.as_ref()
    }

    /// The generation it takes part in.
    #[must_use]
    pub fn engaged(&self) -> Option<Generation> {
        self.task.as_ref()?.stage.opening().map(|opening| opening.generation)
    }

    /// It was asked to end, and nobody needs it any more.
    #[must_use]
    pub fn may_go(&self) -> bool {
        self.leaving && self.task.is_none() && self.bench.is_none()
    }

    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        self.task.as_ref().map(Task::standing).or(self.bench.as_ref().map(Workbench::standing))
    }

    /// Whether this order must be heard in the midst of a step or an entry, or can wait until it is done.
    #[must_use]
    pub fn interrupts(&self, order: &Order) -> bool {
        match order {
            Order::Close { job, generation } => self.job() == Some(job) && self.engaged() == Some(*generation),
            Order::Open(opening) => self.task.as_ref().is_some_and(|task| task.is_news(opening)),
            Order::Release { job, .. } => self.job() == Some(job),
            Order::Prepare { .. } | Order::Wish { .. } | Order::Piecework { .. } => false,
            Order::Lease { .. } | Order::Publish { .. } | Order::Discard { .. } | Order::Seal { .. } => false,
        }
    }

    #[must_use]
    pub fn next(&self) -> Next<'_> {
        if let Some(bench) = &self.bench {
            return Next::Bench(bench);
        }
        let Some(task) = &self.task else { return Next::Wait };
        match &task.stage {
            Stage::Preparing => Next::Prepare { job: &task.job, spec: &task.spec },
            Stage::Waiting | Stage::Over(_) => Next::Wait,
            Stage::Entering(opening, with) => Next::Enter { opening, with: *with },
            Stage::Training(opening, step) => {
                // With nobody to leave the state to, it is saved first; the others would hear of it from the coordinator.
                let park = task.wishes.park || self.leaving && opening.roster.len() == 1;
                Next::Step { opening, step: *step, wishes: Wishes { park, ..task.wishes } }
            }
            Stage::Sealing(opening, step, ending) => Next::Seal { opening, step: *step, ending },
        }
    }

    pub fn step(&mut self, event: Event) -> Vec<Report> {
        match event {
            Event::Told(order) => return self.told(order),
            Event::Goodbye => {
                self.leaving = true;
                return vec![Report::Leaving];
            }
            Event::Bench(event) => return self.bench.as_mut().map(|bench| bench.step(event)).unwrap_or_default(),
            _ => {}
        }
        let Some(task) = &mut self.task else { return vec![] };
        match event {
            Event::Told(_) | Event::Goodbye | Event::Bench(_) => vec![],
            Event::Prepared(readiness) => {
                task.ready = Some(readiness.clone());
                task.stage = Stage::Waiting;
                vec![Report::Ready { job: task.job.clone(), readiness }]
            }
            Event::Unprepared(why) => {
                task.stage = Stage::Over(None);
                vec![Report::Unable { job: task.job.clone(), why }]
            }
            Event::Aligned(step) => {
                if let Some(holds) = &mut task.holds {
                    holds.step = step;
                }
                vec![]
            }
            Event::Offered(step) => {
                task.offered = task.stage.opening().map(|opening| Holding { generation: opening.generation, step });
                vec![]
            }
            Event::Entered { step, redone } => task.entered(step, redone),
            Event::Committed { wishes, skipped_in_a_row } => task.committed(wishes, skipped_in_a_row),
            Event::Saved { step, there } => vec![Report::Saved { job: task.job.clone(), step, there }],
            Event::Unsaved { step, why } => vec![Report::Unsaved { job: task.job.clone(), step, why }],
            Event::Sealed => task.sealed(),
            Event::Broke(why) => task.leave(why).into_iter().collect(),
            Event::Failed(why) => task.failed(why),
        }
    }

    fn told(&mut self, order: Order) -> Vec<Report> {
        match order {
            Order::Prepare { job, spec } => {
                let known = self.task.as_ref().is_some_and(|task| task.job == job && !task.is_unprepared());
                if !known {
                    self.task = Some(Task::new(job, spec));
                    self.bench = None;
                }
                vec![]
            }
            Order::Piecework { job, work } => {
                let known = self.bench.as_ref().is_some_and(|bench| *bench.job() == job && !bench.is_unprepared());
                if !known {
                    self.bench = Some(Workbench::new(job, work));
                    self.task = None;
                }
                vec![]
            }
            Order::Lease { ref job, .. }
            | Order::Publish { ref job, .. }
            | Order::Discard { ref job, .. }
            | Order::Seal { ref job, .. } => {
                if let Some(bench) = self.bench.as_mut().filter(|bench| bench.job() == job) {
                    bench.told(order);
                }
                vec![]
            }
            Order::Open(opening) => {
                let takes_part = opening.roster.iter().any(|place| place.worker == self.me);
                if let Some(task) = self.task.as_mut().filter(|task| takes_part && task.is_news(&opening)) {
                    task.open(opening);
                }
                vec![]
            }
            Order::Close { job, generation } => {
                let engaged = self.engaged() == Some(generation);
                let task = self.task.as_mut().filter(|task| engaged && task.job == job);
                task.and_then(|task| task.leave(Leaving::Told)).into_iter().collect()
            }
            Order::Wish { job, generation, wish } => {
                let engaged = self.engaged() == Some(generation);
                if let Some(task) = self.task.as_mut().filter(|task| engaged && task.job == job) {
                    match wish {
                        Wish::Park => task.wishes.park = true,
                        Wish::Regroup => task.wishes.regroup = true,
                    }
                }
                vec![]
            }
            Order::Release { job, .. } => {
                if self.job() == Some(&job) {
                    self.task = None;
                    self.bench = None;
                }
                vec![]
            }
        }
    }
}

impl Task {
    fn new(job: JobId, spec: Box<Spec>) -> Self {
        Self {
            job,
            spec,
            newest: Generation(0),
            ready: None,
            holds: None,
            offered: None,
            wishes: Wishes::default(),
            stage: Stage::Preparing,
        }
    }

    fn standing(&self) -> Standing {
        Standing {
            job: self.job.clone(),
            engaged: self.stage.opening().map(|opening| opening.generation),
            holds: self.holds,
            offered: self.offered,
            ready: self.ready.clone(),
            ended: match &self.stage {
                Stage::Over(ended) => ended.clone(),
                _ => None,
            },
            held: Held::default(),
        }
    }

    fn is_news(&self, opening: &Opening) -> bool {
        self.job == opening.job && opening.generation > self.newest
    }

    /// It failed to prepare: told again, it tries again.
    fn is_unprepared(&self) -> bool {
        matches!(self.stage, Stage::Over(_)) && self.ready.is_none()
    }

    fn open(&mut self, opening: Box<Opening>) {
        self.newest = opening.generation;
        let offered = self.offered.take();
        let with = match &opening.basis {
            Basis::Saved => With::Nothing,
            Basis::Held { generation, .. } => {
                let of_it = |holding: &Holding| holding.generation == *generation;
                match (self.holds.filter(of_it), offered.filter(of_it)) {
                    (Some(holds), _) => With::Held(holds.step),
                    (None, Some(offered)) => With::Offered(offered.step),
                    (None, None) => With::Nothing,
                }
            }
        };
        self.holds = match (with, &opening.basis) {
            (With::Held(step) | With::Offered(step), Basis::Held { generation, .. }) => {
                Some(Holding { generation: *generation, step })
            }
            _ => None,
        };
        // A wish is for one generation.
        self.wishes = Wishes::default();
        self.stage = Stage::Entering(opening, with);
    }

    fn entered(&mut self, step: Step, redone: u64) -> Vec<Report> {
        let Stage::Entering(opening, _) = &self.stage else { return vec![] };
        let opening = opening.clone();
        let generation = opening.generation;
        self.holds = Some(Holding { generation, step });
        self.offered = None;
        self.stage = if step >= self.spec.what.train.steps {
            Stage::Sealing(opening, step, Ending::Finished)
        } else {
            Stage::Training(opening, step)
        };
        vec![Report::Entered { job: self.job.clone(), generation, step, redone }]
    }

    fn committed(&mut self, wishes: Wishes, skipped_in_a_row: u32) -> Vec<Report> {
        let Stage::Training(opening, step) = &self.stage else { return vec![] };
        let (opening, step) = (opening.clone(), step.next());
        self.holds = Some(Holding { generation: opening.generation, step });
        if skipped_in_a_row >= SKIPPED_IN_A_ROW_MAX {
            self.stage = Stage::Training(opening, step);
            return self.failed(format!(
                "{skipped_in_a_row} steps in a row up to step {step} had a gradient that is not finite: lower the learning rate or check the images"
            ));
        }
        if step >= self.spec.what.train.steps {
            self.stage = Stage::Sealing(opening, step, Ending::Finished);
            return vec![];
        }
        if wishes.park {
            self.stage = Stage::Sealing(opening, step, Ending::Parked);
            return vec![];
        }
        self.stage = Stage::Training(opening, step);
        if wishes.regroup { self.leave(Leaving::Told).into_iter().collect() } else { vec![] }
    }

    fn sealed(&mut self) -> Vec<Report> {
        let Stage::Sealing(opening, step, ending) = &self.stage else { return vec![] };
        let end = End { generation: opening.generation, step: *step, ending: ending.clone() };
        if end.ending == Ending::Parked {
            // The checkpoint has it.
            self.holds = None;
        }
        vec![self.sees_through(end)]
    }

    fn sees_through(&mut self, end: End) -> Report {
        self.stage = Stage::Over(Some(end.clone()));
        Report::Ended { job: self.job.clone(), end }
    }

    fn failed(&mut self, why: String) -> Vec<Report> {
        let generation = self.stage.opening().map(|opening| opening.generation);
        let step = self.holds.map(|holds| holds.step).unwrap_or_default();
        match generation {
            Some(generation) => vec![self.sees_through(End { generation, step, ending: Ending::Failed(why) })],
            None => {
                self.stage = Stage::Over(None);
                vec![Report::Unable { job: self.job.clone(), why }]
            }
        }
    }

    /// Out of its generation, if it is in one; what it holds it keeps.
    fn leave(&mut self, why: Leaving) -> Option<Report> {
        let generation = self.stage.opening()?.generation;
        self.stage = Stage::Waiting;
        Some(Report::Left { generation, standing: self.standing(), why })
    }
}
