//! How a machine and a process on it are: for people, at the moment it was said. Decides nothing.

use serde::{Deserialize, Serialize};

/// One worker's process, and the machine it is on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Vitals {
    /// Bytes that the process has in memory.
    pub process_bytes: u64,
    /// Cores that it keeps busy: 1.0 is one of them all the time.
    pub process_cores: f64,
    pub cores: u32,
    /// Processes that want to run, over the last minute.
    pub load: f64,
    /// Bytes of the machine that are in use, and all it has.
    pub memory_used: u64,
    pub memory_total: u64,
    /// Of the machine, whoever uses them.
    pub gpus: Vec<Gpu>,
}

/// As its driver says it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    pub name: String,
    /// Share of the time that a kernel runs, 0..=1.
    pub busy: f64,
    pub memory_used: u64,
    pub memory_total: u64,
    /// Degrees Celsius.
    pub temperature: u32,
    pub watts: f64,
}
