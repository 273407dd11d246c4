//! A table beside its images: the first byte tells of which kind.
#![no_main]

use std::sync::LazyLock;
use sumac_fuzz::{Folder, PIXEL};

static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::new().expect("a fuzzer has a disk"));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((name, bytes)) = bytes.split_first() else { return };
    let names = ["rows.csv", "rows.jsonl"];
    let name = names[usize::from(*name) % names.len()];
    FOLDER.look(&[(name, bytes), ("a.png", PIXEL), ("b.png", PIXEL)], false).expect("a fuzzer has a disk");
});
