//! What a follower sees of a job: a bar on a terminal, lines elsewhere, and each new fact once. Knows nothing of the wire.

use super::{
    render::{counted, figure, grouped, span},
    show::style,
    view::{FactView, JobView},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};
use tokio::time::Instant;

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// A bar on a terminal, a line now and then elsewhere; on stderr, so that stdout stays for results.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    printed: Option<Instant>,
    said: Option<String>,
    news: News,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("  {prefix:<5} {pos}/{len} {bar:30} {percent:>3}%   {msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸━");
            ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style)
        });
        Self { bar, printed: None, said: None, news: News::default() }
    }

    pub(super) fn show(&mut self, job: &JobView) {
        for fact in self.news.of(job) {
            self.say(&fact.class, fact.what.lines().next().unwrap_or_default());
        }
        let has_figures = job.losses.is_some() || job.pieces.is_some() && job.state == "running";
        let waits = job.reason.clone().filter(|_| !has_figures && !job.is_over());
        if let Some(bar) = &self.bar {
            bar.set_prefix(unit(job));
            bar.set_length(job.steps);
            bar.set_position(job.step.min(job.steps));
            bar.set_message(waits.unwrap_or_else(|| tidings(job)));
            return;
        }
        // A reason is said once; figures every so often.
        if waits.is_some() && waits != self.said {
            if let Some(reason) = &waits {
                self.say(job.state, &format!("{}: {reason}", job.id));
            }
            self.said = waits;
        } else if has_figures && self.printed.is_none_or(|printed| printed.elapsed() >= LINE_EVERY) {
            self.printed = Some(Instant::now());
            self.say(unit(job), &format!("{}/{}   {}", job.step, job.steps, tidings(job)));
        }
    }

    /// Prints a line above the bar.
    pub(super) fn say(&self, label: &str, text: &str) {
        let label = style(label).style(format!("{label:<9}")).to_string();
        let print = || anstream::eprintln!("  {label} {text}");
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Which facts of a job its follower has not been told. Views repeat the latest ones whole.
#[derive(Default)]
struct News {
    /// The facts of the last view; `None` before the first, whose facts are older than the following.
    told: Option<Vec<FactView>>,
}

impl News {
    /// Oldest first. How the job ended is left to whoever tells the outcome.
    fn of(&mut self, job: &JobView) -> Vec<FactView> {
        let Some(told) = self.told.replace(job.facts.clone()) else { return Vec::new() };
        // Not by the very last: what a coordinator told in its last moments its successor may not know.
        let last = job.facts.iter().rposition(|fact| told.contains(fact));
        let new = &job.facts[last.map_or(0, |last| last + 1)..];
        new.iter().filter(|fact| !(job.is_over() && fact.what == job.state)).cloned().collect()
    }
}

/// What is counted.
fn unit(job: &JobView) -> &'static str {
    job.pieces.as_ref().map_or("step", |pieces| pieces.unit)
}

fn tidings(job: &JobView) -> String {
    let mut text = Vec::new();
    if let Some(known) = &job.pieces {
        if known.sealing {
            return "sealing".to_owned();
        }
        if let Some(rate) = job.images_per_second {
            let workers = job.workers.len() as u64;
            let each = if workers > 1 { format!(", {} each", grouped(rate as u64 / workers)) } else { String::new() };
            text.push(format!("{} images/s on {}{each}", grouped(rate as u64), counted(workers, "worker")));
        }
        if let Some(bottleneck) = known.bottleneck {
            text.push(format!("{bottleneck} is busiest"));
        }
        if known.bad > 0 {
            text.push(format!("{} bad", grouped(known.bad)));
        }
    }
    if let Some(rate) = job.steps_per_second.filter(|_| job.pieces.is_none()) {
        text.push(format!("{rate:.1} step/s"));
    }
    if let Some(losses) = job.losses {
        let terms = [("refiner", losses.refiner), ("disc", losses.discriminator), ("realism", losses.realism)];
        let known = terms.into_iter().filter(|(_, value)| value.is_some());
        let known: Vec<String> = known.map(|(name, value)| format!("{name} {}", figure(value))).collect();
        if !known.is_empty() {
            text.push(known.join("  "));
        }
    }
    if let Some(eta) = job.eta_seconds {
        text.push(format!("eta {}", span(Duration::from_secs(eta))));
    }
    if text.is_empty() { job.state.to_owned() } else { text.join("   ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sumac_proto::v1;

    fn with_facts(facts: &[&str]) -> JobView {
        let fact = |what: &&str| v1::Fact { class: "job".to_owned(), what: (*what).to_owned(), ..v1::Fact::default() };
        let facts = facts.iter().map(fact).collect();
        JobView::of(v1::Job { state: v1::JobState::Running.into(), facts, ..v1::Job::default() }).unwrap()
    }

    #[test]
    fn a_follower_is_told_each_fact_once_also_by_a_coordinator_that_lacks_the_last_one() {
        let mut news = News::default();
        let mut told = |facts: &[&str]| news.of(&with_facts(facts)).into_iter().map(|it| it.what).collect::<Vec<_>>();
        assert_eq!(told(&["submitted"]), Vec::<String>::new());
        assert_eq!(told(&["submitted", "opened", "away"]), ["opened", "away"]);
        assert_eq!(told(&["submitted", "opened", "saved"]), ["saved"]);
    }
}
