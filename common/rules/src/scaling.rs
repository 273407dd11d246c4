//! How fast a job would train on so many workers, and where the rest goes: a cost model, put together from parts that were measured
//! one by one.
//!
//! A step is over when its slowest member is: the time of a cycle is a sum over its steps of
//!
//! | part | what it is |
//! |---|---|
//! | compute | the lanes of a worker, V / N of them, a lane's time going with its arithmetic |
//! | waiting | for whoever has a lane more, ceil(V / N); of workers beyond V, for all |
//! | guard | a worker's staged images to the next one, in discriminator steps |
//! | reduce | the gradient: N rounds, and (N - 1) / N of it for each subtree that a worker sends and once for the sum |
//! | data | until images are there: by how many |
//! | optimiser | the update, which every worker makes alike: by the parameters |
//! | regroup | what the members lose together when one dies, by how often one does |
//!
//! Workers that share a machine share its cores, and its wire to other machines. What is left out is said in ARCHITECTURE.md. For
//! people; no run hears of it. Refuses to know how anything was measured.

mod fall;
mod parts;
#[cfg(test)]
mod tests;
mod way;

pub use fall::Fall;
pub use parts::{Exchange, LaneTimes, Measured, Parts, Unfit};
pub use way::Way;

use crate::{arithmetic::Work, spec::What};
use serde::Serialize;
use way::{Traffic, crowding};

/// Bytes of a parameter, and of a value of an image.
const SINGLE: f64 = 4.0;

/// What a cycle of a job asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    pub batch: u32,
    pub lanes: u32,
    pub k_refiner: u32,
    pub k_discriminator: u32,
    /// Arithmetic of a step of either network, per image of the batch.
    refiner_work: f64,
    discriminator_work: f64,
    refiner_parameters: f64,
    discriminator_parameters: f64,
    /// Values of an image.
    values: f64,
    /// Whether staged images go to a guard.
    is_guarded: bool,
}

/// Where the workers are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machines {
    pub cores: u32,
    /// On each; the last machine may have fewer.
    pub workers: u32,
    /// Between machines. What is measured within one comes on top of it: bytes are copied and added up whatever brings them. `None`:
    /// nothing comes on top.
    pub wire: Option<Way>,
    /// Of a worker, between two deaths.
    pub hours_between_deaths: f64,
}

/// Where the time of a cycle goes, in microseconds: of a worker on average.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cycle {
    pub compute_us: f64,
    pub waiting_us: f64,
    pub guard_us: f64,
    pub reduce_us: f64,
    pub data_us: f64,
    pub optimiser_us: f64,
    pub regroup_us: f64,
}

impl Cycle {
    #[must_use]
    pub fn us(&self) -> f64 {
        let Self { compute_us, waiting_us, guard_us, reduce_us, data_us, optimiser_us, regroup_us } = *self;
        compute_us + waiting_us + guard_us + reduce_us + data_us + optimiser_us + regroup_us
    }
}

/// Why N workers are not N times as fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// More workers than lanes: some stand by.
    Lanes,
    /// Some have a lane more than others.
    Uneven,
    /// Workers of one machine are in each other's way.
    Cores,
    Guard,
    Reduce,
    Data,
    Optimiser,
    Regroup,
}

/// On so many workers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    pub workers: u32,
    /// That have a lane; the others stand by.
    pub members: u32,
    pub images_per_second: f64,
    /// Over one worker.
    pub speed_up: f64,
    /// Speed-up by worker, 0..=1.
    pub efficiency: f64,
    pub cycle: Cycle,
    /// The share of the workers' time that each cause takes which one worker alone does not know, the largest first; with the
    /// efficiency they add up to 1.
    pub lost: Vec<Loss>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Loss {
    pub cause: Cause,
    pub share: f64,
}

impl Prediction {
    /// What takes most of what is lost, if anything is.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.lost.first().map(|loss| loss.cause)
    }
}

/// A prediction beside what was measured, microseconds of a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Checked {
    pub workers: u32,
    pub predicted_us: f64,
    pub measured_us: f64,
}

impl Checked {
    /// By how much too slow it is predicted, as a share of what was measured; too fast is below zero.
    #[must_use]
    pub fn off(&self) -> f64 {
        self.predicted_us / self.measured_us - 1.0
    }
}

/// The model: parts, and the ways that were fitted to them.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    parts: Parts,
    measured: Load,
    reductions: Way,
    guards: Way,
}

impl Load {
    #[must_use]
    pub fn of(what: &What) -> Self {
        let (model, train, image) = (&what.model, &what.train, what.data.image);
        let work = Work::of(&model.refiner, &model.discriminator, image);
        // Without a history the discriminator sees, and the refiner refines, a whole fresh batch.
        let is_remembered = train.history.size > 0;
        let more_refined = if is_remembered { 0.0 } else { 0.5 * work.refiner };
        Self {
            batch: train.batch,
            lanes: train.lanes,
            k_refiner: train.k_refiner,
            k_discriminator: train.k_discriminator,
            refiner_work: work.of_refiner_step(),
            discriminator_work: work.of_discriminator_step() + more_refined,
            refiner_parameters: model.refiner.parameters(image.channels) as f64,
            discriminator_parameters: model.discriminator.parameters(image.channels) as f64,
            values: image.len() as f64,
            is_guarded: is_remembered && train.history.replicas > 0,
        }
    }

    /// Of the runs that were measured.
    fn of_parts(parts: &Parts) -> Self {
        let recipe = parts.preset.recipe();
        let work = Work::of(&recipe.refiner, &recipe.discriminator, parts.image);
        Self {
            batch: parts.batch,
            lanes: parts.lanes,
            k_refiner: recipe.k_refiner,
            k_discriminator: recipe.k_discriminator,
            refiner_work: work.of_refiner_step(),
            discriminator_work: work.of_discriminator_step(),
            refiner_parameters: recipe.refiner.parameters(parts.image.channels) as f64,
            discriminator_parameters: recipe.discriminator.parameters(parts.image.channels) as f64,
            values: parts.image.len() as f64,
            is_guarded: true,
        }
    }

    fn lane_images(&self) -> f64 {
        f64::from(self.batch) / f64::from(self.lanes)
    }

    /// Updates of refiner and discriminator.
    fn steps(&self) -> [f64; 2] {
        [self.k_refiner, self.k_discriminator].map(f64::from)
    }

    /// What a cycle's updates change, a mean.
    fn parameters_of_a_step(&self) -> f64 {
        let [refiner, discriminator] = self.steps();
        (refiner * self.refiner_parameters + discriminator * self.discriminator_parameters) / (refiner + discriminator)
    }
}

impl Scaling {
    /// # Errors
    /// The figures are too few to tell what a way is like.
    pub fn of(parts: Parts) -> Result<Self, Unfit> {
        let reductions = Way::of_reductions(&parts.reductions, parts.lanes, parts.cores)?;
        let guards = Way::of_guards(&parts.guards, parts.cores).unwrap_or(reductions);
        Ok(Self { measured: Load::of_parts(&parts), reductions, guards, parts })
    }

    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// That of reductions, as it was fitted.
    #[must_use]
    pub fn way(&self) -> Way {
        self.reductions
    }

    /// By how much the fitted way is off at most, as a share of what was measured.
    #[must_use]
    pub fn off(&self) -> f64 {
        let Parts { lanes, cores, .. } = self.parts;
        let quiet = self.parts.reductions.iter().filter(|exchange| !exchange.busy);
        let off = quiet.map(|Exchange { workers, bytes, us, .. }| {
            let traffic = Traffic::of_reduction(lanes, *workers, *bytes as f64);
            (self.reductions.us(traffic) * crowding(*workers, cores) / us - 1.0).abs()
        });
        off.fold(0.0, f64::max)
    }

    /// # Panics
    /// If there are no workers: nothing trains.
    #[must_use]
    pub fn predict(&self, load: &Load, machines: &Machines, workers: u32) -> Prediction {
        assert!(workers > 0, "a run on no workers has no speed");
        let one = self.cycle(load, machines, 1);
        let cycle = self.cycle(load, machines, workers);
        let images = load.steps().iter().sum::<f64>() * f64::from(load.batch);
        let speed_up = one.us() / cycle.us();
        Prediction {
            workers,
            members: workers.min(load.lanes),
            images_per_second: images / cycle.us() * 1e6,
            speed_up,
            efficiency: speed_up / f64::from(workers),
            cycle,
            lost: lost(load, &one, &cycle, workers),
        }
    }

    /// Measured runs beside what is said of them.
    #[must_use]
    pub fn checked(&self) -> Vec<Checked> {
        let beside = |measured: &Measured| {
            let Parts { cores, .. } = self.parts;
            let here = Machines { cores, workers: measured.workers, wire: None, hours_between_deaths: f64::INFINITY };
            let predicted_us = self.cycle(&self.measured, &here, measured.workers).us();
            Checked { workers: measured.workers, predicted_us, measured_us: measured.us }
        };
        self.parts.cycles.iter().map(beside).collect()
    }

    fn cycle(&self, load: &Load, machines: &Machines, workers: u32) -> Cycle {
        let members = workers.min(load.lanes);
        // On the fullest machine, for which the others wait.
        let together = members.min(machines.workers.max(1));
        let crowding = crowding(together, machines.cores);
        let steps = load.steps();
        let lane_us = self.lane_us(load, machines, together);
        let cycle_us: f64 = lane_us.iter().zip(steps).map(|(us, steps)| us * steps).sum();

        // A machine whose cores are fewer than its workers works through all of their lanes; no lane is done by two.
        let crowded = f64::from(load.lanes) / f64::from(members) * crowding;
        let most = load.lanes.div_ceil(members);
        let until_all_are_done = f64::from(most).max(crowded);
        let compute = crowded * f64::from(members) / f64::from(workers);

        let step = |way: Way, traffic: Traffic| {
            let wire = machines.wire.filter(|_| members > together);
            // All that a machine's workers send goes through one wire.
            let wire_us =
                wire.map_or(0.0, |wire| wire.us(Traffic { bytes: traffic.bytes * f64::from(together), ..traffic }));
            if members == 1 { 0.0 } else { way.us(traffic) * crowding + wire_us }
        };
        let of_a_byte = Traffic::of_reduction(load.lanes, members, 1.0);
        let [refiner, discriminator] = [load.refiner_parameters, load.discriminator_parameters].map(|parameters| {
            step(self.reductions, Traffic { bytes: of_a_byte.bytes * parameters * SINGLE, ..of_a_byte })
        });
        let staged = f64::from(most) * load.lane_images() / 2.0 * load.values * SINGLE;
        let guard = if load.is_guarded { step(self.guards, Traffic::of_guarding(staged)) } else { 0.0 };

        let measured = &self.measured;
        let of_all_steps = crowding * steps.iter().sum::<f64>();
        let fetched = f64::from(most) * load.lane_images() * load.values;
        let data = self.parts.data_us * fetched / (f64::from(measured.batch) * measured.values);
        let optimiser = self.parts.optimiser_us * load.parameters_of_a_step() / measured.parameters_of_a_step();
        let undisturbed = Cycle {
            compute_us: compute * cycle_us,
            waiting_us: (until_all_are_done - compute) * cycle_us,
            guard_us: guard * steps[1],
            reduce_us: refiner * steps[0] + discriminator * steps[1],
            data_us: data * of_all_steps,
            optimiser_us: optimiser * of_all_steps,
            regroup_us: 0.0,
        };
        // Any death stops all members.
        let deaths_per_us = f64::from(members) / (machines.hours_between_deaths * 3.6e9);
        Cycle { regroup_us: undisturbed.us() * deaths_per_us * self.parts.regroup_us, ..undisturbed }
    }

    /// Of a step of either network, where so many workers are on a machine: as it was measured alone and with all cores busy, and in
    /// between in proportion.
    fn lane_us(&self, load: &Load, machines: &Machines, together: u32) -> [f64; 2] {
        let Parts { lane, lane_busy, .. } = self.parts;
        let busy = lane_busy.unwrap_or(lane);
        let others = f64::from(together - 1) / f64::from(machines.cores.max(2) - 1);
        // What is measured may come out faster in company; it is not predicted to.
        let slowed = |alone: f64, busy: f64| alone + (busy - alone).max(0.0) * others.min(1.0);
        let of = |us: f64, work: f64, measured: f64| {
            us * work * load.lane_images() / (measured * self.measured.lane_images())
        };
        [
            of(slowed(lane.refiner_us, busy.refiner_us), load.refiner_work, self.measured.refiner_work),
            of(
                slowed(lane.discriminator_us, busy.discriminator_us),
                load.discriminator_work,
                self.measured.discriminator_work,
            ),
        ]
    }
}

/// The workers' time in a cycle, less what one alone takes for it.
fn lost(load: &Load, one: &Cycle, cycle: &Cycle, workers: u32) -> Vec<Loss> {
    let workers_us = f64::from(workers) * cycle.us();
    let waiting = if workers > load.lanes { Cause::Lanes } else { Cause::Uneven };
    let more = |cause: Cause, of: &dyn Fn(&Cycle) -> f64| Loss {
        cause,
        share: (f64::from(workers) * of(cycle) - of(one)) / workers_us,
    };
    let mut lost = vec![
        more(waiting, &|cycle| cycle.waiting_us),
        more(Cause::Cores, &|cycle| cycle.compute_us),
        more(Cause::Guard, &|cycle| cycle.guard_us),
        more(Cause::Reduce, &|cycle| cycle.reduce_us),
        more(Cause::Data, &|cycle| cycle.data_us),
        more(Cause::Optimiser, &|cycle| cycle.optimiser_us),
        more(Cause::Regroup, &|cycle| cycle.regroup_us),
    ];
    // What is left is rounding.
    lost.retain(|loss| loss.share > 1e-9);
    lost.sort_by(|a, b| b.share.total_cmp(&a.share));
    lost
}
