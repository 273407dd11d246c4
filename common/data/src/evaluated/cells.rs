//! The figures of an evaluation, cell by cell on the way and all of them at the end. Each step may be the last one of its process:
//! whoever comes next repeats it.

use super::EvaluatedError;
use crate::storage::{self, Unfinished};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    path::{Path, PathBuf},
};
use sumac_common::{
    evaluation::{Evaluation, figures::Figures},
    ids::Digest,
    leases::{Attempt, Shard, chain},
    refinement::WORK,
};

/// What is left in the end.
pub const RESULT: &str = "evaluation.json";
/// In the folder of work in progress.
const ORDER: &str = "evaluation.json";
const ATTEMPTS: &str = "attempts";
const CELLS: &str = "cells";
const REFINER: &str = "refiner";

/// An evaluation and all that was found out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    pub sumac: String,
    pub evaluation: Evaluation,
    /// In the order of [`What::cells`](sumac_common::evaluation::What::cells).
    pub cells: Vec<Outcome>,
}

/// What was found out in one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub figures: Figures,
    /// Some of the images beside what they were made of, as PNG in base64, for people to look at; empty where a cell has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub picture: String,
    pub seconds: f64,
}

/// Nothing is there, or an evaluation. Nothing of anybody's is overwritten; a coordinator may have its own state in a folder of
/// the same name.
pub fn is_free(destination: &Path) -> Result<bool, EvaluatedError> {
    let unreadable = EvaluatedError::unreadable(destination);
    if storage::is_file(&destination.join(WORK).join(ORDER)).map_err(unreadable)?
        || matches!(evaluated(destination), Ok(Some(_)))
    {
        return Ok(true);
    }
    // Killed before it was laid down.
    storage::holds_only(destination, WORK, is_own).map_err(EvaluatedError::unreadable(destination))
}

fn is_own(name: &str) -> bool {
    [ORDER, ATTEMPTS, CELLS].contains(&name) || name.starts_with(REFINER) || name.starts_with(ORDER)
}

/// Deletes what a finished evaluation needs no more. Others may keep something of their own beside it.
pub fn clear_away(order: &Evaluation) -> Result<(), EvaluatedError> {
    let work = order.work();
    let cleared = || {
        for folder in [ATTEMPTS, CELLS] {
            match storage::remove_folder(&work.join(folder)) {
                // A late worker may be writing there at this moment.
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                removed => removed?,
            }
        }
        for at in 0..order.what.refiners.len() {
            storage::remove_file(&work.join(refiner_name(at)))?;
        }
        storage::remove_file(&work.join(ORDER))?;
        storage::remove_if_empty(&work)
    };
    cleared().map_err(EvaluatedError::unwritable(&work))
}

/// Lays the evaluation and its refiners into the destination, for whoever works on it.
pub fn lay_down(evaluation: &Evaluation, refiners: &[Vec<u8>]) -> Result<(), EvaluatedError> {
    let work = evaluation.work();
    if let Some(there) = order(&evaluation.how.destination)?
        && there.what.identity() != evaluation.what.identity()
    {
        return Err(EvaluatedError::AnotherOrder { path: evaluation.how.destination.clone() });
    }
    for (at, refiner) in refiners.iter().enumerate() {
        put(&work, &refiner_name(at), refiner)?;
    }
    put(&work, ORDER, evaluation.to_json().as_bytes())
}

/// The evaluation that work in progress is of; `None` where there is none.
pub fn order(destination: &Path) -> Result<Option<Evaluation>, EvaluatedError> {
    let path = destination.join(WORK).join(ORDER);
    let Some(bytes) = storage::read(&path).map_err(EvaluatedError::unreadable(&path))? else { return Ok(None) };
    let damaged = |what: String| EvaluatedError::Damaged { path: path.clone(), what };
    let evaluation: Evaluation = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    evaluation.check().map_err(damaged)?;
    Ok(Some(evaluation))
}

/// A refiner as it was laid down.
pub fn refiner(evaluation: &Evaluation, at: usize) -> Result<Vec<u8>, EvaluatedError> {
    let path = evaluation.work().join(refiner_name(at));
    let read = storage::read(&path).and_then(|read| read.ok_or_else(|| io::ErrorKind::NotFound.into()));
    let file = read.map_err(EvaluatedError::unreadable(&path))?;
    match evaluation.what.refiners.get(at) {
        Some(candidate) if candidate.trained.weights == Digest::of(&file) => Ok(file),
        _ => Err(EvaluatedError::AnotherRefiner { path }),
    }
}

/// Writes what an attempt found out, whole and durable; returns its digest. The seconds it took are no part of that.
pub fn write(order: &Evaluation, cell: Shard, attempt: Attempt, outcome: &Outcome) -> Result<Digest, EvaluatedError> {
    let json = serde_json::to_vec(outcome).expect("figures are plain data: their JSON cannot fail");
    put(&order.work().join(ATTEMPTS), &attempt_name(cell, attempt), &json)?;
    Ok(digest(outcome))
}

/// This attempt counts.
pub fn publish(order: &Evaluation, cell: Shard, attempt: Attempt) -> Result<(), EvaluatedError> {
    let work = order.work();
    let (from, to) = (work.join(ATTEMPTS).join(attempt_name(cell, attempt)), work.join(CELLS));
    if storage::stands(&from).is_err() && storage::stands(&to.join(cell_name(cell))).is_ok() {
        return Ok(());
    }
    storage::make_folder(&to).map_err(EvaluatedError::unwritable(&to))?;
    storage::rename(&from, &to.join(cell_name(cell))).map_err(EvaluatedError::unwritable(&from))
}

/// This attempt came too late.
pub fn discard(order: &Evaluation, cell: Shard, attempt: Attempt) -> Result<(), EvaluatedError> {
    let path = order.work().join(ATTEMPTS).join(attempt_name(cell, attempt));
    storage::remove_file(&path).map_err(EvaluatedError::unwritable(path))
}

/// Puts the figures of all cells together. `receipts`: over their digests, as they were committed.
pub fn seal(order: &Evaluation, receipts: Digest) -> Result<Evaluated, EvaluatedError> {
    let destination = &order.how.destination;
    if let Some(there) = evaluated(destination)? {
        return Ok(there);
    }
    let work = order.work();
    let cells: Vec<Outcome> =
        (0..order.what.cells().len() as u32).map(|cell| found(&work, Shard(cell))).collect::<Result<_, _>>()?;
    if chain(cells.iter().map(digest)) != receipts {
        return Err(EvaluatedError::OtherCells { path: work.join(CELLS) });
    }
    let evaluated = Evaluated { sumac: env!("CARGO_PKG_VERSION").to_owned(), evaluation: order.clone(), cells };
    let json = serde_json::to_vec_pretty(&evaluated).expect("figures are plain data: their JSON cannot fail");
    put(destination, RESULT, &json)?;
    Ok(evaluated)
}

/// The figures that have their final names while it is under way, in the order of the cells.
pub fn published(order: &Evaluation) -> Result<Vec<Option<Figures>>, EvaluatedError> {
    let (work, all) = (order.work(), order.what.cells().len());
    let cells = work.join(CELLS);
    if storage::stands(&cells).is_err() {
        return Ok(vec![None; all]);
    }
    let there: BTreeSet<String> =
        storage::names(&cells).map_err(EvaluatedError::unreadable(&cells))?.into_iter().collect();
    let of = |cell: Shard| match there.contains(&cell_name(cell)) {
        true => found(&work, cell).map(|outcome| Some(outcome.figures)),
        false => Ok(None),
    };
    (0..all as u32).map(|cell| of(Shard(cell))).collect()
}

/// What is left of an evaluation that is finished; `None` where there is none.
pub fn evaluated(destination: &Path) -> Result<Option<Evaluated>, EvaluatedError> {
    let path = destination.join(RESULT);
    let Some(bytes) = storage::read(&path).map_err(EvaluatedError::unreadable(&path))? else { return Ok(None) };
    let evaluated = serde_json::from_slice(&bytes);
    evaluated.map(Some).map_err(|error| EvaluatedError::Damaged { path, what: error.to_string() })
}

/// The published figures of a cell; those of an attempt where a worker died before it could give it its name.
fn found(work: &Path, cell: Shard) -> Result<Outcome, EvaluatedError> {
    let published = work.join(CELLS).join(cell_name(cell));
    let path = match storage::stands(&published) {
        Ok(_) => published,
        Err(_) => attempt_of(work, cell)?,
    };
    let bytes = storage::read(&path).map_err(EvaluatedError::unreadable(&path))?;
    let bytes = bytes.ok_or_else(|| EvaluatedError::NoCell { cell, path: path.clone() })?;
    serde_json::from_slice(&bytes).map_err(|error| EvaluatedError::Damaged { path, what: error.to_string() })
}

/// Any whole attempt will do: all are equal.
fn attempt_of(work: &Path, cell: Shard) -> Result<PathBuf, EvaluatedError> {
    let attempts = work.join(ATTEMPTS);
    let prefix = format!("{:06}.", cell.0);
    let names = storage::names(&attempts).map_err(EvaluatedError::unreadable(&attempts))?;
    let whole = names.into_iter().find(|name| name.starts_with(&prefix) && name.ends_with(".json"));
    whole.map(|name| attempts.join(name)).ok_or(EvaluatedError::NoCell { cell, path: attempts })
}

/// Of the figures alone: how long they took differs from attempt to attempt.
fn digest(outcome: &Outcome) -> Digest {
    let figures = serde_json::to_vec(&(&outcome.figures, &outcome.picture));
    Digest::of(&figures.expect("figures are plain data: their JSON cannot fail"))
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), EvaluatedError> {
    let put = || {
        storage::make_folder(folder)?;
        let mut file = Unfinished::create(folder, name)?;
        file.write_all(bytes)?;
        file.finish(folder, name)
    };
    put().map_err(EvaluatedError::unwritable(folder.join(name)))
}

fn refiner_name(at: usize) -> String {
    format!("{REFINER}-{at}.safetensors")
}

fn attempt_name(cell: Shard, attempt: Attempt) -> String {
    format!("{:06}.{attempt}.json", cell.0)
}

fn cell_name(cell: Shard) -> String {
    format!("{:06}.json", cell.0)
}
