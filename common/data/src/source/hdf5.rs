//! HDF5, read without its C library: many images in one array, or a group with an array for each image.
//!
//! One array (N,H,W), (N,H,W,C) or (N,C,H,W) stands beside arrays with a record for each image, as in an npz. Or a group
//! holds images of two or three axes each, as in Kaggle's gaze.h5; what is beside it is a group with a value for each of them
//! under the same name, or an array with a record for each, in the order of their names, which is how h5py goes through a
//! group. Links out of the file are not followed. Knows nothing of what a label means.
//! Source: The HDF Group, "HDF5 File Format Specification 3.0".

use super::{
    Kind, Piece, Place, Sample, Source, SourceError, Stamp, Unread,
    array::{self, Array, Labels},
    held::{Held, Rows},
    npy::{images_among, partners},
    original::Whole,
    stack::{Stack, Values},
    table::inside,
};
use crate::{
    decode::{DECODED_BYTES_MAX, Fault, LABEL_BYTES_MAX},
    label::Label,
    manifest::Bad,
};
use hdf5_reader::{
    ByteOrder, Dataset, Datatype, Hdf5File, OpenOptions, SliceInfo, SliceInfoElem, Storage, StorageBuffer, StringSize,
    error::Error, group::Group,
};
use std::{
    collections::HashSet,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Groups below the root that are looked into for images.
const GROUPS_MAX: usize = 1_000;
const DEPTH_MAX: usize = 8;
/// Nothing that is packed in an HDF5 file unpacks to more than this for each of its bytes; gzip goes as far.
const UNPACKED_FOR_A_BYTE: u64 = 1_032;
/// Most bytes of the texts of one column: they are held in memory.
const TEXTS_BYTES_MAX: usize = 256 << 20;
/// The reader keeps what it knows of each array that was looked up: after so many it is opened anew.
const LOOKED_UP_MAX: u32 = 8_192;

/// The images of one file, and what belongs to each of them.
pub(super) struct Set {
    held: Held,
    path: PathBuf,
    /// The array or the group that holds them.
    images: String,
    /// Where the images are arrays of their own: the groups that have a value for each under the same name.
    columns: Vec<String>,
    /// The arrays that have a text for each image.
    texts: Vec<(String, Vec<String>)>,
    open: Mutex<Open>,
}

struct Open {
    file: Hdf5File,
    looked_up: u32,
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.path.display(), self.images)
    }
}

impl Source {
    /// The images of an HDF5 file, or those of its group or array `named`; `known` is what its values stand for, if somebody
    /// looked before.
    pub(super) fn hdf5(path: &Path, named: Option<&str>, known: Option<Values>) -> Result<Self, SourceError> {
        let held = Held::open(path).map_err(|source| SourceError::unreadable(path, source))?;
        let stamp = held.stamp().map_err(|source| SourceError::unreadable(path, source))?;
        let root = named.map_or_else(|| path.to_owned(), |named| path.join(named));
        let source = guarded(|| Self::hdf5_held(path, held, stamp, named, known))
            .unwrap_or_else(|what| Err(SourceError::Damaged { path: path.to_owned(), what }))?;
        Ok(Self { root, wholes: vec![Whole { path: path.to_owned(), stamp }], ..source })
    }

    fn hdf5_held(
        path: &Path,
        held: Held,
        stamp: Stamp,
        named: Option<&str>,
        known: Option<Values>,
    ) -> Result<Self, SourceError> {
        let failed = |error: Error| failed(path, error);
        let file = open(&held).map_err(failed)?;
        let mut found = Found::default();
        found.walk(&file.root_group().map_err(failed)?, "", 0).map_err(failed)?;
        let (images, is_group) = found.images(path, named)?;
        let (parent, name) = images.rsplit_once('/').unwrap_or(("", &images));
        let beside = file.group(parent).map_err(failed)?;
        let dataset = if is_group { None } else { Some(beside.dataset(name).map_err(failed)?) };
        let mut members = match &dataset {
            None => beside.group(name).and_then(|group| group.member_names()).map_err(failed)?.1,
            Some(_) => Vec::new(),
        };
        members.sort_unstable();
        let count = dataset.as_ref().map_or(Some(members.len() as u64), |dataset| dataset.shape().first().copied());
        let (labels, texts) = records(path, stamp, &beside, name, count.unwrap_or_default())?;
        let columns = if is_group { columns(path, &beside, name, &members)? } else { Vec::new() };
        let mut source = match dataset {
            Some(dataset) => {
                let stack = array_of(path, stamp, name, dataset)?.into_stack(known)?;
                let classes = match (&labels[..], &texts[..]) {
                    ([only], []) => only.classes()?,
                    _ => None,
                };
                Self::stack(path, Kind::Hdf5, stack, classes)?
            }
            None => listed(path, members, &columns, stamp),
        };
        let names = labels.iter().map(Labels::name).chain(texts.iter().map(|(name, _)| name.as_str()));
        let names: Vec<String> = names.map(str::to_owned).collect();
        for sample in source.samples.iter_mut().filter(|_| source.classes.is_empty() && !names.is_empty()) {
            match &mut sample.label {
                Some(Label::Arrays(columns)) => columns.extend(names.iter().cloned()),
                label => *label = Some(Label::Arrays(names.clone())),
            }
        }
        let columns = columns.into_iter().map(|(group, _)| group).collect();
        let open = Mutex::new(Open { file, looked_up: 0 });
        let set = Set { path: path.to_owned(), held: held.clone(), images, columns, texts, open };
        Ok(Self { labels, set: Some(Arc::new(set)), ..source })
    }
}

/// A group and the names in it.
type Column = (String, HashSet<String>);

/// The images of a group, each an array of its own, by their names, which are sorted.
fn listed(path: &Path, names: Vec<String>, columns: &[Column], stamp: Stamp) -> Source {
    let mut source = Source::empty(path.to_owned(), Kind::Hdf5);
    for (at, name) in names.into_iter().enumerate() {
        if inside(&name).as_ref() != Some(&name) {
            source.bad.push(Bad::new(name, &Fault::NameLeadsOut));
            continue;
        }
        let with = columns.iter().filter(|(_, names)| names.contains(&name));
        let with: Vec<String> = with.map(|(group, _)| group.clone()).collect();
        let label = (!with.is_empty()).then_some(Label::Arrays(with));
        source.samples.push(Sample { label, ..Sample::new(name, stamp, Place::Dataset(at as u64)) });
    }
    source
}

/// The groups beside `images` that have values under the names of its members.
fn columns(path: &Path, beside: &Group, images: &str, members: &[String]) -> Result<Vec<Column>, SourceError> {
    let failed = |error: Error| failed(path, error);
    let (mut groups, _) = beside.member_names().map_err(failed)?;
    groups.retain(|group| group != images);
    groups.sort_unstable();
    let mut columns = Vec::new();
    for group in groups {
        let (_, names) = beside.group(&group).and_then(|group| group.member_names()).map_err(failed)?;
        let names: HashSet<String> = names.into_iter().collect();
        if members.iter().any(|member| names.contains(member)) {
            columns.push((group, names));
        }
    }
    Ok(columns)
}

type Texts = Vec<(String, Vec<String>)>;

/// The arrays beside that have a record for each image: the partner by its name, if there is one, else all; numbers, texts.
fn records(
    path: &Path,
    stamp: Stamp,
    beside: &Group,
    images: &str,
    count: u64,
) -> Result<(Vec<Labels>, Texts), SourceError> {
    let (_, mut names) = beside.member_names().map_err(|error| failed(path, error))?;
    names.retain(|name| name != images);
    match partners(images).into_iter().find(|partner| names.contains(partner)) {
        Some(partner) => names = vec![partner],
        None => names.sort_unstable(),
    }
    let (mut numbers, mut columns) = (Vec::new(), Vec::new());
    for name in names {
        let dataset = beside.dataset(&name).map_err(|error| failed(path, error))?;
        if dataset.shape().first() != Some(&count) {
            continue;
        }
        if is_text(dataset.dtype()) && dataset.ndim() == 1 {
            columns.push((name, texts(&dataset, stamp.bytes).map_err(|error| failed(path, error))?));
        } else {
            numbers.push(array_of(path, stamp, &name, dataset)?.into_labels(count)?);
        }
    }
    Ok((numbers, columns))
}

impl Set {
    /// One image of a group: a stack of one, and its values.
    pub(super) fn image(&self, key: &str) -> Result<(Stack, Vec<u8>), Unread> {
        let (descr, shape, bytes) = self.read(&format!("{}/{key}", self.images), DECODED_BYTES_MAX)?;
        let damaged = |what: String| Unread::Fault(Fault::Damaged(what));
        if !["|u1", "<u2", ">u2"].contains(&descr.as_str()) {
            return Err(damaged(format!("its values are of type {descr}: save it as uint8 or uint16")));
        }
        let shape = [vec![1], shape].concat();
        let array = Array::of(key.to_owned(), self.path.clone(), Held::Memory(Arc::new(bytes.clone())), &descr, shape);
        let stack = array.and_then(|array| array.into_stack(None)).map_err(|error| damaged(error.to_string()))?;
        Ok((stack, bytes))
    }

    /// What belongs to one image of a group by its name.
    pub(super) fn pieces(&self, key: &str) -> Result<Vec<Piece>, Unread> {
        let parent = self.images.rsplit_once('/').map_or("", |(parent, _)| parent);
        let mut pieces = Vec::new();
        for column in &self.columns {
            let path = format!("{parent}/{column}/{key}");
            match self.look_up(&path)? {
                Some(dataset) if is_text(dataset.dtype()) => {
                    let texts = self.guarded(|| texts(&dataset, self.held.stamp()?.bytes))?;
                    pieces.push(Piece { ending: format!("{column}.txt"), bytes: texts.join("\n").into_bytes() });
                }
                Some(_) => {
                    let (descr, shape, bytes) = self.read(&path, LABEL_BYTES_MAX)?;
                    let bytes = array::npy(&format!("'{descr}'"), &shape, &bytes).map_err(Unread::Fault)?;
                    pieces.push(Piece { ending: format!("{column}.npy"), bytes });
                }
                None => {}
            }
        }
        Ok(pieces)
    }

    /// The texts that belong to one image.
    pub(super) fn texts(&self, record: u64) -> Vec<Piece> {
        let piece = |(name, texts): &(String, Vec<String>)| {
            let bytes = texts.get(record as usize)?.clone().into_bytes();
            Some(Piece { ending: format!("{name}.txt"), bytes })
        };
        self.texts.iter().filter_map(piece).collect()
    }

    /// All of one array, in its own byte order.
    fn read(&self, path: &str, most: u64) -> Result<(String, Vec<u64>, Vec<u8>), Unread> {
        let dataset = self.look_up(path)?;
        let dataset = dataset.ok_or_else(|| Unread::Fault(Fault::Damaged(format!("there is no array {path}"))))?;
        let refused = |what: String| Unread::Fault(Fault::Damaged(what));
        let descr = descr(dataset.dtype(), true).ok_or_else(|| refused(unknown(path, dataset.dtype())))?;
        let bytes = self.guarded(|| dataset.raw_byte_len())? as u64;
        if bytes > most {
            return Err(refused(format!("{path} claims {bytes} bytes, more than the {most} that are read")));
        }
        Ok((descr, dataset.shape().to_vec(), self.guarded(|| dataset.read_raw_bytes())?))
    }

    fn look_up(&self, path: &str) -> Result<Option<Dataset>, Unread> {
        self.guarded(|| {
            let mut now = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            if now.looked_up == LOOKED_UP_MAX {
                *now = Open { file: open(&self.held)?, looked_up: 0 };
            }
            now.looked_up += 1;
            let (group, name) = path.rsplit_once('/').unwrap_or(("", path));
            match now.file.group(group)?.dataset(name) {
                Ok(dataset) => Ok(Some(dataset)),
                Err(Error::DatasetNotFound(_)) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn guarded<T>(&self, read: impl FnOnce() -> Result<T, Error>) -> Result<T, Unread> {
        match guarded(read) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Error::Io(source))) => Err(Unread::Io { path: self.path.clone(), source }),
            Ok(Err(error)) => Err(Unread::Fault(Fault::Damaged(error.to_string()))),
            Err(what) => Err(Unread::Fault(Fault::Damaged(what))),
        }
    }
}

/// What may be images: arrays of many, groups of one each.
#[derive(Default)]
struct Found {
    stacks: Vec<String>,
    groups: Vec<String>,
    looked_into: usize,
    others: usize,
}

impl Found {
    fn walk(&mut self, group: &Group, path: &str, depth: usize) -> Result<(), Error> {
        self.looked_into += 1;
        if depth > DEPTH_MAX || self.looked_into > GROUPS_MAX {
            return Ok(());
        }
        let (groups, mut names) = group.member_names()?;
        names.sort_unstable();
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        if let [first, second, ..] = &names[..]
            && !path.is_empty()
            && is_image(&group.dataset(first)?)
            && is_image(&group.dataset(second)?)
        {
            self.groups.push(path.to_owned());
        } else {
            // A group of so many values is a column.
            for name in names.iter().take(GROUPS_MAX) {
                let dataset = group.dataset(name)?;
                let values = descr(dataset.dtype(), false);
                let is_stack = matches!(dataset.ndim(), 3 | 4)
                    && values.is_some_and(|descr| ["|u1", "<u2", "<f4"].contains(&descr.as_str()));
                if is_stack { self.stacks.push(below(name)) } else { self.others += 1 }
            }
        }
        groups.iter().try_for_each(|name| self.walk(&group.group(name)?, &below(name), depth + 1))
    }

    /// The one that is meant, and whether it is a group.
    fn images(self, path: &Path, named: Option<&str>) -> Result<(String, bool), SourceError> {
        let Self { stacks, groups, others, .. } = self;
        let all: Vec<&str> = groups.iter().chain(&stacks).map(String::as_str).collect();
        let at = images_among(&all, path, named, others)?;
        Ok((all[at].to_owned(), at < groups.len()))
    }
}

/// One image alone: two axes, or three of which one counts channels.
fn is_image(dataset: &Dataset) -> bool {
    let is_values = descr(dataset.dtype(), true).is_some_and(|descr| ["|u1", "<u2", ">u2"].contains(&descr.as_str()));
    let channels = |axis: u64| matches!(axis, 1 | 3 | 4);
    is_values
        && match dataset.shape() {
            [height, width] => *height > 1 && *width > 1,
            [first, _, last] => channels(*first) || channels(*last),
            _ => false,
        }
}

fn is_text(kind: &Datatype) -> bool {
    matches!(kind, Datatype::String { .. })
        || matches!(kind, Datatype::VarLen { kind: hdf5_reader::VarLenKind::String, .. })
}

/// Numpy's word for a type of number, in its own byte order or little endian; `None` for what is no number.
fn descr(kind: &Datatype, own: bool) -> Option<String> {
    let order = |size: u8, order: &ByteOrder| match (size, order) {
        (1, _) => '|',
        (_, ByteOrder::BigEndian) if own => '>',
        _ => '<',
    };
    match kind {
        Datatype::FixedPoint { size, signed, byte_order } if matches!(size, 1 | 2 | 4 | 8) => {
            Some(format!("{}{}{size}", order(*size, byte_order), if *signed { 'i' } else { 'u' }))
        }
        Datatype::FloatingPoint { size, byte_order } if matches!(size, 4 | 8) => {
            Some(format!("{}f{size}", order(*size, byte_order)))
        }
        _ => None,
    }
}

fn unknown(name: &str, kind: &Datatype) -> String {
    let kind = match kind {
        Datatype::Compound { .. } => "records",
        Datatype::Enum { .. } => "words that are counted (or truth values)",
        Datatype::VarLen { .. } => "lists of different lengths",
        _ => "an uncommon type",
    };
    format!("`{name}` holds {kind}, which are not read: save it as numbers or strings")
}

/// A file lists chunks, and what lies in none of them is filled up: an array may claim to be of any size.
fn check_claim(dataset: &Dataset, file_bytes: u64) -> Result<(), Error> {
    // A value of no bytes would be free.
    let value_bytes = dataset.raw_element_size()?.max(1) as u64;
    let claimed = dataset.num_elements()?.saturating_mul(value_bytes);
    if claimed > file_bytes.saturating_mul(UNPACKED_FOR_A_BYTE) {
        let (name, shape) = (dataset.name(), dataset.shape());
        let what = format!("`{name}` claims {shape:?} values, more than a file of {file_bytes} bytes can hold");
        return Err(Error::ResourceLimit(what));
    }
    Ok(())
}

fn texts(dataset: &Dataset, file_bytes: u64) -> Result<Vec<String>, Error> {
    check_claim(dataset, file_bytes)?;
    if matches!(dataset.dtype(), Datatype::String { size: StringSize::Fixed(_), .. }) {
        return dataset.read_strings();
    }
    // Those of different lengths lie elsewhere in the file, where many may be one and the same.
    let mut room = TEXTS_BYTES_MAX;
    let references = dataset.read_raw_bytes()?;
    let text = |reference: &[u8]| {
        let mut bytes = dataset.resolve_vlen_reference_bytes(reference, 1)?;
        bytes.truncate(bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()));
        let too_many = || format!("the texts of `{}` take more than {TEXTS_BYTES_MAX} bytes", dataset.name());
        room = room.checked_sub(bytes.len()).ok_or_else(|| Error::ResourceLimit(too_many()))?;
        let not_utf8 = |_| Error::InvalidData(format!("a text of `{}` is not valid UTF-8", dataset.name()));
        String::from_utf8(bytes).map_err(not_utf8)
    };
    references.chunks_exact(dataset.vlen_reference_size()).map(text).collect()
}

/// An array whose rows are asked for one at a time.
fn array_of(path: &Path, stamp: Stamp, name: &str, dataset: Dataset) -> Result<Array, SourceError> {
    check_claim(&dataset, stamp.bytes).map_err(|error| failed(path, error))?;
    let damaged = |what: String| SourceError::Damaged { path: path.to_owned(), what };
    let descr = descr(dataset.dtype(), false).ok_or_else(|| damaged(unknown(name, dataset.dtype())))?;
    let shape = dataset.shape().to_vec();
    let values = shape.iter().skip(1).try_fold(1_u64, |values, &axis| values.checked_mul(axis));
    let row_bytes = dataset.raw_element_size().ok().and_then(|size| values?.checked_mul(size as u64));
    let row_bytes = row_bytes.filter(|&bytes| bytes <= DECODED_BYTES_MAX);
    let row_bytes = row_bytes.ok_or_else(|| damaged(format!("`{name}` claims records of {shape:?} values")))?;
    let held = Held::Rows(Arc::new(Table { dataset, row_bytes }));
    Array::of(name.to_owned(), path.join(name), held, &descr, shape)
}

struct Table {
    dataset: Dataset,
    row_bytes: u64,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.dataset.name(), self.dataset.shape())
    }
}

impl Rows for Table {
    fn read(&self, out: &mut [u8], first: u64) -> io::Result<()> {
        let rows = out.len() as u64 / self.row_bytes.max(1);
        let mut selection = SliceInfo::all(self.dataset.ndim());
        if let Some(axis) = selection.selections.first_mut() {
            *axis = SliceInfoElem::Slice { start: first, end: first + rows, step: 1 };
        }
        macro_rules! values {
            ($kind:ty) => {
                self.dataset
                    .read_slice::<$kind>(&selection)
                    .map(|values| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
            };
        }
        let read = guarded(|| match descr(self.dataset.dtype(), false).as_deref() {
            Some("|u1") => values!(u8),
            Some("|i1") => values!(i8),
            Some("<u2") => values!(u16),
            Some("<i2") => values!(i16),
            Some("<u4") => values!(u32),
            Some("<i4") => values!(i32),
            Some("<u8") => values!(u64),
            Some("<i8") => values!(i64),
            Some("<f4") => values!(f32),
            _ => values!(f64),
        });
        let bytes = match read {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(Error::Io(error))) => return Err(error),
            Ok(Err(error)) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            Err(what) => return Err(io::Error::new(io::ErrorKind::InvalidData, what)),
        };
        if bytes.len() != out.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out.copy_from_slice(&bytes);
        Ok(())
    }

    fn row_bytes(&self) -> u64 {
        self.row_bytes
    }
}

/// The file as the reader asks for it.
struct Bytes(Held, u64);

impl Storage for Bytes {
    fn len(&self) -> u64 {
        self.1
    }

    fn read_range(&self, offset: u64, length: usize) -> Result<StorageBuffer, Error> {
        if offset.checked_add(length as u64).is_none_or(|end| end > self.1) {
            return Err(Error::InvalidData("it is cut short".to_owned()));
        }
        let mut bytes = vec![0; length];
        self.0.read(&mut bytes, offset)?;
        Ok(StorageBuffer::from_vec(bytes))
    }
}

fn open(held: &Held) -> Result<Hdf5File, Error> {
    let limits = OpenOptions::default()
        .with_max_read_bytes(DECODED_BYTES_MAX as usize)
        .with_max_chunk_bytes(DECODED_BYTES_MAX as usize);
    Hdf5File::from_storage_with_options(Arc::new(Bytes(held.clone(), held.stamp()?.bytes)), limits)
}

fn failed(path: &Path, error: Error) -> SourceError {
    match error {
        Error::Io(source) => SourceError::unreadable(path, source),
        error => SourceError::Damaged { path: path.to_owned(), what: error.to_string() },
    }
}

/// A panic of the reader is the file's fault, not ours.
fn guarded<T>(read: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(read)).map_err(|_| "its reader gave up in an unforeseen way".to_owned())
}
