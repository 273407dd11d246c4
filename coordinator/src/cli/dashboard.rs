//! `dashboard`: a web page of a cluster on this machine, fed over the wire as every other command is.
//!
//! [`watching`] looks at the coordinator and writes on the board that [`crate::dashboard`] shows; [`curves`], [`pictures`] and
//! [`labels`] make of runs what a page can draw. Decides nothing about jobs, and asks for nothing that changes one.

mod curves;
mod labels;
mod pictures;
pub(super) mod watching;

use super::{
    args,
    failure::{Exit, Failure},
    render::say,
    stand::Signals,
};
use crate::{
    dashboard::{Board, routes},
    web,
};
use std::{
    future::pending,
    io,
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
    sync::Arc,
};
use tokio::{net::TcpListener, process::Command};

/// Where it is served if nothing else is said and nobody else is there.
const PORT: u16 = 7072;

pub(super) async fn dashboard(args: args::Dashboard) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    // A coordinator that goes away is waited for; one that never was is a mistake to be told.
    let dialled = args.reach.dial().await?;
    let listener = listen(args.port).await?;
    let address = listener.local_addr().map_err(|error| cannot_listen(&error))?;
    let url = format!("http://{address}/");
    say("dashboard", &url);
    say("shows", &dialled.url);
    say("next", "open it in a browser on this machine; ctrl-C ends");
    let board = Arc::new(Board::default());
    tokio::select! {
        () = web::serve(listener, routes(board.clone())) => {}
        never = watching::watch(&args.reach, &board) => match never {},
        () = show(&url), if args.open => {}
        () = signals.next() => {}
    }
    Ok(Exit::Done)
}

async fn listen(port: Option<u16>) -> Result<TcpListener, Failure> {
    let bind = |port| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let bound = match port {
        Some(port) => bind(port).await,
        None => match bind(PORT).await {
            Err(taken) if taken.kind() == io::ErrorKind::AddrInUse => bind(0).await,
            bound => bound,
        },
    };
    bound.map_err(|error| cannot_listen(&error))
}

fn cannot_listen(error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, "cannot serve the dashboard")
        .because(Some(error))
        .hint("`--port 0` takes any free port of this machine")
}

/// In whatever the desktop opens pages with; then never ends.
async fn show(url: &str) {
    let mut opener = Command::new("xdg-open");
    opener.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match opener.status().await {
        Ok(status) if status.success() => {}
        _ => anstream::eprintln!("  note      no browser could be opened from here: open {url} yourself"),
    }
    pending().await
}
