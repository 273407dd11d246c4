//! An idx, npy or npz file: the first byte tells under which name.
#![no_main]

use std::sync::LazyLock;
use sumac_fuzz::Folder;

static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::new().expect("a fuzzer has a disk"));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((name, bytes)) = bytes.split_first() else { return };
    let names = ["x.npy", "x.npz", "x-idx3-ubyte", "x-idx3-ubyte.gz"];
    FOLDER.look(&[(names[usize::from(*name) % names.len()], bytes)], false).expect("a fuzzer has a disk");
});
