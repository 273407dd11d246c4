//! Following a job: its views as they come, across restarts of the coordinator. Shows nothing.

use super::{dial::Dialled, failure::Failure, view::JobView};
use std::time::Duration;
use sumac_proto::v1;
use tokio::time::{Instant, sleep};
use tonic::{Code, Streaming};

/// A coordinator that is away longer than this ends the following.
const AWAY_MAX: Duration = Duration::from_secs(30);
const REDIAL_EVERY: Duration = Duration::from_millis(500);

/// The views of one job, until it is over.
pub(super) struct Watch {
    dialled: Dialled,
    job: String,
    stream: Option<Streaming<v1::Job>>,
    is_over: bool,
}

impl Watch {
    pub(super) fn new(dialled: Dialled, job: String) -> Self {
        Self { dialled, job, stream: None, is_over: false }
    }

    /// The job now or after its next change; `None` after the view that showed its end.
    pub(super) async fn next(&mut self) -> Result<Option<JobView>, Failure> {
        let mut away_since: Option<Instant> = None;
        while !self.is_over {
            match self.try_next().await {
                Ok(Some(job)) => {
                    let job = JobView::of(job)?;
                    self.is_over = job.is_over();
                    return Ok(Some(job));
                }
                // A stream that ends before its job has lost its coordinator.
                Ok(None) => self.stream = None,
                Err(status)
                    if matches!(
                        status.code(),
                        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal
                    ) =>
                {
                    self.stream = None;
                    if away_since.get_or_insert_with(Instant::now).elapsed() > AWAY_MAX {
                        return Err(self.dialled.failed(&status));
                    }
                }
                Err(status) => return Err(self.dialled.failed(&status)),
            }
            sleep(REDIAL_EVERY).await;
            // Where it lives may have changed with its restart, if nobody said where.
            if let Ok(dialled) = Dialled::at(self.dialled.url.clone()).await {
                self.dialled = dialled;
            }
        }
        Ok(None)
    }

    async fn try_next(&mut self) -> Result<Option<v1::Job>, tonic::Status> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let request = v1::WatchJobRequest { job: self.job.clone() };
                self.stream.insert(self.dialled.operator.watch_job(request).await?.into_inner())
            }
        };
        stream.message().await
    }
}
