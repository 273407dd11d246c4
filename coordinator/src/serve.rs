//! A coordinator in this process: owns its state directory, binds its port, stops politely.
//!
//! Knows nothing of signals and of who runs it: the reason to stop is given.

use crate::{
    driver::Driver,
    picture::Picture,
    rpc,
    store::{Store, StoreError},
    web::{self, Web},
};
use axum::Router;
use futures_util::stream::unfold;
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use sumac_common::{cluster::Settings, ids::Term};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tracing::warn;

/// Where a coordinator listens when nothing else is said.
pub const LISTEN: &str = "127.0.0.1:7070";
/// In the state directory: the URL of the coordinator that lives there.
pub const ADDRESS_FILE: &str = "address";
/// A connection that is silent below our own messages is asked whether it lives.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(10);
/// Connections are closed politely within this, or not politely.
const FAREWELL_WITHIN: Duration = Duration::from_secs(5);
/// After a connection that could not be accepted: what is missing, files perhaps, is not there again at once.
const BREATH: Duration = Duration::from_millis(100);

#[derive(Clone, Debug)]
pub struct Place {
    /// Port 0: any free one.
    pub listen: SocketAddr,
    pub state: PathBuf,
    /// Listen beyond this machine although nothing is encrypted and nobody is asked who they are.
    pub insecure: bool,
    /// For probes and scrapers.
    pub http: web::Port,
}

#[derive(Debug, thiserror::Error)]
pub enum NotServing {
    #[error("{0} can be reached from other machines, and nothing is encrypted or asked who it is yet")]
    Exposed(SocketAddr),
    #[error("port {} of {} is taken by another process", .0.port(), .0.ip())]
    PortTaken(SocketAddr),
    #[error("port {} of {}, for HTTP, is taken by another process", .0.port(), .0.ip())]
    HttpTaken(SocketAddr),
    #[error("cannot listen on {address}")]
    NoPort {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("cannot write the address to {}", file.display())]
    NoAddressFile {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the server failed")]
    Transport(#[source] tonic::transport::Error),
    #[error("a task of the coordinator broke down: this is a bug of sumac")]
    BrokeDown(#[source] tokio::task::JoinError),
}

/// One that runs.
pub struct Coordinator {
    address: SocketAddr,
    term: Term,
    address_file: PathBuf,
    picture: watch::Receiver<Arc<Picture>>,
    stopping: CancellationToken,
    driver: JoinHandle<Result<(), StoreError>>,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
    web: Option<Web>,
}

impl Coordinator {
    /// The term is raised and durable, and the address written, before this returns.
    ///
    /// # Errors
    /// If the address is exposed without `insecure`, the port is taken, or the state cannot be owned.
    pub async fn start(place: Place, settings: Settings) -> Result<Self, NotServing> {
        let listener = bind(place.listen, place.insecure).await?;
        let address = local_address(&listener, place.listen)?;
        let http = place.http.bind(place.insecure).await?;
        let http = http.map(|http| local_address(&http, address).map(|at| (http, at))).transpose()?;
        let (store, remembered) = Store::open(&place.state)?;
        let term = remembered.term;
        let address_file = write_address(&place.state, address)?;
        let stopping = CancellationToken::new();
        let (driver, desk) = Driver::new(settings, store, remembered);
        let picture = desk.picture.clone();
        let rpcs = rpc::Ended::default();
        let web =
            http.map(|(http, at)| Web::open(http, at, desk.clone(), rpcs.clone(), place.http.limits, stopping.clone()));
        let server = Server::builder()
            .layer(rpc::Counting(rpcs))
            .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
            .http2_keepalive_timeout(Some(KEEPALIVE_WITHIN))
            .add_service(rpc::cluster(desk.clone()))
            .add_service(rpc::operator(desk))
            .serve_with_incoming_shutdown(connections(listener), stopping.clone().cancelled_owned());
        let server = tokio::spawn(server);
        // A driver that ends for whatever reason takes the server along: nobody shall talk to a deaf coordinator.
        let ends = stopping.clone().drop_guard();
        let driver = tokio::spawn({
            let stopping = stopping.clone();
            async move {
                let _ends = ends;
                driver.run(stopping).await
            }
        });
        Ok(Self { address, term, address_file, picture, stopping, driver, server, web })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }

    #[must_use]
    pub fn url(&self) -> String {
        url(self.address)
    }

    /// Of its HTTP port, if it has one.
    #[must_use]
    pub fn web_url(&self) -> Option<String> {
        self.web.as_ref().map(|web| url(web.address))
    }

    /// Further routes for the HTTP port, if it has one: for whoever connects from now on. Paths that are served already are a bug
    /// of the caller, and panic.
    pub fn mount(&self, further: Router) {
        if let Some(web) = &self.web {
            web.mount(further);
        }
    }

    /// What it holds, as it changes.
    #[must_use]
    pub fn picture(&self) -> watch::Receiver<Arc<Picture>> {
        self.picture.clone()
    }

    /// Cancelled when it stops, by wish or by a failure that [`Self::stop`] then tells.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Ends all streams, finishes what was asked, gives the state directory back.
    ///
    /// # Errors
    /// What made it stop earlier, if anything did.
    pub async fn stop(self) -> Result<(), NotServing> {
        self.stopping.cancel();
        // It names a coordinator that is no more. One that cannot be removed is found out by who dials.
        let _ = fs::remove_file(&self.address_file);
        self.driver.await.map_err(NotServing::BrokeDown)??;
        let server = self.server.abort_handle();
        match timeout(FAREWELL_WITHIN, self.server).await {
            Ok(ended) => ended.map_err(NotServing::BrokeDown)?.map_err(NotServing::Transport)?,
            // Everything is saved; somebody holds a connection open and says nothing.
            Err(_) => server.abort(),
        }
        match self.web {
            Some(web) => web.closed().await.map_err(NotServing::BrokeDown),
            None => Ok(()),
        }
    }
}

/// # Errors
/// If others could reach it although `insecure` is not said, or it cannot be had.
pub(crate) async fn bind(address: SocketAddr, insecure: bool) -> Result<TcpListener, NotServing> {
    if !address.ip().is_loopback() && !insecure {
        return Err(NotServing::Exposed(address));
    }
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => NotServing::PortTaken(address),
        _ => NotServing::NoPort { address, source },
    })
}

/// Whoever connects, one after the other. Left to itself, the server asks again at once where one cannot be accepted, and its core
/// does nothing else.
fn connections(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> {
    unfold(listener, async |listener| {
        loop {
            match listener.accept().await {
                // An order is a small word, and does not wait for others to go with it.
                Ok((stream, _)) => return Some((stream.set_nodelay(true).map(|()| stream), listener)),
                Err(error) => {
                    warn!(?error, "a connection was not accepted");
                    sleep(BREATH).await;
                }
            }
        }
    })
}

fn local_address(listener: &TcpListener, wanted: SocketAddr) -> Result<SocketAddr, NotServing> {
    listener.local_addr().map_err(|source| NotServing::NoPort { address: wanted, source })
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

fn write_address(state: &Path, address: SocketAddr) -> Result<PathBuf, NotServing> {
    let file = state.join(ADDRESS_FILE);
    // Whole or not at all: others read it while we write.
    let draft = state.join("address.draft");
    fs::write(&draft, url(address) + "\n")
        .and_then(|()| fs::rename(&draft, &file))
        .map_err(|source| NotServing::NoAddressFile { file: file.clone(), source })?;
    Ok(file)
}
