//! What a worker computes on: one per process. Knows its name; refuses to know tensors, and how many there are.

use crate::spec;
use std::{fmt, str::FromStr};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    #[default]
    Cpu,
    /// The card of this number among those that the process sees.
    Cuda(u32),
}

/// What a process is asked to compute on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// The first card, if there is one.
    #[default]
    Auto,
    /// A card, whichever.
    Cuda,
    That(Device),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(card) => write!(f, "cuda:{card}"),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cuda => f.write_str("cuda"),
            Self::That(device) => device.fmt(f),
        }
    }
}

impl From<spec::Device> for Wanted {
    fn from(kind: spec::Device) -> Self {
        match kind {
            spec::Device::Auto => Self::Auto,
            spec::Device::Cpu => Self::That(Device::Cpu),
            spec::Device::Cuda => Self::Cuda,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a device: write auto, cpu, cuda or cuda:N, with N the card's number from 0")]
pub struct NoDevice;

impl FromStr for Wanted {
    type Err = NoDevice;

    fn from_str(text: &str) -> Result<Self, NoDevice> {
        match text.split_once(':') {
            None if text == "auto" => Ok(Self::Auto),
            None if text == "cpu" => Ok(Self::That(Device::Cpu)),
            None if text == "cuda" => Ok(Self::Cuda),
            Some(("cuda", card)) => Ok(Self::That(Device::Cuda(card.parse().map_err(|_| NoDevice)?))),
            _ => Err(NoDevice),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_read_as_it_is_written() {
        for word in ["auto", "cpu", "cuda", "cuda:0", "cuda:7"] {
            assert_eq!(word.parse::<Wanted>().unwrap().to_string(), word);
        }
        for wrong in ["gpu", "cuda:", "cuda:-1", "cpu:0", ""] {
            assert_eq!(wrong.parse::<Wanted>(), Err(NoDevice), "{wrong}");
        }
    }
}
