//! A file on its way to being whole. Knows nothing of what is written.

use super::{Keep, Spool, remote, writing::sync};
use std::{
    fs::{self, File},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

/// A file that has its real name only once it is whole, and is gone if it never is. What is for a bucket lies on this machine
/// until then.
pub(crate) struct Unfinished {
    path: PathBuf,
    file: BufWriter<File>,
    _spool: Option<Spool>,
    /// It has its name, or is somebody else's business.
    finished: bool,
}

impl Unfinished {
    pub(crate) fn create(folder: &Path, name: &str) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let spool = remote(folder)?.map(|remote| remote.spool()).transpose()?;
        let folder = spool.as_ref().map_or(folder, Spool::path);
        loop {
            // Another machine may have a process of the same number: whoever creates the file has it.
            let path = folder.join(format!("{name}.{}-{}.part", process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
            match File::options().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    return Ok(Self { path, file: BufWriter::new(file), _spool: spool, finished: false });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn finish(mut self, folder: &Path, name: &str) -> io::Result<()> {
        self.file.flush()?;
        if let Some(remote) = remote(&folder.join(name))? {
            return remote.put(&self.path, Keep::Last).map(drop);
        }
        self.file.get_ref().sync_all()?;
        fs::rename(&self.path, folder.join(name))?;
        self.finished = true;
        // The rename itself has to survive a loss of power, before anything builds on it.
        sync(folder)
    }

    /// `false`: there is one of this name already, and it stays.
    pub(crate) fn finish_if_first(mut self, folder: &Path, name: &str) -> io::Result<bool> {
        self.file.flush()?;
        if let Some(remote) = remote(&folder.join(name))? {
            return remote.put(&self.path, Keep::First);
        }
        self.file.get_ref().sync_all()?;
        let first = match fs::hard_link(&self.path, folder.join(name)) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(error),
        };
        sync(folder)?;
        Ok(first)
    }
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Unfinished {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            // A leftover takes room and does no harm.
            let _gone = fs::remove_file(&self.path);
        }
    }
}
