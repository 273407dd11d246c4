//! Images that get their labels from the rows of a table: named by it, or lying beside it.
//!
//! Rows without a file are listed as bad, never passed over. Knows nothing of how a table is written.

use super::{
    Kind, Place, Sample, Source, SourceError,
    folder::{Folder, Found, link_fault},
    table::{self, Table, is_table},
};
use crate::{
    decode::Fault,
    label::Label,
    manifest::Bad,
    storage::{self, Files, Stands},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
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
        let there = Files::below(&root).map_err(|source| SourceError::unreadable(&root, source))?;
        let (mut samples, mut bad) = (Vec::new(), Vec::new());
        for row in unique(&table)? {
            let file = root.join(&row.file);
            match (link_fault(&root, &file), there.stamp(&file)) {
                (Some(fault), _) => bad.push(Bad::new(&row.file, &fault)),
                (None, None) => bad.push(Bad::new(&row.file, &Fault::NoSuchFile)),
                (None, Some(stamp)) => samples.push(Sample {
                    label: Some(Label::Row(row.fields.clone())),
                    stretches: vec![row.stretch(0)],
                    ..Sample::new(row.file.clone(), stamp, Place::File(file))
                }),
            }
        }
        samples.sort_by(|a, b| a.key.cmp(&b.key));
        bad.sort_by(|a, b| a.key.cmp(&b.key));
        let key = path.strip_prefix(&root).ok().and_then(Path::to_str).map(str::to_owned);
        let key = key.unwrap_or_else(|| path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        let others = vec![Found { key, path: path.to_owned(), stamp: table.stamp }];
        let wholes = vec![table.whole()];
        Ok(Self { samples, bad, wholes, others, ..Self::empty(root, Kind::Table) })
    }

    /// A table inside the folder gives each image in its own folder or below its row; those without a row stay, without a
    /// label. Images that no table speaks for keep what they have.
    pub(super) fn label_by(&mut self, tables: Vec<Inner>) -> Result<(), SourceError> {
        let by_key: HashMap<String, usize> =
            self.samples.iter().enumerate().map(|(at, sample)| (sample.key.clone(), at)).collect();
        let mut bad: BTreeSet<String> = self.bad.iter().map(|bad| bad.key.clone()).collect();
        for (within, Inner { folder, table }) in (0..).zip(tables) {
            let below = self.samples.iter_mut().filter(|sample| sample.key.starts_with(&folder));
            below.for_each(|sample| (sample.label, sample.stretches) = (None, Vec::new()));
            for row in unique(&table)? {
                let key = format!("{folder}{}", row.file);
                if let Some(&at) = by_key.get(&key) {
                    self.samples[at].label = Some(Label::Row(row.fields.clone()));
                    self.samples[at].stretches = vec![row.stretch(within)];
                } else if bad.insert(key.clone()) {
                    // Else it is listed already, for another reason.
                    self.bad.push(Bad::new(key, &Fault::NoSuchFile));
                }
            }
            self.wholes.push(table.whole());
        }
        self.bad.sort_by(|a, b| a.key.cmp(&b.key));
        self.kind = Kind::Table;
        self.classes = Vec::new();
        Ok(())
    }
}

/// A table inside the folder, and what the keys of its images begin with: nothing, or its folder and a slash.
pub(super) struct Inner {
    folder: String,
    table: Table,
}

/// The folder's own table: one of the well-known names, or the only one there whose rows name images that are there. Where
/// there is none, those of its sub-folders, under the names that Hugging Face's ImageFolder gives them.
pub(super) fn tables_of(folder: &Folder) -> Result<Vec<Inner>, SourceError> {
    let tables = folder.others.iter().filter(|other| is_table(&other.path));
    let (below, top): (Vec<&Found>, Vec<&Found>) = tables.partition(|found| found.key.contains('/'));
    let own = |table: Table| vec![Inner { folder: String::new(), table }];
    for name in ["metadata.csv", "metadata.jsonl", "labels.csv"] {
        if let Some(found) = top.iter().find(|found| found.key == name) {
            return Ok(Table::read(&found.path)?.map(own).unwrap_or_default());
        }
    }
    // Some csv that has nothing to do with the images, or belongs to one of them, is left alone.
    if let [only] = top[..]
        && let Ok(Ok(table)) = Table::read(&only.path)
    {
        let is_there = |file: &str| folder.images.binary_search_by(|image| image.key.as_str().cmp(file)).is_ok();
        if table.rows.iter().any(|row| is_there(&row.file)) {
            return Ok(own(table));
        }
    }
    // By the folder: what lies deeper speaks later, and so has the last word.
    let mut inner: BTreeMap<&str, Table> = BTreeMap::new();
    for found in below {
        if let Some(folder) = ["metadata.csv", "metadata.jsonl"].iter().find_map(|name| found.key.strip_suffix(name))
            && folder.ends_with('/')
            && !inner.contains_key(folder)
            && let Ok(table) = Table::read(&found.path)?
        {
            inner.insert(folder, table);
        }
    }
    Ok(inner.into_iter().map(|(folder, table)| Inner { folder: folder.to_owned(), table }).collect())
}

/// Where the files of a table lie: in the folder of the same stem beside it, if there is one, else beside it.
fn folder_of(table: &Table) -> PathBuf {
    let beside = table.path.parent().unwrap_or(&table.path);
    let stem = table.path.file_stem().unwrap_or_default().to_string_lossy();
    let named = LABEL_ENDINGS.iter().filter_map(|end| stem.strip_suffix(end)).chain([stem.as_ref()]);
    let folder = named
        .filter(|name| !name.is_empty())
        .map(|name| beside.join(name))
        .find(|folder| matches!(storage::stands(folder), Ok(Stands::Folder)));
    let found = folder.unwrap_or_else(|| beside.to_owned());
    // The folder may itself be a link: what counts is where it leads.
    storage::canonical(&found).unwrap_or(found)
}

const LABEL_ENDINGS: [&str; 4] = ["-labels", "_labels", "-metadata", "_metadata"];

pub(super) fn table_beside(root: &Path) -> Option<PathBuf> {
    let name = root.file_name()?.to_str()?;
    let named = LABEL_ENDINGS.iter().map(|end| format!("{name}{end}.csv")).chain([format!("{name}.csv")]);
    named.map(|name| root.with_file_name(name)).find(|path| storage::stamp(path).is_ok())
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
