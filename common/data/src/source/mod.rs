//! What is there: any data set a user has, as one list of samples in one stable order (by the bytes of their keys).
//!
//! [`Source::look`] recognises the kind by content and decodes nothing; [`Source::picture`] decodes one sample. Knows
//! nothing of the shape a job wants, and writes nothing.

mod error;
mod folder;
mod idx;
mod inspection;
mod npy;
mod stack;
mod table;

pub use error::SourceError;
pub use inspection::{Inspection, LabelSummary, SizeCount};

use crate::{
    decode::{self, FILE_BYTES_MAX, Fault},
    label::Label,
    manifest::Bad,
    picture::Picture,
};
use folder::{Folder, link_fault, start_of};
use serde::{Deserialize, Serialize};
use stack::Stack;
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};
use table::{Table, is_table};

/// A data set as it lies there.
#[derive(Debug)]
pub struct Source {
    root: PathBuf,
    kind: Kind,
    samples: Vec<Sample>,
    bad: Vec<Bad>,
    classes: Vec<String>,
    stack: Option<Stack>,
    table: Option<PathBuf>,
    /// A table beside the folder, which nobody asked for but which may be what was meant.
    table_beside: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A single image file.
    Image,
    /// Images anywhere under a folder, with or without files of the same stem.
    Folder,
    /// Each sub-folder is a class.
    ClassFolders,
    /// Images named by the rows of a table.
    Table,
    Idx,
    Npy,
}

/// One image that is there, readable or not.
#[derive(Debug)]
pub struct Sample {
    /// Relative to the source's root, with `/`; the number in a stack, with leading zeros.
    pub key: String,
    pub label: Option<Label>,
    /// Files of the same stem, relative to the root, whatever the label is.
    pub sidecars: Vec<String>,
    stamp: Stamp,
    place: Place,
}

#[derive(Debug)]
enum Place {
    File(PathBuf),
    Record(u64),
}

/// What tells that a file has not been touched since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Stamp {
    bytes: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self { bytes: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

/// Why a sample could not be read.
#[derive(Debug)]
pub enum Unread {
    /// Its content is bad, on this machine as on any other.
    Fault(Fault),
    /// The disk or the network failed; the content may be fine.
    Io { path: PathBuf, source: io::Error },
}

impl Source {
    /// Finds out what `path` is and lists it: a folder, a csv or jsonl table, an idx or npy file, or one image.
    pub fn look(path: &Path) -> Result<Self, SourceError> {
        let root = fs::canonicalize(path).map_err(|source| SourceError::unreadable(path, source))?;
        if root.is_dir() { Self::folder(root) } else { Self::file(&root) }
    }

    fn file(path: &Path) -> Result<Self, SourceError> {
        if is_table(path) {
            return Self::table(path);
        }
        let start = start_of(path)?;
        if npy::is_npy(&start) {
            return Self::stack(path, Kind::Npy, npy::stack(path)?, None);
        }
        if idx::is_images(path) {
            let stack = idx::stack(path)?;
            let labels = idx::labels(path, stack.count)?;
            return Self::stack(path, Kind::Idx, stack, labels);
        }
        if !decode::looks_like_an_image(&start) {
            return Err(SourceError::NotRecognised { path: path.to_owned() });
        }
        let root = path.parent().unwrap_or(path).to_owned();
        let key = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stamp = Stamp::of(&fs::metadata(path).map_err(|source| SourceError::unreadable(path, source))?);
        let sample = Sample { key, label: None, sidecars: Vec::new(), stamp, place: Place::File(path.to_owned()) };
        Ok(Self { samples: vec![sample], ..Self::empty(root, Kind::Image) })
    }

    fn folder(root: PathBuf) -> Result<Self, SourceError> {
        let mut folder = Folder::walk(&root)?;
        if folder.images.is_empty() && folder.bad.is_empty() {
            return Self::only_stack(&root, &folder);
        }
        let table = table_of(&folder)?;
        let bad = std::mem::take(&mut folder.bad);
        let (samples, classes) = folder.samples();
        let kind = if classes.is_some() { Kind::ClassFolders } else { Kind::Folder };
        let mut classes: Vec<(String, u32)> = classes.unwrap_or_default().into_iter().collect();
        classes.sort_by_key(|(_, index)| *index);
        let classes = classes.into_iter().map(|(name, _)| name).collect();
        let table_beside = table_beside(&root);
        let mut source = Self { samples, bad, classes, table_beside, ..Self::empty(root, kind) };
        if let Some(table) = table {
            source.label_by(table)?;
        }
        Ok(source)
    }

    /// A folder without images that holds exactly one stack stands for that stack.
    fn only_stack(root: &Path, folder: &Folder) -> Result<Self, SourceError> {
        let likely =
            |key: &str| !key.contains('/') && [".npy", ".gz", "ubyte", "idx"].iter().any(|part| key.contains(part));
        let mut stacks = Vec::new();
        for other in folder.others.iter().filter(|other| likely(&other.key)) {
            if npy::is_npy(&start_of(&other.path)?) || idx::is_images(&other.path) {
                stacks.push(other);
            }
        }
        match stacks[..] {
            [] => Err(SourceError::Empty { path: root.to_owned(), others: folder.others.len() }),
            [stack] => Self::file(&stack.path),
            _ => Err(SourceError::SeveralStacks {
                path: root.to_owned(),
                names: stacks.iter().map(|stack| stack.key.as_str()).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    fn stack(path: &Path, kind: Kind, stack: Stack, classes: Option<Vec<u8>>) -> Result<Self, SourceError> {
        let stamp = Stamp::of(&fs::metadata(path).map_err(|source| SourceError::unreadable(path, source))?);
        let label = |at: u64| {
            let index = u32::from(*classes.as_ref()?.get(at as usize)?);
            Some(Label::Class { index, name: index.to_string() })
        };
        let sample = |at: u64| Sample {
            key: format!("{at:08}"),
            label: label(at),
            sidecars: Vec::new(),
            stamp,
            place: Place::Record(at),
        };
        let samples: Vec<Sample> = (0..stack.count).map(sample).collect();
        if samples.is_empty() {
            return Err(SourceError::Empty { path: path.to_owned(), others: 0 });
        }
        let names: BTreeMap<u8, String> = classes.iter().flatten().map(|&index| (index, index.to_string())).collect();
        let classes = names.into_values().collect();
        Ok(Self { samples, classes, stack: Some(stack), ..Self::empty(path.to_owned(), kind) })
    }

    /// A table that was named itself: its rows are the samples, and nothing else is.
    fn table(path: &Path) -> Result<Self, SourceError> {
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
                }),
            }
        }
        samples.sort_by(|a, b| a.key.cmp(&b.key));
        bad.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { samples, bad, table: Some(table.path), ..Self::empty(root, Kind::Table) })
    }

    /// A table inside the folder gives each image its row; images without a row stay, without a label.
    fn label_by(&mut self, table: Table) -> Result<(), SourceError> {
        let by_key: HashMap<String, usize> =
            self.samples.iter().enumerate().map(|(at, sample)| (sample.key.clone(), at)).collect();
        self.samples.iter_mut().for_each(|sample| sample.label = None);
        for row in unique(&table)? {
            match by_key.get(&row.file) {
                Some(&at) => self.samples[at].label = Some(Label::Row(row.fields.clone())),
                // Listed already, for another reason.
                None if self.bad.iter().any(|bad| bad.key == row.file) => {}
                None => self.bad.push(Bad::new(&row.file, &Fault::NoSuchFile)),
            }
        }
        self.bad.sort_by(|a, b| a.key.cmp(&b.key));
        self.kind = Kind::Table;
        self.classes = Vec::new();
        self.table = Some(table.path);
        Ok(())
    }

    fn empty(root: PathBuf, kind: Kind) -> Self {
        let (samples, bad, classes) = (Vec::new(), Vec::new(), Vec::new());
        Self { root, kind, samples, bad, classes, stack: None, table: None, table_beside: None }
    }

    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What keys are relative to: a folder; for a stack the file itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// What was seen to be unusable without decoding anything: broken links, rows without a file.
    #[must_use]
    pub fn bad(&self) -> &[Bad] {
        &self.bad
    }

    /// The table that labels come from.
    #[must_use]
    pub fn table_path(&self) -> Option<&Path> {
        self.table.as_deref()
    }

    pub(crate) fn table_beside(&self) -> Option<&Path> {
        self.table_beside.as_deref()
    }

    /// The image file of a sample; none in a stack.
    #[must_use]
    pub fn file_of(&self, at: usize) -> Option<&Path> {
        match &self.samples[at].place {
            Place::File(path) => Some(path),
            Place::Record(_) => None,
        }
    }

    /// One sample, decoded, in its own size and depth.
    pub fn picture(&self, at: usize) -> Result<Picture, Unread> {
        match (&self.samples[at].place, &self.stack) {
            (Place::File(path), _) => decode::decode(&encoded(path)?).map_err(Unread::Fault),
            (Place::Record(record), Some(stack)) => {
                let bytes = stack.record(*record).map_err(|source| Unread::Io { path: self.root.clone(), source })?;
                stack.picture(&bytes).map_err(Unread::Fault)
            }
            (Place::Record(_), None) => unreachable!("records are listed together with their stack"),
        }
    }

    /// What every file of the listing looked like from outside: equal as long as nothing was touched.
    pub(crate) fn listing(&self) -> impl Iterator<Item = (&str, Stamp, Option<&Label>)> {
        self.samples.iter().map(|sample| (sample.key.as_str(), sample.stamp, sample.label.as_ref()))
    }
}

/// A whole image file, capped before it is read.
fn encoded(path: &Path) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|source| Unread::Io { path: path.to_owned(), source })?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let bytes = fs::metadata(path).map_or(bytes.len() as u64, |metadata| metadata.len());
        return Err(Unread::Fault(Fault::TooBig { bytes }));
    }
    Ok(bytes)
}

/// The folder's own table: one of the well-known names, or the only one there whose rows name images that are there.
fn table_of(folder: &Folder) -> Result<Option<Table>, SourceError> {
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

fn table_beside(root: &Path) -> Option<PathBuf> {
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
