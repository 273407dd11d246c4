//! What is wrong with a job, as sentences: where it stands, what was written, why not, what instead.
//!
//! Knows nothing of which fields exist.

use std::fmt;

/// Everything wrong with one job file and its overrides, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub place: Place,
    /// Path of the field, such as `train.batch`; empty where the file is not TOML at all.
    pub field: String,
    /// As it was written, shortened; empty where nothing was.
    pub value: String,
    pub problem: String,
    /// What to write instead; empty where the problem says it.
    pub remedy: String,
}

/// Where a field was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of the job file; the first is 1.
    Line(usize),
    /// The command line.
    Set,
    /// Nowhere: the field is missing, or has its default.
    Absent,
}

impl Fault {
    /// The line of the job file, if it was written there.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self.place {
            Place::Line(line) => Some(line),
            Place::Set | Place::Absent => None,
        }
    }

    fn subject(&self) -> String {
        if self.value.is_empty() { self.field.clone() } else { format!("{} = {}", self.field, self.value) }
    }

    fn sentence(&self) -> String {
        if self.remedy.is_empty() { self.problem.clone() } else { format!("{}: {}", self.problem, self.remedy) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => f.pad(&format!("line {line}")),
            Self::Set => f.pad("--set"),
            Self::Absent => f.pad(""),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            return f.write_str(&self.sentence());
        }
        write!(f, "{}: {}", self.subject(), self.sentence())
    }
}

/// A count, then a line per fault in three columns: place, what was written, what to do about it.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |of: &dyn Fn(&Fault) -> String| self.0.iter().map(|fault| of(fault).chars().count()).max();
        let place = width(&|fault| fault.place.to_string()).unwrap_or(0);
        let subject = width(&Fault::subject).unwrap_or(0);
        match self.0.len() {
            1 => f.write_str("1 fault")?,
            n => write!(f, "{n} faults")?,
        }
        for fault in &self.0 {
            if fault.field.is_empty() {
                write!(f, "\n{}", fault.sentence().trim_end())?;
            } else {
                write!(f, "\n  {:place$}  {:subject$}  {}", fault.place, fault.subject(), fault.sentence())?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// The known name that a misspelt one was probably meant to be.
pub(super) fn nearest<'n>(written: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let typos_allowed = (written.chars().count() / 3).max(1);
    known
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(typos, _)| *typos <= typos_allowed)
        .min()
        .map(|(_, name)| name)
}

/// "`a`, `b` or `c`".
pub(super) fn any_of(names: &[&str]) -> String {
    listed(names.iter().map(|name| format!("`{name}`")), "or")
}

/// "`a`, `b` and `c`".
pub(super) fn all_of(names: &[&str]) -> String {
    listed(names.iter().map(|name| format!("`{name}`")), "and")
}

fn listed(items: impl Iterator<Item = String>, before_the_last: &str) -> String {
    let mut items: Vec<String> = items.collect();
    match items.pop() {
        Some(last) if items.is_empty() => last,
        Some(last) => format!("{} {before_the_last} {last}", items.join(", ")),
        None => String::new(),
    }
}
