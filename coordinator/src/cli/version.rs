//! `version`: of this tool, and of the coordinator that can be reached.

use super::{
    args::{Look, Output},
    failure::{Exit, Failure},
    render::{counted, print_item, say, span},
    view,
};
use serde::Serialize;

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
    /// Why it takes on nothing new at the moment.
    trouble: Option<String>,
}

/// A coordinator that is not there is no failure of this command.
pub(super) async fn version(asked: Look) -> Result<Exit, Failure> {
    let coordinator = match asked.reach.dial().await {
        Ok(mut dialled) => {
            let status = dialled.status().await?;
            Some(CoordinatorView {
                url: dialled.url,
                version: status.version,
                term: status.term,
                up_seconds: view::duration(status.up).as_secs(),
                workers_here: status.workers_here,
                jobs_unfinished: status.jobs_unfinished,
                trouble: status.trouble,
            })
        }
        Err(failure) if failure.exit == Exit::Unreachable => None,
        Err(failure) => return Err(failure),
    };
    let versions = Versions { version: env!("CARGO_PKG_VERSION"), coordinator };
    match asked.read.output {
        Output::Json => print_item(&versions),
        Output::Table => {
            anstream::println!("sumac {}", versions.version);
            match &versions.coordinator {
                Some(coordinator) => {
                    let up = span(std::time::Duration::from_secs(coordinator.up_seconds));
                    let CoordinatorView { url, version, term, workers_here, jobs_unfinished, .. } = coordinator;
                    say("serving", format!("{url}   sumac {version}, term {term}, up {up}"));
                    let (workers, jobs) = (
                        counted((*workers_here).into(), "worker"),
                        counted((*jobs_unfinished).into(), "unfinished job"),
                    );
                    say("holds", format!("{workers}, {jobs}"));
                    if let Some(trouble) = &coordinator.trouble {
                        say("trouble", trouble);
                    }
                }
                None => say("serving", "no coordinator can be reached"),
            }
        }
    }
    Ok(Exit::Done)
}
