//! `version`: of this tool, and of the coordinator that can be reached.

use super::{
    args::{Look, Reach, Reading},
    describe::{Described, describe},
    failure::{Exit, Failure},
    render::{counted, say, span},
    view,
};
use serde::Serialize;
use std::time::Duration;

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
    describe(&asked.reading, async || {
        let coordinator = match CoordinatorView::of(&asked.reach).await {
            Err(failure) if failure.exit == Exit::Unreachable => None,
            told => Some(told?),
        };
        Ok(Versions { version: env!("CARGO_PKG_VERSION"), coordinator })
    })
    .await
}

impl CoordinatorView {
    async fn of(reach: &Reach) -> Result<Self, Failure> {
        let mut dialled = reach.dial().await?;
        let status = dialled.status().await?;
        Ok(Self {
            url: dialled.url,
            version: status.version,
            term: status.term,
            up_seconds: view::duration(status.up).as_secs(),
            workers_here: status.workers_here,
            jobs_unfinished: status.jobs_unfinished,
            trouble: status.trouble,
        })
    }
}

impl Described for Versions {
    fn called(&self) -> &str {
        self.version
    }

    fn describe(&self, _: &Reading) {
        anstream::println!("sumac {}", self.version);
        let Some(coordinator) = &self.coordinator else {
            say("serving", "no coordinator can be reached");
            return;
        };
        let CoordinatorView { url, version, term, up_seconds, workers_here, jobs_unfinished, trouble } = coordinator;
        let up = span(Duration::from_secs(*up_seconds));
        say("serving", format!("{url}   sumac {version}, term {term}, up {up}"));
        let workers = counted((*workers_here).into(), "worker");
        say("holds", format!("{workers}, {}", counted((*jobs_unfinished).into(), "unfinished job")));
        if let Some(trouble) = trouble {
            say("trouble", trouble);
        }
    }

    fn mark(&self) -> String {
        let one = |known: &CoordinatorView| {
            let CoordinatorView { url, version, term, workers_here, jobs_unfinished, trouble, .. } = known;
            format!("{url} {version} {term} {workers_here} {jobs_unfinished} {trouble:?}")
        };
        self.coordinator.as_ref().map(one).unwrap_or_default()
    }
}
