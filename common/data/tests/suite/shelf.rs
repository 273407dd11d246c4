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

/// A PNG of so many bits a value and of this kind of colour: some chunks, then these rows, each behind its filter.
pub(crate) fn png(size: (u32, u32), bits: u8, kind: u8, chunks: &[(&[u8; 4], &[u8])], rows: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(rows).unwrap();
    let head = [&size.0.to_be_bytes()[..], &size.1.to_be_bytes(), &[bits, kind, 0, 0, 0]].concat();
    let packed = packed.finish().unwrap();
    let all = [&[(b"IHDR", &head[..])], chunks, &[(b"IDAT", &packed), (b"IEND", &[])]].concat();
    let start = b"\x89PNG\r\n\x1a\n".to_vec();
    all.into_iter().fold(start, |png, (kind, content)| with_chunk(&png, png.len(), kind, content))
}

/// A PNG with one chunk more, at this byte.
pub(crate) fn with_chunk(png: &[u8], at: usize, kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(kind);
    crc.update(content);
    let length = (content.len() as u32).to_be_bytes();
    [&png[..at], &length, kind, content, &crc.sum().to_be_bytes(), &png[at..]].concat()
}

/// How a TIFF writes its numbers, and what its page says comes next.
#[derive(Clone, Copy)]
pub(crate) struct Tiff {
    pub big_endian: bool,
    /// BigTIFF.
    pub wide: bool,
    pub next: u64,
}

impl Tiff {
    pub(crate) const LITTLE: Self = Self { big_endian: false, wide: false, next: 0 };
    pub(crate) const BIG: Self = Self { big_endian: true, ..Self::LITTLE };
    pub(crate) const WIDE: Self = Self { wide: true, ..Self::LITTLE };

    fn number(self, value: u64, length: usize) -> Vec<u8> {
        if self.big_endian {
            value.to_be_bytes()[8 - length..].to_vec()
        } else {
            value.to_le_bytes()[..length].to_vec()
        }
    }
}

pub(crate) type Tags<'a> = &'a [(u16, &'a [u64])];

/// An unpacked TIFF with these tags, all of 16 bits; where planes are kept apart (284), a strip for each.
pub(crate) fn tiff(size: [u64; 2], form: Tiff, tags: Tags, pixels: &[u8]) -> Vec<u8> {
    let value = |tag: u16| tags.iter().find(|(found, _)| *found == tag).map_or(1, |(_, values)| values[0]);
    let strips = if value(284) == 2 { value(277) } else { 1 };
    let (place, head) = if form.wide { (8, 16) } else { (4, 8) };
    let strip = pixels.len() as u64 / strips;
    let begins: Vec<u64> = (0..strips).map(|at| head + at * strip).collect();
    let lengths = vec![strip; strips as usize];
    let [width, height] = size.each_ref().map(std::slice::from_ref);
    let own = [(256, width), (257, height), (259, &[1]), (278, height), (273, &begins), (279, &lengths)];
    let mut entries = [tags, &own].concat();
    entries.sort_unstable();
    let mut outside = pixels.to_vec();
    let mut directory = form.number(entries.len() as u64, if form.wide { 8 } else { 2 });
    for (tag, values) in entries {
        let mut held: Vec<u8> = values.iter().flat_map(|&value| form.number(value, 2)).collect();
        if held.len() > place {
            let at = head + outside.len() as u64;
            outside.extend(std::mem::replace(&mut held, form.number(at, place)));
        }
        held.resize(place, 0);
        let parts = [form.number(tag.into(), 2), form.number(3, 2), form.number(values.len() as u64, place), held];
        directory.extend(parts.concat());
    }
    directory.extend(form.number(form.next, place));
    let order = if form.big_endian { b"MM" } else { b"II" };
    let at = form.number(head + outside.len() as u64, place);
    let version = if form.wide {
        [form.number(43, 2), form.number(8, 2), form.number(0, 2)].concat()
    } else {
        form.number(42, 2)
    };
    [&order[..], &version, &at, &outside, &directory].concat()
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
