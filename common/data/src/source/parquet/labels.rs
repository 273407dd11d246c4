//! What the rows of a parquet file say about its images: a label for the listing, the pieces that are carried along.
//!
//! A path beside an image is its name, and no label by itself. Knows nothing of how columns are stored.

use super::{
    broken::Broken,
    columns::Columns,
    file::Parquet,
    rows::each_row,
    told::{object, plain, whole},
};
use crate::{label::Label, source::Piece};
use parquet::record::Field;
use std::collections::HashSet;

/// Most bytes of rows that are kept in a listing, of one file; longer ones are only named.
const LISTED_BYTES_MAX: u64 = 64 << 20;
/// Most bytes of the rows of one row group.
const TOLD_BYTES_MAX: usize = 256 << 20;

/// One row in words.
#[derive(Debug, Default)]
pub(super) struct Told {
    class: Option<u32>,
    /// All of it, if it says more than the class.
    json: Option<String>,
}

impl Told {
    fn of(columns: &Columns, mut row: Vec<(String, Field)>) -> Self {
        let class = class_of(columns, &row);
        row.retain(|(name, value)| !columns.is_bytes(name) || has_path(value));
        let says_more = |(name, _): &(String, Field)| !columns.is_bytes(name) && !columns.is_class(name);
        let json = row.iter().any(says_more).then(|| {
            let mut json = String::new();
            object(row.iter().map(|(name, value)| (name.as_str(), value)), &mut json);
            json
        });
        Self { class, json }
    }

    /// A class as its index, as WebDataset writes it, and the row.
    pub(super) fn pieces(&self) -> Vec<Piece> {
        let class = self.class.map(|class| Piece { ending: "cls".to_owned(), bytes: class.to_string().into_bytes() });
        let row = self.json.as_ref().map(|json| Piece { ending: "json".to_owned(), bytes: json.clone().into_bytes() });
        class.into_iter().chain(row).collect()
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.json.as_ref().map_or(0, String::len)
    }
}

/// The rows of one group, and how many bytes they take.
pub(super) fn told(file: &Parquet, group: usize) -> Result<(Vec<Told>, u64), Broken> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    let Some(schema) = &file.columns.told else { return Ok((rows, 0)) };
    each_row(file, group, schema, |row| {
        let told = Told::of(&file.columns, row);
        bytes += told.bytes();
        rows.push(told);
        if bytes > TOLD_BYTES_MAX {
            let what = format!("the labels of one row group are more than the {TOLD_BYTES_MAX} bytes that are read");
            return Err(Broken::of(format!("{what}: write it with smaller row groups")));
        }
        Ok(())
    })?;
    Ok((rows, bytes as u64))
}

/// The labels of all rows: their classes, if that is what they have; else themselves. `None` if they are too long to be listed.
pub(super) fn listed(file: &Parquet) -> Result<Option<Vec<Option<Label>>>, Broken> {
    let columns = &file.columns;
    let (class, told) = (columns.class_alone(), columns.told.clone());
    let is_class = class.is_some();
    let Some(schema) = class.or(told).filter(|_| is_class || columns.says_more()) else {
        return Ok(columns.blobs.is_empty().then(|| vec![None; file.rows() as usize]));
    };
    let leaves: HashSet<&[String]> = schema.columns().iter().map(|column| column.path().parts()).collect();
    let groups = file.metadata.row_groups();
    let pieces =
        groups.iter().flat_map(|group| group.columns()).filter(|column| leaves.contains(column.column_path().parts()));
    let bytes =
        pieces.fold(0, |sum: u64, column| sum.saturating_add(column.uncompressed_size().try_into().unwrap_or(0)));
    if !is_class && bytes > LISTED_BYTES_MAX {
        return Ok(None);
    }
    let (mut labels, mut bytes) = (Vec::new(), 0);
    for group in 0..groups.len() {
        each_row(file, group, &schema, |row| {
            let label = if is_class {
                class_of(columns, &row).map(|index| classed(columns, index))
            } else {
                row_of(columns, row)
            };
            if let Some(Label::Row(fields)) = &label {
                bytes += fields.iter().map(|(name, text)| (name.len() + text.len()) as u64).sum::<u64>();
            }
            // They are dropped as they come, once it is known that they are too long.
            if bytes <= LISTED_BYTES_MAX {
                labels.push(label);
            }
            Ok(())
        })?;
        if bytes > LISTED_BYTES_MAX {
            return Ok(None);
        }
    }
    Ok(Some(labels))
}

fn classed(columns: &Columns, index: u32) -> Label {
    let names = columns.class.iter().flat_map(|class| &class.names);
    let name = names.clone().nth(index as usize).cloned();
    Label::Class { index, name: name.unwrap_or_else(|| index.to_string()) }
}

/// Below nought stands for none: `datasets` writes -1 where nobody knows.
fn class_of(columns: &Columns, row: &[(String, Field)]) -> Option<u32> {
    let (_, value) = row.iter().find(|(name, _)| columns.is_class(name))?;
    u32::try_from(whole(value)?).ok()
}

fn row_of(columns: &Columns, mut row: Vec<(String, Field)>) -> Option<Label> {
    row.retain(|(name, value)| !columns.is_bytes(name) || has_path(value));
    let fields = row.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
    Some(Label::Row(fields))
}

/// Of a group of bytes and path only the path is told.
fn has_path(value: &Field) -> bool {
    matches!(value, Field::Group(group) if group.get_column_iter().any(|(_, path)| *path != Field::Null))
}
