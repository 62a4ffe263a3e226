//! One object as a backend showed it, in a form in which two backends' answers can be compared.
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use s3gateway_s3::VersionId;
use s3gateway_s3::checksum::{Algorithm, Checksum, parse_value};
use std::collections::BTreeMap;

/// Object tags by key; their order means nothing in S3.
pub(crate) type Tags = BTreeMap<String, String>;

/// What HeadObject told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Object {
    /// Without quotes.
    pub(crate) etag: String,
    /// Bytes.
    pub(crate) size: u64,
    /// What travels with the bytes.
    pub(crate) headers: ObjectHeaders,
    /// Empty where it has none or its backend keeps none.
    pub(crate) tags: Tags,
    /// Of its bytes, where its backend keeps one and shows it.
    pub(crate) checksum: Option<Checksum>,
    /// When it was written, as its backend says (milliseconds since the Unix epoch).
    pub(crate) modified: i64,
    /// Which version of its key it is, where its bucket keeps versions.
    pub(crate) version: Option<VersionId>,
}

/// Standard headers and user metadata that a copy carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ObjectHeaders {
    pub(crate) content_type: Option<String>,
    pub(crate) cache_control: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_language: Option<String>,
    /// An HTTP date where it is one, else the text as stored.
    pub(crate) expires: Option<String>,
    /// `x-amz-meta-*` without the prefix.
    pub(crate) metadata: BTreeMap<String, String>,
}

impl Object {
    /// Reads the head of GetObject's answer, which says the same as HeadObject's.
    pub(crate) fn parse_read(read: &GetObjectOutput) -> Option<Self> {
        let head = HeadObjectOutput::builder()
            .set_e_tag(read.e_tag.clone())
            .set_content_length(read.content_length)
            .set_version_id(read.version_id.clone())
            .set_last_modified(read.last_modified)
            .set_content_type(read.content_type.clone())
            .set_cache_control(read.cache_control.clone())
            .set_content_disposition(read.content_disposition.clone())
            .set_content_encoding(read.content_encoding.clone())
            .set_content_language(read.content_language.clone())
            .set_expires_string(read.expires_string.clone())
            .set_metadata(read.metadata.clone())
            .set_checksum_crc32(read.checksum_crc32.clone())
            .set_checksum_crc32_c(read.checksum_crc32_c.clone())
            .set_checksum_crc64_nvme(read.checksum_crc64_nvme.clone())
            .set_checksum_sha1(read.checksum_sha1.clone())
            .set_checksum_sha256(read.checksum_sha256.clone());
        Self::parse(head.build())
    }

    /// Reads HeadObject's answer; `None` where it lacks what every S3 answer has.
    pub(crate) fn parse(head: HeadObjectOutput) -> Option<Self> {
        let etag = unquote(head.e_tag()?).to_owned();
        let size = u64::try_from(head.content_length()?).ok()?;
        let checksum = parse_checksum(&head);
        let version = head.version_id().and_then(|id| VersionId::parse(id).ok());
        let modified = head.last_modified().and_then(|at| at.to_millis().ok()).unwrap_or(0);
        let headers = ObjectHeaders {
            content_type: head.content_type.filter(|v| !v.is_empty()),
            cache_control: head.cache_control.filter(|v| !v.is_empty()),
            content_disposition: head.content_disposition.filter(|v| !v.is_empty()),
            content_encoding: head.content_encoding.as_deref().and_then(without_framing),
            content_language: head.content_language.filter(|v| !v.is_empty()),
            expires: head.expires_string.as_deref().map(normalise_date),
            metadata: head.metadata.unwrap_or_default().into_iter().collect(),
        };
        Some(Self { etag, size, headers, tags: Tags::new(), checksum, modified, version })
    }
}

impl ObjectHeaders {
    /// Whether a copy with these headers is as good as `home`. A content type that the home does not have may be
    /// whatever default the other backend makes up.
    pub(crate) fn equal_home(&self, home: &Self) -> bool {
        let defaulted =
            home.content_type.is_none() && self.content_type.as_deref().is_none_or(|t| t.ends_with("/octet-stream"));
        let mut mine = self.clone();
        if defaulted {
            mine.content_type = None;
        }
        mine == *home
    }

    /// `expires` as a date, where it is one.
    pub(crate) fn expires_date(&self) -> Option<DateTime> {
        DateTime::from_str(self.expires.as_deref()?, DateTimeFormat::HttpDate).ok()
    }
}

/// A composite one is of parts: a copy that is put at once has none.
fn parse_checksum(head: &HeadObjectOutput) -> Option<Checksum> {
    let shown = [
        (Algorithm::Crc32, head.checksum_crc32()),
        (Algorithm::Crc32c, head.checksum_crc32_c()),
        (Algorithm::Crc64Nvme, head.checksum_crc64_nvme()),
        (Algorithm::Sha1, head.checksum_sha1()),
        (Algorithm::Sha256, head.checksum_sha256()),
    ];
    let (algorithm, value) = shown.into_iter().find_map(|(algorithm, value)| Some((algorithm, value?)))?;
    parse_value(algorithm, value).map(|_| Checksum::full_object(algorithm, value.to_owned()))
}

pub(crate) use s3gateway_s3::etag::unquoted as unquote;

/// `aws-chunked` is a framing of the upload that some backends keep by mistake; it is no encoding of the object.
fn without_framing(encoding: &str) -> Option<String> {
    let kept: Vec<&str> = encoding
        .split(',')
        .map(str::trim)
        .filter(|e| !e.is_empty() && !e.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    (!kept.is_empty()).then(|| kept.join(", "))
}

fn normalise_date(text: &str) -> String {
    let date = DateTime::from_str(text, DateTimeFormat::HttpDate).ok();
    date.and_then(|d| d.fmt(DateTimeFormat::HttpDate).ok()).unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_answer_becomes_comparable() {
        let head = HeadObjectOutput::builder()
            .e_tag("\"abc-2\"")
            .content_length(7)
            .content_encoding("aws-chunked, gzip")
            .expires_string("Thu, 01 Dec 1994 16:00:00 GMT")
            .metadata("color", "blue")
            .checksum_crc32("AAAAAA==")
            .build();
        let object = Object::parse(head).unwrap();
        assert_eq!((object.etag.as_str(), object.size), ("abc-2", 7));
        assert_eq!(object.headers.content_encoding.as_deref(), Some("gzip"));
        assert_eq!(object.headers.expires.as_deref(), Some("Thu, 01 Dec 1994 16:00:00 GMT"));
        assert!(object.headers.expires_date().is_some());
        assert_eq!(object.checksum, Some(Checksum::full_object(Algorithm::Crc32, "AAAAAA==".to_owned())));
        let composite = HeadObjectOutput::builder().e_tag("x").content_length(1).checksum_crc32("AAAAAA==-2").build();
        assert_eq!(Object::parse(composite).unwrap().checksum, None);
        for bad in [
            HeadObjectOutput::builder().content_length(1).build(),
            HeadObjectOutput::builder().e_tag("x").build(),
            HeadObjectOutput::builder().e_tag("x").content_length(-1).build(),
        ] {
            assert_eq!(Object::parse(bad), None);
        }
    }

    #[test]
    fn a_read_tells_all_that_a_head_tells() {
        macro_rules! answer {
            ($output:ident) => {
                $output::builder()
                    .e_tag("\"abc\"")
                    .content_length(7)
                    .version_id("v1")
                    .last_modified(DateTime::from_secs(1_800_000_000))
                    .content_type("text/plain")
                    .cache_control("no-cache")
                    .content_disposition("inline")
                    .content_encoding("gzip")
                    .content_language("fi")
                    .expires_string("0")
                    .metadata("color", "blue")
                    .checksum_crc32("AAAAAA==")
                    .build()
            };
        }
        let head = Object::parse(answer!(HeadObjectOutput)).unwrap();
        assert_eq!(Object::parse_read(&answer!(GetObjectOutput)), Some(head.clone()));
        assert_eq!((head.modified, head.version.is_some()), (1_800_000_000_000, true));
    }

    #[test]
    fn a_made_up_content_type_is_no_difference_but_a_real_one_is() {
        let typed = |t: Option<&str>| ObjectHeaders { content_type: t.map(str::to_owned), ..Default::default() };
        for (copy, home, want) in [
            (None, None, true),
            (Some("binary/octet-stream"), None, true),
            (Some("application/octet-stream"), None, true),
            (Some("text/plain"), None, false),
            (Some("application/octet-stream"), Some("text/plain"), false),
            (None, Some("text/plain"), false),
            (Some("text/plain"), Some("text/plain"), true),
        ] {
            assert_eq!(typed(copy).equal_home(&typed(home)), want, "{copy:?} {home:?}");
        }
        let meta = ObjectHeaders { metadata: [("a".to_owned(), "b".to_owned())].into(), ..Default::default() };
        assert!(!meta.equal_home(&ObjectHeaders::default()));
    }

    #[test]
    fn an_expires_that_is_no_date_stays_as_it_is() {
        assert_eq!(normalise_date("0"), "0");
        assert_eq!(without_framing("aws-chunked"), None);
        assert_eq!(without_framing(" aws-chunked , br"), Some("br".to_owned()));
    }
}
