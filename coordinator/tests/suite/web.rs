//! The HTTP port, over real sockets: probes, the page for Prometheus, whoever means harm.

use crate::{
    command_line::beat,
    play::{
        PATIENCE, Played, Sumac, coordinator, job_when, operator, place, readiness, seat, settings, soon, spec, submit,
    },
    refining::{self, refinement},
};
use std::{collections::BTreeSet, net::SocketAddr, path::Path, time::Duration};
use sumac::{
    serve::{Coordinator, NotServing, Place},
    web::{
        At, Limits, Port,
        metrics::{FAMILIES, Family, Kind},
    },
};
use sumac_common::{
    checkpoint::Saved,
    conversation::{Beat, Doing, Report},
    evaluation::{self, Evaluation, Labelled},
    ids::{Digest, Generation, Step},
    leases::{Receipt, Shard},
    losses::{Losses, Mean},
    pace::{Shares, Times},
    piecework::Piecework,
    spec::{Device, ImageShape, Resize, Workers},
    vitals::{Gpu, Vitals},
};
use sumac_proto::v1;
use tempfile::tempdir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const HERE: &str = "127.0.0.1:0";

fn with_web(state: &Path, limits: Limits) -> Place {
    let at = At::Exactly(HERE.parse().unwrap());
    Place { http: Port { at, limits }, ..place(state) }
}

async fn serving(state: &Path, limits: Limits) -> (Coordinator, Visitor) {
    let coordinator = Coordinator::start(with_web(state, limits), settings()).await.unwrap();
    let visitor = Visitor::of(&coordinator.web_url().unwrap());
    (coordinator, visitor)
}

/// A very small HTTP client.
pub(crate) struct Visitor {
    address: SocketAddr,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Visitor {
    pub(crate) fn of(url: &str) -> Self {
        Self { address: url.strip_prefix("http://").unwrap().parse().unwrap() }
    }

    async fn connects(&self) -> TcpStream {
        soon("a connection", TcpStream::connect(self.address)).await.unwrap()
    }

    /// Sends this, and returns what comes until the connection is closed.
    async fn says(&self, request: &[u8]) -> Answer {
        let mut stream = self.connects().await;
        // A server that has read enough may hang up before it has read all.
        let _ = stream.write_all(request).await;
        Answer::of(&rest_of(&mut stream).await)
    }

    async fn gets(&self, path: &str) -> Answer {
        self.gets_as(path, "*/*").await
    }

    async fn gets_as(&self, path: &str, accept: &str) -> Answer {
        let head = format!("GET {path} HTTP/1.1\r\nhost: sumac\r\naccept: {accept}\r\nconnection: close\r\n\r\n");
        self.says(head.as_bytes()).await
    }

    pub(crate) async fn scrapes(&self) -> Samples {
        let answer = self.gets("/metrics").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Samples(answer.body)
    }

    /// The first page that is as wanted.
    async fn scrapes_when(&self, what: &str, wanted: impl Fn(&Samples) -> bool) -> Samples {
        soon(what, async {
            loop {
                let samples = self.scrapes().await;
                if wanted(&samples) {
                    return samples;
                }
            }
        })
        .await
    }
}

async fn rest_of(stream: &mut TcpStream) -> Vec<u8> {
    let mut text = Vec::new();
    // One that is reset has said all it will say.
    let _ = soon("the end of the answer", stream.read_to_end(&mut text)).await;
    text
}

impl Answer {
    fn of(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }
}

/// A page of metrics.
#[derive(Debug)]
pub(crate) struct Samples(String);

impl Samples {
    /// Of the series that is written so: its name and its labels as they stand there.
    pub(crate) fn value(&self, series: &str) -> Option<f64> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(line.parse().unwrap())
    }

    fn has(&self, series: &str) -> bool {
        self.value(series).is_some()
    }

    /// Names of all samples.
    fn names(&self) -> BTreeSet<&str> {
        let samples = self.0.lines().filter(|line| !line.starts_with('#'));
        samples.filter_map(|line| line.split(['{', ' ']).next()).collect()
    }
}

#[tokio::test]
async fn a_coordinator_that_answers_is_alive_and_ready() {
    let state = tempdir().unwrap();
    let (coordinator, visitor) = serving(state.path(), Limits::default()).await;
    for path in ["/healthz", "/readyz"] {
        let answer = visitor.gets(path).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"), "{path}");
    }
    assert_eq!(visitor.gets("/elsewhere").await.status, 404);
    let posted =
        visitor.says(b"POST /healthz HTTP/1.1\r\nhost: sumac\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    assert_eq!(posted.await.status, 405, "nothing can be ordered here");
    coordinator.stop().await.unwrap();
    assert!(TcpStream::connect(visitor.address).await.is_err(), "a stopped coordinator leaves no door open");
}

#[tokio::test]
async fn one_whose_disk_refuses_is_alive_and_not_ready_and_says_why() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let sumac = Sumac::new();
    let mut serve = sumac.starts(&mut sumac.command(&["serve", "--listen", HERE]));
    let line = serve.says("serving").await;
    let (url, web) = line.split_once("   web ").unwrap();
    let visitor = Visitor::of(web);
    let pid = Pid::from_raw(i32::try_from(serve.child.id().unwrap()).unwrap());
    let limit_files = |bytes| prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();

    limit_files(Some(0));
    let text = spec(&sumac.folder.path().join("runs")).to_toml();
    let refused = operator(url).await.submit(v1::SubmitRequest { spec_toml: text }).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{refused:?}");
    let ready = visitor.gets("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("its state cannot be saved"), "{ready:?}");
    assert_eq!(visitor.gets("/healthz").await.status, 200, "a disk that fails is no reason to start it anew");
    assert_eq!(visitor.scrapes().await.value("sumac_ready"), Some(0.0));

    limit_files(None);
    visitor.scrapes_when("a disk that is mended", |samples| samples.value("sumac_ready") == Some(1.0)).await;
    assert_eq!(visitor.gets("/readyz").await.status, 200);
}

/// A beat with all that there is in one.
fn full_beat(job: &str, doing: Doing, step: u64) -> Report {
    let Report::Beat(Some(beat)) = beat(job, step) else { panic!("no beat") };
    let losses = Losses {
        change: Mean::of(4.0, 20),
        right_on_refined: Mean::of(11.0, 20),
        right_on_real: Mean::of(19.0, 20),
        ..beat.losses
    };
    let shares = (doing == Doing::Refining).then_some(Shares { refine: 0.9, ..Shares::default() });
    let times = Times { forward_us: 21_000.0, backward_us: 40_000.0, waiting_us: 22_000.0, ..Times::default() };
    Report::Beat(Some(Beat { doing, losses, shares, times, slow: None, ..beat }))
}

fn an_evaluation(into: &Path) -> Evaluation {
    let labelled = || Labelled { images: "/data/labelled".into(), table: None, columns: vec![] };
    let arm = evaluation::Arm { name: "synthetic".to_owned(), parts: vec![evaluation::Part::Synthetic] };
    Evaluation {
        name: "helps".to_owned(),
        what: evaluation::What {
            data: Digest::of(b"data"),
            task: evaluation::Task::Numbers,
            classes: vec![],
            measure: evaluation::Measure::Error,
            image: ImageShape { channels: 1, height: 35, width: 55 },
            resize: Resize::Exact,
            max_bad: 0.1,
            refiners: vec![],
            arms: vec![arm],
            tested: 100,
            seeds: 2,
            model: evaluation::Downstream { net: evaluation::Net::Small { width: 8 }, updates: 10, batch: 8, shift: 0 },
            threads: 1,
        },
        how: evaluation::How {
            synthetic: labelled(),
            real: "/data/real".into(),
            test: labelled(),
            real_labelled: None,
            validation: None,
            group: None,
            point: vec![],
            runs: vec![],
            destination: into.to_owned(),
            workers: Workers { min: 1, max: 1, device: Device::Auto },
        },
    }
}

/// The page of a cluster in which everything happens: a run that lost a worker and goes on with a checkpoint behind it, a
/// refinement that has some of its shards, an evaluation that waits.
async fn page_of_everything() -> Samples {
    let (openmetrics, _) = pages_of_everything().await;
    openmetrics
}

/// As OpenMetrics, and in the older format.
async fn pages_of_everything() -> (Samples, String) {
    let (state, output) = (tempdir().unwrap(), tempdir().unwrap());
    let (coordinator, visitor) = serving(state.path(), Limits::default()).await;
    let url = coordinator.url();
    let mut a = Played::joins(&url, "a").await;
    let (_, run) = submit(&url, &spec(&output.path().join("run"))).await;
    let id = a.takes_part(0).await.job;
    a.says(full_beat(&run.id, Doing::Training, 120)).await;
    job_when(&url, &run.id, |job| job.step == 120).await;
    operator(&url).await.died(v1::DiedRequest { worker: "a".to_owned(), incarnation: 1 }).await.unwrap();
    let mut b = Played::joins(&url, "b").await;
    b.takes_part(100).await;
    b.says(full_beat(&run.id, Doing::Training, 130)).await;
    let gpu =
        Gpu { name: "H100".to_owned(), busy: 0.9, memory_used: 6, memory_total: 80, temperature: 61, watts: 412.5 };
    b.says(Report::Vitals(Vitals { cores: 16, memory_total: 64, gpus: vec![gpu], ..Vitals::default() })).await;
    let there = vec![Saved { step: Step(130), bytes: 1, at_ms: 0 }];
    b.says(Report::Saved { job: id, step: Step(130), there }).await;

    // The run would take a second worker, too: it has what it wants.
    let scaled = v1::ScaleRequest { job: run.id.clone(), workers_min: 1, workers_max: 1 };
    operator(&url).await.scale(scaled).await.unwrap();
    let wanted = refinement(3, &output.path().join("refined"));
    let (_, refined) = refining::submit(&url, &wanted).await;
    let mut c = Played::joins(&url, "c").await;
    let (id, attempt, shards) = refining::begins(&mut c, &wanted).await;
    let receipt = Receipt { refined: 9, bad: 1, ..refining::receipt(Shard(0)) };
    c.says(Report::Wrote { job: id.clone(), attempt, shard: shards[0], receipt }).await;
    c.says(full_beat(&refined.id, Doing::Refining, 0)).await;
    let work = Piecework::Evaluate(Box::new(an_evaluation(&output.path().join("helps"))));
    operator(&url).await.submit_piecework(v1::SubmitPieceworkRequest { work_json: work.to_json() }).await.unwrap();
    let busy = "sumac_refine_stage_busy_ratio{worker=\"c\",stage=\"refine\"}";
    let saved = format!("sumac_checkpoint_age_seconds{{job=\"{}\"}}", run.id);
    let samples = visitor.scrapes_when("all of it", |samples| samples.has(busy) && samples.has(&saved)).await;
    let older = visitor.gets_as("/metrics", "text/plain").await.body;
    coordinator.stop().await.unwrap();
    (samples, older)
}

/// What the page calls the samples of a family.
fn sample_names(family: &Family) -> Vec<String> {
    match family.kind {
        Kind::Histogram => ["_bucket", "_sum", "_count"].map(|suffix| format!("{}{suffix}", family.name)).to_vec(),
        _ => vec![family.name.to_owned()],
    }
}

#[tokio::test]
async fn every_family_has_its_samples_its_help_and_its_type_and_none_is_unnamed() {
    let page = page_of_everything().await;
    let names = page.names();
    let promised: BTreeSet<String> = FAMILIES.iter().flat_map(sample_names).collect();
    let missing: Vec<_> = promised.iter().filter(|name| !names.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?} are not in\n{}", page.0);
    let unnamed: Vec<_> = names.iter().filter(|name| !promised.contains(**name)).collect();
    assert!(unnamed.is_empty(), "{unnamed:?} are in no family");
    for Family { name, kind, help, .. } in FAMILIES {
        let heading = name.trim_end_matches("_total").trim_end_matches("_info");
        assert!(help.len() > 20 && help.ends_with('.'), "{name}: {help:?} is no sentence");
        assert!(page.0.contains(&format!("# HELP {heading} {help}\n")), "{name}");
        assert!(page.0.contains(&format!("# TYPE {heading} {kind}\n")), "{name}");
    }
    assert!(page.has("sumac_recovery_duration_seconds_bucket{le=\"+Inf\"}"), "{}", page.0);
    assert!(page.0.ends_with("# EOF\n"));
}

#[tokio::test]
async fn what_happened_before_anybody_looked_is_counted() {
    let page = page_of_everything().await;
    let of = |start: &str, end: &str| {
        let line = page.0.lines().find(|line| line.starts_with(start) && line.contains(end));
        line.and_then(|line| line.split(' ').next_back()).map(str::to_owned)
    };
    assert_eq!(of("sumac_train_steps_total{", "}").as_deref(), Some("130"), "{}", page.0);
    assert_eq!(of("sumac_refine_images_total{", "refined").as_deref(), Some("9"));
    assert_eq!(of("sumac_refine_images_total{", "bad").as_deref(), Some("1"));
    assert_eq!(of("sumac_incidents_total{", "died").as_deref(), Some("1"));
}

/// Whatever begins as our names do, in a text.
fn named_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("sumac_") || word.starts_with("process_")).map(str::to_owned).collect()
}

#[tokio::test]
async fn dashboard_alerts_and_manual_name_only_what_is_on_the_page() {
    let page = page_of_everything().await;
    let deployed = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for file in ["deploy/grafana/sumac.json", "deploy/prometheus/alerts.yml", "deploy/prometheus/alerts.test.yml"] {
        let text = std::fs::read_to_string(deployed.join(file)).unwrap();
        let named = named_in(&text);
        assert!(named.len() > 3, "{file} names {named:?}: is it read rightly?");
        let gone: Vec<_> = named.iter().filter(|name| !page.names().contains(name.as_str())).collect();
        assert!(gone.is_empty(), "{file} names {gone:?}, which no coordinator has");
    }
    let dashboard: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(deployed.join("deploy/grafana/sumac.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() >= 12);
    for panel in panels {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
    }
}

/// `make lint-metrics` has a promtool.
#[tokio::test]
#[ignore = "needs promtool, named by PROMTOOL"]
async fn promtool_finds_nothing_wrong_with_the_page() {
    let promtool = std::env::var("PROMTOOL").expect("PROMTOOL names the program");
    let (_, page) = pages_of_everything().await;
    print!("{page}");
    let mut command = tokio::process::Command::new(promtool);
    command.args(["check", "metrics"]).stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut check = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    check.stdin.take().unwrap().write_all(page.as_bytes()).await.unwrap();
    let ended = soon("promtool", check.wait_with_output()).await.unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    assert!(ended.status.success() && said.is_empty(), "{}\n{page}", String::from_utf8_lossy(&said));
}

#[test]
fn the_manual_has_each_metric_as_it_is() {
    let manual = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md")).unwrap();
    let row = |Family { name, kind, labels, help }: &Family| {
        let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        format!("| `{name}` | {kind} | {labels} | {help} |")
    };
    let rows: Vec<String> = FAMILIES.iter().map(row).collect();
    let of_a_metric = |line: &&str| ["| `sumac_", "| `process_"].iter().any(|start| line.starts_with(start));
    let there: Vec<&str> = manual.lines().filter(of_a_metric).collect();
    assert!(there == rows, "docs/metrics.md is to have these rows, and no others:\n{}", rows.join("\n"));
}

#[tokio::test]
async fn a_counter_does_not_fall_when_steps_are_done_again() {
    let (state, output) = (tempdir().unwrap(), tempdir().unwrap());
    let (coordinator, visitor) = serving(state.path(), Limits::default()).await;
    let url = coordinator.url();
    let mut a = Played::joins(&url, "a").await;
    let (_, job) = submit(&url, &spec(output.path())).await;
    let steps = format!("sumac_train_steps_total{{job=\"{}\"}}", job.id);
    let repeated = format!("sumac_steps_repeated_total{{job=\"{}\"}}", job.id);
    let stands = format!("sumac_train_step{{job=\"{}\"}}", job.id);
    a.takes_part(0).await;
    a.says(beat(&job.id, 120)).await;
    let before = visitor.scrapes_when("120 steps", |samples| samples.value(&stands) == Some(120.0)).await;
    assert_eq!((before.value(&steps), before.value(&repeated)), (Some(120.0), Some(0.0)));

    operator(&url).await.died(v1::DiedRequest { worker: "a".to_owned(), incarnation: 1 }).await.unwrap();
    assert_eq!(visitor.scrapes().await.value(&steps), Some(120.0), "what is done is done, whoever died");
    let mut b = Played::joins(&url, "b").await;
    let (prepared, _) = b.is_prepared().await;
    b.says(Report::Ready { job: prepared.clone(), readiness: readiness() }).await;
    let generation = b.is_opened().await.generation;
    b.says(Report::Entered { job: prepared, generation, step: Step(100), redone: 20 }).await;
    let back = visitor.scrapes_when("the fall", |samples| samples.value(&stands) == Some(100.0)).await;
    assert_eq!((back.value(&steps), back.value(&repeated)), (Some(120.0), Some(20.0)));
    let Report::Beat(Some(later)) = beat(&job.id, 130) else { panic!("no beat") };
    b.says(Report::Beat(Some(Beat { generation: Generation(2), ..later }))).await;
    let after = visitor.scrapes_when("130 steps", |samples| samples.value(&stands) == Some(130.0)).await;
    assert_eq!((after.value(&steps), after.value(&repeated)), (Some(150.0), Some(20.0)));
    assert_eq!(after.value("sumac_incidents_total{class=\"died\"}"), Some(1.0));
    assert_eq!(after.value("sumac_recovery_duration_seconds_count"), Some(1.0));
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn what_an_earlier_coordinator_counted_is_no_increase_of_this_one() {
    let (state, output) = (tempdir().unwrap(), tempdir().unwrap());
    let first = coordinator(state.path()).await;
    let mut a = Played::joins(&first.url(), "a").await;
    let (_, job) = submit(&first.url(), &spec(output.path())).await;
    let id = a.takes_part(0).await.job;
    a.says(Report::Saved { job: id, step: Step(70), there: vec![] }).await;
    job_when(&first.url(), &job.id, |job| job.saved == Some(70)).await;
    operator(&first.url()).await.died(v1::DiedRequest { worker: "a".to_owned(), incarnation: 1 }).await.unwrap();
    let mut b = Played::joins(&first.url(), "b").await;
    b.takes_part(70).await;
    job_when(&first.url(), &job.id, |job| job.facts.iter().any(|fact| fact.class == "incident")).await;
    first.stop().await.unwrap();

    let (second, visitor) = serving(state.path(), Limits::default()).await;
    let standing = crate::play::engaged(&job.id, 2, 90);
    let (b, _) = Played::attaches(&second.url(), seat("b", 1), Some(standing)).await;
    let steps = format!("sumac_train_steps_total{{job=\"{}\"}}", job.id);
    let stands = format!("sumac_train_step{{job=\"{}\"}}", job.id);
    let beat = |step| {
        let Report::Beat(Some(beat)) = beat(&job.id, step) else { panic!("no beat") };
        Report::Beat(Some(Beat { generation: Generation(2), ..beat }))
    };
    b.says(beat(90)).await;
    let found = visitor.scrapes_when("90 steps", |samples| samples.value(&stands) == Some(90.0)).await;
    assert_eq!(found.value(&steps), Some(0.0));
    assert_eq!(found.value("sumac_incidents_total{class=\"died\"}"), Some(0.0));
    assert!(
        found.has(&format!("sumac_checkpoint_age_seconds{{job=\"{}\"}}", job.id)),
        "its journal says when that was"
    );
    b.says(beat(95)).await;
    visitor.scrapes_when("5 more", |samples| samples.value(&steps) == Some(5.0)).await;
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_worker_may_call_itself_anything() {
    let state = tempdir().unwrap();
    let (coordinator, visitor) = serving(state.path(), Limits::default()).await;
    let _a = Played::joins(&coordinator.url(), "a\"} 1\nsumac_forged{worker=\"\\").await;
    let _b = Played::joins(&coordinator.url(), &"b".repeat(100_000)).await;
    let page = visitor.scrapes().await;
    assert!(!page.names().contains("sumac_forged"), "{}", page.0);
    let series = r#"sumac_worker_state{worker="a\"} 1\nsumac_forged{worker=\"\\",node="here",state="idle"}"#;
    assert!(page.has(series), "{}", page.0);
    assert!(!page.0.contains("bbbb") && page.value("sumac_workers{state=\"idle\"}") == Some(2.0));
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn calls_are_counted_by_method_and_code() {
    let state = tempdir().unwrap();
    let (coordinator, visitor) = serving(state.path(), Limits::default()).await;
    let url = coordinator.url();
    let mut people = operator(&url).await;
    people.list_jobs(v1::ListJobsRequest {}).await.unwrap();
    people.list_jobs(v1::ListJobsRequest {}).await.unwrap();
    people.watch_job(v1::WatchJobRequest { job: "nobody".to_owned() }).await.unwrap_err();
    let series =
        |method: &str, code| format!("sumac_rpc_requests_total{{method=\"sumac.v1.{method}\",code=\"{code}\"}}");
    visitor
        .scrapes_when("three calls", |samples| {
            samples.value(&series("Operator/ListJobs", "ok")) == Some(2.0)
                && samples.value(&series("Operator/WatchJob", "not-found")) == Some(1.0)
        })
        .await;
    let attend = series("Cluster/Attend", "cancelled");
    let a = Played::joins(&url, "a").await;
    assert!(!visitor.scrapes().await.has(&attend), "a stream that stands has not ended");
    drop(a);
    visitor.scrapes_when("the end of a stream", |samples| samples.0.contains("sumac.v1.Cluster/Attend")).await;
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn who_does_not_know_openmetrics_gets_the_older_format() {
    let state = tempdir().unwrap();
    let (coordinator, visitor) = serving(state.path(), Limits::default()).await;
    operator(&coordinator.url()).await.list_jobs(v1::ListJobsRequest {}).await.unwrap();
    visitor.scrapes_when("a call", |samples| samples.0.contains("ListJobs")).await;
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    let answer = visitor.gets_as("/metrics", prometheus).await;
    assert!(answer.head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{}", answer.head);
    let older = visitor.gets_as("/metrics", "text/plain").await;
    assert!(older.head.contains("content-type: text/plain; version=0.0.4"), "{}", older.head);
    for heading in ["# TYPE sumac_rpc_requests_total counter\n", "# TYPE sumac_build_info gauge\n"] {
        assert!(older.body.contains(heading), "{}", older.body);
    }
    assert!(!older.body.contains("EOF") && answer.body.contains("# TYPE sumac_rpc_requests counter\n"));
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn further_routes_are_served_beside_the_probes() {
    let state = tempdir().unwrap();
    let (coordinator, visitor) = serving(state.path(), Limits::default()).await;
    let lost = visitor.gets("/").await;
    assert!(
        lost.status == 404 && lost.body.contains("/metrics") && lost.body.contains("sumac dashboard"),
        "{}",
        lost.body
    );
    let hello = axum::Router::new().route("/", axum::routing::get(async || "hello"));
    coordinator.mount(hello);
    assert_eq!(visitor.gets("/").await.body, "hello");
    assert_eq!(visitor.gets("/healthz").await.status, 200);
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn without_an_http_port_there_is_none() {
    let state = tempdir().unwrap();
    let coordinator = coordinator(state.path()).await;
    assert_eq!(coordinator.web_url(), None);
    coordinator.mount(axum::Router::new());
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn an_http_port_that_is_taken_leaves_the_state_untouched() {
    let state = tempdir().unwrap();
    let taken = tokio::net::TcpListener::bind(HERE).await.unwrap();
    let at = taken.local_addr().unwrap();
    let http = At::Exactly(at).into();
    let refused = Coordinator::start(Place { http, ..place(state.path()) }, settings()).await.err();
    assert!(matches!(refused, Some(NotServing::HttpTaken(address)) if address == at), "{refused:?}");
    assert!(!state.path().join("state.db").exists());
    // Where it is only the usual one, another does.
    let http = At::Rather(at).into();
    let coordinator = Coordinator::start(Place { http, ..place(state.path()) }, settings()).await.unwrap();
    let visitor = Visitor::of(&coordinator.web_url().unwrap());
    assert_ne!(visitor.address, at);
    assert_eq!(visitor.gets("/healthz").await.status, 200);
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn serve_says_where_its_http_port_is() {
    let (one, other) = (Sumac::new(), Sumac::new());
    let serve = |sumac: &Sumac| {
        let mut command = sumac.command(&["serve", "--listen", HERE]);
        command.env_remove("SUMAC_HTTP");
        sumac.starts(&mut command)
    };
    // One of them at most has the usual port.
    let (mut first, mut second) = (serve(&one), serve(&other));
    for serve in [&mut first, &mut second] {
        let line = serve.says("serving").await;
        let (_, web) = line.split_once("   web ").unwrap_or_else(|| panic!("{line}"));
        assert_eq!(Visitor::of(web).gets("/healthz").await.body, "ok\n");
    }
    let off = Sumac::new();
    let mut silent = off.starts(&mut off.command(&["serve", "--listen", HERE, "--http", "off"]));
    assert!(!silent.says("serving").await.contains("web"));
}

#[tokio::test]
async fn an_http_port_that_was_asked_for_and_is_taken_is_an_error_with_a_remedy() {
    let taken = std::net::TcpListener::bind(HERE).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = Sumac::new().runs(&["serve", "--listen", HERE, "--http", &address]).await.with(1);
    assert!(ended.stderr.contains("for HTTP, is taken") && ended.stderr.contains("--http 127.0.0.1:0"), "{ended:?}");
}

#[tokio::test]
async fn an_http_port_beyond_this_machine_needs_a_word() {
    let ended = Sumac::new().runs(&["serve", "--listen", HERE, "--http", "0.0.0.0:0"]).await.with(2);
    assert!(ended.stderr.contains("can be reached from other machines"), "{ended:?}");
    let nonsense = Sumac::new().runs(&["serve", "--http", "everywhere"]).await.with(2);
    assert!(nonsense.stderr.contains("127.0.0.1:7071, or off"), "{nonsense:?}");
}

/// Many of their sides are in this process.
pub(crate) fn allow_many_connections() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

#[tokio::test]
async fn a_thousand_connections_hurt_nobody() {
    allow_many_connections();
    let state = tempdir().unwrap();
    let limits = Limits { connections: 50, ..Limits::default() };
    let (coordinator, visitor) = serving(state.path(), limits).await;
    let mut crowd = Vec::new();
    for _ in 0..1_000 {
        crowd.push(visitor.connects().await);
    }
    // Those that are too many are sent away; the last one among them.
    assert_eq!(rest_of(crowd.last_mut().unwrap()).await, b"");
    let _a = Played::joins(&coordinator.url(), "a").await;
    operator(&coordinator.url()).await.list_jobs(v1::ListJobsRequest {}).await.unwrap();
    drop(crowd);
    soon("a place at the door", async { while visitor.gets("/healthz").await.status != 200 {} }).await;
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn who_is_slow_to_say_what_it_wants_is_hung_up_on() {
    let state = tempdir().unwrap();
    let limits = Limits { head_within: Duration::from_millis(50), ..Limits::default() };
    let (coordinator, visitor) = serving(state.path(), limits).await;
    let mut silent = visitor.connects().await;
    let mut half = visitor.connects().await;
    half.write_all(b"GET /metrics HTTP/1.1\r\nhost: su").await.unwrap();
    let mut satisfied = visitor.connects().await;
    satisfied.write_all(b"GET /healthz HTTP/1.1\r\nhost: sumac\r\n\r\n").await.unwrap();
    assert!(rest_of(&mut silent).await.is_empty());
    assert!(!String::from_utf8_lossy(&rest_of(&mut half).await).contains("200 OK"));
    let kept_open = rest_of(&mut satisfied).await;
    assert!(kept_open.ends_with(b"ok\n"), "answered, and then hung up on: {kept_open:?}");
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_visitor_that_takes_nothing_of_its_answers_is_hung_up_on() {
    let state = tempdir().unwrap();
    let limits = Limits { connections: 1, stalled_after: Duration::from_millis(200), ..Limits::default() };
    let (coordinator, visitor) = serving(state.path(), limits).await;
    let mut greedy = visitor.connects().await;
    // More answers than all buffers hold: the server has to wait, and the requests behind it, too.
    let ask = async {
        let requests = b"GET /metrics HTTP/1.1\r\nhost: sumac\r\n\r\n".repeat(1_000);
        while greedy.write_all(&requests).await.is_ok() {}
    };
    soon("the end of its patience", ask).await;
    soon("a place at the door", async { while visitor.gets("/healthz").await.status != 200 {} }).await;
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let state = tempdir().unwrap();
    let (coordinator, visitor) = serving(state.path(), Limits::default()).await;
    let huge = format!("GET /healthz HTTP/1.1\r\nhost: sumac\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    let refused = visitor.says(huge.as_bytes()).await.status;
    assert!(refused == 431 || refused == 0, "told, or hung up on in the midst of it: {refused}");
    let many = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(100));
    assert_eq!(visitor.says(many.as_bytes()).await.status, 431);
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20));
    let refused = visitor.says(long.as_bytes()).await.status;
    assert!([414, 431, 0].contains(&refused), "{refused}");
    let announced = visitor.says(b"GET /healthz HTTP/1.1\r\nhost: sumac\r\ncontent-length: 99999999999\r\n\r\n").await;
    assert_eq!(announced.status, 413);

    // Of a body without end, who reads it gets so much and no more.
    let eats = axum::routing::post(async |body: axum::body::Bytes| body.len().to_string());
    coordinator.mount(axum::Router::new().route("/eats", eats));
    let head = b"POST /eats HTTP/1.1\r\nhost: sumac\r\ntransfer-encoding: chunked\r\n\r\n".as_slice();
    let endless =
        [head, &b"400\r\n".iter().chain(&[b'x'; 1024]).chain(b"\r\n").copied().collect::<Vec<_>>().repeat(1_024)];
    let refused = visitor.says(&endless.concat()).await.status;
    assert!(refused == 413 || refused == 0, "{refused}");
    let nonsense = visitor.says(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await;
    assert!(nonsense.status == 400 || nonsense.status == 0, "{nonsense:?}");
    assert_eq!(visitor.gets("/healthz").await.status, 200);
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_coordinator_stops_although_somebody_is_in_the_midst_of_an_answer() {
    let state = tempdir().unwrap();
    let limits = Limits { farewell: Duration::from_millis(50), ..Limits::default() };
    let (coordinator, visitor) = serving(state.path(), limits).await;
    let never = axum::routing::get(async || std::future::pending::<&'static str>().await);
    coordinator.mount(axum::Router::new().route("/never", never));
    let mut waiting = visitor.connects().await;
    waiting.write_all(b"GET /never HTTP/1.1\r\nhost: sumac\r\n\r\n").await.unwrap();
    tokio::time::timeout(PATIENCE, coordinator.stop()).await.unwrap().unwrap();
    assert!(rest_of(&mut waiting).await.is_empty());
}
