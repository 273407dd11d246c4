//! Stacks of images as numpy saves them: an npy with its labels beside it, or an npz with both in it.
//!
//! (N,H,W), (N,H,W,C) or (N,C,H,W) of uint8, uint16 or float32. Which array is which is told by shapes and by the names
//! that everybody uses: `images` and `labels`, `x` and `y`. Knows nothing of what a label means.

use super::{
    Kind, Source, SourceError,
    array::{Array, Labels, is_npy},
    folder::{Folder, ending, start_of, stem},
    held::Held,
    idx,
    original::Whole,
    stack::{Stack, Values},
    zip,
};
use crate::{label::Label, storage};
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
            let stamp = storage::stamp(&path).map_err(|source| SourceError::unreadable(&path, source))?;
            source.wholes.push(Whole { path, stamp });
        }
        Ok(Self { labels, root, ..source })
    }
}

/// The labels that belong to the stack `images` by their name, if they are there.
pub(super) fn beside(images: &Path) -> Option<PathBuf> {
    let named = partners(stem(images.file_name()?.to_str()?)).into_iter();
    named.map(|name| images.with_file_name(format!("{name}.npy"))).find(|path| storage::stamp(path).is_ok())
}

/// What the labels of an array of this name are called.
pub(super) fn partners(name: &str) -> Vec<String> {
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
    let there = held.stamp().map_err(unreadable)?.bytes;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Array::open(name, path.to_owned(), held, 0, there)
}

/// Every array of an npz.
fn arrays(path: &Path) -> Result<Vec<Array>, SourceError> {
    let mut entries = zip::entries(path)?;
    entries.retain(|entry| entry.name.ends_with(".npy"));
    if let Some(twice) = zip::named_twice(&entries) {
        return Err(SourceError::Damaged { path: path.to_owned(), what: format!("it holds two arrays `{twice}`") });
    }
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

fn images_of(arrays: &[Array], path: &Path, named: Option<&str>) -> Result<usize, SourceError> {
    let position = |name: &str| arrays.iter().position(|array| array.name == name);
    if let Some(named) = named {
        return position(named).ok_or_else(|| SourceError::Missing { path: path.join(named) });
    }
    let likely: Vec<usize> = (0..arrays.len()).filter(|&at| arrays[at].looks_like_images()).collect();
    let names: Vec<&str> = likely.iter().map(|&at| arrays[at].name.as_str()).collect();
    Ok(likely[images_among(&names, path, None, arrays.len())?])
}

/// Which of these, all of which may be images, is meant: the one that is `named`, the only one, or the only one whose name
/// says so. `others`: what else is there.
pub(super) fn images_among(
    likely: &[&str],
    path: &Path,
    named: Option<&str>,
    others: usize,
) -> Result<usize, SourceError> {
    if let Some(named) = named {
        let at = likely.iter().position(|name| *name == named);
        return at.ok_or_else(|| SourceError::Missing { path: path.join(named) });
    }
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let known: Vec<usize> = (0..likely.len()).filter(|&at| IMAGES.contains(&last(likely[at]).as_str())).collect();
    match (likely, &known[..]) {
        ([_], _) => Ok(0),
        (_, [only]) => Ok(*only),
        ([], _) => Err(SourceError::Empty { path: path.to_owned(), others }),
        _ => {
            let names: BTreeSet<&&str> = likely.iter().collect();
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
