//! The little of the zip format that an npz needs: its directory, and where an entry's bytes are.
//!
//! What is stored is read where it lies; what is deflated is unpacked into memory, up to a limit. Knows nothing of arrays.
//! Source: PKWARE, "APPNOTE.TXT - .ZIP File Format Specification", 4.3 and 4.5.3.

use super::{SourceError, held::Held};
use flate2::{Crc, read::DeflateDecoder};
use std::{
    collections::HashSet,
    io::{BufReader, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Most bytes the deflated entries may unpack to, together: they are held in memory.
const UNPACKED_MAX: u64 = 2 << 30;
const DIRECTORY_BYTES_MAX: u64 = 16 << 20;
/// The end record, and the longest comment after it.
const END_BYTES_MAX: u64 = 22 + 65_535;
const STORED: u64 = 0;
const DEFLATED: u64 = 8;

/// Whether a file starts like a zip that has entries.
pub(super) fn is_zip(start: &[u8]) -> bool {
    start.starts_with(b"PK\x03\x04")
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub name: String,
    method: u64,
    encrypted: bool,
    crc: u64,
    packed: u64,
    bytes: u64,
    /// Of its local header.
    begin: u64,
}

/// What the directory at the end of the file lists.
pub(super) fn entries(path: &Path) -> Result<Vec<Entry>, SourceError> {
    let unreadable = |source| SourceError::unreadable(path, source);
    let damaged = |what: &str| SourceError::Damaged { path: path.to_owned(), what: what.to_owned() };
    let held = Held::open(path).map_err(unreadable)?;
    let length = held.stamp().map_err(unreadable)?.bytes;
    let read = |begin: u64, bytes: u64| {
        let mut read = vec![0; bytes as usize];
        held.read(&mut read, begin).map(|()| read).map_err(unreadable)
    };
    let cut = || damaged("it ends without the directory of a zip, so it is cut short");

    let last = length.min(END_BYTES_MAX);
    let tail = read(length - last, last)?;
    let end = tail.windows(4).rposition(|mark| mark == b"PK\x05\x06").ok_or_else(cut)?;
    let (mut bytes, mut begin) =
        (number(&tail, end + 12, 4).ok_or_else(cut)?, number(&tail, end + 16, 4).ok_or_else(cut)?);
    // A zip64 says more in a record of its own, found by a locator right before the end record.
    if let Some(locator) = end.checked_sub(20).filter(|&at| tail[at..].starts_with(b"PK\x06\x07")) {
        let at = number(&tail, locator + 8, 8).filter(|&at| at.checked_add(56).is_some_and(|end| end <= length));
        let record = read(at.ok_or_else(cut)?, 56)?;
        bytes = number(&record, 40, 8).ok_or_else(cut)?;
        begin = number(&record, 48, 8).ok_or_else(cut)?;
    }
    if bytes > DIRECTORY_BYTES_MAX || begin.checked_add(bytes).is_none_or(|end| end > length) {
        return Err(damaged("its directory claims to lie where nothing is"));
    }
    let directory = read(begin, bytes)?;
    let mut entries = Vec::new();
    let mut at = 0;
    while at < directory.len() {
        let (entry, next) = entry(&directory, at).ok_or_else(|| damaged("its directory cannot be read"))?;
        entries.push(entry);
        at = next;
    }
    Ok(entries)
}

/// A name that two of these entries have: nobody knows which of them is meant.
pub(super) fn named_twice(entries: &[Entry]) -> Option<&str> {
    let mut seen = HashSet::new();
    entries.iter().map(|entry| entry.name.as_str()).find(|name| !seen.insert(*name))
}

/// Whether what these entries unpack to may be held in memory.
pub(super) fn check_room(entries: &[Entry], path: &Path) -> Result<(), SourceError> {
    let deflated = entries.iter().filter(|entry| entry.method == DEFLATED);
    let bytes = deflated.fold(0, |sum: u64, entry| sum.saturating_add(entry.bytes));
    if bytes > UNPACKED_MAX {
        return Err(SourceError::StoreFirst { path: path.to_owned(), bytes });
    }
    Ok(())
}

/// The entry at `at` of the directory, and where the next one begins.
fn entry(directory: &[u8], at: usize) -> Option<(Entry, usize)> {
    let field = |offset: usize, length: usize| number(directory, at + offset, length);
    if !directory[at..].starts_with(b"PK\x01\x02") {
        return None;
    }
    let (name, extra, comment) = (field(28, 2)? as usize, field(30, 2)? as usize, field(32, 2)? as usize);
    let extras = directory.get(at + 46 + name..at + 46 + name + extra)?;
    let name = directory.get(at + 46..at + 46 + name)?;
    let [mut bytes, mut packed, mut begin] = [field(24, 4)?, field(20, 4)?, field(42, 4)?];
    // Those that did not fit follow in this order in the zip64 extra.
    let mut wide = zip64(extras).unwrap_or_default().as_chunks::<8>().0.iter().map(|&bytes| u64::from_le_bytes(bytes));
    for value in [&mut bytes, &mut packed, &mut begin] {
        if *value == u64::from(u32::MAX) {
            *value = wide.next()?;
        }
    }
    let entry = Entry {
        name: String::from_utf8(name.to_vec()).ok()?,
        method: field(10, 2)?,
        encrypted: field(8, 2)? & 1 == 1,
        crc: field(16, 4)?,
        packed,
        bytes,
        begin,
    };
    Some((entry, at + 46 + name.len() + extra + comment))
}

fn zip64(mut extras: &[u8]) -> Option<&[u8]> {
    while let (Some(id), Some(length)) = (number(extras, 0, 2), number(extras, 2, 2)) {
        let end = 4 + length as usize;
        if id == 1 {
            return extras.get(4..end);
        }
        extras = extras.get(end..)?;
    }
    None
}

/// Little-endian, of up to eight bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let digits = bytes.get(at..at.checked_add(length)?)?;
    Some(digits.iter().rev().fold(0, |number, &digit| number << 8 | u64::from(digit)))
}

impl Entry {
    /// Its content, where that begins, and how long it is. Whether there is room for it is asked first ([`check_room`]).
    pub(super) fn open(&self, path: &Path) -> Result<(Held, u64, u64), SourceError> {
        let within: PathBuf = path.join(&self.name);
        let unreadable = |source| SourceError::unreadable(path, source);
        let damaged = |what: &str| SourceError::Damaged { path: within.clone(), what: what.to_owned() };
        let held = Held::open(path).map_err(unreadable)?;
        let length = held.stamp().map_err(unreadable)?.bytes;
        let beyond = || damaged("it claims to lie where nothing is");
        if self.begin.checked_add(30).is_none_or(|end| end > length) {
            return Err(beyond());
        }
        let mut local = [0; 30];
        held.read(&mut local, self.begin).map_err(unreadable)?;
        let skipped = number(&local, 26, 2).zip(number(&local, 28, 2)).map(|(name, extra)| 30 + name + extra);
        let begin = skipped.filter(|_| local.starts_with(b"PK\x03\x04")).ok_or_else(beyond)? + self.begin;
        if begin.checked_add(self.packed).is_none_or(|end| end > length) {
            return Err(beyond());
        }
        match self.method {
            _ if self.encrypted => Err(damaged("it is encrypted, which is not read")),
            STORED if self.packed == self.bytes => Ok((held, begin, self.bytes)),
            DEFLATED => {
                let mut content = Vec::new();
                let packed = BufReader::new(held.reader(begin, self.packed));
                let unpacked = DeflateDecoder::new(packed).take(self.bytes).read_to_end(&mut content);
                let mut crc = Crc::new();
                crc.update(&content);
                if unpacked.is_err() || content.len() as u64 != self.bytes || u64::from(crc.sum()) != self.crc {
                    return Err(damaged("what it unpacks to is not what was packed"));
                }
                Ok((Held::Memory(Arc::new(content)), 0, self.bytes))
            }
            _ => Err(damaged("it is packed in a way that numpy does not use")),
        }
    }
}
