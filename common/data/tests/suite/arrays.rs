//! Stacks with their labels, as numpy saves them: an npy beside another, both in an npz.

use crate::shelf::{Shelf, keys, npy, npz, python, terms};
use std::fs;
use sumac_common::{ids::SampleId, spec::Labels};
use sumac_data::{
    Label, Source,
    freeze::Terms,
    label::LabelKind,
    source::{Form, Kind, Piece},
};

fn images(count: u8) -> Vec<u8> {
    npy("|u1", &format!("({count}, 3, 4)"), &(0..count * 12).collect::<Vec<u8>>())
}

fn required() -> Terms {
    Terms { labels: Labels::Required, ..terms() }
}

fn piece(ending: &str, bytes: Vec<u8>) -> Piece {
    Piece { ending: ending.to_owned(), bytes }
}

fn refused(shelf: &Shelf, name: &str) -> String {
    Source::look(&shelf.path(name)).unwrap_err().to_string()
}

#[test]
fn whole_numbers_beside_a_stack_are_its_classes_and_carried_as_they_are() {
    let numbers: [(&str, Vec<u8>); 5] = [
        ("|u1", vec![7, 3]),
        ("|b1", vec![1, 0]),
        ("<i8", [7_i64, 3].map(i64::to_le_bytes).concat()),
        (">i4", [7_i32, 3].map(i32::to_be_bytes).concat()),
        ("<u2", [300_u16, 3].map(u16::to_le_bytes).concat()),
    ];
    for (kind, values) in numbers {
        let shelf = Shelf::new();
        shelf.put("set/images.npy", images(2));
        shelf.put("set/labels.npy", npy(kind, "(2,)", &values));
        for name in ["set", "set/images.npy"] {
            let source = shelf.look(name);
            assert_eq!((source.kind(), keys(&source)), (Kind::Npy, vec!["00000000", "00000001"]), "{kind}");
            let last = if kind == "|b1" { 0 } else { 3 };
            let class = Label::Class { index: last, name: last.to_string() };
            assert_eq!(source.samples()[1].label, Some(class), "{kind}");
            let record = &values[values.len() / 2..];
            assert_eq!(source.label_pieces(1).unwrap(), [piece("labels.npy", npy(kind, "()", record))], "{kind}");
            assert_eq!(source.original(1).unwrap().form, Form::Values);
        }
        assert_eq!(shelf.freeze("set", required()).unwrap().len(), 2);
    }
}

#[test]
fn numbers_that_are_no_classes_are_carried_as_arrays() {
    for (kind, shape, values) in [
        ("|i1", "(2,)", vec![1, 0xff]),
        ("<i2", "(2,)", vec![1, 0, 0xff, 0xff]),
        ("<i4", "(2,)", vec![0, 0, 1, 0, 0, 0, 0, 0]),
        ("<f4", "(2, 3)", (0..24).collect()),
        ("|u1", "(2, 2, 1)", vec![1, 2, 3, 4]),
        ("<U2", "(2,)", (0..16).collect()),
    ] {
        let shelf = Shelf::new();
        shelf.put("x_train.npy", images(2));
        shelf.put("y_train.npy", npy(kind, shape, &values));
        let source = shelf.look("x_train.npy");
        assert_eq!(source.samples()[1].label, Some(Label::Arrays(vec!["y_train".into()])), "{kind} {shape}");
        assert_eq!(source.inspect(None).labels.kind, Some(LabelKind::Array));
        let rest = match shape {
            "(2, 3)" => "(3,)",
            "(2, 2, 1)" => "(2, 1)",
            _ => "()",
        };
        let record = npy(kind, rest, &values[values.len() / 2..]);
        assert_eq!(source.label_pieces(1).unwrap(), [piece("y_train.npy", record)], "{kind} {shape}");
        assert_eq!(shelf.freeze("x_train.npy", required()).unwrap().len(), 2);
    }
}

#[test]
fn labels_of_every_usual_name_are_found_and_others_are_not_taken_for_them() {
    for (stack, labels, found) in [
        ("images.npy", "labels.npy", true),
        ("train-images.npy", "train-labels.npy", true),
        ("eye_image.npy", "eye_label.npy", true),
        ("eyes.npy", "eyes_labels.npy", true),
        ("eyes.npy", "eyes-labels.npy", true),
        ("X.npy", "y.npy", true),
        ("test_x.npy", "test_y.npy", true),
        ("eyes.npy", "labels.npy", false),
        ("x.npy", "y_other.npy", false),
    ] {
        let shelf = Shelf::new();
        shelf.put(stack, images(2));
        shelf.put(labels, npy("|u1", "(2,)", &[1, 2]));
        assert_eq!(shelf.look(stack).samples()[0].label.is_some(), found, "{stack} {labels}");
    }
}

#[test]
fn an_npz_holds_images_and_all_that_has_a_record_for_each() {
    for deflated in [false, true] {
        let shelf = Shelf::new();
        let gaze: Vec<u8> = (0..24).collect();
        let arrays = [
            ("names.npy", npy("<U2", "(1,)", &[0; 8])),
            ("mask.npy", npy("|u1", "(2, 3, 4)", &[1; 24])),
            ("images.npy", images(2)),
            ("gaze.npy", npy("<f4", "(2, 3)", &gaze)),
            ("about.txt", b"nothing of numpy's".to_vec()),
        ];
        shelf.put("set/eyes.npz", npz(&arrays, deflated));
        for name in ["set", "set/eyes.npz", "set/eyes.npz/images"] {
            let source = shelf.look(name);
            assert_eq!(source.kind(), Kind::Npz);
            assert_eq!(source.samples()[0].label, Some(Label::Arrays(vec!["gaze".into(), "mask".into()])));
            let pieces =
                [piece("gaze.npy", npy("<f4", "(3,)", &gaze[12..])), piece("mask.npy", npy("|u1", "(3, 4)", &[1; 12]))];
            assert_eq!(source.label_pieces(1).unwrap(), pieces, "{name} {deflated}");
            assert_eq!(source.original(1).unwrap().bytes, (12..24).collect::<Vec<u8>>());
        }
    }
}

#[test]
fn an_npz_of_several_stacks_is_asked_for_one_of_them_by_name() {
    let shelf = Shelf::new();
    let array = |values: &[u8]| npy("|u1", &format!("({}, 3, 4)", values.len() / 12), values);
    let arrays = [
        ("x_test.npy", array(&[9; 24])),
        ("x_train.npy", array(&[5; 24])),
        ("y_test.npy", npy("|u1", "(2,)", &[1, 2])),
        ("y_train.npy", npy("|u1", "(2,)", &[3, 4])),
    ];
    shelf.put("mnist.npz", npz(&arrays, false));
    let said = refused(&shelf, "mnist.npz");
    assert!(
        said.contains("mnist.npz/x_test, ") && said.ends_with("mnist.npz/x_train): name the one that is meant"),
        "{said}"
    );
    for (name, tone, class) in [("mnist.npz/x_train", 5.0, 4), ("mnist.npz/x_test", 9.0, 2)] {
        let frozen = shelf.freeze(name, required()).unwrap();
        let mut pixels = Vec::new();
        frozen.read(&[SampleId(1)], &mut pixels).unwrap();
        assert_eq!(pixels[0], tone / 127.5 - 1.0, "{name}");
        assert_eq!(frozen.label(SampleId(1)), Some(&Label::Class { index: class, name: class.to_string() }));
    }
    assert!(refused(&shelf, "mnist.npz/x_dev").contains("there is no file or folder"));
}

#[test]
fn labels_that_do_not_fit_are_refused_by_name() {
    for (labels, said) in [
        (
            npy("|u1", "(3,)", &[1, 2, 3]),
            "labels.npy` has 3 labels for 2 images: bring the labels file that belongs to them",
        ),
        (
            npy("<f4", "(2, 3)", &[0; 23]),
            "labels.npy` is damaged: it ends before its last label; mend it or fetch it again",
        ),
        (npy("|O", "(2,)", b"\x80\x04]."), "it holds Python objects, which are not read; mend it or fetch it again"),
        (b"\x93NUMPY".to_vec(), "it does not start like an npy file; mend it or fetch it again"),
    ] {
        let shelf = Shelf::new();
        shelf.put("images.npy", images(2));
        shelf.put("labels.npy", &labels);
        let found = refused(&shelf, "images.npy");
        assert!(found.ends_with(said), "{found}");
    }
    let shelf = Shelf::new();
    shelf.put("images.npy", images(2));
    let found = shelf.freeze("images.npy", required()).unwrap_err().to_string();
    assert!(found.contains("put the labels of its name beside it (images.npy, labels.npy)"), "{found}");
}

#[test]
fn a_damaged_npz_is_refused_by_what_is_wrong() {
    let shelf = Shelf::new();
    let whole = npz(&[("images.npy", images(2))], true);
    let stored = npz(&[("images.npy", images(2))], false);
    let with = |bytes: &[u8], at: usize, patch: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[at..at + patch.len()].copy_from_slice(patch);
        bytes
    };
    let directory = |bytes: &[u8]| bytes.windows(4).position(|mark| mark == b"PK\x01\x02").unwrap();
    let data = 30 + "images.npy".len() + 20;
    for (bytes, said) in [
        (
            with(&whole, directory(&whole) + 16, &[!whole[directory(&whole) + 16]]),
            "what it unpacks to is not what was packed",
        ),
        (with(&whole, data + 20, &[!whole[data + 20]]), "what it unpacks to is not what was packed"),
        (
            with(&whole, directory(&whole) + 24, &[0, 0, 0, 0xc0]),
            "unpacks to 3221225472 bytes, too many to hold in memory",
        ),
        (with(&whole, directory(&whole) + 10, &[12]), "it is packed in a way that numpy does not use"),
        (with(&whole, directory(&whole) + 8, &[1]), "it is encrypted, which is not read"),
        (with(&stored, directory(&stored) + 42, &[200, 200]), "it claims to lie where nothing is"),
    ] {
        shelf.put("set.npz", bytes);
        let found = refused(&shelf, "set.npz");
        assert!(found.contains(said), "{found}");
    }
    shelf.put("set.npz", &whole[..whole.len() - 30]);
    assert!(refused(&shelf, "set.npz").contains("it ends without the directory of a zip, so it is cut short"));
}

#[test]
fn numpy_reads_what_is_carried_and_writes_what_is_read() {
    let shelf = Shelf::new();
    let script = "import numpy\n\
        images = numpy.arange(3 * 35 * 55 * 3, dtype=numpy.uint8).reshape(3, 35, 55, 3)\n\
        gaze = numpy.array([[.1, .2], [.3, .4], [.5, numpy.nan]])\n\
        pose = numpy.array([(1, 2.5)] * 3, dtype=[('n', '<i4'), ('x', '>f8')])\n\
        for save, name in [(numpy.savez, 'plain'), (numpy.savez_compressed, 'packed')]:\n    \
            save(name + '.npz', images=images, gaze=gaze, pose=pose)\n    \
            save(name + '-args.npz', images, numpy.array([5, 6, 7]))\n\
        numpy.save('gaze.npy', gaze[2])\n\
        numpy.save('pose.npy', pose[2])\n";
    let Some(()) = python(&shelf.path(""), script, &[]) else { return };
    for name in ["plain", "packed"] {
        let source = shelf.look(&format!("{name}.npz"));
        let record: Vec<u8> = (2 * 5775..3 * 5775).map(|value| value as u8).collect();
        assert_eq!(source.original(2).unwrap().bytes, record);
        for piece in source.label_pieces(2).unwrap() {
            shelf.put(&format!("carried-{}", piece.ending), piece.bytes);
        }
        let check = "import numpy\n\
            for name in ['gaze.npy', 'pose.npy']:\n    \
                was, carried = numpy.load(name), numpy.load('carried-' + name)\n    \
                assert was.dtype == carried.dtype and was.shape == carried.shape, (was, carried)\n    \
                assert was.tobytes() == carried.tobytes(), (was, carried)\n";
        python(&shelf.path(""), check, &[]).unwrap();
        let classes = shelf.look(&format!("{name}-args.npz"));
        assert_eq!(classes.samples()[2].label, Some(Label::Class { index: 7, name: "7".into() }));
        fs::remove_file(shelf.path("carried-gaze.npy")).unwrap();
    }
}
