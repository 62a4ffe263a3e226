//! GetObject and HeadObject, from the judged head to the last byte: home or proven replica, conditions, range, body down.
//! A request without a body needs nothing of Pingora's two-way machinery: one loop asks, judges and passes on.
use super::{
    checksums, error_of_document, etag_of,
    failover::{Replica, ServedCopy, replicas_of},
    head, meaning_of,
    part::PartRead,
};
use crate::{
    admit::Admitted,
    answer::{RequestId, STALE, put_common},
    gateway::Gateway,
    refusal::{MetMarker, Refusal},
    upstream::{Exchange, MAX_ERROR_DOCUMENT, Outcome, UpstreamBackend, UpstreamError, UpstreamRequest},
    version::{NamedVersion, VERSION_ID},
};
use http::{HeaderValue, Method, StatusCode, response::Parts};
use pingora_core::{Error, ErrorType};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use s3gateway_filters::payload::Framing;
use s3gateway_s3::{S3Code, VersionId};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

/// Pooled connections that turned out to be closed before a request is given up on that account.
const MAX_STALE: u32 = 3;

/// A read of an object that may be served.
pub(crate) struct ObjectRead {
    pub(super) admitted: Admitted,
    /// The version that is to be read; `None`: the current object.
    version: Option<NamedVersion>,
    /// The part that the read is of.
    pub(super) part: Option<PartRead>,
    serving: Option<Arc<UpstreamBackend>>,
    /// Why the home does not serve this read any more.
    home_lost: Option<UpstreamError>,
    /// Replicas proven to hold what is to be read, once asked for.
    replicas: Option<VecDeque<Replica>>,
    /// The copy that is being served instead of the home's.
    copy: Option<ServedCopy>,
    stale: u32,
}

/// Why a read was not served to its end.
pub(crate) enum Unserved {
    /// Nothing has gone down: the client gets this.
    Refused(Refusal),
    /// The client has the head already.
    Broken(Box<Error>),
}

impl From<Refusal> for Unserved {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<UpstreamError> for Unserved {
    fn from(error: UpstreamError) -> Self {
        Refusal::from(error).into()
    }
}

impl ObjectRead {
    pub(super) async fn prepare(gateway: &Gateway, admitted: Admitted, framing: Framing) -> Result<Box<Self>, Refusal> {
        if framing.chunked || framing.content_length.is_some_and(|length| length > 0) {
            return Err(S3Code::InvalidRequest.because("This operation takes no request body.").into());
        }
        head::refuse_unserved_parameters(&admitted.request)?;
        let asked = admitted.request.version_id()?;
        let version = gateway.named_version(admitted.routed()?, admitted.key()?, asked).await?;
        let rule = admitted.routed()?.home.capabilities().keys;
        if s3gateway_filters::keys::check(rule, admitted.key()?).is_err() {
            return Err(S3Code::NoSuchKey.into());
        }
        let part = match admitted.request.part_number()? {
            Some(number) => Some(Box::pin(PartRead::locate(gateway, &admitted, version.as_ref(), number)).await?),
            None => None,
        };
        Ok(Box::new(Self {
            admitted,
            version,
            part,
            serving: None,
            home_lost: None,
            replicas: None,
            copy: None,
            stale: 0,
        }))
    }

    /// Serves it from the first backend that can.
    ///
    /// # Errors
    /// [`Unserved`]; [`Refusal::ClientGone`] where there is no one to answer.
    pub(crate) async fn serve(
        &mut self,
        gateway: &Gateway,
        session: &mut Session,
        request_id: RequestId,
    ) -> Result<(), Unserved> {
        loop {
            let (backend, address) = self.choose(gateway).await?;
            let began = Instant::now();
            let mut exchange = match gateway.client.exchange(&backend, address).await {
                Ok(exchange) => exchange,
                Err(error) => {
                    self.lose(error);
                    continue;
                }
            };
            let request = self.build_request()?;
            let asked = tokio::select! {
                biased;
                asked = exchange.ask(Box::new(request), &[]) => asked,
                () = client_gone(session) => return Err(Refusal::ClientGone.into()),
            };
            if let Err(error) = asked {
                self.lose_in_flight(error, exchange.is_reused());
                continue;
            }
            gateway.metrics.observe_first_byte(began.elapsed());
            match self.take_head(gateway, &mut exchange).await {
                Ok(mut head) => {
                    put_common(&mut head.headers, request_id);
                    if self.admitted.is_stale {
                        head.headers.insert(STALE, HeaderValue::from_static("true"));
                    }
                    let passed = pass_down(gateway, session, head, &mut exchange).await;
                    exchange.end().await;
                    return passed.map_err(|error| self.blame(error));
                }
                Err(Refusal::Upstream(cause)) if self.may_fail_over(&cause) => {}
                Err(refusal) => {
                    exchange.end().await;
                    if !(refusal.to_s3().code == S3Code::NoSuchVersion && self.is_another_null(gateway).await?) {
                        return Err(refusal.into());
                    }
                }
            }
        }
    }

    /// Whether the `null` version that is to be read, and that came from another home, has been replaced since it was looked for: then the one in its
    /// place is read.
    async fn is_another_null(&mut self, gateway: &Gateway) -> Result<bool, Refusal> {
        let Some(missed) = self.version.as_ref().filter(|named| named.shown().is_null() && !named.own().is_null())
        else {
            return Ok(false);
        };
        let (routed, key) = (self.admitted.routed()?, self.admitted.key()?);
        let now = Box::pin(gateway.named_version(routed, key, Some(VersionId::null()))).await?;
        let is_another = now.as_ref() != Some(missed);
        if let (true, Some(number)) = (is_another && self.part.is_some(), self.admitted.request.part_number()?) {
            self.part = Some(Box::pin(PartRead::locate(gateway, &self.admitted, now.as_ref(), number)).await?);
        }
        self.version = now;
        Ok(is_another)
    }

    /// Chooses who serves this attempt: the home, or a replica that is proven to be current.
    async fn choose(&mut self, gateway: &Gateway) -> Result<(Arc<UpstreamBackend>, SocketAddr), Refusal> {
        let routed = self.admitted.routed()?;
        if self.home_lost.is_none() {
            if let Some(address) = routed.home.admit(Instant::now()) {
                self.serving = Some(routed.home.clone());
                return Ok((routed.home.clone(), address));
            }
            self.home_lost = Some(UpstreamError::OutOfService);
        }
        if self.replicas.is_none() {
            let found = Box::pin(replicas_of(gateway, routed, self.admitted.key()?, self.version.as_ref())).await;
            let found = found.and_then(|found| found.ok_or_else(|| self.home_loss()));
            gateway.metrics.observe_failover(found.is_ok());
            self.replicas = Some(found?);
        }
        while let Some(Replica { backend, copy }) = self.replicas.as_mut().and_then(VecDeque::pop_front) {
            if let Some(address) = backend.admit(Instant::now()) {
                self.serving = Some(backend.clone());
                self.copy = Some(copy);
                return Ok((backend, address));
            }
        }
        Err(self.home_loss())
    }

    fn home_loss(&self) -> Refusal {
        self.home_lost.clone().unwrap_or(UpstreamError::OutOfService).into()
    }

    /// Builds the request for the chosen backend from nothing.
    fn build_request(&self) -> Result<RequestHeader, Refusal> {
        let backend = self.serving.as_ref().ok_or(UpstreamError::OutOfService)?;
        let routed = self.admitted.routed()?;
        let physical = routed.route.physical_on(backend.id()).ok_or(UpstreamError::OutOfService)?;
        let request = UpstreamRequest::new(self.admitted.request.method.clone(), physical, Some(self.admitted.key()?));
        let request = match &self.copy {
            Some(copy) => request.version_id(copy.stored_version()),
            None => request.version(self.version.as_ref()),
        };
        let request = head::put_download_headers(request, &self.admitted.request, self.range()?, self.copy.as_ref())?;
        let signed = request.sign(backend, Some(&[]), SystemTime::now());
        signed.map_err(|_| UpstreamError::Malformed("request cannot be signed").into())
    }

    /// The range to ask the backend for.
    fn range(&self) -> Result<Option<head::Range>, Refusal> {
        match &self.part {
            Some(part) => Ok(part.range(&self.admitted.request.method)),
            None => head::range(&self.admitted.request),
        }
    }

    /// Takes the backend's head and makes the client's from it.
    async fn take_head(&mut self, gateway: &Gateway, exchange: &mut Exchange) -> Result<Parts, Refusal> {
        let upstream = exchange.head()?;
        let status = upstream.status;
        if let Some(backend) = &self.serving {
            // A single request's 500 or a throttled 503 is no outage; a backend that is ill fails its probes, too.
            let failed = matches!(status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT);
            backend.report(if failed { Outcome::Failed } else { Outcome::Answered }, Instant::now());
        }
        if status.is_success() {
            let version = self.shown_version(gateway, upstream).await?;
            let head = self.render(upstream, version.as_ref())?;
            if !checksums::are_asked_for(&self.admitted.request) {
                return Ok(head);
            }
            return Box::pin(self.with_kept_checksum(gateway, upstream, head)).await;
        }
        if status == StatusCode::NOT_MODIFIED {
            if !head::may_be_not_modified(&self.admitted.request) {
                return Err(UpstreamError::Malformed("not modified where nothing was asked about it").into());
            }
            self.require_known_copy(upstream)?;
            let version = self.shown_version(gateway, upstream).await?;
            let request = &self.admitted.request;
            return head::render_object_head(request, upstream, self.copy.as_ref(), version.as_ref());
        }
        Err(Box::pin(self.explain(gateway, exchange, status)).await)
    }

    /// What the client gets in the place of a backend's error.
    async fn explain(&self, gateway: &Gateway, exchange: &mut Exchange, status: StatusCode) -> Refusal {
        let explained = async {
            if status == StatusCode::NOT_FOUND && self.copy.is_none() {
                // It does not say yet whether it misses the object or the bucket.
                gateway.require_bucket_at_home(self.admitted.routed()?).await?;
            }
            let error = meaning_of(gateway, &self.admitted, self.serving.as_deref(), status).await?;
            if status == StatusCode::NOT_FOUND && self.copy.is_some() {
                return Err(UpstreamError::Malformed("what must be there is not").into());
            }
            if error.is_outage() {
                return Err(error.into());
            }
            self.refuse_marker(gateway, status).await?;
            if status == StatusCode::NOT_FOUND && self.version.is_some() {
                // What is missing is known by what was asked for; some backends say that it is the key.
                return Ok(S3Code::NoSuchVersion.error());
            }
            let document = exchange.document(MAX_ERROR_DOCUMENT).await?;
            Ok::<_, Refusal>(error_of_document(status.as_u16(), &document))
        };
        explained.await.map_or_else(|refusal| refusal, Refusal::from)
    }

    /// The version of the object that is served, as the client is to see it.
    async fn shown_version(&self, gateway: &Gateway, upstream: &ResponseHeader) -> Result<Option<VersionId>, Refusal> {
        if let Some(copy) = &self.copy {
            return Ok(copy.shown_version().cloned());
        }
        let answered = upstream.headers.get(VERSION_ID).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (routed, key) = (self.admitted.routed()?, self.admitted.key()?);
        let version = gateway.read_version(routed, key, self.version.as_ref(), answered).await;
        Ok(version.map(NamedVersion::into_shown))
    }

    /// Looks for the delete marker that the read was refused for: not every backend tells it with the refusal.
    ///
    /// # Errors
    /// [`Refusal::DeleteMarker`].
    async fn refuse_marker(&self, gateway: &Gateway, status: StatusCode) -> Result<(), Refusal> {
        let routed = self.admitted.routed()?;
        let refused = matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
        let is_versioned = self.version.is_some() || routed.route.versioning.is_set();
        if !(refused && self.copy.is_none() && is_versioned) {
            return Ok(());
        }
        let (key, named) = (self.admitted.key()?, self.version.as_ref());
        let Some(found) = gateway.find_delete_marker(routed, key, named).await? else {
            return Ok(());
        };
        let own = VersionId::parse(&found.version_id).map_err(|_| UpstreamError::Malformed("a version's id"))?;
        let version = gateway.found_version(routed, key, named, own).await.into_shown();
        let (modified, is_named) = (found.object.last_modified, self.version.is_some());
        Err(Refusal::DeleteMarker(Box::new(MetMarker { version, modified, is_named })))
    }

    fn render(&self, upstream: &ResponseHeader, version: Option<&VersionId>) -> Result<Parts, Refusal> {
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
        let head = head::render_object_head(&self.admitted.request, upstream, self.copy.as_ref(), version)?;
        head::check_conditions(&self.admitted.request, upstream, self.copy.as_ref(), &head)?;
        match &self.part {
            Some(part) => part.render(&self.admitted.request.method, head),
            None => Ok(head),
        }
    }

    /// A replica's answer must be of the copy that was proven current: the key may have been written and converged since.
    fn require_known_copy(&self, upstream: &ResponseHeader) -> Result<(), Refusal> {
        let Some(ServedCopy { copy, .. }) = &self.copy else { return Ok(()) };
        let etag = etag_of(upstream);
        if !etag.is_empty() && etag != copy.etag && etag != copy.home_etag {
            return Err(UpstreamError::Malformed("another copy than the one that was verified").into());
        }
        Ok(())
    }

    /// The exchange broke before an answer. The next attempt goes to whomever [`ObjectRead::choose`] names.
    fn lose_in_flight(&mut self, error: UpstreamError, reused: bool) {
        if reused && error.may_be_stale() && self.stale < MAX_STALE {
            // The pool held a connection that the backend had closed; that says nothing about its health.
            self.stale += 1;
            if let (Some(copy), Some(backend), Some(replicas)) = (self.copy.take(), &self.serving, &mut self.replicas) {
                replicas.push_front(Replica { backend: backend.clone(), copy });
            }
            return;
        }
        self.lose(error);
    }

    fn lose(&mut self, error: UpstreamError) {
        self.report_failed();
        if self.home_lost.is_none() {
            self.home_lost = Some(error);
        }
    }

    fn report_failed(&self) {
        if let Some(backend) = &self.serving {
            backend.report(Outcome::Failed, Instant::now());
        }
    }

    /// Whether a read that was refused for this reason may go to another backend.
    fn may_fail_over(&mut self, cause: &UpstreamError) -> bool {
        if !cause.is_outage() {
            return false;
        }
        if self.home_lost.is_none() {
            self.home_lost = Some(cause.clone());
            return true;
        }
        self.copy.take().is_some()
    }

    /// What broke off after the head had gone down.
    fn blame(&self, side: Side) -> Unserved {
        match side {
            Side::Client(error) => Unserved::Broken(error.into_down()),
            Side::Backend(error) => {
                self.report_failed();
                let kind = ErrorType::new("backend broke off its answer");
                Unserved::Broken(Error::because(kind, "body", error).into_up())
            }
        }
    }
}

/// Where a stream broke.
enum Side {
    Client(Box<Error>),
    Backend(UpstreamError),
}

/// Sends the head and then each piece of the body as it comes.
async fn pass_down(gateway: &Gateway, session: &mut Session, head: Parts, exchange: &mut Exchange) -> Result<(), Side> {
    let downstream = session.as_downstream_mut();
    downstream.write_response_header(Box::new(head.into())).await.map_err(Side::Client)?;
    while let Some(piece) = exchange.next().await.map_err(Side::Backend)? {
        gateway.metrics.bytes_down.inc_by(piece.len() as u64);
        downstream.write_response_body(piece, false).await.map_err(Side::Client)?;
    }
    downstream.finish_body().await.map_err(Side::Client)
}

/// Comes back when the client has closed its connection, or reset its stream.
async fn client_gone(session: &mut Session) {
    let gone = session.as_downstream_mut().read_body_or_idle(true).await;
    if gone.map_or_else(|error| *error.etype() == ErrorType::ConnectError, |_| true) {
        // Not gone: it has sent the next request already, of which a byte is lost now. It gets its answer, and asks again.
        session.set_keepalive(None);
        std::future::pending::<()>().await;
    }
}
