//! The string to sign, and what it leaves out.
use http::HeaderName;
use s3gateway_s3::{Addressing, S3Code, S3Error, S3Request};
use std::collections::BTreeMap;

/// Query parameters that are part of the canonical resource: those of the documentation, and those that AWS's own signers
/// add to them.
const SIGNED: &[&str] = &[
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "delete",
    "inventory",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "partNumber",
    "policy",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "select",
    "select-type",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];

/// Parameters that are not signed and may come: the signature's own, and those that choose a page of a listing which the
/// signature gives as a whole. `prefix` is not among them: it would look like a limit to what the URL shows, and be none.
const UNSIGNED: &[&str] = &[
    "AWSAccessKeyId",
    "Expires",
    "Signature",
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "key-marker",
    "list-type",
    "marker",
    "max-keys",
    "max-parts",
    "max-uploads",
    "part-number-marker",
    "start-after",
    "upload-id-marker",
    "version-id-marker",
];

/// Refuses what the signature does not cover, and what it cannot tell from something else.
pub(super) fn check_covered(request: &S3Request) -> Result<(), S3Error> {
    let (mut overrides, mut others) = (false, false);
    for (name, value) in request.query.iter() {
        if SIGNED.contains(&name) {
            // Values are signed as they are decoded, so `a=1&b=2` may be two parameters or one.
            let hides = value.split('&').skip(1).any(|piece| SIGNED.contains(&name_of(piece)));
            if hides {
                return Err(not_covered(name));
            }
            let is_override = name.starts_with("response-");
            overrides |= is_override;
            others |= !is_override;
        } else if is_amz(name) {
            // Either could hold the line of another header.
            if HeaderName::from_bytes(name.as_bytes()).is_err() || value.chars().any(char::is_control) {
                return Err(not_covered(name));
            }
        } else if !UNSIGNED.contains(&name) && !is_standard(name) {
            return Err(not_covered(name));
        }
    }
    if overrides && others {
        // The override may have been signed with the other parameter as its text.
        return Err(S3Code::AccessDenied.because(
            "Signature version 2 cannot tell response-* parameters from others. Please use AWS4-HMAC-SHA256.",
        ));
    }
    Ok(())
}

fn name_of(piece: &str) -> &str {
    piece.split('=').next().unwrap_or_default()
}

fn is_amz(name: &str) -> bool {
    name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"))
}

/// Parameters that stand for a header of the string to sign.
fn is_standard(name: &str) -> bool {
    name.eq_ignore_ascii_case("content-type") || name.eq_ignore_ascii_case("content-md5")
}

fn not_covered(name: &str) -> S3Error {
    S3Code::AccessDenied
        .because("The query has a parameter that signature version 2 does not sign. Please use AWS4-HMAC-SHA256.")
        .with("ParameterNotSigned", name)
}

/// Method, two headers, the end of the URL's life, `x-amz-*`, and the resource.
pub(super) fn string_to_sign(request: &S3Request, sent_path: &str) -> Vec<u8> {
    let mut text = Vec::with_capacity(512);
    let header = |name: &str| request.value(name).map(|value| value.as_bytes().trim_ascii()).unwrap_or_default();
    let expires = request.query.get("Expires").unwrap_or_default();
    for line in [request.method.as_str().as_bytes(), header("content-md5"), header("content-type"), expires.as_bytes()]
    {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    for (name, value) in amz_headers(request) {
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    if let (Addressing::VirtualHost, Some(bucket)) = (request.addressing, &request.bucket) {
        text.push(b'/');
        text.extend_from_slice(bucket.as_str().as_bytes());
    }
    text.extend_from_slice(sent_path.as_bytes());
    // AWS's signers write a bucket with a slash, also where they send none.
    if request.key.is_none() && !sent_path.ends_with('/') {
        text.push(b'/');
    }
    let mut signed: Vec<_> = request.query.iter().filter(|(name, _)| SIGNED.contains(name)).collect();
    signed.sort_unstable();
    for (index, (name, value)) in signed.into_iter().enumerate() {
        text.push(if index == 0 { b'?' } else { b'&' });
        text.extend_from_slice(name.as_bytes());
        if !value.is_empty() {
            text.push(b'=');
            text.extend_from_slice(value.as_bytes());
        }
    }
    text
}

/// All `x-amz-*` in byte order, wherever each came from.
fn amz_headers(request: &S3Request) -> BTreeMap<String, &[u8]> {
    let in_query = request.query.iter().filter(|(name, _)| is_amz(name));
    let mut all: BTreeMap<_, _> =
        in_query.map(|(name, value)| (name.to_ascii_lowercase(), value.as_bytes().trim_ascii())).collect();
    let sent = request.headers.iter().filter(|(name, _)| is_amz(name.as_str()));
    all.extend(sent.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().trim_ascii())));
    all
}
