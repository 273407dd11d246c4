//! Generations and incidents of a job in the order of time, read off what is told of it. Knows nothing of how they came about.

use super::super::view::{FactView, JobView};
use serde::Serialize;

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Timeline {
    generations: Vec<Stretch>,
    marks: Vec<Mark>,
}

/// A generation; times are RFC 3339, UTC.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Stretch {
    generation: u64,
    workers: Vec<String>,
    opened: String,
    /// When its workers went on, and at which step.
    entered: Option<String>,
    step: Option<u64>,
    /// None while it is open.
    closed: Option<String>,
    why: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Mark {
    at: String,
    /// incident, checkpoint or state
    kind: &'static str,
    what: String,
}

impl Timeline {
    /// `facts` are those of all jobs, oldest first.
    pub(super) fn of<'f>(job: &JobView, facts: impl Iterator<Item = &'f FactView>) -> Self {
        let mut timeline = Self::default();
        let mut last = None;
        for fact in facts.filter(|fact| fact.job.as_deref() == Some(&job.id)) {
            timeline.take(fact);
            last = Some(&fact.at);
        }
        if let (false, Some(last), Some(stretch)) = (job.is_open(), last, timeline.generations.last_mut()) {
            stretch.closed.get_or_insert_with(|| last.clone());
        }
        timeline
    }

    fn take(&mut self, FactView { at, class, what, .. }: &FactView) {
        let numbered = what.strip_prefix("generation ").and_then(|rest| rest.split_once(' '));
        if let Some((number, said)) = numbered.and_then(|(number, said)| Some((number.parse().ok()?, said))) {
            return self.generation(number, said, at);
        }
        let kind = match class.as_str() {
            "incident" => "incident",
            _ if what.starts_with("checkpoint at step ") && what.ends_with(" saved") => "checkpoint",
            _ if matches!(what.as_str(), "finished" | "paused" | "cancelled") || what.starts_with("failed") => "state",
            _ => return,
        };
        self.marks.push(Mark { at: at.clone(), kind, what: what.clone() });
    }

    /// "opened: a b from X", "goes on at step N", "closed: why", "closed by agreement"
    fn generation(&mut self, generation: u64, said: &str, at: &str) {
        if let Some(opened) = said.strip_prefix("opened: ") {
            let names = opened.split(" from ").next().unwrap_or_default();
            let workers = names.split_whitespace().map(str::to_owned).collect();
            let opened = at.to_owned();
            self.generations.push(Stretch { generation, workers, opened, ..Stretch::default() });
            return;
        }
        let Some(stretch) = self.generations.iter_mut().rfind(|known| known.generation == generation) else { return };
        if let Some(step) = said.strip_prefix("goes on at step ") {
            (stretch.entered, stretch.step) = (Some(at.to_owned()), step.parse().ok());
        } else if let Some(why) = said.strip_prefix("closed") {
            stretch.closed = Some(at.to_owned());
            stretch.why = Some(why.trim_start_matches(':').trim().to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sumac_common::{
        cluster::Fact,
        ids::{Generation, JobId, Step},
    };

    /// As the coordinator words it.
    fn told(second: u64, fact: &Fact) -> FactView {
        FactView {
            at: format!("2026-01-01T00:00:{second:02}Z"),
            class: fact.class().to_owned(),
            job: fact.job().map(|job| job.0.clone()),
            worker: None,
            what: fact.to_string(),
            evidence: Vec::new(),
        }
    }

    #[test]
    fn generations_are_read_off_what_the_coordinator_says_of_them() {
        let job = JobId::from("eyes");
        let generation = Generation(3);
        let workers = vec!["a".into(), "b".into()];
        let from = "a at step 70".to_owned();
        let facts = [
            Fact::GenerationOpened { job: job.clone(), generation, workers, from },
            Fact::GenerationEntered { job: job.clone(), generation, step: Step(70) },
            Fact::CheckpointSaved { job: job.clone(), step: Step(80) },
            Fact::GenerationClosed { job: job.clone(), generation, why: Some("b was lost".to_owned()) },
            Fact::GenerationClosed { job, generation: Generation(1), why: None },
        ];
        let mut timeline = Timeline::default();
        (0..).zip(&facts).for_each(|(second, fact)| timeline.take(&told(second, fact)));
        let at = |second| Some(format!("2026-01-01T00:00:0{second}Z"));
        let stretch = Stretch {
            generation: 3,
            workers: vec!["a".to_owned(), "b".to_owned()],
            opened: at(0).unwrap_or_default(),
            entered: at(1),
            step: Some(70),
            closed: at(3),
            why: Some("b was lost".to_owned()),
        };
        assert_eq!(timeline.generations, [stretch]);
        let kinds: Vec<_> = timeline.marks.iter().map(|mark| mark.kind).collect();
        assert_eq!(kinds, ["checkpoint"]);
    }
}
