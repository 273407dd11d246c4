//! The images.
//!
//! From whatever a user has on disk to pixels by number, the same on every machine:
//!
//! * [`source`]: what is there (folders, tables, tubs, tars, idx, npy, npz; by feature HDF5 and parquet), in one stable order, and its bytes
//! * [`storage`]: where it lies, on this machine or in a bucket
//! * [`decode`], [`picture`]: one file's bytes to one image of the job's shape, or the reason why not
//! * [`freeze`](mod@freeze), [`manifest`], [`frozen`]: everything decoded once into a cache, then read by [`SampleId`]
//! * [`refined`]: a data set refined shard by shard, sealed and checked
//! * [`evaluated`]: the sets of an evaluation with what is asked of their labels, and the figures that come out
//! * [`mod@survey`]: every image decoded once, to say what is bad and what the rest is in figures
//! * [`demo`]: drawn data sets, for a first run without any data
//! * [`grid`]: images side by side, as one PNG
//! * [`captions`]: what their labels say, for whoever shows them
//!
//! It refuses to know tensors, networks, sockets, jobs and who asks. Which images make a batch is decided elsewhere.
//!
//! [`SampleId`]: sumac_common::ids::SampleId
#![forbid(unsafe_code)]

pub mod captions;
pub mod decode;
pub mod demo;
pub mod evaluated;
mod fault;
pub mod freeze;
pub mod frozen;
pub mod grid;
pub mod label;
pub mod manifest;
pub mod picture;
pub mod refined;
pub mod source;
pub mod storage;
pub mod survey;

pub use freeze::{FreezeError, freeze};
pub use frozen::{Frozen, ReadError};
pub use grid::grid_png;
pub use label::Label;
pub use manifest::{Bad, Manifest};
pub use source::{Source, SourceError};
pub use survey::{Survey, survey};
