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
}

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("`{}` holds something that was not drawn by sumac: choose an empty folder", path.display())]
    InTheWay { path: PathBuf },
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
    title: &'static str,
    /// Columns of the labels, after `file`.
    columns: &'static str,
    synthetic: fn(at: usize, &mut Dice) -> Sheet,
    real: fn(at: usize, &mut Dice) -> Sheet,
}

/// `count` eyes of 55x35 pixels, grey, twice: `synthetic/000000.png` with `000000.json` (pupil, gaze, eyelids) beside it, and
/// `real/`. Draws nothing if exactly this is there already.
pub fn draw_eyes(dir: &Path, count: usize, seed: u64) -> Result<Drawn, DemoError> {
    draw(&eyes::SUBJECT, dir, count, seed)
}

/// `count` digits of 28x28 pixels, grey, twice: `synthetic/<digit>/000000.png`, and `real/`. Draws nothing if exactly this is
/// there already.
pub fn draw_digits(dir: &Path, count: usize, seed: u64) -> Result<Drawn, DemoError> {
    draw(&digits::SUBJECT, dir, count, seed)
}

fn draw(subject: &Subject, dir: &Path, count: usize, seed: u64) -> Result<Drawn, DemoError> {
    let unwritable = |source| DemoError::Unwritable { path: dir.to_owned(), source };
    let drawn =
        Drawn { synthetic: dir.join("synthetic"), real: dir.join("real"), real_labels: dir.join("real-labels.csv") };
    let about = about(subject, count, seed);
    let (readme, underway) = (dir.join("README.txt"), dir.join(".drawing"));
    let found = fs::read_to_string(&readme).unwrap_or_default();
    if found == about && !underway.exists() {
        return Ok(drawn);
    }
    // Whatever else lies there is touched only if an earlier drawing, finished or not, made it.
    let ours = underway.exists() || found.starts_with(TITLE);
    if !ours && (drawn.synthetic.exists() || drawn.real.exists() || drawn.real_labels.exists() || readme.exists()) {
        return Err(DemoError::InTheWay { path: dir.to_owned() });
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
        fs::write(&readme, &about)?;
        fs::remove_file(&underway)
    };
    all().map_err(unwritable)?;
    Ok(drawn)
}

const TITLE: &str = "Drawn by sumac";

fn about(subject: &Subject, count: usize, seed: u64) -> String {
    format!(
        "{TITLE}: {count} {}, seed {seed}. The same seed draws the same bytes.\n\n\
         synthetic/       flat renders with labels: what a simulator gives\n\
         real/            the same kind of scene, other poses, seen by another camera: what the world gives; no labels\n\
         real-labels.csv  the labels of real/. For evaluation only: a refiner that was trained with them proves nothing\n",
        subject.title
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
