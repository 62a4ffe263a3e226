//! CopyObject: inside a backend where both buckets are there and it can, else streamed through the gateway.
//! Invariant: no byte moves before the source's policy has allowed every place of the destination.
use super::{
    checksums::{parse_algorithm, shown_checksum},
    conditions::WriteConditions,
    home::{done, etag_of, explain, physical_on},
    lending::with_tags,
    multipart::with_stored_headers,
    tagging::{check_replica_count, parse_put_tags, put_request},
};
use crate::{
    admit::{Admitted, Routed},
    answer::Answer,
    gateway::Gateway,
    refusal::Refusal,
    upstream::{UpstreamAnswer, UpstreamBackend, UpstreamError, UpstreamRequest},
};
use bytes::Bytes;
use http::{HeaderMap, Method};
use s3gateway_filters::{
    conditions::{Decision, decide_copy_source},
    keys, residency,
};
use s3gateway_s3::{
    ObjectKey, S3Code, S3Error, S3Request, TagSet,
    checksum::{Algorithm, Checksum, ChecksumType},
    copy_source,
    etag::quoted,
    uri,
    xml::CopyObjectResult,
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

/// What a copy reads: a key of the same tenant, whose policy allows the copy to be where it goes.
pub(super) struct Source {
    pub(super) routed: Routed,
    pub(super) key: ObjectKey,
}

/// `COPY` takes over from the source, `REPLACE` takes from the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Directive {
    Copy,
    Replace,
}

/// A CopyObject with everything that was decided before it begins.
struct Plan<'a> {
    admitted: &'a Admitted,
    routed: &'a Routed,
    key: &'a ObjectKey,
    source: Source,
    metadata: Directive,
    tagging: Directive,
    conditions: WriteConditions,
    /// The checksum that is asked for, which only the bytes can tell.
    hash: Option<Algorithm>,
}

impl Source {
    /// Its name on the backend that both ends share, for `x-amz-copy-source`.
    pub(super) fn header(&self) -> Result<String, Refusal> {
        let physical = physical_on(&self.routed.route, &self.routed.home)?;
        Ok(format!("/{}/{}", physical.for_upstream(), uri::encode_path(self.key.as_str())))
    }

    /// Whether `backend` can copy it by itself.
    pub(super) fn is_copied_by(&self, backend: &UpstreamBackend) -> bool {
        self.routed.home.id() == backend.id() && backend.capabilities().server_side_copy
    }
}

impl Gateway {
    pub(super) async fn copy_object(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        let (routed, key, request) = (admitted.routed()?, admitted.key()?, &admitted.request);
        keys::check(routed.home.capabilities().keys, key)?;
        let metadata = parse_directive(request, "x-amz-metadata-directive")?;
        let tagging = parse_directive(request, "x-amz-tagging-directive")?;
        let source = self.resolve_source(admitted, routed, None).await?;
        if metadata == Directive::Copy && source.routed.route.bucket == routed.route.bucket && source.key == *key {
            return Err(S3Code::InvalidRequest.because(SELF_COPY).into());
        }
        let hash = parse_algorithm(request)?;
        let conditions = self.check_write_conditions(admitted, routed, key).await?;
        let plan = Plan { admitted, routed, key, source, metadata, tagging, conditions, hash };
        let result = match hash.is_none() && plan.source.is_copied_by(&routed.home) {
            true => self.copy_inside(&plan).await?,
            false => self.copy_through(&plan).await?,
        };
        Ok(Answer::xml(result.render()))
    }

    /// Finds the source and asks both policies. `also`: a place that the bytes go to besides the bucket's placement.
    pub(super) async fn resolve_source(
        &self,
        admitted: &Admitted,
        destination: &Routed,
        also: Option<&UpstreamBackend>,
    ) -> Result<Source, Refusal> {
        let parsed = copy_source::parse(header_once(&admitted.request, "x-amz-copy-source")?)?;
        if parsed.version_id.is_some_and(|version| version != "null") {
            return Err(S3Code::NoSuchVersion.into());
        }
        let routed = self.resolve(&admitted.tenant, &parsed.bucket).await?;
        let route: &Route = &routed.route;
        for id in &destination.route.placement {
            let backend = self.backends.get(id).ok_or(UpstreamError::OutOfService)?;
            residency::decide(&route.tenant_policy, &route.bucket_policy, backend.place())?;
        }
        if let Some(backend) = also {
            residency::decide(&route.tenant_policy, &route.bucket_policy, backend.place())?;
        }
        routed.require_held(&parsed.key)?;
        Ok(Source { routed, key: parsed.key })
    }

    /// The tags that the copy gets. `etag`: the source's, as its home gives it.
    async fn tags_for(&self, plan: &Plan<'_>, etag: &str) -> Result<TagSet, Refusal> {
        let route = &plan.routed.route;
        Ok(match plan.tagging {
            Directive::Replace => parse_put_tags(&plan.admitted.request, route)?.unwrap_or_default(),
            Directive::Copy => {
                let tags = self.tags_of(&plan.source.routed, &plan.source.key, etag).await?;
                check_replica_count(&tags, route)?;
                tags
            }
        })
    }

    /// The checksum that the copy takes over: that of the source's bytes. A composite one is of parts, which a copy has not.
    async fn checksum_to_carry(&self, source: &Source, shown: &HeaderMap, etag: &str, size: u64) -> Option<Checksum> {
        let kept = match shown_checksum(shown) {
            Some(checksum) => Some(checksum),
            None => self.kept_checksum(&source.routed.route, &source.key, etag, size).await,
        };
        kept.filter(|checksum| checksum.kind == ChecksumType::FullObject)
    }

    /// Lets the backend copy. The tags are set once more where more than a plain takeover is asked for: servers know the
    /// tagging directive to various degrees.
    async fn copy_inside(&self, plan: &Plan<'_>) -> Result<CopyObjectResult, Refusal> {
        let Plan { admitted, routed, key, source, .. } = plan;
        let head = self.head_at_home(&source.routed, &source.key).await?;
        judge_source(&admitted.request, &head.headers, etag_of(&head))?;
        let size = content_length(&head);
        check_size(size)?;
        let tags = self.tags_for(plan, etag_of(&head)).await?;
        let carried = match routed.home.capabilities().trailing_checksums {
            true => None,
            false => self.checksum_to_carry(source, &head.headers, etag_of(&head), size).await,
        };
        let keeps_tags = routed.home.capabilities().tagging;
        let request = routed.request(Method::PUT, Some(key))?.header("x-amz-copy-source", source.header()?);
        let request =
            plan.conditions.put_on(routed.home.capabilities(), pin_source(request, &admitted.request, etag_of(&head)));
        let request = match plan.metadata {
            Directive::Copy => request.header("x-amz-metadata-directive", "COPY"),
            Directive::Replace => {
                with_stored_headers(request.header("x-amz-metadata-directive", "REPLACE"), &admitted.request.headers)?
            }
        };
        let plain = plan.metadata == Directive::Copy && plan.tagging == Directive::Copy;
        let (request, tagging) = match keeps_tags && !plain {
            true => (
                with_tags(request.header("x-amz-tagging-directive", "REPLACE"), &tags, true),
                Some(put_request(routed.request(Method::PUT, Some(key))?, &tags)),
            ),
            false => (request, None),
        };
        let write = async {
            let answer = self.ask_home(routed, request, Bytes::new()).await?;
            let result = done(CopyObjectResult::parse(&answer.body))?;
            if let Some((request, document)) = tagging {
                // The copy stands by now, so that a refusal here must not pass for one of the copy.
                let set = self.ask_home(routed, request, document).await;
                set.map_err(|_| UpstreamError::Malformed("the copy's tags could not be set"))?;
            }
            if let Some(checksum) = &carried {
                self.keep_checksum(&routed.route, key, &result.etag, size, checksum).await;
            }
            Ok(result)
        };
        let result = self
            .write_lending(
                &routed.route,
                key,
                admitted.request_id,
                write,
                |result: &CopyObjectResult| &result.etag,
                Some(&tags),
            )
            .await?;
        Ok(match carried {
            Some(checksum) => copied(&result.etag, result.last_modified, Some(checksum)),
            None => {
                CopyObjectResult { etag: quoted(&result.etag), last_modified: or_now(result.last_modified), ..result }
            }
        })
    }

    /// Streams the object from its home to the destination's, holding one piece at a time.
    async fn copy_through(&self, plan: &Plan<'_>) -> Result<CopyObjectResult, Refusal> {
        let Plan { admitted, routed, key, source, .. } = plan;
        let request = source.routed.request(Method::GET, Some(&source.key))?.header("x-amz-checksum-mode", "ENABLED");
        let mut download = self.client.open(&source.routed.home, request).await.map_err(explain)?;
        let etag = download.header("etag").to_owned();
        judge_source(&admitted.request, &download.headers, &etag)?;
        let length = download.content_length()?;
        check_size(length)?;
        let tags = self.tags_for(plan, &etag).await?;
        let request = plan.conditions.put_on(routed.home.capabilities(), routed.request(Method::PUT, Some(key))?);
        let request = match plan.metadata {
            Directive::Copy => with_stored_headers(request, &download.headers)?,
            Directive::Replace => with_stored_headers(request, &admitted.request.headers)?,
        };
        let keeps = routed.home.capabilities().trailing_checksums;
        let mut request = with_tags(request, &tags, routed.home.capabilities().tagging);
        let carried = match plan.hash {
            Some(_) => None,
            None => self.checksum_to_carry(source, &download.headers, &etag, length).await,
        };
        if let Some(checksum) = &carried {
            // So that the backend proves what it gets.
            request = request.header(checksum.algorithm.header(), checksum.value.clone());
        }
        let write = async {
            let uploaded = self.client.upload(&routed.home, request, length, &mut download, plan.hash, keeps).await;
            let (answer, made) = uploaded.map_err(explain)?;
            let checksum = made.or(carried);
            if let Some(checksum) = checksum.as_ref().filter(|_| !keeps) {
                self.keep_checksum(&routed.route, key, etag_of(&answer), length, checksum).await;
            }
            Ok((etag_of(&answer).to_owned(), checksum))
        };
        let (etag, checksum) =
            self.write_lending(&routed.route, key, admitted.request_id, write, first, Some(&tags)).await?;
        Ok(copied(&etag, SystemTime::now(), checksum))
    }
}

fn first<T>((etag, _): &(String, T)) -> &str {
    etag
}

const SELF_COPY: &str = "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.";

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

fn parse_directive(request: &S3Request, name: &'static str) -> Result<Directive, S3Error> {
    if !request.headers.contains_key(name) {
        return Ok(Directive::Copy);
    }
    match header_once(request, name)?.trim() {
        "COPY" => Ok(Directive::Copy),
        "REPLACE" => Ok(Directive::Replace),
        other => Err(super::parameters::invalid(name, other, format!("Unknown {name}."))),
    }
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

/// Holds the backend to the source that was judged, where the copy is under conditions.
pub(super) fn pin_source(request: UpstreamRequest, client: &S3Request, etag: &str) -> UpstreamRequest {
    match SOURCE_CONDITIONS.iter().any(|name| client.headers.contains_key(*name)) && !etag.is_empty() {
        true => request.header("x-amz-copy-source-if-match", quoted(etag)),
        false => request,
    }
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

/// The answer of a copy; a backend that does not say when it was made has made it now.
fn copied(etag: &str, last_modified: SystemTime, checksum: Option<Checksum>) -> CopyObjectResult {
    CopyObjectResult {
        etag: quoted(etag),
        last_modified: or_now(last_modified),
        checksum_type: checksum.as_ref().map(|checksum| checksum.kind.name().to_owned()),
        checksums: checksum.into_iter().map(|checksum| (checksum.algorithm, checksum.value)).collect(),
    }
}

pub(super) fn or_now(time: SystemTime) -> SystemTime {
    if time == SystemTime::UNIX_EPOCH { SystemTime::now() } else { time }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn request(headers: &[(&'static str, &'static str)]) -> S3Request {
        let mut map = HeaderMap::new();
        map.insert("host", HeaderValue::from_static("localhost"));
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        S3Request::parse(&Method::PUT, "/mine/k", map.clone(), &[]).expect("a request")
    }

    #[test]
    fn directives() {
        let name = "x-amz-metadata-directive";
        for (value, want) in
            [("COPY", Ok(Directive::Copy)), ("REPLACE", Ok(Directive::Replace)), ("copy", Err(S3Code::InvalidArgument))]
        {
            assert_eq!(parse_directive(&request(&[(name, value)]), name).map_err(|e| e.code), want, "{value}");
        }
        assert_eq!(parse_directive(&request(&[]), name).map_err(|e| e.code), Ok(Directive::Copy));
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
