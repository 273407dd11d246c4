//! A folder of test images that is gone with the test.

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use std::{
    fs,
    io::Cursor,
    path::{Path, PathBuf},
    process::Command,
};
use sumac_common::spec::{ImageShape, Labels, Resize};
use sumac_data::{FreezeError, Frozen, Source, freeze, freeze::Terms};
use tempfile::TempDir;

pub(crate) struct Shelf {
    dir: TempDir,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A grey PNG of 4x3 pixels, all of this brightness.
    pub(crate) fn grey(&self, name: &str, tone: u8) -> PathBuf {
        self.put(name, encoded(&grey(tone), ImageFormat::Png))
    }

    pub(crate) fn look(&self, name: &str) -> Source {
        Source::look(&self.path(name)).unwrap()
    }

    pub(crate) fn freeze(&self, name: &str, terms: Terms) -> Result<Frozen, FreezeError> {
        freeze(&self.look(name), terms, &self.path("cache"), &|_, _| {})
    }

    /// What is in the cache.
    pub(crate) fn cached(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("cache")).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub(crate) fn grey(tone: u8) -> DynamicImage {
    GrayImage::from_pixel(4, 3, image::Luma([tone])).into()
}

/// 4x3 pixels that are all different.
pub(crate) fn colourful() -> DynamicImage {
    RgbImage::from_fn(4, 3, |x, y| image::Rgb([(60 * x) as u8, (80 * y) as u8, (20 * (x + y)) as u8])).into()
}

pub(crate) fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

pub(crate) fn keys(source: &Source) -> Vec<&str> {
    source.samples().iter().map(|sample| sample.key.as_str()).collect()
}

/// 4x3 grey, nothing forgiven, no labels asked for.
pub(crate) fn terms() -> Terms {
    let shape = ImageShape { channels: 1, height: 3, width: 4 };
    Terms { shape, resize: Resize::Exact, labels: Labels::Optional, max_bad: 0.0 }
}

/// idx bytes: axes, then values.
pub(crate) fn idx(axes: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, axes.len() as u8];
    axes.iter().for_each(|axis| bytes.extend(axis.to_be_bytes()));
    bytes.extend(values);
    bytes
}

pub(crate) fn gzipped(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

/// npy bytes, version 1.
pub(crate) fn npy(kind: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let mut text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    while !(10 + text.len() + 1).is_multiple_of(64) {
        text.push(' ');
    }
    text.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.extend(values);
    bytes
}

/// Where the real image packs lie, if they are on this machine.
pub(crate) fn pack(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let packs = std::env::var_os("SUMAC_DATA_PACKS").map_or_else(beside, PathBuf::from);
    let path = packs.join(name);
    if !path.exists() {
        eprintln!("skipped: no image pack {name}; set SUMAC_DATA_PACKS to where they are");
        return None;
    }
    Some(path)
}

/// A zip as numpy writes an npz: stored, or deflated; sizes that need it in 64 bits.
pub(crate) fn npz(arrays: &[(&str, Vec<u8>)], deflated: bool) -> Vec<u8> {
    use flate2::{Compression, Crc, write::DeflateEncoder};
    use std::io::Write;
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in arrays {
        let mut crc = Crc::new();
        crc.update(content);
        let mut packed = content.clone();
        if deflated {
            let mut deflate = DeflateEncoder::new(Vec::new(), Compression::fast());
            deflate.write_all(content).unwrap();
            packed = deflate.finish().unwrap();
        }
        let begin = zip.len() as u32;
        let mut fields = vec![45, 0, 0, 0, if deflated { 8 } else { 0 }, 0, 0, 0, 0, 0];
        fields.extend(crc.sum().to_le_bytes());
        let sizes = [packed.len() as u32, content.len() as u32].map(u32::to_le_bytes).concat();
        let name_length = (name.len() as u16).to_le_bytes();
        // numpy's own headers carry a zip64 extra, whether they need it or not.
        let extra = [1_u16.to_le_bytes(), 16_u16.to_le_bytes()].concat();
        let wide = [content.len() as u64, packed.len() as u64].map(u64::to_le_bytes).concat();
        zip.extend(
            [&b"PK\x03\x04"[..], &fields, &[0xff; 8], &name_length, &[20, 0], name.as_bytes(), &extra, &wide].concat(),
        );
        zip.extend(packed);
        let place = [&[0; 2][..], &[0; 2], &[0; 2], &[0; 2], &[0; 4], &begin.to_le_bytes()].concat();
        directory.extend([&b"PK\x01\x02\x2d\x03"[..], &fields, &sizes, &name_length, &place, name.as_bytes()].concat());
    }
    let (begin, bytes, count) = (zip.len() as u32, directory.len() as u32, arrays.len() as u16);
    zip.extend(directory);
    let counts = [0, 0, count, count].map(u16::to_le_bytes).concat();
    zip.extend([&b"PK\x05\x06"[..], &counts, &bytes.to_le_bytes(), &begin.to_le_bytes(), &[0; 2]].concat());
    zip
}

/// Runs it, if there is a Python here that has what it imports.
pub(crate) fn python(folder: &Path, script: &str, arguments: &[&str]) -> Option<()> {
    let ran = Command::new("python3").args(["-c", script]).args(arguments).current_dir(folder).output();
    let wrong = ran.as_ref().map_or_else(ToString::to_string, |out| String::from_utf8_lossy(&out.stderr).into_owned());
    if ran.is_err() || wrong.contains("ModuleNotFoundError") {
        eprintln!("skipped: no Python here that could write the data set: {wrong}");
        return None;
    }
    assert_eq!(wrong, "");
    Some(())
}
