//! What is carried along: the bytes of image and label, exactly as somebody wrote them.

use crate::shelf::{Shelf, encoded, grey, idx, keys, npy, python};
use image::ImageFormat;
use std::fs;
use sumac_data::{
    Source,
    decode::{Fault, Format, LABEL_BYTES_MAX},
    source::{Form, Kind, Piece, Unread},
};

fn pieces(source: &Source, at: usize) -> Vec<(String, Vec<u8>)> {
    source.label_pieces(at).unwrap().into_iter().map(|Piece { ending, bytes }| (ending, bytes)).collect()
}

fn piece(ending: &str, bytes: impl AsRef<[u8]>) -> (String, Vec<u8>) {
    (ending.to_owned(), bytes.as_ref().to_vec())
}

#[test]
fn sidecars_are_carried_byte_for_byte_whatever_they_hold() {
    let shelf = Shelf::new();
    // As UnityEyes writes it: text for numbers; and what no parser would give back.
    let json = b"\xef\xbb\xbf{\r\n  \"look_vec\": \"(0.0520, 0.0668, -0.9964, 0.0000)\",\r\n}\n\xff".to_vec();
    shelf.put("set/deep/down/1.jpg", encoded(&grey(9), ImageFormat::Jpeg));
    shelf.put("set/deep/down/1.json", &json);
    shelf.put("set/deep/down/1.npy", npy("<f4", "(1,)", &[0, 0, 128, 63]));
    shelf.put("set/deep/down/1.txt", "");
    let mask = encoded(&grey(1), ImageFormat::Png);
    shelf.put("set/deep/down/1_mask.png", &mask);
    let source = shelf.look("set");
    let npy = npy("<f4", "(1,)", &[0, 0, 128, 63]);
    assert_eq!(
        pieces(&source, 0),
        [piece("json", &json), piece("npy", &npy), piece("txt", ""), piece("mask.png", &mask)]
    );
}

#[test]
fn an_image_comes_with_the_bytes_and_the_format_it_has_whatever_its_name() {
    let shelf = Shelf::new();
    for (format, known) in [
        (ImageFormat::Png, Format::Png),
        (ImageFormat::Jpeg, Format::Jpeg),
        (ImageFormat::Bmp, Format::Bmp),
        (ImageFormat::Tiff, Format::Tiff),
        (ImageFormat::Pnm, Format::Pnm),
        (ImageFormat::WebP, Format::Webp),
    ] {
        let path = shelf.put("set/a.jpg", encoded(&grey(7), format));
        let original = shelf.look("set").original(0).unwrap();
        assert_eq!((original.form, original.bytes), (Form::Encoded(known), fs::read(path).unwrap()));
    }
    shelf.put("set/a.jpg", "neither");
    assert!(matches!(shelf.look("set").original(0), Err(Unread::Fault(Fault::NotAnImage))));
}

#[test]
fn a_row_of_csv_is_carried_as_it_was_typed() {
    let rows = ["b.png ,\"1,\r\n 2\", x", "'a.png',3,", "a.png,\"say \"\"3\"\"\",  "];
    for (mark, end, last) in [("", "\n", "\n"), ("\u{feff}", "\r\n", "\r\n"), ("", "\n\n", ""), ("", "\r\n\r\n", "")] {
        let shelf = Shelf::new();
        for name in ["set/a.png", "set/b.png", "set/'a.png'"] {
            shelf.grey(name, 1);
        }
        shelf.put("set/metadata.csv", format!("{mark}file_name,gaze,note{end}{}{last}", rows.join(end)));
        let source = shelf.look("set");
        for (at, row) in [(0, rows[1]), (1, rows[2]), (2, rows[0])] {
            assert_eq!(pieces(&source, at), [piece("csv", row)], "{mark:?} {end:?} {}", source.samples()[at].key);
        }
    }
}

#[test]
fn a_line_of_json_is_carried_with_its_own_spaces_and_numbers() {
    let rows = ["  {\"gaze\": 1.50e+00,\"file_name\" :\"b.png\"} ", "{\"file_name\":\"a.png\",\"z\":1,\"a\":[ ]}"];
    let shelf = Shelf::new();
    for name in ["set/a.png", "set/b.png"] {
        shelf.grey(name, 1);
    }
    shelf.put("set/a.txt", "beside");
    shelf.put("set/metadata.jsonl", format!("\u{feff}{}\r\n\n{}", rows[0], rows[1]));
    let source = shelf.look("set");
    assert_eq!(pieces(&source, 0), [piece("json", rows[1]), piece("txt", "beside")]);
    assert_eq!(pieces(&source, 1), [piece("json", rows[0])]);
}

#[test]
fn tables_of_sub_folders_speak_for_the_images_below_them_and_for_no_others() {
    let shelf = Shelf::new();
    for name in ["set/train/a.png", "set/train/deep/b.png", "set/test/a.png", "set/test/c.png", "set/more/a.png"] {
        shelf.grey(name, 1);
    }
    shelf.put("set/train/metadata.csv", "file_name,gaze\ndeep/b.png,1\na.png,2\ngone.png,3\n");
    shelf.put("set/test/metadata.jsonl", "{\"file_name\": \"a.png\"}\n");
    shelf.put("set/more/a.json", "{}");
    shelf.put("set/more/some.csv", "file_name\na.png\n");
    let source = shelf.look("set");
    assert_eq!(source.kind(), Kind::Table);
    assert_eq!(keys(&source), ["more/a.png", "test/a.png", "test/c.png", "train/a.png", "train/deep/b.png"]);
    let wanted = [
        vec![piece("json", "{}")],
        vec![piece("json", "{\"file_name\": \"a.png\"}")],
        vec![],
        vec![piece("csv", "a.png,2")],
        vec![piece("csv", "deep/b.png,1")],
    ];
    assert_eq!((0..5).map(|at| pieces(&source, at)).collect::<Vec<_>>(), wanted);
    assert_eq!(source.bad()[0].key, "train/gone.png");
    let tables: Vec<_> = source.tables().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(tables, ["metadata.jsonl", "metadata.csv"]);

    // The deeper one has the last word, and of two in one folder the csv.
    shelf.put("set/train/deep/metadata.jsonl", "{\"file_name\": \"./b.png\"}\n");
    shelf.put("set/train/metadata.jsonl", "{\"file_name\": \"a.png\"}\n");
    let source = shelf.look("set");
    assert_eq!(pieces(&source, 3), [piece("csv", "a.png,2")]);
    assert_eq!(pieces(&source, 4), [piece("json", "{\"file_name\": \"./b.png\"}")]);

    // One table at the top speaks for all.
    shelf.put("set/metadata.csv", "file_name,gaze\ntest/c.png,9\n");
    let source = shelf.look("set");
    assert_eq!(pieces(&source, 2), [piece("csv", "test/c.png,9")]);
    assert_eq!((source.samples().iter().filter(|sample| sample.label.is_some()).count(), source.bad().len()), (1, 0));
}

#[test]
fn python_reads_back_the_rows_that_it_wrote() {
    let shelf = Shelf::new();
    let names = ["a.png", "b,b.png", "c \"c\".png"];
    names.iter().for_each(|name| drop(shelf.grey(&format!("set/{name}"), 1)));
    let script = "import csv, sys\n\
                  with open('set/metadata.csv', 'w', newline='') as file:\n    \
                      table = csv.writer(file)\n    \
                      table.writerow(['file_name', 'note'])\n    \
                      table.writerows([name, f'\"{name}\"\\nsecond line'] for name in reversed(sys.argv[1:]))\n";
    let Some(()) = python(&shelf.path(""), script, &names) else { return };
    let source = shelf.look("set");
    let text = fs::read_to_string(shelf.path("set/metadata.csv")).unwrap();
    let rows: Vec<String> =
        (0..3).rev().map(|at| String::from_utf8(pieces(&source, at).remove(0).1).unwrap()).collect();
    assert_eq!(format!("file_name,note\r\n{}\r\n", rows.join("\r\n")), text);
    let noted: Vec<_> = source.samples().iter().map(|sample| sample.label.as_ref()?.field("note")).collect();
    assert_eq!(
        noted,
        [Some("\"a.png\"\nsecond line"), Some("\"b,b.png\"\nsecond line"), Some("\"c \"c\".png\"\nsecond line")]
    );
}

#[test]
fn a_table_that_was_written_to_after_it_was_listed_is_not_read_at_the_old_places() {
    let shelf = Shelf::new();
    shelf.grey("set/a.png", 1);
    shelf.put("set/metadata.csv", "file_name,gaze\na.png,1\n");
    let source = shelf.look("set");
    shelf.put("set/metadata.csv", "file_name,gaze\nz.png,1\na.png,1\n");
    let Err(Unread::Io { path, source: error }) = source.label_pieces(0) else { panic!("it was read") };
    assert!(path.ends_with("set/metadata.csv"));
    assert!(error.to_string().contains("changed after it was listed"), "{error}");
}

#[test]
fn a_class_is_its_index_in_digits() {
    let shelf = Shelf::new();
    shelf.grey("set/cat/1.png", 1);
    shelf.grey("set/dog/1.png", 1);
    assert_eq!(pieces(&shelf.look("set"), 1), [piece("cls", "1")]);
    shelf.put("train-images-idx3-ubyte", idx(&[2, 1, 2], &[1, 2, 3, 4]));
    shelf.put("train-labels-idx1-ubyte", idx(&[2], &[7, 12]));
    let digits = shelf.look("train-images-idx3-ubyte");
    assert_eq!(pieces(&digits, 1), [piece("cls", "12")]);
    let record = digits.original(1).unwrap();
    assert_eq!((record.form, record.bytes), (Form::Values, vec![3, 4]));
}

#[test]
fn a_sidecar_that_is_too_large_is_named_and_one_that_went_away_is_an_error_of_the_disk() {
    let shelf = Shelf::new();
    shelf.grey("set/a.png", 1);
    let sidecar = shelf.put("set/a.json", "{}");
    fs::File::create(&sidecar).unwrap().set_len(LABEL_BYTES_MAX + 1).unwrap();
    let source = shelf.look("set");
    let Err(Unread::Fault(fault)) = source.label_pieces(0) else { panic!("it was read") };
    assert!(fault.to_string().starts_with("its label `a.json` has 67108865 bytes"), "{fault}");
    fs::remove_file(&sidecar).unwrap();
    assert!(
        matches!(source.label_pieces(0), Err(Unread::Io { path, .. }) if path == fs::canonicalize(shelf.path("set")).unwrap().join("a.json"))
    );
    assert!(source.original(0).is_ok());
}
