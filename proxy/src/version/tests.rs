//! Which version is meant, and by which id it is shown, also over a real SQLite store.
use super::*;
use crate::operations::testing::Versioned;

fn id(text: &str) -> VersionId {
    VersionId::parse(text).expect(text)
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).expect(text)
}

/// A version that clients and its home know by these.
fn named(shown: &str, own: &str) -> NamedVersion {
    NamedVersion::of(id(shown), id(own))
}

#[test]
fn each_object_is_its_own_null_version_where_none_are_kept() {
    for (keeps, asked, want) in [
        (false, None, Ok(None)),
        (false, Some("null"), Ok(None)),
        (false, Some("7"), Err(S3Code::InvalidArgument)),
        (true, None, Ok(None)),
        (true, Some("null"), Ok(Some(id("null")))),
        (true, Some("7"), Ok(Some(id("7")))),
    ] {
        assert_eq!(meant(keeps, asked.map(id)).map_err(|e| e.code), want, "{keeps} {asked:?}");
    }
}

#[test]
fn a_version_that_is_missed_is_no_key_that_is_missed() {
    let named = named("7", "8");
    for (status, code, version, want) in [
        (404, "NoSuchKey", Some(&named), S3Code::NoSuchVersion),
        (404, "NoSuchKey", None, S3Code::NoSuchKey),
        (405, "MethodNotAllowed", Some(&named), S3Code::MethodNotAllowed),
        (503, "SlowDown", Some(&named), S3Code::SlowDown),
    ] {
        let refusal = of_version(UpstreamError::from_answer(status, code), version);
        assert_eq!(refusal.to_s3().code, want, "{status} {code}");
    }
}

#[test]
fn a_version_goes_by_two_ids_or_by_one() {
    let two = named("7", "8");
    assert_eq!((two.shown().as_str(), two.own().as_str()), ("7", "8"));
    assert_eq!(named("7", "7"), NamedVersion::same(id("7")));
}

#[tokio::test]
async fn a_moved_version_is_known_by_what_clients_name_it() {
    let bucket = Versioned::start().await;
    let (gateway, k) = (&bucket.gateway, key("k"));
    bucket.note("k", "a1", "b1", 2).await;
    bucket.note("k", "null", "b2", 1).await;
    bucket.note("j", "a3", "null", 1).await;
    for (asked, moved) in [("a1", ("a1", "b1")), ("b1", ("b1", "b1")), ("null", ("null", "b2")), ("b9", ("b9", "b9"))] {
        let got = gateway.named_version(&bucket.moved, &k, Some(id(asked))).await.unwrap();
        assert_eq!(got, Some(named(moved.0, moved.1)), "{asked}");
        let got = gateway.named_version(&bucket.routed, &k, Some(id(asked))).await.unwrap();
        assert_eq!(got, Some(NamedVersion::same(id(asked))), "{asked}: nothing is asked");
    }
    assert_eq!(gateway.named_version(&bucket.moved, &k, None).await.unwrap(), None);
    let refused = gateway.named_version(&bucket.moved, &key("j"), Some(VersionId::null())).await.unwrap_err();
    assert_eq!(refused.to_s3().code, S3Code::NoSuchVersion);
    // What the home calls `null` is looked up though it may leave the id out, and though it is of what was just written.
    for (at, answered, moved) in [
        ("k", "b1", ("a1", "b1")),
        ("k", "b2", ("null", "b2")),
        ("k", "b9", ("b9", "b9")),
        ("j", "null", ("a3", "null")),
        ("j", "", ("a3", "null")),
    ] {
        let (at, own) = (key(at), if answered.is_empty() { "null" } else { answered });
        let got = gateway.read_version(&bucket.moved, &at, None, answered).await;
        assert_eq!(got, Some(named(moved.0, moved.1)), "{answered}");
        let noted = gateway.require_version(&bucket.moved, &at, answered).await.unwrap();
        assert_eq!(noted, got, "{answered}");
        let put = gateway.put_version(&bucket.moved, &at, answered).await;
        assert_eq!(put, if own == "null" { got } else { Some(NamedVersion::same(id(own))) }, "{answered}");
        let got = gateway.read_version(&bucket.routed, &at, None, answered).await;
        assert_eq!(got, Some(NamedVersion::same(id(own))), "{answered}: nothing is asked");
    }
    let asked = named("a7", "b7");
    assert_eq!(gateway.read_version(&bucket.moved, &k, Some(&asked), "b7").await, Some(asked), "as it was named");
    gateway.stop().await;
}

#[tokio::test]
async fn what_an_id_stands_for_is_remembered_unless_it_is_null() {
    let bucket = Versioned::start().await;
    let (gateway, k) = (&bucket.gateway, key("k"));
    let copies = [bucket.note("k", "a1", "b1", 2).await, bucket.note("k", "a2", "null", 1).await];
    let read = async |own: &str| gateway.read_version(&bucket.moved, &k, None, own).await.map(NamedVersion::into_shown);
    for (own, want) in [("b1", "a1"), ("null", "a2"), ("b3", "b3")] {
        assert_eq!(read(own).await, Some(id(want)), "{own}");
    }
    for copy in &copies {
        gateway.metadata.delete_version_copy(&bucket.routed.route.bucket, &k, copy).await.unwrap();
    }
    for (own, want) in [("b1", "a1"), ("null", "null"), ("b3", "b3")] {
        assert_eq!(read(own).await, Some(id(want)), "{own}");
    }
    gateway.stop().await;
}
