//! What a run leaves in `output.dir`: curves, pictures, weights, figures.
//!
//! Written by rank 0. `metrics.jsonl` is a pure function of the run like everything else: it holds no time. It refuses to know
//! when a step is committed and whether others agree.

use crate::{
    board::Board,
    durable::{self, DiskError},
    learner::{Images, LearnError, Learner},
    pantry::{Groceries, PantryError},
    state::State,
};
use plotters::prelude::*;
use serde::Serialize;
use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
};
use sumac_common::{
    ids::Step,
    metrics::{self, Row},
    spec::{ImageShape, Spec},
};
use sumac_data::{
    captions::{self, Captions},
    grid_png,
};
use tracing::warn;

#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Learner(#[from] LearnError),
    #[error(transparent)]
    Pantry(#[from] PantryError),
    #[error("cannot draw {what}: {why}")]
    Drawing { what: &'static str, why: String },
    #[error("cannot write {what} as JSON: {source}")]
    Json { what: &'static str, source: serde_json::Error },
}

/// `metrics.jsonl`, and the last rows in memory: every member has them, so that whoever becomes rank 0 can fill in what its
/// predecessor did not live to write.
pub struct Metrics {
    path: PathBuf,
    /// As they are written: a number that is read and written again need not be the same text.
    recent: VecDeque<(Step, Vec<u8>)>,
    file: Option<File>,
    /// The same for TensorBoard, with the job's text for it. For people: where it cannot be written the run goes on without.
    board: Option<Board>,
    job: String,
}

/// More than any rank 0 can be behind.
const RECENT: usize = 64;

impl Metrics {
    /// `job`: its text.
    #[must_use]
    pub fn of(output: &Path, job: &str) -> Self {
        let (path, job) = (output.join(metrics::FILE), job.to_owned());
        Self { path, recent: VecDeque::new(), file: None, board: None, job }
    }

    fn disk(&self, attempt: &'static str) -> impl FnOnce(io::Error) -> OutputError {
        let path = self.path.clone();
        move |source| DiskError { attempt, path, source }.into()
    }

    /// A generation begins at `step`: rows from there on will be written again, missing ones before it are filled in. Gives
    /// how many were there already and will be written again.
    pub fn begin(&mut self, step: Step, writer: bool) -> Result<u64, OutputError> {
        self.recent.retain(|(known, _)| *known < step);
        self.file = None;
        self.board = None;
        if !writer {
            return Ok(0);
        }
        let (mut text, mut last, mut again) = (Vec::new(), None, 0);
        for (row, line) in self.lines()? {
            if row.step >= step {
                again += 1;
                continue;
            }
            text.extend(line.as_bytes());
            text.push(b'\n');
            last = Some(row.step);
        }
        let unwritten = self.recent.iter().filter(|(known, _)| last.is_none_or(|last| *known > last));
        let unwritten: Vec<&[u8]> = unwritten.map(|(_, line)| line.as_slice()).collect();
        unwritten.iter().for_each(|line| text.extend(*line));
        let filled_in: Vec<Row> = unwritten.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect();
        write(&self.path, &text)?;
        let from = filled_in.first().map_or(step, |row| row.step);
        self.begin_board(|output, job| Board::begin(output, from, job));
        for row in &filled_in {
            self.show(|board| board.figures(row));
        }
        self.file = Some(OpenOptions::new().append(true).open(&self.path).map_err(self.disk("open"))?);
        Ok(again)
    }

    pub fn push(&mut self, row: Row) -> Result<(), OutputError> {
        let mut line = Vec::new();
        push_line(&row, &mut line)?;
        if let Some(file) = &mut self.file {
            let put = file.write_all(&line);
            put.map_err(self.disk("write"))?;
        }
        self.show(|board| board.figures(&row));
        self.recent.push_back((row.step, line));
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        Ok(())
    }

    /// The pictures of a step, where this member writes.
    pub fn picture(&mut self, step: Step, png: &[u8]) {
        self.show(|board| board.picture(step, "samples", png));
    }

    fn begin_board(&mut self, begin: impl FnOnce(&Path, &str) -> io::Result<Board>) {
        let output = self.path.parent().unwrap_or(Path::new(""));
        match begin(output, &self.job) {
            Ok(board) => self.board = Some(board),
            Err(error) => warn!(%error, "no event files for TensorBoard can be written"),
        }
    }

    fn show(&mut self, put: impl FnOnce(&mut Board) -> io::Result<()>) {
        if let Some(board) = &mut self.board
            && let Err(error) = put(board)
        {
            warn!(%error, "TensorBoard will see no more of this generation");
            self.board = None;
        }
    }

    /// The last rows, for those who take over this member's state.
    #[must_use]
    pub fn recent(&self) -> Vec<u8> {
        self.recent.iter().flat_map(|(_, line)| line).copied().collect()
    }

    /// The last rows of whoever this member's state is from: it did not see all of these steps itself, and may be the one who
    /// has to write them. `None` if they are no rows.
    pub fn take_over(&mut self, recent: &[u8]) -> Option<()> {
        let rows = recent.split_inclusive(|byte| *byte == b'\n').map(|line| {
            let row: Row = serde_json::from_slice(line).ok()?;
            Some((row.step, line.to_vec()))
        });
        self.recent = rows.collect::<Option<_>>()?;
        Some(())
    }

    /// The rows on disk. A last line that was cut off in the writing is not there.
    pub fn read(&self) -> Result<Vec<Row>, OutputError> {
        Ok(self.lines()?.into_iter().map(|(row, _)| row).collect())
    }

    fn lines(&self) -> Result<Vec<(Row, String)>, OutputError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(self.disk("read")(error)),
        };
        let mut rows = Vec::new();
        for line in BufReader::new(file).lines() {
            let line = line.map_err(self.disk("read"))?;
            match serde_json::from_str(&line) {
                Ok(row) => rows.push((row, line)),
                Err(_) => break,
            }
        }
        Ok(rows)
    }
}

fn push_line(row: &Row, text: &mut Vec<u8>) -> Result<(), OutputError> {
    serde_json::to_writer(&mut *text, row)
        .map_err(|source| OutputError::Json { what: "a row of metrics.jsonl", source })?;
    text.push(b'\n');
    Ok(())
}

/// `summary.json`: what the run was, what came out, how it went.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub name: String,
    pub steps: u64,
    pub updates: Updates,
    pub refiner_sha256: String,
    pub discriminator_sha256: String,
    pub state_sha256: String,
    pub trace_sha256: String,
    pub history: HistoryFigures,
    pub steps_redone: u64,
    pub steps_skipped: u64,
    pub exact: bool,
    pub fingerprint: sumac_common::conversation::Fingerprint,
    pub threads: u32,
    /// Given or calibrated.
    pub lambda: Option<f64>,
    pub spec_sha256: String,
    pub data_sha256: String,
    /// Through this member's last generation, all workers together.
    pub images_per_second: f64,
    pub workers_seen: u64,
    pub generations: u64,
    /// What was out of balance at the end, in words.
    pub imbalance: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Updates {
    pub pretrain_refiner: u64,
    pub pretrain_discriminator: u64,
    pub refiner: u64,
    pub discriminator: u64,
}

/// Images, all lanes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HistoryFigures {
    pub capacity: u64,
    pub offered: u64,
    pub drawn: u64,
    pub replaced: u64,
}

/// All of the file or nothing. Only rank 0 writes outputs, one at a time.
fn write(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    durable::write(path, "part", bytes)
}

/// Pictures in a row of `grid.png`.
const SHOWN: u64 = 12;

/// Writes everything but the summary; gives the exported files' names and hashes.
pub fn leave<L: Learner>(
    spec: &Spec,
    state: &State<L>,
    samples: &Groceries,
    metrics: &Metrics,
) -> Result<Vec<(&'static str, sumac_common::ids::Digest)>, OutputError> {
    let output = &spec.how.output.dir;
    let mut hashes = Vec::new();
    for (file, bytes) in state.learner.export()? {
        hashes.push((file, sumac_common::ids::Digest::of(&bytes)));
        write(&output.join(file), &bytes)?;
    }
    grid(spec, state, samples, &output.join("grid.png"))?;
    let rows = metrics.read()?;
    write(&output.join("losses.svg"), curves(&rows)?.as_bytes())?;
    write(&output.join("spec.toml"), spec.to_toml().as_bytes())?;
    Ok(hashes)
}

/// How many images `samples` should hold for a grid.
#[must_use]
pub fn shown() -> u64 {
    SHOWN
}

/// synthetic | refined | real, side by side: a PNG, which it gives back.
pub fn grid<L: Learner>(
    spec: &Spec,
    state: &State<L>,
    samples: &Groceries,
    path: &Path,
) -> Result<Vec<u8>, OutputError> {
    let refined: Images = state.learner.refine(&samples.synthetic)?;
    let shape = spec.what.data.image;
    let shown = ImageShape { channels: if shape.channels == 3 { 3 } else { 1 }, ..shape };
    // What is neither grey nor colour is shown by its first channel.
    let visible = |images: &Images| -> Vec<f32> {
        images.pixels.chunks_exact(shape.len()).flat_map(|image| &image[..shown.len()]).copied().collect()
    };
    let columns = [&samples.synthetic, &refined, &samples.real].map(visible);
    let png = grid_png(shown, &columns.each_ref().map(Vec::as_slice))
        .map_err(|why| OutputError::Drawing { what: "grid.png", why: why.to_string() })?;
    write(path, &png)?;
    Ok(png)
}

/// `labels.json`: what the labels of the images in the pictures say. Written where it does not say so already.
pub fn labels(output: &Path, said: &Captions) -> Result<(), OutputError> {
    if said.is_empty() {
        return Ok(());
    }
    let json = serde_json::to_vec(said).map_err(|source| OutputError::Json { what: captions::FILE, source })?;
    let path = output.join(captions::FILE);
    if fs::read(&path).is_ok_and(|there| there == json) {
        return Ok(());
    }
    Ok(write(&path, &json)?)
}

pub fn summary(output: &Path, summary: &Summary) -> Result<(), OutputError> {
    let json =
        serde_json::to_vec_pretty(summary).map_err(|source| OutputError::Json { what: "summary.json", source })?;
    Ok(write(&output.join("summary.json"), &json)?)
}

pub fn make(output: &Path) -> Result<(), OutputError> {
    let made = fs::create_dir_all(output);
    Ok(made.map_err(|source| DiskError { attempt: "create", path: output.to_owned(), source })?)
}

/// Loss curves and discriminator accuracy over the steps, as SVG.
fn curves(rows: &[Row]) -> Result<String, OutputError> {
    let mut svg = String::new();
    draw_curves(rows, &mut svg).map_err(|why| OutputError::Drawing { what: "losses.svg", why })?;
    Ok(svg)
}

type Series = (&'static str, RGBColor, fn(&Row) -> Option<f64>);

const LOSSES: [Series; 4] = [
    ("refiner", RGBColor(31, 119, 180), |row| row.refiner),
    ("realism", RGBColor(23, 190, 207), |row| row.realism),
    ("regularisation", RGBColor(148, 103, 189), |row| row.regularisation),
    ("discriminator", RGBColor(214, 39, 40), |row| row.discriminator),
];

const ACCURACIES: [Series; 2] = [
    ("right on refined", RGBColor(255, 127, 14), |row| row.accuracy_on_refined),
    ("right on real", RGBColor(44, 160, 44), |row| row.accuracy_on_real),
];

fn draw_curves(rows: &[Row], svg: &mut String) -> Result<(), String> {
    let area = SVGBackend::with_string(svg, (960, 640)).into_drawing_area();
    area.fill(&WHITE).map_err(|error| error.to_string())?;
    let (above, below) = area.split_vertically(400);
    let top = rows.iter().flat_map(|row| LOSSES.map(|(_, _, of)| of(row))).flatten().filter(|v| v.is_finite());
    let top = top.fold(0.1, f64::max).min(10.0);
    panel(&above, "losses", rows, &LOSSES, top)?;
    panel(&below, "discriminator accuracy", rows, &ACCURACIES, 1.0)?;
    area.present().map_err(|error| error.to_string())
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    title: &str,
    rows: &[Row],
    series: &[Series],
    top: f64,
) -> Result<(), String> {
    let end = rows.last().map_or(1, |row| row.step.0.max(1)) as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..end, 0.0..top * 1.05)
        .map_err(|error| error.to_string())?;
    chart.configure_mesh().x_desc("step").light_line_style(WHITE).draw().map_err(|error| error.to_string())?;
    for (name, colour, of) in series {
        let points: Vec<(f64, f64)> =
            rows.iter().filter_map(|row| Some((row.step.0 as f64, of(row)?.min(top * 1.05)))).collect();
        let colour = *colour;
        chart
            .draw_series(LineSeries::new(points, &colour))
            .map_err(|error| error.to_string())?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
    }
    let legend = chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw();
    legend.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sumac_common::{losses::Losses, schedule::Phase};

    fn row(step: u64) -> Row {
        Row::of(Step(step), Phase::Refiner, Some(step / 3), false, &Losses::default(), 0.5)
    }

    fn steps(metrics: &Metrics) -> Vec<u64> {
        metrics.read().unwrap().iter().map(|row| row.step.0).collect()
    }

    #[test]
    fn a_new_writer_fills_in_what_its_predecessor_did_not_live_to_write() {
        let folder = tempfile::tempdir().unwrap();
        let (mut first, mut second) = (Metrics::of(folder.path(), ""), Metrics::of(folder.path(), ""));
        first.begin(Step(0), true).unwrap();
        second.begin(Step(0), false).unwrap();
        for step in 0..5 {
            second.push(row(step)).unwrap();
            if step < 3 {
                first.push(row(step)).unwrap();
            }
        }
        drop(first);
        second.begin(Step(5), true).unwrap();
        second.push(row(5)).unwrap();
        assert_eq!(steps(&second), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_row_that_neither_the_dead_writer_nor_its_successor_saw_comes_with_the_state() {
        let folder = tempfile::tempdir().unwrap();
        let [mut dead, mut behind, mut donor] = [(); 3].map(|()| Metrics::of(folder.path(), ""));
        dead.begin(Step(0), true).unwrap();
        for step in 0..5 {
            donor.push(row(step)).unwrap();
            if step < 4 {
                behind.push(row(step)).unwrap();
                dead.push(row(step)).unwrap();
            }
        }
        drop(dead);
        behind.take_over(&donor.recent()).unwrap();
        behind.begin(Step(5), true).unwrap();
        assert_eq!(steps(&behind), [0, 1, 2, 3, 4]);
        assert_eq!(behind.take_over(b"no row\n"), None);
    }

    #[test]
    fn what_stands_in_the_file_is_not_written_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let mut metrics = Metrics::of(folder.path(), "");
        // A number that serde_json reads one bit off.
        let line = r#"{"step":0,"phase":"refiner","regularisation":0.0009704375075040045}"#;
        fs::write(&metrics.path, format!("{line}\n")).unwrap();
        metrics.begin(Step(1), true).unwrap();
        assert_eq!(fs::read_to_string(&metrics.path).unwrap().trim_end(), line);
    }

    #[test]
    fn after_a_rollback_steps_stand_in_the_file_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut metrics = Metrics::of(folder.path(), "");
        metrics.begin(Step(0), true).unwrap();
        (0..6).for_each(|step| metrics.push(row(step)).unwrap());
        assert_eq!(metrics.begin(Step(4), true).unwrap(), 2);
        (4..7).for_each(|step| metrics.push(row(step)).unwrap());
        assert_eq!(steps(&metrics), [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn labels_are_written_for_those_who_show_the_pictures_and_only_where_there_are_any() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(captions::FILE);
        labels(folder.path(), &Captions::default()).unwrap();
        assert!(!path.exists());
        let fields = vec![("class".to_owned(), "4".to_owned())];
        let caption = captions::Caption { key: "4/1.png".to_owned(), size: (28, 28), fields };
        let said = Captions { images: vec![caption] };
        labels(folder.path(), &said).unwrap();
        assert_eq!(serde_json::from_slice::<Captions>(&fs::read(path).unwrap()).unwrap(), said);
    }

    #[test]
    fn curves_are_drawn_even_of_a_run_without_steps() {
        assert!(curves(&[]).unwrap().starts_with("<svg"));
        assert!(curves(&[row(0), row(1)]).unwrap().contains("realism"));
    }
}
