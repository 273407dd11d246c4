//! Refined data sets in a bucket: the bytes that a folder gets, whatever dies in between. The refiner here is a negative.
#![allow(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use sumac_common::{
    ids::Digest,
    leases::Shard,
    refinement::{Format, How, Layout, Origin, Refinement, Trained, WORK, What},
    spec::{Device, ImageShape, Workers, model},
};
use sumac_data::{
    Source, decode,
    picture::{Picture, Pixels},
    refined::{self, Attempt, Input, Outcome},
    source::{Form, Roll},
};
use sumac_tests_s3::{Bucket, npy, png};

const SHARD: u32 = 2;

/// `source` frozen and laid down to be refined into `destination`.
fn begun(source: &Path, destination: PathBuf, layout: Layout) -> Refinement {
    let frozen = Input::freeze(Roll::look(source).unwrap(), SHARD, &destination.join(WORK)).unwrap();
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
            origin: Origin { run: "eyes-7f3".to_owned(), step: 600, lambda: 0.5, seed: 7 },
        }),
        image: ImageShape { channels: 1, height: 3, width: 4 },
        fit: None,
        layout,
        format: Format::Same,
        max_bad: 0.5,
    };
    let workers = Workers { min: 1, max: 4, device: Device::Auto };
    let how = How { source: source.to_owned(), destination, workers };
    let order = Refinement { name: "set".to_owned(), what, how };
    refined::lay_down(&order, Some(b"refiner")).unwrap();
    order
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
    let original = source.original(at).unwrap();
    let picture = match original.form {
        Form::Encoded(_) => decode::decode(&original.bytes),
        Form::Values => Ok(source.picture(at).unwrap()),
    };
    match picture.and_then(|picture| refined::written(&order.what, source, &negative(picture), &original)) {
        Ok(image) => Outcome::Refined {
            original_digest: Digest::of(&original.bytes),
            image,
            pieces: source.label_pieces(at).unwrap(),
        },
        Err(fault) => Outcome::Bad { reason: fault.to_string() },
    }
}

fn negative(picture: Picture) -> Picture {
    let Pixels::U8(values) = &picture.pixels else { panic!("all images here have 8 bits") };
    Picture { pixels: Pixels::U8(values.iter().map(|value| 255 - value).collect()), ..picture }
}

/// Refined in peace.
fn refine(source: &Path, destination: PathBuf, layout: Layout) {
    let order = begun(source, destination, layout);
    for shard in 0..order.what.shards() {
        attempt(&order, shard, "1-1");
        refined::publish(&order, Shard(shard), "1-1").unwrap();
    }
    refined::seal(&order, &[], None, &|_, _| {}).unwrap();
}

/// Every file below a folder. The server's own notes are none.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn gather(root: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                gather(root, &path, files);
            } else {
                files.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    gather(folder, folder, &mut files);
    files
}

fn assert_whole(bucket: &Bucket, destination: &str, images: u64) {
    let source = Source::look(&bucket.named("set")).unwrap();
    let verified = refined::verify(&bucket.named(destination), Some(&source), &|_, _| {}).unwrap();
    assert_eq!((verified.images, verified.labels, &verified.findings[..]), (images, images, &[][..]));
}

/// Five images with what lies beside them, one that is none, and a file of nobody.
fn put_set(bucket: &Bucket) {
    for (name, tone) in [("a", 1), ("b c", 2), ("deep/d", 3), ("deep/\u{e9}", 4), ("e", 5)] {
        bucket.put_both(&format!("set/{name}.png"), png(tone));
        bucket.put_both(&format!("set/{name}.json"), format!("{{\"tone\": {tone}}}"));
    }
    bucket.put_both("set/f.png", b"\x89PNG\r\n\x1a\nand no more");
    bucket.put_both("set/read me.txt", "of nobody");
}

#[test]
fn a_bucket_gets_the_bytes_that_a_folder_gets() {
    Bucket::of("a_bucket_gets_the_bytes_that_a_folder_gets", |bucket| {
        put_set(bucket);
        for (layout, name) in [(Layout::Mirror, "mirror"), (Layout::Shards, "shards")] {
            refine(&bucket.here("set"), bucket.here(name), layout);
            refine(&bucket.named("set"), bucket.named(name), layout);
            assert_eq!(tree(&bucket.here(name)), tree(&bucket.kept(name)), "{name}");
            assert_whole(bucket, name, 5);
        }
    });
}

#[test]
fn a_stack_in_a_bucket_is_put_together_there() {
    Bucket::of("a_stack_in_a_bucket_is_put_together_there", |bucket| {
        bucket.put_both("set/images.npy", npy("(5, 4, 6)", &(0..120).collect::<Vec<u8>>()));
        bucket.put_both("set/labels.npy", npy("(5,)", &[2, 0, 1, 1, 0]));
        refine(&bucket.here("set"), bucket.here("out"), Layout::Mirror);
        refine(&bucket.named("set"), bucket.named("out"), Layout::Mirror);
        assert_eq!(tree(&bucket.here("out")), tree(&bucket.kept("out")));
        assert_whole(bucket, "out", 5);
    });
}

#[test]
fn what_a_dead_worker_left_whole_in_a_bucket_is_sealed() {
    Bucket::of("what_a_dead_worker_left_whole_in_a_bucket_is_sealed", |bucket| {
        put_set(bucket);
        refine(&bucket.here("set"), bucket.here("out"), Layout::Mirror);
        let order = begun(&bucket.named("set"), bucket.named("out"), Layout::Mirror);
        // One was published, one is whole, one was published by halves: a file of it has its name already.
        attempt(&order, 0, "1-1");
        refined::publish(&order, Shard(0), "1-1").unwrap();
        attempt(&order, 1, "1-2");
        attempt(&order, 2, "1-3");
        fs::rename(bucket.kept("out/.sumac/attempts/000002.1-3/out/e.png"), bucket.kept("out/e.png")).unwrap();
        refined::seal(&order, &[], None, &|_, _| {}).unwrap();
        assert_eq!(tree(&bucket.here("out")), tree(&bucket.kept("out")));
    });
}

#[test]
fn of_two_attempts_without_a_coordinator_the_first_one_counts() {
    Bucket::of("of_two_attempts_without_a_coordinator_the_first_one_counts", |bucket| {
        put_set(bucket);
        let order = begun(&bucket.named("set"), bucket.named("out"), Layout::Shards);
        attempt(&order, 0, "task-0");
        assert!(refined::publish_if_first(&order, Shard(0), "task-0").unwrap());
        attempt(&order, 0, "task-1");
        assert!(!refined::publish_if_first(&order, Shard(0), "task-1").unwrap());
        assert!(!bucket.kept("out/.sumac/attempts/000000.task-1/receipt.jsonl").exists());
    });
}

#[test]
fn another_refiner_cannot_go_on_in_the_same_place() {
    Bucket::of("another_refiner_cannot_go_on_in_the_same_place", |bucket| {
        put_set(bucket);
        assert!(refined::is_free(&bucket.named("out")).unwrap());
        let order = begun(&bucket.named("set"), bucket.named("out"), Layout::Shards);
        assert!(refined::is_free(&bucket.named("out")).unwrap());
        assert!(!refined::is_free(&bucket.named("set")).unwrap());
        let refiner = order.what.refiner.clone().map(|refiner| Trained { weights: Digest::of(b"other"), ..refiner });
        let what = What { refiner, ..order.what.clone() };
        let error = refined::lay_down(&Refinement { what, ..order }, Some(b"other")).unwrap_err().to_string();
        assert!(error.contains("`s3://data/out` is being refined otherwise"), "{error}");
    });
}

/// Whoever comes second finds the first one's, also where it goes up in pieces.
#[test]
fn of_two_listings_of_any_length_the_first_one_stays() {
    Bucket::of("of_two_listings_of_any_length_the_first_one_stays", |bucket| {
        let many = 300_000;
        bucket.put_both("short.npy", npy("(3, 4, 6)", &[7; 72]));
        bucket.put_both("long.npy", npy(&format!("({many}, 1, 1)"), &vec![7; many]));
        for name in ["short", "long"] {
            let listed = || Roll::look(&bucket.named(&format!("{name}.npy"))).unwrap();
            let work = bucket.named(&format!("work-{name}"));
            let first = Input::freeze(listed(), 1_000, &work).unwrap();
            assert_eq!(Input::freeze(listed(), 1_000, &work).unwrap(), first, "{name}");
            let error = Input::freeze(listed(), 999, &work).unwrap_err().to_string();
            assert!(error.contains("was begun with another input"), "{name}: {error}");
            assert_eq!(Input::open(&work).unwrap().digest(), first.digest);
            let left: Vec<PathBuf> = tree(&bucket.kept(&format!("work-{name}"))).into_keys().collect();
            assert_eq!(left, [PathBuf::from("input/listing")], "{name}");
        }
        assert!(fs::metadata(bucket.kept("work-long/input/listing")).unwrap().len() > 17 << 20);
    });
}
