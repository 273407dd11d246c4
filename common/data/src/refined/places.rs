//! Where what is not finished lies, below the folder of work in progress.

use std::path::{Path, PathBuf};
use sumac_common::leases::Shard;

pub(super) const ATTEMPTS: &str = "attempts";
pub(super) const SHARDS: &str = "shards";
pub(super) const CLAIMS: &str = "claims";
pub(super) const RECORDS: &str = "records";
/// In the folder of an attempt: what is to be published, and the receipt, which is there once all of it is whole.
pub(super) const OUT: &str = "out";
pub(super) const RECEIPT: &str = "receipt.jsonl";

pub(super) fn attempt(work: &Path, shard: Shard, name: &str) -> PathBuf {
    work.join(ATTEMPTS).join(format!("{:06}.{name}", shard.0))
}

/// The receipt of a published shard.
pub(super) fn receipt(work: &Path, shard: Shard) -> PathBuf {
    work.join(SHARDS).join(format!("{:06}.jsonl", shard.0))
}

/// What was decided without a coordinator: the receipt of the attempt that counts.
pub(super) fn claim(work: &Path, shard: Shard) -> PathBuf {
    work.join(CLAIMS).join(format!("{:06}.jsonl", shard.0))
}

/// A shard's records of a mirrored stack, relative to the destination.
pub(super) fn records(shard: Shard) -> String {
    format!("{}/{RECORDS}/{:06}", sumac_common::refinement::WORK, shard.0)
}
