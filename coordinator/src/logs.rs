//! The last lines that each process of the cluster said, in memory, for readers without a log stack.
//!
//! Nothing here is durable and no decision hears it. It refuses to know streams: who is told of news asks for the rest.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use sumac_common::{
    ids::NodeId,
    logging::{LINES_MAX, Level, Line},
};
use tokio::{sync::watch, time::Instant};

/// Who says what the coordinator itself does.
pub const COORDINATOR: &str = "coordinator";
/// Processes that are remembered; beyond that whoever has said nothing for longest is forgotten.
const SOURCES_MAX: usize = 4_096;
/// Lines of all processes together: those of two thousand silent workers take less than those of ten that talk.
const ALL_MAX: usize = 200_000;

/// A line, by whom, and when it came here.
#[derive(Clone, Debug)]
pub struct Said {
    pub heard: Instant,
    pub source: Arc<str>,
    pub node: NodeId,
    pub line: Arc<Line>,
}

#[derive(Debug)]
pub struct Logs {
    kept: Mutex<Kept>,
    /// The number of the next line.
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By number: who follows reads on from the last he has, however many there are before it.
    all: BTreeMap<u64, Said>,
    /// Of each process the numbers of its own, oldest first.
    by_source: BTreeMap<Arc<str>, VecDeque<u64>>,
    /// The number of the next.
    next: u64,
}

/// Which lines are meant.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// A job, a process or a node; empty for all.
    pub about: String,
    pub level: Level,
}

impl Wanted {
    fn is(&self, said: &Said) -> bool {
        let is_about = self.about.is_empty()
            || *said.source == *self.about
            || said.node.0 == self.about
            || said.line.job.as_ref().is_some_and(|job| job.0 == self.about);
        is_about && said.line.level >= self.level
    }
}

impl Default for Logs {
    fn default() -> Self {
        Self { kept: Mutex::default(), news: watch::Sender::new(0) }
    }
}

impl Logs {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Plain data: a panic elsewhere leaves nothing half done in it.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lines of one process, in their order.
    pub fn add(&self, source: &str, node: &NodeId, lines: Vec<Line>) {
        let next = {
            let mut kept = self.kept();
            for line in lines {
                kept.add(source, node, line);
            }
            kept.next
        };
        self.news.send_replace(next);
    }

    /// Told whenever there are new lines.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Those that are meant from this number on, in the order in which they came; and the number of the next.
    #[must_use]
    pub fn since(&self, number: u64, wanted: &Wanted) -> (Vec<Said>, u64) {
        let kept = self.kept();
        let meant = kept.all.range(number..).map(|(_, said)| said).filter(|said| wanted.is(said));
        (meant.cloned().collect(), kept.next)
    }
}

impl Kept {
    fn add(&mut self, source: &str, node: &NodeId, line: Line) {
        let source = match self.by_source.get_key_value(source) {
            Some((known, _)) => known.clone(),
            None => {
                if self.by_source.len() == SOURCES_MAX {
                    self.forget_the_quietest();
                }
                Arc::from(source)
            }
        };
        let number = self.next;
        self.next += 1;
        let said = Said { heard: Instant::now(), source: source.clone(), node: node.clone(), line: Arc::new(line) };
        self.all.insert(number, said);
        let numbers = self.by_source.entry(source).or_default();
        numbers.push_back(number);
        if numbers.len() > LINES_MAX {
            let oldest = numbers.pop_front();
            self.forget(oldest);
        } else if self.all.len() > ALL_MAX {
            self.forget_of_the_longest();
        }
    }

    fn forget(&mut self, numbers: impl IntoIterator<Item = u64>) {
        numbers.into_iter().for_each(|number| drop(self.all.remove(&number)));
    }

    fn forget_the_quietest(&mut self) {
        let quietest =
            self.by_source.iter().min_by_key(|(_, numbers)| numbers.back()).map(|(source, _)| source.clone());
        let forgotten = quietest.and_then(|source| self.by_source.remove(&source));
        self.forget(forgotten.into_iter().flatten());
    }

    fn forget_of_the_longest(&mut self) {
        let longest = self.by_source.values_mut().max_by_key(|numbers| numbers.len());
        let oldest = longest.and_then(VecDeque::pop_front);
        self.forget(oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, time::SystemTime};
    use sumac_common::ids::JobId;

    fn line(text: &str, level: Level, job: Option<&str>) -> Line {
        let job = job.map(JobId::from);
        Line { at: SystemTime::UNIX_EPOCH, level, text: text.to_owned(), job, generation: None, step: None }
    }

    fn node(name: &str) -> NodeId {
        NodeId(name.to_owned())
    }

    fn texts(logs: &Logs, about: &str, level: Level) -> Vec<String> {
        let (said, _) = logs.since(0, &Wanted { about: about.to_owned(), level });
        said.iter().map(|said| said.line.text.clone()).collect()
    }

    #[test]
    fn lines_are_found_by_job_by_process_by_node_and_by_gravity() {
        let logs = Logs::default();
        logs.add("gpu-01-0", &node("gpu-01"), vec![line("one", Level::Info, Some("eyes"))]);
        logs.add("gpu-02-0", &node("gpu-02"), vec![line("two", Level::Warn, None)]);
        logs.add("gpu-01-1", &node("gpu-01"), vec![line("three", Level::Error, Some("eyes"))]);
        assert_eq!(texts(&logs, "", Level::Info), ["one", "two", "three"]);
        assert_eq!(texts(&logs, "gpu-01", Level::Info), ["one", "three"]);
        assert_eq!(texts(&logs, "gpu-01-1", Level::Info), ["three"]);
        assert_eq!(texts(&logs, "eyes", Level::Info), ["one", "three"]);
        assert_eq!(texts(&logs, "", Level::Warn), ["two", "three"]);
    }

    #[test]
    fn who_reads_on_from_a_number_gets_what_came_since() {
        let logs = Logs::default();
        let all = Wanted { about: String::new(), level: Level::Debug };
        logs.add("a", &node("n"), vec![line("one", Level::Info, None)]);
        let (_, next) = logs.since(0, &all);
        let news = logs.news();
        logs.add("b", &node("n"), vec![line("two", Level::Info, None)]);
        assert!(news.has_changed().unwrap());
        let (said, _) = logs.since(next, &all);
        assert_eq!(said.len(), 1);
        assert_eq!((&*said[0].source, said[0].line.text.as_str()), ("b", "two"));
    }

    #[test]
    fn a_process_that_talks_without_end_costs_the_others_nothing() {
        let logs = Logs::default();
        logs.add("quiet", &node("n"), vec![line("once", Level::Info, None)]);
        let endless = (0..LINES_MAX * 3).map(|n| line(&n.to_string(), Level::Info, None)).collect();
        logs.add("loud", &node("n"), endless);
        assert_eq!(texts(&logs, "quiet", Level::Info), ["once"]);
        assert_eq!(texts(&logs, "loud", Level::Info).len(), LINES_MAX);
    }

    #[test]
    fn whatever_comes_no_more_than_so_many_are_kept() {
        let logs = Logs::default();
        for source in 0..SOURCES_MAX + 10 {
            let lines = (0..60).map(|_| line("said", Level::Info, None)).collect();
            logs.add(&source.to_string(), &node("n"), lines);
        }
        let kept = logs.kept();
        assert!(kept.by_source.len() <= SOURCES_MAX && kept.all.len() <= ALL_MAX, "{}", kept.all.len());
        let numbers: BTreeSet<&u64> = kept.by_source.values().flatten().collect();
        assert!(
            numbers.into_iter().eq(kept.all.keys()),
            "what is found by process is found by number, and nothing else is"
        );
    }
}
