//! The fuzzing engine's entry to the target `aws_chunked`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| s3gateway_fuzz::aws_chunked::check(data));
