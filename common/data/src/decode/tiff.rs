//! What the first page of a TIFF says before its decoder is asked, which reads that page alone and takes any alpha for one.
//!
//! Source: Adobe, "TIFF Revision 6.0", section 2; <https://www.awaresystems.be/imaging/tiff/bigtiff.html>.

use super::Fault;

const EXTRA_SAMPLES: u64 = 338;
const ASSOCIATED_ALPHA: u64 = 1;

/// Whether it is a single page, with colours as they are. What cannot be told is left to the decoder.
pub(super) fn check(bytes: &[u8]) -> Result<(), Fault> {
    let Some(page) = Page::first(bytes) else { return Ok(()) };
    if page.next().is_some_and(|next| next != 0) {
        return Err(Fault::SeveralPages);
    }
    match page.short(EXTRA_SAMPLES) {
        Some(ASSOCIATED_ALPHA) => Err(Fault::Premultiplied),
        _ => Ok(()),
    }
}

/// The directory of a page: how many entries, and where the first one is.
struct Page<'a> {
    numbers: Numbers<'a>,
    /// Bytes of a place in the file, and of an entry.
    place: usize,
    entry: usize,
    entries: usize,
    begin: usize,
}

impl<'a> Page<'a> {
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let numbers = Numbers { bytes, big_endian: bytes.starts_with(b"MM") };
        let (place, entry, count) = match numbers.at(2, 2)? {
            42 => (4, 12, 2),
            // BigTIFF.
            43 => (8, 20, 8),
            _ => return None,
        };
        let directory = numbers.at(place, place)? as usize;
        let entries = numbers.at(directory, count)? as usize;
        Some(Self { numbers, place, entry, entries, begin: directory.checked_add(count)? })
    }

    fn next(&self) -> Option<u64> {
        let end = self.entries.checked_mul(self.entry)?.checked_add(self.begin)?;
        self.numbers.at(end, self.place)
    }

    /// The first value of an entry of 16-bit numbers.
    fn short(&self, tag: u64) -> Option<u64> {
        // Entries are sorted by their tags, but not every writer sorts them.
        let entries = (0..self.entries.min(self.numbers.bytes.len())).map(|at| self.begin + at * self.entry);
        let mut tags = entries.map_while(|entry| Some((entry, self.numbers.at(entry, 2)?)));
        let (entry, _) = tags.find(|(_, found)| *found == tag)?;
        let (count, value) = (self.numbers.at(entry + 4, self.place)?, entry + 4 + self.place);
        match count {
            0 => None,
            few if few <= self.place as u64 / 2 => self.numbers.at(value, 2),
            _ => self.numbers.at(self.numbers.at(value, self.place)? as usize, 2),
        }
    }
}

struct Numbers<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl Numbers<'_> {
    /// Of up to eight bytes.
    fn at(&self, begin: usize, length: usize) -> Option<u64> {
        let digits = self.bytes.get(begin..begin.checked_add(length)?)?;
        let join = |number: u64, &digit: &u8| number << 8 | u64::from(digit);
        Some(if self.big_endian { digits.iter().fold(0, join) } else { digits.iter().rev().fold(0, join) })
    }
}
