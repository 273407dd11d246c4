//! An attempt gets its names, or is deleted. Each step may be the last one of its process: whoever comes next repeats it.

use super::{
    RefinedError,
    places::{self, CLAIMS, OUT, RECEIPT, SHARDS},
};
use crate::storage::{self, Unfinished};
use std::{
    io::{self, Write as _},
    path::Path,
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
            storage::move_below(&folder.join(OUT), &order.how.destination)?;
            storage::make_folder(&work.join(SHARDS))?;
            storage::rename(&folder.join(RECEIPT), &places::receipt(&work, shard))
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
        let receipt = storage::read(&folder.join(RECEIPT))?.ok_or(io::ErrorKind::NotFound)?;
        let (claims, name) = (work.join(CLAIMS), claim.file_name().unwrap_or_default().to_string_lossy());
        storage::make_folder(&claims)?;
        let mut file = Unfinished::create(&claims, &name)?;
        file.write_all(&receipt)?;
        // Whoever claimed it with these very bytes may have died since: to go on for it does no harm.
        Ok(file.finish_if_first(&claims, &name)? || storage::read(&claim)? == Some(receipt))
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
    match storage::names(&folder) {
        Ok(names) => Ok(names.len() as u64),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(RefinedError::unreadable(folder)(error)),
    }
}

fn is_there(path: &Path) -> Result<bool, RefinedError> {
    storage::is_file(path).map_err(RefinedError::unreadable(path))
}

fn remove(folder: &Path) -> Result<(), RefinedError> {
    storage::remove_folder(folder).map_err(RefinedError::unwritable(folder))
}
