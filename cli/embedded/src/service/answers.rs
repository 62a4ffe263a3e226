//! Pieces that many answers are made of.
use super::request::OWNER;
use crate::{
    checksums::{Algorithm, Checksum},
    error::Internal,
    rows::{Found, Version},
    store::time,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{
    S3Error, S3Result,
    dto::{ETag, EncodingType, Owner, Timestamp, TimestampFormat},
    s3_error,
};

const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/').remove(b'*');

/// Puts a checksum into the field of an output that its algorithm has.
macro_rules! show_checksum {
    ($output:expr, $checksum:expr) => {
        if let Some(checksum) = $checksum {
            let value = Some(checksum.value.clone());
            match checksum.algorithm {
                $crate::checksums::Algorithm::Crc32 => $output.checksum_crc32 = value,
                $crate::checksums::Algorithm::Crc32c => $output.checksum_crc32c = value,
                $crate::checksums::Algorithm::Crc64Nvme => $output.checksum_crc64nvme = value,
                $crate::checksums::Algorithm::Sha1 => $output.checksum_sha1 = value,
                $crate::checksums::Algorithm::Sha256 => $output.checksum_sha256 = value,
            }
        }
    };
}
pub(super) use show_checksum;

/// Takes the checksums that an input carries, by algorithm.
macro_rules! take_checksums {
    ($input:expr) => {
        [
            (Algorithm::Crc32, $input.checksum_crc32.take()),
            (Algorithm::Crc32c, $input.checksum_crc32c.take()),
            (Algorithm::Crc64Nvme, $input.checksum_crc64nvme.take()),
            (Algorithm::Sha1, $input.checksum_sha1.take()),
            (Algorithm::Sha256, $input.checksum_sha256.take()),
        ]
        .into_iter()
        .filter_map(|(algorithm, value)| Some((algorithm, value?)))
    };
}
pub(super) use take_checksums;

pub(super) fn owner() -> Owner {
    Owner { display_name: Some(OWNER.into()), id: Some(OWNER.into()) }
}

pub(super) fn timestamp(millis: i64) -> Timestamp {
    time(millis).into()
}

/// The time as XML has it.
pub(super) fn iso(millis: i64) -> String {
    let mut text = Vec::new();
    // Into memory, of a year that has four digits.
    let _ = timestamp(millis).format(TimestampFormat::DateTime, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Text for an XML element; control characters as references, as S3 writes them.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c if c.is_control() => escaped.push_str(&format!("&#x{:X};", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}

pub(super) fn etag(value: &str) -> ETag {
    ETag::Strong(value.to_owned())
}

/// How a listing writes names: as they are, or encoded where asked.
#[derive(Clone, Copy)]
pub(super) struct Names {
    encoded: bool,
}

impl Names {
    pub(super) fn of(encoding: Option<&EncodingType>) -> S3Result<Self> {
        match encoding.map(EncodingType::as_str) {
            None => Ok(Self { encoded: false }),
            Some("url") => Ok(Self { encoded: true }),
            Some(_) => Err(s3_error!(InvalidArgument, "Invalid Encoding Method specified in Request")),
        }
    }

    pub(super) fn write(self, name: &str) -> String {
        if self.encoded { utf8_percent_encode(name, ENCODED).to_string() } else { name.to_owned() }
    }

    pub(super) fn write_key(self, key: &[u8]) -> String {
        self.write(&String::from_utf8_lossy(key))
    }
}

/// The headers that GetObject and HeadObject have in common, user metadata excepted, which s3s encodes.
pub(super) fn headers_of(found: &Found) -> S3Result<HeaderMap> {
    let version = &found.version;
    let mut headers = HeaderMap::new();
    let default_type = ("content-type".to_owned(), "binary/octet-stream".to_owned());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    set(&mut headers, &default_type.0, &default_type.1)?;
    for (name, value) in &version.meta.system {
        set(&mut headers, name, value)?;
    }
    set(&mut headers, "etag", &format!("\"{}\"", version.etag))?;
    set(&mut headers, "last-modified", &httpdate::fmt_http_date(time(version.modified)))?;
    if let Some(class) = &version.meta.storage_class {
        set(&mut headers, "x-amz-storage-class", class)?;
    }
    if !version.tags.is_empty() {
        set(&mut headers, "x-amz-tagging-count", &version.tags.len().to_string())?;
    }
    if let Some(id) = found.bucket.shown(&version.id) {
        set(&mut headers, "x-amz-version-id", &id)?;
    }
    Ok(headers)
}

/// The header of a checksum, and what it is of.
pub(super) fn set_checksum(headers: &mut HeaderMap, checksum: &Checksum) -> S3Result<()> {
    set(headers, checksum.algorithm.header(), &checksum.value)?;
    set(headers, "x-amz-checksum-type", checksum.kind.name())
}

pub(super) fn set(headers: &mut HeaderMap, name: &str, value: &str) -> S3Result<()> {
    let name = HeaderName::from_bytes(name.as_bytes()).internal()?;
    headers
        .insert(name, HeaderValue::from_str(value).or_else(|_| HeaderValue::from_bytes(value.as_bytes())).internal()?);
    Ok(())
}

/// What a read of a delete marker is answered: it hides its key, and cannot be read itself.
pub(super) fn of_marker(found: &Found, by_id: bool) -> S3Result<S3Error> {
    let mut error = match by_id {
        true => s3_error!(MethodNotAllowed, "The specified method is not allowed against this resource."),
        false => s3_error!(NoSuchKey, "The specified key does not exist."),
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    set(&mut headers, "x-amz-delete-marker", "true")?;
    if let Some(id) = found.bucket.shown(&found.version.id) {
        set(&mut headers, "x-amz-version-id", &id)?;
    }
    if by_id {
        set(&mut headers, "allow", "DELETE")?;
        set(&mut headers, "last-modified", &httpdate::fmt_http_date(time(found.version.modified)))?;
    }
    error.set_headers(headers);
    Ok(error)
}

/// The class as listings show it, where every object has one.
pub(super) fn class(version: &Version) -> String {
    version.meta.storage_class.clone().unwrap_or_else(|| "STANDARD".to_owned())
}

/// The algorithm as listings name it.
pub(super) fn algorithm(algorithm: Algorithm) -> s3s::dto::ChecksumAlgorithm {
    s3s::dto::ChecksumAlgorithm::from_static(algorithm.name())
}

/// The type as answers name it.
pub(super) fn kind(checksum: &Checksum) -> s3s::dto::ChecksumType {
    s3s::dto::ChecksumType::from_static(checksum.kind.name())
}
