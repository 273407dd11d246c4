//! `Examine`: one worker of each machine is asked, and what they find is passed on as it comes. What a finding is, is decided by
//! the rules; here it is only asked and gathered.

use super::{call, view};
use crate::{
    driver::{Call, Desk},
    examinations::{Answered, Examination as UnderWay},
    picture::Picture,
};
use std::{
    collections::{BTreeMap, BTreeSet},
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

/// Who has not answered by then is said not to. Together below a minute.
const LOOK_WITHIN: Duration = Duration::from_secs(40);
const COMPARE_WITHIN: Duration = Duration::from_secs(10);

type Told = mpsc::Sender<Result<v1::Examination, Status>>;

pub(super) async fn examine(desk: Desk, job: Option<Box<Spec>>, told: Told) {
    // Who asked may be gone at any moment: then there is nobody to tell, and nothing to undo.
    if let Err(Over(status)) = look(&desk, job, &told).await
        && let Some(status) = status
    {
        let _ = told.send(Err(status)).await;
    }
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

async fn look(desk: &Desk, job: Option<Box<Spec>>, told: &Told) -> Result<(), Over> {
    let picture = desk.picture.borrow().clone();
    let seats: Vec<_> = picture.workers.iter().filter(|worker| !worker.is_gone()).map(|it| it.seat.clone()).collect();
    tell(told, "coordinator", vec![itself(&picture)]).await?;
    let rounds = examination::rounds(&seats);
    let lookers: BTreeMap<NodeId, WorkerId> =
        rounds.iter().map(|(looker, _)| (looker.node.clone(), looker.worker.clone())).collect();
    let nodes: BTreeSet<NodeId> = lookers.keys().cloned().collect();
    let mut awaited = Awaited::of(desk, nodes.clone(), LOOK_WITHIN);
    let number = awaited.under_way.number;
    // Where there are several machines, each leaves a file that the others look for.
    let output = job.as_ref().filter(|_| lookers.len() > 1).map(|job| job.how.output.dir.clone());
    let witness = output.map(|output| (output, format!("{}-{number}", picture.term.0)));
    for (looker, peers) in rounds {
        let token = witness.as_ref().map(|(_, token)| token.clone());
        ask(desk, &looker.worker, number, Examination::Look { peers, job: job.clone(), token }).await?;
    }
    let mut engines = BTreeMap::new();
    while let Some(Answered { node, ahead_ms, answer }) = awaited.next().await {
        engines.insert(node.clone(), answer.engine);
        let findings = std::iter::once(examination::clock(ahead_ms)).chain(answer.findings).collect();
        tell(told, &node.0, findings).await?;
    }
    let silent = awaited.nodes;
    for node in &silent {
        tell(told, &node.0, vec![examination::silent(LOOK_WITHIN)]).await?;
    }
    let mut of_all = examination::alike(&engines);
    if let Some((output, token)) = witness {
        let answering: BTreeSet<NodeId> = nodes.difference(&silent).cloned().collect();
        let mut awaited = Awaited::of(desk, answering.clone(), COMPARE_WITHIN);
        let number = awaited.under_way.number;
        for worker in answering.iter().filter_map(|node| lookers.get(node)) {
            let nodes = answering.iter().cloned().collect();
            let what = Examination::Compare { output: output.clone(), token: token.clone(), nodes };
            ask(desk, worker, number, what).await?;
        }
        while let Some(answered) = awaited.next().await {
            of_all.extend(answered.answer.findings);
        }
        for worker in lookers.values() {
            ask(desk, worker, number, Examination::Clear { output: output.clone(), token: token.clone() }).await?;
        }
    }
    tell(told, "cluster", of_all).await
}

fn itself(picture: &Picture) -> Finding {
    let version = env!("CARGO_PKG_VERSION");
    match &picture.trouble {
        Some(trouble) => Finding::bad(trouble.clone(), "mend the disk that its state directory is on"),
        None => Finding::good(format!("sumac {version}, term {}, saves its state", picture.term.0)),
    }
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
    fn of(desk: &Desk, nodes: BTreeSet<NodeId>, within: Duration) -> Self {
        Self { under_way: desk.examinations.begin(), nodes, until: Instant::now() + within }
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
