//! `events`: what happened, a line each, and for a failure what the members said of it.

use super::{
    args::{Events, Output},
    dial::Named,
    failure::{Exit, Failure},
    render::print_line,
    show::style,
    view::FactView,
};
use sumac_proto::v1;

const ANYTHING: Named = Named { what: "job, worker or node", list: "sumac jobs", first: "nothing has happened yet" };

pub(super) async fn events(events: Events) -> Result<Exit, Failure> {
    let mut dialled = events.reach.dial().await?;
    let about = match &events.about {
        Some(named) => dialled.name_of_any(named, &[], ANYTHING).await?,
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

fn print(fact: &FactView) {
    let class = format!("{:<9}", fact.class);
    let about = fact.job.as_deref().unwrap_or("-");
    anstream::println!("{}  {}  {about:<12}  {}", fact.at, style(&fact.class).style(&class), fact.what);
    for line in &fact.evidence {
        anstream::println!("{:34}{line}", "");
    }
}
