//! A row of the table: one fault, played often, what it cost, and which of its floors it missed. It refuses to know how the
//! fault is played.

use crate::stage::Verdict;
use serde_json::{Value, json};
use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) fault: &'static str,
    pub(crate) model: &'static str,
    /// How often it was played.
    pub(crate) n: u64,
    /// How often in runs that ended as the undisturbed one.
    pub(crate) equal: u64,
    /// By one fault.
    pub(crate) redone_max: u64,
    /// Runs with another trace: samples were lost or repeated.
    pub(crate) traces_unequal: u64,
    pub(crate) detection: Vec<Duration>,
    pub(crate) recovery: Vec<Duration>,
    pub(crate) notes: Vec<String>,
    pub(crate) missed: Vec<String>,
}

/// How long something took, if it was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    pub(crate) detection: Option<Duration>,
    pub(crate) recovery: Option<Duration>,
}

impl Row {
    pub(crate) fn new(fault: &'static str, model: &'static str) -> Self {
        Self {
            fault,
            model,
            n: 0,
            equal: 0,
            redone_max: 0,
            traces_unequal: 0,
            detection: Vec::new(),
            recovery: Vec::new(),
            notes: Vec::new(),
            missed: Vec::new(),
        }
    }

    pub(crate) fn time(&mut self, times: Times) {
        self.detection.extend(times.detection);
        self.recovery.extend(times.recovery);
    }

    /// A run ended in which the fault was played so many times.
    pub(crate) fn judge(&mut self, played: u64, verdict: &Verdict) {
        self.n += played;
        match &verdict.difference {
            None => self.equal += played,
            Some(difference) => self.missed.push(format!("not the undisturbed run: {difference}")),
        }
        self.traces_unequal += u64::from(!verdict.is_trace_equal);
    }

    /// A floor.
    pub(crate) fn demand(&mut self, is_met: bool, floor: impl FnOnce() -> String) {
        if !is_met {
            self.missed.push(floor());
        }
    }

    pub(crate) fn demand_recovery(&mut self, p50: Duration, p95: Duration) {
        for (share, limit) in [(50, p50), (95, p95)] {
            let took = percentile(&self.recovery, share);
            self.demand(took.is_some_and(|took| took <= limit), || {
                format!("recovery p{share} is {}, at most {} s allowed", shown(took), limit.as_secs_f64())
            });
        }
    }

    pub(crate) fn demand_detection(&mut self, p95: Duration) {
        let took = percentile(&self.detection, 95);
        self.demand(took.is_some_and(|took| took <= p95), || {
            format!("detection p95 is {} s, at most {} s allowed", shown(took), p95.as_secs_f64())
        });
    }

    pub(crate) fn json(&self) -> Value {
        let ms = |times: &[Duration]| -> Value {
            json!({
                "n": times.len(),
                "p50": percentile(times, 50).map(|time| time.as_millis() as u64),
                "p95": percentile(times, 95).map(|time| time.as_millis() as u64),
                "max": percentile(times, 100).map(|time| time.as_millis() as u64),
            })
        };
        json!({
            "fault": self.fault, "model": self.model, "n": self.n, "equal": self.equal,
            "steps_redone_max": self.redone_max, "traces_unequal": self.traces_unequal,
            "detection_ms": ms(&self.detection), "recovery_ms": ms(&self.recovery),
            "notes": self.notes, "missed": self.missed,
        })
    }

    fn cells(&self) -> [String; 8] {
        let both = |times: &[Duration]| match times {
            [] => "-".to_owned(),
            times => format!("{}/{}", shown(percentile(times, 50)), shown(percentile(times, 95))),
        };
        [
            self.fault.to_owned(),
            self.model.to_owned(),
            self.n.to_string(),
            format!("{}/{}", self.equal, self.n),
            self.redone_max.to_string(),
            if self.traces_unequal == 0 { "0".to_owned() } else { format!("{} runs", self.traces_unequal) },
            both(&self.detection),
            both(&self.recovery),
        ]
    }
}

/// The smallest of them that is not exceeded by so many of a hundred.
pub(crate) fn percentile(times: &[Duration], share: usize) -> Option<Duration> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get((times.len() * share).div_ceil(100).saturating_sub(1)).copied()
}

fn shown(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.2}", time.as_secs_f64()))
}

/// All rows, with notes and missed floors below.
pub(crate) fn table(rows: &[Row]) -> String {
    let heads = ["FAULT", "MODEL", "N", "EQUAL", "REDONE", "SAMPLES", "DETECTION S", "RECOVERY S"];
    let cells: Vec<[String; 8]> =
        std::iter::once(heads.map(str::to_owned)).chain(rows.iter().map(Row::cells)).collect();
    let mut text = String::new();
    for row in &cells {
        for (column, cell) in row.iter().enumerate() {
            let width = cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0) + 2;
            text.push_str(&format!("{cell:<width$}"));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    for row in rows {
        let notes = row.notes.iter().map(|note| format!("  {}: {note}\n", row.fault));
        let missed = row.missed.iter().map(|missed| format!("  MISSED {}: {missed}\n", row.fault));
        text.extend(notes.chain(missed));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(difference: Option<&str>) -> Verdict {
        let difference = difference.map(str::to_owned);
        Verdict { is_trace_equal: difference.is_none(), difference, redone: 0, generations: 2 }
    }

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let times: Vec<Duration> = (1..=20).rev().map(Duration::from_secs).collect();
        let shares = [0, 50, 95, 100].map(|share| percentile(&times, share).map_or(0, |time| time.as_secs()));
        assert_eq!(shares, [1, 10, 19, 20]);
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn a_run_that_is_not_the_undisturbed_one_misses_a_floor() {
        let mut row = Row::new("fault", "toy");
        row.judge(3, &verdict(None));
        assert!(row.missed.is_empty());
        row.judge(2, &verdict(Some("another trace")));
        assert_eq!((row.n, row.equal, row.traces_unequal, row.missed.len()), (5, 3, 1, 1));
    }

    #[test]
    fn a_recovery_that_was_slow_or_never_seen_misses_its_floor() {
        let floors = |times: &[u64]| {
            let mut row = Row::new("fault", "toy");
            row.recovery = times.iter().copied().map(Duration::from_secs).collect();
            row.demand_recovery(Duration::from_secs(2), Duration::from_secs(5));
            row.missed.len()
        };
        assert_eq!([floors(&[1, 2, 5]), floors(&[1, 2, 6]), floors(&[3, 3, 3]), floors(&[])], [0, 1, 1, 2]);
    }
}
