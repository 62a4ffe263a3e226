//! What holds for any request.
use super::{put, url};
use crate::sigv4::signer::{Draft, now, percent, regions};
use crate::sigv4::{SigningKey, parse_claim, verify};
use proptest::prelude::*;
use s3gateway_config::Secret;

#[test]
fn a_secret_longer_than_a_block_derives_as_hmac_says() {
    let secret = "s".repeat(100);
    let request = put().with(|d| d.secret = secret.clone()).sign().request().unwrap();
    let claim = parse_claim(&request, &regions(), now()).unwrap();
    let key = SigningKey::derive(&Secret::new(secret), claim.date(), claim.region());
    assert!(verify(&request, &claim, &key).is_ok());
    assert_eq!(format!("{key:?}"), "[signing key]");
}

fn value() -> impl Strategy<Value = String> {
    "[ -~]{0,20}"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Accepts what was signed; refuses the same request with any one thing changed.
    #[test]
    fn verify_accepts_exactly_what_was_signed(
        key in "[ -~äöü/]{1,30}",
        metadata in proptest::collection::vec(("[a-z]{1,8}", value()), 0..5),
        query in proptest::collection::vec(("q[ -~]{0,8}", "[ -~]{1,20}"), 0..5),
        presigned: bool,
        change in 0usize..8,
        other in value(),
    ) {
        let path = format!("/bucket/{key}");
        let mut draft = if presigned { Draft::for_url("PUT", &path) } else { Draft::new("PUT", &path, "UNSIGNED-PAYLOAD") };
        for (name, value) in &metadata {
            draft = draft.header(&format!("x-amz-meta-{name}"), value);
        }
        for (name, value) in &query {
            draft = draft.query(name, value);
        }
        let wire = if presigned { draft.presign("600") } else { draft.sign() };
        prop_assert!(wire.authenticate().is_ok(), "{:?}", wire.authenticate());

        let changed = match change {
            0 => wire.clone().with(|w| w.method = "DELETE"),
            1 => wire.clone().with(|w| w.path.push('x')),
            2 => wire.clone().with(|w| w.path = format!("/bucket2/{}", percent(&key, "/"))),
            3 => wire.clone().add_query("qq", &other),
            4 => wire.clone().add_header("x-amz-meta-added", &other),
            5 => wire.clone().with(|w| w.headers.retain(|(n, _)| n != "host")).add_header("host", "other.test"),
            6 => match metadata.first() {
                Some((name, _)) => wire.clone().set_header(&format!("x-amz-meta-{name}"), "\u{e9}"),
                None => wire.clone().add_header("x-amz-meta-added", &other),
            },
            _ => match query.first() {
                Some(_) => wire.clone().with(|w| w.query[0].1.push('x')),
                None => wire.clone().add_query("q", &other),
            },
        };
        prop_assert!(changed.authenticate().is_err());
    }

    /// No header and no query of any content makes the parse of a claim fail otherwise than with an error.
    #[test]
    fn any_authorization_is_an_answer(text in "\\PC{0,200}", in_query: bool) {
        let wire = if in_query {
            url("GET").presign("60").with(|w| w.query.iter_mut().for_each(|(_, v)| *v = text.clone()))
        } else {
            put().sign().set_header("authorization", format!("AWS4-HMAC-SHA256 {text}"))
        };
        prop_assert!(wire.authenticate().is_err());
    }
}
