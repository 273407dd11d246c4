//! What a page of the dashboard is told, and who is let in: the real program, over plain HTTP, beside played workers.

use crate::{
    command_line::beat,
    play::{Played, Running, Sumac, coordinator, job_when, operator, place, settings, soon, spec, submit},
};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};
use sumac::serve::{Coordinator, Place};
use sumac_common::{conversation::Report, ids::Step, spec::ImageShape};
use sumac_data::{
    captions::{self, Caption, Captions},
    grid::grid_png,
};
use sumac_proto::v1;
use tempfile::tempdir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::TcpStream,
};

/// `sumac dashboard` of this coordinator, and where it is: `127.0.0.1:PORT`.
pub(crate) async fn dashboard(sumac: &Sumac, url: &str) -> (Running, String) {
    let mut running = sumac.starts(&mut sumac.command(&["dashboard", "--port", "0", "--coordinator", url]));
    let shown = running.says("dashboard").await;
    let address = shown.trim_start_matches("http://").trim_end_matches('/').to_owned();
    (running, address)
}

/// The sheet of samples that a run of [`spec`] would leave at a step: black, white and grey.
pub(crate) fn leave_samples(output: &Path, step: u64) {
    let image = ImageShape { channels: 1, height: 35, width: 55 };
    let columns = [-1.0, 1.0, 0.0].map(|tone| vec![tone; 3 * image.len()]);
    let png = grid_png(image, &columns.each_ref().map(Vec::as_slice)).unwrap();
    let samples = output.join("samples");
    fs::create_dir_all(&samples).unwrap();
    fs::write(samples.join(format!("step-{step:09}.png")), png).unwrap();
}

/// What the labels of these samples say: where the pupil is, and how the eye is; in an order of their own.
pub(crate) fn leave_labels(output: &Path) {
    let label = |number: u64, lid: &str| Caption {
        key: format!("{number:06}.png"),
        size: (55, 35),
        fields: [("lid", lid), ("pupil", "[13.25, 17.0]")]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .to_vec(),
    };
    let images = vec![label(0, "open"), label(7, "<b>shut</b>"), label(14, "half")];
    fs::write(output.join(captions::FILE), serde_json::to_vec(&Captions { images }).unwrap()).unwrap();
}

/// `metrics.jsonl` as workers write it, of so many steps.
pub(crate) fn leave_metrics(output: &Path, steps: u64) {
    let line = |step: u64| match step % 2 {
        0 => format!(
            "{{\"step\":{step},\"phase\":\"refiner\",\"refiner\":0.5,\"realism\":0.4,\"regularisation\":0.2,\"change\":0.1}}\n"
        ),
        _ => format!(
            "{{\"step\":{step},\"phase\":\"discriminator\",\"discriminator\":0.65,\"accuracy_on_refined\":0.5,\"accuracy_on_real\":0.54}}\n"
        ),
    };
    fs::create_dir_all(output).unwrap();
    fs::write(output.join("metrics.jsonl"), (0..steps).map(line).collect::<String>()).unwrap();
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

/// One request with this first line and Host.
async fn asked(address: &str, line: &str, host: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{line} HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    soon("an answer", stream.read_to_end(&mut bytes)).await.unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: bytes[end + 4..].to_vec() }
}

/// What a page is told.
pub(crate) struct Stream {
    lines: Lines<BufReader<TcpStream>>,
}

impl Stream {
    pub(crate) async fn of(address: &str, path: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await.unwrap();
        Self { lines: BufReader::new(stream).lines() }
    }

    /// The next of this part that is as wanted.
    pub(crate) async fn tells(&mut self, part: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = None;
        let told = async {
            let mut named = String::new();
            loop {
                let line = self.lines.next_line().await.unwrap().expect("the stream goes on");
                if let Some(name) = line.strip_prefix("event: ") {
                    named = name.to_owned();
                } else if let Some(json) = line.strip_prefix("data: ").filter(|_| named == part) {
                    let value: Value = serde_json::from_str(json).unwrap();
                    if wanted(&value) {
                        return value;
                    }
                    last = Some(value);
                }
            }
        };
        match tokio::time::timeout(crate::play::PATIENCE, told).await {
            Ok(told) => told,
            Err(_) => panic!("{part} was not told as wanted, but {last:#?}"),
        }
    }
}

#[tokio::test]
async fn a_page_is_told_what_json_says_and_a_death_within_a_second() {
    let (state, output, sumac) = (tempdir().unwrap(), tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let mut a = Played::joins(&url, "local-0").await;
    let (_, job) = submit(&url, &spec(output.path())).await;
    a.takes_part(0).await;
    a.says(beat(&job.id, 120)).await;
    job_when(&url, &job.id, |job| job.step == 120).await;
    let (dashboard, address) = dashboard(&sumac, &url).await;
    let mut stream = Stream::of(&address, &format!("/told/{}", job.id)).await;

    let here = stream.tells("coordinator", |_| true).await;
    assert_eq!(
        (&here["apiVersion"], &here["state"], &here["url"]),
        (&"sumac/v1".into(), &"here".into(), &url.clone().into())
    );
    let workers = stream.tells("workers", |_| true).await;
    assert_eq!((&workers["items"][0]["name"], &workers["items"][0]["presence"]), (&"local-0".into(), &"here".into()));

    let jobs = stream.tells("jobs", |_| true).await;
    let mut as_json = sumac.at(&url, &["jobs", "-o", "json"]).await.with(0).json();
    as_json["items"][0]["age_seconds"] = jobs["items"][0]["age_seconds"].clone();
    assert_eq!(jobs, as_json, "one schema for scripts and pages");

    let told = stream.tells("job", |_| true).await;
    assert_eq!(
        (&told["id"], &told["unit"], &told["lambda"]),
        (&job.id.clone().into(), &"step".into(), &told["lambda"])
    );
    assert_eq!(told["timeline"][0]["workers"], serde_json::json!(["local-0"]));
    // It has no folder yet: what was heard is drawn.
    let curves = stream.tells("curves", |curves| !curves["step"].as_array().unwrap().is_empty()).await;
    assert_eq!((&curves["source"], &curves["step"]), (&"beats".into(), &serde_json::json!([120])));

    a.says(beat(&job.id, 121)).await;
    stream.tells("job", |job| job["step"] == 121).await;
    let died = Instant::now();
    operator(&url).await.died(v1::DiedRequest { worker: "local-0".to_owned(), incarnation: 1 }).await.unwrap();
    let workers = stream.tells("workers", |workers| workers["items"][0]["presence"] == "lost").await;
    assert!(died.elapsed() < Duration::from_secs(1), "told after {:?}", died.elapsed());
    assert_eq!(workers["items"][0]["cause"], "its process ended");
    // What became of it is known once others have gone on.
    let mut b = Played::joins(&url, "local-1").await;
    b.takes_part(0).await;
    stream
        .tells("events", |events| events["items"].as_array().unwrap().iter().any(|fact| fact["class"] == "incident"))
        .await;

    dashboard.signal(Signal::INT);
    dashboard.ends().await.with(0);
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn curves_and_pictures_come_from_the_folder_of_the_run() {
    let (state, output, sumac) = (tempdir().unwrap(), tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let mut a = Played::joins(&url, "a").await;
    let (_, job) = submit(&url, &spec(output.path())).await;
    let opening = a.takes_part(0).await;
    leave_metrics(output.path(), 1_000);
    leave_samples(output.path(), 50);
    let (_running, address) = dashboard(&sumac, &url).await;
    let mut stream = Stream::of(&address, &format!("/told/{}", job.id)).await;
    let curves = stream.tells("curves", |curves| curves["source"] == "metrics").await;
    let values = |line: &str| curves[line].as_array().unwrap().iter().filter_map(Value::as_f64).collect::<Vec<_>>();
    assert_eq!((&curves["width"], values("step").last()), (&8.into(), Some(&999.0)));
    assert!(values("refiner").iter().all(|value| *value == 0.5) && values("accuracy_on_real").len() == 125);

    let pictures = stream.tells("pictures", |_| true).await;
    assert_eq!(
        pictures["sheet"],
        serde_json::json!({"width": 110, "height": 70, "lefts": [2, 118, 234], "top": 2, "pitch": 72})
    );
    assert_eq!(pictures["sheets"][0]["step"], 50);
    let file = pictures["sheets"][0]["file"].as_str().unwrap();
    let png = asked(&address, &format!("GET /pictures/{}/{file}", job.id), &address).await;
    assert_eq!((png.status, &png.body[1..4]), (200, b"PNG".as_slice()));
    assert!(png.head.contains("content-type: image/png"), "{}", png.head);
    for other in ["grid.png", "step-000000060.png", "..%2fmetrics.jsonl", "metrics.jsonl"] {
        assert_eq!(
            asked(&address, &format!("GET /pictures/{}/{other}", job.id), &address).await.status,
            404,
            "{other}"
        );
    }

    leave_labels(output.path());
    let pictures = stream.tells("pictures", |pictures| !pictures["labels"].is_null()).await;
    let (points, first) = (&pictures["labels"]["points"], &pictures["labels"]["images"][0]);
    assert_eq!((points, &first["points"]), (&serde_json::json!(["pupil"]), &serde_json::json!([[0.25, 0.5]])));
    assert_eq!((&first["text"], &first["said"]), (&"lid open".into(), &"lid open".into()));
    assert_eq!(pictures["labels"]["images"].as_array().map(Vec::len), Some(3));

    leave_samples(output.path(), 100);
    leave_metrics(output.path(), 1_001);
    stream.tells("pictures", |pictures| pictures["sheets"].as_array().unwrap().len() == 2).await;
    a.says(Report::Saved { job: opening.job, step: Step(100), there: vec![] }).await;
    let saved = |fact: &Value| fact["what"] == "checkpoint at step 100 saved";
    stream.tells("job", |job| job["facts"].as_array().is_some_and(|facts| facts.iter().any(saved))).await;
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_coordinator_that_is_away_is_said_to_be_and_found_again() {
    let (state, sumac) = (tempdir().unwrap(), Sumac::new());
    let first = coordinator(state.path()).await;
    let (listen, url) = (first.address(), first.url());
    let (_running, address) = dashboard(&sumac, &url).await;
    let mut stream = Stream::of(&address, "/told").await;
    let term = stream.tells("coordinator", |known| known["state"] == "here").await["term"].clone();
    first.stop().await.unwrap();
    let away = stream.tells("coordinator", |known| known["state"] == "away").await;
    assert!(away["away_since"].is_string() && away["cause"].is_string(), "{away}");
    let second = Coordinator::start(Place { listen, ..place(state.path()) }, settings()).await.unwrap();
    let back = stream.tells("coordinator", |known| known["state"] == "here").await;
    assert_eq!(back["term"].as_u64(), term.as_u64().map(|term| term + 1));
    second.stop().await.unwrap();
}

#[tokio::test]
async fn only_requests_to_this_machine_that_read_are_answered() {
    let (state, sumac) = (tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let (_running, address) = dashboard(&sumac, &coordinator.url()).await;
    let page = asked(&address, "GET /", &address).await;
    assert_eq!(page.status, 200);
    for header in [
        "content-security-policy: default-src 'none'; script-src 'self'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cross-origin-resource-policy: same-origin",
    ] {
        assert!(page.head.contains(header), "{header} in {}", page.head);
    }
    let text = String::from_utf8(page.body).unwrap();
    assert!(!text.contains("http://") && !text.contains("https://"), "the page needs nothing from elsewhere");
    assert!(!text.contains(" on") || !text.contains("onclick"), "no handlers in the markup");

    for path in ["/", "/told", "/page.js"] {
        let refused = asked(&address, &format!("GET {path}"), "evil.example").await;
        assert_eq!(refused.status, 403, "{path}: a name that only points here");
        assert!(refused.head.contains("x-content-type-options: nosniff"));
    }
    for method in ["POST", "HEAD", "DELETE", "OPTIONS"] {
        let refused = asked(&address, &format!("{method} /"), &address).await;
        assert_eq!((refused.status, refused.head.contains("allow: get")), (405, true), "{method}");
    }
    assert_eq!(asked(&address, "GET /etc/passwd", &address).await.status, 404);
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_dashboard_of_nobody_says_so_with_exit_3() {
    let ended = Sumac::new().runs(&["dashboard", "--port", "0", "--coordinator", "http://127.0.0.1:1"]).await.with(3);
    assert!(ended.stderr.contains("cannot reach the coordinator"), "{ended:?}");
}
