//! Content that lies, ends early or was flipped: a bad image with a reason, never a panic and never a lot of memory.

use crate::shelf::{Shelf, colourful, encoded, grey, gzipped, idx, npy, terms};
use image::ImageFormat;
use std::fs::File;
use sumac_data::{
    Source,
    decode::{FILE_BYTES_MAX, Fault, decode, header},
    freeze::Terms,
};

#[test]
fn a_truncated_image_is_bad_in_every_format() {
    let large = colourful().resize_exact(64, 48, image::imageops::FilterType::Triangle);
    let formats =
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::Pnm, ImageFormat::WebP];
    for format in formats {
        let whole = encoded(&large, format);
        assert!(decode(&whole).is_ok(), "{format:?}");
        for share in [0.3, 0.6, 0.95] {
            let cut = &whole[..(whole.len() as f64 * share) as usize];
            assert!(decode(cut).is_err(), "{format:?} cut to {share}");
        }
    }
}

#[test]
fn a_truncated_image_is_listed_with_its_reason() {
    let shelf = Shelf::new();
    shelf.grey("set/a.png", 1);
    let whole = encoded(&grey(9), ImageFormat::Jpeg);
    shelf.put("set/b.jpg", &whole[..whole.len() - 2]);
    let frozen = shelf.freeze("set", Terms { max_bad: 0.5, ..terms() }).unwrap();
    assert_eq!(frozen.bad()[0].reason, "it is cut short: the file ends before the image does");
}

#[test]
fn an_empty_file_is_bad() {
    assert_eq!(decode(&[]), Err(Fault::Empty));
}

#[test]
fn a_file_that_is_too_big_is_not_read() {
    let shelf = Shelf::new();
    shelf.grey("set/a.png", 1);
    // A hole in the disk: of this size, but nothing was written.
    File::create(shelf.path("set/b.png")).unwrap().set_len(FILE_BYTES_MAX + 5).unwrap();
    let bad = shelf.look("set").inspect(None).bad;
    assert_eq!(
        bad[0].reason,
        format!(
            "the file has {} bytes, more than the {FILE_BYTES_MAX} that are read for one image",
            FILE_BYTES_MAX + 5
        )
    );
}

#[test]
fn a_png_that_claims_a_huge_size_is_bad_before_it_is_allocated() {
    let mut png = encoded(&grey(1), ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 0, 0x3f, 0xff, 0, 0, 0x3f, 0xff]);
    let fixed = crc32(&png[12..29]).to_be_bytes();
    png[29..33].copy_from_slice(&fixed);
    assert!(matches!(decode(&png), Err(Fault::Truncated | Fault::Damaged(_))));
    png[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    let fixed = crc32(&png[12..29]).to_be_bytes();
    png[29..33].copy_from_slice(&fixed);
    assert_eq!(header(&png), Err(Fault::TooManyPixels));
}

#[test]
fn a_bmp_or_pnm_that_claims_a_huge_size_is_bad_before_it_is_allocated() {
    let mut bmp = encoded(&colourful(), ImageFormat::Bmp);
    bmp[18..26].copy_from_slice(&[0, 0x7f, 0, 0, 0, 0x7f, 0, 0]);
    assert!(decode(&bmp).is_err());
    let fault = decode(b"P5\n30000 30000\n255\n").unwrap_err();
    assert_eq!(fault, Fault::TooManyPixels);
}

#[test]
fn an_animated_png_is_refused() {
    let png = encoded(&grey(1), ImageFormat::Png);
    let mut control = b"acTL".to_vec();
    control.extend([0, 0, 0, 2, 0, 0, 0, 0]);
    let mut animated = png[..33].to_vec();
    animated.extend(8_u32.to_be_bytes());
    animated.extend(&control);
    animated.extend(crc32(&control).to_be_bytes());
    animated.extend(&png[33..]);
    assert_eq!(decode(&animated), Err(Fault::Animated));
}

#[test]
fn a_tiff_of_several_pages_is_refused() {
    let mut tiff = encoded(&grey(1), ImageFormat::Tiff);
    assert!(decode(&tiff).is_ok());
    let directory = u32::from_le_bytes(tiff[4..8].try_into().unwrap()) as usize;
    let entries = usize::from(u16::from_le_bytes(tiff[directory..directory + 2].try_into().unwrap()));
    let next = directory + 2 + 12 * entries;
    tiff[next..next + 4].copy_from_slice(&8_u32.to_le_bytes());
    assert_eq!(decode(&tiff), Err(Fault::SeveralPages));
}

#[test]
fn a_gif_is_named_as_what_it_is() {
    assert_eq!(
        decode(b"GIF89a\x01\x00\x01\x00").unwrap_err().to_string(),
        "it is a gif file, which is not read: convert it to png"
    );
}

#[test]
fn a_stack_with_a_hostile_header_is_refused_before_it_is_allocated() {
    let shelf = Shelf::new();
    let endless = [b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(), vec![b' '; 40]].concat();
    for (name, bytes) in [
        ("count.npy", npy("|u1", "(99999999999999, 3, 4)", &[0; 24])),
        ("overflow.npy", npy("|u1", "(9223372036854775807, 9223372036854775807, 4)", &[0; 24])),
        ("side.npy", npy("|u1", "(1, 0, 4)", &[])),
        ("flat.npy", npy("|u1", "(12,)", &[0; 12])),
        ("endless.npy", endless),
        ("a-idx3-ubyte", idx(&[u32::MAX, 28, 28], &[0; 24])),
        ("b-idx3-ubyte", idx(&[1, u32::MAX, u32::MAX], &[0; 24])),
        ("c-idx3-ubyte.gz", gzipped(&idx(&[u32::MAX, 1, 1], &[0; 24]))),
        ("d-idx3-ubyte", idx(&[0, 28, 28], &[])),
    ] {
        shelf.put(name, bytes);
        let refused = Source::look(&shelf.path(name));
        assert!(refused.is_err(), "{name} was taken as {:?}", refused.map(|source| source.samples().len()));
    }
}

#[test]
fn a_value_that_is_no_number_makes_its_image_bad_and_no_other() {
    let shelf = Shelf::new();
    let values: Vec<u8> = (0..24).flat_map(|at| if at == 15 { f32::NAN } else { 0.5 }.to_le_bytes()).collect();
    shelf.put("stack.npy", npy("<f4", "(2, 3, 4)", &values));
    let frozen = shelf.freeze("stack.npy", Terms { max_bad: 0.5, ..terms() }).unwrap();
    assert_eq!((frozen.len(), frozen.bad()[0].key.as_str()), (1, "00000001"));
}

#[test]
fn a_header_of_brackets_within_brackets_is_refused_and_takes_no_stack_without_end() {
    let shelf = Shelf::new();
    for bracket in ["(", "[", "{1:"] {
        shelf.put("x.npy", npy("|u1", &bracket.repeat(20_000), &[]));
        let error = Source::look(&shelf.path("x.npy")).unwrap_err().to_string();
        assert!(error.contains("its npy header cannot be read"), "{error}");
    }
}

#[test]
fn a_stack_of_nothing_with_a_label_of_no_axes_is_refused() {
    let shelf = Shelf::new();
    shelf.put("images.npy", npy("|u1", "(0, 3, 4)", &[]));
    shelf.put("labels.npy", npy("|u1", "()", &[1]));
    assert!(Source::look(&shelf.path("images.npy")).is_err());
}

#[test]
fn a_stack_of_more_images_than_can_be_listed_is_refused_however_small_they_are() {
    let shelf = Shelf::new();
    let path = shelf.put("x-idx3-ubyte", idx(&[200_000_000, 1, 1], &[]));
    File::options().write(true).open(&path).unwrap().set_len(16 + 200_000_000).unwrap();
    let error = Source::look(&path).unwrap_err().to_string();
    assert!(error.contains("claims 200000000 images, and 100000000 are listed at most"), "{error}");
}

#[test]
fn a_table_whose_rows_would_fill_the_memory_with_names_of_columns_is_refused() {
    let shelf = Shelf::new();
    let head = format!("file,{}", "a".repeat(1 << 20));
    let path = shelf.put("x.csv", [head, "\na.png,".repeat(4_096)].concat());
    let error = Source::look(&path).unwrap_err().to_string();
    assert!(error.contains("take more than 4294967296 bytes in memory"), "{error}");
}

#[test]
fn a_record_of_a_tub_that_names_images_without_end_is_listed() {
    let shelf = Shelf::new();
    shelf.grey("tub/images/a.png", 1);
    let cameras: Vec<String> = (0..65).map(|at| format!("\"cam/image_array_{at}\": \"a.png\"")).collect();
    let lines = ["{\"cam/image_array\": \"a.png\"}", &format!("{{{}}}", cameras.join(", "))].join("\n");
    shelf.put("tub/catalog_0.catalog", lines);
    let reason = "the record is torn, it names 65 images and not up to 64: take it out, or copy the tub again";
    assert_eq!(shelf.look("tub").bad()[0].reason, reason);
}

/// The checksum of PNG chunks (ISO 3309), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}
