//! The parts that several messages are made of.

use super::{BadWire, present};
use crate::v1;
use sumac_common::{
    checkpoint::Saved,
    conversation::{
        Beat, Doing, End, Ending, Fingerprint, Holding, Incarnation, Readiness, Seat, SlowWorker, SoFar, Standing,
    },
    ids::{Digest, Generation, JobId, NodeId, Step, Term, WorkerId},
    leases::{Attempt, Held, Receipt, Shard},
    losses::{Losses, Mean},
    pace::{Shares, Times},
    piecework::Piecework,
};

pub(super) fn worker(name: String, message: &'static str) -> Result<WorkerId, BadWire> {
    if name.is_empty() { Err(BadWire::Missing { message, field: "worker" }) } else { Ok(WorkerId(name)) }
}

pub(super) fn job(name: String, message: &'static str) -> Result<JobId, BadWire> {
    if name.is_empty() { Err(BadWire::Missing { message, field: "job" }) } else { Ok(JobId(name)) }
}

pub(super) fn address(text: &str, message: &'static str, field: &'static str) -> Result<std::net::SocketAddr, BadWire> {
    text.parse().map_err(|_| BadWire::NotAnAddress { message, field, value: text.to_owned() })
}

pub(super) fn digest(bytes: Vec<u8>, message: &'static str, field: &'static str) -> Result<Digest, BadWire> {
    let count = bytes.len();
    bytes.try_into().map(Digest).map_err(|_| BadWire::NotADigest { message, field, bytes: count })
}

pub(super) fn piecework(json: &str, message: &'static str) -> Result<Piecework, BadWire> {
    Piecework::from_json(json).map_err(|why| BadWire::BadPiecework { message, why })
}

#[expect(clippy::unnecessary_wraps, reason = "a message within a message is optional on the wire")]
pub(super) fn wire_attempt(attempt: Attempt) -> Option<v1::Attempt> {
    Some(v1::Attempt { term: attempt.term.0, number: attempt.number })
}

pub(super) fn attempt(attempt: Option<v1::Attempt>, message: &'static str) -> Result<Attempt, BadWire> {
    let v1::Attempt { term, number } = present(attempt, message, "attempt")?;
    Ok(Attempt { term: Term(term), number })
}

impl TryFrom<v1::Wrote> for (Attempt, Shard, Receipt) {
    type Error = BadWire;

    fn try_from(wrote: v1::Wrote) -> Result<Self, BadWire> {
        let digest = digest(wrote.receipt, "Wrote", "receipt")?;
        let receipt = Receipt { digest, refined: wrote.refined, bad: wrote.bad };
        Ok((attempt(wrote.attempt, "Wrote")?, Shard(wrote.shard), receipt))
    }
}

impl From<Held> for v1::Held {
    /// The job is that of the standing, and not said again.
    fn from(held: Held) -> Self {
        let lease = |(attempt, shards): (Attempt, Vec<Shard>)| v1::Lease {
            job: String::new(),
            attempt: wire_attempt(attempt),
            shards: shards.into_iter().map(|shard| shard.0).collect(),
        };
        let wrote = |(attempt, shard, receipt): (Attempt, Shard, Receipt)| v1::Wrote {
            job: String::new(),
            attempt: wire_attempt(attempt),
            shard: shard.0,
            receipt: receipt.digest.0.to_vec(),
            refined: receipt.refined,
            bad: receipt.bad,
        };
        Self {
            leases: held.leases.into_iter().map(lease).collect(),
            wrote: held.wrote.into_iter().map(wrote).collect(),
            asks: held.asks,
        }
    }
}

impl TryFrom<v1::Held> for Held {
    type Error = BadWire;

    fn try_from(held: v1::Held) -> Result<Self, BadWire> {
        let lease =
            |lease: v1::Lease| Ok((attempt(lease.attempt, "Held")?, lease.shards.into_iter().map(Shard).collect()));
        Ok(Self {
            leases: held.leases.into_iter().map(lease).collect::<Result<_, BadWire>>()?,
            wrote: held.wrote.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            asks: held.asks,
        })
    }
}

impl From<Shares> for v1::Shares {
    fn from(shares: Shares) -> Self {
        let Shares { read, decode, refine, encode, write } = shares;
        Self { read, decode, refine, encode, write }
    }
}

impl From<v1::Shares> for Shares {
    fn from(shares: v1::Shares) -> Self {
        let v1::Shares { read, decode, refine, encode, write } = shares;
        Self { read, decode, refine, encode, write }
    }
}

impl From<Seat> for v1::Seat {
    fn from(seat: Seat) -> Self {
        Self {
            worker: seat.worker.0,
            incarnation: seat.incarnation.0,
            node: seat.node.0,
            store: seat.store.to_string(),
            version: seat.version,
            device: seat.device,
        }
    }
}

impl TryFrom<v1::Seat> for Seat {
    type Error = BadWire;

    fn try_from(seat: v1::Seat) -> Result<Self, BadWire> {
        Ok(Self {
            worker: worker(seat.worker, "Seat")?,
            incarnation: Incarnation(seat.incarnation),
            node: NodeId(seat.node),
            store: address(&seat.store, "Seat", "store")?,
            version: seat.version,
            device: seat.device,
        })
    }
}

impl From<Standing> for v1::Standing {
    fn from(standing: Standing) -> Self {
        Self {
            job: standing.job.0,
            engaged: standing.engaged.map(|generation| generation.0),
            holds: standing.holds.map(Into::into),
            offered: standing.offered.map(Into::into),
            ended: standing.ended.map(Into::into),
            ready: standing.ready.map(Into::into),
            held: (standing.held != Held::default()).then(|| standing.held.into()),
        }
    }
}

impl TryFrom<v1::Standing> for Standing {
    type Error = BadWire;

    fn try_from(standing: v1::Standing) -> Result<Self, BadWire> {
        Ok(Self {
            job: job(standing.job, "Standing")?,
            engaged: standing.engaged.map(Generation),
            holds: standing.holds.map(Into::into),
            offered: standing.offered.map(Into::into),
            ready: standing.ready.map(TryInto::try_into).transpose()?,
            ended: standing.ended.map(TryInto::try_into).transpose()?,
            held: standing.held.map(TryInto::try_into).transpose()?.unwrap_or_default(),
        })
    }
}

impl From<End> for v1::End {
    fn from(end: End) -> Self {
        let ending = match end.ending {
            Ending::Finished => v1::end::Ending::Finished(v1::end::Finished {}),
            Ending::Parked => v1::end::Ending::Parked(v1::end::Parked {}),
            Ending::Failed(why) => v1::end::Ending::Failed(v1::end::Failed { why }),
        };
        Self { generation: end.generation.0, step: end.step.0, ending: Some(ending) }
    }
}

impl TryFrom<v1::End> for End {
    type Error = BadWire;

    fn try_from(end: v1::End) -> Result<Self, BadWire> {
        let ending = match present(end.ending, "End", "ending")? {
            v1::end::Ending::Finished(_) => Ending::Finished,
            v1::end::Ending::Parked(_) => Ending::Parked,
            v1::end::Ending::Failed(failed) => Ending::Failed(failed.why),
        };
        Ok(Self { generation: Generation(end.generation), step: Step(end.step), ending })
    }
}

impl From<Holding> for v1::Holding {
    fn from(holding: Holding) -> Self {
        Self { generation: holding.generation.0, step: holding.step.0 }
    }
}

impl From<v1::Holding> for Holding {
    fn from(holding: v1::Holding) -> Self {
        Self { generation: Generation(holding.generation), step: Step(holding.step) }
    }
}

impl From<Readiness> for v1::Readiness {
    fn from(readiness: Readiness) -> Self {
        let Fingerprint { libtorch, device, instructions, threads, canary } = readiness.fingerprint;
        let canary = canary.0.to_vec();
        let fingerprint = v1::Fingerprint { libtorch, device, instructions, threads, canary };
        Self { data: readiness.data.0.to_vec(), fingerprint: Some(fingerprint), lambda: readiness.lambda }
    }
}

impl TryFrom<v1::Readiness> for Readiness {
    type Error = BadWire;

    fn try_from(readiness: v1::Readiness) -> Result<Self, BadWire> {
        let fingerprint = present(readiness.fingerprint, "Readiness", "fingerprint")?;
        let v1::Fingerprint { libtorch, device, instructions, threads, canary } = fingerprint;
        let canary = digest(canary, "Fingerprint", "canary")?;
        Ok(Self {
            data: digest(readiness.data, "Readiness", "data")?,
            fingerprint: Fingerprint { libtorch, device, instructions, threads, canary },
            lambda: readiness.lambda,
        })
    }
}

impl From<SoFar> for v1::SoFar {
    fn from(so_far: SoFar) -> Self {
        let SoFar { workers_seen, generations, steps_redone } = so_far;
        Self { workers_seen, generations, steps_redone }
    }
}

impl From<v1::SoFar> for SoFar {
    fn from(so_far: v1::SoFar) -> Self {
        let v1::SoFar { workers_seen, generations, steps_redone } = so_far;
        Self { workers_seen, generations, steps_redone }
    }
}

impl From<Beat> for v1::Beat {
    fn from(beat: Beat) -> Self {
        Self {
            job: beat.job.0,
            doing: v1::Doing::from(beat.doing).into(),
            generation: beat.generation.0,
            step: beat.step.0,
            losses: Some(beat.losses.into()),
            steps_per_second: beat.steps_per_second,
            images_per_second: beat.images_per_second,
            history: beat.history,
            waits_ms: beat.waits_ms,
            times: Some(wire_times(beat.times)),
            slow: beat.slow.map(|slow| v1::Slow {
                worker: slow.worker.0,
                own_us: slow.own_us,
                others_us: slow.others_us,
            }),
            shares: beat.shares.map(Into::into),
        }
    }
}

impl TryFrom<v1::Beat> for Beat {
    type Error = BadWire;

    fn try_from(beat: v1::Beat) -> Result<Self, BadWire> {
        Ok(Self {
            doing: doing(beat.doing)?,
            job: job(beat.job, "Beat")?,
            generation: Generation(beat.generation),
            step: Step(beat.step),
            losses: present(beat.losses, "Beat", "losses")?.try_into()?,
            steps_per_second: beat.steps_per_second,
            images_per_second: beat.images_per_second,
            history: beat.history,
            waits_ms: beat.waits_ms,
            times: beat.times.map(times).unwrap_or_default(),
            slow: beat.slow.map(slow).transpose()?,
            shares: beat.shares.map(Into::into),
        })
    }
}

fn wire_times(times: Times) -> v1::Times {
    let Times { data_us, forward_us, backward_us, guard_us, reduce_us, optimiser_us, waiting_us } = times;
    v1::Times { data_us, forward_us, backward_us, guard_us, reduce_us, optimiser_us, waiting_us }
}

fn times(times: v1::Times) -> Times {
    let v1::Times { data_us, forward_us, backward_us, guard_us, reduce_us, optimiser_us, waiting_us } = times;
    Times { data_us, forward_us, backward_us, guard_us, reduce_us, optimiser_us, waiting_us }
}

fn slow(slow: v1::Slow) -> Result<SlowWorker, BadWire> {
    Ok(SlowWorker { worker: worker(slow.worker, "Slow")?, own_us: slow.own_us, others_us: slow.others_us })
}

impl From<Doing> for v1::Doing {
    fn from(doing: Doing) -> Self {
        match doing {
            Doing::Preparing => Self::Preparing,
            Doing::Waiting => Self::Waiting,
            Doing::Entering => Self::Entering,
            Doing::Training => Self::Training,
            Doing::Refining => Self::Refining,
            Doing::Evaluating => Self::Evaluating,
            Doing::Sealing => Self::Sealing,
        }
    }
}

fn doing(value: i32) -> Result<Doing, BadWire> {
    match v1::Doing::try_from(value) {
        Ok(v1::Doing::Preparing) => Ok(Doing::Preparing),
        Ok(v1::Doing::Waiting) => Ok(Doing::Waiting),
        Ok(v1::Doing::Entering) => Ok(Doing::Entering),
        Ok(v1::Doing::Training) => Ok(Doing::Training),
        Ok(v1::Doing::Refining) => Ok(Doing::Refining),
        Ok(v1::Doing::Evaluating) => Ok(Doing::Evaluating),
        Ok(v1::Doing::Sealing) => Ok(Doing::Sealing),
        Ok(v1::Doing::Unspecified) | Err(_) => Err(BadWire::Unknown { message: "Beat", field: "doing", value }),
    }
}

impl From<Losses> for v1::Losses {
    fn from(losses: Losses) -> Self {
        let wire = |mean: Mean| Some(v1::Mean { sum: mean.sum, count: mean.count });
        Self {
            realism: wire(losses.realism),
            regularisation: wire(losses.regularisation),
            change: wire(losses.change),
            on_refined: wire(losses.on_refined),
            on_real: wire(losses.on_real),
            right_on_refined: wire(losses.right_on_refined),
            right_on_real: wire(losses.right_on_real),
        }
    }
}

impl TryFrom<v1::Losses> for Losses {
    type Error = BadWire;

    fn try_from(losses: v1::Losses) -> Result<Self, BadWire> {
        let mean = |mean: Option<v1::Mean>, field| {
            present(mean, "Losses", field).map(|mean| Mean { sum: mean.sum, count: mean.count })
        };
        Ok(Self {
            realism: mean(losses.realism, "realism")?,
            regularisation: mean(losses.regularisation, "regularisation")?,
            change: mean(losses.change, "change")?,
            on_refined: mean(losses.on_refined, "on_refined")?,
            on_real: mean(losses.on_real, "on_real")?,
            right_on_refined: mean(losses.right_on_refined, "right_on_refined")?,
            right_on_real: mean(losses.right_on_real, "right_on_real")?,
        })
    }
}

impl From<Saved> for v1::Checkpoint {
    fn from(saved: Saved) -> Self {
        let (seconds, nanos) = (saved.at_ms / 1_000, saved.at_ms % 1_000 * 1_000_000);
        let at = prost_types::Timestamp { seconds: seconds.cast_signed(), nanos: nanos as i32 };
        Self { step: saved.step.0, bytes: saved.bytes, at: Some(at) }
    }
}

impl TryFrom<v1::Checkpoint> for Saved {
    type Error = BadWire;

    fn try_from(checkpoint: v1::Checkpoint) -> Result<Self, BadWire> {
        let at = present(checkpoint.at, "Checkpoint", "at")?;
        let (seconds, nanos) = (at.seconds.max(0).cast_unsigned(), at.nanos.max(0).cast_unsigned());
        let at_ms = seconds.saturating_mul(1_000).saturating_add(u64::from(nanos) / 1_000_000);
        Ok(Self { step: Step(checkpoint.step), bytes: checkpoint.bytes, at_ms })
    }
}
