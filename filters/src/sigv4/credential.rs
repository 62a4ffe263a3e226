//! The credential of a signature: `<access key id>/<date>/<region>/s3/aws4_request`.
use super::timestamp::parse_date;
use s3gateway_s3::{S3Code, S3Error};

/// Longest access key id that is looked up; longer ones cannot exist and would only fill a negative cache.
const MAX_ACCESS_KEY_ID: usize = 128;

/// A credential whose scope is one that this gateway serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Credential<'r> {
    id: &'r str,
    /// `<date>/<region>/s3/aws4_request`.
    scope: &'r str,
    date: &'r str,
    region: &'r str,
}

impl<'r> Credential<'r> {
    /// Parses from the right, so that a `/` can only ever belong to the access key id and never shifts the scope.
    /// `code` is what malformed text is answered with: it differs between header and query.
    pub(super) fn parse(text: &'r str, code: S3Code, regions: &[String]) -> Result<Self, S3Error> {
        let mut rest = text;
        let mut part = || -> Result<&'r str, S3Error> {
            let at = memchr::memrchr(b'/', rest.as_bytes()).ok_or_else(|| code.because(FORM))?;
            let (front, part) = (rest.get(..at), rest.get(at + 1..));
            rest = front.unwrap_or_default();
            Ok(part.unwrap_or_default())
        };
        let (terminal, service, region, date) = (part()?, part()?, part()?, part()?);
        let (id, scope) = (rest, text.get(rest.len() + 1..).unwrap_or_default());
        if terminal != "aws4_request" {
            return Err(code.because("The credential is malformed; it must end with aws4_request."));
        }
        if service != "s3" {
            return Err(code.because("The credential is malformed; the service must be s3."));
        }
        if parse_date(date).is_none() {
            return Err(code.because("The credential is malformed; its date must have the form YYYYMMDD."));
        }
        check_region(region, code, regions)?;
        match id.len() {
            0 => Err(code.because(FORM)),
            n if n > MAX_ACCESS_KEY_ID => Err(S3Code::InvalidAccessKeyId.error()),
            _ => Ok(Self { id, scope, date, region }),
        }
    }

    /// The access key id.
    pub(super) fn access_key_id(&self) -> &'r str {
        self.id
    }

    /// `<date>/<region>/s3/aws4_request`.
    pub(super) fn scope(&self) -> &'r str {
        self.scope
    }

    /// `YYYYMMDD`.
    pub(super) fn date(&self) -> &'r str {
        self.date
    }

    /// The signing region.
    pub(super) fn region(&self) -> &'r str {
        self.region
    }
}

const FORM: &str = "The credential is malformed; expecting \"<access key id>/YYYYMMDD/<region>/s3/aws4_request\".";

/// A wrong region is answered with the right one, which SDKs retry with.
fn check_region(region: &str, code: S3Code, regions: &[String]) -> Result<(), S3Error> {
    if regions.iter().any(|r| r == region) {
        return Ok(());
    }
    let expected = expected(regions);
    let printable =
        (1..=64).contains(&region.len()) && region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let wrong = if printable { format!("the region '{region}' is wrong") } else { "the region is wrong".to_owned() };
    let subject = match code {
        S3Code::AuthorizationHeaderMalformed => "The authorization header is malformed",
        _ => "Error parsing the X-Amz-Credential parameter",
    };
    Err(code.because(format!("{subject}; {wrong}; expecting '{expected}'")).with("Region", expected))
}

/// The region that a client with a wrong one is told.
fn expected(regions: &[String]) -> &str {
    regions.first().map_or("us-east-1", String::as_str)
}

/// Tells the region with every malformed header: a wrong one may itself be what breaks its form, as by a comma.
pub(super) fn name_region(error: S3Error, regions: &[String]) -> S3Error {
    let is_named = error.extra.iter().any(|(element, _)| *element == "Region");
    match error.code {
        S3Code::AuthorizationHeaderMalformed if !is_named => error.with("Region", expected(regions)),
        _ => error,
    }
}
