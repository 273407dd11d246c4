//! `version` and `help`.

use super::{
    args::{Args, Output},
    dial::dial,
    failure::{EXIT_CODES, Exit, Failure},
    render::{print_item, say, span},
    view,
};
use clap::CommandFactory as _;
use serde::Serialize;
use sumac_proto::v1;

#[derive(Serialize)]
struct Versions {
    version: &'static str,
    coordinator: Option<CoordinatorView>,
}

#[derive(Serialize)]
struct CoordinatorView {
    url: String,
    version: String,
    term: u64,
    up_seconds: u64,
    workers_here: u32,
    jobs_unfinished: u32,
}

/// A coordinator that is not there is no failure of this command.
pub(super) async fn version(output: Output, coordinator: Option<String>) -> Result<Exit, Failure> {
    let coordinator = match dial(coordinator).await {
        Ok(mut dialled) => {
            let status = dialled.operator.status(v1::StatusRequest {}).await;
            let status = status.map_err(|status| dialled.failed(&status))?.into_inner();
            Some(CoordinatorView {
                url: dialled.url,
                version: status.version,
                term: status.term,
                up_seconds: view::duration(status.up).as_secs(),
                workers_here: status.workers_here,
                jobs_unfinished: status.jobs_unfinished,
            })
        }
        Err(failure) if failure.exit == Exit::Unreachable => None,
        Err(failure) => return Err(failure),
    };
    let versions = Versions { version: env!("CARGO_PKG_VERSION"), coordinator };
    match output {
        Output::Json => print_item(&versions),
        Output::Table => {
            anstream::println!("sumac {}", versions.version);
            match &versions.coordinator {
                Some(coordinator) => {
                    let up = span(std::time::Duration::from_secs(coordinator.up_seconds));
                    let CoordinatorView { url, version, term, workers_here, jobs_unfinished, .. } = coordinator;
                    say("serving", format!("{url}   sumac {version}, term {term}, up {up}"));
                    say("holds", format!("{workers_here} workers, {jobs_unfinished} unfinished jobs"));
                }
                None => say("serving", "no coordinator can be reached"),
            }
        }
    }
    Ok(Exit::Done)
}

pub(super) fn help(topic: &[String]) -> Result<Exit, Failure> {
    if topic == ["exit-codes"] {
        anstream::print!("{EXIT_CODES}");
        return Ok(Exit::Done);
    }
    let mut command = Args::command();
    command.build();
    let mut named = &mut command;
    for name in topic {
        named = named.find_subcommand_mut(name).ok_or_else(|| {
            Failure::new(Exit::Usage, format!("there is no command or topic `{}`", topic.join(" ")))
                .hint("`sumac help` lists the commands; topics: exit-codes")
        })?;
    }
    anstream::print!("{}", named.render_long_help().ansi());
    if topic.is_empty() {
        anstream::println!("\nTopics: sumac help exit-codes");
    }
    Ok(Exit::Done)
}
