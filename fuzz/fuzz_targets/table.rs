//! A table beside its images: the first byte tells of which kind.
#![no_main]

use sumac_fuzz::PIXEL;

libfuzzer_sys::fuzz_target!(init: sumac_fuzz::spare_caught_panics(), |bytes: &[u8]| {
    let Some((name, bytes)) = bytes.split_first() else { return };
    let names = ["rows.csv", "rows.jsonl"];
    sumac_fuzz::file(names[usize::from(*name) % names.len()], bytes, &[("a.png", PIXEL), ("b.png", PIXEL)]);
});
