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
    version::{VERSION_ID, of_version},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};
use s3gateway_filters::{
    conditions::{Decision, decide_copy_source},
    keys, residency,
};
use s3gateway_s3::{
    ObjectKey, S3Code, S3Error, S3Request, TagSet, VersionId,
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

pub(super) const SOURCE_VERSION_ID: HeaderName = HeaderName::from_static("x-amz-copy-source-version-id");

/// What a copy reads: a key of the same tenant, whose policy allows the copy to be where it goes.
pub(super) struct Source {
    pub(super) routed: Routed,
    pub(super) key: ObjectKey,
    /// The version that is named, or that was found to be the current one.
    pub(super) version: Option<VersionId>,
}

/// What a copy has made.
struct Copied {
    result: CopyObjectResult,
    version: Option<VersionId>,
    source_version: Option<VersionId>,
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
        let object = format!("/{}/{}", physical.for_upstream(), uri::encode_path(self.key.as_str()));
        Ok(match &self.version {
            Some(version) => format!("{object}?versionId={}", uri::encode(version.as_str().as_bytes())),
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
    pub(super) async fn copy_object(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        let (routed, key, request) = (admitted.routed()?, admitted.key()?, &admitted.request);
        keys::check(routed.home.capabilities().keys, key)?;
        let metadata = parse_directive(request, "x-amz-metadata-directive")?;
        let tagging = parse_directive(request, "x-amz-tagging-directive")?;
        let source = self.resolve_source(admitted, routed, None).await?;
        let is_itself = source.routed.route.bucket == routed.route.bucket && source.key == *key;
        if metadata == Directive::Copy && is_itself && source.version.is_none() {
            return Err(S3Code::InvalidRequest.because(SELF_COPY).into());
        }
        let hash = parse_algorithm(request)?;
        let conditions = WriteConditions::parse(request)?;
        let plan = Plan { admitted, routed, key, source, metadata, tagging, conditions, hash };
        let copied = match hash.is_none() && plan.source.is_copied_by(&routed.home) {
            true => self.copy_inside(plan).await?,
            false => self.copy_through(plan).await?,
        };
        let answer = Answer::xml(copied.result.render()).with_some(VERSION_ID, copied.version);
        Ok(answer.with_some(SOURCE_VERSION_ID, copied.source_version))
    }

    /// Finds the source and asks both policies. `also`: a place that the bytes go to besides the bucket's placement.
    pub(super) async fn resolve_source(
        &self,
        admitted: &Admitted,
        destination: &Routed,
        also: Option<&UpstreamBackend>,
    ) -> Result<Source, Refusal> {
        let parsed = copy_source::parse(header_once(&admitted.request, "x-amz-copy-source")?)?;
        let routed = self.resolve(&admitted.tenant, &parsed.bucket).await?;
        let version = routed.version(parsed.version_id).map_err(|_| S3Code::NoSuchVersion.error())?;
        let route: &Route = &routed.route;
        for id in &destination.route.placement {
            let backend = self.backends.get(id).ok_or(UpstreamError::OutOfService)?;
            residency::decide(&route.tenant_policy, &route.bucket_policy, backend.place())?;
        }
        if let Some(backend) = also {
            residency::decide(&route.tenant_policy, &route.bucket_policy, backend.place())?;
        }
        routed.require_held(&parsed.key)?;
        Ok(Source { routed, key: parsed.key, version })
    }

    /// The tags that the copy gets. `etag`: the source's, as its home gives it.
    async fn tags_for(&self, plan: &Plan<'_>, etag: &str) -> Result<TagSet, Refusal> {
        let route = &plan.routed.route;
        Ok(match plan.tagging {
            Directive::Replace => parse_put_tags(&plan.admitted.request, route)?.unwrap_or_default(),
            Directive::Copy => {
                let Source { routed, key, version } = &plan.source;
                let tags = self.tags_of(routed, key, version.as_ref(), etag).await?;
                check_replica_count(&tags, route)?;
                tags
            }
        })
    }

    /// HEAD of the source at its home. Where it is one of several versions, what is copied later is held to that one.
    pub(super) async fn head_source(&self, source: &mut Source) -> Result<UpstreamAnswer, Refusal> {
        let request = source.request(Method::HEAD)?;
        let head = match self.ask_home(&source.routed, request, Bytes::new()).await {
            Ok(head) => head,
            Err(error) => return Err(self.explain_source(source, error).await),
        };
        if source.version.is_none() && source.routed.route.versioning.is_set() {
            source.version = self.shown_version(&source.routed, head.header(VERSION_ID.as_str())).await;
        }
        Ok(head)
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
    async fn copy_inside(&self, mut plan: Plan<'_>) -> Result<Copied, Refusal> {
        let head = self.head_source(&mut plan.source).await?;
        let Plan { admitted, routed, key, source, .. } = &plan;
        judge_source(&admitted.request, &head.headers, etag_of(&head))?;
        let size = content_length(&head);
        check_size(size)?;
        let tags = self.tags_for(&plan, etag_of(&head)).await?;
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
            let version = match self.answered_version(routed, answer.header(VERSION_ID.as_str())).await {
                None => self.find_copy(routed, key, &result).await,
                answered => answered,
            };
            if let Some((request, document)) = tagging {
                // The copy stands by now, so that a refusal here must not pass for one of the copy.
                let set = self.ask_home(routed, request.version(version.as_ref()), document).await;
                set.map_err(|_| UpstreamError::Malformed("the copy's tags could not be set"))?;
            }
            if let Some(checksum) = &carried {
                self.keep_checksum(&routed.route, key, &result.etag, size, checksum).await;
            }
            Ok((result, version))
        };
        let (result, version) = self
            .write_lending(
                admitted,
                key,
                &plan.conditions,
                write,
                |(result, _): &(CopyObjectResult, Option<VersionId>)| &result.etag,
                Some(&tags),
            )
            .await?;
        let result = match carried {
            Some(checksum) => copied(&result.etag, result.last_modified, Some(checksum)),
            None => {
                CopyObjectResult { etag: quoted(&result.etag), last_modified: or_now(result.last_modified), ..result }
            }
        };
        Ok(Copied { result, version, source_version: source.version.clone() })
    }

    /// Streams the object from its home to the destination's, holding one piece at a time.
    async fn copy_through(&self, mut plan: Plan<'_>) -> Result<Copied, Refusal> {
        let source = &plan.source;
        let request = source.request(Method::GET)?.header("x-amz-checksum-mode", "ENABLED");
        let mut download = match self.client.open(&source.routed.home, request).await {
            Ok(download) => download,
            Err(error) => return Err(self.explain_source(source, explain(error)).await),
        };
        plan.source.version = self.shown_version(&source.routed, download.header(VERSION_ID.as_str())).await;
        let Plan { admitted, routed, key, source, .. } = &plan;
        let etag = download.header("etag").to_owned();
        judge_source(&admitted.request, &download.headers, &etag)?;
        let length = download.content_length()?;
        check_size(length)?;
        let tags = self.tags_for(&plan, &etag).await?;
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
            Ok((answer, checksum))
        };
        let (answer, checksum) =
            self.write_lending(admitted, key, &plan.conditions, write, etag_of_copy, Some(&tags)).await?;
        Ok(Copied {
            result: copied(etag_of(&answer), SystemTime::now(), checksum),
            version: self.shown_version(routed, answer.header(VERSION_ID.as_str())).await,
            source_version: source.version.clone(),
        })
    }
}

fn etag_of_copy((answer, _): &(UpstreamAnswer, Option<Checksum>)) -> &str {
    etag_of(answer)
}

const DELETED_SOURCE: &str =
    "The source of a copy request may not specifically refer to a delete marker by version id.";

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
