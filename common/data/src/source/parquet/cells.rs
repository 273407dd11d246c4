//! A column of bytes read page by page: where each page begins and which rows it has, and the rows of one of them.
//!
//! One image is read without the others of its row group. Where the file has an index of its pages it tells where they are;
//! else their headers are gone through, one after the other. Knows nothing of what the bytes are.

use super::{
    broken::{Broken, guarded},
    file::{Chunk, Parquet},
    page::Kind,
    thrift::Compact,
};
use parquet::{
    basic::Encoding,
    column::{
        page::{Page, PageMetadata, PageReader},
        reader::ColumnReaderImpl,
    },
    data_type::{ByteArray, ByteArrayType},
    errors::Result as Read,
    schema::types::ColumnDescPtr,
};
use std::{collections::VecDeque, ops::Range};

/// Most bytes of values that are each the one before and a little more. Nobody writes images so.
const MADE_BYTES_MAX: u64 = 256 << 20;
/// Most bytes of an index of pages.
const INDEX_BYTES_MAX: u64 = 16 << 20;

/// What a row has in a column of bytes.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    Bytes(ByteArray),
    /// Nothing, told by its definition level: how much of what it lies in is there.
    Null(i16),
}

/// The pages of a column in one row group.
#[derive(Debug)]
pub(super) struct Pages {
    dictionary: Option<u64>,
    /// The first row of each, and where it begins.
    pages: Vec<(u64, u64)>,
    rows: u64,
}

impl Pages {
    pub(super) fn of(file: &Parquet, group: usize, leaf: usize) -> Result<Self, Broken> {
        let chunk = file.chunk(group, leaf)?;
        let range = file.metadata.row_group(group).column(leaf).offset_index_range();
        match range.and_then(|range| indexed(file, &chunk, range)) {
            Some(indexed) => Ok(indexed),
            None => gone_through(&chunk),
        }
    }

    /// Which page a row is in.
    pub(super) fn at(&self, row: u64) -> Option<usize> {
        self.pages.partition_point(|(first, _)| *first <= row).checked_sub(1).filter(|_| row < self.rows)
    }

    pub(super) fn first_row(&self, page: usize) -> u64 {
        self.pages[page].0
    }

    /// The rows of one page, and how many bytes they take.
    pub(super) fn cells(&self, chunk: &Chunk, page: usize) -> Result<(Vec<Cell>, u64), Broken> {
        let (first, at) = self.pages[page];
        let rows = self.pages.get(page + 1).map_or(self.rows, |next| next.0) - first;
        let header = chunk.header(at)?;
        if header.values().map(u64::from) != Some(rows) {
            return Err(Broken::of(format!("a page that should have {rows} rows has others")));
        }
        let page = chunk.page(at, &header)?;
        let is_by_dictionary = matches!(page.encoding(), Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY);
        let dictionary = self.dictionary.filter(|_| is_by_dictionary);
        let dictionary = dictionary.map(|at| chunk.page(at, &chunk.header(at)?)).transpose()?;
        let bytes = page.buffer().len() + dictionary.as_ref().map_or(0, |page| page.buffer().len());
        let pages = Given(dictionary.into_iter().chain([page]).collect());
        let (cells, made) = guarded(|| decoded(chunk.descr.clone(), pages, rows))?;
        Ok((cells, bytes as u64 + made + rows * size_of::<Cell>() as u64))
    }
}

/// By the file's own index, if it makes sense. Its reader would allocate what it claims.
fn indexed(file: &Parquet, chunk: &Chunk, range: Range<u64>) -> Option<Pages> {
    let length = range.end.checked_sub(range.start).filter(|&length| length <= INDEX_BYTES_MAX)?;
    let index = file.bytes.read(range.start, length).ok()?;
    let mut pages: Vec<(u64, u64)> = Vec::new();
    let mut compact = Compact::new(&index);
    compact.fields(|compact, field| {
        if field.id != 1 {
            return Some(false);
        }
        for _ in 0..compact.structs(field)? {
            let (mut at, mut first) = (None, None);
            compact.fields(|compact, field| match field.id {
                1 | 3 => {
                    let number = u64::try_from(compact.number(field)?).ok();
                    *if field.id == 1 { &mut at } else { &mut first } = number;
                    Some(true)
                }
                _ => Some(false),
            })?;
            let next = (first?, at?);
            let is_after = pages.last().is_none_or(|last| last.0 < next.0 && last.1 < next.1);
            if !is_after || next.0 >= chunk.rows || !(chunk.begin..chunk.end).contains(&next.1) {
                return None;
            }
            pages.push(next);
        }
        Some(true)
    })?;
    let (first, at) = *pages.first()?;
    let dictionary = (at > chunk.begin).then_some(chunk.begin);
    (first == 0).then_some(Pages { dictionary, pages, rows: chunk.rows })
}

/// Header by header.
fn gone_through(chunk: &Chunk) -> Result<Pages, Broken> {
    let (mut at, mut rows) = (chunk.begin, 0);
    let mut found = Pages { dictionary: None, pages: Vec::new(), rows: chunk.rows };
    while let Some((begin, header)) = chunk.next(at)? {
        at = begin + header.length + header.packed;
        match header.kind {
            Kind::Dictionary { .. } => found.dictionary = Some(begin),
            _ => {
                let values = u64::from(header.values().unwrap_or_default());
                if values > 0 {
                    found.pages.push((rows, begin));
                }
                rows += values;
            }
        }
    }
    if rows != chunk.rows {
        return Err(Broken::of(format!("its pages have {rows} rows where its footer says {}", chunk.rows)));
    }
    Ok(found)
}

/// Value by value: in one coding each is the one before it and a little more, and a few bytes make any number of large ones.
fn decoded(descr: ColumnDescPtr, pages: Given, rows: u64) -> Result<(Vec<Cell>, u64), Broken> {
    let most = descr.max_def_level();
    let is_made = pages.0.iter().any(|page| page.encoding() == Encoding::DELTA_BYTE_ARRAY);
    let mut reader = ColumnReaderImpl::<ByteArrayType>::new(descr, Box::new(pages));
    let (mut cells, mut made) = (Vec::new(), 0);
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    for _ in 0..rows {
        values.clear();
        levels.clear();
        let (records, ..) = reader.read_records(1, Some(&mut levels), None, &mut values)?;
        if records == 0 {
            return Err(Broken::of("a page ends before its last row"));
        }
        let level = levels.first().copied().unwrap_or(most);
        cells.push(match values.pop() {
            Some(value) if level == most => {
                made += if is_made { value.len() as u64 } else { 0 };
                Cell::Bytes(value)
            }
            _ => Cell::Null(level.min(most - 1)),
        });
        if made > MADE_BYTES_MAX {
            return Err(Broken::of(format!("a page unpacks to more than the {MADE_BYTES_MAX} bytes that are read")));
        }
    }
    Ok((cells, made))
}

/// Pages that are there already.
struct Given(VecDeque<Page>);

impl Iterator for Given {
    type Item = Read<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.pop_front().map(Ok)
    }
}

impl PageReader for Given {
    fn get_next_page(&mut self) -> Read<Option<Page>> {
        Ok(self.0.pop_front())
    }

    fn peek_next_page(&mut self) -> Read<Option<PageMetadata>> {
        let told = |page: &Page| {
            let values = page.num_values() as usize;
            let is_dict = page.is_dictionary_page();
            PageMetadata { num_rows: None, num_levels: (!is_dict).then_some(values), is_dict }
        };
        Ok(self.0.front().map(told))
    }

    fn skip_next_page(&mut self) -> Read<()> {
        self.0.pop_front();
        Ok(())
    }
}
