//! The conversation with the coordinator: join, orders down, reports up, a beat every second, again and again.
//!
//! It runs on its own threads, never behind work or a lock of the loop. A lost stream is dialled again for as long as the
//! worker lives: training does not wait for it. It refuses to know what an order means.

use crate::{examining::Examiner, logbook::Logbook, mailbox::Mailbox, vitals::Watch};
use std::{
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};
use sumac_common::{
    conversation::{Report, Seat},
    examination::{Answer, Examination},
};
use sumac_proto::{
    BadWire, Down, MESSAGE_MAX, Up,
    v1::{FromWorker, ToWorker, cluster_client::ClusterClient},
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::JoinSet,
    time::{self, MissedTickBehavior},
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{
    Streaming,
    transport::{Channel, Endpoint},
};
use tracing::{debug, info, warn};

const BEAT: Duration = Duration::from_secs(1);
const VITALS: Duration = Duration::from_secs(3);
const LOG: Duration = Duration::from_millis(200);
/// Far below the largest message.
const LINES_AT_ONCE: usize = 200;
/// Each has a thread, and those of a disk that does not answer stay.
const EXAMINATIONS_MAX: usize = 4;
/// The last word is given so long to arrive.
const FAREWELL: Duration = Duration::from_secs(1);
/// Between two attempts to attach: doubling from the first to the last.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("`{0}` is not the address of a coordinator: write it as http://HOST:PORT")]
    Address(String),
    /// The coordinator does not want this worker as it is.
    #[error("{0}")]
    Refused(String),
    /// The coordinator does not want it at this moment.
    #[error("{0}")]
    NotYet(String),
    #[error("no coordinator at {address}: {why}. Is it running? `sumac serve` starts one")]
    Unreachable { address: String, why: String },
    #[error("the stream broke: {0}")]
    Lost(String),
    #[error("the coordinator said something that means nothing here: {0}")]
    Wire(#[from] BadWire),
}

/// Attends the coordinator until the mailbox closes, or until it is refused.
///
/// # Errors
/// [`SessionError::Refused`], and before the first welcome [`SessionError::Unreachable`] once `patience` is over.
pub async fn attend(
    address: &str,
    seat: Seat,
    mailbox: Arc<Mailbox>,
    logbook: Logbook,
    examiner: Examiner,
    patience: Duration,
    end: Arc<Notify>,
) -> Result<(), SessionError> {
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|_| SessionError::Address(address.to_owned()))?;
    let endpoint = endpoint
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(20))
        .keep_alive_while_idle(true);
    let knock = Arc::new(Notify::new());
    let knocked = Arc::clone(&knock);
    mailbox.on_report(move || knocked.notify_one());

    let begun = time::Instant::now();
    let (mut pause, mut welcomed) = (AGAIN.0, false);
    loop {
        let joined = tokio::select! {
            joined = join(&endpoint, &seat, &mailbox) => joined,
            () = end.notified() => return Ok(()),
        };
        let talked = match joined {
            Ok(line) => {
                welcomed = true;
                pause = AGAIN.0;
                talk(line, &mailbox, &logbook, &examiner, &knock, &end).await
            }
            Err(error) => Err(error),
        };
        match talked {
            Ok(()) => return Ok(()),
            Err(refused @ SessionError::Refused(_)) => return Err(refused),
            Err(error) if !welcomed && begun.elapsed() >= patience => return Err(error),
            Err(SessionError::NotYet(why)) => warn!(why, "not welcome yet, asking again"),
            Err(error) if welcomed => warn!(%error, "coordinator lost, dialling again"),
            Err(error) => debug!(%error, "no coordinator yet"),
        }
        tokio::select! {
            () = time::sleep(pause) => pause = (pause * 2).min(AGAIN.1),
            () = end.notified() => return Ok(()),
        }
    }
}

/// A conversation that began with a welcome.
struct Line {
    say: mpsc::UnboundedSender<FromWorker>,
    answers: Streaming<ToWorker>,
}

async fn join(endpoint: &Endpoint, seat: &Seat, mailbox: &Mailbox) -> Result<Line, SessionError> {
    let unreachable = |why: String| SessionError::Unreachable { address: endpoint.uri().to_string(), why };
    let channel = endpoint.connect().await.map_err(|error| unreachable(root(&error)))?;
    let (say, said) = mpsc::unbounded_channel();
    // What was told on an earlier stream and not yet obeyed counts as unsaid: the coordinator goes by the standing.
    drop(mailbox.orders());
    let join = Up::Join { seat: seat.clone(), standing: mailbox.standing() };
    // A receiver that is gone shows as the end of the answers below.
    let _ = say.send(FromWorker::from(join));
    let mut client: ClusterClient<Channel> =
        ClusterClient::new(channel).max_decoding_message_size(MESSAGE_MAX).max_encoding_message_size(MESSAGE_MAX);
    let answers = client.attend(UnboundedReceiverStream::new(said)).await;
    let mut answers = answers.map_err(|status| unreachable(status.message().to_owned()))?.into_inner();
    match heard(answers.message().await)? {
        Down::Welcome(term) => info!(%term, "attached"),
        Down::Refused(why) => return Err(SessionError::Refused(why)),
        Down::NotYet(why) => return Err(SessionError::NotYet(why)),
        Down::Told(_) | Down::Examine { .. } => return Err(ended()),
    }
    Ok(Line { say, answers })
}

/// Until it is asked to end, or the stream does.
async fn talk(
    line: Line,
    mailbox: &Mailbox,
    logbook: &Logbook,
    examiner: &Examiner,
    knock: &Notify,
    end: &Notify,
) -> Result<(), SessionError> {
    let Line { say, mut answers } = line;
    let send = |reports: Vec<Report>| {
        let sent = reports.into_iter().all(|report| say.send(report.into()).is_ok());
        if sent { Ok(()) } else { Err(ended()) }
    };
    if mailbox.is_leaving() {
        // Nobody knows it who was not there when it was said.
        send(vec![Report::Leaving])?;
    }
    let log = || {
        let lines = logbook.take(LINES_AT_ONCE);
        let sent = lines.is_empty() || say.send(Up::Logged(lines).into()).is_ok();
        if sent { Ok(()) } else { Err(ended()) }
    };
    let [mut beats, mut looks, mut lines] = [BEAT, VITALS, LOG].map(|every| {
        let mut ticks = time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks
    });
    let mut watch = Watch::default();
    let mut examinations = JoinSet::new();
    loop {
        tokio::select! {
            answer = answers.message() => match heard(answer)? {
                Down::Told(order) => {
                    debug!(?order, "told");
                    mailbox.deliver(order);
                }
                Down::Examine { number, what } if examinations.len() < EXAMINATIONS_MAX => {
                    examinations.spawn(examine(examiner.clone(), number, what));
                }
                // Whoever asks that often is told that this one is silent.
                Down::Examine { number, .. } => warn!(number, "too many examinations at once"),
                Down::Refused(why) => return Err(SessionError::Refused(why)),
                Down::NotYet(why) => return Err(SessionError::NotYet(why)),
                Down::Welcome(_) => {}
            },
            Some(examined) = examinations.join_next() => match examined {
                Ok(Some((number, answer))) => {
                    let examined = Up::Examined { number, at: SystemTime::now(), answer };
                    say.send(examined.into()).map_err(|_| ended())?;
                }
                Ok(None) => warn!("an examination broke down"),
                Err(error) => warn!(%error, "an examination broke down"),
            },
            () = knock.notified() => send(mailbox.reports())?,
            _ = beats.tick() => {
                // Reports that came while nobody listened go first.
                send(mailbox.reports())?;
                send(vec![Report::Beat(mailbox.last_beat())])?;
            }
            _ = looks.tick() => send(vec![Report::Vitals(watch.look())])?,
            _ = lines.tick() => log()?,
            () = end.notified() => {
                send(mailbox.reports())?;
                log()?;
                break;
            }
        }
    }
    drop(say);
    // The coordinator ends its side when it has read the last word.
    let last = async { while let Ok(Some(_)) = answers.message().await {} };
    // One that does not is not waited for.
    let _ = time::timeout(FAREWELL, last).await;
    Ok(())
}

/// On a thread of its own, which nobody waits for when the process ends: a disk may never answer.
async fn examine(examiner: Examiner, number: u64, what: Examination) -> Option<(u64, Answer)> {
    let (answer, answered) = oneshot::channel();
    let look = move || {
        // Who asked may be gone.
        let _ = answer.send(examiner.answer(&what));
    };
    thread::Builder::new().name("examine".to_owned()).spawn(look).ok()?;
    answered.await.ok().map(|answer| (number, answer))
}

fn heard(answer: Result<Option<ToWorker>, tonic::Status>) -> Result<Down, SessionError> {
    match answer {
        Ok(Some(answer)) => Ok(Down::try_from(answer)?),
        Ok(None) => Err(ended()),
        Err(status) => Err(SessionError::Lost(status.message().to_owned())),
    }
}

fn ended() -> SessionError {
    SessionError::Lost("the coordinator ended it".to_owned())
}

/// The innermost cause: `connection refused` rather than `transport error`.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
