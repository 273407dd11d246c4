//! What a run writes down on its way and at its end: checkpoints, pictures, outputs.
//!
//! When something is to be saved is decided by `sumac_common::checkpoint` and agreed in the tails; what a file looks like is
//! known to `checkpoints` and `outputs`, and `scribe` writes the former while steps go on. On the way a checkpoint that cannot
//! be written costs the run nothing; at its end, and where its workers leave it, there is no other place for its state. It
//! refuses to know how a step is computed.

use crate::{
    checkpoints::{CheckpointError, Checkpoints, Completed, Completion, Snapshot, Ticket},
    faults::{Faults, Point},
    learner::Learner,
    link::{Dial, Flat},
    outputs,
    scribe::{News, Scribe, Task},
    state::Counters,
    train::{Listening, Run, Trouble, no_link},
};
use std::time::{Duration, Instant};
use sumac_common::{
    balance,
    checkpoint::Manifest,
    conversation::{Ending, Opening},
    ids::{Lane, Rank, Step},
    lanes,
    member::Event,
    metrics,
    schedule::Phase,
    tail::Agreed,
};
use tracing::{debug, info, info_span, warn};

/// How far the checkpoint under way is, and who writes it down.
pub(crate) struct Saving {
    scribe: Scribe,
    under_way: Option<(Ticket, Stage)>,
    last: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// This member's part is being written.
    Writing,
    /// It is durable, those of the others perhaps not yet.
    Durable,
    /// It could not be written; the others do not all know.
    Failed,
    /// All parts are durable, and rank 0 writes the manifest.
    Completing,
}

impl Saving {
    pub(crate) fn of(checkpoints: &Checkpoints, faults: &Faults) -> Self {
        let scribe = Scribe::of(checkpoints.clone(), faults.clone());
        Self { scribe, under_way: None, last: Instant::now() }
    }

    pub(crate) fn since_last(&self) -> Duration {
        self.last.elapsed()
    }

    /// One at a time: also the disk may still be busy with one that was given up.
    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.is_some() || self.scribe.is_busy()
    }

    /// This member's part of the checkpoint at this step is durable.
    pub(crate) fn durable(&self) -> Option<Step> {
        self.under_way.filter(|(_, stage)| *stage == Stage::Durable).map(|(ticket, _)| ticket.step)
    }

    pub(crate) fn failed(&self) -> bool {
        self.under_way.is_some_and(|(_, stage)| stage == Stage::Failed)
    }

    /// What is under way is no longer waited for: its generation is over, or some part of it cannot be written. What is there of
    /// it is written over later, or tidied away.
    pub(crate) fn give_up(&mut self) {
        self.under_way = None;
    }

    fn begin(&mut self, snapshot: Snapshot) {
        self.under_way = Some((snapshot.ticket, Stage::Writing));
        self.last = Instant::now();
        self.scribe.give(Task::Write(snapshot));
    }

    fn stage_of(&mut self, ticket: Ticket) -> Option<&mut Stage> {
        self.under_way.as_mut().filter(|(known, _)| *known == ticket).map(|(_, stage)| stage)
    }
}

impl<L, D> Run<'_, L, D>
where
    L: Learner,
    L::Sum: Flat,
    D: Dial<L::Sum>,
{
    /// After each step: begins the checkpoint that was wished for, completes the one whose parts all are durable, gives up the
    /// one of which some part is not. Touches no disk.
    pub(crate) fn save(&mut self, opening: &Opening, rank: Rank, agreed: &Agreed) -> Result<(), Trouble> {
        if agreed.unsaved {
            self.saving.give_up();
        }
        if let Some(step) = agreed.durable {
            let ticket = Ticket { generation: opening.generation, step };
            self.saving.under_way = (rank == Rank(0)).then_some((ticket, Stage::Completing));
            if rank == Rank(0) {
                let completion = self.completion(ticket)?;
                self.saving.scribe.give(Task::Complete(completion));
            }
        }
        // The end of the run and the leaving of all save by themselves.
        let seals = agreed.wishes.park || self.state.counters.step >= self.spec.what.train.steps;
        if agreed.wishes.snapshot && !seals {
            let snapshot = self.snapshot(opening, rank)?;
            self.saving.begin(snapshot);
        }
        Ok(())
    }

    /// This member's part, copied: all that a checkpoint holds a step up for.
    fn snapshot(&self, opening: &Opening, rank: Rank) -> Result<Snapshot, Trouble> {
        let begun = Instant::now();
        let (_, workers) = self.place()?;
        let owned = lanes::owned(self.lanes(), workers, rank).map(Lane);
        let snapshot = Snapshot::of(&self.state, opening.generation, rank, owned)?;
        debug!(step = %snapshot.ticket.step, bytes = snapshot.bytes(), held_up = ?begun.elapsed(), "snapshot taken");
        Ok(snapshot)
    }

    fn completion(&self, ticket: Ticket) -> Result<Box<Completion>, Trouble> {
        let (_, workers) = self.place()?;
        let (run, output) = (self.id.clone(), self.spec.how.output.clone());
        Ok(Box::new(Completion { ticket, workers, lanes: self.lanes(), run, output }))
    }

    /// What became of the checkpoint under way.
    pub(crate) fn hear_of_checkpoints(&mut self) {
        while let Some((ticket, news)) = self.saving.scribe.news() {
            self.hear(ticket, news);
        }
        if let Some((ticket, Stage::Writing | Stage::Completing)) = self.saving.under_way
            && self.saving.scribe.is_gone()
        {
            self.hear(ticket, News::Failed(CheckpointError::Gone));
        }
    }

    fn hear(&mut self, ticket: Ticket, news: News) {
        let (step, stage) = (ticket.step, self.saving.stage_of(ticket));
        match (news, stage) {
            (News::Written, Some(stage)) => *stage = Stage::Durable,
            // Its generation is over.
            (News::Written, None) => {}
            // It is there, be its generation over or not.
            (News::Completed(completed), stage) => {
                if stage.is_some() {
                    self.saving.under_way = None;
                }
                info!(job = %self.job, %step, "checkpoint saved");
                self.tell(Event::Saved { step, there: completed.there });
            }
            (News::Failed(error), None) => debug!(%step, %error, "a checkpoint that was given up is not written"),
            (News::Failed(error), Some(stage)) => {
                if *stage == Stage::Writing {
                    *stage = Stage::Failed;
                } else {
                    self.saving.under_way = None;
                }
                warn!(job = %self.job, %step, %error, "checkpoint not saved");
                self.tell(Event::Unsaved { step, why: error.to_string() });
            }
        }
    }

    /// Has this written and waits for it: where the state would be lost otherwise.
    fn write_now(&mut self, task: Task, ticket: Ticket) -> Result<Option<Completed>, CheckpointError> {
        self.saving.scribe.give(task);
        while let Some((told, news)) = self.saving.scribe.next_news() {
            match news {
                News::Written if told == ticket => return Ok(None),
                News::Completed(completed) if told == ticket => return Ok(Some(*completed)),
                News::Failed(error) if told == ticket => return Err(error),
                older => self.hear(told, older),
            }
        }
        Err(CheckpointError::Gone)
    }

    pub(crate) fn show(&mut self, rank: Rank) -> Result<(), Trouble> {
        let (step, every) = (self.state.counters.step, self.spec.how.output.samples_every);
        if rank == Rank(0) && every > 0 && step.0.is_multiple_of(every) {
            let folder = self.spec.how.output.dir.join("samples");
            outputs::make(&folder)?;
            let samples = self.pantry.samples(outputs::shown())?;
            let path = folder.join(format!("step-{:09}.png", step.0));
            let png = outputs::grid(&self.spec, &self.state, &samples, &path)?;
            outputs::labels(&self.spec.how.output.dir, self.pantry.captions())?;
            self.metrics.picture(step, &png);
        }
        Ok(())
    }

    /// Writes what the run leaves behind. Everybody's parts first; then rank 0 completes; then all know.
    pub(crate) fn seal(&mut self, opening: &Opening, step: Step, ending: &Ending) -> Result<Event, Trouble> {
        let _span = info_span!("seal", generation = %opening.generation, %step).entered();
        let (rank, _) = self.place()?;
        self.saving.give_up();
        let snapshot = self.snapshot(opening, rank)?;
        let ticket = snapshot.ticket;
        self.write_now(Task::Write(snapshot), ticket)?;
        self.desk.faults.at(Point::Seal, step);
        self.meet()?;
        if rank == Rank(0) {
            let completion = self.completion(ticket)?;
            let completed = self.write_now(Task::Complete(completion), ticket)?.ok_or(CheckpointError::Gone)?;
            self.leave_behind(opening, &completed.manifest)?;
            self.tell(Event::Saved { step, there: completed.there });
            info!(job = %self.job, %step, ?ending, "outputs written");
        }
        self.meet()?;
        Ok(Event::Sealed)
    }

    /// Everybody has come this far.
    fn meet(&mut self) -> Result<(), Trouble> {
        let listening = Listening::to(self.desk.mailbox, self.member);
        self.link.as_mut().ok_or_else(no_link)?.gather(&[1], &listening)?;
        Ok(())
    }

    fn leave_behind(&self, opening: &Opening, manifest: &Manifest) -> Result<(), Trouble> {
        let samples = self.pantry.samples(outputs::shown())?;
        let hashes = outputs::leave(&self.spec, &self.state, &samples, &self.metrics)?;
        outputs::labels(&self.spec.how.output.dir, self.pantry.captions())?;
        let hash = |file: &str| hashes.iter().find(|(name, _)| *name == file).map(|(_, hash)| hash.to_string());
        let Counters { step, progress, .. } = &self.state.counters;
        let rows = self.metrics.read()?;
        let committed = |phase: Phase| rows.iter().filter(|row| row.phase == phase && !row.skipped).count() as u64;
        let slots = self.schedule.slots(progress);
        let (offered, lanes) = (progress.offered, u64::from(self.lanes()));
        outputs::summary(
            &self.spec.how.output.dir,
            &outputs::Summary {
                name: self.spec.name.clone(),
                steps: step.0,
                updates: outputs::Updates {
                    pretrain_refiner: committed(Phase::PretrainRefiner),
                    pretrain_discriminator: committed(Phase::PretrainDiscriminator),
                    refiner: committed(Phase::Refiner),
                    discriminator: committed(Phase::Discriminator),
                },
                refiner_sha256: hash("refiner.safetensors").unwrap_or_default(),
                discriminator_sha256: hash("discriminator.safetensors").unwrap_or_default(),
                state_sha256: manifest.state_sha256.to_string(),
                trace_sha256: manifest.trace_sha256.to_string(),
                history: outputs::HistoryFigures {
                    capacity: u64::from(slots.capacity) * lanes,
                    offered: offered * lanes,
                    drawn: progress.drawn * lanes,
                    replaced: (offered - u64::from(slots.occupied)) * lanes,
                },
                steps_redone: opening.so_far.steps_redone + self.redone,
                steps_skipped: progress.skipped,
                exact: true,
                fingerprint: self.id.fingerprint.clone(),
                threads: self.spec.what.threads,
                lambda: self.spec.what.train.lambda,
                spec_sha256: self.id.spec.to_string(),
                data_sha256: self.id.data.to_string(),
                images_per_second: self.pace.steps_per_second() * f64::from(self.spec.what.train.batch),
                workers_seen: opening.so_far.workers_seen,
                generations: opening.so_far.generations,
                imbalance: balance::imbalance(&metrics::at_the_end(&rows), &self.spec.what, *step)
                    .map(|found| found.to_string()),
            },
        )?;
        Ok(())
    }
}
