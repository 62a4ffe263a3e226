//! One request and its answer as it streams in, on a pooled connection.
use super::{Client, UpstreamBackend, UpstreamError, pool::Pool};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use pingora_core::{ErrorType, protocols::http::v1::client::HttpSession};
use pingora_http::{RequestHeader, ResponseHeader};
use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

/// Informational answers taken before the real one.
const MAX_INFORMATIONAL: usize = 8;

/// A connection that carries one request. Dropped before [`Exchange::end`], it is closed.
pub struct Exchange {
    answer_timeout: Duration,
    session: HttpSession,
    pool: Arc<Pool>,
    address: SocketAddr,
    reused: bool,
}

impl Client {
    /// Connects to the backend's address, or takes a connection from the pool.
    ///
    /// # Errors
    /// [`UpstreamError::Unreachable`].
    pub async fn exchange(&self, backend: &UpstreamBackend, address: SocketAddr) -> Result<Exchange, UpstreamError> {
        let pool = backend.pool().clone();
        let idle = pool.take(address);
        let reused = idle.is_some();
        let stream = match idle {
            Some(stream) => stream,
            None => {
                // On the heap, so that not every request's future is as large as a TLS handshake.
                let peer = backend.peer_at(address);
                let connected = Box::pin(self.connector.new_stream(&*peer)).await;
                connected.map_err(|error| UpstreamError::Unreachable(error.etype().as_str().to_owned()))?
            }
        };
        let mut session = HttpSession::new(stream);
        (session.read_timeout, session.write_timeout) = backend.timeouts();
        Ok(Exchange { answer_timeout: self.answer_timeout, session, pool, address, reused })
    }
}

impl Exchange {
    /// The connection itself, for a request with a body.
    pub(super) fn session(&mut self) -> &mut HttpSession {
        &mut self.session
    }

    /// How long a whole answer may take.
    pub(super) fn answer_timeout(&self) -> Duration {
        self.answer_timeout
    }

    /// Whether the connection has carried others before, so that the backend may have closed it meanwhile.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// Sends the request with a small body and takes the head of the answer, all of it within the read timeout: one that
    /// drips runs into that, too.
    ///
    /// # Errors
    /// [`UpstreamError::Broken`], [`UpstreamError::Malformed`].
    pub async fn ask(&mut self, request: Box<RequestHeader>, body: &[u8]) -> Result<(), UpstreamError> {
        let session = &mut self.session;
        session.write_request_header(request).await.map_err(broken)?;
        if !body.is_empty() {
            session.write_body(body).await.map_err(broken)?;
        }
        session.finish_body().await.map_err(broken)?;
        // One timer for all of the head in the place of one for each read.
        let Some(limit) = session.read_timeout.take() else { return read_head(session).await };
        within(limit, read_head(session)).await?;
        session.read_timeout = Some(limit);
        Ok(())
    }

    /// The answer's head.
    ///
    /// # Errors
    /// [`UpstreamError::Malformed`] where none has come.
    pub fn head(&self) -> Result<&ResponseHeader, UpstreamError> {
        self.session.resp_header().ok_or(UpstreamError::Malformed("answer without a head"))
    }

    /// The next piece of the answer's body, `None` at its proper end.
    ///
    /// # Errors
    /// [`UpstreamError::Broken`] where the body is cut short.
    pub async fn next(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        self.session.read_body_bytes().await.map_err(broken)
    }

    /// An answer's small document: no more than about `limit` bytes of it.
    ///
    /// # Errors
    /// As [`Exchange::next`], and where it takes too long as a whole.
    pub async fn document(&mut self, limit: usize) -> Result<Bytes, UpstreamError> {
        within(self.answer_timeout, async {
            let mut whole = BytesMut::new();
            while let Some(piece) = self.next().await? {
                whole.extend_from_slice(&piece);
                if whole.len() > limit {
                    break;
                }
            }
            Ok(whole.freeze())
        })
        .await
    }

    /// Pools the connection again, where its answer was read to the end.
    pub async fn end(mut self) {
        if self.session.is_body_done() {
            self.session.respect_keepalive();
            if let Some(stream) = self.session.reuse().await {
                self.pool.put(stream, self.address);
            }
        }
    }
}

/// Takes the head of the answer, past informational ones.
pub(super) async fn read_head(session: &mut HttpSession) -> Result<(), UpstreamError> {
    for _ in 0..=MAX_INFORMATIONAL {
        session.read_response().await.map_err(broken)?;
        let head = session.resp_header().ok_or(UpstreamError::Malformed("answer without a head"))?;
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(UpstreamError::Malformed("switching protocols"));
        }
        if !head.status.is_informational() {
            return Ok(());
        }
    }
    Err(UpstreamError::Malformed("informational answers without end"))
}

/// Gives up after `limit`; a write that it stood for may have happened.
pub(super) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, UpstreamError> {
    let ran_out = |_| Err(UpstreamError::Broken(ErrorType::ReadTimedout.as_str().to_owned()));
    tokio::time::timeout(limit, work).await.unwrap_or_else(ran_out)
}

#[allow(clippy::boxed_local)] // as Pingora hands its errors out
pub(super) fn broken(error: Box<pingora_core::Error>) -> UpstreamError {
    UpstreamError::Broken(error.etype().as_str().to_owned())
}
