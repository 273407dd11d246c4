//! Refined pixels to the bytes of an image, and pixels to the planes that a refiner takes and back.
//!
//! The same pixels give the same bytes. Knows nothing of files and of what refines.

use crate::{
    Source,
    decode::{self, Fault},
    picture::{Depth, Picture, Pixels},
    source::{Form, Original},
};
use image::{
    ExtendedColorType as Colour, ImageEncoder, ImageError, ImageResult,
    codecs::{
        bmp::BmpEncoder,
        jpeg::JpegEncoder,
        png::{CompressionType, FilterType, PngEncoder},
        tiff::TiffEncoder,
        webp::WebPEncoder,
    },
};
use std::io::Cursor;
use sumac_common::refinement::{Format, Layout, What};

/// As little loss as JPEG can do with; without subsampling.
const JPEG_QUALITY: u8 = 98;

/// One refined image in the form in which it is written: a record of its stack where that is mirrored, else [`encode`]d.
pub fn written(what: &What, input: &Source, picture: &Picture, original: &Original) -> Result<Vec<u8>, Fault> {
    if (what.layout, original.form) == (Layout::Mirror, Form::Values) {
        return input.record_of(picture);
    }
    encode(picture, original, what.format)
}

/// One refined image as a file, with the depth, the channels and the alpha of the picture.
///
/// A JPEG stays one, at quality 98 and 4:4:4; PNG, BMP, TIFF, PNM (as binary grey or colour) and WebP (without loss) stay what
/// they are. PNG is what a record of a stack becomes, and what its own form cannot carry: 16 bits in BMP, WebP or JPEG, alpha in
/// PNM, grey with alpha in BMP or TIFF. Values in floating point stay such in a colour TIFF and become 16 bits elsewhere. The
/// colour profile of the original is carried along.
pub fn encode(picture: &Picture, original: &Original, format: Format) -> Result<Vec<u8>, Fault> {
    let form = match (format, original.form) {
        (Format::Same, Form::Encoded(form)) => form,
        (Format::Png, _) | (Format::Same, Form::Values) => decode::Format::Png,
    };
    let pixels = with_alpha(picture)?;
    let (form, colour) = match colour(picture)? {
        colour if carries(form, colour) => (form, colour),
        Colour::Rgb32F => (decode::Format::Png, Colour::Rgb16),
        Colour::Rgba32F => (decode::Format::Png, Colour::Rgba16),
        colour => (decode::Format::Png, colour),
    };
    let values = in_memory(&pixels, colour);
    if form == decode::Format::Pnm {
        return Ok(pnm(picture, colour, &values));
    }
    let mut out = Cursor::new(Vec::new());
    let mut image =
        Image { values: &values, size: (picture.width, picture.height), colour, profile: profile(picture, original) };
    let encoded = match form {
        decode::Format::Jpeg => image.write(JpegEncoder::new_with_quality(&mut out, JPEG_QUALITY)),
        decode::Format::Bmp => image.write(BmpEncoder::new(&mut out)),
        decode::Format::Tiff => image.write(TiffEncoder::new(&mut out)),
        decode::Format::Webp => image.write(WebPEncoder::new_lossless(&mut out)),
        decode::Format::Png | decode::Format::Pnm => {
            image.write(PngEncoder::new_with_quality(&mut out, CompressionType::Default, FilterType::Adaptive))
        }
    };
    encoded.map_err(|error| Fault::Damaged(format!("it could not be encoded: {error}")))?;
    Ok(out.into_inner())
}

/// What an encoder is told.
struct Image<'a> {
    values: &'a [u8],
    size: (u32, u32),
    colour: Colour,
    profile: Option<Vec<u8>>,
}

impl Image<'_> {
    fn write(&mut self, mut encoder: impl ImageEncoder) -> ImageResult<()> {
        if let Some(profile) = self.profile.take() {
            encoder.set_icc_profile(profile).map_err(ImageError::Unsupported)?;
        }
        encoder.write_image(self.values, self.size.0, self.size.1, self.colour)
    }
}

/// The values of each pixel with its alpha behind them.
fn with_alpha(picture: &Picture) -> Result<Pixels, Fault> {
    let channels = picture.channels as usize;
    Ok(match (&picture.pixels, &picture.alpha) {
        (pixels, None) => pixels.clone(),
        (Pixels::U8(values), Some(Pixels::U8(alpha))) => Pixels::U8(joined(values, alpha, channels)),
        (Pixels::U16(values), Some(Pixels::U16(alpha))) => Pixels::U16(joined(values, alpha, channels)),
        (Pixels::F32(values), Some(Pixels::F32(alpha))) => Pixels::F32(joined(values, alpha, channels)),
        _ => return Err(Fault::Damaged("its alpha is of another depth than its pixels".to_owned())),
    })
}

fn joined<V: Copy>(values: &[V], alpha: &[V], channels: usize) -> Vec<V> {
    values.chunks_exact(channels).zip(alpha).flat_map(|(pixel, alpha)| pixel.iter().chain([alpha])).copied().collect()
}

fn colour(picture: &Picture) -> Result<Colour, Fault> {
    let values_a_pixel = match (picture.channels, &picture.alpha) {
        (1 | 3, Some(_)) => picture.channels + 1,
        // A stack of four channels is taken for colours with alpha.
        (1 | 3 | 4, None) => picture.channels,
        (found, _) => return Err(Fault::Channels { found, wanted: 3 }),
    };
    Ok(match (values_a_pixel, picture.pixels.depth()) {
        (1, Depth::U8) => Colour::L8,
        (2, Depth::U8) => Colour::La8,
        (3, Depth::U8) => Colour::Rgb8,
        (_, Depth::U8) => Colour::Rgba8,
        (3, Depth::F32) => Colour::Rgb32F,
        (4, Depth::F32) => Colour::Rgba32F,
        (1, _) => Colour::L16,
        (2, _) => Colour::La16,
        (3, _) => Colour::Rgb16,
        (_, _) => Colour::Rgba16,
    })
}

/// Whether files of this form have such pixels, and can be written with them here.
fn carries(form: decode::Format, colour: Colour) -> bool {
    match form {
        decode::Format::Png => !matches!(colour, Colour::Rgb32F | Colour::Rgba32F),
        decode::Format::Tiff => !matches!(colour, Colour::La8 | Colour::La16),
        decode::Format::Webp => matches!(colour, Colour::L8 | Colour::La8 | Colour::Rgb8 | Colour::Rgba8),
        decode::Format::Bmp => matches!(colour, Colour::L8 | Colour::Rgb8 | Colour::Rgba8),
        decode::Format::Jpeg => matches!(colour, Colour::L8 | Colour::Rgb8),
        decode::Format::Pnm => matches!(colour, Colour::L8 | Colour::Rgb8 | Colour::L16 | Colour::Rgb16),
    }
}

/// Encoders take wider values as this machine has them in memory.
fn in_memory(pixels: &Pixels, colour: Colour) -> Vec<u8> {
    match pixels {
        Pixels::U8(values) => values.clone(),
        Pixels::U16(values) => values.iter().flat_map(|value| value.to_ne_bytes()).collect(),
        Pixels::F32(values) if matches!(colour, Colour::Rgb32F | Colour::Rgba32F) => {
            values.iter().flat_map(|value| value.to_ne_bytes()).collect()
        }
        Pixels::F32(values) => {
            values.iter().flat_map(|value| ((value * 65535.0).round() as u16).to_ne_bytes()).collect()
        }
    }
}

/// The colour profile of the original, as long as it speaks of pixels of this kind.
/// Source: ICC.1:2022, 7.2.6: the colour space is named in the bytes from 16 on.
fn profile(picture: &Picture, original: &Original) -> Option<Vec<u8>> {
    let space = if picture.channels == 1 { b"GRAY" } else { b"RGB " };
    let is_encoded = matches!(original.form, Form::Encoded(_));
    let profile = is_encoded.then(|| decode::profile(&original.bytes)).flatten();
    profile.filter(|profile| profile.get(16..20) == Some(space))
}

/// Binary grey (P5) or colour (P6). Source: the Netpbm manual, "pgm" and "ppm".
fn pnm(picture: &Picture, colour: Colour, values: &[u8]) -> Vec<u8> {
    let magic = if matches!(colour, Colour::L8 | Colour::L16) { "P5" } else { "P6" };
    let is_narrow = matches!(colour, Colour::L8 | Colour::Rgb8);
    let Picture { width, height, .. } = *picture;
    let mut bytes = format!("{magic}\n{width} {height}\n{}\n", if is_narrow { 255 } else { 65535 }).into_bytes();
    match is_narrow {
        true => bytes.extend(values),
        // The more significant byte comes first.
        false => bytes.extend(values.as_chunks().0.iter().flat_map(|&value| u16::from_ne_bytes(value).to_be_bytes())),
    }
    bytes
}
