//! How this process and its machine are, measured now and then for people. It refuses to know who asks, and decides nothing.

use nvml_wrapper::{Nvml, enum_wrappers::device::TemperatureSensor};
use std::process;
use sumac_common::vitals::{Gpu, Vitals};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};

/// Looks at the same process and machine again and again: how busy something is shows between two looks.
pub struct Watch {
    /// `None` on a system that the library does not know.
    system: Option<System>,
    me: Pid,
    /// Where there is a driver. It is opened at run time, so that one binary serves machines with and without.
    driver: Option<Nvml>,
}

impl Default for Watch {
    fn default() -> Self {
        let kinds = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(kinds.with_cpu(CpuRefreshKind::nothing())).ok();
        Self { system, me: Pid::from_u32(process::id()), driver: Nvml::init().ok() }
    }
}

impl Watch {
    pub fn look(&mut self) -> Vitals {
        let gpus = self.driver.as_ref().map(gpus).unwrap_or_default();
        let Some(system) = &mut self.system else { return Vitals { gpus, ..Vitals::default() } };
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let what = ProcessRefreshKind::nothing().with_memory().with_cpu();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[self.me]), false, what);
        let me = system.process(self.me);
        Vitals {
            process_bytes: me.map_or(0, sysinfo::Process::memory),
            process_cores: me.map_or(0.0, |me| f64::from(me.cpu_usage()) / 100.0),
            cores: u32::try_from(system.cpus().len()).unwrap_or(u32::MAX),
            load: System::load_average().map_or(0.0, |load| load.one),
            memory_used: system.used_memory(),
            memory_total: system.total_memory(),
            gpus,
        }
    }
}

/// The driver's version and the cards it sees; no driver, no cards.
#[must_use]
pub fn cards() -> (Option<String>, Vec<Gpu>) {
    match Nvml::init() {
        Ok(driver) => (Some(driver.sys_driver_version().unwrap_or_else(|_| "of no version".to_owned())), gpus(&driver)),
        Err(_) => (None, Vec::new()),
    }
}

/// A figure that a card does not give is zero.
fn gpus(driver: &Nvml) -> Vec<Gpu> {
    let count = driver.device_count().unwrap_or(0);
    let gpu = |device: nvml_wrapper::Device<'_>| {
        let memory = device.memory_info().ok();
        Gpu {
            name: device.name().unwrap_or_default(),
            busy: device.utilization_rates().map_or(0.0, |rates| f64::from(rates.gpu) / 100.0),
            memory_used: memory.as_ref().map_or(0, |memory| memory.used),
            memory_total: memory.as_ref().map_or(0, |memory| memory.total),
            temperature: device.temperature(TemperatureSensor::Gpu).unwrap_or(0),
            watts: device.power_usage().map_or(0.0, |milliwatts| f64::from(milliwatts) / 1_000.0),
        }
    };
    (0..count).filter_map(|index| driver.device_by_index(index).ok().map(gpu)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen_with_its_memory_and_its_work() {
        let mut watch = Watch::default();
        let first = watch.look();
        assert!(first.process_bytes > 1 << 20 && first.process_bytes < first.memory_total, "{first:?}");
        assert!(first.memory_used < first.memory_total && first.cores > 0, "{first:?}");
        // Two looks that are nearer to each other than the clock of processes ticks say nothing.
        let works = |_: u32| {
            let begun = std::time::Instant::now();
            while begun.elapsed() < 2 * sysinfo::MINIMUM_CPU_UPDATE_INTERVAL {
                std::hint::black_box((0..100_000_u64).fold(0_u64, |sum, x| sum ^ x.wrapping_mul(3)));
            }
            watch.look().process_cores
        };
        let seen = (0..20).map(works).any(|cores| cores > 0.1);
        assert!(seen, "a process that works without a pause is not seen to work");
    }
}
