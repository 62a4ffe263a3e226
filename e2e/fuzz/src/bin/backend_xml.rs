//! The fuzzing engine's entry to the target `backend_xml`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| s3gateway_fuzz::backend_xml::check(data));
