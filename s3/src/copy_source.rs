//! `x-amz-copy-source`: which object a copy reads.
//! Invariant: the bucket is everything before the first `/` of the decoded value, the key everything after it, literally.
use crate::{LogicalBucket, ObjectKey, S3Code, S3Error, VersionId, uri};

/// The object that CopyObject or UploadPartCopy reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    /// The source bucket, of the same tenant.
    pub bucket: LogicalBucket,
    /// The source key.
    pub key: ObjectKey,
    /// The version asked for, where one is.
    pub version_id: Option<VersionId>,
}

/// Parses the header's value: `bucket/key`, with or without a leading slash, percent-encoded, then `?versionId=…` or nothing.
/// A `?` of the key itself must be encoded; `+` is a plus.
///
/// # Errors
/// `InvalidArgument` for every other form, access point ARNs and URLs among them.
pub fn parse(value: &str) -> Result<CopySource, S3Error> {
    let (path, query) = value.split_once('?').map_or((value, None), |(path, query)| (path, Some(query)));
    let decoded = uri::decode_path(path).map_err(|_| invalid("Copy Source is not valid percent-encoded UTF-8."))?;
    let (bucket, key) = decoded
        .strip_prefix('/')
        .unwrap_or(&decoded)
        .split_once('/')
        .ok_or_else(|| invalid("Copy Source must mention the source bucket and key: sourcebucket/sourcekey."))?;
    if key.contains('\0') {
        return Err(invalid("Copy Source holds a NUL character."));
    }
    Ok(CopySource {
        bucket: LogicalBucket::parse(bucket)
            .map_err(|_| invalid("Copy Source does not begin with a valid bucket name."))?,
        key: ObjectKey::parse(key).map_err(|_| invalid("Copy Source holds no valid object key."))?,
        version_id: query.map(parse_version).transpose()?,
    })
}

fn parse_version(query: &str) -> Result<VersionId, S3Error> {
    let version = query.strip_prefix("versionId=").filter(|v| !v.is_empty() && !v.contains(['&', '?', '=']));
    let version = version.ok_or_else(|| invalid("Copy Source may have the query versionId=… only."))?;
    let version = uri::decode_path(version).map_err(|_| invalid("The version id in Copy Source is malformed."))?;
    VersionId::parse(&version)
}

fn invalid(message: &'static str) -> S3Error {
    S3Code::InvalidArgument.because(message).with("ArgumentName", "x-amz-copy-source")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sources() {
        for (value, want) in [
            ("mine/k", Some(("mine", "k", None))),
            ("/mine/a%20b", Some(("mine", "a b", None))),
            ("%2Fmine%2Fa%2Fb", Some(("mine", "a/b", None))),
            ("mine/a+b", Some(("mine", "a+b", None))),
            ("mine/%252F", Some(("mine", "%2F", None))),
            ("mine/ä", Some(("mine", "ä", None))),
            ("mine//k/", Some(("mine", "/k/", None))),
            ("/mine/../victim/k", Some(("mine", "../victim/k", None))),
            ("mine%2f..%2fvictim%2fk", Some(("mine", "../victim/k", None))),
            ("mine/a/../../victim/k", Some(("mine", "a/../../victim/k", None))),
            ("mine/k%3FversionId=7", Some(("mine", "k?versionId=7", None))),
            ("mine/k?versionId=a%2Fb", Some(("mine", "k", Some("a/b")))),
            ("mine/k?versionId=null", Some(("mine", "k", Some("null")))),
            ("mine/k?versionId=a%20b", None),
            ("mine/k?versionId=", None),
            ("mine/k?versionId=1&versionId=2", None),
            ("mine/k?versionId=1?versionId=2", None),
            ("mine/k?partNumber=1", None),
            ("mine/k?", None),
            ("mine/k?versionId=%ff", None),
            ("mine", None),
            ("mine/", None),
            ("/", None),
            ("", None),
            ("//k", None),
            ("//mine/k", None),
            ("MINE/k", None),
            ("mine/%zz", None),
            ("mine/%ff", None),
            ("mine/a%00b", None),
            ("http://backend/b/k", None),
            ("arn:aws:s3:us-east-1:1:accesspoint/ap/object/k", None),
        ] {
            let got = parse(value);
            let got =
                got.as_ref().map(|s| (s.bucket.as_str(), s.key.as_str(), s.version_id.as_ref().map(VersionId::as_str)));
            assert_eq!(got.map_err(|e| e.code), want.ok_or(S3Code::InvalidArgument), "{value}");
        }
        assert!(parse(&format!("mine/{}", "k".repeat(1024))).is_ok());
        assert!(parse(&format!("mine/{}", "k".repeat(1025))).is_err());
    }

    proptest! {
        #[test]
        fn any_encoded_key_comes_back(key in "[^\0]{1,250}") {
            for value in [format!("mine/{}", uri::encode_path(&key)), format!("/mine/{}", uri::encode(key.as_bytes()))] {
                let source = parse(&value).unwrap();
                prop_assert_eq!(source.key.as_str(), key.as_str());
            }
        }
        #[test]
        fn nothing_panics(value in any::<String>()) {
            let _ = parse(&value);
        }
    }
}
