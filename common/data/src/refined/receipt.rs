//! What one shard became, line by line: a header, then each of its samples in order.
//!
//! Equal for equal output, whoever wrote it. Knows nothing of folders.

use super::RefinedError;
use crate::{source::Piece, storage};
use serde::{Deserialize, Serialize};
use std::{io, path::Path};
use sumac_common::{ids::Digest, leases::Shard};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Receipt {
    pub header: Header,
    pub rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    pub shard: Shard,
    pub refined: u64,
    pub bad: u64,
    /// Of all files that were written.
    pub bytes: u64,
    /// Those that hold the whole shard: its tar, or its records of a stack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Part>,
    /// Over the labels of what was refined.
    pub labels: Digest,
}

/// A file that holds a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Relative to the destination.
    pub name: String,
    pub bytes: u64,
    pub sha256: Digest,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub key: String,
    #[serde(flatten)]
    pub fate: Fate,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Fate {
    Refined(Refined),
    Bad { bad: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Refined {
    /// Its place in the destination; in a tar the member, of a stack the stack's file.
    pub file: String,
    pub bytes: u64,
    /// SHA-256 of the image that went in, of what came out, and over its label.
    pub source: Digest,
    pub refined: Digest,
    pub labels: Digest,
}

impl Receipt {
    /// A shard of which nothing was refined.
    pub(super) fn of_nothing<'a>(shard: Shard, keys: impl Iterator<Item = &'a str>, why: &str) -> Self {
        let row = |key: &str| Row { key: key.to_owned(), fate: Fate::Bad { bad: why.to_owned() } };
        let rows: Vec<Row> = keys.map(row).collect();
        let bad = rows.len() as u64;
        let header = Header { shard, refined: 0, bad, bytes: 0, files: Vec::new(), labels: Digest::default() };
        Self { header, rows }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = line(&self.header);
        self.rows.iter().for_each(|row| bytes.extend(line(row)));
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let header = serde_json::from_slice(lines.next().unwrap_or_default())?;
        Ok(Self { header, rows: lines.map(serde_json::from_slice).collect::<Result<_, _>>()? })
    }

    /// The receipt in this file, and what it hashes to.
    pub(super) fn read(path: &Path) -> Result<(Self, Digest), RefinedError> {
        let read = storage::read(path).and_then(|bytes| bytes.ok_or_else(|| io::ErrorKind::NotFound.into()));
        let bytes = read.map_err(RefinedError::unreadable(path))?;
        let damaged =
            |error: serde_json::Error| RefinedError::Damaged { path: path.to_owned(), what: error.to_string() };
        Ok((Self::parse(&bytes).map_err(damaged)?, Digest::of(&bytes)))
    }
}

pub(super) fn line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("a receipt is plain data: its JSON cannot fail");
    line.push(b'\n');
    line
}

/// Over the endings and the bytes of one sample's label, by their endings: a tar and a folder list them in orders of their own.
/// Lengths first: no piece can pretend to be two.
pub(super) fn label_digest(pieces: &[Piece]) -> Digest {
    let mut pieces: Vec<&Piece> = pieces.iter().collect();
    pieces.sort_by_key(|piece| &piece.ending);
    let piece = |digest: Digest, Piece { ending, bytes }: &Piece| {
        digest.then(format!("{} {ending} {} ", ending.len(), bytes.len()).as_bytes()).then(bytes)
    };
    pieces.into_iter().fold(Digest::default(), piece)
}

/// A digest over what each key has, one key after the other.
pub(super) fn and(digest: Digest, key: &str, of: Digest) -> Digest {
    digest.then(format!("{} {key} {of}", key.len()).as_bytes())
}
