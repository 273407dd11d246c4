//! Every kind of data set, recognised by content and listed in one order.

use crate::shelf::{Shelf, colourful, encoded, grey, gzipped, idx, keys, npy, terms};
use image::{DynamicImage, ImageFormat};
use sumac_common::{
    ids::SampleId,
    spec::{ImageShape, Labels, Resize},
};
use sumac_data::{
    Label,
    decode::decode,
    freeze::Terms,
    label::LabelKind,
    picture::Pixels,
    source::{Kind, SizeCount},
};

#[test]
fn every_format_without_loss_decodes_to_the_same_pixels() {
    let original = colourful().into_rgb8().into_raw();
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::Pnm, ImageFormat::WebP] {
        let bytes = encoded(&colourful(), format);
        let picture = decode(&bytes).unwrap();
        assert_eq!((picture.width, picture.height, picture.channels), (4, 3, 3), "{format:?}");
        assert_eq!(picture.pixels, Pixels::U8(original.clone()), "{format:?}");
    }
}

#[test]
fn a_jpeg_decodes_to_nearly_the_same_pixels() {
    let picture = decode(&encoded(&grey(120), ImageFormat::Jpeg)).unwrap();
    let Pixels::U8(values) = picture.pixels else { panic!("a jpeg has 8 bits") };
    assert!(values.iter().all(|value| value.abs_diff(120) <= 2), "{values:?}");
}

#[test]
fn sixteen_bits_stay_sixteen_bits() {
    let deep = DynamicImage::ImageLuma16(image::ImageBuffer::from_fn(4, 3, |x, _| image::Luma([x as u16 * 257 + 1])));
    let picture = decode(&encoded(&deep, ImageFormat::Png)).unwrap();
    assert_eq!(picture.pixels, Pixels::U16(deep.into_luma16().into_raw()));
}

#[test]
fn the_content_tells_the_format_not_the_name() {
    let shelf = Shelf::new();
    shelf.put("set/really-png.jpg", encoded(&grey(7), ImageFormat::Png));
    shelf.put("set/no-ending-at-all", encoded(&grey(8), ImageFormat::Bmp));
    shelf.put("set/notes.md", "not an image");
    assert_eq!(shelf.freeze("set", terms()).unwrap().len(), 2);
}

#[test]
fn a_folder_is_listed_by_the_bytes_of_its_keys_with_sidecars() {
    let shelf = Shelf::new();
    for name in ["set/b/10.png", "set/9.png", "set/b/1.png", "set/Z.png"] {
        shelf.grey(name, 1);
    }
    shelf.put("set/b/1.json", "{}");
    shelf.put("set/b/1.txt", "");
    shelf.grey("set/Z_mask.png", 0);
    shelf.put("set/.hidden.png", "no");
    let source = shelf.look("set");
    assert_eq!(source.kind(), Kind::Folder);
    assert_eq!(keys(&source), ["9.png", "Z.png", "b/1.png", "b/10.png"]);
    assert_eq!(source.samples()[2].label, Some(Label::Sidecars(vec!["b/1.json".into(), "b/1.txt".into()])));
    assert_eq!(source.samples()[1].label, Some(Label::Sidecars(vec!["Z_mask.png".into()])));
    assert_eq!(source.samples()[0].label, None);
}

#[test]
fn sub_folders_are_classes_when_all_images_lie_in_them() {
    let shelf = Shelf::new();
    for name in ["set/cat/1.png", "set/dog/1.png", "set/dog/2.png"] {
        shelf.grey(name, 1);
    }
    let source = shelf.look("set");
    assert_eq!(source.kind(), Kind::ClassFolders);
    assert_eq!(source.samples()[2].label, Some(Label::Class { index: 1, name: "dog".into() }));
    assert_eq!(source.inspect(None).classes, ["cat", "dog"]);

    shelf.grey("set/stray.png", 1);
    assert_eq!(shelf.look("set").kind(), Kind::Folder);
}

#[test]
fn folders_named_by_numbers_keep_their_numbers() {
    let shelf = Shelf::new();
    for name in ["set/2/a.png", "set/10/a.png"] {
        shelf.grey(name, 1);
    }
    let source = shelf.look("set");
    assert_eq!(source.samples()[0].label, Some(Label::Class { index: 10, name: "10".into() }));
    assert_eq!(source.inspect(None).classes, ["2", "10"]);
}

#[test]
fn a_table_in_the_folder_gives_each_image_its_row() {
    for (table, text) in [
        ("metadata.csv", "file_name,gaze\n./b.png,\"1, 2\"\na.png,3\n"),
        ("labels.csv", "gaze;file\n1, 2;b.png\n3;a.png\n"),
        ("whatever.csv", "\u{feff}image,gaze\nb.png,\"1, 2\"\na.png,3\n"),
        (
            "metadata.jsonl",
            "{\"file_name\": \"b.png\", \"gaze\": \"1, 2\"}\n\n{\"file_name\": \"a.png\", \"gaze\": 3}\n",
        ),
    ] {
        let shelf = Shelf::new();
        for name in ["set/a.png", "set/b.png", "set/c.png"] {
            shelf.grey(name, 1);
        }
        shelf.put(&format!("set/{table}"), text);
        let source = shelf.look("set");
        assert_eq!(source.kind(), Kind::Table, "{table}");
        let gaze: Vec<_> = source.samples().iter().map(|sample| sample.label.as_ref()?.field("gaze")).collect();
        assert_eq!(gaze, [Some("3"), Some("1, 2"), None], "{table}");
    }
}

#[test]
fn a_table_beside_a_folder_of_its_stem_names_the_samples() {
    let shelf = Shelf::new();
    for name in ["test/a.png", "test/b.png"] {
        shelf.grey(name, 1);
    }
    shelf.put("test-labels.csv", "file,class_id\nb.png,41\nmissing.png,2\n");
    let source = shelf.look("test-labels.csv");
    assert_eq!(keys(&source), ["b.png"]);
    assert_eq!(source.samples()[0].label.as_ref().unwrap().field("class_id"), Some("41"));
    assert_eq!(source.bad()[0].reason, "the table names it, but there is no such file");
}

#[test]
fn idx_images_come_with_the_labels_beside_them_plain_or_gzipped() {
    let shelf = Shelf::new();
    let images = idx(&[2, 3, 4], &(0..24).map(|value| value * 10).collect::<Vec<u8>>());
    shelf.put("plain/train-images-idx3-ubyte", &images);
    shelf.put("plain/train-labels-idx1-ubyte", idx(&[2], &[7, 3]));
    shelf.put("gz/train-images-idx3-ubyte.gz", gzipped(&images));
    shelf.put("gz/train-labels-idx1-ubyte.gz", gzipped(&idx(&[2], &[7, 3])));
    let mut hashes = Vec::new();
    for name in ["plain/train-images-idx3-ubyte", "gz/train-images-idx3-ubyte.gz", "gz"] {
        assert_eq!(shelf.look(name).kind(), Kind::Idx);
        let frozen = shelf.freeze(name, Terms { labels: Labels::Required, ..terms() }).unwrap();
        assert_eq!(frozen.label(SampleId(1)), Some(&Label::Class { index: 3, name: "3".into() }));
        let mut pixels = Vec::new();
        frozen.read(&[SampleId(1)], &mut pixels).unwrap();
        assert_eq!(pixels[0], 120.0 / 127.5 - 1.0);
        hashes.push(frozen.manifest_hash());
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]));
}

#[test]
fn npy_stacks_of_every_layout_and_depth_hold_the_same_images() {
    // Two images of 3x4 pixels in 3 channels: value = 2 * pixel + channel.
    let value = |image: usize, pixel: usize, channel: usize| (100 * image + 2 * pixel + channel) as u8;
    let images = |last: bool| -> Vec<u8> {
        let of = |image: usize| -> Vec<u8> {
            if last {
                (0..36).map(|at| value(image, at / 3, at % 3)).collect()
            } else {
                (0..36).map(|at| value(image, at % 12, at / 12)).collect()
            }
        };
        [of(0), of(1)].concat()
    };
    let deep: Vec<u8> = images(true).iter().flat_map(|&v| (u16::from(v) * 257).to_le_bytes()).collect();
    let foreign: Vec<u8> = images(true).iter().flat_map(|&v| (u16::from(v) * 257).to_be_bytes()).collect();
    let real = |of: fn(u8) -> f32| -> Vec<u8> { images(true).iter().flat_map(|&v| of(v).to_le_bytes()).collect() };
    let shelf = Shelf::new();
    shelf.put("last.npy", npy("|u1", "(2, 3, 4, 3)", &images(true)));
    shelf.put("first.npy", npy("|u1", "(2, 3, 3, 4)", &images(true)));
    shelf.put("planes.npy", npy("|u1", "(2, 9, 4)", &images(false)));
    shelf.put("deep.npy", npy("<u2", "(2, 3, 4, 3)", &deep));
    shelf.put("foreign.npy", npy(">u2", "(2, 3, 4, 3)", &foreign));
    shelf.put("unit.npy", npy("<f4", "(2, 3, 4, 3)", &real(|v| f32::from(v) / 255.0)));
    shelf.put("signed.npy", npy("<f4", "(2, 3, 4, 3)", &real(|v| f32::from(v) / 127.5 - 1.0)));
    shelf.put("bytes.npy", npy("<f4", "(2, 3, 4, 3)", &real(f32::from)));

    let shape = ImageShape { channels: 3, height: 3, width: 4 };
    let read = |name: &str| {
        let frozen = shelf.freeze(name, Terms { shape, ..terms() }).unwrap();
        let mut pixels = Vec::new();
        frozen.read(&[SampleId(1)], &mut pixels).unwrap();
        pixels
    };
    let wanted: Vec<f32> = (0..36).map(|at| f32::from(value(1, at % 12, at / 12)) / 127.5 - 1.0).collect();
    for name in ["last.npy", "deep.npy", "foreign.npy", "unit.npy", "signed.npy", "bytes.npy"] {
        let apart = read(name).iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-5, "{name}: {apart}");
    }
    let tall = ImageShape { channels: 1, height: 9, width: 4 };
    assert_eq!(shelf.freeze("planes.npy", Terms { shape: tall, ..terms() }).unwrap().len(), 2);
    assert_eq!(
        shelf.look("first.npy").inspect(None).sizes[0].channels,
        4,
        "where both may be channels, the last axis is"
    );
}

#[test]
fn channels_first_is_told_by_its_few_channels() {
    let shelf = Shelf::new();
    shelf.put("stack.npy", npy("|u1", "(1, 3, 2, 5)", &(0..30).collect::<Vec<u8>>()));
    let shape = ImageShape { channels: 3, height: 2, width: 5 };
    let frozen = shelf.freeze("stack.npy", Terms { shape, ..terms() }).unwrap();
    let mut pixels = Vec::new();
    frozen.read(&[SampleId(0)], &mut pixels).unwrap();
    assert_eq!(pixels, (0..30).map(|v: u8| f32::from(v) / 127.5 - 1.0).collect::<Vec<f32>>());
}

#[test]
fn one_deep_image_makes_all_deep_and_keeps_their_brightness() {
    let shelf = Shelf::new();
    shelf.grey("set/a.png", 51);
    let deep = DynamicImage::ImageLuma16(image::ImageBuffer::from_pixel(4, 3, image::Luma([13107])));
    shelf.put("set/b.png", encoded(&deep, ImageFormat::Png));
    let frozen = shelf.freeze("set", terms()).unwrap();
    let mut pixels = Vec::new();
    frozen.read(&[SampleId(0), SampleId(1)], &mut pixels).unwrap();
    assert!(pixels.iter().all(|value| (value + 0.6).abs() < 1e-6), "{pixels:?}");
}

#[test]
fn area_resizes_and_counts_no_image_bad() {
    let shelf = Shelf::new();
    shelf.grey("set/a.png", 51);
    let shape = ImageShape { channels: 1, height: 2, width: 2 };
    let frozen = shelf.freeze("set", Terms { shape, resize: Resize::Area, ..terms() }).unwrap();
    let mut pixels = Vec::new();
    frozen.read(&[SampleId(0)], &mut pixels).unwrap();
    assert_eq!(pixels, [51.0 / 127.5 - 1.0; 4]);
}

#[test]
fn an_inspection_counts_sizes_labels_and_what_is_bad() {
    let shelf = Shelf::new();
    shelf.grey("set/a.png", 1);
    shelf.grey("set/b.png", 1);
    shelf.put("set/b.json", "{}");
    shelf.put("set/c.png", encoded(&colourful(), ImageFormat::Jpeg));
    shelf.put("set/d.png", "oops");
    let inspection = shelf.look("set").inspect(None);
    let size = |channels, images| SizeCount { width: 4, height: 3, channels, bits: 8, images };
    assert_eq!(inspection.sizes, [size(1, 2), size(3, 1)]);
    assert_eq!((inspection.labels.kind, inspection.labels.missing), (Some(LabelKind::Sidecar), 3));
    assert_eq!(inspection.examples[0], "a.png");
    assert_eq!(inspection.bad[0].key, "d.png");
    assert_eq!(shelf.look("set").inspect(Some(1)).looked_into, 1);
    assert!(serde_json::to_string(&inspection).unwrap().contains("\"kind\":\"folder\""));
}

#[cfg(not(feature = "parquet"))]
#[test]
fn parquet_that_is_not_built_in_is_refused_with_how_to_build_it_in() {
    let shelf = Shelf::new();
    shelf.put("set/train-0.parquet", b"PAR1");
    for name in ["set", "set/train-0.parquet", "set/train-*.parquet", "set/train-0.parquet/image", "set/image"] {
        let error = sumac_data::Source::look(&shelf.path(name)).unwrap_err().to_string();
        assert!(error.contains("train-0.parquet") && error.contains("--features parquet"), "{name}: {error}");
    }
}
