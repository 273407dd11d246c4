//! `sumac-worker`: one process, one device. Arguments to a seat and a mailbox; then the conversation on its threads, the loop on
//! this one.

use clap::{Parser, Subcommand};
use std::{
    io::IsTerminal,
    net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use sumac_common::{
    conversation::{Incarnation, Seat},
    ids::{NodeId, WorkerId},
};
use sumac_worker::{
    faults::Faults,
    fingerprint,
    mailbox::Mailbox,
    session::{self, SessionError},
    train::Desk,
};
use tokio::sync::Notify;
use tracing::{error, info, warn};

/// A restart would not help: something has to be changed first (EX_CONFIG).
const NOT_AS_IT_IS: u8 = 78;
/// A restart may help (EX_TEMPFAIL).
const RESTART_ME: u8 = 75;

/// Computes for a Sumac cluster: joins a coordinator and works on the jobs it is given.
#[derive(Parser)]
#[command(name = "sumac-worker", version, propagate_version = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Join a coordinator and work until stopped.
    Run(RunArgs),
}

#[derive(clap::Args)]
struct RunArgs {
    /// Where the coordinator listens.
    #[arg(long, env = "SUMAC_COORDINATOR", default_value = "http://127.0.0.1:7070", value_name = "URL")]
    coordinator: String,

    /// Name of this worker in the cluster; one process per name. Default: the host's name and this process's number.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Name of this machine. Default: the host's name.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,

    /// Address of this machine that other workers reach. Default: the one this machine reaches the coordinator from.
    #[arg(long, value_name = "IP")]
    host: Option<IpAddr>,

    /// Where decoded data sets are kept on this machine.
    #[arg(long, env = "SUMAC_CACHE", value_name = "DIR")]
    cache: Option<PathBuf>,

    /// Give up when no coordinator has answered for so long at the start, in seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    patience: u64,

    /// When asked to end, wait so long to be let go from a running job, in seconds; then leave it after the step under way.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    grace: u64,

    /// End when the process that started this one ends.
    #[arg(long)]
    die_with_parent: bool,
}

fn main() -> ExitCode {
    let Args { command: Command::Run(args) } = Args::parse();
    init_log();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ending { why, code }) => {
            eprintln!("error: {why}");
            ExitCode::from(code)
        }
    }
}

/// Why the process ends before its time.
struct Ending {
    why: String,
    code: u8,
}

fn ending(code: u8) -> impl Fn(&dyn std::fmt::Display) -> Ending {
    move |why| Ending { why: why.to_string(), code }
}

fn run(args: RunArgs) -> Result<(), Ending> {
    let as_it_is = ending(NOT_AS_IT_IS);
    if args.die_with_parent {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
            .map_err(|e| as_it_is(&e))?;
    }
    let faults = Faults::from_env().map_err(|error| as_it_is(&error))?;
    let patience = Duration::from_secs(args.patience);
    let host = match args.host {
        Some(host) => host,
        None => way_to(&args.coordinator, patience)?,
    };
    engine::set_up(&as_it_is)?;
    // Served for as long as the process lives: others may form groups in it.
    let (_store, store_at) = engine::serve_store(host, &as_it_is)?;
    let node = args.node.unwrap_or_else(host_name);
    let seat = Seat {
        worker: WorkerId(args.name.unwrap_or_else(|| format!("{node}-{}", std::process::id()))),
        incarnation: Incarnation(since_epoch()),
        node: NodeId(node),
        store: store_at,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        device: "cpu".to_owned(),
    };
    info!(worker = %seat.worker, %host, "starting");

    let (mailbox, end) = (Arc::new(Mailbox::default()), Arc::new(Notify::new()));
    hear_signals(Arc::clone(&mailbox), Duration::from_secs(args.grace)).map_err(|error| ending(RESTART_ME)(&error))?;
    let me = seat.worker.clone();
    let conversation = {
        let (mailbox, end) = (Arc::clone(&mailbox), Arc::clone(&end));
        thread::Builder::new()
            .name("session".to_owned())
            .spawn(move || converse(&args.coordinator, seat, mailbox, patience, end))
            .map_err(|error| ending(RESTART_ME)(&error))?
    };
    let desk = Desk {
        me,
        mailbox: &mailbox,
        faults,
        cache: args.cache.unwrap_or_else(default_cache),
        fingerprint: &fingerprint::on_cpu,
    };
    engine::work(&desk, host);
    end.notify_one();
    match conversation.join() {
        Ok(ended) => ended,
        Err(_) => Err(ending(RESTART_ME)(&"the conversation with the coordinator panicked")),
    }
}

/// The conversation on its own runtime, so that no work and no lock delays a heartbeat. Its end closes the mailbox, which ends
/// the loop.
fn converse(
    address: &str,
    seat: Seat,
    mailbox: Arc<Mailbox>,
    patience: Duration,
    end: Arc<Notify>,
) -> Result<(), Ending> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.map_err(|error| ending(RESTART_ME)(&error)).and_then(|runtime| {
        let attended = session::attend(address, seat, Arc::clone(&mailbox), patience, end);
        runtime.block_on(attended).map_err(|error| match error {
            SessionError::Refused(_) | SessionError::Address(_) => ending(NOT_AS_IT_IS)(&error),
            _ => ending(RESTART_ME)(&error),
        })
    });
    mailbox.close();
    result
}

/// SIGTERM, SIGINT or SIGUSR1: the process asks to be let go, and ends when it is, or after `grace` between two steps. A second
/// one ends it at once. On a thread of its own, which ends with the process: whatever else hangs, a signal is heard.
fn hear_signals(mailbox: Arc<Mailbox>, grace: Duration) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::user_defined1())?)
    };
    let mut next = async move || {
        tokio::select! {
            _ = signals.0.recv() => {}
            _ = signals.1.recv() => {}
            _ = signals.2.recv() => {}
        }
    };
    let hear = move || {
        runtime.block_on(async {
            next().await;
            info!("told to end: it goes once it is let go; a second signal ends it at once");
            mailbox.leave();
            if tokio::time::timeout(grace, next()).await.is_err() {
                warn!(?grace, "not let go: finishing the step under way");
                mailbox.close();
                next().await;
            }
        });
        error!("stopped at once by a second signal");
        std::process::exit(130);
    };
    thread::Builder::new().name("signals".to_owned()).spawn(hear).map(drop)
}

/// The address from which this machine reaches the coordinator; others reach this machine there.
fn way_to(coordinator: &str, patience: Duration) -> Result<IpAddr, Ending> {
    let bare = coordinator.trim_start_matches("http://").trim_end_matches('/');
    let not_an_address = || ending(NOT_AS_IT_IS)(&SessionError::Address(coordinator.to_owned()));
    let begun = std::time::Instant::now();
    loop {
        let resolved: Vec<SocketAddr> = bare.to_socket_addrs().map_err(|_| not_an_address())?.collect();
        let mut why = "its name has no address".to_owned();
        for address in resolved {
            match TcpStream::connect_timeout(&address, Duration::from_secs(2)).and_then(|stream| stream.local_addr()) {
                Ok(local) => return Ok(local.ip()),
                Err(error) => why = error.to_string(),
            }
        }
        if begun.elapsed() >= patience {
            return Err(ending(RESTART_ME)(&SessionError::Unreachable { address: coordinator.to_owned(), why }));
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "node".to_owned() } else { name }
}

/// Tells which of two processes of one name is the newer; no decision reads it as a time.
fn since_epoch() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

fn default_cache() -> PathBuf {
    let home = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    home.unwrap_or_else(std::env::temp_dir).join("sumac").join("data")
}

fn init_log() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("SUMAC_LOG").or_else(|_| EnvFilter::try_from_default_env());
    let filter = filter.unwrap_or_else(|_| EnvFilter::new("info"));
    let human = match std::env::var("SUMAC_LOG_FORMAT").as_deref() {
        Ok("json") => false,
        Ok("human") => true,
        _ => std::io::stderr().is_terminal(),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if human { log.init() } else { log.json().init() }
}

/// What differs between a build with libtorch and one without.
#[cfg(feature = "torch")]
mod engine {
    use super::{Desk, Ending, IpAddr, SocketAddr};
    use std::fmt::Display;
    use sumac_worker::{native, work};

    pub(super) fn set_up(fail: &dyn Fn(&dyn Display) -> Ending) -> Result<(), Ending> {
        // Before other threads start. Where malloc does not agree, work is only slower.
        let _ = native::memory::keep();
        tch::set_num_interop_threads(1);
        tch::set_num_threads(1);
        native::determinism::require().map_err(|error| fail(&error))
    }

    pub(super) fn serve_store(
        host: IpAddr,
        fail: &dyn Fn(&dyn Display) -> Ending,
    ) -> Result<(native::Store, SocketAddr), Ending> {
        native::Store::serve(host).map_err(|error| fail(&error))
    }

    pub(super) fn work(desk: &Desk<'_>, host: IpAddr) {
        work::work(desk, host);
    }
}

#[cfg(not(feature = "torch"))]
mod engine {
    use super::{Desk, Ending, IpAddr, SocketAddr};
    use std::fmt::Display;
    use sumac_common::{
        conversation::{Leaving, Opening},
        ids::WorkerId,
    };
    use sumac_worker::{
        link::{Alone, Dial, Ear, Link},
        work,
    };

    pub(super) fn set_up(_: &dyn Fn(&dyn Display) -> Ending) -> Result<(), Ending> {
        Ok(())
    }

    pub(super) fn serve_store(host: IpAddr, _: &dyn Fn(&dyn Display) -> Ending) -> Result<((), SocketAddr), Ending> {
        Ok(((), SocketAddr::new(host, 0)))
    }

    struct OnlyAlone;

    impl Dial<Vec<f32>> for OnlyAlone {
        fn form(&mut self, opening: &Opening, _: &WorkerId, _: &dyn Ear) -> Result<Box<dyn Link<Vec<f32>>>, Leaving> {
            if opening.roster.len() == 1 {
                return Ok(Box::new(Alone));
            }
            Err(Leaving::Unformed { unreached: vec![], why: "this worker was built without libtorch".to_owned() })
        }
    }

    pub(super) fn work(desk: &Desk<'_>, _: IpAddr) {
        work::work_on_toys(desk, || OnlyAlone);
    }
}
