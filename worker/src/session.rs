//! The conversation with the coordinator: join, orders down, reports up, a beat every second, again and again.
//!
//! It runs on its own threads, never behind work or a lock of the loop. A lost stream is dialled again for as long as the
//! worker lives: training does not wait for it. It refuses to know what an order means.

use crate::mailbox::Mailbox;
use std::{sync::Arc, time::Duration};
use sumac_common::conversation::{Report, Seat};
use sumac_proto::{
    BadWire, Down, MESSAGE_MAX, Up,
    v1::{FromWorker, cluster_client::ClusterClient},
};
use tokio::{
    sync::{Notify, mpsc},
    time::{self, MissedTickBehavior},
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tracing::{debug, info, warn};

const BEAT: Duration = Duration::from_secs(1);
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
        let talked = tokio::select! {
            talked = talk(&endpoint, &seat, &mailbox, &knock) => talked,
            () = end.notified() => return Ok(()),
        };
        match talked {
            Ok(error) => {
                welcomed = true;
                pause = AGAIN.0;
                warn!(%error, "coordinator lost, dialling again");
            }
            Err(refused @ SessionError::Refused(_)) => return Err(refused),
            Err(error) if !welcomed && begun.elapsed() >= patience => return Err(error),
            Err(SessionError::NotYet(why)) => warn!(why, "not welcome yet, asking again"),
            Err(error) => debug!(%error, "no coordinator yet"),
        }
        tokio::select! {
            () = time::sleep(pause) => pause = (pause * 2).min(AGAIN.1),
            () = end.notified() => return Ok(()),
        }
    }
}

/// `Ok` with what ended a conversation that had begun with a welcome.
async fn talk(
    endpoint: &Endpoint,
    seat: &Seat,
    mailbox: &Mailbox,
    knock: &Notify,
) -> Result<SessionError, SessionError> {
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
    let lost = |status: tonic::Status| SessionError::Lost(status.message().to_owned());
    let ended = || SessionError::Lost("the coordinator ended it".to_owned());
    match answers.message().await.map_err(lost)?.map(Down::try_from).transpose()? {
        Some(Down::Welcome(term)) => info!(%term, "attached"),
        Some(Down::Refused(why)) => return Err(SessionError::Refused(why)),
        Some(Down::NotYet(why)) => return Err(SessionError::NotYet(why)),
        Some(Down::Told(_)) | None => return Err(ended()),
    }

    let send = |reports: Vec<Report>| reports.into_iter().all(|report| say.send(report.into()).is_ok());
    let mut beats = time::interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let sent = tokio::select! {
            answer = answers.message() => {
                match answer.map(|answer| answer.map(Down::try_from)) {
                    Ok(Some(Ok(Down::Told(order)))) => {
                        debug!(?order, "told");
                        mailbox.deliver(order);
                    }
                    Ok(Some(Ok(Down::Refused(why)))) => return Err(SessionError::Refused(why)),
                    Ok(Some(Ok(Down::NotYet(why)))) => return Err(SessionError::NotYet(why)),
                    Ok(Some(Ok(Down::Welcome(_)))) => {}
                    Ok(Some(Err(bad))) => return Ok(bad.into()),
                    Ok(None) => return Ok(ended()),
                    Err(status) => return Ok(lost(status)),
                }
                true
            }
            () = knock.notified() => send(mailbox.reports()),
            _ = beats.tick() => {
                // Reports that came while nobody listened go first.
                let mut reports = mailbox.reports();
                reports.push(Report::Beat(mailbox.last_beat()));
                send(reports)
            }
        };
        if !sent {
            return Ok(ended());
        }
    }
}

/// The innermost cause: `connection refused` rather than `transport error`.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
