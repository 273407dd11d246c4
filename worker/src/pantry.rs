//! Both frozen data sets, and the images of the next step fetched while this one is computed.
//!
//! Which images those are is known ahead (rules::schedule); a guess that turns out wrong costs a fetch and nothing else.
//! It refuses to know lanes' histories and weights.

use crate::learner::{Images, Lights, Sets};
use std::{
    path::Path,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};
use sumac_common::{
    ids::{ContentId, Digest, SampleId, Step},
    random,
    schedule::LanePlan,
    spec::{
        Data,
        model::{self, Matching},
    },
};
use sumac_data::{FreezeError, Frozen, ReadError, Source, SourceError, captions::Captions, freeze, freeze::Terms};

#[derive(Debug, thiserror::Error)]
pub enum PantryError {
    #[error("data.{which}: {source}")]
    Source { which: &'static str, source: SourceError },
    #[error("data.{which}: {source}")]
    Freeze { which: &'static str, source: FreezeError },
    #[error("data.{which}: {source}")]
    Read { which: &'static str, source: ReadError },
    #[error("the thread that fetches images ended early")]
    Gone,
}

/// One lane's images, straight from the disk.
#[derive(Debug, Default)]
pub struct Groceries {
    pub synthetic: Images,
    pub real: Images,
}

type Fetched = Result<Vec<Groceries>, PantryError>;

pub struct Pantry {
    shelves: Arc<Shelves>,
    ahead: Ahead,
    /// Of the synthetic images that are shown.
    captions: Captions,
}

struct Shelves {
    synthetic: Frozen,
    real: Frozen,
}

/// The thread that fetches ahead.
struct Ahead {
    asks: Option<mpsc::Sender<Vec<LanePlan>>>,
    gives: mpsc::Receiver<(Vec<LanePlan>, Fetched)>,
    asked: bool,
    thread: Option<JoinHandle<()>>,
}

impl Pantry {
    /// Freezes both data sets (or finds them frozen), of which so many images will be shown. `progress` hears (which, done, of).
    pub fn stock(
        data: &Data,
        cache: &Path,
        shown: u64,
        progress: &dyn Fn(&'static str, usize, usize),
    ) -> Result<Self, PantryError> {
        let one = |which: &'static str, path: &Path, terms: Terms| -> Result<(Source, Frozen), PantryError> {
            let source = Source::look(path).map_err(|source| PantryError::Source { which, source })?;
            let frozen = freeze(&source, terms, cache, &|done, of| progress(which, done, of))
                .map_err(|source| PantryError::Freeze { which, source })?;
            Ok((source, frozen))
        };
        let (source, synthetic) = one("synthetic", &data.synthetic, Terms::synthetic(data))?;
        let captions = Captions::of(&source, &synthetic, &spread(shown, synthetic.len() as u64));
        drop(source);
        let (_, real) = one("real", &data.real, Terms::real(data))?;
        let shelves = Arc::new(Shelves { synthetic, real });
        let (asks, asked) = mpsc::channel::<Vec<LanePlan>>();
        let (give, gives) = mpsc::channel();
        let theirs = Arc::clone(&shelves);
        let fetch = move || {
            for plans in asked {
                let fetched = theirs.fetch(&plans);
                if give.send((plans, fetched)).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("fetch".to_owned()).spawn(fetch).ok();
        Ok(Self { shelves, ahead: Ahead { asks: Some(asks), gives, asked: false, thread }, captions })
    }

    #[must_use]
    pub fn synthetic_len(&self) -> u64 {
        self.shelves.synthetic.len() as u64
    }

    #[must_use]
    pub fn real_len(&self) -> u64 {
        self.shelves.real.len() as u64
    }

    /// Over the manifests of both: part of the run's identity.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.shelves.synthetic.manifest_hash().then(&self.shelves.real.manifest_hash().0)
    }

    /// What a learner with this refiner may know of the sets.
    pub fn sets(&self, refiner: &model::Refiner) -> Result<Sets, PantryError> {
        let draws = self.shelves.synthetic.manifest().samples.iter().map(|sample| random::draw_of(&sample.key));
        let mut lights = Lights::default();
        if refiner.matching == Matching::Image {
            let (n, shape) = (self.real_len(), self.shelves.real.shape());
            let most = n.min(Matching::IMAGES_MAX);
            for image in 0..most {
                let one = read("real", &self.shelves.real, &[SampleId(image * n / most)])?;
                lights.add(&one.pixels, shape.channels as usize, (shape.height * shape.width) as usize);
            }
        }
        Ok(Sets { draws: draws.collect(), lights })
    }

    /// The images these lanes eat, in their order: those fetched ahead if they are the ones, else fetched now.
    pub fn take(&mut self, plans: &[LanePlan]) -> Fetched {
        if std::mem::take(&mut self.ahead.asked) {
            let (guess, fetched) = self.ahead.gives.recv().map_err(|_| PantryError::Gone)?;
            if guess == plans {
                return fetched;
            }
        }
        self.shelves.fetch(plans)
    }

    /// Begins to fetch what will probably be taken next.
    pub fn expect(&mut self, plans: Vec<LanePlan>) {
        if !self.ahead.asked
            && let Some(asks) = &self.ahead.asks
        {
            self.ahead.asked = asks.send(plans).is_ok();
        }
    }

    /// A few synthetic and real images for the eye, evenly spread over the sets.
    pub fn samples(&self, n: u64) -> Result<Groceries, PantryError> {
        let (synthetic, real) = (spread(n, self.synthetic_len()), spread(n, self.real_len()));
        let lane = sumac_common::ids::Lane(0);
        let plan = LanePlan { lane, synthetic, real, draw: vec![], replace: vec![] };
        Ok(self.shelves.fetch(&[plan])?.pop().unwrap_or_default())
    }

    /// What the labels of the synthetic ones among them say.
    #[must_use]
    pub fn captions(&self) -> &Captions {
        &self.captions
    }
}

/// `n` of so many, or all.
fn spread(n: u64, len: u64) -> Vec<SampleId> {
    (0..n.min(len)).map(|i| SampleId(i * len / n.min(len).max(1))).collect()
}

impl Shelves {
    fn fetch(&self, plans: &[LanePlan]) -> Fetched {
        plans
            .iter()
            .map(|plan| {
                Ok(Groceries {
                    synthetic: read("synthetic", &self.synthetic, &plan.synthetic)?,
                    real: read("real", &self.real, &plan.real)?,
                })
            })
            .collect()
    }
}

fn read(which: &'static str, frozen: &Frozen, ids: &[SampleId]) -> Result<Images, PantryError> {
    let mut pixels = Vec::with_capacity(ids.len() * frozen.shape().len());
    let handed = frozen.read(ids, &mut pixels).map_err(|source| PantryError::Read { which, source })?;
    // The ids are those found beside the pixels, not those that were asked for.
    let ids = handed.into_iter().map(|sample| ContentId { sample, step: Step(0) }).collect();
    Ok(Images { ids, pixels })
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.asks = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that fetches images panicked");
        }
    }
}
