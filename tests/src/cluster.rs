//! A coordinator and workers, each a process of its own, in a room.

use crate::{
    binaries::binaries,
    fault::{self, Fault},
    job::Job,
    outcome::Outcome,
    process::{Ended, PATIENCE, Process},
    room::Room,
};
use serde_json::Value;
use std::{collections::BTreeMap, os::unix::process::ExitStatusExt as _, path::Path, process::Command};

pub struct Cluster {
    // Workers go before the coordinator, processes before their folder.
    workers: BTreeMap<String, Process>,
    coordinator: Process,
    address: String,
    room: Room,
}

impl Cluster {
    /// A coordinator alone.
    #[must_use]
    pub fn start(room: Room) -> Self {
        Self::start_at(room, "127.0.0.1:0")
    }

    /// Listening there; port 0 takes any free one.
    #[must_use]
    pub fn start_at(room: Room, listen: &str) -> Self {
        let coordinator = serve(&room, listen);
        let address = String::from_utf8_lossy(&room.read("state/address")).trim().to_owned();
        Self { workers: BTreeMap::new(), coordinator, address, room }
    }

    /// A coordinator, and two small sets of drawn digits.
    #[must_use]
    pub fn digits() -> Self {
        Self::start(Room::with_digits(200))
    }

    /// With `n` workers beside it, `w0` the first to join.
    #[must_use]
    pub fn of(n: usize) -> Self {
        let mut cluster = Self::digits();
        (0..n).for_each(|k| cluster.join(&format!("w{k}")));
        cluster
    }

    #[must_use]
    pub fn room(&self) -> &Room {
        &self.room
    }

    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    // === workers ===

    /// Starts a worker and waits until the coordinator has welcomed it: who joins first gets the lower rank.
    pub fn join(&mut self, name: &str) {
        self.join_with(name, &[]);
    }

    /// With a fault in it.
    pub fn join_faulty(&mut self, name: &str, fault: &Fault) {
        let fault = fault.arm(&self.room, name);
        self.join_with(name, &[("SUMAC_FAULT", &fault)]);
    }

    /// With something in its environment.
    pub fn join_with(&mut self, name: &str, environment: &[(&str, &str)]) {
        let worker = self.start_worker(name, environment);
        worker.says("attached", 1);
        self.workers.insert(name.to_owned(), worker);
    }

    /// Behind other words than those of the room, such as `nsenter --net=FILE`.
    pub fn join_behind(&mut self, name: &str, prefix: &[&str]) {
        let mut command = self.room.command(Path::new("env"));
        self.tell_worker(command.args(prefix).arg(&binaries().worker), name);
        let worker = Process::start(name, &mut command);
        worker.says("attached", 1);
        self.workers.insert(name.to_owned(), worker);
    }

    pub fn start_worker(&self, name: &str, environment: &[(&str, &str)]) -> Process {
        let mut command = self.room.command(&binaries().worker);
        self.tell_worker(&mut command, name);
        command.envs(environment.iter().copied());
        Process::start(name, &mut command)
    }

    fn tell_worker(&self, command: &mut Command, name: &str) {
        command.args(["run", "--coordinator", &self.address, "--name", name, "--die-with-parent"]);
        command.env("SUMAC_LOG", "info,sumac_worker::session=debug");
    }

    #[track_caller]
    pub fn worker(&mut self, name: &str) -> &mut Process {
        self.workers.get_mut(name).unwrap_or_else(|| panic!("there is no worker {name}"))
    }

    /// Waits until the fault of this worker has fired and it stands at its point.
    pub fn stands(&mut self, name: &str) {
        self.worker(name).says("a fault that was asked for", 1);
        self.assert_fired(name);
    }

    pub fn release(&self, name: &str) {
        Fault::release(&self.room, name);
    }

    /// Waits until the fault of this worker has fired and killed it.
    pub fn dies(&mut self, name: &str) {
        let status = self.worker(name).wait();
        assert_eq!(status.signal(), Some(9), "{name} did not die of its fault: {status}");
        self.assert_fired(name);
    }

    fn assert_fired(&self, name: &str) {
        assert!(fault::mark(&self.room, name).exists(), "the fault of {name} never fired");
    }

    pub fn kill(&mut self, name: &str) {
        self.worker(name).kill();
    }

    /// All of them before any of their ends is waited for.
    pub fn kill_all(&mut self, names: &[String]) {
        names.iter().for_each(|name| self.worker(name).strike());
        names.iter().for_each(|name| self.kill(name));
    }

    // === the coordinator ===

    #[must_use]
    pub fn coordinator(&self) -> &Process {
        &self.coordinator
    }

    pub fn kill_coordinator(&mut self) {
        self.coordinator.kill();
    }

    /// Another process at the same address, with the same state.
    pub fn restart_coordinator(&mut self) {
        let listen = self.address.trim_start_matches("http://");
        self.coordinator = serve(&self.room, listen);
    }

    // === jobs ===

    /// `sumac` with these arguments, for this coordinator, run to its end.
    pub fn sumac(&self, args: &[&str]) -> Ended {
        self.room.sumac(&[args, &["--coordinator", &self.address]].concat())
    }

    pub fn try_submit(&self, job: &Job) -> Ended {
        let arguments = job.write(&self.room);
        self.sumac(&["submit"].into_iter().chain(arguments.iter().map(String::as_str)).collect::<Vec<_>>())
    }

    /// Submits it, and follows it to its end: `sumac submit --follow`.
    pub fn follow(&self, job: &Job) -> Process {
        let arguments = job.write(&self.room);
        let submit = ["submit", "--follow", "--coordinator", &self.address].into_iter();
        let submit: Vec<&str> = submit.chain(arguments.iter().map(String::as_str)).collect();
        self.room.start_sumac(&submit, &[])
    }

    /// Gives its id.
    #[track_caller]
    pub fn submit(&self, job: &Job) -> String {
        let submitted = self.try_submit(job);
        submitted.assert(0, &[]);
        let id = submitted.stdout.lines().find_map(|line| line.trim().strip_prefix("job ")?.split_whitespace().next());
        id.unwrap_or_else(|| panic!("submit names no job: {}", submitted.stdout)).to_owned()
    }

    pub fn wait(&self, id: &str) -> Ended {
        self.wait_for(id, "done")
    }

    /// `until`: done, running, step=N.
    pub fn wait_for(&self, id: &str, until: &str) -> Ended {
        let timeout = format!("{}s", PATIENCE.as_secs() / 2);
        self.sumac(&["wait", id, "--for", until, "--timeout", &timeout])
    }

    /// Waits for its end, which must be a good one.
    #[track_caller]
    pub fn finished(&self, id: &str, job: &Job) -> Outcome {
        self.wait(id).assert(0, &[]);
        Outcome::read(&self.room, &job.output())
    }

    #[track_caller]
    pub fn run(&self, job: &Job) -> Outcome {
        self.finished(&self.submit(job), job)
    }

    /// The job as `sumac job -o json` shows it.
    #[track_caller]
    #[must_use]
    pub fn job(&self, id: &str) -> Value {
        self.sumac(&["job", id, "-o", "json"]).json()
    }

    /// What happened to the job, oldest first, in the coordinator's words.
    #[must_use]
    pub fn facts(&self, id: &str) -> Vec<String> {
        let job = self.job(id);
        let facts = job["facts"].as_array().map(Vec::as_slice).unwrap_or_default();
        facts.iter().filter_map(|fact| fact["what"].as_str().map(str::to_owned)).collect()
    }
}

fn serve(room: &Room, listen: &str) -> Process {
    let beyond = if listen.starts_with("127.") { None } else { Some("--insecure") };
    let serve = ["serve", "--listen", listen, "--state", "state"].into_iter().chain(beyond);
    let serving = room.start_sumac(&serve.collect::<Vec<_>>(), &[]);
    serving.says("serving", 1);
    serving
}
