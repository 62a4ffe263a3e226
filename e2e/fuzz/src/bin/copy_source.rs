//! The fuzzing engine's entry to the target `copy_source`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| s3gateway_fuzz::copy_source::check(data));
