//! The last lines that this process logged, for people who have no log stack: kept here, and sent when there is somebody to hear.
//!
//! A layer of `tracing`. What a line was in the midst of is what its spans say of `job`, `generation` and `step`. It refuses to
//! know who reads, and never waits for anybody.

use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};
use sumac_common::{
    ids::{Generation, JobId, Step},
    logging::{LINES_MAX, Level, Line},
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

/// Cloned, it is the same one.
#[derive(Clone, Default)]
pub struct Logbook {
    lines: Arc<Mutex<VecDeque<Line>>>,
}

impl Logbook {
    fn lines(&self) -> MutexGuard<'_, VecDeque<Line>> {
        // Plain data: a panic elsewhere leaves nothing half done in it.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The oldest lines not taken yet, at most so many.
    pub fn take(&self, most: usize) -> Vec<Line> {
        let mut lines = self.lines();
        let count = lines.len().min(most);
        lines.drain(..count).collect()
    }

    fn push(&self, line: Line) {
        let mut lines = self.lines();
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line.cut());
    }
}

/// Fields that say where one is: of a line they are told apart from the others.
const WHEREABOUTS: [&str; 3] = ["job", "generation", "step"];

/// What a span says of where one is.
#[derive(Clone, Default)]
struct Whereabouts {
    job: Option<JobId>,
    generation: Option<Generation>,
    step: Option<Step>,
}

impl Visit for Whereabouts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let number = || format!("{value:?}").parse().ok();
        match field.name() {
            "job" => self.job = Some(JobId(format!("{value:?}"))),
            "generation" => self.generation = number().map(Generation),
            "step" => self.step = number().map(Step),
            _ => {}
        }
    }
}

/// The message, then its fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name if WHEREABOUTS.contains(&name) => Ok(()),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value}"),
            name if WHEREABOUTS.contains(&name) => Ok(()),
            name if value.contains(' ') => write!(self.fields, " {name}={value:?}"),
            name => write!(self.fields, " {name}={value}"),
        };
    }
}

impl<S> Layer<S> for Logbook
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut whereabouts = Whereabouts::default();
        attributes.record(&mut whereabouts);
        span.extensions_mut().insert(whereabouts);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let mut own = Whereabouts::default();
        event.record(&mut own);
        // The nearest one that says it counts.
        for span in context.event_scope(event).into_iter().flatten() {
            let extensions = span.extensions();
            let Some(outer) = extensions.get::<Whereabouts>() else { continue };
            own.job = own.job.or_else(|| outer.job.clone());
            own.generation = own.generation.or(outer.generation);
            own.step = own.step.or(outer.step);
        }
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            tracing::Level::DEBUG | tracing::Level::TRACE => Level::Debug,
        };
        let Whereabouts { job, generation, step } = own;
        let text = text.message + &text.fields;
        self.push(Line { at: SystemTime::now(), level, text, job, generation, step });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::{info, info_span, warn};
    use tracing_subscriber::layer::SubscriberExt as _;

    fn logged(say: impl FnOnce()) -> Vec<Line> {
        let book = Logbook::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(book.clone()), say);
        book.take(usize::MAX)
    }

    #[test]
    fn a_line_says_what_it_was_in_the_midst_of() {
        let lines = logged(|| {
            let _job = info_span!("job", job = %JobId::from("eyes-7f3")).entered();
            let _step = info_span!("step", generation = %Generation(2), step = %Step(70)).entered();
            warn!(why = "timed out", peer = "b", step = %Step(71), "generation left");
        });
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((line.level, line.text.as_str()), (Level::Warn, "generation left why=\"timed out\" peer=b"));
        assert_eq!(line.job, Some(JobId::from("eyes-7f3")));
        assert_eq!((line.generation, line.step), (Some(Generation(2)), Some(Step(71))), "the nearest word counts");
    }

    #[test]
    fn what_nobody_hears_is_forgotten_from_its_old_end() {
        let lines = logged(|| (0..LINES_MAX + 3).for_each(|n| info!(n, "said")));
        assert_eq!(lines.len(), LINES_MAX);
        assert_eq!(lines[0].text, "said n=3");
    }

    #[test]
    fn lines_are_taken_once_and_in_their_order() {
        let book = Logbook::default();
        let subscriber = tracing_subscriber::registry().with(book.clone());
        tracing::subscriber::with_default(subscriber, || (0..3).for_each(|n| info!("{n}")));
        let texts = |most| book.take(most).into_iter().map(|line| line.text).collect::<Vec<_>>();
        assert_eq!((texts(2), texts(2), texts(2)), (vec!["0".into(), "1".into()], vec!["2".into()], vec![]));
    }
}
