//! What a fuzzer does with its bytes: lays them down as a file of a data set, and does with it all that is ever done with one.
//!
//! A panic that no reader catches is a finding, as is a lot of memory. Knows nothing of how bytes are chosen.
#![forbid(unsafe_code)]

use std::{
    fs, panic,
    path::{Path, PathBuf},
    sync::LazyLock,
};
use sumac_common::refinement::Format;
use sumac_data::{
    Source,
    decode::{self, decode, header},
    picture::Picture,
    refined::{self, encode},
    source::{Form, Original},
    survey,
};
use tempfile::TempDir;

/// A grey PNG of one pixel, for what needs an image beside it.
pub const PIXEL: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55\0\0\0\x0aIDAT\x78\x9c\
    \x63\x60\0\0\0\x02\0\x01\x48\xaf\xa4\x71\0\0\0\0IEND\xae\x42\x60\x82";

/// Where data sets are laid down; each is written over the last one.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a fuzzer has a disk"));

type File<'a> = (&'a str, &'a [u8]);

/// A decoder's panic that a reader catches is a bad image and no finding: libFuzzer would end the process with it.
pub fn spare_caught_panics() {
    panic::set_hook(Box::new(|panicked| eprintln!("{panicked}")));
}

/// One image file, in memory.
pub fn image(bytes: &[u8]) {
    let _header = header(bytes);
    let (Ok(picture), Ok(form)) = (decode(bytes), decode::Format::of(bytes)) else { return };
    write(&picture, &Original { form: Form::Encoded(form), bytes: bytes.to_vec() });
}

/// A file that is a data set, and what lies beside it.
pub fn file(name: &str, bytes: &[u8], beside: &[File]) {
    let folder = lay_down(&[&[(name, bytes)], beside].concat());
    data_set(&folder.join(name));
}

/// A folder that is one.
pub fn folder(files: &[File]) {
    data_set(&lay_down(files));
}

/// A folder that says of itself that it was refined.
pub fn refined(files: &[File]) {
    let folder = lay_down(files);
    let _manifest = refined::sealed(&folder);
    let _verified = refined::verify(&folder, None, &|_, _| {});
}

fn lay_down(files: &[File]) -> PathBuf {
    for (name, bytes) in files {
        let path = FOLDER.path().join(name);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, bytes));
        written.expect("a fuzzer has a disk");
    }
    FOLDER.path().to_owned()
}

fn data_set(path: &Path) {
    let Ok(source) = Source::look(path) else { return };
    let _inspection = source.inspect(None);
    let _survey = survey(&source, &|_, _| {});
    for at in 0..source.samples().len() {
        let _pieces = source.label_pieces(at);
        if let (Ok(original), Ok(picture)) = (source.original(at), source.picture(at)) {
            write(&picture, &original);
        }
    }
}

/// Through a refiner that changes nothing, and into a file.
fn write(picture: &Picture, original: &Original) {
    let Ok(planes) = picture.planes_for(picture.channels) else { return };
    if let Ok(refined) = Picture::from_planes(&planes, picture) {
        let _file = encode(&refined, original, Format::Same);
    }
}
