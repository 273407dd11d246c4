//! `watch`: a live view of jobs, workers and events in the terminal.
//!
//! Carries keys, time and what the coordinator says to the stage, and out what it wishes. Decides nothing.

mod draw;
mod feed;
mod logs;
mod screen;
mod series;
mod stage;
#[cfg(test)]
mod tests;

use super::{
    args,
    dial::Dialled,
    failure::{Exit, Failure},
    samples,
    stand::Signals,
};
use anstream::{AutoStream, ColorChoice};
use draw::Ink;
use screen::Screen;
use stage::{Event, News, Now, Pictures, Stage, Wish};
use std::{
    future::pending,
    io::{self, IsTerminal as _},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

/// Ages are seen to grow.
const TICK_EVERY: Duration = Duration::from_millis(250);
/// What may wait to be shown; whoever says more waits.
const NEWS_MAX: usize = 256;

pub(super) async fn watch(args: args::Watch) -> Result<Exit, Failure> {
    if !io::stdout().is_terminal() {
        return Err(Failure::new(Exit::Usage, "`sumac watch` draws on a terminal, and stdout is none")
            .hint("for scripts there are `sumac jobs -o json`, `sumac nodes -o json` and `sumac events -f -o json`"));
    }
    // Before the terminal is taken: a name or an address that is wrong is told as by any other command.
    let mut dialled = args.reach.dial().await?;
    let job = match &args.job {
        Some(named) => Some(dialled.job_called(named).await?),
        None => None,
    };
    let mut signals = Signals::new()?;
    let screen = Screen::open().map_err(|error| cannot("take the terminal", &error))?;
    let colours = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
    let shell = Shell { reach: Arc::new(args.reach), screen, ink: Ink { colours }, began: Instant::now() };
    shell.run(dialled, job, &mut signals).await
}

fn cannot(what: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot {what}")).because(Some(error))
}

fn broke_down(error: &JoinError) -> Failure {
    Failure::new(Exit::Failed, "a task of the live view broke down: this is a bug of sumac").because(Some(error))
}

struct Shell {
    reach: Arc<args::Reach>,
    screen: Screen,
    ink: Ink,
    began: Instant,
}

impl Shell {
    /// The terminal is given back before anything else ends, and all that was started is waited for.
    async fn run(mut self, dialled: Dialled, job: Option<String>, signals: &mut Signals) -> Result<Exit, Failure> {
        let stage = Stage::new(self.now(), dialled.url.clone(), job);
        let (told, news) = mpsc::channel(NEWS_MAX);
        let (pressed, keys) = mpsc::channel(NEWS_MAX);
        let stop = CancellationToken::new();
        let listener = tokio::task::spawn_blocking({
            let stop = stop.clone();
            move || screen::listen(&pressed, &stop)
        });
        // Whatever ends this, a panic too, ends the listener: the runtime waits for it.
        let stops = stop.drop_guard();
        let feed = tokio::spawn(feed::feed(self.reach.clone(), dialled, told));
        let (mut chores, mut followers) = (JoinSet::new(), JoinSet::new());
        let senses = Senses { news, keys, signals, chores: &mut chores, followers: &mut followers, logs: None };
        let ended = self.show(stage, senses).await;
        drop(self.screen);
        drop(stops);
        chores.abort_all();
        followers.abort_all();
        feed.abort();
        let listened = listener.await.map_err(|error| broke_down(&error));
        let listened = listened.and_then(|ended| ended.map_err(|error| cannot("read keys", &error)));
        let fed = match feed.await {
            Err(error) if error.is_panic() => Err(broke_down(&error)),
            _ => Ok(()),
        };
        let (done, followed) = (ends(chores).await, ends(followers).await);
        listened.and(fed).and(done).and(followed).and(ended)
    }

    /// Until it is left. Ends without a word when one of those that it hears has ended: what that was is found by who joins them.
    async fn show(&mut self, mut stage: Stage, mut senses: Senses<'_>) -> Result<Exit, Failure> {
        let mut tick = interval(TICK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let gone = || Failure::new(Exit::Failed, "the live view lost its keys or its news: this is a bug of sumac");
        loop {
            self.screen
                .draw(|frame| draw::draw(&stage, self.ink, frame))
                .map_err(|error| cannot("draw on the terminal", &error))?;
            let event = tokio::select! {
                key = senses.keys.recv() => key.ok_or_else(gone)?,
                said = senses.news.recv() => Event::News(said.ok_or_else(gone)?),
                Some(said) = next(&mut senses.logs) => Event::News(said),
                Some(done) = senses.chores.join_next() => Event::News(done.map_err(|error| broke_down(&error))?),
                Some(ended) = senses.followers.join_next() => ended.map(|()| Event::Tick).map_err(|error| broke_down(&error))?,
                _ = tick.tick() => Event::Tick,
                () = senses.signals.next() => return Ok(Exit::Interrupted),
            };
            let mut wishes = stage.step(self.now(), event);
            // All that has been said meanwhile is drawn at once.
            while let Some(said) = senses.said_meanwhile() {
                wishes.extend(stage.step(self.now(), Event::News(said)));
            }
            for wish in wishes {
                match wish {
                    Wish::Leave(exit) => return Ok(exit),
                    Wish::Redraw => self.screen.forget().map_err(|error| cannot("draw on the terminal", &error))?,
                    Wish::Drain(name) => drop(senses.chores.spawn(feed::drain(self.reach.clone(), name))),
                    Wish::Pictures { job, folder } => {
                        drop(senses.chores.spawn_blocking(move || pictures(job, &folder)));
                    }
                    // Whoever was followed before notices that nobody hears it any more.
                    Wish::Logs { about } => senses.logs = about.map(|about| self.follow(about, senses.followers)),
                }
            }
        }
    }

    fn follow(&self, about: String, followers: &mut JoinSet<()>) -> mpsc::Receiver<News> {
        let (told, news) = mpsc::channel(NEWS_MAX);
        followers.spawn(feed::logs(self.reach.clone(), about, told));
        news
    }

    fn now(&self) -> Now {
        Now { after: self.began.elapsed(), clock: SystemTime::now() }
    }
}

/// All that the view hears.
struct Senses<'s> {
    news: mpsc::Receiver<News>,
    keys: mpsc::Receiver<Event>,
    signals: &'s mut Signals,
    /// What was wished for and takes time; each ends with news.
    chores: &'s mut JoinSet<News>,
    followers: &'s mut JoinSet<()>,
    /// What the one says that is followed at the moment.
    logs: Option<mpsc::Receiver<News>>,
}

impl Senses<'_> {
    /// What can be had without waiting.
    fn said_meanwhile(&mut self) -> Option<News> {
        self.news.try_recv().ok().or_else(|| self.logs.as_mut()?.try_recv().ok())
    }
}

async fn next(logs: &mut Option<mpsc::Receiver<News>>) -> Option<News> {
    match logs {
        Some(logs) => logs.recv().await,
        None => pending().await,
    }
}

/// All of them have ended, and none by a panic.
async fn ends<T: 'static>(mut tasks: JoinSet<T>) -> Result<(), Failure> {
    let mut ended = Ok(());
    while let Some(task) = tasks.join_next().await {
        if let Err(error) = task
            && error.is_panic()
        {
            ended = Err(broke_down(&error));
        }
    }
    ended
}

fn pictures(job: String, folder: &std::path::Path) -> News {
    let read = |path: PathBuf| samples::read(&path).map(|picture| (path, Arc::new(picture)));
    let shown = samples::newest(folder, None).and_then(read);
    News::Pictures(Pictures { job, shown: shown.map_err(|failure| failure.what().to_owned()) })
}
