//! The fuzzing engine's entry to the target `request`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| s3gateway_fuzz::request::check(data));
