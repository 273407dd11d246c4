//! The HTTP port of the coordinator: is it alive, is it ready, how is it doing; and routes of others beside these.
//!
//! Whoever probes and scrapes comes here without a certificate and without gRPC, so nothing can be ordered here. It reads the
//! picture that the driver publishes and refuses to know how that comes about; what is served further is handed to it as a
//! whole.

mod door;
pub mod metrics;
mod process;
mod tally;

use crate::{
    driver::{Call, Desk},
    rpc::Ended,
    serve::{self, NotServing},
};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use door::Door;
use metrics::{Form, Scene};
use process::Process;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use tally::Tally;
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    task::{JoinError, JoinHandle},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Where it listens when nothing else is said.
pub const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7071);
/// A driver that does not answer within this does not answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Where, and for whom.
#[derive(Clone, Debug, Default)]
pub struct Port {
    pub at: At,
    pub limits: Limits,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum At {
    /// Nowhere.
    #[default]
    Off,
    /// Here; a port that is taken is an error. Port 0: any free one.
    Exactly(SocketAddr),
    /// Here, or at any free port beside one that is taken.
    Rather(SocketAddr),
}

impl From<At> for Port {
    fn from(at: At) -> Self {
        Self { at, limits: Limits::default() }
    }
}

/// What a visitor may take. Beyond that it is sent away, or hung up on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// At one time. Who comes then finds the door closed.
    pub connections: usize,
    /// A request's line and headers; hyper takes no less than 8 KiB.
    pub head_bytes: usize,
    pub headers: usize,
    pub body_bytes: usize,
    /// From the opening of a connection, or the end of the last answer, until a request is there.
    pub head_within: Duration,
    /// From a request until its answer begins. An answer may go on for as long as it likes.
    pub answer_within: Duration,
    /// A visitor that takes nothing of its answer for so long is gone.
    pub stalled_after: Duration,
    /// So long a door that closes waits for answers that are under way.
    pub farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            head_bytes: 16 * 1024,
            headers: 64,
            body_bytes: 64 * 1024,
            head_within: Duration::from_secs(5),
            answer_within: Duration::from_secs(10),
            stalled_after: Duration::from_secs(20),
            farewell: Duration::from_secs(2),
        }
    }
}

impl Port {
    /// # Errors
    /// If the address is exposed without `insecure`, or cannot be had.
    pub(crate) async fn bind(&self, insecure: bool) -> Result<Option<TcpListener>, NotServing> {
        let bound = match self.at {
            At::Off => return Ok(None),
            At::Exactly(address) => serve::bind(address, insecure).await,
            At::Rather(address) => match serve::bind(address, insecure).await {
                Err(NotServing::PortTaken(_)) => serve::bind(SocketAddr::new(address.ip(), 0), insecure).await,
                bound => bound,
            },
        };
        bound.map(Some).map_err(|error| match error {
            NotServing::PortTaken(address) => NotServing::HttpTaken(address),
            error => error,
        })
    }
}

/// An HTTP port that is open.
pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    routes: watch::Sender<Router>,
    door: JoinHandle<()>,
}

impl Web {
    /// Open until `stopping`. If it ends by anything else, it cancels that.
    pub(crate) fn open(
        listener: TcpListener,
        address: SocketAddr,
        desk: Desk,
        rpcs: Ended,
        limits: Limits,
        stopping: CancellationToken,
    ) -> Self {
        let tally = Mutex::new(Tally::begin(&desk.picture.borrow()));
        let board = Arc::new(Board { desk, rpcs, tally });
        let (routes, served) = watch::channel(routes(board.clone()));
        let ends = stopping.clone().drop_guard();
        let door = tokio::spawn(async move {
            let _ends = ends;
            Door { listener, routes: served, limits, stopping }.keep(|| board.look()).await;
        });
        Self { address, routes, door }
    }

    pub(crate) fn mount(&self, further: Router) {
        self.routes.send_modify(|routes| *routes = routes.clone().merge(further));
    }

    /// # Errors
    /// If it broke down.
    pub(crate) async fn closed(self) -> Result<(), JoinError> {
        self.door.await
    }
}

/// These routes alone, behind the same limits, for as long as it is polled.
pub(crate) async fn serve(listener: TcpListener, routes: Router) {
    let (_routes, served) = watch::channel(routes);
    let door = Door { listener, routes: served, limits: Limits::default(), stopping: CancellationToken::new() };
    door.keep(|| ()).await;
}

/// What the answers are made of.
struct Board {
    desk: Desk,
    rpcs: Ended,
    tally: Mutex<Tally>,
}

impl Board {
    /// Counts what has happened since the last look.
    fn look(&self) {
        let picture = self.desk.picture.borrow().clone();
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).see(&picture, picture.up());
    }

    fn page(&self, form: Form) -> Result<String, std::fmt::Error> {
        let picture = self.desk.picture.borrow().clone();
        let up = picture.up();
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.see(&picture, up);
        let heartbeats = self.desk.heartbeats.look();
        let (rpcs, process, now) = (self.rpcs.all(), Process::look(), SystemTime::now());
        metrics::render(&Scene { picture: &picture, tally: &tally, heartbeats, rpcs, process, up, now }, form)
    }
}

const WHAT_THERE_IS: &str = "/healthz   the coordinator answers\n/readyz    it takes on new jobs\n/metrics   for Prometheus\n\n\
                             For people: `sumac dashboard --open`, `sumac watch`\n";

fn routes(board: Arc<Board>) -> Router {
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(page))
        .fallback(|| async { (StatusCode::NOT_FOUND, WHAT_THERE_IS) })
        .with_state(board)
}

/// The driver answers: it neither hangs nor has ended.
async fn alive(State(board): State<Arc<Board>>) -> Response {
    let asked = async {
        let (answer, answered) = oneshot::channel();
        board.desk.calls.send(Call::Knock { answer }).await.ok()?;
        answered.await.ok()
    };
    match timeout(ANSWERS_WITHIN, asked).await {
        Ok(Some(())) => "ok\n".into_response(),
        Ok(None) => unavailable("the coordinator is shutting down"),
        Err(_) => unavailable(&format!("the driver did not answer within {ANSWERS_WITHIN:?}")),
    }
}

/// New jobs are taken on.
async fn ready(State(board): State<Arc<Board>>) -> Response {
    if board.desk.picture.has_changed().is_err() {
        return unavailable("the coordinator is shutting down");
    }
    let trouble = board.desk.picture.borrow().trouble.clone();
    trouble.map_or_else(|| "ok\n".into_response(), |trouble| unavailable(&trouble))
}

fn unavailable(why: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response()
}

async fn page(State(board): State<Arc<Board>>, headers: HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok()).unwrap_or_default();
    let wants_text = accepted.contains("text/plain") || accepted.contains("text/html");
    let takes_openmetrics = accepted.contains("application/openmetrics-text");
    let form = if wants_text && !takes_openmetrics { Form::Plain } else { Form::OpenMetrics };
    match board.page(form) {
        Ok(page) => ([(header::CONTENT_TYPE, form.content_type())], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
