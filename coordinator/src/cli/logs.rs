//! `logs`: what the processes of a cluster say, without any log stack.

use super::{
    args::{Form, Logs},
    dial::Named,
    failure::{Exit, Failure},
    list::Onlooker,
    render::print_line,
    view::LogView,
};
use crate::logs::COORDINATOR;
use owo_colors::Style;
use std::collections::BTreeSet;
use sumac_common::logging::Level;
use sumac_proto::v1;

const SPEAKER: Named =
    Named { what: "job, worker, node or coordinator", list: "sumac workers", first: "nobody has said anything yet" };

pub(super) async fn logs(logs: Logs) -> Result<Exit, Failure> {
    let mut dialled = logs.reach.dial().await?;
    let about = match &logs.about {
        Some(named) => dialled.name_of_any(named, &[COORDINATOR], SPEAKER).await?,
        None => String::new(),
    };
    let worker = match &logs.worker {
        Some(named) => Some(dialled.worker_called(named).await?),
        None => None,
    };
    let since = logs.since.map(prost_types::Duration::try_from).transpose();
    let request = v1::ListLogsRequest {
        about,
        tail: logs.tail,
        since: since.map_err(|bad| Failure::of(Exit::Usage, &bad))?,
        level: v1::LogLevel::from(logs.level).into(),
        follow: logs.follow,
    };
    let mut onlooker = Onlooker::new()?;
    let mut named = BTreeSet::new();
    let mut lines = dialled.operator.list_logs(request).await.map_err(|status| dialled.failed(&status))?.into_inner();
    loop {
        let next = tokio::select! {
            next = lines.message() => next.map_err(|status| dialled.broke_off(&status))?,
            () = onlooker.leaves() => return Ok(Exit::Interrupted),
        };
        let Some(line) = next else { return Ok(Exit::Done) };
        let line = LogView::of(line)?;
        let is_of = worker.as_ref().is_none_or(|worker| line.source == *worker);
        let is_like = logs.grep.as_ref().is_none_or(|text| line.text.contains(text));
        if is_of && is_like {
            match logs.output {
                Form::Json => print_line(&line),
                Form::Table => print(&line, line.at.get(11..23).unwrap_or(&line.at)),
                Form::Wide => print(&line, &format!("{} {:<12}", line.at, line.node)),
                Form::Name if named.insert(line.source.clone()) => anstream::println!("{}", line.source),
                Form::Name => {}
            }
        }
    }
}

fn print(line: &LogView, before: &str) {
    let style = match line.level {
        Level::Error => Style::new().red(),
        Level::Warn => Style::new().yellow(),
        Level::Info => Style::new(),
        Level::Debug => Style::new().dimmed(),
    };
    let level = style.style(format!("{:<5}", line.level.to_string())).to_string();
    let within = [
        line.job.clone(),
        line.generation.map(|generation| format!("generation={generation}")),
        line.step.map(|step| format!("step={step}")),
    ];
    let within: Vec<String> = within.into_iter().flatten().collect();
    let within = Style::new().dimmed().style(within.join(" ")).to_string();
    anstream::println!("{before} {level} {:<12} {}  {within}", line.source, line.text);
}
