//! One shard on its way through a pipeline, and what passes from stage to stage of it. Knows nothing of threads.

use super::room::Place;
use std::sync::{Arc, OnceLock};
use sumac_common::leases::Shard;
use sumac_data::{Source, source::Piece};

/// A shard under the name of one attempt.
pub(super) struct Errand {
    pub(super) shard: Shard,
    pub(super) attempt: String,
    /// Its samples; `None` if they could not be listed, and then it has failed.
    pub(super) source: Option<Source>,
    why: OnceLock<String>,
}

impl Errand {
    pub(super) fn new(shard: Shard, attempt: String, source: Result<Source, String>) -> Arc<Self> {
        let (source, why) = match source {
            Ok(source) => (Some(source), OnceLock::new()),
            Err(why) => (None, OnceLock::from(why)),
        };
        Arc::new(Self { shard, attempt, source, why })
    }

    /// It cannot be done here; the first reason stays.
    pub(super) fn fail(&self, why: String) {
        // Another stage may have been first.
        let _ = self.why.set(why);
    }

    pub(super) fn failed(&self) -> Option<&str> {
        self.why.get().map(String::as_str)
    }
}

/// All images of a shard, then its end. Numbered through all shards, without gaps.
pub(super) struct Passing<T> {
    pub(super) number: u64,
    pub(super) errand: Arc<Errand>,
    pub(super) what: What<T>,
}

pub(super) enum What<T> {
    Image(Image<T>),
    End,
}

/// One image: what was made of it so far, or why nothing can be.
pub(super) struct Image<T> {
    /// Which sample of the shard.
    pub(super) at: usize,
    pub(super) place: Place,
    pub(super) pieces: Vec<Piece>,
    pub(super) made: Result<T, String>,
}

impl<T> Passing<T> {
    /// What was made so far, if this is an image and not a bad one.
    pub(super) fn made(&mut self) -> Option<&mut T> {
        match &mut self.what {
            What::Image(Image { made: Ok(made), .. }) => Some(made),
            What::Image(_) | What::End => None,
        }
    }

    /// What the next stage makes of it. What is bad stays bad, and of a shard that failed nothing is made any more.
    pub(super) fn then<U>(self, make: impl FnOnce(&Errand, usize, T) -> Result<U, String>) -> Passing<U> {
        let Self { number, errand, what } = self;
        let what = match what {
            What::Image(Image { at, place, pieces, made }) => {
                let made = made.and_then(|it| match errand.failed() {
                    Some(why) => Err(why.to_owned()),
                    None => make(&errand, at, it),
                });
                What::Image(Image { at, place, pieces, made })
            }
            What::End => What::End,
        };
        Passing { number, errand, what }
    }
}
