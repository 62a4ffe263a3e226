//! Group SH, and the declared payload.
use super::{check, code, get, put};
use crate::sigv4::signer::{DATE, Draft, ID, SECRET, authenticate, now, regions};
use crate::sigv4::{PayloadMode, SigningKeys, parse_claim, verify};
use s3gateway_config::Secret;
use s3gateway_s3::S3Code::*;
use std::sync::Arc;

#[test]
fn sh_01_to_sh_05_the_form_of_the_authorization_header() {
    let auth = |value: &str| put().sign().set_header("authorization", value);
    let drop = |component: &'static str| {
        put().sign().edit_authorization(|a| {
            let (scheme, rest) = a.split_once(' ').unwrap();
            let kept: Vec<_> = rest.split(", ").filter(|c| !c.starts_with(component)).collect();
            format!("{scheme} {}", kept.join(", "))
        })
    };
    let edit = |from: &'static str, to: &'static str| put().sign().edit_authorization(|a| a.replacen(from, to, 1));
    check("control", put().sign(), None);
    check("SH-01", auth("garbage"), InvalidArgument);
    check("SH-01 empty", auth(""), InvalidArgument);
    check("SH-02", edit("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"), InvalidArgument);
    check("SH-02 bearer", auth("Bearer abc"), InvalidArgument);
    check("SH-03", auth("AWS AKID:base64"), InvalidRequest);
    for component in ["SignedHeaders", "Signature", "Credential"] {
        check("SH-04", drop(component), AuthorizationHeaderMalformed);
    }
    check("SH-05", edit("SignedHeaders=", "SignedHeaders-"), AuthorizationHeaderMalformed);
    check(
        "SH-05 unknown component",
        put().sign().edit_authorization(|a| format!("{a}, Extra=1")),
        AuthorizationHeaderMalformed,
    );
    check(
        "SH-05 repeated component",
        put().sign().edit_authorization(|a| format!("{a}, Signature=00")),
        AuthorizationHeaderMalformed,
    );
    check("components without spaces (control)", put().sign().edit_authorization(|a| a.replace(", ", ",")), None);
    check("SH-05 upper case in SignedHeaders", edit("host;", "Host;"), AuthorizationHeaderMalformed);
    check("SH-05 a header twice in SignedHeaders", edit("host;", "host;host;"), AuthorizationHeaderMalformed);
    check("SH-05 an empty name in SignedHeaders", edit("host;", "host;;"), AuthorizationHeaderMalformed);
}

#[test]
fn sh_06_to_sh_11_the_scope() {
    let credential = |value: &'static str| {
        put().sign().edit_authorization(|a| {
            let end = a.find(", SignedHeaders").unwrap();
            format!("AWS4-HMAC-SHA256 Credential={value}{}", &a[end..])
        })
    };
    check("SH-06 3 parts", credential("AKID/20260101/s3/aws4_request"), AuthorizationHeaderMalformed);
    check("SH-06 6 parts", credential("AKID/x/20260101/us-east-1/s3/aws4_request"), InvalidAccessKeyId);
    check("SH-06 no id", credential("/20260101/us-east-1/s3/aws4_request"), AuthorizationHeaderMalformed);
    check("SH-06 empty", credential(""), AuthorizationHeaderMalformed);
    check("SH-07", put().with(|d| d.terminal = "aws_request".into()).sign(), AuthorizationHeaderMalformed);
    for service in ["ec2", "sts", "s3tables", "S3", ""] {
        check("SH-08", put().with(|d| d.service = service.into()).sign(), AuthorizationHeaderMalformed);
    }
    for date in ["3223423234", "2026013", "20261341", "20260230", "2026-1-1", "٢٠٢٦", ""] {
        check("SH-10", put().with(|d| d.scope_date = date.into()).sign(), AuthorizationHeaderMalformed);
    }
    check("SH-11", put().with(|d| d.scope_date = "20251231".into()).sign(), AuthorizationHeaderMalformed);
    check("any region served (control)", put().with(|d| d.region = "fi-hel".into()).sign(), None);
}

#[test]
fn sh_09_a_wrong_region_is_told_the_right_one() {
    for region in ["eu-west-1", "", "a\"b", "US-EAST-1"] {
        let error = put().with(|d| d.region = region.into()).sign().authenticate().unwrap_err();
        assert_eq!(error.code, AuthorizationHeaderMalformed, "{region}");
        assert_eq!(error.extra, [("Region", "us-east-1".to_owned())], "{region}");
        assert!(error.message.contains("expecting 'us-east-1'"), "{}", error.message);
    }
}

#[test]
fn every_malformed_header_is_told_the_region() {
    for draft in [
        put().with(|d| d.region = "fi-hel,de-fra".into()),
        put().with(|d| d.service = "ec2".into()),
        put().with(|d| d.scope_date = "20251231".into()),
    ] {
        let error = draft.sign().authenticate().unwrap_err();
        assert_eq!(error.code, AuthorizationHeaderMalformed, "{}", error.message);
        assert_eq!(error.extra, [("Region", "us-east-1".to_owned())], "{}", error.message);
    }
}

#[test]
fn sh_12_to_sh_14_the_date() {
    check("SH-12", put().without("x-amz-date").sign(), AccessDenied);
    for date in [
        "20260101",
        "2026-01-01T00:00:00Z",
        "20261301T000000Z",
        "20260101T000060Z",
        "20260101T240000Z",
        "-0010101T000000Z",
        "20260101T120000z",
        "20260101 120000Z",
        "+2260101T120000Z",
        "",
    ] {
        check("SH-13", put().with(|d| d.date = date.into()).header("x-amz-date", date).sign(), AccessDenied);
    }
    check(
        "SH-13 no help from Date",
        put().header("x-amz-date", "x").header("date", "Thu, 01 Jan 2026 12:00:00 GMT").sign(),
        AccessDenied,
    );
    for (date, want) in [
        ("20260101T114500Z", None),
        ("20260101T114459Z", Some(RequestTimeTooSkewed)),
        ("20260101T114400Z", Some(RequestTimeTooSkewed)),
        ("20260101T121500Z", None),
        ("20260101T121501Z", Some(RequestTimeTooSkewed)),
        ("19500101T000000Z", Some(RequestTimeTooSkewed)),
        ("99991231T235959Z", Some(RequestTimeTooSkewed)),
        ("00000101T000000Z", Some(RequestTimeTooSkewed)),
    ] {
        check(&format!("SH-14 {date}"), put().at(date).sign(), want);
    }
    for date in ["Thu, 01 Jan 2026 12:00:00 GMT", DATE] {
        check("Date in place of x-amz-date (control)", put().without("x-amz-date").header("date", date).sign(), None);
    }
    check("SH-13 Date", put().without("x-amz-date").header("date", "yesterday").sign(), AccessDenied);
}

#[test]
fn sh_15_sh_16_key_and_secret() {
    check("SH-15", put().with(|d| d.id = "AKIDNOBODY".into()).sign(), InvalidAccessKeyId);
    check("SH-15 a long id", put().with(|d| d.id = "A".repeat(5000)).sign(), InvalidAccessKeyId);
    let error = put().with(|d| d.secret = "another".into()).sign().authenticate().unwrap_err();
    assert_eq!(error.code, SignatureDoesNotMatch, "SH-16");
    assert!(error.extra.is_empty() && !error.message.contains(SECRET), "SH-16: {error:?}");
    for signature in ["", "00", "zz", &"0".repeat(64), &"0".repeat(65), &"g".repeat(64)] {
        let wire = put()
            .sign()
            .edit_authorization(|a| format!("{}Signature={signature}", a.split("Signature=").next().unwrap()));
        check("SH-16", wire, SignatureDoesNotMatch);
    }
}

#[test]
fn sh_17_a_cached_key_serves_only_its_own_secret() {
    let keys = SigningKeys::new(8);
    let (old, new) = (Arc::new(Secret::new(SECRET.to_owned())), Arc::new(Secret::new("rotated".to_owned())));
    let request = put().sign().request().unwrap();
    let claim = parse_claim(&request, &regions(), now()).unwrap();
    for _ in 0..2 {
        assert!(verify(&request, &claim, &keys.resolve(&claim, &old)).is_ok());
    }
    assert!(verify(&request, &claim, &keys.resolve(&claim, &new)).is_err(), "rotated");
    assert!(verify(&request, &claim, &keys.resolve(&claim, &old)).is_ok());
    assert_eq!(keys.len(), 1);
    keys.forget(ID);
    assert!(keys.is_empty());
    // The same text in another allocation is another secret: nothing is served from the cache by its content.
    drop(old);
    let again = Arc::new(Secret::new(SECRET.to_owned()));
    assert!(verify(&request, &claim, &keys.resolve(&claim, &again)).is_ok());
}

#[test]
fn sh_18_to_sh_20_what_arrived_must_be_signed() {
    let unsigned_host = put().with(|d| d.unsigned.push("host".into())).sign();
    let error = unsigned_host.authenticate().unwrap_err();
    assert_eq!((error.code, &*error.extra), (AccessDenied, &[("HeadersNotSigned", "host".to_owned())][..]), "SH-18");
    for name in [
        "x-amz-copy-source",
        "x-amz-tagging",
        "x-amz-acl",
        "x-amz-grant-read",
        "x-amz-storage-class",
        "x-amz-meta-a",
        "x-amz-object-lock-mode",
        "x-amz-website-redirect-location",
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-customer-key",
        "x-amz-decoded-content-length",
        "x-amz-trailer",
        "x-amz-checksum-crc32",
        "x-amz-anything-new",
    ] {
        for spelling in [name.to_owned(), name.to_ascii_uppercase()] {
            let error = put().sign().add_header(&spelling, "/other/key").authenticate().unwrap_err();
            assert_eq!(error.code, AccessDenied, "SH-19, SH-20 {spelling}");
            assert_eq!(error.extra, [("HeadersNotSigned", name.to_owned())], "SH-19, SH-20 {spelling}");
        }
    }
    check("HB-01 unsigned", put().sign().add_header("x-amz-security-token", "abc"), AccessDenied);
    check("SH-28", put().header("x-amz-security-token", "abc").sign(), InvalidToken);
}

#[test]
fn sh_21_to_sh_24_what_need_not_be_signed_and_what_must_be_there() {
    check("SH-21", put().with(|d| d.unsigned.push("x-amz-content-sha256".into())).sign(), None);
    for name in ["x-amzn-trace-id", "amz-sdk-request", "amz-sdk-invocation-id", "user-agent", "range", "content-type"] {
        check("SH-22", put().sign().add_header(name, "a"), None);
    }
    check("SH-24", get().with(|d| d.also_signed.push("range".into())).sign(), SignatureDoesNotMatch);
    check("SH-24 present but empty (control)", get().header("range", "").sign(), None);
    check(
        "SH-21 its value is bound",
        put()
            .with(|d| d.unsigned.push("x-amz-content-sha256".into()))
            .sign()
            .set_header("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        SignatureDoesNotMatch,
    );
}

#[test]
fn sh_25_to_sh_27_nothing_twice() {
    let garbage_second = put().sign().add_header("authorization", "garbage");
    let garbage_first = put().sign().with(|w| w.headers.insert(0, ("authorization".into(), b"garbage".to_vec())));
    check("SH-25", garbage_second, InvalidArgument);
    check("SH-25 swapped", garbage_first, InvalidArgument);
    for (name, value) in [
        ("x-amz-date", DATE),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ("x-amz-copy-source", "/a/b"),
        ("x-amz-decoded-content-length", "5"),
        ("content-md5", "x"),
    ] {
        let wire = put().header(name, value).sign().add_header(name, "other");
        assert!(wire.authenticate().is_err_and(|e| matches!(e.code.status(), 400 | 403)), "SH-26 {name}");
    }
    for (name, value) in [
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        ("x-amz-signature", "0"),
        ("Signature", "abc"),
        ("AWSAccessKeyId", "a"),
    ] {
        check("SH-27", get().query(name, value).sign(), InvalidArgument);
        check("SH-27", get().sign().add_query(name, value), InvalidArgument);
    }
}

#[test]
fn sh_29_to_sh_32_canonical_forms() {
    check("SH-29", put().header("x-amz-meta-a", "   a   b  ").sign(), None);
    check("SH-29", put().header("x-amz-meta-a", "a     b c   d").sign(), None);
    let raw = put().header("x-amz-meta-a", "a   b").sign().set_header("x-amz-meta-a", "a b");
    check("SH-29 the same after trimming", raw, None);
    check(
        "SH-29 another value",
        put().header("x-amz-meta-a", "a b").sign().set_header("x-amz-meta-a", "ab"),
        SignatureDoesNotMatch,
    );
    check(
        "two values of one name",
        put()
            .with(|d| {
                d.headers.push(("x-amz-meta-a".into(), b"1".to_vec()));
                d.headers.push(("x-amz-meta-a".into(), b" 2".to_vec()));
            })
            .sign(),
        None,
    );

    let list = Draft::new("GET", "/bucket", "UNSIGNED-PAYLOAD");
    for order in [["prefix", "delimiter", "list-type"], ["list-type", "delimiter", "prefix"]] {
        let value = |name| match name {
            "prefix" => "a b",
            "delimiter" => "/",
            _ => "2",
        };
        let draft = order.iter().fold(list.clone(), |d, name| d.query(name, value(name)));
        check("SH-30", draft.sign(), None);
    }
    check("SH-30 equal names", list.clone().query("a", "2").query("a", "1").sign(), None);
    check(
        "SH-30 by name before '='",
        list.clone().query("a", "2").query("a-b", "1").query("a.b", "y").query("aB", "x").sign(),
        None,
    );
    check("SH-30 by encoded text", list.clone().query("ä", "1").query("z", "2").query("~", "3").sign(), None);
    let uploads = list.clone().query("uploads", "").sign();
    for target in ["/bucket?uploads", "/bucket?uploads="] {
        assert_eq!(code(authenticate(&uploads.request_at(target).unwrap(), now())), None, "SH-30 {target}");
    }

    for key in ["/bucket/a+b", "/bucket/a b", "/bucket/ä%&<>", "/bucket//a/./../b", "/bucket/%2F"] {
        check("SH-31", Draft::new("GET", key, "UNSIGNED-PAYLOAD").sign(), None);
    }
    let plus = Draft::new("GET", "/bucket/a+b", "UNSIGNED-PAYLOAD").sign();
    let bare = authenticate(&plus.request_at("/bucket/a+b").unwrap(), now());
    assert_eq!(code(bare), None, "SH-31: a bare plus in the path is a plus");
    let space = authenticate(&plus.request_at("/bucket/a%20b").unwrap(), now());
    assert_eq!(code(space), Some(SignatureDoesNotMatch), "SH-31: and not a space");

    check("SH-32", put().header("x-amz-meta-a", b"\xff\xfe").sign(), None);
    check(
        "SH-32 other bytes",
        put().header("x-amz-meta-a", b"\xff\xfe").sign().set_header("x-amz-meta-a", b"\xff\xfd"),
        SignatureDoesNotMatch,
    );
}

#[test]
fn the_host_is_signed_as_it_was_spelt() {
    check("upper case", put().header("host", "Gateway.TEST:9000").sign(), None);
    check("another port", put().sign().set_header("host", "gateway.test:9001"), SignatureDoesNotMatch);
}

#[test]
fn pl_02_pl_03_the_declared_payload() {
    check("PL-02", put().without("x-amz-content-sha256").sign(), InvalidRequest);
    let digits = "0".repeat(63);
    for value in ["abc", &digits, "STREAMING-FOO", "unsigned-payload", "", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"] {
        check(&format!("PL-03 {value}"), Draft::new("PUT", "/bucket/k", value).sign(), InvalidArgument);
    }
    for (value, want) in [
        ("UNSIGNED-PAYLOAD", PayloadMode::Unsigned),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", PayloadMode::StreamingSigned),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", PayloadMode::StreamingSignedTrailer),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", PayloadMode::StreamingUnsignedTrailer),
    ] {
        let got = Draft::new("PUT", "/bucket/k", value).sign().authenticate().map(|v| v.payload());
        assert_eq!(got.map_err(|e| e.code), Ok(want), "{value}");
    }
}

#[test]
fn pl_04_a_false_seed_signature_is_refused_before_the_body() {
    let wire = Draft::new("PUT", "/bucket/k", "STREAMING-UNSIGNED-PAYLOAD-TRAILER").sign();
    let wire =
        wire.edit_authorization(|a| format!("{}Signature={}", a.split("Signature=").next().unwrap(), "ab".repeat(32)));
    check("PL-04", wire, SignatureDoesNotMatch);
}
