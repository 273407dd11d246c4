//! An evaluation, carried out: opens its sets, loads its refiners, and finds out the figures of the cells it is given, one after
//! the other. What they are is `downstream`'s business; refuses to know whose attempt counts.

#[cfg(not(feature = "torch"))]
use crate::{piecework::Line, train::Desk};
#[cfg(not(feature = "torch"))]
use sumac_common::{conversation::Readiness, evaluation::Evaluation};

#[cfg(feature = "torch")]
pub(crate) use with_torch::open;

/// Models need libtorch.
#[cfg(not(feature = "torch"))]
pub(crate) fn open(_: &Desk<'_>, _: &Evaluation) -> Result<(Readiness, Box<dyn Line>), String> {
    Err("this worker was built without libtorch, and evaluates nothing".to_owned())
}

#[cfg(feature = "torch")]
mod with_torch {
    use crate::{
        downstream::{Pictures, Sets, Shown, Studio, Targets},
        fingerprint,
        piecework::{Line, Pace, in_full},
        pipeline,
        train::Desk,
    };
    use base64::{Engine as _, prelude::BASE64_STANDARD as STANDARD};
    use std::{
        collections::VecDeque,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
            mpsc,
        },
        thread::{self, JoinHandle},
        time::Instant,
    };
    use sumac_common::{
        conversation::{Doing, Readiness},
        evaluation::{Evaluation, Task, figures::Figures},
        ids::{Digest, SampleId},
        leases::{Attempt, Receipt, Shard},
        spec::{ImageShape, Precision},
        workbench::Event,
    };
    use sumac_data::{
        Frozen,
        evaluated::{self, LabelledSet, Outcome},
        grid_png,
    };
    use tracing::{info, warn};

    /// Cells that wait besides the one that is worked on.
    const AHEAD: usize = 1;
    /// Cells over which the speed is averaged.
    const RECENT: usize = 16;

    /// The models are trained on a thread of their own; whoever holds this listens to the coordinator.
    struct Evaluating {
        order: Evaluation,
        pieces: Option<mpsc::Sender<(Attempt, Shard)>>,
        news: mpsc::Receiver<Done>,
        /// Given, and not yet come out.
        under_way: usize,
        recent: VecDeque<f64>,
        is_wanted: Arc<AtomicBool>,
        thread: JoinHandle<()>,
    }

    struct Done {
        event: Event,
        seconds: f64,
    }

    /// The sets and the refiners as they were submitted, and a studio that waits for cells.
    pub(crate) fn open(desk: &Desk<'_>, order: &Evaluation) -> Result<(Readiness, Box<dyn Line>), String> {
        let (what, how) = (&order.what, &order.how);
        let labelled = [Some(&how.synthetic), Some(&how.test), how.real_labelled.as_ref(), how.validation.as_ref()];
        let labelled = labelled.into_iter().flatten();
        let tables = labelled.clone().filter_map(|set| set.table.as_ref());
        for path in labelled.map(|set| &set.images).chain(tables).chain([&how.real, &how.destination]) {
            desk.roots.admit(path).map_err(|outside| outside.to_string())?;
        }
        let progress = |which: &'static str, done: usize, of: usize| {
            if done == of {
                info!(which, done, of, "images frozen");
            }
        };
        let sets = evaluated::Sets::open(how, (what.image, what.resize, what.max_bad), &desk.cache, &progress)
            .map_err(|error| in_full(&error))?;
        if sets.digest() != what.data {
            return Err("its images or labels are not those that were submitted".to_owned());
        }
        let fingerprint = (desk.fingerprint)(what.threads, Precision::F32).map_err(|error| error.to_string())?;
        let mut refiners = Vec::with_capacity(what.refiners.len());
        for (at, candidate) in what.refiners.iter().enumerate() {
            let weights = evaluated::refiner(order, at)
                .map_err(|error| format!("{}: the destination must be reachable from every worker", in_full(&error)))?;
            let net = pipeline::load(&candidate.trained.net, what.image.channels, &weights, desk.device);
            refiners.push(net.map_err(|error| format!("refiner {}: {error}", candidate.name))?);
        }
        let studio = Studio::new(what.clone(), pictures(order, &sets)?, refiners);
        let line = Evaluating::start(desk, order, studio)?;
        Ok((Readiness { data: what.identity(), fingerprint, lambda: None }, Box::new(line)))
    }

    fn pictures(order: &Evaluation, sets: &evaluated::Sets) -> Result<Sets, String> {
        let labelled = |set: &LabelledSet| -> Result<Pictures, String> {
            let targets = match order.what.task {
                Task::Classes => {
                    let of = set.answers.classes(&order.what.classes).map_err(|error| in_full(&error))?;
                    Targets::Classes { of, count: order.what.classes.len() as i64 }
                }
                task => {
                    let (of, width) = set.answers.numbers(task).map_err(|error| in_full(&error))?;
                    Targets::Numbers { of, width }
                }
            };
            Ok(Pictures { targets: Some(targets), ..unlabelled(&set.frozen)? })
        };
        Ok(Sets {
            synthetic: labelled(&sets.synthetic)?,
            real: unlabelled(&sets.real)?,
            test: labelled(&sets.test)?,
            real_labelled: sets.real_labelled.as_ref().map(labelled).transpose()?,
            validation: sets.validation.as_ref().map(labelled).transpose()?,
            points: sets.points.clone(),
        })
    }

    fn unlabelled(frozen: &Frozen) -> Result<Pictures, String> {
        let ids: Vec<SampleId> = (0..frozen.len() as u64).map(SampleId).collect();
        let mut pixels = Vec::with_capacity(ids.len() * frozen.shape().len());
        frozen.read(&ids, &mut pixels).map_err(|error| in_full(&error))?;
        let keys = frozen.manifest().samples.iter().map(|sample| sample.key.clone()).collect();
        Pictures::new(&pixels, frozen.shape(), keys).map_err(|error| error.to_string())
    }

    impl Evaluating {
        fn start(desk: &Desk<'_>, order: &Evaluation, mut studio: Studio) -> Result<Self, String> {
            let (pieces, given) = mpsc::channel::<(Attempt, Shard)>();
            let (tell, news) = mpsc::channel();
            let is_wanted = Arc::new(AtomicBool::new(true));
            let (wanted, mailbox, order_there) = (Arc::clone(&is_wanted), Arc::clone(desk.mailbox), order.clone());
            let run = move || {
                fingerprint::use_threads(order_there.what.threads);
                let go_on = || wanted.load(Ordering::Relaxed);
                for (attempt, cell) in given {
                    let begun = Instant::now();
                    let event = match find_out(&mut studio, &order_there, (attempt, cell), &go_on) {
                        Ok(None) => return,
                        Ok(Some(receipt)) => Event::Wrote { attempt, shard: cell, receipt },
                        Err(why) => {
                            warn!(%cell, %attempt, why, "a cell failed");
                            Event::Failed { attempt, shard: cell, why }
                        }
                    };
                    let is_heard = tell.send(Done { event, seconds: begun.elapsed().as_secs_f64() }).is_ok();
                    mailbox.nudge();
                    if !is_heard {
                        return;
                    }
                }
            };
            let thread =
                thread::Builder::new().name("evaluator".to_owned()).spawn(run).map_err(|error| error.to_string())?;
            let (order, recent) = (order.clone(), VecDeque::with_capacity(RECENT));
            Ok(Self { order, pieces: Some(pieces), news, under_way: 0, recent, is_wanted, thread })
        }
    }

    /// `None` once nobody wants it any more.
    fn find_out(
        studio: &mut Studio,
        order: &Evaluation,
        (attempt, piece): (Attempt, Shard),
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Receipt>, String> {
        let begun = Instant::now();
        let cell = order.what.cell(piece).ok_or_else(|| format!("there is no cell {piece}"))?;
        let found = studio.figures(cell, go_on).map_err(|error| error.to_string())?;
        let Some(figures) = found else { return Ok(None) };
        let picture = match &figures {
            Figures::Images(images) => beside(studio.shown(cell, &images.shown).map_err(|error| error.to_string())?)?,
            _ => String::new(),
        };
        let outcome = Outcome { figures, picture, seconds: begun.elapsed().as_secs_f64() };
        let digest = evaluated::write(order, piece, attempt, &outcome).map_err(|error| in_full(&error))?;
        Ok(Some(Receipt { digest, refined: 1, bad: 0 }))
    }

    /// Synthetic images, what was made of them, what changed, and real ones, as a PNG in base64.
    fn beside(shown: Shown) -> Result<String, String> {
        let Shown { shape, synthetic, made, real } = shown;
        let changed: Vec<f32> =
            made.iter().zip(&synthetic).map(|(made, was)| ((made - was) / 2.0).clamp(-1.0, 1.0)).collect();
        // What is neither grey nor colour is shown by its first channel.
        let seen = ImageShape { channels: if shape.channels == 3 { 3 } else { 1 }, ..shape };
        let visible = |pixels: &[f32]| -> Vec<f32> {
            pixels.chunks_exact(shape.len()).flat_map(|image| &image[..seen.len()]).copied().collect()
        };
        let columns = [&synthetic, &made, &changed, &real].map(|pixels| visible(pixels));
        let png = grid_png(seen, &columns.each_ref().map(Vec::as_slice)).map_err(|error| error.to_string())?;
        Ok(STANDARD.encode(png))
    }

    impl Line for Evaluating {
        fn doing(&self) -> Doing {
            Doing::Evaluating
        }

        fn take(&mut self, attempt: Attempt, piece: Shard) -> bool {
            let Some(pieces) = self.pieces.as_ref().filter(|_| self.under_way <= AHEAD) else { return false };
            let is_taken = pieces.send((attempt, piece)).is_ok();
            self.under_way += usize::from(is_taken);
            is_taken
        }

        fn news(&mut self) -> Vec<Event> {
            let done: Vec<Done> = self.news.try_iter().collect();
            self.under_way = self.under_way.saturating_sub(done.len());
            for Done { seconds, .. } in &done {
                self.recent.truncate(RECENT - 1);
                self.recent.push_front(*seconds);
            }
            done.into_iter().map(|done| done.event).collect()
        }

        fn has_ended(&self) -> bool {
            self.thread.is_finished()
        }

        fn pace(&mut self) -> Pace {
            let mean = self.recent.iter().sum::<f64>() / self.recent.len().max(1) as f64;
            let pieces_per_second = if mean > 0.0 { mean.recip() } else { 0.0 };
            Pace { pieces_per_second, ..Pace::default() }
        }

        fn publish(&self, attempt: Attempt, piece: Shard) -> Result<(), String> {
            evaluated::publish(&self.order, piece, attempt).map_err(|error| in_full(&error))
        }

        fn discard(&self, attempt: Attempt, piece: Shard) -> Result<(), String> {
            evaluated::discard(&self.order, piece, attempt).map_err(|error| in_full(&error))
        }

        fn seal(&self, receipts: Digest, _: &[(Shard, String)]) -> Result<(), String> {
            evaluated::seal(&self.order, receipts).map(drop).map_err(|error| in_full(&error))
        }

        fn end(mut self: Box<Self>) -> Result<(), String> {
            self.is_wanted.store(false, Ordering::Relaxed);
            self.pieces = None;
            self.thread.join().map_err(|_| "the thread that evaluates panicked, which is a fault of sumac".to_owned())
        }
    }
}
