//! One npy array, in a file of its own or inside an npz: what its header claims, and one record of its first axis at a time.
//!
//! Nothing of the claimed size is allocated before the claim was held against what is there. Knows nothing of which array
//! holds images and which their labels. Source: numpy, "The .npy format" (NEP 1).

use super::{
    Piece, SourceError, Unread,
    held::Held,
    stack::{Axes, Claim, Stack, Values, floats},
};
use crate::decode::{Fault, LABEL_BYTES_MAX};
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};
use std::{
    io::Cursor,
    panic::catch_unwind,
    path::{Path, PathBuf},
};

/// A header is a line of text; anything longer is not one.
const HEADER_BYTES_MAX: u64 = 64 << 10;
/// A whole number above this is no class.
const CLASS_MAX: u64 = 65_535;
const MAGIC: &[u8] = b"\x93NUMPY";

/// Whether a file starts like an npy file.
pub(super) fn is_npy(start: &[u8]) -> bool {
    start.starts_with(MAGIC)
}

#[derive(Clone, Debug)]
pub(super) struct Array {
    /// Without its ending.
    pub name: String,
    /// Its file; in an npz, the npz and its name.
    pub path: PathBuf,
    held: Held,
    /// Of the first record.
    offset: u64,
    /// Bytes that follow the header.
    there: u64,
    dtype: DType,
    order: Order,
    shape: Vec<u64>,
}

impl Array {
    /// `there` bytes from `begin` on are its own.
    pub(super) fn open(name: String, path: PathBuf, held: Held, begin: u64, there: u64) -> Result<Self, SourceError> {
        let mut start = vec![0; there.min(HEADER_BYTES_MAX) as usize];
        held.read(&mut start, begin).map_err(|source| SourceError::unreadable(&path, source))?;
        let (header, length) = header(&start).map_err(|what| SourceError::Damaged { path: path.clone(), what })?;
        let (dtype, order, shape) = (header.dtype(), header.order(), header.shape().to_vec());
        Ok(Self { name, path, held, offset: begin + length, there: there - length, dtype, order, shape })
    }

    /// Of so many values of the type `descr`, all of which `held` has.
    #[cfg(feature = "hdf5")]
    pub(super) fn of(
        name: String,
        path: PathBuf,
        held: Held,
        descr: &str,
        shape: Vec<u64>,
    ) -> Result<Self, SourceError> {
        let damaged = |what: String| SourceError::Damaged { path: path.clone(), what };
        let dtype = descr.parse().map(DType::Plain).map_err(|_| damaged(format!("`{descr}` is no type of values")))?;
        let bytes = dtype
            .num_bytes()
            .and_then(|bytes| shape.iter().try_fold(bytes as u64, |bytes, &axis| bytes.checked_mul(axis)));
        let there = bytes.ok_or_else(|| damaged(format!("its shape {shape:?} makes no sense")))?;
        Ok(Self { name, path, held, offset: 0, there, dtype, order: Order::C, shape })
    }

    /// The length of the first axis.
    pub(super) fn count(&self) -> Option<u64> {
        self.shape.first().copied()
    }

    pub(super) fn looks_like_images(&self) -> bool {
        matches!(self.shape.len(), 3 | 4) && values(&self.dtype).is_some()
    }

    /// What its floating-point values stand for is told by all of them, unless it is `known`.
    pub(super) fn into_stack(self, known: Option<Values>) -> Result<Stack, SourceError> {
        let Self { name, path, held, offset, there, dtype, order, shape } = self;
        let (value_bytes, values) =
            values(&dtype).ok_or_else(|| SourceError::ValueKind { path: path.clone(), found: dtype.descr() })?;
        if order == Order::Fortran {
            return Err(SourceError::FortranOrder { path });
        }
        let few = |axis: u64| matches!(axis, 1 | 3 | 4);
        let (count, height, width, channels, axes) = match shape[..] {
            [count, height, width] => (count, height, width, 1, Axes::ChannelsLast),
            [count, height, width, channels] if few(channels) => (count, height, width, channels, Axes::ChannelsLast),
            [count, channels, height, width] if few(channels) => (count, height, width, channels, Axes::ChannelsFirst),
            [count, height, width, channels] => (count, height, width, channels, Axes::ChannelsLast),
            _ => {
                let what = format!("its shape is {shape:?}, not (N, H, W), (N, H, W, C) or (N, C, H, W)");
                return Err(SourceError::Damaged { path, what });
            }
        };
        let claim = Claim { count, height, width, channels, value_bytes };
        claim.check(&path, there)?;
        let (height, width, channels) = (height as u32, width as u32, channels as u32);
        let stack = Stack { name, held, offset, count, height, width, channels, axes, values };
        let Values::F32 { big_endian, .. } = values else { return Ok(stack) };
        let values = match known {
            Some(values @ Values::F32 { .. }) => values,
            _ => range(&stack, big_endian, &path)?,
        };
        Ok(Stack { values, ..stack })
    }

    /// As labels of so many images: one record each, all of them there.
    pub(super) fn into_labels(self, images: u64) -> Result<Labels, SourceError> {
        let labels = self.count().unwrap_or_default();
        if labels != images {
            return Err(SourceError::LabelCount { path: self.path, labels, images });
        }
        if self.order == Order::Fortran && self.shape.len() > 1 {
            return Err(SourceError::FortranOrder { path: self.path });
        }
        let damaged = |what: String| SourceError::Damaged { path: self.path.clone(), what };
        if self.dtype.uses_pickled_array() {
            return Err(damaged("it holds Python objects, which are not read".to_owned()));
        }
        let value_bytes = self.dtype.num_bytes().ok_or_else(|| damaged("its values have no one size".to_owned()))?;
        let record = self.shape.iter().skip(1).try_fold(value_bytes as u64, |bytes, &axis| bytes.checked_mul(axis));
        let whole = record.and_then(|record| record.checked_mul(labels)).filter(|&bytes| bytes <= self.there);
        let (Some(record_bytes), Some(_)) = (record, whole) else {
            return Err(damaged("it ends before its last label".to_owned()));
        };
        Ok(Labels { record_bytes, array: self })
    }
}

/// An array that has a record for each image.
#[derive(Clone, Debug)]
pub(super) struct Labels {
    record_bytes: u64,
    array: Array,
}

impl Labels {
    pub(super) fn name(&self) -> &str {
        &self.array.name
    }

    /// The record of one image, as an npy of its own: the same bytes behind a header of their own.
    pub(super) fn piece(&self, at: u64) -> Result<Piece, Unread> {
        let ending = format!("{}.npy", self.array.name);
        if self.record_bytes > LABEL_BYTES_MAX {
            return Err(Unread::Fault(Fault::LabelTooBig { name: ending, bytes: self.record_bytes }));
        }
        let bytes = npy(&self.array.dtype.descr(), &self.array.shape[1..], &self.record(at)?);
        Ok(Piece { ending, bytes: bytes.map_err(Unread::Fault)? })
    }

    /// The class of each image, if whole numbers that can be classes is what it holds.
    pub(super) fn classes(&self) -> Result<Option<Vec<u32>>, SourceError> {
        let DType::Plain(kind) = &self.array.dtype else { return Ok(None) };
        let whole = matches!(kind.type_char(), TypeChar::Uint | TypeChar::Int | TypeChar::Bool);
        if !whole || self.record_bytes != kind.size_field() || self.record_bytes > 8 {
            return Ok(None);
        }
        let mut classes = Vec::new();
        for at in 0..self.array.count().unwrap_or_default() {
            let mut digits = self.record(at).map_err(|unread| match unread {
                Unread::Io { path, source } => SourceError::Unreadable { path, source },
                Unread::Fault(fault) => SourceError::Damaged { path: self.array.path.clone(), what: fault.to_string() },
            })?;
            if kind.endianness() != Endianness::Big {
                digits.reverse();
            }
            let below_nought = kind.type_char() == TypeChar::Int && digits[0] >= 0x80;
            let value = digits.iter().fold(0, |value: u64, &digit| value << 8 | u64::from(digit));
            if below_nought || value > CLASS_MAX {
                return Ok(None);
            }
            classes.push(value as u32);
        }
        Ok(Some(classes))
    }

    fn record(&self, at: u64) -> Result<Vec<u8>, Unread> {
        let mut record = vec![0; self.record_bytes as usize];
        let read = self.array.held.read(&mut record, self.array.offset + at * self.record_bytes);
        read.map_err(|source| Unread::Io { path: self.array.path.clone(), source })?;
        Ok(record)
    }
}

/// Values as an npy file; `descr` as it stands in the header, in quotes where it is one type.
pub(super) fn npy(descr: &str, shape: &[u64], values: &[u8]) -> Result<Vec<u8>, Fault> {
    let axes: Vec<String> = shape.iter().map(u64::to_string).collect();
    let comma = if axes.len() == 1 { "," } else { "" };
    let text = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': ({}{comma}), }}", axes.join(", "));
    // The whole header is a multiple of 64 bytes and ends its line.
    let text = format!("{text:<width$}\n", width = (text.len() + 11).next_multiple_of(64) - 11);
    let Ok(length) = u16::try_from(text.len()) else {
        return Err(Fault::Damaged("the names of its fields are too long".to_owned()));
    };
    Ok([MAGIC, &[1, 0], &length.to_le_bytes(), text.as_bytes(), values].concat())
}

/// The header, and how many bytes it takes.
fn header(start: &[u8]) -> Result<(NpyHeader, u64), String> {
    // The version 2 header gives its length in four bytes: held against what was read before anybody allocates it.
    let length = match start {
        [_, _, _, _, _, _, 1, _, low, high, ..] => 10 + usize::from(u16::from_le_bytes([*low, *high])),
        [_, _, _, _, _, _, 2 | 3, _, a, b, c, d, ..] => 12 + u32::from_le_bytes([*a, *b, *c, *d]) as usize,
        _ => return Err("it does not start like an npy file".to_owned()),
    };
    if length > start.len() {
        return Err("it ends within its header".to_owned());
    }
    // Its reader multiplies the axes unchecked: a hostile shape is caught here.
    let read = catch_unwind(|| NpyHeader::from_reader(Cursor::new(&start[..length])));
    match read {
        Ok(Ok(header)) => Ok((header, length as u64)),
        Ok(Err(error)) => Err(format!("its npy header cannot be read: {error}")),
        Err(_) => Err("its npy header makes no sense".to_owned()),
    }
}

fn values(dtype: &DType) -> Option<(u64, Values)> {
    let DType::Plain(kind) = dtype else { return None };
    let big_endian = kind.endianness() == Endianness::Big;
    match (kind.type_char(), kind.size_field()) {
        (TypeChar::Uint, 1) => Some((1, Values::U8)),
        (TypeChar::Uint, 2) => Some((2, Values::U16 { big_endian })),
        (TypeChar::Float, 4) => Some((4, Values::F32 { big_endian, lowest: 0.0, highest: 1.0 })),
        _ => None,
    }
}

/// Floating-point images come as 0..=1, -1..=1 or 0..=255; which one is told by the whole stack, never by one image.
fn range(stack: &Stack, big_endian: bool, path: &Path) -> Result<Values, SourceError> {
    let (mut least, mut most) = (f32::INFINITY, f32::NEG_INFINITY);
    for at in 0..stack.count {
        let record = stack.record(at).map_err(|source| SourceError::unreadable(path, source))?;
        for value in floats(&record, big_endian).filter(|value| value.is_finite()) {
            least = least.min(value);
            most = most.max(value);
        }
    }
    let (lowest, highest) = match (least, most) {
        (0.0.., ..=1.0) => (0.0, 1.0),
        (-1.0.., ..=1.0) => (-1.0, 1.0),
        (0.0.., ..=255.0) => (0.0, 255.0),
        // No finite value at all: every image will say so itself.
        (f32::INFINITY, _) => (0.0, 1.0),
        _ => return Err(SourceError::ValueRange { path: path.to_owned(), least, most }),
    };
    Ok(Values::F32 { big_endian, lowest, highest })
}
