//! `Examine`: one worker of each machine is asked, and what they find is passed on as it comes. What a finding is, is decided by
//! the rules; here it is only asked and gathered.

use super::{call, view};
use crate::{
    driver::{Call, Desk},
    examinations::{Answered, Examination as UnderWay},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::{Duration, SystemTime},
};
use sumac_common::{
    examination::{self, Examination, Finding},
    ids::{NodeId, WorkerId},
    spec::Spec,
};
use sumac_proto::{Down, v1};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tonic::Status;

/// Who has not answered by then has nothing to say of the others' files.
const COMPARE_WITHIN: Duration = Duration::from_secs(8);

type Told = mpsc::Sender<Result<v1::Examination, Status>>;

pub(super) async fn examine(desk: Desk, job: Option<Box<Spec>>, told: Told) {
    let picture = desk.picture.borrow().clone();
    let seats: Vec<_> = picture.workers.iter().filter(|worker| !worker.is_gone()).map(|it| it.seat.clone()).collect();
    let rounds = examination::rounds(&seats);
    let lookers: BTreeMap<NodeId, WorkerId> =
        rounds.iter().map(|(looker, _)| (looker.node.clone(), looker.worker.clone())).collect();
    let under_way = desk.examinations.begin();
    let number = under_way.number;
    // Where there are several machines, each leaves a file that the others look for.
    let output = job.as_ref().filter(|_| lookers.len() > 1).map(|job| job.how.output.dir.clone());
    let witness = output.map(|output| Witness { output, token: format!("{}-{number}", picture.term.0) });
    let looked = async {
        let itself = examination::coordinator(env!("CARGO_PKG_VERSION"), picture.term, picture.trouble.as_deref());
        tell(&told, "coordinator", vec![itself]).await?;
        for (looker, peers) in rounds {
            let token = witness.as_ref().map(|witness| witness.token.clone());
            ask(&desk, &looker.worker, number, Examination::Look { peers, job: job.clone(), token }).await?;
        }
        hear(&desk, under_way, &lookers, witness.as_ref(), &told).await
    };
    let looked = looked.await;
    // Whoever hung up meanwhile.
    if let Some(Witness { output, token }) = &witness {
        for worker in lookers.values() {
            let clear = Examination::Clear { output: output.clone(), token: token.clone() };
            // Where the coordinator ends, files stay.
            let _ = ask(&desk, worker, number, clear).await;
        }
    }
    if let Err(Over(Some(status))) = looked {
        let _ = told.send(Err(status)).await;
    }
}

/// What machines that share a folder see of each other there.
struct Witness {
    output: PathBuf,
    token: String,
}

/// Nothing more is to be told: nobody listens, or the coordinator ends.
struct Over(Option<Status>);

impl From<Status> for Over {
    fn from(status: Status) -> Self {
        Self(Some(status))
    }
}

async fn tell(told: &Told, place: &str, findings: Vec<Finding>) -> Result<(), Over> {
    let findings = findings.into_iter().map(Into::into).collect();
    let at = Some(view::wire_time(SystemTime::now()));
    told.send(Ok(v1::Examination { place: place.to_owned(), findings, at })).await.map_err(|_| Over(None))
}

async fn hear(
    desk: &Desk,
    under_way: UnderWay,
    lookers: &BTreeMap<NodeId, WorkerId>,
    witness: Option<&Witness>,
    told: &Told,
) -> Result<(), Over> {
    let look_within = desk.examinations.look_within;
    let mut awaited = Awaited::of(under_way, lookers.keys().cloned().collect(), look_within);
    let mut engines = BTreeMap::new();
    while let Some(Answered { node, ahead_ms, answer }) = awaited.next().await {
        engines.insert(node.clone(), answer.engine);
        let findings = std::iter::once(examination::clock(ahead_ms)).chain(answer.findings).collect();
        tell(told, &node.0, findings).await?;
    }
    for node in &awaited.nodes {
        tell(told, &node.0, vec![examination::silent(look_within)]).await?;
    }
    let mut of_all = examination::alike(&engines);
    if let Some(Witness { output, token }) = witness {
        let nodes: Vec<NodeId> = engines.keys().cloned().collect();
        let under_way = desk.examinations.begin();
        for worker in nodes.iter().filter_map(|node| lookers.get(node)) {
            let what = Examination::Compare { output: output.clone(), token: token.clone(), nodes: nodes.clone() };
            ask(desk, worker, under_way.number, what).await?;
        }
        let mut awaited = Awaited::of(under_way, nodes.into_iter().collect(), COMPARE_WITHIN);
        while let Some(answered) = awaited.next().await {
            of_all.extend(answered.answer.findings);
        }
    }
    tell(told, "cluster", of_all).await
}

async fn ask(desk: &Desk, worker: &WorkerId, number: u64, what: Examination) -> Result<(), Status> {
    call(desk, Call::Examine { worker: worker.clone(), down: Down::Examine { number, what } }).await
}

/// Who is still to answer.
struct Awaited {
    under_way: UnderWay,
    nodes: BTreeSet<NodeId>,
    until: Instant,
}

impl Awaited {
    fn of(under_way: UnderWay, nodes: BTreeSet<NodeId>, within: Duration) -> Self {
        Self { under_way, nodes, until: Instant::now() + within }
    }

    /// `None` when all have answered, or it is too late.
    async fn next(&mut self) -> Option<Answered> {
        while !self.nodes.is_empty() {
            let answered = timeout_at(self.until, self.under_way.next()).await.ok().flatten()?;
            if self.nodes.remove(&answered.node) {
                return Some(answered);
            }
        }
        None
    }
}
