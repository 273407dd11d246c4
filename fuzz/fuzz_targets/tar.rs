//! A tar of samples.
#![no_main]

libfuzzer_sys::fuzz_target!(init: sumac_fuzz::spare_caught_panics(), |bytes: &[u8]| {
    sumac_fuzz::file("x.tar", bytes, &[]);
});
