//! What a PNG has behind its pixels, where its decoder does not look before it decodes them.
//!
//! Source: W3C, "Portable Network Graphics (PNG) Specification (Third Edition)", 5.3.

/// Its EXIF data, which may lie before its pixels or after.
pub(super) fn exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 8;
    loop {
        let length = u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
        let (kind, content) = (bytes.get(at + 4..at + 8)?, bytes.get(at + 8..at + 8 + length)?);
        if kind == b"eXIf" {
            return Some(content);
        }
        // A checksum follows.
        at += 12 + length;
    }
}
