//! Headers and query parameters that may come once only, because two values could be read two ways.
//! Headers that may come several times are joined, so that whoever reads one reads all of it.
use crate::{S3Code, S3Error};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Query parameters of S3; apart from `X-Amz-*`, which are judged by their prefix.
const SINGLE_PARAMETERS: &[&str] = &[
    "AWSAccessKeyId",
    "Signature",
    "Expires",
    "uploadId",
    "partNumber",
    "versionId",
    "list-type",
    "prefix",
    "delimiter",
    "marker",
    "max-keys",
    "continuation-token",
    "start-after",
    "encoding-type",
    "fetch-owner",
    "key-marker",
    "version-id-marker",
    "upload-id-marker",
    "max-uploads",
    "part-number-marker",
    "max-parts",
    "max-buckets",
    "max-directory-buckets",
    "bucket-region",
    "annotationName",
    "annotation-prefix",
    "max-annotation-results",
    "select-type",
    "id",
    "x-id",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
];

/// Most query parameters. S3's largest requests have about twenty; looking for repeats is quadratic.
const MAX_PARAMETERS: usize = 256;

/// Refuses a request that gives a parameter twice where only one can be meant. Sub-resources are such, too.
pub(crate) fn check_query(query: &[(String, String)], is_sub_resource: fn(&str) -> bool) -> Result<(), S3Error> {
    if query.len() > MAX_PARAMETERS {
        return Err(S3Code::InvalidURI.because("The request has too many query parameters."));
    }
    for (index, (name, _)) in query.iter().enumerate().skip(1) {
        let signing = is_signing(name);
        let earlier = query.get(..index).unwrap_or_default();
        // Two spellings of a signing parameter are as ambiguous as two values of one.
        let repeated = earlier.iter().any(|(other, _)| other == name || (signing && other.eq_ignore_ascii_case(name)));
        if repeated && (signing || SINGLE_PARAMETERS.contains(&name.as_str()) || is_sub_resource(name)) {
            return Err(S3Code::InvalidArgument
                .because("A query parameter is given more than once.")
                .with("ArgumentName", name.clone()));
        }
    }
    Ok(())
}

/// Whether S3 gives a query parameter a meaning; sub-resources apart.
pub(crate) fn is_parameter(name: &str) -> bool {
    SINGLE_PARAMETERS.contains(&name) || is_signing(name)
}

fn is_signing(name: &str) -> bool {
    name.get(..6).is_some_and(|prefix| prefix.eq_ignore_ascii_case("x-amz-"))
}

/// The headers with each name at most once: repeated list headers joined by commas, anything else repeated refused.
/// Headers that S3 gives a meaning are text: one that is not would be taken for absent by whoever reads it as text.
pub(crate) fn check_headers(headers: HeaderMap) -> Result<HeaderMap, S3Error> {
    for (name, value) in &headers {
        if !value.as_bytes().is_ascii() && std::str::from_utf8(value.as_bytes()).is_err() && !is_list(name) {
            let message = format!("The value of the header {name} is not UTF-8.");
            return Err(S3Code::InvalidArgument.because(message).with("ArgumentName", name.as_str()));
        }
    }
    if headers.len() == headers.keys_len() {
        return Ok(headers);
    }
    let mut single = HeaderMap::with_capacity(headers.keys_len());
    for name in headers.keys() {
        let mut values = headers.get_all(name).iter();
        let first = values.next().cloned().unwrap_or_else(|| HeaderValue::from_static(""));
        let value = if values.next().is_none() { first } else { join(name, &headers)? };
        single.insert(name.clone(), value);
    }
    Ok(single)
}

fn join(name: &HeaderName, headers: &HeaderMap) -> Result<HeaderValue, S3Error> {
    if !is_list(name) {
        let message = format!("The header {name} is given more than once.");
        return Err(S3Code::InvalidArgument.because(message).with("ArgumentName", name.as_str()));
    }
    let values: Vec<&[u8]> = headers.get_all(name).iter().map(|value| value.as_bytes().trim_ascii()).collect();
    HeaderValue::from_bytes(&values.join(&b","[..])).map_err(|_| S3Code::InvalidArgument.error())
}

/// Whether values of a header may stand in several fields (RFC 9110 5.3). Of `x-amz-*` these are user metadata, which S3
/// joins, and the lists that SDKs write as several fields. What is unknown and not S3's own changes nothing here.
fn is_list(name: &HeaderName) -> bool {
    let text = name.as_str();
    if text.starts_with("x-amz-") {
        return text.starts_with("x-amz-meta-")
            || matches!(text, "x-amz-object-attributes" | "x-amz-optional-object-attributes");
    }
    ![
        header::AUTHORIZATION,
        header::CONTENT_DISPOSITION,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        header::DATE,
        header::EXPECT,
        header::EXPIRES,
        header::HOST,
        header::IF_MODIFIED_SINCE,
        header::IF_RANGE,
        header::IF_UNMODIFIED_SINCE,
        header::RANGE,
        header::TRANSFER_ENCODING,
    ]
    .contains(name)
        && text != "content-md5"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn headers_come_once_or_are_joined() {
        for (name, joined) in [
            ("x-amz-meta-a", true),
            ("x-amz-object-attributes", true),
            ("content-encoding", true),
            ("if-none-match", true),
            ("x-forwarded-for", true),
            ("authorization", false),
            ("host", false),
            ("x-amz-date", false),
            ("x-amz-content-sha256", false),
            ("x-amz-security-token", false),
            ("x-amz-copy-source", false),
            ("x-amz-tagging", false),
            ("x-amz-trailer", false),
            ("x-amz-checksum-crc32", false),
            ("x-amz-decoded-content-length", false),
            ("content-length", false),
            ("content-md5", false),
            ("content-type", false),
            ("transfer-encoding", false),
            ("date", false),
            ("range", false),
        ] {
            let got = check_headers(headers(&[(name, " a "), ("other", "x"), (name, "b")]));
            match got {
                Ok(map) => assert_eq!(
                    (map.get(name).map(HeaderValue::as_bytes), map.len(), joined),
                    (Some(&b"a,b"[..]), 2, true),
                    "{name}"
                ),
                Err(error) => assert_eq!((error.code, joined), (S3Code::InvalidArgument, false), "{name}"),
            }
            assert!(check_headers(headers(&[(name, "a"), ("other", "x")])).is_ok(), "{name}");
        }
    }

    #[test]
    fn only_user_metadata_and_foreign_headers_may_hold_any_bytes() {
        for (name, fine) in [
            ("x-amz-meta-a", true),
            ("user-agent", true),
            ("x-amz-tagging", false),
            ("x-amz-copy-source", false),
            ("x-amz-content-sha256", false),
            ("authorization", false),
            ("content-type", false),
        ] {
            let value = HeaderValue::from_bytes(b"\xff\xfe").unwrap();
            let map = HeaderMap::from_iter([(HeaderName::from_static(name), value)]);
            assert_eq!(check_headers(map.clone()).is_ok(), fine, "{name}");
        }
    }

    #[test]
    fn parameters_come_once_or_mean_nothing() {
        let check = |query: &str| {
            check_query(&crate::uri::decode_query(query).unwrap(), |name| name == "acl").map_err(|e| e.code)
        };
        for (query, fine) in [
            ("a=2&a=1", true),
            ("acl&prefix=1", true),
            ("acl&acl", false),
            ("acl&%61cl=", false),
            ("uploadId=1&uploadId=1", false),
            ("uploadId=1&uploadid=1", true),
            ("partNumber=1&partNumber=2", false),
            ("versionId=1&x=y&versionId=2", false),
            ("X-Amz-Signature=1&X-Amz-Signature=2", false),
            ("X-Amz-Date=1&x-amz-date=1", false),
            ("x-amz-meta-a=1&x-amz-meta-a=1", false),
            ("prefix=&prefix=", false),
        ] {
            assert_eq!(check(query), if fine { Ok(()) } else { Err(S3Code::InvalidArgument) }, "{query}");
        }
    }
}
