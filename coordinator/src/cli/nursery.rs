//! The workers of this machine: started, listened to, started again when they die, ended with us.
//!
//! The parent sees an exit for certain, and says so to the coordinator before it starts a successor. Decides nothing about
//! jobs.

use super::{
    dial::Dialled,
    failure::{Exit, Failure},
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    env,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use sumac_proto::v1;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStderr, Command},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

const WORKER: &str = "sumac-worker";
/// Pauses before a dead worker is started again: doubled each time, and short again for one that lived long.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
const LONG_LIFE: Duration = Duration::from_secs(10);
/// A worker that was asked to end has so long to leave politely.
const FAREWELL_WITHIN: Duration = Duration::from_secs(10);
/// What a dead worker wrote last is read within this.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(1);

pub(super) struct Nursery {
    stopping: CancellationToken,
    workers: JoinSet<Result<(), Failure>>,
}

impl Nursery {
    /// Starts `local-0`, `local-1`, ... and keeps them alive. Must be called within the runtime.
    pub(super) fn start(program: &Path, count: u32, verbose: bool, dialled: &Dialled) -> Self {
        let stopping = CancellationToken::new();
        let mut workers = JoinSet::new();
        for number in 0..count {
            let ward = Ward {
                name: format!("local-{number}"),
                program: program.to_owned(),
                verbose,
                dialled: dialled.clone(),
                stopping: stopping.clone(),
            };
            workers.spawn(ward.raise());
        }
        Self { stopping, workers }
    }

    /// Returns when a worker cannot be kept alive, or when none is left.
    pub(super) async fn failed(&mut self) -> Failure {
        while let Some(ended) = self.workers.join_next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => return failure,
                Err(broke) => {
                    return Failure::new(Exit::Failed, "who looks after a worker broke down: this is a bug of sumac")
                        .because(Some(&broke));
                }
            }
        }
        Failure::new(Exit::Failed, "all workers have ended")
    }

    /// Ends all in the midst of what they do.
    pub(super) async fn end_at_once(mut self) {
        // Whoever looks after a worker takes it along.
        self.workers.shutdown().await;
    }

    /// Asks all to leave and waits for them.
    pub(super) async fn stop(mut self) {
        self.stopping.cancel();
        while let Some(ended) = self.workers.join_next().await {
            if let Ok(Err(failure)) = ended {
                failure.print();
            }
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

/// One name, and the processes that bear it one after the other.
struct Ward {
    name: String,
    program: PathBuf,
    verbose: bool,
    dialled: Dialled,
    stopping: CancellationToken,
}

impl Ward {
    async fn raise(mut self) -> Result<(), Failure> {
        let mut pause = PAUSE_FIRST;
        while !self.stopping.is_cancelled() {
            let born = Instant::now();
            let mut process = self.spawn()?;
            let words = process.stderr.take().map(|stderr| tokio::spawn(pass_on(self.name.clone(), stderr)));
            let status = tokio::select! {
                status = process.wait() => status,
                () = self.stopping.cancelled() => {
                    end(&self.name, process).await;
                    return Ok(());
                }
            };
            let status = status.map_err(|error| {
                Failure::new(Exit::Failed, format!("cannot wait for worker {}", self.name)).because(Some(&error))
            })?;
            self.report_death().await;
            match status.code() {
                Some(0) => return Ok(()),
                Some(2 | 78) => return Err(self.misconfigured(status, last_words(words).await)),
                _ => {}
            }
            if born.elapsed() > LONG_LIFE {
                pause = PAUSE_FIRST;
            }
            let again = humantime::format_duration(pause);
            anstream::eprintln!("  worker    {} ended ({status}); starts again in {again}", self.name);
            tokio::select! {
                () = sleep(pause) => {}
                () = self.stopping.cancelled() => {}
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(())
    }

    /// In a process group of its own: ctrl-C is for us, and we ask the workers in turn. It dies when the thread that started
    /// it dies; threads of the runtime live as long as the process.
    fn spawn(&self) -> Result<Child, Failure> {
        let mut command = Command::new(&self.program);
        command
            .args(["run", "--coordinator", &self.dialled.url, "--name", &self.name, "--die-with-parent"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if env::var_os("SUMAC_LOG_FORMAT").is_none() && std::io::stderr().is_terminal() {
            command.env("SUMAC_LOG_FORMAT", "human");
        }
        if env::var_os("SUMAC_LOG").is_none() {
            command.env("SUMAC_LOG", if self.verbose { "info" } else { "warn" });
        }
        command.spawn().map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot start {}", self.program.display())).because(Some(&error))
        })
    }

    async fn report_death(&mut self) {
        let died = v1::DiedRequest { worker: self.name.clone() };
        if let Err(error) = self.dialled.operator.died(died).await {
            // The coordinator finds it out by itself, only later.
            warn!(worker = self.name, %error, "its end could not be reported");
        }
    }

    fn misconfigured(&self, status: ExitStatus, words: Option<String>) -> Failure {
        let words = words.unwrap_or_else(|| status.to_string());
        Failure::new(Exit::Failed, format!("worker {} cannot run here: {words}", self.name))
            .hint("mend that first: another start would end the same way")
    }
}

/// Prints what a worker writes, under its name; gives the last sentence of it.
async fn pass_on(name: String, stderr: ChildStderr) -> Option<String> {
    let mut lines = BufReader::new(stderr).lines();
    let mut last = None;
    while let Ok(Some(line)) = lines.next_line().await {
        anstream::eprintln!("{name}: {line}");
        if let Some(sentence) = line.strip_prefix("error: ") {
            last = Some(sentence.to_owned());
        } else if last.is_none() && !line.trim().is_empty() {
            last = Some(line);
        }
    }
    last
}

async fn last_words(words: Option<JoinHandle<Option<String>>>) -> Option<String> {
    timeout(LAST_WORDS_WITHIN, words?).await.ok()?.ok()?
}

/// Politely first.
async fn end(name: &str, mut process: Child) {
    let pid = process.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    if let Some(pid) = pid
        && let Err(error) = kill_process(pid, Signal::TERM)
    {
        debug!(worker = name, %error, "it had ended already");
    }
    if timeout(FAREWELL_WITHIN, process.wait()).await.is_err() {
        warn!(worker = name, after = ?FAREWELL_WITHIN, "it did not leave and is killed");
        if let Err(error) = process.kill().await {
            debug!(worker = name, %error, "it had ended already");
        }
    }
}
