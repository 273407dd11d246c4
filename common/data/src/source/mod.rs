//! What is there: any data set a user has, as one list of samples in one stable order: by the bytes of their keys, in a tar
//! and a stack as they lie.
//!
//! [`Source::look`] recognises the kind by content and decodes nothing; [`Source::picture`] decodes one sample. Knows
//! nothing of the shape a job wants, and writes nothing.

mod array;
mod contents;
mod error;
mod folder;
#[cfg_attr(not(feature = "hdf5"), path = "without_hdf5.rs")]
mod hdf5;
mod held;
mod idx;
mod inspection;
mod listing;
mod named;
mod npy;
mod original;
#[cfg_attr(not(feature = "parquet"), path = "without_parquet.rs")]
mod parquet;
mod pattern;
mod restack;
mod roll;
mod rows;
mod shard;
mod stack;
mod table;
mod tub;
mod zip;
mod zipping;

pub use error::SourceError;
pub use inspection::{Inspection, LabelSummary, SizeCount};
pub use original::{Form, Original, Piece};
pub use roll::Roll;

pub(crate) use contents::Stamp;
pub(crate) use folder::{IMAGE_ENDINGS, split, stem};
pub(crate) use held::Held;
pub(crate) use listing::{Head, NotUtf8};
pub(crate) use original::Whole;
pub(crate) use parquet::Unwritten;
pub(crate) use roll::NoRun;

use crate::{
    decode::{self, Fault},
    label::Label,
    manifest::Bad,
    picture::Picture,
    refined,
    storage::{self, Stands},
};
use array::{Labels, is_npy};
use folder::{Folder, Found, start_of};
use named::{is_hdf5, is_parquet, named_parquet};
use original::Stretch;
use parquet::Parquets;
use rows::{table_beside, tables_of};
use serde::{Deserialize, Serialize};
use shard::{Shard, is_shard};
use stack::Stack;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use table::{Table, is_table};
use tub::Tubs;

/// (column, text), in the table's order.
pub type Fields = Vec<(String, String)>;

/// The rows of a table that lies beside a data set, wherever that is: which file each names, and its fields.
pub fn table(path: &Path) -> Result<Vec<(String, Fields)>, SourceError> {
    let table = Table::read(path)?.map_err(|columns| SourceError::Damaged {
        path: path.to_owned(),
        what: format!("none of its columns names files: {}", columns.join(", ")),
    })?;
    Ok(table.rows.into_iter().map(|row| (row.file, row.fields)).collect())
}

/// A data set as it lies there.
#[derive(Debug)]
pub struct Source {
    root: PathBuf,
    kind: Kind,
    samples: Vec<Sample>,
    /// Tars that were found and not looked into yet.
    unlisted: Vec<Shard>,
    bad: Vec<Bad>,
    classes: Vec<String>,
    stack: Option<Stack>,
    /// Arrays with a record for each record of the stack.
    labels: Vec<Labels>,
    /// The HDF5 file that the images lie in.
    set: Option<Arc<hdf5::Set>>,
    /// The parquet files that the images lie in, as they are read.
    parquets: Option<Arc<Parquets>>,
    /// The files that hold stretches or rows: tars, tables, parquet files; of a stack its own, then those of its labels.
    wholes: Vec<Whole>,
    /// Those of them that lie on another machine and were read from.
    open: Mutex<HashMap<u32, Held>>,
    /// What else lies in the folder and belongs to no single image.
    others: Vec<Found>,
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
    /// What donkeycar records.
    Tub,
    /// WebDataset: tars of samples.
    Tar,
    Idx,
    Npy,
    Npz,
    Hdf5,
    Parquet,
}

/// One image that is there, readable or not.
#[derive(Debug)]
pub struct Sample {
    /// Relative to the source's root, with `/`, in a tar without its ending; the number in a stack, with leading zeros.
    pub key: String,
    pub label: Option<Label>,
    /// Files of the same stem, relative to the root, whatever the label is.
    pub sidecars: Vec<String>,
    /// Of each of them.
    sidecar_stamps: Vec<Stamp>,
    stamp: Stamp,
    place: Place,
    /// Where its label's bytes lie, if inside larger files: its row, or one stretch for each member of the label.
    stretches: Vec<Stretch>,
    /// Another sample would have the same name, were it not for the ending. Known of frozen inputs only.
    pub(crate) is_twin: bool,
}

#[derive(Debug)]
enum Place {
    File(PathBuf),
    Record(u64),
    Stretch(Stretch),
    /// An array of its own, named by the key; so many come before it.
    Dataset(u64),
    /// In one of the source's [`Whole`]s.
    Row {
        within: u32,
        row: u64,
    },
}

/// Where a row of a parquet file is.
pub(crate) struct Row<'a> {
    /// The file's place under a mirror's root.
    pub file: String,
    pub whole: &'a Whole,
}

impl Sample {
    /// Without anything beside it.
    fn new(key: String, stamp: Stamp, place: Place) -> Self {
        Self {
            key,
            label: None,
            sidecars: Vec::new(),
            sidecar_stamps: Vec::new(),
            stamp,
            place,
            stretches: Vec::new(),
            is_twin: false,
        }
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
    /// Finds out what `path` is and lists it: a folder, a csv or jsonl table, a tar or a pattern of tars
    /// (`train-{000..127}.tar`, `train-*.tar`), an idx, npy or npz file, an array of an npz (`set.npz/x_train`), a parquet file
    /// or a pattern of these, a column of one (`set.parquet/image`), or one image.
    pub fn look(path: &Path) -> Result<Self, SourceError> {
        let mut source = Self::found(path)?;
        source.list_tars(|source, samples| {
            source.samples.extend(samples);
            Ok::<_, SourceError>(())
        })?;
        Ok(source)
    }

    /// Tars are not looked into yet.
    fn found(path: &Path) -> Result<Self, SourceError> {
        let root = match storage::canonical(path) {
            Ok(root) => root,
            Err(source) => {
                return Self::named(path).unwrap_or_else(|| Err(SourceError::unreadable(path, source)));
            }
        };
        match storage::stands(&root) {
            Ok(Stands::Folder) => Self::folder(root),
            Ok(Stands::File(_)) => Self::file(&root),
            Err(source) => Err(SourceError::unreadable(&root, source)),
        }
    }

    fn file(path: &Path) -> Result<Self, SourceError> {
        if is_table(path) {
            return Self::table(path);
        }
        if is_shard(path) {
            return Self::shard(path);
        }
        let start = start_of(path)?;
        if is_npy(&start) {
            return Self::npy(path);
        }
        if is_hdf5(&start) {
            return Self::hdf5(path, None, None);
        }
        if is_parquet(&start) || named_parquet(path) {
            return Self::parquet_file(path, None);
        }
        if zip::is_zip(&start) && npy::is_npz(path) {
            return Self::npz(path, None);
        }
        if idx::is_images(path) {
            let stack = idx::stack(path)?;
            let labels = idx::labels(path, stack.count)?;
            let (labels, beside): (Option<Vec<u8>>, _) = labels.unzip();
            let classes = labels.map(|labels| labels.into_iter().map(u32::from).collect());
            let mut source = Self::stack(path, Kind::Idx, stack, classes)?;
            source.wholes.extend(beside);
            return Ok(source);
        }
        if !decode::looks_like_an_image(&start) {
            return Err(SourceError::NotRecognised { path: path.to_owned() });
        }
        let root = path.parent().unwrap_or(path).to_owned();
        let key = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stamp = storage::stamp(path).map_err(|source| SourceError::unreadable(path, source))?;
        let place = Place::File(path.to_owned());
        Ok(Self { samples: vec![Sample::new(key, stamp, place)], ..Self::empty(root, Kind::Image) })
    }

    fn folder(root: PathBuf) -> Result<Self, SourceError> {
        if refined::is_under_way(&root) {
            return Err(SourceError::HalfWritten { path: root });
        }
        let mut folder = Folder::walk(&root)?;
        folder.others = beside(&root, folder.others);
        if folder.images.is_empty() {
            let stacks = npy::stacks(&folder)?;
            match (folder.shards(), folder.parquets()) {
                (Some(shards), _) if stacks.is_empty() => return Ok(Self::shards(root, shards, folder.bad)),
                (None, Some(files)) if stacks.is_empty() && folder.bad.is_empty() => {
                    return Self::parquet_folder(root, folder, files, None);
                }
                _ if folder.bad.is_empty() => return Self::only_stack(&root, &stacks, folder.others.len()),
                _ => {}
            }
        }
        let tables = tables_of(&folder)?;
        let tubs = Tubs::of(&folder);
        let bad = std::mem::take(&mut folder.bad);
        let (samples, classes) = folder.samples();
        let kind = if classes.is_some() { Kind::ClassFolders } else { Kind::Folder };
        let mut classes: Vec<(String, u32)> = classes.unwrap_or_default().into_iter().collect();
        classes.sort_by_key(|(_, index)| *index);
        let classes = classes.into_iter().map(|(name, _)| name).collect();
        let table_beside = table_beside(&root);
        let mut source = Self { samples, bad, classes, table_beside, ..Self::empty(root, kind) };
        if !tables.is_empty() {
            source.label_by(tables)?;
        } else if let Some(tubs) = tubs {
            source.label_by_tubs(&tubs)?;
        }
        let beside: HashSet<&String> = source.samples.iter().flat_map(|sample| &sample.sidecars).collect();
        folder.others.retain(|other| !beside.contains(&other.key));
        source.others = folder.others;
        Ok(source)
    }

    /// A folder without images that holds exactly one stack stands for that stack.
    fn only_stack(root: &Path, stacks: &[&Path], others: usize) -> Result<Self, SourceError> {
        match stacks {
            [] => Err(SourceError::Empty { path: root.to_owned(), others }),
            [stack] => Self::file(stack),
            _ => {
                let name = |path: &&Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let names = stacks.iter().map(name).collect::<Vec<_>>().join(", ");
                Err(SourceError::SeveralStacks { path: root.to_owned(), names })
            }
        }
    }

    fn stack(path: &Path, kind: Kind, stack: Stack, classes: Option<Vec<u32>>) -> Result<Self, SourceError> {
        let stamp = storage::stamp(path).map_err(|source| SourceError::unreadable(path, source))?;
        let label = |at: u64| {
            let index = *classes.as_ref()?.get(at as usize)?;
            Some(Label::Class { index, name: index.to_string() })
        };
        let sample = |at: u64| Sample { label: label(at), ..Sample::new(format!("{at:08}"), stamp, Place::Record(at)) };
        let samples: Vec<Sample> = (0..stack.count).map(sample).collect();
        if samples.is_empty() {
            return Err(SourceError::Empty { path: path.to_owned(), others: 0 });
        }
        let names: BTreeMap<u32, String> = classes.iter().flatten().map(|&index| (index, index.to_string())).collect();
        let classes = names.into_values().collect();
        let wholes = vec![Whole { path: path.to_owned(), stamp }];
        Ok(Self { samples, classes, stack: Some(stack), wholes, ..Self::empty(path.to_owned(), kind) })
    }

    fn empty(root: PathBuf, kind: Kind) -> Self {
        Self {
            root,
            kind,
            samples: Vec::new(),
            unlisted: Vec::new(),
            bad: Vec::new(),
            classes: Vec::new(),
            stack: None,
            labels: Vec::new(),
            set: None,
            parquets: None,
            wholes: Vec::new(),
            open: Mutex::default(),
            others: Vec::new(),
            table_beside: None,
        }
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

    /// Whether another machine is asked for each of its images: each answer takes a while, and many take no longer than one.
    #[must_use]
    pub fn is_asked_for_each(&self) -> bool {
        storage::is_remote(&self.root) && self.samples.iter().any(|sample| matches!(sample.place, Place::File(_)))
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

    /// The tables that labels come from, if they come from tables.
    pub fn tables(&self) -> impl Iterator<Item = &Path> {
        self.wholes.iter().filter(|_| self.kind == Kind::Table).map(|whole| whole.path.as_path())
    }

    pub(crate) fn table_beside(&self) -> Option<&Path> {
        self.table_beside.as_deref()
    }

    /// The image file of a sample; none in a stack or a tar.
    #[must_use]
    pub fn file_of(&self, at: usize) -> Option<&Path> {
        match &self.samples[at].place {
            Place::File(path) => Some(path),
            Place::Record(_) | Place::Stretch(_) | Place::Dataset(_) | Place::Row { .. } => None,
        }
    }

    /// The row of a sample in a parquet file.
    pub(crate) fn row(&self, at: usize) -> Option<Row<'_>> {
        let Place::Row { within, .. } = self.samples[at].place else { return None };
        let whole = &self.wholes[within as usize];
        let own = || whole.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = self.samples[at].key.rsplit_once('/').map_or_else(own, |(file, _)| file.to_owned());
        Some(Row { file, whole })
    }

    /// One sample, decoded, in its own size and depth.
    pub fn picture(&self, at: usize) -> Result<Picture, Unread> {
        if matches!(self.samples[at].place, Place::Dataset(_)) {
            let (stack, bytes) = self.dataset(at)?;
            return stack.picture(&bytes).map_err(Unread::Fault);
        }
        let bytes = self.image_bytes(at)?;
        match (&self.samples[at].place, &self.stack) {
            (Place::Record(_), Some(stack)) => stack.picture(&bytes),
            _ => decode::decode(&bytes),
        }
        .map_err(Unread::Fault)
    }

    /// What every file of the listing looked like from outside: equal as long as nothing was touched.
    pub(crate) fn listing(&self) -> impl Iterator<Item = (&str, Stamp, Option<&Label>)> {
        self.samples.iter().map(|sample| (sample.key.as_str(), sample.stamp, sample.label.as_ref()))
    }
}

/// What lies beside the images. What a refinement wrote about its images is about none of them.
fn beside(root: &Path, mut others: Vec<Found>) -> Vec<Found> {
    if refined::is_sealed(root) {
        others.retain(|other| !refined::OWN_NAMES.contains(&other.key.as_str()));
    }
    others
}
