//! The list of signed headers: its form, and whether it covers what arrived.
//! Invariant: each `x-amz-*` header that arrived is signed, except x-amz-content-sha256, whose value is signed anyway.
use s3gateway_s3::{S3Code, S3Error, S3Request};

/// Names in SignedHeaders: S3's 2 KiB of metadata cannot need more.
const MAX_SIGNED_HEADERS: usize = 1024;

/// Lower-case header names, none empty, none twice. The order is the client's: it enters the signature as it stands.
pub(super) fn check_form(list: &str, code: S3Code) -> Result<(), S3Error> {
    let token_byte = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-') || b"!#$%&'*+.^_`|~".contains(&b);
    let token = |name: &str| !name.is_empty() && name.bytes().all(token_byte);
    let ordered = list.split(';').zip(list.split(';').skip(1)).all(|(a, b)| a < b);
    let repeated = || {
        let mut names: Vec<_> = list.split(';').collect();
        names.sort_unstable();
        names.iter().zip(names.iter().skip(1)).any(|(a, b)| a == b)
    };
    let sound =
        list.split(';').take(MAX_SIGNED_HEADERS + 1).count() <= MAX_SIGNED_HEADERS && list.split(';').all(token);
    if sound && (ordered || !repeated()) {
        return Ok(());
    }
    Err(code.because("SignedHeaders must be a list of lower-case header names with ';' between them, each named once."))
}

/// Enumerates what arrived rather than what was claimed: an added header must not act in the signer's name.
pub(super) fn check_coverage(request: &S3Request, list: &str) -> Result<(), S3Error> {
    let mut names: Vec<&str> = list.split(';').collect();
    names.sort_unstable();
    let signed = |name: &str| names.binary_search(&name).is_ok();
    let covered = |name: &str| !name.starts_with("x-amz-") || name == "x-amz-content-sha256" || signed(name);
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
