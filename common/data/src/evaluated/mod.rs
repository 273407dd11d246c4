//! The sets of an evaluation, with what is asked of their labels, and its figures on the way and at the end.
//!
//! Opens and writes files; refuses to know models and whose attempt counts.

mod answers;
mod cells;
mod error;
mod sets;

pub use answers::{Answers, class_names};
pub use cells::{
    Evaluated, Outcome, RESULT, clear_away, discard, evaluated, is_free, lay_down, order, publish, published, refiner,
    seal, write,
};
pub use error::EvaluatedError;
pub use sets::{LabelledSet, Sets};
