//! WebDataset tars: samples by key, read where they lie, from every writer there is.

use crate::shelf::{Shelf, encoded, grey, gzipped, keys, python, terms};
use image::ImageFormat;
use std::fs::{self, File};
use sumac_common::{ids::SampleId, spec::Labels};
use sumac_data::{
    Label, Source,
    decode::{FILE_BYTES_MAX, Fault, Format},
    freeze::Terms,
    label::LabelKind,
    refined::Input,
    source::{Form, Kind, Piece, Roll, Unread},
};
use tar::{Builder, EntryType, Header};

fn png(tone: u8) -> Vec<u8> {
    encoded(&grey(tone), ImageFormat::Png)
}

/// A tar of these members.
fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, bytes) in members {
        builder.append_data(&mut header(bytes.len()), name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn header(bytes: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(bytes as u64);
    header.set_mode(0o644);
    header
}

/// `count` grey images with a json each.
fn pairs(from: usize, count: usize) -> Vec<u8> {
    let members: Vec<(String, Vec<u8>)> = (from..from + count)
        .flat_map(|at| {
            [(format!("{at:03}.png"), png(at as u8)), (format!("{at:03}.json"), format!("{{\"n\": {at}}}").into())]
        })
        .collect();
    tar(&members.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect::<Vec<_>>())
}

fn piece(ending: &str, bytes: impl AsRef<[u8]>) -> Piece {
    Piece { ending: ending.to_owned(), bytes: bytes.as_ref().to_vec() }
}

fn reasons(source: &Source) -> Vec<(&str, &str)> {
    source.bad().iter().map(|bad| (bad.key.as_str(), bad.reason.as_str())).collect()
}

#[test]
fn members_that_share_a_name_up_to_its_first_dot_are_one_sample() {
    let shelf = Shelf::new();
    let (photo, mask) = (encoded(&grey(9), ImageFormat::Jpeg), png(0));
    shelf.put(
        "set.tar",
        tar(&[
            ("b/0.5/x.cls", b"7"),
            ("b/0.5/x.png", &mask),
            ("b/0.5/x.jpg", &photo),
            ("b/0.5/x.gaze.json", b" {\r\n\xff"),
            ("a.PNG", &mask),
            ("c.input.png", &mask),
            ("c.json", b"{}"),
        ]),
    );
    let source = shelf.look("set.tar");
    assert_eq!((source.kind(), source.bad()), (Kind::Tar, &[][..]));
    assert_eq!(keys(&source), ["b/0.5/x", "a", "c"], "as they lie");
    let endings = ["cls", "png", "gaze.json"].map(str::to_owned).to_vec();
    assert_eq!(source.samples()[0].label, Some(Label::Members(endings)));
    assert_eq!(source.samples()[1].label, None);
    let original = source.original(0).unwrap();
    assert_eq!((original.form, original.bytes), (Form::Encoded(Format::Jpeg), photo));
    let pieces = source.label_pieces(0).unwrap();
    assert_eq!(pieces, [piece("cls", "7"), piece("png", &mask), piece("gaze.json", b" {\r\n\xff")]);
    assert_eq!(source.label_pieces(1).unwrap(), []);
    assert_eq!(source.label_pieces(2).unwrap(), [piece("json", "{}")]);
}

#[test]
fn what_is_nobodys_sample_is_passed_over() {
    let shelf = Shelf::new();
    let mut builder = Builder::new(Vec::new());
    let mut folder = header(0);
    folder.set_entry_type(EntryType::Directory);
    builder.append_data(&mut folder, "./", &[][..]).unwrap();
    for name in ["./README", "./._000.png", "__MACOSX/000.png", "__index.json__"] {
        builder.append_data(&mut header(1), name, &b"x"[..]).unwrap();
    }
    let image = png(1);
    let mut dotted = header(image.len());
    dotted.as_old_mut().name[..9].copy_from_slice(b"./000.png");
    dotted.set_cksum();
    builder.append(&dotted, image.as_slice()).unwrap();
    shelf.put("set.tar", builder.into_inner().unwrap());
    let source = shelf.look("set.tar");
    assert_eq!((keys(&source), source.bad().len()), (vec!["000"], 0));
}

#[test]
fn a_folder_a_range_and_a_star_name_the_same_tars_in_the_same_order() {
    let shelf = Shelf::new();
    for (name, from) in [("set/train-09.tar", 0), ("set/train-10.tar", 2), ("set/train-11.tar", 4)] {
        shelf.put(name, pairs(from, 2));
    }
    shelf.put("set/README.md", "about");
    let wanted = [
        "train-09.tar/000",
        "train-09.tar/001",
        "train-10.tar/002",
        "train-10.tar/003",
        "train-11.tar/004",
        "train-11.tar/005",
    ];
    let labelled = Terms { labels: Labels::Required, ..terms() };
    let mut hashes = Vec::new();
    for name in ["set", "set/train-{09..11}.tar", "set/train-{11,09,10}.tar", "set/*-??.tar", "set/{train-09,*1?}.tar"]
    {
        let source = shelf.look(name);
        if name == "set/{train-09,*1?}.tar" {
            assert_eq!(keys(&source).len(), 6);
        }
        assert_eq!(keys(&source), wanted, "{name}");
        assert_eq!(source.label_pieces(3).unwrap(), [piece("json", "{\"n\": 3}")], "{name}");
        hashes.push(shelf.freeze(name, labelled).unwrap().manifest_hash());
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]));
    let frozen = shelf.freeze("set", labelled).unwrap();
    let mut pixels = Vec::new();
    frozen.read(&[SampleId(3)], &mut pixels).unwrap();
    assert_eq!(pixels, [3.0 / 127.5 - 1.0; 12]);
    assert!(frozen.sidecars(SampleId(3)).is_empty(), "a member is no file");
}

#[test]
fn tars_that_are_listed_one_by_one_freeze_to_what_they_are_at_once() {
    let shelf = Shelf::new();
    for (name, from, count) in [("set/b.tar", 2, 5), ("set/a.tar", 0, 2), ("set/deep/c.tar", 7, 3)] {
        shelf.put(name, pairs(from, count));
    }
    shelf.put("set/d.tar", &pairs(10, 4)[..5 * 2048 / 2]);
    shelf.put("set/notes.txt", "nobody's");
    let frozen = |roll: Roll, length, name: &str| {
        let (work, samples) = (shelf.path(name), roll.samples());
        assert_eq!(Input::freeze(roll, length, &work).unwrap().samples, samples);
        fs::read(work.join("input/listing")).unwrap()
    };
    for (at, name) in ["set", "set/?.tar", "set/b.tar", "set/deep"].into_iter().enumerate() {
        for length in [1, 3, 100] {
            let (one_by_one, at_once) = (Roll::look(&shelf.path(name)).unwrap(), Roll::from(shelf.look(name)));
            let one_by_one = frozen(one_by_one, length, &format!("{at}-{length}"));
            assert!(one_by_one == frozen(at_once, length, &format!("{at}-{length}-at-once")), "{name} by {length}");
        }
    }
}

#[test]
fn names_that_no_tar_has_are_refused_with_the_first() {
    let shelf = Shelf::new();
    shelf.put("set/a-0.tar", pairs(0, 1));
    shelf.put("set/a-0.txt", "");
    let refused = |name: &str| Source::look(&shelf.path(name)).unwrap_err().to_string();
    let said = refused("set/a-{0..2}.tar");
    assert!(
        said.ends_with("names 3 files, but 2 are not there, the first is `a-1.tar`: fetch them, or name fewer"),
        "{said}"
    );
    assert!(refused("set/b-*.tar").contains("check the pattern; `*` stands for any letters, `{000..127}` for numbers"));
    assert!(refused("set/a-*").contains("names `a-0.txt`, but a pattern names tars or parquet files"));
    assert!(refused("set/a-{0..9999999}.tar").contains("names more than 1000000 files"));
    assert!(refused("nowhere/*.tar").contains("there is no file or folder"));
}

#[test]
fn a_tar_that_is_cut_short_keeps_what_came_before_and_says_so() {
    let shelf = Shelf::new();
    let whole = pairs(0, 4);
    shelf.put("set/0.tar", pairs(0, 1));
    for cut in (0..whole.len()).step_by(128) {
        shelf.put("set/1.tar", &whole[..cut]);
        let source = shelf.look("set");
        // A pair takes four blocks; that it has no third member is only known from what follows it.
        let (found, pairs) = (source.samples().len() - 1, (cut / 2048).min(4));
        assert!(found == pairs || found + 1 == pairs, "{found} of {pairs} in {cut} bytes");
        assert!((0..source.samples().len()).all(|at| source.original(at).is_ok()), "{cut}");
        if cut >= 17 * 512 {
            assert_eq!(reasons(&source), [], "{cut}");
            continue;
        }
        let [(key, reason)] = reasons(&source)[..] else { panic!("{cut}: {:?}", source.bad()) };
        assert!(key.starts_with("1.tar"), "{key}");
        let what = if cut < 512 {
            "it is no tar"
        } else {
            "the tar is cut short here and what follows is lost: fetch or write it again"
        };
        assert!(reason.starts_with(what), "{cut}: {reason}");
    }
    shelf.put("alone.tar", &whole[..5000]);
    let alone = shelf.look("alone.tar");
    assert_eq!((keys(&alone), reasons(&alone)[0].0), (vec!["000", "001"], "002"));
}

#[test]
fn sizes_and_names_that_reach_beyond_the_end_are_a_tar_cut_short() {
    let shelf = Shelf::new();
    let said = "the tar is cut short here and what follows is lost: fetch or write it again";
    for kind in [EntryType::Regular, EntryType::XHeader, EntryType::GNULongName] {
        for bytes in [700, u64::MAX >> 1, u64::MAX] {
            let mut last = header(0);
            last.set_entry_type(kind);
            last.set_path("001.png").unwrap();
            last.set_size(bytes);
            last.set_cksum();
            // A whole pair, then a header with less behind it than it says.
            shelf.put("set.tar", [&pairs(0, 1)[..2048], last.as_bytes(), &[1; 512]].concat());
            let source = shelf.look("set.tar");
            assert_eq!((keys(&source), reasons(&source)), (vec![], vec![("000", said)]), "{kind:?} {bytes}");
        }
    }
}

#[test]
fn a_tar_that_is_damaged_names_the_place() {
    let shelf = Shelf::new();
    let mut bytes = pairs(0, 3);
    bytes[2048 + 5] ^= 1;
    shelf.put("set.tar", &bytes);
    let said = "the tar is damaged at byte 2048, no header is where one should be, and what follows is lost: fetch or write it again";
    assert_eq!(reasons(&shelf.look("set.tar")), [("000", said)]);
    shelf.put("page.tar", format!("<html>{}", " ".repeat(600)));
    assert_eq!(reasons(&shelf.look("page.tar")), [("page.tar", "it is no tar: fetch it again, or take it out")]);
    assert!(shelf.freeze("page.tar", terms()).unwrap_err().to_string().contains("`page.tar`: it is no tar"));
}

#[test]
fn samples_that_cannot_be_told_apart_are_bad_and_the_others_are_not() {
    let shelf = Shelf::new();
    let image = png(1);
    let mut bytes = tar(&[
        ("a.png", &image),
        ("b.png", &image),
        ("a.json", b"{}"),
        ("c.png", &image),
        ("c.json", b"1"),
        ("c.JSON", b"2"),
        ("d.json", b"{}"),
        ("d.txt", b""),
        ("e.left.png", &image),
        ("e.right.png", &image),
        ("f.png", &image),
    ]);
    // What no proper writer writes.
    let at = bytes.windows(5).position(|name| name == b"b.png").unwrap();
    bytes[at..at + 5].copy_from_slice(b"../.b");
    bytes[at + 5..at + 9].copy_from_slice(b".png");
    mend(&mut bytes, at);
    shelf.put("set.tar", bytes);
    let source = shelf.look("set.tar");
    assert_eq!(keys(&source), ["a", "f"]);
    let wanted = [
        ("../.b.png", "its name leads out of the data set: use relative names without `..`"),
        ("c", "it has two members `json`: keep the one that is meant"),
        ("d", "none of its members is an image, they are json, txt: add it, or take the key out"),
        ("e", "several of its members may be the image, they are left.png, right.png: call that one png or jpg"),
    ];
    assert_eq!(reasons(&source), wanted);

    shelf.put("again.tar", tar(&[("a.png", &image), ("b.png", &image), ("a.json", b"{}")]));
    let again =
        "its key comes a second time, after others: give each sample a key of its own and write its members together";
    assert_eq!(reasons(&shelf.look("again.tar")), [("a", again)]);
}

/// The checksum of the header that begins at `at`.
fn mend(bytes: &mut [u8], at: usize) {
    let mut header = Header::new_old();
    header.as_mut_bytes().copy_from_slice(&bytes[at..at + 512]);
    header.set_cksum();
    bytes[at..at + 512].copy_from_slice(header.as_bytes());
}

#[test]
fn links_in_a_tar_are_not_followed() {
    let shelf = Shelf::new();
    let mut builder = Builder::new(Vec::new());
    for kind in [EntryType::Symlink, EntryType::Link] {
        let mut link = header(0);
        link.set_entry_type(kind);
        builder.append_link(&mut link, "a.png", "/etc/passwd").unwrap();
    }
    shelf.put("set.tar", builder.into_inner().unwrap());
    let link = "it is a link inside the tar, which is not followed: write the tar with its content (tar --dereference)";
    assert_eq!(reasons(&shelf.look("set.tar")), [("a.png", link), ("a.png", link)]);
}

#[test]
fn a_compressed_tar_is_to_be_unpacked_first() {
    let shelf = Shelf::new();
    shelf.put("set/a.tar", pairs(0, 1));
    shelf.put("set/b.tar.gz", gzipped(&pairs(1, 1)));
    let said = "it is a compressed tar, which cannot be read in place: unpack it to a plain .tar";
    assert_eq!(reasons(&shelf.look("set")), [("b.tar.gz", said)]);
    let refused = Source::look(&shelf.path("set/b.tar.gz")).unwrap_err().to_string();
    assert!(
        refused.ends_with("b.tar.gz` is a compressed tar, which cannot be read in place: unpack it to a plain .tar")
    );
}

#[test]
fn a_missing_label_is_refused_with_what_a_tar_can_do_about_it() {
    let shelf = Shelf::new();
    shelf.put("set.tar", tar(&[("a.png", &png(1)), ("a.json", b"{}"), ("b.png", &png(2))]));
    let refused = shelf.freeze("set.tar", Terms { labels: Labels::Required, ..terms() }).unwrap_err().to_string();
    assert!(refused.contains("1 of the 2 images of `"), "{refused}");
    assert!(refused.contains("the first is `b`: give each key a member with its label (1.jpg, 1.json)"), "{refused}");
}

#[test]
fn a_member_larger_than_any_memory_is_stepped_over() {
    let shelf = Shelf::new();
    let huge = 1 << 36;
    let mut first = header(0);
    first.set_path("a.png").unwrap();
    first.set_size(huge);
    first.set_cksum();
    let path = shelf.put("set.tar", first.as_bytes());
    // A hole in the disk: of this size, but nothing was written.
    let mut file = File::options().append(true).open(&path).unwrap();
    file.set_len(512 + huge).unwrap();
    std::io::Write::write_all(&mut file, &pairs(1, 1)).unwrap();
    let source = shelf.look("set.tar");
    assert_eq!(keys(&source), ["a", "001"]);
    assert!(
        matches!(source.original(0), Err(Unread::Fault(Fault::TooBig { bytes })) if bytes == huge && huge > FILE_BYTES_MAX)
    );
    assert_eq!(source.label_pieces(1).unwrap(), [piece("json", "{\"n\": 1}")]);
}

#[test]
fn a_tar_that_was_written_to_after_it_was_listed_is_not_read_at_the_old_places() {
    let shelf = Shelf::new();
    shelf.put("set.tar", pairs(0, 2));
    let source = shelf.look("set.tar");
    shelf.put("set.tar", pairs(0, 3));
    assert!(matches!(source.original(0), Err(Unread::Io { .. })));
    assert!(matches!(source.label_pieces(0), Err(Unread::Io { .. })));
}

#[test]
fn an_inspection_tells_a_tar_and_its_labels() {
    let shelf = Shelf::new();
    shelf.put("set.tar", pairs(0, 3));
    let inspection = shelf.look("set.tar").inspect(None);
    assert_eq!((inspection.images, inspection.sizes[0].images), (3, 3));
    assert_eq!((inspection.labels.kind, inspection.labels.missing), (Some(LabelKind::Member), 0));
    let text = serde_json::to_string(&inspection).unwrap();
    assert!(text.contains("\"kind\":\"tar\"") && text.contains("\"kind\":\"member\""), "{text}");
}

#[test]
fn every_dialect_of_python_reads_the_same() {
    let shelf = Shelf::new();
    let deep = format!("{}/{}", "folder".repeat(30), "name".repeat(40));
    let names = ["short", "ümläut/日本", deep.as_str()];
    for (at, name) in names.iter().enumerate() {
        shelf.put(&format!("in/{at}.png"), png(at as u8));
        shelf.put(&format!("in/{at}.json"), format!("{{\"name\": \"{name}\"}}\r\n"));
    }
    for dialect in ["PAX", "GNU", "USTAR"] {
        // ustar has no room for names that long.
        let names = if dialect == "USTAR" { &names[..2] } else { &names[..] };
        let script = format!(
            "import sys, tarfile\n\
             with tarfile.open('{dialect}.tar', 'w', format=tarfile.{dialect}_FORMAT) as tar:\n    \
                 for at, name in enumerate(sys.argv[1:]):\n        \
                     for end in ('png', 'json'):\n            \
                         tar.add(f'in/{{at}}.{{end}}', f'{{name}}.{{end}}')\n"
        );
        let Some(()) = python(&shelf.path(""), &script, names) else { return };
        let source = shelf.look(&format!("{dialect}.tar"));
        assert_eq!(keys(&source), names, "{dialect}");
        for at in 0..names.len() {
            let read = |end: &str| fs::read(shelf.path(&format!("in/{at}.{end}"))).unwrap();
            assert_eq!(source.original(at).unwrap().bytes, read("png"), "{dialect}");
            assert_eq!(source.label_pieces(at).unwrap(), [piece("json", read("json"))], "{dialect}");
        }
    }
}
