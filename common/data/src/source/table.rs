//! Tables that name images: csv (comma, semicolon or tab) and jsonl, with one row per image.
//!
//! Rows are carried as they are; which column means what is the user's business, except the one that names the file.

use super::{
    SourceError, Stamp,
    contents::contents,
    original::{Stretch, Whole},
};
use std::{
    ops::Range,
    path::{Path, PathBuf},
};

/// Most bytes of a table.
pub(super) const TABLE_BYTES_MAX: u64 = 512 << 20;
/// Most bytes that the rows of a table take in memory, where each of them has the names of its columns.
const ROWS_BYTES_MAX: usize = 4 << 30;
/// Columns that may name the file, best first.
const FILE_COLUMNS: [&str; 7] = ["file_name", "file", "filename", "image", "path", "image_path", "img"];

#[derive(Debug)]
pub(super) struct Table {
    pub path: PathBuf,
    /// As it was when it was read.
    pub stamp: Stamp,
    pub rows: Vec<Row>,
}

#[derive(Debug)]
pub(super) struct Row {
    /// Counted from 1, as editors do.
    pub line: u64,
    /// With `/`, without a leading `./`; inside the folder.
    pub file: String,
    pub fields: Vec<(String, String)>,
    /// Where it lies in the table, without its line's end.
    span: Range<usize>,
}

/// A row as it was parsed.
struct Record {
    line: u64,
    fields: Vec<(String, String)>,
    span: Range<usize>,
}

pub(super) fn is_table(path: &Path) -> bool {
    super::folder::ending(path).is_some_and(|ending| matches!(ending.as_str(), "csv" | "tsv" | "jsonl"))
}

impl Table {
    /// `Ok(None)`: it is a table, but no column names files.
    pub(super) fn read(path: &Path) -> Result<Result<Self, Vec<String>>, SourceError> {
        let damaged = |what: String| SourceError::Damaged { path: path.to_owned(), what };
        let read = contents(path, TABLE_BYTES_MAX).map_err(|source| SourceError::unreadable(path, source))?;
        let (text, stamp) = read
            .map_err(|_| damaged(format!("it has more than the {TABLE_BYTES_MAX} bytes that are read of a table")))?;
        let text = String::from_utf8(text).map_err(|_| damaged("it is not valid UTF-8".to_owned()))?;
        let mark = text.strip_prefix('\u{feff}').map_or(0, |rest| text.len() - rest.len());
        let text = &text[mark..];
        let records = if super::folder::ending(path).as_deref() == Some("jsonl") { jsonl(text) } else { csv(text) };
        let (columns, records) = records.map_err(|(line, what)| damaged(format!("line {line}: {what}")))?;
        let has = |wanted: &str| columns.iter().any(|column| column.eq_ignore_ascii_case(wanted));
        let Some(file_column) = FILE_COLUMNS.iter().find(|wanted| has(wanted)) else { return Ok(Err(columns)) };

        let mut rows = Vec::with_capacity(records.len());
        for Record { line, fields, span } in records {
            let named = fields.iter().find(|(column, _)| column.eq_ignore_ascii_case(file_column));
            let Some((_, name)) = named.filter(|(_, name)| !name.is_empty()) else {
                return Err(damaged(format!("line {line} names no file in column {file_column}")));
            };
            let file = inside(name).ok_or_else(|| SourceError::RowLeadsOut {
                path: path.to_owned(),
                line,
                file: name.clone(),
            })?;
            rows.push(Row { line, file, fields, span: span.start + mark..span.end + mark });
        }
        Ok(Ok(Self { path: path.to_owned(), stamp, rows }))
    }

    pub(super) fn whole(&self) -> Whole {
        Whole { path: self.path.clone(), stamp: self.stamp }
    }
}

impl Row {
    /// In the table's whole.
    pub(super) fn stretch(&self, within: u32) -> Stretch {
        Stretch { within, begin: self.span.start as u64, bytes: self.span.len() as u64 }
    }
}

/// A relative path that stays inside, with `/`.
pub(super) fn inside(name: &str) -> Option<String> {
    let name = name.replace('\\', "/");
    let parts: Vec<&str> = name.split('/').filter(|part| *part != ".").collect();
    let stays = parts.iter().all(|part| !part.is_empty() && *part != ".." && !part.contains('\0'));
    stays.then(|| parts.join("/"))
}

type Records = Result<(Vec<String>, Vec<Record>), (u64, String)>;

/// What memory is left for rows.
struct Room(usize);

impl Room {
    /// For so many fields, with their names and their text.
    fn take(&mut self, fields: usize, text: usize) -> Result<(), String> {
        let wanted = fields * size_of::<(String, String)>() + text;
        self.0 = self.0.checked_sub(wanted).ok_or_else(|| {
            format!("the rows up to here take more than {ROWS_BYTES_MAX} bytes in memory: split the table, or take columns out")
        })?;
        Ok(())
    }
}

fn csv(text: &str) -> Records {
    let head = text.lines().next().unwrap_or_default();
    let often = |mark: char| head.matches(mark).count();
    let delimiter = [',', ';', '\t'].into_iter().max_by_key(|&mark| (often(mark), mark == ',')).unwrap_or(',');
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter as u8).trim(csv::Trim::All).from_reader(text.as_bytes());
    let at = |error: &csv::Error| error.position().map_or(1, csv::Position::line);
    let columns: Vec<String> =
        reader.headers().map_err(|error| (at(&error), error.to_string()))?.iter().map(str::to_owned).collect();
    let columns_bytes: usize = columns.iter().map(String::len).sum();
    let (mut records, mut room) = (Vec::new(), Room(ROWS_BYTES_MAX));
    let mut begin = reader.position().byte() as usize;
    let mut rows = reader.into_records();
    while let Some(record) = rows.next() {
        let record = record.map_err(|error| match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                (at(&error), format!("{len} fields where the header has {expected_len}"))
            }
            _ => (at(&error), error.to_string()),
        })?;
        let line = record.position().map_or(0, csv::Position::line);
        room.take(columns.len(), columns_bytes + record.as_slice().len()).map_err(|what| (line, what))?;
        let fields = columns.iter().cloned().zip(record.iter().map(str::to_owned)).collect();
        let end = rows.reader().position().byte() as usize;
        // Blank lines and line ends belong to nobody.
        let row = text[begin..end].trim_start_matches(['\r', '\n']);
        let begins = end - row.len();
        records.push(Record { line, fields, span: begins..begins + row.trim_end_matches(['\r', '\n']).len() });
        begin = end;
    }
    Ok((columns, records))
}

fn jsonl(text: &str) -> Records {
    let mut columns = Vec::new();
    let (mut records, mut room) = (Vec::new(), Room(ROWS_BYTES_MAX));
    let mut begin = 0;
    for (line, with_end) in (1..).zip(text.split_inclusive('\n')) {
        let row = with_end.trim_end_matches(['\r', '\n']);
        let span = begin..begin + row.len();
        begin += with_end.len();
        if row.trim().is_empty() {
            continue;
        }
        let fields = json_fields(row).map_err(|what| (line, what))?;
        room.take(fields.len(), row.len()).map_err(|what| (line, what))?;
        if columns.is_empty() {
            columns = fields.iter().map(|(column, _)| column.clone()).collect();
        }
        records.push(Record { line, fields, span });
    }
    Ok((columns, records))
}

/// The fields of one JSON object as text: strings without their quotes, all else as JSON writes it.
pub(super) fn json_fields(text: &str) -> Result<Vec<(String, String)>, String> {
    use serde_json::{Map, Value};
    let row: Map<String, Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let plain = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(row.into_iter().map(|(column, value)| (column, plain(value))).collect())
}
