//! Names as people, cameras and other systems give them: each is its own, or it is said which one is not.

use crate::{
    converted,
    shelf::{Shelf, encoded, grey, keys, npy, npz},
};
use image::ImageFormat;
use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};
use sumac_common::refinement::{Format, Layout};
use sumac_data::{Label, Source};
use tar::{Builder, EntryType, Header};

/// By their bytes. Two of them look alike: composed, and with an accent of its own.
const ODD: [&str; 8] =
    ["-n", "back\\slash", "cafe\u{301}", "caf\u{e9}", "com,ma\"quote", "new\nline", "per%2ecent", "two words"];

fn image(tone: usize) -> Vec<u8> {
    encoded(&grey(tone as u8), ImageFormat::Png)
}

fn reasons(source: &Source) -> Vec<(&str, &str)> {
    source.bad().iter().map(|bad| (bad.key.as_str(), bad.reason.as_str())).collect()
}

fn odd_folder() -> Shelf {
    let shelf = Shelf::new();
    for (at, name) in ODD.iter().enumerate() {
        shelf.put(&format!("set/in {name}/{name}.png"), image(at));
        shelf.put(&format!("set/in {name}/{name}.json"), name);
    }
    shelf
}

#[test]
fn a_file_of_any_name_is_read_with_what_lies_beside_it() {
    let shelf = odd_folder();
    let source = shelf.look("set");
    let wanted: Vec<String> = ODD.iter().map(|name| format!("in {name}/{name}.png")).collect();
    assert_eq!(keys(&source), wanted);
    for (at, name) in ODD.iter().enumerate() {
        assert_eq!(source.original(at).unwrap().bytes, image(at), "{name}");
        assert_eq!(source.label_pieces(at).unwrap()[0].bytes, name.as_bytes());
    }
}

#[test]
fn a_file_of_any_name_comes_through_into_either_layout() {
    let shelf = odd_folder();
    for (destination, layout) in [("mirror", Layout::Mirror), ("tars", Layout::Shards)] {
        converted::convert(&converted::begun(&shelf, destination, layout, Format::Same, None)).unwrap();
        converted::assert_clean(&shelf, destination, ODD.len() as u64);
        let found = shelf.look(destination);
        assert_eq!((found.samples().len(), found.bad()), (ODD.len(), &[][..]), "{destination}");
    }
}

#[test]
fn a_table_names_files_of_any_name_but_those_with_a_backslash() {
    let quoted = |name: &str| format!("\"{}.png\",{}\n", name.replace('"', "\"\""), name.len());
    let line =
        |name: &str| serde_json::json!({"file_name": format!("{name}.png"), "of": name.len()}).to_string() + "\n";
    let csv: String = ODD.iter().map(|name| quoted(name)).collect();
    let jsonl: String = ODD.iter().map(|name| line(name)).collect();
    for (table, text) in [("metadata.csv", format!("file_name,of\n{csv}")), ("metadata.jsonl", jsonl)] {
        let shelf = Shelf::new();
        ODD.iter().enumerate().for_each(|(at, name)| drop(shelf.put(&format!("set/{name}.png"), image(at))));
        shelf.put(&format!("set/{table}"), text);
        let source = shelf.look("set");
        for (sample, name) in source.samples().iter().zip(ODD) {
            let own = sample.label.as_ref().and_then(|label| label.field("of")).map(str::to_owned);
            // A table written elsewhere means a folder by it.
            assert_eq!(own, (!name.contains('\\')).then(|| name.len().to_string()), "{table}: {name}");
        }
        assert_eq!(reasons(&source), [("back/slash.png", "the table names it, but there is no such file")], "{table}");
    }
}

#[test]
fn a_name_that_is_no_text_is_listed_as_far_as_it_can_be_read() {
    let shelf = Shelf::new();
    shelf.grey("set/a.png", 1);
    fs::write(shelf.path("set").join(OsStr::from_bytes(b"b\xff.png")), image(2)).unwrap();
    assert_eq!(reasons(&shelf.look("set")), [("b\u{fffd}.png", "its name is not valid UTF-8")]);
}

// === tars ===

/// As a writer does that asks nothing.
fn member(tar: &mut Builder<Vec<u8>>, name: &[u8], kind: EntryType, content: &[u8]) {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append(&header, content).unwrap();
}

#[test]
fn whatever_in_a_tar_is_no_plain_member_is_listed_by_its_name() {
    let mut tar = Builder::new(Vec::new());
    member(&mut tar, b"good.png", EntryType::Regular, &image(1));
    member(&mut tar, b"../up.png", EntryType::Regular, &image(1));
    member(&mut tar, b"/etc/root.png", EntryType::Regular, &image(1));
    member(&mut tar, b"a/../b.png", EntryType::Regular, &image(1));
    member(&mut tar, b"n\xff.png", EntryType::Regular, &image(1));
    member(&mut tar, b"soft.png", EntryType::Symlink, &[]);
    member(&mut tar, b"hard.png", EntryType::Link, &[]);
    member(&mut tar, b"null.png", EntryType::Char, &[]);
    member(&mut tar, b"disk.png", EntryType::Block, &[]);
    member(&mut tar, b"pipe.png", EntryType::Fifo, &[]);
    member(&mut tar, b"holes.png", EntryType::GNUSparse, &[]);
    tar.append_pax_extensions([("GNU.sparse.major", &b"1"[..])]).unwrap();
    member(&mut tar, b"more-holes.png", EntryType::Regular, &image(1));
    member(&mut tar, b"folder", EntryType::Directory, &[]);
    member(&mut tar, b"last.png", EntryType::Regular, &image(2));
    let shelf = Shelf::new();
    shelf.put("set.tar", tar.into_inner().unwrap());
    let source = shelf.look("set.tar");
    assert_eq!(keys(&source), ["good", "last"]);
    let (out, link) = ("its name leads out of the data set", "it is a link inside the tar");
    let (device, holes) = ("it is a device or a pipe inside the tar", "the tar keeps it with holes left out");
    let wanted = [
        ("../up.png", out),
        ("/etc/root.png", out),
        ("a/../b.png", out),
        ("disk.png", device),
        ("hard.png", link),
        ("holes.png", holes),
        ("more-holes.png", holes),
        ("null.png", device),
        ("n\u{fffd}.png", "its name is not valid UTF-8"),
        ("pipe.png", device),
        ("soft.png", link),
    ];
    assert_eq!(source.bad().len(), wanted.len(), "{:?}", source.bad());
    for ((key, reason), (name, why)) in reasons(&source).into_iter().zip(wanted) {
        assert!(key == name && reason.starts_with(why), "{key}: {reason}");
    }
}

#[test]
fn members_of_any_name_and_length_are_read_in_every_dialect() {
    let long = "deep/".repeat(40);
    let names = || ODD.iter().filter(|name| !name.contains('\\'));
    let (mut gnu, mut pax) = (Builder::new(Vec::new()), Builder::new(Vec::new()));
    for (at, name) in names().enumerate() {
        let (path, content) = (format!("{long}{name}.png"), image(at));
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        gnu.append_data(&mut header, &path, content.as_slice()).unwrap();
        pax.append_pax_extensions([("path", path.as_bytes())]).unwrap();
        member(&mut pax, b"short.png", EntryType::Regular, &content);
    }
    let wanted: Vec<String> = names().map(|name| format!("{long}{name}")).collect();
    for tar in [gnu, pax] {
        let shelf = Shelf::new();
        shelf.put("set.tar", tar.into_inner().unwrap());
        let source = shelf.look("set.tar");
        assert_eq!((keys(&source), source.bad()), (wanted.iter().map(String::as_str).collect(), &[][..]));
        (0..wanted.len()).for_each(|at| assert_eq!(source.original(at).unwrap().bytes, image(at)));
    }
}

// === arrays ===

#[test]
fn two_arrays_of_one_name_in_an_npz_are_refused_by_it() {
    let shelf = Shelf::new();
    let labels = |class: u8| ("y.npy", npy("|u1", "(1,)", &[class]));
    shelf.put("set.npz", npz(&[("x.npy", npy("|u1", "(1, 3, 4)", &[7; 12])), labels(1), labels(2)], false));
    let error = Source::look(&shelf.path("set.npz")).unwrap_err().to_string();
    assert!(error.contains("it holds two arrays `y.npy`"), "{error}");
}

#[test]
fn an_array_whose_name_would_lead_out_lies_beside_its_image_all_the_same() {
    let shelf = Shelf::new();
    let images = ("images.npy", npy("|u1", "(2, 3, 4)", &[7; 24]));
    shelf.put("set/x.npz", npz(&[images, ("../../a/b.npy", npy("<f4", "(2,)", &[0; 8]))], true));
    converted::convert(&converted::begun(&shelf, "tars", Layout::Shards, Format::Same, None)).unwrap();
    let tars = shelf.look("tars");
    assert_eq!((keys(&tars).len(), tars.bad()), (2, &[][..]));
    let members = tars.samples()[0].label.clone();
    assert_eq!(members, Some(Label::Members(vec!["......a.b.npy".into(), "prov.json".into()])));
}
