//! What a refined data set says of itself.
#![no_main]

use std::sync::LazyLock;
use sumac_fuzz::{Folder, PIXEL};

static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::new().expect("a fuzzer has a disk"));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    FOLDER
        .look(&[("MANIFEST.json", bytes), ("errors.jsonl", bytes), ("a.png", PIXEL)], true)
        .expect("a fuzzer has a disk");
    let _manifest = sumac_data::refined::sealed(&FOLDER.path());
    let _verified = sumac_data::refined::verify(&FOLDER.path(), None, &|_, _| {});
});
