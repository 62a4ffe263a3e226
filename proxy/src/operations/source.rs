//! What a copy reads: finding it, judging the conditions on it, and what is carried over from it.
use super::{
    checksums::shown_checksum,
    home::{etag_of, physical_on},
};
use crate::{
    admit::{Admitted, Routed},
    gateway::Gateway,
    refusal::Refusal,
    upstream::{UpstreamAnswer, UpstreamBackend, UpstreamError, UpstreamRequest},
    version::{NamedVersion, VERSION_ID, of_version},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};
use s3gateway_filters::{
    conditions::{Decision, decide_copy_source},
    residency,
};
use s3gateway_s3::{
    ObjectKey, S3Code, S3Error, S3Request,
    checksum::{Algorithm, Checksum, ChecksumType},
    copy_source,
    etag::{quoted, unquoted},
    uri,
};
use s3gateway_store::Route;
use std::time::{Duration, SystemTime};

/// Largest object that one copy takes (Amazon S3 API Reference, CopyObject).
pub(super) const MAX_COPY: u64 = 5 << 30;
/// Headers that put a copy under conditions on its source.
const SOURCE_CONDITIONS: [&str; 4] = [
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-none-match",
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-unmodified-since",
];
pub(super) const SOURCE_VERSION_ID: HeaderName = HeaderName::from_static("x-amz-copy-source-version-id");

/// What a copy reads: a key of the same tenant, whose policy allows the copy to be where it goes.
pub(super) struct Source {
    pub(super) routed: Routed,
    pub(super) key: ObjectKey,
    /// The version that is named, or that was found to be the current one.
    pub(super) version: Option<NamedVersion>,
}

impl Source {
    /// Its name on the backend that both ends share, for `x-amz-copy-source`.
    pub(super) fn header(&self) -> Result<String, Refusal> {
        let physical = physical_on(&self.routed.route, &self.routed.home)?;
        let object = format!("/{}/{}", physical.for_upstream(), uri::encode_path(self.key.as_str()));
        Ok(match &self.version {
            Some(version) => format!("{object}?versionId={}", uri::encode(version.own().as_str().as_bytes())),
            None => object,
        })
    }

    /// A request for it to its home.
    pub(super) fn request(&self, method: Method) -> Result<UpstreamRequest, Refusal> {
        Ok(self.routed.request(method, Some(&self.key))?.version(self.version.as_ref()))
    }

    /// Whether `backend` can copy it by itself.
    pub(super) fn is_copied_by(&self, backend: &UpstreamBackend) -> bool {
        self.routed.home.id() == backend.id() && backend.capabilities().server_side_copy
    }
}

impl Gateway {
    /// Finds the source and asks both policies. `also`: a place that the bytes go to besides the bucket's placement.
    pub(super) async fn resolve_source(
        &self,
        admitted: &Admitted,
        destination: &Routed,
        also: Option<&UpstreamBackend>,
    ) -> Result<Source, Refusal> {
        let parsed = copy_source::parse(header_once(&admitted.request, "x-amz-copy-source")?)?;
        let routed = self.resolve(&admitted.tenant, &parsed.bucket).await?;
        let version = self.named_version(&routed, &parsed.key, parsed.version_id).await;
        let version = version.map_err(|refusal| match refusal {
            Refusal::S3(_) => S3Code::NoSuchVersion.into(),
            refusal => refusal,
        })?;
        let route: &Route = &routed.route;
        for id in &destination.route.placement {
            let backend = self.backends.get(id).ok_or(UpstreamError::OutOfService)?;
            residency::decide(&route.tenant_policy, &route.bucket_policy, backend.place())?;
        }
        if let Some(backend) = also {
            residency::decide(&route.tenant_policy, &route.bucket_policy, backend.place())?;
        }
        routed.require_held(&parsed.key)?;
        self.require_no_stranded(&routed, &parsed.key).await?;
        Ok(Source { routed, key: parsed.key, version })
    }

    /// HEAD of the source at its home. Where it is one of several versions, what is copied later is held to that one.
    pub(super) async fn head_source(&self, source: &mut Source) -> Result<UpstreamAnswer, Refusal> {
        let request = source.request(Method::HEAD)?;
        let head = match self.ask_home(&source.routed, request, Bytes::new()).await {
            Ok(head) => head,
            Err(error) => return Err(self.explain_source(source, error).await),
        };
        if source.version.is_none() && source.routed.route.versioning.is_set() {
            source.version = self.read_source_version(source, head.header(VERSION_ID.as_str())).await;
        }
        Ok(head)
    }

    /// The source's version, by what its home has answered to a read of it.
    pub(super) async fn read_source_version(&self, source: &Source, answered: &str) -> Option<NamedVersion> {
        self.read_version(&source.routed, &source.key, source.version.as_ref(), answered).await
    }

    /// What it means for a copy that the source's home refuses it: a delete marker has nothing that could be copied (Amazon
    /// S3 API Reference, CopyObject, `x-amz-copy-source`).
    pub(super) async fn explain_source(&self, source: &Source, error: UpstreamError) -> Refusal {
        let missed = matches!(&error, UpstreamError::Refused(refused) if matches!(refused.status, 404 | 405));
        if let (true, Some(version)) = (missed, &source.version) {
            match self.find_delete_marker(&source.routed, &source.key, Some(version)).await {
                Ok(Some(_)) => return S3Code::InvalidRequest.because(DELETED_SOURCE).into(),
                Ok(None) => {}
                Err(refusal) => return refusal,
            }
        }
        of_version(error, source.version.as_ref())
    }

    /// Whether a copy with that ETag is of the source as it was judged. Not every backend holds a copy to that, and some give
    /// another ETag to the copy of an object that was made of parts: then the source tells, if it still stands.
    pub(super) async fn is_copy_of(&self, source: &Source, judged: &UpstreamAnswer, etag: &str) -> bool {
        let is_same = !etag.is_empty() && unquoted(etag) == etag_of(judged);
        if is_same || source.version.as_ref().is_some_and(|version| !version.own().is_null()) {
            return true;
        }
        let Ok(request) = source.request(Method::HEAD) else { return false };
        let now = self.ask_home(&source.routed, request, Bytes::new()).await;
        let modified = http::header::LAST_MODIFIED;
        now.is_ok_and(|now| {
            etag_of(&now) == etag_of(judged) && now.headers.get(&modified) == judged.headers.get(&modified)
        })
    }

    /// The checksum that the copy takes over: that of the source's bytes. A composite one is of parts, which a copy has not.
    pub(super) async fn checksum_to_carry(
        &self,
        source: &Source,
        shown: &HeaderMap,
        etag: &str,
        size: u64,
    ) -> Option<Checksum> {
        let shown = shown_checksum(shown);
        let kept = match &shown {
            Some(shown) if shown.algorithm != Algorithm::DEFAULT => None,
            _ => self.kept_checksum(&source.routed.route, &source.key, etag, size).await,
        };
        kept.or(shown).filter(|checksum| checksum.kind == ChecksumType::FullObject)
    }
}

const DELETED_SOURCE: &str =
    "The source of a copy request may not specifically refer to a delete marker by version id.";

/// A header that must be there exactly once.
pub(super) fn header_once<'r>(request: &'r S3Request, name: &'static str) -> Result<&'r str, S3Error> {
    let mut values = request.headers.get_all(name).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => std::str::from_utf8(value.as_bytes()).ok(),
        _ => None,
    };
    value.ok_or_else(|| {
        S3Code::InvalidArgument
            .because(format!("The header {name} must be given once, in UTF-8."))
            .with("ArgumentName", name)
    })
}

/// Decides the conditions on the source by what its home says of it, whatever that home makes of conditions.
///
/// # Errors
/// `PreconditionFailed`.
pub(super) fn judge_source(request: &S3Request, source: &HeaderMap, etag: &str) -> Result<(), S3Error> {
    let modified = source.get(http::header::LAST_MODIFIED).and_then(|v| v.to_str().ok()).and_then(parse_http_date);
    match decide_copy_source(&request.headers, etag, modified) {
        Decision::Proceed => Ok(()),
        Decision::NotModified | Decision::PreconditionFailed => {
            Err(S3Code::PreconditionFailed.error().with("Condition", "x-amz-copy-source-If-Match"))
        }
    }
}

/// Whether a copy is under conditions on its source.
pub(super) fn is_conditional(client: &S3Request) -> bool {
    SOURCE_CONDITIONS.iter().any(|name| client.headers.contains_key(*name))
}

/// Holds the backend to the source that was judged.
pub(super) fn pin_source(request: UpstreamRequest, etag: &str) -> UpstreamRequest {
    if etag.is_empty() { request } else { request.header("x-amz-copy-source-if-match", quoted(etag)) }
}

fn parse_http_date(text: &str) -> Option<SystemTime> {
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let seconds = time::PrimitiveDateTime::parse(text, format).ok()?.assume_utc().unix_timestamp();
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// The object's size in an answer to HEAD; one that says none is taken for small.
pub(super) fn content_length(head: &UpstreamAnswer) -> u64 {
    head.header("content-length").parse().unwrap_or_default()
}

/// # Errors
/// `InvalidRequest` for more than one copy takes.
pub(super) fn check_size(bytes: u64) -> Result<(), S3Error> {
    match bytes {
        0..=MAX_COPY => Ok(()),
        _ => Err(S3Code::InvalidRequest.because(format!(
            "The specified copy source is larger than the maximum allowable size for a copy source: {MAX_COPY}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use http::HeaderValue;

    fn request(headers: &[(&'static str, &'static str)]) -> S3Request {
        testing::request(Method::PUT, "/mine/k", headers)
    }

    #[test]
    fn the_source_is_judged_here() {
        let mut source = HeaderMap::new();
        source.insert("last-modified", HeaderValue::from_static("Fri, 02 Jan 2026 03:04:05 GMT"));
        for (condition, ok) in [
            (("x-amz-copy-source-if-match", "\"a\""), true),
            (("x-amz-copy-source-if-match", "\"b\""), false),
            (("x-amz-copy-source-if-none-match", "\"a\""), false),
            (("x-amz-copy-source-if-modified-since", "Fri, 02 Jan 2026 03:04:04 GMT"), true),
            (("x-amz-copy-source-if-modified-since", "Fri, 02 Jan 2026 03:04:05 GMT"), false),
            (("x-amz-copy-source-if-unmodified-since", "Fri, 02 Jan 2026 03:04:05 GMT"), true),
            (("x-amz-copy-source-if-unmodified-since", "Fri, 02 Jan 2026 03:04:04 GMT"), false),
        ] {
            assert_eq!(judge_source(&request(&[condition]), &source, "\"a\"").is_ok(), ok, "{condition:?}");
        }
    }

    #[test]
    fn sizes_and_dates() {
        assert!(check_size(MAX_COPY).is_ok());
        assert_eq!(check_size(MAX_COPY + 1).map_err(|e| e.code), Err(S3Code::InvalidRequest));
        assert_eq!(
            parse_http_date("Thu, 01 Jan 1970 00:01:00 GMT"),
            Some(SystemTime::UNIX_EPOCH + Duration::from_secs(60))
        );
        for text in ["", "yesterday", "2026-01-02T03:04:05Z"] {
            assert_eq!(parse_http_date(text), None, "{text}");
        }
    }
}
