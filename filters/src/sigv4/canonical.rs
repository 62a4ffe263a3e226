//! The canonical request: the text whose hash is signed.
//! Source: Amazon S3 API Reference, "Signature Calculations for the Authorization Header", "Create a canonical request".
use super::Claim;
use http::HeaderValue;
use s3gateway_s3::{S3Request, uri};
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// SHA-256 of the canonical request; `None` where a header that is listed as signed did not arrive.
pub(super) fn hash_canonical_request(request: &S3Request, claim: &Claim<'_>) -> Option<[u8; 32]> {
    let mut text = Vec::with_capacity(TYPICAL_LENGTH);
    text.extend_from_slice(request.method.as_str().as_bytes());
    text.push(b'\n');
    text.extend_from_slice(request.canonical_path.as_bytes());
    text.push(b'\n');
    push_query(&mut text, request, claim.is_presigned());
    text.push(b'\n');
    for name in claim.signed_headers().split(';') {
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
        push_trimmed(&mut text, header(request, name)?);
        text.push(b'\n');
    }
    text.push(b'\n');
    text.extend_from_slice(claim.signed_headers().as_bytes());
    text.push(b'\n');
    text.extend_from_slice(claim.payload_text().as_bytes());
    Some(Sha256::digest(&text).into())
}

/// Bytes that hold the canonical request of nearly every request.
const TYPICAL_LENGTH: usize = 1024;

/// Parameters by encoded name, then encoded value; the signature itself is not part of what it signs.
fn push_query(text: &mut Vec<u8>, request: &S3Request, presigned: bool) {
    let mut parameters: Vec<(Cow<'_, str>, Cow<'_, str>)> = request
        .query
        .iter()
        .filter(|(name, _)| !(presigned && *name == "X-Amz-Signature"))
        .map(|(name, value)| (encoded(name), encoded(value)))
        .collect();
    parameters.sort_unstable();
    for (index, (name, value)) in parameters.iter().enumerate() {
        if index > 0 {
            text.push(b'&');
        }
        text.extend_from_slice(name.as_bytes());
        text.push(b'=');
        text.extend_from_slice(value.as_bytes());
    }
}

/// RFC 3986 encoding, without a copy where nothing needs it.
fn encoded(text: &str) -> Cow<'_, str> {
    if text.bytes().all(uri::is_unreserved) { Cow::Borrowed(text) } else { Cow::Owned(uri::encode(text.as_bytes())) }
}

/// The value of a header that came as one; a list that came in several fields is one by now.
fn header<'r>(request: &'r S3Request, name: &str) -> Option<&'r [u8]> {
    let in_query = request.hoisted.iter().any(|hoisted| hoisted.as_str() == name);
    let sent = request.value(name).filter(|_| !in_query).map(HeaderValue::as_bytes);
    if name == "host" {
        // Over HTTP/2 the host is `:authority` and there is no such header; where there is one, its spelling was signed.
        let host = request.host.as_bytes();
        return Some(sent.filter(|value| value.eq_ignore_ascii_case(host)).unwrap_or(host));
    }
    sent
}

/// Appends a header's value as SigV4's Trimall leaves it: no white space around, one space inside.
pub fn push_trimmed(text: &mut Vec<u8>, value: &[u8]) {
    let value = value.trim_ascii(); // HTTP's own optional white space around a value is no part of it
    if memchr::memchr(b' ', value).is_none() {
        text.extend_from_slice(value);
        return;
    }
    let mut before = 0;
    for byte in value {
        if *byte != b' ' || before != b' ' {
            text.push(*byte);
        }
        before = *byte;
    }
}
