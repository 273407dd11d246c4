//! The map of ARCHITECTURE.md, held against what cargo and the sources say.
//!
//! Each test is one arrow or one wall. Where one of them fails, either the change is in the wrong place, or the map has changed:
//! then say so in ARCHITECTURE.md and here. Knows nothing of what the code does.
#![allow(clippy::unwrap_used)] // a suite: what cannot be read fails it

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The crates, and which of them each may depend on.
const ARROWS: [(&str, &[&str]); 7] = [
    ("sumac-common", &[]),
    ("sumac-data", &["sumac-common"]),
    ("sumac-proto", &["sumac-common"]),
    ("sumac", &["sumac-common", "sumac-data", "sumac-proto"]),
    ("sumac-worker", &["sumac-common", "sumac-data", "sumac-proto"]),
    // Starts the worker as a process; depending on it would ask every plain `cargo test` for libtorch.
    ("sumac-tests", &["sumac-common", "sumac-data", "sumac-proto", "sumac"]),
    ("sumac-tests-s3", &["sumac-common", "sumac-data", "sumac-tests"]),
];

/// What a plain `cargo test` passes over: libtorch, and a server of S3 with two hundred crates of its own.
const NOT_BY_DEFAULT: [&str; 2] = ["sumac-worker", "sumac-tests-s3"];

/// All that the rules may know. Nothing with a socket, a file, a clock, dice or a tensor in it.
const RULES_DEPEND_ON: [&str; 7] = ["rand_chacha", "serde", "serde_json", "sha2", "strsim", "thiserror", "toml"];

const TENSORS_ARE_NAMED_IN: [&str; 7] = [
    "worker/src/simgan/",
    "worker/src/downstream/",
    "worker/src/native/",
    "worker/src/link/c10d.rs",
    "worker/src/fingerprint.rs",
    "worker/src/main.rs", // the number of threads, before any other starts
    "worker/examples/",   // what judges and times a run
];

const THE_WIRE_IS_NAMED_IN: [&str; 7] = [
    "proto/",
    "coordinator/src/rpc.rs",
    "coordinator/src/rpc/",
    "coordinator/src/serve.rs",      // starts the server
    "coordinator/src/cli/dial.rs",   // what the command line and `up` call with
    "coordinator/src/cli/follow.rs", // a stream's end
    "worker/src/session.rs",
];

const UNSAFE_IS_ALLOWED_IN: [&str; 1] = ["worker/src/native/"];

/// Coordinator and worker never name each other: neither has an arrow to the other.
#[test]
fn arrows_between_crates_point_one_way() {
    let house = House::look();
    let known: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    let there: BTreeSet<&str> = house.crates.keys().map(String::as_str).collect();
    assert_eq!(there, known, "the workspace has other members than the map");
    for (name, may) in ARROWS {
        let ours: BTreeSet<&str> = house.dependencies(name, |_| true).filter(|on| known.contains(on)).collect();
        let may = may.iter().copied().collect();
        let wrong: Vec<_> = ours.difference(&may).collect();
        assert!(wrong.is_empty(), "{name} depends on {wrong:?}, which lies in the other direction");
    }
}

#[test]
fn the_rules_depend_on_their_list_and_nothing_else() {
    let house = House::look();
    let there: BTreeSet<&str> = house.dependencies("sumac-common", |kind| kind != "dev").collect();
    assert_eq!(there, RULES_DEPEND_ON.into(), "the rules are pure: a dependency enters them by being argued for here");
}

///
#[test]
fn only_the_worker_depends_on_libtorch() {
    let house = House::look();
    let lock = fs::read_to_string(house.root.join("Cargo.lock")).unwrap();
    for name in house.crates.keys() {
        let below = all_below(name, &lock);
        assert!(below.len() > 3, "{name} depends on {below:?} only: is the lock read rightly?");
        let libtorch = below.contains("tch") || below.contains("torch-sys");
        assert_eq!(libtorch, name == "sumac-worker", "{name} and libtorch");
    }
}

///
#[test]
fn a_plain_cargo_test_leaves_the_worker_out() {
    let house = House::look();
    let default = house.metadata["workspace_default_members"].as_array().expect("cargo names the default members");
    let named = |name: &str| default.contains(&house.crates[name]["id"]);
    assert!(!named("sumac-worker"), "the worker is a default member: every plain `cargo test` would ask for libtorch");
    for (name, _) in ARROWS {
        let wanted = !NOT_BY_DEFAULT.contains(&name);
        assert_eq!(named(name), wanted, "{name}: whether a plain `cargo test` passes over it");
    }
}

#[test]
fn tensors_are_named_only_where_learning_and_the_shim_are() {
    House::look().only_in("tch", &TENSORS_ARE_NAMED_IN);
    House::look().only_in("torch_sys", &TENSORS_ARE_NAMED_IN);
}

#[test]
fn the_wire_is_named_only_at_the_edge() {
    House::look().only_in("tonic", &THE_WIRE_IS_NAMED_IN);
    // The messages of TensorBoard are no words of ours.
    let with_theirs = [&THE_WIRE_IS_NAMED_IN[..], &["worker/src/board.rs"]].concat();
    House::look().only_in("prost", &with_theirs);
}

#[test]
fn unsafe_code_lies_behind_the_shim() {
    House::look().only_in("unsafe", &UNSAFE_IS_ALLOWED_IN);
}

#[test]
fn every_module_opens_with_its_purpose() {
    let house = House::look();
    let mute: Vec<_> = house.shipped().filter(|file| !file.text.starts_with("//!")).map(|file| &file.path).collect();
    assert!(mute.is_empty(), "{mute:?} do not open with `//!`: what it is, and what it refuses to know");
}

/// The lint finds each; here is seen to it that the lint is on, everywhere.
#[test]
fn unwrap_is_linted_against_in_every_crate() {
    let house = House::look();
    let root = fs::read_to_string(house.root.join("Cargo.toml")).unwrap();
    let on = |lint: &str| root.lines().any(|line| line.starts_with(lint) && !line.contains("= \"allow\""));
    assert!(on("unwrap_used") && on("unsafe_code"), "a lint was taken out of the workspace's list");
    for (name, member) in &house.crates {
        let manifest = fs::read_to_string(member["manifest_path"].as_str().unwrap()).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name} does not take the workspace's lints");
    }
    house.only_in("unwrap_used", &[]);
}

/// A map that names what is not there is worse than none.
#[test]
fn every_path_and_test_that_the_map_names_exists() {
    let house = House::look();
    let map = fs::read_to_string(house.root.join("ARCHITECTURE.md")).unwrap();
    let quoted: Vec<&str> = map.split('`').skip(1).step_by(2).collect();
    let is_test = |name: &&str| {
        name.len() > 15 && name.contains('_') && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    let tests: Vec<&str> = quoted.iter().copied().filter(is_test).collect();
    let is_path = |name: &&str| name.contains('/') && !name.contains([' ', '*', '<', ':']);
    let paths: Vec<&str> = quoted.iter().copied().filter(is_path).collect();
    assert!(tests.len() > 10 && paths.len() > 10, "the map names hardly anything: is it read rightly?");

    let scripts = house.root.join("common/rules/tests/membership");
    let exists = |test: &str| {
        scripts.join(format!("{test}.txt")).is_file()
            || house.sources.iter().any(|file| file.text.contains(&format!("fn {test}(")))
    };
    let gone: Vec<_> = tests.into_iter().filter(|test| !exists(test)).collect();
    assert!(gone.is_empty(), "ARCHITECTURE.md names tests that do not exist: {gone:?}");
    let gone: Vec<_> = paths.into_iter().filter(|path| !house.root.join(path).exists()).collect();
    assert!(gone.is_empty(), "ARCHITECTURE.md names paths that do not exist: {gone:?}");
}

#[test]
fn comments_name_nothing() {
    let file = |text: &str| Source { path: String::new(), text: text.to_owned() };
    assert!(!file("// tch\nlet patch = 1; // unsafe").names("tch"));
    assert!(!file("#![forbid(unsafe_code)]").names("unsafe"));
    assert!(file("use tch::Tensor;").names("tch"));
}

/// The repository, as cargo and the file system show it.
struct House {
    root: PathBuf,
    metadata: Value,
    crates: BTreeMap<String, Value>,
    sources: Vec<Source>,
}

struct Source {
    /// From the root, with `/`.
    path: String,
    text: String,
}

impl House {
    fn look() -> Self {
        let metadata = cargo(&["metadata", "--offline", "--locked", "--no-deps", "--format-version", "1"]);
        let metadata: Value = serde_json::from_str(&metadata).unwrap();
        let root = PathBuf::from(metadata["workspace_root"].as_str().unwrap());
        let packages = metadata["packages"].as_array().unwrap();
        let crates = packages.iter().map(|package| (package["name"].as_str().unwrap().to_owned(), package.clone()));
        let crates: BTreeMap<_, _> = crates.collect();
        let mut sources = Vec::new();
        for member in crates.values() {
            let manifest = Path::new(member["manifest_path"].as_str().unwrap());
            gather(manifest.parent().unwrap(), &root, &mut sources);
        }
        // A crate may lie below another one.
        sources.sort_by(|one, other| one.path.cmp(&other.path));
        sources.dedup_by(|one, other| one.path == other.path);
        assert!(sources.len() > 50, "only {} source files found: looked in the wrong place?", sources.len());
        Self { root, metadata, crates, sources }
    }

    /// The direct ones whose kind (`normal`, `build`, `dev`) is asked for.
    fn dependencies(&self, name: &str, of: impl Fn(&str) -> bool) -> impl Iterator<Item = &str> {
        let all = self.crates[name]["dependencies"].as_array().unwrap();
        let asked = all.iter().filter(move |dependency| of(dependency["kind"].as_str().unwrap_or("normal")));
        asked.map(|dependency| dependency["name"].as_str().unwrap())
    }

    /// What is not a test.
    fn shipped(&self) -> impl Iterator<Item = &Source> {
        let is_test = |path: &str| {
            let begins = ["tests/suites/", "tests/s3/"].iter().any(|folder| path.starts_with(folder));
            begins || path.contains("/tests/") || path.ends_with("/tests.rs")
        };
        self.sources.iter().filter(move |file| !is_test(&file.path))
    }

    fn only_in(&self, word: &str, places: &[&str]) {
        let named = |file: &&Source| file.names(word) && !places.iter().any(|place| file.path.starts_with(place));
        let wrong: Vec<_> = self.shipped().filter(named).map(|file| &file.path).collect();
        assert!(wrong.is_empty(), "`{word}` is named in {wrong:?}; its places are {places:?}");
        for place in places {
            assert!(self.root.join(place).exists(), "{place} is allowed to name `{word}` and does not exist");
        }
    }
}

impl Source {
    /// Whether this word stands in the code; comments do not count, and a word inside a string does.
    fn names(&self, word: &str) -> bool {
        let code = self.text.lines().map(|line| line.split("//").next().unwrap_or_default());
        code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_')).any(|found| found == word)
    }
}

fn gather(folder: &Path, root: &Path, into: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            gather(&path, root, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            into.push(Source { path, text });
        }
    }
}

/// Whatever a package may come to depend on, by name, through any feature and for any platform.
fn all_below<'l>(name: &'l str, lock: &'l str) -> BTreeSet<&'l str> {
    let quoted = |line: &'l str| line.split('"').nth(1)?.split(' ').next();
    let packages: Vec<(&str, Vec<&str>)> = lock
        .split("[[package]]")
        .filter_map(|package| {
            let name = quoted(package.lines().find(|line| line.starts_with("name = "))?)?;
            let (_, dependencies) = package.split_once("dependencies = [").unwrap_or_default();
            Some((name, dependencies.lines().filter_map(quoted).collect()))
        })
        .collect();
    let mut below = BTreeSet::new();
    let mut rest = vec![name];
    while let Some(name) = rest.pop() {
        let on = packages.iter().filter(|(package, _)| *package == name).flat_map(|(_, on)| on);
        rest.extend(on.copied().filter(|on| below.insert(*on)));
    }
    below
}

fn cargo(arguments: &[&str]) -> String {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // From the root: within a member, that member alone is the default one.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let ran = Command::new(program).args(arguments).current_dir(root).output().unwrap();
    assert!(ran.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}
