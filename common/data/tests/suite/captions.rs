//! What is written down of labels for whoever shows the images: from every kind of label, and from none.

use crate::shelf::{Shelf, encoded, grey, terms};
use image::ImageFormat;
use sumac_common::{
    ids::SampleId,
    spec::{ImageShape, Resize},
};
use sumac_data::{captions::Captions, freeze::Terms};

/// Of all images of `set`.
fn said(shelf: &Shelf, terms: Terms) -> Captions {
    let frozen = shelf.freeze("set", terms).unwrap();
    let ids: Vec<SampleId> = (0..frozen.len() as u64).map(SampleId).collect();
    Captions::of(&shelf.look("set"), &frozen, &ids)
}

fn fields(captions: &Captions, image: usize) -> Vec<(&str, &str)> {
    captions.images[image].fields.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect()
}

#[test]
fn json_is_taken_apart_by_its_paths_and_lists_of_numbers_stay_together() {
    let shelf = Shelf::new();
    shelf.grey("set/1.png", 10);
    shelf.put(
        "set/1.json",
        r#"{"pupil": [1.5, 0.25], "eye_details": {"look_vec": "(0.1, 0.2, 0.9)"}, "iris_2d": ["(1, 2, 3)", "(4, 5, 6)"], "open": true}"#,
    );
    shelf.put("set/1_mask.png", "no mask");
    let captions = said(&shelf, terms());
    assert_eq!((captions.images[0].key.as_str(), captions.images[0].size), ("1.png", (4, 3)));
    let wanted = [
        ("eye_details.look_vec", "(0.1, 0.2, 0.9)"),
        ("iris_2d.0", "(1, 2, 3)"),
        ("iris_2d.1", "(4, 5, 6)"),
        ("open", "true"),
        ("pupil", "[1.5,0.25]"),
    ];
    assert_eq!(fields(&captions, 0), wanted);
}

#[test]
fn classes_and_rows_are_said_as_they_are() {
    let shelf = Shelf::new();
    shelf.grey("set/left/1.png", 10);
    shelf.grey("set/right/2.png", 20);
    let captions = said(&shelf, terms());
    assert_eq!([fields(&captions, 0), fields(&captions, 1)], [[("class", "left")], [("class", "right")]]);

    let shelf = Shelf::new();
    shelf.grey("set/1.png", 10);
    shelf.put("set/metadata.csv", "file_name,steering\n1.png,0.5\n");
    assert_eq!(fields(&said(&shelf, terms()), 0), [("file_name", "1.png"), ("steering", "0.5")]);
}

#[test]
fn an_image_that_was_left_out_lends_its_label_to_no_other() {
    let shelf = Shelf::new();
    shelf.put("set/1.png", "not a picture");
    shelf.put("set/1.json", r#"{"class": "one"}"#);
    shelf.grey("set/2.png", 20);
    shelf.put("set/2.json", r#"{"class": "two"}"#);
    let captions = said(&shelf, Terms { max_bad: 0.5, ..terms() });
    assert_eq!((captions.images.len(), fields(&captions, 0)), (1, vec![("class", "two")]));
}

#[test]
fn coordinates_are_of_the_image_as_it_lies_there() {
    let shelf = Shelf::new();
    shelf.put(
        "set/1.png",
        encoded(&grey(10).resize_exact(12, 9, image::imageops::FilterType::Nearest), ImageFormat::Png),
    );
    let shape = ImageShape { channels: 1, height: 3, width: 4 };
    assert_eq!(said(&shelf, Terms { shape, resize: Resize::Area, ..terms() }).images[0].size, (12, 9));
}

#[test]
fn what_is_no_text_says_nothing() {
    let shelf = Shelf::new();
    shelf.grey("set/1.png", 10);
    shelf.put("set/1.json", b"{\"class\": \xff}");
    shelf.grey("set/2.png", 20);
    shelf.put("set/2.json", "{\"class\": ");
    let captions = said(&shelf, terms());
    assert!(captions.images.len() == 2 && captions.is_empty(), "{captions:?}");
}

#[test]
fn a_label_without_end_is_cut() {
    let shelf = Shelf::new();
    shelf.grey("set/1.png", 10);
    let texts: Vec<String> = (0..1_000).map(|_| format!("{:?}", "ü".repeat(300))).collect();
    shelf.put("set/1.json", format!("{{\"texts\": [{}]}}", texts.join(",")));
    let captions = said(&shelf, terms());
    let fields = fields(&captions, 0);
    assert_eq!((fields.len(), fields[0].1.chars().count()), (256, 200));
}
