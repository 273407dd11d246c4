//! The rows of one row group, all columns that hold no images together, one after the other.
//!
//! What the columns unpack to and how many values they have is counted while they are read: a few bytes can stand for any number
//! of equal ones. Knows nothing of what a value means.

use super::{
    broken::{Broken, guarded},
    file::{Chunk, Parquet},
    page::PAGE_BYTES_MAX,
};
use parquet::{
    basic::Encoding,
    bloom_filter::Sbbf,
    column::page::{Page, PageMetadata, PageReader},
    errors::Result as Read,
    file::{metadata::RowGroupMetaData, reader::RowGroupReader},
    record::{
        Field,
        reader::{RowIter, TreeBuilder},
    },
    schema::types::{SchemaDescPtr, Type},
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Most that the values of repeated columns may take while they are put together, of one row group.
const LISTS_BYTES_MAX: u64 = 2 << 30;
/// What a value of a list takes, beside its name.
const LISTED_BYTES: u64 = 128;
/// Values that are taken from a column at once.
const BATCH: usize = 256;
/// Most bytes of a page in which each text is the one before it and a little more: a batch of these may be as large each.
const DELTA_BYTES_MAX: usize = 4 << 20;

/// Gives each row of a group to `take`: the columns of `schema`, a part of the file's own, by their names.
pub(super) fn each_row(
    file: &Parquet,
    group: usize,
    schema: &SchemaDescPtr,
    mut take: impl FnMut(Vec<(String, Field)>) -> Result<(), Broken>,
) -> Result<(), Broken> {
    guarded(|| {
        let rows = file.metadata.row_group(group).num_rows();
        let group = Group { file, group, spent: Arc::default() };
        let mut there = TreeBuilder::new().with_batch_size(BATCH).as_iter(schema.clone(), &group)?;
        (0..rows).try_for_each(|_| match there.next() {
            Some(row) => take(row?.into_columns()),
            None => Err(Broken::of("its columns end before its last row")),
        })
    })
}

struct Group<'a> {
    file: &'a Parquet,
    group: usize,
    spent: Arc<Spent>,
}

impl RowGroupReader for Group<'_> {
    fn metadata(&self) -> &RowGroupMetaData {
        self.file.metadata.row_group(self.group)
    }

    fn num_columns(&self) -> usize {
        self.metadata().num_columns()
    }

    fn get_column_page_reader(&self, leaf: usize) -> Read<Box<dyn PageReader>> {
        let chunk = self.file.chunk(self.group, leaf)?;
        Ok(Box::new(OneByOne { at: chunk.begin, chunk, spent: Arc::clone(&self.spent) }))
    }

    fn get_column_bloom_filter(&self, _leaf: usize) -> Option<&Sbbf> {
        None
    }

    fn get_row_iter(&self, projection: Option<Type>) -> Read<RowIter<'_>> {
        RowIter::from_row_group(projection, self)
    }
}

/// What all columns of a group took so far.
#[derive(Debug, Default)]
struct Spent {
    bytes: AtomicU64,
    lists: AtomicU64,
}

/// The pages of a column in their order.
struct OneByOne {
    chunk: Chunk,
    at: u64,
    spent: Arc<Spent>,
}

impl OneByOne {
    fn page(&mut self) -> Result<Option<Page>, Broken> {
        let Some((begin, header)) = self.chunk.next(self.at)? else { return Ok(None) };
        let values = u64::from(header.values().unwrap_or_default());
        let too_much = || {
            let path = self.chunk.descr.path().string();
            Broken::of(format!(
                "column {path} holds more in one row group than is read: write it with smaller row groups"
            ))
        };
        let add = |spent: &AtomicU64, more: u64, most: u64| {
            if spent.fetch_add(more, Ordering::Relaxed).saturating_add(more) > most { Err(too_much()) } else { Ok(()) }
        };
        add(&self.spent.bytes, header.packed.max(header.unpacked), PAGE_BYTES_MAX)?;
        if self.chunk.terms.max_repetition > 0 {
            let each = LISTED_BYTES + self.chunk.descr.path().string().len() as u64;
            add(&self.spent.lists, values.saturating_mul(each), LISTS_BYTES_MAX)?;
        }
        let page = self.chunk.page(begin, &header)?;
        if page.encoding() == Encoding::DELTA_BYTE_ARRAY && page.buffer().len() > DELTA_BYTES_MAX {
            return Err(too_much());
        }
        self.at = begin + header.length + header.packed;
        Ok(Some(page))
    }

    fn told(&self) -> Result<Option<PageMetadata>, Broken> {
        let Some((_, header)) = self.chunk.next(self.at)? else { return Ok(None) };
        let values = header.values().map(|values| values as usize);
        Ok(Some(PageMetadata { num_rows: header.rows(), num_levels: values, is_dict: values.is_none() }))
    }
}

impl Iterator for OneByOne {
    type Item = Read<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for OneByOne {
    fn get_next_page(&mut self) -> Read<Option<Page>> {
        Ok(self.page()?)
    }

    fn peek_next_page(&mut self) -> Read<Option<PageMetadata>> {
        Ok(self.told()?)
    }

    fn skip_next_page(&mut self) -> Read<()> {
        if let Some((begin, header)) = self.chunk.next(self.at).map_err(parquet::errors::ParquetError::from)? {
            self.at = begin + header.length + header.packed;
        }
        Ok(())
    }
}
