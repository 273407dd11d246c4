//! Looks at a coordinator as any command does, and writes what it sees on the board: twice a second, and at once when something
//! happens. A coordinator that is away is said to be, and dialled again. Knows nothing of HTTP.

use super::{
    super::{
        args::Reach,
        dial::Dialled,
        failure::{Exit, Failure},
        render::API_VERSION,
        show,
        view::{self, CheckpointView, FactView, JobView, LossView, WorkerView},
    },
    curves::Curves,
    pictures::Pictures,
};
use crate::dashboard::{Board, Part};
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    path::Path,
    time::{Duration, SystemTime},
};
use sumac_common::{
    balance,
    spec::{ImageShape, Resize},
};
use sumac_proto::v1;
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep, sleep_until, timeout},
};

const LOOK_EVERY: Duration = Duration::from_millis(400);
/// After something happened; what happens meanwhile is seen with it.
const LOOK_SOON: Duration = Duration::from_millis(60);
/// A coordinator that does not answer within this is away.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
const REDIAL_EVERY: Duration = Duration::from_millis(500);
/// What takes longer is told with a later look.
const READ_WITHIN: Duration = Duration::from_millis(250);
/// The latest; `sumac events` has all.
const FACTS_MAX: usize = 300;

/// For as long as it is polled.
pub(in crate::cli) async fn watch(reach: &Reach, board: &Board) -> Infallible {
    let mut watcher =
        Watcher { board, heard: BTreeMap::new(), followed: BTreeMap::new(), facts: VecDeque::new(), asked: None };
    let mut away_since = None;
    loop {
        let attended = match reach.dial().await {
            Ok(dialled) => watcher.attend(dialled, &mut away_since).await,
            Err(failure) => Err(failure),
        };
        let Err(failure) = attended;
        watcher.is_away(&failure, *away_since.get_or_insert_with(SystemTime::now));
        sleep(REDIAL_EVERY).await;
    }
}

/// What it has seen.
struct Watcher<'b> {
    board: &'b Board,
    /// Curves from beats, of every run that was seen running.
    heard: BTreeMap<String, Curves>,
    /// Of the jobs that somebody looks at, from what lies in their folders.
    followed: BTreeMap<String, Followed>,
    /// Oldest first.
    facts: VecDeque<FactView>,
    /// The coordinator that was asked last.
    asked: Option<String>,
}

/// Disks of clusters may take their time: nothing else here waits for them.
enum Followed {
    Known(Box<Left>),
    Reading(JoinHandle<Box<Left>>),
}

/// What a run has left so far.
struct Left {
    curves: Curves,
    pictures: Pictures,
}

/// One look at a coordinator.
struct Seen {
    status: v1::StatusReply,
    workers: Vec<WorkerView>,
    jobs: Vec<JobView>,
    looked_at: BTreeMap<String, usize>,
    /// Of those that are looked at and known.
    details: Vec<JobView>,
}

#[derive(Serialize)]
struct Items<'i, T> {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    items: &'i [T],
}

#[derive(Serialize)]
struct CoordinatorView<'c> {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    /// here or away
    state: &'static str,
    url: Option<&'c str>,
    version: Option<String>,
    term: Option<u64>,
    up_seconds: Option<u64>,
    /// Why nothing new is taken on at the moment.
    trouble: Option<String>,
    /// RFC 3339, UTC: since when it is away.
    away_since: Option<String>,
    away_seconds: Option<u64>,
    cause: Option<String>,
}

/// How often the discriminator is right, and what that means.
#[derive(Serialize)]
struct Accuracy {
    /// Mean of the two kinds' shares.
    mean: f64,
    words: &'static str,
}

impl Accuracy {
    fn of(losses: &LossView) -> Option<Self> {
        let (real, refined) = losses.accuracy_on_real.zip(losses.accuracy_on_refined)?;
        Some(Self { mean: f64::midpoint(real, refined), words: balance::discernment(real, refined) })
    }
}

/// A job as `-o json` has it, and what a page shows beside that.
#[derive(Serialize)]
struct Detail<'j> {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    #[serde(flatten)]
    job: &'j JobView,
    /// What is counted.
    unit: &'static str,
    lambda: Option<f64>,
    accuracy: Option<Accuracy>,
    checkpoints: &'j [CheckpointView],
}

impl Watcher<'_> {
    /// Until the coordinator is no more; why is the error.
    async fn attend(
        &mut self,
        mut dialled: Dialled,
        away_since: &mut Option<SystemTime>,
    ) -> Result<Infallible, Failure> {
        self.asked = Some(dialled.url.clone());
        let mut told = self.learn(&mut dialled).await?;
        let request = v1::ListEventsRequest { about: String::new(), follow: true };
        let facts = dialled.operator.list_events(request).await;
        let mut facts = facts.map_err(|status| dialled.failed(&status))?.into_inner();
        let mut looked_at = self.board.looked_at();
        let (mut last, mut due) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                () = sleep_until(due) => {
                    let looked = timeout(ANSWER_WITHIN, self.look(&mut dialled)).await;
                    let seen = looked.map_err(|_| silent(&dialled.url))??;
                    let has_more = self.tell(&dialled.url, seen).await;
                    *away_since = None;
                    last = Instant::now();
                    due = if has_more { last } else { last + LOOK_EVERY };
                }
                fact = facts.message() => {
                    let fact = fact.map_err(|status| dialled.failed(&status))?.ok_or_else(Failure::unanswered)?;
                    // What was learned at the beginning comes once more.
                    if fact.number >= told {
                        told = fact.number + 1;
                        self.note(fact);
                        due = due.min(last + LOOK_SOON);
                    }
                }
                _ = looked_at.changed() => due = Instant::now(),
            }
        }
    }

    /// All that has happened so far; the number of the next fact.
    async fn learn(&mut self, dialled: &mut Dialled) -> Result<u64, Failure> {
        let request = v1::ListEventsRequest { about: String::new(), follow: false };
        let facts = timeout(ANSWER_WITHIN, dialled.operator.list_events(request)).await;
        let mut facts =
            facts.map_err(|_| silent(&dialled.url))?.map_err(|status| dialled.failed(&status))?.into_inner();
        self.facts.clear();
        let mut next = 0;
        while let Some(fact) = facts.message().await.map_err(|status| dialled.failed(&status))? {
            next = fact.number + 1;
            self.note(fact);
        }
        Ok(next)
    }

    fn note(&mut self, fact: v1::Fact) {
        if self.facts.len() == FACTS_MAX {
            self.facts.pop_front();
        }
        self.facts.push_back(FactView::of(fact));
    }

    async fn look(&self, dialled: &mut Dialled) -> Result<Seen, Failure> {
        let status = dialled.status().await?;
        let workers = dialled.workers().await?;
        let jobs = dialled.jobs().await?;
        let looked_at = self.board.looked_at().borrow().clone();
        let mut details = Vec::new();
        for id in looked_at.keys().filter(|id| jobs.iter().any(|job| job.id == **id)) {
            details.push(show::one(dialled, id.clone()).await?);
        }
        Ok(Seen { status, workers, jobs, looked_at, details })
    }

    /// Whether more is to be read at once.
    async fn tell(&mut self, url: &str, seen: Seen) -> bool {
        let Seen { status, workers, jobs, looked_at, details } = seen;
        self.board.tell(Part::Coordinator, json(&here(url, status)));
        self.tell_items(Part::Workers, &workers);
        self.tell_items(Part::Jobs, &jobs);
        let items = &*self.facts.make_contiguous();
        self.board.tell(Part::Events, json(&Items { api_version: API_VERSION, items }));

        self.heard.retain(|id, _| jobs.iter().any(|job| job.id == *id));
        for job in jobs.iter().filter(|job| job.state == "running") {
            if let Some(losses) = &job.losses {
                self.heard.entry(job.id.clone()).or_insert_with(Curves::of_beats).push(job.step, losses);
            }
        }
        self.board.forget_all_but(&looked_at);
        self.followed.retain(|id, _| looked_at.contains_key(id));
        let mut has_more = false;
        for id in looked_at.into_keys() {
            match details.iter().find(|job| job.id == id) {
                Some(job) => has_more |= self.tell_job(job).await,
                None => {
                    let unknown = serde_json::json!({ "apiVersion": API_VERSION, "id": id, "unknown": true });
                    self.board.tell(Part::Job(id), unknown.to_string());
                }
            }
        }
        has_more
    }

    fn tell_items<T: Serialize>(&self, part: Part, items: &[T]) {
        self.board.tell(part, json(&Items { api_version: API_VERSION, items }));
    }

    /// Whether its curves are longer than what was read of them.
    async fn tell_job(&mut self, job: &JobView) -> bool {
        let detail = Detail {
            api_version: API_VERSION,
            job,
            unit: job.pieces.as_ref().map_or("step", |pieces| pieces.unit),
            lambda: job.spec.as_ref().and_then(|spec| spec.what.train.lambda),
            accuracy: job.losses.as_ref().and_then(Accuracy::of),
            checkpoints: &job.checkpoints,
        };
        self.board.tell(Part::Job(job.id.clone()), json(&detail));
        job.pieces.is_none() && self.tell_left(job).await
    }

    /// The same of what its run has left so far.
    async fn tell_left(&mut self, job: &JobView) -> bool {
        let output = Path::new(&job.output_dir);
        self.board.lay(&job.id, output);
        let image = job.spec.as_ref().map(|spec| (spec.what.data.image, spec.what.data.resize));
        let followed = self.followed.remove(&job.id).unwrap_or_else(|| Followed::Known(Box::new(Left::below(output))));
        let mut reading = match followed {
            Followed::Known(left) => spawn_blocking(move || Box::new(left.look(image))),
            Followed::Reading(reading) => reading,
        };
        let left = match timeout(READ_WITHIN, &mut reading).await {
            Ok(Ok(left)) => left,
            Ok(Err(error)) => {
                tracing::error!(job = job.id, %error, "reading what a run left broke down: this is a bug of sumac");
                return false;
            }
            Err(_) => {
                self.followed.insert(job.id.clone(), Followed::Reading(reading));
                return false;
            }
        };
        let heard = self.heard.get(&job.id).filter(|_| left.curves.is_empty());
        self.board.tell(Part::Curves(job.id.clone()), json(&heard.unwrap_or(&left.curves).view()));
        self.board.tell(Part::Pictures(job.id.clone()), json(&left.pictures));
        let has_more = left.curves.has_more();
        self.followed.insert(job.id.clone(), Followed::Known(left));
        has_more
    }

    fn is_away(&self, failure: &Failure, since: SystemTime) {
        let away = CoordinatorView {
            api_version: API_VERSION,
            state: "away",
            url: self.asked.as_deref(),
            version: None,
            term: None,
            up_seconds: None,
            trouble: None,
            away_since: Some(humantime::format_rfc3339_seconds(since).to_string()),
            away_seconds: Some(since.elapsed().unwrap_or_default().as_secs()),
            cause: Some(failure.what().to_owned()),
        };
        self.board.tell(Part::Coordinator, json(&away));
    }
}

impl Left {
    fn below(output: &Path) -> Self {
        Self { curves: Curves::below(output), pictures: Pictures::below(output) }
    }

    /// As it is now. Blocks.
    fn look(self, image: Option<(ImageShape, Resize)>) -> Self {
        let Self { curves, pictures } = self;
        Self { curves: curves.read_on(), pictures: pictures.look(image) }
    }
}

fn here(url: &str, status: v1::StatusReply) -> CoordinatorView<'_> {
    CoordinatorView {
        api_version: API_VERSION,
        state: "here",
        url: Some(url),
        version: Some(status.version),
        term: Some(status.term),
        up_seconds: Some(view::duration(status.up).as_secs()),
        trouble: status.trouble,
        away_since: None,
        away_seconds: None,
        cause: None,
    }
}

fn silent(url: &str) -> Failure {
    Failure::new(Exit::Unreachable, format!("the coordinator at {url} does not answer"))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("views are plain data with string keys: their JSON cannot fail")
}
