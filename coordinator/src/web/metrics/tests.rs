//! The page of clusters that were made for it: which series there are, and for how long.

use super::*;
use sumac_common::{
    cluster::{Cluster, Event, Settings},
    conversation::{Incarnation, Seat},
    ids::{JobId, NodeId, Term},
    spec,
};
use tokio::time::Instant;

const EYES: &str = r#"
    name = "eyes"
    [data]
    synthetic = "/data/drawn"
    real = "/data/camera"
    image = { size = [35, 55], channels = 1 }
    [model]
    preset = "digits"
    [train]
    steps = 600
    [output]
    dir = "/data/eyes"
"#;

fn cluster() -> Cluster {
    Cluster::new(Settings::default(), vec![], vec![])
}

fn joins(cluster: &mut Cluster, name: &str) {
    let seat = Seat {
        worker: name.into(),
        incarnation: Incarnation(1),
        node: NodeId("here".to_owned()),
        store: "127.0.0.1:4000".parse().expect("an address"),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        device: "cpu".to_owned(),
    };
    cluster.step(Duration::ZERO, Event::Attached { seat, standing: None });
}

fn submit(cluster: &mut Cluster, name: &str) {
    let spec = Box::new(spec::read(EYES, &[]).unwrap_or_else(|faults| panic!("{faults}")));
    cluster.step(Duration::ZERO, Event::Submitted { job: JobId::from(name), spec });
}

fn picture(cluster: &Cluster) -> Picture {
    let entry = |job: &Arc<Job>| Arc::new(Entry { work: Work::Run(job.clone()), submitted: SystemTime::UNIX_EPOCH });
    Picture {
        term: Term(1),
        began: Instant::now(),
        jobs: cluster.jobs().map(entry).collect(),
        workers: cluster.workers().values().cloned().collect(),
        facts: Arc::default(),
        trouble: None,
    }
}

fn page(picture: &Picture, tally: &Tally, up: Duration) -> String {
    let heartbeats = Spread::within(&[]);
    let scene = Scene { picture, tally, heartbeats, rpcs: vec![], process: None, up, now: SystemTime::UNIX_EPOCH };
    render(&scene, Form::OpenMetrics).expect("it is written into memory")
}

fn series(page: &str, start: &str) -> usize {
    page.lines().filter(|line| line.starts_with(start)).count()
}

#[test]
fn the_series_of_a_worker_that_is_gone_go_away_after_a_while() {
    let mut cluster = cluster();
    joins(&mut cluster, "a");
    cluster.step(Duration::from_secs(10), Event::Died { worker: "a".into(), incarnation: Incarnation(1) });
    let picture = picture(&cluster);
    let tally = Tally::begin(&picture);
    let shown = page(&picture, &tally, Duration::from_secs(60));
    assert!(shown.contains(r#"sumac_worker_state{worker="a",node="here",state="lost"} 1"#), "{shown}");
    assert!(shown.contains(r#"sumac_workers{state="lost"} 1"#));
    let later = page(&picture, &tally, KEPT_FOR + Duration::from_secs(10));
    assert!(!later.contains(r#"worker="a""#) && later.contains(r#"sumac_workers{state="lost"} 0"#), "{later}");
}

#[test]
fn the_series_of_a_job_that_is_over_go_away_after_a_while_and_come_back_with_it() {
    let mut cluster = cluster();
    let mut tally = Tally::begin(&picture(&cluster));
    submit(&mut cluster, "eyes");
    tally.see(&picture(&cluster), Duration::ZERO);
    cluster.step(Duration::from_secs(1), Event::Cancelled { job: JobId::from("eyes") });
    let over = picture(&cluster);
    let at = |minutes: u64| Duration::from_secs(60 * minutes);
    tally.see(&over, at(1));
    assert!(page(&over, &tally, at(15)).contains(r#"sumac_job_state{job="eyes",kind="train",state="cancelled"} 1"#));
    tally.see(&over, at(16));
    let forgotten = page(&over, &tally, at(16));
    assert!(!forgotten.contains(r#"job="eyes""#), "{forgotten}");
    assert!(forgotten.contains(r#"sumac_jobs{kind="train",state="cancelled"} 1"#), "it is counted all the same");

    submit(&mut cluster, "eyes");
    let again = picture(&cluster);
    tally.see(&again, at(20));
    assert!(page(&again, &tally, at(20)).contains(r#"sumac_job_state{job="eyes",kind="train",state="queued"} 1"#));
}

#[test]
fn what_was_over_before_the_coordinator_started_has_no_series() {
    let mut cluster = cluster();
    submit(&mut cluster, "eyes");
    cluster.step(Duration::from_secs(1), Event::Cancelled { job: JobId::from("eyes") });
    let picture = picture(&cluster);
    assert!(!page(&picture, &Tally::begin(&picture), Duration::ZERO).contains(r#"job="eyes""#));
}

#[test]
fn however_many_there_are_the_page_ends() {
    let mut cluster = cluster();
    (0..WORKERS_MAX + 5).for_each(|number| joins(&mut cluster, &format!("w{number}")));
    (0..JOBS_MAX + 5).for_each(|number| submit(&mut cluster, &format!("eyes-{number}")));
    let picture = picture(&cluster);
    let page = page(&picture, &Tally::begin(&picture), Duration::ZERO);
    assert_eq!(series(&page, "sumac_job_state{"), JOBS_MAX);
    assert_eq!(series(&page, "sumac_worker_state{"), WORKERS_MAX);
    assert!(page.contains(&format!("job=\"eyes-{}\"", JOBS_MAX + 4)), "the latest are shown");
    let counted: f64 = page
        .lines()
        .filter_map(|line| line.strip_prefix("sumac_workers{")?.split(' ').next_back()?.parse::<f64>().ok())
        .sum();
    assert_eq!(counted as usize, WORKERS_MAX + 5, "all are counted");
}
