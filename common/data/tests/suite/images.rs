//! Images that are easily misread: read as what they show, or refused with their kind by name.

use crate::shelf::{Tags, Tiff, colourful, encoded, png, tiff, with_chunk};
use image::{
    ImageEncoder, ImageFormat, Rgb, RgbImage,
    codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder},
};
use sumac_data::{
    decode::{Fault, decode, header},
    picture::{Picture, Pixels},
};

fn grey(width: u32, height: u32, values: &[u8]) -> Picture {
    Picture::opaque(width, height, 1, Pixels::U8(values.to_vec()))
}

fn colours(width: u32, height: u32, values: &[u8]) -> Picture {
    Picture::opaque(width, height, 3, Pixels::U8(values.to_vec()))
}

/// Both ways to look at an image agree on why not.
fn refused(bytes: &[u8]) -> String {
    let fault = decode(bytes).unwrap_err();
    assert_eq!(header(bytes), Err(fault.clone()));
    fault.to_string()
}

/// EXIF data that say nothing but this.
fn exif(orientation: u8) -> Vec<u8> {
    [&b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"[..], &[orientation, 0, 0, 0], &[0; 4]].concat()
}

// === palettes ===

const RED_GREEN_BLUE: [u8; 9] = [255, 0, 0, 0, 255, 0, 0, 0, 255];

#[test]
fn a_palette_png_is_the_colours_it_stands_for() {
    let palette = [(b"PLTE", &RED_GREEN_BLUE[..])];
    let narrow = png((3, 1), 2, 3, &palette, &[0, 0b10_00_01_00]);
    let wide = png((3, 1), 8, 3, &palette, &[0, 2, 0, 1]);
    for bytes in [narrow, wide] {
        assert_eq!(decode(&bytes), Ok(colours(3, 1, &[0, 0, 255, 255, 0, 0, 0, 255, 0])));
        assert_eq!(header(&bytes).unwrap().channels, 3);
    }
}

#[test]
fn a_palette_png_of_which_some_colours_are_transparent_has_alpha() {
    let chunks = [(b"PLTE", &RED_GREEN_BLUE[..]), (b"tRNS", &[255, 7])];
    let picture = decode(&png((3, 1), 8, 3, &chunks, &[0, 0, 1, 2])).unwrap();
    assert_eq!(picture, Picture { alpha: Some(Pixels::U8(vec![255, 7, 255])), ..colours(3, 1, &RED_GREEN_BLUE) });
}

#[test]
fn a_palette_bmp_is_the_colours_it_stands_for() {
    let words = |words: &[u16]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let sizes = |sizes: &[u32]| sizes.iter().flat_map(|size| size.to_le_bytes()).collect::<Vec<u8>>();
    let bytes = [
        b"BM".to_vec(),
        sizes(&[66 + 4, 0, 66]),
        sizes(&[40, 3, 1]),
        words(&[1, 8]),
        sizes(&[0, 4, 0, 0, 3, 0]),
        // Blue, green, red.
        vec![0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0],
        vec![2, 0, 1, 0],
    ];
    assert_eq!(decode(&bytes.concat()), Ok(colours(3, 1, &[0, 0, 255, 255, 0, 0, 0, 255, 0])));
}

// === depths ===

#[test]
fn grey_of_less_than_a_byte_reaches_from_black_to_white() {
    assert_eq!(decode(&png((4, 1), 2, 0, &[], &[0, 0b00_01_10_11])), Ok(grey(4, 1, &[0, 85, 170, 255])));
    assert_eq!(decode(b"P1\n2 1\n1 0\n"), Ok(grey(2, 1, &[0, 255])));
}

#[test]
fn sixteen_bits_are_read_right_in_every_form_and_byte_order() {
    let wanted = Ok(Picture::opaque(2, 1, 1, Pixels::U16(vec![0x0102, 0xfffe])));
    let (big, little) = ([1, 2, 0xff, 0xfe], [2, 1, 0xfe, 0xff]);
    let bits: [(u16, &[u64]); 2] = [(258, &[16]), (262, &[1])];
    for (name, bytes) in [
        ("png", png((2, 1), 16, 0, &[], &[&[0], &big[..]].concat())),
        ("pgm", [&b"P5\n2 1\n65535\n"[..], &big].concat()),
        ("tiff", tiff([2, 1], Tiff::LITTLE, &bits, &little)),
        ("tiff of the other order", tiff([2, 1], Tiff::BIG, &bits, &big)),
        ("big tiff", tiff([2, 1], Tiff::WIDE, &bits, &little)),
    ] {
        assert_eq!(decode(&bytes), wanted, "{name}");
    }
}

#[test]
fn a_pnm_whose_white_is_less_than_its_bits_allow_is_scaled_to_them() {
    assert_eq!(decode(b"P5\n3 1\n100\n\0\x32\x64"), Ok(grey(3, 1, &[0, 128, 255])));
    let ten_bits = [&b"P5\n2 1\n1023\n"[..], &[0, 0, 3, 0xff]].concat();
    assert_eq!(decode(&ten_bits), Ok(Picture::opaque(2, 1, 1, Pixels::U16(vec![0, 65_535]))));
}

#[test]
fn a_jpeg_of_twelve_bits_is_refused_by_name() {
    let mut jpeg = encoded(&colourful(), ImageFormat::Jpeg);
    let frame = frame_of(&jpeg);
    jpeg[frame + 4] = 12;
    assert_eq!(
        refused(&jpeg),
        "it is of a kind that is not read (JPEG of 12 bits): convert it to png, grey or RGB, of 8 or 16 bits"
    );
}

// === colours ===

/// Where the segment lies that says how large a JPEG is.
fn frame_of(jpeg: &[u8]) -> usize {
    jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap()
}

#[test]
fn a_jpeg_of_inks_is_refused_by_name_whoever_wrote_it() {
    let mut jpeg = encoded(&colourful(), ImageFormat::Jpeg);
    let frame = frame_of(&jpeg);
    jpeg[frame + 9] = 4;
    let adobe = |transform: u8| {
        let segment = [&[0xff, 0xee, 0, 14][..], b"Adobe\0\x64\0\0\0\0", &[transform]].concat();
        [&jpeg[..2], &segment, &jpeg[2..]].concat()
    };
    // CMYK as it is; as Adobe writes it, upside down; as YCCK.
    for bytes in [jpeg.clone(), adobe(0), adobe(2)] {
        assert_eq!(decode(&bytes), Err(Fault::Cmyk));
    }
    assert!(refused(&jpeg).ends_with("convert it to RGB"));
}

#[test]
fn a_jpeg_that_holds_red_green_and_blue_is_not_taken_for_another() {
    // As luma and chroma, flat grey is (120, 128, 128): said to be RGB, it is that very colour.
    let flat = RgbImage::from_pixel(16, 16, Rgb([120; 3]));
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 100).encode_image(&flat).unwrap();
    let adobe = [&[0xff, 0xee, 0, 14][..], b"Adobe\0\x64\0\0\0\0", &[0]].concat();
    let Pixels::U8(values) = decode(&[&jpeg[..2], &adobe, &jpeg[2..]].concat()).unwrap().pixels else {
        panic!("8 bits")
    };
    assert!(values.chunks(3).all(|pixel| pixel == [120, 128, 128]), "{:?}", &values[..3]);
}

const ORDERS: [Tiff; 3] = [Tiff::LITTLE, Tiff::BIG, Tiff::WIDE];

#[test]
fn a_tiff_is_the_greys_and_colours_it_holds_however_they_lie() {
    let (rgb, as_it_is): (&[u64], _) = (&[8, 8, 8], colours(2, 1, &[1, 2, 3, 4, 5, 6]));
    let cases: [(&str, Tags, &[u8], Picture); 4] = [
        ("black is zero", &[(258, &[8]), (262, &[1])], &[3, 250], grey(2, 1, &[3, 250])),
        ("white is zero", &[(258, &[8]), (262, &[0])], &[3, 250], grey(2, 1, &[252, 5])),
        ("colours", &[(258, rgb), (262, &[2]), (277, &[3])], &[1, 2, 3, 4, 5, 6], as_it_is.clone()),
        ("planes", &[(258, rgb), (262, &[2]), (277, &[3]), (284, &[2])], &[1, 4, 2, 5, 3, 6], as_it_is),
    ];
    for (name, tags, pixels, wanted) in cases {
        ORDERS
            .iter()
            .for_each(|&order| assert_eq!(decode(&tiff([2, 1], order, tags, pixels)).as_ref(), Ok(&wanted), "{name}"));
    }
}

#[test]
fn a_tiff_of_another_kind_of_pixel_is_refused_by_name() {
    let (rgb, unread): (&[u64], _) = (&[8, 8, 8], "it is of a kind that is not read");
    let cases: [(&str, Tags, &[u8], &str); 5] = [
        ("inks", &[(258, &[8; 4]), (262, &[5]), (277, &[4])], &[0; 8], "its pixels are inks"),
        ("lab", &[(258, rgb), (262, &[8]), (277, &[3])], &[0; 6], unread),
        ("icc lab", &[(258, rgb), (262, &[9]), (277, &[3])], &[0; 6], unread),
        ("palette", &[(258, &[8]), (262, &[3]), (320, &[0; 768])], &[0; 2], unread),
        ("floats", &[(258, &[32]), (262, &[1]), (339, &[3])], &[0; 8], unread),
    ];
    for (name, tags, pixels, why) in cases {
        for order in ORDERS {
            let said = refused(&tiff([2, 1], order, tags, pixels));
            assert!(said.starts_with(why), "{name}: {said}");
        }
    }
}

#[test]
fn a_tiff_whose_colours_are_multiplied_by_alpha_is_refused_and_one_whose_are_not_is_read() {
    let with = |extra: u64| {
        let tags: [(u16, &[u64]); 4] = [(258, &[8; 4]), (262, &[2]), (277, &[4]), (338, &[extra])];
        ORDERS.map(|order| decode(&tiff([1, 1], order, &tags, &[9, 8, 7, 60])))
    };
    assert_eq!(with(1), [(); 3].map(|()| Err(Fault::Premultiplied)));
    let straight = Picture { alpha: Some(Pixels::U8(vec![60])), ..colours(1, 1, &[9, 8, 7]) };
    assert_eq!(with(2), [(); 3].map(|()| Ok(straight.clone())));
}

#[test]
fn a_gamma_chunk_and_a_profile_change_no_value() {
    let plain = encoded(&colourful(), ImageFormat::Png);
    let wanted = decode(&plain).unwrap();
    assert_eq!(decode(&with_chunk(&plain, 33, b"gAMA", &100_000_u32.to_be_bytes())), Ok(wanted.clone()));
    let mut profiled = Vec::new();
    let mut encoder = PngEncoder::new(&mut profiled);
    encoder.set_icc_profile(vec![7; 200]).unwrap();
    colourful().write_with_encoder(encoder).unwrap();
    assert_eq!(decode(&profiled), Ok(wanted));
}

// === several, turned ===

#[test]
fn a_tiff_of_several_pages_is_refused_in_every_byte_order_and_width() {
    for order in ORDERS {
        let page: [(u16, &[u64]); 2] = [(258, &[8]), (262, &[1])];
        let two = tiff([1, 1], Tiff { next: 8, ..order }, &page, &[7]);
        assert_eq!(decode(&two), Err(Fault::SeveralPages));
        assert!(decode(&tiff([1, 1], order, &page, &[7])).is_ok());
    }
}

#[test]
fn an_animated_webp_is_refused() {
    let still = encoded(&colourful(), ImageFormat::WebP);
    let chunk = |kind: &[u8], content: &[u8]| {
        [kind, &(content.len() as u32).to_le_bytes(), content, &[0][..content.len() % 2]].concat()
    };
    let frame = [&[0; 6][..], &[3, 0, 0, 2, 0, 0, 100, 0, 0, 0], &still[12..]].concat();
    let flags = chunk(b"VP8X", &[2, 0, 0, 0, 3, 0, 0, 2, 0, 0]);
    let content = [&b"WEBP"[..], &flags, &chunk(b"ANIM", &[0; 6]), &chunk(b"ANMF", &frame)].concat();
    assert_eq!(decode(&chunk(b"RIFF", &content)), Err(Fault::Animated));
}

#[test]
fn an_image_to_be_shown_turned_is_refused_with_what_to_do() {
    let image = colourful();
    let (mut jpeg, mut webp) = (Vec::new(), Vec::new());
    let mut encoder = JpegEncoder::new(&mut jpeg);
    encoder.set_exif_metadata(exif(6)).unwrap();
    image.write_with_encoder(encoder).unwrap();
    let mut encoder = WebPEncoder::new_lossless(&mut webp);
    encoder.set_exif_metadata(exif(6)).unwrap();
    image.write_with_encoder(encoder).unwrap();
    let plain = encoded(&image, ImageFormat::Png);
    let end = plain.len() - 12;
    let tags: [(u16, &[u64]); 3] = [(258, &[8]), (262, &[1]), (274, &[6])];
    for (name, bytes) in [
        ("jpeg", jpeg),
        ("webp", webp),
        ("png, before its pixels", with_chunk(&plain, 33, b"eXIf", &exif(6))),
        ("png, behind them", with_chunk(&plain, end, b"eXIf", &exif(6))),
        ("tiff", tiff([1, 1], Tiff::BIG, &tags, &[7])),
    ] {
        assert_eq!(decode(&bytes), Err(Fault::Turned { orientation: 6 }), "{name}");
        assert!(refused(&bytes).contains("orientation 6") && refused(&bytes).contains("mogrify -auto-orient"));
    }
}

#[test]
fn an_orientation_that_turns_nothing_is_no_matter() {
    let plain = encoded(&colourful(), ImageFormat::Png);
    for orientation in [0, 1, 9] {
        assert_eq!(decode(&with_chunk(&plain, 33, b"eXIf", &exif(orientation))), decode(&plain), "{orientation}");
    }
}
