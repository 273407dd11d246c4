//! The rules of a run.
//!
//! Every decision Sumac takes is a function of (state, event, now, seed) in this crate; the coordinator and the
//! workers carry out what is decided here and decide nothing themselves. Read it to know what a run *is*:
//!
//! * [`ids`], [`device`]: the names of things; [`spec`]: a job file, read and checked
//! * [`random`]: chance as a function of (seed, stream, lane, step)
//! * [`lanes`], [`order`], [`history`], [`schedule`], [`reduce`], [`losses`]: what a step eats and how it is added up
//! * [`conversation`], [`cluster`], [`member`], [`entry`]: who takes part, and how a run survives them
//! * [`tail`]: what members tell each other in each reduction, and when they agree
//! * [`metrics`]: the figures of each step that a run leaves
//! * [`calibration`]: a lambda that the images ask for; [`balance`]: whether the two networks hold each other in check, in words
//! * [`pace`]: how fast it goes, and who holds the others up; [`vitals`], [`logging`]: how machines are, and what processes say
//! * [`refinement`]: a data set to be refined; [`piecework`], [`leases`], [`workbench`]: a job in pieces and the life of each, on
//!   both sides
//! * [`evaluation`]: models that learn from refined images, and what is found out; [`sweep`]: one job tried with other values
//! * [`arithmetic`]: what an image costs; [`scaling`]: how fast a job would be on more workers, and what holds it up
//! * [`examination`]: what `doctor` asks, and what it makes of the answers
//! * [`checkpoint`]: the manifest of a saved state; [`restart`]: how soon a dead worker gets a successor
//!
//! It refuses to know sockets, files, clocks, dice, threads and tensors; `clippy.toml` beside `Cargo.toml` holds it to that.
#![forbid(unsafe_code)]

pub mod arithmetic;
pub mod balance;
pub mod calibration;
pub mod checkpoint;
pub mod cluster;
pub mod conversation;
pub mod device;
pub mod entry;
pub mod evaluation;
pub mod examination;
pub mod history;
pub mod ids;
pub mod lanes;
pub mod leases;
pub mod logging;
pub mod losses;
pub mod member;
pub mod metrics;
pub mod order;
pub mod pace;
pub mod piecework;
pub mod random;
pub mod reduce;
pub mod refinement;
pub mod restart;
pub mod scaling;
pub mod schedule;
pub mod spec;
pub mod sweep;
pub mod tail;
pub mod vitals;
pub mod workbench;
