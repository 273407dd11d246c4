//! A parquet file, open: its footer read, and where each piece of each column lies, held against the file's length.
//!
//! Knows nothing of what the pieces hold.

use super::{
    broken::Broken,
    columns::Columns,
    footer,
    page::{Header, Kind, Terms},
};
use crate::source::{Held, SourceError, Stamp, held};
use parquet::{
    column::page::Page,
    errors::{ParquetError, Result as Read},
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData},
        reader::{ChunkReader, Length},
    },
    schema::types::ColumnDescPtr,
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// A page's header is some thirty bytes, and more where it holds the least and the greatest of long values.
const HEADER_BYTES: u64 = 256;
const HEADER_BYTES_MAX: u64 = 256 << 10;

#[derive(Debug)]
pub(super) struct Parquet {
    pub path: PathBuf,
    pub stamp: Stamp,
    pub bytes: Bytes,
    pub metadata: ParquetMetaData,
    pub columns: Columns,
    /// The first row of each row group, and one past the last of all.
    starts: Vec<u64>,
}

impl Parquet {
    /// The file as it is now.
    pub(super) fn open(path: &Path, named: Option<&str>) -> Result<Self, SourceError> {
        let held = Held::open(path).map_err(|source| SourceError::unreadable(path, source))?;
        Self::of(path, held, named)
    }

    /// The file as it was listed. Whether it still is so is seen when it is read.
    pub(super) fn listed(path: &Path, stamp: Stamp, named: &str) -> Result<Self, SourceError> {
        let held = Held::listed(path, stamp).map_err(|source| SourceError::unreadable(path, source))?;
        Self::of(path, held, Some(named))
    }

    fn of(path: &Path, held: Held, named: Option<&str>) -> Result<Self, SourceError> {
        let refused = |broken: Broken| broken.refused(path);
        let stamp = held.stamp().map_err(|source| SourceError::unreadable(path, source))?;
        let bytes = Bytes { held, length: stamp.bytes };
        let metadata = super::guarded(|| footer::read(&bytes.held, bytes.length)).map_err(refused)?;
        let columns = super::guarded(|| Ok(Columns::of(path, &metadata, named))).map_err(refused)??;
        let mut starts: Vec<u64> = vec![0];
        for group in metadata.row_groups() {
            let rows =
                u64::try_from(group.num_rows()).map_err(|_| refused(Broken::of("it claims less than no rows")))?;
            let next = starts.last().copied().unwrap_or_default().checked_add(rows);
            starts.push(next.ok_or_else(|| refused(Broken::of("it claims more rows than can be counted")))?);
        }
        Ok(Self { path: path.to_owned(), stamp, bytes, metadata, columns, starts })
    }

    pub(super) fn rows(&self) -> u64 {
        self.starts.last().copied().unwrap_or_default()
    }

    /// The row group that a row is in, and which one of it it is.
    pub(super) fn group_of(&self, row: u64) -> Option<(usize, u64)> {
        let group = self.starts.partition_point(|&start| start <= row).checked_sub(1)?;
        (row < self.rows()).then(|| (group, row - self.starts[group]))
    }

    /// The piece of a column in a row group.
    pub(super) fn chunk(&self, group: usize, leaf: usize) -> Result<Chunk, Broken> {
        let group = self.metadata.row_group(group);
        Chunk::of(&self.bytes, group, group.column(leaf))
    }
}

/// The bytes of a file, as the reader asks for them.
#[derive(Clone, Debug)]
pub(super) struct Bytes {
    pub held: Held,
    pub length: u64,
}

impl Bytes {
    /// So many from `begin` on, if they are there.
    pub(super) fn read(&self, begin: u64, length: u64) -> Result<Vec<u8>, Broken> {
        if begin.checked_add(length).is_none_or(|end| end > self.length) {
            return Err(Broken::of(format!("it claims {length} bytes at byte {begin}, where there are not so many")));
        }
        let mut bytes = vec![0; length as usize];
        self.held.read(&mut bytes, begin)?;
        Ok(bytes)
    }
}

impl Length for Bytes {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Bytes {
    type T = io::BufReader<held::Reader>;

    fn get_read(&self, start: u64) -> Read<Self::T> {
        match self.length.checked_sub(start) {
            Some(length) => Ok(io::BufReader::with_capacity(1 << 20, self.held.reader(start, length))),
            None => Err(ParquetError::EOF(format!("there is no byte {start} in it"))),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Read<bytes::Bytes> {
        Ok(self.read(start, length as u64)?.into())
    }
}

/// The piece of one column in one row group: a dictionary, if it has one, then pages.
#[derive(Debug)]
pub(super) struct Chunk {
    bytes: Bytes,
    pub begin: u64,
    pub end: u64,
    pub rows: u64,
    pub terms: Terms,
    pub descr: ColumnDescPtr,
}

impl Chunk {
    fn of(bytes: &Bytes, group: &RowGroupMetaData, column: &ColumnChunkMetaData) -> Result<Self, Broken> {
        let name = || column.column_path().string();
        let beyond = || Broken::of(format!("column {} claims to lie where nothing is", name()));
        let range = begin_of(column).and_then(|begin| {
            let length = u64::try_from(column.compressed_size()).ok()?;
            Some((begin, begin.checked_add(length).filter(|&end| end <= bytes.length)?))
        });
        let (begin, end) = range.ok_or_else(beyond)?;
        if column.file_path().is_some() {
            return Err(Broken::of(format!("column {} lies in another file, which is not read", name())));
        }
        let descr = column.column_descr_ptr();
        let rows = u64::try_from(group.num_rows()).map_err(|_| beyond())?;
        let values = u64::try_from(column.num_values()).map_err(|_| beyond())?;
        if descr.max_rep_level() == 0 && values != rows {
            return Err(Broken::of(format!("column {} claims {values} values for {rows} rows", name())));
        }
        let terms = Terms {
            codec: column.compression(),
            physical: descr.physical_type(),
            max_definition: descr.max_def_level(),
            max_repetition: descr.max_rep_level(),
            values_max: values,
        };
        Ok(Self { bytes: bytes.clone(), begin, end, rows, terms, descr })
    }

    /// The header of the page that begins there.
    pub(super) fn header(&self, at: u64) -> Result<Header, Broken> {
        let rest = self.end.saturating_sub(at);
        let mut header = None;
        for most in [HEADER_BYTES, HEADER_BYTES_MAX] {
            header = header.or(Header::read(&self.bytes.read(at, rest.min(most))?));
        }
        let header = header.ok_or_else(|| Broken::of("a page has a header that makes no sense"))?;
        if header.packed > rest.saturating_sub(header.length) {
            return Err(Broken::of("a page ends behind its column"));
        }
        header.check(self.terms)?;
        Ok(header)
    }

    /// The page that begins there, with its header.
    pub(super) fn page(&self, at: u64, header: &Header) -> Result<Page, Broken> {
        header.page(self.bytes.read(at + header.length, header.packed)?, self.terms)
    }

    /// The first page from there on that is no index, with where it and its header begin; `None` at the end.
    pub(super) fn next(&self, mut at: u64) -> Result<Option<(u64, Header)>, Broken> {
        while at < self.end {
            let header = self.header(at)?;
            if header.kind != Kind::Index {
                return Ok(Some((at, header)));
            }
            at += header.length + header.packed;
        }
        Ok(None)
    }
}

/// The first byte of a column's piece. Some writers say that a dictionary lies at the file's first byte if there is none.
pub(super) fn begin_of(column: &ColumnChunkMetaData) -> Option<u64> {
    let data = column.data_page_offset();
    let dictionary = column.dictionary_page_offset().filter(|&at| 0 < at && at < data);
    u64::try_from(dictionary.unwrap_or(data)).ok()
}
