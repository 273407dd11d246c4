//! The little of the zip format that an npz needs to be written: entries stored as they are, and their directory.
//!
//! The same entries give the same bytes. Knows nothing of arrays. Source: PKWARE, "APPNOTE.TXT", 4.3 and 4.5.3.

use flate2::Crc;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// The version that reads what needs 64 bits.
const VERSION: u16 = 45;
/// 1 January 1980, the first day there is.
const DAY: u16 = 0x21;
const WIDE: u32 = u32::MAX;

pub(super) struct Zip<W> {
    out: W,
    directory: Vec<u8>,
    entries: u64,
}

impl<W: Write + Seek> Zip<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, directory: Vec::new(), entries: 0 }
    }

    pub(super) fn add(&mut self, name: &str, content: &mut dyn Read) -> io::Result<()> {
        let length = u16::try_from(name.len()).map_err(|_| io::Error::other("an array has too long a name"))?;
        let begin = self.out.stream_position()?;
        // What is not known yet is written over once it is.
        self.out.write_all(&local(0, 0, name, length))?;
        let (mut crc, mut bytes, mut buffer) = (Crc::new(), 0, vec![0; 1 << 16]);
        loop {
            let read = content.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            crc.update(&buffer[..read]);
            bytes += read as u64;
            self.out.write_all(&buffer[..read])?;
        }
        let end = self.out.stream_position()?;
        self.out.seek(SeekFrom::Start(begin))?;
        self.out.write_all(&local(crc.sum(), bytes, name, length))?;
        self.out.seek(SeekFrom::Start(end))?;
        let extra = wide(&[bytes, bytes, begin]);
        let words = |words: &[u16]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let parts = [
            b"PK\x01\x02".to_vec(),
            words(&[VERSION, VERSION, 0, 0, 0, DAY]),
            [crc.sum(), WIDE, WIDE].map(u32::to_le_bytes).concat(),
            words(&[length, extra.len() as u16, 0, 0, 0, 0, 0]),
            WIDE.to_le_bytes().to_vec(),
            name.as_bytes().to_vec(),
            extra,
        ];
        self.directory.extend(parts.concat());
        self.entries += 1;
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        let begin = self.out.stream_position()?;
        let bytes = self.directory.len() as u64;
        self.out.write_all(&self.directory)?;
        let parts = [
            b"PK\x06\x06".to_vec(),
            44_u64.to_le_bytes().to_vec(),
            [VERSION, VERSION].map(u16::to_le_bytes).concat(),
            [0_u32; 2].map(u32::to_le_bytes).concat(),
            [self.entries, self.entries, bytes, begin].map(u64::to_le_bytes).concat(),
            b"PK\x06\x07".to_vec(),
            0_u32.to_le_bytes().to_vec(),
            (begin + bytes).to_le_bytes().to_vec(),
            1_u32.to_le_bytes().to_vec(),
            b"PK\x05\x06".to_vec(),
            [0, 0, u16::MAX, u16::MAX].map(u16::to_le_bytes).concat(),
            [WIDE, WIDE].map(u32::to_le_bytes).concat(),
            vec![0; 2],
        ];
        self.out.write_all(&parts.concat())
    }
}

fn local(crc: u32, bytes: u64, name: &str, length: u16) -> Vec<u8> {
    let extra = wide(&[bytes, bytes]);
    let parts = [
        b"PK\x03\x04".to_vec(),
        [VERSION, 0, 0, 0, DAY].map(u16::to_le_bytes).concat(),
        [crc, WIDE, WIDE].map(u32::to_le_bytes).concat(),
        [length, extra.len() as u16].map(u16::to_le_bytes).concat(),
        name.as_bytes().to_vec(),
        extra,
    ];
    parts.concat()
}

/// The zip64 extra: always there, as numpy writes it, so that no size changes the form.
fn wide(values: &[u64]) -> Vec<u8> {
    let head = [1, 8 * values.len() as u16].map(u16::to_le_bytes).concat();
    [head, values.iter().flat_map(|value| value.to_le_bytes()).collect()].concat()
}
