//! Headers that a presigned URL carries in its query, where presigners put them so that whoever uses the URL need not send
//! them: each becomes exactly the header that it stands for, before anything reads headers.
//! Invariant: only a query that is signed as a whole, or is part of what is signed, is a source of headers.
use crate::{Query, S3Code, S3Error};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The signature that a URL carries, by its parameters; says nothing about whether it is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UrlSignature {
    /// `X-Amz-Signature`: over every parameter.
    V4,
    /// `AWSAccessKeyId` and `Signature`: over the `x-amz-*` parameters and a list of others.
    V2 {
        /// The path as it was sent, for it is signed in that spelling.
        sent_path: String,
    },
}

impl UrlSignature {
    pub(crate) fn of(query: &Query, sent_path: &str) -> Option<Self> {
        if query.has("X-Amz-Signature") {
            Some(Self::V4)
        } else if query.has("AWSAccessKeyId") && query.has("Signature") {
            Some(Self::V2 { sent_path: sent_path.to_owned() })
        } else {
            None
        }
    }
}

/// What a query parameter `x-amz-*` stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmzParameter {
    /// Part of the signature, or without meaning in a URL.
    OfUrl,
    /// A header.
    Header,
    /// A header about how a body is framed, which is for who sends the body to say.
    Framing,
}

impl AmzParameter {
    /// By the parameter's name in lower case, `None` for any that does not begin with `x-amz-`.
    pub fn of(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("x-amz-")?;
        Some(match rest {
            "algorithm" | "credential" | "date" | "expires" | "signedheaders" | "signature" | "content-sha256"
            | "security-token" | "user-agent" => Self::OfUrl,
            "trailer" | "decoded-content-length" => Self::Framing,
            "checksum-mode" | "checksum-algorithm" | "checksum-type" => Self::Header,
            // A presigner has no body: what the JavaScript SDK writes there is the checksum of an empty one. S3 ignores it.
            "sdk-checksum-algorithm" => Self::OfUrl,
            _ if rest.starts_with("checksum-") => Self::OfUrl,
            _ => Self::Header,
        })
    }
}

/// Adds the headers that the query stands for, and names those that came in no other way.
///
/// # Errors
/// `InvalidArgument` where the header came as well and says something else, or where a value can be no header's.
pub(crate) fn hoist(
    signature: &UrlSignature,
    query: &Query,
    headers: &mut HeaderMap,
) -> Result<Vec<HeaderName>, S3Error> {
    let mut hoisted = Vec::new();
    for (name, value) in query.iter() {
        let lower = name.to_ascii_lowercase();
        // Signature version 2 signs these two as well, and its presigners leave them in the query.
        let plain = matches!(*signature, UrlSignature::V2 { .. }) && matches!(&*lower, "content-type" | "content-md5");
        if !plain && AmzParameter::of(&lower) != Some(AmzParameter::Header) {
            continue;
        }
        let refused = |message| S3Code::InvalidArgument.because(message).with("ArgumentName", name);
        let value = value.trim_matches(' ');
        let name = HeaderName::from_bytes(lower.as_bytes());
        let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) else {
            return Err(refused("A query parameter that stands for a header holds what no header can."));
        };
        match headers.get(&name) {
            Some(sent) if sent.as_bytes().trim_ascii() == value.as_bytes() => {}
            Some(_) => return Err(refused("A query parameter and the header that it stands for differ.")),
            None => {
                headers.insert(name.clone(), value);
                hoisted.push(name);
            }
        }
    }
    Ok(hoisted)
}

#[cfg(test)]
mod tests {
    use crate::{Operation, S3Code, S3Request};
    use http::{HeaderMap, HeaderName, HeaderValue, Method};

    fn parse(query: &str, headers: &[(&str, &str)]) -> Result<S3Request, S3Code> {
        let all = [("host", "gateway")].into_iter().chain(headers.iter().copied());
        let headers: HeaderMap = all
            .map(|(n, v)| (HeaderName::from_bytes(n.as_bytes()).unwrap(), HeaderValue::from_str(v).unwrap()))
            .collect();
        S3Request::parse(&Method::PUT, &format!("/b-1/k?{query}"), headers, &[]).map_err(|e| e.code)
    }

    #[test]
    fn what_a_signed_query_says_is_a_header() {
        for (query, name, want) in [
            ("X-Amz-Signature=1&x-amz-meta-a=b%20c", "x-amz-meta-a", Some("b c")),
            ("X-Amz-Signature=1&X-Amz-Meta-A=%20b%20", "x-amz-meta-a", Some("b")),
            ("X-Amz-Signature=1&x-amz-meta-a=%C3%A4", "x-amz-meta-a", Some("ä")),
            ("X-Amz-Signature=1&x-amz-tagging=a%3Db", "x-amz-tagging", Some("a=b")),
            ("X-Amz-Signature=1&X-Amz-Checksum-Mode=ENABLED", "x-amz-checksum-mode", Some("ENABLED")),
            ("X-Amz-Signature=1&x-amz-checksum-crc32=AAAAAA%3D%3D", "x-amz-checksum-crc32", None),
            ("X-Amz-Signature=1&x-amz-sdk-checksum-algorithm=CRC32", "x-amz-sdk-checksum-algorithm", None),
            ("X-Amz-Signature=1&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD", "x-amz-content-sha256", None),
            ("X-Amz-Signature=1&X-Amz-Date=1", "x-amz-date", None),
            ("X-Amz-Signature=1&x-amz-trailer=x-amz-checksum-crc32", "x-amz-trailer", None),
            ("X-Amz-Signature=1&content-type=a", "content-type", None),
            ("Signature=1&AWSAccessKeyId=2&x-amz-meta-a=b", "x-amz-meta-a", Some("b")),
            ("Signature=1&AWSAccessKeyId=2&content-type=a", "content-type", Some("a")),
            ("Signature=1&x-amz-meta-a=b", "x-amz-meta-a", None),
            ("x-amz-meta-a=b", "x-amz-meta-a", None),
            ("x-amz-signature=1&x-amz-meta-a=b", "x-amz-meta-a", None),
        ] {
            let request = parse(query, &[]).unwrap();
            assert_eq!(request.header(name), want, "{query}");
            assert_eq!(request.hoisted.iter().any(|n| n == name), want.is_some(), "{query}");
        }
    }

    #[test]
    fn a_header_that_came_as_well_says_the_same_or_the_request_says_nothing() {
        let query = "X-Amz-Signature=1&x-amz-acl=private";
        let same = parse(query, &[("x-amz-acl", "private")]).unwrap();
        assert_eq!((same.hoisted.len(), same.header("x-amz-acl")), (0, Some("private")), "it has to be signed itself");
        assert_eq!(parse(query, &[("x-amz-acl", "public-read")]).err(), Some(S3Code::InvalidArgument));
        assert_eq!(parse("X-Amz-Signature=1&x-amz-meta-a=b%0d%0ac", &[]).err(), Some(S3Code::InvalidArgument));
        assert_eq!(parse("X-Amz-Signature=1&x-amz-meta-%20=b", &[]).err(), Some(S3Code::InvalidArgument));
        assert_eq!(parse("X-Amz-Signature=1&x-amz-acl=a&X-Amz-Acl=a", &[]).err(), Some(S3Code::InvalidArgument));
    }

    #[test]
    fn the_operation_follows() {
        let of = |query: &str| parse(query, &[]).map(|request| request.operation);
        assert_eq!(of("X-Amz-Signature=1&x-amz-copy-source=%2Fb-2%2Fk"), Ok(Operation::CopyObject));
        assert_eq!(of("x-amz-copy-source=%2Fb-2%2Fk"), Ok(Operation::PutObject));
        let part = "X-Amz-Signature=1&uploadId=u&partNumber=1&x-amz-copy-source=%2Fb-2%2Fk";
        assert_eq!(of(part), Ok(Operation::UploadPartCopy));
    }
}
