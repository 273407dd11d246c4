//! The cluster harness: real processes, their faults, and what they leave behind.
//!
//! A test starts a coordinator and workers, tells them what to do through the command line that users have, kills them where
//! it wants, and compares what comes out. Nothing here sleeps: a test waits for a line, for a process to end, for a pipe to
//! be opened, or for `sumac wait`. Knows nothing of what a step computes; equality of runs is its only measure.
//!
//! Errors are panics that say what was attempted: a harness that cannot go on is a failed test.

mod binaries;
mod browser;
mod cluster;
mod fault;
mod job;
mod kin;
mod outcome;
mod process;
mod room;
mod schema;
mod snapshot;
mod tree;

pub use binaries::{Binaries, binaries};
pub use browser::{Page, browse};
pub use cluster::Cluster;
pub use fault::Fault;
pub use job::Job;
pub use kin::{child, children, is_alive, kill, workers};
pub use outcome::Outcome;
pub use process::{Ended, Line, PATIENCE, Process, TALKATIVE};
pub use room::Room;
pub use schema::assert_form;
pub use snapshot::{assert_looks, masked};
pub use tree::Tree;
