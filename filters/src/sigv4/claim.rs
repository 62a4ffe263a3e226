//! What a request says about who signed it: parsed and bounded, with every check that needs no secret.
//! Invariant: exactly one way of signing is in use; a request with two, or with one in two copies, is refused.
//! Source: Amazon S3 API Reference, "Authenticating Requests: Using the Authorization Header" and "Using Query Parameters".
use super::credential::{Credential, name_region};
use super::declared::{PayloadMode, declared_payload, parse_payload_mode};
use super::signed_headers;
use super::timestamp::Timestamp;
use http::HeaderMap;
use s3gateway_s3::{S3Code, S3Error, S3Request};
use std::time::{Duration, SystemTime};

/// A request's own account of its signature; proves nothing until [`super::verify`] has compared it.
#[derive(Clone, Debug)]
pub struct Claim<'r> {
    credential: Credential<'r>,
    timestamp: Timestamp,
    signed_headers: &'r str,
    signature: [u8; 32],
    payload: PayloadMode,
    /// As declared.
    payload_text: &'r str,
    presigned: bool,
}

impl<'r> Claim<'r> {
    /// The access key id that is said to have signed.
    pub fn access_key_id(&self) -> &'r str {
        self.credential.access_key_id()
    }
    /// The day of the signing key, `YYYYMMDD`.
    pub fn date(&self) -> &'r str {
        self.credential.date()
    }
    /// The region of the signing key.
    pub fn region(&self) -> &'r str {
        self.credential.region()
    }
    /// Whether the signature stands in the query.
    pub fn is_presigned(&self) -> bool {
        self.presigned
    }
    pub(super) fn scope(&self) -> &'r str {
        self.credential.scope()
    }
    pub(super) fn timestamp(&self) -> &[u8] {
        self.timestamp.text()
    }
    pub(super) fn signed_headers(&self) -> &'r str {
        self.signed_headers
    }
    pub(super) fn signature(&self) -> &[u8; 32] {
        &self.signature
    }
    pub(super) fn payload(&self) -> PayloadMode {
        self.payload
    }
    /// The payload mode as the client wrote it, which is what it signed.
    pub(super) fn payload_text(&self) -> &'r str {
        self.payload_text
    }
}

/// How far a clock may be off (Amazon S3 API Reference, `RequestTimeTooSkewed`).
const MAX_SKEW: Duration = Duration::from_secs(15 * 60);
/// Longest life of a presigned URL, seconds.
const MAX_EXPIRES: u64 = 604_800;
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Parses how the request says it is signed, in its header or in its query. `regions`: the signing regions served, the
/// first being the one that a client with a wrong one is told.
///
/// # Errors
/// S3's own for every fault of form, scope or time; `AccessDenied` for an unsigned `x-amz-*` header and for a request
/// that is not signed at all.
pub fn parse_claim<'r>(request: &'r S3Request, regions: &[String], now: SystemTime) -> Result<Claim<'r>, S3Error> {
    refuse_repeated(&request.headers)?;
    let claim = match decide_mechanism(request)? {
        Mechanism::Header(value) => {
            parse_header_claim(request, value, regions, now).map_err(|error| name_region(error, regions))?
        }
        Mechanism::Query => parse_query_claim(request, regions, now)?,
        Mechanism::QueryV2 => return Err(signature_version_2()),
    };
    refuse_token(request)?;
    Ok(claim)
}

/// Whether the request is signed by version 2 in its query, and in no other way.
///
/// # Errors
/// Where it is signed in two ways, or not at all.
pub(crate) fn is_v2_url(request: &S3Request) -> Result<bool, S3Error> {
    Ok(matches!(decide_mechanism(request)?, Mechanism::QueryV2))
}

/// Refuses what could be read in two ways, and credentials that nobody has been given.
pub(crate) fn refuse_ambiguous(request: &S3Request) -> Result<(), S3Error> {
    refuse_repeated(&request.headers)?;
    refuse_token(request)
}

fn refuse_token(request: &S3Request) -> Result<(), S3Error> {
    let has_token = |name: &str| name.eq_ignore_ascii_case("x-amz-security-token");
    if request.value("x-amz-security-token").is_some() || request.query.iter().any(|(n, _)| has_token(n)) {
        return Err(S3Code::InvalidToken.because("The access key is not a temporary one and takes no session token."));
    }
    Ok(())
}

enum Mechanism<'r> {
    Header(&'r str),
    Query,
    QueryV2,
}

/// Headers that steer authentication or framing: two of one name could be read in two ways.
const ONCE: [&str; 9] = [
    "host",
    "date",
    "x-amz-date",
    "x-amz-content-sha256",
    "x-amz-security-token",
    "x-amz-decoded-content-length",
    "x-amz-trailer",
    "x-amz-copy-source",
    "content-md5",
];

fn refuse_repeated(headers: &HeaderMap) -> Result<(), S3Error> {
    if headers.len() == headers.keys_len() {
        return Ok(()); // nothing at all is repeated, as in nearly every request
    }
    for name in ONCE {
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(S3Code::InvalidArgument.because(format!("The header {name} must not be repeated.")));
        }
    }
    Ok(())
}

/// The six parameters of a presigned request, in the spelling that S3 documents.
const QUERY_PARAMETERS: [&str; 6] =
    ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"];

/// Exactly one way of signing, or a refusal; a second one is never ignored.
fn decide_mechanism(request: &S3Request) -> Result<Mechanism<'_>, S3Error> {
    let named = |names: &[&str]| request.query.iter().any(|(n, _)| names.iter().any(|q| q.eq_ignore_ascii_case(n)));
    let (v4_query, v2_query) = (named(&QUERY_PARAMETERS), named(&["AWSAccessKeyId", "Signature"]));
    let mut authorization = request.headers.get_all(http::header::AUTHORIZATION).iter();
    match (authorization.next(), authorization.next()) {
        (_, Some(_)) => Err(S3Code::InvalidArgument.because("The header Authorization must not be repeated.")),
        (Some(_), None) if v4_query || v2_query => Err(only_one_mechanism()),
        (Some(value), None) => match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => Ok(Mechanism::Header(text)),
            Err(_) => Err(unsupported_authorization()),
        },
        (None, None) if v4_query && v2_query => Err(only_one_mechanism()),
        (None, None) if v4_query => Ok(Mechanism::Query),
        (None, None) if v2_query => Ok(Mechanism::QueryV2),
        (None, None) => Err(anonymous(request)),
    }
}

fn only_one_mechanism() -> S3Error {
    S3Code::InvalidArgument.because(
        "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified",
    )
}

fn unsupported_authorization() -> S3Error {
    S3Code::InvalidArgument.because("Unsupported Authorization Type")
}

pub(crate) fn signature_version_2() -> S3Error {
    S3Code::InvalidRequest
        .because("The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.")
}

fn anonymous(request: &S3Request) -> S3Error {
    if request.query.iter().any(|(name, _)| name.starts_with("response-")) {
        return S3Code::InvalidRequest
            .because("Request specific response headers cannot be used for anonymous GET requests.");
    }
    S3Code::AccessDenied.because("Anonymous access is not allowed.")
}

fn parse_header_claim<'r>(
    request: &'r S3Request,
    authorization: &'r str,
    regions: &[String],
    now: SystemTime,
) -> Result<Claim<'r>, S3Error> {
    let code = S3Code::AuthorizationHeaderMalformed;
    let parts = parse_authorization(authorization)?;
    let credential = Credential::parse(parts.credential, code, regions)?;
    let timestamp = parse_request_date(request)?;
    if timestamp.date() != credential.date().as_bytes() {
        return Err(code.because("Invalid credential date: it is not the date of x-amz-date."));
    }
    let skew = timestamp.age(now).unwrap_or_else(|| timestamp.ahead(now));
    if skew > MAX_SKEW {
        return Err(too_skewed(&timestamp, now));
    }
    let names = signed_headers::parse(parts.signed_headers, code)?;
    let payload_text = declared_payload(request, false)?;
    let payload = parse_payload_mode(payload_text)?;
    let signature = parse_signature(parts.signature)?;
    signed_headers::check_coverage(request, &names)?;
    let signed_headers = parts.signed_headers;
    Ok(Claim { credential, timestamp, signed_headers, signature, payload, payload_text, presigned: false })
}

struct Authorization<'r> {
    credential: &'r str,
    signed_headers: &'r str,
    signature: &'r str,
}

/// `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`: each once, in any order, nothing else.
fn parse_authorization(value: &str) -> Result<Authorization<'_>, S3Error> {
    let (scheme, mut rest) = split_once(value.trim(), b' ').ok_or_else(unsupported_authorization)?;
    match scheme {
        ALGORITHM => {}
        "AWS" => return Err(signature_version_2()),
        _ => return Err(unsupported_authorization()),
    }
    let malformed = |message| S3Code::AuthorizationHeaderMalformed.because(message);
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    loop {
        let (component, further) = split_once(rest, b',').map_or((rest, None), |(first, more)| (first, Some(more)));
        let (name, value) = split_once(component.trim(), b'=')
            .ok_or_else(|| malformed("The authorization header is malformed; a component has no '='."))?;
        let place = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed_headers,
            "Signature" => &mut signature,
            _ => return Err(malformed("The authorization header is malformed; it has an unknown component.")),
        };
        if place.replace(value).is_some() {
            return Err(malformed("The authorization header is malformed; a component is repeated."));
        }
        match further {
            Some(further) => rest = further,
            None => break,
        }
    }
    match (credential, signed_headers, signature) {
        (Some(credential), Some(signed_headers), Some(signature)) => {
            Ok(Authorization { credential, signed_headers, signature })
        }
        _ => Err(malformed(
            "The authorization header is malformed; the authorization header requires three components: Credential, SignedHeaders, and Signature.",
        )),
    }
}

/// As `str::split_once`, which looks for its separator byte by byte.
fn split_once(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = memchr::memchr(separator, text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// x-amz-date, or `Date` where the former is absent; the server's own time never stands in.
fn parse_request_date(request: &S3Request) -> Result<Timestamp, S3Error> {
    let parsed = if let Some(value) = request.value("x-amz-date") {
        value.to_str().ok().and_then(Timestamp::parse)
    } else {
        request.header("date").and_then(Timestamp::parse_date_header)
    };
    parsed.ok_or_else(|| S3Code::AccessDenied.because("AWS authentication requires a valid Date or x-amz-date header"))
}

fn too_skewed(timestamp: &Timestamp, now: SystemTime) -> S3Error {
    S3Code::RequestTimeTooSkewed
        .because("The difference between the request time and the current time is too large.")
        .with("RequestTime", String::from_utf8_lossy(timestamp.text()))
        .with("ServerTime", render_time(now))
        .with("MaxAllowedSkewMilliseconds", MAX_SKEW.as_millis().to_string())
}

fn render_time(now: SystemTime) -> String {
    let utc = time::OffsetDateTime::from(now);
    utc.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}

fn parse_query_claim<'r>(request: &'r S3Request, regions: &[String], now: SystemTime) -> Result<Claim<'r>, S3Error> {
    let code = S3Code::AuthorizationQueryParametersError;
    let [algorithm, credential, date, expires, signed_headers, signature] = query_parameters(request)?;
    if algorithm != ALGORITHM {
        return Err(code.because("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\""));
    }
    let credential = Credential::parse(credential, code, regions)?;
    let timestamp = Timestamp::parse(date)
        .ok_or_else(|| code.because("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""))?;
    if timestamp.date() != credential.date().as_bytes() {
        return Err(code.because("Invalid credential date: it is not the date of X-Amz-Date."));
    }
    let expires = parse_expires(expires)?;
    if timestamp.ahead(now) > MAX_SKEW {
        return Err(S3Code::AccessDenied.because("Request is not valid yet").with("ServerTime", render_time(now)));
    }
    if timestamp.age(now).is_some_and(|age| age > expires) {
        return Err(S3Code::AccessDenied
            .because("Request has expired")
            .with("X-Amz-Expires", expires.as_secs().to_string())
            .with("ServerTime", render_time(now)));
    }
    let names = signed_headers::parse(signed_headers, code)?;
    let signature = parse_signature(signature)?;
    let payload_text = declared_payload(request, true)?;
    let payload = parse_payload_mode(payload_text)?;
    signed_headers::check_coverage(request, &names)?;
    Ok(Claim { credential, timestamp, signed_headers, signature, payload, payload_text, presigned: true })
}

/// Each of the six exactly once, in the spelling that S3 documents.
fn query_parameters(request: &S3Request) -> Result<[&str; 6], S3Error> {
    let code = S3Code::AuthorizationQueryParametersError;
    let mut values = [""; 6];
    for (name, place) in QUERY_PARAMETERS.iter().zip(values.iter_mut()) {
        let mut found = request.query.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        *place = match (found.next(), found.next()) {
            (Some((spelled, value)), None) if spelled == *name => value,
            (Some(_), Some(_)) => return Err(code.because(format!("{name} must not be repeated."))),
            _ => {
                return Err(code.because(
                    "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
                ));
            }
        };
    }
    Ok(values)
}

/// Seconds that a presigned URL stays valid, 1 to 604 800: digits only, since `+60` or `6e1` mean nothing here.
fn parse_expires(value: &str) -> Result<Duration, S3Error> {
    let digits = (1..=18).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
    match value.parse::<u64>() {
        Ok(seconds @ 1..=MAX_EXPIRES) if digits => Ok(Duration::from_secs(seconds)),
        Ok(seconds) if digits && seconds > MAX_EXPIRES => Err(S3Code::AuthorizationQueryParametersError
            .because("X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds")),
        _ => Err(S3Code::AuthorizationQueryParametersError.because("X-Amz-Expires should be a number from 1 to 604800")),
    }
}

/// 64 hex digits. Anything else cannot match, and is answered as a signature that does not.
fn parse_signature(value: &str) -> Result<[u8; 32], S3Error> {
    let mut signature = [0; 32];
    hex::decode_to_slice(value, &mut signature).map_err(|_| S3Code::SignatureDoesNotMatch.error())?;
    Ok(signature)
}
