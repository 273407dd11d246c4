//! What a refined data set says of itself: a zero byte divides its manifest from its lists.
#![no_main]

use sumac_fuzz::PIXEL;

libfuzzer_sys::fuzz_target!(init: sumac_fuzz::spare_caught_panics(), |bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |&byte| byte == 0);
    let manifest = ("MANIFEST.json", parts.next().unwrap_or_default());
    let lists = parts.next().unwrap_or_default();
    sumac_fuzz::refined(&[manifest, ("errors.jsonl", lists), ("provenance.jsonl", lists), ("a.png", PIXEL)]);
});
