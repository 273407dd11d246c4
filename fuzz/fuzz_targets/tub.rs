//! A tub: what a zero byte divides is its catalog and its manifest.
#![no_main]

use std::sync::LazyLock;
use sumac_fuzz::{Folder, PIXEL};

static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::new().expect("a fuzzer has a disk"));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |&byte| byte == 0);
    let catalog = ("catalog_0.catalog", parts.next().unwrap_or_default());
    let manifest = ("manifest.json", parts.next().unwrap_or_default());
    FOLDER.look(&[catalog, manifest, ("images/a.png", PIXEL)], true).expect("a fuzzer has a disk");
});
