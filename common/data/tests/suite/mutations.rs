//! Files in which a few bytes were changed, or which end early: every reader says what is wrong with them, or reads on. None
//! panics, and none takes much memory: all of it happens in a process of its own that would not get it.

use crate::{
    alpha,
    shelf::{Shelf, Tiff, colourful, encoded, gzipped, idx, npy, npz, png, terms, tiff},
};
use image::{ImageFormat, imageops::FilterType};
use std::{env, fs, path::Path, process::Command};
use sumac_common::refinement::Format;
use sumac_data::{
    Source, decode, freeze,
    picture::Picture,
    refined::{Input, encode},
    survey,
};

/// Of address space, the program itself included: twice the largest image that is decoded, which may claim to be as large.
const MEMORY_MAX: u64 = 2 * decode::DECODED_BYTES_MAX;

/// A data set before it is damaged.
struct Whole {
    /// What is looked at.
    name: &'static str,
    files: Vec<(&'static str, Vec<u8>)>,
}

fn alone(name: &'static str, bytes: Vec<u8>) -> Whole {
    Whole { name, files: vec![(name, bytes)] }
}

fn folder(files: Vec<(&'static str, Vec<u8>)>) -> Whole {
    Whole { name: "", files }
}

fn images() -> Vec<Whole> {
    let picture = colourful().resize_exact(16, 12, FilterType::Nearest);
    let palette: [(&[u8; 4], &[u8]); 2] = [(b"PLTE", &[255, 0, 0, 0, 255, 0, 0, 0, 255]), (b"tRNS", &[255, 7])];
    let deep: [(u16, &[u64]); 2] = [(258, &[16]), (262, &[1])];
    let plain = [
        ("x.png", encoded(&picture, ImageFormat::Png)),
        ("x.jpg", encoded(&picture, ImageFormat::Jpeg)),
        ("x.bmp", encoded(&picture, ImageFormat::Bmp)),
        ("x.tif", encoded(&picture, ImageFormat::Tiff)),
        ("x.webp", encoded(&picture, ImageFormat::WebP)),
        ("x.ppm", encoded(&picture, ImageFormat::Pnm)),
        ("palette.png", png((3, 1), 8, 3, &palette, &[0, 0, 1, 2])),
        ("deep.tif", tiff([2, 1], Tiff::BIG, &deep, &[1, 2, 3, 4])),
        ("wide.tif", tiff([2, 1], Tiff::WIDE, &deep, &[1, 2, 3, 4])),
    ];
    plain.into_iter().chain(alpha::files()).map(|(name, bytes)| alone(name, bytes)).collect()
}

fn stacks() -> Vec<Whole> {
    let (grey, labels) = (npy("|u1", "(2, 3, 4)", &[7; 24]), npy("|u1", "(2,)", &[1; 2]));
    let arrays = [("images.npy", grey.clone()), ("y.npy", labels.clone())];
    let floats: Vec<u8> = (0..24_u8).flat_map(|value| (f32::from(value) / 24.0).to_le_bytes()).collect();
    vec![
        alone("x-idx3-ubyte", idx(&[2, 3, 4], &[7; 24])),
        alone("x-idx3-ubyte.gz", gzipped(&idx(&[2, 3, 4], &[7; 24]))),
        Whole { name: "images.npy", files: vec![("images.npy", grey), ("labels.npy", labels)] },
        alone("colours.npy", npy("<u2", "(2, 3, 4, 3)", &[7; 144])),
        alone("planes.npy", npy("|u1", "(2, 3, 5, 4)", &[7; 120])),
        alone("floats.npy", npy("<f4", "(2, 3, 4)", &floats)),
        alone("x.npz", npz(&arrays, true)),
        alone("stored.npz", npz(&arrays, false)),
    ]
}

fn tables_and_tars() -> Vec<Whole> {
    let image = || encoded(&colourful(), ImageFormat::Png);
    let text = |text: &str| text.as_bytes().to_vec();
    let mut tar = tar::Builder::new(Vec::new());
    let long = format!("{}.png", "long".repeat(40));
    let members =
        [("a.png", image()), ("a.json", text("{}")), ("a.cls", text("3")), (&long, image()), ("b.jpg", image())];
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content.as_slice()).unwrap();
    }
    let rows = "file_name,gaze,text\na.png,1,\"b\nc\"\nsub/b.png,2,\n";
    let lines = "{\"file_name\": \"a.png\", \"gaze\": [1, 2]}\n{\"file_name\": \"sub/b.png\"}\n";
    let record = "{\"_index\": 0, \"cam/image_array\": \"a.png\", \"user/angle\": 0.5}\n";
    let manifest = "[]\n[]\n{}\n{}\n{\"paths\": [\"catalog_0.catalog\"], \"deleted_indexes\": [7]}\n";
    vec![
        alone("x.tar", tar.into_inner().unwrap()),
        folder(vec![("metadata.csv", text(rows)), ("a.png", image()), ("sub/b.png", image())]),
        folder(vec![("metadata.jsonl", text(lines)), ("a.png", image()), ("sub/b.png", image())]),
        Whole { name: "rows.csv", files: vec![("rows.csv", text(rows)), ("a.png", image())] },
        folder(vec![("manifest.json", text(manifest)), ("catalog_0.catalog", text(record)), ("images/a.png", image())]),
        folder(vec![("record_0.json", text(record)), ("a.png", image())]),
        folder(vec![("cat/a.png", image()), ("dog/a.png", image())]),
    ]
}

fn all() -> Vec<Whole> {
    let sets = [images(), stacks(), tables_and_tars()].into_iter().flatten();
    #[cfg(feature = "hdf5")]
    let sets = sets.chain(crate::hdf5::files().map(|bytes| alone("x.h5", bytes)));
    #[cfg(feature = "parquet")]
    let sets = sets.chain(crate::parquet::files().map(|bytes| alone("x.parquet", bytes)));
    sets.collect()
}

/// `SUMAC_SEEDS=5000` looks longer.
#[test]
fn flipped_and_cut_bytes_neither_panic_nor_take_much_memory() {
    let script = format!("ulimit -v {}; exec \"$0\" \"$@\"", MEMORY_MAX / 1024);
    let ran = Command::new("sh")
        .args(["-c", &script])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "mutations::each_damaged_set_is_gone_through", "--ignored", "--nocapture"])
        // A thread takes address space for its heap and its stack.
        .envs([("RAYON_NUM_THREADS", "1"), ("MALLOC_ARENA_MAX", "1")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let last = said.lines().rfind(|line| line.contains(" with seed ")).unwrap_or("nothing at all");
    assert!(ran.status.success(), "{last}: {}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "run in a process of its own by the test above"]
fn each_damaged_set_is_gone_through() {
    let seeds = env::var("SUMAC_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(60);
    for (number, set) in all().into_iter().enumerate() {
        let shelf = Shelf::new();
        for seed in 0..seeds {
            println!("set {number}, {:?}, with seed {seed}", set.files[0].0);
            let damaged = seed as usize % set.files.len();
            for (at, (name, bytes)) in set.files.iter().enumerate() {
                let bytes = if at == damaged { mutated(bytes, seed) } else { bytes.clone() };
                shelf.put(&format!("set/{name}"), bytes);
            }
            let path = shelf.path("set").join(set.name);
            go_through(&path);
            // What is written is synced, which takes its time.
            if seed % 8 == 0 {
                freeze_both_ways(&shelf, &path);
            }
        }
    }
}

fn freeze_both_ways(shelf: &Shelf, path: &Path) {
    let Ok(source) = Source::look(path) else { return };
    let _frozen = freeze(&source, terms(), &shelf.path("cache"), &|_, _| {});
    let work = shelf.path("work");
    if Input::freeze(source.into(), 1, &work).is_ok() {
        let _input = Input::open(&work);
        fs::remove_dir_all(&work).unwrap();
    }
}

/// All else that is ever done with a data set.
fn go_through(path: &Path) {
    let Ok(source) = Source::look(path) else { return };
    let _inspection = source.inspect(None);
    let _survey = survey(&source, &|_, _| {});
    for at in 0..source.samples().len() {
        let _pieces = source.label_pieces(at);
        let (Ok(original), Ok(picture)) = (source.original(at), source.picture(at)) else { continue };
        let Ok(planes) = picture.planes_for(picture.channels) else { continue };
        if let Ok(refined) = Picture::from_planes(&planes, &picture) {
            let _written = encode(&refined, &original, Format::Same);
        }
    }
}

/// A few bytes changed, or the end cut off.
fn mutated(original: &[u8], seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut bytes = original.to_vec();
    if next(4) == 0 {
        bytes.truncate(next(original.len()));
        return bytes;
    }
    for _ in 0..=next(4) {
        // The headers, where the claims are, twice as often as the rest.
        let at = if next(2) == 0 { next(bytes.len().min(40)) } else { next(bytes.len()) };
        bytes[at] = next(256) as u8;
    }
    bytes
}
