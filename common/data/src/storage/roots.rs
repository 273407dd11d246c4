//! The folders that a worker may touch. A job's paths come from whoever may submit one; what lies outside is refused before it is
//! looked at. Knows nothing of jobs.

use super::{canonical, is_remote};
use std::{
    fmt, io,
    path::{Component, Path, PathBuf},
};

/// None at all: everything may be touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots(Vec<PathBuf>);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` lies in none of this worker's data roots ({roots}): move it there, or start the worker with another --data-root", path.display())]
pub struct Outside {
    path: PathBuf,
    roots: Roots,
}

impl fmt::Display for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<_> = self.0.iter().map(|root| root.display().to_string()).collect();
        f.write_str(&shown.join(", "))
    }
}

impl Roots {
    /// # Errors
    /// The first that is not there.
    pub fn new(folders: &[PathBuf]) -> Result<Self, (PathBuf, io::Error)> {
        let whole = |folder: &PathBuf| match is_remote(folder) {
            // Whether a bucket can be reached is seen when something in it is wanted.
            true => Ok(folder.clone()),
            false => canonical(folder).map_err(|error| (folder.clone(), error)),
        };
        folders.iter().map(whole).collect::<Result<_, _>>().map(Self)
    }

    /// Whether `path` lies in one of them, wherever links on the way lead. It need not be there yet.
    ///
    /// # Errors
    /// If it lies in none.
    pub fn admit(&self, path: &Path) -> Result<(), Outside> {
        let is_inside = |whole: PathBuf| self.0.iter().any(|root| whole.starts_with(root));
        if self.0.is_empty() || led(path).is_some_and(is_inside) {
            return Ok(());
        }
        Err(Outside { path: path.to_owned(), roots: self.clone() })
    }
}

/// Where a path leads: the nearest folder above it that is there without its links, and the rest. `None` if the rest goes back.
fn led(path: &Path) -> Option<PathBuf> {
    let goes_back = |rest: &Path| rest.components().any(|part| matches!(part, Component::ParentDir));
    if is_remote(path) {
        return Some(path.to_owned()).filter(|path| !goes_back(path));
    }
    let (there, whole) = path.ancestors().find_map(|above| Some((above, std::fs::canonicalize(above).ok()?)))?;
    let rest = path.strip_prefix(there).ok().filter(|rest| !goes_back(rest))?;
    Some(if rest.as_os_str().is_empty() { whole } else { whole.join(rest) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn only_what_lies_below_a_root_is_admitted_wherever_links_lead() {
        let room = tempfile::tempdir().unwrap();
        let at = |name: &str| room.path().join(name);
        ["data/eyes", "secret", "database"].iter().for_each(|name| fs::create_dir_all(at(name)).unwrap());
        symlink(at("secret"), at("data/out")).unwrap();
        symlink(at("data/eyes"), at("in")).unwrap();
        let roots = Roots::new(&[at("data"), "s3://lab/sets".into()]).unwrap();
        for name in ["data", "data/eyes", "data/new/{0..9}.tar", "in", "in/1.png", "secret/../data/eyes"] {
            assert_eq!(roots.admit(&at(name)), Ok(()), "{name}");
        }
        for name in ["", "secret", "database", "data/out", "data/out/new", "data/../secret", "data/new/../../secret"] {
            assert!(roots.admit(&at(name)).is_err(), "{name}");
        }
        assert_eq!(roots.admit(Path::new("s3://lab/sets/eyes")), Ok(()));
        for name in ["s3://lab/setsand", "s3://other/sets/eyes", "s3://lab/sets/../keys"] {
            assert!(roots.admit(Path::new(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn without_roots_everything_is_admitted() {
        assert_eq!(Roots::new(&[]).unwrap().admit(Path::new("/nowhere/at/all")), Ok(()));
    }

    #[test]
    fn a_root_that_is_not_there_is_named() {
        let room = tempfile::tempdir().unwrap();
        let missing = room.path().join("missing");
        assert_eq!(Roots::new(std::slice::from_ref(&missing)).unwrap_err().0, missing);
    }
}
