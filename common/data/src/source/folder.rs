//! What lies under a folder: images, the files that belong to them by stem, class folders.
//!
//! Links are looked at, never trusted: none leads out of the folder, none makes a circle. Order never depends on the disk.

use super::{
    Place, Sample, SourceError, Stamp,
    named::named_parquet,
    shard::{Shard, is_shard},
};
use crate::{
    decode::{Fault, looks_like_an_image},
    label::Label,
    manifest::Bad,
    storage::{self, Remote},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Where several could be meant, as in a tar, the first is.
pub(crate) const IMAGE_ENDINGS: [&str; 12] =
    ["jpg", "jpeg", "jpe", "png", "webp", "bmp", "tif", "tiff", "ppm", "pgm", "pnm", "pbm"];
const SIDECAR_ENDINGS: [&str; 6] = ["json", "txt", "npy", "xml", "csv", "yaml"];
const MASK_ENDINGS: [&str; 2] = ["_mask", ".mask"];

/// A regular file under the root.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Relative to the root, with `/`.
    pub key: String,
    pub path: PathBuf,
    pub stamp: Stamp,
}

#[derive(Debug, Default)]
pub(super) struct Folder {
    pub images: Vec<Found>,
    pub others: Vec<Found>,
    pub bad: Vec<Bad>,
}

impl Folder {
    /// Everything under `root`, which must be canonical; sorted by the bytes of the key.
    pub(super) fn walk(root: &Path) -> Result<Self, SourceError> {
        let mut folder = Self::default();
        match storage::remote(root).map_err(|source| SourceError::unreadable(root, source))? {
            Some(remote) => folder.list(root, &remote)?,
            None => folder.enter(root, root)?,
        }
        folder.images.sort_by(|a, b| a.key.cmp(&b.key));
        folder.others.sort_by(|a, b| a.key.cmp(&b.key));
        folder.bad.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(folder)
    }

    /// The objects of a bucket: none is a link, and folders are but slashes in their keys.
    fn list(&mut self, root: &Path, remote: &Remote) -> Result<(), SourceError> {
        let below = remote.below().map_err(|source| SourceError::unreadable(root, source))?;
        for (key, stamp) in below {
            if key.is_empty() || key.split('/').any(|part| part.starts_with('.') || part == "__MACOSX") {
                continue;
            }
            let found = Found { path: root.join(&key), key, stamp };
            if is_image(&found.path)? { self.images.push(found) } else { self.others.push(found) }
        }
        Ok(())
    }

    fn enter(&mut self, root: &Path, here: &Path) -> Result<(), SourceError> {
        let unreadable = |source| SourceError::unreadable(here, source);
        for entry in fs::read_dir(here).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let path = entry.path();
            let name = entry.file_name();
            // Hidden files and the leavings of archives are nobody's images.
            if name.as_encoded_bytes().starts_with(b".") || name == "__MACOSX" {
                continue;
            }
            let kind = entry.file_type().map_err(unreadable)?;
            if kind.is_dir() {
                self.enter(root, &path)?;
                continue;
            }
            let Some(key) = key_of(root, &path) else {
                self.bad.push(Bad::new(path.strip_prefix(root).unwrap_or(&path).to_string_lossy(), &Fault::Name));
                continue;
            };
            if kind.is_symlink()
                && let Some(fault) = link_fault(root, &path)
            {
                self.bad.push(Bad::new(key, &fault));
                continue;
            }
            // A link that leads nowhere, a pipe, a socket: not a file, not an image.
            let Some(metadata) = fs::metadata(&path).ok().filter(fs::Metadata::is_file) else { continue };
            let found = Found { key, path, stamp: Stamp::of(&metadata) };
            if is_image(&found.path)? { self.images.push(found) } else { self.others.push(found) }
        }
        Ok(())
    }

    /// The tars among what is no image, if there are any.
    pub(super) fn shards(&self) -> Option<Vec<Shard>> {
        let shard = |found: &Found| Shard { name: found.key.clone(), path: found.path.clone() };
        let shards: Vec<Shard> = self.others.iter().filter(|other| is_shard(&other.path)).map(shard).collect();
        Some(shards).filter(|shards| !shards.is_empty())
    }

    /// The parquet files among what is no image, if there are any.
    pub(super) fn parquets(&self) -> Option<Vec<Shard>> {
        let file = |found: &Found| Shard { name: found.key.clone(), path: found.path.clone() };
        let files: Vec<Shard> = self.others.iter().filter(|other| named_parquet(&other.path)).map(file).collect();
        Some(files).filter(|files| !files.is_empty())
    }

    /// Takes the masks out of the images, and gives each image the files that share its stem.
    pub(super) fn sidecars(&mut self) -> BTreeMap<String, Vec<(String, Stamp)>> {
        let stems: BTreeSet<String> = self.images.iter().map(|image| stem(&image.key).to_owned()).collect();
        let mut beside: BTreeMap<String, Vec<(String, Stamp)>> = BTreeMap::new();
        self.images.retain(|image| {
            let masked = MASK_ENDINGS.iter().find_map(|end| stem(&image.key).strip_suffix(end));
            let Some(of) = masked.filter(|of| stems.contains(*of)) else { return true };
            beside.entry(of.to_owned()).or_default().push((image.key.clone(), image.stamp));
            false
        });
        for other in &self.others {
            let of = stem(&other.key);
            if ending(&other.path).is_some_and(|ending| SIDECAR_ENDINGS.contains(&ending.as_str()))
                && stems.contains(of)
            {
                beside.entry(of.to_owned()).or_default().push((other.key.clone(), other.stamp));
            }
        }
        beside.values_mut().for_each(|files| files.sort_by(|a, b| a.0.cmp(&b.0)));
        beside
    }

    /// The sub-folders as classes, if every image lies in one of at least two, directly.
    ///
    /// Folders that are all named by numbers keep those numbers; otherwise classes are counted in order of their names.
    pub(super) fn classes(&self) -> Option<BTreeMap<String, u32>> {
        let in_folder = |image: &Found| {
            image.key.split_once('/').filter(|(_, rest)| !rest.contains('/')).map(|(of, _)| of.to_owned())
        };
        let names: BTreeSet<String> = self.images.iter().map(in_folder).collect::<Option<_>>()?;
        if names.len() < 2 {
            return None;
        }
        let numbers: BTreeSet<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
        let numbered = numbers.len() == names.len();
        let index = |(at, name): (usize, String)| {
            let number = if numbered { name.parse().unwrap_or_default() } else { at as u32 };
            (name, number)
        };
        Some(names.into_iter().enumerate().map(index).collect())
    }

    pub(super) fn samples(&mut self) -> (Vec<Sample>, Option<BTreeMap<String, u32>>) {
        let beside = self.sidecars();
        let classes = if beside.is_empty() { self.classes() } else { None };
        let label = |key: &str| match &classes {
            Some(classes) => {
                key.split_once('/').map(|(name, _)| Label::Class { index: classes[name], name: name.to_owned() })
            }
            None => None,
        };
        let sample = |image: Found| {
            let (sidecars, sidecar_stamps): (Vec<String>, _) =
                beside.get(stem(&image.key)).into_iter().flatten().cloned().unzip();
            let beside = || (!sidecars.is_empty()).then(|| Label::Sidecars(sidecars.clone()));
            let label = label(&image.key).or_else(beside);
            Sample { label, sidecars, sidecar_stamps, ..Sample::new(image.key, image.stamp, Place::File(image.path)) }
        };
        (self.images.drain(..).map(sample).collect(), classes)
    }
}

/// The fault of a link, if it has one.
pub(super) fn link_fault(root: &Path, path: &Path) -> Option<Fault> {
    let target = fs::canonicalize(path).ok()?;
    if !target.starts_with(root) {
        Some(Fault::LeadsOut)
    } else if target.is_dir() {
        Some(Fault::LinkedFolder)
    } else {
        None
    }
}

fn key_of(root: &Path, path: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> = path.strip_prefix(root).ok()?.iter().map(|part| part.to_str()).collect();
    Some(parts?.join("/"))
}

/// The folder, with its slash, and the name.
pub(crate) fn split(key: &str) -> (&str, &str) {
    key.split_at(key.rfind('/').map_or(0, |slash| slash + 1))
}

/// The key without its ending: what a sidecar shares with its image.
pub(crate) fn stem(key: &str) -> &str {
    let (folder, name) = split(key);
    name.rfind('.').filter(|&dot| dot > 0).map_or(key, |dot| &key[..folder.len() + dot])
}

pub(super) fn ending(path: &Path) -> Option<String> {
    path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase)
}

/// By its ending; a file whose ending says nothing is looked into.
fn is_image(path: &Path) -> Result<bool, SourceError> {
    match ending(path) {
        Some(ending) if IMAGE_ENDINGS.contains(&ending.as_str()) => Ok(true),
        Some(ending) if SIDECAR_ENDINGS.contains(&ending.as_str()) => Ok(false),
        _ => Ok(looks_like_an_image(&start_of(path)?)),
    }
}

/// The first 16 bytes, or as many as there are.
pub(super) fn start_of(path: &Path) -> Result<Vec<u8>, SourceError> {
    storage::start(path, 16).map_err(|source| SourceError::unreadable(path, source))
}
