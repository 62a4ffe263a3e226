//! CopyObject: inside a backend where both buckets are there and it can, else streamed through the gateway.
//! Invariant: no byte moves before the source's policy has allowed every place of the destination.
use super::{
    checksums::parse_algorithm,
    conditions::WriteConditions,
    home::{done, etag_of, explain},
    lending::{Became, Lending, ObjectWrite, with_tags},
    multipart::with_stored_headers,
    null_version::MadeVersion,
    source::{SOURCE_VERSION_ID, Source, check_size, content_length, header_once, judge_source, pin_source},
    tagging::{check_replica_count, parse_put_tags, put_request},
};
use crate::{
    admit::{Admitted, Routed},
    answer::Answer,
    gateway::Gateway,
    refusal::Refusal,
    upstream::{UpstreamAnswer, UpstreamError},
    version::{NamedVersion, VERSION_ID},
};
use bytes::Bytes;
use http::Method;
use s3gateway_filters::keys;
use s3gateway_s3::{
    ObjectKey, S3Code, S3Error, S3Request, TagSet,
    checksum::{Algorithm, Checksum},
    etag::quoted,
    xml::CopyObjectResult,
};
use std::time::SystemTime;

/// How often a source that is written all the time is looked at anew.
const MAX_JUDGED: usize = 3;

/// What a copy has made.
struct Copied {
    result: CopyObjectResult,
    version: Option<NamedVersion>,
    source_version: Option<NamedVersion>,
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
        if is_itself {
            self.note_unlisted(routed, key).await?;
        }
        let plan = Plan { admitted, routed, key, source, metadata, tagging, conditions, hash };
        let copied = match hash.is_none() && plan.source.is_copied_by(&routed.home) {
            true => self.copy_inside(plan).await?,
            false => self.copy_through(plan).await?,
        };
        let Copied { result, version, source_version } = copied;
        let answer = Answer::xml(result.render()).with_some(VERSION_ID, version.map(NamedVersion::into_shown));
        Ok(answer.with_some(SOURCE_VERSION_ID, source_version.map(NamedVersion::into_shown)))
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

    /// Lets the backend copy what was judged; where the source is written meanwhile, what stands then is judged anew.
    async fn copy_inside(&self, mut plan: Plan<'_>) -> Result<Copied, Refusal> {
        let mut refused: Option<(String, Refusal)> = None;
        for _ in 0..MAX_JUDGED {
            let head = self.head_source(&mut plan.source).await?;
            judge_source(&plan.admitted.request, &head.headers, etag_of(&head))?;
            match refused {
                // It is not for the source's sake then, but for that of the conditions on what the copy replaces.
                Some((etag, refusal)) if etag == etag_of(&head) => return Err(refusal),
                _ => {}
            }
            match self.copy_judged(&plan, &head).await {
                Err(refusal) if refusal.to_s3().code == S3Code::PreconditionFailed => {
                    refused = Some((etag_of(&head).to_owned(), refusal));
                }
                outcome => return outcome,
            }
        }
        Err(S3Code::SlowDown.into())
    }

    /// One attempt. `head`: the source's. The tags are set once more where more than a plain takeover is asked for: servers
    /// know the tagging directive to various degrees.
    async fn copy_judged(&self, plan: &Plan<'_>, head: &UpstreamAnswer) -> Result<Copied, Refusal> {
        let Plan { admitted, routed, key, source, .. } = plan;
        let size = content_length(head);
        check_size(size)?;
        let tags = self.tags_for(plan, etag_of(head)).await?;
        let carried = self.checksum_to_carry(source, &head.headers, etag_of(head), size).await;
        let carried = carried.filter(|carried| !routed.home.keeps_checksum(carried.algorithm));
        let keeps_tags = routed.home.capabilities().tagging;
        let request = routed.request(Method::PUT, Some(key))?.header("x-amz-copy-source", source.header()?);
        let request = plan.conditions.put_on(routed.home.capabilities(), pin_source(request, etag_of(head)));
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
        let tags_follow = tagging.is_some();
        let write = async {
            let answer = self.ask_home(routed, request, Bytes::new()).await?;
            let result = done(CopyObjectResult::parse(&answer.body))?;
            let version = match self.written_version(routed, key, answer.header(VERSION_ID.as_str())).await {
                None => self.find_copy(routed, key, &result).await,
                answered => answered,
            };
            if let Some((request, document)) = tagging {
                // The copy stands by now, so that a refusal here must not pass for one of the copy.
                let set = self.ask_home(routed, request.version(version.as_ref()), document).await;
                set.map_err(|_| UpstreamError::Malformed("the copy's tags could not be set"))?;
            }
            let result = match carried {
                Some(checksum) if self.is_copy_of(source, head, &result.etag).await => {
                    self.keep_checksum(&routed.route, key, &result.etag, size, &checksum).await;
                    copied(&result.etag, result.last_modified, Some(checksum))
                }
                _ => {
                    let last_modified = or_now(result.last_modified);
                    CopyObjectResult { etag: quoted(&result.etag), last_modified, ..result }
                }
            };
            Ok(Copied { result, version, source_version: source.version.clone() })
        };
        let lending = Lending::Written(Some(&tags));
        let object = ObjectWrite { key, conditions: &plan.conditions, lending, tags_follow, elsewhere: None };
        let version = |made: &Copied| MadeVersion::of(made.version.as_ref());
        self.write_lending(admitted, object, write, |made| Became { etag: &made.result.etag, version: version(made) })
            .await
    }

    /// Streams the object from its home to the destination's, holding one piece at a time.
    async fn copy_through(&self, mut plan: Plan<'_>) -> Result<Copied, Refusal> {
        let source = &plan.source;
        let request = source.request(Method::GET)?.header("x-amz-checksum-mode", "ENABLED");
        let mut download = match self.client.open(&source.routed.home, request).await {
            Ok(download) => download,
            Err(error) => return Err(self.explain_source(source, explain(error)).await),
        };
        plan.source.version = self.read_source_version(source, download.header(VERSION_ID.as_str())).await;
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
        let keeps = |algorithm| routed.home.keeps_checksum(algorithm);
        let mut request = with_tags(request, &tags, routed.home.capabilities().tagging);
        let carried = match plan.hash {
            Some(_) => None,
            None => self.checksum_to_carry(source, &download.headers, &etag, length).await,
        };
        if let Some(checksum) = carried.as_ref().filter(|carried| carried.algorithm.is_widespread()) {
            // So that the backend proves what it gets.
            request = request.header(checksum.algorithm.header(), checksum.value.clone());
        }
        let write = async {
            let uploaded = self
                .client
                .upload(&routed.home, request, length, &mut download, plan.hash, plan.hash.is_some_and(keeps))
                .await;
            let (answer, made) = uploaded.map_err(explain)?;
            let checksum = made.or(carried);
            if let Some(checksum) = checksum.as_ref().filter(|made| !keeps(made.algorithm)) {
                self.keep_checksum(&routed.route, key, etag_of(&answer), length, checksum).await;
            }
            Ok((answer, checksum))
        };
        let lending = Lending::Written(Some(&tags));
        let object = ObjectWrite { key, conditions: &plan.conditions, lending, tags_follow: false, elsewhere: None };
        let (answer, checksum) = self.write_lending(admitted, object, write, became).await?;
        Ok(Copied {
            result: copied(etag_of(&answer), SystemTime::now(), checksum),
            version: self.put_version(routed, key, answer.header(VERSION_ID.as_str())).await,
            source_version: source.version.clone(),
        })
    }
}

fn became((answer, _): &(UpstreamAnswer, Option<Checksum>)) -> Became<'_> {
    Became { etag: etag_of(answer), version: MadeVersion::of_answer(answer.header(VERSION_ID.as_str())) }
}

const SELF_COPY: &str = "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.";

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
    use super::super::testing;
    use super::*;

    fn request(headers: &[(&'static str, &'static str)]) -> S3Request {
        testing::request(Method::PUT, "/mine/k", headers)
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
}
