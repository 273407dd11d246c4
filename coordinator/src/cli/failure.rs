//! How a command ends: an exit code, and where it went wrong what, why and what to do.

use owo_colors::OwoColorize as _;
use std::{error::Error, process::ExitCode};

/// Documented in `sumac help exit-codes`; scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Unreachable = 3,
    JobUnsuccessful = 5,
    TimedOut = 6,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What went wrong, in three parts.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    what: String,
    causes: Vec<String>,
    pub(super) hint: Option<String>,
}

impl Failure {
    #[must_use]
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), causes: Vec::new(), hint: None }
    }

    /// An error and the chain below it.
    #[must_use]
    pub fn of(exit: Exit, error: &(dyn Error + 'static)) -> Self {
        Self::new(exit, error.to_string()).because(error.source())
    }

    /// The other side speaks otherwise than this version does.
    #[must_use]
    pub(super) fn other_version(what: impl Into<String>) -> Self {
        Self::new(Exit::Failed, what).hint("install the same version on both sides")
    }

    #[must_use]
    pub(super) fn unanswered() -> Self {
        Self::other_version("the coordinator answered nothing")
    }

    /// Adds an error and all below it as causes; what only repeats is left out.
    #[must_use]
    pub fn because(mut self, error: Option<&(dyn Error + 'static)>) -> Self {
        let mut below = error;
        while let Some(error) = below {
            below = error.source();
            let cause = error.to_string();
            if self.what != cause && self.causes.last() != Some(&cause) {
                self.causes.push(cause);
            }
        }
        self
    }

    #[must_use]
    pub(super) fn because_of(mut self, cause: &str) -> Self {
        self.causes.push(cause.to_owned());
        self
    }

    /// The same, and where it was.
    #[must_use]
    pub(super) fn within(mut self, place: &str) -> Self {
        self.what = format!("{place}: {}", self.what);
        self
    }

    #[must_use]
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn print(&self) {
        anstream::eprintln!("{} {}", "error:".red().bold(), self.what);
        for cause in &self.causes {
            anstream::eprintln!("  cause: {cause}");
        }
        if let Some(hint) = &self.hint {
            print_hint(hint);
        }
    }
}

pub(super) fn print_hint(hint: &str) {
    anstream::eprintln!("{} {hint}", "hint:".cyan().bold());
}
