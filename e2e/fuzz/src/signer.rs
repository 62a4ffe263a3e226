//! A signer that shares no code with the verifier: canonical requests from the bytes of the wire, as AWS documents them.
use crate::input::{Head, decode, encode};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) const ID: &str = "AKIDFUZZFUZZFUZZFUZZ";
pub(crate) const SECRET: &str = "a/secret+of/forty+characters/for/fuzzing";
pub(crate) const DATE: &str = "20260101T120000Z";
pub(crate) const SCOPE: &str = "20260101/us-east-1/s3/aws4_request";

/// 2026-01-01T12:00:00Z.
pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_767_268_800)
}

/// The key of [`SCOPE`].
pub(crate) fn key() -> [u8; 32] {
    static KEY: std::sync::OnceLock<[u8; 32]> = std::sync::OnceLock::new();
    *KEY.get_or_init(|| {
        let first = mac(format!("AWS4{SECRET}").as_bytes(), b"20260101");
        [&b"us-east-1"[..], b"s3", b"aws4_request"].iter().fold(first, |key, step| mac(&key, step))
    })
}

pub(crate) fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// The signature of a canonical request.
pub(crate) fn sign(canonical: &[u8]) -> String {
    let hash = hex::encode(Sha256::digest(canonical));
    hex::encode(mac(&key(), format!("AWS4-HMAC-SHA256\n{DATE}\n{SCOPE}\n{hash}").as_bytes()))
}

/// The canonical request of a head on the wire; `None` where its target does not decode.
pub(crate) fn canonical(head: &Head, signed: &[String], payload: &[u8]) -> Option<Vec<u8>> {
    let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
    let mut pairs = Vec::new();
    for piece in query.split('&').filter(|piece| !piece.is_empty()) {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        pairs.push((encode(&decode(name, true)?, b""), encode(&decode(value, true)?, b"")));
    }
    Some(assemble(&head.method, &encode(&decode(path, false)?, b"/"), pairs, &head.headers, signed, payload))
}

/// `query`: encoded, in any order.
pub(crate) fn assemble(
    method: &str,
    path: &str,
    mut query: Vec<(String, String)>,
    headers: &[(String, Vec<u8>)],
    signed: &[String],
    payload: &[u8],
) -> Vec<u8> {
    query.retain(|(name, _)| name != "X-Amz-Signature");
    query.sort();
    let query: Vec<String> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut text = format!("{method}\n{path}\n{}\n", query.join("&")).into_bytes();
    for name in signed {
        let values: Vec<&[u8]> = headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.trim_ascii()).collect();
        text.extend_from_slice(format!("{name}:").as_bytes());
        text.extend(single_spaces(&values.join(&b',')));
        text.push(b'\n');
    }
    text.extend_from_slice(format!("\n{}\n", signed.join(";")).as_bytes());
    text.extend_from_slice(payload);
    text
}

fn single_spaces(value: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(value.len());
    for byte in value {
        if *byte != b' ' || out.last() != Some(&b' ') {
            out.push(*byte);
        }
    }
    out
}
