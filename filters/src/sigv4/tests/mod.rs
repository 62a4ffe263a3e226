//! Groups SH and PQ of the attack list, the examples of Amazon's documentation, and what must hold for any request.
mod examples;
mod header;
mod presigned;
mod properties;

use super::Verified;
use super::signer::{Draft, Wire};
use s3gateway_s3::{S3Code, S3Error};
use sha2::{Digest, Sha256};

fn put() -> Draft {
    Draft::new("PUT", "/bucket/k", &hex::encode(Sha256::digest(b"hello")))
}

fn get() -> Draft {
    Draft::new("GET", "/bucket/k", &hex::encode(Sha256::digest(b"")))
}

fn url(method: &'static str) -> Draft {
    Draft::for_url(method, "/bucket/k")
}

fn code(result: Result<Verified, S3Error>) -> Option<S3Code> {
    result.err().map(|e| e.code)
}

/// `want` none: accepted.
fn check(row: &str, wire: Wire, want: impl Into<Option<S3Code>>) {
    assert_eq!(code(wire.authenticate()), want.into(), "{row}");
}
