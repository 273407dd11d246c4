//! What happens to a job, and when, on this process's monotonic clock.
//!
//! Facts are the lines of `sumac submit --follow`, at the moment they were read; committed steps are the lines of
//! `metrics.jsonl`, which is looked at every two milliseconds. So a duration holds the way of a fact through the coordinator
//! to its follower: it is what an operator would see, and never less than what the cluster needed.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use sumac_tests::{Line, PATIENCE, Process};

/// The look of a line of `metrics.jsonl` that holds its number.
const STEP: &str = "{\"step\":";
/// Longer than two such lines.
const TAIL: u64 = 2_048;
const LOOK_EVERY: Duration = Duration::from_millis(2);

pub(crate) struct Journal {
    follower: Process,
    metrics: PathBuf,
}

/// A generation that was entered.
#[derive(Clone, Debug)]
pub(crate) struct Entered {
    pub(crate) generation: u64,
    /// The first one that it takes.
    pub(crate) step: u64,
    /// In rank order.
    pub(crate) roster: Vec<String>,
}

impl Journal {
    pub(crate) fn new(follower: Process, metrics: PathBuf) -> Self {
        Self { follower, metrics }
    }

    pub(crate) fn follower(&self) -> &Process {
        &self.follower
    }

    pub(crate) fn into_follower(self) -> Process {
        self.follower
    }

    /// When the coordinator first named what went wrong after `since`: a worker lost, or a generation that broke. `None` if
    /// the job ended first.
    pub(crate) fn detected(&self, since: Instant) -> Option<Instant> {
        let is_it = |line: &&Line| line.at >= since && line.text.trim_start().starts_with("incident ");
        self.follower.hear("an incident", |lines| lines.iter().find(is_it).map(|line| line.at))
    }

    /// The first generation after this one that was entered. `None` if the job ended first.
    pub(crate) fn entered(&self, after: u64) -> Option<Entered> {
        let is_it = |entered: &Entered| entered.generation > after;
        self.follower.hear(&format!("a generation after {after} that goes on"), |lines| {
            generations(texts(lines)).into_iter().find(is_it)
        })
    }

    /// The newest generation, once it is one of `n` workers. `None` if the job ended first.
    pub(crate) fn runs_on(&self, n: usize) -> Option<Entered> {
        self.follower.hear(&format!("a generation of {n} that goes on"), |lines| {
            generations(texts(lines)).pop().filter(|newest| newest.roster.len() == n)
        })
    }

    /// The number of the newest generation that was entered.
    pub(crate) fn newest(&self) -> Option<u64> {
        generations(texts(&self.follower.lines())).pop().map(|newest| newest.generation)
    }

    /// When this step was seen to be committed. `None` if the job ended first.
    pub(crate) fn committed(&self, step: u64) -> Option<Instant> {
        let until = Instant::now() + PATIENCE;
        while self.last_step().is_none_or(|last| last < step) {
            if self.follower.has_ended() {
                return None;
            }
            assert!(Instant::now() < until, "step {step} is not committed within {PATIENCE:?}");
            thread::sleep(LOOK_EVERY);
        }
        Some(Instant::now())
    }

    pub(crate) fn last_step(&self) -> Option<u64> {
        last_step(&self.metrics)
    }
}

/// The last whole line's.
fn last_step(metrics: &Path) -> Option<u64> {
    let mut file = File::open(metrics).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).ok()?;
    let tail = String::from_utf8_lossy(&tail);
    let whole = tail.rfind('\n').map(|end| &tail[..end])?;
    whole.rsplit('\n').find_map(|line| line.strip_prefix(STEP)?.split(',').next()?.parse().ok())
}

fn texts(lines: &[Line]) -> impl Iterator<Item = &str> {
    lines.iter().map(|line| line.text.as_str())
}

/// `generation N opened: A B C from …`, `generation N goes on at step S`.
fn generations<'l>(lines: impl IntoIterator<Item = &'l str>) -> Vec<Entered> {
    let mut entered: Vec<Entered> = Vec::new();
    let mut opened: Option<(u64, Vec<String>)> = None;
    for line in lines {
        let Some((_, said)) = line.split_once("generation ") else { continue };
        let Some((number, said)) = said.split_once(' ') else { continue };
        let Ok(generation) = number.parse::<u64>() else { continue };
        if let Some((names, _)) = said.strip_prefix("opened: ").and_then(|said| said.split_once(" from ")) {
            opened = Some((generation, names.split(' ').map(str::to_owned).collect()));
        } else if let Some(step) = said.strip_prefix("goes on at step ").and_then(|step| step.trim().parse().ok()) {
            let roster = opened.as_ref().filter(|(known, _)| *known == generation).map(|(_, roster)| roster.clone());
            // A restarted coordinator's facts may be told twice.
            if entered.last().is_none_or(|last| last.generation < generation) {
                entered.push(Entered { generation, step, roster: roster.unwrap_or_default() });
            }
        }
    }
    entered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_counts_from_when_it_goes_on_and_only_once() {
        let lines = [
            "  job       generation 1 opened: w0 w1 w2 from the last checkpoint, or the start",
            "  job       generation 1 goes on at step 0",
            "  incident  generation 1 closed: w0: reduce: connection closed by peer",
            "  job       generation 2 opened: w0 w2 from generation 1",
            "  job       generation 1 goes on at step 0",
            "  job       generation 2 goes on at step 15",
            "  job       generation 3 opened: w0 w2 w1 from generation 2",
        ];
        let entered = generations(lines);
        let told: Vec<(u64, u64, String)> =
            entered.iter().map(|it| (it.generation, it.step, it.roster.join(" "))).collect();
        assert_eq!(told, [(1, 0, "w0 w1 w2".to_owned()), (2, 15, "w0 w2".to_owned())]);
    }

    #[test]
    fn a_row_that_is_being_written_is_not_committed() {
        let folder = tempfile::tempdir().unwrap();
        let metrics = folder.path().join("metrics.jsonl");
        std::fs::write(&metrics, "{\"step\":7,\"phase\":\"refiner\"}\n{\"step\":8,\"ph").unwrap();
        assert_eq!(last_step(&metrics), Some(7));
    }
}
