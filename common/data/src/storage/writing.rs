//! What writers need beside [`Unfinished`](super::Unfinished): folders, moving, deleting. What is moved is durable where it
//! arrives. Knows nothing of what is stored.

use super::remote;
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// With all folders above it. A bucket has none: they are but slashes in keys.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    if remote(path)?.is_some() { Ok(()) } else { fs::create_dir_all(path) }
}

/// The names of the folders right under one; none if it is not there.
pub(crate) fn folders(path: &Path) -> io::Result<Vec<String>> {
    if let Some(remote) = remote(path)? {
        return remote.folders();
    }
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        // A name that is no text is none of ours.
        names.extend(entry.file_name().into_string().ok().filter(|_| entry.path().is_dir()));
    }
    Ok(names)
}

/// A file under its new name. Whoever moves it at the same time may have done so.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    if let (Some(from), Some(to)) = (remote(from)?, remote(to)?) {
        return from.rename(&to);
    }
    renamed(from, to)?;
    to.parent().map_or(Ok(()), sync)
}

/// Every file below a folder to the same place below another one. Whoever moves them at the same time may have done so.
pub(crate) fn move_below(from: &Path, to: &Path) -> io::Result<()> {
    if let (Some(from), Some(to)) = (remote(from)?, remote(to)?) {
        return from.move_below(&to);
    }
    let mut touched = BTreeSet::new();
    move_all(from, to, &mut touched)?;
    touched.iter().try_for_each(|folder| sync(folder))
}

/// Whether it was there or not.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    let removed = match remote(path)? {
        Some(remote) => remote.delete(),
        None => fs::remove_file(path),
    };
    gone(removed)
}

/// With all that is in it, whether it was there or not.
pub(crate) fn remove_folder(path: &Path) -> io::Result<()> {
    let removed = match remote(path)? {
        Some(remote) => remote.delete_below(),
        None => fs::remove_dir_all(path),
    };
    gone(removed)
}

/// Where others may have put something into it, it stays.
pub(crate) fn remove_if_empty(path: &Path) -> io::Result<()> {
    match remote(path)?.map_or_else(|| fs::remove_dir(path), |_| Ok(())) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => gone(removed),
    }
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The folders that got a file are `touched`.
fn move_all(from: &Path, to: &Path, touched: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(from) {
        // Somebody else moves it, too.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            move_all(&entry.path(), &target, touched)?;
        } else {
            if touched.insert(to.to_owned()) {
                fs::create_dir_all(to)?;
                // A new folder is a name in the one above it.
                touched.extend(to.parent().map(Path::to_owned));
            }
            renamed(&entry.path(), &target)?;
        }
    }
    Ok(())
}

fn renamed(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && to.try_exists()? => Ok(()),
        renamed => renamed,
    }
}

/// A folder of this machine, so that the names in it survive a loss of power.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
