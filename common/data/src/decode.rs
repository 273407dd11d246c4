//! One file's bytes to one [`Picture`], or the [`Fault`] for which it cannot be used.
//!
//! The bytes are hostile: the format is taken from the content, never from a name; sizes are capped before anything is
//! allocated; a decoder that panics has found a bad image. Knows nothing of files and folders.

pub use crate::fault::Fault;

use crate::picture::{Depth, Picture, Pixels};
use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits,
    codecs::{png::PngDecoder, webp::WebPDecoder},
    error::LimitErrorKind,
};
use std::{
    io::{Cursor, ErrorKind},
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Most bytes of one encoded image.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// Most bytes of one piece of a label.
pub const LABEL_BYTES_MAX: u64 = 64 << 20;
/// Most pixels along one side.
pub const SIDE_MAX: u32 = 16_384;
/// Most bytes of one decoded image.
pub const DECODED_BYTES_MAX: u64 = 512 << 20;

/// What an image says of itself before it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub width: u32,
    pub height: u32,
    /// Colour channels; alpha is not counted, a palette counts as the colours it stands for.
    pub channels: u32,
    pub depth: Depth,
}

/// The formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    Png,
    Jpeg,
    Bmp,
    Tiff,
    Webp,
    Pnm,
}

impl Format {
    /// By the first bytes of a file.
    pub fn of(start: &[u8]) -> Result<Self, Fault> {
        match image::guess_format(start).map_err(|_| Fault::NotAnImage)? {
            ImageFormat::Png => Ok(Self::Png),
            ImageFormat::Jpeg => Ok(Self::Jpeg),
            ImageFormat::Bmp => Ok(Self::Bmp),
            ImageFormat::Tiff => Ok(Self::Tiff),
            ImageFormat::WebP => Ok(Self::Webp),
            ImageFormat::Pnm => Ok(Self::Pnm),
            other => Err(Fault::NotRead { format: other.extensions_str().first().copied().unwrap_or("foreign") }),
        }
    }

    /// What a file of this form ends in.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
            Self::Webp => "webp",
            Self::Pnm => "pnm",
        }
    }

    fn codec(self) -> ImageFormat {
        match self {
            Self::Png => ImageFormat::Png,
            Self::Jpeg => ImageFormat::Jpeg,
            Self::Bmp => ImageFormat::Bmp,
            Self::Tiff => ImageFormat::Tiff,
            Self::Webp => ImageFormat::WebP,
            Self::Pnm => ImageFormat::Pnm,
        }
    }
}

/// Whether these first bytes of a file open one of the formats known here, read or refused.
#[must_use]
pub fn looks_like_an_image(start: &[u8]) -> bool {
    image::guess_format(start).is_ok()
}

/// The header alone.
pub fn header(bytes: &[u8]) -> Result<Header, Fault> {
    caught(|| {
        let decoder = open(bytes)?;
        let (width, height) = decoder.dimensions();
        let colour = decoder.color_type();
        let channels = u32::from(colour.channel_count()) - u32::from(colour.has_alpha());
        let depth = match colour.bytes_per_pixel() / colour.channel_count() {
            1 => Depth::U8,
            2 => Depth::U16,
            _ => Depth::F32,
        };
        Ok(Header { width, height, channels, depth })
    })
}

/// The whole image.
pub fn decode(bytes: &[u8]) -> Result<Picture, Fault> {
    caught(|| {
        let decoder = open(bytes)?;
        let image = DynamicImage::from_decoder(decoder).map_err(fault)?;
        picture(image)
    })
}

/// A decoder's panic is the image's fault, not ours.
fn caught<T>(read: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(Fault::Damaged("its decoder gave up in an unforeseen way".to_owned())))
}

fn open(bytes: &[u8]) -> Result<impl ImageDecoder + '_, Fault> {
    if bytes.is_empty() {
        return Err(Fault::Empty);
    }
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Fault::TooBig { bytes: bytes.len() as u64 });
    }
    let format = Format::of(bytes)?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(DECODED_BYTES_MAX);
    match format {
        Format::Png => {
            let png = PngDecoder::with_limits(Cursor::new(bytes), limits.clone()).map_err(fault)?;
            if png.is_apng().map_err(fault)? {
                return Err(Fault::Animated);
            }
        }
        Format::Webp => {
            if WebPDecoder::new(Cursor::new(bytes)).map_err(fault)?.has_animation() {
                return Err(Fault::Animated);
            }
        }
        Format::Jpeg if !jpeg_ends(bytes) => return Err(Fault::Truncated),
        Format::Tiff if tiff_goes_on(bytes) => return Err(Fault::SeveralPages),
        Format::Jpeg | Format::Bmp | Format::Tiff | Format::Pnm => {}
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format.codec());
    // Not every decoder heeds its limits, so the claim is checked here as well, before anything of its size is allocated.
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(fault)?;
    let (width, height) = decoder.dimensions();
    if width > SIDE_MAX || height > SIDE_MAX || decoder.total_bytes() > DECODED_BYTES_MAX {
        return Err(Fault::TooManyPixels);
    }
    if width == 0 || height == 0 {
        return Err(Fault::Damaged("it has no pixels".to_owned()));
    }
    Ok(decoder)
}

/// Whether an end-of-image marker follows the start of the scan. The JPEG decoder itself fills what is missing with grey;
/// a thumbnail's own end marker lies in a segment before the scan and does not count.
fn jpeg_ends(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[0xff, marker]) = bytes.get(at..at + 2) {
        match marker {
            0xff => at += 1,
            0xda => return bytes[at..].windows(2).any(|pair| pair == [0xff, 0xd9]),
            0x01 | 0xd0..=0xd8 => at += 2,
            _ => match bytes.get(at + 2..at + 4) {
                Some(&[high, low]) => at += 2 + usize::from(u16::from_be_bytes([high, low])),
                _ => return false,
            },
        }
    }
    false
}

/// Whether a second page follows the first, which alone would be decoded.
fn tiff_goes_on(bytes: &[u8]) -> bool {
    let big_endian = bytes.starts_with(b"MM");
    let number = |at: usize, length: usize| -> Option<usize> {
        let digits = bytes.get(at..at.checked_add(length)?)?;
        let join = |number: usize, &digit: &u8| number << 8 | usize::from(digit);
        Some(if big_endian { digits.iter().fold(0, join) } else { digits.iter().rev().fold(0, join) })
    };
    let next_page = || {
        let directory = number(4, 4)?;
        let entries = number(directory, 2)?;
        number(directory + 2 + 12 * entries, 4)
    };
    // The version is 42; BigTIFF has 43 and other offsets.
    number(2, 2) == Some(42) && next_page().is_some_and(|page| page != 0)
}

fn fault(error: ImageError) -> Fault {
    match error {
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => Fault::Truncated,
        ImageError::Limits(error) => match error.kind() {
            LimitErrorKind::DimensionError | LimitErrorKind::InsufficientMemory => Fault::TooManyPixels,
            _ => Fault::Damaged(error.to_string()),
        },
        other => {
            let said = other.to_string();
            let ends_early = ["unexpected end", "UnexpectedEof", "failed to fill", "Unexpected EOF"];
            if ends_early.iter().any(|text| said.contains(text)) { Fault::Truncated } else { Fault::Damaged(said) }
        }
    }
}

fn picture(image: DynamicImage) -> Result<Picture, Fault> {
    let (width, height) = (image.width(), image.height());
    let (channels, pixels) = match image {
        DynamicImage::ImageLuma8(grey) => (1, Pixels::U8(grey.into_raw())),
        DynamicImage::ImageLumaA8(grey) => (1, Pixels::U8(opaque(&grey, 2))),
        DynamicImage::ImageRgb8(colour) => (3, Pixels::U8(colour.into_raw())),
        DynamicImage::ImageRgba8(colour) => (3, Pixels::U8(opaque(&colour, 4))),
        DynamicImage::ImageLuma16(grey) => (1, Pixels::U16(grey.into_raw())),
        DynamicImage::ImageLumaA16(grey) => (1, Pixels::U16(opaque(&grey, 2))),
        DynamicImage::ImageRgb16(colour) => (3, Pixels::U16(colour.into_raw())),
        DynamicImage::ImageRgba16(colour) => (3, Pixels::U16(opaque(&colour, 4))),
        DynamicImage::ImageRgb32F(colour) => (3, Pixels::F32(unit(colour.into_raw())?)),
        DynamicImage::ImageRgba32F(colour) => (3, Pixels::F32(unit(opaque(&colour, 4))?)),
        _ => return Err(Fault::Damaged("its kind of pixel is not known here".to_owned())),
    };
    Ok(Picture { width, height, channels, pixels })
}

/// Every pixel without its last value, the alpha.
fn opaque<V: Copy>(values: &[V], channels: usize) -> Vec<V> {
    values.chunks_exact(channels).flat_map(|pixel| &pixel[..channels - 1]).copied().collect()
}

/// Image files in floating point are taken as 0..=1, and cut off there.
fn unit(mut values: Vec<f32>) -> Result<Vec<f32>, Fault> {
    if values.iter().any(|value| !value.is_finite()) {
        return Err(Fault::NotFinite);
    }
    values.iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
    Ok(values)
}
