//! What the live view knows, what its reader chose, and what follows from a key, a tick or news.
//!
//! Pure: time is an argument. Knows nothing of terminals, of the wire and of how it is drawn.

use super::{
    super::{
        failure::Exit,
        view::{FactView, JobView, LogView, LossView, STALE_AFTER, WorkerView},
    },
    logs::{Answer, Logs},
    series::Series,
};
use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};
use sumac_data::picture::Picture;

/// Workers that the coordinator no longer lists stay for so long.
const ABSENT_SHOWN: Duration = Duration::from_secs(600);
/// Facts that are kept.
const FACTS_MAX: usize = 1_000;
/// How long an answer to a key is shown.
const NOTICE_SHOWN: Duration = Duration::from_secs(6);
/// How often it is looked for newer pictures while pictures are shown.
const PICTURES_EVERY: Duration = Duration::from_secs(5);
/// Lines that a page is.
const PAGE: isize = 10;

/// The time: since the view was opened, by a clock that only goes forward; and of the day, for people.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub after: Duration,
    pub clock: SystemTime,
}

#[derive(Debug)]
pub(super) enum Event {
    Key(Key),
    /// Nothing but time.
    Tick,
    News(News),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Next,
    Before,
    Enter,
    Escape,
    Letter(char),
    Interrupt,
    Redraw,
}

#[derive(Debug)]
pub(super) enum News {
    Looked(Box<Looked>),
    /// All that is known follows once more, oldest first.
    FactsAnew,
    Fact(Box<FactView>),
    Away {
        why: String,
    },
    Drained {
        name: String,
        outcome: Result<(), String>,
    },
    Pictures(Pictures),
    /// Of the logs that are followed; all that is kept of them follows, oldest first.
    LogsAnew,
    Log(Box<LogView>),
    LogsAway {
        why: String,
    },
}

/// All that a coordinator shows at one moment.
#[derive(Clone, Debug)]
pub(super) struct Looked {
    pub url: String,
    pub version: String,
    pub term: u64,
    /// Why it takes on nothing new.
    pub trouble: Option<String>,
    pub jobs: Vec<JobView>,
    pub workers: Vec<WorkerView>,
}

#[derive(Clone, Debug)]
pub(super) struct Pictures {
    pub job: String,
    /// Where they lie, and they themselves; or why there are none.
    pub shown: Result<(PathBuf, Arc<Picture>), String>,
}

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Leave(Exit),
    /// A worker, or all of a node.
    Drain(String),
    Pictures {
        job: String,
        folder: PathBuf,
    },
    /// Follow the logs of this one instead of those that were followed; of nobody.
    Logs {
        about: Option<String>,
    },
    /// Somebody else wrote on the terminal.
    Redraw,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    Jobs,
    Workers,
    Events,
}

impl Pane {
    const ALL: [Self; 3] = [Self::Jobs, Self::Workers, Self::Events];

    fn moved(self, by: usize) -> Self {
        let at = Self::ALL.iter().position(|pane| *pane == self).unwrap_or_default();
        Self::ALL[(at + by) % Self::ALL.len()]
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Overview,
    /// The chosen job, alone.
    Job,
    /// The chosen job's pictures.
    Pictures,
    /// Of a job, a worker or a node.
    Events {
        about: String,
    },
    /// The chosen event, whole.
    Fact,
    /// Of a job, a worker or a node.
    Logs {
        about: String,
    },
}

#[derive(Clone, Debug)]
pub(super) enum Contact {
    /// Since it was heard last.
    Here,
    Away {
        since: Now,
        why: String,
    },
}

/// A worker, and when the coordinator last listed it.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub view: WorkerView,
    pub at: Duration,
}

/// How a job's figures went while it was watched.
#[derive(Clone, Debug, Default)]
pub(super) struct Curves {
    step: Option<u64>,
    pub refiner: Series,
    pub discriminator: Series,
    pub realism: Series,
    /// Mean of the shares of real and of refined patches that the discriminator called right.
    pub accuracy: Series,
}

impl Curves {
    /// A beat is said many times, and counts once.
    fn hear(&mut self, step: u64, losses: &LossView) {
        if self.step.replace(step) == Some(step) {
            return;
        }
        let accuracy = losses.accuracy_on_real.zip(losses.accuracy_on_refined);
        let figures = [
            (&mut self.refiner, losses.refiner),
            (&mut self.discriminator, losses.discriminator),
            (&mut self.realism, losses.realism),
            (&mut self.accuracy, accuracy.map(|(real, refined)| (real + refined) / 2.0)),
        ];
        for (series, figure) in figures {
            figure.into_iter().for_each(|figure| series.push(figure));
        }
    }
}

/// A machine, or a worker on it: what can be chosen among the workers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Member<'s> {
    Node { name: &'s str, here: usize, lost: usize },
    Worker(&'s Listed),
}

impl Member<'_> {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Node { name, .. } => name,
            Self::Worker(worker) => &worker.view.name,
        }
    }
}

/// A fact, numbered in the order in which this view was told.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub number: u64,
    pub fact: FactView,
}

#[derive(Debug)]
pub(super) struct Stage {
    pub now: Now,
    pub url: String,
    pub contact: Contact,
    pub looked: Option<Looked>,
    pub listed: Vec<Listed>,
    /// When the coordinator answered last.
    pub heard: Duration,
    pub curves: BTreeMap<String, Curves>,
    facts: VecDeque<Told>,
    facts_told: u64,
    /// They are those of a connection that broke: the first of the next one replaces them.
    facts_are_old: bool,
    pub pane: Pane,
    pub page: Page,
    /// What was chosen by hand; without it the first of each.
    job: Option<String>,
    member: Option<String>,
    fact: Option<u64>,
    /// Who is drained if the reader says yes.
    pub asks: Option<String>,
    pub helps: bool,
    notice: Option<(String, Duration)>,
    pub pictures: Option<Pictures>,
    /// Lines of them that are above the view, at most.
    pub scrolled: usize,
    pictures_asked: Duration,
    /// While they are shown.
    pub logs: Option<Logs>,
}

impl Stage {
    /// `job` is the one to begin with, whole.
    pub(super) fn new(now: Now, url: String, job: Option<String>) -> Self {
        Self {
            now,
            url,
            contact: Contact::Here,
            looked: None,
            listed: Vec::new(),
            heard: now.after,
            curves: BTreeMap::new(),
            facts: VecDeque::new(),
            facts_told: 0,
            facts_are_old: false,
            pane: Pane::Jobs,
            page: if job.is_some() { Page::Job } else { Page::Overview },
            job,
            member: None,
            fact: None,
            asks: None,
            helps: false,
            notice: None,
            pictures: None,
            scrolled: 0,
            pictures_asked: Duration::ZERO,
            logs: None,
        }
    }

    pub(super) fn step(&mut self, now: Now, event: Event) -> Vec<Wish> {
        self.now = now;
        match event {
            Event::Tick => self.look_for_pictures(),
            Event::Key(key) => self.pressed(key),
            Event::News(news) => {
                self.told(news);
                Vec::new()
            }
        }
    }

    // === what is known

    fn told(&mut self, news: News) {
        match news {
            News::Looked(looked) => self.look_at(*looked),
            News::FactsAnew => self.facts_are_old = true,
            News::Fact(fact) => self.note(*fact),
            News::Away { why } => match &mut self.contact {
                Contact::Away { why: known, .. } => *known = why,
                Contact::Here => self.contact = Contact::Away { since: self.now, why },
            },
            News::Drained { name, outcome } => self.say(match outcome {
                Ok(()) => format!("{name} gets no more work; `sumac undrain {name}` takes it back"),
                Err(why) => format!("{name} was not drained: {why}"),
            }),
            News::Pictures(pictures) => self.pictures = Some(pictures),
            News::LogsAnew => self.hear(Logs::begin),
            News::Log(line) => self.hear(|logs| logs.hear(*line)),
            News::LogsAway { why } => self.hear(|logs| logs.answer = Answer::Away { why }),
        }
    }

    fn hear(&mut self, what: impl FnOnce(&mut Logs)) {
        if let Some(logs) = &mut self.logs {
            what(logs);
        }
    }

    fn look_at(&mut self, looked: Looked) {
        for job in &looked.jobs {
            if let Some(losses) = job.losses.as_ref().filter(|_| job.state == "running") {
                self.curves.entry(job.id.clone()).or_default().hear(job.step, losses);
            }
        }
        self.curves.retain(|id, _| looked.jobs.iter().any(|job| job.id == *id));
        let now = self.now.after;
        let is_listed = |worker: &Listed| looked.workers.iter().any(|view| view.name == worker.view.name);
        let is_missed =
            |worker: &Listed| worker.view.presence != "left" && now.saturating_sub(worker.at) < ABSENT_SHOWN;
        self.listed.retain(|worker| !is_listed(worker) && is_missed(worker));
        self.listed.extend(looked.workers.iter().map(|view| Listed { view: view.clone(), at: now }));
        self.listed.sort_by(|one, other| (&one.view.node, &one.view.name).cmp(&(&other.view.node, &other.view.name)));
        self.url.clone_from(&looked.url);
        self.looked = Some(looked);
        self.heard = now;
        self.contact = Contact::Here;
    }

    /// What an incident tells in one is not told again.
    fn note(&mut self, fact: FactView) {
        if std::mem::take(&mut self.facts_are_old) {
            self.facts.clear();
            self.fact = None;
        }
        if fact.class == "detail" {
            return;
        }
        self.facts_told += 1;
        self.facts.push_back(Told { number: self.facts_told, fact });
        if self.facts.len() > FACTS_MAX {
            self.facts.pop_front();
        }
    }

    fn say(&mut self, notice: String) {
        self.notice = Some((notice, self.now.after));
    }

    pub(super) fn notice(&self) -> Option<&str> {
        let (notice, at) = self.notice.as_ref()?;
        (self.now.after.saturating_sub(*at) < NOTICE_SHOWN).then_some(notice.as_str())
    }

    /// Since when the coordinator did not answer.
    pub(super) fn unheard_for(&self) -> Duration {
        self.now.after.saturating_sub(self.heard)
    }

    pub(super) fn is_stale(&self) -> bool {
        self.unheard_for() > STALE_AFTER
    }

    /// Since the worker was heard last: what the coordinator said of it, and what has passed since.
    pub(super) fn silence(&self, worker: &Listed) -> Duration {
        let then = Duration::try_from_secs_f64(worker.view.silent_seconds).unwrap_or_default();
        then + self.now.after.saturating_sub(worker.at)
    }

    pub(super) fn is_stale_worker(&self, worker: &Listed) -> bool {
        worker.view.presence != "here" || self.silence(worker) > STALE_AFTER
    }

    /// The coordinator listed it once, and does so no more.
    pub(super) fn is_absent(&self, worker: &Listed) -> bool {
        worker.at < self.heard
    }

    fn is_here(&self, worker: &Listed) -> bool {
        worker.view.presence == "here" && !self.is_absent(worker)
    }

    /// How many are of each kind.
    pub(super) fn here_suspect_lost(&self) -> (usize, usize, usize) {
        let here = self.listed.iter().filter(|worker| self.is_here(worker)).count();
        let suspect = self.listed.iter().filter(|worker| worker.view.presence == "suspect").count();
        let left = self.listed.iter().filter(|worker| worker.view.presence == "left").count();
        (here, suspect, self.listed.len() - here - suspect - left)
    }

    // === what can be chosen, and what is

    /// Those that are not over in the order of submission, then the others, the newest first.
    pub(super) fn jobs(&self) -> Vec<&JobView> {
        let jobs = self.looked.iter().flat_map(|looked| &looked.jobs);
        let (over, mut jobs): (Vec<&JobView>, Vec<&JobView>) = jobs.partition(|job| job.is_over());
        jobs.extend(over.into_iter().rev());
        jobs
    }

    pub(super) fn job(&self) -> Option<&JobView> {
        let jobs = self.jobs();
        let chosen = jobs.iter().find(|job| self.job.as_ref() == Some(&job.id));
        chosen.or_else(|| jobs.first()).copied()
    }

    /// By machine.
    pub(super) fn members(&self) -> Vec<Member<'_>> {
        let nodes = self.listed.chunk_by(|one, other| one.view.node == other.view.node);
        let rows = nodes.flat_map(|workers| {
            let here = workers.iter().filter(|worker| self.is_here(worker)).count();
            let lost = workers.iter().filter(|worker| worker.view.presence == "lost" || self.is_absent(worker)).count();
            let node = workers.first().map(|first| Member::Node { name: &first.view.node, here, lost });
            node.into_iter().chain(workers.iter().map(Member::Worker))
        });
        rows.collect()
    }

    /// The first worker, if none is chosen.
    pub(super) fn member(&self) -> Option<Member<'_>> {
        let members = self.members();
        let chosen = members.iter().find(|member| self.member.as_deref() == Some(&key(member)));
        chosen.or_else(|| members.iter().find(|member| matches!(member, Member::Worker(_)))).copied()
    }

    /// The newest first: all, or those of the page.
    pub(super) fn facts(&self) -> Vec<&Told> {
        let on_node = |worker: &str, node: &str| {
            self.listed.iter().any(|listed| listed.view.name == worker && listed.view.node == node)
        };
        let is_meant = |fact: &FactView| match &self.page {
            Page::Events { about } => {
                fact.job.as_ref() == Some(about)
                    || fact.worker.as_ref().is_some_and(|worker| worker == about || on_node(worker, about))
            }
            Page::Job => self.job().is_some_and(|job| fact.job.as_ref() == Some(&job.id)),
            _ => true,
        };
        self.facts.iter().rev().filter(|told| is_meant(&told.fact)).collect()
    }

    /// The newest, if none is chosen.
    pub(super) fn fact(&self) -> Option<&Told> {
        let facts = self.facts();
        facts.iter().find(|told| Some(told.number) == self.fact).or_else(|| facts.first()).copied()
    }

    /// What the keys of choosing choose among.
    fn list(&self) -> Pane {
        match &self.page {
            Page::Overview | Page::Logs { .. } => self.pane,
            Page::Job | Page::Pictures => Pane::Jobs,
            Page::Events { .. } | Page::Fact => Pane::Events,
        }
    }

    fn choose(&mut self, by: isize) {
        if let Some(logs) = &mut self.logs {
            return logs.choose(by);
        }
        match self.list() {
            Pane::Jobs => {
                let ids: Vec<&String> = self.jobs().into_iter().map(|job| &job.id).collect();
                self.job = moved(&ids, self.job().map(|job| &job.id).as_ref(), by).cloned();
            }
            Pane::Workers => {
                let keys: Vec<String> = self.members().iter().map(key).collect();
                self.member = moved(&keys, self.member().as_ref().map(key).as_ref(), by);
            }
            Pane::Events => {
                let numbers: Vec<u64> = self.facts().iter().map(|told| told.number).collect();
                let chosen = moved(&numbers, self.fact().map(|told| told.number).as_ref(), by);
                // Whoever stays at the newest is shown what comes, but for one that is read.
                self.fact = chosen.filter(|number| self.page == Page::Fact || Some(number) != numbers.first());
            }
        }
    }

    // === what keys mean

    fn pressed(&mut self, key: Key) -> Vec<Wish> {
        if key == Key::Interrupt {
            return vec![Wish::Leave(Exit::Interrupted)];
        }
        if key == Key::Redraw {
            return vec![Wish::Redraw];
        }
        if let Some(name) = self.asks.take() {
            if key != Key::Letter('y') {
                self.say(format!("{name} is left as it is"));
                return Vec::new();
            }
            self.say(format!("asking to drain {name}"));
            return vec![Wish::Drain(name)];
        }
        if std::mem::take(&mut self.helps) && key != Key::Letter('q') {
            return Vec::new();
        }
        self.notice = None;
        match key {
            Key::Letter('q') => return vec![Wish::Leave(Exit::Done)],
            Key::Letter('?') => self.helps = true,
            Key::Up | Key::Letter('k') => self.choose(-1),
            Key::Down | Key::Letter('j') => self.choose(1),
            Key::PageUp | Key::PageDown | Key::Home | Key::End if self.page == Page::Pictures => self.scroll(key),
            Key::PageUp => self.choose(-PAGE),
            Key::PageDown => self.choose(PAGE),
            Key::Home => self.choose(isize::MIN),
            Key::End => self.choose(isize::MAX),
            Key::Next if self.page == Page::Overview => self.pane = self.pane.moved(1),
            Key::Before if self.page == Page::Overview => self.pane = self.pane.moved(Pane::ALL.len() - 1),
            Key::Enter => self.open(),
            Key::Escape | Key::Next | Key::Before => self.page = Page::Overview,
            Key::Letter('s') => self.open_pictures(),
            Key::Letter('e') => self.open_events(),
            Key::Letter('d') => self.ask_to_drain(),
            Key::Letter('l') if self.logs.is_some() => self.page = Page::Overview,
            Key::Letter('l') => self.open_logs(),
            _ => {}
        }
        // Another job's pictures are other pictures.
        let mut wishes = self.look_for_pictures();
        wishes.extend(self.follow_logs());
        wishes
    }

    fn open(&mut self) {
        let page = match self.list() {
            Pane::Jobs => self.job().map(|_| Page::Job),
            Pane::Workers => self.member().map(|member| Page::Events { about: member.name().to_owned() }),
            Pane::Events => {
                self.fact = self.fact().map(|told| told.number);
                self.fact.map(|_| Page::Fact)
            }
        };
        match page {
            Some(page) => self.page = page,
            None => self.say("there is nothing to open yet".to_owned()),
        }
    }

    /// The name of what is chosen; of an event, of the job or the worker that it is about.
    fn chosen(&self) -> Option<String> {
        match self.list() {
            Pane::Jobs => self.job().map(|job| job.id.clone()),
            Pane::Workers => self.member().map(|member| member.name().to_owned()),
            Pane::Events => self.fact().and_then(|told| told.fact.job.clone().or_else(|| told.fact.worker.clone())),
        }
    }

    fn open_events(&mut self) {
        match self.chosen() {
            Some(about) => (self.page, self.fact) = (Page::Events { about }, None),
            None => self.say("there is nothing that events could be about".to_owned()),
        }
    }

    fn open_logs(&mut self) {
        // Events of a worker may each be about a job; whoever reads them reads about the worker.
        let about = match &self.page {
            Page::Events { about } => Some(about.clone()),
            _ => self.chosen(),
        };
        match about {
            Some(about) => self.page = Page::Logs { about },
            None => self.say("there is nobody yet who could have said anything".to_owned()),
        }
    }

    /// Those of the page, from the beginning; no others any longer.
    fn follow_logs(&mut self) -> Option<Wish> {
        let about = match &self.page {
            Page::Logs { about } => Some(about.clone()),
            _ => None,
        };
        if about.as_ref() == self.logs.as_ref().map(|logs| &logs.about) {
            return None;
        }
        self.logs = about.clone().map(Logs::about);
        Some(Wish::Logs { about })
    }

    fn open_pictures(&mut self) {
        if self.job().is_none() {
            return self.say("there is no job yet, so there are no pictures".to_owned());
        }
        self.page = Page::Pictures;
        self.pictures = None;
    }

    /// Those of the chosen job, now and then, and at once if others are shown.
    fn look_for_pictures(&mut self) -> Vec<Wish> {
        let Some(job) = self.job().filter(|_| self.page == Page::Pictures) else { return Vec::new() };
        let (job, folder) = (job.id.clone(), PathBuf::from(&job.output_dir));
        let are_shown = self.pictures.as_ref().is_some_and(|shown| shown.job == job);
        let is_due = self.now.after.saturating_sub(self.pictures_asked) >= PICTURES_EVERY;
        if are_shown && !is_due {
            return Vec::new();
        }
        if !are_shown {
            let shown = Err("looking for them".to_owned());
            self.pictures = Some(Pictures { job: job.clone(), shown });
            self.scrolled = 0;
        }
        self.pictures_asked = self.now.after;
        vec![Wish::Pictures { job, folder }]
    }

    fn scroll(&mut self, key: Key) {
        let shown = self.pictures.as_ref().and_then(|pictures| pictures.shown.as_ref().ok());
        let last = shown.map_or(0, |(_, picture)| picture.height as usize / 2);
        let to = match key {
            Key::PageUp => self.scrolled.saturating_add_signed(-PAGE),
            Key::PageDown => self.scrolled.saturating_add_signed(PAGE),
            Key::End => last,
            _ => 0,
        };
        self.scrolled = to.min(last);
    }

    fn ask_to_drain(&mut self) {
        if self.list() != Pane::Workers {
            return self.say("d drains a worker or a machine: tab goes to the workers, arrows choose one".to_owned());
        }
        let answer = match self.member() {
            None => Err("there is no worker to drain yet".to_owned()),
            Some(Member::Node { name, here: 0, .. }) => Err(format!("nobody is here on {name}")),
            Some(Member::Worker(worker)) if !self.is_here(worker) => Err(format!("{} is not here", worker.view.name)),
            Some(Member::Worker(worker)) if matches!(worker.view.state.as_str(), "drained" | "draining") => {
                let name = &worker.view.name;
                Err(format!("{name} is {}; `sumac undrain {name}` takes it back", worker.view.state))
            }
            Some(member) => Ok(member.name().to_owned()),
        };
        match answer {
            Ok(name) => self.asks = Some(name),
            Err(why) => self.say(why),
        }
    }
}

/// A worker may be called like its machine.
fn key(member: &Member<'_>) -> String {
    match member {
        Member::Node { name, .. } => format!("node {name}"),
        Member::Worker(worker) => format!("worker {}", worker.view.name),
    }
}

/// The one so many places further on, or the last there is in that direction.
fn moved<T: Clone + PartialEq>(all: &[T], chosen: Option<&T>, by: isize) -> Option<T> {
    let at = all.iter().position(|one| Some(one) == chosen).unwrap_or_default();
    let to = at.saturating_add_signed(by).min(all.len().saturating_sub(1));
    all.get(to).cloned()
}
