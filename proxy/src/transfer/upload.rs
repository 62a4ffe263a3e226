//! The body of a PutObject or UploadPart on its way up: proven, marked, released, committed.
use super::{etag_of, head};
mod spread;

use crate::{
    admit::Admitted,
    answer::{Answer, response_head},
    gateway::Gateway,
    marks::LEASE_AGE,
    operations::{MadeVersion, WriteConditions, explain, lends_tags},
    refusal::Refusal,
    upstream::{UpstreamAnswer, UpstreamBackend, UpstreamError, UpstreamRequest},
    version::{NamedVersion, VERSION_ID},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, response::Parts};
use pingora_http::ResponseHeader;
use s3gateway_filters::payload::{BodyPlan, BodyVerifier, ChunkedEncoder, Finished};
use s3gateway_s3::{Operation, S3Code, VersionId, checksum::Checksum, tagging::TagSet};
use s3gateway_store::{DirtyKey, UploadedPart, queue::Mark};
use spread::Elsewhere;
use std::{sync::Arc, time::Instant};
use tokio::task::JoinHandle;

/// An upload between its judged head and its answer.
pub(super) struct Upload {
    plan: BodyPlan,
    verifier: Option<BodyVerifier>,
    /// Where the backend gets the body with its checksum behind it.
    encoder: Option<ChunkedEncoder>,
    tags: Option<TagSet>,
    /// They are kept here, not at the home.
    lends_tags: bool,
    /// The backend's upload id and the part number, for UploadPart.
    part: Option<(String, u32)>,
    dirty: DirtyKey,
    marking: Marking,
    /// The payload has proven true and its last bytes have left, in this attempt.
    released: bool,
    /// The same in an earlier attempt, of which nothing is known: it may yet land.
    released_before: bool,
    /// What the client has declared, proven true.
    checksum: Option<Checksum>,
    /// Of a part, by the algorithm of its upload.
    computed: Option<Checksum>,
    conditions: WriteConditions,
    elsewhere: Elsewhere,
    /// The backend has said no while the body was still coming.
    refused: bool,
}

/// How far the key's mark has come. A part is no object and needs none.
enum Marking {
    NotNeeded,
    /// Asked for while the body streams, so that the client waits for neither.
    Asked(JoinHandle<Result<Mark, Refusal>>, Instant),
    Made(Mark, Instant),
    Settled,
}

impl Upload {
    /// Checks everything that the head can tell before a byte of the body is asked for.
    pub(super) fn prepare(gateway: &Gateway, admitted: &Admitted, plan: BodyPlan) -> Result<Self, Refusal> {
        let routed = admitted.routed()?;
        let request = &admitted.request;
        let capabilities = routed.home.capabilities();
        s3gateway_filters::keys::check(capabilities.keys, admitted.key()?)?;
        let conditions = match request.operation {
            Operation::PutObject => WriteConditions::parse(request)?,
            _ => WriteConditions::default(),
        };
        let (part, tags, plan) = match request.operation {
            Operation::UploadPart => {
                let number = request.part_number()?.ok_or_else(|| S3Code::InvalidArgument.error())?;
                let upload = gateway.open_upload_id(admitted)?;
                upload.check_algorithm(plan.checksum_algorithm())?;
                let plan = plan.and_compute(upload.algorithm());
                (Some((upload.backend_upload_id, number)), None, plan)
            }
            _ => (None, crate::operations::parse_put_tags(request, &routed.route)?, plan),
        };
        Ok(Self {
            plan,
            verifier: None,
            encoder: None,
            lends_tags: lends_tags(routed, tags.as_ref()),
            tags,
            marking: if part.is_some() { Marking::NotNeeded } else { Marking::Settled },
            part,
            dirty: DirtyKey { bucket: routed.route.bucket.clone(), key: admitted.key()?.clone() },
            released: false,
            released_before: false,
            checksum: None,
            computed: None,
            conditions,
            elsewhere: Elsewhere::Nowhere,
            refused: false,
        })
    }

    pub(super) fn plan(&self) -> &BodyPlan {
        &self.plan
    }

    /// Whether sending it twice does no harm.
    pub(super) fn is_repeatable(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Whether a backend may have the whole object, from this attempt or an earlier one.
    pub(super) fn was_released(&self) -> bool {
        self.released || self.released_before
    }

    /// Whether this attempt has the whole body, so that it is the backend's turn.
    pub(super) fn is_complete(&self) -> bool {
        self.released
    }

    /// Whether the backend has said no.
    pub(super) fn is_refused(&self) -> bool {
        self.refused
    }

    /// Spares a client the sending of a large body that its conditions refuse as things stand.
    pub(super) async fn decide_early(&self, gateway: &Gateway, admitted: &Admitted) -> Result<(), Refusal> {
        match self.plan.decoded_length > LARGE {
            true => gateway.decide_conditions(admitted.routed()?, &self.dirty.key, &self.conditions).await,
            false => Ok(()),
        }
    }

    /// Asks for the key's mark in the background. Not for a large body, which outlives the lease, nor for a write that
    /// keeps others waiting: those ask at the end.
    pub(super) fn ask_for_mark(&mut self, gateway: &Arc<Gateway>, admitted: &Admitted) {
        let is_slow = self.plan.decoded_length > LARGE;
        let is_alone = self.lends_tags || !self.conditions.is_empty();
        if matches!(self.marking, Marking::NotNeeded) || is_slow || is_alone {
            return;
        }
        let (gateway, dirty, request_id) = (gateway.clone(), self.dirty.clone(), admitted.request_id);
        let (since, asked) = (Instant::now(), async move { gateway.intent(&dirty, request_id).await });
        self.marking = Marking::Asked(tokio::spawn(asked), since);
    }

    /// Begins an attempt: the request as the backend gets it, and a fresh proof of the body.
    pub(super) fn start(&mut self, admitted: &Admitted, backend: &UpstreamBackend) -> Result<UpstreamRequest, Refusal> {
        self.verifier = Some(BodyVerifier::new(&self.plan, &admitted.verified));
        self.released_before |= std::mem::take(&mut self.released);
        let (request, length) = (self.request(admitted, backend)?, self.plan.decoded_length);
        let trailing = self.trailing_for(backend);
        self.encoder = trailing.map(|_| ChunkedEncoder::new(length));
        self.begin_copies(admitted)?;
        Ok(match trailing {
            Some(algorithm) => request.trailing_checksum(algorithm, length),
            None => request.content_length(length),
        })
    }

    fn request(&self, admitted: &Admitted, backend: &UpstreamBackend) -> Result<UpstreamRequest, Refusal> {
        let request = self.unconditional_request(admitted, backend)?;
        Ok(self.conditions.put_on(backend.capabilities(), request))
    }

    fn unconditional_request(
        &self,
        admitted: &Admitted,
        backend: &UpstreamBackend,
    ) -> Result<UpstreamRequest, Refusal> {
        let physical = admitted.routed()?.route.physical_on(backend.id()).ok_or(UpstreamError::OutOfService)?;
        let mut request = UpstreamRequest::new(Method::PUT, physical, Some(&self.dirty.key));
        if let Some((upload_id, number)) = &self.part {
            return Ok(request.query("partNumber", &number.to_string()).query("uploadId", upload_id));
        }
        request = head::put_upload_headers(request, &admitted.request)?;
        if let Some(tags) = &self.tags
            && backend.capabilities().tagging
        {
            request = request.header("x-amz-tagging", tags.render_header());
        }
        Ok(request)
    }

    /// Takes a piece of the body and gives back what may leave now. At the end: the proof, then the mark, then the rest.
    pub(super) async fn pass(
        &mut self,
        gateway: &Gateway,
        piece: Option<Bytes>,
        end: bool,
        admitted: &Admitted,
    ) -> Result<Option<Bytes>, Refusal> {
        if self.refused {
            // The rest is read, so that the client sees the answer, and goes nowhere.
            return Ok(if end { None } else { Some(Bytes::new()) });
        }
        let Some(verifier) = self.verifier.as_mut() else { return Ok(None) };
        let mut out = match piece {
            Some(piece) => verifier.push(piece)?,
            None => None,
        };
        if !end {
            let out = out.unwrap_or_default();
            self.elsewhere.feed_all(&out).await?;
            return Ok(Some(match &mut self.encoder {
                Some(encoder) => encoder.push(out),
                None => out,
            }));
        }
        let finished = verifier.finish()?;
        self.verifier = None;
        (self.checksum, self.computed) = (finished.checksum, finished.computed);
        let last = match out.take() {
            Some(first) => {
                let mut both = BytesMut::with_capacity(first.len() + finished.tail.len());
                both.extend_from_slice(&first);
                both.extend_from_slice(&finished.tail);
                both.freeze()
            }
            None => finished.tail,
        };
        self.let_go(gateway, admitted, &last).await?;
        Ok(Some(match (self.encoder.take(), &self.checksum) {
            (Some(encoder), Some(checksum)) => encoder.finish(last, checksum.algorithm, &checksum.value),
            _ => last,
        }))
    }

    /// Waits until the key is marked, with enough of the lease left for the backend's answer, and decides the conditions.
    async fn await_mark(&mut self, gateway: &Gateway, admitted: &Admitted) -> Result<(), Refusal> {
        let (routed, began) = (admitted.routed()?, Instant::now());
        let (lends_tags, id) = (self.lends_tags, admitted.request_id);
        let intent = || gateway.intent_under(&self.conditions, lends_tags, routed, &self.dirty, id);
        let (mark, since) = match std::mem::replace(&mut self.marking, Marking::Settled) {
            Marking::NotNeeded => {
                self.marking = Marking::NotNeeded;
                return Ok(());
            }
            Marking::Made(mark, since) => (mark, since),
            Marking::Asked(asked, since) => match asked.await {
                Ok(mark) => (mark?, since),
                Err(_) => (intent().await?, began),
            },
            Marking::Settled => (intent().await?, began),
        };
        let since = if since.elapsed() > LEASE_AGE {
            let asked = Instant::now();
            gateway.queue.renew(&self.dirty, &mark, gateway.lease()).await?;
            asked
        } else {
            since
        };
        self.marking = Marking::Made(mark, since);
        gateway.require_taken(routed, &self.dirty.key).await
    }

    /// The backend has the object: keeps lent tags and checksums, commits the mark, and only then makes the client's answer.
    pub(super) async fn succeed(
        &mut self,
        gateway: &Gateway,
        admitted: &Admitted,
        upstream: &ResponseHeader,
    ) -> Result<Parts, Refusal> {
        if !self.released {
            return Err(UpstreamError::Malformed("success before the body was complete").into());
        }
        if upstream.status != StatusCode::OK || !upstream.headers.contains_key(header::ETAG) {
            return Err(UpstreamError::Malformed("a success that is not S3's: 200 with an ETag").into());
        }
        let answered = |name: &str| upstream.headers.get(name).and_then(|v| v.to_str().ok());
        let id = answered(VERSION_ID.as_str()).unwrap_or_default();
        self.commit_upload(gateway, admitted, &etag_of(upstream), MadeVersion::of_answer(id)).await?;
        let version = self.version(gateway, admitted, id).await?;
        let mut headers = HeaderMap::with_capacity(8);
        for (name, value) in self.answer_headers(answered, version) {
            headers.insert(name, HeaderValue::try_from(value).map_err(|_| S3Code::InternalError.error())?);
        }
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        Ok(response_head(StatusCode::OK, headers))
    }

    /// `made`: the version that it has become, where that is none of a part.
    async fn commit_upload(
        &mut self,
        gateway: &Gateway,
        admitted: &Admitted,
        etag: &str,
        made: MadeVersion,
    ) -> Result<(), Refusal> {
        let (mark, since) = match std::mem::replace(&mut self.marking, Marking::Settled) {
            Marking::Made(mark, since) => (mark, since),
            Marking::NotNeeded => {
                self.elsewhere.settle_part(&self.dirty, etag).await;
                return self.keep_part(gateway, admitted, etag).await;
            }
            Marking::Asked(..) | Marking::Settled => {
                return Err(UpstreamError::Malformed("a success without a mark").into());
            }
        };
        let routed = admitted.routed()?;
        if !routed.home.capabilities().tagging {
            gateway.store_lent_tags(&routed.route, &self.dirty.key, etag, self.tags.as_ref()).await?;
        }
        if let Some(checksum) = self.checksum.as_ref().filter(|made| !routed.home.keeps_checksum(made.algorithm)) {
            let size = self.plan.decoded_length;
            gateway.keep_checksum(&routed.route, &self.dirty.key, etag, size, checksum).await;
        }
        gateway.replace_null(routed, &self.dirty.key, made).await?;
        self.commit_everywhere(gateway, admitted, etag, &mark, since).await
    }

    async fn keep_part(&self, gateway: &Gateway, admitted: &Admitted, etag: &str) -> Result<(), Refusal> {
        if let (Some((upload_id, number)), Some(checksum)) = (&self.part, &self.computed) {
            let (etag, size, value) = (etag.to_owned(), self.plan.decoded_length, checksum.value.clone());
            let part = UploadedPart { number: *number, etag, size, value };
            gateway.keep_part(&admitted.routed()?.route, upload_id, &part).await;
        }
        Ok(())
    }

    /// The write was refused; with certainty its lease can go, else it runs out.
    pub(super) async fn settle_refused(&mut self, gateway: &Gateway, certain: bool) {
        self.refused = true;
        let mark = match std::mem::replace(&mut self.marking, Marking::Settled) {
            Marking::Made(mark, _) => mark,
            Marking::Asked(asked, _) => match asked.await {
                Ok(Ok(mark)) => mark,
                _ => return,
            },
            Marking::NotNeeded | Marking::Settled => return,
        };
        if certain && !self.released_before && !self.elsewhere.may_have_object() {
            gateway.release(&self.dirty, &mark).await;
        }
    }

    /// Stores an object or part of no bytes, whose payload has proven true.
    pub(super) async fn put_empty(
        mut self,
        gateway: &Gateway,
        admitted: &Admitted,
        proven: Finished,
    ) -> Result<Answer, Refusal> {
        let home = admitted.routed()?.home.clone();
        let mut request = self.request(admitted, &home)?;
        (self.checksum, self.computed) = (proven.checksum, proven.computed);
        if let Some(checksum) =
            self.checksum.as_ref().filter(|made| self.part.is_none() && made.algorithm.is_widespread())
            && self.plan.trailing_algorithm().is_some()
        {
            // What came as a trailer is known before anything is sent, so a header will do.
            request = request.header(checksum.algorithm.header(), checksum.value.clone());
        }
        self.begin_copies(admitted)?;
        if let Err(refusal) = self.let_go(gateway, admitted, &Bytes::new()).await {
            self.settle_refused(gateway, true).await;
            return Err(refusal);
        }
        let answer: UpstreamAnswer = match gateway.client.send(&home, request, Bytes::new()).await {
            Ok(answer) => answer,
            Err(error) => {
                self.settle_refused(gateway, error.is_definite()).await;
                return Err(explain(error).into());
            }
        };
        let (etag, id) = (s3gateway_s3::etag::unquoted(answer.header("etag")), answer.header(VERSION_ID.as_str()));
        self.commit_upload(gateway, admitted, etag, MadeVersion::of_answer(id)).await?;
        let answered = |name: &str| answer.headers.get(name).and_then(|v| v.to_str().ok());
        let version = self.version(gateway, admitted, id).await?;
        let headers = self.answer_headers(answered, version);
        Ok(Answer { status: StatusCode::OK, headers, body: Bytes::new() })
    }

    /// The version that the object has become.
    async fn version(
        &self,
        gateway: &Gateway,
        admitted: &Admitted,
        answered: &str,
    ) -> Result<Option<VersionId>, Refusal> {
        match self.part {
            Some(_) => Ok(None),
            None => {
                let version = gateway.put_version(admitted.routed()?, admitted.key()?, answered).await;
                Ok(version.map(NamedVersion::into_shown))
            }
        }
    }

    /// ETag as the backend gave it, the version that it is, and the checksum that the gateway has verified.
    fn answer_headers<'v>(
        &self,
        upstream: impl Fn(&str) -> Option<&'v str>,
        version: Option<VersionId>,
    ) -> Vec<(HeaderName, String)> {
        let mut headers = Vec::with_capacity(4);
        if let Some(version) = version {
            headers.push((VERSION_ID, version.to_string()));
        }
        if let Some(etag) = upstream("etag") {
            headers.push((header::ETAG, etag.to_owned()));
        }
        if let Some(checksum) = &self.checksum {
            headers.push((HeaderName::from_static(checksum.algorithm.header()), checksum.value.clone()));
            if self.part.is_none() {
                headers.push((HeaderName::from_static("x-amz-checksum-type"), checksum.kind.name().to_owned()));
            }
        }
        headers
    }
}

/// Bytes from which a body takes its time.
const LARGE: u64 = 1 << 20;
