//! What a backend really does, as data: behaviour follows this, never a vendor's name.
use serde::{Deserialize, Serialize};

/// Which keys a backend can hold byte-exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyRule {
    /// Every key that S3 allows, but for those with a NUL.
    #[default]
    Any,
    /// Keys become file paths: no empty, `.` or `..` segment, no leading or trailing `/`, no control character, and at
    /// most 105 bytes in all, as the names of the files beside an object hold its whole key once more, in Base64.
    FilePath,
}

/// Measured or declared abilities; the default is a backend that does what S3 does, trailing checksums excepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capabilities {
    /// Object tagging; where false the gateway keeps tags in its metadata.
    pub tagging: bool,
    /// GetObject shows how many tags an object has (`x-amz-tagging-count`), so that none need not be asked for.
    pub tag_count: bool,
    /// Versioning of buckets with everything that belongs to it; where false it is refused. It takes `tagging`, too: tags
    /// that the gateway keeps know no versions.
    pub versioning: bool,
    /// ListMultipartUploads; where false the gateway keeps open uploads in its metadata.
    pub list_uploads: bool,
    /// Holds `If-None-Match` and `If-Match` on PutObject; where false they are not sent. Either way the gateway holds them.
    pub conditional_writes: bool,
    /// `If-Match` on a write takes the ETag in its quotes, as RFC 9110 has it; where false it is sent without them.
    pub quoted_if_match: bool,
    /// CopyObject and UploadPartCopy inside the backend; where false the gateway streams the bytes through itself.
    pub server_side_copy: bool,
    /// DeleteBucket refuses a bucket that is not empty; where false the gateway checks first.
    pub refuses_nonempty_delete: bool,
    /// Paged listings (max-keys, delimiter, start-after, continuation) are exact and in UTF-8 byte order.
    pub exact_listing: bool,
    /// ListObjectVersions goes on behind a version that has been deleted since; where false the gateway lists its key anew.
    pub gone_markers: bool,
    /// A replayed multipart upload with the same part boundaries gets the same ETag.
    pub multipart_etag: bool,
    /// Keeps the checksum that comes with an object, as a header or as a trailer of an `aws-chunked` body, and shows it in
    /// checksum mode; where false the gateway keeps it in its metadata.
    pub trailing_checksums: bool,
    /// Which keys it can hold.
    pub keys: KeyRule,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            tagging: true,
            // What was never measured is not relied on.
            tag_count: false,
            versioning: true,
            list_uploads: true,
            conditional_writes: true,
            quoted_if_match: true,
            server_side_copy: true,
            refuses_nonempty_delete: true,
            exact_listing: true,
            gone_markers: true,
            multipart_etag: true,
            // Many servers refuse such a body, or take its framing for the object's bytes.
            trailing_checksums: false,
            keys: KeyRule::Any,
        }
    }
}

impl Capabilities {
    /// Whether the gateway offers versioning of buckets on such a backend.
    pub fn keeps_versions(&self) -> bool {
        self.versioning && self.tagging
    }
}

impl KeyRule {
    /// Longest key under [`KeyRule::FilePath`] in bytes.
    pub const FILE_PATH_BYTES: usize = 105;

    /// Whether a backend with this rule holds `key` under exactly this name.
    pub fn holds(self, key: &str) -> bool {
        match self {
            // A NUL ends a name in too many servers to be trusted to any.
            Self::Any => !key.contains('\0'),
            Self::FilePath => {
                key.len() <= Self::FILE_PATH_BYTES
                    && !key.chars().any(char::is_control)
                    && key.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
            }
        }
    }
}
