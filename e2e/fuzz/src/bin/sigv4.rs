//! The fuzzing engine's entry to the target `sigv4`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| s3gateway_fuzz::sigv4::check(data));
