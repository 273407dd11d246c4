//! `serve`: the coordinator alone, until a signal; and what it means when one cannot start.

use super::{
    args,
    failure::{Exit, Failure},
    render::say,
};
use crate::{
    serve::{Coordinator, NotServing, Place},
    web::{self, At},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sumac_common::cluster::Settings;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM, one like the other.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Heard by nobody: a file that may not grow is an error to tell, and no death.
    _file_too_large: Signal,
}

/// SIGXFSZ on Linux.
const FILE_TOO_LARGE: i32 = 25;

impl Signals {
    pub(super) fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::new(Exit::Failed, "cannot listen for signals").because(Some(&error)))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            _file_too_large: listen(SignalKind::from_raw(FILE_TOO_LARGE))?,
        })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

pub(super) async fn serve(args: args::Serve) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    allow_many_connections();
    let http = args.http.map_or(At::Rather(web::LISTEN), |http| http.0).into();
    let place = Place { listen: args.listen, state: args.state, insecure: args.insecure, http };
    let coordinator = start(place.clone()).await?;
    say("state", format!("{}   term {}", place.state.display(), coordinator.term()));
    say_serving(&coordinator);
    let stopping = coordinator.stopping();
    tokio::select! {
        () = signals.next() => say("stopping", "jobs go on without it; workers attach again when it is back"),
        () = stopping.cancelled() => {}
    }
    stop(coordinator).await?;
    Ok(Exit::Done)
}

/// Each worker holds a file open here, and many systems allow a thousand unless one asks for more.
fn allow_many_connections() {
    let limit = getrlimit(Resource::Nofile);
    // Those who cannot have more go on with what they have.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

pub(super) fn say_serving(coordinator: &Coordinator) {
    let web = coordinator.web_url().map(|url| format!("   web {url}")).unwrap_or_default();
    say("serving", format!("{}{web}", coordinator.url()));
}

pub(super) async fn start(place: Place) -> Result<Coordinator, Failure> {
    Coordinator::start(place, Settings::default()).await.map_err(|error| failure(&error))
}

pub(super) async fn stop(coordinator: Coordinator) -> Result<(), Failure> {
    coordinator.stop().await.map_err(|error| failure(&error))
}

fn failure(error: &NotServing) -> Failure {
    match error {
        NotServing::Exposed(_) => Failure::of(Exit::Usage, error)
            .hint("listen on 127.0.0.1, or add --insecure where only friends can reach the port"),
        NotServing::PortTaken(_) => Failure::of(Exit::Failed, error)
            .hint("is a coordinator running already? `sumac version` asks; --listen 127.0.0.1:0 takes any free port"),
        NotServing::HttpTaken(_) => {
            Failure::of(Exit::Failed, error).hint("--http 127.0.0.1:0 takes any free port, --http off does without")
        }
        _ => Failure::of(Exit::Failed, error),
    }
}
