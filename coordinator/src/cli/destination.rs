//! The folder that a refined or converted data set is written to: what may be written there, what it is laid down with, and when
//! it is done. Shared by `refine` and `data convert`; decides nothing about shards.

use super::{
    args::{self, FitWord, FormatWord, LayoutWord, Written},
    failure::{Exit, Failure},
    outcome::{here, pasted},
    refiner::Trained,
    render::{counted, grouped, say},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use sumac_common::{
    piecework::Piecework,
    refinement::{Format, How, Layout, Refinement, WORK, What},
    spec::{Device, ImageShape, Resize, Workers},
};
use sumac_data::{
    refined::{self, Input},
    source::{Kind, Roll},
    storage::{absolute, is_remote},
};
use tokio::task::spawn_blocking;

/// In the folder of work in progress: the state of a coordinator of its own.
const STATE: &str = "state";
/// Above so many images a folder is written as tars, if nothing else is said.
const MIRRORED_MAX: u64 = 100_000;
/// Shards of a small data set: enough for workers to share. And images in a shard, within these.
const SHARDS_AT_LEAST: u64 = 64;
const SHARD_IMAGES: (u64, u64) = (16, 4_096);

/// What is to be written where.
pub(super) struct Plan<'a> {
    pub source: &'a Path,
    pub destination: &'a Path,
    pub written: &'a Written,
    /// `None`: images are converted only.
    pub refiner: Option<&'a Trained>,
    pub image: ImageShape,
    pub fit: Option<Resize>,
    pub name: Option<&'a str>,
    pub workers: Option<u32>,
}

/// What is to be done about a plan.
pub(super) enum Laid {
    /// Nothing: it was only to be said, or it is done already.
    Nothing,
    ToDo(Box<Refinement>),
}

impl Plan<'_> {
    /// Looks at both ends, freezes the input, and lays the order and the refiner into the destination, which from then on holds all
    /// that is needed to go on.
    pub(super) async fn lay_down(self) -> Result<Laid, Failure> {
        let destination = absolute(self.destination).map_err(|error| unusable(self.destination, &error))?;
        let looked = {
            let source = self.source.to_owned();
            blocking(move || Roll::look(&source)).await?.map_err(|error| Failure::of(Exit::Failed, &error))?
        };
        let (all, count) = (looked.source(), looked.samples());
        apart(all.root(), self.source, &destination)?;
        let (layout, format) = (self.layout(all.kind(), count), format(self.written.format));
        refined::check(all, layout, format, self.fit.map(|_| self.image))
            .map_err(|error| Failure::of(Exit::Usage, &error))?;
        let shard_samples = self.shard_samples(count);
        let images = counted(count, "image");
        say("source", format!("{}   {images}", here(self.source).display()));
        if let Some(trained) = self.refiner {
            let weights = trained.as_submitted().weights;
            say("refiner", format!("{} at step {}   {}", trained.run, grouped(trained.step), weights.short()));
        }
        if self.written.dry_run {
            let shards = format!("{}, in shards of {}", word(layout), grouped(shard_samples.into()));
            say("into", format!("{}   {shards}", destination.display()));
            return Ok(Laid::Nothing);
        }

        vacant(&destination)?;
        let frozen = {
            let work = destination.join(WORK);
            blocking(move || Input::freeze(looked, shard_samples, &work)).await?
        };
        let frozen = frozen.map_err(|error| Failure::of(Exit::Failed, &error))?;
        let refinement = Refinement {
            name: job_name(self.name, &destination, "refined"),
            what: What {
                input: frozen.digest,
                samples: frozen.samples,
                shard_samples,
                refiner: self.refiner.map(Trained::as_submitted),
                image: self.image,
                fit: self.fit,
                layout,
                format,
                max_bad: self.written.max_bad,
            },
            how: How {
                source: absolute(self.source).map_err(|error| unusable(self.source, &error))?,
                destination: destination.clone(),
                workers: Workers { min: 1, max: self.workers.unwrap_or(u32::MAX), device: Device::Auto },
            },
        };
        if is_done(&refinement)? {
            say("finished", format!("{} holds this very data set: nothing to do", here(&destination).display()));
            say("check", format!("sumac verify {} --source {}", pasted(&destination), pasted(self.source)));
            return Ok(Laid::Nothing);
        }
        let file = self.refiner.map(|trained| &trained.file[..]);
        refined::lay_down(&refinement, file).map_err(|error| Failure::of(Exit::Failed, &error))?;
        Ok(Laid::ToDo(Box::new(refinement)))
    }

    fn layout(&self, kind: Kind, images: u64) -> Layout {
        match self.written.layout {
            Some(LayoutWord::Mirror) => Layout::Mirror,
            Some(LayoutWord::Shards) => Layout::Shards,
            // However many images these hold, they are no more files than they were.
            None if kind == Kind::Parquet => Layout::Mirror,
            None if matches!(kind, Kind::Tar | Kind::Hdf5) || images > MIRRORED_MAX => Layout::Shards,
            None => Layout::Mirror,
        }
    }

    /// Follows from the number of images alone, so that the same command makes the same shards.
    fn shard_samples(&self, images: u64) -> u32 {
        let by_number = (images / SHARDS_AT_LEAST).clamp(SHARD_IMAGES.0, SHARD_IMAGES.1);
        self.written.shard_images.unwrap_or(u32::try_from(by_number).unwrap_or(u32::MAX))
    }
}

/// The one that was given, or the destination's own, made fit for a job.
pub(super) fn job_name(given: Option<&str>, destination: &Path, otherwise: &str) -> String {
    let given = given.map(str::to_owned);
    let given = given.or_else(|| Some(destination.file_name()?.to_string_lossy().into_owned()));
    let fit = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let name: String = given.unwrap_or_default().chars().map(fit).take(30).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { otherwise.to_owned() } else { name.to_owned() }
}

pub(super) fn word(layout: Layout) -> &'static str {
    match layout {
        Layout::Mirror => "the same tree and names",
        Layout::Shards => "WebDataset tars",
    }
}

fn format(word: FormatWord) -> Format {
    match word {
        FormatWord::Same => Format::Same,
        FormatWord::Png => Format::Png,
    }
}

pub(super) fn fit(word: FitWord) -> Resize {
    match word {
        FitWord::Area => Resize::Area,
        FitWord::Crop => Resize::Crop,
        FitWord::Exact => Resize::Exact,
    }
}

pub(super) fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot use {}", path.display())).because(Some(error))
}

/// Neither lies in the other: what is written would be read, or what is read overwritten.
pub(super) fn apart(root: &Path, named: &Path, destination: &Path) -> Result<(), Failure> {
    if is_remote(root) != is_remote(destination) {
        return Ok(());
    }
    let from = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let into = canonical(destination);
    if into.starts_with(&from) || from.starts_with(&into) {
        let what = format!("{} and {} lie in each other", named.display(), destination.display());
        return Err(Failure::new(Exit::Usage, what).hint("name a folder beside the data set, not in it or above it"));
    }
    Ok(())
}

/// Of what need not be there yet: its nearest parent that is, and the rest.
fn canonical(path: &Path) -> PathBuf {
    if is_remote(path) {
        return path.to_owned();
    }
    match (fs::canonicalize(path), path.parent(), path.file_name()) {
        (Ok(whole), ..) => whole,
        (Err(_), Some(parent), Some(name)) => canonical(parent).join(name),
        (Err(_), ..) => path.to_owned(),
    }
}

fn vacant(destination: &Path) -> Result<(), Failure> {
    if !refined::is_free(destination).map_err(|error| Failure::of(Exit::Failed, &error))? {
        let what = format!("{} is not empty, and nothing that sumac writes", destination.display());
        return Err(Failure::new(Exit::Usage, what).hint("name a new or an empty folder"));
    }
    Ok(())
}

/// Whether the destination is sealed, and of this refinement.
fn is_done(refinement: &Refinement) -> Result<bool, Failure> {
    let destination = &refinement.how.destination;
    match refined::sealed(destination).map_err(|error| Failure::of(Exit::Failed, &error))? {
        None => Ok(false),
        Some(sealed) if sealed.is_of(refinement) => {
            tidy(refinement)?;
            Ok(true)
        }
        Some(_) => {
            tidy(refinement)?;
            let what = format!("{} holds another data set, and is finished", destination.display());
            Err(Failure::new(Exit::Failed, what).hint("name another folder, or remove this one"))
        }
    }
}

/// What a finished data set needs no more.
pub(super) fn tidy(refinement: &Refinement) -> Result<(), Failure> {
    forget_state(&Piecework::Refine(Box::new(refinement.clone())))?;
    refined::clear_away(&refinement.how.destination).map_err(|error| Failure::of(Exit::Failed, &error))
}

/// Of a coordinator of its own, which is gone.
pub(super) fn forget_state(work: &Piecework) -> Result<(), Failure> {
    let state = state(work);
    match fs::remove_dir_all(&state) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(&state, &error)),
        _ => Ok(()),
    }
}

/// Of a coordinator of its own: with the work, or below this folder where the work lies in a bucket.
pub(super) fn state(work: &Piecework) -> PathBuf {
    let folder = work.work();
    match is_remote(&folder) {
        true => Path::new(args::STATE).join(format!("{STATE}-{}", work.identity().short())),
        false => folder.join(STATE),
    }
}

pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    spawn_blocking(work).await.map_err(|broke| {
        Failure::new(Exit::Failed, "reading the data broke down: this is a bug of sumac").because(Some(&broke))
    })
}
