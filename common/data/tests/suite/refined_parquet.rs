//! Parquet files refined: other images, and every other column as its bytes lay there. The refiner here is a negative.

use crate::{
    refined::{assert_clean, begun, publish_all, seal, tree, verified, whole},
    shelf::Shelf,
};
use parquet::file::{
    metadata::{ColumnChunkMetaData, ParquetMetaData},
    reader::{FileReader, SerializedFileReader},
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};
use sumac_common::{leases::Shard, refinement::Layout};
use sumac_data::{Source, decode, picture::Pixels, refined, refined::RefinedError, source::Unread};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)
}

/// The set `set` is this file, under its own name.
fn shelf(names: &[&str]) -> Shelf {
    let shelf = Shelf::new();
    for name in names {
        shelf.put(&format!("set/{name}"), fs::read(file(name)).unwrap());
    }
    shelf
}

const ROWS: [&str; 2] = ["rows/train-00000-of-00002.parquet", "rows/train-00001-of-00002.parquet"];

fn footer(path: &Path) -> ParquetMetaData {
    SerializedFileReader::new(File::open(path).unwrap()).unwrap().metadata().clone()
}

/// The bytes of each piece of each column, row group by row group, by the column's name.
fn pieces(path: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = fs::read(path).unwrap();
    let piece = |column: &ColumnChunkMetaData| {
        let (begin, length) = column.byte_range();
        (column.column_path().string(), bytes[begin as usize..(begin + length) as usize].to_vec())
    };
    footer(path).row_groups().iter().flat_map(|group| group.columns()).map(piece).collect()
}

/// All but the images is what it was, in the pieces of the `same` columns byte for byte.
fn assert_carried(before: &Path, after: &Path, image: &str, others_too: bool) {
    let (one, other) = (footer(before), footer(after));
    assert_eq!(one.file_metadata().schema(), other.file_metadata().schema());
    assert_eq!(one.file_metadata().key_value_metadata(), other.file_metadata().key_value_metadata());
    let rows = |footer: &ParquetMetaData| footer.row_groups().iter().map(|group| group.num_rows()).collect::<Vec<_>>();
    assert_eq!(rows(&one), rows(&other));
    for ((name, before), (also, after)) in pieces(before).into_iter().zip(pieces(after)) {
        assert_eq!(name, also);
        assert!(name == image || !others_too || before == after, "{name} is not what it was");
    }
}

fn negative(source: &Source, at: usize) -> Vec<u8> {
    let Pixels::U8(values) = source.picture(at).unwrap().pixels else { panic!("eight bits stay eight") };
    values.into_iter().map(|value| 255 - value).collect()
}

#[test]
fn a_parquet_file_is_mirrored_with_every_other_column_byte_for_byte() {
    for (name, image) in
        [("classes.parquet", "image.bytes"), ("plain.parquet", "image"), ("codings.parquet", "image.bytes")]
    {
        let shelf = shelf(&[name]);
        whole(&shelf, "refined", Layout::Mirror);
        let after = shelf.path("refined").join(name);
        assert_carried(&file(name), &after, image, true);
        let (before, after) = (Source::look(&file(name)).unwrap(), Source::look(&after).unwrap());
        let images = before.samples().len();
        for at in 0..images {
            assert_eq!(after.picture(at).unwrap().pixels, Pixels::U8(negative(&before, at)), "{name} {at}");
            assert_eq!(after.label_pieces(at).unwrap(), before.label_pieces(at).unwrap());
            assert_eq!(after.samples()[at].label, before.samples()[at].label);
        }
        assert_clean(&shelf, "refined", images as u64);
    }
}

#[test]
fn an_index_of_pages_is_carried_along() {
    let shelf = shelf(&["classes.parquet"]);
    whole(&shelf, "refined", Layout::Mirror);
    let footer = footer(&shelf.path("refined/classes.parquet"));
    let columns = footer.row_groups().iter().flat_map(|group| group.columns());
    assert!(columns.clone().all(|column| column.offset_index_offset().is_some()));
    assert!(columns.filter(|column| column.column_index_offset().is_some()).count() > 0);
}

#[test]
fn several_files_keep_their_names_and_what_lies_beside_them_comes_along() {
    let shelf = shelf(&ROWS);
    shelf.put("set/README.md", "a card");
    whole(&shelf, "refined", Layout::Mirror);
    for name in ROWS {
        assert_carried(&file(name), &shelf.path("refined").join(name), "image.bytes", true);
    }
    let after = tree(&shelf.path("refined"));
    assert_eq!(after["README.md"], b"a card");
    let own: Vec<&String> = after.keys().collect();
    assert_eq!(own, ["MANIFEST.json", "README.md", "errors.jsonl", "provenance.jsonl", ROWS[0], ROWS[1]]);
    let verified = verified(&shelf, "refined");
    assert_eq!((verified.images, verified.bad, &verified.findings[..]), (6, 2, &[][..]));
}

#[test]
fn neither_the_order_of_shards_nor_names_of_attempts_change_a_byte() {
    let shelf = shelf(&ROWS);
    whole(&shelf, "one", Layout::Mirror);
    let order = begun(&shelf, "other", Layout::Mirror);
    publish_all(&order, (0..order.what.shards()).rev(), "7-99");
    seal(&order).unwrap();
    assert_eq!(tree(&shelf.path("one")), tree(&shelf.path("other")));
}

/// The file with one of its images, which lie in it as they are, broken.
fn damaged(name: &str, image: usize) -> Vec<u8> {
    let mut bytes = fs::read(file(name)).unwrap();
    let starts = bytes.windows(8).enumerate().filter(|(_, it)| it == b"\x89PNG\r\n\x1a\n").map(|(at, _)| at);
    let at = starts.collect::<Vec<_>>()[image];
    bytes[at + 12..at + 16].copy_from_slice(b"none");
    bytes
}

#[test]
fn the_row_of_an_image_that_did_not_come_out_stays_without_it() {
    let shelf = Shelf::new();
    shelf.put("set/classes.parquet", damaged("classes.parquet", 2));
    whole(&shelf, "refined", Layout::Mirror);
    let (before, after) = (shelf.look("set"), shelf.look("refined"));
    assert_eq!(after.samples().len(), 7);
    // Its label stays beside it, and its path is gone with it: whoever finds one looks for the file.
    let Err(Unread::Fault(fault)) = after.original(2) else { panic!("it did not come out") };
    assert_eq!(fault, decode::Fault::NoBytes);
    assert_eq!(after.samples()[2].label, before.samples()[2].label);
    for at in [0, 1, 3, 4, 5, 6] {
        assert_eq!(after.picture(at).unwrap().pixels, Pixels::U8(negative(&before, at)));
        assert_eq!(after.label_pieces(at).unwrap(), before.label_pieces(at).unwrap());
    }
    let paths =
        |path: &str| pieces(&shelf.path(path)).into_iter().filter(|(name, _)| name == "image.path").collect::<Vec<_>>();
    let (one, other) = (paths("set/classes.parquet"), paths("refined/classes.parquet"));
    assert_eq!((one[0] == other[0], one[1..] == other[1..]), (false, true), "only in the row group that has a gap");
    let verified = verified(&shelf, "refined");
    assert_eq!((verified.images, verified.bad, &verified.findings[..]), (6, 1, &[][..]));
}

#[test]
fn a_shard_in_quarantine_leaves_rows_without_images() {
    let shelf = shelf(&["classes.parquet"]);
    let order = begun(&shelf, "refined", Layout::Mirror);
    publish_all(&order, [0, 2].into_iter(), "1-1");
    refined::seal(&order, &[(Shard(1), "no room".to_owned())], None, &|_, _| {}).unwrap();
    let after = shelf.look("refined");
    assert!((3..6).all(|at| after.original(at).is_err()) && after.picture(6).is_ok());
    assert_eq!(verified(&shelf, "refined").findings, []);
}

#[test]
fn a_column_that_cannot_be_without_an_image_is_not_written_with_gaps() {
    let shelf = Shelf::new();
    let mut bytes = fs::read(file("required.parquet")).unwrap();
    let at = bytes.windows(4).position(|it| it == b"IHDR").unwrap();
    bytes[at..at + 4].copy_from_slice(b"none");
    shelf.put("set/required.parquet", bytes);
    let order = begun(&shelf, "refined", Layout::Mirror);
    publish_all(&order, 0..order.what.shards(), "1-1");
    let error = seal(&order).unwrap_err();
    assert!(matches!(error, RefinedError::Gaps { bad: 1, of: 3, .. }), "{error}");
    assert!(error.to_string().contains("required.parquet") && error.to_string().contains("--layout shards"), "{error}");
}

#[test]
fn tars_of_rows_have_the_class_and_the_row_beside_each_image() {
    let shelf = shelf(&["classes.parquet"]);
    whole(&shelf, "refined", Layout::Shards);
    let after = shelf.look("refined");
    let endings = after.label_pieces(0).unwrap().into_iter().map(|piece| piece.ending).collect::<Vec<_>>();
    assert_eq!(endings, ["cls", "json", "prov.json"]);
    assert_clean(&shelf, "refined", 7);
}

#[test]
fn verify_finds_rows_that_are_not_as_they_were_written() {
    let shelf = shelf(&["classes.parquet"]);
    whole(&shelf, "refined", Layout::Mirror);
    let said = || verified(&shelf, "refined").findings.iter().map(ToString::to_string).collect::<Vec<_>>();
    // The file as it was before.
    let path = shelf.path("refined/classes.parquet");
    let refined = fs::read(&path).unwrap();
    fs::copy(file("classes.parquet"), &path).unwrap();
    assert!(
        said().iter().all(|said| said.contains("its image is not what was written")) && said().len() == 7,
        "{:?}",
        said()
    );
    fs::write(&path, &refined[..refined.len() - 1]).unwrap();
    assert!(said().iter().any(|said| said.contains("cut short")), "{:?}", said());
}

#[test]
fn one_of_several_columns_is_refined_and_the_other_carried() {
    let shelf = Shelf::new();
    shelf.put("two.parquet", fs::read(file("two.parquet")).unwrap());
    fs::create_dir(shelf.path("set")).unwrap();
    fs::rename(shelf.path("two.parquet"), shelf.path("set/two.parquet")).unwrap();
    let order = crate::refined::begun_from(&shelf, "set/left", "refined", Layout::Mirror);
    publish_all(&order, 0..order.what.shards(), "1-1");
    seal(&order).unwrap();
    assert_carried(&file("two.parquet"), &shelf.path("refined/two.parquet"), "left.bytes", true);
    let (source, none) = (shelf.look("set/left"), &[][..]);
    let verified = refined::verify(&shelf.path("refined"), Some(&source), &|_, _| {}).unwrap();
    assert_eq!((verified.images, &verified.findings[..]), (3, none));
}
