//! Named points at which a worker can be made to die or to stand still, for tests of recovery.
//!
//! `SUMAC_FAULT=POINT@STEP:die:MARK` kills the process with SIGKILL the first time it reaches the point at or after the step;
//! `SUMAC_FAULT=POINT@STEP:hold=FIFO:MARK` blocks there until somebody opens the named pipe for writing.
//! `SUMAC_FAULT=before-apply@STEP:break:MARK` takes the reduction for failed although it was not: the others get one step ahead.
//! The file MARK is created when the fault fires, and a fault whose mark exists does not fire again. Unset, this costs one
//! comparison.

use std::{env, fmt, fs, path::PathBuf, process, str::FromStr};
use sumac_common::ids::Step;
use tracing::warn;

/// Where in the life of a step or a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    AfterBackward,
    AfterGuard,
    BetweenCollectives,
    BeforeApply,
    AfterApply,
    DonorCopy,
    Regroup,
    Seal,
    /// On the thread that writes checkpoints: another file of this member's part is durable.
    MidSave,
    /// There too: all parts are durable, the manifest is about to be written.
    BeforeManifest,
    /// And it is written, but nobody knows.
    AfterManifest,
}

const POINTS: [(Point, &str); 11] = [
    (Point::AfterBackward, "after-backward"),
    (Point::AfterGuard, "after-guard"),
    (Point::BetweenCollectives, "between-collectives"),
    (Point::BeforeApply, "before-apply"),
    (Point::AfterApply, "after-apply"),
    (Point::DonorCopy, "donor-copy"),
    (Point::Regroup, "regroup"),
    (Point::Seal, "seal"),
    (Point::MidSave, "mid-save"),
    (Point::BeforeManifest, "before-manifest"),
    (Point::AfterManifest, "after-manifest"),
];

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, name) = POINTS.iter().find(|(point, _)| point == self).unwrap_or(&POINTS[0]);
        f.pad(name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Act {
    Die,
    Hold(PathBuf),
    Break,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    point: Point,
    step: Step,
    act: Act,
    mark: PathBuf,
}

#[derive(Debug, thiserror::Error)]
#[error("SUMAC_FAULT `{0}` is not POINT@STEP:die:MARK, POINT@STEP:hold=FIFO:MARK or before-apply@STEP:break:MARK")]
pub struct NotAFault(String);

impl FromStr for Fault {
    type Err = NotAFault;

    fn from_str(text: &str) -> Result<Self, NotAFault> {
        let bad = || NotAFault(text.to_owned());
        let mut parts = text.splitn(3, ':');
        let (place, act, mark) = (parts.next(), parts.next().ok_or_else(bad)?, parts.next().ok_or_else(bad)?);
        let (name, step) = place.and_then(|place| place.split_once('@')).ok_or_else(bad)?;
        let (point, _) = POINTS.iter().find(|(_, known)| *known == name).ok_or_else(bad)?;
        let act = match act.strip_prefix("hold=") {
            Some(fifo) => Act::Hold(fifo.into()),
            None if act == "die" => Act::Die,
            None if act == "break" && *point == Point::BeforeApply => Act::Break,
            None => return Err(bad()),
        };
        Ok(Self { point: *point, step: Step(step.parse().map_err(|_| bad())?), act, mark: mark.into() })
    }
}

impl Fault {
    /// Whether it fires now; it does so once.
    fn fires(&self, point: Point, step: Step) -> bool {
        let due = self.point == point && step >= self.step;
        let fires = due && fs::OpenOptions::new().write(true).create_new(true).open(&self.mark).is_ok();
        if fires {
            warn!(%point, %step, "a fault that was asked for");
        }
        fires
    }
}

/// The faults this process was asked for.
#[derive(Clone, Debug, Default)]
pub struct Faults(Option<Fault>);

impl Faults {
    pub fn from_env() -> Result<Self, NotAFault> {
        env::var("SUMAC_FAULT").ok().map(|text| text.parse()).transpose().map(Self)
    }

    /// Whether what went well at this point is to be taken for failed.
    #[must_use]
    pub fn breaks(&self, point: Point, step: Step) -> bool {
        self.0.as_ref().is_some_and(|fault| fault.act == Act::Break && fault.fires(point, step))
    }

    pub fn at(&self, point: Point, step: Step) {
        let Some(fault) = self.0.as_ref().filter(|fault| fault.act != Act::Break && fault.fires(point, step)) else {
            return;
        };
        match &fault.act {
            Act::Break => {}
            Act::Die => loop {
                let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            },
            // Opening a pipe for reading blocks until there is a writer: no clock, no polling.
            Act::Hold(fifo) => {
                if let Err(error) = fs::File::open(fifo) {
                    warn!(fifo = %fifo.display(), %error, "nothing to hold on to");
                    process::exit(70);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_with_its_point_step_act_and_mark() {
        let fault: Fault = "after-guard@12:hold=/a/fifo:/a/mark".parse().unwrap();
        let act = Act::Hold("/a/fifo".into());
        assert_eq!(fault, Fault { point: Point::AfterGuard, step: Step(12), act, mark: "/a/mark".into() });
        assert_eq!("before-apply@3:break:/m".parse::<Fault>().unwrap().act, Act::Break);
        assert!("seal@3:break:/m".parse::<Fault>().is_err());
        assert_eq!("seal@0:die:/m".parse::<Fault>().unwrap().act, Act::Die);
    }

    #[test]
    fn an_unknown_point_is_refused_by_name() {
        let error = "after-lunch@1:die:/m".parse::<Fault>().unwrap_err();
        assert!(error.to_string().contains("after-lunch"));
    }
}
