//! One request whose body is handed over piece by piece by whoever has it.
//! Invariant: dropped before [`Sending::conclude`], its connection is closed short of the length that was announced, so that the
//! backend has nothing to store.
use super::{
    Client, UpstreamAnswer, UpstreamBackend, UpstreamError, UpstreamRequest,
    client::{give_back, judge, read_answer, sign},
    exchange::{Exchange, broken, within},
};
use bytes::Bytes;
use std::sync::Arc;

/// A connection to a backend that waits for its request, or for more of its body.
pub(crate) struct Sending {
    backend: Arc<UpstreamBackend>,
    exchange: Exchange,
}

impl Client {
    /// Connects to a backend.
    ///
    /// # Errors
    /// [`UpstreamError::OutOfService`], [`UpstreamError::Unreachable`].
    pub(crate) async fn dial(&self, backend: Arc<UpstreamBackend>) -> Result<Sending, UpstreamError> {
        let exchange = self.connect(&backend).await?;
        Ok(Sending { backend, exchange })
    }
}

impl Sending {
    /// Sends the head; the request's length is that of the body to come.
    ///
    /// # Errors
    /// [`UpstreamError::Broken`].
    pub(crate) async fn send_request_head(&mut self, request: UpstreamRequest) -> Result<(), UpstreamError> {
        let head = sign(&self.backend, request, None)?;
        let sent = self.exchange.session().write_request_header(head).await.map(drop).map_err(broken);
        self.note_failure(sent)
    }

    /// Sends a piece of the body, as fast as the backend takes it.
    ///
    /// # Errors
    /// [`UpstreamError::Broken`].
    pub(crate) async fn hand_over(&mut self, piece: &Bytes) -> Result<(), UpstreamError> {
        if piece.is_empty() {
            return Ok(());
        }
        let sent = self.exchange.session().write_body(piece).await.map(drop).map_err(broken);
        self.note_failure(sent)
    }

    /// Sends a request with a small body that is at hand, and takes the answer.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub(crate) async fn ask(mut self, request: UpstreamRequest, body: &Bytes) -> Result<UpstreamAnswer, UpstreamError> {
        self.send_request_head(request.content_length(body.len() as u64)).await?;
        self.hand_over(body).await?;
        self.conclude().await
    }

    /// Ends the body and takes the answer.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub(crate) async fn conclude(mut self) -> Result<UpstreamAnswer, UpstreamError> {
        let limit = self.exchange.answer_timeout();
        let session = self.exchange.session();
        let answer = async {
            session.finish_body().await.map_err(broken)?;
            within(limit, read_answer(session, false)).await
        };
        let answer = answer.await;
        judge(&self.backend, &answer);
        give_back(self.exchange, &answer).await;
        answer
    }

    /// Tells the breaker of a failure, but for that of a connection which the backend may have closed while it was idle.
    fn note_failure(&self, sent: Result<(), UpstreamError>) -> Result<(), UpstreamError> {
        if !(self.exchange.is_reused() && matches!(&sent, Err(error) if error.may_be_stale())) && sent.is_err() {
            judge(&self.backend, &sent);
        }
        sent
    }
}
