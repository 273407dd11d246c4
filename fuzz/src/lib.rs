//! What a fuzzer does with its bytes: lays them down as a file of a data set, and does with it all that is ever done with one.
//!
//! A panic that reaches the fuzzer is a finding, as is a lot of memory. Knows nothing of how bytes are chosen.
#![forbid(unsafe_code)]

use std::{fs, io, path::PathBuf};
use sumac_common::refinement::Format;
use sumac_data::{
    Source,
    decode::{decode, header},
    picture::Picture,
    refined::encode,
    source::{Form, Original},
    survey,
};
use tempfile::TempDir;

/// A grey PNG of one pixel, for what needs an image beside it.
pub const PIXEL: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55\0\0\0\x0aIDAT\x78\x9c\
    \x63\x60\0\0\0\x02\0\x01\x48\xaf\xa4\x71\0\0\0\0IEND\xae\x42\x60\x82";

/// A folder that is gone with the process.
pub struct Folder(TempDir);

impl Folder {
    /// # Errors
    /// If there is no place for it.
    pub fn new() -> io::Result<Self> {
        tempfile::tempdir().map(Self)
    }

    /// Lays down these files, and looks at the first of them, or at the folder.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn look(&self, files: &[(&str, &[u8])], at_folder: bool) -> io::Result<()> {
        for (name, bytes) in files {
            let path = self.0.path().join(name);
            fs::create_dir_all(path.parent().unwrap_or(self.0.path()))?;
            fs::write(path, bytes)?;
        }
        let first = files.first().filter(|_| !at_folder).map(|(name, _)| *name);
        data_set(&self.path().join(first.unwrap_or_default()));
        Ok(())
    }

    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }
}

/// One image file, in memory.
pub fn image(bytes: &[u8]) {
    let _header = header(bytes);
    let (Ok(picture), Ok(form)) = (decode(bytes), sumac_data::decode::Format::of(bytes)) else { return };
    written(&picture, &Original { form: Form::Encoded(form), bytes: bytes.to_vec() });
}

fn data_set(path: &std::path::Path) {
    let Ok(source) = Source::look(path) else { return };
    let _inspection = source.inspect(None);
    let _survey = survey(&source, &|_, _| {});
    for at in 0..source.samples().len() {
        let _pieces = source.label_pieces(at);
        if let (Ok(original), Ok(picture)) = (source.original(at), source.picture(at)) {
            written(&picture, &original);
        }
    }
}

/// Through a refiner that changes nothing, and into a file.
fn written(picture: &Picture, original: &Original) {
    let Ok(planes) = picture.planes_for(picture.channels) else { return };
    if let Ok(refined) = Picture::from_planes(&planes, picture) {
        let _file = encode(&refined, original, Format::Same);
    }
}
