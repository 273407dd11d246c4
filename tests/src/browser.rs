//! A real browser without a screen, where there is one. Knows nothing of what it is shown.

use std::{fs, path::Path, process::Command};

/// What a browser made of a page.
#[derive(Debug)]
pub struct Page {
    /// As it stands once all is loaded.
    pub dom: String,
    /// What went wrong in it.
    pub console: Vec<String>,
    /// Of a window that is so wide.
    pub screenshot: Vec<u8>,
}

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Loads a file, in a window of `width` pixels; `None`, with a message, where there is no browser.
///
/// # Panics
/// If the browser cannot be started, or shows nothing.
#[must_use]
pub fn browse(file: &Path, width: u32) -> Option<Page> {
    let in_path = |name: &&str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
    };
    let Some(program) = NAMES.iter().find_map(in_path) else {
        eprintln!("skipped: no browser ({}); apt install chromium", NAMES.join(", "));
        return None;
    };
    let room = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
    let shot = room.path().join("shot.png");
    let run = |what: &str| {
        let mut command = Command::new(&program);
        command.args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
        ]);
        command.args(["--enable-logging=stderr", what]);
        command.arg(format!("--user-data-dir={}", room.path().join("profile").display()));
        command.arg(format!("--window-size={width},2000")).arg(format!("file://{}", file.display()));
        let ended = command.output().unwrap_or_else(|error| panic!("{} cannot be started: {error}", program.display()));
        (String::from_utf8_lossy(&ended.stdout).into_owned(), String::from_utf8_lossy(&ended.stderr).into_owned())
    };
    let (dom, said) = run("--dump-dom");
    run(&format!("--screenshot={}", shot.display()));
    let console = said.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    let screenshot = fs::read(&shot).unwrap_or_else(|error| panic!("the browser showed nothing: {error}\n{said}"));
    Some(Page { dom, console, screenshot })
}
