//! Objects of an S3 bucket. Whose they are is told by the environment, as every S3 program reads it (`AWS_ACCESS_KEY_ID`,
//! `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP`).
//!
//! Calls wait for their answer, as reading a file does, and try again when the network fails. Knows nothing of what is stored.

use super::Stands;
use crate::source::Stamp;
use object_store::{
    Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _, aws::AmazonS3Builder, path::Path as Key,
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    fmt,
    future::Future,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, PoisonError, mpsc},
};
use tokio::runtime::Runtime;
use tokio_stream::StreamExt as _;

/// One object, or all whose keys begin with it and a slash.
#[derive(Clone)]
pub(crate) struct Remote {
    store: Arc<dyn ObjectStore>,
    bucket: String,
    key: Key,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path().display())
    }
}

impl Remote {
    /// `s3://bucket/key`.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let refused = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
        let text = path.to_str().and_then(|path| path.strip_prefix("s3://"));
        let text = text.ok_or_else(|| refused("it is no s3://bucket/key".to_owned()))?;
        let (bucket, key) = text.split_once('/').unwrap_or((text, ""));
        let key = Key::parse(key.trim_end_matches('/')).map_err(|error| refused(error.to_string()))?;
        Ok(Self { store: store(bucket)?, bucket: bucket.to_owned(), key })
    }

    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("s3://{}/{}", self.bucket, self.key))
    }

    /// Where both an object and others below it are there, it is the folder.
    pub(crate) fn stands(&self) -> io::Result<Stands> {
        let Self { store, key, .. } = self.clone();
        awaited(async move {
            match store.list(Some(&key)).next().await {
                Some(Ok(_)) => return Ok(Stands::Folder),
                Some(Err(error)) => return Err(failed(error)),
                None if key.as_ref().is_empty() => return Err(io::ErrorKind::NotFound.into()),
                None => {}
            }
            store.head(&key).await.map(|found| Stands::File(stamp(&found))).map_err(failed)
        })
    }

    /// Every object below, by what follows this key and its slash, sorted.
    pub(crate) fn below(&self) -> io::Result<Vec<(String, Stamp)>> {
        let Self { store, key, .. } = self.clone();
        let mut below = awaited(async move {
            let mut listed = store.list(Some(&key));
            let mut below = Vec::new();
            while let Some(found) = listed.next().await {
                let found = found.map_err(failed)?;
                let rest = found.location.as_ref().strip_prefix(key.as_ref()).unwrap_or_default();
                below.push((rest.trim_start_matches('/').to_owned(), stamp(&found)));
            }
            Ok(below)
        })?;
        below.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(below)
    }

    /// The first bytes, or as many as there are.
    pub(crate) fn start(&self, most: u64) -> io::Result<Vec<u8>> {
        match self.stands()? {
            Stands::File(stamp) if stamp.bytes == 0 => Ok(Vec::new()),
            Stands::File(stamp) => self.read(0..most.min(stamp.bytes)).map(|(start, _)| start),
            Stands::Folder => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    /// Some of its bytes, all of which must be there, and what it looked like when they were read.
    pub(crate) fn read(&self, range: Range<u64>) -> io::Result<(Vec<u8>, Stamp)> {
        let Self { store, key, .. } = self.clone();
        let wanted = range.end - range.start;
        awaited(async move {
            let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
            let answer = store.get_opts(&key, options).await.map_err(failed)?;
            let stamp = stamp(&answer.meta);
            let bytes = answer.bytes().await.map_err(failed)?;
            if bytes.len() as u64 != wanted {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok((bytes.to_vec(), stamp))
        })
    }

    /// All of it; only what it looks like as an `Err` where it is longer than `most`.
    pub(crate) fn whole(&self, most: u64) -> io::Result<Result<(Vec<u8>, Stamp), Stamp>> {
        let Self { store, key, .. } = self.clone();
        awaited(async move {
            let answer = store.get_opts(&key, GetOptions::default()).await.map_err(failed)?;
            let stamp = stamp(&answer.meta);
            if stamp.bytes > most {
                return Ok(Err(stamp));
            }
            let bytes = answer.bytes().await.map_err(failed)?;
            Ok(Ok((bytes.to_vec(), stamp)))
        })
    }
}

/// What tells that an object was not written anew: its length, when it was written, and what its tag hashes to; 0 where the
/// server tells no tag, as some do in listings.
fn stamp(found: &ObjectMeta) -> Stamp {
    let hashed = |tag: &String| Sha256::digest(tag).first_chunk().map_or(0, |first| i64::from_le_bytes(*first));
    Stamp::from((found.size, found.last_modified.timestamp(), found.e_tag.as_ref().map_or(0, hashed)))
}

fn failed(error: Error) -> io::Error {
    let kind = match error {
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => io::ErrorKind::AlreadyExists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// The bucket, opened once in this process.
fn store(bucket: &str) -> io::Result<Arc<dyn ObjectStore>> {
    static OPEN: LazyLock<Mutex<HashMap<String, Arc<dyn ObjectStore>>>> = LazyLock::new(Mutex::default);
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(store) = open.get(bucket) {
        return Ok(store.clone());
    }
    // Whoever was first chose for the process; another choice is as good.
    let _chosen = rustls::crypto::ring::default_provider().install_default();
    let store: Arc<dyn ObjectStore> =
        Arc::new(AmazonS3Builder::from_env().with_bucket_name(bucket).build().map_err(failed)?);
    open.insert(bucket.to_owned(), store.clone());
    Ok(store)
}

/// Waits for an answer on threads of its own, so that it may be asked from anywhere.
fn awaited<T: Send + 'static>(answer: impl Future<Output = io::Result<T>> + Send + 'static) -> io::Result<T> {
    static RUNTIME: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("s3").enable_all().build()
    });
    let runtime = RUNTIME.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
    let (told, heard) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        // Nobody who asked goes away before the answer.
        let _heard = told.send(answer.await);
    });
    heard.recv().map_err(|_| io::Error::other("the call to S3 broke down: this is a bug of sumac"))?
}
