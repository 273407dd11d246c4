//! `drain`, `undrain`, `evict`: which workers and nodes are given work.

use super::{
    args::{Drain, Evict, Member},
    ask::confirmed,
    dial::{Dialled, Named, choose},
    failure::{Exit, Failure},
    render::{counted, say},
    view::WorkerView,
};
use std::{collections::BTreeSet, time::Duration};
use sumac_proto::v1;
use tokio::time::sleep;

const MEMBER: Named = Named {
    what: "worker or node",
    list: "sumac nodes",
    first: "`sumac-worker node --coordinator URL` starts one per device",
};
/// How often it is looked whether the workers are free.
const LOOK_EVERY: Duration = Duration::from_millis(300);

impl Member {
    /// A connection, and the whole name of the worker or the node that is meant.
    async fn dial(&self) -> Result<(Dialled, String), Failure> {
        let mut dialled = self.reach.dial().await?;
        let workers = dialled.workers().await?;
        let names: BTreeSet<String> = workers.into_iter().flat_map(|worker| [worker.name, worker.node]).collect();
        let names: Vec<String> = names.into_iter().collect();
        let name = choose(&names, &self.name, MEMBER)?;
        Ok((dialled, name))
    }
}

pub(super) async fn drain(drain: Drain) -> Result<Exit, Failure> {
    let (mut dialled, name) = drain.member.dial().await?;
    let deadline = drain.deadline.map(prost_types::Duration::try_from).transpose();
    let deadline = deadline.map_err(|bad| Failure::of(Exit::Usage, &bad))?;
    let asked = dialled.operator.drain(v1::DrainRequest { name: name.clone(), deadline }).await;
    asked.map_err(|status| dialled.failed(&status))?;
    if drain.no_wait {
        say("draining", format!("{name}: `sumac nodes` shows when it is free"));
        return Ok(Exit::Done);
    }
    let mut said = None;
    loop {
        let busy = busy(&mut dialled, &name).await?;
        if busy.is_empty() {
            say("drained", format!("{name}: it gets no more work; `sumac undrain {name}` takes it back"));
            return Ok(Exit::Done);
        }
        if said.as_ref() != Some(&busy) {
            say(
                "draining",
                format!("{name}: {} to be let go: {}", counted(busy.len() as u64, "worker"), busy.join(", ")),
            );
        }
        said = Some(busy);
        sleep(LOOK_EVERY).await;
    }
}

/// Those of this name that still work for a job.
async fn busy(dialled: &mut Dialled, name: &str) -> Result<Vec<String>, Failure> {
    let workers = dialled.workers().await?;
    let is_busy = |worker: &WorkerView| worker.job.is_some();
    let named = |worker: &WorkerView| worker.name == name || worker.node == name;
    Ok(workers.into_iter().filter(|worker| named(worker) && is_busy(worker)).map(|worker| worker.name).collect())
}

pub(super) async fn undrain(member: Member) -> Result<Exit, Failure> {
    let (mut dialled, name) = member.dial().await?;
    let asked = dialled.operator.undrain(v1::DrainRequest { name: name.clone(), deadline: None }).await;
    asked.map_err(|status| dialled.failed(&status))?;
    say("undrained", format!("{name} may work again"));
    Ok(Exit::Done)
}

pub(super) async fn evict(evict: Evict) -> Result<Exit, Failure> {
    let (mut dialled, name) = evict.member.dial().await?;
    let loss = format!("evicting {name} aborts the step under way, and a state that nobody else holds is lost");
    if !evict.yes && !confirmed(&loss, "`sumac drain` lets it go between two steps")? {
        say("kept", &name);
        return Ok(Exit::Done);
    }
    let asked = dialled.operator.evict(v1::DrainRequest { name: name.clone(), deadline: None }).await;
    asked.map_err(|status| dialled.failed(&status))?;
    say("evicted", format!("{name}: it gets no more work; `sumac undrain {name}` takes it back"));
    Ok(Exit::Done)
}
