//! The idx format of MNIST, plain or gzipped, and the labels file that belongs to an images file by name.
//!
//! Source: <http://yann.lecun.com/exdb/mnist/>, "the IDX file format". Only unsigned bytes are read, as everybody writes.

use super::{
    SourceError,
    held::Held,
    original::Whole,
    stack::{Axes, Claim, Stack, Values},
};
use crate::storage;
use flate2::read::MultiGzDecoder;
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Most bytes a gzipped file may unpack to: it is held in memory.
const UNPACKED_MAX: u64 = 2 << 30;
const UNSIGNED_BYTE: u8 = 0x08;

/// Whether a file that starts so may hold images: the magic of three axes of bytes, or a gzip that is looked into.
pub(super) fn is_images(path: &Path) -> bool {
    let mut start = [0; 4];
    opened(path).and_then(|(mut reader, _)| reader.read_exact(&mut start)).is_ok() && start == [0, 0, UNSIGNED_BYTE, 3]
}

pub(super) fn stack(path: &Path) -> Result<Stack, SourceError> {
    let (axes, held, offset) = open(path, 3)?;
    let [count, height, width] = axes[..] else { unreachable!("three axes were asked for") };
    let (height, width) = (height as u32, width as u32);
    let name = String::new();
    Ok(Stack { name, held, offset, count, height, width, channels: 1, axes: Axes::ChannelsLast, values: Values::U8 })
}

/// The class of each image, from the labels file beside `images`, and that file, if there is one.
pub(super) fn labels(images: &Path, count: u64) -> Result<Option<(Vec<u8>, Whole)>, SourceError> {
    let Some(path) = labels_path(images) else { return Ok(None) };
    let unreadable = |source| SourceError::unreadable(&path, source);
    let stamp = storage::stamp(&path).map_err(unreadable)?;
    let (axes, held, offset) = open(&path, 1)?;
    if axes[0] != count {
        return Err(SourceError::LabelCount { labels: axes[0], images: count, path });
    }
    let mut labels = vec![0; count as usize];
    held.read(&mut labels, offset).map_err(unreadable)?;
    Ok(Some((labels, Whole { path, stamp })))
}

fn labels_path(images: &Path) -> Option<PathBuf> {
    let name = images.file_name()?.to_str()?;
    let plain = name.strip_suffix(".gz").unwrap_or(name);
    let labels = plain.replace("images", "labels").replace("idx3", "idx1");
    if labels == plain {
        return None;
    }
    [labels.clone(), format!("{labels}.gz")]
        .iter()
        .map(|name| images.with_file_name(name))
        .find(|path| storage::stamp(path).is_ok())
}

/// The axes, and the records behind the header, checked to be all there.
fn open(path: &Path, axes: u8) -> Result<(Vec<u64>, Held, u64), SourceError> {
    let unreadable = |source| SourceError::unreadable(path, source);
    let (mut reader, gzipped) = opened(path).map_err(unreadable)?;
    let mut header = vec![0; 4 + 4 * usize::from(axes)];
    reader.read_exact(&mut header).map_err(|source| cut_or_unreadable(path, source))?;
    if header[..4] != [0, 0, UNSIGNED_BYTE, axes] {
        let what = format!("it does not start like an idx file of unsigned bytes with {axes} axes");
        return Err(SourceError::Damaged { path: path.to_owned(), what });
    }
    let sizes: Vec<u64> = header[4..].as_chunks().0.iter().map(|&size| u32::from_be_bytes(size).into()).collect();
    let size = |axis: usize| sizes.get(axis).copied().unwrap_or(1);
    let claim = Claim { count: size(0), height: size(1), width: size(2), channels: 1, value_bytes: 1 };
    let wanted = claim.bytes(path)?;
    if !gzipped {
        let held = Held::open(path).map_err(unreadable)?;
        let offset = header.len() as u64;
        claim.check(path, storage::stamp(path).map_err(unreadable)?.bytes.saturating_sub(offset))?;
        return Ok((sizes, held, offset));
    }
    if wanted > UNPACKED_MAX {
        return Err(SourceError::UnpackFirst { path: path.to_owned(), bytes: wanted });
    }
    let mut records = Vec::new();
    // A download that was cut off ends in an error of the unpacker; what came before it is counted all the same.
    let _cut = reader.take(wanted).read_to_end(&mut records);
    claim.check(path, records.len() as u64)?;
    Ok((sizes, Held::Memory(Arc::new(records)), 0))
}

fn cut_or_unreadable(path: &Path, source: io::Error) -> SourceError {
    match source.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            SourceError::Damaged { path: path.to_owned(), what: "it ends within its header".to_owned() }
        }
        _ => SourceError::unreadable(path, source),
    }
}

/// The unpacked content, and whether it had to be unpacked.
fn opened(path: &Path) -> io::Result<(Box<dyn Read>, bool)> {
    let magic = storage::start(path, 2)?;
    let file = io::BufReader::new(Held::open(path)?.into_reader()?);
    Ok(if magic == [0x1f, 0x8b] { (Box::new(MultiGzDecoder::new(file)), true) } else { (Box::new(file), false) })
}
