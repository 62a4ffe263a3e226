//! Bucket and key names as types that only parsing can make, so that a name of one world never serves in the other.
use std::{fmt, sync::Arc};

/// The name that the client uses; unique per tenant; obeys S3's bucket rules.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogicalBucket(Arc<str>);

/// The name on one backend. Only upstream requests and the mapping tables may read it; it has no `Display` on purpose.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PhysicalBucket(Arc<str>);

/// An object key: 1 to 1,024 bytes of UTF-8, byte-exact, never normalised.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(Arc<str>);

/// Why a text is no bucket name (Amazon S3 User Guide, "General purpose bucket naming rules").
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid bucket name")]
pub struct BucketNameError;

/// Why a text is no object key (Amazon S3 User Guide, "Naming Amazon S3 objects").
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Zero bytes.
    #[error("the key is empty")]
    Empty,
    /// More than 1,024 bytes.
    #[error("the key is longer than 1,024 bytes")]
    TooLong,
}

impl LogicalBucket {
    /// Parses a name under S3's rules for general purpose buckets.
    ///
    /// # Errors
    /// [`BucketNameError`] where a rule is broken.
    pub fn parse(name: &str) -> Result<Self, BucketNameError> {
        if is_bucket_name(name) { Ok(Self(name.into())) } else { Err(BucketNameError) }
    }
    /// The name as the client wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PhysicalBucket {
    /// Takes a name that the mapping formula or the mapping table gave.
    ///
    /// # Errors
    /// [`BucketNameError`] where a rule is broken.
    pub fn parse(name: &str) -> Result<Self, BucketNameError> {
        if is_bucket_name(name) { Ok(Self(name.into())) } else { Err(BucketNameError) }
    }
    /// For the upstream request builder, the mapping table and operators' views, nothing else.
    pub fn for_upstream(&self) -> &str {
        &self.0
    }
}

impl ObjectKey {
    /// Longest key in bytes.
    pub const MAX_BYTES: usize = 1024;

    /// Takes a decoded key.
    ///
    /// # Errors
    /// [`KeyError`] for a key of no or too many bytes.
    pub fn parse(key: &str) -> Result<Self, KeyError> {
        match key.len() {
            0 => Err(KeyError::Empty),
            n if n > Self::MAX_BYTES => Err(KeyError::TooLong),
            _ => Ok(Self(key.into())),
        }
    }
    /// The key as decoded text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LogicalBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
impl fmt::Debug for PhysicalBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[physical bucket]")
    }
}
impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// 3 to 63 of `a-z 0-9 . -`, first and last alphanumeric, no two dots together, no IPv4 form, no reserved affix.
fn is_bucket_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let alphanumeric = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'.' || *b == b'-')
        && alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
        && !["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|p| name.starts_with(p))
        && !["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"].iter().any(|s| name.ends_with(s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bucket_names() {
        for (name, fine) in [
            ("abc", true),
            ("a.b-c", true),
            ("1-2", true),
            ("192.168.1", true),
            ("s3gw-0123456789abcdef-fi-hel", true),
            ("ab", false),
            ("", false),
            ("..", false),
            ("a..b", false),
            (".ab", false),
            ("ab.", false),
            ("-ab", false),
            ("ab-", false),
            ("aBc", false),
            ("a_b", false),
            ("a b", false),
            ("a/b", false),
            ("b\u{fc}cher", false),
            ("192.168.1.1", false),
            ("xn--abc", false),
            ("sthree-abc", false),
            ("amzn-s3-demo-abc", false),
            ("abc-s3alias", false),
            ("abc--ol-s3", false),
            ("abc.mrap", false),
            ("abc--x-s3", false),
            ("abc--table-s3", false),
        ] {
            assert_eq!(LogicalBucket::parse(name).is_ok(), fine, "{name}");
            assert_eq!(PhysicalBucket::parse(name).is_ok(), fine, "{name}");
        }
        assert!(LogicalBucket::parse(&"a".repeat(63)).is_ok());
        assert!(LogicalBucket::parse(&"a".repeat(64)).is_err());
    }

    #[test]
    fn a_physical_name_is_not_printed() {
        let bucket = PhysicalBucket::parse("s3gw-secret").unwrap();
        assert_eq!(format!("{bucket:?}"), "[physical bucket]");
    }

    #[test]
    fn keys_are_measured_in_bytes() {
        assert_eq!(ObjectKey::parse(""), Err(KeyError::Empty));
        assert!(ObjectKey::parse(&"\u{e4}".repeat(512)).is_ok());
        assert_eq!(ObjectKey::parse(&"\u{e4}".repeat(513)), Err(KeyError::TooLong));
    }

    proptest! {
        #[test]
        fn a_valid_name_needs_no_encoding(name in "[a-zA-Z0-9._%/-]{0,70}") {
            if LogicalBucket::parse(&name).is_ok() {
                prop_assert_eq!(crate::uri::encode(name.as_bytes()), name);
            }
        }
    }
}
