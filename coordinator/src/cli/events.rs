//! `events`: what happened, a line each, and for a failure what the members said of it.

use super::{
    args::{Events, Output},
    dial::{Dialled, Named, choose},
    failure::{Exit, Failure},
    render::print_line,
    show::style,
    view::FactView,
};
use std::collections::BTreeSet;
use sumac_proto::v1;

const ANYTHING: Named = Named { what: "job, worker or node", list: "sumac jobs", first: "nothing has happened yet" };

pub(super) async fn events(events: Events) -> Result<Exit, Failure> {
    let mut dialled = events.reach.dial().await?;
    let about = match &events.about {
        Some(named) => whole_name(&mut dialled, named).await?,
        None => String::new(),
    };
    let request = v1::ListEventsRequest { about, follow: events.follow };
    let mut facts = dialled.operator.list_events(request).await.map_err(|status| dialled.failed(&status))?.into_inner();
    loop {
        let next = tokio::select! {
            next = facts.message() => next.map_err(|status| dialled.failed(&status))?,
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Interrupted),
        };
        let Some(fact) = next.map(FactView::of) else { return Ok(Exit::Done) };
        if fact.class == "detail" && !events.all {
            continue;
        }
        match events.read.output {
            Output::Json => print_line(&fact),
            Output::Table => print(&fact),
        }
    }
}

async fn whole_name(dialled: &mut Dialled, named: &str) -> Result<String, Failure> {
    let jobs = dialled.jobs().await?.into_iter().map(|job| job.id);
    let mut names: BTreeSet<String> = jobs.collect();
    names.extend(dialled.workers().await?.into_iter().flat_map(|worker| [worker.name, worker.node]));
    choose(&names.into_iter().collect::<Vec<_>>(), named, ANYTHING)
}

fn print(fact: &FactView) {
    let class = format!("{:<9}", fact.class);
    let about = fact.job.as_deref().unwrap_or("-");
    anstream::println!("{}  {}  {about:<12}  {}", fact.at, style(&fact.class).style(&class), fact.what);
    for line in &fact.evidence {
        anstream::println!("{:34}{line}", "");
    }
}
