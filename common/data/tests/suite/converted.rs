//! Data sets in another form: the labels as they are, the images as they are or in the shape that was asked for.

use crate::shelf::{Shelf, colourful, encoded, npy};
use image::ImageFormat;
use std::fs;
use sumac_common::{
    leases::Shard,
    refinement::{Format, How, Layout, Refinement, WORK, What},
    spec::{Device, ImageShape, Resize, Workers},
};
use sumac_data::{
    Source, decode,
    refined::{self, Attempt, Input, Manifest, Outcome, RefinedError},
};

const SHARD: u32 = 2;
const ANY: ImageShape = ImageShape { channels: 1, height: 1, width: 1 };

pub(crate) fn begun(
    shelf: &Shelf,
    destination: &str,
    layout: Layout,
    format: Format,
    fitted: Option<ImageShape>,
) -> Refinement {
    let destination = shelf.path(destination);
    let frozen = Input::freeze(shelf.look("set").into(), SHARD, &destination.join(WORK)).unwrap();
    let what = What {
        input: frozen.digest,
        samples: frozen.samples,
        shard_samples: SHARD,
        refiner: None,
        image: fitted.unwrap_or(ANY),
        fit: fitted.map(|_| Resize::Area),
        layout,
        format,
        max_bad: 0.5,
    };
    let workers = Workers { min: 1, max: 1, device: Device::Auto };
    let how = How { source: shelf.path("set"), destination, workers };
    let order = Refinement { name: "set".to_owned(), what, how };
    refined::lay_down(&order, None).unwrap();
    order
}

pub(crate) fn convert(order: &Refinement) -> Result<Manifest, RefinedError> {
    refined::convert(order, &|_, _| {})
}

pub(crate) fn assert_clean(shelf: &Shelf, destination: &str, images: u64) {
    let verified = refined::verify(&shelf.path(destination), Some(&shelf.look("set")), &|_, _| {}).unwrap();
    assert_eq!((verified.images, verified.labels, &verified.findings[..]), (images, images, &[][..]));
}

/// Three colour images of different formats, with a label each.
fn colours() -> Shelf {
    let shelf = Shelf::new();
    for (name, format) in [("a.jpg", ImageFormat::Jpeg), ("deep/b.png", ImageFormat::Png), ("c.tif", ImageFormat::Tiff)]
    {
        shelf.put(&format!("set/{name}"), encoded(&colourful(), format));
        shelf.put(&format!("set/{}.json", name.rsplit_once('.').unwrap().0), format!("{{\"of\": \"{name}\"}}"));
    }
    shelf
}

fn images(source: &Source) -> Vec<Vec<u8>> {
    (0..source.samples().len()).map(|at| source.original(at).unwrap().bytes).collect()
}

#[test]
fn in_another_layout_each_image_is_the_bytes_that_it_was() {
    let shelf = colours();
    convert(&begun(&shelf, "tars", Layout::Shards, Format::Same, None)).unwrap();
    assert_clean(&shelf, "tars", 3);
    assert_eq!(images(&shelf.look("tars")), images(&shelf.look("set")));
}

#[test]
fn without_loss_only_what_is_no_png_is_written_anew() {
    let shelf = colours();
    convert(&begun(&shelf, "out", Layout::Mirror, Format::Png, None)).unwrap();
    assert_clean(&shelf, "out", 3);
    let read = |name: &str| fs::read(shelf.path(name)).unwrap();
    assert_eq!(read("out/deep/b.png"), read("set/deep/b.png"));
    assert_eq!(decode::decode(&read("out/a.png")), decode::decode(&read("set/a.jpg")));
}

#[test]
fn every_image_is_brought_to_the_shape_that_is_asked_for() {
    let shelf = colours();
    let shape = ImageShape { channels: 1, height: 2, width: 2 };
    convert(&begun(&shelf, "out", Layout::Mirror, Format::Same, Some(shape))).unwrap();
    assert_clean(&shelf, "out", 3);
    let (source, converted) = (shelf.look("set"), shelf.look("out"));
    for at in 0..3 {
        let now = converted.picture(at).unwrap();
        assert_eq!((now.height, now.width, now.channels), (2, 2, 1), "{}", converted.samples()[at].key);
        // A JPEG loses something in being written.
        if converted.samples()[at].key != "a.jpg" {
            assert_eq!(now, source.picture(at).unwrap().converted(shape, Resize::Area).unwrap());
        }
    }
}

#[test]
fn a_colour_stack_becomes_files_of_its_very_pixels() {
    let shelf = Shelf::new();
    shelf.put("set/x.npy", npy("|u1", "(3, 2, 2, 3)", &(0..36).collect::<Vec<u8>>()));
    shelf.put("set/y.npy", npy("<i4", "(3,)", &[7, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0]));
    convert(&begun(&shelf, "tars", Layout::Shards, Format::Same, None)).unwrap();
    assert_clean(&shelf, "tars", 3);
    let (source, tars) = (shelf.look("set"), shelf.look("tars"));
    (0..3).for_each(|at| assert_eq!(tars.picture(at).unwrap(), source.picture(at).unwrap()));
}

#[test]
fn a_stack_does_not_change_its_shape() {
    let shelf = Shelf::new();
    shelf.put("set/x.npy", npy("|u1", "(3, 2, 2)", &[7; 12]));
    let shape = ImageShape { channels: 1, height: 4, width: 4 };
    let error = convert(&begun(&shelf, "out", Layout::Mirror, Format::Same, Some(shape))).unwrap_err().to_string();
    assert!(error.contains("--layout shards"), "{error}");
}

#[test]
fn what_was_begun_is_gone_on_with_and_what_is_bad_is_listed() {
    let shelf = colours();
    let whole = encoded(&colourful(), ImageFormat::Png);
    shelf.put("set/d.png", &whole[..whole.len() / 2]);
    convert(&begun(&shelf, "peace", Layout::Shards, Format::Same, None)).unwrap();
    let order = begun(&shelf, "out", Layout::Shards, Format::Same, None);
    // Another process was at the second shard when it died.
    let source = Input::open(&order.work()).unwrap().shard(SHARD, Shard(1)).unwrap();
    let mut attempt = Attempt::begin(&order, &source, Shard(1), "convert-1").unwrap();
    attempt.put(Outcome::Bad { reason: "nobody will read this".to_owned() }).unwrap();
    drop(attempt);
    let manifest = convert(&order).unwrap();
    assert_eq!((manifest.images, manifest.bad), (3, 1));
    for name in ["part-000000.tar", "part-000001.tar", "errors.jsonl", "provenance.jsonl", "MANIFEST.json"] {
        assert_eq!(fs::read(shelf.path("out").join(name)).unwrap(), fs::read(shelf.path("peace").join(name)).unwrap());
    }
    let errors = fs::read_to_string(shelf.path("out/errors.jsonl")).unwrap();
    assert!(errors.contains("\"d.png\"") && errors.contains("it is cut short"), "{errors}");
}
