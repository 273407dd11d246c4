//! The programs under test, built before the first of them runs: a test never meets a stale one.

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

pub struct Binaries {
    pub sumac: PathBuf,
    pub worker: PathBuf,
}

/// Both programs, as cargo says it built them; once per test process.
///
/// # Panics
/// If they cannot be built.
pub fn binaries() -> &'static Binaries {
    static BUILT: OnceLock<Binaries> = OnceLock::new();
    BUILT.get_or_init(build)
}

/// Where the workspace begins.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

const FORMATS: &[&str] =
    if cfg!(feature = "formats") { &["--features", "sumac/formats,sumac-worker/formats"] } else { &[] };

fn build() -> Binaries {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "-p", "sumac", "-p", "sumac-worker"])
        .args(FORMATS)
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| panic!("cargo cannot be started: {error}"));
    assert!(output.status.success(), "the programs under test do not build: {}", output.status);
    let messages = String::from_utf8_lossy(&output.stdout);
    let executable = |name: &str| -> PathBuf {
        let built = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|message| {
            let is_it = message["target"]["name"] == name && message["target"]["kind"][0] == "bin";
            if is_it { message["executable"].as_str().map(PathBuf::from) } else { None }
        });
        built.unwrap_or_else(|| panic!("cargo built no program called {name}"))
    };
    Binaries { sumac: executable("sumac"), worker: executable("sumac-worker") }
}
