//! The canonical request, fed to the hash piece by piece and never built as text.
//! Source: Amazon S3 API Reference, "Signature Calculations for the Authorization Header", "Create a canonical request".
use super::Claim;
use s3gateway_s3::{S3Request, uri};
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// SHA-256 of the canonical request; `None` where a header that is listed as signed did not arrive.
/// `payload` is the last line: the value of x-amz-content-sha256, exactly as declared.
pub(super) fn hash_canonical_request(request: &S3Request, claim: &Claim, payload: &str) -> Option<[u8; 32]> {
    let mut hash = Sha256::new();
    hash.update(request.method.as_str());
    hash.update(b"\n");
    hash.update(&request.canonical_path);
    hash.update(b"\n");
    feed_query(&mut hash, request, claim.is_presigned());
    hash.update(b"\n");
    for name in claim.signed_headers().split(';') {
        hash.update(name);
        hash.update(b":");
        feed_header(&mut hash, request, name)?;
        hash.update(b"\n");
    }
    hash.update(b"\n");
    hash.update(claim.signed_headers());
    hash.update(b"\n");
    hash.update(payload);
    Some(hash.finalize().into())
}

/// Parameters by encoded name, then encoded value; the signature itself is not part of what it signs.
fn feed_query(hash: &mut Sha256, request: &S3Request, presigned: bool) {
    let mut parameters: Vec<(Cow<'_, str>, Cow<'_, str>)> = request
        .query
        .iter()
        .filter(|(name, _)| !(presigned && *name == "X-Amz-Signature"))
        .map(|(name, value)| (encoded(name), encoded(value)))
        .collect();
    parameters.sort_unstable();
    for (index, (name, value)) in parameters.iter().enumerate() {
        if index > 0 {
            hash.update(b"&");
        }
        hash.update(name.as_bytes());
        hash.update(b"=");
        hash.update(value.as_bytes());
    }
}

/// RFC 3986 encoding, without a copy where nothing needs it.
fn encoded(text: &str) -> Cow<'_, str> {
    if text.bytes().all(uri::is_unreserved) { Cow::Borrowed(text) } else { Cow::Owned(uri::encode(text.as_bytes())) }
}

fn feed_header(hash: &mut Sha256, request: &S3Request, name: &str) -> Option<()> {
    let mut values = request.headers.get_all(name).iter();
    if name == "host" {
        // Over HTTP/2 the host is `:authority` and there is no such header; where there is one, its spelling was signed.
        let sent = values.next().map(|v| v.as_bytes()).filter(|v| v.eq_ignore_ascii_case(request.host.as_bytes()));
        feed_trimmed(hash, sent.unwrap_or(request.host.as_bytes()));
        return Some(());
    }
    feed_trimmed(hash, values.next()?.as_bytes());
    for value in values {
        hash.update(b",");
        feed_trimmed(hash, value.as_bytes());
    }
    Some(())
}

/// SigV4's Trimall: no spaces around, one space inside.
fn feed_trimmed(hash: &mut Sha256, value: &[u8]) {
    let mut rest = value.trim_ascii(); // HTTP's own optional whitespace around a value is no part of it
    while let Some(at) = memchr::memmem::find(rest, b"  ") {
        let (head, tail) = rest.split_at(at + 1);
        hash.update(head);
        let spaces = tail.iter().take_while(|b| **b == b' ').count();
        rest = tail.split_at(spaces).1;
    }
    hash.update(rest);
}
