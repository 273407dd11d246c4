//! What the coordinator says, as news for the stage: looked at several times a second, and its events as they come.
//!
//! Lives as long as the view: where the coordinator is away it says so and dials again. Knows nothing of what is shown.

use super::{
    super::{
        args::Reach,
        dial::Dialled,
        failure::{Exit, Failure},
        view::{FactView, LogView},
    },
    logs::LINES_MAX,
    stage::{Looked, News},
};
use std::{convert::Infallible, sync::Arc, time::Duration};
use sumac_common::logging::Level;
use sumac_proto::v1;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};

/// A worker that died is to be seen within a second. Where an answer takes longer than this, so long is waited for the next.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A coordinator that is slower than this is away.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
const REDIAL_EVERY: Duration = Duration::from_millis(500);

/// Until nobody hears it any more. Begins with a connection that is there already.
pub(super) async fn feed(reach: Arc<Reach>, first: Dialled, news: mpsc::Sender<News>) {
    let mut dialled = Ok(first);
    loop {
        let failure = match dialled {
            Ok(dialled) => tell(dialled, &news).await,
            Err(failure) => failure,
        };
        if news.send(News::Away { why: why(&failure) }).await.is_err() {
            return;
        }
        sleep(REDIAL_EVERY).await;
        // Where it lives may have changed with its restart.
        dialled = reach.dial().await;
    }
}

/// Where it is stands above it.
pub(super) fn why(failure: &Failure) -> String {
    if failure.exit == Exit::Unreachable { "it does not answer".to_owned() } else { failure.what().to_owned() }
}

/// Until the connection fails, and how it did; or until nobody hears it.
async fn tell(mut dialled: Dialled, news: &mpsc::Sender<News>) -> Failure {
    let request = v1::ListEventsRequest { about: String::new(), follow: true };
    let mut facts = match timeout(ANSWERS_WITHIN, dialled.operator.list_events(request)).await {
        Ok(Ok(opened)) => opened.into_inner(),
        Ok(Err(status)) => return dialled.failed(&status),
        Err(_) => return silent(),
    };
    let mut next_look = Instant::now();
    let mut said = Ok(News::FactsAnew);
    loop {
        let heard = match said {
            Ok(said) => news.send(said).await,
            Err(failure) => return failure,
        };
        if heard.is_err() {
            return Failure::new(Exit::Done, "nobody listens");
        }
        said = tokio::select! {
            fact = facts.message() => match fact {
                Ok(Some(fact)) => Ok(News::Fact(Box::new(FactView::of(fact)))),
                Ok(None) => Err(silent()),
                Err(status) => Err(dialled.failed(&status)),
            },
            () = sleep_until(next_look) => {
                let asked = Instant::now();
                let looked = timeout(ANSWERS_WITHIN, look(&mut dialled)).await.unwrap_or_else(|_| Err(silent()));
                next_look = Instant::now() + LOOK_EVERY.max(asked.elapsed());
                looked.map(|looked| News::Looked(Box::new(looked)))
            }
        };
    }
}

fn silent() -> Failure {
    Failure::new(Exit::Unreachable, "the coordinator does not answer")
}

async fn look(dialled: &mut Dialled) -> Result<Looked, Failure> {
    let status = dialled.status().await?;
    let jobs = dialled.jobs().await?;
    let workers = dialled.workers().await?;
    let v1::StatusReply { version, term, trouble, .. } = status;
    Ok(Looked { url: dialled.url.clone(), version, term, trouble, jobs, workers })
}

/// What is said about one of them, as it is said; on a connection of its own, until nobody hears it any more.
pub(super) async fn logs(reach: Arc<Reach>, about: String, news: mpsc::Sender<News>) {
    loop {
        let Err(failure) = tokio::select! {
            () = news.closed() => return,
            told = tell_logs(&reach, &about, &news) => told,
        };
        if news.send(News::LogsAway { why: why(&failure) }).await.is_err() {
            return;
        }
        sleep(REDIAL_EVERY).await;
    }
}

async fn tell_logs(reach: &Reach, about: &str, news: &mpsc::Sender<News>) -> Result<Infallible, Failure> {
    let (tail, level) = (LINES_MAX as u32, v1::LogLevel::from(Level::Info).into());
    let request = v1::ListLogsRequest { about: about.to_owned(), tail, since: None, level, follow: true };
    let opened = timeout(ANSWERS_WITHIN, async {
        let mut dialled = reach.dial().await?;
        let opened = dialled.operator.list_logs(request).await;
        let lines = opened.map_err(|status| dialled.failed(&status))?.into_inner();
        Ok((dialled, lines))
    });
    let (dialled, mut lines) = opened.await.unwrap_or_else(|_| Err(silent()))?;
    let unheard = |_| Failure::new(Exit::Done, "nobody listens");
    news.send(News::LogsAnew).await.map_err(unheard)?;
    loop {
        let line = lines.message().await.map_err(|status| dialled.failed(&status))?.ok_or_else(silent)?;
        news.send(News::Log(Box::new(LogView::of(line)?))).await.map_err(unheard)?;
    }
}

/// Asks on a connection of its own, and says what came of it.
pub(super) async fn drain(reach: Arc<Reach>, name: String) -> News {
    let request = v1::DrainRequest { name: name.clone(), deadline: None };
    let asked = timeout(ANSWERS_WITHIN, async {
        let mut dialled = reach.dial().await?;
        let reply = dialled.operator.drain(request).await;
        reply.map_err(|status| dialled.failed(&status))
    });
    let outcome = match asked.await {
        Ok(asked) => asked.map(|_| ()).map_err(|failure| why(&failure)),
        Err(_) => Err(why(&silent())),
    };
    News::Drained { name, outcome }
}
