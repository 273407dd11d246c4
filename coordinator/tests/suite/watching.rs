//! The live view on a terminal of its own, which `script` (util-linux) opens: keys in, and what a person would see.

use crate::{
    command_line::beat,
    play::{Played, Sumac, coordinator, job_when, operator, place, settings, soon, spec, submit},
};
use std::{
    process::Stdio,
    time::{Duration, SystemTime},
};
use sumac::serve::{Coordinator, Place};
use sumac_common::{
    cluster::Settings,
    logging::{Level, Line},
};
use sumac_proto::{Up, v1};
use tempfile::tempdir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, ChildStdout},
    time::Instant,
};

const LINES: usize = 24;
const COLUMNS: usize = 80;

/// What a terminal of 24 lines shows: letters where they were put. Knows of orders only those that move, clear and colour.
struct Glass {
    cells: Vec<Vec<char>>,
    line: usize,
    column: usize,
    /// An order that has not ended yet.
    order: Option<String>,
}

impl Glass {
    fn new() -> Self {
        Self { cells: vec![vec![' '; COLUMNS]; LINES], line: 0, column: 0, order: None }
    }

    fn hear(&mut self, letter: char) {
        match (&mut self.order, letter) {
            (Some(order), letter) => {
                order.push(letter);
                let is_begun = order.len() == 1;
                if letter.is_ascii_alphabetic() || is_begun && letter != '[' {
                    let order = self.order.take().unwrap_or_default();
                    self.obey(&order);
                }
            }
            (None, '\x1b') => self.order = Some(String::new()),
            (None, '\r') => self.column = 0,
            (None, '\n') => self.line = (self.line + 1).min(LINES - 1),
            (None, letter) if letter.is_control() => {}
            (None, letter) => {
                if let Some(cell) = self.cells[self.line].get_mut(self.column) {
                    *cell = letter;
                }
                self.column += 1;
            }
        }
    }

    fn obey(&mut self, order: &str) {
        if let Some(place) = order.strip_prefix('[').and_then(|order| order.strip_suffix('H')) {
            let (line, column) = place.split_once(';').unwrap_or(("1", "1"));
            let from_one = |number: &str| number.parse::<usize>().map_or(0, |number| number - 1);
            (self.line, self.column) = (from_one(line).min(LINES - 1), from_one(column));
        } else if order == "[2J" {
            self.cells = vec![vec![' '; COLUMNS]; LINES];
        }
    }

    fn text(&self) -> String {
        self.cells.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned() + "\n").collect()
    }
}

/// `sumac` there.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    stdout: ChildStdout,
    /// Bytes that are not a whole letter yet.
    rest: Vec<u8>,
    said: String,
    glass: Glass,
}

impl Sumac {
    /// `None` where nothing opens a terminal here.
    fn on_a_terminal(&self, args: &str, environment: &[(&str, &str)]) -> Option<Terminal> {
        let program = env!("CARGO_BIN_EXE_sumac");
        let inner = format!("echo pid=$$; exec '{program}' {args}");
        let line = format!("stty rows {LINES} cols {COLUMNS}; stty -g; sh -c \"{inner}\"; echo ended=$?; stty -g");
        let command = self.command(&[]);
        let settings = command.as_std().get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)));
        let settings: Vec<_> = settings.collect();
        let mut script = tokio::process::Command::new("script");
        script
            .args(["-qefc", &line.replace("$$", "\\$\\$"), "/dev/null"])
            .current_dir(self.folder.path())
            .kill_on_drop(true);
        for (name, value) in settings {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        script.env("TERM", "xterm-256color").env("SHELL", "/bin/sh").envs(environment.iter().copied());
        let Ok(mut child) = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
            eprintln!("skipped: there is no `script` (util-linux), which opens a terminal");
            return None;
        };
        let (keys, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Some(Terminal { child, keys, stdout, rest: Vec::new(), said: String::new(), glass: Glass::new() })
    }
}

impl Terminal {
    /// False at the end.
    async fn hears(&mut self) -> bool {
        let mut bytes = [0; 4_096];
        let count = self.stdout.read(&mut bytes).await.unwrap();
        self.rest.extend_from_slice(&bytes[..count]);
        let whole = match std::str::from_utf8(&self.rest) {
            Ok(text) => text.len(),
            Err(cut) => cut.valid_up_to(),
        };
        let bytes: Vec<u8> = self.rest.drain(..whole).collect();
        let text = String::from_utf8(bytes).unwrap();
        text.chars().for_each(|letter| self.glass.hear(letter));
        self.said.push_str(&text);
        count > 0
    }

    async fn shows(&mut self, wanted: impl Fn(&str) -> bool, what: &str) {
        let seen = tokio::time::timeout(crate::play::PATIENCE, async {
            while !wanted(&self.glass.text()) {
                assert!(self.hears().await, "it ended before it showed {what}: {}", self.said);
            }
        });
        if seen.await.is_err() {
            panic!("{what} was not shown, but\n{}", self.glass.text());
        }
    }

    async fn presses(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.unwrap();
        self.keys.flush().await.unwrap();
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = self.said.split("pid=").nth(1).and_then(|rest| rest.lines().next()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// It was taken, and is as it was before: the exit code, and all that was said.
    async fn ends_as_it_began(mut self) -> (i32, String) {
        soon("the end of the view", async { while self.hears().await {} }).await;
        soon("the end of script", self.child.wait()).await.unwrap();
        let said = self.said;
        assert!(said.rfind("\x1b[?1049l") > said.rfind("\x1b[?1049h") && said.contains("\x1b[?1049h"), "{said:?}");
        assert!(said.rfind("\x1b[?25h") > said.rfind("\x1b[?25l"), "the cursor is shown: {said:?}");
        let after = &said[said.rfind("\x1b[?1049l").unwrap()..];
        let modes: Vec<&str> = said.lines().map(str::trim).filter(|line| are_modes(line)).collect();
        assert!(modes.len() == 2 && modes[0] == modes[1], "the terminal's modes are as they were: {modes:?}");
        let code = after.split("ended=").nth(1).and_then(|rest| rest.lines().next()).unwrap();
        (code.trim().parse().unwrap(), said)
    }
}

/// What `stty -g` prints.
fn are_modes(line: &str) -> bool {
    line.matches(':').count() > 20 && line.chars().all(|letter| letter == ':' || letter.is_ascii_hexdigit())
}

#[tokio::test]
async fn whatever_ends_the_view_the_terminal_is_as_it_was() {
    let (state, sumac) = (tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    for (ending, code) in [("q", 0), ("\x03", 130), ("SIGTERM", 130), ("SIGINT", 130)] {
        let args = format!("watch --coordinator {}", coordinator.url());
        let Some(mut terminal) = sumac.on_a_terminal(&args, &[]) else { return };
        terminal.shows(|text| text.contains("no jobs yet"), "that there are no jobs").await;
        match ending {
            "SIGTERM" => terminal.signal(rustix::process::Signal::TERM),
            "SIGINT" => terminal.signal(rustix::process::Signal::INT),
            key => terminal.presses(key).await,
        }
        let (ended, _) = terminal.ends_as_it_began().await;
        assert_eq!(ended, code, "{ending:?}");
    }
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_worker_is_seen_within_a_second() {
    let (state, output, sumac) = (tempdir().unwrap(), tempdir().unwrap(), Sumac::new());
    let patient = Settings { reattach_within: Duration::from_secs(600), ..settings() };
    let coordinator = Coordinator::start(place(state.path()), patient).await.unwrap();
    let url = coordinator.url();
    let (mut a, b) = (Played::joins(&url, "local-0").await, Played::joins(&url, "local-1").await);
    let (_, job) = submit(&url, &spec(output.path())).await;
    a.takes_part(0).await;
    a.says(beat(&job.id, 120)).await;
    job_when(&url, &job.id, |job| job.step == 120).await;
    let Some(mut terminal) = sumac.on_a_terminal(&format!("top --coordinator {url}"), &[]) else { return };
    terminal.shows(|text| text.contains("2 here, 0 lost") && text.contains("training"), "both workers").await;
    terminal.shows(|text| text.contains("120/600") && text.contains("0.210"), "the job's figures").await;

    // Nobody says that it died: its connection broke.
    let killed = Instant::now();
    drop(b);
    let is_suspect = |text: &str| text.lines().any(|line| line.contains("local-1") && line.contains("suspect"));
    terminal.shows(is_suspect, "that local-1 is a suspect").await;
    assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());

    // Its parent says so.
    let killed = Instant::now();
    operator(&url).await.died(v1::DiedRequest { worker: "local-1".to_owned(), incarnation: 1 }).await.unwrap();
    let is_lost = |text: &str| text.lines().any(|line| line.contains("local-1") && line.contains("lost"));
    terminal.shows(is_lost, "that local-1 is lost").await;
    assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
    terminal.presses("q").await;
    terminal.ends_as_it_began().await;
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_view_outlives_its_coordinator_and_finds_the_next() {
    let (state, sumac) = (tempdir().unwrap(), Sumac::new());
    let first = coordinator(state.path()).await;
    let address = first.address();
    let Some(mut terminal) = sumac.on_a_terminal(&format!("watch --coordinator {}", first.url()), &[]) else { return };
    terminal.shows(|text| text.contains("term 1"), "the first coordinator").await;
    first.stop().await.unwrap();
    terminal.shows(|text| text.contains("coordinator away since"), "that it is away").await;
    terminal.shows(|text| text.contains("(2s)"), "for how long").await;
    let second = Coordinator::start(Place { listen: address, ..place(state.path()) }, settings()).await.unwrap();
    terminal.shows(|text| text.contains("term 2") && !text.contains("away since"), "the second coordinator").await;
    terminal.presses("q").await;
    terminal.ends_as_it_began().await;
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_worker_is_drained_by_two_keys_and_a_yes() {
    let (state, sumac) = (tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let _a = Played::joins(&url, "local-0").await;
    let Some(mut terminal) = sumac.on_a_terminal(&format!("watch --coordinator {url}"), &[]) else { return };
    terminal.shows(|text| text.contains("idle"), "an idle worker").await;
    terminal.presses("\td").await;
    terminal.shows(|text| text.contains("drain local-0?") && text.contains("y/n"), "the question").await;
    terminal.presses("y").await;
    let is_drained = |text: &str| text.lines().any(|line| line.contains("local-0") && line.contains("drained"));
    terminal.shows(is_drained, "that it is drained").await;
    terminal.presses("q").await;
    terminal.ends_as_it_began().await;
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn logs_are_followed_as_they_come_and_found_again_at_the_next_coordinator() {
    let (state, sumac) = (tempdir().unwrap(), Sumac::new());
    let first = coordinator(state.path()).await;
    let (listen, url) = (first.address(), first.url());
    let line = |text: &str| Line {
        at: SystemTime::now(),
        level: Level::Warn,
        text: text.to_owned(),
        job: None,
        generation: None,
        step: None,
    };
    let a = Played::joins(&url, "local-0").await;
    a.tells(Up::Logged(vec![line("said before")])).await;
    let Some(mut terminal) = sumac.on_a_terminal(&format!("watch --coordinator {url}"), &[]) else { return };
    terminal.shows(|text| text.contains("idle"), "an idle worker").await;
    terminal.presses("\tl").await;
    let shows = |wanted: &'static str| {
        move |text: &str| text.lines().any(|line| line.contains("WARN  local-0") && line.contains(wanted))
    };
    terminal.shows(shows("said before"), "what was said before").await;
    a.tells(Up::Logged(vec![line("said now")])).await;
    terminal.shows(|text| shows("said before")(text) && shows("said now")(text), "what is said now").await;

    first.stop().await.unwrap();
    terminal.shows(|text| text.contains("(old: it does not answer)"), "that they are old").await;
    let second = Coordinator::start(Place { listen, ..place(state.path()) }, settings()).await.unwrap();
    let a = Played::joins(&url, "local-0").await;
    a.tells(Up::Logged(vec![line("said to the next")])).await;
    terminal.shows(|text| shows("said to the next")(text) && !text.contains("said now"), "the next ones").await;
    terminal.presses("l").await;
    terminal.shows(|text| text.contains("jobs   0 under way") && !text.contains("logs of"), "the overview").await;
    terminal.presses("q").await;
    terminal.ends_as_it_began().await;
    second.stop().await.unwrap();
}

#[tokio::test]
async fn no_color_means_none() {
    let (state, output, sumac) = (tempdir().unwrap(), tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let mut a = Played::joins(&url, "local-0").await;
    let (_, job) = submit(&url, &spec(output.path())).await;
    a.takes_part(0).await;
    a.says(beat(&job.id, 120)).await;
    for (no_color, is_coloured) in [("", true), ("1", false)] {
        let args = format!("watch {} --coordinator {url}", job.id);
        let Some(mut terminal) = sumac.on_a_terminal(&args, &[("NO_COLOR", no_color)]) else { return };
        terminal.shows(|text| text.contains("D right") && text.contains("running"), "the job").await;
        terminal.presses("q").await;
        let (code, said) = terminal.ends_as_it_began().await;
        let colours = ["\x1b[32m", "\x1b[38;", "\x1b[48;", "\x1b[36m"].into_iter().any(|colour| said.contains(colour));
        assert_eq!((code, colours), (0, is_coloured), "{said:?}");
    }
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_from_the_start_is_told_before_the_terminal_is_taken() {
    let (state, sumac) = (tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let nobody = "watch --coordinator http://127.0.0.1:1".to_owned();
    let unknown = format!("watch eyes --coordinator {}", coordinator.url());
    for (args, code, said) in [(nobody, 3, "cannot reach the coordinator"), (unknown, 1, "no job is called")] {
        let Some(mut terminal) = sumac.on_a_terminal(&args, &[]) else { return };
        soon("its end", async { while terminal.hears().await {} }).await;
        assert!(terminal.said.contains(said) && terminal.said.contains(&format!("ended={code}")), "{}", terminal.said);
        assert!(!terminal.said.contains("\x1b[?1049h"), "{:?}", terminal.said);
    }
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_stdout_that_is_no_terminal_is_exit_2_with_what_scripts_use() {
    let ended = Sumac::new().runs(&["watch"]).await.with(2);
    assert!(ended.stderr.contains("draws on a terminal") && ended.stderr.contains("sumac jobs -o json"), "{ended:?}");
    assert!(ended.stdout.is_empty(), "{ended:?}");
}
