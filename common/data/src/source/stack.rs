//! Many images of one size in one file: what idx and npy have in common once their headers are read.
//!
//! Records are read by position; nothing of the file's claimed size is allocated before the claim was checked against the
//! file. Knows no header formats.

use super::{SourceError, held::Held};
use crate::{
    decode::{DECODED_BYTES_MAX, Fault, Header, SIDE_MAX},
    picture::{Depth, Picture, Pixels},
};
use serde::{Deserialize, Serialize};
use std::{io, path::Path};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Values {
    U8,
    U16 {
        big_endian: bool,
    },
    /// `lowest..=highest` stand for black and white.
    F32 {
        big_endian: bool,
        lowest: f32,
        highest: f32,
    },
}

impl Values {
    fn bytes(self) -> u64 {
        match self {
            Self::U8 => 1,
            Self::U16 { .. } => 2,
            Self::F32 { .. } => 4,
        }
    }
}

/// How the axes of one image follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axes {
    /// `[height, width, channels]`
    ChannelsLast,
    /// `[channels, height, width]`
    ChannelsFirst,
}

#[derive(Clone, Debug)]
pub(super) struct Stack {
    /// Of its array in an npz.
    pub name: String,
    pub held: Held,
    /// Bytes before the first record.
    pub offset: u64,
    pub count: u64,
    pub height: u32,
    pub width: u32,
    pub channels: u32,
    pub axes: Axes,
    pub values: Values,
}

/// Most images of one stack: each is listed.
const COUNT_MAX: u64 = 100_000_000;

/// What a header claims: `count` images of `height x width x channels` values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub count: u64,
    pub height: u64,
    pub width: u64,
    pub channels: u64,
    pub value_bytes: u64,
}

impl Claim {
    /// Bytes of all records, if the claim is believable at all.
    pub(super) fn bytes(self, path: &Path) -> Result<u64, SourceError> {
        let side = 1..=u64::from(SIDE_MAX);
        let damaged = |what: String| SourceError::Damaged { path: path.to_owned(), what };
        if !side.contains(&self.height) || !side.contains(&self.width) || !(1..=64).contains(&self.channels) {
            let Self { height, width, channels, .. } = self;
            return Err(damaged(format!("its header claims images of {width}x{height} pixels in {channels} channels")));
        }
        let record = self.height * self.width * self.channels * self.value_bytes;
        if record > DECODED_BYTES_MAX {
            return Err(damaged(format!("its header claims images of {record} bytes each")));
        }
        record.checked_mul(self.count).filter(|_| self.count <= COUNT_MAX).ok_or_else(|| {
            damaged(format!("its header claims {} images, and {COUNT_MAX} are listed at most", self.count))
        })
    }

    /// The claim held against what is there.
    pub(super) fn check(self, path: &Path, there: u64) -> Result<(), SourceError> {
        let wanted = self.bytes(path)?;
        if there < wanted {
            return Err(SourceError::StackCutShort { path: path.to_owned(), count: self.count, wanted, there });
        }
        Ok(())
    }
}

impl Stack {
    pub(super) fn record_bytes(&self) -> u64 {
        u64::from(self.height) * u64::from(self.width) * u64::from(self.channels) * self.values.bytes()
    }

    /// The same for every image in it.
    pub(super) fn header(&self) -> Header {
        let depth = match self.values {
            Values::U8 => Depth::U8,
            Values::U16 { .. } => Depth::U16,
            Values::F32 { .. } => Depth::F32,
        };
        Header { width: self.width, height: self.height, channels: self.channels, has_alpha: false, depth }
    }

    pub(super) fn record(&self, at: u64) -> io::Result<Vec<u8>> {
        let mut record = vec![0; self.record_bytes() as usize];
        self.held.read(&mut record, self.offset + at * self.record_bytes())?;
        Ok(record)
    }

    pub(super) fn picture(&self, record: &[u8]) -> Result<Picture, Fault> {
        let pixels = match self.values {
            Values::U8 => Pixels::U8(self.channels_last(record.to_vec())),
            Values::U16 { big_endian } => {
                let value = if big_endian { u16::from_be_bytes } else { u16::from_le_bytes };
                Pixels::U16(self.channels_last(record.as_chunks().0.iter().map(|&v| value(v)).collect()))
            }
            Values::F32 { big_endian, lowest, highest } => {
                let values: Vec<f32> = floats(record, big_endian).map(|v| (v - lowest) / (highest - lowest)).collect();
                if values.iter().any(|value| !value.is_finite()) {
                    return Err(Fault::NotFinite);
                }
                Pixels::F32(self.channels_last(values))
            }
        };
        Ok(Picture::opaque(self.width, self.height, self.channels, pixels))
    }

    /// The record that reads back as `picture`: [`Self::picture`] the other way round.
    pub(super) fn record_of(&self, picture: &Picture) -> Result<Vec<u8>, Fault> {
        let (found, wanted) = ((picture.width, picture.height), (self.width, self.height));
        if found != wanted {
            return Err(Fault::Size { found, wanted });
        }
        if picture.channels != self.channels {
            return Err(Fault::Channels { found: picture.channels, wanted: self.channels });
        }
        match (&picture.pixels, self.values) {
            (Pixels::U8(values), Values::U8) => Ok(self.own_axes(values)),
            (Pixels::U16(values), Values::U16 { big_endian }) => {
                let bytes = if big_endian { u16::to_be_bytes } else { u16::to_le_bytes };
                Ok(self.own_axes(values).into_iter().flat_map(bytes).collect())
            }
            (Pixels::F32(values), Values::F32 { big_endian, lowest, highest }) => {
                let bytes = if big_endian { f32::to_be_bytes } else { f32::to_le_bytes };
                let values = self.own_axes(values).into_iter();
                Ok(values.flat_map(|value| bytes(value * (highest - lowest) + lowest)).collect())
            }
            _ => Err(Fault::Damaged("its values are not of the stack's own depth".to_owned())),
        }
    }

    /// From channels last to the order of the stack.
    fn own_axes<V: Copy>(&self, values: &[V]) -> Vec<V> {
        if self.axes == Axes::ChannelsLast || self.channels == 1 {
            return values.to_vec();
        }
        let channels = self.channels as usize;
        (0..channels).flat_map(|channel| values[channel..].iter().step_by(channels)).copied().collect()
    }

    fn channels_last<V: Copy>(&self, values: Vec<V>) -> Vec<V> {
        if self.axes == Axes::ChannelsLast || self.channels == 1 {
            return values;
        }
        let plane = values.len() / self.channels as usize;
        (0..plane).flat_map(|pixel| values[pixel..].iter().step_by(plane)).copied().collect()
    }
}

pub(super) fn floats(record: &[u8], big_endian: bool) -> impl Iterator<Item = f32> {
    let value = if big_endian { f32::from_be_bytes } else { f32::from_le_bytes };
    record.as_chunks().0.iter().map(move |&v| value(v))
}
