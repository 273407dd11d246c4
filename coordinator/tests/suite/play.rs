//! The players: a coordinator on a free port, workers that say what they are told to, the real binary.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};
use sumac::{
    serve::{Coordinator, Place},
    web::At,
};
use sumac_common::{
    cluster::Settings,
    conversation::{
        End, Ending, Fingerprint, Holding, Incarnation, Opening, Order, Readiness, Report, Seat, Standing, Wish,
    },
    ids::{Digest, Generation, JobId, NodeId, Step, Term},
    spec::{self, Spec},
};
use sumac_proto::{
    Down, Up,
    v1::{
        self, FromWorker, ToWorker, cluster_client::ClusterClient, operator_client::OperatorClient,
        submit_reply::Answer,
    },
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    sync::mpsc,
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

/// A word that does not come within this does not come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Patient with silence, since played workers do not beat, and in no hurry to gather.
pub(crate) fn settings() -> Settings {
    Settings { silent_after: Duration::from_secs(600), gather_for: Duration::ZERO, ..Settings::default() }
}

pub(crate) fn place(state: &Path) -> Place {
    Place { listen: "127.0.0.1:0".parse().unwrap(), state: state.to_owned(), insecure: false, http: At::Off.into() }
}

pub(crate) async fn coordinator(state: &Path) -> Coordinator {
    Coordinator::start(place(state), settings()).await.unwrap()
}

pub(crate) fn job_text(output: &Path) -> String {
    format!(
        r#"
        name = "eyes"
        [data]
        synthetic = "/data/drawn"
        real = "/data/camera"
        image = {{ size = [35, 55], channels = 1 }}
        [model]
        preset = "digits"
        [train]
        steps = 600
        [workers]
        min = 1
        max = 2
        [output]
        dir = {output:?}
        "#
    )
}

pub(crate) fn spec(output: &Path) -> Spec {
    spec::read(&job_text(output), &[]).unwrap_or_else(|faults| panic!("{faults}"))
}

pub(crate) async fn operator(url: &str) -> OperatorClient<Channel> {
    OperatorClient::connect(url.to_owned()).await.unwrap()
}

pub(crate) async fn submit(url: &str, spec: &Spec) -> (v1::Admission, v1::Job) {
    let request = v1::SubmitRequest { spec_toml: spec.to_toml() };
    match operator(url).await.submit(request).await.unwrap().into_inner().answer {
        Some(Answer::Submitted(submitted)) => (submitted.admission(), submitted.job.unwrap()),
        other => panic!("not admitted: {other:?}"),
    }
}

/// The first view of a job that is as wanted.
pub(crate) async fn job_when(url: &str, job: &str, wanted: impl Fn(&v1::Job) -> bool) -> v1::Job {
    let request = v1::WatchJobRequest { job: job.to_owned() };
    let mut views = operator(url).await.watch_job(request).await.unwrap().into_inner();
    soon("the wanted state of the job", async {
        loop {
            let view = views.message().await.unwrap().expect("the job ended without the wanted state");
            if wanted(&view) {
                return view;
            }
        }
    })
    .await
}

pub(crate) fn seat(name: &str, incarnation: u64) -> Seat {
    Seat {
        worker: name.into(),
        incarnation: Incarnation(incarnation),
        node: NodeId("here".to_owned()),
        store: "127.0.0.1:4000".parse().unwrap(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        device: "cpu (played)".to_owned(),
    }
}

pub(crate) fn readiness() -> Readiness {
    let fingerprint = Fingerprint {
        libtorch: "none".to_owned(),
        device: "played".to_owned(),
        instructions: "none".to_owned(),
        threads: 1,
        canary: Digest::of(b"canary"),
    };
    Readiness { data: Digest::of(b"data"), fingerprint, lambda: None }
}

/// In the middle of `generation`, at `step`.
pub(crate) fn engaged(job: &str, generation: u64, step: u64) -> Standing {
    let generation = Generation(generation);
    Standing {
        engaged: Some(generation),
        holds: Some(Holding { generation, step: Step(step) }),
        ..Standing::newcomer(job.into(), readiness())
    }
}

/// A worker that says what the test makes it say.
pub(crate) struct Played {
    up: mpsc::Sender<FromWorker>,
    down: Streaming<ToWorker>,
}

impl Played {
    /// Opens a stream and says this first.
    pub(crate) async fn opens(url: &str, first: Up) -> Result<Self, Status> {
        let (up, said) = mpsc::channel(64);
        up.send(first.into()).await.unwrap();
        let mut client = ClusterClient::connect(url.to_owned()).await.unwrap();
        let down = client.attend(ReceiverStream::new(said)).await?.into_inner();
        Ok(Self { up, down })
    }

    pub(crate) async fn joins(url: &str, name: &str) -> Self {
        let (played, _) = Self::attaches(url, seat(name, 1), None).await;
        played
    }

    pub(crate) async fn attaches(url: &str, seat: Seat, standing: Option<Standing>) -> (Self, Term) {
        let mut played = Self::opens(url, Up::Join { seat, standing }).await.unwrap();
        match played.hears().await {
            Some(Down::Welcome(term)) => (played, term),
            other => panic!("no welcome but {other:?}"),
        }
    }

    pub(crate) async fn says(&self, report: Report) {
        self.tells(Up::Said(report)).await;
    }

    pub(crate) async fn tells(&self, word: Up) {
        self.up.send(word.into()).await.unwrap();
    }

    /// To whoever listens; where nobody does any more, its next word tells.
    pub(crate) async fn calls_out(&self, word: impl Into<FromWorker>) {
        let _ = self.up.send(word.into()).await;
    }

    /// The next word; `None` where the stream ends.
    pub(crate) async fn hears(&mut self) -> Option<Down> {
        let message = soon("a word for the worker", self.down.message()).await;
        message.unwrap_or(None).map(|message| message.try_into().unwrap())
    }

    pub(crate) async fn hears_order(&mut self) -> Order {
        match self.hears().await {
            Some(Down::Told(order)) => order,
            other => panic!("no order but {other:?}"),
        }
    }

    pub(crate) async fn is_prepared(&mut self) -> (JobId, Spec) {
        match self.hears_order().await {
            Order::Prepare { job, spec } => (job, *spec),
            other => panic!("no Prepare but {other:?}"),
        }
    }

    pub(crate) async fn is_opened(&mut self) -> Opening {
        match self.hears_order().await {
            Order::Open(opening) => *opening,
            other => panic!("no Open but {other:?}"),
        }
    }

    pub(crate) async fn hears_wish(&mut self) -> Wish {
        match self.hears_order().await {
            Order::Wish { wish, .. } => wish,
            other => panic!("no Wish but {other:?}"),
        }
    }

    /// From Prepare to a generation that is entered at `step`.
    pub(crate) async fn takes_part(&mut self, step: u64) -> Opening {
        let (job, _) = self.is_prepared().await;
        self.says(Report::Ready { job: job.clone(), readiness: readiness() }).await;
        let opening = self.is_opened().await;
        self.says(Report::Entered { job, generation: opening.generation, step: Step(step), redone: 0 }).await;
        opening
    }

    pub(crate) async fn ends(&self, opening: &Opening, step: u64, ending: Ending) {
        let Opening { job, generation, .. } = opening.clone();
        self.says(Report::Ended { job, end: End { generation, step: Step(step), ending } }).await;
    }
}

/// The real binary, in a folder of its own, with nothing of this machine's settings.
pub(crate) struct Sumac {
    pub folder: tempfile::TempDir,
}

impl Sumac {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn job_file(&self) -> PathBuf {
        self.file("job.toml", &job_text(&self.folder.path().join("runs")))
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.set_up(Command::new(env!("CARGO_BIN_EXE_sumac")), args)
    }

    /// Begun by another program: its words come before those of the command.
    pub(crate) fn command_by(&self, another: &[&str], args: &[&str]) -> Command {
        let mut command = Command::new(another[0]);
        command.args(&another[1..]).arg(env!("CARGO_BIN_EXE_sumac"));
        self.set_up(command, args)
    }

    fn set_up(&self, mut command: Command, args: &[&str]) -> Command {
        command.args(args).current_dir(self.folder.path()).kill_on_drop(true);
        for name in ["COORDINATOR", "STATE_DIR", "LISTEN", "HTTP", "INSECURE", "WORKER_BIN", "LOG"] {
            command.env_remove(format!("SUMAC_{name}"));
        }
        for name in ["RUST_LOG", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        command.env("SUMAC_HTTP", "127.0.0.1:0");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) async fn runs(&self, args: &[&str]) -> Ended {
        Ended::from(soon("the end of sumac", self.command(args).output()).await.unwrap())
    }

    pub(crate) async fn at(&self, url: &str, args: &[&str]) -> Ended {
        self.runs(&[args, &["--coordinator", url]].concat()).await
    }

    pub(crate) fn starts(&self, command: &mut Command) -> Running {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Running { child, lines, said: String::new() }
    }
}

#[derive(Debug)]
pub(crate) struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ended {
    #[track_caller]
    pub(crate) fn with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// One that goes on until it is told otherwise.
pub(crate) struct Running {
    pub child: Child,
    pub(crate) lines: Lines<BufReader<ChildStdout>>,
    said: String,
}

impl Running {
    /// What follows this label on the line that begins with it.
    pub(crate) async fn says(&mut self, label: &str) -> String {
        loop {
            let line = soon(label, self.lines.next_line()).await.unwrap();
            let Some(line) = line else { panic!("it ended before it said `{label}`: {}", self.rest().await) };
            self.said.push_str(&line);
            self.said.push('\n');
            if let Some(text) = line.trim_start().strip_prefix(label) {
                return text.trim().to_owned();
            }
        }
    }

    /// The coordinator's URL; that of its HTTP port comes after it.
    pub(crate) async fn serves(&mut self) -> String {
        let line = self.says("serving").await;
        line.split_whitespace().next().unwrap_or_default().to_owned()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    pub(crate) async fn ends(mut self) -> Ended {
        let status = soon("its end", self.child.wait()).await.unwrap();
        let mut stdout = std::mem::take(&mut self.said);
        while let Ok(Some(line)) = self.lines.next_line().await {
            stdout.push_str(&line);
            stdout.push('\n');
        }
        Ended { code: status.code(), stdout, stderr: self.rest().await }
    }

    async fn rest(&mut self) -> String {
        let mut text = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            soon("the end of stderr", stderr.read_to_string(&mut text)).await.unwrap();
        }
        text
    }
}
