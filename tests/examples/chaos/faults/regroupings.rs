//! One run is regrouped hundreds of times: what a generation takes it gives back.

use crate::{
    campaign::Campaign,
    row::{Row, Times},
    stage::{Model, Stage},
};
use std::{fs, time::Instant};

const WORKERS: usize = 3;
/// So many at each end are compared.
const COMPARED: usize = 20;
/// The first ones fill caches and pools.
const WARM_UP: usize = 10;
/// Resident memory may grow by this share between the two ends,
const GROWTH_MAX: f64 = 0.05;
/// or by so much, in KiB: SQLite fills a page cache of 2,000 as its journal grows, and keeps to it.
const CACHE: f64 = 2_048.0;

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    rss_kib: f64,
    fds: f64,
    threads: f64,
}

impl Held {
    /// From /proc; nothing if the process is gone.
    fn of(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let figure = |name: &str| -> Option<f64> {
            status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
        };
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as f64;
        Some(Self { rss_kib: figure("VmRSS:")?, fds, threads: figure("Threads:")? })
    }
}

/// Scaled from three workers to two and back, so that the first worker lives through every generation.
pub(crate) fn of_one_run(campaign: &mut Campaign, model: Model, n: u64) -> Row {
    let mut row = Row::new("regroupings of one run", model.name());
    let undisturbed = campaign.references.of(model).clone();
    let n = campaign.times(n);
    let mut stage = Stage::begin(model, model.job("regrouped").at_most(WORKERS as u32), WORKERS);
    let (mut survivor, mut coordinator) = (Vec::new(), Vec::new());
    let mut played = 0;
    while stage.whole(if played % 2 == 0 { WORKERS } else { WORKERS - 1 }).is_some() && played < n && stage.has_time() {
        survivor.extend(Held::of(stage.cluster.worker("w0").pid()));
        coordinator.extend(Held::of(stage.cluster.coordinator().pid()));
        let since = Instant::now();
        let workers = if played % 2 == 0 { WORKERS - 1 } else { WORKERS };
        stage.scale(workers);
        if stage.whole(workers).is_some() {
            row.time(Times { detection: None, recovery: Some(since.elapsed()) });
        }
        played += 1;
        eprint!("\r  {}: {played}/{n} ", row.fault);
    }
    eprintln!();
    let verdict = stage.end(&undisturbed);
    row.judge(played, &verdict);
    row.redone_max = verdict.redone;
    row.demand(verdict.redone == 0, || format!("{} steps were done again", verdict.redone));
    row.demand(played == n && verdict.difference.is_none(), || format!("{played} of {n} played before the run ended"));
    compare(&mut row, "the first worker", &survivor);
    compare(&mut row, "the coordinator", &coordinator);
    row
}

fn compare(row: &mut Row, who: &str, held: &[Held]) {
    let held = held.get(WARM_UP..).unwrap_or_default();
    if held.len() < 2 * COMPARED {
        row.notes.push(format!("{who}: {} generations are too few to compare", held.len()));
        return;
    }
    let (first, last) = (&held[..COMPARED], &held[held.len() - COMPARED..]);
    let mean = |part: &[Held], of: fn(&Held) -> f64| part.iter().map(of).sum::<f64>() / part.len() as f64;
    let both = |of: fn(&Held) -> f64| (mean(first, of), mean(last, of));
    let (rss, fds, threads) = (both(|held| held.rss_kib), both(|held| held.fds), both(|held| held.threads));
    let slope = (rss.1 - rss.0) / (held.len() - COMPARED) as f64;
    row.notes.push(format!(
        "{who}: {:.1} -> {:.1} MiB ({slope:.1} KiB each), {:.1} -> {:.1} fds, {:.1} -> {:.1} threads",
        rss.0 / 1_024.0,
        rss.1 / 1_024.0,
        fds.0,
        fds.1,
        threads.0,
        threads.1,
    ));
    row.demand(rss.1 - rss.0 <= (rss.0 * GROWTH_MAX).max(CACHE), || {
        format!("memory of {who} grows by {slope:.1} KiB a generation")
    });
    // A leak of one each would be dozens.
    row.demand(fds.1 <= fds.0 + 2.0, || format!("files of {who} grow from {:.1} to {:.1}", fds.0, fds.1));
    row.demand(threads.1 <= threads.0 + 2.0, || {
        format!("threads of {who} grow from {:.1} to {:.1}", threads.0, threads.1)
    });
}
