//! The fuzzing engine's entry to the target `headers`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| s3gateway_fuzz::headers::check(data));
