//! Coordinator to worker.

use super::{
    BadWire, Down,
    parts::{address, attempt, digest, job, piecework, wire_attempt, worker},
    present,
};
use crate::v1::{self, to_worker::Said};
use sumac_common::{
    conversation::{Basis, Opening, Order, Place, Wish},
    ids::{Generation, Step, Term, WorkerId},
    leases::Shard,
    spec,
};

impl From<Down> for v1::ToWorker {
    fn from(down: Down) -> Self {
        match down {
            Down::Examine { number, what } => {
                Self { said: Some(Said::Examine(v1::Examine { number, what: Some(what.into()) })) }
            }
            Down::Welcome(term) => Self { said: Some(Said::Welcome(v1::Welcome { term: term.0 })) },
            Down::Refused(why) => Self { said: Some(Said::Refused(v1::Refused { why })) },
            Down::NotYet(why) => Self { said: Some(Said::NotYet(v1::NotYet { why })) },
            Down::Told(order) => order.into(),
        }
    }
}

impl From<Order> for v1::ToWorker {
    fn from(order: Order) -> Self {
        let said = match order {
            Order::Prepare { job, spec } => Said::Prepare(v1::Prepare { job: job.0, spec_toml: spec.to_toml() }),
            Order::Open(opening) => Said::Open((*opening).into()),
            Order::Close { job, generation } => Said::Close(v1::Close { job: job.0, generation: generation.0 }),
            Order::Wish { job, generation, wish } => {
                Said::Wish(v1::MakeWish { job: job.0, generation: generation.0, wish: v1::Wish::from(wish).into() })
            }
            Order::Release { job, why } => Said::Release(v1::Release { job: job.0, why }),
            Order::Piecework { job, work } => Said::Piecework(v1::Piecework { job: job.0, work_json: work.to_json() }),
            Order::Lease { job, attempt, shards } => {
                let shards = shards.into_iter().map(|shard| shard.0).collect();
                Said::Lease(v1::Lease { job: job.0, attempt: wire_attempt(attempt), shards })
            }
            Order::Publish { job, attempt, shard } => {
                Said::Publish(v1::Publish { job: job.0, attempt: wire_attempt(attempt), shard: shard.0 })
            }
            Order::Discard { job, attempt, shard } => {
                Said::Discard(v1::Discard { job: job.0, attempt: wire_attempt(attempt), shard: shard.0 })
            }
            Order::Seal { job, receipts, quarantined } => {
                let wire = |(shard, why): (Shard, String)| v1::Quarantined { shard: shard.0, why };
                let quarantined = quarantined.into_iter().map(wire).collect();
                Said::Seal(v1::Seal { job: job.0, receipts: receipts.0.to_vec(), quarantined })
            }
        };
        Self { said: Some(said) }
    }
}

impl TryFrom<v1::ToWorker> for Down {
    type Error = BadWire;

    fn try_from(message: v1::ToWorker) -> Result<Self, BadWire> {
        Ok(Self::Told(match present(message.said, "ToWorker", "said")? {
            Said::Welcome(welcome) => return Ok(Self::Welcome(Term(welcome.term))),
            Said::Refused(refused) => return Ok(Self::Refused(refused.why)),
            Said::NotYet(not_yet) => return Ok(Self::NotYet(not_yet.why)),
            Said::Examine(v1::Examine { number, what }) => {
                return Ok(Self::Examine { number, what: present(what, "Examine", "what")?.try_into()? });
            }
            Said::Prepare(prepare) => {
                let spec = spec::read(&prepare.spec_toml, &[])
                    .map_err(|faults| BadWire::BadSpec { message: "Prepare", faults })?;
                Order::Prepare { job: job(prepare.job, "Prepare")?, spec: Box::new(spec) }
            }
            Said::Open(open) => Order::Open(Box::new(open.try_into()?)),
            Said::Close(close) => {
                Order::Close { job: job(close.job, "Close")?, generation: Generation(close.generation) }
            }
            Said::Wish(made) => Order::Wish {
                job: job(made.job, "MakeWish")?,
                generation: Generation(made.generation),
                wish: wish(made.wish)?,
            },
            Said::Release(release) => Order::Release { job: job(release.job, "Release")?, why: release.why },
            Said::Piecework(said) => Order::Piecework {
                job: job(said.job, "Piecework")?,
                work: Box::new(piecework(&said.work_json, "Piecework")?),
            },
            Said::Lease(lease) => Order::Lease {
                job: job(lease.job, "Lease")?,
                attempt: attempt(lease.attempt, "Lease")?,
                shards: lease.shards.into_iter().map(Shard).collect(),
            },
            Said::Publish(publish) => Order::Publish {
                job: job(publish.job, "Publish")?,
                attempt: attempt(publish.attempt, "Publish")?,
                shard: Shard(publish.shard),
            },
            Said::Discard(discard) => Order::Discard {
                job: job(discard.job, "Discard")?,
                attempt: attempt(discard.attempt, "Discard")?,
                shard: Shard(discard.shard),
            },
            Said::Seal(seal) => Order::Seal {
                job: job(seal.job, "Seal")?,
                receipts: digest(seal.receipts, "Seal", "receipts")?,
                quarantined: seal.quarantined.into_iter().map(|lost| (Shard(lost.shard), lost.why)).collect(),
            },
        }))
    }
}

impl From<Opening> for v1::Open {
    fn from(opening: Opening) -> Self {
        let place = |place: Place| v1::Place { worker: place.worker.0, store: place.store.to_string() };
        let basis = match opening.basis {
            Basis::Saved => v1::open::Basis::Saved(v1::open::FromSaved {}),
            Basis::Held { generation, roster, holders } => v1::open::Basis::Held(v1::open::FromHeld {
                generation: generation.0,
                roster: roster.into_iter().map(|worker| worker.0).collect(),
                holders: holders
                    .into_iter()
                    .map(|(worker, step)| v1::Holder { worker: worker.0, step: step.0 })
                    .collect(),
            }),
        };
        Self {
            job: opening.job.0,
            generation: opening.generation.0,
            roster: opening.roster.into_iter().map(place).collect(),
            basis: Some(basis),
            so_far: Some(opening.so_far.into()),
        }
    }
}

impl TryFrom<v1::Open> for Opening {
    type Error = BadWire;

    fn try_from(open: v1::Open) -> Result<Self, BadWire> {
        let place = |place: v1::Place| {
            Ok(Place { worker: worker(place.worker, "Place")?, store: address(&place.store, "Place", "store")? })
        };
        let basis = match present(open.basis, "Open", "basis")? {
            v1::open::Basis::Saved(_) => Basis::Saved,
            v1::open::Basis::Held(held) => {
                let roster = held.roster.into_iter().map(|name| worker(name, "FromHeld"));
                let holder = |holder: v1::Holder| Ok((worker(holder.worker, "Holder")?, Step(holder.step)));
                Basis::Held {
                    generation: Generation(held.generation),
                    roster: roster.collect::<Result<Vec<WorkerId>, _>>()?,
                    holders: held.holders.into_iter().map(holder).collect::<Result<Vec<_>, BadWire>>()?,
                }
            }
        };
        Ok(Self {
            job: job(open.job, "Open")?,
            generation: Generation(open.generation),
            roster: open.roster.into_iter().map(place).collect::<Result<Vec<_>, BadWire>>()?,
            basis,
            so_far: present(open.so_far, "Open", "so_far")?.into(),
        })
    }
}

impl From<Wish> for v1::Wish {
    fn from(wish: Wish) -> Self {
        match wish {
            Wish::Regroup => Self::Regroup,
            Wish::Park => Self::Park,
        }
    }
}

fn wish(value: i32) -> Result<Wish, BadWire> {
    match v1::Wish::try_from(value) {
        Ok(v1::Wish::Regroup) => Ok(Wish::Regroup),
        Ok(v1::Wish::Park) => Ok(Wish::Park),
        Ok(v1::Wish::Unspecified) | Err(_) => Err(BadWire::Unknown { message: "MakeWish", field: "wish", value }),
    }
}
