//! The models that learn from refined images, and the figures of such images: what an evaluation finds out in its cells.
//!
//! * [`model`]: small networks, trained from their own seeds alone, so that the same cell has the same figures anywhere
//! * [`pictures`]: a set as one tensor, and what can be made of it without learning
//! * `movement`: whether what is in an image stayed where it was
//! * [`frechet`], `wasserstein`: how far two sets of images are apart
//! * [`Studio`]: a cell in, its figures out; what several cells need is made once
//!
//! It refuses to know files, refiners' insides, leases and who asks. Layers of `tch` panic where libtorch refuses, out of memory for
//! instance; [`Studio::figures`] catches that and says it.
//!
//! Legend: n images, c channels, h height, w width, k classes, d features.

pub mod frechet;
pub mod model;
mod movement;
pub mod pictures;
mod studio;
mod wasserstein;

pub use pictures::{Pictures, Targets};
pub use studio::{DownstreamError, Sets, Shown, Studio};
