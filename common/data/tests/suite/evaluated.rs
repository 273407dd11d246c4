//! The sets of an evaluation: what a test may not have seen, and whose labels are whose.

use crate::shelf::Shelf;
use std::path::PathBuf;
use sumac_common::{
    evaluation::{How, Labelled},
    spec::{Device, ImageShape, Resize, Workers},
};
use sumac_data::evaluated::{EvaluatedError, Sets};

/// Images of even tones, each another one, and a table: file, class, person.
fn draw(shelf: &Shelf, set: &str, tones: std::ops::Range<u8>, person: &str) -> Labelled {
    let mut table = "file,class,person\n".to_owned();
    for tone in tones {
        shelf.grey(&format!("{set}/{tone}.png"), tone);
        table.push_str(&format!("{tone}.png,{},{person}{}\n", tone % 2, tone % 3));
    }
    shelf.put(&format!("{set}.csv"), &table);
    let table = Some(shelf.path(&format!("{set}.csv")));
    Labelled { images: shelf.path(set), table, columns: vec!["class".to_owned()] }
}

fn how(shelf: &Shelf) -> How {
    let real = draw(shelf, "real", 30..40, "r");
    How {
        synthetic: draw(shelf, "synthetic", 0..10, "s"),
        real: real.images.clone(),
        test: draw(shelf, "test", 50..60, "t"),
        real_labelled: Some(real),
        validation: Some(draw(shelf, "validation", 70..80, "v")),
        group: Some("person".to_owned()),
        point: vec![],
        runs: vec![],
        destination: PathBuf::new(),
        workers: Workers { min: 1, max: 1, device: Device::Auto },
    }
}

fn open(shelf: &Shelf, how: &How) -> Result<Sets, EvaluatedError> {
    let shape = ImageShape { channels: 1, height: 3, width: 4 };
    Sets::open(how, (shape, Resize::Exact, 0.0), &shelf.path("cache"), &|_, _, _| {})
}

#[test]
fn sets_that_have_nothing_in_common_are_opened_with_their_labels() {
    let shelf = Shelf::new();
    let sets = open(&shelf, &how(&shelf)).unwrap();
    assert_eq!(sets.test.answers.texts().len(), 10);
    assert_eq!(sets.validation.unwrap().answers.texts()[0], "0");
}

#[test]
fn a_test_image_that_is_in_any_other_set_is_named() {
    for set in ["synthetic", "real", "validation"] {
        let shelf = Shelf::new();
        let how = how(&shelf);
        shelf.grey(&format!("{set}/again.png"), 55);
        let table = std::fs::read_to_string(shelf.path(&format!("{set}.csv"))).unwrap();
        shelf.put(&format!("{set}.csv"), format!("{table}again.png,1,x\n"));
        let said = open(&shelf, &how).unwrap_err().to_string();
        assert!(said.contains("`55.png` as `again.png`") && said.contains(&format!("{set} images")), "{said}");
    }
}

#[test]
fn a_test_image_that_a_refiner_was_trained_on_is_named_wherever_that_lies() {
    let shelf = Shelf::new();
    let sets = open(&shelf, &how(&shelf)).unwrap();
    draw(&shelf, "elsewhere", 90..95, "e");
    let terms = (ImageShape { channels: 1, height: 3, width: 4 }, Resize::Exact, 0.0);
    let seen = |sets: &Sets| sets.keep_apart_from_training(&shelf.path("elsewhere"), terms, &shelf.path("cache"));
    seen(&sets).unwrap();
    shelf.grey("elsewhere/again.png", 55);
    let said = seen(&sets).unwrap_err().to_string();
    assert!(said.contains("refiner's training images") && said.contains("`55.png` as `again.png`"), "{said}");
}

/// The folder above the one that a table is of: two images would share a row, and one of them its label with a stranger.
#[test]
fn a_row_of_a_table_is_of_one_image() {
    let shelf = Shelf::new();
    let mut how = how(&shelf);
    for folder in ["above/one", "above/two"] {
        shelf.grey(&format!("{folder}/50.png"), if folder.ends_with("one") { 100 } else { 101 });
    }
    how.test.images = shelf.path("above");
    let said = open(&shelf, &how).unwrap_err().to_string();
    assert!(said.contains("one row `50.png` for two images, `one/50.png` and `two/50.png`"), "{said}");
}

#[test]
fn a_person_is_in_the_test_or_among_those_that_were_learned_from() {
    let shelf = Shelf::new();
    let validation = draw(&shelf, "again", 80..90, "t");
    let said = open(&shelf, &How { validation: Some(validation), ..how(&shelf) }).unwrap_err().to_string();
    assert!(said.contains("3 of the test's values of `person`") && said.contains("`t0` for one"), "{said}");
    let unknown = How { group: Some("car".to_owned()), ..how(&shelf) };
    let said = open(&shelf, &unknown).unwrap_err().to_string();
    assert!(said.contains("no column `car`"), "{said}");
}

#[test]
fn a_set_without_labels_is_told_the_option_that_gives_them() {
    let shelf = Shelf::new();
    let how = how(&shelf);
    let bare = |labelled: &Labelled| Labelled { table: None, ..labelled.clone() };
    let said = open(&shelf, &How { test: bare(&how.test), ..how.clone() }).unwrap_err().to_string();
    assert!(said.contains("with --test-labels"), "{said}");
    let validation = how.validation.as_ref().map(bare);
    let said = open(&shelf, &How { validation, ..how }).unwrap_err().to_string();
    assert!(said.contains("with --validation-labels"), "{said}");
}
