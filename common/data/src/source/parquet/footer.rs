//! The end of a parquet file, in which it says what it holds and where.
//!
//! Its reader takes counts and depths at their word, so what it would allocate or descend into is held against what is there
//! before it sees them. Knows nothing of which column is what. Source: the Apache Parquet format, `parquet.thrift`.

use super::{
    broken::Broken,
    thrift::{Compact, Field},
};
use crate::source::Held;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader};

const MAGIC: &[u8] = b"PAR1";
/// The file's end: the footer's length and the magic.
const END: u64 = 8;
/// A footer describes each piece of each column in about a hundred bytes.
const FOOTER_BYTES_MAX: u64 = 16 << 20;
/// Groups and columns of a schema.
const ELEMENTS_MAX: usize = 10_000;
const NESTED_MAX: usize = 32;

/// What a file of so many bytes says of itself.
pub(super) fn read(held: &Held, bytes: u64) -> Result<ParquetMetaData, Broken> {
    let mut start = [0; 16];
    let start = &mut start[..bytes.min(16) as usize];
    held.read(start, 0)?;
    if start.starts_with(b"version https://") {
        return Err(Broken::of("it is a pointer of Git LFS and not the file itself (git lfs pull fetches that)"));
    }
    if !start.starts_with(MAGIC) {
        return Err(Broken::of("it does not start like a parquet file"));
    }
    let cut = || Broken::of("it ends without a parquet footer, so it is cut short");
    let mut end = [0; END as usize];
    let end_at = bytes.checked_sub(END).filter(|&at| at >= MAGIC.len() as u64).ok_or_else(cut)?;
    held.read(&mut end, end_at)?;
    let [a, b, c, d, magic @ ..] = end;
    if magic == *b"PARE" {
        return Err(Broken::of("it is encrypted, which is not read"));
    }
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    let begin = end_at.checked_sub(length).filter(|&at| at >= MAGIC.len() as u64 && magic == *MAGIC).ok_or_else(cut)?;
    if length > FOOTER_BYTES_MAX {
        return Err(Broken::of(format!(
            "its footer claims {length} bytes, more than the {FOOTER_BYTES_MAX} that are read"
        )));
    }
    let mut footer = vec![0; length as usize];
    held.read(&mut footer, begin)?;
    believable(&footer).ok_or_else(|| Broken::of("its footer describes columns that make no sense"))?;
    let options = ParquetMetaDataOptions::new().with_encoding_stats_as_mask(false);
    Ok(ParquetMetaDataReader::decode_metadata_with_options(&footer, Some(&options))?)
}

/// Whether the schema in this footer is a tree of a size and depth that can be built.
fn believable(footer: &[u8]) -> Option<()> {
    let mut compact = Compact::new(footer);
    let mut is_tree = None;
    compact.fields(|compact, field| {
        if field.id != 2 {
            return (field.id != 1 || field.is_number()).then_some(false);
        }
        is_tree = Some(tree(compact, field)?);
        Some(true)
    })?;
    is_tree
}

/// A schema lists each group before its members, and says how many these are.
fn tree(compact: &mut Compact, field: Field) -> Option<()> {
    let elements = compact.structs(field).filter(|&elements| elements <= ELEMENTS_MAX)?;
    // Of each group that is open, how many members are to come.
    let mut open: Vec<usize> = Vec::new();
    for at in 0..elements {
        let mut members = 0;
        compact.fields(|compact, field| match field.id {
            5 => {
                members = usize::try_from(compact.number(field)?).ok()?;
                Some(true)
            }
            // The reader does not look at the kinds of those it knows.
            4 => field.is_text().then_some(false),
            1..=9 => field.is_number().then_some(false),
            10 => field.is_struct().then_some(false),
            _ => Some(false),
        })?;
        if members > elements - at - 1 || open.len() > NESTED_MAX {
            return None;
        }
        if let Some(to_come) = open.last_mut() {
            *to_come = to_come.checked_sub(1)?;
        } else if at > 0 {
            return None;
        }
        open.push(members);
        while open.last() == Some(&0) {
            open.pop();
        }
    }
    open.is_empty().then_some(())
}
