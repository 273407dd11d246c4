//! The writer: what became of each image, in order, into its shard's attempt. Nothing is published here.

use super::{
    Common, News, Stage,
    errand::{Errand, Image, Passing, What},
    in_order::InOrder,
    making::Encoded,
    reading::{chain, source},
};
use std::sync::{Arc, mpsc};
use sumac_data::refined::{self, Attempt, Outcome};

/// Writes until nothing comes any more. `tell` says whether anybody listens.
pub(super) fn write(common: &Common, inbox: &mpsc::Receiver<Passing<Encoded>>, tell: impl Fn(News) -> bool) {
    let mut in_order = InOrder::default();
    let mut desk = Desk { common, open: None };
    for passing in inbox {
        if common.is_stopping() {
            return;
        }
        in_order.put(passing.number, passing);
        while let Some(Passing { errand, what, .. }) = in_order.next() {
            match what {
                What::Image(image) => desk.put(&errand, image),
                What::End => {
                    if !tell(desk.finish(&errand)) {
                        return;
                    }
                }
            }
        }
    }
}

/// Where one shard is written at a time. What is not finished when it goes is deleted.
struct Desk<'a> {
    common: &'a Common,
    open: Option<(Arc<Errand>, Attempt)>,
}

impl Desk<'_> {
    fn put(&mut self, errand: &Arc<Errand>, image: Image<Encoded>) {
        if errand.failed().is_some() {
            return;
        }
        let outcome = match image.made {
            Ok(Encoded { original_digest, bytes }) => {
                Outcome::Refined { original_digest, image: bytes, pieces: image.pieces }
            }
            Err(reason) => Outcome::Bad { reason },
        };
        let common = self.common;
        let put = common.clocks.time(Stage::Write, || {
            self.begin(errand)?;
            let attempt = self.open.as_mut().map(|(_, attempt)| attempt);
            attempt.map_or(Ok(()), |attempt| attempt.put(outcome)).map_err(|error| chain(&error))
        });
        match put {
            Ok(()) => common.clocks.count(),
            Err(why) => errand.fail(why),
        }
    }

    fn begin(&mut self, errand: &Arc<Errand>) -> Result<(), String> {
        if self.open.is_none() {
            let Errand { shard, attempt, .. } = &**errand;
            let begun = Attempt::begin(&self.common.order, source(errand)?, *shard, attempt);
            self.open = Some((Arc::clone(errand), begun.map_err(|error| chain(&error))?));
        }
        Ok(())
    }

    fn finish(&mut self, errand: &Arc<Errand>) -> News {
        let (shard, attempt) = (errand.shard, errand.attempt.clone());
        let whole = match errand.failed() {
            Some(why) => Err(why.to_owned()),
            None => self.common.clocks.time(Stage::Write, || {
                self.begin(errand)?;
                let (_, open) = self.open.take().ok_or("nothing of it was written")?;
                open.finish().map_err(|error| chain(&error))
            }),
        };
        match whole {
            Ok(whole) => News::Done { shard, attempt, whole },
            Err(why) => {
                self.open = None;
                self.delete(errand);
                News::Failed { shard, attempt, why }
            }
        }
    }

    fn delete(&self, errand: &Errand) {
        if let Err(error) = refined::discard(&self.common.order, errand.shard, &errand.attempt) {
            let (shard, attempt, error) = (errand.shard, &errand.attempt, chain(&error));
            tracing::warn!(%shard, attempt, error, "an attempt that is of no use could not be deleted");
        }
    }
}

impl Drop for Desk<'_> {
    fn drop(&mut self) {
        if let Some((errand, attempt)) = self.open.take() {
            drop(attempt);
            self.delete(&errand);
        }
    }
}
