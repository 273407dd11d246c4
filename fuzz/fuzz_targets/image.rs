//! An image file of any form.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sumac_fuzz::image(bytes));
