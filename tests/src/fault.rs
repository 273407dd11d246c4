//! What a worker is to do to itself, or to wait for, at a named point of a step.

use crate::room::Room;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::{fs, path::PathBuf};

/// What a worker was told to do at a point, the first time it reaches it at or after a step.
#[derive(Clone, Debug)]
pub struct Fault {
    point: &'static str,
    step: u64,
    act: Act,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Die,
    Hold,
    Break,
}

impl Fault {
    /// SIGKILL to itself.
    #[must_use]
    pub fn die(point: &'static str, step: u64) -> Self {
        Self { point, step, act: Act::Die }
    }

    /// It stands still there until it is released.
    #[must_use]
    pub fn hold(point: &'static str, step: u64) -> Self {
        Self { point, step, act: Act::Hold }
    }

    /// It takes the reduction of this step for failed, although the others got theirs: it is one step behind them.
    #[must_use]
    pub fn fall_behind(step: u64) -> Self {
        Self { point: "before-apply", step, act: Act::Break }
    }

    /// Prepares mark and pipe in `room` under this name; gives the value of `SUMAC_FAULT`. Processes that share it share the
    /// mark: the first of them to reach the point fires.
    #[must_use]
    pub fn arm(&self, room: &Room, worker: &str) -> String {
        let Self { point, step, act } = self;
        let mark = mark(room, worker);
        match act {
            Act::Die => format!("{point}@{step}:die:{}", mark.display()),
            Act::Break => format!("{point}@{step}:break:{}", mark.display()),
            Act::Hold => {
                let pipe = pipe(room, worker);
                let _ = fs::remove_file(&pipe);
                mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
                    .unwrap_or_else(|error| panic!("no named pipe at {}: {error}", pipe.display()));
                format!("{point}@{step}:hold={}:{}", pipe.display(), mark.display())
            }
        }
    }

    /// Lets go the worker that stands, or is about to stand, at the point that was armed under this name.
    pub fn release(room: &Room, worker: &str) {
        let pipe = pipe(room, worker);
        // Opening blocks until the worker has opened its end.
        let opened = fs::OpenOptions::new().write(true).open(&pipe);
        opened.unwrap_or_else(|error| panic!("{worker} cannot be released through {}: {error}", pipe.display()));
    }
}

/// The file that is there once the fault of this worker has fired.
pub(crate) fn mark(room: &Room, worker: &str) -> PathBuf {
    room.at(&format!("{worker}.mark"))
}

fn pipe(room: &Room, worker: &str) -> PathBuf {
    room.at(&format!("{worker}.pipe"))
}
