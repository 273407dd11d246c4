//! The live view as characters: a stage in, a frame out.
//!
//! Pure: reads no clock, no size but the frame's. Knows nothing of keys but their names, and decides nothing.

use super::{
    super::{
        render::{counted, figure, grouped, span},
        samples::halves,
        show::{Tone, eta, most, speed, tone},
        view::{FactView, JobView, LogView, STALE_AFTER},
    },
    logs::Answer,
    series::{Scale, Series, bars},
    stage::{Contact, Curves, Listed, Member, Page, Pane, Stage},
};
use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
    text::{Line, Span},
};
use std::time::{Duration, SystemTime};
use sumac_common::logging::Level;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// From this width on workers and events lie side by side.
const WIDE: u16 = 120;
/// Rows from which on both have room above each other.
const TALL: u16 = 9;
/// Rows of a curve on a job's own page.
const CURVE_MAX: u16 = 6;
const BAR_MAX: usize = 40;
/// Characters of who says a line of a log.
const LOG_SOURCE_MAX: usize = 16;
/// Characters of a line that are shown below each other where it is narrower.
const LOG_ROOM_LEAST: usize = 16;

const KEYS: [(&str, &str); 13] = [
    ("q, ctrl-C", "leave; jobs go on"),
    ("tab", "the next pane: jobs, workers, events"),
    ("arrows, j, k", "choose; page up and down, home, end too, which scroll pictures"),
    ("enter", "open what is chosen: a job, a worker's events, an event"),
    ("esc", "back to the overview"),
    ("s", "pictures of the chosen job: synthetic, refined, real"),
    ("e", "events of what is chosen"),
    ("l", "logs of what is chosen, as they come; l again goes back"),
    ("d", "drain the chosen worker or machine; asks first"),
    ("ctrl-L", "draw everything anew"),
    ("?", "this"),
    ("", ""),
    ("(11.8)", "an old value: nothing was heard for 3 s"),
];

/// What the terminal is to be spared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ink {
    pub colours: bool,
}

impl Ink {
    fn toned(self, tone: Tone) -> Style {
        let colour = match tone {
            Tone::Good => Color::Green,
            Tone::Bad => Color::Red,
            Tone::Doubtful => Color::Yellow,
            Tone::Plain => return Style::new(),
        };
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    /// Old, or beside the point.
    fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    fn loud(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    fn curve(self) -> Style {
        if self.colours { Style::new().fg(Color::Cyan) } else { Style::new() }
    }
}

pub(super) fn draw(stage: &Stage, ink: Ink, frame: &mut Frame<'_>) {
    let whole = frame.area();
    let mut canvas = Canvas { stage, ink, buffer: frame.buffer_mut(), rest: whole };
    canvas.header();
    canvas.footer();
    if stage.helps {
        return canvas.help();
    }
    match &stage.page {
        Page::Overview => canvas.overview(),
        Page::Job => canvas.job_page(),
        Page::Pictures => canvas.pictures(),
        Page::Events { about } => {
            let title = format!("events of {about}");
            let rest = canvas.rest;
            canvas.events(rest, &title, true);
        }
        Page::Fact => canvas.fact(),
        Page::Logs { .. } => canvas.logs(),
    }
}

/// What is drawn on, and what of it is free.
struct Canvas<'c> {
    stage: &'c Stage,
    ink: Ink,
    buffer: &'c mut Buffer,
    rest: Rect,
}

impl<'c> Canvas<'c> {
    // === frame

    fn header(&mut self) {
        let stage = self.stage;
        let clock = format!("{} UTC", time_of_day(stage.now.clock));
        let (here, suspect, lost) = stage.here_suspect_lost();
        let mut workers = format!("{here} here");
        if suspect > 0 {
            workers.push_str(&format!(", {suspect} suspect"));
        }
        workers.push_str(&format!(", {lost} lost"));
        if stage.is_stale() {
            workers = format!("({workers})");
        }
        let term = stage.looked.as_ref().map(|looked| format!("term {}", looked.term)).unwrap_or_default();
        let version = stage.looked.as_ref().map(|looked| format!("sumac {}", looked.version)).unwrap_or_default();
        let address = stage.url.trim_start_matches("http://").to_owned();
        let width = usize::from(self.rest.width);
        // What there is no room for goes first from the end.
        let mut parts: Vec<String> = vec![address, workers, term, version];
        parts.retain(|part| !part.is_empty());
        while parts.len() > 1 && parts.join("   ").width() + clock.width() + 2 > width {
            parts.pop();
        }
        let mut line = format!(" {}", parts.join("   "));
        let gap = width.saturating_sub(line.width() + clock.width() + 1);
        line.push_str(&" ".repeat(gap));
        line.push_str(&clock);
        let style = self.ink.loud().add_modifier(Modifier::REVERSED);
        let padded = format!("{line:<width$}");
        self.top(Line::styled(padded, style));
        match &stage.contact {
            Contact::Away { since, why } => {
                let ago = span(whole_seconds(stage.now.after.saturating_sub(since.after)));
                let at = time_of_day(since.clock);
                let text = format!(" coordinator away since {at} ({ago}): {why}; trying again");
                self.top(Line::styled(text, self.ink.toned(Tone::Bad).add_modifier(Modifier::BOLD)));
            }
            Contact::Here => {
                if let Some(trouble) = stage.looked.as_ref().and_then(|looked| looked.trouble.as_ref()) {
                    let text = format!(" nothing new is taken on: {trouble}");
                    self.top(Line::styled(text, self.ink.toned(Tone::Doubtful)));
                }
            }
        }
    }

    fn footer(&mut self) {
        let stage = self.stage;
        let line = if let Some(name) = &stage.asks {
            Line::styled(
                format!(" drain {name}? it gets no more work and is let go between two steps   y/n"),
                self.ink.loud(),
            )
        } else if let Some(notice) = stage.notice() {
            Line::styled(format!(" {notice}"), self.ink.loud())
        } else {
            // The last one says what the others are, so it is there whatever the width.
            let keys: &[&str] = match &stage.page {
                _ if stage.helps => &["any key goes back"],
                Page::Overview => {
                    &["q quit", "tab pane", "enter open", "s samples", "l logs", "e events", "d drain", "? help"]
                }
                Page::Job => &["q quit", "esc back", "j/k other job", "s samples", "l logs", "e events", "? help"],
                Page::Logs { .. } => &["q quit", "esc back", "j/k other line", "end newest", "e events", "? help"],
                Page::Pictures => &["q quit", "esc back", "page down more", "j/k other job", "enter job", "? help"],
                Page::Events { .. } | Page::Fact => &["q quit", "esc back", "j/k other event", "enter open", "? help"],
            };
            let width = |keys: &[&str]| 1 + keys.iter().map(|key| key.len() + 2).sum::<usize>();
            let mut keys = keys.to_vec();
            while keys.len() > 2 && width(&keys) > usize::from(self.rest.width) {
                keys.remove(keys.len() - 2);
            }
            Line::styled(format!(" {}", keys.join("  ")), self.ink.faint())
        };
        if self.rest.height > 0 {
            self.rest.height -= 1;
            self.put(self.rest.x, self.rest.bottom(), self.rest.width, &line);
        }
    }

    fn help(&mut self) {
        self.rule("keys", true);
        for (keys, what) in KEYS {
            self.top(Line::raw(format!("  {keys:<14} {what}")));
        }
    }

    // === overview

    fn overview(&mut self) {
        let focus = self.stage.pane;
        let jobs = self.stage.jobs().len().max(1);
        let jobs_max = usize::from(self.rest.height / 4).max(2);
        let jobs_area = self.cut(1 + rows(jobs.min(jobs_max)));
        self.jobs(jobs_area, focus == Pane::Jobs);
        if let Some(job) = self.stage.job() {
            self.chosen(job);
        }
        let rest = self.rest;
        if rest.width >= WIDE {
            let left = rest.width / 2;
            self.workers(Rect { width: left - 1, ..rest }, focus == Pane::Workers);
            let right = Rect { x: rest.x + left, width: rest.width - left, ..rest };
            self.events(right, "events", focus == Pane::Events);
        } else if rest.height >= TALL {
            let members = self.stage.members().len().max(1);
            let workers_area = self.cut(1 + rows(members).min(rest.height * 3 / 5));
            self.workers(workers_area, focus == Pane::Workers);
            self.events(self.rest, "events", focus == Pane::Events);
        } else if focus == Pane::Events {
            self.events(rest, "events (tab: jobs, workers)", true);
        } else {
            self.workers(rest, focus == Pane::Workers);
        }
    }

    fn jobs(&mut self, area: Rect, is_focus: bool) {
        let stage = self.stage;
        let jobs = stage.jobs();
        let (over, open): (Vec<&JobView>, Vec<&JobView>) = jobs.iter().partition(|job| job.is_over());
        let run = open.iter().filter(|job| job.is_open()).count();
        let more = beyond(jobs.len(), area);
        let title = format!("jobs   {run} under way, {} waiting, {} over{more}", open.len() - run, over.len());
        let mut area = self.rule_in(area, &title, is_focus);
        if jobs.is_empty() {
            let text =
                if stage.looked.is_none() { "  asking" } else { "  no jobs yet: `sumac submit FILE` queues one" };
            self.line(&mut area, Line::styled(text, self.ink.faint()));
        }
        let chosen = stage.job().map(|job| job.id.as_str());
        let id_width = jobs.iter().map(|job| job.id.width()).max().unwrap_or_default().min(usize::from(area.width / 4));
        let at = jobs.iter().position(|job| Some(job.id.as_str()) == chosen).unwrap_or_default();
        for job in seen(&jobs, at, area.height) {
            let line = self.job_row(job, Some(job.id.as_str()) == chosen, id_width, usize::from(area.width));
            self.line(&mut area, line);
        }
    }

    fn job_row(&self, job: &JobView, is_chosen: bool, id_width: usize, width: usize) -> Line<'static> {
        let ink = self.ink;
        let mut tail = format!("{:>4}", percent(job));
        let count = format!("{}/{}", grouped(job.step), grouped(job.steps));
        let pace = self.pace(job);
        let on = format!("on {}/{}", job.workers.len(), most(job));
        let head_width = 2 + id_width + 1 + 9;
        if width >= head_width + 50 {
            tail.push_str(&format!("  {count}"));
        }
        tail.push_str(&format!("  {pace}"));
        if width >= head_width + 64 && job.is_open() {
            tail.push_str(&format!("  {on}"));
        }
        let bar_width = width.saturating_sub(head_width + tail.width() + 2).min(BAR_MAX);
        let (full, empty) = bar(job, if bar_width < 5 { 0 } else { bar_width });
        let style = if is_chosen { ink.loud() } else { Style::new() };
        Line::from(vec![
            Span::styled(marker(is_chosen), style),
            Span::styled(format!("{} ", fitted(&job.id, id_width)), style),
            Span::styled(fitted(job.state, 9), ink.toned(tone(job.state))),
            Span::styled(full, ink.toned(if job.state == "running" { Tone::Good } else { Tone::Plain })),
            Span::styled(empty, ink.faint()),
            Span::styled(format!(" {tail}"), if self.is_old(job) { ink.faint() } else { Style::new() }),
        ])
    }

    /// How fast it goes and for how long; else why it does not go.
    fn pace(&self, job: &JobView) -> String {
        let unit = if job.pieces.is_some() { "" } else { " step/s" };
        match (speed(job).as_str(), &job.reason) {
            ("-", Some(reason)) => one_line(reason),
            ("-", None) => String::new(),
            (speed, _) => {
                let eta = if job.eta_seconds.is_some() { format!("  eta {}", eta(job)) } else { String::new() };
                let text = format!("{speed}{unit}{eta}");
                if self.is_old(job) { format!("({text})") } else { text }
            }
        }
    }

    /// Neither the coordinator nor any of its workers was heard of lately.
    fn is_old(&self, job: &JobView) -> bool {
        let stage = self.stage;
        let mut members = stage.listed.iter().filter(|worker| job.workers.contains(&worker.view.name)).peekable();
        stage.is_stale() || members.peek().is_some() && members.all(|worker| stage.is_stale_worker(worker))
    }

    /// The chosen job's figures, and what is to be said of them.
    fn chosen(&mut self, job: &JobView) {
        self.rule(&format!("{}   {}", job.id, job.state), false);
        if job.pieces.is_some() {
            self.pieces(job);
            return;
        }
        let width = usize::from(self.rest.width);
        let cell = (width.saturating_sub(1)) / 2;
        let curves = self.stage.curves.get(&job.id);
        for pair in shown_curves(job, curves).chunks(2) {
            let cells = pair.iter().flat_map(|shown| {
                let head = format!(" {} {}", fitted(shown.label, 8), fitted(&shown.figure, 9));
                let drawn = shown.drawn(cell.saturating_sub(head.width() + 1), 1).concat();
                let tail = " ".repeat(cell.saturating_sub(head.width() + drawn.width()));
                [Span::raw(head), Span::styled(drawn, self.ink.curve()), Span::raw(tail)]
            });
            let line = Line::from(cells.collect::<Vec<_>>());
            self.top(line);
        }
        let room = if self.rest.height > TALL { 3 } else { 1 };
        for line in self.remarks(job, width).into_iter().take(room) {
            self.top(line);
        }
    }

    /// What is out of balance, else who is slow, else why it waits, else that there is nothing.
    fn remarks(&self, job: &JobView, width: usize) -> Vec<Line<'static>> {
        let (text, tone) = if let Some(imbalance) = &job.imbalance {
            (format!("out of balance: {imbalance}"), Tone::Doubtful)
        } else if let Some(slow) = &job.slow {
            let text = format!(
                "slow: {} needs {:.1} ms of its own for a step, the others {:.1}",
                slow.worker, slow.own_ms, slow.others_ms
            );
            (text, Tone::Doubtful)
        } else if let Some(reason) = &job.reason {
            (one_line(reason), tone(job.state))
        } else {
            let saved = match job.saved {
                Some(step) => format!("checkpoint at step {}", grouped(step)),
                None => "no checkpoint yet".to_owned(),
            };
            (format!("nothing is out of balance so far; {saved}"), Tone::Plain)
        };
        let lines = wrapped(&text, width.saturating_sub(2)).into_iter();
        lines.map(|line| Line::styled(format!(" {line}"), self.ink.toned(tone))).collect()
    }

    fn pieces(&mut self, job: &JobView) {
        let Some(known) = &job.pieces else { return };
        let unit = known.unit;
        let mut done = format!(
            " {} of {} {unit}s, {} under way, {} quarantined",
            grouped(known.committed),
            grouped(job.steps),
            grouped(known.leased),
            grouped(known.quarantined)
        );
        if known.is_of_images() {
            done.push_str(&format!("   {} of {} images", grouped(known.done), grouped(known.items)));
        }
        if known.bad > 0 {
            done.push_str(&format!(", {} bad", grouped(known.bad)));
        }
        self.top(Line::raw(done));
        if let Some(bottleneck) = known.bottleneck {
            let stages = known.stages.iter().map(|(stage, share)| format!("{stage} {:.0}%", share * 100.0));
            let stages = stages.collect::<Vec<_>>().join(", ");
            self.top(Line::raw(format!(" {stages}; the others wait for {bottleneck}")));
        }
        if known.sealing {
            self.top(Line::raw(" all of them are over; what came out is put together"));
        } else if let Some(reason) = &job.reason {
            self.top(Line::styled(format!(" {}", one_line(reason)), self.ink.toned(tone(job.state))));
        }
    }

    fn workers(&mut self, area: Rect, is_focus: bool) {
        let stage = self.stage;
        let members = stage.members();
        let title = format!("workers   state, job, step/s, heard{}", beyond(members.len(), area));
        let mut area = self.rule_in(area, &title, is_focus);
        if members.is_empty() {
            let text = match &stage.looked {
                None => "  asking",
                Some(_) => "  no worker has joined yet: `sumac-worker node --coordinator URL` starts some",
            };
            self.line(&mut area, Line::styled(text, self.ink.faint()));
        }
        let chosen = stage.member();
        let is_chosen = |member: &Member<'_>| match (&chosen, member) {
            (Some(Member::Node { name, .. }), Member::Node { name: other, .. }) => name == other,
            (Some(Member::Worker(one)), Member::Worker(other)) => one.view.name == other.view.name,
            _ => false,
        };
        let names = stage.listed.iter().map(|worker| worker.view.name.width()).max().unwrap_or_default();
        let jobs = stage.listed.iter().filter_map(|worker| worker.view.job.as_ref()).map(|job| job.width()).max();
        let widths = (names.min(24), jobs.unwrap_or(1).min(20));
        let at = members.iter().position(is_chosen).unwrap_or_default();
        for member in seen(&members, at, area.height) {
            let is_chosen = is_chosen(member);
            let line = match member {
                Member::Node { name, here, lost } => self.node_row(name, *here, *lost, is_chosen),
                Member::Worker(worker) => self.worker_row(worker, is_chosen, widths, area.width),
            };
            self.line(&mut area, line);
        }
    }

    fn node_row(&self, name: &str, here: usize, lost: usize, is_chosen: bool) -> Line<'static> {
        let style = if is_chosen { self.ink.loud() } else { Style::new() };
        let lost = if lost > 0 { format!(", {lost} lost") } else { String::new() };
        Line::from(vec![
            Span::styled(format!("{}{name}", marker(is_chosen)), style),
            Span::styled(format!("   {here} here{lost}"), self.ink.faint()),
        ])
    }

    fn worker_row(
        &self,
        worker: &Listed,
        is_chosen: bool,
        (name_width, job_width): (usize, usize),
        width: u16,
    ) -> Line<'static> {
        let (stage, ink) = (self.stage, self.ink);
        let view = &worker.view;
        let is_stale = stage.is_stale_worker(worker);
        let (state, cause, told) = if stage.is_absent(worker) {
            let since = stage.now.clock.checked_sub(stage.now.after.saturating_sub(worker.at));
            let since = since.map(time_of_day).unwrap_or_default();
            ("absent".to_owned(), view.cause.clone().or(Some(format!("not listed since {since}"))), Tone::Doubtful)
        } else if is_stale && view.presence == "here" {
            (format!("({})", view.state), view.cause.clone(), Tone::Doubtful)
        } else {
            (view.state.clone(), view.cause.clone(), tone(&view.state))
        };
        let rate = match view.speed() {
            rate if rate != "-" && is_stale => format!("({rate})"),
            rate => rate,
        };
        let silence = stage.silence(worker);
        let is_fresh = silence < STALE_AFTER;
        let age = if is_fresh { format!("{:.1}s", silence.as_secs_f64()) } else { span(whole_seconds(silence)) };
        let style = if is_chosen { ink.loud() } else { Style::new() };
        let faded = if is_stale { ink.faint() } else { Style::new() };
        let aged = if is_stale { ink.toned(Tone::Doubtful) } else { Style::new() };
        let mut spans = vec![
            Span::styled(format!("{}  {} ", marker(is_chosen), fitted(&view.name, name_width)), style),
            Span::styled(format!("{} ", fitted(&state, 10)), ink.toned(told)),
            Span::styled(format!("{} ", fitted(view.job.as_deref().unwrap_or("-"), job_width)), faded),
            Span::styled(format!("{rate:>9}  "), faded),
            Span::styled(format!("{:<8}", format!("{age} ago")), aged),
        ];
        if width >= 100 {
            spans.push(Span::styled(format!("  own/wait {:<12} {}", view.own_and_wait(), view.device), faded));
        }
        if let Some(cause) = cause {
            spans.push(Span::raw(format!("  {}", one_line(&cause))));
        }
        Line::from(spans)
    }

    fn events(&mut self, area: Rect, title: &str, is_focus: bool) {
        let stage = self.stage;
        let facts = stage.facts();
        let mut area = self.rule_in(area, title, is_focus);
        if facts.is_empty() {
            self.line(&mut area, Line::styled("  nothing has happened yet", self.ink.faint()));
        }
        let chosen = stage.fact().map(|told| told.number).filter(|_| is_focus);
        let at = facts.iter().position(|told| Some(told.number) == chosen).unwrap_or_default();
        for told in seen(&facts, at, area.height) {
            // Where all jobs' events stand together.
            let about = told.fact.job.as_deref().filter(|_| stage.page == Page::Overview);
            let line = self.event_row(&told.fact, about, Some(told.number) == chosen);
            self.line(&mut area, line);
        }
    }

    fn event_row(&self, fact: &FactView, about: Option<&str>, is_chosen: bool) -> Line<'static> {
        let about = about.map_or_else(String::new, |job| format!("{job} "));
        Line::from(vec![
            Span::raw(format!("{}{} ", marker(is_chosen), hour(&fact.at))),
            Span::styled(fitted(&fact.class, 9), self.ink.toned(tone(&fact.class))),
            Span::styled(about, self.ink.faint()),
            Span::styled(one_line(&fact.what), if is_chosen { self.ink.loud() } else { Style::new() }),
        ])
    }

    // === pages

    fn job_page(&mut self) {
        let Some(job) = self.stage.job() else {
            return self.top(Line::styled("  there is no job yet", self.ink.faint()));
        };
        self.rule(&format!("{}   {}   {}", job.id, job.kind, job.state), true);
        let width = usize::from(self.rest.width);
        let line = self.job_row(job, false, job.id.width(), width);
        self.top(line);
        for line in self.particulars(job).into_iter().flat_map(|text| wrapped(&text, width.saturating_sub(2))) {
            self.top(Line::raw(format!(" {line}")));
        }
        if job.pieces.is_some() {
            self.pieces(job);
        } else {
            for line in self.remarks(job, width) {
                self.top(line);
            }
            self.large_curves(job);
        }
        self.events(self.rest, "events", false);
    }

    fn particulars(&self, job: &JobView) -> Vec<String> {
        let workers = if job.workers.is_empty() { "none".to_owned() } else { job.workers.join(", ") };
        let mut texts = vec![format!("workers {workers} (of {} to {})", job.workers_min, most(job))];
        if let (Some(times), Some(first)) = (job.step_ms, job.workers.first()) {
            let parts = times.shares().map(|(part, share)| format!("{part} {:.0}%", 100.0 * share)).join("  ");
            texts.push(format!("a step is {:.1} ms on {first}: {parts}", times.step()));
        }
        let seed = job.seed.map(|seed| format!("   seed {seed}")).unwrap_or_default();
        texts.push(format!(
            "so far {}, {}, {} done again   generation {}{seed}",
            counted(job.workers_seen, "worker"),
            counted(job.generations, "generation"),
            counted(job.steps_redone, "step"),
            job.generation
        ));
        let history = job.history.zip(job.history_size);
        let history = history.map(|(now, size)| format!("history {}/{} images   ", grouped(now), grouped(size.into())));
        texts.push(format!("{}output {}", history.unwrap_or_default(), job.output_dir));
        texts
    }

    fn large_curves(&mut self, job: &JobView) {
        // Two below each other, each with a line for its name; the events keep some lines.
        let height = (self.rest.height.saturating_sub(5) / 2).saturating_sub(1).min(CURVE_MAX);
        if height == 0 {
            return;
        }
        let cell = usize::from(self.rest.width.saturating_sub(1)) / 2;
        let curves = self.stage.curves.get(&job.id);
        for pair in shown_curves(job, curves).chunks(2) {
            let heads = pair.iter().map(|shown| fitted(&format!(" {} {}", shown.label, shown.figure), cell));
            self.top(Line::styled(heads.collect::<String>(), self.ink.loud()));
            let drawn: Vec<Vec<String>> =
                pair.iter().map(|shown| shown.drawn(cell.saturating_sub(2), usize::from(height))).collect();
            for row in 0..usize::from(height) {
                let cells = drawn.iter().map(|rows| format!(" {}", fitted(&rows[row], cell.saturating_sub(1))));
                self.top(Line::styled(cells.collect::<String>(), self.ink.curve()));
            }
        }
    }

    fn pictures(&mut self) {
        let Some(pictures) = &self.stage.pictures else { return };
        let (path, picture) = match &pictures.shown {
            Ok(shown) => shown,
            Err(why) => {
                self.rule(&format!("{}   pictures", pictures.job), true);
                for line in wrapped(why, usize::from(self.rest.width.saturating_sub(4))) {
                    self.top(Line::raw(format!("  {line}")));
                }
                return;
            }
        };
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.rule(&format!("{}   {file}: synthetic, refined, real", pictures.job), true);
        // As wide as there is room, so that something is seen; what is below can be scrolled to.
        match halves(picture, u32::from(self.rest.width)) {
            Ok(rows) => {
                let room = usize::from(self.rest.height);
                let first = self.stage.scrolled.min(rows.len().saturating_sub(room));
                for row in rows.into_iter().skip(first).take(room) {
                    let spans = row.into_iter().map(|(above, below)| self.half(above, below));
                    let line = Line::from(spans.collect::<Vec<_>>());
                    self.top(line);
                }
            }
            Err(fault) => self.top(Line::raw(format!("  cannot show it: {fault}"))),
        }
    }

    /// Two pixels in a character: by colour, or by how dark it is printed.
    fn half(&self, above: [u8; 3], below: [u8; 3]) -> Span<'static> {
        let colour = |[r, g, b]: [u8; 3]| Color::Rgb(r, g, b);
        if self.ink.colours {
            return Span::styled("▀", Style::new().fg(colour(above)).bg(colour(below)));
        }
        let light = above.iter().chain(&below).map(|value| u32::from(*value)).sum::<u32>() / 6;
        Span::raw([" ", "░", "▒", "▓", "█"][(light as usize * 5 / 256).min(4)])
    }

    fn fact(&mut self) {
        let Some(told) = self.stage.fact() else { return };
        let fact = &told.fact;
        self.rule(&format!("{}   {}", fact.class, fact.at), true);
        let about = [("job", &fact.job), ("worker", &fact.worker)];
        let about = about.into_iter().filter_map(|(kind, name)| Some(format!("{kind} {}", name.as_ref()?)));
        let texts = about.chain([fact.what.clone()]).chain(fact.evidence.iter().map(|line| format!("  {line}")));
        let width = usize::from(self.rest.width.saturating_sub(2));
        for line in texts.flat_map(|text| text.lines().flat_map(|line| wrapped(line, width)).collect::<Vec<_>>()) {
            self.top(Line::raw(format!(" {line}")));
        }
    }

    /// The newest at the foot, unless an older one is read; that one whole.
    fn logs(&mut self) {
        let Some(logs) = &self.stage.logs else { return };
        let newer = if logs.newer() > 0 { format!("   {} newer", logs.newer()) } else { String::new() };
        let old = match &logs.answer {
            Answer::Away { why } => format!("   (old: {why})"),
            Answer::Awaited | Answer::Here => String::new(),
        };
        self.rule(&format!("logs of {}{newer}{old}", one_line(&logs.about)), true);
        let lines = logs.lines();
        if lines.is_empty() {
            let text = if logs.answer == Answer::Awaited { "  asking" } else { "  nothing was said yet" };
            return self.top(Line::styled(text, self.ink.faint()));
        }
        let width = usize::from(self.rest.width);
        let sources = lines.iter().map(|line| line.source.width()).max().unwrap_or_default();
        let source_width = sources.min(LOG_SOURCE_MAX).min(width / 5);
        let chosen = lines[logs.at()];
        let room = width.saturating_sub(log_head_width(source_width)).max(LOG_ROOM_LEAST);
        let mut whole = wrapped(&said(chosen, &logs.about), room);
        whole.truncate(usize::from(self.rest.height / 2).max(1));
        for line in seen(&lines, logs.at(), self.rest.height.saturating_sub(rows(whole.len() - 1))) {
            let is_chosen = std::ptr::eq(*line, chosen);
            let texts = if is_chosen { whole.clone() } else { vec![one_line(&said(line, &logs.about))] };
            for row in self.log_rows(line, texts, is_chosen, source_width) {
                self.top(row);
            }
        }
    }

    /// What it says in one row, or in several below each other.
    fn log_rows(&self, line: &LogView, texts: Vec<String>, is_chosen: bool, source_width: usize) -> Vec<Line<'static>> {
        let told = match line.level {
            Level::Error => self.ink.toned(Tone::Bad),
            Level::Warn => self.ink.toned(Tone::Doubtful),
            Level::Info => Style::new(),
            Level::Debug => self.ink.faint(),
        };
        let style = if is_chosen { self.ink.loud() } else { Style::new() };
        let mut head = vec![
            Span::raw(format!("{}{} ", marker(is_chosen), hour(&line.at))),
            Span::styled(format!("{:<5} ", line.level), told),
            Span::raw(format!("{} ", fitted(&line.source, source_width))),
        ];
        let rows = texts.into_iter().map(|text| {
            let below = vec![Span::raw(" ".repeat(log_head_width(source_width)))];
            let mut spans = std::mem::replace(&mut head, below);
            spans.push(Span::styled(text, style));
            Line::from(spans)
        });
        rows.collect()
    }

    // === places

    /// A title; a heavy line where the keys are heard.
    fn rule(&mut self, title: &str, is_focus: bool) {
        let area = self.cut(1);
        self.rule_in(area, title, is_focus);
    }

    /// Draws it at the top of an area, and returns what is below it.
    fn rule_in(&mut self, mut area: Rect, title: &str, is_focus: bool) -> Rect {
        let (stroke, style) = if is_focus { ("━", self.ink.loud()) } else { ("─", Style::new()) };
        let head = format!("{stroke} {title} ");
        let rest = usize::from(area.width).saturating_sub(head.width());
        self.line(&mut area, Line::styled(format!("{head}{}", stroke.repeat(rest)), style));
        area
    }

    /// So many rows off the top of what is free.
    fn cut(&mut self, height: u16) -> Rect {
        let height = height.min(self.rest.height);
        let cut = Rect { height, ..self.rest };
        self.rest = Rect { y: self.rest.y + height, height: self.rest.height - height, ..self.rest };
        cut
    }

    fn top(&mut self, line: Line<'_>) {
        let mut area = self.cut(1);
        self.line(&mut area, line);
    }

    /// In the first row of an area, which is then the rest of it.
    fn line(&mut self, area: &mut Rect, line: Line<'_>) {
        if area.height > 0 {
            self.put(area.x, area.y, area.width, &line);
            *area = Rect { y: area.y + 1, height: area.height - 1, ..*area };
        }
    }

    /// What does not fit ends in an ellipsis.
    fn put(&mut self, x: u16, y: u16, width: u16, line: &Line<'_>) {
        let is_too_long = line.width() > usize::from(width);
        self.buffer.set_line(x, y, line, width);
        if is_too_long
            && width > 0
            && let Some(last) = self.buffer.cell_mut((x + width - 1, y))
        {
            last.set_symbol("…");
        }
    }
}

// === figures

struct Shown<'s> {
    label: &'static str,
    figure: String,
    series: Option<&'s Series>,
    scale: Scale,
}

impl Shown<'_> {
    fn drawn(&self, width: usize, height: usize) -> Vec<String> {
        let columns = self.series.map(|series| series.columns(width)).unwrap_or_default();
        bars(&columns, height, self.scale)
    }
}

fn shown_curves<'s>(job: &JobView, curves: Option<&'s Curves>) -> [Shown<'s>; 4] {
    let losses = job.losses;
    let loss = |value: Option<f64>| figure(value);
    let share = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |share| format!("{:.0}%", share * 100.0));
    // Of real and of refined patches.
    let accuracy =
        losses.map(|losses| format!("{}/{}", share(losses.accuracy_on_real), share(losses.accuracy_on_refined)));
    let accuracy = accuracy.filter(|text| text != "-/-").unwrap_or_else(|| "-".to_owned());
    let own = |label, value: Option<f64>, series| Shown { label, figure: loss(value), series, scale: Scale::Own };
    [
        own("refiner", losses.and_then(|losses| losses.refiner), curves.map(|curves| &curves.refiner)),
        own("disc", losses.and_then(|losses| losses.discriminator), curves.map(|curves| &curves.discriminator)),
        own("realism", losses.and_then(|losses| losses.realism), curves.map(|curves| &curves.realism)),
        Shown {
            label: "D right",
            figure: accuracy,
            series: curves.map(|curves| &curves.accuracy),
            scale: Scale::Share,
        },
    ]
}

fn percent(job: &JobView) -> String {
    format!("{}%", job.step.saturating_mul(100).checked_div(job.steps).unwrap_or(0))
}

/// What is done, to an eighth of a character, and what is not.
fn bar(job: &JobView, width: usize) -> (String, String) {
    let share = if job.steps == 0 { 0.0 } else { (job.step as f64 / job.steps as f64).clamp(0.0, 1.0) };
    let eighths = (share * 8.0 * width as f64) as usize;
    let tip = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    let full = format!("{}{tip}", "█".repeat(eighths / 8));
    let empty = "░".repeat(width.saturating_sub(full.width()));
    (full, empty)
}

// === words

/// The marker, the time, the level and who says it, each with what is between.
fn log_head_width(source_width: usize) -> usize {
    2 + 9 + 6 + source_width + 1
}

/// What was said, and in the midst of what, but for what all of it is about.
fn said(line: &LogView, about: &str) -> String {
    let within = [
        line.job.clone().filter(|job| job != about),
        line.generation.map(|generation| format!("generation={generation}")),
        line.step.map(|step| format!("step={step}")),
    ];
    let within: String = within.into_iter().flatten().map(|word| format!("  {word}")).collect();
    format!("{}{within}", line.text)
}

fn marker(is_chosen: bool) -> &'static str {
    if is_chosen { "▸ " } else { "  " }
}

/// So many characters wide, whatever it is.
fn fitted(text: &str, width: usize) -> String {
    let text = one_line(text);
    if text.width() <= width {
        return format!("{text}{}", " ".repeat(width - text.width()));
    }
    let mut short = String::new();
    for letter in text.chars() {
        if short.width() + letter.width().unwrap_or(0) + 1 > width {
            break;
        }
        short.push(letter);
    }
    let gap = width.saturating_sub(short.width() + 1);
    let ellipsis = if width > 0 { "…" } else { "" };
    format!("{short}{ellipsis}{}", " ".repeat(gap))
}

/// Nothing in it that a terminal would take for an order.
fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// In lines of at most so many characters, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in one_line(text).split_inclusive(' ') {
        let line = lines.last_mut().expect("it begins with one line and only grows");
        if !line.is_empty() && line.width() + word.trim_end().width() > width {
            lines.push(word.to_owned());
        } else {
            line.push_str(word);
        }
    }
    lines
}

/// That there are more than there is room for, below a rule.
fn beyond(count: usize, area: Rect) -> String {
    let room = usize::from(area.height.saturating_sub(1));
    if count > room { format!("   {} more", count - room) } else { String::new() }
}

/// Those around the chosen one that there is room for.
fn seen<T>(all: &[T], chosen: usize, height: u16) -> &[T] {
    let height = usize::from(height);
    let first = chosen.saturating_sub(height / 2).min(all.len().saturating_sub(height));
    &all[first..all.len().min(first + height)]
}

fn rows(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX - 1)
}

/// Of RFC 3339, the time of the day.
fn hour(at: &str) -> &str {
    at.get(11..19).unwrap_or(at)
}

fn time_of_day(clock: SystemTime) -> String {
    hour(&humantime::format_rfc3339_seconds(clock).to_string()).to_owned()
}

fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}
