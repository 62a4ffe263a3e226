//! Which headers travel to a backend and back: lists of names, so that a header nobody thought of stays here.
use http::{HeaderMap, HeaderValue};
use s3gateway_s3::Operation;

/// Names of headers that may pass, lower-case; everything else is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowList {
    names: &'static [&'static str],
    metadata: bool,
}

impl AllowList {
    /// Whether a header of this lower-case name passes.
    pub fn allows(&self, name: &str) -> bool {
        self.names.contains(&name) || (self.metadata && name.starts_with(METADATA_PREFIX))
    }
    /// The names, without user metadata.
    pub fn names(&self) -> &'static [&'static str] {
        self.names
    }
    /// Whether `x-amz-meta-*` passes.
    pub fn metadata(&self) -> bool {
        self.metadata
    }
}

pub(super) const METADATA_PREFIX: &str = "x-amz-meta-";

const NONE: AllowList = AllowList { names: &[], metadata: false };

/// Headers of the client's request that the upstream request may carry on. What the gateway makes itself (Host, date,
/// payload hash, authorization, length, copy source) is never among them; Content-Encoding goes through
/// [`content_encoding`].
pub fn forwarded_request_headers(operation: Operation) -> AllowList {
    use Operation::*;
    match operation {
        PutObject => AllowList {
            names: &[
                "cache-control",
                "content-disposition",
                "content-encoding",
                "content-language",
                "content-md5",
                "content-type",
                "expires",
                "if-match",
                "if-none-match",
                "x-amz-tagging",
                "x-amz-checksum-crc32",
                "x-amz-checksum-crc32c",
                "x-amz-checksum-crc64nvme",
                "x-amz-checksum-sha1",
                "x-amz-checksum-sha256",
            ],
            metadata: true,
        },
        // No checksum: it would need one on every part, and a trailer's is known only when the headers have gone.
        CreateMultipartUpload => AllowList {
            names: &[
                "cache-control",
                "content-disposition",
                "content-encoding",
                "content-language",
                "content-type",
                "expires",
                "x-amz-tagging",
            ],
            metadata: true,
        },
        UploadPart => AllowList { names: &["content-md5"], metadata: false },
        CompleteMultipartUpload => AllowList { names: &["content-type", "if-match", "if-none-match"], metadata: false },
        CopyObject => AllowList {
            names: &[
                "cache-control",
                "content-disposition",
                "content-encoding",
                "content-language",
                "content-type",
                "expires",
                "if-match",
                "if-none-match",
                "x-amz-copy-source-if-match",
                "x-amz-copy-source-if-modified-since",
                "x-amz-copy-source-if-none-match",
                "x-amz-copy-source-if-unmodified-since",
                "x-amz-metadata-directive",
                "x-amz-tagging",
                "x-amz-tagging-directive",
            ],
            metadata: true,
        },
        UploadPartCopy => AllowList {
            names: &[
                "x-amz-copy-source-if-match",
                "x-amz-copy-source-if-modified-since",
                "x-amz-copy-source-if-none-match",
                "x-amz-copy-source-if-unmodified-since",
                "x-amz-copy-source-range",
            ],
            metadata: false,
        },
        GetObject | HeadObject => AllowList {
            names: &["if-match", "if-modified-since", "if-none-match", "if-unmodified-since", "range"],
            metadata: false,
        },
        GetObjectAttributes => AllowList {
            names: &["x-amz-max-parts", "x-amz-object-attributes", "x-amz-part-number-marker"],
            metadata: false,
        },
        DeleteObject => AllowList { names: &["if-match"], metadata: false },
        PutObjectTagging | DeleteObjects => AllowList { names: &["content-md5", "content-type"], metadata: false },
        _ => NONE,
    }
}

/// Headers of a backend's answer that the client may see. Version ids, owners, ids and hosts of the backend are not
/// among them.
pub fn forwarded_response_headers(operation: Operation) -> AllowList {
    use Operation::*;
    match operation {
        GetObject | HeadObject => AllowList {
            names: &[
                "accept-ranges",
                "cache-control",
                "content-disposition",
                "content-encoding",
                "content-language",
                "content-length",
                "content-range",
                "content-type",
                "etag",
                "expires",
                "last-modified",
                "x-amz-checksum-crc32",
                "x-amz-checksum-crc32c",
                "x-amz-checksum-crc64nvme",
                "x-amz-checksum-sha1",
                "x-amz-checksum-sha256",
                "x-amz-checksum-type",
                "x-amz-missing-meta",
                "x-amz-mp-parts-count",
                "x-amz-tagging-count",
            ],
            metadata: true,
        },
        PutObject | UploadPart => AllowList {
            names: &[
                "etag",
                "x-amz-checksum-crc32",
                "x-amz-checksum-crc32c",
                "x-amz-checksum-crc64nvme",
                "x-amz-checksum-sha1",
                "x-amz-checksum-sha256",
                "x-amz-checksum-type",
            ],
            metadata: false,
        },
        CopyObject
        | UploadPartCopy
        | CompleteMultipartUpload
        | CreateMultipartUpload
        | ListObjects
        | ListObjectsV2
        | ListParts
        | ListMultipartUploads
        | DeleteObjects
        | GetObjectTagging => AllowList { names: &["content-type"], metadata: false },
        GetObjectAttributes => AllowList { names: &["content-type", "last-modified"], metadata: false },
        _ => NONE,
    }
}

/// Whether a Content-Encoding names `aws-chunked`.
pub fn is_aws_chunked(value: &HeaderValue) -> bool {
    value.as_bytes().split(|b| *b == b',').any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"aws-chunked"))
}

/// The object's own Content-Encoding: `aws-chunked` describes the transfer and is no part of the object.
/// `None` where nothing is left.
pub fn content_encoding(headers: &HeaderMap) -> Option<String> {
    let codings: Vec<&str> = headers
        .get_all(http::header::CONTENT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    (!codings.is_empty()).then(|| codings.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hb_04_only_listed_headers_travel() {
        let put = forwarded_request_headers(Operation::PutObject);
        for (name, passes) in [
            ("content-type", true),
            ("x-amz-meta-a", true),
            ("x-amz-tagging", true),
            ("authorization", false),
            ("host", false),
            ("x-amz-date", false),
            ("x-amz-content-sha256", false),
            ("x-amz-security-token", false),
            ("x-amz-copy-source", false),
            ("x-amz-acl", false),
            ("x-minio-source-mtime", false),
            ("x-rgw-a", false),
            ("x-amz-replication-status", false),
            ("x-forwarded-for", false),
            ("transfer-encoding", false),
        ] {
            assert_eq!(put.allows(name), passes, "{name}");
        }
        let get = forwarded_response_headers(Operation::GetObject);
        for (name, passes) in [
            ("etag", true),
            ("x-amz-meta-a", true),
            ("server", false),
            ("x-amz-id-2", false),
            ("x-amz-request-id", false),
            ("location", false),
        ] {
            assert_eq!(get.allows(name), passes, "{name}");
        }
    }

    #[test]
    fn aws_chunked_is_no_encoding_of_the_object() {
        for (values, want) in [
            (vec![], None),
            (vec!["aws-chunked"], None),
            (vec!["gzip"], Some("gzip")),
            (vec!["aws-chunked,gzip"], Some("gzip")),
            (vec!["gzip, AWS-chunked"], Some("gzip")),
            (vec!["aws-chunked", "gzip", "br"], Some("gzip,br")),
        ] {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append("content-encoding", HeaderValue::from_static(value));
            }
            assert_eq!(content_encoding(&headers).as_deref(), want, "{values:?}");
        }
    }
}
