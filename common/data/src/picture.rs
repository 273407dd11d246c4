//! One decoded image, and how it becomes the shape a job wants. Keeps the bit depth it came with.
//!
//! Pure arithmetic in f64, in one fixed order: the same picture gives the same pixels on every machine.

use crate::decode::Fault;
use serde::{Deserialize, Serialize};
use sumac_common::spec::{ImageShape, Resize};

/// Pixels as decoded: `[height, width, channels]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    pub width: u32,
    pub height: u32,
    pub channels: u32,
    pub pixels: Pixels,
    /// What an image file says of how opaque each pixel is: `[height, width]`, in the depth of the pixels. It lies beside them,
    /// for training sees colour only. In a stack nothing tells what a fourth channel is: there it is one like the others.
    pub alpha: Option<Pixels>,
}

/// Values of one depth. `F32` is in 0..=1, whatever the file's own range was.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    U8(Vec<u8>),
    U16(Vec<u16>),
    F32(Vec<f32>),
}

/// How a value is stored; wider is greater, and a value survives becoming wider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    U8,
    U16,
    F32,
}

impl Depth {
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::F32 => 4,
        }
    }
}

impl Pixels {
    #[must_use]
    pub fn depth(&self) -> Depth {
        match self {
            Self::U8(_) => Depth::U8,
            Self::U16(_) => Depth::U16,
            Self::F32(_) => Depth::F32,
        }
    }

    /// Little-endian bytes at `depth`, which must be at least this depth.
    pub(crate) fn write_at(&self, depth: Depth, out: &mut Vec<u8>) {
        assert!(depth >= self.depth(), "values are only ever widened, never narrowed");
        match (self, depth) {
            (Self::U8(values), Depth::U8) => out.extend_from_slice(values),
            (Self::U8(values), Depth::U16) => {
                out.extend(values.iter().flat_map(|&v| (u16::from(v) * 257).to_le_bytes()))
            }
            (Self::U8(values), _) => out.extend(values.iter().flat_map(|&v| (f32::from(v) / 255.0).to_le_bytes())),
            (Self::U16(values), Depth::F32) => {
                out.extend(values.iter().flat_map(|&v| (f32::from(v) / 65535.0).to_le_bytes()));
            }
            (Self::U16(values), _) => out.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            (Self::F32(values), _) => out.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        }
    }
}

/// `[channels, height, width]` to `[height, width, channels]`.
fn interleaved<V: Copy>(planes: &[V], channels: u32) -> Vec<V> {
    let channels = channels as usize;
    let area = planes.len() / channels.max(1);
    (0..planes.len()).map(|at| planes[at % channels * area + at / channels]).collect()
}

/// Appends stored values to `out`, scaled from their full range to [-1, 1].
pub(crate) fn scale(bytes: &[u8], depth: Depth, out: &mut Vec<f32>) {
    match depth {
        Depth::U8 => out.extend(bytes.iter().map(|&v| f32::from(v) / 127.5 - 1.0)),
        Depth::U16 => {
            out.extend(bytes.as_chunks().0.iter().map(|&v| f32::from(u16::from_le_bytes(v)) / 32767.5 - 1.0));
        }
        Depth::F32 => out.extend(bytes.as_chunks().0.iter().map(|&v| f32::from_le_bytes(v) * 2.0 - 1.0)),
    }
}

impl Picture {
    /// Without alpha.
    #[must_use]
    pub fn opaque(width: u32, height: u32, channels: u32, pixels: Pixels) -> Self {
        Self { width, height, channels, pixels, alpha: None }
    }

    /// The pixels as `[channels, height, width]` of the wanted shape, at the picture's own depth.
    ///
    /// Colour becomes grey by Rec. 601 luma, grey becomes colour by repeating; colour is converted before size.
    pub fn fitted(&self, shape: ImageShape, resize: Resize) -> Result<Pixels, Fault> {
        let (found, wanted) = ((self.width, self.height), (shape.width, shape.height));
        match resize {
            Resize::Exact if found != wanted => return Err(Fault::Size { found, wanted }),
            Resize::Crop if self.width < shape.width || self.height < shape.height => {
                return Err(Fault::TooSmall { found, wanted });
            }
            _ => {}
        }
        Ok(match &self.pixels {
            Pixels::U8(values) => Pixels::U8(self.fit(values, shape, resize)?),
            Pixels::U16(values) => Pixels::U16(self.fit(values, shape, resize)?),
            Pixels::F32(values) => Pixels::F32(self.fit(values, shape, resize)?),
        })
    }

    /// The alpha as `[height, width]` of the wanted shape.
    fn fitted_alpha(&self, shape: ImageShape, resize: Resize) -> Result<Option<Pixels>, Fault> {
        let shape = ImageShape { channels: 1, ..shape };
        let fit = |alpha: &Pixels| Self::opaque(self.width, self.height, 1, alpha.clone()).fitted(shape, resize);
        self.alpha.as_ref().map(fit).transpose()
    }

    /// In another shape, at its own depth: [`Self::fitted`], as pixels, and its alpha as they are.
    pub fn converted(&self, shape: ImageShape, resize: Resize) -> Result<Self, Fault> {
        let ImageShape { channels, height, width } = shape;
        let pixels = match self.fitted(shape, resize)? {
            Pixels::U8(planes) => Pixels::U8(interleaved(&planes, channels)),
            Pixels::U16(planes) => Pixels::U16(interleaved(&planes, channels)),
            Pixels::F32(planes) => Pixels::F32(interleaved(&planes, channels)),
        };
        Ok(Self { width, height, channels, pixels, alpha: self.fitted_alpha(shape, resize)? })
    }

    /// `[channels, height, width]` in [-1, 1], as training sees it: at the picture's own size.
    pub fn planes_for(&self, channels: u32) -> Result<Vec<f32>, Fault> {
        self.planes_in(self.shape(channels), Resize::Exact)
    }

    /// `[channels, height, width]` of `shape` in [-1, 1], as training sees it.
    pub fn planes_in(&self, shape: ImageShape, resize: Resize) -> Result<Vec<f32>, Fault> {
        let pixels = self.fitted(shape, resize)?;
        let (mut bytes, mut planes) = (Vec::new(), Vec::with_capacity(shape.len()));
        pixels.write_at(pixels.depth(), &mut bytes);
        scale(&bytes, pixels.depth(), &mut planes);
        Ok(planes)
    }

    /// Its own size, in so many channels.
    #[must_use]
    pub fn shape(&self, channels: u32) -> ImageShape {
        ImageShape { channels, height: self.height, width: self.width }
    }

    /// `planes` of the size of `like` as a picture of its depth and channels: [`Self::from_planes_in`] its own shape.
    pub fn from_planes(planes: &[f32], like: &Self) -> Result<Self, Fault> {
        let area = like.width as usize * like.height as usize;
        Self::from_planes_in(planes, like.shape((planes.len() / area.max(1)) as u32), Resize::Exact, like)
    }

    /// [`Self::planes_in`] the other way round: refined planes, `[channels, height, width]` of `shape` in [-1, 1], as a picture
    /// of the depth and the channels of `like`: what is beyond is cut off, each value is rounded to the nearest there is.
    ///
    /// Grey becomes colour by repeating, colour becomes grey by Rec. 601 luma. Alpha is that of `like`, fitted as the pixels
    /// were; a fourth channel is that of `like` where the sizes agree, else full. An error if a value is no number, or the
    /// channels cannot become those of `like`.
    pub fn from_planes_in(planes: &[f32], shape: ImageShape, resize: Resize, like: &Self) -> Result<Self, Fault> {
        if planes.iter().any(|value| !value.is_finite()) {
            return Err(Fault::NotFinite);
        }
        let ImageShape { channels: found, height, width } = shape;
        let area = width as usize * height as usize;
        if planes.len() != shape.len() || area == 0 {
            return Err(Fault::Channels { found, wanted: like.channels });
        }
        let at =
            |channel: usize, pixel: usize| (f64::from(planes[channel * area + pixel]).clamp(-1.0, 1.0) + 1.0) / 2.0;
        let own = |pixel: usize| match &like.pixels {
            _ if (like.width, like.height) != (width, height) => 1.0,
            Pixels::U8(values) => f64::from(values[4 * pixel + 3]) / 255.0,
            Pixels::U16(values) => f64::from(values[4 * pixel + 3]) / 65535.0,
            Pixels::F32(values) => f64::from(values[4 * pixel + 3]),
        };
        // Of the value of one channel of one pixel, in 0..=1.
        let value: Box<dyn Fn(usize, usize) -> f64> = match (found, like.channels) {
            (found, wanted) if found == wanted => Box::new(at),
            (3 | 4, 1) => Box::new(move |_, pixel| luma(at(0, pixel), at(1, pixel), at(2, pixel))),
            (1 | 3, 4) => Box::new(move |channel, pixel| match channel {
                3 => own(pixel),
                _ => at(channel.min(found as usize - 1), pixel),
            }),
            (1, _) => Box::new(move |_, pixel| at(0, pixel)),
            (found, wanted) => return Err(Fault::Channels { found, wanted }),
        };
        let channels = like.channels as usize;
        let values = (0..area * channels).map(|place| value(place % channels, place / channels));
        let pixels = match like.pixels.depth() {
            Depth::U8 => Pixels::U8(values.map(|value| u8::nearest(255.0 * value)).collect()),
            Depth::U16 => Pixels::U16(values.map(|value| u16::nearest(65535.0 * value)).collect()),
            Depth::F32 => Pixels::F32(values.map(f32::nearest).collect()),
        };
        Ok(Self { width, height, channels: like.channels, pixels, alpha: like.fitted_alpha(shape, resize)? })
    }

    fn fit<V: Value>(&self, values: &[V], shape: ImageShape, resize: Resize) -> Result<Vec<V>, Fault> {
        let planes = self.planes(values, shape.channels)?;
        let (width, height) = (self.width as usize, self.height as usize);
        let (to_width, to_height) = (shape.width as usize, shape.height as usize);
        if (width, height) == (to_width, to_height) {
            return Ok(planes.concat());
        }
        let mut fitted = Vec::with_capacity(shape.len());
        if resize == Resize::Crop {
            let (left, top) = ((width - to_width) / 2, (height - to_height) / 2);
            for plane in &planes {
                for row in plane.chunks_exact(width).skip(top).take(to_height) {
                    fitted.extend_from_slice(&row[left..left + to_width]);
                }
            }
        } else {
            let (across, down) = (spans(width, to_width), spans(height, to_height));
            for plane in &planes {
                fitted.extend(averaged(plane, width, &across, &down));
            }
        }
        Ok(fitted)
    }

    /// One `[height, width]` plane per wanted channel.
    fn planes<V: Value>(&self, values: &[V], wanted: u32) -> Result<Vec<Vec<V>>, Fault> {
        let found = self.channels as usize;
        let pixels = || values.chunks_exact(found);
        let plane = |channel: usize| -> Vec<V> { pixels().map(|pixel| pixel[channel]).collect() };
        match (self.channels, wanted) {
            (found, wanted) if found == wanted => Ok((0..found as usize).map(plane).collect()),
            (3 | 4, 1) => Ok(vec![pixels().map(|pixel| luma(pixel[0], pixel[1], pixel[2])).collect()]),
            (4, 3) => Ok((0..3).map(plane).collect()),
            (1, wanted) => Ok(vec![plane(0); wanted as usize]),
            (found, wanted) => Err(Fault::Channels { found, wanted }),
        }
    }
}

/// A number that pixels are made of.
trait Value: Copy {
    fn real(self) -> f64;
    /// Rounded to the nearest value there is.
    fn nearest(real: f64) -> Self;
}

impl Value for u8 {
    fn real(self) -> f64 {
        self.into()
    }
    fn nearest(real: f64) -> Self {
        real.round() as Self
    }
}

impl Value for u16 {
    fn real(self) -> f64 {
        self.into()
    }
    fn nearest(real: f64) -> Self {
        real.round() as Self
    }
}

impl Value for f32 {
    fn real(self) -> f64 {
        self.into()
    }
    fn nearest(real: f64) -> Self {
        real as Self
    }
}

impl Value for f64 {
    fn real(self) -> f64 {
        self
    }
    fn nearest(real: f64) -> Self {
        real
    }
}

/// ITU-R Rec. 601.
fn luma<V: Value>(red: V, green: V, blue: V) -> V {
    V::nearest(0.299 * red.real() + 0.587 * green.real() + 0.114 * blue.real())
}

/// What one output position covers of the input: from `start`, these shares (they add up to 1).
struct Span {
    start: usize,
    shares: Vec<f64>,
}

fn spans(from: usize, to: usize) -> Vec<Span> {
    let reach = from as f64 / to as f64;
    let span = |at: usize| {
        // In units of 1/to of an input pixel, where every edge is a whole number: no pixel is covered by a rounding error.
        let (begin, end) = (at * from, (at + 1) * from);
        let (start, stop) = (begin / to, end.div_ceil(to));
        let covered = |pixel: usize| end.min((pixel + 1) * to) - begin.max(pixel * to);
        Span { start, shares: (start..stop).map(|pixel| covered(pixel) as f64 / to as f64 / reach).collect() }
    };
    (0..to).map(span).collect()
}

/// Box filter: each output value is the mean over the area it covers.
fn averaged<V: Value>(plane: &[V], width: usize, across: &[Span], down: &[Span]) -> Vec<V> {
    let narrowed: Vec<Vec<f64>> = plane
        .chunks_exact(width)
        .map(|row| {
            let mean =
                |span: &Span| span.shares.iter().zip(&row[span.start..]).map(|(share, v)| share * v.real()).sum();
            across.iter().map(mean).collect()
        })
        .collect();
    let mut values = Vec::with_capacity(across.len() * down.len());
    for span in down {
        for x in 0..across.len() {
            let mean = span.shares.iter().zip(&narrowed[span.start..]).map(|(share, row)| share * row[x]).sum();
            values.push(V::nearest(mean));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(channels: u32, height: u32, width: u32) -> ImageShape {
        ImageShape { channels, height, width }
    }

    fn grey(width: u32, height: u32, values: Vec<u8>) -> Picture {
        Picture::opaque(width, height, 1, Pixels::U8(values))
    }

    #[test]
    fn area_averages_exactly_what_each_pixel_covers() {
        let three = grey(3, 1, vec![0, 90, 240]);
        // Two pixels out of three: each covers one and a half.
        assert_eq!(three.fitted(shape(1, 1, 2), Resize::Area), Ok(Pixels::U8(vec![30, 190])));
    }

    #[test]
    fn area_keeps_a_flat_picture_flat_at_any_size() {
        for (width, height) in [(1, 1), (7, 5), (64, 48), (3, 200)] {
            let flat = grey(width, height, vec![137; (width * height) as usize]);
            assert_eq!(
                flat.fitted(shape(1, 35, 55), Resize::Area),
                Ok(Pixels::U8(vec![137; 35 * 55])),
                "{width}x{height}"
            );
        }
    }

    #[test]
    fn crop_cuts_out_the_middle() {
        let picture = grey(4, 3, (0..12).collect());
        assert_eq!(picture.fitted(shape(1, 1, 2), Resize::Crop), Ok(Pixels::U8(vec![5, 6])));
    }

    #[test]
    fn crop_refuses_a_picture_that_is_too_small() {
        let fault = grey(2, 2, vec![0; 4]).fitted(shape(1, 1, 3), Resize::Crop).unwrap_err();
        assert_eq!(fault.to_string(), "it is 2x2 pixels, too small to cut 3x1 out of it");
    }

    #[test]
    fn colour_becomes_grey_by_rec_601() {
        let rgb = Picture::opaque(3, 1, 3, Pixels::U8(vec![255, 0, 0, 0, 255, 0, 0, 0, 255]));
        assert_eq!(rgb.fitted(shape(1, 1, 3), Resize::Exact), Ok(Pixels::U8(vec![76, 150, 29])));
    }

    #[test]
    fn grey_becomes_colour_by_repeating_and_planes_come_apart() {
        let picture = grey(2, 1, vec![3, 9]);
        assert_eq!(picture.fitted(shape(3, 1, 2), Resize::Exact), Ok(Pixels::U8(vec![3, 9, 3, 9, 3, 9])));
        let rgb = Picture::opaque(2, 1, 3, Pixels::U8(vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(rgb.fitted(shape(3, 1, 2), Resize::Exact), Ok(Pixels::U8(vec![1, 4, 2, 5, 3, 6])));
    }

    #[test]
    fn planes_that_nobody_changed_become_the_same_picture() {
        let wide: Vec<u16> = (0..=u16::MAX).collect();
        let narrow: Vec<u8> = (0..=255).flat_map(|value| [value, 255 - value, value / 2]).collect();
        let floats = Pixels::F32(vec![0.0, 0.25, 0.5, 1.0]);
        for (width, channels, pixels) in [(65_536, 1, Pixels::U16(wide)), (256, 3, Pixels::U8(narrow)), (4, 1, floats)]
        {
            let picture = Picture::opaque(width, 1, channels, pixels);
            let planes = picture.planes_for(channels).unwrap();
            assert_eq!(Picture::from_planes(&planes, &picture), Ok(picture));
        }
    }

    #[test]
    fn refined_planes_take_the_channels_of_the_image_they_came_from() {
        let picture = grey(2, 1, vec![3, 9]);
        assert_eq!(Picture::from_planes(&picture.planes_for(3).unwrap(), &picture), Ok(picture.clone()));
        let rgba = Picture::opaque(1, 1, 4, Pixels::U8(vec![255, 0, 0, 77]));
        let refined = |channels| Picture::from_planes(&rgba.planes_for(channels).unwrap(), &rgba).unwrap().pixels;
        assert_eq!((refined(1), refined(3)), (Pixels::U8(vec![76, 76, 76, 77]), Pixels::U8(vec![255, 0, 0, 77])));
    }

    #[test]
    fn alpha_is_no_channel_and_comes_through_refining_as_it_was() {
        let picture = Picture { alpha: Some(Pixels::U8(vec![77, 0])), ..grey(2, 1, vec![3, 9]) };
        let planes = picture.planes_for(1).unwrap();
        assert_eq!(planes, grey(2, 1, vec![3, 9]).planes_for(1).unwrap());
        assert_eq!(Picture::from_planes(&planes, &picture), Ok(picture));
    }

    #[test]
    fn alpha_takes_the_size_that_its_pixels_take() {
        let picture = Picture { alpha: Some(Pixels::U8(vec![0, 60, 100, 200])), ..grey(4, 1, vec![9; 4]) };
        for (resize, alpha) in [(Resize::Area, vec![30, 150]), (Resize::Crop, vec![60, 100])] {
            let shape = shape(1, 1, 2);
            let wanted = Picture { alpha: Some(Pixels::U8(alpha)), ..grey(2, 1, vec![9, 9]) };
            assert_eq!(picture.converted(shape, resize), Ok(wanted.clone()));
            let planes = picture.planes_in(shape, resize).unwrap();
            assert_eq!(Picture::from_planes_in(&planes, shape, resize, &picture), Ok(wanted));
        }
    }

    #[test]
    fn planes_in_which_a_value_is_no_number_are_no_picture() {
        assert_eq!(Picture::from_planes(&[0.0, f32::NAN], &grey(2, 1, vec![3, 9])), Err(Fault::NotFinite));
    }

    #[test]
    fn a_widened_value_means_the_same_brightness() {
        for depth in [Depth::U8, Depth::U16, Depth::F32] {
            let (mut bytes, mut scaled) = (Vec::new(), Vec::new());
            Pixels::U8(vec![0, 51, 255]).write_at(depth, &mut bytes);
            scale(&bytes, depth, &mut scaled);
            for (found, wanted) in scaled.iter().zip([-1.0, -0.6, 1.0]) {
                assert!((found - wanted).abs() < 1e-6, "{depth:?}: {found} instead of {wanted}");
            }
        }
    }
}
