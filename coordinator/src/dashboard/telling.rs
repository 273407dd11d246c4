//! The parts of the board as server-sent events: all of them when a page comes, then each that changes. Knows no part's content.

use super::board::{Board, Looking, Told};
use axum::{
    extract::{Path, State},
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, stream};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::watch;

/// A browser that lost the stream asks again after so long.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(super) async fn cluster(State(board): State<Arc<Board>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Telling::new(&board, None).stream()
}

/// The same, and all about one job.
pub(super) async fn job(
    State(board): State<Arc<Board>>,
    Path(job): Path<String>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Telling::new(&board, Some(job)).stream()
}

/// One page's stream.
struct Telling {
    told: watch::Receiver<Told>,
    /// What was sent last of each part.
    sent: Told,
    about: Option<(String, Looking)>,
    has_begun: bool,
}

impl Telling {
    fn new(board: &Arc<Board>, job: Option<String>) -> Self {
        let about = job.map(|job| (job.clone(), board.look_at(job)));
        Self { told: board.told(), sent: Told::new(), about, has_begun: false }
    }

    fn stream(self) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
        let events = stream::unfold(self, |mut telling| async {
            let event = telling.next().await?;
            Some((Ok(event), telling))
        });
        Sse::new(events).keep_alive(KeepAlive::default())
    }

    /// `None` once nobody writes on the board any more.
    async fn next(&mut self) -> Option<Event> {
        if !self.has_begun {
            self.has_begun = true;
            return Some(Event::default().retry(RETRY_AFTER).comment("sumac"));
        }
        loop {
            if let Some(event) = self.news() {
                return Some(event);
            }
            self.told.changed().await.ok()?;
        }
    }

    /// The first part that says something else than what was sent. A page that is slow misses states, and never the last.
    fn news(&mut self) -> Option<Event> {
        let told = self.told.borrow_and_update();
        let about = self.about.as_ref().map(|(job, _)| job.as_str());
        let is_meant = |job: Option<&str>| job.is_none() || job == about;
        let is_new = |(part, json): &(&_, &Arc<str>)| self.sent.get(part).is_none_or(|sent| !Arc::ptr_eq(sent, json));
        let (part, json) = told.iter().filter(|(part, _)| is_meant(part.job())).find(is_new)?;
        let event = Event::default().event(part.name()).data(&**json);
        self.sent.insert(part.clone(), json.clone());
        Some(event)
    }
}
