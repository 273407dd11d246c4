//! What the work in a destination is the work of: the refinement, and its refiner. Laid down once, before any shard.

use super::{
    RefinedError, input,
    manifest::sealed,
    places::{ATTEMPTS, CLAIMS, RECORDS, SHARDS},
};
use crate::storage::{self, Unfinished};
use std::{
    io::{self, Write as _},
    path::Path,
};
use sumac_common::{
    ids::Digest,
    refinement::{Refinement, Trained, WORK},
};

/// In the folder of work in progress.
const REFINER: &str = "refiner.safetensors";
pub(super) const ORDER: &str = "refinement.json";
const OWN: [&str; 3] = [ORDER, REFINER, FINGERPRINT];
const OWN_FOLDERS: [&str; 5] = [ATTEMPTS, CLAIMS, RECORDS, SHARDS, input::FOLDER];

/// Lays the refinement and its refiner into the destination, for whoever works on it. An error if another one is there: two
/// refinements in one folder would be none.
pub fn lay_down(refinement: &Refinement, refiner: Option<&[u8]>) -> Result<(), RefinedError> {
    let work = refinement.work();
    if let Some(there) = order(&refinement.how.destination)?
        && there.what.identity() != refinement.what.identity()
    {
        return Err(RefinedError::AnotherOrder { path: refinement.how.destination.clone() });
    }
    let put = |name: &str, bytes: &[u8]| {
        storage::make_folder(&work)?;
        let mut file = Unfinished::create(&work, name)?;
        file.write_all(bytes)?;
        file.finish(&work, name)
    };
    let put = |name: &str, bytes: &[u8]| put(name, bytes).map_err(RefinedError::unwritable(work.join(name)));
    if let Some(refiner) = refiner {
        match storage::read(&work.join(REFINER)) {
            Ok(Some(there)) if Digest::of(&there) == Digest::of(refiner) => {}
            _ => put(REFINER, refiner)?,
        }
    }
    put(ORDER, refinement.to_json().as_bytes())
}

/// What the first worker without a coordinator computes with: the others must compute with the same.
const FINGERPRINT: &str = "fingerprint.json";

/// For workers that have no coordinator to compare them: says what this one computes with, if it is the first. An error if
/// another one was, and it computes otherwise: the data set would be of two kinds.
pub fn agree(refinement: &Refinement, fingerprint: &str) -> Result<(), RefinedError> {
    let (work, path) = (refinement.work(), refinement.work().join(FINGERPRINT));
    let put = || {
        let mut file = Unfinished::create(&work, FINGERPRINT)?;
        file.write_all(fingerprint.as_bytes())?;
        file.finish_if_first(&work, FINGERPRINT)
    };
    put().map_err(RefinedError::unwritable(&path))?;
    let found = storage::read(&path).map_err(RefinedError::unreadable(&path))?.unwrap_or_default();
    if found != fingerprint.as_bytes() {
        let found = String::from_utf8_lossy(&found).into_owned();
        return Err(RefinedError::AnotherFingerprint { path, found, wanted: fingerprint.to_owned() });
    }
    Ok(())
}

/// The refiner that was submitted, and its file as it was laid down.
///
/// # Errors
/// If another file is there, or none; or if nothing is refined, only converted.
pub fn refiner(refinement: &Refinement) -> Result<(&Trained, Vec<u8>), RefinedError> {
    let path = refinement.work().join(REFINER);
    let read = storage::read(&path).and_then(|read| read.ok_or_else(|| io::ErrorKind::NotFound.into()));
    let file = read.map_err(RefinedError::unreadable(&path))?;
    let submitted = refinement.what.refiner.as_ref().filter(|refiner| refiner.weights == Digest::of(&file));
    submitted.map(|refiner| (refiner, file)).ok_or(RefinedError::AnotherRefiner { path })
}

/// Whether a refinement may be written there: nothing is there, or a refinement. Nothing of anybody's is overwritten; a
/// coordinator may have its own state in a folder of the same name.
pub fn is_free(destination: &Path) -> Result<bool, RefinedError> {
    let is_begun =
        storage::is_file(&destination.join(WORK).join(ORDER)).map_err(RefinedError::unreadable(destination))?;
    if is_begun || matches!(sealed(destination), Ok(Some(_))) {
        return Ok(true);
    }
    // Killed before it was laid down.
    let ours = |name: &str| {
        let begins = |own: &&str| name.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.ends_with(".part"));
        OWN.iter().chain(&OWN_FOLDERS).any(begins)
    };
    storage::holds_only(destination, WORK, ours).map_err(RefinedError::unreadable(destination))
}

/// Deletes what a finished data set needs no more. Others may keep something of their own beside it.
pub fn clear_away(destination: &Path) -> Result<(), RefinedError> {
    let work = destination.join(WORK);
    let cleared = || {
        for folder in OWN_FOLDERS {
            match storage::remove_folder(&work.join(folder)) {
                // Whoever is late with an attempt may be writing it at this moment: what stays of that does no harm.
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                removed => removed?,
            }
        }
        for file in OWN {
            storage::remove_file(&work.join(file))?;
        }
        storage::remove_if_empty(&work)
    };
    cleared().map_err(RefinedError::unwritable(&work))
}

/// The refinement that a destination is the work of, while it is not sealed.
pub fn order(destination: &Path) -> Result<Option<Refinement>, RefinedError> {
    let path = destination.join(WORK).join(ORDER);
    let json = storage::read(&path).map_err(RefinedError::unreadable(&path))?;
    let read = |json: Vec<u8>| Refinement::from_json(&String::from_utf8_lossy(&json));
    json.map(read).transpose().map_err(|what| RefinedError::Damaged { path, what })
}
