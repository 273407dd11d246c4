//! A coordinator and workers of a command's own, on this machine and gone with it. Knows nothing of what they are for.

use super::{
    dial::Dialled,
    failure::Failure,
    node::{self, Node, worker_program},
    stand::{self, Signals},
    up,
};
use crate::{serve::Place, web::At};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    thread::available_parallelism,
};
use sumac_common::device::Wanted;

/// How it ended.
pub(super) enum Alone<T> {
    Done(T),
    /// By a signal.
    Left,
    /// The coordinator stopped, and said why.
    Stopped,
}

/// One per card, or else one per two cores, if nothing else is said.
pub(super) fn count(workers: Option<u32>, device: Option<Wanted>) -> u32 {
    let by_cores = || available_parallelism().map_or(1, |cores| cores.get() / 2).max(1);
    match node::cards(device) {
        0 => workers.unwrap_or_else(|| u32::try_from(by_cores()).unwrap_or(1)),
        // No more than there are: two on one card cannot be connected.
        cards => workers.unwrap_or(cards).min(cards),
    }
}

/// `evening` begins when `count` workers are there, and hears the signals; `None` once one of them has ended it.
pub(super) async fn alone<T>(
    state: PathBuf,
    count: u32,
    verbose: bool,
    evening: impl AsyncFnOnce(Dialled, &mut Signals) -> Result<Option<T>, Failure>,
) -> Result<Alone<T>, Failure> {
    let mut signals = Signals::new()?;
    let program = worker_program()?;
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let coordinator = stand::start(Place { listen, state, insecure: false, http: At::Off.into() }).await?;
    let dialled = Dialled::at(coordinator.url()).await?;
    let mut node = match Node::start(&program, count, None, verbose, &dialled.url) {
        Ok(node) => node,
        Err(failure) => {
            stand::stop(coordinator).await?;
            return Err(failure);
        }
    };
    let stopping = coordinator.stopping();
    let seen_through = async {
        tokio::select! {
            () = up::gather(&coordinator, count) => {}
            () = signals.next() => return Ok(Alone::Left),
        }
        Ok(evening(dialled.clone(), &mut signals).await?.map_or(Alone::Left, Alone::Done))
    };
    let ended = tokio::select! {
        ended = seen_through => ended,
        failure = node.failed() => Err(failure),
        // Why it stopped is told by `stop` below.
        () = stopping.cancelled() => Ok(Alone::Stopped),
    };
    node.stop().await;
    stand::stop(coordinator).await?;
    ended
}
