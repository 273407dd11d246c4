//! What the segments of a JPEG say before its decoder is asked, which fills in what is missing and takes inks for colours.
//!
//! Source: ITU-T T.81, annex B.

use super::Fault;

const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];

/// Whether all of it is there, in grey or colours of 8 bits.
pub(super) fn check(bytes: &[u8]) -> Result<(), Fault> {
    let mut at = 2;
    while let Some(&[0xff, marker]) = bytes.get(at..at + 2) {
        match marker {
            // Any number of these may stand before a marker.
            0xff => at += 1,
            START_OF_SCAN if bytes[at..].windows(2).any(|pair| pair == END_OF_IMAGE) => return Ok(()),
            START_OF_SCAN => return Err(Fault::Truncated),
            0x01 | 0xd0..=0xd8 => at += 2,
            _ => {
                let Some(&[high, low]) = bytes.get(at + 2..at + 4) else { return Err(Fault::Truncated) };
                if is_frame(marker) {
                    check_frame(&bytes[at + 4..])?;
                }
                at += 2 + usize::from(u16::from_be_bytes([high, low]));
            }
        }
    }
    Err(Fault::Truncated)
}

/// Start of frame; three numbers in between mean something else.
fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}

fn check_frame(frame: &[u8]) -> Result<(), Fault> {
    match *frame {
        [bits, ..] if bits != 8 => Err(Fault::Kind(format!("JPEG of {bits} bits"))),
        // Height and width lie in between.
        [_, _, _, _, _, 4, ..] => Err(Fault::Cmyk),
        _ => Ok(()),
    }
}
