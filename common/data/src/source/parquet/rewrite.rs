//! A parquet file written anew with other images: the same rows, row groups, schema and notes, and every other column as its
//! bytes lie there.
//!
//! A row whose image is missing stays, with nothing in its place, where the schema has room for that: labels stay beside their
//! images. The same images give the same bytes. Knows nothing of where images come from.

use super::{
    Parquets,
    broken::{Broken, guarded},
    cells::Cell,
    file::{Parquet, begin_of},
    thrift::Compact,
};
use crate::source::{Unread, Whole};
use parquet::{
    basic::{ColumnOrder, Encoding},
    column::writer::ColumnCloseResult,
    data_type::{ByteArray, ByteArrayType},
    file::{
        metadata::ColumnChunkMetaData,
        page_index::{
            column_index::ColumnIndexMetaData,
            index_reader::{decode_column_index, decode_offset_index},
            offset_index::OffsetIndexMetaData,
        },
        properties::{EnabledStatistics, WriterProperties, WriterVersion},
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
};
use std::{
    io::{self, Write},
    ops::Range,
    sync::Arc,
};

/// Most bytes of an index of pages that is carried along.
const INDEX_BYTES_MAX: u64 = 16 << 20;

/// Why a file was not written.
#[derive(Debug)]
pub(crate) enum Unwritten {
    /// An image is missing, and its column cannot be without.
    Gap,
    Unread(Unread),
    Io(io::Error),
}

impl From<Unread> for Unwritten {
    fn from(unread: Unread) -> Self {
        Self::Unread(unread)
    }
}

impl Parquets {
    /// The file `whole` with other images: `is_there` says of each row whether it has one, and `next` gives these in their
    /// order.
    pub(crate) fn rewrite(
        &self,
        whole: &Whole,
        is_there: &[bool],
        next: &mut dyn FnMut() -> io::Result<Vec<u8>>,
        out: &mut (impl Write + Send),
    ) -> Result<(), Unwritten> {
        let file = self.file(whole)?;
        let mut unwritten = None;
        let written = guarded(|| {
            let rewriting = Rewriting { parquets: self, whole, file: &file };
            rewriting.write(is_there, next, out).or_else(|why| {
                unwritten = Some(why);
                Ok(())
            })
        });
        match (written, unwritten) {
            (_, Some(why)) => Err(why),
            (Err(broken), None) => Err(Unwritten::Unread(broken.unread(&whole.path))),
            (Ok(()), None) => Ok(()),
        }
    }
}

struct Rewriting<'a> {
    parquets: &'a Parquets,
    whole: &'a Whole,
    file: &'a Parquet,
}

impl Rewriting<'_> {
    fn write(
        &self,
        is_there: &[bool],
        next: &mut dyn FnMut() -> io::Result<Vec<u8>>,
        out: &mut (impl Write + Send),
    ) -> Result<(), Unwritten> {
        let metadata = &self.file.metadata;
        let schema = metadata.file_metadata().schema_descr().root_schema_ptr();
        let mut writer = SerializedFileWriter::new(out, schema, Arc::new(self.properties())).map_err(broken)?;
        let mut row = 0;
        for group in 0..metadata.num_row_groups() {
            let rows = row..row + metadata.row_group(group).num_rows() as u64;
            row = rows.end;
            let levels = self.levels(rows.clone(), is_there)?;
            let mut into = writer.next_row_group().map_err(broken)?;
            for leaf in 0..metadata.row_group(group).num_columns() {
                if leaf == self.file.columns.image.leaf {
                    self.images(&levels, next, &mut into)?;
                } else if self.file.columns.image.path == Some(leaf) && levels.iter().any(|it| it.is_gone) {
                    self.paths(rows.clone(), &levels, &mut into)?;
                } else {
                    self.carry(group, leaf, &mut into)?;
                }
            }
            into.close().map_err(broken)?;
        }
        writer.close().map_err(broken)?;
        Ok(())
    }

    /// No time, no host; the images packed as they were, in pages of about a megabyte.
    fn properties(&self) -> WriterProperties {
        let metadata = &self.file.metadata;
        let image = &self.file.columns.image;
        let mut properties = WriterProperties::builder()
            .set_created_by(format!("sumac version {}", env!("CARGO_PKG_VERSION")))
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_key_value_metadata(metadata.file_metadata().key_value_metadata().cloned())
            .set_dictionary_enabled(false)
            .set_encoding(Encoding::PLAIN)
            .set_statistics_enabled(EnabledStatistics::None);
        if let Some(first) = metadata.row_groups().first() {
            for leaf in [Some(image.leaf), image.path].into_iter().flatten() {
                let column = first.column(leaf);
                properties = properties.set_column_compression(column.column_path().clone(), column.compression());
            }
            properties = properties.set_sorting_columns(first.sorting_columns().cloned());
        }
        properties.build()
    }

    /// What becomes of each row's image.
    fn levels(&self, rows: Range<u64>, is_there: &[bool]) -> Result<Vec<Level>, Unwritten> {
        let leaf = self.file.columns.image.leaf;
        let schema = self.file.metadata.file_metadata().schema_descr();
        let (field, most) = (schema.get_column_root(leaf), schema.column(leaf).max_def_level());
        // Of a group of bytes and path all is gone: a path to nothing would be looked for.
        let is_whole = field.is_group() && field.is_optional();
        let level = |row: u64| {
            if is_there.get(row as usize) == Some(&true) {
                return Ok(Level { level: most, is_image: true, is_gone: false });
            }
            match self.parquets.cell(self.whole, self.file, leaf, row) {
                Ok(Cell::Null(level)) => Ok(Level { level, is_image: false, is_gone: false }),
                Err(unread @ Unread::Io { .. }) => Err(unread.into()),
                Ok(Cell::Bytes(_)) | Err(Unread::Fault(_)) if most == 0 => Err(Unwritten::Gap),
                Ok(Cell::Bytes(_)) | Err(Unread::Fault(_)) => {
                    Ok(Level { level: 0, is_image: false, is_gone: is_whole })
                }
            }
        };
        rows.map(level).collect()
    }

    fn images<W: Write + Send>(
        &self,
        levels: &[Level],
        next: &mut dyn FnMut() -> io::Result<Vec<u8>>,
        into: &mut SerializedRowGroupWriter<W>,
    ) -> Result<(), Unwritten> {
        self.cells(
            into,
            levels.iter().map(|Level { level, is_image, .. }| {
                let image = if *is_image { Some(ByteArray::from(next().map_err(Unwritten::Io)?)) } else { None };
                Ok((*level, image))
            }),
        )
    }

    /// The paths beside the images, without those of images that are gone.
    fn paths<W: Write + Send>(
        &self,
        rows: Range<u64>,
        levels: &[Level],
        into: &mut SerializedRowGroupWriter<W>,
    ) -> Result<(), Unwritten> {
        let leaf = self.file.columns.image.path.unwrap_or_default();
        let most = self.file.metadata.file_metadata().schema_descr().column(leaf).max_def_level();
        self.cells(
            into,
            rows.zip(levels).map(|(row, level)| {
                if level.is_gone {
                    return Ok((0, None));
                }
                Ok(match self.parquets.cell(self.whole, self.file, leaf, row)? {
                    Cell::Bytes(path) => (most, Some(path)),
                    Cell::Null(level) => (level, None),
                })
            }),
        )
    }

    /// The next column, value by value, so that none but the page that is being filled is held.
    fn cells<W: Write + Send>(
        &self,
        into: &mut SerializedRowGroupWriter<W>,
        cells: impl Iterator<Item = Result<(i16, Option<ByteArray>), Unwritten>>,
    ) -> Result<(), Unwritten> {
        let column = into.next_column().map_err(broken)?;
        let mut column = column.ok_or_else(|| Unwritten::Io(io::Error::other("it has fewer columns than it says")))?;
        for cell in cells {
            let (level, value) = cell?;
            let values: Vec<ByteArray> = value.into_iter().collect();
            column.typed::<ByteArrayType>().write_batch(&values, Some(&[level]), None).map_err(broken)?;
        }
        column.close().map_err(broken)
    }

    /// A column as it lies there, with its index of pages, if it has one.
    fn carry<W: Write + Send>(
        &self,
        group: usize,
        leaf: usize,
        into: &mut SerializedRowGroupWriter<W>,
    ) -> Result<(), Unwritten> {
        let chunk = self.file.chunk(group, leaf).map_err(|broken| broken.unread(&self.whole.path))?;
        let column = self.file.metadata.row_group(group).column(leaf);
        let is_ordered = self.is_ordered(leaf);
        let metadata = located(column, is_ordered).map_err(broken)?;
        let (column_index, offset_index) = self.indexes(column);
        let column_index = column_index.filter(|_| is_ordered);
        let carried = ColumnCloseResult {
            bytes_written: chunk.end - chunk.begin,
            rows_written: chunk.rows,
            metadata,
            bloom_filter: None,
            column_index,
            offset_index,
        };
        into.append_column(&self.file.bytes, carried).map_err(broken)
    }

    /// Whether the least and the greatest of its values were told by the order that this writer says it tells them by: for
    /// floating point that is a newer one than most know.
    fn is_ordered(&self, leaf: usize) -> bool {
        let file = self.file.metadata.file_metadata();
        let column = file.schema_descr().column(leaf);
        let (logical, converted) = (column.logical_type_ref(), column.converted_type());
        file.column_order(leaf) == ColumnOrder::column_order_for_type(logical, converted, column.physical_type())
    }

    /// Of use only, so none where there is something wrong with them.
    fn indexes(&self, column: &ColumnChunkMetaData) -> (Option<ColumnIndexMetaData>, Option<OffsetIndexMetaData>) {
        let index = |range: Option<Range<u64>>| {
            let range = range?;
            let length = range.end.checked_sub(range.start).filter(|&length| length <= INDEX_BYTES_MAX)?;
            self.file.bytes.read(range.start, length).ok()
        };
        // The reader of this one allocates what it claims.
        let is_believable = |index: &Vec<u8>| Compact::new(index).fields(|_, _| Some(false)).is_some();
        let pages = index(column.offset_index_range()).filter(is_believable);
        let pages = pages.and_then(|index| decode_offset_index(&index).ok());
        let values = index(column.column_index_range()).filter(|_| pages.is_some());
        (values.and_then(|index| decode_column_index(&index, column.column_type()).ok()), pages)
    }
}

/// What becomes of one row's image.
struct Level {
    level: i16,
    is_image: bool,
    /// Also of its path.
    is_gone: bool,
}

/// The column's description with a dictionary only where there is one, and statistics only where they are believed.
fn located(column: &ColumnChunkMetaData, is_ordered: bool) -> parquet::errors::Result<ColumnChunkMetaData> {
    let dictionary = column.dictionary_page_offset().filter(|&at| u64::try_from(at).ok() == begin_of(column));
    let located = column.clone().into_builder().set_dictionary_page_offset(dictionary);
    if is_ordered { located } else { located.clear_statistics() }.build()
}

fn broken(error: parquet::errors::ParquetError) -> Unwritten {
    match Broken::from(error) {
        Broken::Io(error) => Unwritten::Io(error),
        Broken::Content(what) => Unwritten::Io(io::Error::new(io::ErrorKind::InvalidData, what)),
    }
}
