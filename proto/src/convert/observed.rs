//! What people watch: vitals and lines of logs.

use super::{BadWire, present};
use crate::v1;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use sumac_common::{
    ids::{Generation, JobId, Step},
    logging::{Level, Line},
    vitals::{Gpu, Vitals},
};

impl From<Vitals> for v1::Vitals {
    fn from(vitals: Vitals) -> Self {
        let Vitals { process_bytes, process_cores, cores, load, memory_used, memory_total, gpus } = vitals;
        let gpus = gpus.into_iter().map(Into::into).collect();
        Self { process_bytes, process_cores, cores, load, memory_used, memory_total, gpus }
    }
}

impl From<v1::Vitals> for Vitals {
    fn from(vitals: v1::Vitals) -> Self {
        let v1::Vitals { process_bytes, process_cores, cores, load, memory_used, memory_total, gpus } = vitals;
        let gpus = gpus.into_iter().map(Into::into).collect();
        Self { process_bytes, process_cores, cores, load, memory_used, memory_total, gpus }
    }
}

impl From<Gpu> for v1::Gpu {
    fn from(gpu: Gpu) -> Self {
        let Gpu { name, busy, memory_used, memory_total, temperature, watts } = gpu;
        Self { name, busy, memory_used, memory_total, temperature, watts }
    }
}

impl From<v1::Gpu> for Gpu {
    fn from(gpu: v1::Gpu) -> Self {
        let v1::Gpu { name, busy, memory_used, memory_total, temperature, watts } = gpu;
        Self { name, busy, memory_used, memory_total, temperature, watts }
    }
}

impl From<Level> for v1::LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

/// `None` where none is said.
impl From<v1::LogLevel> for Option<Level> {
    fn from(level: v1::LogLevel) -> Self {
        match level {
            v1::LogLevel::Unspecified => None,
            v1::LogLevel::Debug => Some(Level::Debug),
            v1::LogLevel::Info => Some(Level::Info),
            v1::LogLevel::Warn => Some(Level::Warn),
            v1::LogLevel::Error => Some(Level::Error),
        }
    }
}

impl From<Line> for v1::LogLine {
    fn from(line: Line) -> Self {
        Self {
            at: Some(wire_time(line.at)),
            level: v1::LogLevel::from(line.level).into(),
            text: line.text,
            job: line.job.map(|job| job.0),
            generation: line.generation.map(|generation| generation.0),
            step: line.step.map(|step| step.0),
        }
    }
}

impl TryFrom<v1::LogLine> for Line {
    type Error = BadWire;

    fn try_from(line: v1::LogLine) -> Result<Self, BadWire> {
        let at = time(present(line.at, "LogLine", "at")?);
        let unknown = BadWire::Unknown { message: "LogLine", field: "level", value: line.level };
        let level = v1::LogLevel::try_from(line.level).ok().and_then(Option::from).ok_or(unknown)?;
        let job = line.job.map(JobId);
        let (generation, step) = (line.generation.map(Generation), line.step.map(Step));
        Ok(Self { at, level, text: line.text, job, generation, step }.cut())
    }
}

pub(super) fn wire_time(at: SystemTime) -> prost_types::Timestamp {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    prost_types::Timestamp { seconds, nanos: since.subsec_nanos().cast_signed() }
}

/// Before 1970 is not said.
pub(super) fn time(at: prost_types::Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::new(at.seconds.max(0).unsigned_abs(), at.nanos.max(0).unsigned_abs())
}
