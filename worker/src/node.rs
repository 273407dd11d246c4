//! `sumac-worker node`: the parent of this machine's workers. Starts one process per device, passes on what it writes, starts it
//! again when it dies, and asks all of them to leave when it is asked itself.
//!
//! It sees an exit for certain and says so to the coordinator before it starts a successor; whether anybody listens changes
//! nothing. It refuses to know jobs, tensors and who else is in the cluster: what it says goes to stdout, what its workers write
//! to stderr.

use super::{
    AT_ONCE, Ending, NOT_AS_IT_IS, Place, RESTART_ME, STOPPED_AT_ONCE, Signals, USAGE, ending, host_name, since_epoch,
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    env,
    ffi::OsString,
    io::{self, IsTerminal as _, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::Arc,
    thread::available_parallelism,
    time::Duration,
};
use sumac_common::{
    device::{Device, Wanted},
    restart,
};
use sumac_proto::v1::{DiedRequest, operator_client::OperatorClient};
use sumac_worker::vitals;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStderr, Command},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout},
};
use tracing::{debug, info};

/// The coordinator is given so long to hear of a death.
const HEARD_WITHIN: Duration = Duration::from_secs(1);
/// What a dead worker wrote last is read within this.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub(super) struct NodeArgs {
    /// How many workers. Default: one per card; on the CPU one per 2 cores.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    workers: Option<u32>,

    /// What its workers are called: NAME-0, NAME-1, ... Default: the node's name.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    #[command(flatten)]
    place: Place,
}

/// On one thread, the main one: its workers die with the thread that started them.
pub(super) fn run(args: NodeArgs) -> Result<(), Ending> {
    args.place.parent.end_together()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ending(RESTART_ME)(&error))?;
    runtime.block_on(keep(args))
}

/// Until all workers have left, or one cannot run here.
async fn keep(args: NodeArgs) -> Result<(), Ending> {
    let mut signals = Signals::listen().map_err(|error| ending(RESTART_ME)(&error))?;
    let wanted = args.place.device.device;
    let cards = cards(wanted).await;
    let count = args.workers.unwrap_or_else(|| if cards > 0 { cards } else { pairs_of_cores() });
    if cards > 0 && count > cards {
        let why =
            format!("{count} workers were asked for, and there is a card for {cards}: two on one cannot be connected");
        return Err(ending(USAGE)(&why));
    }
    let line = Arc::new(CommandLine::new(args.place)?);
    let name = args.name.unwrap_or_else(|| line.node.clone());
    info!(node = line.node, workers = count, coordinator = line.coordinator, "starting");
    let (ask, asked) = watch::channel(false);
    let mut wards = JoinSet::new();
    for number in 0..count {
        let device = device_of(number, wanted, cards);
        let ward = Ward { name: format!("{name}-{number}").into(), device, line: Arc::clone(&line) };
        wards.spawn(ward.raise(asked.clone()));
    }
    let (mut ended, mut told) = (Ok(()), false);
    loop {
        tokio::select! {
            ward = wards.join_next() => match ward {
                None => return ended,
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(why))) => {
                    ended = ended.and(Err(why));
                    ask.send_replace(true);
                }
                Some(Err(broke)) => return Err(ending(RESTART_ME)(&broke)),
            },
            () = signals.next() => {
                if told {
                    // Whoever looks after a worker takes it along.
                    wards.shutdown().await;
                    return Err(ending(STOPPED_AT_ONCE)(&AT_ONCE));
                }
                told = true;
                info!("told to end: it goes once its workers are let go; a second signal ends all at once");
                ask.send_replace(true);
            }
        }
    }
}

/// How many cards there are to compute on; 0 where nobody wants any. Libtorch is asked in a process of its own: it would stay.
async fn cards(wanted: Wanted) -> u32 {
    match wanted {
        Wanted::That(Device::Cpu) => return 0,
        Wanted::That(Device::Cuda(_)) => return 1,
        Wanted::Auto | Wanted::Cuda if vitals::cards().0.is_none() => return 0,
        Wanted::Auto | Wanted::Cuda => {}
    }
    let asked = match env::current_exe() {
        Ok(program) => Command::new(program).arg("cards").stdin(Stdio::null()).output().await,
        Err(error) => Err(error),
    };
    // Whoever must have a card says why there is none when it starts.
    asked.ok().and_then(|said| String::from_utf8_lossy(&said.stdout).trim().parse().ok()).unwrap_or(0)
}

/// What the worker of this number computes on: where there are cards each has one of its own.
fn device_of(number: u32, wanted: Wanted, cards: u32) -> Wanted {
    match wanted {
        Wanted::Auto | Wanted::Cuda if cards > 0 => Wanted::That(Device::Cuda(number)),
        wanted => wanted,
    }
}

/// On the processor a worker has two cores.
fn pairs_of_cores() -> u32 {
    available_parallelism().map_or(1, |cores| u32::try_from(cores.get() / 2).unwrap_or(1)).max(1)
}

/// What all workers of this node are started with.
struct CommandLine {
    program: PathBuf,
    node: String,
    coordinator: String,
    rest: Vec<OsString>,
}

impl CommandLine {
    fn new(place: Place) -> Result<Self, Ending> {
        // Once, for all workers to come: the path of a program that was replaced since leads nowhere.
        let program = env::current_exe().map_err(|error| ending(NOT_AS_IT_IS)(&error))?;
        let Place { coordinator, node, host, cache, data_roots, grace, .. } = place;
        let mut rest: Vec<OsString> = vec!["--grace".into(), grace.to_string().into()];
        if let Some(host) = host {
            rest.extend(["--host".into(), host.to_string().into()]);
        }
        if let Some(cache) = cache {
            rest.extend(["--cache".into(), cache.into()]);
        }
        for root in data_roots {
            rest.extend(["--data-root".into(), root.into()]);
        }
        rest.push(format!("--die-with-parent={}", std::process::id()).into());
        Ok(Self { program, node: node.unwrap_or_else(host_name), coordinator, rest })
    }
}

/// Where the last sentence that a worker wrote is to be had, once it has ended.
type Words = Option<JoinHandle<Option<String>>>;

/// One name, and the processes that bear it one after the other.
struct Ward {
    name: Arc<str>,
    device: Wanted,
    line: Arc<CommandLine>,
}

impl Ward {
    async fn raise(self, mut asked: watch::Receiver<bool>) -> Result<(), Ending> {
        let name = &self.name;
        let mut pause = None;
        loop {
            let born = Instant::now();
            let start = since_epoch();
            let (status, words) = match self.start(start) {
                Ok(process) => self.attend(process, &mut asked).await,
                Err(error) => (Err(error), None),
            };
            let lived = born.elapsed();
            self.report_death(start).await;
            let sentence = last_words(words).await;
            let leaves = *asked.borrow();
            let how = match status {
                Ok(status) if status.success() => break,
                // It had not begun to listen, so it had nothing to let go of.
                Ok(status) if leaves && status.signal() == Some(Signal::TERM.as_raw()) => break,
                Ok(status) => match status.code().and_then(|code| u8::try_from(code).ok()) {
                    Some(code @ (USAGE | NOT_AS_IT_IS)) => return Err(self.cannot_run(code, sentence)),
                    _ => format!("ended ({status})"),
                },
                Err(error) => format!("has no process ({error})"),
            };
            if leaves {
                return Err(ending(RESTART_ME)(&format!("worker {name} did not leave in good order: it {how}")));
            }
            let again = restart::pause(lived, pause);
            pause = Some(again);
            say(&format!("{name} {how}; starts again in {again:?}"));
            if timeout(again, told(&mut asked)).await.is_ok() {
                break;
            }
        }
        if !*asked.borrow() {
            say(&format!("{name} left as it was told; it is not started again"));
        }
        Ok(())
    }

    /// In a process group of its own: ctrl-C is for the node, which asks its workers in turn.
    fn start(&self, start: u64) -> io::Result<Child> {
        let CommandLine { program, node, coordinator, rest } = &*self.line;
        let mut command = Command::new(program);
        command
            .args(["run", "--name", &self.name, "--node", node, "--coordinator", coordinator])
            .args(rest)
            .args(["--device", &self.device.to_string()])
            .args(["--start", &start.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if env::var_os("SUMAC_LOG_FORMAT").is_none() && io::stderr().is_terminal() {
            command.env("SUMAC_LOG_FORMAT", "human");
        }
        command.spawn()
    }

    /// To its end, which it is asked for when all are.
    async fn attend(&self, mut process: Child, asked: &mut watch::Receiver<bool>) -> (io::Result<ExitStatus>, Words) {
        info!(worker = %self.name, pid = process.id(), "started");
        let words = process.stderr.take().map(|stderr| tokio::spawn(pass_on(Arc::clone(&self.name), stderr)));
        let status = tokio::select! {
            status = process.wait() => status,
            () = told(asked) => {
                ask_to_leave(&self.name, &process);
                // For as long as it takes: how long is the worker's to decide, and whoever cannot wait asks again.
                process.wait().await
            }
        };
        (status, words)
    }

    /// Of that process: its name may be another's, here or elsewhere.
    async fn report_death(&self, start: u64) {
        let report = async {
            let operator = OperatorClient::connect(self.line.coordinator.clone()).await;
            let mut operator = operator.map_err(|error| error.to_string())?;
            let died = operator.died(DiedRequest { worker: self.name.to_string(), incarnation: start }).await;
            died.map(drop).map_err(|status| status.to_string())
        };
        let heard = timeout(HEARD_WITHIN, report).await.unwrap_or_else(|late| Err(late.to_string()));
        if let Err(why) = heard {
            // It finds out by itself, only later.
            debug!(worker = %self.name, why, "the coordinator did not hear of its end");
        }
    }

    /// Another start would end the same way.
    fn cannot_run(&self, code: u8, sentence: Option<String>) -> Ending {
        let sentence = sentence.unwrap_or_else(|| format!("it ended with exit code {code}"));
        ending(code)(&format!("worker {} cannot run here: {sentence}", self.name))
    }
}

/// Until all workers are asked to leave.
async fn told(asked: &mut watch::Receiver<bool>) {
    // Whoever asks lives longer than who listens.
    let _ = asked.wait_for(|asked| *asked).await;
}

fn ask_to_leave(name: &str, process: &Child) {
    let pid = process.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    if let Some(pid) = pid
        && let Err(error) = kill_process(pid, Signal::TERM)
    {
        debug!(worker = name, %error, "it had ended already");
    }
}

/// Once all of them are passed on.
async fn last_words(words: Words) -> Option<String> {
    timeout(LAST_WORDS_WITHIN, words?).await.ok()?.ok()?
}

/// Prints what a worker writes, under its name; gives the last sentence of it.
async fn pass_on(name: Arc<str>, stderr: ChildStderr) -> Option<String> {
    let mut lines = BufReader::new(stderr).split(b'\n');
    let mut last = None;
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line);
        // Workers live on when nobody reads what they write.
        let _ = writeln!(io::stderr(), "{}", under(&name, &line));
        if let Some(sentence) = line.strip_prefix("error: ") {
            last = Some(sentence.to_owned());
        } else if last.is_none() && !line.trim().is_empty() {
            last = Some(line.into_owned());
        }
    }
    last
}

/// A line with the name of who wrote it: before it, or within a record of a log for programs, which stays one.
fn under(name: &str, line: &str) -> String {
    match line.strip_prefix("{\"") {
        Some(record) => format!("{{\"worker\":{},\"{record}", serde_json::Value::from(name)),
        None => format!("{name}: {line}"),
    }
}

/// What becomes of a worker is said whatever is logged.
fn say(line: &str) {
    // As above.
    let _ = writeln!(io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_people_comes_after_the_name_of_its_worker() {
        assert_eq!(under("box-0", "INFO attached"), "box-0: INFO attached");
    }

    #[test]
    fn a_record_for_programs_stays_one_and_names_its_worker() {
        let record: serde_json::Value =
            serde_json::from_str(&under("the \"box\"-0", r#"{"level":"INFO","fields":{"message":"attached"}}"#))
                .unwrap();
        assert_eq!(record["worker"], "the \"box\"-0");
        assert_eq!(record["fields"]["message"], "attached");
    }
}
