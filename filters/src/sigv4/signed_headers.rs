//! The list of signed headers: its form, and whether it covers what arrived.
//! Invariant: each `x-amz-*` header that arrived is signed, except x-amz-content-sha256, whose value is signed anyway. One
//! that came in the query is signed with it.
use s3gateway_s3::{S3Code, S3Error, S3Request};

/// Names in SignedHeaders: S3's 2 KiB of metadata cannot need more.
const MAX_SIGNED_HEADERS: usize = 1024;

/// The names of the list in byte order: lower-case header names, none empty, none twice. The list's own order is the
/// client's: it enters the signature as it stands.
pub(super) fn parse(list: &str, code: S3Code) -> Result<Vec<&[u8]>, S3Error> {
    let mut names = Vec::with_capacity(16);
    let mut sound = true;
    for name in list.as_bytes().split(|b| *b == b';').take(MAX_SIGNED_HEADERS + 1) {
        sound &= !name.is_empty() && name.iter().copied().all(is_token);
        names.push(name);
    }
    sound &= names.len() <= MAX_SIGNED_HEADERS;
    if !names.is_sorted_by(|a, b| a < b) {
        names.sort_unstable();
        sound &= names.is_sorted_by(|a, b| a < b);
    }
    if sound {
        return Ok(names);
    }
    Err(code.because("SignedHeaders must be a list of lower-case header names with ';' between them, each named once."))
}

/// `tchar` of RFC 9110 5.6.2 without capital letters.
fn is_token(byte: u8) -> bool {
    matches!(
        byte,
        b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'^' | b'`' | b'|' | b'~'
    )
}

/// Enumerates what arrived rather than what was claimed: an added header must not act in the signer's name.
/// `names` are the list's, in byte order.
pub(super) fn check_coverage(request: &S3Request, names: &[&[u8]]) -> Result<(), S3Error> {
    let signed = |name: &str| names.binary_search(&name.as_bytes()).is_ok();
    let in_query = |name: &str| request.hoisted.iter().any(|hoisted| hoisted.as_str() == name);
    let covered =
        |name: &str| !name.starts_with("x-amz-") || name == "x-amz-content-sha256" || signed(name) || in_query(name);
    let mut missing: Vec<&str> = Vec::new();
    if !signed("host") {
        missing.push("host");
    }
    missing.extend(request.headers.keys().map(http::HeaderName::as_str).filter(|name| !covered(name)).take(16));
    if missing.is_empty() {
        return Ok(());
    }
    Err(S3Code::AccessDenied
        .because("There were headers present in the request which were not signed")
        .with("HeadersNotSigned", missing.join(", ")))
}
