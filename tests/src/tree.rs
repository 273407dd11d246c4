//! A folder as it is compared: every file by name and hash.

use crate::room::Room;
use std::{collections::BTreeMap, fs, io, path::Path};
use sumac_common::ids::Digest;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree(pub BTreeMap<String, Digest>);

impl Tree {
    /// Of a folder below the room.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn of(room: &Room, folder: &str) -> Self {
        Self::at(&room.at(folder))
    }

    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        let mut files = BTreeMap::new();
        gather(root, root, &mut files);
        Self(files)
    }

    /// What tells it from the other, if anything does.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        let names = self.0.keys().chain(other.0.keys());
        names.into_iter().find(|name| self.0.get(*name) != other.0.get(*name)).map(|name| {
            let is = |tree: &Self| tree.0.get(name).map_or_else(|| "missing".to_owned(), Digest::short);
            format!("{name} is {}, not {}", is(self), is(other))
        })
    }

    /// # Panics
    /// If any file differs.
    #[track_caller]
    pub fn assert_same(&self, other: &Self, which: &str) {
        if let Some(difference) = self.difference(other) {
            panic!("{which}: {difference}");
        }
    }
}

fn gather(root: &Path, folder: &Path, files: &mut BTreeMap<String, Digest>) {
    for entry in read(folder, fs::read_dir(folder)) {
        let path = read(folder, entry).path();
        if path.is_dir() {
            gather(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            files.insert(name, Digest::of(&read(&path, fs::read(&path))));
        }
    }
}

fn read<T>(path: &Path, result: io::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()))
}
