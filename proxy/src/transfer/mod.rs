//! The streamed operations: GetObject, HeadObject, PutObject and UploadPart, from the judged head to the last byte.
//! Invariant: the last bytes of an upload leave only after its payload has proven true and its key is marked; its
//! success goes down only after the mark is committed.
mod checksums;
mod failover;
mod head;
mod part;
mod read;
mod receive;
mod upload;

use crate::{
    admit::Admitted,
    answer::{Answer, RequestId, response_head},
    gateway::Gateway,
    progress::Work,
    refusal::{Refusal, by_status},
    upstream::{BackendError, MAX_ERROR_DOCUMENT, Outcome, UpstreamBackend, UpstreamError, error_code},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header, response::Parts};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use receive::{expect, parse, read_document, read_whole};
use s3gateway_filters::payload;
use s3gateway_s3::{Operation, S3Code, S3Error, etag};
use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};
use upload::Upload;

pub(crate) use read::{ObjectRead, Unserved};

/// Pooled connections that turned out to be closed before a request is given up on that account.
const MAX_STALE: usize = 3;
/// Attempts of one upload.
pub(crate) const MAX_ATTEMPTS: usize = 1 + MAX_STALE;

/// What the head of a request leads to.
pub(crate) enum Verdict {
    /// Stream it down.
    Read(Box<ObjectRead>),
    /// Stream it up.
    Forward(Box<Transfer>),
    /// Answered here.
    Answer(Answer),
    /// Answered here, and it may take long.
    Eventually(Work),
    /// The same, and it changes nothing.
    Listing(Work),
}

/// A streamed upload between Pingora's hooks.
pub(crate) struct Transfer {
    admitted: Admitted,
    upload: Upload,
    /// Why the home did not take it.
    lost: Option<UpstreamError>,
    stale: usize,
    /// The backend's error document, collected to be replaced, and the status it came with.
    error_document: Option<(u16, BytesMut)>,
}

/// Judges a request by its head, then streams it or answers it here.
pub(crate) async fn begin(
    gateway: &Arc<Gateway>,
    session: &mut Session,
    request_id: RequestId,
    operation: &mut Option<Operation>,
    is_stale: &mut bool,
) -> Result<Verdict, Refusal> {
    let (request, framing) = parse(gateway, session)?;
    *operation = Some(request.operation);
    let tls = session.as_downstream().digest().is_some_and(|digest| digest.ssl_digest.is_some());
    let admitted = gateway.admit(request, request_id, tls, SystemTime::now()).await?;
    *is_stale = admitted.is_stale;
    match admitted.request.operation {
        Operation::GetObject | Operation::HeadObject => {
            Ok(Verdict::Read(ObjectRead::prepare(gateway, admitted, framing).await?))
        }
        Operation::PutObject | Operation::UploadPart => {
            let plan = payload::plan(&admitted.request, &admitted.verified, framing)?;
            let mut upload = Upload::prepare(gateway, &admitted, plan)?;
            upload.decide_early(gateway, &admitted).await?;
            upload.reach_places(gateway, &admitted).await?;
            expect(session).await?;
            if upload.plan().decoded_length > 0 {
                return Ok(Verdict::Forward(Transfer::upload(gateway, admitted, upload)));
            }
            // With no byte to hold back, the head alone would complete the object: so the proof comes first.
            let proven = read_whole(gateway.settings.downstream_idle, session, &admitted, upload.plan()).await?;
            Ok(Verdict::Answer(Box::pin(upload.put_empty(gateway, &admitted, proven)).await?))
        }
        Operation::CopyObject | Operation::UploadPartCopy | Operation::CompleteMultipartUpload => {
            let body = read_document(gateway, session, &admitted, framing).await?;
            let gateway = gateway.clone();
            Ok(Verdict::Eventually(Box::pin(async move { gateway.answer(&admitted, body).await })))
        }
        Operation::ListObjects
        | Operation::ListObjectsV2
        | Operation::ListObjectVersions
        | Operation::ListParts
        | Operation::ListMultipartUploads => {
            let body = read_document(gateway, session, &admitted, framing).await?;
            let gateway = gateway.clone();
            Ok(Verdict::Listing(Box::pin(async move { gateway.answer(&admitted, body).await })))
        }
        _ => {
            let body = read_document(gateway, session, &admitted, framing).await?;
            // On the heap, so that the future of a streamed request, which is moved about, stays small.
            Ok(Verdict::Answer(Box::pin(gateway.answer(&admitted, body)).await?))
        }
    }
}

impl Transfer {
    fn upload(gateway: &Arc<Gateway>, admitted: Admitted, mut upload: Upload) -> Box<Self> {
        upload.ask_for_mark(gateway, &admitted);
        Box::new(Self { admitted, upload, lost: None, stale: 0, error_document: None })
    }

    /// Where the home is to be reached.
    pub(crate) fn choose(&mut self) -> Result<Box<HttpPeer>, Refusal> {
        if let Some(error) = &self.lost {
            return Err(error.clone().into());
        }
        let home = &self.admitted.routed()?.home;
        let address = home.admit(Instant::now()).ok_or(UpstreamError::OutOfService)?;
        Ok(home.peer_at(address))
    }

    /// Builds the request from nothing, and starts the body's proof anew.
    pub(crate) fn build_request(&mut self) -> Result<RequestHeader, Refusal> {
        let home = &self.admitted.routed()?.home;
        let signed = self.upload.start(&self.admitted, home)?.sign(home, None, SystemTime::now());
        signed.map_err(|_| UpstreamError::Malformed("request cannot be signed").into())
    }

    /// Whether all of the body has been passed on, so that it is the backend's turn.
    pub(crate) fn is_complete(&self) -> bool {
        self.upload.is_complete()
    }

    /// Whether the backend's refusal has been passed on whole.
    pub(crate) fn is_answered(&self) -> bool {
        self.upload.is_refused() && self.error_document.is_none()
    }

    /// Passes a piece of the request's body on, as far as it may leave.
    pub(crate) async fn pass_up(
        &mut self,
        gateway: &Gateway,
        piece: Option<Bytes>,
        end: bool,
    ) -> Result<Option<Bytes>, Refusal> {
        self.upload.pass(gateway, piece, end, &self.admitted).await
    }

    /// Takes the backend's head, settles the mark, and makes the client's head.
    pub(crate) async fn take_head(&mut self, gateway: &Gateway, upstream: &ResponseHeader) -> Result<Parts, Refusal> {
        let status = upstream.status;
        // A single request's 500 or a throttled 503 is no outage; a backend that is ill fails its probes, too.
        let failed = matches!(status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT);
        self.report(if failed { Outcome::Failed } else { Outcome::Answered });
        if status.is_success() {
            return Box::pin(self.upload.succeed(gateway, &self.admitted, upstream)).await;
        }
        if status == StatusCode::NOT_MODIFIED {
            return Err(UpstreamError::Malformed("not modified where nothing was asked about it").into());
        }
        let home = self.admitted.routed()?.home.clone();
        let error = meaning_of(gateway, &self.admitted, Some(&home), status).await?;
        if status == StatusCode::NOT_FOUND && self.admitted.request.operation == Operation::PutObject {
            return Err(UpstreamError::Malformed("what must be there is not").into());
        }
        self.upload.settle_refused(gateway, error.is_definite()).await;
        if error.is_outage() {
            return Err(error.into());
        }
        if upstream.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length == "0") {
            // No document follows that could be replaced.
            return Err(self.error_from_document(status.as_u16(), &[]).into());
        }
        self.render_error_head(status)
    }

    /// The status is known now, the code only with the body: so the client's document follows, chunked.
    fn render_error_head(&mut self, status: StatusCode) -> Result<Parts, Refusal> {
        let ours =
            StatusCode::from_u16(by_status(status.as_u16()).status()).map_err(|_| S3Code::InternalError.error())?;
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        self.error_document = Some((status.as_u16(), BytesMut::new()));
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

    fn error_from_document(&self, status: u16, document: &[u8]) -> S3Error {
        match (status, self.admitted.request.operation) {
            // What is missing is known by what was asked for; some backends say that it is the key.
            (404, Operation::UploadPart) => S3Code::NoSuchUpload.error(),
            _ => error_of_document(status, document),
        }
    }

    /// A connection could not be made: there is no other home to try.
    pub(crate) fn lost_before_request(&mut self, kind: &str) {
        self.lose(UpstreamError::Unreachable(kind.to_owned()));
    }

    /// The exchange broke before an answer. Whether to try again.
    pub(crate) fn lost_in_flight(&mut self, kind: &str, reused: bool, replayable: bool) -> bool {
        let error = UpstreamError::Broken(kind.to_owned());
        let repeatable = replayable && self.upload.is_repeatable();
        if reused && repeatable && error.may_be_stale() && self.stale < MAX_STALE {
            // The pool held a connection that the backend had closed; that says nothing about its health.
            self.stale += 1;
            return true;
        }
        self.lose(error);
        false
    }

    /// The backend broke off in the middle of its answer.
    pub(crate) fn report_cut_short(&self) {
        self.report(Outcome::Failed);
    }

    fn lose(&mut self, error: UpstreamError) {
        self.report(Outcome::Failed);
        self.lost = Some(error);
    }

    fn report(&self, outcome: Outcome) {
        if let Ok(routed) = self.admitted.routed() {
            routed.home.report(outcome, Instant::now());
        }
    }

    /// The request fails: drops the lease of a write that certainly was not carried out.
    pub(crate) async fn give_up(&mut self, gateway: &Gateway) {
        let certain = !self.upload.was_released();
        self.upload.settle_refused(gateway, certain).await;
    }
}

/// Sorts an error by its status, the only thing known before the document. A 400 may be about the gateway's own
/// credentials, which no client is to blame for.
async fn meaning_of(
    gateway: &Gateway,
    admitted: &Admitted,
    serving: Option<&UpstreamBackend>,
    status: StatusCode,
) -> Result<UpstreamError, Refusal> {
    if let (StatusCode::BAD_REQUEST, Some(backend)) = (status, serving) {
        let physical = admitted.routed()?.route.physical_on(backend.id()).ok_or(UpstreamError::OutOfService)?;
        if Box::pin(gateway.client.is_refused(backend, physical)).await {
            let refused = BackendError { status: status.as_u16(), code: String::new() };
            return Ok(UpstreamError::OurCredentials(refused));
        }
    }
    Ok(UpstreamError::from_answer(status.as_u16(), ""))
}

/// Our error for a backend's document: its code where it fits the status.
fn error_of_document(status: u16, document: &[u8]) -> S3Error {
    let ours = by_status(status);
    match UpstreamError::from_answer(status, &error_code(document)) {
        refused @ UpstreamError::Refused(_) => {
            let error = Refusal::from(refused).to_s3();
            if error.code.status() == ours.status() { error } else { ours.error() }
        }
        _ => ours.error(),
    }
}

/// Bare ETag of a head, without quotes.
fn etag_of(head: &ResponseHeader) -> String {
    head.headers.get(header::ETAG).and_then(|v| v.to_str().ok()).map(etag::unquoted).unwrap_or_default().to_owned()
}
