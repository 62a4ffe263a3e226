//! Group PQ: what a presigned URL may do, and for how long.
use super::{check, code, url};
use crate::sigv4::PayloadMode;
use crate::sigv4::signer::{ID, Wire, authenticate, now};
use s3gateway_s3::S3Code::*;
use sha2::{Digest, Sha256};
use std::time::Duration;

#[test]
fn pq_01_to_pq_03_expires() {
    for expires in ["0", "604801", "-1", "abc", "6e1", "60.0", "+60", " 60", "60 ", "", "99999999999999999999", "0x3c"]
    {
        check(
            &format!("PQ-01, PQ-02, PQ-03 {expires:?}"),
            url("GET").presign(expires),
            AuthorizationQueryParametersError,
        );
    }
    for expires in ["1", "60", "604800"] {
        check("PQ-02", url("GET").presign(expires), None);
    }
}

#[test]
fn pq_04_pq_05_the_time_of_a_presigned_url() {
    let request = url("GET").presign("60").request().unwrap();
    for (after, want) in [(0, None), (60, None), (61, Some(AccessDenied)), (7 * 86_400, Some(AccessDenied))] {
        assert_eq!(code(authenticate(&request, now() + Duration::from_secs(after))), want, "PQ-04 {after}");
    }
    for (before, want) in [(900, None), (901, Some(AccessDenied)), (3600, Some(AccessDenied))] {
        assert_eq!(code(authenticate(&request, now() - Duration::from_secs(before))), want, "PQ-05 {before}");
    }
    let long = url("GET").presign("604800").request().unwrap();
    assert_eq!(code(authenticate(&long, now() + Duration::from_secs(604_800))), None, "PQ-02 to the last second");
}

#[test]
fn pq_06_every_parameter_is_needed_once() {
    for name in
        ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"]
    {
        let without = url("GET").presign("60").with(|w| w.query.retain(|(n, _)| n != name));
        check(&format!("PQ-06 {name}"), without, AuthorizationQueryParametersError);
        let twice = url("GET").presign("60").add_query(name, "x");
        assert!(code(twice.authenticate()).is_some_and(|c| c.status() == 400), "PQ-06 {name} twice");
        let other_case = url("GET").presign("60").add_query(&name.to_ascii_lowercase(), "x");
        assert!(code(other_case.authenticate()).is_some_and(|c| c.status() == 400), "PQ-06 {name} in another case");
    }
}

#[test]
fn pq_07_to_pq_09_a_presigned_url_is_for_one_request() {
    for (name, value) in [
        ("versionId", "x"),
        ("response-content-disposition", "attachment"),
        ("partNumber", "1"),
        ("acl", ""),
        ("tagging", ""),
        ("x-id", "GetObject"),
    ] {
        check(&format!("PQ-07 {name}"), url("GET").presign("60").add_query(name, value), SignatureDoesNotMatch);
    }
    for (signed, sent) in [("GET", "PUT"), ("GET", "DELETE"), ("PUT", "GET"), ("GET", "HEAD")] {
        check(
            &format!("PQ-08 {signed} {sent}"),
            url(signed).presign("60").with(|w| w.method = sent),
            SignatureDoesNotMatch,
        );
    }
    for path in ["/bucket/other", "/another/k", "/bucket/k/", "/bucket/./k", "/bucket//k"] {
        check(&format!("PQ-09 {path}"), url("GET").presign("60").with(|w| w.path = path.into()), SignatureDoesNotMatch);
    }
}

#[test]
fn pq_10_to_pq_13_headers_beside_a_presigned_url() {
    for name in [
        "x-amz-copy-source",
        "X-AMZ-COPY-SOURCE",
        "x-amz-tagging",
        "x-amz-acl",
        "x-amz-meta-a",
        "x-amz-website-redirect-location",
        "x-amz-storage-class",
        "x-amz-date",
        "x-amz-decoded-content-length",
    ] {
        check(&format!("PQ-10, PQ-11 {name}"), url("PUT").presign("60").add_header(name, "/b/secret"), AccessDenied);
    }
    for (method, name) in
        [("GET", "range"), ("GET", "if-none-match"), ("PUT", "content-type"), ("PUT", "content-length")]
    {
        check(&format!("PQ-12 {name}"), url(method).presign("60").add_header(name, "1"), None);
    }
    for name in ["content-type", "content-length"] {
        check("PQ-13 as signed", url("PUT").header(name, "5").presign("60"), None);
        check("PQ-13", url("PUT").header(name, "5").presign("60").set_header(name, "6"), SignatureDoesNotMatch);
        check(
            "PQ-13 left out",
            url("PUT").header(name, "5").presign("60").with(|w| w.headers.retain(|(n, _)| n != name)),
            SignatureDoesNotMatch,
        );
    }
    check("a signed x-amz header (control)", url("PUT").header("x-amz-meta-a", "b").presign("60"), None);
}

#[test]
fn pq_14_scope_and_algorithm_of_a_presigned_url() {
    for (what, draft) in [
        ("algorithm", url("GET").with(|d| d.algorithm = "AWS4-HMAC-SHA512".into())),
        ("service", url("GET").with(|d| d.service = "ec2".into())),
        ("region", url("GET").with(|d| d.region = "eu-west-1".into())),
        ("terminal", url("GET").with(|d| d.terminal = "aws_request".into())),
        ("scope date", url("GET").with(|d| d.scope_date = "20251231".into())),
        ("date", url("GET").with(|d| d.date = "20261301T000000Z".into())),
        ("no date", url("GET").with(|d| d.date = String::new())),
    ] {
        check(&format!("PQ-14 {what}"), draft.presign("60"), AuthorizationQueryParametersError);
    }
    let error = url("GET").with(|d| d.region = "eu-west-1".into()).presign("60").authenticate().unwrap_err();
    assert_eq!(error.extra, [("Region", "us-east-1".to_owned())]);
}

#[test]
fn pq_15_to_pq_17_one_mechanism_and_one_way() {
    check("PQ-15", url("GET").presign("60").add_header("authorization", "AWS4-HMAC-SHA256 x"), InvalidArgument);
    let v2 = url("GET").sign().with(|w| w.headers.retain(|(n, _)| n != "authorization"));
    check(
        "PQ-16",
        v2.clone().add_query("AWSAccessKeyId", ID).add_query("Expires", "1").add_query("Signature", "x"),
        InvalidRequest,
    );
    let false_signature = |wire: Wire| {
        wire.with(|w| w.query.iter_mut().filter(|(n, _)| n == "X-Amz-Signature").for_each(|(_, v)| *v = "0".repeat(64)))
    };
    let streaming = false_signature(url("PUT").presign("60"))
        .add_header("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    check("PQ-17", streaming, SignatureDoesNotMatch);
    let swapped = url("PUT").presign("60").add_header("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    check("PQ-17 a true signature over another mode", swapped, SignatureDoesNotMatch);
    check("anonymous", v2.clone(), AccessDenied);
    check("TR-16 anonymous", v2.add_query("response-content-type", "text/html"), InvalidRequest);
    check("session token in the query", url("GET").query("X-Amz-Security-Token", "abc").presign("60"), InvalidToken);
}

#[test]
fn a_presigned_payload_is_unsigned_unless_something_says_otherwise() {
    let hash = hex::encode(Sha256::digest(b"hello"));
    let mode = |wire: Wire| wire.authenticate().map(|v| v.payload()).map_err(|e| e.code);
    let signed = Ok(PayloadMode::Signed(Sha256::digest(b"hello").into()));
    assert_eq!(mode(url("PUT").presign("60")), Ok(PayloadMode::Unsigned));
    let with_payload = || url("PUT").with(|d| d.payload = hash.clone());
    assert_eq!(mode(with_payload().query("X-Amz-Content-Sha256", &hash).presign("60")), signed);
    assert_eq!(mode(with_payload().header("x-amz-content-sha256", &hash).presign("60")), signed);
    assert_eq!(
        mode(with_payload().presign("60").add_header("x-amz-content-sha256", &hash)),
        signed,
        "bound by its value"
    );
    let differing = with_payload()
        .query("X-Amz-Content-Sha256", &hash)
        .presign("60")
        .add_header("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    assert_eq!(mode(differing), Err(InvalidArgument));
}
