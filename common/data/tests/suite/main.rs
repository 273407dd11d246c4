//! The images, from the outside: formats in, bad input, freezing, drawing, and the real packs where they are.
#![allow(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

mod alpha;
mod arrays;
mod captions;
mod converted;
mod demo;
mod evaluated;
mod formats;
mod freezing;
#[cfg(feature = "hdf5")]
mod hdf5;
mod hostile;
mod identity;
mod images;
mod mutations;
mod names;
mod originals;
mod packs;
#[cfg(feature = "parquet")]
mod parquet;
mod refined;
#[cfg(feature = "parquet")]
mod refined_parquet;
mod shelf;
mod tars;
mod tubs;
