//! The coordinator and the command line as others meet them: over the wire, on a free port, with workers that are played.
//!
//! No sleeps and no fixed ports: every test waits for the word it is about, and fails if it does not come.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // the players are part of the tests, and a panic is how a test fails

mod browser;
mod command_line;
mod crowd;
mod dashboard;
mod data;
mod examining;
mod following;
mod load;
mod membership;
mod page;
mod play;
mod refining;
mod submitting;
mod together;
mod tour;
mod watching;
mod web;
