//! A folder as it is compared: every file by name and hash.

use crate::room::Room;
use std::{collections::BTreeMap, fs, path::Path};
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
        let (root, mut files) = (room.at(folder), BTreeMap::new());
        gather(&root, &root, &mut files);
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
    let unreadable = |error| panic!("{} cannot be read: {error}", folder.display());
    for entry in fs::read_dir(folder).unwrap_or_else(unreadable) {
        let path = entry.unwrap_or_else(unreadable).path();
        if path.is_dir() {
            gather(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            files.insert(name, Digest::of(&fs::read(&path).unwrap_or_else(unreadable)));
        }
    }
}
