//! The source of a copy: what is read is the header decoded once and cut at its first slash, and it comes back when it
//! is written anew.
//! Input: the header's value.
use crate::input::{decode, encode};
use s3gateway_s3::{CopySource, LogicalBucket, ObjectKey, copy_source};

pub fn check(data: &[u8]) {
    let Ok(value) = std::str::from_utf8(data) else { return };
    if let Ok(source) = copy_source::parse(value) {
        check_meaning(value, &source);
        check_again(&source);
    }
    check_any_key(value);
}

/// The bucket is everything before the first slash, the key everything after it, literally: nothing is normalised, so
/// that what is authorised is what is read.
fn check_meaning(value: &str, source: &CopySource) {
    let (path, query) = value.split_once('?').map_or((value, None), |(path, query)| (path, Some(query)));
    let decoded = decode(path, false).expect("an accepted source decodes");
    let decoded = decoded.strip_prefix(b"/").unwrap_or(&decoded);
    assert_eq!(decoded, format!("{}/{}", source.bucket.as_str(), source.key.as_str()).as_bytes());
    assert!(LogicalBucket::parse(source.bucket.as_str()).is_ok());
    assert!(!source.key.as_str().contains('\0') && source.key.as_str().len() <= ObjectKey::MAX_BYTES);
    assert_eq!(query.is_some(), source.version_id.is_some());
    if let (Some(query), Some(version)) = (query, &source.version_id) {
        let sent = decode(query.strip_prefix("versionId=").unwrap(), false);
        assert_eq!(sent.as_deref(), Some(version.as_str().as_bytes()));
    }
}

fn check_again(source: &CopySource) {
    let version = source.version_id.as_ref().map(|v| format!("?versionId={}", encode(v.as_str().as_bytes(), b"")));
    for keep in [&b"/"[..], b""] {
        let path = encode(format!("{}/{}", source.bucket.as_str(), source.key.as_str()).as_bytes(), keep);
        for slash in ["", "/"] {
            let again = format!("{slash}{path}{}", version.as_deref().unwrap_or_default());
            assert_eq!(copy_source::parse(&again).as_ref().ok(), Some(source), "{again}");
        }
    }
}

/// Every key that an object can have can be copied from, whatever it looks like.
fn check_any_key(key: &str) {
    let fits = (1..=ObjectKey::MAX_BYTES).contains(&key.len()) && !key.contains('\0');
    let source = copy_source::parse(&format!("bucket/{}", encode(key.as_bytes(), b"/")));
    assert_eq!(source.ok().map(|s| s.key.as_str().to_owned()), fits.then(|| key.to_owned()));
}
