//! Paths that name something else than a file or a folder: a part of a file, several files by a pattern, a column of these.
//!
//! Knows nothing of what is in them but how they start.

use super::{
    Source, SourceError,
    folder::{Folder, ending, start_of},
    npy, pattern,
    shard::Shard,
};
use crate::storage;
use std::path::{Path, PathBuf};

impl Source {
    /// What a path stands for where nothing is; `None` if it is for nothing.
    pub(super) fn named(path: &Path) -> Option<Result<Self, SourceError>> {
        if let Some((file, part)) = part_of(path) {
            return Some(start_of(&file).and_then(|start| match start {
                start if is_hdf5(&start) => Self::hdf5(&file, Some(&part), None),
                start if is_parquet(&start) => Self::parquet_file(&file, Some(&part)),
                _ => Self::npz(&file, Some(&part)),
            }));
        }
        match pattern::shards(path) {
            Ok(None) => Self::column_of_several(path),
            Ok(Some((root, files))) => Some(Self::pattern(root, files, None)),
            Err(error) => Some(Err(error)),
        }
    }

    /// A single file is the root of its keys.
    pub(super) fn parquet_file(path: &Path, named: Option<&str>) -> Result<Self, SourceError> {
        let file = Shard { name: String::new(), path: path.to_owned() };
        Self::parquet(path.to_owned(), vec![file], named, Vec::new())
    }

    /// All of them tars, or all of them parquet.
    fn pattern(root: PathBuf, files: Vec<Shard>, named: Option<&str>) -> Result<Self, SourceError> {
        match files.first() {
            Some(first) if named_parquet(&first.path) => Self::parquet(root, files, named, Vec::new()),
            _ => Ok(Self::shards(root, files, Vec::new())),
        }
    }

    /// The column that is named behind a folder or a pattern of parquet files.
    fn column_of_several(path: &Path) -> Option<Result<Self, SourceError>> {
        let (of, named) = (path.parent()?, path.file_name()?.to_str()?);
        let source = if let Ok(Some((root, files))) = pattern::shards(of) {
            files.iter().all(|file| named_parquet(&file.path)).then(|| Self::pattern(root, files, Some(named)))
        } else {
            // What is mistyped is not worth going through all that lies around it.
            storage::names(of).ok()?.iter().find(|name| named_parquet(Path::new(name)))?;
            let root = storage::canonical(of).ok()?;
            let folder = Folder::walk(&root).ok().filter(|folder| folder.images.is_empty())?;
            folder.parquets().map(|files| Self::parquet_folder(root, folder, files, Some(named)))
        };
        source.map(|source| match source {
            Err(SourceError::Missing { .. }) => Err(SourceError::Missing { path: path.to_owned() }),
            source => source,
        })
    }

    /// All parquet files of a folder, and what lies beside them.
    pub(super) fn parquet_folder(
        root: PathBuf,
        folder: Folder,
        files: Vec<Shard>,
        named: Option<&str>,
    ) -> Result<Self, SourceError> {
        let others = super::beside(&root, folder.others).into_iter().filter(|other| !named_parquet(&other.path));
        Self::parquet(root, files, named, others.collect())
    }
}

/// Whether a file starts like an HDF5 file.
pub(super) fn is_hdf5(start: &[u8]) -> bool {
    start.starts_with(b"\x89HDF\r\n\x1a\n")
}

/// Whether a file starts like a parquet file.
pub(super) fn is_parquet(start: &[u8]) -> bool {
    start.starts_with(b"PAR1")
}

/// What is called so in a folder is meant to be one, whatever it starts like.
pub(super) fn named_parquet(path: &Path) -> bool {
    ending(path).as_deref() == Some("parquet")
}

/// The file and the part of it that `set.npz/x_train`, `gaze.h5/eyes/image` or `set.parquet/photo` names.
fn part_of(path: &Path) -> Option<(PathBuf, String)> {
    let file = path.ancestors().skip(1).find(|path| storage::stamp(path).is_ok())?;
    let named = path.strip_prefix(file).ok()?.to_str()?.to_owned();
    let file = storage::canonical(file).ok()?;
    let start = start_of(&file).ok()?;
    (is_hdf5(&start) || is_parquet(&start) || npy::is_npz(&file)).then_some((file, named))
}
