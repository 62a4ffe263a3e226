//! Versions of objects: whether a bucket keeps them, and the ids by which they are named.
//! Source: Amazon S3 User Guide, "Retaining multiple versions of objects with S3 Versioning" and "How S3 Versioning works".
use crate::{S3Code, S3Error};
use std::fmt;

/// Whether a bucket keeps the versions of its objects; once it was set, it never goes back to [`Versioning::Never`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versioning {
    /// Never set: a write replaces the object.
    #[default]
    Never,
    /// A write makes a new version.
    Enabled,
    /// A write replaces the `null` version; all others stay.
    Suspended,
}

impl Versioning {
    /// The state as `<Status>` has it; `None` where it was never set.
    pub fn status(self) -> Option<&'static str> {
        match self {
            Self::Never => None,
            Self::Enabled => Some("Enabled"),
            Self::Suspended => Some("Suspended"),
        }
    }

    /// The state that `<Status>` names.
    pub fn from_status(status: &str) -> Option<Self> {
        [Self::Enabled, Self::Suspended].into_iter().find(|state| state.status() == Some(status))
    }

    /// Whether the bucket may hold versions besides the current ones.
    pub fn is_set(self) -> bool {
        self != Self::Never
    }
}

/// Names one version of an object: `null`, or an opaque, URL-ready text that the backend has made.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VersionId(String);

impl VersionId {
    /// The id of a version that was written while the bucket kept none.
    pub const NULL: &str = "null";
    /// Longest id.
    pub const MAX_BYTES: usize = 1024;

    /// Takes an id that can be one.
    ///
    /// # Errors
    /// `InvalidArgument` for an empty one, one that is too long, or one that no URL could hold as it is.
    pub fn parse(text: &str) -> Result<Self, S3Error> {
        let fits = (1..=Self::MAX_BYTES).contains(&text.len());
        let is_opaque = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
        match fits && text.bytes().all(is_opaque) {
            true => Ok(Self(text.to_owned())),
            false => Err(Self::invalid(text)),
        }
    }

    /// The id of a version that was written while the bucket kept none.
    pub fn null() -> Self {
        Self(Self::NULL.to_owned())
    }

    /// S3's answer to an id that can be none.
    pub fn invalid(text: &str) -> S3Error {
        let shown: String = text.chars().take(Self::MAX_BYTES).collect();
        S3Code::InvalidArgument
            .because("Invalid version id specified")
            .with("ArgumentName", "versionId")
            .with("ArgumentValue", shown)
    }

    /// Whether it is the `null` version.
    pub fn is_null(&self) -> bool {
        self.0 == Self::NULL
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        let long = "v".repeat(VersionId::MAX_BYTES);
        for (text, fine) in [
            ("null", true),
            ("3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY+MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo", true),
            ("-nJ8.IHhVvVWSPYCWYTzTvJ6tDV12Zv", true),
            (long.as_str(), true),
            (&format!("{long}v"), false),
            ("", false),
            ("a b", false),
            ("ä", false),
            ("a?b", false),
            ("a&b", false),
            ("a\nb", false),
        ] {
            let parsed = VersionId::parse(text).map(|id| id.as_str() == text).map_err(|e| e.code);
            assert_eq!(parsed, if fine { Ok(true) } else { Err(S3Code::InvalidArgument) }, "{text}");
        }
        assert!(VersionId::null().is_null());
    }

    #[test]
    fn states() {
        for state in [Versioning::Enabled, Versioning::Suspended] {
            assert_eq!(state.status().and_then(Versioning::from_status), Some(state));
            assert!(state.is_set());
        }
        assert_eq!((Versioning::Never.status(), Versioning::from_status("enabled")), (None, None));
    }
}
