//! Who started whom and who is alive, as the system has it.

use rustix::process::{Pid, Signal, kill_process};
use std::{collections::BTreeSet, fs};

/// The processes that this one started and that live.
#[must_use]
pub fn children(of: u32) -> BTreeSet<u32> {
    let processes = fs::read_dir("/proc").map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let pids = processes.iter().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(is_alive, parent)| is_alive && parent == of)).collect()
}

/// The workers of a command's own, which its node started.
#[must_use]
pub fn workers(of: u32) -> Vec<u32> {
    children(of).into_iter().flat_map(children).collect()
}

/// `kill -9` of one that lives.
///
/// # Panics
/// If there is none.
#[track_caller]
pub fn kill(pid: u32) {
    let killed = Pid::from_raw(pid.cast_signed()).map(|pid| kill_process(pid, Signal::KILL));
    assert_eq!(killed, Some(Ok(())), "process {pid} cannot be killed");
}

/// Its child that was started with this word among its arguments.
///
/// # Panics
/// If there is none.
#[track_caller]
#[must_use]
pub fn child(of: u32, word: &str) -> u32 {
    let arguments = |pid: u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let is_it = |pid: &u32| arguments(*pid).split(|byte| *byte == 0).any(|argument| argument == word.as_bytes());
    let child = children(of).into_iter().find(is_it);
    child.unwrap_or_else(|| panic!("process {of} has no child that was started with `{word}`"))
}

/// A dead one that nobody has buried yet is dead.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(is_alive, _)| is_alive)
}

/// Whether it lives, and its parent.
fn stat(pid: u32) -> Option<(bool, u32)> {
    // "pid (name) state parent ...", and a name may hold anything.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut rest = stat.rsplit_once(") ")?.1.split(' ');
    let is_alive = !matches!(rest.next()?, "Z" | "X");
    Some((is_alive, rest.next()?.parse().ok()?))
}
