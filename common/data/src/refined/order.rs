//! What the work in a destination is the work of: the refinement, and its refiner. Laid down once, before any shard.

use super::RefinedError;
use crate::unfinished::Unfinished;
use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};
use sumac_common::{
    ids::Digest,
    refinement::{Refinement, WORK},
};

/// The refiner's file, in the folder of work in progress.
pub const REFINER: &str = "refiner.safetensors";
pub(super) const ORDER: &str = "refinement.json";
pub(super) const OWN: [&str; 3] = [ORDER, REFINER, FINGERPRINT];

/// Lays the refinement and its refiner into the destination, for whoever works on it. An error if another one is there: two
/// refinements in one folder would be none.
pub fn lay_down(refinement: &Refinement, refiner: &[u8]) -> Result<(), RefinedError> {
    let work = refinement.work();
    if let Some(there) = order(&refinement.how.destination)?
        && there.what.identity() != refinement.what.identity()
    {
        return Err(RefinedError::AnotherOrder { path: refinement.how.destination.clone() });
    }
    let put = |name: &str, bytes: &[u8]| {
        fs::create_dir_all(&work)?;
        let mut file = Unfinished::create(&work, name)?;
        file.write_all(bytes)?;
        file.finish(&work, name)
    };
    let put = |name: &str, bytes: &[u8]| put(name, bytes).map_err(RefinedError::unwritable(work.join(name)));
    match fs::read(work.join(REFINER)) {
        Ok(there) if Digest::of(&there) == refinement.what.weights => {}
        _ => put(REFINER, refiner)?,
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
    let found = fs::read_to_string(&path).map_err(RefinedError::unreadable(&path))?;
    if found != fingerprint {
        return Err(RefinedError::AnotherFingerprint { path, found, wanted: fingerprint.to_owned() });
    }
    Ok(())
}

/// The refinement that a destination is the work of, while it is not sealed.
pub fn order(destination: &Path) -> Result<Option<Refinement>, RefinedError> {
    let path = destination.join(WORK).join(ORDER);
    let json = match fs::read_to_string(&path) {
        Ok(json) => json,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(RefinedError::unreadable(path)(error)),
    };
    Refinement::from_json(&json).map(Some).map_err(|what| RefinedError::Damaged { path, what })
}
