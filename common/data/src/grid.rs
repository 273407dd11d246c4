//! Images side by side as one PNG: one column per kind (synthetic, refined, real), one row per image.
//!
//! Knows nothing of what the columns mean.

use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use sumac_common::spec::ImageShape;

/// Pixels between two images, and around all of them.
const GAP: usize = 2;
/// Wider between two columns of images, so that kinds are told apart.
const COLUMN_GAP: usize = 6;
const GAP_TONE: u8 = 32;
/// Small images are scaled up, by whole numbers, until they are about this many pixels high.
const HEIGHT_WANTED: usize = 96;
const SCALE_MAX: usize = 4;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum GridError {
    #[error("column {column} has {values} values, which is no whole number of images of {image} values")]
    Values { column: usize, values: usize, image: usize },
    #[error("images of {channels} channels cannot be shown: 1 and 3 can")]
    Channels { channels: u32 },
    #[error("there are no images to show")]
    Empty,
}

/// Where the images of a grid lie, in pixels of the PNG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// By so much each pixel is larger than in its image.
    pub scale: usize,
    pub width: usize,
    pub height: usize,
    cell: (usize, usize),
}

impl Sheet {
    #[must_use]
    pub fn of(shape: ImageShape, columns: usize, rows: usize) -> Self {
        let (width, height) = (shape.width as usize, shape.height as usize);
        let scale = (HEIGHT_WANTED / height.max(1)).clamp(1, SCALE_MAX);
        let cell = (width * scale, height * scale);
        Self {
            scale,
            width: columns * cell.0 + columns.saturating_sub(1) * COLUMN_GAP + 2 * GAP,
            height: rows * (cell.1 + GAP) + GAP,
            cell,
        }
    }

    /// The left and the top of an image.
    #[must_use]
    pub fn corner(&self, column: usize, row: usize) -> (usize, usize) {
        (GAP + column * (self.cell.0 + COLUMN_GAP), GAP + row * (self.cell.1 + GAP))
    }
}

/// Each column is `[n, channels, height, width]` in [-1, 1]; columns may differ in n, what is missing stays blank.
pub fn grid_png(shape: ImageShape, columns: &[&[f32]]) -> Result<Vec<u8>, GridError> {
    let (width, height, channels) = (shape.width as usize, shape.height as usize, shape.channels as usize);
    let image = shape.len();
    if !matches!(channels, 1 | 3) {
        return Err(GridError::Channels { channels: shape.channels });
    }
    let whole = |values: usize| image > 0 && values.is_multiple_of(image);
    if let Some((column, values)) = columns.iter().map(|values| values.len()).enumerate().find(|(_, n)| !whole(*n)) {
        return Err(GridError::Values { column, values, image });
    }
    let rows =
        columns.iter().map(|values| values.len() / image).max().filter(|&rows| rows > 0).ok_or(GridError::Empty)?;

    let sheet = Sheet::of(shape, columns.len(), rows);
    let Sheet { scale, width: full_width, height: full_height, .. } = sheet;
    let (cell_width, cell_height) = (width * scale, height * scale);
    let mut pixels_there = vec![GAP_TONE; full_width * full_height * channels];
    for (column, values) in columns.iter().enumerate() {
        for (row, pixels) in values.chunks_exact(image).enumerate() {
            let (left, top) = sheet.corner(column, row);
            for y in 0..cell_height {
                for x in 0..cell_width {
                    for channel in 0..channels {
                        let value = pixels[(channel * height + y / scale) * width + x / scale];
                        pixels_there[((top + y) * full_width + left + x) * channels + channel] = tone(value);
                    }
                }
            }
        }
    }
    let colour = if channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let mut png = Vec::new();
    PngEncoder::new(&mut png)
        .write_image(&pixels_there, full_width as u32, full_height as u32, colour)
        .expect("the sheet has as many values as pixels, and memory takes any bytes");
    Ok(png)
}

/// [-1, 1] to 0..=255; what is no number at all is black.
fn tone(value: f32) -> u8 {
    ((value + 1.0) * 127.5).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 2, width: 3 };

    #[test]
    fn columns_stand_side_by_side_with_separators() {
        let (black, white) = (vec![-1.0; 12], vec![1.0; 6]);
        let png = grid_png(SHAPE, &[&black, &white]).unwrap();
        let sheet = image::load_from_memory(&png).unwrap().into_luma8();
        let (cell_width, cell_height) = (12, 8);
        assert_eq!(sheet.dimensions(), (2 * cell_width + 6 + 4, 2 * (cell_height + 2) + 2));
        assert_eq!(sheet.get_pixel(2, 2).0, [0]);
        assert_eq!(sheet.get_pixel(2 + cell_width, 2).0, [GAP_TONE]);
        assert_eq!(sheet.get_pixel(2 + cell_width + 6, 2).0, [255]);
        assert_eq!(
            sheet.get_pixel(2 + cell_width + 6, 2 + cell_height + 2).0,
            [GAP_TONE],
            "a missing image stays blank"
        );
    }

    #[test]
    fn a_column_of_another_size_is_refused() {
        let error = grid_png(SHAPE, &[&[0.0; 6], &[0.0; 7]]).unwrap_err();
        assert_eq!(error, GridError::Values { column: 1, values: 7, image: 6 });
    }

    #[test]
    fn no_images_are_no_picture() {
        assert_eq!(grid_png(SHAPE, &[]), Err(GridError::Empty));
        assert_eq!(grid_png(SHAPE, &[&[]]), Err(GridError::Empty));
    }
}
