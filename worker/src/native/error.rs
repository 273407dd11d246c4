//! What can go wrong behind the shim. Refuses to judge: who broke a group, and what to do, is decided by the member.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// Cloneable, because a [`Work`](super::Work) that failed goes on saying so.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NativeError {
    /// libtorch refused or failed; `reason` is its own first line. In a collective it means that the group is broken.
    #[error("{attempt}: {reason}")]
    Call { attempt: &'static str, reason: String },

    #[error("no port on {host} for the store where workers meet: the address must be one of this machine's")]
    Bind { host: IpAddr, source: Arc<io::Error> },

    /// Nobody serves at `store`, or no packet gets there. The store's host is the one that could not be reached.
    #[error(
        "rank {rank} of {size} did not reach the store at {store} within {patience:?} ({reason}): \
         workers must be able to connect to each other"
    )]
    Meet { rank: usize, size: usize, store: SocketAddr, patience: Duration, reason: String },

    /// The store was reached, the full mesh did not come about. `missing` never came to the store; when it is empty all
    /// came, and a connection between two workers failed: `reason` has the address.
    #[error("rank {rank} of {size} could not form its group, {}: {reason}", whom(missing))]
    Form { rank: usize, size: usize, missing: Vec<usize>, reason: String },

    #[error("{attempt} names rank {rank}, but the group's other ranks are below {size} and not {own}")]
    Rank { attempt: &'static str, rank: usize, own: usize, size: usize },

    #[error("{attempt} needs a contiguous tensor where the group has its tensors, got {got}")]
    Tensor { attempt: &'static str, got: String },

    #[error("{attempt} among {size} does not fit from {input} to {output}")]
    Shapes { attempt: &'static str, size: usize, input: String, output: String },

    #[error("no thread could be started to {purpose}: this machine's limit of threads or memory is reached")]
    Thread { purpose: &'static str, source: Arc<io::Error> },

    /// A panic on a thread of ours, reported where its result was awaited.
    #[error("the thread that was to {purpose} ended without a result")]
    Vanished { purpose: &'static str },
}

fn whom(missing: &[usize]) -> String {
    match missing {
        [] => "though every rank came to the store".to_owned(),
        [one] => format!("rank {one} never came"),
        many => format!("ranks {} never came", many.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_forming_names_who_never_came() {
        let error = NativeError::Form { rank: 0, size: 4, missing: vec![1, 3], reason: "timed out".into() };
        assert_eq!(error.to_string(), "rank 0 of 4 could not form its group, ranks 1, 3 never came: timed out");
    }
}
