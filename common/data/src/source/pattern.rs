//! Names that stand for several tars or parquet files: `train-{000000..000127}.tar`, `{train,extra}-0.tar`, `train-*.parquet`.
//!
//! Only the last part of a path is a pattern. A number that is named has to be there; what `*` and `?` find is what there is.
//! Knows nothing of what the files hold.

use super::{
    SourceError,
    named::named_parquet,
    shard::{Shard, is_shard},
};
use crate::storage;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Most names one pattern may stand for.
const NAMES_MAX: usize = 1_000_000;

/// The folder and the shards in it that `path` names, in the order of their names; `None` if it is no pattern.
pub(super) fn shards(path: &Path) -> Result<Option<(PathBuf, Vec<Shard>)>, SourceError> {
    let Some(pattern) = path.file_name().and_then(|name| name.to_str()) else { return Ok(None) };
    if !pattern.contains(['{', '*', '?']) {
        return Ok(None);
    }
    let too_many = || SourceError::TooManyShards { path: path.to_owned(), most: NAMES_MAX };
    let spelled = spelled_out(pattern).ok_or_else(too_many)?;
    let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let root = storage::canonical(beside).map_err(|source| SourceError::unreadable(beside, source))?;
    let there = names_in(&root)?;
    let (globs, exact): (Vec<String>, Vec<String>) = spelled.into_iter().partition(|name| name.contains(['*', '?']));

    let missing: Vec<&String> = exact.iter().filter(|name| !there.contains(*name)).collect();
    if let Some(first) = missing.first() {
        let (of, missing) = (exact.len(), missing.len());
        return Err(SourceError::ShardsMissing { path: path.to_owned(), of, missing, first: (*first).clone() });
    }
    let found = there.iter().filter(|name| globs.iter().any(|glob| fits(glob.as_bytes(), name.as_bytes())));
    let names: BTreeSet<&String> = exact.iter().chain(found).collect();
    if names.is_empty() {
        return Err(SourceError::NothingNamedSo { path: path.to_owned() });
    }
    let all_parquet = names.iter().all(|name| named_parquet(Path::new(name)));
    if let Some(file) = names.iter().find(|name| !all_parquet && !is_shard(Path::new(name))) {
        return Err(SourceError::NotOnlyShards { path: path.to_owned(), file: (*file).clone() });
    }
    let shard = |name: &String| Shard { path: root.join(name), name: name.clone() };
    let shards = names.into_iter().map(shard).collect();
    Ok(Some((root, shards)))
}

fn names_in(folder: &Path) -> Result<BTreeSet<String>, SourceError> {
    let unreadable = |source| SourceError::unreadable(folder, source);
    let names = storage::names(folder).map_err(unreadable)?;
    Ok(names.into_iter().filter(|name| !name.starts_with('.')).collect())
}

/// Every name its braces stand for; `None` if they are too many. A brace that is none is a letter.
fn spelled_out(pattern: &str) -> Option<Vec<String>> {
    let brace = pattern.split_once('{').and_then(|(before, rest)| {
        let (inside, after) = rest.split_once('}')?;
        Some((before, choices(inside)?, after))
    });
    let Some((before, choices, after)) = brace else { return Some(vec![pattern.to_owned()]) };
    let afters = spelled_out(after)?;
    if choices.len().checked_mul(afters.len())? > NAMES_MAX {
        return None;
    }
    let name = |choice: &String| afters.iter().map(|after| format!("{before}{choice}{after}")).collect::<Vec<_>>();
    Some(choices.iter().flat_map(name).collect())
}

/// `000..127` or `a,b,c`; `None` if it is neither.
fn choices(inside: &str) -> Option<Vec<String>> {
    let Some((from, to)) = inside.split_once("..") else {
        return inside.contains(',').then(|| inside.split(',').map(str::to_owned).collect());
    };
    let (first, last): (u64, u64) = (from.parse().ok()?, to.parse().ok()?);
    // As a shell does it: a leading nought asks for the width.
    let wide = |text: &str| if text.starts_with('0') { text.len() } else { 0 };
    let width = wide(from).max(wide(to));
    // One too many is enough to be told that they are.
    let last = last.min(first.saturating_add(NAMES_MAX as u64));
    Some((first..=last).map(|number| format!("{number:0width$}")).collect())
}

/// Whether `name` is what `glob` stands for: `*` for any letters, `?` for one byte.
fn fits(glob: &[u8], name: &[u8]) -> bool {
    let (mut at, mut reached) = (0, 0);
    // The last star, and how far it is taken to reach.
    let mut star: Option<(usize, usize)> = None;
    while at < name.len() {
        match glob.get(reached) {
            Some(b'*') => {
                star = Some((reached, at));
                reached += 1;
            }
            Some(&letter) if letter == b'?' || letter == name[at] => {
                at += 1;
                reached += 1;
            }
            _ => {
                let Some((of, end)) = star else { return false };
                star = Some((of, end + 1));
                at = end + 1;
                reached = of + 1;
            }
        }
    }
    glob[reached..].iter().all(|&letter| letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_spell_out_numbers_of_one_width_and_words() {
        assert_eq!(spelled_out("a-{08..11}.tar").unwrap(), ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]);
        assert_eq!(spelled_out("{9..10}").unwrap(), ["9", "10"]);
        assert_eq!(spelled_out("{a,b}{1..2}").unwrap(), ["a1", "a2", "b1", "b2"]);
        assert_eq!(spelled_out("{one}.tar").unwrap(), ["{one}.tar"]);
        assert_eq!(spelled_out("open{1..2").unwrap(), ["open{1..2"]);
    }

    #[test]
    fn braces_that_stand_for_too_many_are_not_spelled_out() {
        assert_eq!(spelled_out("{0..99999999999999}"), None);
        assert_eq!(spelled_out("{0..9999}{0..9999}{0..9999}"), None);
    }

    #[test]
    fn stars_and_question_marks_stand_for_letters() {
        for (glob, name, fit) in [
            ("*.tar", "a.tar", true),
            ("*.tar", "a.tar.gz", false),
            ("a*b*c", "aXbXbYc", true),
            ("a*b*c", "aXbXbY", false),
            ("?.tar", "a.tar", true),
            ("?.tar", "ab.tar", false),
            ("**", "", true),
        ] {
            assert_eq!(fits(glob.as_bytes(), name.as_bytes()), fit, "{glob} {name}");
        }
    }
}
