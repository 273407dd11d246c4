//! `data`: say what a data set is, in words and figures, and what is wrong with it; draw one to play with.

use super::{
    args::{Data, Output, Subject},
    convert::convert,
    destination::blocking,
    failure::{Exit, Failure, print_hint},
    outcome::here,
    render::{counted, grouped, print_item, say},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::{
    collections::BTreeSet,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};
use sumac_data::{
    Bad, Source, SourceError, Survey,
    demo::{self, Drawn},
    source::{Inspection, Kind, SizeCount},
    survey,
    survey::Tone,
};

/// Faults shown in the table; JSON has them all.
const BAD_SHOWN: usize = 10;
/// Sub-folders named in a hint.
const FOLDERS_SHOWN: usize = 3;

pub(super) async fn data(data: Data) -> Result<Exit, Failure> {
    match data {
        Data::Inspect { source, read } => {
            let (inspection, folders) = inspect(source).await?;
            match read.output {
                Output::Json => print_item(&inspection),
                Output::Table => {
                    describe(&inspection);
                    hint_at(&folders, &inspection.path);
                }
            }
        }
        Data::Validate { source, read } => {
            let survey = look_through(source.clone()).await?;
            let bad = survey.bad.len();
            match read.output {
                Output::Json => print_item(&survey),
                Output::Table => {
                    say("source", here(&source).display());
                    say("images", format!("{} good, {} bad", grouped(survey.images - bad as u64), grouped(bad as u64)));
                    list_bad(&survey.bad);
                }
            }
            return Ok(if bad == 0 { Exit::Done } else { Exit::Failed });
        }
        Data::Stats { source, read } => {
            let survey = look_through(source.clone()).await?;
            match read.output {
                Output::Json => print_item(&survey),
                Output::Table => figures(&source, &survey),
            }
        }
        Data::Convert { source, destination, image, fit, written } => {
            return convert(&source, &destination, image, fit, &written).await;
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
    let (draw, one, labels): (fn(&Path, usize, u64) -> _, _, _) = match subject {
        Subject::Eyes => (demo::draw_eyes, "eye", "pupil labels"),
        Subject::Digits => (demo::draw_digits, "digit", "class labels"),
    };
    let into = dir.clone();
    let drawn = blocking(move || draw(&into, count, seed)).await?.map_err(|error| Failure::of(Exit::Failed, &error))?;
    let (label, since) = if drawn.is_new { ("drawn", "") } else { ("kept", ", as drawn before") };
    let (dir, count) = (here(&dir), counted(count as u64, one));
    say(label, format!("{}{since}: {count} with {labels}, {count} seen by a camera, without", dir.display()));
    Ok(drawn)
}

/// What is there, and the sub-folders that may have been meant.
async fn inspect(source: PathBuf) -> Result<(Inspection, BTreeSet<String>), Failure> {
    let looked = blocking(move || Source::look(&source).map(|source| (source.inspect(None), folders(&source)))).await?;
    looked.map_err(|error| not_known(&error))
}

pub(super) fn not_known(error: &SourceError) -> Failure {
    Failure::of(Exit::Failed, error).hint(
        "known: folders of images, class folders, csv and jsonl tables, donkeycar tubs, WebDataset tars, idx, npy, npz, HDF5, parquet",
    )
}

async fn look_through(source: PathBuf) -> Result<Survey, Failure> {
    blocking(move || {
        let source = Source::look(&source).map_err(|error| not_known(&error))?;
        let bar = bar();
        let surveyed = survey(&source, &|done, total| {
            bar.set_length(total);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        surveyed.map_err(|error| Failure::of(Exit::Failed, &error))
    })
    .await?
}

pub(super) fn bar() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("  images {pos}/{len} {bar:30} {percent:>3}%   {per_sec}   eta {eta}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸━");
    ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style)
}

fn figures(source: &Path, survey: &Survey) {
    say("source", here(source).display());
    say("images", grouped(survey.images));
    survey.sizes.iter().for_each(say_size);
    for tones in &survey.tones {
        let tone = |tone: &Tone| format!("{:.3} ± {:.3}", tone.mean, tone.deviation);
        let channels = tones.channels.iter().map(tone).collect::<Vec<_>>().join(", ");
        say(
            "tone",
            format!("{channels}   mean and deviation of each channel, 0 to 1, over {}", counted(tones.images, "image")),
        );
    }
    say("labels", format!("{}, {} bytes", counted(survey.labelled, "image"), grouped(survey.label_bytes)));
    list_bad(&survey.bad);
}

fn say_size(size: &SizeCount) {
    let (channels, images) = (counted(size.channels.into(), "channel"), counted(size.images as u64, "image"));
    say("size", format!("{}x{}, {channels}, {} bit   {images}", size.height, size.width, size.bits));
}

fn list_bad(bad: &[Bad]) {
    if bad.is_empty() {
        return;
    }
    say("bad", format!("{} cannot be used", counted(bad.len() as u64, "image")));
    for bad in bad.iter().take(BAD_SHOWN) {
        say("", format!("{}: {}", bad.key, bad.reason));
    }
    if bad.len() > BAD_SHOWN {
        say("", format!("and {} more: -o json lists them", bad.len() - BAD_SHOWN));
    }
}

/// Where the images of a folder lie that are neither in the folder itself nor classes: perhaps each is a data set of its own.
fn folders(source: &Source) -> BTreeSet<String> {
    if source.kind() != Kind::Folder {
        return BTreeSet::new();
    }
    let tops = source.samples().iter().map(|sample| Some(sample.key.split_once('/')?.0.to_owned()));
    let tops: Option<BTreeSet<String>> = tops.collect();
    tops.filter(|tops| tops.len() > 1).unwrap_or_default()
}

fn hint_at(folders: &BTreeSet<String>, root: &Path) {
    let Some(first) = folders.first() else { return };
    let mut names = folders.iter().take(FOLDERS_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if folders.len() > FOLDERS_SHOWN {
        names.push_str(&format!(" and {} more", folders.len() - FOLDERS_SHOWN));
    }
    let one = here(&root.join(first));
    print_hint(&format!(
        "all images lie in sub-folders ({names}); if these are data sets of their own, name one: `sumac data inspect {}`",
        one.display()
    ));
}

fn describe(inspection: &Inspection) {
    say("source", format!("{}   {}", inspection.path.display(), word(&inspection.kind)));
    say("images", grouped(inspection.images as u64));
    inspection.sizes.iter().for_each(say_size);
    let labels = &inspection.labels;
    match &labels.kind {
        Some(kind) => say(
            "labels",
            format!(
                "{}: {}, {} without",
                word(kind),
                counted(labels.present as u64, "image"),
                grouped(labels.missing as u64)
            ),
        ),
        None => say("labels", "none"),
    }
    if !inspection.classes.is_empty() {
        say("classes", inspection.classes.join(" "));
    }
    say("examples", inspection.examples.join(" "));
    list_bad(&inspection.bad);
}

/// The word that files and JSON have for it.
pub(super) fn word(kind: &impl Serialize) -> String {
    serde_json::to_value(kind).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
