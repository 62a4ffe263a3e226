//! What the parse of a request makes of method, target and headers: accepted rows beside refused neighbours.
use crate::{Addressing, Operation, S3Code, S3Request};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use std::collections::HashSet;
use strum::IntoEnumIterator as _;

const VHOST: &str = "b-vh.s3.example:9000";
const MULTIPART: (&str, &str) = ("content-type", "multipart/form-data; boundary=x");
const COPY: (&str, &str) = ("x-amz-copy-source", "/src/k");

fn parse(method: &str, target: &str, headers: &[(&str, &str)]) -> Result<S3Request, S3Code> {
    let mut map = HeaderMap::new();
    if !headers.iter().any(|(name, _)| *name == "host") {
        map.insert("host", HeaderValue::from_static("127.0.0.1:9000"));
    }
    for (name, value) in headers {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    S3Request::parse(&method, target, map.clone(), &["s3.example".to_owned()]).map_err(|e| e.code)
}

fn operation(method: &str, target: &str, headers: &[(&str, &str)]) -> Result<Operation, S3Code> {
    parse(method, target, headers).map(|r| r.operation)
}

fn names(target: &str, host: &str) -> Result<(Option<String>, Option<String>), S3Code> {
    let request = parse("GET", target, &[("host", host)])?;
    Ok((request.bucket.map(|b| b.as_str().to_owned()), request.key.map(|k| k.as_str().to_owned())))
}

/// Every operation, by a request that asks for it.
#[rustfmt::skip] // one row an operation
/// Method, target, headers, and what they ask for.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)], Operation);

const OPERATIONS: &[Row] = {
    use Operation::*;
    &[
        ("GET", "/", &[], ListBuckets),
        ("GET", "/?x-id=ListBuckets&max-buckets=1", &[], ListBuckets),
        ("GET", "/?max-directory-buckets=1", &[], ListDirectoryBuckets),
        ("PUT", "/bkt", &[], CreateBucket),
        ("PUT", "/bkt/", &[], CreateBucket),
        ("DELETE", "/bkt", &[], DeleteBucket),
        ("HEAD", "/bkt/", &[], HeadBucket),
        ("GET", "/bkt?location", &[], GetBucketLocation),
        ("GET", "/bkt?location=", &[], GetBucketLocation),
        ("GET", "/bkt", &[], ListObjects),
        ("GET", "/bkt/?prefix=acl&delimiter=/", &[], ListObjects),
        ("GET", "/bkt/?list-type=2", &[], ListObjectsV2),
        ("POST", "/bkt?delete", &[], DeleteObjects),
        ("GET", "/bkt/k", &[], GetObject),
        ("GET", "/bkt/k?x-id=GetObject&response-content-type=a&versionId=1&unknown=1", &[], GetObject),
        ("GET", "/bkt/k?partNumber=1", &[], GetObject),
        ("GET", "/bkt/acl?list-type=3", &[], GetObject),
        ("HEAD", "/bkt/k", &[], HeadObject),
        ("PUT", "/bkt/k", &[], PutObject),
        ("GET", "/bkt/k?ofTomorrow=1", &[], GetObject),
        (
            "GET",
            "/bkt?list-type=2&prefix=&delimiter=&continuation-token=&start-after=&encoding-type=",
            &[],
            ListObjectsV2,
        ),
        ("PUT", "/bkt/k?x-id=PutObject", &[("x-http-method-override", "DELETE")], PutObject),
        ("DELETE", "/bkt/k?versionId=1", &[], DeleteObject),
        ("PUT", "/bkt/k", &[COPY], CopyObject),
        ("PUT", "/bkt/k", &[("x-amz-copy-source", "")], CopyObject),
        ("GET", "/bkt/k?attributes", &[], GetObjectAttributes),
        ("GET", "/bkt/k?tagging", &[], GetObjectTagging),
        ("PUT", "/bkt/k?tagging", &[COPY], PutObjectTagging),
        ("DELETE", "/bkt/k?tagging&versionId=1", &[], DeleteObjectTagging),
        ("POST", "/bkt/k?uploads=", &[], CreateMultipartUpload),
        ("PUT", "/bkt/k?partNumber=1&uploadId=u", &[], UploadPart),
        ("PUT", "/bkt/k?partNumber=1&uploadId=u", &[COPY], UploadPartCopy),
        ("POST", "/bkt/k?uploadId=u", &[], CompleteMultipartUpload),
        ("DELETE", "/bkt/k?uploadId=u", &[], AbortMultipartUpload),
        ("GET", "/bkt/k?uploadId=u", &[], ListParts),
        ("GET", "/bkt?uploads", &[], ListMultipartUploads),
        ("POST", "/bkt", &[MULTIPART], PostObject),
        ("POST", "/bkt/k?restore", &[], RestoreObject),
        ("POST", "/bkt/k?select&select-type=2", &[], SelectObjectContent),
        ("GET", "/bkt/k?select&select-type=2", &[], SelectObjectContent),
        ("POST", "/WriteGetObjectResponse?x-id=WriteGetObjectResponse", &[], WriteGetObjectResponse),
        ("PUT", "/bkt/k?renameObject", &[], RenameObject),
        ("GET", "/bkt/k?torrent", &[], GetObjectTorrent),
        ("GET", "/bkt/k?acl", &[], GetObjectAcl),
        ("GET", "/bkt/k?versionId=1&%61cl", &[], GetObjectAcl),
        ("PUT", "/bkt/k?acl", &[], PutObjectAcl),
        ("GET", "/bkt/k?legal-hold", &[], GetObjectLegalHold),
        ("PUT", "/bkt/k?legal-hold", &[], PutObjectLegalHold),
        ("GET", "/bkt/k?retention", &[], GetObjectRetention),
        ("PUT", "/bkt/k?retention", &[], PutObjectRetention),
        ("PUT", "/bkt/k?encryption", &[], UpdateObjectEncryption),
        ("GET", "/bkt?object-lock", &[], GetObjectLockConfiguration),
        ("PUT", "/bkt?object-lock", &[], PutObjectLockConfiguration),
        ("GET", "/bkt?versions", &[], ListObjectVersions),
        ("GET", "/bkt?accelerate", &[], GetBucketAccelerateConfiguration),
        ("PUT", "/bkt?accelerate", &[], PutBucketAccelerateConfiguration),
        ("GET", "/bkt?acl", &[], GetBucketAcl),
        ("PUT", "/bkt?acl", &[], PutBucketAcl),
        ("GET", "/bkt?abac", &[], GetBucketAbac),
        ("PUT", "/bkt?abac", &[], PutBucketAbac),
        ("GET", "/bkt?analytics&id=1", &[], GetBucketAnalyticsConfiguration),
        ("PUT", "/bkt?analytics&id=1", &[], PutBucketAnalyticsConfiguration),
        ("DELETE", "/bkt?analytics&id=1", &[], DeleteBucketAnalyticsConfiguration),
        ("GET", "/bkt?analytics", &[], ListBucketAnalyticsConfigurations),
        ("GET", "/bkt?cors", &[], GetBucketCors),
        ("PUT", "/bkt?cors", &[], PutBucketCors),
        ("DELETE", "/bkt?cors", &[], DeleteBucketCors),
        ("GET", "/bkt?encryption", &[], GetBucketEncryption),
        ("PUT", "/bkt?encryption", &[], PutBucketEncryption),
        ("DELETE", "/bkt?encryption", &[], DeleteBucketEncryption),
        ("GET", "/bkt?intelligent-tiering&id=1", &[], GetBucketIntelligentTieringConfiguration),
        ("PUT", "/bkt?intelligent-tiering&id=1", &[], PutBucketIntelligentTieringConfiguration),
        ("DELETE", "/bkt?intelligent-tiering&id=1", &[], DeleteBucketIntelligentTieringConfiguration),
        ("GET", "/bkt?intelligent-tiering", &[], ListBucketIntelligentTieringConfigurations),
        ("GET", "/bkt?inventory&id=1", &[], GetBucketInventoryConfiguration),
        ("PUT", "/bkt?inventory&id=1", &[], PutBucketInventoryConfiguration),
        ("DELETE", "/bkt?inventory&id=1", &[], DeleteBucketInventoryConfiguration),
        ("GET", "/bkt?inventory", &[], ListBucketInventoryConfigurations),
        ("GET", "/bkt?lifecycle", &[], GetBucketLifecycleConfiguration),
        ("PUT", "/bkt?lifecycle", &[], PutBucketLifecycleConfiguration),
        ("DELETE", "/bkt?lifecycle", &[], DeleteBucketLifecycle),
        ("GET", "/bkt?logging", &[], GetBucketLogging),
        ("PUT", "/bkt?logging", &[], PutBucketLogging),
        ("GET", "/bkt?metadataConfiguration", &[], GetBucketMetadataConfiguration),
        ("POST", "/bkt?metadataConfiguration", &[], CreateBucketMetadataConfiguration),
        ("DELETE", "/bkt?metadataConfiguration", &[], DeleteBucketMetadataConfiguration),
        ("GET", "/bkt?metadataTable", &[], GetBucketMetadataTableConfiguration),
        ("POST", "/bkt?metadataTable", &[], CreateBucketMetadataTableConfiguration),
        ("DELETE", "/bkt?metadataTable", &[], DeleteBucketMetadataTableConfiguration),
        ("PUT", "/bkt?metadataInventoryTable", &[], UpdateBucketMetadataInventoryTableConfiguration),
        ("PUT", "/bkt?metadataJournalTable", &[], UpdateBucketMetadataJournalTableConfiguration),
        ("GET", "/bkt?metrics&id=1", &[], GetBucketMetricsConfiguration),
        ("PUT", "/bkt?metrics&id=1", &[], PutBucketMetricsConfiguration),
        ("DELETE", "/bkt?metrics&id=1", &[], DeleteBucketMetricsConfiguration),
        ("GET", "/bkt?metrics", &[], ListBucketMetricsConfigurations),
        ("GET", "/bkt?notification", &[], GetBucketNotificationConfiguration),
        ("PUT", "/bkt?notification", &[], PutBucketNotificationConfiguration),
        ("GET", "/bkt?ownershipControls", &[], GetBucketOwnershipControls),
        ("PUT", "/bkt?ownershipControls", &[], PutBucketOwnershipControls),
        ("DELETE", "/bkt?ownershipControls", &[], DeleteBucketOwnershipControls),
        ("GET", "/bkt?policy", &[], GetBucketPolicy),
        ("PUT", "/bkt?policy", &[], PutBucketPolicy),
        ("DELETE", "/bkt?policy", &[], DeleteBucketPolicy),
        ("GET", "/bkt?policyStatus", &[], GetBucketPolicyStatus),
        ("GET", "/bkt?replication", &[], GetBucketReplication),
        ("PUT", "/bkt?replication", &[], PutBucketReplication),
        ("DELETE", "/bkt?replication", &[], DeleteBucketReplication),
        ("GET", "/bkt?requestPayment", &[], GetBucketRequestPayment),
        ("PUT", "/bkt?requestPayment", &[], PutBucketRequestPayment),
        ("GET", "/bkt?tagging", &[], GetBucketTagging),
        ("PUT", "/bkt?tagging", &[], PutBucketTagging),
        ("DELETE", "/bkt?tagging", &[], DeleteBucketTagging),
        ("GET", "/bkt?versioning", &[], GetBucketVersioning),
        ("PUT", "/bkt?versioning", &[], PutBucketVersioning),
        ("GET", "/bkt?website", &[], GetBucketWebsite),
        ("PUT", "/bkt?website", &[], PutBucketWebsite),
        ("DELETE", "/bkt?website", &[], DeleteBucketWebsite),
        ("GET", "/bkt?publicAccessBlock", &[], GetPublicAccessBlock),
        ("PUT", "/bkt?publicAccessBlock", &[], PutPublicAccessBlock),
        ("DELETE", "/bkt?publicAccessBlock", &[], DeletePublicAccessBlock),
        ("GET", "/bkt?session", &[], CreateSession),
        ("GET", "/bkt/k?annotation&annotationName=a", &[], GetObjectAnnotation),
        ("PUT", "/bkt/k?annotation&annotationName=a", &[], PutObjectAnnotation),
        ("DELETE", "/bkt/k?annotation&annotationName=a", &[], DeleteObjectAnnotation),
        ("GET", "/bkt/k?annotation", &[], ListObjectAnnotations),
        ("PUT", "/bkt?metadataAnnotationTable", &[], UpdateBucketMetadataAnnotationTableConfiguration),
        ("OPTIONS", "/bkt/k?acl", &[("origin", "http://o")], Options),
        ("GET", "/", &[("host", VHOST)], ListObjects),
        ("PUT", "/", &[("host", VHOST)], CreateBucket),
        ("GET", "/k", &[("host", VHOST)], GetObject),
        ("POST", "/WriteGetObjectResponse?uploads", &[("host", VHOST)], CreateMultipartUpload),
    ]
};

#[test]
fn every_operation_is_recognised() {
    for (method, target, headers, want) in OPERATIONS {
        assert_eq!(operation(method, target, headers), Ok(*want), "{method} {target}");
    }
    let reached: HashSet<Operation> = OPERATIONS.iter().map(|row| row.3).collect();
    let missing: Vec<_> = Operation::iter().filter(|operation| !reached.contains(operation)).collect();
    assert!(missing.is_empty(), "no row asks for {missing:?}");
}

#[test]
fn a_sub_resource_never_becomes_the_plain_operation() {
    for (method, target, want) in [
        ("DELETE", "/bkt/k?acl", S3Code::MethodNotAllowed),
        ("HEAD", "/bkt/k?acl", S3Code::MethodNotAllowed),
        ("HEAD", "/bkt/k?uploadId=u", S3Code::MethodNotAllowed),
        ("PUT", "/bkt/k?torrent", S3Code::MethodNotAllowed),
        ("PUT", "/bkt/k?uploads", S3Code::MethodNotAllowed),
        ("GET", "/bkt/k?policy", S3Code::MethodNotAllowed),
        ("GET", "/bkt/k?uploads", S3Code::MethodNotAllowed),
        ("DELETE", "/bkt?uploads", S3Code::MethodNotAllowed),
        ("DELETE", "/bkt?acl", S3Code::MethodNotAllowed),
        ("DELETE", "/bkt?uploadId=u", S3Code::MethodNotAllowed),
        ("GET", "/bkt?legal-hold", S3Code::MethodNotAllowed),
        ("POST", "/bkt/k", S3Code::MethodNotAllowed),
        ("POST", "/bkt", S3Code::MethodNotAllowed),
        ("POST", "/", S3Code::MethodNotAllowed),
        ("PUT", "/", S3Code::MethodNotAllowed),
        ("DELETE", "/?acl", S3Code::MethodNotAllowed),
        ("GET", "/?acl", S3Code::MethodNotAllowed),
        ("PUT", "/bkt/k?ofTomorrow", S3Code::NotImplemented),
        ("GET", "/bkt/k?ofTomorrow=", S3Code::NotImplemented),
        ("DELETE", "/bkt/k?ofTomorrow&name=x", S3Code::NotImplemented),
        ("DELETE", "/bkt?ofTomorrow", S3Code::NotImplemented),
        ("GET", "/?ofTomorrow", S3Code::NotImplemented),
        ("PUT", "/bkt/k?ACL", S3Code::NotImplemented),
        ("PUT", "/bkt/k?tagging%00", S3Code::NotImplemented),
        ("GET", "/bkt/k?acl&tagging", S3Code::InvalidArgument),
        ("DELETE", "/bkt/k?tagging&uploadId=u", S3Code::InvalidArgument),
        ("PUT", "/bkt/k?uploadId=u", S3Code::InvalidArgument),
        ("PUT", "/bkt/k?partNumber=1", S3Code::InvalidArgument),
        ("DELETE", "/bkt/k?partNumber=1", S3Code::InvalidArgument),
        ("DELETE", "/bkt/k?uploadId=u&partNumber=1", S3Code::InvalidArgument),
        ("GET", "/bkt?list-type=3", S3Code::InvalidArgument),
        ("GET", "/bkt?list-type=", S3Code::InvalidArgument),
        ("GET", "/bkt/k?acl&acl", S3Code::InvalidArgument),
        ("GET", "/bkt/k?versionId=1&versionId=1", S3Code::InvalidArgument),
        ("GET", "/bkt/k?X-Amz-Signature=1&X-Amz-Signature=2", S3Code::InvalidArgument),
    ] {
        assert_eq!(operation(method, target, &[]), Err(want), "{method} {target}");
    }
}

#[test]
fn methods_are_exact() {
    for method in ["get", "Get", "PUTX", "TRACE", "PROPFIND", "PATCH", "CONNECT", "COPY"] {
        for target in ["/", "/bkt", "/bkt/k", "/bkt/k?acl"] {
            assert_eq!(operation(method, target, &[]), Err(S3Code::MethodNotAllowed), "{method} {target}");
        }
    }
}

#[test]
fn bucket_and_key_are_byte_exact() {
    let path = "127.0.0.1:9000";
    for (target, host, want) in [
        ("/", path, Ok((None, None))),
        ("/bkt", path, Ok((Some("bkt"), None))),
        ("/bkt/", path, Ok((Some("bkt"), None))),
        ("/b%6bt/k", path, Ok((Some("bkt"), Some("k")))),
        ("/bkt//", path, Ok((Some("bkt"), Some("/")))),
        ("/bkt//k", path, Ok((Some("bkt"), Some("/k")))),
        ("/bkt/a//b/", path, Ok((Some("bkt"), Some("a//b/")))),
        ("/bkt/a%2fb", path, Ok((Some("bkt"), Some("a/b")))),
        ("/bkt/%2Fa", path, Ok((Some("bkt"), Some("/a")))),
        ("/bkt/a%5cb", path, Ok((Some("bkt"), Some("a\\b")))),
        ("/bkt/../c/k", path, Ok((Some("bkt"), Some("../c/k")))),
        ("/bkt/a/../../c/k", path, Ok((Some("bkt"), Some("a/../../c/k")))),
        ("/bkt/./k", path, Ok((Some("bkt"), Some("./k")))),
        ("/bkt/%2e%2e/", path, Ok((Some("bkt"), Some("../")))),
        ("/bkt/%252e", path, Ok((Some("bkt"), Some("%2e")))),
        ("/bkt/a+b", path, Ok((Some("bkt"), Some("a+b")))),
        ("/bkt/a%20b", path, Ok((Some("bkt"), Some("a b")))),
        ("/bkt/a%00b", path, Ok((Some("bkt"), Some("a\0b")))),
        ("/bkt/%0d%0aX:%20y", path, Ok((Some("bkt"), Some("\r\nX: y")))),
        ("/bkt/%C3%A4", path, Ok((Some("bkt"), Some("ä")))),
        ("/bkt/a%3Fb?prefix=x", path, Ok((Some("bkt"), Some("a?b")))),
        ("http://127.0.0.1:9000/bkt/k", path, Ok((Some("bkt"), Some("k")))),
        ("/bkt/k", "a.s3.example", Err(S3Code::InvalidBucketName)),
        ("/bkt/k", VHOST, Ok((Some("b-vh"), Some("bkt/k")))),
        ("/", VHOST, Ok((Some("b-vh"), None))),
        ("//", VHOST, Ok((Some("b-vh"), Some("/")))),
        ("/%2e%2e/k", VHOST, Ok((Some("b-vh"), Some("../k")))),
        ("/bkt/k", "s3.example", Ok((Some("bkt"), Some("k")))),
        ("/bkt/k", "victim.s3.other.tld", Ok((Some("bkt"), Some("k")))),
        ("http://other/bkt/k", path, Err(S3Code::InvalidURI)),
        ("/bkt/k", "user@s3.example", Err(S3Code::BadRequest)),
        ("//k", path, Err(S3Code::InvalidBucketName)),
        ("//", path, Err(S3Code::InvalidBucketName)),
        ("/..", path, Err(S3Code::InvalidBucketName)),
        ("/../k", path, Err(S3Code::InvalidBucketName)),
        ("/bkt%2fk", path, Err(S3Code::InvalidBucketName)),
        ("/bkt%2f/k", path, Err(S3Code::InvalidBucketName)),
        ("/BKT/k", path, Err(S3Code::InvalidBucketName)),
        ("/192.168.1.1", path, Err(S3Code::InvalidBucketName)),
        ("/ab", path, Err(S3Code::InvalidBucketName)),
        ("/a..b", path, Err(S3Code::InvalidBucketName)),
        ("/-ab", path, Err(S3Code::InvalidBucketName)),
        ("/xn--abc", path, Err(S3Code::InvalidBucketName)),
        ("/abc-s3alias", path, Err(S3Code::InvalidBucketName)),
        ("/b%C3%BCcher", path, Err(S3Code::InvalidBucketName)),
        ("/bkt/%zz", path, Err(S3Code::InvalidURI)),
        ("/bkt/%", path, Err(S3Code::InvalidURI)),
        ("/bkt/%e", path, Err(S3Code::InvalidURI)),
        ("/bkt/%ff%fe", path, Err(S3Code::InvalidURI)),
        ("/bkt/%c0%af", path, Err(S3Code::InvalidURI)),
        ("/bkt/%ed%a0%80", path, Err(S3Code::InvalidURI)),
        ("/bkt/a b", path, Err(S3Code::InvalidURI)),
        ("/bkt/k?start-after=%ff", path, Err(S3Code::InvalidArgument)),
        ("/bkt/k?a=%zz", path, Err(S3Code::InvalidURI)),
    ] {
        let want = want.map(|(b, k)| (b.map(str::to_owned), k.map(str::to_owned)));
        assert_eq!(names(target, host), want, "{target} at {host}");
    }
    assert_eq!(names(&format!("/{}", "a".repeat(63)), path).map(|n| n.0.map(|b| b.len())), Ok(Some(63)));
    assert_eq!(names(&format!("/{}", "a".repeat(64)), path), Err(S3Code::InvalidBucketName));
}

#[test]
fn keys_are_measured_in_decoded_bytes() {
    for (key, want) in [
        ("a".repeat(1024), Ok(1024)),
        ("a".repeat(1025), Err(S3Code::KeyTooLongError)),
        ("%61".repeat(1024), Ok(1024)),
        ("%61".repeat(1025), Err(S3Code::KeyTooLongError)),
        ("%C3%A4".repeat(512), Ok(1024)),
        ("%C3%A4".repeat(513), Err(S3Code::KeyTooLongError)),
        ("a".repeat(64 * 1024), Err(S3Code::InvalidURI)),
    ] {
        assert_eq!(
            parse("PUT", &format!("/bkt/{key}"), &[]).map(|r| r.key.unwrap().as_str().len()),
            want,
            "{} bytes",
            key.len()
        );
    }
    let query = format!("/bkt?prefix={}", "a".repeat(1 << 20));
    assert_eq!(operation("GET", &query, &[]), Err(S3Code::InvalidURI));
    let many = |n: usize| format!("/bkt?{}", (0..n).map(|i| format!("a{i}=1")).collect::<Vec<_>>().join("&"));
    assert_eq!(operation("GET", &many(256), &[]), Ok(Operation::ListObjects));
    assert_eq!(operation("GET", &many(257), &[]), Err(S3Code::InvalidURI));
}

#[test]
fn the_canonical_path_is_what_the_client_signed() {
    for (target, host, want) in [
        ("/", "h", "/"),
        ("/bkt/", "h", "/bkt/"),
        ("/bkt/a%20b+c~%7e", "h", "/bkt/a%20b%2Bc~~"),
        ("/bkt/a!'()*", "h", "/bkt/a%21%27%28%29%2A"),
        ("/bkt//../x", "h", "/bkt//../x"),
        ("/bkt/%c3%a4", "h", "/bkt/%C3%A4"),
        ("/k%2Fl?acl", VHOST, "/k/l"),
    ] {
        let request = parse("GET", target, &[("host", host)]).unwrap();
        assert_eq!(request.canonical_path, want, "{target}");
    }
}

#[test]
fn addressing_host_and_resource() {
    let request = parse("GET", "/a%20b", &[("host", "B-VH.S3.example:9000")]).unwrap();
    assert_eq!((request.addressing, request.host.as_str()), (Addressing::VirtualHost, VHOST));
    assert_eq!(request.resource(), "/b-vh/a%20b");
    let request = parse("GET", "/", &[]).unwrap();
    assert_eq!((request.addressing, request.resource().as_str()), (Addressing::Path, "/"));
}

#[test]
fn repeated_headers() {
    let twice = |name| parse("PUT", "/bkt/k", &[(name, "a"), (name, "b")]);
    for name in [
        "authorization",
        "x-amz-date",
        "x-amz-content-sha256",
        "x-amz-security-token",
        "x-amz-copy-source",
        "host",
        "content-length",
    ] {
        assert!(matches!(twice(name), Err(S3Code::InvalidArgument | S3Code::BadRequest)), "{name}");
    }
    assert_eq!(twice("x-amz-meta-a").unwrap().header("x-amz-meta-a"), Some("a,b"));
}

#[test]
fn part_numbers() {
    for (text, want) in [
        ("1", Ok(Some(1))),
        ("10000", Ok(Some(10_000))),
        ("0", Err(S3Code::InvalidArgument)),
        ("10001", Err(S3Code::InvalidArgument)),
        ("-1", Err(S3Code::InvalidArgument)),
        ("%2B1", Err(S3Code::InvalidArgument)),
        ("abc", Err(S3Code::InvalidArgument)),
        ("1e2", Err(S3Code::InvalidArgument)),
        ("", Err(S3Code::InvalidArgument)),
        ("000000000000000001", Err(S3Code::InvalidArgument)),
        ("99999999999999999999", Err(S3Code::InvalidArgument)),
    ] {
        let request = parse("PUT", &format!("/bkt/k?uploadId=u&partNumber={text}"), &[]).unwrap();
        assert_eq!(request.part_number().map_err(|e| e.code), want, "{text}");
    }
    assert_eq!(parse("GET", "/bkt/k", &[]).unwrap().part_number().map_err(|e| e.code), Ok(None));
}

#[test]
fn copy_sources() {
    let source = |value: &[u8]| {
        let headers = HeaderMap::from_iter([
            (http::header::HOST, HeaderValue::from_static("h")),
            (HeaderName::from_static("x-amz-copy-source"), HeaderValue::from_bytes(value).unwrap()),
        ]);
        let request = S3Request::parse(&Method::PUT, "/bkt/k", headers.clone(), &[]).map_err(|e| e.code)?;
        assert_eq!(request.operation, Operation::CopyObject);
        request.copy_source().map(|s| s.unwrap().key.as_str().to_owned()).map_err(|e| e.code)
    };
    assert_eq!(source(b"/src/a%20b"), Ok("a b".to_owned()));
    for bad in [&b""[..], b"src", b"\xff\xfe/k", b"src/\xff"] {
        assert_eq!(source(bad), Err(S3Code::InvalidArgument), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn any_key_comes_back(key in "[\\PC\\x00-\\x1f]{1,250}", virtual_host in any::<bool>()) {
        let encoded = crate::uri::encode_path(&key);
        let (target, host) = if virtual_host { (format!("/{encoded}"), VHOST) } else { (format!("/b-vh/{encoded}"), "h") };
        let request = parse("PUT", &target, &[("host", host)]).unwrap();
        prop_assert_eq!(request.key.as_ref().map(|k| k.as_str()), Some(key.as_str()));
        prop_assert_eq!(request.bucket.as_ref().map(|b| b.as_str()), Some("b-vh"));
        prop_assert_eq!(request.canonical_path, target);
    }

    #[test]
    fn nothing_panics(method in "[A-Z]{1,7}", target in any::<String>(), host in "[!-~]{0,40}") {
        let _ = parse(&method, &target, &[("host", &host)]);
        let _ = parse("GET", &format!("/{target}"), &[("host", &host)]);
    }

    #[test]
    fn plain_looking_targets_parse_or_are_refused(path in "/[a-z%/.0-9?&=]{0,40}") {
        if let Ok(request) = parse("GET", &path, &[]) {
            prop_assert_eq!(request.bucket.is_some(), request.operation != Operation::ListBuckets && request.operation != Operation::ListDirectoryBuckets);
            prop_assert!(request.key.is_none() || request.bucket.is_some());
        }
    }
}
