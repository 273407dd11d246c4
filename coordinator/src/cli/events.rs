//! `events`: what happened, a line each, and for a failure what the members said of it.

use super::{
    args::{Events, Form},
    dial::Named,
    failure::{Exit, Failure},
    list::Onlooker,
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
        Some(named) => dialled.name_of_any(named, &[], ANYTHING).await?,
        None => String::new(),
    };
    let request = v1::ListEventsRequest { about, follow: events.follow };
    let mut onlooker = Onlooker::new()?;
    let mut named = BTreeSet::new();
    let mut facts = dialled.operator.list_events(request).await.map_err(|status| dialled.failed(&status))?.into_inner();
    loop {
        let next = tokio::select! {
            next = facts.message() => next.map_err(|status| dialled.broke_off(&status))?,
            () = onlooker.leaves() => return Ok(Exit::Interrupted),
        };
        let Some(fact) = next.map(FactView::of) else { return Ok(Exit::Done) };
        if fact.class == "detail" && !events.all {
            continue;
        }
        let job = fact.job.as_deref().unwrap_or("-");
        match events.output {
            Form::Json => print_line(&fact),
            Form::Table => print(&fact, &format!("{job:<12}")),
            Form::Wide => print(&fact, &format!("{job:<12}  {:<12}", fact.worker.as_deref().unwrap_or("-"))),
            Form::Name => {
                let about = fact.job.into_iter().chain(fact.worker);
                about.filter(|name| named.insert(name.clone())).for_each(|name| anstream::println!("{name}"));
            }
        }
    }
}

fn print(fact: &FactView, about: &str) {
    let class = format!("{:<9}", fact.class);
    anstream::println!("{}  {}  {about}  {}", fact.at, style(&fact.class).style(&class), fact.what);
    for line in &fact.evidence {
        anstream::println!("{:34}{line}", "");
    }
}
