//! Which sheets of samples a run has left so far, where on them its images lie, and what their labels say. Looks into no sheet.

use super::{super::render::API_VERSION, labels::LabelsView};
use serde::Serialize;
use std::{
    fs::{self, Metadata},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};
use sumac_common::spec::{ImageShape, Resize};
use sumac_data::{captions, grid::Sheet};

/// Synthetic, refined, real.
const COLUMNS: usize = 3;
/// The newest: nobody chooses among more.
const STEPS_MAX: usize = 1_000;

#[derive(Debug, Serialize)]
pub(super) struct Pictures {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    #[serde(skip)]
    output: PathBuf,
    sheet: Option<SheetView>,
    labels: Option<LabelsView>,
    /// Of their file, as it was read.
    #[serde(skip)]
    labels_stamp: Option<u64>,
    /// In order of steps, that of the run's end last.
    sheets: Vec<Left>,
}

/// In pixels of the PNG; its rows follow each other until it ends.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct SheetView {
    /// Of an image.
    width: usize,
    height: usize,
    /// Of the columns: synthetic, refined, real.
    lefts: [usize; COLUMNS],
    top: usize,
    /// From one row to the next.
    pitch: usize,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Left {
    file: String,
    /// None of the run's end.
    step: Option<u64>,
    /// Another one once it is written anew.
    stamp: u64,
}

impl Pictures {
    pub(super) fn below(output: &Path) -> Self {
        let output = output.to_owned();
        Self { api_version: API_VERSION, output, sheet: None, labels: None, labels_stamp: None, sheets: Vec::new() }
    }

    /// As it is now; images come to this shape so. Blocks.
    pub(super) fn look(mut self, image: Option<(ImageShape, Resize)>) -> Self {
        let entries = fs::read_dir(self.output.join("samples")).into_iter().flatten().filter_map(Result::ok);
        let on_the_way = entries.filter_map(|entry| {
            let file = entry.file_name().into_string().ok()?;
            let step = file.strip_prefix("step-")?.strip_suffix(".png")?.parse().ok()?;
            Some(Left { step: Some(step), stamp: stamp(&entry.metadata().ok()?)?, file })
        });
        self.sheets = on_the_way.collect();
        self.sheets.sort_by_key(|left| left.step);
        self.sheets.drain(..self.sheets.len().saturating_sub(STEPS_MAX));
        let end = fs::metadata(self.output.join("grid.png")).ok().and_then(|known| stamp(&known));
        self.sheets.extend(end.map(|stamp| Left { file: "grid.png".to_owned(), step: None, stamp }));
        self.sheet = image.map(|(shape, _)| SheetView::of(shape));
        let written = fs::metadata(self.output.join(captions::FILE)).ok().and_then(|known| stamp(&known));
        if self.labels_stamp != written {
            self.labels_stamp = written;
            self.labels = image.and_then(|(shape, resize)| LabelsView::below(&self.output, shape, resize));
        }
        self
    }
}

/// In milliseconds.
fn stamp(known: &Metadata) -> Option<u64> {
    let changed = known.is_file().then(|| known.modified().ok())??;
    u64::try_from(changed.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

impl SheetView {
    fn of(image: ImageShape) -> Self {
        let sheet = Sheet::of(image, COLUMNS, 1);
        let ((_, top), (_, below)) = (sheet.corner(0, 0), sheet.corner(0, 1));
        let [height, width] = [image.height, image.width].map(|side| side as usize * sheet.scale);
        Self { width, height, lefts: [0, 1, 2].map(|column| sheet.corner(column, 0).0), top, pitch: below - top }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sheets_are_in_order_of_steps_and_the_end_comes_last() {
        let folder = tempfile::tempdir().unwrap();
        let samples = folder.path().join("samples");
        fs::create_dir(&samples).unwrap();
        for file in ["step-000000100.png", "step-000000050.png", "step-000000100.png.part", "notes.txt"] {
            fs::write(samples.join(file), "").unwrap();
        }
        fs::write(folder.path().join("grid.png"), "").unwrap();
        let looked = Pictures::below(folder.path())
            .look(Some((ImageShape { channels: 1, height: 35, width: 55 }, Resize::Exact)));
        let steps: Vec<Option<u64>> = looked.sheets.iter().map(|left| left.step).collect();
        assert_eq!(steps, [Some(50), Some(100), None]);
        let sheet = SheetView { width: 110, height: 70, lefts: [2, 118, 234], top: 2, pitch: 72 };
        assert_eq!(looked.sheet, Some(sheet));
    }

    #[test]
    fn a_run_that_left_nothing_has_no_sheets() {
        let folder = tempfile::tempdir().unwrap();
        let looked = Pictures::below(&folder.path().join("nowhere")).look(None);
        assert!(looked.sheets.is_empty() && looked.sheet.is_none());
    }
}
