//! A folder for one test: data sets, job files, outputs, and commands that run in it. Gone with the test.

use crate::{
    binaries::binaries,
    job::Job,
    process::{Ended, Process},
};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};
use tempfile::TempDir;

pub struct Room {
    folder: TempDir,
    /// Words before every command that runs here.
    prefix: &'static [&'static str],
}

impl Default for Room {
    fn default() -> Self {
        Self::new()
    }
}

impl Room {
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        Self { folder, prefix: &[] }
    }

    /// With two small sets of drawn digits, 28x28 grey: `data/synthetic`, labelled, and `data/real`.
    #[must_use]
    pub fn with_digits(count: u32) -> Self {
        Self::new().draw_digits(count)
    }

    /// All its commands start behind these words, such as `setpriv --pdeathsig KILL`.
    #[must_use]
    pub fn behind(self, prefix: &'static [&'static str]) -> Self {
        Self { prefix, ..self }
    }

    #[must_use]
    pub fn draw_digits(self, count: u32) -> Self {
        self.sumac(&["data", "demo", "digits", "data", "--count", &count.to_string()]).assert(0, &[]);
        self
    }

    /// With a refiner that was trained for a moment: `runs/net`. Once for all rooms of a process.
    #[must_use]
    pub fn with_refiner(self) -> Self {
        static REFINER: OnceLock<[(String, Vec<u8>); 2]> = OnceLock::new();
        let trained = REFINER.get_or_init(|| {
            let (room, job) = (Self::with_digits(64), Job::simgan("net").set("train.steps", 6));
            room.train(&job, &[]);
            ["refiner.safetensors", "spec.toml"].map(|name| format!("{}/{name}", job.output())).map(|name| {
                let bytes = room.read(&name);
                (name, bytes)
            })
        });
        for (name, bytes) in trained {
            self.write(name, bytes);
        }
        self
    }

    /// `sumac up` with one worker and these words besides, to its end.
    pub fn train(&self, job: &Job, words: &[&str]) {
        let job = job.write(self);
        let job = ["up", "--workers", "1"].into_iter().chain(job.iter().map(String::as_str));
        self.sumac(&job.chain(words.iter().copied()).collect::<Vec<_>>()).assert(0, &["finished"]);
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    #[must_use]
    pub fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(name);
        let put = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, bytes));
        put.unwrap_or_else(|error| panic!("{} cannot be written: {error}", path.display()));
        path
    }

    #[must_use]
    pub fn read(&self, name: &str) -> Vec<u8> {
        let path = self.at(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()))
    }

    /// `sumac` with these arguments, run to its end.
    pub fn sumac(&self, args: &[&str]) -> Ended {
        self.start_sumac(args, &[]).finish()
    }

    /// With something in its environment.
    pub fn start_sumac(&self, args: &[&str], environment: &[(&str, &str)]) -> Process {
        let mut command = self.command(&binaries().sumac);
        Process::start(&format!("sumac {}", args.join(" ")), command.args(args).envs(environment.iter().copied()))
    }

    /// A command that runs in this room, whatever the surroundings of the test say.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = match self.prefix {
            [] => Command::new(program),
            [first, others @ ..] => {
                let mut command = Command::new(first);
                command.args(others).arg(program);
                command
            }
        };
        command.current_dir(self.path());
        let ours =
            std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("SUMAC_"));
        for name in ours.chain(["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"].map(OsString::from)) {
            command.env_remove(name);
        }
        command.env("SUMAC_CACHE", self.at("cache")).env("SUMAC_WORKER_BIN", &binaries().worker);
        command
    }
}
