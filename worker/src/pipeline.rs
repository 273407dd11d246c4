//! Whole data sets through a refiner, shard after shard: read, decode, refine, encode, write.
//!
//! ```text
//! Feed ─► reader ─► decoders ─► Pipeline::next_news (your thread) ─► encoders ─► writer ─► News
//!         one       a pool      sittings of equal images, the refiner     a pool      one, in order
//! ```
//!
//! The reader goes on to the next shard while the present one is refined, and stops when so many images or bytes are in
//! flight ([`Limits`]), so a pipeline takes the same memory whatever the size of a shard. What is written of a shard is a
//! function of the refinement and the shard: threads, limits and what else is in flight change only how long it takes.
//!
//! An image that cannot be refined is listed with its reason; a disk that fails fails the shard, which others may try. It
//! refuses to know the coordinator, leases and whose attempt counts.

mod errand;
mod in_order;
mod making;
mod queue;
mod reading;
mod refiner;
mod room;
mod shares;
mod sittings;
#[cfg(test)]
mod tests;
mod writing;

pub use queue::Given;
pub use refiner::{Negative, Refines, load};
pub use room::{Limits, Peak};
pub use shares::{Gauge, Shares, Stage};

use errand::{Image, Passing, What};
use in_order::InOrder;
use making::{Canvas, Encoded};
use queue::Queue;
use room::Room;
use shares::Clocks;
use sittings::Sittings;
use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};
use sumac_common::{leases::Shard, refinement::Refinement, spec::ImageShape};
use sumac_data::refined::{Input, Whole};

/// Threads of the two pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crew {
    pub decoders: usize,
    pub encoders: usize,
}

impl Default for Crew {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        // The refiner needs cores, too, and on a CPU most of them.
        let pool = (cores / 2).clamp(1, 8);
        Self { decoders: pool, encoders: pool }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error("a thread of the pipeline could not be started: {0}: allow this process more threads")]
    Thread(#[source] io::Error),
    #[error("{0} ended early, which is a fault of sumac: its panic is printed above")]
    Died(&'static str),
}

/// What became of a shard.
#[derive(Debug)]
pub enum News {
    /// Written and durable, and not yet published.
    Done { shard: Shard, attempt: String, whole: Whole },
    /// Nothing of it is left.
    Failed { shard: Shard, attempt: String, why: String },
}

/// Shards that were given and did not come out; nothing of them is left. And what came out and was not asked for yet.
#[derive(Debug, Default)]
pub struct Stopped {
    pub unfinished: Vec<Given>,
    pub news: Vec<News>,
}

/// What all threads share.
struct Common {
    order: Refinement,
    input: Input,
    channels: u32,
    queue: Queue,
    room: Arc<Room>,
    clocks: Clocks,
    stopping: AtomicBool,
}

impl Common {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.queue.close();
        self.room.close();
    }
}

/// What the caller's thread hears.
enum Word {
    Decoded(Passing<Canvas>),
    /// So many passed the reader, and no more will.
    ReadAll(u64),
    News(News),
    Died(&'static str),
    /// To wake it up.
    Stop,
}

/// Where shards are put in. When the last of these is gone the pipeline ends with what was given.
pub struct Feed {
    common: Arc<Common>,
    wake: mpsc::Sender<Word>,
}

impl Feed {
    fn of(common: &Arc<Common>, wake: &mpsc::Sender<Word>) -> Self {
        common.queue.feed_came();
        Self { common: Arc::clone(common), wake: wake.clone() }
    }

    /// Puts a shard at the end of the queue, to be written under the attempt's name; waits while 64 wait. `false`: the
    /// pipeline was stopped, and will not.
    #[must_use]
    pub fn give(&self, shard: Shard, attempt: String) -> bool {
        self.common.queue.put((shard, attempt))
    }

    /// Shards of which nothing was read yet: when there are none, it is time to ask for more.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.common.queue.waiting()
    }

    /// Asks the pipeline to stop: [`Pipeline::next_news`] ends within a sitting.
    pub fn stop(&self) {
        self.common.stop();
        // Nobody hears it where the pipeline is gone already.
        let _ = self.wake.send(Word::Stop);
    }
}

impl Clone for Feed {
    fn clone(&self) -> Self {
        Self::of(&self.common, &self.wake)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.common.queue.feed_went();
    }
}

/// The pipeline, seen from the thread on which it refines.
pub struct Pipeline<R> {
    common: Arc<Common>,
    net: R,
    inbox: mpsc::Receiver<Word>,
    decoded: InOrder<Passing<Canvas>>,
    /// How many there will be.
    read: Option<u64>,
    sittings: Sittings<Passing<Canvas>>,
    /// `None` when nothing will be refined any more.
    out: Option<mpsc::Sender<Passing<Canvas>>>,
    threads: Vec<(&'static str, JoinHandle<()>)>,
}

impl<R: Refines> Pipeline<R> {
    /// `input` is what `order` was submitted with.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn new(
        order: Refinement,
        input: Input,
        net: R,
        limits: Limits,
        crew: Crew,
    ) -> Result<(Self, Feed), PipelineError> {
        let crew = Crew { decoders: crew.decoders.max(1), encoders: crew.encoders.max(1) };
        let common = Arc::new(Common {
            order,
            input,
            channels: net.channels(),
            queue: Queue::default(),
            room: Room::of(limits),
            clocks: Clocks::of([1, crew.decoders, 1, crew.encoders, 1]),
            stopping: AtomicBool::new(false),
        });
        // None of these needs a bound of its own: every image in them has its place in the room.
        let (tell, inbox) = mpsc::channel();
        let (read, raw) = mpsc::channel();
        let (out, refined) = mpsc::channel();
        let (encoded, written) = mpsc::channel::<Passing<Encoded>>();
        let feed = Feed::of(&common, &tell);
        let mut pipeline = Self {
            common: Arc::clone(&common),
            net,
            inbox,
            decoded: InOrder::default(),
            read: None,
            sittings: Sittings::within(limits.halved()),
            out: Some(out),
            threads: Vec::new(),
        };
        pipeline.start("the reader", &common, &tell, move |common, tell| {
            let all = reading::read(common, |passing| read.send(passing).is_ok());
            // Nobody hears it where the pipeline is gone already.
            let _ = tell.send(Word::ReadAll(all));
        })?;
        let (raw, refined) = (Arc::new(Mutex::new(raw)), Arc::new(Mutex::new(refined)));
        for _ in 0..crew.decoders {
            let raw = Arc::clone(&raw);
            pipeline.start("a decoder", &common, &tell, move |common, tell| {
                making::work_off(&raw, |it| tell.send(Word::Decoded(making::decode(common, it))).is_ok());
            })?;
        }
        for _ in 0..crew.encoders {
            let (refined, encoded) = (Arc::clone(&refined), encoded.clone());
            pipeline.start("an encoder", &common, &tell, move |common, _| {
                making::work_off(&refined, |it| encoded.send(making::encode(common, it)).is_ok());
            })?;
        }
        pipeline.start("the writer", &common, &tell, move |common, tell| {
            writing::write(common, &written, |news| tell.send(Word::News(news)).is_ok());
        })?;
        Ok((pipeline, feed))
    }

    fn start(
        &mut self,
        name: &'static str,
        common: &Arc<Common>,
        tell: &mpsc::Sender<Word>,
        work: impl FnOnce(&Common, &mpsc::Sender<Word>) + Send + 'static,
    ) -> Result<(), PipelineError> {
        let (common, alarm) = (Arc::clone(common), Alarm { name, tell: tell.clone() });
        let work = move || work(&common, &alarm.tell);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work).map_err(PipelineError::Thread)?;
        self.threads.push((name, thread));
        Ok(())
    }

    /// Refines until the next shard has come out, in the order in which they were given. `None` when there will be none any
    /// more: all of the feed is gone, or somebody stopped it.
    ///
    /// # Errors
    /// [`PipelineError::Died`]: nothing will come any more.
    pub fn next_news(&mut self) -> Result<Option<News>, PipelineError> {
        while !(self.common.is_stopping() || self.out.is_none() && self.common.queue.is_finished()) {
            match self.inbox.recv() {
                Ok(Word::Decoded(passing)) => self.decoded.put(passing.number, passing),
                Ok(Word::ReadAll(all)) => self.read = Some(all),
                Ok(Word::News(news)) => return Ok(Some(self.told(news))),
                Ok(Word::Died(who)) => return Err(PipelineError::Died(who)),
                Ok(Word::Stop) | Err(mpsc::RecvError) => break,
            }
            while let Some(passing) = self.decoded.next() {
                self.take_in(passing);
            }
            if self.read.is_some_and(|all| self.decoded.has_given(all)) {
                self.out = None;
            }
        }
        Ok(None)
    }

    /// Ends all threads, and gives back what did not come out. What was begun of it is deleted.
    ///
    /// # Errors
    /// [`PipelineError::Died`] if one of them had not ended well.
    pub fn stop(mut self) -> Result<Stopped, PipelineError> {
        if let Some(who) = self.end() {
            return Err(PipelineError::Died(who));
        }
        let mut news = Vec::new();
        while let Ok(word) = self.inbox.try_recv() {
            if let Word::News(late) = word {
                news.push(self.told(late));
            }
        }
        Ok(Stopped { unfinished: self.common.queue.unfinished(), news })
    }

    /// How busy each stage is, from any thread.
    #[must_use]
    pub fn gauge(&self) -> Gauge {
        Gauge::of(Arc::clone(&self.common))
    }

    /// Most that was in flight at once.
    #[must_use]
    pub fn peak(&self) -> Peak {
        self.common.room.peak()
    }

    fn told(&self, news: News) -> News {
        let (News::Done { shard, attempt, .. } | News::Failed { shard, attempt, .. }) = &news;
        self.common.queue.finished((*shard, attempt));
        news
    }

    /// The next image, or the end of a shard.
    fn take_in(&mut self, passing: Passing<Canvas>) {
        match &passing.what {
            What::Image(Image { made: Ok(canvas), place, .. }) => {
                self.sittings.take_in(canvas.shape, place.bytes(), passing);
            }
            What::Image(Image { made: Err(_), place, .. }) => {
                self.sittings.pass(place.bytes());
                self.pass_on(passing);
            }
            What::End => {
                while let Some((shape, sitting)) = self.sittings.flush() {
                    self.sit(shape, sitting);
                }
                self.pass_on(passing);
            }
        }
        while let Some((shape, sitting)) = self.sittings.due(|shape| self.net.sitting(shape)) {
            self.sit(shape, sitting);
        }
    }

    /// Refines some images of one shape.
    fn sit(&mut self, shape: ImageShape, mut sitting: Vec<Passing<Canvas>>) {
        let common = Arc::clone(&self.common);
        let go_on = || !common.is_stopping();
        // All are of one shard, since a shard's end lets nobody wait.
        let failed = sitting.iter().any(|passing| passing.errand.failed().is_some());
        let refined = if failed || !go_on() {
            Ok(None)
        } else {
            let mut planes = Vec::with_capacity(sitting.len() * shape.len());
            let mut draws = Vec::with_capacity(sitting.len());
            for canvas in sitting.iter_mut().filter_map(Passing::made) {
                draws.push(canvas.draw);
                planes.append(&mut canvas.planes);
                canvas.planes = Vec::new();
            }
            common.clocks.time(Stage::Refine, || self.net.refine(&planes, shape, &draws, &go_on))
        };
        let refined = refined.unwrap_or_else(|error| {
            sitting.iter().for_each(|passing| passing.errand.fail(error.to_string()));
            None
        });
        for (place, passing) in sitting.into_iter().enumerate() {
            let planes = refined.as_ref().map(|refined| &refined[place * shape.len()..][..shape.len()]);
            self.pass_on(passing.then(|_, _, canvas| match planes {
                Some(planes) => making::refined(canvas, planes),
                None => Err("the pipeline was stopped".to_owned()),
            }));
        }
    }

    fn pass_on(&self, passing: Passing<Canvas>) {
        if let Some(out) = &self.out {
            // Encoders end before this only where one of them died, which is told.
            let _ = out.send(passing);
        }
    }
}

impl<R> Pipeline<R> {
    /// Every thread to its end; the first of those that panicked.
    fn end(&mut self) -> Option<&'static str> {
        self.common.stop();
        self.out = None;
        let ended = self.threads.drain(..).map(|(who, thread)| thread.join().err().map(|_| who));
        ended.fold(None, Option::or)
    }
}

impl<R> Drop for Pipeline<R> {
    fn drop(&mut self) {
        if let Some(who) = self.end() {
            tracing::error!(who, "a thread of the pipeline panicked");
        }
    }
}

/// Tells when the thread that holds it panics: what that thread had in hand will never come.
struct Alarm {
    name: &'static str,
    tell: mpsc::Sender<Word>,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            // Nobody hears it where the pipeline is gone already.
            let _ = self.tell.send(Word::Died(self.name));
        }
    }
}
