//! Files that are whole or absent, whatever dies in between: written beside, synced, renamed, folder synced.
//!
//! Everything that changes the disk here is a deed, and one place carries deeds out: a test can end the world before any of
//! them. It refuses to know what the bytes mean.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

#[derive(Debug, thiserror::Error)]
#[error("cannot {attempt} {}: {source}: output.dir must be writable and reachable from every worker", path.display())]
pub struct DiskError {
    pub attempt: &'static str,
    pub path: PathBuf,
    pub source: io::Error,
}

impl DiskError {
    fn on<'a>(attempt: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self { attempt, path: path.to_owned(), source }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed<'a> {
    MakeFolder(&'a Path),
    /// The bytes are on the disk when it is done; the name is not.
    Write(&'a Path, &'a [u8]),
    Rename(&'a Path, &'a Path),
    SyncFolder(&'a Path),
    Remove(&'a Path),
    RemoveFolder(&'a Path),
}

fn perform(deed: Deed<'_>) -> io::Result<()> {
    #[cfg(test)]
    crash::before(deed)?;
    match deed {
        Deed::MakeFolder(path) => match fs::create_dir(path) {
            // Another member was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        },
        Deed::Write(path, bytes) => {
            let mut file = File::create(path)?;
            file.write_all(bytes)?;
            sync(&file)
        }
        Deed::Rename(from, to) => fs::rename(from, to),
        Deed::SyncFolder(path) => sync(&File::open(path)?),
        Deed::Remove(path) => fs::remove_file(path),
        Deed::RemoveFolder(path) => fs::remove_dir(path),
    }
}

/// Tests end the world by the thousand, and no power fails in them: there it is enough to have asked.
fn sync(file: &File) -> io::Result<()> {
    if cfg!(test) { Ok(()) } else { file.sync_all() }
}

/// The folder a path is in; of a bare name, the present one.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the folder and those it is in. Its name is durable when this returns, also where another process made it that did
/// not live to sync it.
pub fn make_folder(folder: &Path) -> Result<(), DiskError> {
    let missing: Vec<&Path> =
        folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
    let make = || -> io::Result<()> {
        for path in missing.iter().rev() {
            perform(Deed::MakeFolder(path))?;
            perform(Deed::SyncFolder(folder_of(path)))?;
        }
        if missing.is_empty() { perform(Deed::SyncFolder(folder_of(folder))) } else { Ok(()) }
    };
    make().map_err(DiskError::on("create", folder))
}

/// All of the file or nothing. `draft` tells the file that is written beside it from those of others who write the same one.
pub fn write(path: &Path, draft: &str, bytes: &[u8]) -> Result<(), DiskError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".");
    beside.push(draft);
    let beside = PathBuf::from(beside);
    let put = || -> io::Result<()> {
        perform(Deed::Write(&beside, bytes))?;
        perform(Deed::Rename(&beside, path))?;
        perform(Deed::SyncFolder(folder_of(path)))
    };
    put().map_err(|source| {
        // On a full disk half a file is in the way of those that would fit. What failed first is what is told.
        let _ = perform(Deed::Remove(&beside));
        DiskError::on("write", path)(source)
    })
}

/// Removes these files of a folder, and makes it durable that they are gone.
pub fn remove(folder: &Path, files: &[PathBuf]) -> Result<(), DiskError> {
    for file in files {
        match perform(Deed::Remove(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(DiskError::on("remove", file)(error)),
            _ => {}
        }
    }
    perform(Deed::SyncFolder(folder)).map_err(DiskError::on("sync", folder))
}

/// Removes a folder that is empty.
pub fn remove_folder(folder: &Path) -> Result<(), DiskError> {
    perform(Deed::RemoveFolder(folder)).map_err(DiskError::on("remove", folder))
}

pub fn read(path: &Path) -> Result<Vec<u8>, DiskError> {
    let mut bytes = Vec::new();
    let opened = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
    opened.map_err(DiskError::on("read", path))?;
    Ok(bytes)
}

/// What a folder holds; nothing if it is not there.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(source) => return Err(DiskError::on("list", folder)(source)),
    };
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    paths.map_err(DiskError::on("list", folder))
}

/// The end of the world, for tests: after so many deeds of this thread, none is done any more.
#[cfg(test)]
pub(crate) mod crash {
    use super::Deed;
    use std::{cell::Cell, fs, io};

    /// How much of the file that is being written is on the disk when the end comes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Torn {
        /// It is not even there.
        Absent,
        Empty,
        OneByte,
        Half,
        AllButOne,
        All,
    }

    impl Torn {
        pub(crate) const ALL: [Self; 6] =
            [Self::Absent, Self::Empty, Self::OneByte, Self::Half, Self::AllButOne, Self::All];

        /// How many of so many bytes; none where the file is absent.
        pub(crate) fn of(self, len: usize) -> Option<usize> {
            match self {
                Self::Absent => None,
                Self::Empty => Some(0),
                Self::OneByte => Some(len.min(1)),
                Self::Half => Some(len / 2),
                Self::AllButOne => Some(len.saturating_sub(1)),
                Self::All => Some(len),
            }
        }
    }

    thread_local! {
        /// Deeds that are still done, and how the write is torn that comes next.
        static LEFT: Cell<Option<(usize, Torn)>> = const { Cell::new(None) };
        static DONE: Cell<usize> = const { Cell::new(0) };
    }

    /// Does `act`, in a world that ends after so many deeds; says whether it ended.
    pub(crate) fn after<T>(deeds: usize, torn: Torn, act: impl FnOnce() -> T) -> (T, bool) {
        DONE.set(0);
        LEFT.set(Some((deeds, torn)));
        let done = act();
        let ended = DONE.get() > deeds;
        LEFT.set(None);
        (done, ended)
    }

    pub(super) fn before(deed: Deed<'_>) -> io::Result<()> {
        let Some((deeds, torn)) = LEFT.get() else { return Ok(()) };
        DONE.set(DONE.get() + 1);
        if DONE.get() <= deeds {
            return Ok(());
        }
        if DONE.get() == deeds + 1
            && let Deed::Write(path, bytes) = deed
            && let Some(len) = torn.of(bytes.len())
        {
            fs::write(path, &bytes[..len])?;
        }
        Err(io::Error::other("the world has ended"))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        crash::{Torn, after},
        *,
    };

    #[test]
    fn a_file_is_the_old_one_or_the_new_one_at_every_moment() {
        for torn in Torn::ALL {
            for deeds in 0.. {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("file");
                write(&path, "old", b"before").unwrap();
                let (_, ended) = after(deeds, torn, || write(&path, "new", b"afterwards"));
                let there = fs::read(&path).unwrap();
                let renamed = deeds >= 2;
                assert_eq!(there, if renamed { b"afterwards".as_slice() } else { b"before" }, "{torn:?} after {deeds}");
                if !ended {
                    break;
                }
            }
        }
    }

    #[test]
    fn a_write_that_fails_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        // A folder cannot be replaced by a file.
        fs::create_dir(&path).unwrap();
        let error = write(&path, "part", b"bytes").unwrap_err().to_string();
        assert!(error.starts_with("cannot write") && error.contains("output.dir must be writable"), "{error}");
        assert_eq!(list(folder.path()).unwrap(), [path]);
    }
}
