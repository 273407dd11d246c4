//! One npy file that holds a whole stack: (N,H,W), (N,H,W,C) or (N,C,H,W) of uint8, uint16 or float32.

use super::{
    SourceError,
    stack::{Axes, Claim, Held, Stack, Values, floats},
};
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};
use std::{
    fs::File,
    io::{Cursor, Read},
    panic::catch_unwind,
    path::Path,
};

/// A header is a line of text; anything longer is not one.
const HEADER_BYTES_MAX: usize = 64 << 10;
const MAGIC: &[u8] = b"\x93NUMPY";

/// Whether a file starts like an npy file.
pub(super) fn is_npy(start: &[u8]) -> bool {
    start.starts_with(MAGIC)
}

pub(super) fn stack(path: &Path) -> Result<Stack, SourceError> {
    let unreadable = |source| SourceError::unreadable(path, source);
    let damaged = |what: String| SourceError::Damaged { path: path.to_owned(), what };
    let file = File::open(path).map_err(unreadable)?;
    let mut start = Vec::new();
    (&file).take(HEADER_BYTES_MAX as u64).read_to_end(&mut start).map_err(unreadable)?;
    let (header, offset) = header(&start).map_err(damaged)?;
    let (value_bytes, mut values) = values(&header.dtype())
        .ok_or_else(|| SourceError::ValueKind { path: path.to_owned(), found: header.dtype().descr() })?;
    if header.order() == Order::Fortran {
        return Err(SourceError::FortranOrder { path: path.to_owned() });
    }
    let few = |axis: u64| matches!(axis, 1 | 3 | 4);
    let (count, height, width, channels, axes) = match *header.shape() {
        [count, height, width] => (count, height, width, 1, Axes::ChannelsLast),
        [count, height, width, channels] if few(channels) => (count, height, width, channels, Axes::ChannelsLast),
        [count, channels, height, width] if few(channels) => (count, height, width, channels, Axes::ChannelsFirst),
        [count, height, width, channels] => (count, height, width, channels, Axes::ChannelsLast),
        ref other => {
            return Err(damaged(format!("its shape is {other:?}, not (N, H, W), (N, H, W, C) or (N, C, H, W)")));
        }
    };
    let claim = Claim { count, height, width, channels, value_bytes };
    claim.check(path, file.metadata().map_err(unreadable)?.len().saturating_sub(offset))?;
    let (height, width, channels) = (height as u32, width as u32, channels as u32);
    if let Values::F32 { big_endian, .. } = values {
        let stack = Stack { held: Held::File(file), offset, count, height, width, channels, axes, values };
        values = range(&stack, big_endian, path)?;
        return Ok(Stack { values, ..stack });
    }
    Ok(Stack { held: Held::File(file), offset, count, height, width, channels, axes, values })
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
