//! One child process: what it says, how it ends. It is dead when this value is dropped.

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;
use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// In the environment of a command: the orders that its workers hear are in their logs.
pub const TALKATIVE: (&str, &str) = ("SUMAC_LOG", "warn,sumac_worker::session=debug");
/// The end of everything that is waited for: what takes longer is hung.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// Lines of each process shown when a test fails.
const LINES_SHOWN: usize = 80;

pub struct Process {
    name: String,
    child: Child,
    said: Arc<Said>,
    ended: Option<ExitStatus>,
}

/// How a process ended, and all that it said.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// A line that a process said, and when it was read.
#[derive(Clone, Debug)]
pub struct Line {
    pub at: Instant,
    pub text: String,
    stream: Stream,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
}

#[derive(Default)]
struct Said {
    lines: Mutex<Lines>,
    more: Condvar,
}

#[derive(Default)]
struct Lines {
    all: Vec<Line>,
    /// Streams that reached their end; a process that ended has two.
    closed: usize,
}

impl Said {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(self: &Arc<Self>, stream: Stream, pipe: impl Read + Send + 'static) {
        let said = Arc::clone(self);
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                said.lines().all.push(Line { at: Instant::now(), text, stream });
                said.more.notify_all();
            }
            said.lines().closed += 1;
            said.more.notify_all();
        });
    }

    /// What `look` finds in the lines, now or when there are more; `None` after [`PATIENCE`].
    fn wait_for<T>(&self, look: impl Fn(&Lines) -> Option<T>) -> Option<T> {
        let until = Instant::now() + PATIENCE;
        let mut lines = self.lines();
        loop {
            if let Some(found) = look(&lines) {
                return Some(found);
            }
            let left = until.checked_duration_since(Instant::now())?;
            lines = self.more.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Process {
    pub fn start(name: &str, command: &mut Command) -> Self {
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let said = Arc::new(Said::default());
        if let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) {
            said.listen(Stream::Out, out);
            said.listen(Stream::Err, err);
        }
        Self { name: name.to_owned(), child, said, ended: None }
    }

    /// The line in which it says `what` for the n-th time, counted from 1.
    ///
    /// # Panics
    /// If it ends without a word of it, or says nothing like it within [`PATIENCE`].
    pub fn says(&self, what: &str, n: usize) -> String {
        let found = self.hear(&format!("`{what}` {n} times"), |lines| {
            lines.iter().map(|line| &line.text).filter(|line| line.contains(what)).nth(n - 1).cloned()
        });
        found.unwrap_or_else(|| panic!("{} ended without saying `{what}` {n} times", self.name))
    }

    /// What `look` finds in all that it has said so far, as soon as it finds something; `None` if the process ends without it.
    ///
    /// # Panics
    /// If there is nothing to find within [`PATIENCE`]; `what` says what was looked for.
    pub fn hear<T>(&self, what: &str, look: impl Fn(&[Line]) -> Option<T>) -> Option<T> {
        let found =
            self.said.wait_for(|lines| look(&lines.all).map(Some).or_else(|| (lines.closed == 2).then_some(None)));
        found.unwrap_or_else(|| panic!("{} does not say {what} within {PATIENCE:?}", self.name))
    }

    /// All that it has said so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.said.lines().all.clone()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not end within [`PATIENCE`].
    pub fn wait(&mut self) -> ExitStatus {
        if let Some(status) = self.ended {
            return status;
        }
        // Both its streams close with it, so waiting for that is waiting with a limit.
        let closed = self.said.wait_for(|lines| (lines.closed == 2).then_some(()));
        assert!(closed.is_some(), "{} does not end within {PATIENCE:?}", self.name);
        self.reap()
    }

    fn reap(&mut self) -> ExitStatus {
        let status = self.child.wait().unwrap_or_else(|error| panic!("{} cannot be waited for: {error}", self.name));
        self.ended = Some(status);
        status
    }

    /// Whether all that it said was heard and it said it all.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.said.lines().closed == 2
    }

    pub fn finish(mut self) -> Ended {
        let status = self.wait();
        let text = |wanted: Stream| {
            let lines = self.said.lines();
            lines.all.iter().filter(|line| line.stream == wanted).fold(String::new(), |mut text, line| {
                text.push_str(&line.text);
                text.push('\n');
                text
            })
        };
        Ended { status, stdout: text(Stream::Out), stderr: text(Stream::Err) }
    }

    /// SIGKILL, and its end.
    pub fn kill(&mut self) {
        if self.ended.is_none() {
            self.child.kill().unwrap_or_else(|error| panic!("{} cannot be killed: {error}", self.name));
            self.reap();
        }
    }

    /// SIGINT: what ctrl-C sends.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// SIGTERM: what a machine sends before it goes down.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGSTOP: it lives, keeps its connections, and does nothing any more.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT: as if nothing had been.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGKILL, without waiting for its end.
    pub fn strike(&self) {
        self.signal(Signal::KILL);
    }

    /// From now on its files cannot grow beyond so many bytes, as on a disk that is full; `None` gives it room again.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let limit = Rlimit { current: bytes, maximum: None };
        let set = prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, limit);
        set.unwrap_or_else(|error| panic!("the files of {} cannot be limited: {error}", self.name));
    }

    fn signal(&self, signal: Signal) {
        let sent = kill_process(Pid::from_child(&self.child), signal);
        sent.unwrap_or_else(|error| panic!("{signal:?} does not reach {}: {error}", self.name));
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Ended {
    /// What it printed, which has to be JSON.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        self.assert(0, &[]);
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON: {error}: {}", self.stdout))
    }

    /// The exit code; `None` for a process that a signal ended.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Fails the test unless it ended with this code and said each of these: on stdout if it went well, else on stderr.
    #[track_caller]
    pub fn assert(&self, code: i32, words: &[&str]) {
        let said = if code == 0 { &self.stdout } else { &self.stderr };
        let missing: Vec<&&str> = words.iter().filter(|words| !said.contains(**words)).collect();
        assert!(
            self.code() == Some(code) && missing.is_empty(),
            "{}, exit code {code} was expected; not said: {missing:?}\nstdout: {}\nstderr: {}",
            self.status,
            self.stdout,
            self.stderr
        );
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // It may have ended by itself, which is as good.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() {
            let lines = self.said.lines();
            let hidden = lines.all.len().saturating_sub(LINES_SHOWN);
            let mut text = format!("=== {} (pid {}, {hidden} lines before)\n", self.name, self.child.id());
            for line in &lines.all[hidden..] {
                let _ = writeln!(text, "    {}", line.text);
            }
            eprintln!("{text}");
        }
    }
}
