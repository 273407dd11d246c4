//! Examinations under way: what workers found, to whoever asked. Knows nothing of what is asked, and decides nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use sumac_common::{examination::Answer, ids::NodeId};
use tokio::sync::mpsc;

/// Answers that wait for one who asked; beyond that, answers are lost.
const ANSWERS_MAX: usize = 4_096;

/// What one of them found.
#[derive(Debug)]
pub struct Answered {
    pub node: NodeId,
    /// How far its clock is ahead of this one, in milliseconds.
    pub ahead_ms: i64,
    pub answer: Answer,
}

#[derive(Clone, Debug)]
pub struct Examinations {
    /// Who has not answered for so long is not waited for.
    pub look_within: Duration,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    by_number: BTreeMap<u64, mpsc::Sender<Answered>>,
    last: u64,
}

/// One under way; nobody waits for its answers any more when it is dropped.
#[derive(Debug)]
pub struct Examination {
    pub number: u64,
    answers: mpsc::Receiver<Answered>,
    all: Examinations,
}

impl Examinations {
    #[must_use]
    pub fn new(look_within: Duration) -> Self {
        Self { look_within, open: Arc::default() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Plain data: a panic elsewhere leaves nothing half done in it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[must_use]
    pub fn begin(&self) -> Examination {
        let (answer, answers) = mpsc::channel(ANSWERS_MAX);
        let mut open = self.open();
        open.last += 1;
        let number = open.last;
        open.by_number.insert(number, answer);
        Examination { number, answers, all: self.clone() }
    }

    /// `at`: when it was said, by the clock of the machine that was looked at. What comes too late is for nobody.
    pub fn answered(&self, number: u64, node: NodeId, at: SystemTime, answer: Answer) {
        let Some(asked) = self.open().by_number.get(&number).cloned() else { return };
        // Who does not take so many does not listen.
        let _ = asked.try_send(Answered { node, ahead_ms: ahead(at, SystemTime::now()), answer });
    }
}

impl Examination {
    pub async fn next(&mut self) -> Option<Answered> {
        self.answers.recv().await
    }
}

impl Drop for Examination {
    fn drop(&mut self) {
        self.all.open().by_number.remove(&self.number);
    }
}

/// In milliseconds; below 0 if it is behind.
#[must_use]
pub fn ahead(one: SystemTime, other: SystemTime) -> i64 {
    let (gap, sign) = match one.duration_since(other) {
        Ok(ahead) => (ahead, 1),
        Err(behind) => (behind.duration(), -1),
    };
    sign * i64::try_from(gap.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_reaches_who_asked_and_nobody_after_that() {
        let all = Examinations::new(Duration::MAX);
        let (mut one, other) = (all.begin(), all.begin());
        assert_ne!(one.number, other.number);
        let node = || NodeId("gpu-01".to_owned());
        all.answered(one.number, node(), SystemTime::now() + Duration::from_secs(60), Answer::default());
        let answered = one.next().await.unwrap();
        assert!((55_000..=60_000).contains(&answered.ahead_ms), "{}", answered.ahead_ms);
        drop(one);
        drop(other);
        assert!(all.open().by_number.is_empty());
        all.answered(1, node(), SystemTime::now(), Answer::default());
    }
}
