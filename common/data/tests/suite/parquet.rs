//! Parquet files as `datasets` and pyarrow write them: images by row, with all that lies beside them.

use crate::shelf::{Shelf, encoded, grey, keys, terms};
use parquet::{
    data_type::{ByteArray, ByteArrayType, Int32Type},
    file::writer::{SerializedColumnWriter, SerializedFileWriter},
    schema::parser::parse_message_type,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use sumac_common::leases::Shard;
use sumac_data::{
    Label, Source,
    freeze::{Terms, freeze},
    picture::Pixels,
    refined::Input,
    source::{Form, Kind, Piece, Unread},
    survey,
};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)
}

/// Of every form, to be damaged.
pub(crate) fn files() -> impl Iterator<Item = Vec<u8>> {
    let names =
        ["classes.parquet", "rows/train-00000-of-00002.parquet", "plain.parquet", "codings.parquet", "bare.parquet"];
    names.into_iter().map(|name| fs::read(file(name)).unwrap())
}

fn look(name: &str) -> Source {
    Source::look(&file(name)).unwrap()
}

fn refused(path: impl AsRef<Path>) -> String {
    Source::look(path.as_ref()).unwrap_err().to_string()
}

fn piece(ending: &str, bytes: impl Into<Vec<u8>>) -> Piece {
    Piece { ending: ending.to_owned(), bytes: bytes.into() }
}

/// The pieces of one sample, as text.
fn said(source: &Source, at: usize) -> Vec<(String, String)> {
    let pieces = source.label_pieces(at).unwrap();
    pieces.into_iter().map(|Piece { ending, bytes }| (ending, String::from_utf8(bytes).unwrap())).collect()
}

/// The picture that was numbered so when the file was made.
fn assert_picture(source: &Source, at: usize, number: u8) {
    let picture = source.picture(at).unwrap();
    assert_eq!((picture.width, picture.height, picture.channels), (4, 3, 1));
    assert_eq!(picture.pixels, Pixels::U8((10 * number..10 * number + 12).collect()), "row {at}");
}

fn class(index: u32, name: &str) -> Option<Label> {
    Some(Label::Class { index, name: name.to_owned() })
}

#[test]
fn a_file_of_hugging_face_brings_its_images_and_the_names_of_its_classes() {
    let source = look("classes.parquet");
    assert_eq!((source.kind(), source.samples().len()), (Kind::Parquet, 7));
    assert_eq!(keys(&source)[..2], ["00000000", "00000001"]);
    (0..7).for_each(|at| assert_picture(&source, at, at as u8));
    assert!(matches!(source.original(0).unwrap().form, Form::Encoded(_)));
    assert_eq!(source.samples()[2].label, class(0, "cat"));
    assert_eq!(source.samples()[3].label, class(1, "dog"));
    assert_eq!(source.inspect(None).classes, ["cat", "dog"]);
}

#[test]
fn a_row_is_carried_as_json_and_its_class_beside_it() {
    let source = look("classes.parquet");
    let row = r#"{"image": {"path": "3.png"}, "label": 1, "gaze": [0.3, -1.0]}"#;
    assert_eq!(said(&source, 3), [("cls".to_owned(), "1".to_owned()), ("json".to_owned(), row.to_owned())]);
}

#[test]
fn a_class_that_nobody_knows_is_no_label() {
    let source = look("classes.parquet");
    assert_eq!(source.samples()[5].label, None);
    assert_eq!(said(&source, 5)[0].0, "json");
    assert_eq!(source.inspect(None).labels.missing, 1);
}

#[test]
fn a_class_alone_is_all_there_is_to_say() {
    let source = look("bare.parquet");
    assert_eq!(source.label_pieces(1).unwrap(), [piece("cls", "1")]);
}

#[test]
fn a_folder_of_files_is_one_data_set_in_their_order() {
    let source = look("rows");
    let names = ["rows/train-00000-of-00002.parquet", "rows/train-00001-of-00002.parquet"];
    let wanted: Vec<String> = (0..5)
        .map(|row| (0, row))
        .chain((0..3).map(|row| (1, row)))
        .map(|(part, row)| format!("{}/{row:08}", &names[part][5..]))
        .collect();
    assert_eq!(keys(&source), wanted);
    [0, 1, 2, 4, 5, 7].into_iter().for_each(|at| assert_picture(&source, at, at as u8));
    let second = look(names[1]);
    assert_eq!(keys(&second), ["00000000", "00000001", "00000002"]);
    assert_picture(&second, 0, 5);
}

#[test]
fn a_pattern_names_some_of_the_files_of_a_folder() {
    assert_eq!(look("rows/train-*.parquet").samples().len(), 8);
    assert_eq!(look("rows/train-{00000..00001}-of-00002.parquet").samples().len(), 8);
    let one = look("rows/train-00001-*.parquet");
    assert_eq!(keys(&one), ["00000000", "00000001", "00000002"]);
}

#[test]
fn rows_without_classes_are_listed_as_they_are() {
    let source = look("rows");
    let fields = [
        ("name", "number \"0\""),
        ("image", r#"{"path": "0.png"}"#),
        ("pose", r#"{"yaw": 0.0, "seen": true}"#),
        ("boxes", "[]"),
    ];
    let fields = fields.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec();
    assert_eq!(source.samples()[0].label, Some(Label::Row(fields)));
    assert_eq!(source.samples()[4].label.as_ref().unwrap().field("name"), Some("null"));
}

#[test]
fn values_in_values_are_told_as_they_are_nested() {
    let source = look("rows");
    let rows = [
        r#"{"name": "number \"1\"", "image": {"path": "1.png"}, "pose": null, "boxes": [[1, 1]]}"#,
        r#"{"name": "number \"2\"", "image": {"path": "2.png"}, "pose": {"yaw": 0.5, "seen": true}, "boxes": null}"#,
        r#"{"name": "number \"5\"", "image": {"path": "5.png"}, "pose": {"yaw": 1.25, "seen": false}, "boxes": [[5, 1], []]}"#,
    ];
    for (at, row) in [1, 2, 5].into_iter().zip(rows) {
        assert_eq!(said(&source, at), [("json".to_owned(), row.to_owned())]);
    }
}

#[test]
fn a_row_without_an_image_is_bad_and_says_why() {
    let source = look("rows");
    let bad: Vec<String> = source.inspect(None).bad.into_iter().map(|bad| bad.reason).collect();
    assert_eq!(bad[0], "its row has no image");
    assert!(bad[1].starts_with("its row has only the path of an image, `lost.png`, and not the image"), "{}", bad[1]);
    assert_eq!(bad.len(), 2);
}

#[test]
fn bare_bytes_under_the_name_of_an_image_are_the_images_and_others_files_beside_them() {
    let source = look("plain.parquet");
    (0..4).for_each(|at| assert_picture(&source, at, at as u8));
    let endings = |at| source.label_pieces(at).unwrap().into_iter().map(|piece| piece.ending).collect::<Vec<_>>();
    assert_eq!(endings(0), ["mask.png", "notes.bin"]);
    assert_eq!(source.label_pieces(1).unwrap(), [piece("notes.bin", *b"b\0")]);
    assert_eq!(endings(2), ["mask.png"]);
    assert_eq!(source.samples()[1].label, Some(Label::Arrays(vec!["mask".to_owned(), "notes".to_owned()])));
}

#[test]
fn of_several_columns_of_images_one_has_to_be_named() {
    let error = refused(file("two.parquet"));
    assert!(error.contains("two.parquet/left") && error.contains("two.parquet/right"), "{error}");
    let right = look("two.parquet/right");
    (0..3).for_each(|at| assert_picture(&right, at, 5 + at as u8));
    // The other one is carried along; its path is its name, and no label.
    let pieces = right.label_pieces(0).unwrap();
    assert_eq!((pieces.len(), pieces[0].ending.as_str()), (1, "left.png"));
    let missing = refused(file("two.parquet/middle"));
    assert!(missing.contains("two.parquet/middle"), "{missing}");
}

#[test]
fn a_column_is_named_behind_a_folder_or_a_pattern() {
    let shelf = Shelf::new();
    for part in 0..2 {
        shelf.put(&format!("set/train-{part}.parquet"), fs::read(file("two.parquet")).unwrap());
    }
    let error = refused(shelf.path("set"));
    assert!(error.contains("left") && error.contains("right"), "{error}");
    for name in ["set/left", "set/train-*.parquet/left"] {
        let source = shelf.look(name);
        assert_eq!(source.samples().len(), 6, "{name}");
        assert_picture(&source, 4, 1);
    }
    // Another column of the same rows is another data set.
    let frozen = |name| shelf.freeze(name, terms()).unwrap().manifest_hash();
    assert_ne!(frozen("set/left"), frozen("set/right"));
}

#[test]
fn every_coding_and_packing_reads_the_same_values() {
    let source = look("codings.parquet");
    (0..5).for_each(|at| assert_picture(&source, at, at as u8));
    let row = "{\"image\": {\"path\": \"3.png\"}, \"text\": \"prefix-3\", \"code\": \"code-3\", \"day\": \"2020-01-04\", \
               \"when\": \"2020-01-01 12:03:00.000000 +00:00\", \"price\": \"3.50\", \"small\": 3, \"half\": 1.5, \"near\": 0.3, \
               \"id\": \"03030303\", \"tags\": [[\"a\", 3], [\"b\", null]]}";
    assert_eq!(said(&source, 3), [("json".to_owned(), row.to_owned())]);
}

#[test]
fn a_file_without_images_says_what_columns_it_has() {
    let shelf = Shelf::new();
    let mut bytes = fs::read(file("plain.parquet")).unwrap();
    // The same letters everywhere: in the schema and in the paths of the columns.
    while let Some(at) = bytes.windows(5).position(|letters| letters == b"image") {
        bytes[at..at + 5].copy_from_slice(b"other");
    }
    let error = refused(shelf.put("a.parquet", bytes));
    assert!(error.contains("(other, mask, notes)") && error.contains("call it `image`"), "{error}");
}

#[test]
fn files_of_other_columns_are_no_one_data_set() {
    let shelf = Shelf::new();
    shelf.put("set/a.parquet", fs::read(file("classes.parquet")).unwrap());
    shelf.put("set/b.parquet", fs::read(file("bare.parquet")).unwrap());
    let error = refused(shelf.path("set"));
    assert!(error.contains("b.parquet") && error.contains("has other columns than"), "{error}");
}

#[test]
fn a_pointer_of_git_lfs_is_no_file_yet() {
    let shelf = Shelf::new();
    shelf.put("set/a.parquet", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    let error = refused(shelf.path("set"));
    assert!(error.contains("git lfs pull"), "{error}");
}

#[test]
fn a_file_that_is_cut_short_is_refused() {
    let shelf = Shelf::new();
    let bytes = fs::read(file("classes.parquet")).unwrap();
    let error = refused(shelf.put("a.parquet", &bytes[..bytes.len() - 1]));
    assert!(error.contains("is damaged: it ends without a parquet footer"), "{error}");
}

#[test]
fn a_footer_that_claims_more_than_there_is_is_refused_before_it_is_allocated() {
    let shelf = Shelf::new();
    let mut bytes = fs::read(file("bare.parquet")).unwrap();
    let end = bytes.len();
    bytes[end - 8..end - 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(refused(shelf.put("a.parquet", &bytes)).contains("cut short"));
    // A schema with a group of two thousand million members: the length of its list of columns stays.
    let footer = [0x15, 2, 0x19, 0x1c, 0x48, 1, b'a', 0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0x16, 0, 0x19, 0x0c, 0];
    let bytes = [b"PAR1", &footer[..], &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat();
    assert!(refused(shelf.put("b.parquet", bytes)).contains("columns that make no sense"));
}

#[test]
fn rows_that_no_file_has_room_for_are_refused_before_they_are_listed() {
    let shelf = Shelf::new();
    let mut bytes = fs::read(file("bare.parquet")).unwrap();
    // Three rows, told as 6 after the schema: in the file's own count and in the row group's. The latter counts.
    let footer = bytes.len() - 8 - u32::from_le_bytes(*bytes[bytes.len() - 8..].first_chunk().unwrap()) as usize;
    let count = bytes[footer..].windows(3).rposition(|it| it == [0x16, 6, 0x26]).unwrap() + footer;
    let huge: &[u8] = &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f];
    bytes.splice(count + 1..count + 2, huge.iter().copied());
    let length = (bytes.len() - 8 - footer) as u32;
    let end = bytes.len();
    bytes[end - 8..end - 4].copy_from_slice(&length.to_le_bytes());
    let error = refused(shelf.put("a.parquet", bytes));
    assert!(error.contains("more than there can be") || error.contains("damaged"), "{error}");
}

/// A file of one row: an image, and what `write` puts into the one column beside it.
fn one_row(column: &str, write: impl FnOnce(&mut SerializedColumnWriter)) -> Vec<u8> {
    let schema = parse_message_type(&format!("message m {{ required binary image; {column}; }}")).unwrap();
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::default()).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut image = group.next_column().unwrap().unwrap();
    let png = encoded(&grey(7), image::ImageFormat::Png);
    image.typed::<ByteArrayType>().write_batch(&[ByteArray::from(png)], None, None).unwrap();
    image.close().unwrap();
    let mut beside = group.next_column().unwrap().unwrap();
    write(&mut beside);
    beside.close().unwrap();
    group.close().unwrap();
    file.close().unwrap();
    bytes
}

#[test]
fn a_few_bytes_that_stand_for_a_list_without_end_are_not_unpacked() {
    let shelf = Shelf::new();
    let list = |length: usize| {
        one_row("repeated int32 list", |column| {
            let (definition, mut repetition) = (vec![1; length], vec![1; length]);
            repetition[0] = 0;
            column.typed::<Int32Type>().write_batch(&vec![7; length], Some(&definition), Some(&repetition)).unwrap();
        })
    };
    let few = Source::look(&shelf.put("few.parquet", list(3))).unwrap();
    assert_eq!(said(&few, 0), [("json".to_owned(), r#"{"list": [7, 7, 7]}"#.to_owned())]);
    let many = list(20_000_000);
    assert!(many.len() < 1_000_000, "it is {} bytes", many.len());
    let error = refused(shelf.put("many.parquet", many));
    assert!(error.contains("column list holds more in one row group than is read"), "{error}");
}

#[test]
fn a_frozen_listing_reads_each_shard_without_the_others() {
    for (name, samples) in [("classes.parquet", 7), ("rows", 8), ("plain.parquet", 4), ("two.parquet/left", 3)] {
        let shelf = Shelf::new();
        let source = look(name);
        Input::freeze(look(name).into(), 3, &shelf.path("work")).unwrap();
        let input = Input::open(&shelf.path("work")).unwrap();
        assert_eq!(input.samples(), samples, "{name}");
        // In any order.
        for at in (0..samples as usize).rev() {
            let shard = input.shard(3, Shard(at as u32 / 3)).unwrap();
            assert_eq!(shard.samples()[at % 3].label, source.samples()[at].label, "{name} {at}");
            assert_eq!(format!("{:?}", shard.original(at % 3)), format!("{:?}", source.original(at)), "{name} {at}");
            assert_eq!(shard.label_pieces(at % 3).unwrap(), source.label_pieces(at).unwrap(), "{name} {at}");
        }
    }
}

#[test]
fn a_file_that_was_touched_after_it_was_listed_is_not_read() {
    let shelf = Shelf::new();
    let path = shelf.put("a.parquet", fs::read(file("classes.parquet")).unwrap());
    let source = Source::look(&path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes.push(0);
    fs::write(&path, bytes).unwrap();
    let Err(Unread::Io { source, .. }) = source.original(0) else { panic!("it is another file") };
    assert!(source.to_string().contains("it was changed after it was listed"), "{source}");
}

#[test]
fn freezing_and_surveying_leave_out_the_bad_and_no_other() {
    let shelf = Shelf::new();
    let source = look("rows");
    let frozen = freeze(&source, Terms { max_bad: 0.5, ..terms() }, &shelf.path("cache"), &|_, _| {}).unwrap();
    assert_eq!((frozen.len(), frozen.bad().len()), (6, 2));
    let survey = survey(&source, &|_, _| {}).unwrap();
    assert_eq!((survey.images, survey.bad.len(), survey.labelled), (8, 2, 6));
}

#[test]
fn equal_images_have_the_identity_of_a_stack_of_them() {
    let shelf = Shelf::new();
    let rows = freeze(&look("classes.parquet"), terms(), &shelf.path("cache"), &|_, _| {}).unwrap();
    let values: Vec<u8> = (0..7).flat_map(|number| 10 * number..10 * number + 12).collect();
    shelf.put("stack.npy", crate::shelf::npy("|u1", "(7, 3, 4)", &values));
    assert_eq!(rows.manifest_hash(), shelf.freeze("stack.npy", terms()).unwrap().manifest_hash());
}
