//! An image file of any form.
#![no_main]

libfuzzer_sys::fuzz_target!(init: sumac_fuzz::spare_caught_panics(), |bytes: &[u8]| {
    sumac_fuzz::image(bytes);
});
