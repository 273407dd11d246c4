//! A run's losses over its steps, few enough points to draw: from `metrics.jsonl` as it grows, else from the beats that were seen.
//! Knows nothing of how they are drawn.

use super::super::{render::API_VERSION, view::LossView};
use serde::Serialize;
use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};
use sumac_common::{
    losses::Mean,
    metrics::{self, Row},
};

/// A curve has no more; when there would be more each stands for twice as many steps.
const POINTS_MAX: usize = 200;
/// Read at once; the rest with the next looks.
const READ_MAX: u64 = 4 << 20;

/// In the order of [`Point::means`].
const LINES: usize = 7;

/// Means over runs of steps that are equally long.
pub(super) struct Curves {
    source: Source,
    width: u64,
    points: Vec<Point>,
}

enum Source {
    Beats,
    File(Box<Tail>),
}

/// A file of lines that grows, and is now and then written anew.
struct Tail {
    path: PathBuf,
    /// Device and inode of what was read, and how much of it.
    known: Option<(u64, u64)>,
    read: u64,
    /// The begun last line.
    rest: Vec<u8>,
    has_more: bool,
    trouble: Option<String>,
}

#[derive(Clone, Copy, Default)]
struct Point {
    /// Its steps are those from `number * width` on.
    number: u64,
    last: u64,
    means: [Mean; LINES],
}

/// Columns of equal length.
#[derive(Serialize)]
pub(super) struct CurvesView {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    /// metrics or beats
    source: &'static str,
    /// Why it is not the metrics.
    trouble: Option<String>,
    /// Steps in a point.
    width: u64,
    step: Vec<u64>,
    refiner: Vec<Option<f64>>,
    realism: Vec<Option<f64>>,
    regularisation: Vec<Option<f64>>,
    discriminator: Vec<Option<f64>>,
    accuracy_on_real: Vec<Option<f64>>,
    accuracy_on_refined: Vec<Option<f64>>,
    change: Vec<Option<f64>>,
}

impl Curves {
    pub(super) fn of_beats() -> Self {
        Self { source: Source::Beats, width: 1, points: Vec::new() }
    }

    /// Of a run that writes there, nothing of it read yet.
    pub(super) fn below(output: &Path) -> Self {
        let path = output.join(metrics::FILE);
        let tail = Tail { path, known: None, read: 0, rest: Vec::new(), has_more: false, trouble: None };
        Self { source: Source::File(Box::new(tail)), ..Self::of_beats() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    pub(super) fn has_more(&self) -> bool {
        matches!(&self.source, Source::File(tail) if tail.has_more)
    }

    /// What a beat said.
    pub(super) fn push(&mut self, step: u64, losses: &LossView) {
        let LossView { refiner, realism, regularisation, discriminator, accuracy_on_real, accuracy_on_refined, .. } =
            *losses;
        if self.points.last().is_some_and(|last| last.last == step) {
            return;
        }
        let values = [refiner, realism, regularisation, discriminator, accuracy_on_real, accuracy_on_refined, None];
        self.add(step, values);
    }

    /// Takes in what was written since. Blocks.
    pub(super) fn read_on(mut self) -> Self {
        let Source::File(mut tail) = self.source else { return self };
        self.source = Source::Beats;
        match tail.next() {
            Ok(Written { anew, lines }) => {
                tail.trouble = None;
                if anew {
                    (self.width, self.points) = (1, Vec::new());
                }
                for row in lines.iter().filter_map(|line| serde_json::from_slice(line).ok()) {
                    self.take(&row);
                }
            }
            Err(error) => tail.trouble = Some(format!("{}: {error}", tail.path.display())),
        }
        self.source = Source::File(tail);
        self
    }

    fn take(&mut self, row: &Row) {
        let values = [
            row.refiner,
            row.realism,
            row.regularisation,
            row.discriminator,
            row.accuracy_on_real,
            row.accuracy_on_refined,
            row.change,
        ];
        self.add(row.step.0, values);
    }

    fn add(&mut self, step: u64, values: [Option<f64>; LINES]) {
        let number = step / self.width;
        // A run that went back to a checkpoint does these steps again.
        while self.points.last().is_some_and(|last| last.number > number || last.number == number && last.last > step) {
            self.points.pop();
        }
        if self.points.last().is_none_or(|last| last.number != number) {
            self.points.push(Point { number, ..Point::default() });
        }
        if let Some(point) = self.points.last_mut() {
            point.last = step;
            for (mean, value) in point.means.iter_mut().zip(values) {
                *mean =
                    *mean + value.filter(|value| value.is_finite()).map_or(Mean::default(), |value| Mean::of(value, 1));
            }
        }
        if self.points.len() > POINTS_MAX {
            self.halve();
        }
    }

    fn halve(&mut self) {
        self.width *= 2;
        let mut halved: Vec<Point> = Vec::with_capacity(POINTS_MAX);
        for point in self.points.drain(..).map(|point| Point { number: point.number / 2, ..point }) {
            match halved.last_mut().filter(|last| last.number == point.number) {
                Some(last) => {
                    last.last = point.last;
                    for (mean, other) in last.means.iter_mut().zip(point.means) {
                        *mean = *mean + other;
                    }
                }
                None => halved.push(point),
            }
        }
        self.points = halved;
    }

    pub(super) fn view(&self) -> CurvesView {
        let line = |number: usize| self.points.iter().map(|point| point.means[number].value().map(rounded)).collect();
        let (source, trouble) = match &self.source {
            Source::Beats => ("beats", None),
            Source::File(tail) => ("metrics", tail.trouble.clone()),
        };
        CurvesView {
            api_version: API_VERSION,
            source,
            trouble,
            width: self.width,
            step: self.points.iter().map(|point| point.last).collect(),
            refiner: line(0),
            realism: line(1),
            regularisation: line(2),
            discriminator: line(3),
            accuracy_on_real: line(4),
            accuracy_on_refined: line(5),
            change: line(6),
        }
    }
}

/// Five digits that count: more than any screen shows.
fn rounded(value: f64) -> f64 {
    let scale = 10_f64.powi(4 - value.abs().max(1e-9).log10().floor() as i32);
    (value * scale).round() / scale
}

struct Written {
    /// What was read before is no longer so.
    anew: bool,
    lines: Vec<Vec<u8>>,
}

impl Tail {
    fn next(&mut self) -> io::Result<Written> {
        self.has_more = false;
        let there = fs::metadata(&self.path)?;
        // Who opens a pipe waits.
        if !there.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no file"));
        }
        let mut file = File::open(&self.path)?;
        let there = file.metadata()?;
        let is = Some((there.dev(), there.ino()));
        let anew = self.known != is || there.len() < self.read;
        if anew {
            (self.known, self.read) = (is, 0);
            self.rest.clear();
        }
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = std::mem::take(&mut self.rest);
        let read = file.take(READ_MAX).read_to_end(&mut bytes)? as u64;
        self.read += read;
        self.has_more = read == READ_MAX;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.rest = bytes.split_off(whole);
        if self.rest.len() as u64 > READ_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no file of lines"));
        }
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec);
        Ok(Written { anew, lines: lines.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn line(step: u64, refiner: f64) -> String {
        format!("{{\"step\":{step},\"phase\":\"refiner\",\"refiner\":{refiner}}}\n")
    }

    #[test]
    fn a_long_run_has_few_points_and_its_true_mean() {
        let mut curves = Curves::of_beats();
        let losses = |value| LossView {
            step: 0,
            refiner: Some(value),
            realism: None,
            regularisation: None,
            discriminator: None,
            accuracy_on_real: None,
            accuracy_on_refined: None,
        };
        (0..10_000).for_each(|step| curves.push(step, &losses(step as f64)));
        let view = curves.view();
        assert!((100..=POINTS_MAX).contains(&view.step.len()), "{}", view.step.len());
        assert_eq!((view.width, view.step[0], view.refiner[0]), (64, 63, Some(31.5)));
        // It goes back to a checkpoint.
        curves.push(5_000, &losses(0.0));
        assert_eq!(curves.view().step.last(), Some(&5_000));
        assert_eq!(curves.view().realism.iter().flatten().count(), 0);
    }

    #[test]
    fn a_file_is_followed_through_torn_lines_and_new_beginnings() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(metrics::FILE);
        let curves = Curves::below(folder.path()).read_on();
        assert!(curves.is_empty() && curves.view().trouble.is_some());
        let (whole, torn) = (line(0, 0.5), line(1, 0.25));
        fs::write(&path, format!("{whole}{}", &torn[..12])).unwrap();
        let curves = curves.read_on();
        assert_eq!((curves.view().step, curves.view().trouble), (vec![0], None));
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&torn.as_bytes()[12..]).unwrap();
        let curves = curves.read_on();
        assert_eq!(curves.view().refiner, [Some(0.5), Some(0.25)]);
        let draft = folder.path().join("draft");
        fs::write(&draft, line(0, 0.75)).unwrap();
        fs::rename(draft, &path).unwrap();
        assert_eq!(curves.read_on().view().refiner, [Some(0.75)]);
    }

    #[test]
    fn a_folder_in_place_of_the_metrics_is_no_metrics() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(metrics::FILE)).unwrap();
        let curves = Curves::below(folder.path()).read_on();
        assert!(curves.view().trouble.unwrap().ends_with("it is no file"));
    }

    #[test]
    fn figures_have_as_many_digits_as_are_seen() {
        assert_eq!(
            [0.123_456_78, 123.456_78, 0.0, -0.000_012_345_67].map(rounded),
            [0.12346, 123.46, 0.0, -0.000_012_346]
        );
    }
}
