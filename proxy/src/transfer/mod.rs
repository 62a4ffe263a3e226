//! The streamed operations: GetObject, HeadObject, PutObject and UploadPart, from the judged head to the last byte.
//! Invariant: the last bytes of an upload leave only after its payload has proven true and its key is marked; its
//! success goes down only after the mark is committed.
mod checksums;
mod failover;
mod head;
mod part;
mod receive;
mod upload;

use crate::{
    admit::Admitted,
    answer::{Answer, RequestId, response_head},
    gateway::Gateway,
    refusal::{Refusal, by_status},
    upstream::{BackendError, Outcome, UpstreamBackend, UpstreamError, UpstreamRequest, error_code},
    version::VERSION_ID,
};
use bytes::{Bytes, BytesMut};
use failover::{Replica, ServedCopy, replicas_of};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, response::Parts};
use part::PartRead;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use receive::{expect, parse, read_document, read_whole};
use s3gateway_filters::payload::{self, Framing};
use s3gateway_s3::{Operation, S3Code, S3Error, VersionId, etag, xml::VersionEntry};
use s3gateway_store::ObjectCopy;
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Instant, SystemTime},
};
use upload::Upload;

/// Pooled connections that turned out to be closed before a request is given up on that account.
const MAX_STALE: u32 = 3;

/// What the head of a request leads to.
pub(crate) enum Verdict {
    /// Stream it between client and backend.
    Forward(Box<Transfer>),
    /// Answered here.
    Answer(Answer),
}

/// A streamed request between Pingora's hooks.
pub(crate) struct Transfer {
    admitted: Admitted,
    upload: Option<Upload>,
    /// The version that is to be read, by the home's id; `None`: the current object.
    version: Option<VersionId>,
    /// The part that a read is of.
    part: Option<PartRead>,
    serving: Option<Arc<UpstreamBackend>>,
    /// Why the home does not serve this read any more.
    home_lost: Option<UpstreamError>,
    /// Replicas proven to hold the current object, once asked for.
    replicas: Option<VecDeque<Replica>>,
    /// The copy that is being served instead of the home's.
    copy: Option<ServedCopy>,
    stale: u32,
    /// A backend's error document, collected to be replaced, and the status it came with.
    error_document: Option<(u16, BytesMut)>,
}

/// Judges a request by its head, then streams it or answers it here.
pub(crate) async fn begin(
    gateway: &Arc<Gateway>,
    session: &mut Session,
    request_id: RequestId,
    operation: &mut Option<Operation>,
) -> Result<Verdict, Refusal> {
    let (request, framing) = parse(gateway, session)?;
    *operation = Some(request.operation);
    let tls = session.as_downstream().digest().is_some_and(|digest| digest.ssl_digest.is_some());
    let admitted = gateway.admit(request, request_id, tls, SystemTime::now()).await?;
    match admitted.request.operation {
        Operation::GetObject | Operation::HeadObject => {
            let mut transfer = Transfer::download(admitted, framing)?;
            if let Some(number) = transfer.admitted.request.part_number()? {
                let found = PartRead::locate(gateway, &transfer.admitted, transfer.version.as_ref(), number);
                transfer.part = Some(Box::pin(found).await?);
            }
            Ok(Verdict::Forward(transfer))
        }
        Operation::PutObject | Operation::UploadPart => {
            let plan = payload::plan(&admitted.request, &admitted.verified, framing)?;
            let upload = Upload::prepare(gateway, &admitted, plan)?;
            upload.decide_early(gateway, &admitted).await?;
            expect(session).await?;
            if upload.plan().decoded_length > 0 {
                return Ok(Verdict::Forward(Transfer::upload(gateway, admitted, upload)));
            }
            // With no byte to hold back, the head alone would complete the object: so the proof comes first.
            let proven = read_whole(session, &admitted, upload.plan()).await?;
            Ok(Verdict::Answer(Box::pin(upload.put_empty(gateway, &admitted, proven)).await?))
        }
        _ => {
            let body = read_document(session, &admitted, framing).await?;
            // On the heap, so that the future of a streamed request, which is moved about, stays small.
            Ok(Verdict::Answer(Box::pin(gateway.answer(&admitted, body)).await?))
        }
    }
}

impl Transfer {
    fn new(admitted: Admitted, upload: Option<Upload>, version: Option<VersionId>) -> Self {
        Self {
            admitted,
            upload,
            version,
            part: None,
            serving: None,
            home_lost: None,
            replicas: None,
            copy: None,
            stale: 0,
            error_document: None,
        }
    }

    fn download(admitted: Admitted, framing: Framing) -> Result<Box<Self>, Refusal> {
        if framing.chunked || framing.content_length.is_some_and(|length| length > 0) {
            return Err(S3Code::InvalidRequest.because("This operation takes no request body.").into());
        }
        head::refuse_unserved_parameters(&admitted.request)?;
        let version = admitted.routed()?.version(admitted.request.version_id()?)?;
        let rule = admitted.routed()?.home.capabilities().keys;
        if s3gateway_filters::keys::check(rule, admitted.key()?).is_err() {
            return Err(S3Code::NoSuchKey.into());
        }
        Ok(Box::new(Self::new(admitted, None, version)))
    }

    fn upload(gateway: &Arc<Gateway>, admitted: Admitted, mut upload: Upload) -> Box<Self> {
        upload.ask_for_mark(gateway, &admitted);
        Box::new(Self::new(admitted, Some(upload), None))
    }

    /// Chooses who serves this attempt: the home, or for reads a replica that is proven to be current.
    pub(crate) async fn choose(&mut self, gateway: &Gateway) -> Result<Box<HttpPeer>, Refusal> {
        let routed = self.admitted.routed()?;
        if self.home_lost.is_none() {
            if let Some(peer) = routed.home.peer(Instant::now()) {
                self.serving = Some(routed.home.clone());
                return Ok(peer);
            }
            self.home_lost = Some(UpstreamError::OutOfService);
        }
        if self.upload.is_some() {
            return Err(self.home_loss());
        }
        if self.replicas.is_none() {
            let (routed, key, version) = (self.admitted.routed()?, self.admitted.key()?, self.version.as_ref());
            let found = Box::pin(replicas_of(gateway, routed, key, version)).await;
            let found = found.and_then(|found| found.ok_or_else(|| self.home_loss()));
            gateway.metrics.observe_failover(found.is_ok());
            self.replicas = Some(found?);
        }
        while let Some(Replica { backend, copy }) = self.replicas.as_mut().and_then(VecDeque::pop_front) {
            if let Some(peer) = backend.peer(Instant::now()) {
                self.serving = Some(backend);
                self.copy = Some(copy);
                return Ok(peer);
            }
        }
        Err(self.home_loss())
    }

    /// The record of the copy that is being served instead of the home's.
    fn served(&self) -> Option<&ObjectCopy> {
        self.copy.as_ref().map(|served| &served.copy)
    }

    fn home_loss(&self) -> Refusal {
        self.home_lost.clone().unwrap_or(UpstreamError::OutOfService).into()
    }

    /// Builds the request for the chosen backend from nothing, and starts the body's proof anew.
    pub(crate) fn build_request(&mut self) -> Result<RequestHeader, Refusal> {
        let backend = self.serving.clone().ok_or(UpstreamError::OutOfService)?;
        let request = match &mut self.upload {
            Some(upload) => upload.start(&self.admitted, &backend)?,
            None => self.download_request(&backend)?,
        };
        let body: Option<&[u8]> = if self.upload.is_some() { None } else { Some(&[]) };
        request
            .sign(&backend, body, SystemTime::now())
            .map_err(|_| UpstreamError::Malformed("request cannot be signed").into())
    }

    fn download_request(&self, backend: &UpstreamBackend) -> Result<UpstreamRequest, Refusal> {
        let routed = self.admitted.routed()?;
        let physical = routed.route.physical_on(backend.id()).ok_or(UpstreamError::OutOfService)?;
        let request = UpstreamRequest::new(self.admitted.request.method.clone(), physical, Some(self.admitted.key()?));
        let version = self.copy.as_ref().map_or(self.version.as_ref(), ServedCopy::stored_version);
        let request = request.version(version);
        head::put_download_headers(request, &self.admitted.request, self.range()?, self.served())
    }

    /// The range to ask the backend for.
    fn range(&self) -> Result<Option<head::Range>, Refusal> {
        match &self.part {
            Some(part) => Ok(part.range(&self.admitted.request.method)),
            None => head::range(&self.admitted.request),
        }
    }

    /// Passes a piece of the request's body on, as far as it may leave.
    pub(crate) async fn pass_up(
        &mut self,
        gateway: &Gateway,
        piece: Option<Bytes>,
        end: bool,
    ) -> Result<Option<Bytes>, Refusal> {
        match &mut self.upload {
            Some(upload) => upload.pass(gateway, piece, end, &self.admitted).await,
            None => Ok(None),
        }
    }

    /// Takes the backend's head and makes the client's from it; settles the mark of an upload.
    pub(crate) async fn take_head(&mut self, gateway: &Gateway, upstream: &ResponseHeader) -> Result<Parts, Refusal> {
        let status = upstream.status;
        if let Some(backend) = &self.serving {
            // A single request's 500 or a throttled 503 is no outage; a backend that is ill fails its probes, too.
            let failed = matches!(status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT);
            backend.report(if failed { Outcome::Failed } else { Outcome::Answered }, Instant::now());
        }
        if status.is_success() {
            return match &mut self.upload {
                Some(upload) => Box::pin(upload.succeed(gateway, &self.admitted, upstream)).await,
                None => {
                    let version = self.shown_version(gateway, upstream).await?;
                    let head = self.render_download(upstream, version.as_ref())?;
                    if !checksums::are_asked_for(&self.admitted.request) {
                        return Ok(head);
                    }
                    Box::pin(self.with_kept_checksum(gateway, upstream, head)).await
                }
            };
        }
        if status == StatusCode::NOT_MODIFIED {
            if self.upload.is_some() || !head::may_be_not_modified(&self.admitted.request) {
                return Err(UpstreamError::Malformed("not modified where nothing was asked about it").into());
            }
            self.require_known_copy(upstream)?;
            let version = self.shown_version(gateway, upstream).await?;
            return head::render_object_head(&self.admitted.request, upstream, self.served(), version.as_ref());
        }
        if status == StatusCode::NOT_FOUND && self.copy.is_none() && self.upload.is_none() {
            // It does not say yet whether it misses the object or the bucket.
            Box::pin(gateway.require_bucket_at_home(self.admitted.routed()?)).await?;
        }
        let error = self.meaning_of(gateway, status).await?;
        let gone_behind_our_back = status == StatusCode::NOT_FOUND
            && (self.copy.is_some() || self.admitted.request.operation == Operation::PutObject);
        if gone_behind_our_back {
            return Err(UpstreamError::Malformed("what must be there is not").into());
        }
        if let Some(upload) = &mut self.upload {
            upload.settle_refused(gateway, error.is_definite()).await;
        }
        if error.is_outage() {
            return Err(error.into());
        }
        let is_head = self.admitted.request.method == Method::HEAD;
        if !is_head && upstream.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length == "0") {
            // No document follows that could be replaced.
            return Err(self.error_from_document(status.as_u16(), &[]).into());
        }
        let marker = Box::pin(self.delete_marker(gateway, status)).await?;
        self.render_error_head(status, marker.as_ref())
    }

    /// Sorts an error by its status, the only thing known before the client's head must go down. A 400 may be about the
    /// gateway's own credentials, which no client is to blame for.
    async fn meaning_of(&self, gateway: &Gateway, status: StatusCode) -> Result<UpstreamError, Refusal> {
        if let (StatusCode::BAD_REQUEST, Some(backend)) = (status, &self.serving) {
            let route = &self.admitted.routed()?.route;
            let physical = route.physical_on(backend.id()).ok_or(UpstreamError::OutOfService)?;
            if Box::pin(gateway.client.is_refused(backend, physical)).await {
                let refused = BackendError { status: status.as_u16(), code: String::new() };
                return Ok(UpstreamError::OurCredentials(refused));
            }
        }
        Ok(UpstreamError::from_answer(status.as_u16(), ""))
    }

    /// The version of the object that is served, as the home names it.
    async fn shown_version(&self, gateway: &Gateway, upstream: &ResponseHeader) -> Result<Option<VersionId>, Refusal> {
        if let Some(copy) = &self.copy {
            return Ok(copy.shown_version().cloned());
        }
        let answered = upstream.headers.get(VERSION_ID).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Ok(gateway.shown_version(self.admitted.routed()?, answered).await)
    }

    /// The delete marker that a read was refused for; asked for, since not every backend tells it with the refusal.
    async fn delete_marker(&self, gateway: &Gateway, status: StatusCode) -> Result<Option<VersionEntry>, Refusal> {
        let routed = self.admitted.routed()?;
        let refused = matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
        let from_home = self.upload.is_none() && self.copy.is_none();
        if !(refused && from_home && (self.version.is_some() || routed.route.versioning.is_set())) {
            return Ok(None);
        }
        gateway.find_delete_marker(routed, self.admitted.key()?, self.version.as_ref()).await
    }

    fn render_download(&mut self, upstream: &ResponseHeader, version: Option<&VersionId>) -> Result<Parts, Refusal> {
        let range = self.range()?;
        let fits = match upstream.status {
            // Several backends do not know some ranges; but the whole is no part.
            StatusCode::OK => self.part.is_none() || range.is_none(),
            StatusCode::PARTIAL_CONTENT => range.is_some_and(|range| range.is_answered_by(upstream)),
            _ => false,
        };
        if !fits {
            return Err(UpstreamError::Malformed("neither the object nor the range that was asked for").into());
        }
        if self.admitted.request.method != Method::HEAD && !head::is_framed(upstream) {
            return Err(UpstreamError::Malformed("an object that could be cut short unseen").into());
        }
        self.require_known_copy(upstream)?;
        head::check_conditions(&self.admitted.request, upstream, self.served())?;
        let head = head::render_object_head(&self.admitted.request, upstream, self.served(), version)?;
        match &self.part {
            Some(part) => part.render(&self.admitted.request.method, head),
            None => Ok(head),
        }
    }

    /// A replica's answer must be of the copy that was proven current: the key may have been written and converged since.
    fn require_known_copy(&self, upstream: &ResponseHeader) -> Result<(), Refusal> {
        let Some(copy) = self.served() else { return Ok(()) };
        let etag = etag_of(upstream);
        if !etag.is_empty() && etag != copy.etag && etag != copy.home_etag {
            return Err(UpstreamError::Malformed("another copy than the one that was verified").into());
        }
        Ok(())
    }

    /// The status is known now, the code only with the body: so the client's document follows, chunked.
    fn render_error_head(&mut self, status: StatusCode, marker: Option<&VersionEntry>) -> Result<Parts, Refusal> {
        let named = self.version.is_some();
        let status = if marker.is_some() && named { StatusCode::METHOD_NOT_ALLOWED } else { status };
        let ours =
            StatusCode::from_u16(by_status(status.as_u16()).status()).map_err(|_| S3Code::InternalError.error())?;
        let mut headers = HeaderMap::with_capacity(10);
        if let Some(marker) = marker {
            head::put_delete_marker(&mut headers, marker, named)?;
        }
        if self.admitted.request.method != Method::HEAD {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            self.error_document = Some((status.as_u16(), BytesMut::new()));
        }
        Ok(response_head(ours, headers))
    }

    /// Passes a piece of the answer's body on; a backend's error document is replaced by the gateway's own.
    pub(crate) fn pass_down(&mut self, body: &mut Option<Bytes>, end: bool, request_id: RequestId) {
        let Some((_, document)) = &mut self.error_document else { return };
        if let Some(piece) = body.take() {
            let room = MAX_ERROR_DOCUMENT.saturating_sub(document.len());
            document.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
        }
        if !end {
            return;
        }
        let Some((status, document)) = self.error_document.take() else { return };
        let error = self.error_from_document(status, &document);
        let resource = &self.admitted.request.canonical_path;
        *body = Some(Bytes::from(error.render_xml(resource, &request_id.to_string())));
    }

    /// Our error for a backend's document: its code where it fits the status that the client has already seen.
    fn error_from_document(&self, status: u16, document: &[u8]) -> S3Error {
        // What is missing is known by what was asked for; some backends say that it is the key.
        match (status, self.admitted.request.operation) {
            (404, Operation::UploadPart) => return S3Code::NoSuchUpload.error(),
            (404, _) if self.version.is_some() => return S3Code::NoSuchVersion.error(),
            _ => {}
        }
        let ours = by_status(status);
        match UpstreamError::from_answer(status, &error_code(document)) {
            refused @ UpstreamError::Refused(_) => {
                let error = Refusal::from(refused).to_s3();
                if error.code.status() == ours.status() { error } else { ours.error() }
            }
            _ => ours.error(),
        }
    }

    /// A connection could not be made. Whether to try again, with whomever [`Transfer::choose`] names.
    pub(crate) fn lost_before_request(&mut self, kind: &str) -> bool {
        self.lose(UpstreamError::Unreachable(kind.to_owned()))
    }

    /// The exchange broke before an answer. Whether to try again.
    pub(crate) fn lost_in_flight(&mut self, kind: &str, reused: bool, replayable: bool) -> bool {
        let error = UpstreamError::Broken(kind.to_owned());
        let is_silent = kind == pingora_core::ErrorType::ReadTimedout.as_str();
        if is_silent && self.upload.as_ref().is_some_and(|upload| !upload.is_complete()) {
            // The backend waited for a body that the client does not send; that says nothing about the backend's health.
            return false;
        }
        let repeatable = self.upload.as_ref().is_none_or(|upload| replayable && upload.is_repeatable());
        if reused && repeatable && error.may_be_stale() && self.stale < MAX_STALE {
            // The pool held a connection that the backend had closed; that says nothing about its health.
            self.stale += 1;
            if let (Some(copy), Some(backend), Some(replicas)) = (self.copy.take(), &self.serving, &mut self.replicas) {
                replicas.push_front(Replica { backend: backend.clone(), copy });
            }
            return true;
        }
        self.lose(error)
    }

    /// The backend broke off in the middle of its answer.
    pub(crate) fn report_cut_short(&mut self) {
        if let Some(backend) = &self.serving {
            backend.report(Outcome::Failed, Instant::now());
        }
    }

    fn lose(&mut self, error: UpstreamError) -> bool {
        if let Some(backend) = &self.serving {
            backend.report(Outcome::Failed, Instant::now());
        }
        if self.home_lost.is_none() {
            self.home_lost = Some(error);
        }
        self.upload.is_none()
    }

    /// Whether a read that was refused for this reason may go to another backend.
    pub(crate) fn may_fail_over(&mut self, cause: &UpstreamError) -> bool {
        if self.upload.is_some() || !cause.is_outage() {
            return false;
        }
        if self.home_lost.is_none() {
            self.home_lost = Some(cause.clone());
            return true;
        }
        // The choice among replicas has come to its end where none was being served.
        self.copy.take().is_some()
    }

    /// The request fails: drops the lease of a write that certainly was not carried out.
    pub(crate) async fn give_up(&mut self, gateway: &Gateway) {
        if let Some(upload) = &mut self.upload {
            let certain = !upload.was_released();
            upload.settle_refused(gateway, certain).await;
        }
    }
}

/// Enough for any S3 error; the rest is dropped.
const MAX_ERROR_DOCUMENT: usize = 64 << 10;

/// Bare ETag of a head, without quotes.
fn etag_of(head: &ResponseHeader) -> String {
    head.headers.get(header::ETAG).and_then(|v| v.to_str().ok()).map(etag::unquoted).unwrap_or_default().to_owned()
}
