//! `sumac-worker`: one process, one device; or the parent of several. Arguments to a seat and a mailbox; then the conversation
//! on its threads, the loop on this one.

mod doctor;
mod node;

use clap::{Parser, Subcommand};
use std::{
    future::Future,
    io::{self, ErrorKind, IsTerminal},
    net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use sumac_common::{
    conversation::{Incarnation, Seat},
    device::{Device, Wanted},
    ids::{NodeId, WorkerId},
};
use sumac_data::{freeze::cache_folder, storage::Roots};
use sumac_worker::{
    examining::{Examiner, host_name},
    faults::Faults,
    fingerprint,
    logbook::Logbook,
    mailbox::Mailbox,
    session::{self, SessionError},
    share::{self, Share, ShareError},
    train::Desk,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};
use tracing::{error, info, warn};

/// What was typed cannot be meant: as clap ends a process.
const USAGE: u8 = 2;
/// A restart would not help: something has to be changed first (EX_CONFIG).
const NOT_AS_IT_IS: u8 = 78;
/// A restart may help (EX_TEMPFAIL).
const RESTART_ME: u8 = 75;
/// As a shell says it of a process that an interrupt ended.
const STOPPED_AT_ONCE: u8 = 130;
const AT_ONCE: &str = "stopped at once by a second signal";

/// Computes for a Sumac cluster: joins a coordinator and works on the jobs it is given.
#[derive(Parser)]
#[command(name = "sumac-worker", version, propagate_version = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run one worker on this machine until stopped.
    ///
    /// SIGTERM, SIGINT or SIGUSR1 asks it to leave: it is let go between two steps and ends. A second one ends it at once.
    Run(RunArgs),
    /// Run this machine's workers until stopped, and start those again that die.
    ///
    /// What its workers log is passed on under their names. SIGTERM, SIGINT or SIGUSR1 asks all of them to leave: each is let go
    /// between two steps, and the node ends with the last. A second one ends all at once. It goes on when the coordinator dies,
    /// and ends when a worker says that its configuration is at fault.
    Node(node::NodeArgs),
    /// Look at this machine, without a coordinator: libtorch, GPUs, shared memory, disks, names. Ends with 1 if anything fails.
    Doctor(doctor::DoctorArgs),
    /// Do a share of a refinement, without a coordinator: a task of an array job.
    ///
    /// `sumac refine SRC DST --checkpoint ... --shard-of I/N` prepares DST and runs this. When it is told to end it ends within
    /// moments, and what is done stays done.
    Refine(ShareArgs),
    /// Say how many cards libtorch sees: for the parent, which does not load libtorch's half for cards.
    #[command(hide = true)]
    Cards,
}

#[derive(clap::Args)]
struct ShareArgs {
    /// The folder of the refined images, as `sumac refine` prepared it.
    #[arg(value_name = "DST")]
    destination: PathBuf,

    /// Which of so many tasks this one is, counted from 0, such as 3/16.
    #[arg(long, value_name = "I/N")]
    shard_of: Share,

    #[command(flatten)]
    device: OnDevice,

    #[command(flatten)]
    parent: Parent,
}

#[derive(clap::Args)]
struct RunArgs {
    #[command(flatten)]
    place: Place,

    /// Name of this worker in the cluster; one process per name. Default: the node's name and this process's number.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Which of the processes of this name it is: later ones have higher numbers. For parents that report a death.
    #[arg(long, value_name = "NUMBER", hide = true)]
    start: Option<u64>,

    /// Give up when no coordinator has answered for so long at the start, in seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    patience: u64,
}

/// Where workers run, and for whom.
#[derive(clap::Args)]
struct Place {
    /// Where the coordinator listens.
    #[arg(long, env = "SUMAC_COORDINATOR", default_value = "http://127.0.0.1:7070", value_name = "URL")]
    coordinator: String,

    /// Name of this machine in the cluster. Default: the host's name.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,

    /// Address of this machine that other workers reach. Default: the one this machine reaches the coordinator from.
    #[arg(long, value_name = "IP")]
    host: Option<IpAddr>,

    /// Where decoded data sets are kept on this machine.
    #[arg(long, env = "SUMAC_CACHE", value_name = "DIR")]
    cache: Option<PathBuf>,

    /// Folders, or s3://bucket/key, that jobs may have it read and write: what lies outside is refused. Give it several times,
    /// or several with commas between them. Default: everything that this user may.
    #[arg(long = "data-root", env = "SUMAC_DATA_ROOT", value_name = "DIR", value_delimiter = ',')]
    data_roots: Vec<PathBuf>,

    /// When asked to end, wait so long to be let go from a running job, in seconds; then leave it after the step under way.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    grace: u64,

    #[command(flatten)]
    device: OnDevice,

    #[command(flatten)]
    parent: Parent,
}

#[derive(clap::Args)]
struct OnDevice {
    /// What to compute on: cpu, cuda, cuda:1 ... Default: a card, where there is one and libtorch has its half for cards.
    #[arg(long, env = "SUMAC_DEVICE", default_value_t, value_name = "DEVICE")]
    device: Wanted,
}

#[derive(clap::Args)]
struct Parent {
    /// End when the process that started this one ends; with its PID, also if it has ended already.
    #[arg(long, value_name = "PID", num_args = 0..=1, require_equals = true)]
    die_with_parent: Option<Option<i32>>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let logbook = Logbook::default();
    init_log(&logbook);
    let ended = match args.command {
        Command::Run(args) => run(args, logbook),
        Command::Node(args) => node::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Refine(args) => refine(&args),
        Command::Cards => engine::cards().map(|count| println!("{count}")),
    };
    match ended {
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

fn run(args: RunArgs, logbook: Logbook) -> Result<(), Ending> {
    let as_it_is = ending(NOT_AS_IT_IS);
    let RunArgs { place, name, start, patience } = args;
    place.parent.end_together()?;
    let device = engine::set_up(place.device.device)?;
    let faults = Faults::from_env().map_err(|error| as_it_is(&error))?;
    let patience = Duration::from_secs(patience);
    let mailbox = Arc::new(Mailbox::default());
    hear_signals(Arc::clone(&mailbox), Duration::from_secs(place.grace)).map_err(|error| ending(RESTART_ME)(&error))?;
    let roots = roots_of(&place.data_roots)?;
    let host = match place.host {
        Some(host) => host,
        None => match way_to(&place.coordinator, patience, &mailbox)? {
            Some(host) => host,
            None => return Ok(()),
        },
    };
    // Served for as long as the process lives: others may form groups in it.
    let (_store, store_at) = engine::serve_store(host, &as_it_is)?;
    let node = place.node.unwrap_or_else(host_name);
    let seat = Seat {
        worker: WorkerId(name.unwrap_or_else(|| format!("{node}-{}", std::process::id()))),
        incarnation: Incarnation(start.unwrap_or_else(since_epoch)),
        node: NodeId(node),
        store: store_at,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        device: fingerprint::name(device),
    };
    let cache = place.cache.unwrap_or_else(cache_folder);
    let examiner = Examiner { node: seat.node.clone(), cache: cache.clone(), roots: roots.clone() };
    info!(worker = %seat.worker, device = seat.device, %host, "starting");

    let end = Arc::new(Notify::new());
    let me = seat.worker.clone();
    let conversation = {
        let (mailbox, end) = (Arc::clone(&mailbox), Arc::clone(&end));
        thread::Builder::new()
            .name("session".to_owned())
            .spawn(move || converse(&place.coordinator, seat, mailbox, logbook, examiner, patience, end))
            .map_err(|error| ending(RESTART_ME)(&error))?
    };
    let of_device = |threads, precision| fingerprint::on(device, threads, precision);
    let desk = Desk { me, device, mailbox: &mailbox, faults, cache, roots, fingerprint: &of_device };
    engine::work(&desk, host);
    end.notify_one();
    match conversation.join() {
        Ok(ended) => ended,
        Err(_) => Err(ending(RESTART_ME)(&"the conversation with the coordinator panicked")),
    }
}

fn refine(args: &ShareArgs) -> Result<(), Ending> {
    args.parent.end_together()?;
    let device = engine::set_up(args.device.device)?;
    let restart_me = |error: io::Error| ending(RESTART_ME)(&error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(restart_me)?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::listen().map_err(restart_me)?
    };
    let stopped = move || runtime.block_on(signals.next());
    share::refine(&args.destination, args.shard_of, device, stopped).map_err(|error| {
        let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
        let why = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
        let code = match error {
            ShareError::Stopped { .. } | ShareError::Failed { .. } | ShareError::Pipeline(_) => RESTART_ME,
            _ => NOT_AS_IT_IS,
        };
        Ending { why, code }
    })
}

/// The conversation on its own runtime, so that no work and no lock delays a heartbeat. Its end closes the mailbox, which ends
/// the loop.
fn converse(
    address: &str,
    seat: Seat,
    mailbox: Arc<Mailbox>,
    logbook: Logbook,
    examiner: Examiner,
    patience: Duration,
    end: Arc<Notify>,
) -> Result<(), Ending> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.map_err(|error| ending(RESTART_ME)(&error)).and_then(|runtime| {
        let attended = session::attend(address, seat, Arc::clone(&mailbox), logbook, examiner, patience, end);
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
fn hear_signals(mailbox: Arc<Mailbox>, grace: Duration) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::listen()?
    };
    let hear = move || {
        runtime.block_on(async {
            signals.next().await;
            info!("told to end: it goes once it is let go; a second signal ends it at once");
            mailbox.leave();
            if tokio::time::timeout(grace, signals.next()).await.is_err() {
                warn!(?grace, "not let go: finishing the step under way");
                mailbox.close();
                signals.next().await;
            }
        });
        error!("{AT_ONCE}");
        std::process::exit(i32::from(STOPPED_AT_ONCE));
    };
    thread::Builder::new().name("signals".to_owned()).spawn(hear).map(drop)
}

/// SIGTERM, SIGINT and SIGUSR1, one like the other.
struct Signals([Signal; 3]);

impl Signals {
    /// Within a runtime.
    fn listen() -> io::Result<Self> {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::user_defined1()];
        let [terminate, interrupt, user] = kinds.map(signal);
        Ok(Self([terminate?, interrupt?, user?]))
    }

    fn next(&mut self) -> impl Future<Output = ()> {
        let [terminate, interrupt, user] = &mut self.0;
        async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = user.recv() => {}
            }
        }
    }
}

impl Parent {
    /// From here on the process dies with its parent, if it is to.
    fn end_together(&self) -> Result<(), Ending> {
        use rustix::process::{Signal, getppid, set_parent_process_death_signal};
        let Some(parent) = self.die_with_parent else { return Ok(()) };
        set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| ending(NOT_AS_IT_IS)(&error))?;
        // One that ended before is never heard of: another process is the parent by now.
        match parent.filter(|parent| getppid().is_none_or(|now| now.as_raw_nonzero().get() != *parent)) {
            Some(parent) => Err(ending(RESTART_ME)(&format!("process {parent}, which started this one, has ended"))),
            None => Ok(()),
        }
    }
}

fn roots_of(folders: &[PathBuf]) -> Result<Roots, Ending> {
    let gone = |(folder, error): (PathBuf, io::Error)| format!("--data-root {}: {error}", folder.display());
    Roots::new(folders).map_err(|refused| ending(NOT_AS_IT_IS)(&gone(refused)))
}

/// The address from which this machine reaches the coordinator; others reach this machine there. `None` if the process was
/// asked to end before there was one.
fn way_to(coordinator: &str, patience: Duration, mailbox: &Mailbox) -> Result<Option<IpAddr>, Ending> {
    let not_an_address = || ending(NOT_AS_IT_IS)(&SessionError::Address(coordinator.to_owned()));
    let bare = coordinator.strip_prefix("http://").ok_or_else(not_an_address)?.trim_end_matches('/');
    let begun = std::time::Instant::now();
    let mut said = false;
    while !mailbox.is_leaving() {
        let (resolved, mut why): (Vec<SocketAddr>, _) = match bare.to_socket_addrs() {
            Ok(resolved) => (resolved.collect(), "its name has no address".to_owned()),
            Err(error) if error.kind() == ErrorKind::InvalidInput => return Err(not_an_address()),
            // Whoever knows names may be away like anybody else.
            Err(error) => (Vec::new(), error.to_string()),
        };
        for address in resolved {
            match TcpStream::connect_timeout(&address, Duration::from_secs(2)).and_then(|stream| stream.local_addr()) {
                Ok(local) => return Ok(Some(local.ip())),
                Err(error) => why = error.to_string(),
            }
        }
        if begun.elapsed() >= patience {
            return Err(ending(RESTART_ME)(&SessionError::Unreachable { address: coordinator.to_owned(), why }));
        }
        if !std::mem::replace(&mut said, true) {
            warn!(coordinator, why, "no coordinator there yet: trying again for {} s", patience.as_secs());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(None)
}

/// Tells which of two processes of one name is the newer; no decision reads it as a time.
fn since_epoch() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// To stderr as `SUMAC_LOG` says, and into the logbook whatever is a fact.
fn init_log(logbook: &Logbook) {
    use tracing_subscriber::{EnvFilter, Layer as _, filter::LevelFilter, fmt, prelude::*};
    let filter = EnvFilter::try_from_env("SUMAC_LOG").or_else(|_| EnvFilter::try_from_default_env());
    let filter = filter.unwrap_or_else(|_| EnvFilter::new("info"));
    let human = match std::env::var("SUMAC_LOG_FORMAT").as_deref() {
        Ok("json") => false,
        Ok("human") => true,
        _ => io::stderr().is_terminal(),
    };
    let log = fmt::layer().with_writer(io::stderr);
    let log = if human { log.with_filter(filter).boxed() } else { log.json().with_filter(filter).boxed() };
    let facts = EnvFilter::default().add_directive(LevelFilter::INFO.into());
    tracing_subscriber::registry().with(log).with(logbook.clone().with_filter(facts)).init();
}

/// What differs between a build with libtorch and one without.
#[cfg(feature = "torch")]
mod engine {
    use super::{Desk, Device, Ending, IpAddr, NOT_AS_IT_IS, SocketAddr, Wanted, ending};
    use std::fmt::Display;
    use sumac_worker::{
        native::{self, NativeError},
        vitals, work,
    };
    use tracing::warn;

    /// What this process computes on. Before other threads start.
    pub(super) fn set_up(wanted: Wanted) -> Result<Device, Ending> {
        let fail = |error: NativeError| ending(NOT_AS_IT_IS)(&error);
        let device = taken(wanted)?;
        // Where malloc does not agree, work is only slower.
        let _ = native::memory::keep();
        tch::set_num_interop_threads(1);
        tch::set_num_threads(1);
        native::determinism::require().map_err(fail)?;
        Ok(device)
    }

    /// Libtorch's half for cards is loaded before anything asks for one.
    fn taken(wanted: Wanted) -> Result<Device, Ending> {
        let first = match wanted {
            Wanted::That(Device::Cpu) => return Ok(Device::Cpu),
            // Whoever has no driver has no card, whatever libtorch he has.
            Wanted::Auto if vitals::cards().0.is_none() => return Ok(Device::Cpu),
            Wanted::Auto | Wanted::Cuda => Device::Cuda(0),
            Wanted::That(device) => device,
        };
        let cards = native::cuda::load().and_then(|()| native::cuda::count());
        let why = match (cards, first) {
            (Ok(count), Device::Cuda(card)) if (card as usize) < count => return Ok(first),
            (Ok(0), _) => {
                "libtorch sees no card: is there a driver, and is one left to see by CUDA_VISIBLE_DEVICES?".to_owned()
            }
            (Ok(count), _) => format!("libtorch sees {count} cards, numbered from 0"),
            (Err(why), _) => format!("{why}; LD_LIBRARY_PATH names the torch/lib folder of a torch 2.11 with CUDA"),
        };
        if wanted == Wanted::Auto {
            warn!(why, "there is a driver for cards, and no card to compute on: computing on the CPU");
            return Ok(Device::Cpu);
        }
        Err(ending(NOT_AS_IT_IS)(&format!("--device {wanted} is not there: {why}")))
    }

    pub(super) fn cards() -> Result<usize, Ending> {
        native::cuda::load().and_then(|()| native::cuda::count()).map_err(|error| ending(NOT_AS_IT_IS)(&error))
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
    use super::{Desk, Device, Ending, IpAddr, NOT_AS_IT_IS, SocketAddr, Wanted, ending};
    use std::fmt::Display;
    use sumac_common::{
        conversation::{Leaving, Opening},
        ids::WorkerId,
    };
    use sumac_data::storage::Roots;
    use sumac_worker::{
        link::{Alone, Dial, Ear, Link},
        work,
    };

    pub(super) fn set_up(wanted: Wanted) -> Result<Device, Ending> {
        match wanted {
            Wanted::Auto | Wanted::That(Device::Cpu) => Ok(Device::Cpu),
            Wanted::Cuda | Wanted::That(Device::Cuda(_)) => {
                Err(ending(NOT_AS_IT_IS)(&format!("--device {wanted}: this worker was built without libtorch")))
            }
        }
    }

    pub(super) fn cards() -> Result<usize, Ending> {
        Ok(0)
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
