//! Lines of a log on their way to people who have no log stack: what was said, by whom, in the midst of what. Decides nothing.

use crate::ids::{Generation, JobId, Step};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::SystemTime};

/// Lines that are kept of one process, and that one may have before it is heard; older ones are forgotten.
pub const LINES_MAX: usize = 2_000;
/// A line is cut after so many bytes.
pub const LINE_MAX: usize = 4_096;

/// Graver ones are larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        })
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        [Self::Debug, Self::Info, Self::Warn, Self::Error]
            .into_iter()
            .find(|level| level.to_string().eq_ignore_ascii_case(word))
            .ok_or_else(|| "must be debug, info, warn or error".to_owned())
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// By the clock of whoever said it.
    pub at: SystemTime,
    pub level: Level,
    /// What was said, its fields behind it: `attached term=7`.
    pub text: String,
    /// What it was in the midst of, as far as it was in anything.
    pub job: Option<JobId>,
    pub generation: Option<Generation>,
    pub step: Option<Step>,
}

impl Line {
    /// As it is, or as much of it as anybody would read.
    #[must_use]
    pub fn cut(mut self) -> Self {
        if self.text.len() > LINE_MAX {
            let end = (0..=LINE_MAX).rev().find(|end| self.text.is_char_boundary(*end)).unwrap_or(0);
            self.text.truncate(end);
            self.text.push_str(" ...");
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_read_however_it_is_written_and_orders_by_gravity() {
        assert_eq!("warn".parse(), Ok(Level::Warn));
        assert_eq!("ERROR".parse(), Ok(Level::Error));
        assert!("loud".parse::<Level>().is_err());
        assert!(Level::Error > Level::Warn && Level::Warn > Level::Info && Level::Info > Level::Debug);
    }

    #[test]
    fn a_line_without_end_is_cut_between_two_letters() {
        let at = SystemTime::UNIX_EPOCH;
        let endless = "ü".repeat(LINE_MAX);
        let line = Line { at, level: Level::Info, text: endless, job: None, generation: None, step: None }.cut();
        assert!(line.text.len() <= LINE_MAX + 4 && line.text.ends_with("ü ..."));
    }
}
