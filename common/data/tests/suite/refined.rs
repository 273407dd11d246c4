//! Refined data sets, written, published, sealed and verified, whatever dies in between. The refiner here is a negative.

use crate::shelf::{Shelf, encoded, grey, keys, npy};
use image::{DynamicImage, ImageBuffer, ImageFormat, Luma};
use std::{collections::BTreeMap, fs, path::Path};
use sumac_common::{
    ids::Digest,
    leases::Shard,
    refinement::{Format, How, Layout, Origin, Refinement, Trained, WORK, What},
    spec::{Device, ImageShape, Workers, model},
};
use sumac_data::{
    Source, decode,
    picture::{Picture, Pixels},
    refined::{self, Attempt, Input, Manifest, Outcome, RefinedError, Verified},
    source::{Form, Unread},
};

const SHARD: u32 = 3;

fn origin() -> Origin {
    Origin { run: "eyes-7f3".to_owned(), step: 600, lambda: 0.5, seed: 7 }
}

/// The set `set` of the shelf, frozen and laid down to be refined into this folder.
pub(crate) fn begun(shelf: &Shelf, destination: &str, layout: Layout) -> Refinement {
    begun_from(shelf, "set", destination, layout)
}

pub(crate) fn begun_from(shelf: &Shelf, source: &str, destination: &str, layout: Layout) -> Refinement {
    let destination = shelf.path(destination);
    let source = shelf.look(source);
    let frozen = Input::freeze(source.into(), SHARD, &destination.join(WORK)).unwrap();
    let what = What {
        input: frozen.digest,
        samples: frozen.samples,
        shard_samples: SHARD,
        refiner: Some(Trained {
            weights: Digest::of(b"refiner"),
            net: model::Refiner {
                width: 8,
                blocks: 1,
                kernel: 3,
                output: model::RefinerOutput::Tanh,
                padding: model::Padding::Zeros,
                noise: model::Noise::NONE,
                light: false,
                matching: model::Matching::None,
            },
            threads: 1,
            origin: origin(),
        }),
        image: ImageShape { channels: 1, height: 3, width: 4 },
        fit: None,
        layout,
        format: Format::Same,
        max_bad: 0.5,
    };
    let workers = Workers { min: 1, max: 4, device: Device::Auto };
    let how = How { source: shelf.path("set"), destination, workers };
    let refinement = Refinement { name: "set".to_owned(), what, how };
    refined::lay_down(&refinement, Some(b"refiner")).unwrap();
    refinement
}

fn negative(picture: &Picture) -> Picture {
    let pixels = match &picture.pixels {
        Pixels::U8(values) => Pixels::U8(values.iter().map(|value| 255 - value).collect()),
        Pixels::U16(values) => Pixels::U16(values.iter().map(|value| 65_535 - value).collect()),
        Pixels::F32(values) => Pixels::F32(values.iter().map(|value| 1.0 - value).collect()),
    };
    Picture { pixels, ..picture.clone() }
}

/// One attempt at a shard, whole and not published.
fn attempt(order: &Refinement, shard: u32, name: &str) {
    let input = Input::open(&order.work()).unwrap();
    let source = input.shard(SHARD, Shard(shard)).unwrap();
    let mut attempt = Attempt::begin(order, &source, Shard(shard), name).unwrap();
    for at in 0..source.samples().len() {
        attempt.put(outcome(order, &source, at)).unwrap();
    }
    attempt.finish().unwrap();
}

fn outcome(order: &Refinement, source: &Source, at: usize) -> Outcome {
    let original = match source.original(at) {
        Ok(original) => original,
        Err(Unread::Fault(fault)) => return Outcome::Bad { reason: fault.to_string() },
        Err(unread) => panic!("{unread:?}"),
    };
    let picture = match original.form {
        Form::Encoded(_) => decode::decode(&original.bytes),
        Form::Values => Ok(source.picture(at).unwrap()),
    };
    match picture.and_then(|picture| refined::written(&order.what, source, &negative(&picture), &original)) {
        Ok(image) => Outcome::Refined {
            original_digest: Digest::of(&original.bytes),
            image,
            pieces: source.label_pieces(at).unwrap(),
        },
        Err(fault) => Outcome::Bad { reason: fault.to_string() },
    }
}

pub(crate) fn publish_all(order: &Refinement, shards: impl Iterator<Item = u32>, name: &str) {
    for shard in shards {
        attempt(order, shard, name);
        refined::publish(order, Shard(shard), name).unwrap();
    }
}

pub(crate) fn seal(order: &Refinement) -> Result<Manifest, RefinedError> {
    refined::seal(order, &[], None, &|_, _| {})
}

/// Refined in peace.
pub(crate) fn whole(shelf: &Shelf, destination: &str, layout: Layout) -> Refinement {
    let order = begun(shelf, destination, layout);
    publish_all(&order, 0..order.what.shards(), "1-1");
    seal(&order).unwrap();
    order
}

pub(crate) fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn gather(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                gather(root, &path, files);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    gather(folder, folder, &mut files);
    files
}

pub(crate) fn verified(shelf: &Shelf, destination: &str) -> Verified {
    refined::verify(&shelf.path(destination), Some(&shelf.look("set")), &|_, _| {}).unwrap()
}

pub(crate) fn assert_clean(shelf: &Shelf, destination: &str, images: u64) {
    let verified = verified(shelf, destination);
    assert_eq!((verified.images, &verified.findings[..]), (images, &[][..]));
    assert_eq!(verified.labels, images);
}

/// Ten pictures with what lies beside them, some under names that nobody expects.
fn sidecars() -> Shelf {
    let shelf = Shelf::new();
    for tone in 0..8 {
        shelf.grey(&format!("set/deep/{tone}.png"), tone * 20);
        shelf.put(&format!("set/deep/{tone}.json"), format!("{{\"tone\": {tone},\r\n}}"));
    }
    shelf.put("set/-dash é.jpg", encoded(&grey(99), ImageFormat::Jpeg));
    shelf.put("set/-dash é.txt", "a b c");
    shelf.grey("set/two.dots.png", 7);
    shelf.put("set/two.dots.json", "{}");
    shelf.put("set/README.md", "of no image");
    shelf
}

#[test]
fn a_mirror_is_the_same_tree_and_names_with_every_label_byte_for_byte() {
    let shelf = sidecars();
    whole(&shelf, "refined", Layout::Mirror);
    let (before, after) = (tree(&shelf.path("set")), tree(&shelf.path("refined")));
    for (name, bytes) in &before {
        let is_image = name.ends_with("png") || name.ends_with("jpg");
        assert_eq!(after[name] != *bytes, is_image, "{name}");
    }
    let own: Vec<&String> = after.keys().filter(|name| !before.contains_key(*name)).collect();
    assert_eq!(own, ["MANIFEST.json", "errors.jsonl", "provenance.jsonl"]);
    assert_eq!(keys(&shelf.look("refined")), keys(&shelf.look("set")));
    assert_clean(&shelf, "refined", 10);
}

#[test]
fn tars_hold_every_image_with_its_label() {
    let shelf = sidecars();
    whole(&shelf, "refined", Layout::Shards);
    let source = shelf.look("refined");
    assert_eq!(source.samples().len(), 10);
    assert!(source.samples().iter().all(|sample| sample.label.is_some()));
    assert_clean(&shelf, "refined", 10);
}

#[test]
fn neither_the_order_of_shards_nor_names_of_attempts_change_a_byte() {
    let shelf = sidecars();
    for layout in [Layout::Mirror, Layout::Shards] {
        let one = format!("{layout:?}-one");
        whole(&shelf, &one, layout);
        let other = format!("{layout:?}-other");
        let order = begun(&shelf, &other, layout);
        publish_all(&order, (0..order.what.shards()).rev(), "7-99");
        seal(&order).unwrap();
        assert_eq!(tree(&shelf.path(&one)), tree(&shelf.path(&other)));
    }
}

#[test]
fn a_stack_is_mirrored_in_its_own_form() {
    let shelf = Shelf::new();
    let pixels: Vec<u8> = (0..7 * 12).collect();
    shelf.put("set/images.npy", npy("|u1", "(7, 3, 4)", &pixels));
    shelf.put("set/labels.npy", npy("|u1", "(7,)", &[1, 2, 3, 4, 5, 6, 7]));
    whole(&shelf, "refined", Layout::Mirror);
    let negative: Vec<u8> = pixels.iter().map(|value| 255 - value).collect();
    let after = tree(&shelf.path("refined"));
    assert_eq!(after["images.npy"], npy("|u1", "(7, 3, 4)", &negative));
    assert_eq!(after["labels.npy"], npy("|u1", "(7,)", &[1, 2, 3, 4, 5, 6, 7]));
    assert_clean(&shelf, "refined", 7);
}

#[test]
fn classes_and_tables_stay_what_they_are() {
    let shelf = Shelf::new();
    let mut table = "file_name,gaze\n".to_owned();
    for at in 0..5 {
        shelf.grey(&format!("set/{at}.png"), at * 30);
        table += &format!("{at}.png,\"0.{at}, 1\"\n");
    }
    shelf.put("set/metadata.csv", &table);
    whole(&shelf, "refined", Layout::Mirror);
    assert_eq!(tree(&shelf.path("refined"))["metadata.csv"], table.as_bytes());
    assert_clean(&shelf, "refined", 5);
}

#[test]
fn sixteen_bits_stay_sixteen() {
    let shelf = Shelf::new();
    let deep: DynamicImage = ImageBuffer::from_pixel(4, 3, Luma([1_000u16])).into();
    shelf.put("set/deep.png", encoded(&deep, ImageFormat::Png));
    whole(&shelf, "refined", Layout::Mirror);
    assert_eq!(shelf.look("refined").picture(0).unwrap().pixels, Pixels::U16(vec![64_535; 12]));
}

#[test]
fn a_publication_that_broke_off_is_gone_on_with() {
    let shelf = sidecars();
    whole(&shelf, "peace", Layout::Mirror);
    let order = begun(&shelf, "refined", Layout::Mirror);
    attempt(&order, 1, "1-1");
    // One file had its name already when the process died.
    let out = order.work().join("attempts/000001.1-1/out");
    let first = tree(&out).into_keys().next().unwrap();
    fs::create_dir_all(shelf.path("refined").join(&first).parent().unwrap()).unwrap();
    fs::rename(out.join(&first), shelf.path("refined").join(&first)).unwrap();
    for _ in 0..2 {
        refined::publish(&order, Shard(1), "1-1").unwrap();
    }
    publish_all(&order, [0, 2, 3].into_iter(), "2-1");
    seal(&order).unwrap();
    assert_eq!(tree(&shelf.path("refined")), tree(&shelf.path("peace")));
}

#[test]
fn sealing_publishes_what_its_worker_did_not_live_to() {
    let shelf = sidecars();
    let order = begun(&shelf, "refined", Layout::Mirror);
    publish_all(&order, 0..3, "1-1");
    let missing = seal(&order).unwrap_err();
    assert!(matches!(missing, RefinedError::NoAttempt { shard: Shard(3), .. }), "{missing}");
    attempt(&order, 3, "1-9");
    seal(&order).unwrap();
    assert_clean(&shelf, "refined", 10);
    assert!(!shelf.path("refined/.sumac").exists());
    // And again, as who did not hear that it was done.
    assert!(seal(&order).unwrap().is_of(&order));
}

#[test]
fn receipts_that_are_not_those_that_were_committed_are_not_sealed() {
    let shelf = sidecars();
    let order = begun(&shelf, "refined", Layout::Mirror);
    publish_all(&order, 0..4, "1-1");
    let wrong = refined::seal(&order, &[], Some(Digest::of(b"others")), &|_, _| {}).unwrap_err();
    assert!(matches!(wrong, RefinedError::Receipts { .. }), "{wrong}");
    assert!(!shelf.path("refined/MANIFEST.json").exists());
}

#[test]
fn of_two_attempts_without_a_coordinator_one_counts() {
    let shelf = sidecars();
    let order = begun(&shelf, "refined", Layout::Shards);
    for (name, counts) in [("task-0-1", true), ("task-1-1", false)] {
        attempt(&order, 0, name);
        assert_eq!(refined::publish_if_first(&order, Shard(0), name).unwrap(), counts, "{name}");
    }
    assert!(refined::is_published(&order, Shard(0)).unwrap());
    assert_eq!(tree(&order.work().join("attempts")).len(), 0);
}

#[test]
fn a_shard_in_quarantine_is_in_the_list_of_errors_image_by_image() {
    let shelf = sidecars();
    let order = begun(&shelf, "refined", Layout::Mirror);
    publish_all(&order, [0, 1, 3].into_iter(), "1-1");
    let lost = [(Shard(2), "w0: no room; w1: no room".to_owned())];
    let manifest = refined::seal(&order, &lost, None, &|_, _| {}).unwrap();
    assert_eq!((manifest.images, manifest.bad), (7, 3));
    let errors = String::from_utf8(fs::read(shelf.path("refined/errors.jsonl")).unwrap()).unwrap();
    assert!(errors.lines().count() == 3 && errors.lines().all(|line| line.contains("no room")), "{errors}");
    assert_eq!(verified(&shelf, "refined").findings, []);
}

#[test]
fn a_bad_image_is_listed_with_its_reason_and_the_rest_is_refined() {
    let shelf = sidecars();
    let whole_file = encoded(&grey(3), ImageFormat::Png);
    shelf.put("set/deep/0.png", &whole_file[..whole_file.len() / 2]);
    let order = whole(&shelf, "refined", Layout::Mirror);
    let errors = String::from_utf8(fs::read(shelf.path("refined/errors.jsonl")).unwrap()).unwrap();
    assert!(errors.lines().count() == 1 && errors.contains("deep/0.png"), "{errors}");
    let verified = verified(&shelf, "refined");
    assert_eq!((verified.images, verified.bad, &verified.findings[..]), (9, 1, &[][..]));
    assert!(refined::sealed(&order.how.destination).unwrap().is_some());
}

#[test]
fn too_many_bad_images_are_not_sealed() {
    let shelf = sidecars();
    shelf.put("set/deep/0.png", b"\x89PNG\r\n\x1a\n");
    let mut order = begun(&shelf, "refined", Layout::Mirror);
    order.what.max_bad = 0.01;
    publish_all(&order, 0..4, "1-1");
    let refused = seal(&order).unwrap_err();
    assert!(matches!(refused, RefinedError::TooManyBad { bad: 1, of: 10, .. }), "{refused}");
}

#[test]
fn a_file_that_was_touched_since_the_listing_fails_its_shard() {
    let shelf = sidecars();
    let order = begun(&shelf, "refined", Layout::Mirror);
    shelf.put("set/deep/0.png", encoded(&grey(200), ImageFormat::Bmp));
    let input = Input::open(&order.work()).unwrap();
    let source = input.shard(SHARD, Shard(0)).unwrap();
    let at = source.samples().iter().position(|sample| sample.key == "deep/0.png").unwrap();
    assert!(matches!(source.original(at), Err(Unread::Io { .. })), "it is no bad image: it is another one");
}

#[test]
fn another_input_does_not_go_on_in_the_same_folder() {
    let shelf = sidecars();
    begun(&shelf, "refined", Layout::Mirror);
    shelf.grey("set/one more.png", 1);
    let frozen = Input::freeze(shelf.look("set").into(), SHARD, &shelf.path("refined").join(WORK));
    assert!(matches!(frozen, Err(RefinedError::AnotherInput { .. })));
}

/// What verify says after this was done to a whole data set.
fn damaged(layout: Layout, damage: impl Fn(&Path)) -> Vec<String> {
    let shelf = sidecars();
    whole(&shelf, "refined", layout);
    damage(&shelf.path("refined"));
    verified(&shelf, "refined").findings.iter().map(ToString::to_string).collect()
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn verify_finds_what_is_not_as_it_was_written() {
    let mirror = |damage: &dyn Fn(&Path)| damaged(Layout::Mirror, damage);
    let image = mirror(&|root| flip(&root.join("deep/3.png"), 60));
    assert!(image.iter().any(|said| said.contains("deep/3.png")), "{image:?}");
    let label = mirror(&|root| fs::write(root.join("deep/3.json"), "{}").unwrap());
    assert!(label.iter().any(|said| said.contains("its label is not what was written")), "{label:?}");
    let missing = mirror(&|root| fs::remove_file(root.join("deep/3.png")).unwrap());
    assert!(missing.iter().any(|said| said.contains("it is missing")), "{missing:?}");
    let extra = mirror(&|root| fs::write(root.join("new.png"), encoded(&grey(1), ImageFormat::Png)).unwrap());
    assert!(extra.iter().any(|said| said.contains("new.png: it was not written")), "{extra:?}");
    let list = mirror(&|root| {
        let lines = fs::read(root.join("provenance.jsonl")).unwrap();
        fs::write(root.join("provenance.jsonl"), &lines[..lines.len() / 2]).unwrap();
    });
    assert!(list.iter().any(|said| said.contains("neither refined nor in the list")), "{list:?}");
    let tar = damaged(Layout::Shards, |root| flip(&root.join("part-000001.tar"), 700));
    assert!(tar.iter().any(|said| said.contains("part-000001.tar: it is not what was written")), "{tar:?}");
    let outside = damaged(Layout::Shards, |root| {
        let manifest = fs::read_to_string(root.join("MANIFEST.json")).unwrap();
        fs::write(root.join("MANIFEST.json"), manifest.replace("part-000001.tar", "../part-000001.tar")).unwrap();
    });
    assert!(outside.iter().any(|said| said.contains("which is no part")), "{outside:?}");
}

#[test]
fn a_mutated_list_is_a_finding_and_never_an_end() {
    let shelf = sidecars();
    whole(&shelf, "refined", Layout::Mirror);
    let (root, source) = (shelf.path("refined"), shelf.look("set"));
    let mut seed = 7u64;
    let mut roll = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for name in ["MANIFEST.json", "errors.jsonl", "provenance.jsonl"] {
        let whole = fs::read(root.join(name)).unwrap();
        for _ in 0..if whole.is_empty() { 0 } else { 100 } {
            let mut bytes = whole.clone();
            let at = roll(bytes.len());
            match roll(3) {
                0 => bytes[at] = roll(256) as u8,
                1 => bytes.truncate(at),
                _ => drop(bytes.drain(at..(at + roll(20)).min(whole.len()))),
            }
            fs::write(root.join(name), &bytes).unwrap();
            // A manifest that cannot be read is an error in words; all else is found.
            let verified = refined::verify(&root, Some(&source), &|_, _| {});
            let is_seen = verified.map_or(true, |verified| !verified.findings.is_empty());
            assert!(
                is_seen || bytes == whole || name == "MANIFEST.json",
                "{name}: {:?}",
                String::from_utf8_lossy(&bytes)
            );
        }
        fs::write(root.join(name), &whole).unwrap();
    }
}
