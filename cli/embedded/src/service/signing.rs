//! What S3 asks of a signature beyond that it is right, which s3s has verified: nothing that matters is left unsigned.
//! Source: Amazon S3 API Reference, "Authenticating Requests (AWS Signature Version 4)" and "Error responses".
use super::REGION;
use crate::error::refusal;
use http::{HeaderMap, Uri};
use s3s::{S3Error, S3Result, s3_error};

/// The longest that a presigned URL may last, in seconds.
const MAX_EXPIRY: u64 = 604_800;

/// Where a signature stands.
enum Signed<'r> {
    Header { credential: &'r str, headers: &'r str },
    Query { credential: String, headers: String, expires: String },
}

/// Judges a request whose signature is right.
///
/// # Errors
/// S3's own for each fault: of the scope, of headers that are not signed, of two signatures at once.
pub(super) fn check(uri: &Uri, headers: &HeaderMap) -> S3Result<()> {
    let of_query = |name: &str| {
        let query = uri.query().unwrap_or_default();
        let found = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(found, _)| *found == name);
        found.map(|(_, value)| percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned())
    };
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
    let signed = match (authorization, of_query("X-Amz-Signature")) {
        (Some(_), Some(_)) => {
            return Err(s3_error!(InvalidArgument, "Only one auth mechanism allowed"));
        }
        (Some(authorization), None) => {
            let part = |name: &str| authorization.split([' ', ',']).find_map(|part| part.trim().strip_prefix(name));
            let (Some(credential), Some(headers)) = (part("Credential="), part("SignedHeaders=")) else {
                return Err(only_version_4());
            };
            Signed::Header { credential, headers }
        }
        (None, Some(_)) => Signed::Query {
            credential: of_query("X-Amz-Credential").unwrap_or_default(),
            headers: of_query("X-Amz-SignedHeaders").unwrap_or_default(),
            expires: of_query("X-Amz-Expires").unwrap_or_default(),
        },
        (None, None) => return Err(only_version_4()),
    };
    let (credential, names) = match &signed {
        Signed::Header { credential, headers } => (*credential, *headers),
        Signed::Query { credential, headers, .. } => (credential.as_str(), headers.as_str()),
    };
    if credential.split('/').rev().nth(2) != Some(REGION) {
        let expecting = "The authorization header is malformed; the region is wrong; expecting 'us-east-1'";
        return Err(match signed {
            Signed::Header { .. } => s3_error!(AuthorizationHeaderMalformed, "{expecting}"),
            Signed::Query { .. } => refusal("AuthorizationQueryParametersError", expecting),
        });
    }
    if let Signed::Query { expires, .. } = &signed
        && expires.parse::<u64>().is_ok_and(|expires| expires > MAX_EXPIRY)
    {
        let message = "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds";
        return Err(refusal("AuthorizationQueryParametersError", message));
    }
    let is_signed = |name: &str| names.split(';').any(|signed| signed == name);
    let must_be = |name: &str| name.starts_with("x-amz-") && name != "x-amz-content-sha256";
    if headers.keys().any(|name| must_be(name.as_str()) && !is_signed(name.as_str())) {
        return Err(s3_error!(AccessDenied, "There were headers present in the request which were not signed"));
    }
    if headers.contains_key("x-amz-security-token") || of_query("X-Amz-Security-Token").is_some() {
        return Err(s3_error!(InvalidToken, "The provided token is malformed or otherwise invalid."));
    }
    Ok(())
}

fn only_version_4() -> S3Error {
    s3_error!(
        InvalidRequest,
        "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_signed() {
        let header = "AWS4-HMAC-SHA256 Credential=key/20261126/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=00";
        let query = |expires: &str, region: &str| {
            format!(
                "/b/k?X-Amz-Credential=key%2F20261126%2F{region}%2Fs3%2Faws4_request&X-Amz-SignedHeaders=host&X-Amz-Expires={expires}&X-Amz-Signature=00"
            )
        };
        for (uri, headers, want) in [
            ("/".to_owned(), vec![("authorization", header)], Ok(())),
            ("/".into(), vec![("authorization", header), ("x-amz-date", ""), ("x-amz-content-sha256", "")], Ok(())),
            ("/".into(), vec![("authorization", header), ("x-amz-acl", "private")], Err("AccessDenied")),
            ("/".into(), vec![("authorization", "AWS key:signature")], Err("InvalidRequest")),
            ("/?Signature=00&AWSAccessKeyId=key".into(), vec![], Err("InvalidRequest")),
            (query("60", "us-east-1"), vec![], Ok(())),
            (query("60", "us-east-1"), vec![("x-amz-copy-source", "b/k")], Err("AccessDenied")),
            (query("60", "us-east-1"), vec![("authorization", header)], Err("InvalidArgument")),
            (query("604801", "us-east-1"), vec![], Err("AuthorizationQueryParametersError")),
            (query("60", "eu-west-1"), vec![], Err("AuthorizationQueryParametersError")),
            (
                "/".into(),
                vec![(
                    "authorization",
                    "AWS4-HMAC-SHA256 Credential=key/1/eu-west-1/s3/aws4_request,SignedHeaders=host,Signature=0",
                )],
                Err("AuthorizationHeaderMalformed"),
            ),
        ] {
            let headers: HeaderMap =
                headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            let checked = check(&uri.parse().unwrap(), &headers).map_err(|error| error.code().as_str().to_owned());
            assert_eq!(checked, want.map_err(str::to_owned), "{uri} {headers:?}");
        }
    }
}
