//! The little of Thrift's compact protocol in which a parquet file describes itself: structs of numbered fields, lists, numbers.
//!
//! Read from bytes that may lie: a list is no longer than what follows it, what is passed over is not deeper than a few levels,
//! and nothing is allocated. What is taken here takes as many bytes as the reader behind it will take for it. Knows nothing of
//! which field means what.
//! Source: <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.

const STOP: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
const UUID: u8 = 13;
/// Structs and lists in each other.
const DEPTH_MAX: usize = 32;

/// Bytes from which one thing after the other is read; `None` wherever they end too early or make no sense.
pub(super) struct Compact<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A field of a struct, before its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub id: i16,
    kind: u8,
}

impl Field {
    pub(super) fn is_number(self) -> bool {
        matches!(self.kind, 4..=6)
    }

    pub(super) fn is_text(self) -> bool {
        self.kind == BINARY
    }

    pub(super) fn is_struct(self) -> bool {
        self.kind == STRUCT
    }

    /// Its value is part of its kind.
    pub(super) fn truth(self) -> Option<bool> {
        matches!(self.kind, TRUE | FALSE).then_some(self.kind == TRUE)
    }
}

impl<'a> Compact<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub(super) fn read(&self) -> usize {
        self.at
    }

    /// Every field of a struct goes to `field`, which takes its value or leaves it to be passed over (`Some(false)`).
    pub(super) fn fields(&mut self, mut field: impl FnMut(&mut Self, Field) -> Option<bool>) -> Option<()> {
        let mut id = 0_i16;
        loop {
            let byte = self.byte()?;
            let (delta, kind) = (byte >> 4, byte & 0x0f);
            if kind == STOP {
                return Some(());
            }
            id = match delta {
                0 => i16::try_from(self.signed()?).ok()?,
                delta => id.checked_add(delta.into())?,
            };
            let found = Field { id, kind };
            if !field(self, found)? {
                self.pass(kind, 0)?;
            }
        }
    }

    /// A number, whatever its width.
    pub(super) fn number(&mut self, field: Field) -> Option<i64> {
        if field.is_number() { self.signed() } else { None }
    }

    /// How many structs follow.
    pub(super) fn structs(&mut self, field: Field) -> Option<usize> {
        if field.kind != LIST {
            return None;
        }
        match self.list()? {
            (length, STRUCT) => Some(length),
            (0, _) => Some(0),
            _ => None,
        }
    }

    fn list(&mut self) -> Option<(usize, u8)> {
        let byte = self.byte()?;
        let length = match byte >> 4 {
            15 => usize::try_from(self.unsigned()?).ok()?,
            length => length.into(),
        };
        // Each element takes a byte at least.
        (length <= self.bytes.len() - self.at).then_some((length, byte & 0x0f))
    }

    fn pass(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match kind {
            TRUE | FALSE => Some(()),
            BYTE => self.byte().map(drop),
            4..=6 => self.unsigned().map(drop),
            DOUBLE => self.step(8),
            UUID => self.step(16),
            BINARY => {
                let length = usize::try_from(self.unsigned()?).ok()?;
                self.step(length)
            }
            LIST | SET => {
                let (length, kind) = self.list()?;
                (0..length).try_for_each(|_| self.pass_element(kind, depth + 1))
            }
            MAP => {
                let length = usize::try_from(self.unsigned()?).ok().filter(|&it| it <= self.bytes.len())?;
                let kinds = if length == 0 { 0 } else { self.byte()? };
                (0..length).try_for_each(|_| {
                    self.pass_element(kinds >> 4, depth + 1)?;
                    self.pass_element(kinds & 0x0f, depth + 1)
                })
            }
            STRUCT => loop {
                let byte = self.byte()?;
                if byte & 0x0f == STOP {
                    break Some(());
                }
                if byte >> 4 == 0 {
                    self.signed()?;
                }
                self.pass(byte & 0x0f, depth + 1)?;
            },
            _ => None,
        }
    }

    /// Readers do not agree on how many bytes a truth takes in a list, and nobody writes one where it could be passed over.
    fn pass_element(&mut self, kind: u8, depth: usize) -> Option<()> {
        if matches!(kind, TRUE | FALSE) { None } else { self.pass(kind, depth) }
    }

    fn step(&mut self, length: usize) -> Option<()> {
        self.at = self.at.checked_add(length).filter(|&at| at <= self.bytes.len())?;
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// Seven bits a byte, the lowest first.
    fn unsigned(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let number = self.unsigned()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }
}

/// The first numbers of a stream in the same coding that is no struct: as `DELTA_BINARY_PACKED` begins.
pub(super) fn unsigned<const N: usize>(bytes: &[u8]) -> Option<([u64; N], usize)> {
    let mut stream = Compact::new(bytes);
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = stream.unsigned()?;
    }
    Some((numbers, stream.at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_nobody_asked_for_are_passed_over() {
        // 1: i32 = -3, 2: list of two structs with a binary, 4: bool true, 5: map of one, 9: i64 = 300
        let bytes =
            [0x15, 5, 0x19, 0x2c, 0x18, 1, b'a', 0, 0x18, 0, 0, 0x21, 0x1b, 1, 0x58, 2, 1, b'x', 0x46, 0xd8, 4, 0];
        let mut seen = Vec::new();
        let mut compact = Compact::new(&bytes);
        let all = compact.fields(|compact, field| {
            if field.id == 2 || field.id == 5 {
                return Some(false);
            }
            let value = if let Some(truth) = field.truth() { truth.into() } else { compact.number(field)? };
            seen.push((field.id, value));
            Some(true)
        });
        assert_eq!((all, seen), (Some(()), vec![(1, -3), (4, 1), (9, 300)]));
        assert_eq!(compact.read(), bytes.len());
    }

    #[test]
    fn a_list_longer_than_what_follows_it_is_no_list() {
        let mut compact = Compact::new(&[0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 7, 0]);
        assert_eq!(compact.fields(|compact, field| compact.structs(field).map(|_| true)), None);
    }

    #[test]
    fn structs_in_structs_without_end_are_not_followed() {
        assert_eq!(Compact::new(&[0x1c; 100_000]).fields(|_, _| Some(false)), None);
    }
}
