//! An idx, npy or npz file: the first byte tells under which name.
#![no_main]

libfuzzer_sys::fuzz_target!(init: sumac_fuzz::spare_caught_panics(), |bytes: &[u8]| {
    let Some((name, bytes)) = bytes.split_first() else { return };
    let names = ["x.npy", "x.npz", "x-idx3-ubyte", "x-idx3-ubyte.gz"];
    sumac_fuzz::file(names[usize::from(*name) % names.len()], bytes, &[]);
});
