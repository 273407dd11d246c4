//! Reaching the coordinator, and naming a job by as much of its id as is needed.

use super::{
    args::{Reach, STATE, Target},
    failure::{Exit, Failure},
    view::{JobView, WorkerView},
};
use crate::serve::{ADDRESS_FILE, LISTEN};
use std::{collections::BTreeSet, error::Error, path::Path, time::Duration};
use sumac_proto::{
    MESSAGE_MAX,
    v1::{self, job_reply::Answer, operator_client::OperatorClient},
};
use tonic::{
    Code, Response, Status,
    transport::{Channel, Endpoint},
};

const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Names offered for one that is not known.
const NEAR_MAX: usize = 3;

/// A connection to the coordinator at `url`.
#[derive(Clone, Debug)]
pub(super) struct Dialled {
    pub url: String,
    pub operator: OperatorClient<Channel>,
}

impl Reach {
    pub(super) async fn dial(&self) -> Result<Dialled, Failure> {
        Dialled::at(self.url()).await
    }

    /// The URL that was given, else that of the coordinator whose state is in `./.sumac`, else the usual one.
    fn url(&self) -> String {
        let local = || std::fs::read_to_string(Path::new(STATE).join(ADDRESS_FILE)).ok();
        let url = self.coordinator.clone().or_else(local).map(|url| url.trim().to_owned());
        url.filter(|url| !url.is_empty()).unwrap_or_else(|| format!("http://{LISTEN}"))
    }
}

impl Target {
    /// A connection, and the whole id of the job that is meant.
    pub(super) async fn dial(&self) -> Result<(Dialled, String), Failure> {
        let mut dialled = self.reach.dial().await?;
        let job = dialled.job_called(&self.job).await?;
        Ok((dialled, job))
    }
}

fn unreachable(url: &str) -> Failure {
    Failure::new(Exit::Unreachable, format!("cannot reach the coordinator at {url}")).hint(
        "is it running? `sumac up` or `sumac serve` starts one; another one: --coordinator URL or SUMAC_COORDINATOR",
    )
}

/// The layers between say no more than it does.
fn deepest<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    let mut deepest = error;
    while let Some(below) = deepest.source() {
        deepest = below;
    }
    Some(deepest)
}

impl Dialled {
    pub(super) async fn at(url: String) -> Result<Self, Failure> {
        let not_a_url = || {
            let failure = Failure::new(Exit::Usage, format!("`{url}` is not the URL of a coordinator"));
            failure.hint("it looks like http://HOST:7070")
        };
        let endpoint = Endpoint::from_shared(url.clone()).map_err(|bad| not_a_url().because(Some(&bad)))?;
        if endpoint.uri().scheme_str() != Some("http") {
            return Err(not_a_url());
        }
        let channel = endpoint
            .connect_timeout(CONNECT_WITHIN)
            .tcp_nodelay(true)
            .connect()
            .await
            .map_err(|error| unreachable(&url).because(deepest(&error)))?;
        let operator =
            OperatorClient::new(channel).max_decoding_message_size(MESSAGE_MAX).max_encoding_message_size(MESSAGE_MAX);
        Ok(Self { url, operator })
    }

    /// What a failed call means for the command.
    pub(super) fn failed(&self, status: &Status) -> Failure {
        match status.code() {
            Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded => {
                let failure = unreachable(&self.url);
                match status.source() {
                    Some(below) => failure.because(deepest(below)),
                    None if status.message().is_empty() => failure,
                    None => failure.because_of(status.message()),
                }
            }
            Code::Unimplemented => {
                Failure::other_version(format!("what answers at {} is not this version of sumac", self.url))
            }
            Code::Unknown | Code::Internal if status.message().contains("transport error") => {
                Failure::new(Exit::Failed, format!("what answers at {} does not speak as a coordinator does", self.url))
                    .hint("is that the port of its HTTP pages? `serving` names the other one")
            }
            code => {
                let exit = if code == Code::InvalidArgument { Exit::Usage } else { Exit::Failed };
                Failure::new(exit, format!("the coordinator at {} refused: {}", self.url, status.message()))
            }
        }
    }

    /// What it means that a stream of news broke off: whatever the layers between say, its other end is away.
    pub(super) fn broke_off(&self, status: &Status) -> Failure {
        match status.code() {
            Code::Unknown | Code::Internal => {
                unreachable(&self.url).because_of("it broke off in the midst of what it told")
            }
            _ => self.failed(status),
        }
    }

    pub(super) async fn status(&mut self) -> Result<v1::StatusReply, Failure> {
        let reply = self.operator.status(v1::StatusRequest {}).await;
        Ok(reply.map_err(|status| self.failed(&status))?.into_inner())
    }

    pub(super) async fn jobs(&mut self) -> Result<Vec<JobView>, Failure> {
        let reply = self.operator.list_jobs(v1::ListJobsRequest {}).await;
        reply.map_err(|status| self.failed(&status))?.into_inner().jobs.into_iter().map(JobView::of).collect()
    }

    /// The whole id of the job that is meant.
    pub(super) async fn job_called(&mut self, name: &str) -> Result<String, Failure> {
        let ids: Vec<String> = self.jobs().await?.into_iter().map(|job| job.id).collect();
        choose(&ids, name, JOB)
    }

    /// The job of this id as it is now.
    pub(super) async fn job(&mut self, id: String) -> Result<JobView, Failure> {
        let reply = self.operator.get_job(v1::GetJobRequest { job: id }).await;
        self.answered(reply)
    }

    pub(super) async fn workers(&mut self) -> Result<Vec<WorkerView>, Failure> {
        let reply = self.operator.list_workers(v1::ListWorkersRequest {}).await;
        reply.map_err(|status| self.failed(&status))?.into_inner().workers.into_iter().map(WorkerView::of).collect()
    }

    /// The whole name of the worker that is meant.
    pub(super) async fn worker_called(&mut self, named: &str) -> Result<String, Failure> {
        let names: Vec<String> = self.workers().await?.into_iter().map(|worker| worker.name).collect();
        choose(&names, named, WORKER)
    }

    /// The whole name of the job, the worker, the node or the one of `others` that is meant.
    pub(super) async fn name_of_any(&mut self, named: &str, others: &[&str], kind: Named) -> Result<String, Failure> {
        let mut names: BTreeSet<String> = others.iter().map(|other| (*other).to_owned()).collect();
        names.extend(self.jobs().await?.into_iter().map(|job| job.id));
        names.extend(self.workers().await?.into_iter().flat_map(|worker| [worker.name, worker.node]));
        choose(&names.into_iter().collect::<Vec<_>>(), named, kind)
    }

    /// The job of a reply, or that there is none.
    pub(super) fn answered(&self, reply: Result<Response<v1::JobReply>, Status>) -> Result<JobView, Failure> {
        match reply.map_err(|status| self.failed(&status))?.into_inner().answer {
            Some(Answer::Job(job)) => JobView::of(job),
            Some(Answer::Unknown(unknown)) => {
                Err(Failure::new(Exit::Failed, "that job is no longer known").hint(unknown.near.join(", ")))
            }
            None => Err(Failure::unanswered()),
        }
    }
}

/// Things that have names.
#[derive(Clone, Copy)]
pub(super) struct Named {
    pub what: &'static str,
    pub list: &'static str,
    pub first: &'static str,
}

const WORKER: Named = Named {
    what: "worker",
    list: "sumac workers",
    first: "`sumac-worker node --coordinator URL` on a machine starts one per device",
};
const JOB: Named = Named { what: "job", list: "sumac jobs", first: "`sumac submit FILE` queues one" };

/// The one that is called so or whose name begins so.
pub(super) fn choose(names: &[String], named: &str, kind: Named) -> Result<String, Failure> {
    if let Some(name) = names.iter().find(|name| *name == named) {
        return Ok(name.clone());
    }
    let begun: Vec<&String> = names.iter().filter(|name| name.starts_with(named)).collect();
    match begun.as_slice() {
        [only] => Ok((*only).clone()),
        [] => Err(unknown(names, named, kind)),
        several => {
            let several: Vec<&str> = several.iter().map(|name| name.as_str()).collect();
            Err(Failure::new(Exit::Failed, format!("`{named}` begins {} names", several.len())).hint(format!(
                "say which {}: {}",
                kind.what,
                several.join(", ")
            )))
        }
    }
}

fn unknown(names: &[String], named: &str, Named { what, list, first }: Named) -> Failure {
    let failure = Failure::new(Exit::Failed, format!("no {what} is called `{named}`"));
    let mut near: Vec<&str> = names.iter().map(String::as_str).collect();
    near.sort_by_key(|id| strsim::damerau_levenshtein(id, named));
    near.truncate(NEAR_MAX);
    match near.as_slice() {
        [] => failure.hint(format!("there is none yet: {first}")),
        near => failure.hint(format!("did you mean {}? `{list}` lists all", near.join(" or "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> Vec<String> {
        ["eyes-7f3", "eyes-6aa", "hands-c01"].map(str::to_owned).to_vec()
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_says_that_its_other_end_is_away() {
        let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        let dialled = Dialled { url: "http://127.0.0.1:1".to_owned(), operator: OperatorClient::new(channel) };
        let broke = dialled.broke_off(&Status::unknown("h2 protocol error: error reading a body from connection"));
        assert_eq!(broke.exit, Exit::Unreachable);
        assert!(broke.what().contains("cannot reach the coordinator at http://127.0.0.1:1"), "{}", broke.what());
    }

    #[test]
    fn a_unique_beginning_names_a_job() {
        assert_eq!(choose(&ids(), "h", JOB).unwrap(), "hands-c01");
    }

    #[test]
    fn a_whole_id_wins_over_longer_ones_that_begin_so() {
        assert_eq!(choose(&["a-1".to_owned(), "a-12".to_owned()], "a-1", JOB).unwrap(), "a-1");
    }

    #[test]
    fn a_beginning_of_several_is_refused_with_all_of_them() {
        let refused = choose(&ids(), "eyes", JOB).unwrap_err();
        assert_eq!(refused.hint.as_deref(), Some("say which job: eyes-7f3, eyes-6aa"));
    }

    #[test]
    fn an_unknown_job_comes_with_the_nearest() {
        let refused = choose(&ids(), "hans-c01", JOB).unwrap_err();
        assert!(refused.hint.unwrap().starts_with("did you mean hands-c01"));
    }
}
