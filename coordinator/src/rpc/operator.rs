//! What people ask and order.

use super::{Window, call, closing, examine::examine, view};
use crate::{
    admission::{Admission, NotAdmitted},
    driver::{Call, CannotSave, Desk, Wanted},
    logs,
    picture::{Entry, Picture, Work},
};
use std::{pin::Pin, sync::Arc, time::Duration};
use sumac_common::{
    cluster::Event,
    conversation::Incarnation,
    ids::{JobId, WorkerId},
    logging::Level,
    piecework::Piecework,
    spec,
};
use sumac_proto::v1::{self, job_reply, operator_server::Operator, submit_refused, submit_reply};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};

/// Views that may wait for one watcher; a slow one skips states and never misses the last.
const VIEWS_MAX: usize = 4;
/// Lines of a log that may wait for one reader.
const LINES_MAX: usize = 64;
/// Names offered for one that is not known.
const NEAR_MAX: usize = 3;

#[tonic::async_trait]
impl Operator for Window {
    async fn submit(&self, request: Request<v1::SubmitRequest>) -> Result<Response<v1::SubmitReply>, Status> {
        let spec = match spec::read(&request.into_inner().spec_toml, &[]) {
            Ok(spec) => Box::new(spec),
            Err(faults) => {
                let bad = submit_refused::BadSpec { faults: faults.to_string() };
                return Ok(not_admitted(submit_refused::Why::BadSpec(bad)));
            }
        };
        self.submit_wanted(Wanted::Run(spec)).await
    }

    async fn submit_piecework(
        &self,
        request: Request<v1::SubmitPieceworkRequest>,
    ) -> Result<Response<v1::SubmitReply>, Status> {
        match Piecework::from_json(&request.into_inner().work_json) {
            Ok(work) => self.submit_wanted(Wanted::Pieces(Box::new(work))).await,
            Err(faults) => Ok(not_admitted(submit_refused::Why::BadSpec(submit_refused::BadSpec { faults }))),
        }
    }

    async fn list_jobs(&self, _: Request<v1::ListJobsRequest>) -> Result<Response<v1::ListJobsReply>, Status> {
        let picture = self.look();
        let jobs = picture.jobs.iter().map(|entry| view::job(entry, &picture)).collect();
        Ok(Response::new(v1::ListJobsReply { jobs }))
    }

    async fn get_job(&self, request: Request<v1::GetJobRequest>) -> Result<Response<v1::JobReply>, Status> {
        Ok(self.reply(&JobId(request.into_inner().job)))
    }

    type WatchJobStream = Pin<Box<dyn Stream<Item = Result<v1::Job, Status>> + Send>>;

    async fn watch_job(&self, request: Request<v1::WatchJobRequest>) -> Result<Response<Self::WatchJobStream>, Status> {
        let id = JobId(request.into_inner().job);
        if self.look().job(&id).is_none() {
            return Err(Status::not_found(format!("no job is called {id}")));
        }
        let (views, viewed) = mpsc::channel(VIEWS_MAX);
        tokio::spawn(show(self.desk.picture.clone(), id, views));
        Ok(Response::new(Box::pin(ReceiverStream::new(viewed))))
    }

    async fn list_workers(&self, _: Request<v1::ListWorkersRequest>) -> Result<Response<v1::ListWorkersReply>, Status> {
        let picture = self.look();
        let workers = picture.workers.iter().map(|worker| view::worker(worker, &picture)).collect();
        Ok(Response::new(v1::ListWorkersReply { workers }))
    }

    type ListEventsStream = Pin<Box<dyn Stream<Item = Result<v1::Fact, Status>> + Send>>;

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<Self::ListEventsStream>, Status> {
        let v1::ListEventsRequest { about, follow } = request.into_inner();
        let (facts, told) = mpsc::channel(VIEWS_MAX);
        tokio::spawn(tell(self.desk.picture.clone(), about, follow, facts));
        Ok(Response::new(Box::pin(ReceiverStream::new(told))))
    }

    type ListLogsStream = Pin<Box<dyn Stream<Item = Result<v1::Log, Status>> + Send>>;

    async fn list_logs(&self, request: Request<v1::ListLogsRequest>) -> Result<Response<Self::ListLogsStream>, Status> {
        let v1::ListLogsRequest { about, tail, since, level, follow } = request.into_inner();
        let level = v1::LogLevel::try_from(level).map_err(|_| Status::invalid_argument("no such level of a log"))?;
        let since = since.map(Duration::try_from).transpose();
        let since = since.map_err(|bad| Status::invalid_argument(bad.to_string()))?;
        let wanted = logs::Wanted { about, level: Option::from(level).unwrap_or(Level::Debug) };
        let (lines, told) = mpsc::channel(LINES_MAX);
        tokio::spawn(read_out(self.desk.clone(), wanted, Share { tail: tail as usize, since }, follow, lines));
        Ok(Response::new(Box::pin(ReceiverStream::new(told))))
    }

    type ExamineStream = Pin<Box<dyn Stream<Item = Result<v1::Examination, Status>> + Send>>;

    async fn examine(&self, request: Request<v1::ExamineRequest>) -> Result<Response<Self::ExamineStream>, Status> {
        let job = request.into_inner().spec_toml.map(|text| spec::read(&text, &[]).map(Box::new)).transpose();
        let job = job.map_err(|faults| Status::invalid_argument(faults.to_string()))?;
        let (found, told) = mpsc::channel(VIEWS_MAX);
        tokio::spawn(examine(self.desk.clone(), job, found));
        Ok(Response::new(Box::pin(ReceiverStream::new(told))))
    }

    async fn cancel(&self, request: Request<v1::CancelRequest>) -> Result<Response<v1::JobReply>, Status> {
        let job = JobId(request.into_inner().job);
        self.command(Event::Cancelled { job: job.clone() }).await?;
        Ok(self.reply(&job))
    }

    async fn pause(&self, request: Request<v1::PauseRequest>) -> Result<Response<v1::JobReply>, Status> {
        let job = JobId(request.into_inner().job);
        self.command(Event::PauseWished { job: job.clone() }).await?;
        Ok(self.reply(&job))
    }

    async fn scale(&self, request: Request<v1::ScaleRequest>) -> Result<Response<v1::JobReply>, Status> {
        let v1::ScaleRequest { job, workers_min: min, workers_max: max } = request.into_inner();
        if min == 0 || min > max {
            return Err(Status::invalid_argument(format!("a job cannot run on {min} to {max} workers")));
        }
        let job = JobId(job);
        let lanes = self.look().job(&job).and_then(|entry| match &entry.work {
            Work::Run(job) => Some(job.spec.what.train.lanes),
            Work::Pieces(_) => None,
        });
        if let Some(lanes) = lanes.filter(|lanes| max > *lanes) {
            let why = format!("{job} has {lanes} lanes, so it runs on {lanes} workers at most, not on {max}");
            return Err(Status::invalid_argument(why));
        }
        self.command(Event::Scaled { job: job.clone(), min, max }).await?;
        Ok(self.reply(&job))
    }

    async fn drain(&self, request: Request<v1::DrainRequest>) -> Result<Response<v1::DrainReply>, Status> {
        let v1::DrainRequest { name, deadline } = request.into_inner();
        let deadline = deadline.map(Duration::try_from).transpose();
        let deadline = deadline.map_err(|bad| Status::invalid_argument(bad.to_string()))?;
        self.command(Event::Drained { name: name.clone(), deadline }).await?;
        Ok(self.named(&name))
    }

    async fn undrain(&self, request: Request<v1::DrainRequest>) -> Result<Response<v1::DrainReply>, Status> {
        let name = request.into_inner().name;
        self.command(Event::Undrained { name: name.clone() }).await?;
        Ok(self.named(&name))
    }

    async fn evict(&self, request: Request<v1::DrainRequest>) -> Result<Response<v1::DrainReply>, Status> {
        let name = request.into_inner().name;
        self.command(Event::Evicted { name: name.clone() }).await?;
        Ok(self.named(&name))
    }

    async fn give_up(&self, request: Request<v1::GiveUpRequest>) -> Result<Response<v1::JobReply>, Status> {
        let job = JobId(request.into_inner().job);
        self.command(Event::GivenUp { job: job.clone() }).await?;
        Ok(self.reply(&job))
    }

    async fn died(&self, request: Request<v1::DiedRequest>) -> Result<Response<v1::DiedReply>, Status> {
        let v1::DiedRequest { worker, incarnation } = request.into_inner();
        let (worker, incarnation) = (WorkerId(worker), Incarnation(incarnation));
        let known = self.look().worker(&worker).is_some_and(|known| known.seat.incarnation == incarnation);
        if known {
            self.command(Event::Died { worker, incarnation }).await?;
        }
        Ok(Response::new(v1::DiedReply { known }))
    }

    async fn status(&self, _: Request<v1::StatusRequest>) -> Result<Response<v1::StatusReply>, Status> {
        let picture = self.look();
        let here = picture.workers.iter().filter(|worker| !worker.is_gone()).count();
        let unfinished = picture.jobs.iter().filter(|entry| !entry.state().is_over()).count();
        Ok(Response::new(v1::StatusReply {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            term: picture.term.0,
            up: view::wire_duration(picture.up()),
            workers_here: u32::try_from(here).unwrap_or(u32::MAX),
            jobs_unfinished: u32::try_from(unfinished).unwrap_or(u32::MAX),
            trouble: picture.trouble.clone(),
        }))
    }
}

impl Window {
    async fn submit_wanted(&self, wanted: Wanted) -> Result<Response<v1::SubmitReply>, Status> {
        let (answer, admitted) = oneshot::channel();
        call(&self.desk, Call::Submit { wanted, answer }).await?;
        let admitted = admitted.await.map_err(|_| closing())?.map_err(|trouble| not_saved(&trouble))?;
        let (job, admission) = match admitted {
            Ok(Admission::New(job)) => (job, v1::Admission::New),
            Ok(Admission::AlreadyThere(job)) => (job, v1::Admission::AlreadyThere),
            Ok(Admission::GoesOn(job)) => (job, v1::Admission::GoesOn),
            Err(NotAdmitted::OutputTaken { dir, job }) => {
                let taken = submit_refused::OutputTaken { output_dir: dir.to_string_lossy().into_owned(), job: job.0 };
                return Ok(not_admitted(submit_refused::Why::OutputTaken(taken)));
            }
        };
        let picture = self.look();
        let job = picture.job(&job).map(|entry| view::job(entry, &picture));
        let submitted = v1::Submitted { job, admission: admission.into() };
        Ok(Response::new(v1::SubmitReply { answer: Some(submit_reply::Answer::Submitted(submitted)) }))
    }

    fn look(&self) -> Arc<Picture> {
        self.desk.picture.borrow().clone()
    }

    /// The worker of this name, or those of the node of this name.
    fn named(&self, name: &str) -> Response<v1::DrainReply> {
        let picture = self.look();
        let named = picture.workers.iter().filter(|worker| worker.seat.worker.0 == name || worker.seat.node.0 == name);
        Response::new(v1::DrainReply { workers: named.map(|worker| view::worker(worker, &picture)).collect() })
    }

    async fn command(&self, event: Event) -> Result<(), Status> {
        let (answer, done) = oneshot::channel();
        call(&self.desk, Call::Command { event: Box::new(event), answer }).await?;
        done.await.map_err(|_| closing())?.map_err(|trouble| not_saved(&trouble))
    }

    fn reply(&self, id: &JobId) -> Response<v1::JobReply> {
        let picture = self.look();
        let answer = match picture.job(id) {
            Some(entry) => job_reply::Answer::Job(view::job_with_facts(entry, &picture)),
            None => job_reply::Answer::Unknown(v1::UnknownJob { near: near(id, &picture) }),
        };
        Response::new(v1::JobReply { answer: Some(answer) })
    }
}

fn not_saved(trouble: &CannotSave) -> Status {
    Status::resource_exhausted(trouble.to_string())
}

/// The jobs whose names are most like this one.
fn near(id: &JobId, picture: &Picture) -> Vec<String> {
    let distance = |name: &str| strsim::damerau_levenshtein(name, &id.0);
    let mut names: Vec<&str> = picture.jobs.iter().map(|entry| entry.id().0.as_str()).collect();
    names.sort_by_key(|name| distance(name));
    names.into_iter().take(NEAR_MAX).map(str::to_owned).collect()
}

fn not_admitted(why: submit_refused::Why) -> Response<v1::SubmitReply> {
    let refused = v1::SubmitRefused { why: Some(why) };
    Response::new(v1::SubmitReply { answer: Some(submit_reply::Answer::Refused(refused)) })
}

/// What is known about a job, a worker or a node, and what happens from then on if that is wanted.
async fn tell(
    mut picture: watch::Receiver<Arc<Picture>>,
    about: String,
    follow: bool,
    told: mpsc::Sender<Result<v1::Fact, Status>>,
) {
    let mut next = 0;
    loop {
        let now = picture.borrow_and_update().clone();
        let on_node = |worker: &WorkerId| now.worker(worker).is_some_and(|known| known.seat.node.0 == about);
        for (number, noted) in now.facts.since(next) {
            let is_job = noted.fact.job().is_some_and(|job| job.0 == about);
            let is_worker = noted.fact.worker().is_some_and(|worker| worker.0 == about || on_node(worker));
            let is_meant = about.is_empty() || is_job || is_worker;
            if is_meant && told.send(Ok(view::fact((number, noted)))).await.is_err() {
                return;
            }
        }
        next = now.facts.next();
        if !follow {
            return;
        }
        tokio::select! {
            changed = picture.changed() => if changed.is_err() {
                let _ = told.send(Err(closing())).await;
                return;
            },
            () = told.closed() => return,
        }
    }
}

/// How much of what was said before somebody asked.
struct Share {
    /// 0 for all.
    tail: usize,
    since: Option<Duration>,
}

/// What was said, and what is said from then on if that is wanted. A reader that is slow misses what was forgotten meanwhile.
async fn read_out(
    desk: Desk,
    wanted: logs::Wanted,
    share: Share,
    follow: bool,
    told: mpsc::Sender<Result<v1::Log, Status>>,
) {
    let mut news = desk.logs.news();
    let mut ends = desk.picture.clone();
    let (mut said, mut next) = desk.logs.since(0, &wanted);
    // Each process sends its lines in bundles; told together, they stand in time.
    said.sort_by_key(|said| said.line.at);
    if let Some(since) = share.since {
        said.retain(|said| said.heard.elapsed() <= since);
    }
    if share.tail > 0 {
        said.drain(..said.len().saturating_sub(share.tail));
    }
    loop {
        for said in &said {
            if told.send(Ok(view::log(said))).await.is_err() {
                return;
            }
        }
        if !follow {
            return;
        }
        let coordinator_ends = async { while ends.changed().await.is_ok() {} };
        tokio::select! {
            // The sender lives as long as the desk that is in our hands.
            _ = news.changed() => {}
            () = coordinator_ends => {
                let _ = told.send(Err(closing())).await;
                return;
            }
            () = told.closed() => return,
        }
        (said, next) = desk.logs.since(next, &wanted);
    }
}

/// What a watcher was shown last, and of what that was made.
struct Shown {
    entry: Arc<Entry>,
    /// The number of the next fact.
    facts: u64,
    view: v1::Job,
}

/// The job now and after each change, until it is over, the watcher is gone or the coordinator ends.
async fn show(mut picture: watch::Receiver<Arc<Picture>>, id: JobId, views: mpsc::Sender<Result<v1::Job, Status>>) {
    let mut shown: Option<Shown> = None;
    loop {
        let now = picture.borrow_and_update().clone();
        let Some(entry) = now.job(&id) else { return };
        // Pictures are many, and most of them are news of others.
        if shown.as_ref().is_none_or(|shown| !shown.entry.is_still(entry) || shown.facts != now.facts.next()) {
            let view = view::job_with_facts(entry, &now);
            let is_news =
                shown.as_ref().is_none_or(|shown| v1::Job { age: shown.view.age, ..view.clone() } != shown.view);
            if is_news && views.send(Ok(view.clone())).await.is_err() {
                return;
            }
            if entry.state().is_over() {
                return;
            }
            shown = Some(Shown { entry: entry.clone(), facts: now.facts.next(), view });
        }
        tokio::select! {
            changed = picture.changed() => if changed.is_err() {
                // The last word of a coordinator that ends: watchers reconnect and are told it is away.
                let _ = views.send(Err(closing())).await;
                return;
            },
            () = views.closed() => return,
        }
    }
}
