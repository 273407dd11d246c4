//! A data set in another form: written as a refined one is, but by nobody's refiner. Knows nothing of the coordinator and of
//! workers; whoever is killed goes on from the shards that are published.

use super::{
    Attempt, Input, Manifest, Outcome, RefinedError, is_published,
    publish::{discard, publish_if_first},
    seal, written,
};
use crate::{
    Source, decode,
    source::{Form, Original, Unread},
};
use rayon::prelude::*;
use std::process;
use sumac_common::{
    ids::Digest,
    leases::Shard,
    refinement::{Format, Layout, Refinement, What},
};

/// Images in memory at once.
const CHUNK: usize = 64;

/// Converts what is not converted yet, and seals. `progress` is called with (done, total) images.
pub fn convert(order: &Refinement, progress: &dyn Fn(u64, u64)) -> Result<Manifest, RefinedError> {
    let (what, input) = (&order.what, Input::open(&order.work())?);
    let name = format!("convert-{}", process::id());
    for shard in (0..what.shards()).map(Shard) {
        let begin = what.samples_of(shard).start;
        if !is_published(order, shard)? {
            let source = input.shard(what.shard_samples, shard)?;
            let attempted = attempt(order, &source, shard, &name, &|done| progress(begin + done, what.samples));
            if let Err(error) = attempted {
                // Why it failed says more than that the rest of it stays, which the next attempt does not mind.
                let _ = discard(order, shard, &name);
                return Err(error);
            }
            publish_if_first(order, shard, &name)?;
        }
        progress(what.samples_of(shard).end, what.samples);
    }
    seal(order, &[], None, &|_, _| {})
}

fn attempt(
    order: &Refinement,
    source: &Source,
    shard: Shard,
    name: &str,
    progress: &dyn Fn(u64),
) -> Result<(), RefinedError> {
    let mut attempt = Attempt::begin(order, source, shard, name)?;
    let total = source.samples().len();
    for begin in (0..total).step_by(CHUNK) {
        let end = (begin + CHUNK).min(total);
        let chunk: Vec<_> = (begin..end).into_par_iter().map(|at| outcome(&order.what, source, at)).collect();
        for outcome in chunk {
            attempt.put(outcome?)?;
        }
        progress(end as u64);
    }
    attempt.finish().map(drop)
}

fn outcome(what: &What, source: &Source, at: usize) -> Result<Outcome, RefinedError> {
    match converted(what, source, at) {
        Ok(outcome) => Ok(outcome),
        Err(Unread::Fault(fault)) => Ok(Outcome::Bad { reason: fault.to_string() }),
        Err(Unread::Io { path, source }) => Err(RefinedError::Unreadable { path, source }),
    }
}

fn converted(what: &What, source: &Source, at: usize) -> Result<Outcome, Unread> {
    let (original, pieces) = (source.original(at)?, source.label_pieces(at)?);
    let original_digest = Digest::of(&original.bytes);
    // What is bad is found here, also where nothing is changed.
    let picture = source.picture(at)?;
    let image = match what.fit {
        Some(fit) => picture.converted(what.image, fit).and_then(|picture| written(what, source, &picture, &original)),
        None if is_kept(what, &original) => Ok(original.bytes),
        None => written(what, source, &picture, &original),
    };
    Ok(Outcome::Refined { original_digest, image: image.map_err(Unread::Fault)?, pieces })
}

/// Whether the image is written as the bytes that it is.
fn is_kept(what: &What, original: &Original) -> bool {
    match original.form {
        Form::Encoded(form) => what.format == Format::Same || form == decode::Format::Png,
        Form::Values => what.layout == Layout::Mirror,
    }
}
