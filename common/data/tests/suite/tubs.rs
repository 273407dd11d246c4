//! What donkeycars record: both versions, with what was deleted and what a flat battery tore.

use crate::shelf::{Shelf, encoded, grey, keys, terms};
use image::ImageFormat;
use sumac_common::spec::Labels;
use sumac_data::{
    Label, Source,
    freeze::Terms,
    source::{Kind, Piece},
};

/// A line as donkeycar writes it.
fn line(index: u32, angle: &str) -> String {
    format!(
        "{{\"_index\": {index}, \"_session_id\": \"21-03-20_0\", \"_timestamp_ms\": 1616250757419, \
         \"cam/image_array\": \"{index}_cam_image_array_.jpg\", \"user/angle\": {angle}, \"user/mode\": \"user\"}}"
    )
}

/// A manifest as donkeycar writes it, line by line.
fn manifest(paths: &str, deleted: &str) -> String {
    format!(
        "[\"cam/image_array\", \"user/angle\", \"user/mode\"]\n[\"image_array\", \"float\", \"str\"]\n{{}}\n\
         {{\"created_at\": 1616250757.4, \"sessions\": {{\"all_full_ids\": [\"21-03-20_0\"], \"last_id\": 0}}}}\n\
         {{\"paths\": {paths}, \"current_index\": 5, \"max_len\": 3, \"deleted_indexes\": {deleted}}}\n"
    )
}

fn frames(shelf: &Shelf, tub: &str, of: &[u32]) {
    for index in of {
        shelf.put(
            &format!("{tub}/images/{index}_cam_image_array_.jpg"),
            encoded(&grey(*index as u8), ImageFormat::Jpeg),
        );
    }
}

fn json(bytes: impl AsRef<[u8]>) -> Vec<Piece> {
    vec![Piece { ending: "json".to_owned(), bytes: bytes.as_ref().to_vec() }]
}

fn reasons(source: &Source) -> Vec<(&str, &str)> {
    source.bad().iter().map(|bad| (bad.key.as_str(), bad.reason.as_str())).collect()
}

#[test]
fn each_image_of_a_tub_has_its_line_of_the_catalog_and_what_was_deleted_is_left_out() {
    let shelf = Shelf::new();
    frames(&shelf, "tub", &[0, 1, 2, 3, 4]);
    let lines = [line(0, "0.0"), line(1, "1.7494954273533618e-18"), line(2, "-0.37"), line(3, "1")];
    shelf.put("tub/catalog_0.catalog", format!("{}\n{}\n{}\n", lines[0], lines[1], lines[2]));
    shelf.put("tub/catalog_0.catalog_manifest", "{\"line_lengths\": [1, 2, 3]}\n");
    shelf.put("tub/catalog_1.catalog", format!("{}\r\n", lines[3]));
    shelf.put("tub/manifest.json", manifest("[\"catalog_0.catalog\", \"catalog_1.catalog\"]", "[2]"));
    let source = shelf.look("tub");
    assert_eq!((source.kind(), source.bad()), (Kind::Tub, &[][..]));
    let name = |index: u32| format!("images/{index}_cam_image_array_.jpg");
    assert_eq!(keys(&source), [0, 1, 3, 4].map(name), "4 was never told of");
    let angles = source.samples().iter().map(|sample| sample.label.as_ref()?.field("user/angle").map(str::to_owned));
    assert_eq!(angles.flatten().collect::<Vec<_>>(), ["0.0", "1.7494954273533618e-18", "1"]);
    for (at, line) in [(0, &lines[0]), (1, &lines[1]), (2, &lines[3])] {
        assert_eq!(source.label_pieces(at).unwrap(), json(line));
    }
    assert_eq!(source.label_pieces(3).unwrap(), []);
    let refused = shelf.freeze("tub", Terms { labels: Labels::Required, ..terms() }).unwrap_err().to_string();
    assert!(refused.contains("take out the images that no record of their tub names"), "{refused}");
}

#[test]
fn each_image_of_an_old_tub_has_its_record() {
    let shelf = Shelf::new();
    for index in [1, 2, 10] {
        shelf.put(&format!("tub/{index}_cam-image_array_.jpg"), encoded(&grey(1), ImageFormat::Jpeg));
        let text = format!("{{\"cam/image_array\": \"{index}_cam-image_array_.jpg\", \"user/angle\": 0.{index}}}\n");
        shelf.put(&format!("tub/record_{index}.json"), text);
    }
    shelf.put("tub/meta.json", "{\"inputs\": [\"cam/image_array\"], \"types\": [\"image_array\"]}");
    shelf.put("tub/record_3.json", "{\"cam/image_array\": \"3_cam-image_array_.jpg\"}");
    shelf.put("tub/record_4.json", "{\"cam/ima");
    let source = shelf.look("tub");
    assert_eq!(source.kind(), Kind::Tub);
    assert_eq!(keys(&source), ["10_cam-image_array_.jpg", "1_cam-image_array_.jpg", "2_cam-image_array_.jpg"]);
    assert_eq!(source.samples()[0].label, Some(Label::Sidecars(vec!["record_10.json".into()])));
    let text = "{\"cam/image_array\": \"10_cam-image_array_.jpg\", \"user/angle\": 0.10}\n";
    assert_eq!(source.label_pieces(0).unwrap(), json(text));
    let torn = "the record is torn, EOF while parsing a string: take it out, or copy the tub again";
    let gone = "the table names it, but there is no such file";
    assert_eq!(reasons(&source), [("3_cam-image_array_.jpg", gone), ("record_4.json", torn)]);
    let frozen = shelf.freeze("tub", Terms { max_bad: 0.5, labels: Labels::Required, ..terms() }).unwrap();
    assert_eq!(frozen.sidecars(sumac_common::ids::SampleId(0))[0].file_name().unwrap(), "record_10.json");
}

#[test]
fn many_tubs_under_one_folder_keep_their_records_apart() {
    let shelf = Shelf::new();
    for (tub, deleted) in [("drives/monday", "[0]"), ("drives/tuesday", "[1]")] {
        frames(&shelf, tub, &[0, 1]);
        shelf.put(
            &format!("{tub}/catalog_0.catalog"),
            format!("{}\n{}\n", line(0, "0"), line(1, tub.len().to_string().as_str())),
        );
        shelf.put(&format!("{tub}/manifest.json"), manifest("[\"catalog_0.catalog\"]", deleted));
    }
    let source = shelf.look("drives");
    assert_eq!(keys(&source), ["monday/images/1_cam_image_array_.jpg", "tuesday/images/0_cam_image_array_.jpg"]);
    assert_eq!(source.label_pieces(0).unwrap(), json(line(1, "13")));
    assert_eq!(source.label_pieces(1).unwrap(), json(line(0, "0")));
}

#[test]
fn what_a_flat_battery_tore_is_listed_line_by_line() {
    let shelf = Shelf::new();
    frames(&shelf, "tub", &[0, 1]);
    let text = format!(
        "{}\n{}\n{}\n{}\n{{\"_index\": 7, \"cam/image_array\": \"../7.jpg\"}}\n\u{fffd}{{\"_ind",
        line(0, "0"),
        line(1, "0"),
        line(5, "0"),
        line(1, "9"),
    );
    shelf.put("tub/catalog_0.catalog", text);
    shelf.put("tub/manifest.json", &manifest("[\"catalog_0.catalog\", \"catalog_1.catalog\"]", "[8]")[..150]);
    let source = shelf.look("tub");
    assert_eq!(source.samples().len(), 2);
    let undeleted =
        "none of its lines tells what was deleted: copy the tub again, or take the manifest out to use every record";
    let wanted = [
        ("catalog_0.catalog:5", "its name leads out of the data set: use relative names without `..`"),
        ("catalog_0.catalog:6", "the record is torn, expected value: take it out, or copy the tub again"),
        ("images/1_cam_image_array_.jpg", "another record of the tub names the same image: keep one record per image"),
        ("images/5_cam_image_array_.jpg", "the table names it, but there is no such file"),
        ("manifest.json", undeleted),
    ];
    assert_eq!(reasons(&source), wanted);
    assert_eq!(source.label_pieces(1).unwrap(), json(line(1, "0")), "the first record counts");

    shelf.put("tub/manifest.json", manifest("[\"catalog_0.catalog\", \"catalog_1.catalog\"]", "[8]"));
    let gone = ("catalog_1.catalog", "the table names it, but there is no such file");
    assert!(reasons(&shelf.look("tub")).contains(&gone));
}

#[test]
fn files_of_such_names_that_are_no_tub_stay_what_they_are() {
    let shelf = Shelf::new();
    shelf.grey("pairs/record_1.png", 1);
    shelf.put("pairs/record_1.json", "{\"cam/image_array\": \"record_1.png\"}");
    assert_eq!(shelf.look("pairs").kind(), Kind::Folder);
    assert_eq!(shelf.look("pairs").samples()[0].label, Some(Label::Sidecars(vec!["record_1.json".into()])));
    for (name, text) in [("record_1.json", "{\"title\": \"Kind of Blue\"}"), ("catalog_1.catalog", "not even json\n")] {
        shelf.grey("cats/cat/1.png", 1);
        shelf.grey("cats/dog/1.png", 1);
        shelf.put(&format!("cats/{name}"), text);
        let source = shelf.look("cats");
        assert_eq!((source.kind(), source.bad().len()), (Kind::ClassFolders, 0), "{name}");
        assert!(source.samples()[0].label.is_some());
    }
}

#[test]
fn two_cameras_share_a_record() {
    let shelf = Shelf::new();
    shelf.grey("tub/images/0_cam_image_array_a.png", 1);
    shelf.grey("tub/images/0_cam_image_array_b.png", 1);
    let text = "{\"_index\": 0, \"cam/image_array_a\": \"0_cam_image_array_a.png\", \"cam/image_array_b\": \"0_cam_image_array_b.png\"}";
    shelf.put("tub/catalog_0.catalog", text);
    let source = shelf.look("tub");
    assert_eq!([0, 1].map(|at| source.label_pieces(at).unwrap()), [json(text), json(text)]);
}
