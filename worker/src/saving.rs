//! What a run writes down on its way and at its end: checkpoints, pictures, outputs.
//!
//! When something is to be saved is decided by `sumac_common::checkpoint` and agreed in the tails; what a file looks like is
//! known to `checkpoints` and `outputs`. It refuses to know how a step is computed.

use crate::{
    faults::Point,
    history::Slots,
    learner::Learner,
    link::{Dial, Flat},
    outputs,
    state::Counters,
    train::{Listening, Run, Trouble, no_link},
};
use std::time::Instant;
use sumac_common::{
    checkpoint::Manifest,
    conversation::{Ending, Opening},
    ids::{Lane, Rank, Step},
    lanes,
    member::Event,
    schedule::Phase,
    tail::Agreed,
};
use tracing::{info, info_span};

impl<L, D> Run<'_, L, D>
where
    L: Learner,
    L::Sum: Flat,
    D: Dial<L::Sum>,
{
    /// Writes this member's part of a checkpoint that was wished for, and completes the one whose parts all are durable.
    pub(crate) fn save(&mut self, rank: Rank, agreed: &Agreed) -> Result<(), Trouble> {
        if let Some(step) = agreed.durable {
            self.durable = None;
            if rank == Rank(0) {
                self.checkpoints.complete(step, self.lanes(), &self.id)?;
                self.tell(Event::Saved(step));
            }
        }
        if agreed.wishes.snapshot {
            self.save_parts(rank)?;
            self.durable = Some(self.state.counters.step);
            self.last_saved = Instant::now();
        }
        Ok(())
    }

    fn save_parts(&self, rank: Rank) -> Result<(), Trouble> {
        let step = self.state.counters.step;
        let (_, workers) = self.place()?;
        if rank == Rank(0) {
            self.checkpoints.save_replicated(&self.state)?;
        }
        let nothing = Slots::default();
        for lane in lanes::owned(self.lanes(), workers, rank).map(Lane) {
            self.checkpoints.save_lane(step, lane, self.state.lanes.get(&lane).unwrap_or(&nothing))?;
        }
        Ok(())
    }

    pub(crate) fn show(&mut self, rank: Rank) -> Result<(), Trouble> {
        let (step, every) = (self.state.counters.step, self.spec.how.output.samples_every);
        if rank == Rank(0) && every > 0 && step.0.is_multiple_of(every) {
            let folder = self.spec.how.output.dir.join("samples");
            outputs::make(&folder)?;
            let samples = self.pantry.samples(outputs::shown())?;
            outputs::grid(&self.spec, &self.state, &samples, &folder.join(format!("step-{:09}.png", step.0)))?;
        }
        Ok(())
    }

    /// Writes what the run leaves behind. Everybody's parts first; then rank 0 completes; then all know.
    pub(crate) fn seal(&mut self, opening: &Opening, step: Step, ending: &Ending) -> Result<Event, Trouble> {
        let _span = info_span!("seal", generation = %opening.generation, %step).entered();
        let (rank, _) = self.place()?;
        self.save_parts(rank)?;
        self.desk.faults.at(Point::Seal, step);
        self.meet()?;
        if rank == Rank(0) {
            let manifest = self.checkpoints.complete(step, self.lanes(), &self.id)?;
            self.leave_behind(opening, &manifest)?;
            self.tell(Event::Saved(step));
            info!(job = %self.job, %step, ?ending, "outputs written");
        }
        self.meet()?;
        Ok(Event::Sealed)
    }

    /// Everybody has come this far.
    fn meet(&mut self) -> Result<(), Trouble> {
        let listening = Listening { mailbox: self.desk.mailbox, member: self.member };
        self.link.as_mut().ok_or_else(no_link)?.gather(&[1], &listening)?;
        Ok(())
    }

    fn leave_behind(&self, opening: &Opening, manifest: &Manifest) -> Result<(), Trouble> {
        let samples = self.pantry.samples(outputs::shown())?;
        let hashes = outputs::leave(&self.spec, &self.state, &samples, &self.metrics)?;
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
                spec_sha256: self.id.spec.to_string(),
                data_sha256: self.id.data.to_string(),
                images_per_second: self.pace.steps_per_second() * f64::from(self.spec.what.train.batch),
                workers_seen: opening.so_far.workers_seen,
                generations: opening.so_far.generations,
            },
        )?;
        Ok(())
    }
}
