//! Freezing: what is cached, what is refused and in which words, and who may do it at the same time.

use crate::shelf::{Shelf, colourful, encoded, grey, idx, npy, terms};
use image::ImageFormat;
use std::{
    cell::Cell,
    fs::{self, File},
    os::unix::fs::symlink,
    thread,
};
use sumac_common::{
    ids::SampleId,
    spec::{ImageShape, Labels, Resize},
};
use sumac_data::{ReadError, Source, freeze, freeze::Terms};

/// What a user reads: the error, and no path of the test's own.
fn refusal(shelf: &Shelf, name: &str, terms: Terms) -> String {
    let said = match Source::look(&shelf.path(name)) {
        Err(error) => error.to_string(),
        Ok(source) => freeze(&source, terms, &shelf.path("cache"), &|_, _| {}).unwrap_err().to_string(),
    };
    let root = fs::canonicalize(shelf.path("")).unwrap();
    said.replace(root.to_str().unwrap(), "").replace(shelf.path("").to_str().unwrap(), "").replace("`/", "`")
}

fn three_good_one_bad() -> Shelf {
    let shelf = Shelf::new();
    for (name, tone) in [("set/a.png", 10), ("set/c.png", 30), ("set/d.png", 40)] {
        shelf.grey(name, tone);
    }
    shelf.put("set/b.png", "not a picture");
    shelf
}

#[test]
fn ids_travel_with_pixels_in_any_order_asked() {
    let shelf = three_good_one_bad();
    let frozen = shelf.freeze("set", Terms { max_bad: 0.25, ..terms() }).unwrap();
    assert_eq!(frozen.len(), 3);
    assert_eq!(frozen.key(SampleId(1)), Some("c.png"));
    let mut pixels = vec![9.0];
    let ids = frozen.read(&[SampleId(2), SampleId(0), SampleId(2)], &mut pixels).unwrap();
    assert_eq!(ids, [SampleId(2), SampleId(0), SampleId(2)]);
    assert_eq!(pixels.len(), 1 + 3 * 12, "pixels are appended");
    assert_eq!([pixels[1], pixels[13]], [40.0 / 127.5 - 1.0, 10.0 / 127.5 - 1.0]);
}

#[test]
fn a_bad_image_is_listed_with_its_reason_and_not_counted() {
    let shelf = three_good_one_bad();
    let frozen = shelf.freeze("set", Terms { max_bad: 0.25, ..terms() }).unwrap();
    assert_eq!(frozen.bad().len(), 1);
    assert_eq!(
        (frozen.bad()[0].key.as_str(), frozen.bad()[0].reason.as_str()),
        ("b.png", "its content is none of png, jpeg, bmp, tiff, webp, pnm")
    );
}

#[test]
fn too_many_bad_images_are_refused_with_the_first_reasons() {
    let shelf = three_good_one_bad();
    assert_eq!(
        refusal(&shelf, "set", Terms { max_bad: 0.2, ..terms() }),
        "1 of the 4 images of `set` cannot be used, more than data.max_bad = 0.2 allows: \
         `b.png`: its content is none of png, jpeg, bmp, tiff, webp, pnm; mend or remove them, or raise data.max_bad"
    );
}

#[test]
fn a_data_set_of_nothing_usable_is_refused_whatever_is_forgiven() {
    let shelf = Shelf::new();
    shelf.put("set/a.png", "");
    assert_eq!(
        refusal(&shelf, "set", Terms { max_bad: 1.0, ..terms() }),
        "none of the 1 images of `set` can be used: `a.png`: the file is empty; check that this is the right folder"
    );
}

#[test]
fn a_missing_folder_is_refused() {
    let shelf = Shelf::new();
    assert_eq!(
        refusal(&shelf, "nowhere", terms()),
        "there is no file or folder `nowhere`: check the path, and that this machine can see it"
    );
}

#[test]
fn an_empty_folder_is_refused() {
    let shelf = Shelf::new();
    shelf.put("set/notes.md", "nothing here");
    assert_eq!(
        refusal(&shelf, "set", terms()),
        "`set` holds no images (1 other files): name the folder, table, tar, idx, npy or npz file with the images; \
         png, jpeg, bmp, tiff, webp and pnm are read"
    );
}

#[test]
fn a_file_that_is_nothing_known_is_refused() {
    let shelf = Shelf::new();
    shelf.put("set.bin", "what is this");
    assert_eq!(
        refusal(&shelf, "set.bin", terms()),
        "`set.bin` is neither a folder nor an image, a csv or jsonl table, a tar, an idx, an npy or an npz file: name one of these"
    );
}

#[test]
fn images_that_are_all_of_another_size_are_refused_with_both_remedies() {
    let shelf = Shelf::new();
    shelf.grey("set/a.png", 1);
    shelf.grey("set/b.png", 2);
    let shape = ImageShape { channels: 1, height: 35, width: 55 };
    assert_eq!(
        refusal(&shelf, "set", Terms { shape, ..terms() }),
        "all 2 images of `set` have another size than data.image.size, 55x35 pixels: they are 4x3; \
         set data.resize = \"area\" (or \"crop\"), or data.image.size = [3, 4]"
    );
}

#[test]
fn missing_labels_are_refused_with_the_table_that_may_be_meant() {
    let shelf = Shelf::new();
    shelf.grey("set/a.png", 1);
    let required = Terms { labels: Labels::Required, ..terms() };
    assert_eq!(
        refusal(&shelf, "set", required),
        "1 of the 1 images of `set` have no label, the first is `a.png`: give each image a file of the same stem \
         (1.png, 1.json), a class folder or a row in metadata.csv, or set data.labels = \"optional\""
    );
    shelf.put("set-labels.csv", "file,class\na.png,1\n");
    let said = refusal(&shelf, "set", required);
    assert!(said.contains("name the table `set-labels.csv` instead of the folder"), "{said}");
    assert_eq!(shelf.freeze("set-labels.csv", required).unwrap().len(), 1);
}

#[test]
fn a_table_that_cannot_be_followed_is_refused_line_by_line() {
    let shelf = Shelf::new();
    shelf.grey("set/a.png", 1);
    for (text, said) in [
        ("a,b\n1,2\n", "none of the columns of `set.csv` names the image files (a, b): call that column file_name"),
        (
            "file,c\n../secret.png,1\n",
            "line 2 of `set.csv` names `../secret.png`, which leads out of the folder: use paths inside it",
        ),
        ("file,c\na.png,1\na.png,2\n", "`set.csv` names `a.png` in line 2 and again in line 3: keep one row per image"),
        (
            "file,c\na.png,1,9\n",
            "`set.csv` is damaged: line 2: 3 fields where the header has 2; mend it or fetch it again",
        ),
        ("file,c\n,1\n", "`set.csv` is damaged: line 2 names no file in column file; mend it or fetch it again"),
    ] {
        shelf.put("set.csv", text);
        assert_eq!(refusal(&shelf, "set.csv", terms()), said);
    }
}

#[test]
fn a_stack_that_cannot_be_used_is_refused_with_its_numbers() {
    let shelf = Shelf::new();
    let mut column_major = npy("|u1", "(1, 3, 4)", &[0; 12]);
    let at = column_major.windows(5).position(|part| part == b"False").unwrap();
    column_major[at..at + 5].copy_from_slice(b"True ");
    for (name, bytes, said) in [
        (
            "short.npy",
            npy("|u1", "(2, 3, 4)", &[0; 23]),
            "`short.npy` is cut short: its header promises 2 images, 24 bytes, but 23 bytes follow it; fetch it again",
        ),
        (
            "short-idx3-ubyte",
            idx(&[2, 3, 4], &[0; 20]),
            "`short-idx3-ubyte` is cut short: its header promises 2 images, 24 bytes, but 20 bytes follow it; fetch it again",
        ),
        (
            "kind.npy",
            npy("<i8", "(1, 3, 4)", &[0; 96]),
            "`kind.npy` holds values of type '<i8': save it as uint8, uint16 or float32",
        ),
        ("order.npy", column_major, "`order.npy` is in Fortran order: save numpy.ascontiguousarray of it"),
        (
            "range.npy",
            npy("<f4", "(1, 1, 2)", &[(-3.0_f32).to_le_bytes(), 700.0_f32.to_le_bytes()].concat()),
            "the values of `range.npy` run from -3 to 700: scale them to 0..1, -1..1 or 0..255",
        ),
    ] {
        shelf.put(name, bytes);
        assert_eq!(refusal(&shelf, name, terms()), said);
    }
}

#[test]
fn several_stacks_in_a_folder_are_not_guessed_at() {
    let shelf = Shelf::new();
    for name in ["set/a.npy", "set/b.npy"] {
        shelf.put(name, npy("|u1", "(1, 3, 4)", &[0; 12]));
    }
    assert_eq!(
        refusal(&shelf, "set", terms()),
        "`set` holds several stacks of images (a.npy, b.npy): name the one that is meant"
    );
}

#[test]
fn a_labels_file_of_another_length_is_refused() {
    let shelf = Shelf::new();
    shelf.put("x-images-idx3-ubyte", idx(&[2, 3, 4], &[0; 24]));
    shelf.put("x-labels-idx1-ubyte", idx(&[3], &[0; 3]));
    assert_eq!(
        refusal(&shelf, "x-images-idx3-ubyte", terms()),
        "`x-labels-idx1-ubyte` has 3 labels for 2 images: bring the labels file that belongs to them"
    );
}

#[test]
fn links_that_lead_out_are_bad_and_links_inside_are_followed() {
    let shelf = Shelf::new();
    shelf.grey("set/a.png", 1);
    let outside = shelf.grey("secret.png", 2);
    symlink(outside, shelf.path("set/out.png")).unwrap();
    symlink(shelf.path("set/a.png"), shelf.path("set/in.png")).unwrap();
    symlink(shelf.path("set"), shelf.path("set/loop")).unwrap();
    let frozen = shelf.freeze("set", Terms { max_bad: 0.5, ..terms() }).unwrap();
    assert_eq!(frozen.len(), 2);
    let bad: Vec<&str> = frozen.bad().iter().map(|bad| bad.reason.as_str()).collect();
    assert_eq!(bad, ["it is a link to a folder, which is not followed", "it is a link that leads out of the folder"]);
}

#[test]
fn a_second_freeze_decodes_nothing() {
    let shelf = Shelf::new();
    let path = shelf.grey("set/a.png", 10);
    let first = shelf.freeze("set", terms()).unwrap();
    // Content that cannot be decoded any more, of the same size and age: only the cache can still serve it.
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let bytes = fs::metadata(&path).unwrap().len();
    fs::write(&path, vec![b'?'; bytes as usize]).unwrap();
    File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();

    let calls = Cell::new(0);
    let second = freeze(&shelf.look("set"), terms(), &shelf.path("cache"), &|_, _| calls.set(calls.get() + 1)).unwrap();
    assert!(second.reused() && !first.reused());
    assert_eq!(calls.get(), 0);
    assert_eq!(second.manifest_hash(), first.manifest_hash());
}

#[test]
fn a_changed_image_is_decoded_anew() {
    let shelf = Shelf::new();
    let path = shelf.grey("set/a.png", 10);
    let first = shelf.freeze("set", terms()).unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    shelf.grey("set/a.png", 11);
    File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .set_modified(modified + std::time::Duration::from_secs(1))
        .unwrap();
    let second = shelf.freeze("set", terms()).unwrap();
    assert!(!second.reused());
    assert_ne!(second.manifest_hash(), first.manifest_hash());
}

#[test]
fn a_damaged_cache_is_made_anew() {
    let shelf = three_good_one_bad();
    let forgiving = Terms { max_bad: 0.5, ..terms() };
    let first = shelf.freeze("set", forgiving).unwrap();
    let images = first.path().to_owned();
    let whole = fs::read(&images).unwrap();
    let mut flipped = whole.clone();
    flipped[30] ^= 1;
    for broken in [&whole[..whole.len() - 1], &flipped, &[]] {
        fs::write(&images, broken).unwrap();
        let again = shelf.freeze("set", forgiving).unwrap();
        assert!(!again.reused());
        assert_eq!(fs::read(&images).unwrap(), whole);
    }
    let manifest = shelf.cached().into_iter().find(|name| name.ends_with(".manifest.json")).unwrap();
    shelf.put(&format!("cache/{manifest}"), "{\"format\": 1");
    assert!(!shelf.freeze("set", forgiving).unwrap().reused());
}

#[test]
fn a_refusal_is_remembered_by_the_cache_and_a_milder_limit_needs_no_decoding() {
    let shelf = three_good_one_bad();
    assert!(shelf.freeze("set", terms()).is_err());
    assert!(shelf.freeze("set", Terms { max_bad: 0.5, ..terms() }).unwrap().reused());
}

#[test]
fn several_may_freeze_the_same_images_at_once() {
    let shelf = Shelf::new();
    for at in 0..300 {
        shelf.grey(&format!("set/{at}.png"), at as u8);
    }
    let hashes: Vec<_> = thread::scope(|scope| {
        let freezing: Vec<_> =
            (0..4).map(|_| scope.spawn(|| shelf.freeze("set", terms()).unwrap().manifest_hash())).collect();
        freezing.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(hashes.iter().all(|hash| *hash == hashes[0]));
    assert_eq!(shelf.cached().len(), 2, "one images file and one manifest: {:?}", shelf.cached());
}

#[test]
fn the_hash_is_the_same_wherever_the_images_lie() {
    let shelf = Shelf::new();
    for place in ["here/set", "there/other"] {
        shelf.grey(&format!("{place}/a.png"), 10);
        shelf.put(&format!("{place}/b/c.png"), encoded(&grey(20), ImageFormat::Png));
    }
    let here = shelf.freeze("here/set", terms()).unwrap().manifest_hash();
    assert_eq!(shelf.freeze("there/other", terms()).unwrap().manifest_hash(), here);
    shelf.grey("there/other/a.png", 11);
    fs::remove_dir_all(shelf.path("cache")).unwrap();
    assert_ne!(shelf.freeze("there/other", terms()).unwrap().manifest_hash(), here);
}

#[test]
fn the_hash_tells_keys_and_shapes_apart() {
    let shelf = Shelf::new();
    shelf.grey("one/a.png", 10);
    shelf.grey("two/b.png", 10);
    let one = shelf.freeze("one", terms()).unwrap().manifest_hash();
    assert_ne!(shelf.freeze("two", terms()).unwrap().manifest_hash(), one);
    let shape = ImageShape { channels: 1, height: 4, width: 3 };
    assert_ne!(shelf.freeze("one", Terms { shape, resize: Resize::Area, ..terms() }).unwrap().manifest_hash(), one);
}

#[test]
fn a_record_of_another_id_is_an_error_and_leaves_no_pixels() {
    let shelf = three_good_one_bad();
    let frozen = shelf.freeze("set", Terms { max_bad: 0.5, ..terms() }).unwrap();
    let mut bytes = fs::read(frozen.path()).unwrap();
    bytes[20] = 7;
    // In place: the file that is open already.
    fs::write(frozen.path(), bytes).unwrap();
    let mut pixels = Vec::new();
    let error = frozen.read(&[SampleId(0), SampleId(1)], &mut pixels).unwrap_err();
    assert!(matches!(error, ReadError::WrongRecord { wanted: SampleId(1), found: SampleId(7), .. }), "{error}");
    assert!(pixels.is_empty());
}

#[test]
fn reading_beyond_the_end_is_an_error() {
    let shelf = three_good_one_bad();
    let frozen = shelf.freeze("set", Terms { max_bad: 0.5, ..terms() }).unwrap();
    let error = frozen.read(&[SampleId(3)], &mut Vec::new()).unwrap_err();
    assert!(matches!(error, ReadError::NoSuchSample { n: 3, .. }), "{error}");
    File::options().write(true).open(frozen.path()).unwrap().set_len(30).unwrap();
    let error = frozen.read(&[SampleId(2)], &mut Vec::new()).unwrap_err();
    assert!(matches!(error, ReadError::Io { tries: 1, .. }), "{error}");
}

#[test]
fn progress_is_told_up_to_the_last_image() {
    let shelf = Shelf::new();
    for at in 0..300 {
        shelf.grey(&format!("set/{at}.png"), 0);
    }
    let last = Cell::new((0, 0));
    freeze(&shelf.look("set"), terms(), &shelf.path("cache"), &|done, total| last.set((done, total))).unwrap();
    assert_eq!(last.get(), (300, 300));
}

#[test]
fn colour_and_grey_mix_as_the_job_asks() {
    let shelf = Shelf::new();
    shelf.grey("set/a.png", 100);
    shelf.put("set/b.png", encoded(&colourful(), ImageFormat::Png));
    let shape = ImageShape { channels: 3, height: 3, width: 4 };
    let frozen = shelf.freeze("set", Terms { shape, ..terms() }).unwrap();
    let mut pixels = Vec::new();
    frozen.read(&[SampleId(0)], &mut pixels).unwrap();
    assert_eq!(pixels, [100.0 / 127.5 - 1.0; 36]);
}
