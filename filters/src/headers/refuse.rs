//! Refuses what the gateway does not do.
//! Invariant: a request that asks for protection that is not given is never quietly stored without it.
use super::allow::METADATA_PREFIX;
use http::HeaderMap;
use s3gateway_s3::{AmzParameter, S3Code, S3Error, S3Request};
use std::borrow::Cow;

/// S3's limit on the names and values of user metadata together, bytes.
const MAX_METADATA: usize = 2048;

/// Refuses a request that asks, in a header or in a presigned URL's query, for what the gateway does not do.
///
/// # Errors
/// `NotImplemented`, or the code that S3 has for the case: `AccessControlListNotSupported`, `InvalidStorageClass`,
/// `MetadataTooLarge`, `InvalidArgument`.
pub fn refuse_unsupported(request: &S3Request) -> Result<(), S3Error> {
    for (name, value) in &request.headers {
        let name = name.as_str();
        // The signature has judged these two.
        if name.starts_with("x-amz-") && !matches!(name, "x-amz-date" | "x-amz-content-sha256") {
            check_ask(name, &String::from_utf8_lossy(value.as_bytes()))?;
        }
    }
    check_metadata(&request.headers)?;
    check_version(request)?;
    check_query(request)
}

/// Refuses a version where none can be meant: acting on the current one instead would read or delete what was not meant.
fn check_version(request: &S3Request) -> Result<(), S3Error> {
    use s3gateway_s3::Operation::*;
    let takes_one = matches!(
        request.operation,
        GetObject
            | HeadObject
            | DeleteObject
            | GetObjectAttributes
            | GetObjectTagging
            | PutObjectTagging
            | DeleteObjectTagging
    );
    match request.version_id()? {
        Some(version) if !takes_one => Err(S3Code::InvalidArgument
            .because("This operation does not accept a version-id.")
            .with("ArgumentName", "versionId")
            .with("ArgumentValue", version.as_str())),
        _ => Ok(()),
    }
}

/// `x-amz-…`, name in lower case.
fn check_ask(name: &str, value: &str) -> Result<(), S3Error> {
    let value = value.trim();
    let refused = match name {
        "x-amz-acl" => {
            if matches!(value, "private" | "bucket-owner-full-control") {
                return Ok(());
            }
            return Err(acl_not_supported());
        }
        "x-amz-storage-class" => {
            if value == "STANDARD" {
                return Ok(());
            }
            return Err(S3Code::InvalidStorageClass.because("Only the storage class STANDARD is supported."));
        }
        "x-amz-bucket-object-lock-enabled" => !value.eq_ignore_ascii_case("false"),
        "x-amz-object-ownership" => value != "BucketOwnerEnforced",
        "x-amz-website-redirect-location"
        | "x-amz-request-payer"
        | "x-amz-mfa"
        | "x-amz-bypass-governance-retention"
        | "x-amz-expected-bucket-owner"
        | "x-amz-source-expected-bucket-owner"
        | "x-amz-write-offset-bytes"
        | "x-amz-if-match-last-modified-time"
        | "x-amz-if-match-size"
        | "x-amz-rename-source" => true,
        _ if name.starts_with("x-amz-grant-") => return Err(acl_not_supported()),
        _ => {
            name.starts_with("x-amz-server-side-encryption")
                || name.starts_with("x-amz-copy-source-server-side-encryption")
                || name.starts_with("x-amz-object-lock-")
        }
    };
    if refused { Err(not_implemented(name)) } else { Ok(()) }
}

fn acl_not_supported() -> S3Error {
    S3Code::AccessControlListNotSupported.because("The bucket does not allow ACLs")
}

fn not_implemented(name: &str) -> S3Error {
    S3Code::NotImplemented
        .because(format!("A header you provided implies functionality that is not implemented: {name}"))
        .with("Header", name)
}

fn check_metadata(headers: &HeaderMap) -> Result<(), S3Error> {
    let mut size = 0;
    for (name, value) in headers {
        let Some(key) = name.as_str().strip_prefix(METADATA_PREFIX) else { continue };
        if key.is_empty() {
            return Err(S3Code::InvalidArgument.because("A metadata header has no name after x-amz-meta-."));
        }
        size += key.len() + value.len();
    }
    if size > MAX_METADATA {
        return Err(S3Code::MetadataTooLarge
            .because("Your metadata headers exceed the maximum allowed metadata size")
            .with("Size", size.to_string())
            .with("MaxSizeAllowed", MAX_METADATA.to_string()));
    }
    Ok(())
}

/// What a signed URL's query stands for has been judged as the header that it became. Elsewhere such a parameter means
/// nothing that is known, and may be meant as protection.
fn check_query(request: &S3Request) -> Result<(), S3Error> {
    for (name, value) in request.query.iter() {
        if name.starts_with("response-") && value.chars().any(char::is_control) {
            return Err(S3Code::InvalidArgument.because("A response header override holds a control character."));
        }
        let name = lower_case(name);
        match AmzParameter::of(&name) {
            None | Some(AmzParameter::OfUrl) => {}
            Some(AmzParameter::Header) if request.url_signature.is_some() => {}
            Some(AmzParameter::Header | AmzParameter::Framing) => {
                check_ask(&name, value)?;
                if !matches!(&*name, "x-amz-acl" | "x-amz-storage-class") {
                    return Err(not_implemented(&name));
                }
            }
        }
    }
    Ok(())
}

fn lower_case(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue, Method};

    fn request(target: &str, pairs: &[(&str, &str)]) -> S3Request {
        let mut headers: HeaderMap = pairs
            .iter()
            .map(|(n, v)| (HeaderName::from_bytes(n.as_bytes()).unwrap(), HeaderValue::from_str(v).unwrap()))
            .collect();
        headers.insert("host", HeaderValue::from_static("gateway"));
        S3Request::parse(&Method::PUT, target, headers.clone(), &[]).unwrap()
    }

    #[test]
    fn protection_that_is_not_given_is_refused() {
        use S3Code::*;
        for (name, value, want) in [
            ("x-amz-server-side-encryption", "AES256", Some(NotImplemented)),
            ("x-amz-server-side-encryption-aws-kms-key-id", "k", Some(NotImplemented)),
            ("x-amz-server-side-encryption-customer-algorithm", "AES256", Some(NotImplemented)),
            ("x-amz-copy-source-server-side-encryption-customer-key", "k", Some(NotImplemented)),
            ("x-amz-acl", "public-read", Some(AccessControlListNotSupported)),
            ("x-amz-acl", "private", None),
            ("x-amz-acl", "bucket-owner-full-control", None),
            ("x-amz-grant-read", "id=1", Some(AccessControlListNotSupported)),
            ("x-amz-object-lock-mode", "GOVERNANCE", Some(NotImplemented)),
            ("x-amz-object-lock-legal-hold", "ON", Some(NotImplemented)),
            ("x-amz-bucket-object-lock-enabled", "true", Some(NotImplemented)),
            ("x-amz-bucket-object-lock-enabled", "false", None),
            ("x-amz-object-ownership", "BucketOwnerEnforced", None),
            ("x-amz-object-ownership", "ObjectWriter", Some(NotImplemented)),
            ("x-amz-website-redirect-location", "http://evil", Some(NotImplemented)),
            ("x-amz-storage-class", "STANDARD", None),
            ("x-amz-storage-class", "GLACIER", Some(InvalidStorageClass)),
            ("x-amz-request-payer", "requester", Some(NotImplemented)),
            ("x-amz-expected-bucket-owner", "1", Some(NotImplemented)),
            ("x-amz-bypass-governance-retention", "true", Some(NotImplemented)),
            ("x-amz-meta-a", "b", None),
            ("x-amz-meta-", "b", Some(InvalidArgument)),
            ("x-amz-tagging", "a=b", None),
            ("x-minio-source-mtime", "1", None),
        ] {
            let got = refuse_unsupported(&request("/b-1/k", &[(name, value)]));
            assert_eq!(got.err().map(|e| e.code), want, "{name}: {value}");
        }
    }

    #[test]
    fn what_a_presigner_moved_into_the_query_counts_as_well() {
        use S3Code::*;
        for (query, want) in [
            ("x-id=PutObject", None),
            ("x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32", None),
            ("X-Amz-Content-Sha256=UNSIGNED-PAYLOAD", None),
            ("x-amz-acl=private", None),
            ("x-amz-acl=public-read", Some(AccessControlListNotSupported)),
            ("X-Amz-Acl=public-read", Some(AccessControlListNotSupported)),
            ("x-amz-meta-a=b", Some(NotImplemented)),
            ("x-amz-tagging=a%3Db", Some(NotImplemented)),
            ("x-amz-server-side-encryption=AES256", Some(NotImplemented)),
            ("x-amz-copy-source=%2Fb%2Fsecret", Some(NotImplemented)),
            ("X-Amz-Signature=1&x-amz-meta-a=b&x-amz-tagging=a%3Db&x-amz-acl=private", None),
            ("X-Amz-Signature=1&x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32", None),
            ("X-Amz-Signature=1&x-amz-acl=public-read", Some(AccessControlListNotSupported)),
            ("X-Amz-Signature=1&x-amz-server-side-encryption=AES256", Some(NotImplemented)),
            ("X-Amz-Signature=1&X-Amz-Object-Lock-Mode=GOVERNANCE", Some(NotImplemented)),
            ("X-Amz-Signature=1&x-amz-meta-=b", Some(InvalidArgument)),
            ("X-Amz-Signature=1&x-amz-trailer=x-amz-checksum-crc32", Some(NotImplemented)),
        ] {
            let got = refuse_unsupported(&request(&format!("/b-1/k?{query}"), &[]));
            assert_eq!(got.err().map(|e| e.code), want, "{query}");
        }
    }

    #[test]
    fn a_version_is_named_only_where_one_can_be_meant() {
        for (method, target, fine) in [
            (Method::GET, "/b-1/k?versionId=x", true),
            (Method::DELETE, "/b-1/k?versionId=null", true),
            (Method::PUT, "/b-1/k?tagging&versionId=x", true),
            (Method::GET, "/b-1/k?versionId=", false),
            (Method::GET, "/b-1/k?versionId=a%20b", false),
            (Method::PUT, "/b-1/k?versionId=x", false),
            (Method::PUT, "/b-1/k?versionId=null", false),
            (Method::GET, "/b-1?versionId=x", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("gateway"));
            let request = S3Request::parse(&method, target, headers, &[]).unwrap();
            let got = refuse_unsupported(&request).map_err(|e| e.code);
            assert_eq!(got, if fine { Ok(()) } else { Err(S3Code::InvalidArgument) }, "{method} {target}");
        }
    }

    #[test]
    fn tr_16_a_response_override_cannot_end_its_line() {
        for (query, fine) in
            [("response-content-type=text/html", true), ("response-content-type=text/html%0d%0aSet-Cookie:a", false)]
        {
            assert_eq!(refuse_unsupported(&request(&format!("/b-1/k?{query}"), &[])).is_ok(), fine, "{query}");
        }
    }

    #[test]
    fn tr_15_metadata_has_s3s_limit() {
        let value = |n: usize| "v".repeat(n);
        for (pairs, want) in [
            (vec![("x-amz-meta-a", value(2047))], None),
            (vec![("x-amz-meta-a", value(2048))], Some(S3Code::MetadataTooLarge)),
            (vec![("x-amz-meta-a", value(1000)), ("x-amz-meta-b_C", value(1100))], Some(S3Code::MetadataTooLarge)),
        ] {
            let pairs: Vec<_> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
            assert_eq!(refuse_unsupported(&request("/b-1/k", &pairs)).err().map(|e| e.code), want);
        }
    }
}
