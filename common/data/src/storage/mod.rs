//! Where data sets lie: in files of this machine, or as objects of an S3 bucket under `s3://bucket/key`.
//!
//! What is asked of both is the little that readers and writers need. Knows nothing of what is stored.

mod draft;
mod roots;
#[cfg_attr(not(feature = "s3"), path = "without_s3.rs")]
mod s3;
mod unfinished;
mod writing;

pub use roots::{Outside, Roots};

pub(crate) use draft::Draft;
pub(crate) use s3::Remote;
pub(crate) use unfinished::Unfinished;
pub(crate) use writing::{folders, make_folder, move_below, remove_file, remove_folder, remove_if_empty, rename};

use crate::source::{Held, Stamp};
use std::{
    collections::HashMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// What is somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    File(Stamp),
    Folder,
}

use s3::Spool;

/// Which of two that write the same file is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    First,
    Last,
}

/// Whether a path names something that is not on this machine.
#[must_use]
pub fn is_remote(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.starts_with("s3://"))
}

/// The path by which a thing is known from anywhere on this machine: absolute, or as it is if it lies elsewhere.
pub fn absolute(path: &Path) -> io::Result<PathBuf> {
    if is_remote(path) { Ok(path.to_owned()) } else { std::path::absolute(path) }
}

/// The object behind a path; `None` if it is a path of this machine.
pub(crate) fn remote(path: &Path) -> io::Result<Option<Remote>> {
    if is_remote(path) { Remote::at(path).map(Some) } else { Ok(None) }
}

/// The one path of what is there; an error if nothing is.
pub(crate) fn canonical(path: &Path) -> io::Result<PathBuf> {
    match remote(path)? {
        Some(remote) => remote.stands().map(|_| remote.path()),
        None => fs::canonicalize(path),
    }
}

pub(crate) fn stands(path: &Path) -> io::Result<Stands> {
    if let Some(remote) = remote(path)? {
        return remote.stands();
    }
    let found = fs::metadata(path)?;
    Ok(if found.is_dir() { Stands::Folder } else { Stands::File(Stamp::of(&found)) })
}

pub(crate) fn stamp(path: &Path) -> io::Result<Stamp> {
    match stands(path)? {
        Stands::File(stamp) => Ok(stamp),
        Stands::Folder => Err(io::ErrorKind::IsADirectory.into()),
    }
}

/// Whether nothing is there but perhaps a folder of this name, with nothing in it but what is `ours`.
pub(crate) fn holds_only(folder: &Path, name: &str, ours: impl Fn(&str) -> bool) -> io::Result<bool> {
    if let Some(remote) = remote(folder)? {
        let is_ours = |key: &str| {
            let inside = key.strip_prefix(name).and_then(|rest| rest.strip_prefix('/'));
            inside.and_then(|inside| inside.split('/').next()).is_some_and(&ours)
        };
        return Ok(remote.below()?.iter().all(|(key, _)| is_ours(key)));
    }
    let names = |folder: &Path| match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let is = |wanted: &dyn Fn(&str) -> bool, found: &std::ffi::OsString| found.to_str().is_some_and(wanted);
    Ok(names(folder)?.iter().all(|found| is(&|found| found == name, found))
        && names(&folder.join(name))?.iter().all(|found| is(&ours, found)))
}

/// Whether there is a file of this name.
pub(crate) fn is_file(path: &Path) -> io::Result<bool> {
    match stamp(path) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory) => Ok(false),
        Err(error) => Err(error),
    }
}

/// All of a file; `None` if there is none.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let read = match remote(path)? {
        Some(remote) => remote.whole(u64::MAX).map(|whole| whole.map_or(Vec::new(), |(bytes, _)| bytes)),
        None => fs::read(path),
    };
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A file as it is now, from its beginning to its end.
pub(crate) fn open(path: &Path) -> io::Result<impl Read + use<>> {
    Held::open(path)?.into_reader()
}

/// The first bytes of a file, or as many as there are.
pub(crate) fn start(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    if let Some(remote) = remote(path)? {
        return remote.start(most);
    }
    let mut start = Vec::new();
    fs::File::open(path)?.take(most).read_to_end(&mut start).map(|_| start)
}

/// A file that was listed, from its beginning to its end. That it was touched since is seen in reading.
pub(crate) fn reader(path: &Path, listed: Stamp) -> io::Result<impl Read> {
    Held::listed(path, listed)?.into_reader()
}

/// The names right under a folder: of files, in a folder of this machine also of folders.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    if let Some(remote) = remote(folder)? {
        let below = remote.below()?.into_iter().map(|(key, _)| key);
        return Ok(below.filter(|key| !key.contains('/')).collect());
    }
    // A name that is no text is nobody's pattern.
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
    names.filter_map(io::Result::transpose).collect()
}

/// Regular files that are looked for by name below one folder. Elsewhere they are listed once, not asked for one by one.
#[derive(Debug)]
pub(crate) enum Files {
    Here,
    Elsewhere(HashMap<PathBuf, Stamp>),
}

impl Files {
    pub(crate) fn below(root: &Path) -> io::Result<Self> {
        let Some(remote) = remote(root)? else { return Ok(Self::Here) };
        let below = remote.below()?.into_iter();
        Ok(Self::Elsewhere(below.map(|(key, stamp)| (root.join(key), stamp)).collect()))
    }

    pub(crate) fn stamp(&self, path: &Path) -> Option<Stamp> {
        match self {
            Self::Here => fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|found| Stamp::of(&found)),
            Self::Elsewhere(files) => files.get(path).copied(),
        }
    }
}
