//! Who is let in, for how long, and with how much: connections, requests, and their limits. Knows nothing of what is answered.

use super::Limits;
use axum::{
    Router,
    body::{Body, HttpBody as _},
    http::{Request, StatusCode},
    response::{IntoResponse as _, Response},
};
use http_body_util::Limited;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, pin::pin, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinError, JoinSet},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::Service as _;
use tracing::{debug, error, warn};

/// After a connection could not be accepted: whatever it lacked, asking at once would not find it.
const BREATH: Duration = Duration::from_millis(100);
/// How often what happened is counted, also when nobody asks.
const LOOKS_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Door {
    pub(super) listener: TcpListener,
    /// Looked at anew for each connection.
    pub(super) routes: watch::Receiver<Router>,
    pub(super) limits: Limits,
    pub(super) stopping: CancellationToken,
}

impl Door {
    /// Until it is to stop and the visitors have left. `look` is called every now and then.
    pub(super) async fn keep(self, look: impl Fn()) {
        let Self { listener, routes, limits, stopping } = self;
        let mut visits = JoinSet::new();
        let mut looks = interval(LOOKS_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stopping.cancelled() => break,
                _ = looks.tick() => look(),
                Some(ended) = visits.join_next() => notice(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, from)) if visits.len() >= limits.connections => {
                        debug!(%from, connections = limits.connections, "too many at the HTTP port: sent away");
                        drop(stream);
                    }
                    Ok((stream, _)) => {
                        visits.spawn(visit(stream, routes.borrow().clone(), limits, stopping.clone()));
                    }
                    Err(error) => {
                        warn!(?error, "a connection to the HTTP port was not accepted");
                        sleep(BREATH).await;
                    }
                },
            }
        }
        drop(listener);
        let all_left = async {
            while let Some(ended) = visits.join_next().await {
                notice(ended);
            }
        };
        if timeout(limits.farewell, all_left).await.is_err() {
            visits.shutdown().await;
        }
    }
}

/// A visit that broke down took nobody along, and is a bug all the same.
fn notice(ended: Result<(), JoinError>) {
    if let Err(broken) = ended
        && broken.is_panic()
    {
        error!(error = ?broken, "an answer on the HTTP port broke down: this is a bug of sumac");
    }
}

/// One connection: request after request, until either side has had enough.
async fn visit(stream: TcpStream, routes: Router, limits: Limits, stopping: CancellationToken) {
    let stalled_ms = u32::try_from(limits.stalled_after.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(&stream, stalled_ms) {
        debug!(?error, "who takes nothing of an answer is not hung up on");
    }
    let answers = service_fn(move |request| {
        let routes = routes.clone();
        async move { Ok::<_, Infallible>(answer(request, routes, limits).await) }
    });
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(limits.head_within);
    protocol.max_buf_size(limits.head_bytes).max_headers(limits.headers);
    let mut talk = pin!(protocol.serve_connection(TokioIo::new(stream), answers));
    let ended = tokio::select! {
        ended = talk.as_mut() => ended,
        () = stopping.cancelled() => {
            talk.as_mut().graceful_shutdown();
            talk.await
        }
    };
    if let Err(broken) = ended {
        debug!(error = %broken, "a visit to the HTTP port ended early");
    }
}

async fn answer(request: Request<Incoming>, mut routes: Router, limits: Limits) -> Response {
    let announced = request.body().size_hint().lower();
    if announced > limits.body_bytes as u64 {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let request = request.map(|body| Body::new(Limited::new(body, limits.body_bytes)));
    match timeout(limits.answer_within, routes.call(request)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(never)) => match never {},
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
