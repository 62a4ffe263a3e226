//! AWS Signature Version 2 in a presigned URL, checked: what older SDKs still make, for tenants who ask for it.
//! Invariants: it is the same proof as version 4's, and what the signature does not cover decides nothing.
//! Source: Amazon S3 User Guide, "Signing and authenticating REST requests (AWS signature version 2)", "Query string
//! request authentication alternative".
mod canonical;
#[cfg(test)]
mod tests;

use crate::sigv4::{self, PayloadMode, Verified};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use s3gateway_config::Secret;
use s3gateway_s3::{S3Code, S3Error, S3Request, UrlSignature};
use sha1::Sha1;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use subtle::ConstantTimeEq;

/// The access key id of a request that is signed in this way and no other.
///
/// # Errors
/// As [`sigv4::parse_claim`], where the request is signed in two ways at once.
pub fn access_key_id(request: &S3Request) -> Result<Option<&str>, S3Error> {
    match &request.url_signature {
        Some(UrlSignature::V2 { .. }) if sigv4::is_v2_url(request)? => Ok(request.query.get("AWSAccessKeyId")),
        _ => Ok(None),
    }
}

/// What is answered where nobody has asked for this version.
pub fn not_accepted() -> S3Error {
    sigv4::signature_version_2()
}

/// How far ahead the end of a URL's life may lie. Version 2 has no limit of its own; what lies further is a mistake.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);

/// Checks form, time and signature of a request for which [`access_key_id`] has named the key that `secret` belongs to.
///
/// # Errors
/// `AccessDenied` for a URL that has expired or carries what its signature does not cover, `SignatureDoesNotMatch`, and
/// S3's own for faults of form.
pub fn verify(request: &S3Request, secret: &Secret<String>, now: SystemTime) -> Result<Verified, S3Error> {
    let Some(UrlSignature::V2 { sent_path }) = &request.url_signature else { return Err(not_accepted()) };
    sigv4::refuse_ambiguous(request)?;
    check_expires(request, now)?;
    canonical::check_covered(request)?;
    let payload = sigv4::parse_payload(request)?;
    if !matches!(payload, PayloadMode::Unsigned | PayloadMode::Signed(_)) {
        return Err(S3Code::InvalidArgument
            .because("A URL of signature version 2 takes no streaming payload.")
            .with("ArgumentName", "x-amz-content-sha256"));
    }
    let refused = || S3Code::SignatureDoesNotMatch.error();
    let sent = BASE64_STANDARD.decode(request.query.get("Signature").unwrap_or_default()).map_err(|_| refused())?;
    // HMAC takes a key of any length.
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.expose().as_bytes()).map_err(|_| refused())?;
    mac.update(&canonical::string_to_sign(request, sent_path));
    if bool::from(mac.finalize().into_bytes().as_slice().ct_eq(&sent)) {
        Ok(Verified::of_url(payload))
    } else {
        Err(refused())
    }
}

/// `Expires`: the second at which the URL ends, since the epoch, in digits.
fn check_expires(request: &S3Request, now: SystemTime) -> Result<(), S3Error> {
    let denied = |message: &'static str| S3Code::AccessDenied.because(message);
    let text = request.query.get("Expires").ok_or_else(|| {
        denied("Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters")
    })?;
    let plain = (1..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let seconds = text.parse::<u64>().ok().filter(|_| plain);
    let end = seconds
        .map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds))
        .ok_or_else(|| denied("Invalid date (should be seconds since epoch)").with("Expires", text))?;
    match end.duration_since(now) {
        Err(_) => Err(denied("Request has expired").with("Expires", text)),
        Ok(left) if left > LONGEST => Err(denied("Invalid date (too far in the future)").with("Expires", text)),
        Ok(_) => Ok(()),
    }
}
