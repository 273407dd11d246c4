//! A parquet file.
#![no_main]

use std::sync::LazyLock;
use sumac_fuzz::Folder;

static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::new().expect("a fuzzer has a disk"));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    FOLDER.look(&[("x.parquet", bytes)], false).expect("a fuzzer has a disk");
});
