//! An image of any bytes at all.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| monigo_fuzz::exercise(bytes));
