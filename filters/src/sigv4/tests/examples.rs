//! The examples that Amazon publishes, with keys, requests and signatures of its own.
use crate::sigv4::signer::Draft;
use crate::sigv4::{SigningKey, Verified, parse_claim, verify};
use s3gateway_config::Secret;
use s3gateway_s3::{S3Error, S3Request};
use std::time::Duration;

/// The examples of the Amazon S3 API Reference, "Signature Calculations for the Authorization Header" and "Using Query
/// Parameters": their keys, their requests, their signatures.
#[test]
fn the_examples_of_the_documentation_verify() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let put_hash = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    for (method, target, headers, signed, payload, signature) in [
        (
            "GET",
            "/test.txt",
            &[("range", "bytes=0-9")][..],
            "host;range;x-amz-content-sha256;x-amz-date",
            empty,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test%24file.text",
            &[("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")][..],
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            put_hash,
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "/?lifecycle",
            &[][..],
            "host;x-amz-content-sha256;x-amz-date",
            empty,
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "/?max-keys=2&prefix=J",
            &[][..],
            "host;x-amz-content-sha256;x-amz-date",
            empty,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ] {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders={signed},Signature={signature}"
        );
        let mut wire = Draft::new(method, "/", payload).sign();
        wire.headers = [
            ("host", "examplebucket.s3.amazonaws.com"),
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-content-sha256", payload),
            ("authorization", &authorization),
        ]
        .iter()
        .chain(headers)
        .map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()))
        .collect();
        assert!(verify_example(&wire.request_at(target).unwrap()).is_ok(), "{method} {target}");
    }
    let mut wire = Draft::new("GET", "/", "").sign();
    wire.headers = vec![("host".into(), b"examplebucket.s3.amazonaws.com".to_vec())];
    let target = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    assert!(verify_example(&wire.request_at(target).unwrap()).is_ok(), "presigned");
}

fn verify_example(request: &S3Request) -> Result<Verified, S3Error> {
    let then = std::time::UNIX_EPOCH + Duration::from_secs(1_369_353_600);
    let claim = parse_claim(request, &["us-east-1".into()], then)?;
    assert_eq!(claim.access_key_id(), "AKIAIOSFODNN7EXAMPLE");
    let secret = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned());
    verify(request, &claim, &SigningKey::derive(&secret, claim.date(), claim.region()))
}
