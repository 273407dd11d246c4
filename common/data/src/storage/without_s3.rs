//! S3 where it was not built in: a path of it is known, and refused with how to build it in.

use super::{Keep, Stands};
use crate::source::Stamp;
use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
};

/// There is none.
#[derive(Clone, Debug)]
pub(crate) enum Remote {}

impl Remote {
    pub(crate) fn at(_path: &Path) -> io::Result<Self> {
        let what = "this sumac was built without S3: build it with `cargo build --release -p sumac -p sumac-worker \
                    --features s3`";
        Err(io::Error::new(io::ErrorKind::Unsupported, what))
    }

    pub(crate) fn path(&self) -> PathBuf {
        match *self {}
    }

    pub(crate) fn stands(&self) -> io::Result<Stands> {
        match *self {}
    }

    pub(crate) fn below(&self) -> io::Result<Vec<(String, Stamp)>> {
        match *self {}
    }

    pub(crate) fn start(&self, _most: u64) -> io::Result<Vec<u8>> {
        match *self {}
    }

    pub(crate) fn read(&self, _range: Range<u64>) -> io::Result<(Vec<u8>, Stamp)> {
        match *self {}
    }

    pub(crate) fn whole(&self, _most: u64) -> io::Result<Result<(Vec<u8>, Stamp), Stamp>> {
        match *self {}
    }

    pub(crate) fn spool(&self) -> io::Result<Spool> {
        match *self {}
    }

    pub(crate) fn put(&self, _file: &Path, _keep: Keep) -> io::Result<bool> {
        match *self {}
    }

    pub(crate) fn put_below(&self, _folder: &Path) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn move_below(&self, _to: &Self) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn rename(&self, _to: &Self) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn delete(&self) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn delete_below(&self) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn folders(&self) -> io::Result<Vec<String>> {
        match *self {}
    }
}

/// There is none.
#[derive(Debug)]
pub(crate) enum Spool {}

impl Spool {
    pub(crate) fn path(&self) -> &Path {
        match *self {}
    }
}
