//! Drawn data sets: flat renders with labels, and the same kind of scene seen by a camera nobody knows, without.
//!
//! For a first run without any data, and for tests with a known truth. The same seed gives the same bytes. What a picture
//! shows is in `eyes` and `digits`, what a camera does to it in `camera`; this file knows the folders.

mod camera;
mod canvas;
mod dice;
mod digits;
mod eyes;

use canvas::Canvas;
use dice::Dice;
use rayon::prelude::*;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where a drawn pair of data sets lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Labelled: sidecars (eyes) or class folders (digits).
    pub synthetic: PathBuf,
    /// Not labelled.
    pub real: PathBuf,
    /// The labels of the real images, outside their folder: for evaluation only.
    pub real_labels: PathBuf,
    /// False where exactly this was there already.
    pub is_new: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("`{}` holds something that was not drawn by sumac: choose an empty folder", path.display())]
    InTheWay { path: PathBuf },
    #[error("`{}` holds another drawing ({there}) than the one asked for ({asked}): choose another folder, or remove this one", path.display())]
    Another {
        path: PathBuf,
        /// What is drawn there: how many of what, and from which seed.
        there: String,
        asked: String,
    },
    #[error("the demo could not be drawn into `{}`: make room there, or choose another folder", path.display())]
    Unwritable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// A drawing with the files that belong to it.
struct Sheet {
    /// Relative to the data set, without ending.
    name: String,
    canvas: Canvas,
    sidecar: Option<String>,
    /// The fields of the label, as a csv row has them.
    row: String,
}

/// What one kind of demo draws.
struct Subject {
    /// One of what it draws.
    one: &'static str,
    /// Columns of the labels, after `file`.
    columns: &'static str,
    synthetic: fn(at: usize, &mut Dice) -> Sheet,
    real: fn(at: usize, &mut Dice) -> Sheet,
}

/// `count` eyes of 55x35 pixels, grey, twice: `synthetic/000000.png` with `000000.json` (pupil, gaze, eyelids) beside it, and
/// `real/`. Draws nothing if exactly this is there already, and refuses where another drawing is.
pub fn draw_eyes(dir: &Path, count: usize, seed: u64) -> Result<Drawn, DemoError> {
    draw(&eyes::SUBJECT, dir, count, seed)
}

/// `count` digits of 28x28 pixels, grey, twice: `synthetic/<digit>/000000.png`, and `real/`. Draws nothing if exactly this is
/// there already, and refuses where another drawing is.
pub fn draw_digits(dir: &Path, count: usize, seed: u64) -> Result<Drawn, DemoError> {
    draw(&digits::SUBJECT, dir, count, seed)
}

fn draw(subject: &Subject, dir: &Path, count: usize, seed: u64) -> Result<Drawn, DemoError> {
    let unwritable = |source| DemoError::Unwritable { path: dir.to_owned(), source };
    let drawn = Drawn {
        synthetic: dir.join("synthetic"),
        real: dir.join("real"),
        real_labels: dir.join("real-labels.csv"),
        is_new: true,
    };
    let asked = caption(subject, count, seed);
    let (readme, underway) = (dir.join("README.txt"), dir.join(".drawing"));
    let is_there = [&drawn.synthetic, &drawn.real, &drawn.real_labels].map(|path| path.exists());
    // What an interrupted drawing left is nobody's; everything else that lies there is kept.
    if !underway.exists() {
        let found = fs::read_to_string(&readme).unwrap_or_default();
        match caption_of(&found) {
            Some(there) if there != asked => {
                return Err(DemoError::Another { path: dir.to_owned(), there: there.to_owned(), asked });
            }
            Some(_) if is_there == [true; 3] => return Ok(Drawn { is_new: false, ..drawn }),
            None if is_there != [false; 3] || readme.exists() => {
                return Err(DemoError::InTheWay { path: dir.to_owned() });
            }
            _ => {}
        }
    }
    let all = || -> io::Result<()> {
        fs::create_dir_all(dir)?;
        fs::write(&underway, "")?;
        for folder in [&drawn.synthetic, &drawn.real] {
            if folder.exists() {
                fs::remove_dir_all(folder)?;
            }
            fs::create_dir_all(folder)?;
        }
        let draw_one = |draw: fn(usize, &mut Dice) -> Sheet, world: u64, folder: &Path, at: usize| {
            let sheet = draw(at, &mut Dice::new(seed, world, at as u64));
            sheet.write(folder).map(|()| sheet.row())
        };
        let synthetic = |at| draw_one(subject.synthetic, 0, &drawn.synthetic, at);
        let real = |at| draw_one(subject.real, 1, &drawn.real, at);
        (0..count).into_par_iter().try_for_each(|at| synthetic(at).map(drop))?;
        let rows: Vec<String> = (0..count).into_par_iter().map(real).collect::<io::Result<_>>()?;
        fs::write(&drawn.real_labels, format!("file,{}\n{}", subject.columns, rows.concat()))?;
        fs::write(&readme, about(&asked))?;
        fs::remove_file(&underway)
    };
    all().map_err(unwritable)?;
    Ok(drawn)
}

const TITLE: &str = "Drawn by sumac";

/// What tells one drawing from another.
fn caption(subject: &Subject, count: usize, seed: u64) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {}{s}, seed {seed}", subject.one)
}

/// The caption of a drawing, from what lies beside it.
fn caption_of(readme: &str) -> Option<&str> {
    readme.strip_prefix(TITLE)?.strip_prefix(": ")?.split_once(". ").map(|(caption, _)| caption)
}

fn about(caption: &str) -> String {
    format!(
        "{TITLE}: {caption}. The same seed draws the same bytes.\n\n\
         synthetic/       flat renders with labels: what a simulator gives\n\
         real/            the same kind of scene, other poses, seen by another camera: what the world gives; no labels\n\
         real-labels.csv  the labels of real/. For evaluation only: a refiner that was trained with them proves nothing\n"
    )
}

impl Sheet {
    fn write(&self, folder: &Path) -> io::Result<()> {
        let path = folder.join(format!("{}.png", self.name));
        if self.name.contains('/') {
            fs::create_dir_all(path.parent().unwrap_or(folder))?;
        }
        fs::write(&path, self.canvas.png())?;
        match &self.sidecar {
            Some(text) => fs::write(path.with_extension("json"), text),
            None => Ok(()),
        }
    }

    fn row(&self) -> String {
        format!("{}.png,{}\n", self.name, self.row)
    }
}
