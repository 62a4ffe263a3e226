//! The fuzzing engine's entry to the target `client_xml`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| s3gateway_fuzz::client_xml::check(data));
