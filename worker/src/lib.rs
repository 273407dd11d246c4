//! Where it learns: one process on one device.
//!
//! Read [`train`] first: it is the loop. Around it, by what they hold:
//!
//! * [`learner`]: what the loop needs from a model; `simgan` and [`toy`] are the two there are
//! * [`entering`] and [`saving`]: the parts of the loop before and after a step; [`scribe`] writes while steps go on
//! * [`state`], [`history`], [`checkpoints`], [`outputs`]: everything a run is, on the way, on disk and at its end; [`durable`]:
//!   files that are whole or absent
//! * [`link`]: how the members of a generation reach each other; `native` is libtorch's c10d behind a C++ shim, and the only
//!   unsafe code of Sumac
//! * [`piecework`]: the loop of a job in pieces; [`mod@refine`] and [`evaluate`]: its kinds; [`pipeline`]: what images go through;
//!   [`share`]: a refinement without a coordinator
//! * `downstream`: the models that learn from refined images, and the figures of such images
//! * [`fingerprint`]: what its numbers depend on
//! * [`examining`]: what `doctor` has it look at
//! * [`pantry`]: a run's images; [`mailbox`] and [`session`]: the coordinator's word
//!
//! The crate refuses to know who else is there, beyond the roster it is told, and never names the coordinator's crate.
//! Without the feature `torch` the loop and the toy remain.
#![deny(unsafe_code)]

pub mod board;
pub mod bytes;
mod calibrating;
pub mod checkpoints;
#[cfg(feature = "torch")]
pub mod downstream;
pub mod durable;
pub mod entering;
pub mod evaluate;
pub mod examining;
pub mod faults;
pub mod fingerprint;
pub mod history;
pub mod learner;
pub mod link;
pub mod logbook;
pub mod mailbox;
#[cfg(feature = "torch")]
#[allow(unsafe_code)]
pub mod native;
pub mod outputs;
pub mod pantry;
pub mod piecework;
pub mod pipeline;
pub mod refine;
pub mod saving;
pub mod scribe;
pub mod session;
pub mod share;
#[cfg(feature = "torch")]
pub mod simgan;
pub mod state;
pub mod toy;
pub mod train;
pub mod vitals;
pub mod work;
