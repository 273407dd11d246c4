//! Lists: a table, a wider one, JSON or names; once, or again and again as their rows change. Knows nothing of what is in them.

use super::{
    args::{Form, ListReading, Reading},
    failure::{Exit, Failure},
    render::{Cell, Ruler, print_items, print_line, table_within},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use std::{collections::BTreeMap, io, time::Duration};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

/// How often what is watched is looked at: whatever changes shows within a second.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// A row of a list.
pub(super) trait Listed: Serialize {
    const HEADS: &'static [&'static str];
    /// Columns that only a wide table has, behind the others but before the last, which holds sentences.
    const WIDE: &'static [&'static str];
    /// Whether what stands in the last column is cut where a line ends. A path is of no use without its end.
    const IS_CUT: bool = true;

    fn called(&self) -> &str;
    /// As many cells as there are heads.
    fn row(&self) -> Vec<Cell>;
    fn wide(&self) -> Vec<Cell>;
    /// What somebody who watches waits for: when it changes, the row is shown again. Ages and speeds are not in it.
    fn mark(&self) -> String;
}

/// What to say of all rows together, below a table, and what to say where there are none.
pub(super) struct Around<'a, T> {
    pub nothing: &'a str,
    pub below: fn(&[T]) -> Option<String>,
}

/// # Errors
/// Whatever `fetch` says.
pub(super) async fn list<T: Listed>(
    asked: &ListReading,
    around: Around<'_, T>,
    mut fetch: impl AsyncFnMut() -> Result<Vec<T>, Failure>,
) -> Result<Exit, Failure> {
    let mut rows = fetch().await?;
    let mut ruler = Ruler::default();
    print(asked, &around, &rows, &mut ruler);
    if !asked.reading.watch {
        return Ok(Exit::Done);
    }
    let mut onlooker = Onlooker::new()?;
    let marks = |rows: &[T]| rows.iter().map(|row| (row.called().to_owned(), row.mark())).collect::<BTreeMap<_, _>>();
    let mut shown = marks(&rows);
    while onlooker.stays().await {
        rows = fetch().await?;
        let changed = rows.iter().filter(|row| shown.get(row.called()) != Some(&row.mark()));
        print_again(&asked.reading, changed, &mut ruler);
        shown = marks(&rows);
    }
    Ok(Exit::Interrupted)
}

/// Whoever reads what goes on. A ctrl-C is heard whenever it came, in the midst of a question too.
pub(super) struct Onlooker {
    interrupt: Signal,
}

impl Onlooker {
    pub(super) fn new() -> Result<Self, Failure> {
        let heard = signal(SignalKind::interrupt());
        let interrupt =
            heard.map_err(|error| Failure::new(Exit::Failed, "cannot listen for signals").because(Some(&error)))?;
        Ok(Self { interrupt })
    }

    /// Until the next look; false once ctrl-C says that it was enough, or what this is piped into has ended.
    pub(super) async fn stays(&mut self) -> bool {
        tokio::select! {
            () = sleep(LOOK_EVERY) => !reader_is_gone(),
            _ = self.interrupt.recv() => false,
        }
    }

    pub(super) async fn leaves(&mut self) {
        while self.stays().await {}
    }
}

/// Who writes to a pipe learns of it at the next line, which may be long in coming.
fn reader_is_gone() -> bool {
    let stdout = io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).is_ok() && polled[0].revents().contains(PollFlags::ERR)
}

fn print<T: Listed>(asked: &ListReading, around: &Around<'_, T>, rows: &[T], ruler: &mut Ruler) {
    let ListReading { reading, no_header } = asked;
    match reading.output {
        Form::Json if reading.watch => rows.iter().for_each(print_line),
        Form::Json => print_items(rows),
        Form::Name => rows.iter().for_each(|row| anstream::println!("{}", row.called())),
        Form::Table | Form::Wide if rows.is_empty() => anstream::eprintln!("{}", around.nothing),
        Form::Table | Form::Wide => {
            let heads = if *no_header { Vec::new() } else { heads::<T>(reading.is_wide()) };
            let cells: Vec<Vec<Cell>> = rows.iter().map(|row| cells(row, reading.is_wide())).collect();
            anstream::print!("{}", ruler.table(&heads, &cells, width::<T>(reading)));
            if let Some(below) = (around.below)(rows).filter(|_| !no_header) {
                anstream::println!("{below}");
            }
        }
    }
}

fn print_again<'r, T: Listed + 'r>(reading: &Reading, changed: impl Iterator<Item = &'r T>, ruler: &mut Ruler) {
    match reading.output {
        Form::Json => changed.for_each(print_line),
        Form::Name => changed.for_each(|row| anstream::println!("{}", row.called())),
        Form::Table | Form::Wide => {
            let cells: Vec<Vec<Cell>> = changed.map(|row| cells(row, reading.is_wide())).collect();
            anstream::print!("{}", ruler.table(&[], &cells, width::<T>(reading)));
        }
    }
}

/// Rows as a list has them, with their heads, within something else.
pub(super) fn rows_of<T: Listed>(rows: &[T], reading: &Reading) -> String {
    let is_wide = reading.is_wide();
    let cells: Vec<Vec<Cell>> = rows.iter().map(|row| cells(row, is_wide)).collect();
    table_within(&heads::<T>(is_wide), &cells, width::<T>(reading))
}

fn width<T: Listed>(reading: &Reading) -> Option<usize> {
    reading.width().filter(|_| T::IS_CUT)
}

fn heads<T: Listed>(is_wide: bool) -> Vec<&'static str> {
    let mut heads = T::HEADS.to_vec();
    if is_wide {
        let last = heads.len() - 1;
        heads.splice(last..last, T::WIDE.iter().copied());
    }
    heads
}

fn cells<T: Listed>(row: &T, is_wide: bool) -> Vec<Cell> {
    let mut cells = row.row();
    if is_wide {
        let last = cells.len() - 1;
        cells.splice(last..last, row.wide());
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Thing;

    impl Listed for Thing {
        const HEADS: &'static [&'static str] = &["NAME", "REASON"];
        const WIDE: &'static [&'static str] = &["SIZE"];

        fn called(&self) -> &str {
            "thing"
        }

        fn row(&self) -> Vec<Cell> {
            vec!["thing".into(), "because".into()]
        }

        fn wide(&self) -> Vec<Cell> {
            vec!["3 B".into()]
        }

        fn mark(&self) -> String {
            String::new()
        }
    }

    #[test]
    fn a_wide_table_keeps_the_sentences_at_its_end() {
        assert_eq!(heads::<Thing>(true), ["NAME", "SIZE", "REASON"]);
        assert_eq!(cells(&Thing, true).len(), 3);
        assert_eq!(heads::<Thing>(false).len(), cells(&Thing, false).len());
    }
}
