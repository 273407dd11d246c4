//! What a finished run left in its output, as far as runs are compared.

use crate::{cluster::Cluster, job::Job, room::Room};
use serde_json::Value;
use std::sync::OnceLock;

#[derive(Clone)]
pub struct Outcome {
    pub summary: Value,
    pub metrics: Vec<u8>,
}

impl Outcome {
    /// Of the toy as it is, on one worker left in peace: what runs that were disturbed have to equal. Run once.
    #[must_use]
    pub fn undisturbed() -> &'static Self {
        static RUN: OnceLock<Outcome> = OnceLock::new();
        RUN.get_or_init(|| Cluster::of(1).run(&Job::toy("undisturbed").exactly(1)))
    }

    /// # Panics
    /// If the run left no summary or no metrics.
    #[must_use]
    pub fn read(room: &Room, output: &str) -> Self {
        let summary = room.read(&format!("{output}/summary.json"));
        let summary = serde_json::from_slice(&summary)
            .unwrap_or_else(|error| panic!("{output}/summary.json is no JSON: {error}"));
        Self { summary, metrics: room.read(&format!("{output}/metrics.jsonl")) }
    }

    /// A figure of the summary, by its JSON pointer.
    #[track_caller]
    #[must_use]
    pub fn count(&self, pointer: &str) -> u64 {
        let figure = self.summary.pointer(pointer).and_then(Value::as_u64);
        figure.unwrap_or_else(|| panic!("the summary has no count at {pointer}: {}", self.summary))
    }

    #[track_caller]
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        let text = self.summary.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("the summary has no text at {pointer}: {}", self.summary))
    }

    /// What tells this run from the other, if anything does: state, trace, exported weights, metrics (L-2, L-3).
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        for hash in ["/trace_sha256", "/state_sha256", "/refiner_sha256", "/discriminator_sha256"] {
            let (ours, theirs) = (self.text(hash), other.text(hash));
            if ours != theirs {
                return Some(format!("another {hash}: {ours}, not {theirs}"));
            }
        }
        if self.metrics == other.metrics {
            return None;
        }
        let lines = |metrics: &[u8]| String::from_utf8_lossy(metrics).lines().map(str::to_owned).collect::<Vec<_>>();
        let (ours, theirs) = (lines(&self.metrics), lines(&other.metrics));
        Some(match ours.iter().zip(&theirs).find(|(ours, theirs)| ours != theirs) {
            Some((ours, theirs)) => format!("metrics.jsonl differs, first here:\n{ours}\n{theirs}"),
            None => format!("{} lines of metrics, not {}", ours.len(), theirs.len()),
        })
    }

    /// Fails the test unless both are the same run, bit for bit.
    #[track_caller]
    pub fn assert_same_run(&self, other: &Self, which: &str) {
        if let Some(difference) = self.difference(other) {
            panic!("{which}: {difference}");
        }
    }
}
