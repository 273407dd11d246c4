//! From a file, overrides and the folder one stands in to a checked job.

use super::{
    args::Override,
    failure::{Exit, Failure},
};
use owo_colors::OwoColorize as _;
use std::{
    fs, io,
    path::{Path, PathBuf, absolute},
};
use sumac_common::spec::{self, Spec};

/// Reads and checks; relative paths are taken from here, since workers stand elsewhere.
pub(super) fn read(file: &Path, overrides: &[Override], name: Option<&str>) -> Result<Spec, Failure> {
    let shown = if file == Path::new("-") { "stdin".to_owned() } else { file.display().to_string() };
    let text = if file == Path::new("-") { io::read_to_string(io::stdin()) } else { fs::read_to_string(file) };
    let text = text.map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot read the job file {shown}"))
            .because(Some(&error))
            .hint("name a TOML file, or `-` to read it from stdin")
    })?;
    check(&shown, &text, overrides, name)
}

pub(super) fn check(shown: &str, text: &str, overrides: &[Override], name: Option<&str>) -> Result<Spec, Failure> {
    let mut laid_over: Vec<(String, String)> =
        overrides.iter().map(|change| (change.path.clone(), change.value.clone())).collect();
    laid_over.extend(name.map(|name| ("name".to_owned(), format!("{name:?}"))));
    let mut spec =
        spec::read(text, &laid_over).map_err(|faults| Failure::new(Exit::Usage, format!("{shown}: {faults}")))?;
    for path in [&mut spec.what.data.synthetic, &mut spec.what.data.real, &mut spec.how.output.dir] {
        *path = reachable(path);
    }
    Ok(spec)
}

/// Addresses of object stores and empty paths are left as they are.
fn reachable(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() || path.to_string_lossy().contains("://") {
        return path.to_owned();
    }
    absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// What is allowed and yet probably not meant.
pub(super) fn warn(spec: &Spec) {
    for warning in spec.warnings() {
        anstream::eprintln!("{} {warning}", "warning:".yellow().bold());
    }
}
