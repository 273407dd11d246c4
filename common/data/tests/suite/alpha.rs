//! What an image says of its opacity: no channel to train on, and still there when it was refined.

use crate::{
    converted,
    shelf::{Shelf, colourful, encoded, keys, terms},
};
use image::{DynamicImage, ImageBuffer, ImageFormat, LumaA, Rgba};
use sumac_common::{
    ids::SampleId,
    refinement::{Format, Layout},
    spec::{ImageShape, Resize},
};
use sumac_data::{
    decode::{self, decode, header},
    freeze::Terms,
    picture::{Picture, Pixels},
    refined::encode,
    source::{Form, Original},
};

/// 4x3 pixels, some of them seen through.
fn glass() -> DynamicImage {
    ImageBuffer::from_fn(4, 3, |x, y| Rgba([60 * x as u8, 80 * y as u8, 5, 20 * (x + 4 * y) as u8])).into()
}

fn deep_glass() -> DynamicImage {
    DynamicImage::ImageRgba16(ImageBuffer::from_fn(4, 3, |x, y| Rgba([x as u16 * 15_001, y as u16, 5, 777 * x as u16])))
}

fn grey_glass() -> DynamicImage {
    DynamicImage::ImageLumaA8(ImageBuffer::from_fn(4, 3, |x, y| LumaA([60 * x as u8, 80 * y as u8])))
}

fn deep_grey_glass() -> DynamicImage {
    DynamicImage::ImageLumaA16(ImageBuffer::from_fn(4, 3, |x, y| LumaA([x as u16 * 15_001, y as u16 * 777])))
}

/// As files of every form that has alpha, and 16 bits where it has them.
pub(crate) fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("rgba.png", encoded(&glass(), ImageFormat::Png)),
        ("rgba16.png", encoded(&deep_glass(), ImageFormat::Png)),
        ("grey.png", encoded(&grey_glass(), ImageFormat::Png)),
        ("grey16.png", encoded(&deep_grey_glass(), ImageFormat::Png)),
        ("rgba.webp", encoded(&glass(), ImageFormat::WebP)),
        ("rgba.tif", encoded(&glass(), ImageFormat::Tiff)),
        ("rgba16.tif", encoded(&deep_glass(), ImageFormat::Tiff)),
        ("rgba.bmp", encoded(&glass(), ImageFormat::Bmp)),
    ]
}

fn original(bytes: &[u8]) -> Original {
    Original { form: Form::Encoded(decode::Format::of(bytes).unwrap()), bytes: bytes.to_vec() }
}

#[test]
fn alpha_lies_beside_the_colours_and_is_not_counted_as_one() {
    let bytes = encoded(&glass(), ImageFormat::Png);
    let (picture, header) = (decode(&bytes).unwrap(), header(&bytes).unwrap());
    let rgba = glass().into_rgba8();
    assert_eq!((picture.channels, header.channels, header.has_alpha), (3, 3, true));
    assert_eq!(picture.pixels, Pixels::U8(glass().into_rgb8().into_raw()));
    assert_eq!(picture.alpha, Some(Pixels::U8(rgba.pixels().map(|pixel| pixel.0[3]).collect())));
}

#[test]
fn training_sees_colours_alone() {
    let shelf = Shelf::new();
    shelf.put("clear/a.png", encoded(&colourful(), ImageFormat::Png));
    let mut dim = colourful().into_rgba8();
    dim.pixels_mut().for_each(|pixel| pixel.0[3] = 0);
    shelf.put("dim/a.png", encoded(&dim.into(), ImageFormat::Png));
    let shape = ImageShape { channels: 3, ..terms().shape };
    let [clear, dim] = ["clear", "dim"].map(|name| {
        let mut pixels = Vec::new();
        shelf.freeze(name, Terms { shape, ..terms() }).unwrap().read(&[SampleId(0)], &mut pixels).unwrap();
        pixels
    });
    assert_eq!(clear, dim);
}

#[test]
fn what_is_written_in_the_form_it_came_in_has_every_value_of_its_colours_and_its_alpha() {
    for (name, bytes) in files() {
        let picture = decode(&bytes).unwrap();
        assert!(picture.alpha.is_some(), "{name}");
        let (original, planes) = (original(&bytes), picture.planes_for(picture.channels).unwrap());
        let written = encode(&Picture::from_planes(&planes, &picture).unwrap(), &original, Format::Same).unwrap();
        assert_eq!(decode::Format::of(&written), decode::Format::of(&bytes), "{name}");
        assert_eq!(decode(&written), Ok(picture), "{name}");
    }
}

#[test]
fn what_its_form_cannot_carry_becomes_a_png() {
    let alpha = Some(Pixels::U8(vec![7; 12]));
    let grey = Picture { alpha: alpha.clone(), ..Picture::opaque(4, 3, 1, Pixels::U8(vec![9; 12])) };
    let colours = Picture { alpha, ..Picture::opaque(4, 3, 3, Pixels::U8(vec![9; 36])) };
    let forms = [ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::Pnm, ImageFormat::Jpeg];
    for (form, picture) in forms.into_iter().map(|form| (form, &grey)).chain([(ImageFormat::Pnm, &colours)]) {
        let written = encode(picture, &original(&encoded(&colourful(), form)), Format::Same).unwrap();
        assert_eq!(decode::Format::of(&written), Ok(decode::Format::Png), "{form:?}");
        assert_eq!(decode(&written).as_ref(), Ok(picture), "{form:?}");
    }
}

#[test]
fn two_channels_of_a_stack_are_not_taken_for_grey_and_alpha() {
    let two = Picture::opaque(1, 1, 2, Pixels::U8(vec![1, 2]));
    let fault = encode(&two, &Original { form: Form::Values, bytes: vec![1, 2] }, Format::Same).unwrap_err();
    assert_eq!(fault.to_string(), "its 2 channels cannot become 3");
}

#[test]
fn alpha_comes_through_a_conversion_in_the_shape_of_its_image() {
    let shelf = Shelf::new();
    for (name, bytes) in files() {
        shelf.put(&format!("set/{name}"), bytes);
    }
    converted::convert(&converted::begun(&shelf, "png", Layout::Mirror, Format::Png, None)).unwrap();
    let shape = ImageShape { channels: 3, height: 2, width: 2 };
    converted::convert(&converted::begun(&shelf, "small", Layout::Shards, Format::Same, Some(shape))).unwrap();
    let (source, same, small) = (shelf.look("set"), shelf.look("png"), shelf.look("small"));
    assert_eq!(keys(&source).len(), files().len());
    for at in 0..files().len() {
        let picture = source.picture(at).unwrap();
        let key = &source.samples()[at].key;
        assert_eq!(same.picture(at).unwrap(), picture, "{key}");
        let wanted = picture.converted(shape, Resize::Area).unwrap();
        assert!(wanted.alpha.is_some());
        assert_eq!(small.picture(at).unwrap(), wanted, "{key}");
    }
}

#[test]
fn a_colour_profile_is_carried_where_it_speaks_of_such_pixels() {
    use image::{
        ImageDecoder, ImageEncoder, ImageReader,
        codecs::{
            jpeg::JpegEncoder,
            png::PngEncoder,
            tiff::{TiffDecoder, TiffEncoder},
            webp::WebPEncoder,
        },
    };
    use std::io::Cursor;
    let profile: Vec<u8> = [vec![0; 16], b"RGB ".to_vec(), vec![7; 180]].concat();
    let found = |bytes: &[u8]| match image::guess_format(bytes).unwrap() {
        ImageFormat::Tiff => TiffDecoder::new(Cursor::new(bytes)).unwrap().icc_profile().unwrap(),
        format => ImageReader::with_format(Cursor::new(bytes), format).into_decoder().unwrap().icc_profile().unwrap(),
    };
    macro_rules! with_profile {
        ($encoder:path) => {{
            let mut bytes = Cursor::new(Vec::new());
            let mut encoder = $encoder(&mut bytes);
            encoder.set_icc_profile(profile.clone()).unwrap();
            colourful().write_with_encoder(encoder).unwrap();
            bytes.into_inner()
        }};
    }
    for bytes in [
        with_profile!(JpegEncoder::new),
        with_profile!(PngEncoder::new),
        with_profile!(TiffEncoder::new),
        with_profile!(WebPEncoder::new_lossless),
    ] {
        let (picture, original) = (decode(&bytes).unwrap(), original(&bytes));
        for format in [Format::Same, Format::Png] {
            let written = encode(&picture, &original, format).unwrap();
            assert!(found(&written).as_ref() == Some(&profile), "{:?} as {format:?}", original.form);
        }
        let grey = picture.converted(picture.shape(1), Resize::Exact).unwrap();
        assert_eq!(found(&encode(&grey, &original, Format::Same).unwrap()), None);
    }
}
