//! The pure rules of a step, each claim on its own, and L-2 in the small: one model of a run, any number of workers, one trace.

mod history;
mod lanes;
mod model;
mod order;
mod random;
mod reduce;
mod schedule;
mod tail;
mod trace;
