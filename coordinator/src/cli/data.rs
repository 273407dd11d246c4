//! `data`: say what a data set is; draw one to play with.

use super::{
    args::{Data, Output, Subject},
    failure::{Exit, Failure},
    outcome::here,
    render::{grouped, print_item, say},
};
use serde::Serialize;
use std::path::{Path, PathBuf};
use sumac_data::{
    Source,
    demo::{self, Drawn},
    source::Inspection,
};
use tokio::task::spawn_blocking;

/// Faults shown in the table; JSON has them all.
const BAD_SHOWN: usize = 10;

pub(super) async fn data(data: Data) -> Result<Exit, Failure> {
    match data {
        Data::Inspect { source, read } => {
            let inspection = inspect(source).await?;
            match read.output {
                Output::Json => print_item(&inspection),
                Output::Table => describe(&inspection),
            }
        }
        Data::Demo { subject, dir, count, seed } => {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            draw(subject, dir, count, seed).await?;
        }
    }
    Ok(Exit::Done)
}

/// Draws where nothing is drawn yet, and says what is there.
pub(super) async fn draw(subject: Subject, dir: PathBuf, count: usize, seed: u64) -> Result<Drawn, Failure> {
    let (draw, labelled): (fn(&Path, usize, u64) -> _, _) = match subject {
        Subject::Eyes => (demo::draw_eyes, "drawn eyes with pupil labels"),
        Subject::Digits => (demo::draw_digits, "drawn digits with class labels"),
    };
    let into = dir.clone();
    let drawn = blocking(move || draw(&into, count, seed)).await?.map_err(|error| Failure::of(Exit::Failed, &error))?;
    let count = grouped(count as u64);
    say("data", format!("{}: {count} {labelled}, {count} \"camera\" ones without", here(&dir).display()));
    Ok(drawn)
}

async fn inspect(source: PathBuf) -> Result<Inspection, Failure> {
    let looked = blocking(move || Source::look(&source).map(|source| source.inspect(None))).await?;
    looked.map_err(|error| {
        Failure::of(Exit::Failed, &error)
            .hint("known: folders of images, class folders, csv and jsonl tables, idx, npy")
    })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    spawn_blocking(work).await.map_err(|broke| {
        Failure::new(Exit::Failed, "reading the data broke down: this is a bug of sumac").because(Some(&broke))
    })
}

fn describe(inspection: &Inspection) {
    say("source", format!("{}   {}", inspection.path.display(), word(&inspection.kind)));
    say("images", grouped(inspection.images as u64));
    for size in &inspection.sizes {
        let images = grouped(size.images as u64);
        say(
            "size",
            format!("{}x{}, {} channels, {} bit   {images} images", size.height, size.width, size.channels, size.bits),
        );
    }
    let labels = &inspection.labels;
    match &labels.kind {
        Some(kind) => say(
            "labels",
            format!(
                "{}: {} images, {} without",
                word(kind),
                grouped(labels.present as u64),
                grouped(labels.missing as u64)
            ),
        ),
        None => say("labels", "none"),
    }
    if !inspection.classes.is_empty() {
        say("classes", inspection.classes.join(" "));
    }
    say("examples", inspection.examples.join(" "));
    if !inspection.bad.is_empty() {
        say("bad", format!("{} images cannot be used", grouped(inspection.bad.len() as u64)));
        for bad in inspection.bad.iter().take(BAD_SHOWN) {
            say("", format!("{}: {}", bad.key, bad.reason));
        }
        if inspection.bad.len() > BAD_SHOWN {
            say("", format!("and {} more: -o json lists them", inspection.bad.len() - BAD_SHOWN));
        }
    }
}

/// The word that files and JSON have for it.
fn word(kind: &impl Serialize) -> String {
    serde_json::to_value(kind).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
