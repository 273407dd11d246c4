//! What a step is: step -> phase -> diet.
//!
//! | phase | synthetic | real | history |
//! |---|---|---|---|
//! | pretrain refiner, refiner | b | 0 | |
//! | pretrain discriminator, discriminator | b/2 (b while a lane's slots are too few) | b | draw b/2, then replace b/2 by the fresh ones |
//!
//! All of it is known ahead, so that images can be fetched before they are needed. Knows nothing of images and networks.

use crate::{
    history::Slots,
    ids::{Lane, SampleId, Step},
    lanes,
    order::{Order, SAMPLES_MAX},
    random::{self, Stream},
    spec::Train,
};
use serde::{Deserialize, Serialize};
use std::{fmt, ops::Range};

/// One of the two networks: a step updates exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    Refiner,
    Discriminator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Self-regularisation alone.
    PretrainRefiner,
    PretrainDiscriminator,
    /// A refiner update of a cycle of Algorithm 1.
    Refiner,
    /// A discriminator update of a cycle.
    Discriminator,
}

impl Phase {
    #[must_use]
    pub fn network(self) -> Network {
        match self {
            Self::PretrainRefiner | Self::Refiner => Network::Refiner,
            Self::PretrainDiscriminator | Self::Discriminator => Network::Discriminator,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::PretrainRefiner => "pretrain refiner",
            Self::PretrainDiscriminator => "pretrain discriminator",
            Self::Refiner => "refiner",
            Self::Discriminator => "discriminator",
        })
    }
}

/// How far a run has come: part of the replicated state, saved and copied with it.
///
/// As long as no step is skipped all of it is a function of the step. A skipped discriminator step writes no history, so
/// the steps after it may eat differently: that is why it is carried and not computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Next position in the stream of synthetic images.
    pub synthetic: u64,
    /// Next position in the stream of real images.
    pub real: u64,
    /// Images offered to each lane's history so far (all lanes are offered the same number).
    pub offered: u64,
    /// Images each lane drew from its history so far.
    pub drawn: u64,
    /// Steps committed without an update, because a gradient was not finite.
    pub skipped: u64,
    /// How many of them stand together at the end.
    pub skipped_in_a_row: u32,
}

impl Progress {
    /// After the step was committed. A skipped one has eaten its images like any other (D-1), but offers none to the history.
    #[must_use]
    pub fn after(&self, plan: &Plan, skipped: bool) -> Self {
        Self {
            synthetic: plan.synthetic.end,
            real: plan.real.end,
            offered: self.offered + if skipped { 0 } else { plan.offered.into() },
            drawn: self.drawn + u64::from(plan.drawn),
            skipped: self.skipped + u64::from(skipped),
            skipped_in_a_row: if skipped { self.skipped_in_a_row + 1 } else { 0 },
        }
    }
}

/// What a step eats, the whole batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub step: Step,
    pub phase: Phase,
    /// Positions in the stream of synthetic images; they are refined in this step.
    pub synthetic: Range<u64>,
    /// Positions in the stream of real images.
    pub real: Range<u64>,
    /// History images each lane draws.
    pub drawn: u32,
    /// Of its fresh refined images, the first so many are offered to each lane's history.
    pub offered: u32,
}

impl Plan {
    #[must_use]
    pub fn network(&self) -> Network {
        self.phase.network()
    }

    /// Refined images that count in the loss of the whole batch, fresh and drawn.
    #[must_use]
    pub fn refined(&self, lanes: u32) -> u64 {
        self.synthetic.end - self.synthetic.start + u64::from(self.drawn) * u64::from(lanes)
    }
}

/// What one lane eats in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanePlan {
    pub lane: Lane,
    /// To be refined, in order.
    pub synthetic: Vec<SampleId>,
    pub real: Vec<SampleId>,
    /// Slots of the lane's history to draw, before anything is replaced.
    pub draw: Vec<u32>,
    /// Slots that take the first of the fresh refined images, in the same order, once the step is committed.
    pub replace: Vec<u32>,
}

/// Why a job has no schedule. A checked spec and a frozen, non-empty data set always have one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unschedulable {
    #[error("the {which} data set has {n} images; training needs 1 to {SAMPLES_MAX}: look into `data.{which}`")]
    Samples { which: &'static str, n: u64 },
    #[error("{lanes} lanes do not divide half the batch of {batch}: set `train.lanes` to a divisor of {}", batch / 2)]
    UnevenBatch { batch: u32, lanes: u32 },
    #[error(
        "a history of {size} images cannot serve a batch of {batch} in {lanes} lanes: set `train.history.size` to 0 \
         or to a multiple of {lanes} that is at least {batch}"
    )]
    HistorySize { size: u32, batch: u32, lanes: u32 },
    #[error("a cycle without updates never ends: set `train.k_refiner` or `train.k_discriminator` to 1 or more")]
    EmptyCycle,
}

/// The schedule of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    seed: u64,
    lanes: u32,
    /// Images of a batch in one lane: b / V.
    per_lane: u32,
    /// Slots of the history in one lane: B / V; 0 without a history.
    capacity: u32,
    pretrain_refiner: u64,
    pretrain_discriminator: u64,
    k_refiner: u64,
    k_discriminator: u64,
    synthetic: Order,
    real: Order,
}

impl Schedule {
    /// For data sets of `synthetic_n` and `real_n` usable images.
    pub fn new(train: &Train, synthetic_n: u64, real_n: u64) -> Result<Self, Unschedulable> {
        let &Train { seed, batch, lanes, pretrain, k_refiner, k_discriminator, .. } = train;
        let size = train.history.size;
        for (which, n) in [("synthetic", synthetic_n), ("real", real_n)] {
            if !(1..=SAMPLES_MAX).contains(&n) {
                return Err(Unschedulable::Samples { which, n });
            }
        }
        if lanes == 0 || batch == 0 || !batch.is_multiple_of(2) || !(batch / 2).is_multiple_of(lanes) {
            return Err(Unschedulable::UnevenBatch { batch, lanes });
        }
        if size > 0 && (size < batch || !size.is_multiple_of(lanes)) {
            return Err(Unschedulable::HistorySize { size, batch, lanes });
        }
        if k_refiner == 0 && k_discriminator == 0 {
            return Err(Unschedulable::EmptyCycle);
        }
        Ok(Self {
            seed,
            lanes,
            per_lane: batch / lanes,
            capacity: size / lanes,
            pretrain_refiner: pretrain.refiner,
            pretrain_discriminator: pretrain.discriminator,
            k_refiner: k_refiner.into(),
            k_discriminator: k_discriminator.into(),
            synthetic: Order::new(seed, Stream::Synthetic, synthetic_n),
            real: Order::new(seed, Stream::Real, real_n),
        })
    }

    #[must_use]
    pub fn lanes(&self) -> u32 {
        self.lanes
    }

    /// Images of a batch in one lane.
    #[must_use]
    pub fn per_lane(&self) -> u32 {
        self.per_lane
    }

    /// A lane's history at this point.
    #[must_use]
    pub fn slots(&self, progress: &Progress) -> Slots {
        Slots::after(self.capacity, progress.offered)
    }

    /// Pre-training of the refiner, then of the discriminator, then cycles: k_refiner refiner updates, k_discriminator
    /// discriminator updates.
    #[must_use]
    pub fn phase(&self, step: Step) -> Phase {
        if step.0 < self.pretrain_refiner {
            return Phase::PretrainRefiner;
        }
        let step = step.0 - self.pretrain_refiner;
        if step < self.pretrain_discriminator {
            return Phase::PretrainDiscriminator;
        }
        let step = step - self.pretrain_discriminator;
        if step % self.cycle_steps() < self.k_refiner { Phase::Refiner } else { Phase::Discriminator }
    }

    /// Which outer iteration of Algorithm 1 the step belongs to, from 0; `None` in pre-training.
    #[must_use]
    pub fn cycle(&self, step: Step) -> Option<u64> {
        let trained = step.0.checked_sub(self.pretrain_refiner)?.checked_sub(self.pretrain_discriminator)?;
        Some(trained / self.cycle_steps())
    }

    fn cycle_steps(&self) -> u64 {
        self.k_refiner + self.k_discriminator
    }

    /// What `step` eats, from where `progress` stands.
    #[must_use]
    pub fn plan(&self, step: Step, progress: &Progress) -> Plan {
        let phase = self.phase(step);
        let (batch, half) = (self.per_lane, self.per_lane / 2);
        let remembered = self.slots(progress).occupied >= half;
        let (synthetic, real, drawn, offered) = match phase.network() {
            Network::Refiner => (batch, 0, 0, 0),
            Network::Discriminator if self.capacity == 0 => (batch, batch, 0, 0),
            Network::Discriminator if remembered => (half, batch, half, half),
            Network::Discriminator => (batch, batch, 0, half),
        };
        let of_all = |images: u32| u64::from(images) * u64::from(self.lanes);
        Plan {
            step,
            phase,
            synthetic: progress.synthetic..progress.synthetic + of_all(synthetic),
            real: progress.real..progress.real + of_all(real),
            drawn,
            offered,
        }
    }

    /// The part of `lane` in `plan`, which was made from the same `progress`.
    ///
    /// # Panics
    /// If the run has no such lane.
    #[must_use]
    pub fn lane(&self, plan: &Plan, progress: &Progress, lane: Lane) -> LanePlan {
        let slots = self.slots(progress);
        let share = |batch: &Range<u64>| lanes::share(batch.clone(), self.lanes, lane);
        let chance = |stream| random::stream(self.seed, stream, lane, plan.step);
        LanePlan {
            lane,
            synthetic: self.synthetic.samples(share(&plan.synthetic)),
            real: self.real.samples(share(&plan.real)),
            draw: slots.draw(&mut chance(Stream::Draw), plan.drawn),
            replace: slots.replace(&mut chance(Stream::Replace), plan.offered),
        }
    }
}
