//! The workers of this machine, as `up` has them: a node of its own, one process that looks after them. Started, shown, asked to
//! end, gone with us. Refuses to know what the workers do.

use super::failure::{Exit, Failure};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    env,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use sumac_common::device::{Device, Wanted};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
    task::JoinHandle,
    time::timeout,
};
use tracing::{debug, warn};

const WORKER: &str = "sumac-worker";
/// Only where there is one are there cards.
const DRIVER: &str = "/proc/driver/nvidia/version";
/// The workers are `local-0`, `local-1`, ...
const NAME: &str = "local";
/// Workers that were asked to end have so long to leave politely.
const FAREWELL_WITHIN: Duration = Duration::from_secs(10);
/// What the node wrote last is read within this.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(1);

pub(super) struct Node {
    process: Child,
    /// Why it ended, in its own words.
    sentence: Option<JoinHandle<Option<String>>>,
}

impl Node {
    /// Starts a node of so many workers. In a process group of its own: ctrl-C is for us, and we ask the workers in turn. It dies
    /// when the thread that started it dies, and its workers with it: to be called from the main thread, within the runtime.
    pub(super) fn start(
        program: &Path,
        workers: u32,
        device: Option<Wanted>,
        verbose: bool,
        coordinator: &str,
    ) -> Result<Self, Failure> {
        let mut command = Command::new(program);
        command
            .args(["node", "--workers", &workers.to_string(), "--name", NAME, "--coordinator", coordinator])
            .arg(format!("--die-with-parent={}", std::process::id()))
            .args(device.into_iter().flat_map(|device| ["--device".to_owned(), device.to_string()]))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if env::var_os("SUMAC_LOG_FORMAT").is_none() && std::io::stderr().is_terminal() {
            command.env("SUMAC_LOG_FORMAT", "human");
        }
        if env::var_os("SUMAC_LOG").is_none() {
            command.env("SUMAC_LOG", if verbose { "info" } else { "warn" });
        }
        let mut process = command.spawn().map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot start {}", program.display())).because(Some(&error))
        })?;
        if let Some(facts) = process.stdout.take() {
            tokio::spawn(show(facts, "  worker    "));
        }
        let sentence = process.stderr.take().map(|log| tokio::spawn(show(log, "")));
        Ok(Self { process, sentence })
    }

    /// Returns when it has ended, with the reason.
    pub(super) async fn failed(&mut self) -> Failure {
        match self.process.wait().await {
            Ok(status) => self.failure(status).await,
            Err(error) => Failure::new(Exit::Failed, "cannot wait for the workers").because(Some(&error)),
        }
    }

    /// Ends all workers in the midst of what they do.
    pub(super) async fn end_at_once(mut self) {
        // They die with it.
        if let Err(error) = self.process.kill().await {
            debug!(%error, "the workers had ended already");
        }
    }

    /// Asks all workers to leave and waits for them.
    pub(super) async fn stop(mut self) {
        let Some(pid) = self.process.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) else {
            // It has ended, and `failed` has said why.
            return;
        };
        if let Err(error) = kill_process(pid, Signal::TERM) {
            debug!(%error, "the workers had ended already");
        }
        match timeout(FAREWELL_WITHIN, self.process.wait()).await {
            Ok(Ok(status)) if !status.success() => self.failure(status).await.print(),
            Ok(_) => {}
            Err(_) => {
                warn!(after = ?FAREWELL_WITHIN, "the workers did not leave and are killed");
                self.end_at_once().await;
            }
        }
    }

    async fn failure(&mut self, status: ExitStatus) -> Failure {
        let sentence = match self.sentence.take() {
            Some(sentence) => timeout(LAST_WORDS_WITHIN, sentence).await.ok().and_then(Result::ok).flatten(),
            None => None,
        };
        match (status.code(), sentence) {
            (Some(0), _) => Failure::new(Exit::Failed, "all workers have ended"),
            (Some(2 | 78), Some(sentence)) => {
                Failure::new(Exit::Failed, sentence).hint("mend that first: another start would end the same way")
            }
            (_, Some(sentence)) => Failure::new(Exit::Failed, sentence),
            (_, None) => Failure::new(
                Exit::Failed,
                format!("the workers ended with the process that looks after them ({status})"),
            ),
        }
    }
}

/// `SUMAC_WORKER_BIN` if it is set, else the one beside this program, else the one in PATH.
pub(super) fn worker_program() -> Result<PathBuf, Failure> {
    let named = env::var_os("SUMAC_WORKER_BIN").map(PathBuf::from);
    let beside = env::current_exe().ok().map(|program| program.with_file_name(WORKER));
    let path = env::var_os("PATH").unwrap_or_default();
    let in_path = env::split_paths(&path).map(|dir| dir.join(WORKER));
    let mut candidates = named.clone().into_iter().chain(beside.into_iter().chain(in_path).filter(|_| named.is_none()));
    candidates.find(|program| program.is_file()).ok_or_else(|| match named {
        Some(named) => {
            Failure::new(Exit::Usage, format!("SUMAC_WORKER_BIN names {}, which is no file", named.display()))
        }
        None => Failure::new(Exit::Failed, format!("{WORKER} is neither beside sumac nor in PATH"))
            .hint("build it (`make`), or set SUMAC_WORKER_BIN"),
    })
}

/// How many cards workers of this machine would compute on. Only they know libtorch, so one of them is asked, where there is a driver.
/// `device`: as on the command line, or else as the environment says.
pub(super) fn cards(device: Option<Wanted>) -> u32 {
    let in_environment = || env::var("SUMAC_DEVICE").ok()?.parse().ok();
    match device.or_else(in_environment).unwrap_or_default() {
        _ if !Path::new(DRIVER).exists() => return 0,
        Wanted::That(Device::Cpu) => return 0,
        Wanted::That(Device::Cuda(_)) => return 1,
        Wanted::Auto | Wanted::Cuda => {}
    }
    let asked =
        worker_program().ok().and_then(|program| std::process::Command::new(program).arg("cards").output().ok());
    asked.and_then(|said| String::from_utf8_lossy(&said.stdout).trim().parse().ok()).unwrap_or(0)
}

/// Prints what is written, line by line; keeps the sentence with which its writer ends.
async fn show(written: impl AsyncRead + Unpin, before: &str) -> Option<String> {
    let mut lines = BufReader::new(written).split(b'\n');
    let mut sentence = None;
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line);
        match line.strip_prefix("error: ") {
            Some(why) => sentence = Some(why.to_owned()),
            None => anstream::eprintln!("{before}{line}"),
        }
    }
    sentence
}
