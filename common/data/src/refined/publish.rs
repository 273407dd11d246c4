//! An attempt gets its names, or is deleted. Each step may be the last one of its process: whoever comes next repeats it.

use super::{
    RefinedError,
    places::{self, CLAIMS, OUT, RECEIPT, SHARDS},
};
use crate::unfinished::sync;
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};
use sumac_common::{leases::Shard, refinement::Refinement};

/// Letters, digits, `-` and `_`: it becomes part of a folder's name.
pub(super) fn check_name(name: &str) -> Result<(), RefinedError> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    if name.is_empty() || !name.chars().all(is_plain) {
        return Err(RefinedError::AttemptName { name: name.to_owned() });
    }
    Ok(())
}

/// Gives the files of a whole attempt their names in the destination, the receipt last. What was begun is gone on with; where
/// the shard is published already only the attempt's folder goes.
pub fn publish(order: &Refinement, shard: Shard, name: &str) -> Result<(), RefinedError> {
    check_name(name)?;
    let work = order.work();
    let folder = places::attempt(&work, shard, name);
    if !is_there(&places::receipt(&work, shard))? {
        if !is_there(&folder.join(RECEIPT))? {
            return Err(RefinedError::NoAttempt { shard, path: work });
        }
        let moved = || {
            let mut touched = BTreeSet::new();
            move_all(&folder.join(OUT), &order.how.destination, &mut touched)?;
            touched.iter().try_for_each(|folder| sync(folder))?;
            fs::create_dir_all(work.join(SHARDS))?;
            rename(&folder.join(RECEIPT), &places::receipt(&work, shard))?;
            sync(&work.join(SHARDS))
        };
        moved().map_err(RefinedError::unwritable(&order.how.destination))?;
    }
    remove(&folder)
}

/// For those who have no coordinator: publishes the attempt if it is the first whole one of its shard, and deletes it if not.
/// Returns whether it was.
pub fn publish_if_first(order: &Refinement, shard: Shard, name: &str) -> Result<bool, RefinedError> {
    check_name(name)?;
    let work = order.work();
    let (folder, claim) = (places::attempt(&work, shard, name), places::claim(&work, shard));
    let is_over = is_there(&places::receipt(&work, shard))?;
    let mine = || -> io::Result<bool> {
        fs::create_dir_all(work.join(CLAIMS))?;
        match fs::hard_link(folder.join(RECEIPT), &claim) {
            Ok(()) => sync(&work.join(CLAIMS)).map(|()| true),
            // Whoever claimed it with these very bytes may have died since: to go on for it does no harm.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Ok(fs::read(&claim)? == fs::read(folder.join(RECEIPT))?)
            }
            Err(error) => Err(error),
        }
    };
    let is_first = !is_over && mine().map_err(RefinedError::unwritable(&claim))?;
    if is_first {
        publish(order, shard, name)?
    } else {
        remove(&folder)?
    }
    Ok(is_first)
}

/// Deletes an attempt that does not count, as far as it is there.
pub fn discard(order: &Refinement, shard: Shard, name: &str) -> Result<(), RefinedError> {
    check_name(name)?;
    remove(&places::attempt(&order.work(), shard, name))
}

/// Whether a shard has its names.
pub fn is_published(order: &Refinement, shard: Shard) -> Result<bool, RefinedError> {
    is_there(&places::receipt(&order.work(), shard))
}

/// How many shards have their names, in a folder of work in progress.
pub fn published(work: &Path) -> Result<u64, RefinedError> {
    let folder = work.join(SHARDS);
    match fs::read_dir(&folder) {
        Ok(entries) => Ok(entries.count() as u64),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(RefinedError::unreadable(folder)(error)),
    }
}

fn is_there(path: &Path) -> Result<bool, RefinedError> {
    path.try_exists().map_err(RefinedError::unreadable(path))
}

/// Every file below `from` to the same place below `to`; the folders that got one.
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
            rename(&entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Whoever seals may be at it at the same time: then it has its name already.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && to.try_exists()? => Ok(()),
        renamed => renamed,
    }
}

fn remove(folder: &Path) -> Result<(), RefinedError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(RefinedError::unwritable(folder)(error)),
        _ => Ok(()),
    }
}
