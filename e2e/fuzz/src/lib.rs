//! Fuzz targets: what a stranger's bytes may make of the parsers, and a property of each beyond not panicking.
//! A target is a function `check(&[u8])` that panics where its property fails; `e2e/fuzz/run` explores it under libFuzzer,
//! `tests/corpus.rs` replays what is checked in.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)] // a panic is how a target reports, and each module says what it does
pub mod aws_chunked;
pub mod backend_xml;
pub mod client_xml;
pub mod copy_source;
pub mod headers;
pub mod request;
pub mod sigv4;

mod input;
mod signer;

/// A target: its name, which its corpus has too, and its check.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 7] = [
    ("aws_chunked", aws_chunked::check),
    ("backend_xml", backend_xml::check),
    ("client_xml", client_xml::check),
    ("copy_source", copy_source::check),
    ("headers", headers::check),
    ("request", request::check),
    ("sigv4", sigv4::check),
];
