//! A tub: a zero byte divides its catalog from its manifest.
#![no_main]

use sumac_fuzz::PIXEL;

libfuzzer_sys::fuzz_target!(init: sumac_fuzz::spare_caught_panics(), |bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |&byte| byte == 0);
    let catalog = ("catalog_0.catalog", parts.next().unwrap_or_default());
    let manifest = ("manifest.json", parts.next().unwrap_or_default());
    sumac_fuzz::folder(&[catalog, manifest, ("images/a.png", PIXEL)]);
});
