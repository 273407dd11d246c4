//! Wire to domain and back: past this door there is no prost type, no empty string that means something, no bare integer.
//!
//! Reading can fail and says which field of which message was at fault; writing cannot. Knows nothing of streams.

mod down;
mod examined;
mod observed;
mod parts;
#[cfg(test)]
mod tests;
mod up;

use sumac_common::{
    conversation::{Order, Report, Seat, Standing},
    examination::{Answer, Examination},
    ids::Term,
    logging::Line,
    spec,
};

use std::time::SystemTime;

/// What a worker says.
#[derive(Clone, Debug, PartialEq)]
pub enum Up {
    /// First of all, and only then.
    Join {
        seat: Seat,
        standing: Option<Standing>,
    },
    Said(Report),
    /// For people; no decision hears it.
    Logged(Vec<Line>),
    /// To `Examine`, for people; at what time by its clock.
    Examined {
        number: u64,
        at: SystemTime,
        answer: Answer,
    },
}

/// What the coordinator answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Down {
    /// To a join.
    Welcome(Term),
    /// The session is over, and a restart would not help.
    Refused(String),
    /// The session is over, and a later attempt may be welcome.
    NotYet(String),
    Told(Order),
    /// Beside whatever it does; answered under the same number.
    Examine {
        number: u64,
        what: Examination,
    },
}

/// A message that says nothing the domain knows.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWire {
    #[error("{message} came without {field}")]
    Missing { message: &'static str, field: &'static str },
    #[error("{message}.{field} is {value}, which means nothing in this version")]
    Unknown { message: &'static str, field: &'static str, value: i32 },
    #[error("{message}.{field} is `{value}`, which is not an address with a port")]
    NotAnAddress { message: &'static str, field: &'static str, value: String },
    #[error("{message}.{field} has {bytes} bytes, a digest has 32")]
    NotADigest { message: &'static str, field: &'static str, bytes: usize },
    #[error("{message} carries a spec that does not check")]
    BadSpec {
        message: &'static str,
        #[source]
        faults: spec::Faults,
    },
    #[error("{message} carries piecework that does not check: {why}")]
    BadPiecework { message: &'static str, why: String },
}

fn present<T>(value: Option<T>, message: &'static str, field: &'static str) -> Result<T, BadWire> {
    value.ok_or(BadWire::Missing { message, field })
}
