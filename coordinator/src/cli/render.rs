//! Tables without borders, numbers for people, JSON for scripts. Knows nothing of what is shown.

use serde::Serialize;
use std::{io::IsTerminal as _, time::Duration};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Version of every JSON answer.
pub(super) const API_VERSION: &str = "sumac/v1";
const GAP: &str = "  ";
/// Characters that a sentence has on the narrowest terminal.
const ROOM_LEAST: usize = 12;

/// A cell, and how it is coloured once it is padded.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: owo_colors::Style,
}

impl Cell {
    pub(super) fn styled(text: impl Into<String>, style: owo_colors::Style) -> Self {
        Self { text: text.into(), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), style: owo_colors::Style::new() }
    }
}

/// Characters of a line, where a person reads; `COLUMNS` wins.
pub(super) fn terminal_width() -> Option<usize> {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let asked = || rustix::termios::tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col));
    said.or_else(asked).filter(|columns| *columns > 0)
}

/// As [`table`]; what does not fit into a line of `width` is taken from the last column, which holds sentences.
pub(super) fn table_within(heads: &[&str], rows: &[Vec<Cell>], width: Option<usize>) -> String {
    Ruler::default().table(heads, rows, width)
}

/// How wide columns are, so that rows that come later stand below the earlier ones.
#[derive(Debug, Default)]
pub(super) struct Ruler {
    widths: Vec<usize>,
}

impl Ruler {
    /// As [`table_within`], no column narrower than it was.
    pub(super) fn table(&mut self, heads: &[&str], rows: &[Vec<Cell>], width: Option<usize>) -> String {
        let heads: Vec<Cell> = heads.iter().map(|head| Cell::from(*head)).collect();
        self.measure(&heads, rows);
        let rows = rows.iter().map(|row| self.cut(row, width)).collect::<Vec<_>>();
        lines(std::iter::once(&heads).filter(|heads| !heads.is_empty()).chain(&rows), &self.widths)
    }

    fn measure(&mut self, heads: &[Cell], rows: &[Vec<Cell>]) {
        for row in std::iter::once(heads).chain(rows.iter().map(Vec::as_slice)) {
            self.widths.resize(self.widths.len().max(row.len()), 0);
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = cell.text.width().max(*width);
            }
        }
    }

    /// A row with as much of its sentence as a line has room for. No column is padded to the width of the last.
    fn cut(&self, row: &[Cell], width: Option<usize>) -> Vec<Cell> {
        let mut row = row.to_vec();
        let Some(width) = width.filter(|_| row.len() == self.widths.len()) else { return row };
        if let (Some(cell), [before @ .., _]) = (row.last_mut(), self.widths.as_slice()) {
            let before: usize = before.iter().map(|column| column + GAP.len()).sum();
            let room = width.saturating_sub(before).max(ROOM_LEAST);
            if cell.text.width() > room {
                cell.text = shortened(&cell.text, room);
            }
        }
        row
    }
}

/// So much of a text as fits, and a sign that there is more.
fn shortened(text: &str, room: usize) -> String {
    let mut short = String::new();
    for letter in text.chars() {
        if short.width() + letter.width().unwrap_or(0) >= room {
            break;
        }
        short.push(letter);
    }
    short + "…"
}

/// Columns as wide as their widest cell; nothing is padded at the end of a line. No heads: rows alone.
pub(super) fn table(heads: &[&str], rows: &[Vec<Cell>]) -> String {
    table_within(heads, rows, None)
}

fn lines<'r>(rows: impl Iterator<Item = &'r Vec<Cell>>, widths: &[usize]) -> String {
    let mut lines = String::new();
    for row in rows {
        let last = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
        for (column, cell) in row.iter().enumerate().take(last + 1) {
            lines.push_str(&cell.style.style(&cell.text).to_string());
            if column < last {
                lines.extend(std::iter::repeat_n(' ', widths[column] - cell.text.width()));
                lines.push_str(GAP);
            }
        }
        lines.push('\n');
    }
    lines
}

#[derive(Serialize)]
struct Items<'i, T> {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    items: &'i [T],
}

#[derive(Serialize)]
struct Single<'i, T> {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    #[serde(flatten)]
    item: &'i T,
}

/// `{"apiVersion": "sumac/v1", "items": [...]}`
pub(super) fn print_items<T: Serialize>(items: &[T]) {
    print_json(&Items { api_version: API_VERSION, items });
}

/// `{"apiVersion": "sumac/v1", ...}`
pub(super) fn print_item<T: Serialize>(item: &T) {
    print_json(&Single { api_version: API_VERSION, item });
}

/// One JSON object in one line, for streams.
pub(super) fn print_line<T: Serialize>(item: &T) {
    let text = serde_json::to_string(item).expect("views are plain data with string keys: their JSON cannot fail");
    anstream::println!("{text}");
}

fn print_json(value: &impl Serialize) {
    let text =
        serde_json::to_string_pretty(value).expect("views are plain data with string keys: their JSON cannot fail");
    anstream::println!("{text}");
}

/// 4213 -> 4,213
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// 1 worker, 4,213 workers
pub(super) fn counted(number: u64, noun: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {noun}{s}", grouped(number))
}

/// The two largest units: 41s, 8m10s, 3h05m, 2d04h; below ten seconds with a tenth, unless it is of whole seconds.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 if duration.subsec_nanos() > 0 => format!("{:.1}s", duration.as_secs_f64()),
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Bytes in the largest unit that leaves more than one: 312 B, 4.2 MiB, 1.5 GiB.
pub(super) fn size(bytes: u64) -> String {
    let mut amount = bytes as f64;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if amount < 1024.0 {
            break;
        }
        (amount, unit) = (amount / 1024.0, larger);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{amount:.1} {unit}") }
}

/// Three digits that count; a dash for nothing.
pub(super) fn figure(value: Option<f64>) -> String {
    match value {
        Some(value) if value.is_finite() && value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.is_finite() && value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.3}"),
        None => "-".to_owned(),
    }
}

/// A label and what it labels, as everything that is not a table is printed.
pub(super) fn say(label: &str, text: impl std::fmt::Display) {
    anstream::println!("  {label:<9} {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_aligns_by_what_is_seen_and_pads_no_line_end() {
        let rows = vec![vec!["é".into(), "1".into()], vec!["long".into(), "".into()]];
        assert_eq!(table(&["A", "B"], &rows), "A     B\né     1\nlong\n");
    }

    #[test]
    fn on_a_narrow_terminal_sentences_are_cut_and_nothing_else() {
        let rows = vec![vec!["gpu-03".into(), "its connection broke and it did not come back".into()]];
        assert_eq!(table_within(&["NODE", "REASON"], &rows, Some(24)), "NODE    REASON\ngpu-03  its connection …\n");
        assert_eq!(table_within(&["NODE", "REASON"], &rows, None), table(&["NODE", "REASON"], &rows));
    }

    #[test]
    fn rows_that_come_later_stand_below_the_earlier_ones() {
        let mut ruler = Ruler::default();
        ruler.table(&["NAME", "STATE"], &[vec!["eyes-7f3".into(), "running".into()]], None);
        assert_eq!(ruler.table(&[], &[vec!["a".into(), "lost".into()]], None), "a         lost\n");
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn one_of_a_thing_has_no_plural() {
        assert_eq!([0, 1, 2_000].map(|number| counted(number, "worker")), ["0 workers", "1 worker", "2,000 workers"]);
    }

    #[test]
    fn a_size_is_said_in_the_largest_unit_it_fills() {
        let sizes = [0, 1_023, 1_024, 4_404_020, 1_610_612_736].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "4.2 MiB", "1.5 GiB"]);
    }

    #[test]
    fn a_span_shows_its_two_largest_units() {
        let spans = [300, 6_000, 41_000, 490_000, 11_100_000, 187_200_000].map(|ms| span(Duration::from_millis(ms)));
        assert_eq!(spans, ["0.3s", "6s", "41s", "8m10s", "3h05m", "2d04h"]);
    }
}
