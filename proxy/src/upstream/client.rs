//! Sends the gateway's own requests to backends: whole small answers, and streams from one backend to another.
use super::{
    Outcome, UpstreamBackend, UpstreamError, UpstreamRequest,
    exchange::{Exchange, broken, read_head, within},
};
use crate::settings::UpstreamSettings;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use moka::future::Cache;
use pingora_core::connectors::TransportConnector;
use pingora_core::protocols::http::v1::client::HttpSession;
use pingora_http::RequestHeader;
use s3gateway_config::BackendId;
use s3gateway_filters::payload::ChunkedEncoder;
use s3gateway_s3::{
    PhysicalBucket, Versioning,
    checksum::{Algorithm, Checksum, Hasher, render_value},
};
use std::time::{Duration, Instant, SystemTime};

/// Enough for any S3 error; what is longer is not read.
pub const MAX_ERROR_DOCUMENT: usize = 64 << 10;
/// Largest answer taken whole: a listing of 1,000 keys of 1,024 bytes, each byte escaped to six, with room to spare.
const MAX_ANSWER: usize = 16 << 20;

/// How long a bucket that was seen at its backend is taken to be there still.
const SEEN_FOR: Duration = Duration::from_secs(10);
/// Buckets seen lately that are remembered.
const SEEN_BUCKETS: u64 = 10_000;
/// Bytes a second that a copy between backends must make on average; slower, it would hold its connections for days.
const SLOWEST_COPY: u64 = 64 << 10;

/// An HTTP client for all backends, whose connections wait in the pool of each.
pub struct Client {
    pub(super) connector: TransportConnector,
    /// Buckets seen lately at their backends, and the state of versioning of those seen to keep versions there, or to have kept some.
    pub(super) seen: Cache<(BackendId, PhysicalBucket), ()>,
    pub(super) versioned: Cache<(BackendId, PhysicalBucket), Versioning>,
    /// For a whole answer, from the request sent to its last byte: the read timeout bounds two reads only, and an answer
    /// that drips never runs into it.
    pub(super) answer_timeout: Duration,
}

/// A whole answer with a success status, or 304.
#[derive(Debug)]
pub struct UpstreamAnswer {
    /// 2xx or 304.
    pub status: StatusCode,
    /// As the backend sent them; never passed on unfiltered.
    pub headers: HeaderMap,
    /// At most 16 MiB.
    pub body: Bytes,
}

/// A successful answer whose body is still to be read.
pub struct Download {
    /// As the backend sent them; never passed on unfiltered.
    pub headers: HeaderMap,
    exchange: Option<Exchange>,
}

impl UpstreamAnswer {
    /// A header's text, empty where absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }
}

impl Client {
    /// A client that has connected to nothing yet.
    pub fn new(settings: &UpstreamSettings) -> Self {
        Self {
            connector: TransportConnector::new(None),
            seen: Cache::builder().max_capacity(SEEN_BUCKETS).time_to_live(SEEN_FOR).build(),
            versioned: Cache::builder().max_capacity(SEEN_BUCKETS).time_to_live(SEEN_FOR).build(),
            answer_timeout: settings.read_timeout * 2,
        }
    }

    /// Sends a request with a small body and takes the whole answer. A request that failed on a pooled connection
    /// before any answer came is sent once more on a new one, if it is safe to repeat.
    ///
    /// # Errors
    /// Everything but 2xx and 304 is an [`UpstreamError`].
    ///
    /// Cancel: a write may or may not have been carried out.
    pub async fn send(
        &self,
        backend: &UpstreamBackend,
        request: UpstreamRequest,
        body: Bytes,
    ) -> Result<UpstreamAnswer, UpstreamError> {
        let (repeatable, method) = (request.is_repeatable(), request.method().clone());
        let (result, reused) = self.attempt(backend, request.clone(), body.clone()).await;
        match result {
            Err(first) if reused && repeatable && first.may_be_stale() => {
                match self.attempt(backend, request, body).await.0 {
                    // Not sent again: what became of the first attempt is still not known.
                    Err(UpstreamError::OutOfService | UpstreamError::Unreachable(_)) => Err(first),
                    // Nor is it by a refusal, which may even be because of it; but what a delete does not find is gone.
                    Err(second) if second.is_definite() && !(method.is_safe() || is_done(&method, &second)) => {
                        Err(first)
                    }
                    other => other,
                }
            }
            other => other,
        }
    }

    async fn attempt(
        &self,
        backend: &UpstreamBackend,
        request: UpstreamRequest,
        body: Bytes,
    ) -> (Result<UpstreamAnswer, UpstreamError>, bool) {
        let is_head = request.method() == Method::HEAD;
        let wants_length = !body.is_empty() || matches!(*request.method(), Method::PUT | Method::POST);
        let request = if wants_length { request.content_length(body.len() as u64) } else { request };
        let mut exchange = match self.connect(backend).await {
            Ok(exchange) => exchange,
            Err(error) => return (Err(error), false),
        };
        let result = async {
            let session = exchange.session();
            session.write_request_header(sign(backend, request, Some(&body))?).await.map_err(broken)?;
            if !body.is_empty() {
                session.write_body(&body).await.map_err(broken)?;
            }
            session.finish_body().await.map_err(broken)?;
            within(self.answer_timeout, read_answer(session, is_head)).await
        }
        .await;
        let reused = exchange.is_reused();
        // An idle connection that the backend had closed says nothing about its health.
        if !(reused && matches!(&result, Err(error) if error.may_be_stale())) {
            judge(backend, &result);
        }
        give_back(exchange, &result).await;
        (result, reused)
    }

    /// Opens a download: the answer's head has arrived and is a success, the body is read with [`Download::next`].
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn open(&self, backend: &UpstreamBackend, request: UpstreamRequest) -> Result<Download, UpstreamError> {
        match self.open_once(backend, request.clone()).await {
            (Err(error), true) if error.may_be_stale() => self.open_once(backend, request).await.0,
            (result, _) => result,
        }
    }

    async fn open_once(
        &self,
        backend: &UpstreamBackend,
        request: UpstreamRequest,
    ) -> (Result<Download, UpstreamError>, bool) {
        let mut exchange = match self.connect(backend).await {
            Ok(exchange) => exchange,
            Err(error) => return (Err(error), false),
        };
        let headers = async {
            exchange.ask(sign(backend, request, Some(&Bytes::new()))?, &[]).await?;
            let head = exchange.head()?;
            let status = head.status;
            if status.is_success() {
                return Ok(head.headers.clone());
            }
            let document = exchange.document(MAX_ERROR_DOCUMENT).await?;
            Err(UpstreamError::from_answer(status.as_u16(), &super::error_code(&document)))
        }
        .await;
        let reused = exchange.is_reused();
        if !(reused && matches!(&headers, Err(error) if error.may_be_stale())) {
            judge(backend, &headers);
        }
        (headers.map(|headers| Download { headers, exchange: Some(exchange) }), reused)
    }

    /// Uploads exactly `length` bytes from `source`, piece by piece, without holding more than one. `hash`: makes the
    /// checksum of what passes, which goes up behind it where `trailing` says so.
    ///
    /// # Errors
    /// As [`Client::send`]; [`UpstreamError::Broken`] where the source ends early or fails: the object is then not stored,
    /// since its announced length was never reached.
    pub async fn upload(
        &self,
        backend: &UpstreamBackend,
        request: UpstreamRequest,
        length: u64,
        source: &mut Download,
        hash: Option<Algorithm>,
        trailing: bool,
    ) -> Result<(UpstreamAnswer, Option<Checksum>), UpstreamError> {
        let mut exchange = self.connect(backend).await?;
        let trailing = hash.filter(|_| trailing);
        let request = match trailing {
            Some(algorithm) => request.trailing_checksum(algorithm, length),
            None => request.content_length(length),
        };
        let mut encoder = trailing.map(|_| ChunkedEncoder::new(length));
        let mut hashing = hash.map(|algorithm| (algorithm, Hasher::new(algorithm)));
        let mut source_failed = false;
        let result = async {
            let session = exchange.session();
            session.write_request_header(sign(backend, request, None)?).await.map_err(broken)?;
            let checksum = within(self.answer_timeout + Duration::from_secs(length / SLOWEST_COPY), async {
                let mut left = length;
                while left > 0 {
                    // Also where time runs out while it is waited for.
                    source_failed = true;
                    let next = source.next().await;
                    source_failed = !matches!(next, Ok(Some(_)));
                    let piece = next?.ok_or_else(|| UpstreamError::Broken("source ended early".into()))?;
                    left = left
                        .checked_sub(piece.len() as u64)
                        .ok_or(UpstreamError::Malformed("source is longer than announced"))?;
                    if let Some((_, hasher)) = &mut hashing {
                        hasher.update(&piece);
                    }
                    let piece = match &mut encoder {
                        Some(encoder) => encoder.push(piece),
                        None => piece,
                    };
                    session.write_body(&piece).await.map_err(broken)?;
                }
                let checksum = hashing
                    .take()
                    .map(|(algorithm, hasher)| Checksum::full_object(algorithm, render_value(&hasher.finalize())));
                if let (Some(encoder), Some(checksum)) = (encoder.take(), &checksum) {
                    let end = encoder.finish(Bytes::new(), checksum.algorithm, &checksum.value);
                    session.write_body(&end).await.map_err(broken)?;
                }
                session.finish_body().await.map_err(broken)?;
                Ok(checksum)
            })
            .await?;
            let answer = within(self.answer_timeout, read_answer(session, false)).await?;
            Ok::<_, UpstreamError>((answer, checksum))
        }
        .await;
        // Neither the source's failure nor an idle connection's end says anything about this backend's health.
        if !(source_failed || (exchange.is_reused() && matches!(&result, Err(error) if error.may_be_stale()))) {
            judge(backend, &result);
        }
        give_back(exchange, &result).await;
        result
    }

    pub(super) async fn connect(&self, backend: &UpstreamBackend) -> Result<Exchange, UpstreamError> {
        let address = backend.admit(Instant::now()).ok_or(UpstreamError::OutOfService)?;
        let connected = self.exchange(backend, address).await;
        connected.inspect_err(|_| backend.report(Outcome::Failed, Instant::now()))
    }
}

/// Pools the connection again, where the backend is not in doubt.
pub(super) async fn give_back<T>(exchange: Exchange, result: &Result<T, UpstreamError>) {
    let whole = matches!(
        result,
        Ok(_) | Err(UpstreamError::Refused(_) | UpstreamError::OurCredentials(_) | UpstreamError::SlowDown)
    );
    if whole {
        exchange.end().await;
    }
}

impl Download {
    /// A header's text, empty where absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// The body's length as announced.
    ///
    /// # Errors
    /// [`UpstreamError::Malformed`] where the backend announced none.
    pub fn content_length(&self) -> Result<u64, UpstreamError> {
        self.header("content-length").parse().map_err(|_| UpstreamError::Malformed("download without a length"))
    }

    /// The next piece, `None` at the proper end.
    ///
    /// # Errors
    /// [`UpstreamError::Broken`] where the body is cut short.
    pub async fn next(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        let Some(exchange) = self.exchange.as_mut() else { return Ok(None) };
        let piece = exchange.next().await?;
        if piece.is_none()
            && let Some(exchange) = self.exchange.take()
        {
            exchange.end().await;
        }
        Ok(piece)
    }
}

/// Whether a refusal says that what was to be deleted is not there.
fn is_done(method: &Method, error: &UpstreamError) -> bool {
    *method == Method::DELETE && matches!(error, UpstreamError::Refused(refused) if refused.status == 404)
}

pub(super) fn sign(
    backend: &UpstreamBackend,
    request: UpstreamRequest,
    body: Option<&Bytes>,
) -> Result<Box<RequestHeader>, UpstreamError> {
    let header = request.sign(backend, body.map(|b| b.as_ref()), SystemTime::now());
    header.map(Box::new).map_err(|_| UpstreamError::Malformed("request cannot be signed"))
}

/// Tells the breaker what came of a request.
pub(super) fn judge<T>(backend: &UpstreamBackend, result: &Result<T, UpstreamError>) {
    let outcome = match result {
        Err(UpstreamError::Broken(_) | UpstreamError::Unreachable(_)) => Outcome::Failed,
        Err(UpstreamError::Failed(error)) if matches!(error.status, 502 | 504) => Outcome::Failed,
        _ => Outcome::Answered,
    };
    backend.report(outcome, Instant::now());
}

pub(super) async fn read_answer(session: &mut HttpSession, is_head: bool) -> Result<UpstreamAnswer, UpstreamError> {
    read_head(session).await?;
    let head = session.resp_header().ok_or(UpstreamError::Malformed("answer without a head"))?;
    let (status, headers) = (head.status, head.headers.clone());
    let body = read_bounded(session).await?;
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        return Ok(UpstreamAnswer { status, headers, body });
    }
    let code = if is_head { String::new() } else { super::error_code(&body) };
    Err(UpstreamError::from_answer(status.as_u16(), &code))
}

async fn read_bounded(session: &mut HttpSession) -> Result<Bytes, UpstreamError> {
    let Some(first) = session.read_body_bytes().await.map_err(broken)? else { return Ok(Bytes::new()) };
    let mut whole = BytesMut::from(first.as_ref());
    while let Some(piece) = session.read_body_bytes().await.map_err(broken)? {
        if whole.len() + piece.len() > MAX_ANSWER {
            return Err(UpstreamError::Malformed("answer is too large"));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests;
