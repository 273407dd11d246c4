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
            anstream::eprintln!("{} {hint}", "hint:".cyan().bold());
        }
    }
}

pub(super) const EXIT_CODES: &str = "\
Exit codes of sumac

    0  done
    1  failed
    2  usage, or an invalid file
    3  the coordinator cannot be reached
    5  the job ended unsuccessfully (wait, submit -f, up JOB)
    6  timed out (wait --timeout)
  130  interrupted by ctrl-C

Exit codes of sumac-worker

    0  stopped as asked
    2  usage: do not restart
   75  a passing trouble: restart
   78  the configuration is at fault: do not restart
  130  stopped at once by a second signal
";
