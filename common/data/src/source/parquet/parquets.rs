//! The parquet files of a data set: a few of them open, with what was read of them last.
//!
//! Whoever reads images in their order reads each page once, and the labels of each row group once. Knows nothing of how many
//! files there are.

use super::{
    broken::Broken,
    cells::{Cell, Pages},
    file::Parquet,
    labels::{Told, told},
    recent::Recent,
};
use crate::{
    decode::{FILE_BYTES_MAX, Fault, Format, LABEL_BYTES_MAX},
    source::{Piece, SourceError, Unread, Whole},
};
use parquet::data_type::ByteArray;
use std::{
    fmt, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

const FILES_OPEN: usize = 16;
/// As many as there may be threads that read in different places; fewer large ones.
const PAGES_KEPT: usize = 32;
const PAGES_BYTES: u64 = 512 << 20;
const ROWS_KEPT: usize = 32;
const ROWS_BYTES: u64 = 256 << 20;
/// A page's place takes a few bytes.
const PLACES_KEPT: usize = 256;

/// Of files that all have their images in the same column.
pub(crate) struct Parquets {
    column: String,
    open: Mutex<Open>,
}

/// A row group of a file, and a column of it.
type Place = (Whole, usize, usize);

struct Open {
    files: Recent<Whole, Parquet>,
    places: Recent<Place, Pages>,
    /// Of a page: its number, and its rows.
    cells: Recent<(Place, usize), Vec<Cell>>,
    told: Recent<(Whole, usize), Vec<Told>>,
}

impl fmt::Debug for Parquets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "images in column {}", self.column)
    }
}

impl Parquets {
    /// What `root` is when it was not built in is told by the other one of these.
    pub(in crate::source) fn of(_root: &Path, column: String) -> Result<Self, SourceError> {
        Ok(Self::new(column))
    }

    pub(super) fn new(column: String) -> Self {
        let open = Open {
            files: Recent::new(FILES_OPEN, u64::MAX),
            places: Recent::new(PLACES_KEPT, u64::MAX),
            cells: Recent::new(PAGES_KEPT, PAGES_BYTES),
            told: Recent::new(ROWS_KEPT, ROWS_BYTES),
        };
        Self { column, open: Mutex::new(open) }
    }

    /// The column that the images are in.
    pub(in crate::source) fn column(&self) -> &str {
        &self.column
    }

    /// The image of one row, as it was encoded.
    pub(in crate::source) fn image(&self, whole: &Whole, row: u64) -> Result<Vec<u8>, Unread> {
        let file = self.file(whole)?;
        let image = &file.columns.image;
        match self.cell(whole, &file, image.leaf, row)? {
            Cell::Bytes(bytes) if bytes.len() as u64 > FILE_BYTES_MAX => {
                Err(Unread::Fault(Fault::TooBig { bytes: bytes.len() as u64 }))
            }
            Cell::Bytes(bytes) => Ok(bytes.data().to_vec()),
            Cell::Null(_) => match image.path.map(|path| self.cell(whole, &file, path, row)).transpose()? {
                Some(Cell::Bytes(path)) => {
                    let path = String::from_utf8_lossy(path.data()).into_owned();
                    Err(Unread::Fault(Fault::OnlyAPath { path }))
                }
                _ => Err(Unread::Fault(Fault::NoBytes)),
            },
        }
    }

    /// All that belongs to the image of one row.
    pub(in crate::source) fn pieces(&self, whole: &Whole, row: u64) -> Result<Vec<Piece>, Unread> {
        let file = self.file(whole)?;
        let mut pieces = self.told(whole, &file, row)?;
        for blob in &file.columns.blobs {
            if let Cell::Bytes(bytes) = self.cell(whole, &file, blob.leaf, row)? {
                pieces.push(piece(&blob.name, &bytes));
            }
        }
        match pieces.iter().find(|piece| piece.bytes.len() as u64 > LABEL_BYTES_MAX) {
            Some(Piece { ending, bytes }) => {
                Err(Unread::Fault(Fault::LabelTooBig { name: ending.clone(), bytes: bytes.len() as u64 }))
            }
            None => Ok(pieces),
        }
    }

    /// A file as it was listed, open.
    pub(super) fn file(&self, whole: &Whole) -> Result<Arc<Parquet>, Unread> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let file = open.files.get(whole, || {
            let file = Parquet::listed(&whole.path, whole.stamp, &self.column).map_err(gone)?;
            Ok((file, 0))
        });
        file.map_err(|broken| broken.unread(&whole.path))
    }

    /// What a row has in a column of bytes. One page is read at a time: what others wait for here they need, too.
    pub(super) fn cell(&self, whole: &Whole, file: &Parquet, leaf: usize, row: u64) -> Result<Cell, Unread> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cell = || {
            let none = || Broken::of(format!("it has no row {row}"));
            let (group, row) = file.group_of(row).ok_or_else(none)?;
            let place = (whole.clone(), group, leaf);
            let pages = open.places.get(&place, || Ok((Pages::of(file, group, leaf)?, 0)))?;
            let page = pages.at(row).ok_or_else(none)?;
            let cells = open.cells.get(&(place, page), || pages.cells(&file.chunk(group, leaf)?, page))?;
            cells.get((row - pages.first_row(page)) as usize).cloned().ok_or_else(none)
        };
        cell().map_err(|broken: Broken| broken.unread(&whole.path))
    }

    fn told(&self, whole: &Whole, file: &Parquet, row: u64) -> Result<Vec<Piece>, Unread> {
        if file.columns.told.is_none() {
            return Ok(Vec::new());
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pieces = || {
            let none = || Broken::of(format!("it has no row {row}"));
            let (group, row) = file.group_of(row).ok_or_else(none)?;
            let rows = open.told.get(&(whole.clone(), group), || told(file, group))?;
            rows.get(row as usize).map(Told::pieces).ok_or_else(none)
        };
        pieces().map_err(|broken: Broken| broken.unread(&whole.path))
    }
}

/// Bytes under the name of their column, and the ending that they would have as a file.
fn piece(column: &str, bytes: &ByteArray) -> Piece {
    // A slash would be a folder in a tar.
    let name: String =
        column.chars().map(|it| if it.is_control() || matches!(it, '/' | '\\') { '_' } else { it }).collect();
    let form = Format::of(bytes.data()).map_or("bin", Format::ending);
    Piece { ending: format!("{name}.{form}"), bytes: bytes.data().to_vec() }
}

/// A file that could be read when it was listed: what is wrong with it now is no fault of an image.
fn gone(error: SourceError) -> Broken {
    Broken::Io(match error {
        SourceError::Missing { .. } => io::ErrorKind::NotFound.into(),
        SourceError::Unreadable { source, .. } => source,
        error => io::Error::other(error),
    })
}
