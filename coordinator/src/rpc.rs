//! The two services: wire to domain at the door, then a call to the driver or a look at the picture. Decides nothing.

mod attend;
mod counted;
mod examine;
mod operator;
mod view;

pub(crate) use counted::{Counting, Ended};

use crate::driver::{Call, Desk};
use std::sync::atomic::AtomicU64;
use sumac_proto::{
    MESSAGE_MAX,
    v1::{cluster_server::ClusterServer, operator_server::OperatorServer},
};
use tonic::Status;

/// For workers.
pub(crate) fn cluster(desk: Desk) -> ClusterServer<Attendance> {
    ClusterServer::new(Attendance { desk, sessions: AtomicU64::new(0) })
        .max_decoding_message_size(MESSAGE_MAX)
        .max_encoding_message_size(MESSAGE_MAX)
}

/// For people.
pub(crate) fn operator(desk: Desk) -> OperatorServer<Window> {
    OperatorServer::new(Window { desk }).max_decoding_message_size(MESSAGE_MAX).max_encoding_message_size(MESSAGE_MAX)
}

/// The service `Cluster`.
#[derive(Debug)]
pub struct Attendance {
    desk: Desk,
    sessions: AtomicU64,
}

/// The service `Operator`.
#[derive(Debug)]
pub struct Window {
    desk: Desk,
}

async fn call(desk: &Desk, call: Call) -> Result<(), Status> {
    desk.calls.send(call).await.map_err(|_| closing())
}

/// The driver has ended: what was asked has not happened.
fn closing() -> Status {
    Status::unavailable("the coordinator is shutting down")
}

/// A message that means nothing, with everything that is known about it.
fn refusal(bad: &sumac_proto::BadWire) -> Status {
    let causes = std::iter::successors(std::error::Error::source(bad), |cause| cause.source());
    Status::invalid_argument(causes.fold(bad.to_string(), |text, cause| format!("{text}: {cause}")))
}
