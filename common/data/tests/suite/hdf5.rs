//! HDF5 files as h5py writes them: groups of images, stacks of images, and what belongs to each.

use crate::shelf::{Shelf, keys, npy, pack};
use std::{
    fs,
    path::{Path, PathBuf},
};
use sumac_common::{leases::Shard, refinement::Layout};
use sumac_data::{
    Label, Source,
    picture::Pixels,
    refined::Input,
    source::{Form, Kind, Piece, Roll},
};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)
}

/// Of every form, to be damaged.
pub(crate) fn files() -> impl Iterator<Item = Vec<u8>> {
    ["groups.h5", "classes.h5", "floats.h5", "two.h5"].into_iter().map(|name| fs::read(file(name)).unwrap())
}

fn piece(ending: &str, bytes: impl Into<Vec<u8>>) -> Piece {
    Piece { ending: ending.to_owned(), bytes: bytes.into() }
}

fn bytes(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

#[test]
fn a_group_of_images_is_read_by_name_with_what_the_groups_beside_it_hold() {
    let source = Source::look(&file("groups.h5")).unwrap();
    assert_eq!((source.kind(), keys(&source)), (Kind::Hdf5, vec!["a", "b", "c"]));
    let picture = source.picture(0).unwrap();
    assert_eq!((picture.width, picture.height, picture.channels), (6, 4, 1));
    assert_eq!(picture.pixels, Pixels::U8((1..25).collect()));
    let original = source.original(0).unwrap();
    assert_eq!((original.form, original.bytes), (Form::Values, (1..25).collect()));
    let look = npy("<f4", "(3,)", &bytes([1.0, 0.5, -1.0]));
    assert_eq!(source.label_pieces(0).unwrap(), [piece("look_vec.npy", look), piece("path.txt", "/somewhere/a.png")]);
}

#[test]
fn an_image_without_a_value_in_a_group_has_only_the_others() {
    let source = Source::look(&file("groups.h5")).unwrap();
    assert_eq!(source.samples()[2].label, Some(Label::Arrays(vec!["path".into()])));
    assert_eq!(source.label_pieces(2).unwrap(), [piece("path.txt", "/somewhere/c.png")]);
}

#[test]
fn a_compressed_stack_is_read_row_by_row_with_its_classes() {
    let source = Source::look(&file("classes.h5")).unwrap();
    assert_eq!((source.kind(), source.samples().len()), (Kind::Hdf5, 5));
    let picture = source.picture(3).unwrap();
    let values = (3 * 72..4 * 72).map(|value| (value % 251) as u8).collect();
    assert_eq!((picture.channels, picture.pixels), (3, Pixels::U8(values)));
    assert_eq!(source.samples()[0].label, Some(Label::Class { index: 3, name: "3".into() }));
    assert_eq!(source.label_pieces(2).unwrap(), [piece("labels.npy", npy("<i8", "()", &2_i64.to_le_bytes()))]);
}

#[test]
fn floats_are_scaled_by_the_whole_stack_and_bring_numbers_and_texts() {
    let source = Source::look(&file("floats.h5")).unwrap();
    let Pixels::F32(values) = source.picture(2).unwrap().pixels else { panic!("floats stay floats") };
    assert!((values[0] - 48.0 / 71.0).abs() < 1e-6, "{}", values[0]);
    let pose = npy("<f8", "(2,)", &[3.0_f64, 4.0].map(f64::to_le_bytes).concat());
    assert_eq!(source.label_pieces(1).unwrap(), [piece("pose.npy", pose), piece("name.txt", "two")]);
    assert_eq!(source.label_pieces(2).unwrap()[1], piece("name.txt", "drei und vierzig"));
}

#[test]
fn of_several_arrays_one_has_to_be_named() {
    let error = Source::look(&file("two.h5")).unwrap_err().to_string();
    assert!(error.contains("two.h5/x_test") && error.contains("two.h5/x_train"), "{error}");
    let train = Source::look(&file("two.h5/x_train")).unwrap();
    assert_eq!((train.samples().len(), train.samples()[0].label.clone()), (2, Some(class(1))));
    let missing = Source::look(&file("two.h5/y_train")).unwrap_err().to_string();
    assert!(missing.contains("two.h5/y_train"), "{missing}");
}

fn class(index: u32) -> Label {
    Label::Class { index, name: index.to_string() }
}

#[test]
fn an_array_that_claims_more_than_its_file_can_hold_is_refused_before_it_is_listed() {
    let error = Source::look(&file("sparse.h5")).unwrap_err().to_string();
    assert!(
        error.contains("`images` claims [67108864, 64, 64] values, more than a file of 1400 bytes can hold"),
        "{error}"
    );
}

#[test]
fn texts_that_are_all_the_same_bytes_of_a_file_are_refused_once_they_are_too_many() {
    let error = Source::look(&file("texts.h5")).unwrap_err().to_string();
    assert!(error.contains("the texts of `texts` take more than 268435456 bytes"), "{error}");
}

#[test]
fn a_frozen_listing_opens_the_file_anew_and_reads_the_same() {
    for (name, samples) in [("groups.h5", 3), ("classes.h5", 5), ("floats.h5", 3), ("two.h5/x_test", 2)] {
        let shelf = Shelf::new();
        let source = Source::look(&file(name)).unwrap();
        Input::freeze(Roll::look(&file(name)).unwrap(), 2, &shelf.path("work")).unwrap();
        let input = Input::open(&shelf.path("work")).unwrap();
        assert_eq!(input.samples(), samples, "{name}");
        for at in 0..samples as usize {
            let shard = input.shard(2, Shard(at as u32 / 2)).unwrap();
            assert_eq!(shard.original(at % 2).unwrap(), source.original(at).unwrap(), "{name} {at}");
            assert_eq!(shard.label_pieces(at % 2).unwrap(), source.label_pieces(at).unwrap(), "{name} {at}");
            assert_eq!(shard.picture(at % 2).unwrap(), source.picture(at).unwrap(), "{name} {at}");
        }
    }
}

#[test]
fn a_file_that_was_touched_after_it_was_listed_is_not_read() {
    let shelf = Shelf::new();
    let path = shelf.put("set.h5", fs::read(file("groups.h5")).unwrap());
    let source = Source::look(&path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes.push(0);
    fs::write(&path, bytes).unwrap();
    let error = format!("{:?}", source.original(0).unwrap_err());
    assert!(error.contains("it was changed after it was listed"), "{error}");
}

#[test]
fn it_is_refined_into_tars_and_not_mirrored() {
    let source = Source::look(&file("groups.h5")).unwrap();
    let same = sumac_common::refinement::Format::Same;
    assert!(sumac_data::refined::check(&source, Layout::Shards, same, None).is_ok());
    let error = sumac_data::refined::check(&source, Layout::Mirror, same, None).unwrap_err().to_string();
    assert!(error.contains("HDF5 files are not mirrored") && error.contains("--layout shards"), "{error}");
}

#[test]
fn the_gaze_file_brings_every_image_of_the_folder_it_was_made_of() {
    let Some(path) = pack("eyes/h5/gaze.h5") else { return };
    let eyes = Source::look(&path).unwrap();
    assert_eq!((eyes.kind(), eyes.samples().len()), (Kind::Hdf5, 300));
    let inspection = eyes.inspect(None);
    assert_eq!((inspection.bad.len(), inspection.sizes.len()), (0, 1));
    assert_eq!((inspection.sizes[0].width, inspection.sizes[0].height), (55, 35));
    for at in [0, 150, 299] {
        let pieces = eyes.label_pieces(at).unwrap();
        let endings: Vec<&str> = pieces.iter().map(|piece| piece.ending.as_str()).collect();
        assert_eq!(endings, ["look_vec.npy", "path.txt"]);
    }
}
