//! Images that get their labels from the rows of a table: named by it, or lying beside it.
//!
//! Rows without a file are listed as bad, never passed over. Knows nothing of how a table is written.

use super::{
    Kind, Place, Sample, Source, SourceError, Stamp,
    folder::{self, Folder, link_fault},
    table::{self, Table, is_table},
};
use crate::{decode::Fault, label::Label, manifest::Bad};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

impl Source {
    /// A table that was named itself: its rows are the samples, and nothing else is.
    pub(super) fn table(path: &Path) -> Result<Self, SourceError> {
        let table = Table::read(path)?
            .map_err(|columns| SourceError::NoFileColumn { path: path.to_owned(), columns: columns.join(", ") })?;
        if table.rows.is_empty() {
            return Err(SourceError::Empty { path: path.to_owned(), others: 0 });
        }
        let root = folder_of(&table);
        let (mut samples, mut bad) = (Vec::new(), Vec::new());
        for row in unique(&table)? {
            let file = root.join(&row.file);
            match (link_fault(&root, &file), fs::metadata(&file).ok().filter(fs::Metadata::is_file)) {
                (Some(fault), _) => bad.push(Bad::new(&row.file, &fault)),
                (None, None) => bad.push(Bad::new(&row.file, &Fault::NoSuchFile)),
                (None, Some(metadata)) => samples.push(Sample {
                    key: row.file.clone(),
                    label: Some(Label::Row(row.fields.clone())),
                    sidecars: Vec::new(),
                    stamp: Stamp::of(&metadata),
                    place: Place::File(file),
                    stretches: vec![row.stretch(0)],
                }),
            }
        }
        samples.sort_by(|a, b| a.key.cmp(&b.key));
        bad.sort_by(|a, b| a.key.cmp(&b.key));
        let wholes = vec![table.whole()];
        Ok(Self { samples, bad, wholes, table: Some(table.path), ..Self::empty(root, Kind::Table) })
    }

    /// A table inside the folder gives each image its row; images without a row stay, without a label.
    pub(super) fn label_by(&mut self, table: Table) -> Result<(), SourceError> {
        let by_key: HashMap<String, usize> =
            self.samples.iter().enumerate().map(|(at, sample)| (sample.key.clone(), at)).collect();
        self.samples.iter_mut().for_each(|sample| sample.label = None);
        for row in unique(&table)? {
            match by_key.get(&row.file) {
                Some(&at) => {
                    self.samples[at].label = Some(Label::Row(row.fields.clone()));
                    self.samples[at].stretches = vec![row.stretch(0)];
                }
                // Listed already, for another reason.
                None if self.bad.iter().any(|bad| bad.key == row.file) => {}
                None => self.bad.push(Bad::new(&row.file, &Fault::NoSuchFile)),
            }
        }
        self.bad.sort_by(|a, b| a.key.cmp(&b.key));
        self.kind = Kind::Table;
        self.classes = Vec::new();
        self.wholes = vec![table.whole()];
        self.table = Some(table.path);
        Ok(())
    }
}

/// The folder's own table: one of the well-known names, or the only one there whose rows name images that are there.
pub(super) fn table_of(folder: &Folder) -> Result<Option<Table>, SourceError> {
    let top = |found: &&folder::Found| !found.key.contains('/') && is_table(&found.path);
    let tables: Vec<&folder::Found> = folder.others.iter().filter(top).collect();
    for name in ["metadata.csv", "metadata.jsonl", "labels.csv"] {
        if let Some(found) = tables.iter().find(|found| found.key == name) {
            return Ok(Table::read(&found.path)?.ok());
        }
    }
    let [only] = tables[..] else { return Ok(None) };
    // Some csv that has nothing to do with the images, or belongs to one of them, is left alone.
    let Ok(Ok(table)) = Table::read(&only.path) else { return Ok(None) };
    let names_an_image =
        table.rows.iter().any(|row| folder.images.binary_search_by(|image| image.key.cmp(&row.file)).is_ok());
    Ok(Some(table).filter(|_| names_an_image))
}

/// Where the files of a table lie: in the folder of the same stem beside it, if there is one, else beside it.
fn folder_of(table: &Table) -> PathBuf {
    let beside = table.path.parent().unwrap_or(&table.path);
    let stem = table.path.file_stem().unwrap_or_default().to_string_lossy();
    let named = LABEL_ENDINGS.iter().filter_map(|end| stem.strip_suffix(end)).chain([stem.as_ref()]);
    let folder = named.filter(|name| !name.is_empty()).map(|name| beside.join(name)).find(|folder| folder.is_dir());
    let found = folder.unwrap_or_else(|| beside.to_owned());
    // The folder may itself be a link: what counts is where it leads.
    fs::canonicalize(&found).unwrap_or(found)
}

const LABEL_ENDINGS: [&str; 4] = ["-labels", "_labels", "-metadata", "_metadata"];

pub(super) fn table_beside(root: &Path) -> Option<PathBuf> {
    let name = root.file_name()?.to_str()?;
    let named = LABEL_ENDINGS.iter().map(|end| format!("{name}{end}.csv")).chain([format!("{name}.csv")]);
    named.map(|name| root.with_file_name(name)).find(|path| path.is_file())
}

/// The rows, once it is sure that no two name the same file.
fn unique(table: &Table) -> Result<&[table::Row], SourceError> {
    let mut seen: HashMap<&str, u64> = HashMap::new();
    for row in &table.rows {
        if let Some(first) = seen.insert(&row.file, row.line) {
            let (path, file) = (table.path.clone(), row.file.clone());
            return Err(SourceError::NamedTwice { path, file, first, second: row.line });
        }
    }
    Ok(&table.rows)
}
