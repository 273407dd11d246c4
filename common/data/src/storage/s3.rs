//! Objects of an S3 bucket. Whose they are is told by the environment, as every S3 program reads it (`AWS_ACCESS_KEY_ID`,
//! `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP`).
//!
//! Calls wait for their answer, as reading a file does, and try again when the network fails. Knows nothing of what is stored.

use super::{Keep, Stands};
use crate::source::Stamp;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::{
    Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, WriteMultipart,
    aws::{AmazonS3Builder, S3CopyIfNotExists},
    path::Path as Key,
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{HashMap, hash_map::RandomState},
    fmt, fs,
    future::Future,
    hash::{BuildHasher as _, Hasher as _},
    io::{self, Read as _},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, PoisonError, mpsc},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Calls in flight at once where there are many to make: one of them takes long, and S3 takes thousands.
const AT_ONCE: usize = 16;
/// Longer files go up in pieces of so many bytes.
const PIECE: usize = 16 << 20;

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
        Ok(Self { store: store(bucket)?, bucket: bucket.to_owned(), key: parsed(key.trim_end_matches('/'))? })
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

impl Remote {
    /// A folder of this machine, for what goes up once it is whole. It goes when it is dropped.
    pub(crate) fn spool(&self) -> io::Result<Spool> {
        tempfile::Builder::new().prefix("sumac-").tempdir().map(|folder| Spool { folder })
    }

    /// A file of this machine becomes this object, which is there whole or not at all. `false`: the first one is kept, and was there.
    pub(crate) fn put(&self, file: &Path, keep: Keep) -> io::Result<bool> {
        let (Self { store, key, .. }, mut file) = (self.clone(), fs::File::open(file)?);
        let is_short = file.metadata()?.len() <= PIECE as u64;
        let put = async move {
            let mut piece = Vec::new();
            if is_short {
                file.read_to_end(&mut piece)?;
                let mode = if keep == Keep::First { PutMode::Create } else { PutMode::Overwrite };
                return store.put_opts(&key, piece.into(), mode.into()).await.map(|_| ()).map_err(failed);
            }
            // Pieces come together without asking who was first, so they do elsewhere, and are copied to where that is asked.
            let aside = match keep {
                Keep::First => parsed(format!("{key}.{:016x}.part", RandomState::new().build_hasher().finish()))?,
                Keep::Last => key.clone(),
            };
            let mut upload =
                WriteMultipart::new_with_chunk_size(store.put_multipart(&aside).await.map_err(failed)?, PIECE);
            while file.by_ref().take(PIECE as u64).read_to_end(&mut piece)? > 0 {
                upload.wait_for_capacity(2).await.map_err(failed)?;
                upload.put(std::mem::take(&mut piece).into());
            }
            upload.finish().await.map_err(failed)?;
            if aside == key {
                return Ok(());
            }
            let copied = store.copy_if_not_exists(&aside, &key).await.map_err(failed);
            store.delete(&aside).await.map_err(failed)?;
            copied
        };
        match awaited(put) {
            Ok(()) => Ok(true),
            Err(error) if keep == Keep::First && error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Every file below a folder of this machine, to the same place below this key.
    pub(crate) fn put_below(&self, folder: &Path) -> io::Result<()> {
        let mut files = Vec::new();
        below_here(folder, "", &mut files)?;
        let Self { store, key, .. } = self.clone();
        let put = move |(name, path): (String, PathBuf)| {
            let (store, key) = (store.clone(), under(&key, &name));
            async move { store.put(&key?, fs::read(path)?.into()).await.map(drop).map_err(failed) }
        };
        // What is long goes by itself, in pieces.
        let (short, long): (Vec<_>, Vec<_>) = files.into_iter().partition(|(.., bytes)| *bytes <= PIECE as u64);
        for (name, path, _) in long {
            Self { key: under(&self.key, &name)?, ..self.clone() }.put(&path, Keep::Last)?;
        }
        let short = short.into_iter().map(|(name, path, _)| Ok((name, path)));
        awaited(async move { stream::iter(short).try_for_each_concurrent(AT_ONCE, put).await })
    }

    /// Every object below this key to the same place below another one of the same bucket. What somebody else has moved at the
    /// same time is moved.
    pub(crate) fn move_below(&self, to: &Self) -> io::Result<()> {
        let names = self.below()?.into_iter().map(|(name, _)| Ok(name));
        let (Self { store, key: from, .. }, to) = (self.clone(), to.key.clone());
        awaited(async move {
            let moved = |name: String| {
                let (store, from, to) = (store.clone(), under(&from, &name), under(&to, &name));
                async move { moved(store.as_ref(), &from?, &to?).await }
            };
            stream::iter(names).try_for_each_concurrent(AT_ONCE, moved).await
        })
    }

    /// This object under another key of the same bucket.
    pub(crate) fn rename(&self, to: &Self) -> io::Result<()> {
        let (Self { store, key: from, .. }, to) = (self.clone(), to.key.clone());
        awaited(async move { moved(store.as_ref(), &from, &to).await })
    }

    pub(crate) fn delete(&self) -> io::Result<()> {
        let Self { store, key, .. } = self.clone();
        awaited(async move { store.delete(&key).await.map_err(failed) })
    }

    pub(crate) fn delete_below(&self) -> io::Result<()> {
        let Self { store, key, .. } = self.clone();
        awaited(async move {
            let keys = store.list(Some(&key)).map_ok(|found| found.location).boxed();
            store.delete_stream(keys).try_collect::<Vec<_>>().await.map(drop).map_err(failed)
        })
    }

    /// The first parts of the keys that go on.
    pub(crate) fn folders(&self) -> io::Result<Vec<String>> {
        let Self { store, key, .. } = self.clone();
        awaited(async move {
            let listed = store.list_with_delimiter(Some(&key)).await.map_err(failed)?;
            Ok(listed.common_prefixes.iter().filter_map(|folder| Some(folder.filename()?.to_owned())).collect())
        })
    }
}

/// A folder of this machine.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: TempDir,
}

impl Spool {
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// S3 cannot rename: it copies within itself, and deletes.
async fn moved(store: &dyn ObjectStore, from: &Key, to: &Key) -> io::Result<()> {
    match store.copy(from, to).await {
        Ok(()) => store.delete(from).await.map_err(failed),
        Err(Error::NotFound { .. }) => store.head(to).await.map(drop).map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

/// As it is, where others would escape it.
fn parsed(key: impl AsRef<str>) -> io::Result<Key> {
    Key::parse(key).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

fn under(key: &Key, name: &str) -> io::Result<Key> {
    parsed(if key.as_ref().is_empty() { name.to_owned() } else { format!("{key}/{name}") })
}

/// Every file below a folder of this machine: its name with `/`, its path and its length.
fn below_here(folder: &Path, above: &str, files: &mut Vec<(String, PathBuf, u64)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let (entry, refused) = (entry?, "a name that is no UTF-8 cannot be written to a bucket");
        let name = entry.file_name().into_string().map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, refused))?;
        let (name, found) = (format!("{above}{name}"), entry.metadata()?);
        if found.is_dir() {
            below_here(&entry.path(), &format!("{name}/"), files)?;
        } else {
            files.push((name, entry.path(), found.len()));
        }
    }
    Ok(())
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
    let builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    let store: Arc<dyn ObjectStore> =
        Arc::new(builder.with_copy_if_not_exists(S3CopyIfNotExists::Multipart).build().map_err(failed)?);
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
