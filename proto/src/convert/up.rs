//! Worker to coordinator.

use super::{
    BadWire, Up,
    examined::{answer, wire_answer},
    parts::{attempt, job, wire_attempt, worker},
    present,
};
use crate::v1::{self, from_worker::Said};
use sumac_common::{
    conversation::{Leaving, Report},
    ids::{Generation, Step, WorkerId},
    leases::Shard,
};

impl From<Up> for v1::FromWorker {
    fn from(up: Up) -> Self {
        match up {
            Up::Join { seat, standing } => {
                let join = v1::Join { seat: Some(seat.into()), standing: standing.map(Into::into) };
                Self { said: Some(Said::Join(join)) }
            }
            Up::Logged(lines) => {
                let lines = lines.into_iter().map(Into::into).collect();
                Self { said: Some(Said::Logged(v1::Logged { lines })) }
            }
            Up::Examined { number, at, answer } => Self { said: Some(Said::Examined(wire_answer(number, at, answer))) },
            Up::Said(report) => report.into(),
        }
    }
}

impl From<Report> for v1::FromWorker {
    fn from(report: Report) -> Self {
        let said = match report {
            Report::Ready { job, readiness } => {
                Said::Ready(v1::Ready { job: job.0, readiness: Some(readiness.into()) })
            }
            Report::Unable { job, why } => Said::Unable(v1::Unable { job: job.0, why }),
            Report::Leaving => Said::Leaving(v1::Leaving {}),
            Report::Entered { job, generation, step, redone } => {
                Said::Entered(v1::Entered { job: job.0, generation: generation.0, step: step.0, redone })
            }
            Report::Left { generation, standing, why } => Said::Left(v1::Left {
                generation: generation.0,
                standing: Some(standing.into()),
                why: Some(why.into()),
            }),
            Report::Saved { job, step, there } => {
                Said::Saved(v1::Saved { job: job.0, step: step.0, there: there.into_iter().map(Into::into).collect() })
            }
            Report::Unsaved { job, step, why } => Said::Unsaved(v1::Unsaved { job: job.0, step: step.0, why }),
            Report::Ended { job, end } => Said::Ended(v1::Ended { job: job.0, end: Some(end.into()) }),
            Report::Asks { job } => Said::Asks(v1::Asks { job: job.0 }),
            Report::Wrote { job, attempt, shard, receipt } => Said::Wrote(v1::Wrote {
                job: job.0,
                attempt: wire_attempt(attempt),
                shard: shard.0,
                receipt: receipt.digest.0.to_vec(),
                refined: receipt.refined,
                bad: receipt.bad,
            }),
            Report::Failed { job, attempt, shard, why } => {
                Said::ShardFailed(v1::ShardFailed { job: job.0, attempt: wire_attempt(attempt), shard: shard.0, why })
            }
            Report::Sealed { job } => Said::Sealed(v1::Sealed { job: job.0 }),
            Report::Beat(beat) => Said::Heartbeat(v1::Heartbeat { beat: beat.map(Into::into) }),
            Report::Vitals(vitals) => Said::Vitals(vitals.into()),
        };
        Self { said: Some(said) }
    }
}

impl TryFrom<v1::FromWorker> for Up {
    type Error = BadWire;

    fn try_from(message: v1::FromWorker) -> Result<Self, BadWire> {
        Ok(Self::Said(match present(message.said, "FromWorker", "said")? {
            Said::Join(v1::Join { seat, standing }) => {
                let seat = present(seat, "Join", "seat")?.try_into()?;
                return Ok(Self::Join { seat, standing: standing.map(TryInto::try_into).transpose()? });
            }
            Said::Leaving(_) => Report::Leaving,
            Said::Ready(ready) => Report::Ready {
                job: job(ready.job, "Ready")?,
                readiness: present(ready.readiness, "Ready", "readiness")?.try_into()?,
            },
            Said::Unable(unable) => Report::Unable { job: job(unable.job, "Unable")?, why: unable.why },
            Said::Entered(entered) => Report::Entered {
                job: job(entered.job, "Entered")?,
                generation: Generation(entered.generation),
                step: Step(entered.step),
                redone: entered.redone,
            },
            Said::Left(left) => Report::Left {
                generation: Generation(left.generation),
                standing: present(left.standing, "Left", "standing")?.try_into()?,
                why: present(left.why, "Left", "why")?.try_into()?,
            },
            Said::Saved(saved) => Report::Saved {
                job: job(saved.job, "Saved")?,
                step: Step(saved.step),
                there: saved.there.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            },
            Said::Unsaved(unsaved) => {
                Report::Unsaved { job: job(unsaved.job, "Unsaved")?, step: Step(unsaved.step), why: unsaved.why }
            }
            Said::Ended(ended) => {
                Report::Ended { job: job(ended.job, "Ended")?, end: present(ended.end, "Ended", "end")?.try_into()? }
            }
            Said::Asks(asks) => Report::Asks { job: job(asks.job, "Asks")? },
            Said::Wrote(wrote) => {
                let job = job(wrote.job.clone(), "Wrote")?;
                let (attempt, shard, receipt) = wrote.try_into()?;
                Report::Wrote { job, attempt, shard, receipt }
            }
            Said::ShardFailed(failed) => Report::Failed {
                job: job(failed.job, "ShardFailed")?,
                attempt: attempt(failed.attempt, "ShardFailed")?,
                shard: Shard(failed.shard),
                why: failed.why,
            },
            Said::Sealed(sealed) => Report::Sealed { job: job(sealed.job, "Sealed")? },
            Said::Vitals(vitals) => Report::Vitals(vitals.into()),
            Said::Logged(v1::Logged { lines }) => {
                return Ok(Self::Logged(lines.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?));
            }
            Said::Examined(examined) => {
                let (number, at, answer) = answer(examined)?;
                return Ok(Self::Examined { number, at, answer });
            }
            Said::Heartbeat(v1::Heartbeat { beat }) => Report::Beat(beat.map(TryInto::try_into).transpose()?),
        }))
    }
}

impl From<Leaving> for v1::left::Why {
    fn from(leaving: Leaving) -> Self {
        match leaving {
            Leaving::Told => Self::Told(v1::left::Told {}),
            Leaving::Broke(why) => Self::Broke(v1::left::Broke { why }),
            Leaving::Unformed { unreached, why } => {
                let unreached = unreached.into_iter().map(|worker| worker.0).collect();
                Self::Unformed(v1::left::Unformed { unreached, why })
            }
        }
    }
}

impl TryFrom<v1::left::Why> for Leaving {
    type Error = BadWire;

    fn try_from(why: v1::left::Why) -> Result<Self, BadWire> {
        Ok(match why {
            v1::left::Why::Told(_) => Self::Told,
            v1::left::Why::Broke(broke) => Self::Broke(broke.why),
            v1::left::Why::Unformed(unformed) => {
                let unreached = unformed.unreached.into_iter().map(|name| worker(name, "Unformed"));
                Self::Unformed { unreached: unreached.collect::<Result<Vec<WorkerId>, _>>()?, why: unformed.why }
            }
        })
    }
}
