//! One worker's stream: join first, then reports up and orders down until one side ends it.

use super::{Attendance, call, refusal};
use crate::driver::{Call, Desk, ORDERS_MAX, Session};
use std::{pin::Pin, sync::atomic::Ordering, time::Duration};
use sumac_common::{
    conversation::{Incarnation, Seat, Standing},
    ids::{NodeId, WorkerId},
};
use sumac_proto::{
    Up,
    v1::{FromWorker, ToWorker, cluster_server::Cluster},
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, warn};

/// A stream that says nothing for so long after it opened is closed.
const JOIN_WITHIN: Duration = Duration::from_secs(10);

#[tonic::async_trait]
impl Cluster for Attendance {
    type AttendStream = Pin<Box<dyn Stream<Item = Result<ToWorker, Status>> + Send>>;

    async fn attend(&self, request: Request<Streaming<FromWorker>>) -> Result<Response<Self::AttendStream>, Status> {
        let mut incoming = request.into_inner();
        let (seat, standing) = joining(&mut incoming).await?;
        let session = Session(self.sessions.fetch_add(1, Ordering::Relaxed));
        let (worker, incarnation, node) = (seat.worker.clone(), seat.incarnation, seat.node.clone());
        let (down, orders) = mpsc::channel(ORDERS_MAX);
        let over = CancellationToken::new();
        call(&self.desk, Call::Attach { seat, standing, session, down, over: over.clone() }).await?;
        let listen = listen(self.desk.clone(), incoming, Speaker { worker, incarnation, node, session });
        tokio::spawn(over.run_until_cancelled_owned(listen));
        Ok(Response::new(Box::pin(ReceiverStream::new(orders).map(|down| Ok(down.into())))))
    }
}

async fn joining(incoming: &mut Streaming<FromWorker>) -> Result<(Seat, Option<Standing>), Status> {
    let first = timeout(JOIN_WITHIN, incoming.message())
        .await
        .map_err(|_| Status::deadline_exceeded(format!("no Join within {JOIN_WITHIN:?} after the stream opened")))??
        .ok_or_else(|| Status::invalid_argument("the stream ended before a Join"))?;
    match Up::try_from(first).map_err(|bad| refusal(&bad))? {
        Up::Join { seat, standing } => Ok((seat, standing)),
        Up::Said(_) | Up::Logged(_) | Up::Examined { .. } => {
            Err(Status::invalid_argument("the first message of a stream is Join"))
        }
    }
}

/// Whose stream it is.
struct Speaker {
    worker: WorkerId,
    incarnation: Incarnation,
    node: NodeId,
    session: Session,
}

/// Passes on what the worker says. Ends with the stream or at the first message that means nothing.
async fn listen(desk: Desk, mut incoming: Streaming<FromWorker>, speaker: Speaker) {
    let Speaker { worker, incarnation, node, session } = speaker;
    loop {
        let report = match incoming.message().await {
            Ok(Some(message)) => match Up::try_from(message) {
                Ok(Up::Said(report)) => report,
                Ok(Up::Logged(lines)) => {
                    desk.logs.add(&worker.0, &node, lines);
                    continue;
                }
                Ok(Up::Examined { number, at, answer }) => {
                    desk.examinations.answered(number, node.clone(), at, answer);
                    continue;
                }
                Ok(Up::Join { .. }) => {
                    warn!(%worker, "a second Join on one stream: stream closed");
                    break;
                }
                Err(bad) => {
                    warn!(%worker, error = ?bad, "a message that means nothing: stream closed");
                    break;
                }
            },
            Ok(None) => break,
            Err(broken) => {
                debug!(%worker, error = %broken, "stream broke");
                break;
            }
        };
        let said = Call::Said { worker: worker.clone(), incarnation, session, report, came: Instant::now() };
        if desk.calls.send(said).await.is_err() {
            return;
        }
    }
    // Without a driver there is nobody who could miss it.
    let _ = desk.calls.send(Call::Detached { worker, incarnation, session }).await;
}
