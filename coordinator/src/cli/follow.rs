//! Following a job: its views as they come, across restarts of the coordinator, and its progress on the terminal.

use super::{
    dial::{Dialled, dial},
    failure::Failure,
    render::{figure, span},
    view::JobView,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};
use sumac_proto::v1;
use tokio::time::{Instant, sleep};
use tonic::{Code, Streaming};

/// A coordinator that is away longer than this ends the following.
const AWAY_MAX: Duration = Duration::from_secs(30);
const REDIAL_EVERY: Duration = Duration::from_millis(500);
/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

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
            if let Ok(dialled) = dial(Some(self.dialled.url.clone())).await {
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

/// A bar on a terminal, a line now and then elsewhere; on stderr, so that stdout stays for results.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    printed: Option<Instant>,
    said: Option<String>,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("  step  {pos}/{len} {bar:30} {percent:>3}%   {msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸━");
            ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style)
        });
        Self { bar, printed: None, said: None }
    }

    pub(super) fn show(&mut self, job: &JobView) {
        let waits = job.reason.clone().filter(|_| job.losses.is_none() && !job.is_over());
        if let Some(bar) = &self.bar {
            bar.set_length(job.steps);
            bar.set_position(job.step.min(job.steps));
            bar.set_message(waits.unwrap_or_else(|| tidings(job)));
            return;
        }
        // A reason is said once; figures every so often.
        if waits.is_some() && waits != self.said {
            if let Some(reason) = &waits {
                anstream::eprintln!("  {:<9} {}: {reason}", job.state, job.id);
            }
            self.said = waits;
        } else if job.losses.is_some() && self.printed.is_none_or(|printed| printed.elapsed() >= LINE_EVERY) {
            self.printed = Some(Instant::now());
            anstream::eprintln!("  step      {}/{}   {}", job.step, job.steps, tidings(job));
        }
    }

    /// Prints a line above the bar.
    pub(super) fn say(&self, label: &str, text: &str) {
        let line = format!("  {label:<9} {text}");
        match &self.bar {
            Some(bar) => bar.println(line),
            None => anstream::eprintln!("{line}"),
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn tidings(job: &JobView) -> String {
    let mut text = Vec::new();
    if let Some(rate) = job.steps_per_second {
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
