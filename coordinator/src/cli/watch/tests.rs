//! The stage by claims, the drawing by pictures, the terminal by a pty.
//!
//! `UPDATE=1 cargo test -p sumac cli::watch` writes the pictures in `snapshots/` down as they are; keep only what you looked at.

use super::{
    draw::{Ink, draw},
    logs::LINES_MAX,
    screen::Screen,
    stage::{Event, Key, Looked, Member, News, Now, Page, Pane, Pictures, Stage, Wish},
};
use crate::cli::{
    failure::Exit,
    view::{FactView, JobView, LogView, WorkerView},
};
use ratatui::{Terminal, backend::TestBackend};
use std::{
    env, fs,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};
use sumac_common::{logging::Level, spec};
use sumac_data::picture::{Picture, Pixels};
use sumac_proto::v1;

// === players

/// 14:09:00 of a day, and so long after.
fn at(seconds: f64) -> Now {
    let after = Duration::from_secs_f64(seconds);
    Now { after, clock: UNIX_EPOCH + Duration::from_secs(20_000 * 86_400 + 14 * 3_600 + 9 * 60) + after }
}

fn mean(value: f64) -> Option<v1::Mean> {
    Some(v1::Mean { sum: value * 20.0, count: 20 })
}

struct Beaten {
    realism: f64,
    disc: f64,
    right: f64,
}

impl Beaten {
    fn beat(self, job: &str, step: u64) -> v1::Beat {
        let Self { realism, disc, right } = self;
        v1::Beat {
            job: job.to_owned(),
            doing: v1::Doing::Training.into(),
            generation: 12,
            step,
            losses: Some(v1::Losses {
                realism: mean(realism),
                regularisation: mean(0.342),
                change: mean(0.1),
                on_refined: mean(disc),
                on_real: mean(disc),
                right_on_refined: mean(right - 0.03),
                right_on_real: mean(right),
            }),
            steps_per_second: 11.8,
            images_per_second: 6_042.0,
            history: 512,
            times: Some(v1::Times {
                data_us: 1_000.0,
                forward_us: 20_000.0,
                backward_us: 40_000.0,
                guard_us: 2_000.0,
                reduce_us: 12_000.0,
                optimiser_us: 3_000.0,
                waiting_us: 22_000.0,
            }),
            slow: None,
            waits_ms: 0,
            shares: None,
        }
    }
}

const SPEC: &str = r#"
    name = "eyes"
    [data]
    synthetic = "/data/drawn"
    real = "/data/camera"
    image = { size = [35, 55], channels = 1 }
    [model]
    preset = "digits"
    [train]
    steps = 10_000
    [output]
    dir = "/runs/eyes"
"#;

fn spec_toml() -> String {
    spec::read(SPEC, &[]).unwrap_or_else(|faults| panic!("{faults}")).to_toml()
}

fn running(id: &str, step: u64, workers: &[&str], beaten: Beaten) -> JobView {
    let job = v1::Job {
        id: id.to_owned(),
        name: "eyes".to_owned(),
        state: v1::JobState::Running.into(),
        identity: vec![7; 32],
        spec_toml: spec_toml(),
        generation: 12,
        roster: workers.iter().map(|worker| (*worker).to_owned()).collect(),
        workers_min: 2,
        workers_max: 8,
        step,
        steps: 10_000,
        saved: Some(4_200),
        so_far: Some(v1::SoFar { workers_seen: 4, generations: 12, steps_redone: 0 }),
        beat: Some(beaten.beat(id, step)),
        output_dir: "/runs/eyes".to_owned(),
        ..v1::Job::default()
    };
    JobView::of(job).unwrap()
}

fn usual(step: u64) -> Beaten {
    let fallen = (step as f64 / 1_000.0).min(4.0);
    Beaten { realism: 0.9 - 0.15 * fallen, disc: 0.4 + 0.06 * fallen, right: 0.95 - 0.09 * fallen }
}

fn stopped(id: &str, state: v1::JobState, reason: &str) -> JobView {
    let job = v1::Job {
        id: id.to_owned(),
        name: id.to_owned(),
        state: state.into(),
        reason: Some(reason.to_owned()),
        workers_min: 1,
        workers_max: 8,
        step: 1_920,
        steps: 10_000,
        output_dir: "/runs/other".to_owned(),
        ..v1::Job::default()
    };
    JobView::of(job).unwrap()
}

fn worker(name: &str, node: &str, job: Option<&str>) -> v1::Worker {
    v1::Worker {
        name: name.to_owned(),
        node: node.to_owned(),
        device: "H100 80GB HBM3".to_owned(),
        version: "0.1.0".to_owned(),
        presence: v1::Presence::Here.into(),
        cause: None,
        silent: Some(prost_types::Duration { seconds: 0, nanos: 300_000_000 }),
        job: job.map(str::to_owned),
        beat: job.map(|job| usual(4_213).beat(job, 4_213)),
        leaving: false,
        drained: false,
        vitals: None,
    }
}

fn lost(name: &str, node: &str) -> v1::Worker {
    v1::Worker {
        presence: v1::Presence::Lost.into(),
        cause: Some("no heartbeat for 5.0s".to_owned()),
        silent: Some(prost_types::Duration { seconds: 41, nanos: 0 }),
        ..worker(name, node, Some("eyes-7f3"))
    }
}

fn looked(jobs: Vec<JobView>, workers: Vec<v1::Worker>) -> Looked {
    let workers = workers.into_iter().map(|worker| WorkerView::of(worker).unwrap()).collect();
    let url = "http://lab:7070".to_owned();
    Looked { url, version: "0.1.0".to_owned(), term: 7, trouble: None, jobs, workers }
}

fn fact(at: &str, class: &str, about: (Option<&str>, Option<&str>), what: &str) -> FactView {
    let (job, worker) = (about.0.map(str::to_owned), about.1.map(str::to_owned));
    let (class, what) = (class.to_owned(), what.to_owned());
    FactView {
        at: format!("2024-10-04T{at}Z"),
        class,
        job,
        worker,
        what,
        evidence: Vec::new(),
        turn: None,
        time: UNIX_EPOCH,
    }
}

fn line(at: &str, level: Level, source: &str, text: &str) -> News {
    News::Log(Box::new(LogView {
        at: format!("2024-10-04T{at}.391Z"),
        level,
        source: source.to_owned(),
        node: "rack-a".to_owned(),
        text: text.to_owned(),
        job: Some("eyes-7f3".to_owned()),
        generation: Some(12),
        step: Some(4_213),
    }))
}

/// A stage, and what was said to it.
struct Play {
    stage: Stage,
    wishes: Vec<Wish>,
}

impl Play {
    fn new() -> Self {
        Self { stage: Stage::new(at(0.0), "http://lab:7070".to_owned(), None), wishes: Vec::new() }
    }

    fn says(&mut self, seconds: f64, news: News) -> &mut Self {
        self.steps(seconds, Event::News(news))
    }

    fn looks(&mut self, seconds: f64, looked: Looked) -> &mut Self {
        self.says(seconds, News::Looked(Box::new(looked)))
    }

    fn steps(&mut self, seconds: f64, event: Event) -> &mut Self {
        self.wishes = self.stage.step(at(seconds), event);
        self
    }

    fn presses(&mut self, seconds: f64, keys: &[Key]) -> &mut Self {
        for key in keys {
            self.steps(seconds, Event::Key(*key));
        }
        self
    }

    fn member(&self) -> String {
        match self.stage.member() {
            Some(Member::Node { name, .. }) => format!("node {name}"),
            Some(Member::Worker(worker)) => worker.view.name.clone(),
            None => "nobody".to_owned(),
        }
    }

    fn drawn(&self, width: u16, height: u16) -> String {
        drawn(&self.stage, false, width, height)
    }
}

fn drawn(stage: &Stage, colours: bool, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(stage, Ink { colours }, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned() + "\n";
    (0..height).map(line).collect()
}

/// Two jobs that run and one that failed, three machines, one of them lost, and what happened.
fn busy() -> Play {
    let mut play = Play::new();
    play.says(0.0, News::FactsAnew);
    for fact in [
        fact("13:54:20", "job", (Some("eyes-7f3"), None), "submitted (9c1e44)"),
        fact("14:02:11", "incident", (Some("eyes-7f3"), Some("gpu-03")), "gpu-03 lost: no heartbeat for 5.0s"),
        fact("14:02:11", "detail", (Some("eyes-7f3"), Some("gpu-01")), "all-reduce aborted by gpu-03"),
        fact("14:02:14", "job", (Some("eyes-7f3"), None), "generation 12 goes on at step 4,096; nothing was lost"),
        fact("14:05:40", "operator", (None, Some("gpu-04")), "gpu-04 is drained"),
    ] {
        play.says(0.0, News::Fact(Box::new(fact)));
    }
    for beat in 0..60 {
        let step = 3_623 + 10 * beat;
        play.looks(0.5 * beat as f64, scene(step));
    }
    play
}

fn scene(step: u64) -> Looked {
    let jobs = vec![
        stopped("eyes-6aa", v1::JobState::Failed, "412 of 50,000 images are unreadable (limit 0.1%)"),
        running("eyes-7f3", step, &["gpu-01", "gpu-02"], usual(step)),
        stopped("hands-c01", v1::JobState::Queued, "waits for workers: 0 free, at least 1 needed"),
    ];
    let drained = v1::Worker { drained: true, ..worker("gpu-04", "rack-b", None) };
    let on = Some("eyes-7f3");
    looked(
        jobs,
        vec![worker("gpu-01", "rack-a", on), worker("gpu-02", "rack-a", on), lost("gpu-03", "rack-b"), drained],
    )
}

/// The same, and what those who work for its job say.
fn talking() -> Play {
    let mut play = busy();
    play.presses(30.0, &[Key::Letter('l')]).says(30.1, News::LogsAnew);
    let long = "no checkpoint was written, the run goes on: cannot write /runs/eyes/checkpoints/step-000004200.part: No space \
                left on device";
    for (at, level, source, text) in [
        ("14:02:11", Level::Warn, "gpu-01", "all-reduce aborted peer=gpu-03"),
        ("14:02:14", Level::Info, "gpu-01", "generation entered members=2"),
        ("14:02:14", Level::Info, "coordinator", "roster formed members=2"),
        ("14:05:02", Level::Error, "gpu-02", long),
        ("14:08:40", Level::Info, "gpu-01", "checkpoint saved there=2"),
    ] {
        play.says(30.2, line(at, level, source, text));
    }
    play
}

fn check(name: &str, drawn: &str) {
    let path = format!("{}/src/cli/watch/snapshots/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, drawn).unwrap_or_else(|error| panic!("{path}: {error}"));
        return;
    }
    let wanted = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(wanted, drawn, "\n{name}.txt\n--- it says\n{wanted}\n--- it is\n{drawn}");
}

// === pictures

#[test]
fn an_empty_cluster_says_what_to_do_first() {
    let mut play = Play::new();
    play.looks(1.0, looked(vec![], vec![]));
    check("empty", &play.drawn(80, 24));
}

#[test]
fn two_jobs_and_a_lost_worker_are_seen_at_a_glance() {
    check("busy", &busy().drawn(80, 24));
}

#[test]
fn a_wide_terminal_has_events_beside_the_workers() {
    check("wide", &busy().drawn(150, 30));
}

#[test]
fn a_narrow_terminal_shows_one_list_at_a_time() {
    let mut play = busy();
    check("narrow", &play.drawn(60, 15));
    play.presses(30.0, &[Key::Next, Key::Next]);
    check("narrow_events", &play.drawn(60, 15));
}

#[test]
fn a_coordinator_that_is_away_leaves_a_view_that_grows_old() {
    let mut play = busy();
    play.says(31.0, News::Away { why: "it does not answer".to_owned() });
    play.steps(43.0, Event::Tick);
    check("away", &play.drawn(80, 24));
}

#[test]
fn a_job_of_its_own_has_large_curves_and_its_own_events() {
    let mut play = busy();
    play.presses(30.0, &[Key::Enter]);
    check("job", &play.drawn(80, 30));
}

#[test]
fn a_job_out_of_balance_is_told_in_words() {
    let mut play = Play::new();
    for step in 0..40 {
        let beaten = Beaten { realism: 3.9, disc: 0.02, right: 1.0 };
        let job = running("eyes-7f3", 4_000 + 5 * step, &["gpu-01"], beaten);
        play.looks(step as f64, looked(vec![job], vec![worker("gpu-01", "rack-a", Some("eyes-7f3"))]));
    }
    check("imbalance", &play.drawn(80, 24));
}

#[test]
fn help_names_every_key() {
    let mut play = busy();
    play.presses(30.0, &[Key::Letter('?')]);
    check("help", &play.drawn(80, 24));
}

#[test]
fn draining_is_asked_at_the_foot() {
    let mut play = busy();
    play.presses(30.0, &[Key::Next, Key::Letter('d')]);
    check("drain", &play.drawn(80, 24));
}

#[test]
fn pictures_without_colours_are_drawn_by_shades() {
    let mut play = busy();
    play.presses(30.0, &[Key::Letter('s')]);
    let pixels = Pixels::U8((0..40 * 20).map(|at| u8::try_from(at % 40 * 6).unwrap()).collect());
    let picture = Arc::new(Picture { width: 40, height: 20, channels: 1, pixels, alpha: None });
    let shown = Ok(("/runs/eyes/samples/step-000004000.png".into(), picture));
    play.says(31.0, News::Pictures(Pictures { job: "eyes-7f3".to_owned(), shown }));
    check("pictures", &play.drawn(60, 15));
}

#[test]
fn pictures_that_are_higher_than_the_view_are_scrolled_to_their_end_and_no_further() {
    let mut play = busy();
    play.presses(30.0, &[Key::Letter('s')]);
    let pixels = Pixels::U8((0..40 * 100).map(|at| if at / 40 < 98 { 0 } else { 255 }).collect());
    let picture = Arc::new(Picture { width: 40, height: 100, channels: 1, pixels, alpha: None });
    let shown = Ok(("/runs/eyes/grid.png".into(), picture));
    play.says(31.0, News::Pictures(Pictures { job: "eyes-7f3".to_owned(), shown }));
    assert!(!play.drawn(60, 15).contains('█'));
    for keys in [&[Key::End][..], &[Key::PageDown; 9]] {
        play.presses(31.0, &[Key::Home]).presses(31.0, keys);
        let text = play.drawn(60, 15);
        assert!(text.lines().nth(13).is_some_and(|line| line.starts_with("██")), "{text}");
    }
}

#[test]
fn logs_have_the_newest_at_the_foot() {
    check("logs", &talking().drawn(80, 24));
}

#[test]
fn a_line_of_a_log_that_is_read_is_shown_whole() {
    let mut play = talking();
    play.presses(31.0, &[Key::Up]);
    check("logs_whole", &play.drawn(80, 15));
}

#[test]
fn no_size_is_too_small_and_none_too_large() {
    let pages: [&[Key]; 8] = [
        &[],
        &[Key::Enter],
        &[Key::Letter('s')],
        &[Key::Letter('l'), Key::Up],
        &[Key::Letter('e')],
        &[Key::Letter('?')],
        &[Key::Next, Key::Next],
        &[Key::Next, Key::Next, Key::Enter],
    ];
    for keys in pages {
        let mut play = busy();
        play.presses(30.0, keys).says(30.0, News::LogsAnew);
        for _ in 0..30 {
            play.says(30.0, line("14:09:30", Level::Warn, "a-worker-of-a-long-name", "said in several words"));
        }
        for width in (1..70).chain([200, 400]) {
            for height in (1..20).chain([80]) {
                play.drawn(width, height);
            }
        }
    }
}

#[test]
fn colours_are_there_only_where_they_are_wanted() {
    let play = busy();
    for colours in [true, false] {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(&play.stage, Ink { colours }, frame)).unwrap();
        let plain = ratatui::style::Color::Reset;
        let cells = &terminal.backend().buffer().content;
        assert_eq!(cells.iter().any(|cell| cell.fg != plain || cell.bg != plain), colours);
    }
}

#[test]
fn what_a_worker_says_does_not_steer_the_terminal() {
    let mut play = Play::new();
    let evil = v1::Worker { cause: Some("\x1b[2J\x1b]0;owned\x07gone".to_owned()), ..lost("gpu\x1b[H-03", "rack-b") };
    play.looks(1.0, looked(vec![], vec![evil]));
    play.says(1.0, News::FactsAnew);
    play.says(1.0, News::Fact(Box::new(fact("14:02:11", "incident", (None, None), "first\nsecond\x1b[2J"))));
    let mut logs = busy();
    logs.presses(30.0, &[Key::Letter('l')]).says(30.0, line("14:02:11", Level::Warn, "gpu\x1b[H", "third\x1b[2J"));
    let text = play.drawn(150, 24) + &logs.drawn(150, 24);
    assert!(!text.chars().any(|letter| letter.is_control() && letter != '\n'), "{text:?}");
    assert!(text.contains("owned") && text.contains("first second") && text.contains("third"), "{text}");
}

// === claims

#[test]
fn a_running_job_is_chosen_before_those_that_are_over() {
    let play = busy();
    assert_eq!(play.stage.job().unwrap().id, "eyes-7f3");
    let order: Vec<&str> = play.stage.jobs().iter().map(|job| job.id.as_str()).collect();
    assert_eq!(order, ["eyes-7f3", "hands-c01", "eyes-6aa"]);
}

#[test]
fn a_choice_stays_with_what_was_chosen() {
    let mut play = busy();
    play.presses(30.0, &[Key::Down]);
    assert_eq!(play.stage.job().unwrap().id, "hands-c01");
    let mut later = scene(4_300);
    later.jobs.push(running("new-1", 5, &[], usual(5)));
    later.jobs.remove(1);
    play.looks(31.0, later);
    assert_eq!(play.stage.job().unwrap().id, "hands-c01");
}

#[test]
fn a_beat_that_is_shown_again_is_one_point_of_the_curve() {
    let mut play = Play::new();
    for look in 0..8 {
        play.looks(look as f64 / 4.0, scene(100 + look / 4));
    }
    assert_eq!(play.stage.curves["eyes-7f3"].realism.columns(80).len(), 2);
}

#[test]
fn workers_are_chosen_by_machine_and_by_name() {
    let mut play = busy();
    play.presses(30.0, &[Key::Next]);
    assert_eq!(play.stage.pane, Pane::Workers);
    assert_eq!(play.member(), "gpu-01");
    assert_eq!(play.presses(30.0, &[Key::Up]).member(), "node rack-a");
    assert_eq!(play.presses(30.0, &[Key::Letter('j'), Key::Letter('j'), Key::Down]).member(), "node rack-b");
    assert_eq!(play.presses(30.0, &[Key::End]).member(), "gpu-04");
    assert_eq!(play.presses(30.0, &[Key::Home, Key::Letter('k')]).member(), "node rack-a");
}

#[test]
fn a_drain_happens_only_after_a_yes() {
    let mut play = busy();
    play.presses(30.0, &[Key::Next, Key::Letter('d')]);
    assert_eq!((play.stage.asks.as_deref(), play.wishes.as_slice()), (Some("gpu-01"), [].as_slice()));
    for no in [Key::Letter('n'), Key::Escape, Key::Enter, Key::Letter('q')] {
        play.presses(30.0, &[Key::Letter('d'), no]);
        assert_eq!((play.stage.asks.as_deref(), play.wishes.as_slice()), (None, [].as_slice()), "{no:?}");
    }
    play.presses(30.0, &[Key::Letter('d'), Key::Letter('d')]);
    play.presses(30.0, &[Key::Letter('d'), Key::Letter('y')]);
    assert_eq!(play.wishes, [Wish::Drain("gpu-01".to_owned())]);
}

#[test]
fn who_is_not_here_or_drained_already_is_not_drained() {
    let mut play = busy();
    for (name, why) in [("gpu-03", "gpu-03 is not here"), ("gpu-04", "gpu-04 is drained; `sumac undrain gpu-04`")] {
        play.presses(30.0, &[Key::Home, Key::Next]);
        while play.stage.pane != Pane::Workers {
            play.presses(30.0, &[Key::Next]);
        }
        play.presses(30.0, &[Key::Home]);
        while play.member() != name {
            play.presses(30.0, &[Key::Down]);
        }
        play.presses(30.0, &[Key::Letter('d')]);
        assert!(play.stage.asks.is_none() && play.stage.notice().unwrap().contains(why), "{:?}", play.stage.notice());
    }
}

#[test]
fn q_and_ctrl_c_leave_from_wherever_one_is() {
    let pages = ['?', 's', 'e', 'l'].map(|letter| [Key::Letter(letter)]);
    for keys in pages.iter().map(|page| &page[..]).chain([&[][..], &[Key::Enter]]) {
        let mut play = busy();
        assert_eq!(play.presses(30.0, keys).presses(30.0, &[Key::Letter('q')]).wishes, [Wish::Leave(Exit::Done)]);
        let mut play = busy();
        assert_eq!(play.presses(30.0, keys).presses(30.0, &[Key::Interrupt]).wishes, [Wish::Leave(Exit::Interrupted)]);
    }
    let mut play = busy();
    play.presses(30.0, &[Key::Next, Key::Letter('d'), Key::Interrupt]);
    assert_eq!(play.wishes, [Wish::Leave(Exit::Interrupted)]);
}

#[test]
fn a_workers_age_is_what_was_said_and_what_has_passed_since() {
    let mut play = busy();
    play.steps(35.5, Event::Tick);
    let gpu = play.stage.listed.iter().find(|worker| worker.view.name == "gpu-01").unwrap();
    let silence = play.stage.silence(gpu).as_secs_f64();
    assert!((silence - 6.3).abs() < 1e-6, "{silence}");
    assert!(play.stage.is_stale_worker(gpu));
}

#[test]
fn a_worker_that_is_no_longer_listed_stays_for_a_while() {
    let mut play = busy();
    let mut restarted = scene(4_300);
    restarted.workers.clear();
    play.looks(60.0, restarted.clone());
    assert_eq!(play.stage.listed.len(), 4);
    assert_eq!(play.stage.here_suspect_lost(), (0, 0, 4));
    assert!(play.drawn(100, 30).contains("absent"));
    play.looks(61.0, scene(4_300));
    assert_eq!(play.stage.here_suspect_lost(), (3, 0, 1));
    play.looks(62.0, restarted.clone());
    play.looks(3_600.0, restarted);
    assert!(play.stage.listed.is_empty());
}

#[test]
fn a_coordinator_that_is_back_is_no_longer_away() {
    let mut play = busy();
    play.says(31.0, News::Away { why: "it does not answer".to_owned() });
    play.says(32.0, News::Away { why: "it does not answer".to_owned() });
    play.says(40.0, News::FactsAnew);
    assert!(play.drawn(80, 24).contains("away since 14:09:31"));
    assert_eq!(play.stage.facts().len(), 4, "what was known is shown until it is told anew");
    play.looks(40.0, scene(4_300));
    play.says(40.0, News::Fact(Box::new(fact("14:09:40", "job", (None, None), "back"))));
    assert!(!play.drawn(80, 24).contains("away"));
    assert_eq!(play.stage.facts().len(), 1);
}

#[test]
fn e_shows_the_events_of_what_is_chosen() {
    let mut play = busy();
    play.presses(30.0, &[Key::Letter('e')]);
    assert_eq!(play.stage.page, Page::Events { about: "eyes-7f3".to_owned() });
    assert_eq!(play.stage.facts().len(), 3);
    play.presses(30.0, &[Key::Escape, Key::Next, Key::End, Key::Enter]);
    assert_eq!(play.stage.page, Page::Events { about: "gpu-04".to_owned() });
    assert_eq!(play.stage.facts().len(), 1);
}

#[test]
fn whoever_reads_an_older_event_stays_with_it() {
    let mut play = busy();
    play.presses(30.0, &[Key::Next, Key::Next, Key::Down]);
    let chosen = play.stage.fact().unwrap().fact.what.clone();
    play.says(31.0, News::Fact(Box::new(fact("14:09:31", "job", (None, None), "newer"))));
    assert_eq!(play.stage.fact().unwrap().fact.what, chosen);
    play.presses(31.0, &[Key::Home]);
    play.says(32.0, News::Fact(Box::new(fact("14:09:32", "job", (None, None), "newest"))));
    assert_eq!(play.stage.fact().unwrap().fact.what, "newest");
    play.presses(31.0, &[Key::Enter]);
    play.says(33.0, News::Fact(Box::new(fact("14:09:33", "job", (None, None), "newest of all"))));
    assert!(play.stage.page == Page::Fact && play.drawn(80, 24).contains("newest\n"), "{}", play.drawn(80, 24));
}

#[test]
fn events_are_bounded() {
    let mut play = Play::new();
    for number in 0..5_000 {
        play.says(1.0, News::Fact(Box::new(fact("14:00:00", "job", (None, None), &number.to_string()))));
    }
    assert_eq!((play.stage.facts().len(), play.stage.facts()[0].fact.what.as_str()), (1_000, "4999"));
}

#[test]
fn pictures_are_looked_for_at_once_then_now_and_then_and_anew_for_another_job() {
    let mut play = busy();
    let wanted = |job: &str, folder: &str| Wish::Pictures { job: job.to_owned(), folder: folder.into() };
    assert_eq!(play.presses(30.0, &[Key::Letter('s')]).wishes, [wanted("eyes-7f3", "/runs/eyes")]);
    assert_eq!(play.steps(31.0, Event::Tick).wishes, []);
    assert_eq!(play.steps(35.5, Event::Tick).wishes, [wanted("eyes-7f3", "/runs/eyes")]);
    assert_eq!(play.presses(36.0, &[Key::Down]).wishes, [wanted("hands-c01", "/runs/other")]);
    assert_eq!(play.presses(50.0, &[Key::Escape]).wishes, []);
    assert_eq!(play.steps(60.0, Event::Tick).wishes, []);
}

#[test]
fn l_follows_the_logs_of_what_is_chosen_until_one_goes_back() {
    let followed = |about: &str| [Wish::Logs { about: Some(about.to_owned()) }];
    let left = [Wish::Logs { about: None }];
    let mut play = busy();
    assert_eq!(play.presses(30.0, &[Key::Letter('l')]).wishes, followed("eyes-7f3"));
    assert_eq!(play.steps(31.0, Event::Tick).wishes, []);
    assert_eq!(play.presses(31.0, &[Key::Letter('l')]).wishes, left);
    assert_eq!(play.stage.page, Page::Overview);
    assert_eq!(play.presses(32.0, &[Key::Next, Key::Letter('l')]).wishes, followed("gpu-01"));
    assert_eq!(play.presses(32.0, &[Key::Escape]).wishes, left);
    assert_eq!(play.presses(33.0, &[Key::Up, Key::Letter('l')]).wishes, followed("rack-a"));
    assert_eq!(play.presses(33.0, &[Key::Letter('e')]).wishes, left);
    assert_eq!(play.stage.page, Page::Events { about: "rack-a".to_owned() });
    assert_eq!(play.presses(34.0, &[Key::Letter('l')]).wishes, followed("rack-a"));
}

#[test]
fn whoever_reads_an_older_line_stays_with_it_and_whoever_is_at_the_newest_goes_along() {
    let mut play = talking();
    let read = |play: &Play| {
        let logs = play.stage.logs.as_ref().unwrap();
        (logs.lines()[logs.at()].text.clone(), logs.newer())
    };
    play.presses(31.0, &[Key::Home, Key::Down]);
    assert_eq!(read(&play), ("generation entered members=2".to_owned(), 3));
    play.says(32.0, line("14:09:32", Level::Info, "gpu-01", "newest"));
    assert_eq!(read(&play), ("generation entered members=2".to_owned(), 4));
    play.presses(33.0, &[Key::PageDown]).says(34.0, line("14:09:34", Level::Info, "gpu-01", "newer still"));
    assert_eq!(read(&play), ("newer still".to_owned(), 0));
}

#[test]
fn lines_are_bounded_and_one_that_is_read_and_forgotten_is_followed_by_the_oldest() {
    let mut play = talking();
    play.presses(31.0, &[Key::Home]);
    for number in 0..LINES_MAX + 7 {
        play.says(32.0, line("14:09:32", Level::Info, "gpu-01", &number.to_string()));
    }
    let logs = play.stage.logs.as_ref().unwrap();
    assert_eq!((logs.lines().len(), logs.at(), logs.lines()[0].text.as_str()), (LINES_MAX, 0, "7"));
}

#[test]
fn logs_of_a_coordinator_that_is_back_replace_those_that_were_shown() {
    let mut play = talking();
    play.says(31.0, News::LogsAway { why: "it does not answer".to_owned() });
    assert!(play.drawn(80, 24).contains("logs of eyes-7f3   (old: it does not answer)"));
    play.says(32.0, News::LogsAnew);
    assert!(play.drawn(80, 24).contains("checkpoint saved") && !play.drawn(80, 24).contains("(old"));
    play.says(33.0, line("14:09:33", Level::Info, "coordinator", "serving"));
    assert_eq!(play.stage.logs.unwrap().lines().len(), 1);
}

#[test]
fn the_level_of_a_line_is_coloured() {
    let play = talking();
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| draw(&play.stage, Ink { colours: true }, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let level = |y: u16| {
        let cells = (11..16).map(|x| &buffer[(x, y)]);
        (cells.map(|cell| cell.symbol()).collect::<String>(), buffer[(11, y)].fg)
    };
    use ratatui::style::Color;
    assert_eq!(level(2), ("WARN ".to_owned(), Color::Yellow));
    assert_eq!(level(3), ("INFO ".to_owned(), Color::Reset));
    assert_eq!(level(5), ("ERROR".to_owned(), Color::Red));
}

// === the terminal

/// Run by the test below, on a terminal of its own: this very program, as a process that panics while it has the terminal.
#[test]
#[ignore = "panics: played by a_panic_gives_the_terminal_back"]
fn panics_with_the_terminal() {
    if env::var_os("SUMAC_PLAYS_A_PANIC").is_some() {
        let mut screen = Screen::open().unwrap();
        screen.draw(|frame| draw(&busy().stage, Ink { colours: true }, frame)).unwrap();
        let thread = std::thread::spawn(|| panic!("a thread of the view panics"));
        thread.join().unwrap_err();
        screen.draw(|_| unreachable!("drawn on a terminal that was given back")).unwrap();
        panic!("and so does the view");
    }
}

/// What `stty -g` prints.
fn are_modes(line: &str) -> bool {
    line.matches(':').count() > 20 && line.chars().all(|letter| letter == ':' || letter.is_ascii_hexdigit())
}

#[test]
fn a_panic_gives_the_terminal_back() {
    let test = env::current_exe().unwrap();
    let test =
        format!("'{}' --ignored --exact --nocapture cli::watch::tests::panics_with_the_terminal", test.display());
    let line = format!("stty -g; {test}; echo ended $?; stty -g");
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).env("SUMAC_PLAYS_A_PANIC", "1").stdin(Stdio::null());
    let Ok(played) = script.output() else {
        eprintln!("skipped: there is no `script` (util-linux), which opens a terminal");
        return;
    };
    let said = String::from_utf8_lossy(&played.stdout).into_owned();
    let opened = said.find("\x1b[?1049h").unwrap_or_else(|| panic!("the terminal was not taken: {said:?}"));
    let closed = said.rfind("\x1b[?1049l").unwrap_or_else(|| panic!("the terminal was not given back: {said:?}"));
    let told = said.find("a thread of the view panics").unwrap_or_else(|| panic!("{said:?}"));
    assert!(opened < closed && closed < told, "{said:?}");
    assert!(said.contains("and so does the view") && said.contains("ended 101"), "{said:?}");
    assert!(said.rfind("\x1b[?25h") > said.rfind("\x1b[?25l"), "the cursor is shown: {said:?}");
    let modes: Vec<&str> = said.lines().map(str::trim).filter(|line| are_modes(line)).collect();
    assert!(modes.len() == 2 && modes[0] == modes[1], "{modes:?}");
}
