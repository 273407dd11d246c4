//! Drawn data sets: the same seed, the same bytes; labels where they belong and nowhere else.

use crate::shelf::{Shelf, terms};
use std::{collections::BTreeMap, fs, path::Path};
use sumac_common::{
    ids::SampleId,
    spec::{ImageShape, Labels},
};
use sumac_data::{
    Label, Source,
    demo::{DemoError, Drawn, draw_digits, draw_eyes},
    freeze::Terms,
    source::Kind,
};

/// Every file under a folder, with its bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(here) = open.pop() {
        for entry in fs::read_dir(here).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn the_same_seed_draws_the_same_bytes_and_another_seed_others() {
    let shelf = Shelf::new();
    for draw in [draw_eyes, draw_digits] {
        for (name, seed) in [("one", 7), ("two", 7), ("three", 8)] {
            draw(&shelf.path(name), 12, seed).unwrap();
        }
        let [one, two, three] = ["one", "two", "three"].map(|name| files(&shelf.path(name)));
        assert!(one == two);
        assert_eq!(one.len(), three.len());
        assert!(
            one.iter().all(|(name, bytes)| three[name] != *bytes || !name.ends_with("png")),
            "every picture differs"
        );
        for name in ["one", "two", "three"] {
            fs::remove_dir_all(shelf.path(name)).unwrap();
        }
    }
}

#[test]
fn drawn_eyes_freeze_with_a_label_each_and_the_real_ones_with_none() {
    let shelf = Shelf::new();
    let drawn = draw_eyes(&shelf.path("eyes"), 20, 1).unwrap();
    let shape = ImageShape { channels: 1, height: 35, width: 55 };
    let required = Terms { shape, labels: Labels::Required, ..terms() };
    let synthetic = shelf.freeze("eyes/synthetic", required).unwrap();
    assert_eq!(synthetic.len(), 20);
    let label = fs::read_to_string(&synthetic.sidecars(SampleId(0))[0]).unwrap();
    let label: serde_json::Value = serde_json::from_str(&label).unwrap();
    assert!((0.0..55.0).contains(&label["pupil"][0].as_f64().unwrap()));
    assert!(shelf.freeze("eyes/real", required).is_err());
    assert_eq!(Source::look(&drawn.real).unwrap().samples().len(), 20);
    let apart = shelf.freeze("eyes/real-labels.csv", required).unwrap();
    assert!(apart.label(SampleId(3)).unwrap().field("gaze_yaw").is_some());
}

#[test]
fn the_pupil_label_points_at_something_dark() {
    let shelf = Shelf::new();
    let drawn = draw_eyes(&shelf.path("eyes"), 40, 3).unwrap();
    let source = Source::look(&drawn.synthetic).unwrap();
    let mut dark = 0;
    for at in 0..40 {
        let picture = image::open(source.file_of(at).unwrap()).unwrap().into_luma8();
        let text = fs::read_to_string(source.root().join(&source.samples()[at].sidecars[0])).unwrap();
        let label: serde_json::Value = serde_json::from_str(&text).unwrap();
        let [x, y] = [0, 1].map(|axis| label["pupil"][axis].as_f64().unwrap());
        dark += usize::from(picture.get_pixel(x as u32, y as u32).0[0] < 60);
    }
    // A lid or the glint may cover it, now and then.
    assert!(dark >= 32, "{dark} of 40 pupils are dark where the label says");
}

#[test]
fn drawn_digits_lie_in_class_folders() {
    let shelf = Shelf::new();
    draw_digits(&shelf.path("digits"), 20, 1).unwrap();
    let source = shelf.look("digits/synthetic");
    assert_eq!(source.kind(), Kind::ClassFolders);
    assert_eq!(source.samples()[19].label, Some(Label::Class { index: 9, name: "9".into() }));
    assert_eq!(shelf.look("digits/real").kind(), Kind::Folder);
    assert_eq!(shelf.look("digits/real-labels.csv").samples().len(), 20);
}

#[test]
fn drawing_again_touches_nothing_and_an_interrupted_drawing_is_done_again() {
    let shelf = Shelf::new();
    let dir = shelf.path("eyes");
    let drawn = draw_eyes(&dir, 5, 1).unwrap();
    let picture = drawn.real.join("000000.png");
    fs::write(&picture, "touched").unwrap();
    assert_eq!(draw_eyes(&dir, 5, 1).unwrap(), Drawn { is_new: false, ..drawn.clone() });
    assert_eq!(fs::read(&picture).unwrap(), b"touched");
    fs::write(dir.join(".drawing"), "").unwrap();
    draw_eyes(&dir, 5, 1).unwrap();
    assert_ne!(fs::read(&picture).unwrap(), b"touched");
}

#[test]
fn a_drawing_that_lost_a_part_is_done_again() {
    let shelf = Shelf::new();
    let drawn = draw_eyes(&shelf.path("eyes"), 5, 1).unwrap();
    fs::remove_dir_all(&drawn.real).unwrap();
    assert!(draw_eyes(&shelf.path("eyes"), 5, 1).unwrap().is_new);
    assert_eq!(files(&drawn.real).len(), 5);
}

#[test]
fn another_drawing_is_never_drawn_over() {
    let shelf = Shelf::new();
    let dir = shelf.path("drawn");
    draw_eyes(&dir, 5, 1).unwrap();
    let before = files(&dir);
    for (refused, asked) in [
        (draw_eyes(&dir, 3, 1), "3 eyes, seed 1"),
        (draw_eyes(&dir, 5, 2), "5 eyes, seed 2"),
        (draw_digits(&dir, 5, 1), "5 digits, seed 1"),
        (draw_digits(&dir, 1, 1), "1 digit, seed 1"),
    ] {
        let sentence = refused.unwrap_err().to_string();
        assert!(sentence.contains("holds another drawing (5 eyes, seed 1)"), "{sentence}");
        assert!(sentence.contains(&format!("asked for ({asked}): choose another folder")), "{sentence}");
    }
    assert!(files(&dir) == before);
}

#[test]
fn what_somebody_else_put_there_is_never_drawn_over() {
    let shelf = Shelf::new();
    shelf.put("mine/real/holiday.png", "dear to me");
    assert!(matches!(draw_eyes(&shelf.path("mine"), 5, 1), Err(DemoError::InTheWay { .. })));
    assert_eq!(fs::read(shelf.path("mine/real/holiday.png")).unwrap(), b"dear to me");
}
