//! Who is here, what runs: the coordinator and the command line.
//!
//! The coordinator decides nothing itself: [`driver`] feeds what happens to [`sumac_common::cluster`] and carries out what
//! that answers. Read on from here:
//!
//! * [`serve`]: bind, own the state, stop politely
//! * [`driver`]: the one task that owns the cluster; [`admission`]: what a submitted run becomes
//! * [`rpc`]: the two services, wire to domain at the door; [`picture`]: what readers see without asking the driver
//! * [`logs`]: the last lines that each process said; [`examinations`]: what they find when `doctor` asks
//! * [`spread`]: how long something took, time and again
//! * [`web`]: the HTTP port for probes and scrapers, from the picture
//! * [`store`]: what has to survive: jobs, the term, the journal
//! * [`cli`]: what people type and read; [`dashboard`]: what they see in a browser
//!
//! It refuses to know tensors and images, and builds without libtorch.
#![forbid(unsafe_code)]

pub mod admission;
pub mod cli;
pub mod dashboard;
pub mod driver;
pub mod examinations;
pub mod logs;
pub mod picture;
pub mod rpc;
pub mod serve;
pub mod spread;
pub mod store;
pub mod web;
