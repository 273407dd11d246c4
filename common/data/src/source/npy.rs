//! Stacks of images as numpy saves them: an npy with its labels beside it, or an npz with both in it.
//!
//! (N,H,W), (N,H,W,C) or (N,C,H,W) of uint8, uint16 or float32. Which array is which is told by shapes and by the names
//! that everybody uses: `images` and `labels`, `x` and `y`. Knows nothing of what a label means.

use super::{
    Kind, Source, SourceError, Stamp,
    array::{Array, Labels, is_npy},
    folder::{Folder, ending, start_of, stem},
    idx,
    original::Whole,
    stack::{Held, Stack, Values},
    zip,
};
use crate::label::Label;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// What the images of an npz are called where its shapes leave a choice.
const IMAGES: [&str; 8] = ["images", "image", "imgs", "img", "x", "data", "frames", "arr_0"];

/// A stack, the arrays that hold its labels, and the file of those where it is another one.
pub(super) struct Arrays {
    pub stack: Stack,
    pub labels: Vec<Labels>,
    beside: Option<PathBuf>,
    /// What the keys are relative to.
    root: PathBuf,
}

/// An npy with its labels beside it; `known` is what its values stand for, if somebody looked before.
pub(super) fn of_npy(path: &Path, known: Option<Values>) -> Result<Arrays, SourceError> {
    let stack = open(path)?.into_stack(known)?;
    let beside = beside(path);
    let labels = beside.iter().map(|labels| open(labels)?.into_labels(stack.count)).collect::<Result<_, _>>()?;
    Ok(Arrays { stack, labels, beside, root: path.to_owned() })
}

/// The images of an npz, or those in its array `named`.
pub(super) fn of_npz(path: &Path, named: Option<&str>, known: Option<Values>) -> Result<Arrays, SourceError> {
    let mut arrays = arrays(path)?;
    let images = images_of(&arrays, path, named)?;
    let images = arrays.swap_remove(images);
    let count = images.count().unwrap_or_default();
    let partners = partners(&images.name);
    // By its name, if there is one; else all that have a record for each image.
    match partners.iter().find_map(|name| arrays.iter().position(|array| array.name == *name)) {
        Some(partner) => arrays = vec![arrays.swap_remove(partner)],
        None => arrays.retain(|array| array.count() == Some(count)),
    }
    arrays.sort_by(|a, b| a.name.cmp(&b.name));
    let root = if named.is_some() { images.path.clone() } else { path.to_owned() };
    let stack = images.into_stack(known)?;
    let labels = arrays.into_iter().map(|array| array.into_labels(stack.count)).collect::<Result<_, _>>()?;
    Ok(Arrays { stack, labels, beside: None, root })
}

impl Source {
    pub(super) fn npy(path: &Path) -> Result<Self, SourceError> {
        Self::of_arrays(path, Kind::Npy, of_npy(path, None)?)
    }

    /// The images of an npz, or those in its array `named`.
    pub(super) fn npz(path: &Path, named: Option<&str>) -> Result<Self, SourceError> {
        Self::of_arrays(path, Kind::Npz, of_npz(path, named, None)?)
    }

    /// Of a single array of whole numbers, each is a class; else the arrays are carried as they are.
    fn of_arrays(path: &Path, kind: Kind, arrays: Arrays) -> Result<Self, SourceError> {
        let Arrays { stack, labels, beside, root } = arrays;
        let classes = match &labels[..] {
            [only] => only.classes()?,
            _ => None,
        };
        let mut source = Self::stack(path, kind, stack, classes)?;
        if source.classes.is_empty() && !labels.is_empty() {
            let names: Vec<String> = labels.iter().map(|labels| labels.name().to_owned()).collect();
            source.samples.iter_mut().for_each(|sample| sample.label = Some(Label::Arrays(names.clone())));
        }
        if let Some(path) = beside {
            let stamp = path.metadata().map_err(|source| SourceError::unreadable(&path, source))?;
            source.wholes.push(Whole { stamp: Stamp::of(&stamp), path });
        }
        Ok(Self { labels, root, ..source })
    }
}

/// The labels that belong to the stack `images` by their name, if they are there.
pub(super) fn beside(images: &Path) -> Option<PathBuf> {
    let named = partners(stem(images.file_name()?.to_str()?)).into_iter();
    named.map(|name| images.with_file_name(format!("{name}.npy"))).find(|path| path.is_file())
}

/// What the labels of an array of this name are called.
fn partners(name: &str) -> Vec<String> {
    let mut partners = vec![format!("{name}_labels"), format!("{name}-labels"), format!("{name}_label")];
    for (images, labels) in [("images", "labels"), ("image", "label"), ("imgs", "labels")] {
        if name.contains(images) {
            partners
                .extend([name.replace(images, labels), name.replace(images, images.trim_end_matches('s')) + "_labels"]);
        }
    }
    for (x, y) in [("x", "y"), ("X", "y"), ("X", "Y")] {
        if name == x {
            partners.push(y.to_owned());
        }
        partners.extend(name.strip_prefix(&format!("{x}_")).map(|rest| format!("{y}_{rest}")));
        partners.extend(name.strip_suffix(&format!("_{x}")).map(|rest| format!("{rest}_{y}")));
    }
    partners.extend((name == "arr_0").then(|| "arr_1".to_owned()));
    partners
}

fn open(path: &Path) -> Result<Array, SourceError> {
    let unreadable = |source| SourceError::unreadable(path, source);
    let held = Held::open(path).map_err(unreadable)?;
    let there = path.metadata().map_err(unreadable)?.len();
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Array::open(name, path.to_owned(), held, 0, there)
}

/// Every array of an npz.
fn arrays(path: &Path) -> Result<Vec<Array>, SourceError> {
    let mut entries = zip::entries(path)?;
    entries.retain(|entry| entry.name.ends_with(".npy"));
    zip::check_room(&entries, path)?;
    let mut arrays = Vec::new();
    for entry in entries {
        let Some(name) = entry.name.strip_suffix(".npy") else { continue };
        let (held, begin, there) = entry.open(path)?;
        arrays.push(Array::open(name.to_owned(), path.join(name), held, begin, there)?);
    }
    Ok(arrays)
}

/// Whether a zip holds arrays, or would if it were whole.
pub(super) fn is_npz(path: &Path) -> bool {
    ending(path).as_deref() == Some("npz")
        || zip::entries(path).is_ok_and(|entries| entries.iter().any(|entry| entry.name.ends_with(".npy")))
}

/// The npz and the array that `set.npz/x_train` names.
pub(super) fn array_in(path: &Path) -> Option<(PathBuf, &str)> {
    let npz = path.parent()?.canonicalize().ok().filter(|npz| npz.is_file() && is_npz(npz))?;
    Some((npz, path.file_name()?.to_str()?))
}

fn images_of(arrays: &[Array], path: &Path, named: Option<&str>) -> Result<usize, SourceError> {
    let position = |name: &str| arrays.iter().position(|array| array.name == name);
    if let Some(named) = named {
        return position(named).ok_or_else(|| SourceError::Missing { path: path.join(named) });
    }
    let likely: Vec<usize> = (0..arrays.len()).filter(|&at| arrays[at].looks_like_images()).collect();
    let known = |at: &usize| IMAGES.contains(&arrays[*at].name.to_ascii_lowercase().as_str());
    let known: Vec<usize> = likely.iter().copied().filter(known).collect();
    match (&likely[..], &known[..]) {
        ([only], _) | (_, [only]) => Ok(*only),
        ([], _) => Err(SourceError::Empty { path: path.to_owned(), others: arrays.len() }),
        _ => {
            let names: BTreeSet<&str> = likely.iter().map(|&at| arrays[at].name.as_str()).collect();
            let names = names.into_iter().map(|name| format!("{}/{name}", path.display())).collect::<Vec<_>>();
            Err(SourceError::SeveralStacks { path: path.to_owned(), names: names.join(", ") })
        }
    }
}

/// The stacks right under a folder: idx and npy, but not the labels of another; an npz only where there is neither.
pub(super) fn stacks(folder: &Folder) -> Result<Vec<&Path>, SourceError> {
    let likely =
        |key: &str| !key.contains('/') && [".npy", ".npz", ".gz", "ubyte", "idx"].iter().any(|part| key.contains(part));
    let (mut stacks, mut packed) = (Vec::new(), Vec::new());
    for other in folder.others.iter().filter(|other| likely(&other.key)) {
        let start = start_of(&other.path)?;
        if is_npy(&start) || idx::is_images(&other.path) {
            stacks.push(other.path.as_path());
        } else if zip::is_zip(&start) && is_npz(&other.path) {
            packed.push(other.path.as_path());
        }
    }
    let labels: BTreeSet<PathBuf> = stacks.iter().filter_map(|path| beside(path)).collect();
    stacks.retain(|path| !labels.contains(*path));
    Ok(if stacks.is_empty() { packed } else { stacks })
}
