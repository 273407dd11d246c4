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
    ExtendedColorType as Colour, ImageEncoder, ImageResult,
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

/// One refined image as a file, with the depth and the channels of the picture.
///
/// A JPEG stays one, at quality 98 and 4:4:4; PNG, BMP, TIFF, PNM (as binary grey or colour) and WebP (without loss) stay what
/// they are. PNG is what a record of a stack becomes, and what its own form cannot carry: 16 bits in BMP, WebP or JPEG. Values
/// in floating point stay such in a colour TIFF and become 16 bits elsewhere. There is no alpha: it was dropped in decoding.
pub fn encode(picture: &Picture, original: &Original, format: Format) -> Result<Vec<u8>, Fault> {
    let form = match (format, original.form) {
        (Format::Same, Form::Encoded(form)) => form,
        (Format::Png, _) | (Format::Same, Form::Values) => decode::Format::Png,
    };
    let depth = picture.pixels.depth();
    let form = match (form, depth) {
        (decode::Format::Bmp | decode::Format::Webp | decode::Format::Jpeg, Depth::U16 | Depth::F32) => {
            decode::Format::Png
        }
        (form, _) => form,
    };
    let colour = match (picture.channels, depth) {
        (1, Depth::U8) => Colour::L8,
        (3, Depth::U8) => Colour::Rgb8,
        (4, Depth::U8) => Colour::Rgba8,
        (3, Depth::F32) if form == decode::Format::Tiff => Colour::Rgb32F,
        (1, _) => Colour::L16,
        (3, _) => Colour::Rgb16,
        (4, _) => Colour::Rgba16,
        (found, _) => return Err(Fault::Channels { found, wanted: 3 }),
    };
    // Encoders take wider values as this machine has them in memory.
    let values = match &picture.pixels {
        Pixels::U8(values) => values.clone(),
        Pixels::U16(values) => values.iter().flat_map(|value| value.to_ne_bytes()).collect(),
        Pixels::F32(values) if colour == Colour::Rgb32F => {
            values.iter().flat_map(|value| value.to_ne_bytes()).collect()
        }
        Pixels::F32(values) => {
            values.iter().flat_map(|value| ((value * 65535.0).round() as u16).to_ne_bytes()).collect()
        }
    };
    let mut out = Cursor::new(Vec::new());
    let (width, height) = (picture.width, picture.height);
    let encoded: ImageResult<()> = match form {
        decode::Format::Png => PngEncoder::new_with_quality(&mut out, CompressionType::Default, FilterType::Adaptive)
            .write_image(&values, width, height, colour),
        decode::Format::Jpeg if picture.channels == 4 => return Err(Fault::Channels { found: 4, wanted: 3 }),
        decode::Format::Jpeg => {
            JpegEncoder::new_with_quality(&mut out, JPEG_QUALITY).write_image(&values, width, height, colour)
        }
        decode::Format::Bmp => BmpEncoder::new(&mut out).write_image(&values, width, height, colour),
        decode::Format::Tiff => TiffEncoder::new(&mut out).write_image(&values, width, height, colour),
        decode::Format::Webp => WebPEncoder::new_lossless(&mut out).write_image(&values, width, height, colour),
        decode::Format::Pnm => return pnm(picture, &values),
    };
    encoded.map_err(|error| Fault::Damaged(format!("it could not be encoded: {error}")))?;
    Ok(out.into_inner())
}

/// Binary grey (P5) or colour (P6). Source: the Netpbm manual, "pgm" and "ppm".
fn pnm(picture: &Picture, values: &[u8]) -> Result<Vec<u8>, Fault> {
    let Picture { width, height, .. } = *picture;
    let magic = match picture.channels {
        1 => "P5",
        3 => "P6",
        found => return Err(Fault::Channels { found, wanted: 3 }),
    };
    let is_narrow = picture.pixels.depth() == Depth::U8;
    let mut bytes = format!("{magic}\n{width} {height}\n{}\n", if is_narrow { 255 } else { 65535 }).into_bytes();
    match is_narrow {
        true => bytes.extend(values),
        // The more significant byte comes first.
        false => bytes.extend(values.as_chunks().0.iter().flat_map(|&value| u16::from_ne_bytes(value).to_be_bytes())),
    }
    Ok(bytes)
}
