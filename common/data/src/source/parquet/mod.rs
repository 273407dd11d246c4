//! Parquet as Hugging Face stores images: a column of encoded images, and columns of what belongs to each.
//!
//! Listing reads the end of each file, where its rows are counted, and the columns that hold no images. An image is read with
//! its page alone, a megabyte or a row group, as its writer made it; its label with those of its row group.
//!
//! * `thrift`, `footer`: what a file says of itself, held against what is there
//! * `columns`: which column is what; `file`: where their pieces lie; `page`: one page of them, unpacked
//! * `cells`: a column of bytes, page by page; `rows`, `told`, `labels`: all other columns, row by row
//! * `parquets`: the files of a data set, with what was read last; `rewrite`: a file with other images
//!
//! Other codecs than snappy, gzip, zstd and lz4 are not read. Knows nothing of pixels.

mod broken;
mod cells;
mod columns;
mod file;
mod footer;
mod labels;
mod page;
mod parquets;
mod recent;
mod rewrite;
mod rows;
mod thrift;
mod told;

pub(crate) use parquets::Parquets;
pub(crate) use rewrite::Unwritten;

use super::{Kind, Place, Sample, Source, SourceError, folder::Found, original::Whole, shard::Shard};
use crate::label::Label;
use broken::guarded;
use file::Parquet;
use rayon::prelude::*;
use std::{path::PathBuf, sync::Arc};

/// Rows take next to nothing in a file where all are equal. So many may be there whatever the files' size, and one more for each
/// of their bytes.
const ROWS_FREE: u64 = 1_000_000;

impl Source {
    /// The images of parquet files, in the column `named` if there are several; of several files each key begins with its own
    /// path. `others` lie beside them.
    pub(super) fn parquet(
        root: PathBuf,
        files: Vec<Shard>,
        named: Option<&str>,
        others: Vec<Found>,
    ) -> Result<Self, SourceError> {
        let opened: Vec<Parquet> =
            files.par_iter().map(|file| Parquet::open(&file.path, named)).collect::<Result<_, _>>()?;
        alike(&opened)?;
        let labels: Vec<Option<Vec<Option<Label>>>> = opened
            .par_iter()
            .map(|file| labels::listed(file).map_err(|broken| broken.refused(&file.path)))
            .collect::<Result<_, _>>()?;
        // Of one data set, labels are of one kind.
        let labels: Option<Vec<Vec<Option<Label>>>> = labels.into_iter().collect();
        let mut source = Self { others, ..Self::empty(root, Kind::Parquet) };
        let is_one = files.len() == 1;
        for (at, (file, shard)) in opened.iter().zip(&files).enumerate() {
            let whole = Whole { path: file.path.clone(), stamp: file.stamp };
            if file.rows() == 0 {
                source.others.push(Found { key: shard.name.clone(), path: whole.path.clone(), stamp: whole.stamp });
            }
            source.wholes.push(whole);
            let named = Label::Arrays(file.columns.names());
            for row in 0..file.rows() {
                let key = if is_one { format!("{row:08}") } else { format!("{}/{row:08}", shard.name) };
                let label =
                    labels.as_ref().map_or_else(|| Some(named.clone()), |labels| labels[at][row as usize].clone());
                let place = Place::Row { within: at as u32, row };
                source.samples.push(Sample { label, ..Sample::new(key, file.stamp, place) });
            }
        }
        let Some(first) = opened.first().filter(|_| !source.samples.is_empty()) else {
            return Err(SourceError::Empty { path: source.root, others: files.len() });
        };
        source.classes = first.columns.class.iter().flat_map(|class| class.names.clone()).collect();
        let column = first.columns.image.name.clone();
        Ok(Self { parquets: Some(Arc::new(Parquets::new(column))), ..source })
    }
}

/// Whether all have the same columns, and no more rows than can be listed.
fn alike(files: &[Parquet]) -> Result<(), SourceError> {
    let Some(first) = files.first() else { return Ok(()) };
    let (mut rows, mut bytes) = (0_u64, ROWS_FREE);
    for file in files {
        let schema = |file: &Parquet| file.metadata.file_metadata().schema_descr().root_schema().get_fields().to_vec();
        if schema(file) != schema(first) || file.columns.class != first.columns.class {
            return Err(SourceError::ColumnsDiffer { path: file.path.clone(), first: first.path.clone() });
        }
        rows = rows.saturating_add(file.rows());
        bytes = bytes.saturating_add(file.stamp.bytes);
        if rows > bytes {
            let what = format!("it claims {} rows in {} bytes, more than there can be", file.rows(), file.stamp.bytes);
            return Err(SourceError::Damaged { path: file.path.clone(), what });
        }
    }
    Ok(())
}
