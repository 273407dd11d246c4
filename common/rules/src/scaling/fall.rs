//! Where more workers no longer pay, why, and what would move that place. In words, for people who plan.

use super::{Cause, Load, Machines, Prediction, Scaling};
use crate::spec::plural;
use std::ops::RangeInclusive;

/// Lanes of which a proposal makes no more, unless there are as many already.
const LANES_USUAL: u32 = 64;
/// A proposal that does not carry so many times as far is none.
const FURTHER: f64 = 1.2;

/// The efficiency falls below a share.
#[derive(Clone, Debug, PartialEq)]
pub struct Fall {
    /// The fewest workers with which it does.
    pub first: Prediction,
    /// The most with which it does not. More than the first, where lanes divide evenly again.
    pub most: u32,
    /// One more than these, if as many were looked at.
    pub beyond: Option<Prediction>,
}

impl Scaling {
    /// Where efficiency falls below `share`, with up to so many workers; `None` if it does not.
    #[must_use]
    pub fn falls_below(&self, load: &Load, machines: &Machines, share: f64, up_to: u32) -> Option<Fall> {
        let with = |workers: u32| self.predict(load, machines, workers);
        let first = (1..=up_to).map(with).find(|prediction| prediction.efficiency < share)?;
        let most = self.reach(load, machines, share, 1..=up_to);
        let beyond = (most < up_to).then(|| with(most + 1));
        Some(Fall { first, most, beyond })
    }

    /// The most workers whose efficiency is not below `share`.
    fn reach(&self, load: &Load, machines: &Machines, share: f64, among: RangeInclusive<u32>) -> u32 {
        among.rev().find(|workers| self.predict(load, machines, *workers).efficiency >= share).unwrap_or(1)
    }

    /// What would keep the efficiency at `share` for more workers than it is now, if something is known. A larger batch makes another
    /// run: that is for people to weigh.
    #[must_use]
    pub fn advice(&self, load: &Load, machines: &Machines, share: f64, up_to: u32) -> Option<String> {
        let Fall { first, most, beyond } = self.falls_below(load, machines, share, up_to)?;
        let cause = beyond.as_ref().unwrap_or(&first).cause()?;
        let reach = |load: &Load, machines: &Machines| self.reach(load, machines, share, 1..=up_to);
        let carries = |reach: u32| f64::from(reach) >= FURTHER * f64::from(most);
        let by_batch = || {
            let times = (LANES_USUAL / load.lanes).max(2);
            let images = load.batch.checked_mul(times)?;
            let more_lanes = Load { batch: images, lanes: load.lanes * times, ..*load };
            let larger_lanes = Load { batch: images, ..*load };
            let [more, larger] = [&more_lanes, &larger_lanes].map(|load| reach(load, machines));
            let (kept, lanes) = if more >= larger { (more, more_lanes.lanes) } else { (larger, load.lanes) };
            carries(kept).then(|| {
                format!(
                    "a batch of {} has {} of {}, and keeps {:.0}% as far as {}; it is another run",
                    plural(images.into(), "image"),
                    plural(lanes.into(), "lane"),
                    plural((images / lanes).into(), "image"),
                    100.0 * share,
                    plural(kept.into(), "worker"),
                )
            })
        };
        let by_cores = || {
            let fewer = if machines.workers > machines.cores { machines.cores } else { 1 };
            let kept = reach(load, &Machines { workers: fewer, ..*machines });
            (fewer < machines.workers && carries(kept)).then(|| {
                let on_each = plural(fewer.into(), "worker");
                let keeps = if fewer == 1 { "keeps" } else { "keep" };
                format!(
                    "{on_each} on each machine {keeps} {:.0}% as far as {}",
                    100.0 * share,
                    plural(kept.into(), "worker")
                )
            })
        };
        let by_wire = || {
            let within = Machines { wire: None, ..*machines };
            let kept = reach(load, &within);
            (machines.wire.is_some() && carries(kept)).then(|| {
                format!(
                    "the network holds it up: one without delay would keep {:.0}% as far as {}",
                    100.0 * share,
                    plural(kept.into(), "worker")
                )
            })
        };
        match cause {
            Cause::Cores => by_cores().or_else(by_batch),
            Cause::Guard | Cause::Reduce => by_wire().or_else(by_batch),
            Cause::Lanes | Cause::Uneven | Cause::Data | Cause::Optimiser | Cause::Regroup => by_batch(),
        }
    }
}

impl Prediction {
    /// Why it is no more, in words.
    #[must_use]
    pub fn why(&self, load: &Load, machines: &Machines) -> String {
        let Self { workers, members, cycle, .. } = self;
        let of_cycle = |us: f64| format!("{:.0}% of a cycle", 100.0 * us / cycle.us());
        let Some(cause) = self.cause() else { return "nothing is lost".to_owned() };
        match cause {
            Cause::Lanes => format!(
                "{} are all there are, and {} by",
                plural(load.lanes.into(), "lane"),
                if workers - members == 1 {
                    "1 worker stands".to_owned()
                } else {
                    format!("{} workers stand", workers - members)
                }
            ),
            Cause::Uneven => format!(
                "{} do not divide evenly, {:.2} each: somebody has {}, and the others wait",
                plural(load.lanes.into(), "lane"),
                f64::from(load.lanes) / f64::from(*members),
                load.lanes.div_ceil(*members),
            ),
            Cause::Cores => format!(
                "{} share the {} of a machine",
                plural(machines.workers.min(*members).into(), "worker"),
                plural(machines.cores.into(), "core")
            ),
            Cause::Guard => format!("handing staged images to the guards takes {}", of_cycle(cycle.guard_us)),
            Cause::Reduce => format!("adding gradients up takes {}", of_cycle(cycle.reduce_us)),
            Cause::Data => format!("waiting for images takes {}", of_cycle(cycle.data_us)),
            Cause::Optimiser => {
                format!("the update, which every worker makes alike, takes {}", of_cycle(cycle.optimiser_us))
            }
            Cause::Regroup => format!(
                "of {} one dies every {:.0} hours, and regrouping takes {}",
                plural((*members).into(), "worker"),
                machines.hours_between_deaths / f64::from(*members),
                of_cycle(cycle.regroup_us)
            ),
        }
    }
}
