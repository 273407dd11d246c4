//! Lists: a table, a wider one, JSON or names; once, or again and again as their rows change. Knows nothing of what is in them.

use super::{
    args::{Columns, ListRead},
    failure::{Exit, Failure},
    render::{Cell, Ruler, print_items, print_line},
};
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{MissedTickBehavior, interval};

/// How often a watched list is looked at: whatever changes shows within a second.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// A row of a list.
pub(super) trait Listed: Serialize {
    const HEADS: &'static [&'static str];
    /// Columns that only a wide table has, behind the others but before the last, which holds sentences.
    const WIDE: &'static [&'static str];

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
    read: &ListRead,
    around: Around<'_, T>,
    mut fetch: impl AsyncFnMut() -> Result<Vec<T>, Failure>,
) -> Result<Exit, Failure> {
    let mut rows = fetch().await?;
    let mut ruler = Ruler::default();
    print(read, &around, &rows, &mut ruler);
    if !read.watch {
        return Ok(Exit::Done);
    }
    let marks = |rows: &[T]| rows.iter().map(|row| (row.called().to_owned(), row.mark())).collect::<BTreeMap<_, _>>();
    let mut shown = marks(&rows);
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Interrupted),
        }
        rows = fetch().await?;
        let changed = rows.iter().filter(|row| shown.get(row.called()) != Some(&row.mark()));
        print_again(read, changed, &mut ruler);
        shown = marks(&rows);
    }
}

fn print<T: Listed>(read: &ListRead, around: &Around<'_, T>, rows: &[T], ruler: &mut Ruler) {
    match read.output {
        Columns::Json if read.watch => rows.iter().for_each(print_line),
        Columns::Json => print_items(rows),
        Columns::Name => rows.iter().for_each(|row| anstream::println!("{}", row.called())),
        Columns::Table | Columns::Wide if rows.is_empty() => anstream::eprintln!("{}", around.nothing),
        Columns::Table | Columns::Wide => {
            let is_wide = read.output == Columns::Wide;
            let heads = if read.no_header { Vec::new() } else { heads::<T>(is_wide) };
            let cells: Vec<Vec<Cell>> = rows.iter().map(|row| cells(row, is_wide)).collect();
            anstream::print!("{}", ruler.table(&heads, &cells, read.width()));
            if let Some(below) = (around.below)(rows).filter(|_| !read.no_header) {
                anstream::println!("{below}");
            }
        }
    }
}

fn print_again<'r, T: Listed + 'r>(read: &ListRead, changed: impl Iterator<Item = &'r T>, ruler: &mut Ruler) {
    match read.output {
        Columns::Json => changed.for_each(print_line),
        Columns::Name => changed.for_each(|row| anstream::println!("{}", row.called())),
        Columns::Table | Columns::Wide => {
            let cells: Vec<Vec<Cell>> = changed.map(|row| cells(row, read.output == Columns::Wide)).collect();
            anstream::print!("{}", ruler.table(&[], &cells, read.width()));
        }
    }
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
