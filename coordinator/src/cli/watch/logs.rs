//! The last lines that are said about a job, a worker or a machine, and which of them is read.
//!
//! Pure. Knows nothing of who follows them and of how they are drawn.

use super::super::view::LogView;
use std::collections::VecDeque;

/// Lines that are kept; older ones are forgotten.
pub(super) const LINES_MAX: usize = 1_000;

#[derive(Debug)]
pub(super) struct Logs {
    pub about: String,
    /// Oldest first.
    lines: VecDeque<LogView>,
    /// How many were forgotten: what a line is known by is how many were told before it.
    forgotten: usize,
    /// The one that was chosen by hand; without it the newest.
    chosen: Option<usize>,
    /// They are those of a connection that broke: the first of the next one replaces them.
    are_old: bool,
    pub answer: Answer,
}

/// Whether what is there is all that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Awaited,
    Here,
    Away { why: String },
}

impl Logs {
    pub(super) fn about(about: String) -> Self {
        let lines = VecDeque::new();
        Self { about, lines, forgotten: 0, chosen: None, are_old: false, answer: Answer::Awaited }
    }

    /// All that is known follows once more.
    pub(super) fn begin(&mut self) {
        (self.are_old, self.answer) = (true, Answer::Here);
    }

    pub(super) fn hear(&mut self, line: LogView) {
        if std::mem::take(&mut self.are_old) {
            self.lines.clear();
            (self.forgotten, self.chosen) = (0, None);
        }
        self.lines.push_back(line);
        if self.lines.len() > LINES_MAX {
            self.lines.pop_front();
            self.forgotten += 1;
        }
    }

    pub(super) fn lines(&self) -> Vec<&LogView> {
        self.lines.iter().collect()
    }

    /// The place of the chosen line; the oldest if it is forgotten.
    pub(super) fn at(&self) -> usize {
        let newest = self.lines.len().saturating_sub(1);
        self.chosen.map_or(newest, |chosen| chosen.saturating_sub(self.forgotten).min(newest))
    }

    /// Lines that came after the chosen one.
    pub(super) fn newer(&self) -> usize {
        self.lines.len().saturating_sub(self.at() + 1)
    }

    /// Whoever goes to the newest is shown what comes.
    pub(super) fn choose(&mut self, by: isize) {
        let newest = self.lines.len().saturating_sub(1);
        let to = self.at().saturating_add_signed(by).min(newest);
        self.chosen = (to < newest).then_some(self.forgotten + to);
    }
}
