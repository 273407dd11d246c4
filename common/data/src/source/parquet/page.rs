//! One page of a column: its header, and its bytes unpacked, as the reader takes them.
//!
//! The reader believes a page what it says of its own length and number of values, and unpacks gzip without any limit. So both
//! are done here, and what is handed on is no larger and has no more values than it can have. Knows nothing of columns.
//! Source: the Apache Parquet format, `parquet.thrift` and `Encodings.md`.

use super::{
    broken::Broken,
    thrift::{Compact, Field, unsigned},
};
use flate2::read::MultiGzDecoder;
use parquet::{
    basic::{Compression, Encoding, Type},
    column::page::Page,
};
use std::io::Read;

/// Most bytes of one page. Writers mean a megabyte, and write a thousand images where they look only then.
pub(super) const PAGE_BYTES_MAX: u64 = 1 << 30;
/// The most that a byte of each can stand for: a copy of 64 bytes is told in three, a run of 255 in one.
const SNAPPY_RATIO_MAX: u64 = 22;
const LZ4_RATIO_MAX: u64 = 255;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: Kind,
    /// Bytes of the page as it lies there, and unpacked; without this header.
    pub packed: u64,
    pub unpacked: u64,
    /// Bytes of this header.
    pub length: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data {
        values: u32,
        encoding: Encoding,
        definition: Encoding,
        repetition: Encoding,
    },
    DataV2(V2),
    Dictionary {
        values: u32,
        encoding: Encoding,
    },
    /// What nobody writes.
    Index,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct V2 {
    values: u32,
    nulls: u32,
    rows: u32,
    encoding: Encoding,
    definition_bytes: u32,
    repetition_bytes: u32,
    is_packed: bool,
}

/// What is known of a page from the column that it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub codec: Compression,
    pub physical: Type,
    pub max_definition: i16,
    pub max_repetition: i16,
    pub values_max: u64,
}

impl Header {
    /// The header that these bytes begin with; `None` if they end too early, or it makes no sense.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut compact = Compact::new(bytes);
        let (mut kind, mut packed, mut unpacked) = (None, None, None);
        let (mut data, mut dictionary, mut v2) = (None, None, None);
        compact.fields(|compact, field| {
            match field.id {
                1 => kind = Some(compact.number(field)?),
                2 => unpacked = Some(u64::try_from(compact.number(field)?).ok()?),
                3 => packed = Some(u64::try_from(compact.number(field)?).ok()?),
                5 if field.is_struct() => data = Some(numbers::<4>(compact)?.0),
                7 if field.is_struct() => dictionary = Some(numbers::<2>(compact)?.0),
                8 if field.is_struct() => v2 = Some(numbers::<6>(compact)?),
                _ => return Some(false),
            }
            Some(true)
        })?;
        let count = |number: Option<i64>| u32::try_from(number?).ok().filter(|&it| i32::try_from(it).is_ok());
        let kind = match kind? {
            0 => {
                let [values, coded, definition, repetition] = data?;
                Kind::Data {
                    values: count(values)?,
                    encoding: encoding(coded)?,
                    definition: encoding(definition)?,
                    repetition: encoding(repetition)?,
                }
            }
            1 => Kind::Index,
            2 => {
                let [values, coded] = dictionary?;
                Kind::Dictionary { values: count(values)?, encoding: encoding(coded)? }
            }
            3 => {
                let ([values, nulls, rows, coded, definition_bytes, repetition_bytes], is_packed) = v2?;
                Kind::DataV2(V2 {
                    values: count(values)?,
                    nulls: count(nulls)?,
                    rows: count(rows)?,
                    encoding: encoding(coded)?,
                    definition_bytes: count(definition_bytes)?,
                    repetition_bytes: count(repetition_bytes)?,
                    is_packed: is_packed.unwrap_or(true),
                })
            }
            _ => return None,
        };
        Some(Self { kind, packed: packed?, unpacked: unpacked?, length: compact.read() as u64 })
    }

    /// Values of a data page, nulls among them.
    pub(super) fn values(&self) -> Option<u32> {
        match self.kind {
            Kind::Data { values, .. } | Kind::DataV2(V2 { values, .. }) => Some(values),
            Kind::Dictionary { .. } | Kind::Index => None,
        }
    }

    /// Rows of a data page, where it tells.
    pub(super) fn rows(&self) -> Option<usize> {
        if let Kind::DataV2(V2 { rows, .. }) = self.kind { Some(rows as usize) } else { None }
    }

    /// Whether this page may be read at all, told before any of it is.
    pub(super) fn check(&self, terms: Terms) -> Result<(), Broken> {
        let Self { kind, packed, unpacked, .. } = *self;
        if packed.max(unpacked) > PAGE_BYTES_MAX {
            let bytes = packed.max(unpacked);
            return Err(Broken::of(format!(
                "a page claims {bytes} bytes, more than the {PAGE_BYTES_MAX} that are read: write it with smaller row groups"
            )));
        }
        let (values, levels) = match kind {
            Kind::Data { values, .. } | Kind::Dictionary { values, .. } => (values, 0),
            Kind::DataV2(V2 { values, nulls, definition_bytes, repetition_bytes, .. }) => {
                if nulls > values {
                    return Err(Broken::of("a page claims more nulls than values"));
                }
                (values, u64::from(definition_bytes) + u64::from(repetition_bytes))
            }
            Kind::Index => (0, 0),
        };
        if u64::from(values) > terms.values_max || levels > unpacked.min(packed) {
            return Err(Broken::of(format!("a page claims {values} values, more than there can be")));
        }
        Ok(())
    }

    /// The page that lies as `packed` behind this header, which was checked.
    pub(super) fn page(&self, packed: Vec<u8>, terms: Terms) -> Result<Page, Broken> {
        let (plain, is_packed) = match self.kind {
            Kind::DataV2(V2 { definition_bytes, repetition_bytes, is_packed, .. }) => {
                ((definition_bytes + repetition_bytes) as usize, is_packed)
            }
            _ => (0, true),
        };
        let bytes = match terms.codec {
            Compression::UNCOMPRESSED => packed,
            _ if !is_packed => packed,
            codec => {
                let length = (self.unpacked as usize).saturating_sub(plain);
                let rest = if length == 0 { Vec::new() } else { unpack(codec, &packed[plain..], length)? };
                if plain == 0 { rest } else { [&packed[..plain], &rest].concat() }
            }
        };
        let statistics = None;
        Ok(match self.kind {
            Kind::Data { values, encoding, definition, repetition } => {
                let levels = [(terms.max_repetition, repetition), (terms.max_definition, definition)];
                let begin =
                    levels_v1(&bytes, values, levels).ok_or_else(|| Broken::of("a page ends within its levels"))?;
                deltas_fit(encoding, terms.physical, &bytes[begin..], values)?;
                Page::DataPage {
                    buf: bytes.into(),
                    num_values: values,
                    encoding,
                    def_level_encoding: definition,
                    rep_level_encoding: repetition,
                    statistics,
                }
            }
            Kind::DataV2(V2 { values, nulls, rows, encoding, definition_bytes, repetition_bytes, is_packed }) => {
                deltas_fit(encoding, terms.physical, bytes.get(plain..).unwrap_or_default(), values)?;
                Page::DataPageV2 {
                    buf: bytes.into(),
                    num_values: values,
                    encoding,
                    num_nulls: nulls,
                    num_rows: rows,
                    def_levels_byte_len: definition_bytes,
                    rep_levels_byte_len: repetition_bytes,
                    is_compressed: is_packed,
                    statistics,
                }
            }
            Kind::Dictionary { values, encoding } => {
                let is_plain = matches!(encoding, Encoding::PLAIN | Encoding::PLAIN_DICTIONARY);
                // Each value takes a byte at least, one of no fixed length four for telling it.
                let least = if terms.physical == Type::BYTE_ARRAY { 4 } else { 1 };
                if !is_plain || values as usize > bytes.len() / least {
                    return Err(Broken::of(format!("a dictionary claims {values} values in {} bytes", bytes.len())));
                }
                Page::DictionaryPage { buf: bytes.into(), num_values: values, encoding, is_sorted: false }
            }
            Kind::Index => return Err(Broken::of("an index lies where a page should be")),
        })
    }
}

/// The first numbers of a struct, by their ids from 1 on; then a truth, if it has one.
fn numbers<const N: usize>(compact: &mut Compact) -> Option<([Option<i64>; N], Option<bool>)> {
    let (mut numbers, mut truth) = ([None; N], None);
    compact.fields(|compact, field: Field| {
        let at = usize::try_from(field.id).ok().and_then(|id| id.checked_sub(1));
        match at.and_then(|at| numbers.get_mut(at)) {
            Some(number) => *number = Some(compact.number(field)?),
            None if field.truth().is_some() => truth = truth.or(field.truth()),
            None => return Some(false),
        }
        Some(true)
    })?;
    Some((numbers, truth))
}

fn encoding(coded: Option<i64>) -> Option<Encoding> {
    Some(match coded? {
        0 => Encoding::PLAIN,
        2 => Encoding::PLAIN_DICTIONARY,
        3 => Encoding::RLE,
        #[expect(deprecated, reason = "old files have it")]
        4 => Encoding::BIT_PACKED,
        5 => Encoding::DELTA_BINARY_PACKED,
        6 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
        7 => Encoding::DELTA_BYTE_ARRAY,
        8 => Encoding::RLE_DICTIONARY,
        9 => Encoding::BYTE_STREAM_SPLIT,
        _ => return None,
    })
}

/// Whether [`Header::page`] unpacks it.
pub(super) fn is_unpacked(codec: Compression) -> bool {
    use Compression::{GZIP, LZ4_RAW, SNAPPY, UNCOMPRESSED, ZSTD};
    matches!(codec, UNCOMPRESSED | SNAPPY | GZIP(_) | ZSTD(_) | LZ4_RAW)
}

/// What so many bytes were packed from.
fn unpack(codec: Compression, packed: &[u8], length: usize) -> Result<Vec<u8>, Broken> {
    let not = |what: String| Broken::of(format!("a page cannot be unpacked: {what}"));
    let room = |ratio: u64| match (packed.len() as u64 + 1) * ratio {
        most if most < length as u64 => Err(not(format!("{} bytes claim to stand for {length}", packed.len()))),
        _ => Ok(vec![0; length]),
    };
    let (bytes, found) = match codec {
        Compression::SNAPPY => {
            let mut bytes = room(SNAPPY_RATIO_MAX)?;
            let found =
                snap::raw::Decoder::new().decompress(packed, &mut bytes).map_err(|error| not(error.to_string()))?;
            (bytes, found)
        }
        Compression::LZ4_RAW => {
            let mut bytes = room(LZ4_RATIO_MAX)?;
            let found = lz4_flex::block::decompress_into(packed, &mut bytes).map_err(|error| not(error.to_string()))?;
            (bytes, found)
        }
        Compression::GZIP(_) => {
            streamed(MultiGzDecoder::new(packed), length).map_err(|error| not(error.to_string()))?
        }
        Compression::ZSTD(_) => zstd::Decoder::with_buffer(packed)
            .and_then(|stream| streamed(stream, length))
            .map_err(|error| not(error.to_string()))?,
        codec => return Err(not(format!("{codec} is not read"))),
    };
    if found != length {
        return Err(not(format!("it claims {length} bytes, and has {found}")));
    }
    Ok(bytes)
}

/// Grows with what comes, and stops one byte after what was claimed.
fn streamed(stream: impl Read, length: usize) -> std::io::Result<(Vec<u8>, usize)> {
    let mut bytes = Vec::new();
    let found = stream.take(length as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes, found))
}

/// Where the values of a page begin, behind its levels.
fn levels_v1(bytes: &[u8], values: u32, levels: [(i16, Encoding); 2]) -> Option<usize> {
    let mut at = 0_usize;
    for (max, encoding) in levels.into_iter().filter(|(max, _)| *max > 0) {
        let length = if encoding == Encoding::RLE {
            4 + u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?) as usize
        } else {
            let width = u64::from(16 - (max as u16).leading_zeros());
            (u64::from(values) * width).div_ceil(8) as usize
        };
        at = at.checked_add(length).filter(|&at| at <= bytes.len())?;
    }
    Some(at)
}

/// Texts in a delta coding begin with their lengths, and these with their number, which the reader allocates as it stands.
fn deltas_fit(encoding: Encoding, physical: Type, values: &[u8], most: u32) -> Result<(), Broken> {
    let lists = match encoding {
        // What fails for a number was never allocated.
        _ if !matches!(physical, Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY) => 0,
        Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
        Encoding::DELTA_BYTE_ARRAY => 2,
        _ => 0,
    };
    let mut rest = values;
    for _ in 0..lists {
        let length = delta(rest, most).ok_or_else(|| Broken::of("a page has more lengths than values"))?;
        rest = &rest[length..];
    }
    Ok(())
}

/// How many bytes a list of numbers in `DELTA_BINARY_PACKED` takes, if it has at most so many.
fn delta(bytes: &[u8], most: u32) -> Option<usize> {
    let ([block, pieces, count, _first], mut at) = unsigned::<4>(bytes)?;
    if count > most.into() || pieces == 0 || block % pieces != 0 || block > 1 << 20 {
        return None;
    }
    let in_piece = block / pieces;
    let mut left = count.saturating_sub(1);
    while left > 0 {
        let (_, length) = unsigned::<1>(bytes.get(at..)?)?;
        at += length;
        let widths = bytes.get(at..at.checked_add(pieces as usize)?)?;
        at += widths.len();
        for width in widths {
            if left > 0 {
                at = at.checked_add((u64::from(*width) * in_piece / 8) as usize).filter(|&at| at <= bytes.len())?;
            }
            left = left.saturating_sub(in_piece);
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const TERMS: Terms = Terms {
        codec: Compression::UNCOMPRESSED,
        physical: Type::BYTE_ARRAY,
        max_definition: 0,
        max_repetition: 0,
        values_max: 100,
    };

    fn header(kind: Kind, packed: u64, unpacked: u64) -> Header {
        Header { kind, packed, unpacked, length: 0 }
    }

    fn data(values: u32, encoding: Encoding) -> Kind {
        Kind::Data { values, encoding, definition: Encoding::RLE, repetition: Encoding::RLE }
    }

    #[test]
    fn a_page_that_claims_too_much_is_refused_before_it_is_read() {
        let plain = data(3, Encoding::PLAIN);
        assert!(header(plain, 10, 10).check(TERMS).is_ok());
        assert!(header(plain, 10, PAGE_BYTES_MAX + 1).check(TERMS).is_err());
        assert!(header(data(101, Encoding::PLAIN), 10, 10).check(TERMS).is_err());
        let v2 = V2 {
            values: 3,
            nulls: 0,
            rows: 3,
            encoding: Encoding::PLAIN,
            definition_bytes: 8,
            repetition_bytes: 8,
            is_packed: true,
        };
        assert!(header(Kind::DataV2(v2), 10, 100).check(TERMS).is_err());
    }

    #[test]
    fn what_unpacks_to_more_than_it_claims_is_not_unpacked_further() {
        let noughts = vec![0; 1 << 20];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&noughts).unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = zstd::encode_all(&noughts[..], 3).unwrap();
        let snappy = snap::raw::Encoder::new().compress_vec(&noughts).unwrap();
        let lz4 = lz4_flex::block::compress(&noughts);
        for (codec, packed) in [
            (Compression::GZIP(Default::default()), gzip),
            (Compression::ZSTD(Default::default()), zstd),
            (Compression::SNAPPY, snappy),
            (Compression::LZ4_RAW, lz4),
        ] {
            assert_eq!(unpack(codec, &packed, noughts.len()).unwrap(), noughts, "{codec}");
            assert!(unpack(codec, &packed, 1000).is_err(), "{codec}");
            assert!(unpack(codec, &packed, noughts.len() + 1).is_err(), "{codec}");
            assert!(unpack(codec, &packed[..packed.len() / 2], noughts.len()).is_err(), "{codec}");
        }
        // The claim alone would be allocated.
        assert!(unpack(Compression::SNAPPY, &[0; 10], 1 << 29).is_err());
        assert!(unpack(Compression::LZ4_RAW, &[0; 10], 1 << 29).is_err());
    }

    #[test]
    fn a_dictionary_of_more_values_than_bytes_is_refused() {
        let dictionary = |values| header(Kind::Dictionary { values, encoding: Encoding::PLAIN }, 8, 8);
        assert!(dictionary(2).page(vec![0; 8], TERMS).is_ok());
        assert!(dictionary(3).page(vec![0; 8], TERMS).is_err());
    }

    #[test]
    fn lengths_in_delta_coding_are_counted_before_they_are_allocated() {
        // Blocks of 128 in 4 pieces, three values, the first is 2; one block of widths that hold no bits.
        let few = [0x80, 1, 4, 3, 4, 0, 0, 0, 0, 0];
        assert_eq!(delta(&few, 3), Some(few.len()));
        assert_eq!(delta(&few, 2), None);
        let many = [0x80, 1, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 4];
        for encoding in [Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY] {
            assert!(header(data(3, encoding), 11, 11).page(many.to_vec(), TERMS).is_err());
            let both = [&few[..], &many].concat();
            let is_first = encoding == Encoding::DELTA_LENGTH_BYTE_ARRAY;
            assert_eq!(header(data(3, encoding), 21, 21).page(both, TERMS).is_ok(), is_first, "{encoding}");
        }
    }
}
