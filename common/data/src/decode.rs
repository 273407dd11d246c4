//! One file's bytes to one [`Picture`], or the [`Fault`] for which it cannot be used.
//!
//! The bytes are hostile: the format is taken from the content, never from a name; sizes are capped before anything is
//! allocated; a decoder that panics has found a bad image. What a decoder would read as something else is refused by name.
//! Numbers are taken as they lie there, as other loaders for training do: neither a gamma chunk nor a colour profile changes
//! one. Knows nothing of files and folders.

mod jpeg;
mod png;
mod tiff;

pub use crate::fault::Fault;

use crate::picture::{Depth, Picture, Pixels};
use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits,
    codecs::{png::PngDecoder, tiff::TiffDecoder, webp::WebPDecoder},
    error::LimitErrorKind,
    metadata::Orientation,
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
    pub has_alpha: bool,
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
        if is_big_tiff(start) {
            return Ok(Self::Tiff);
        }
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
    is_big_tiff(start) || image::guess_format(start).is_ok()
}

/// Which the decoder reads and does not know by its start.
fn is_big_tiff(start: &[u8]) -> bool {
    start.starts_with(b"II\x2b\0") || start.starts_with(b"MM\0\x2b")
}

/// The header alone.
pub fn header(bytes: &[u8]) -> Result<Header, Fault> {
    caught(|| {
        let decoder = open(bytes)?;
        let (width, height) = decoder.dimensions();
        let colour = decoder.color_type();
        let has_alpha = colour.has_alpha();
        let channels = u32::from(colour.channel_count()) - u32::from(has_alpha);
        let depth = match colour.bytes_per_pixel() / colour.channel_count() {
            1 => Depth::U8,
            2 => Depth::U16,
            _ => Depth::F32,
        };
        Ok(Header { width, height, channels, has_alpha, depth })
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

/// The colour profile that lies in it, if one does.
pub(crate) fn profile(bytes: &[u8]) -> Option<Vec<u8>> {
    let read = || match Format::of(bytes)? {
        // Under the limits for its pixels this decoder finds no profile that is larger than they are.
        Format::Tiff => TiffDecoder::new(Cursor::new(bytes)).and_then(|mut tiff| tiff.icc_profile()).map_err(fault),
        _ => open(bytes)?.icc_profile().map_err(fault),
    };
    caught(read).ok().flatten()
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
        Format::Jpeg => jpeg::check(bytes)?,
        Format::Tiff => tiff::check(bytes)?,
        Format::Bmp | Format::Pnm => {}
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format.codec());
    // Not every decoder heeds its limits, so the claim is checked here as well, before anything of its size is allocated.
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(fault)?;
    let (width, height) = decoder.dimensions();
    if width > SIDE_MAX || height > SIDE_MAX || decoder.total_bytes() > DECODED_BYTES_MAX {
        return Err(Fault::TooManyPixels);
    }
    if width == 0 || height == 0 {
        return Err(Fault::Damaged("it has no pixels".to_owned()));
    }
    if matches!(decoder.original_color_type(), ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16) {
        return Err(Fault::Cmyk);
    }
    let orientation = match format {
        Format::Png => png::exif(bytes).and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms),
        _ => decoder.orientation().map_err(fault)?,
    };
    if orientation != Orientation::NoTransforms {
        return Err(Fault::Turned { orientation: orientation.to_exif() });
    }
    Ok(decoder)
}

fn fault(error: ImageError) -> Fault {
    match error {
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => Fault::Truncated,
        ImageError::Limits(error) => match error.kind() {
            LimitErrorKind::DimensionError | LimitErrorKind::InsufficientMemory => Fault::TooManyPixels,
            _ => Fault::Damaged(error.to_string()),
        },
        ImageError::Unsupported(error) => Fault::Kind(error.to_string()),
        other => {
            let said = other.to_string();
            let ends_early = ["unexpected end", "UnexpectedEof", "failed to fill", "Unexpected EOF"];
            if ends_early.iter().any(|text| said.contains(text)) { Fault::Truncated } else { Fault::Damaged(said) }
        }
    }
}

fn picture(image: DynamicImage) -> Result<Picture, Fault> {
    let (width, height) = (image.width(), image.height());
    let opaque = |channels, pixels| Ok(Picture::opaque(width, height, channels, pixels));
    let with_alpha = |channels, (pixels, alpha): (Pixels, Pixels)| {
        Ok(Picture { alpha: Some(alpha), ..Picture::opaque(width, height, channels, pixels) })
    };
    match image {
        DynamicImage::ImageLuma8(grey) => opaque(1, Pixels::U8(grey.into_raw())),
        DynamicImage::ImageLumaA8(grey) => with_alpha(1, apart(&grey, 2, Pixels::U8)),
        DynamicImage::ImageRgb8(colour) => opaque(3, Pixels::U8(colour.into_raw())),
        DynamicImage::ImageRgba8(colour) => with_alpha(3, apart(&colour, 4, Pixels::U8)),
        DynamicImage::ImageLuma16(grey) => opaque(1, Pixels::U16(grey.into_raw())),
        DynamicImage::ImageLumaA16(grey) => with_alpha(1, apart(&grey, 2, Pixels::U16)),
        DynamicImage::ImageRgb16(colour) => opaque(3, Pixels::U16(colour.into_raw())),
        DynamicImage::ImageRgba16(colour) => with_alpha(3, apart(&colour, 4, Pixels::U16)),
        DynamicImage::ImageRgb32F(colour) => opaque(3, Pixels::F32(unit(colour.into_raw())?)),
        DynamicImage::ImageRgba32F(colour) => with_alpha(3, apart(&unit(colour.into_raw())?, 4, Pixels::F32)),
        _ => Err(Fault::Damaged("its kind of pixel is not known here".to_owned())),
    }
}

/// Every pixel without its last value, and those last values: the alpha.
fn apart<V: Copy>(values: &[V], channels: usize, pixels: fn(Vec<V>) -> Pixels) -> (Pixels, Pixels) {
    let colour = values.chunks_exact(channels).flat_map(|pixel| &pixel[..channels - 1]).copied().collect();
    (pixels(colour), pixels(values.iter().skip(channels - 1).step_by(channels).copied().collect()))
}

/// Image files in floating point are taken as 0..=1, and cut off there.
fn unit(mut values: Vec<f32>) -> Result<Vec<f32>, Fault> {
    if values.iter().any(|value| !value.is_finite()) {
        return Err(Fault::NotFinite);
    }
    values.iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
    Ok(values)
}
