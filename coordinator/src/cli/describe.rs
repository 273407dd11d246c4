//! One thing by itself: in words, as JSON, or its name alone; once, or again and again as it changes. Knows nothing of what it is.

use super::{
    args::{Form, Reading},
    failure::{Exit, Failure},
    list::Onlooker,
    render::{print_item, print_line},
};
use serde::Serialize;

/// What is described by itself, and not in a row.
pub(super) trait Described: Serialize {
    fn called(&self) -> &str;
    fn describe(&self, reading: &Reading);
    /// What somebody who watches waits for: when it changes, all of it is shown again. Ages and speeds are not in it.
    fn mark(&self) -> String;
    /// Nothing will change any more.
    fn is_settled(&self) -> bool {
        false
    }
}

/// # Errors
/// Whatever `fetch` says.
pub(super) async fn describe<T: Described>(
    reading: &Reading,
    mut fetch: impl AsyncFnMut() -> Result<T, Failure>,
) -> Result<Exit, Failure> {
    let mut thing = fetch().await?;
    print(&thing, reading);
    let mut onlooker = Onlooker::new()?;
    while reading.watch && !thing.is_settled() {
        if !onlooker.stays().await {
            return Ok(Exit::Interrupted);
        }
        let shown = thing.mark();
        thing = fetch().await?;
        if thing.mark() != shown {
            if matches!(reading.output, Form::Table | Form::Wide) {
                anstream::println!();
            }
            print(&thing, reading);
        }
    }
    Ok(Exit::Done)
}

fn print<T: Described>(thing: &T, reading: &Reading) {
    match reading.output {
        Form::Json if reading.watch => print_line(thing),
        Form::Json => print_item(thing),
        Form::Name => anstream::println!("{}", thing.called()),
        Form::Table | Form::Wide => thing.describe(reading),
    }
}
