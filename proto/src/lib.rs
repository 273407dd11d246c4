//! The wire: `sumac/v1/sumac.proto` and the door between wire types and domain types.
//!
//! [`v1`] is generated and means nothing by itself; [`convert`] turns its messages into the words of
//! [`sumac_common::conversation`] or into a [`BadWire`]. It refuses to know who listens, who dials and what is decided.
#![forbid(unsafe_code)]

pub mod convert;

pub use convert::{BadWire, Down, Up};

/// Generated from `sumac/v1/sumac.proto`, which documents it.
#[allow(clippy::all, unreachable_pub, unused_qualifications, missing_docs)]
pub mod v1 {
    tonic::include_proto!("sumac.v1");
}

/// The largest message, in bytes: set for decoding and encoding on every client and server.
pub const MESSAGE_MAX: usize = 4 * 1024 * 1024;
