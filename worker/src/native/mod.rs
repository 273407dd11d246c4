//! Everything behind the C++ shim: groups of workers and their collectives (libtorch's c10d), fast convolutions, memory
//! kept, determinism, and facts about libtorch. The only unsafe code of Sumac.
//!
//! Knows tensors, ranks, addresses and patience. Refuses to know steps, lanes, generations and what a tensor means.
//!
//! ## Rules that keep the unsafe code small
//!
//! * `abi` lists the C functions; each pointer type from there has one owner in Rust, which frees it once, on drop.
//! * No C++ exception crosses: the shim turns each into text, [`NativeError`] carries it.
//! * A tensor is lent to the shim for one call. What c10d needs longer it references itself, and [`Work`] holds its own
//!   references besides, so no order of drops frees memory that a socket still writes to.
//! * Raw pointers are `Send`, never `Sync`: one thread at a time speaks to a group.
//!
//! ## Ending what does not end by itself
//!
//! A Gloo call ends by its data, by its timeout, or because a connection of its group closes; c10d offers no abort for
//! it. [`Group::abandon`] therefore closes the group's connections itself. That ends every call in flight, here and at
//! the peers, within milliseconds, so nothing has to be leaked; dropping a group does the same and waits for it. But where a
//! connection closes in the midst of a message, Gloo forgets whoever waits for the rest of it, and that call ends by its timeout.
//!
//! [`Group`] wraps `c10d::Backend`, whose calls are virtual: a group over NCCL needs only another constructor, which lies in a
//! plugin of its own (`nccl/plugin.cc`), as libtorch's half for cards is a library of its own ([`cuda`]).

mod abi;
pub mod convolution;
#[cfg(test)]
pub(crate) mod counting;
pub mod cuda;
pub mod determinism;
mod error;
mod facts;
mod forming;
mod group;
pub mod memory;
pub mod precision;
mod store;
mod work;

pub use error::NativeError;
pub use facts::Facts;
pub use forming::{Forming, Medium, Meeting, Patience};
pub use group::{Group, Seat};
pub use store::Store;
pub use work::Work;
