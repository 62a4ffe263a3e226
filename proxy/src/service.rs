//! Pingora's hooks, each thin: it calls one step of ours and translates the result. The steps stand in `admit`,
//! `transfer` and `operations`.
use crate::{
    answer::{Answer, RequestId, STALE},
    front::{head_is_awaited, head_is_read},
    gateway::Gateway,
    linger::linger,
    metrics::RequestOutcome,
    pace::Pace,
    progress::{Ended, carry_out, while_awaited, without_declaration},
    refusal::Refusal,
    transfer::{self, ObjectRead, Transfer, Unserved, Verdict},
    upstream::{UpstreamError, Watched},
};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, StatusCode};
use pingora_core::{Error, ErrorSource, ErrorType, Result, protocols::Digest, upstreams::peer::HttpPeer};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};
use s3gateway_s3::{Operation, S3Code};
use std::{
    os::fd::RawFd,
    sync::Arc,
    time::{Duration, Instant},
};

/// The proxy's answers to what Pingora asks on a request's way.
pub(crate) struct S3Service {
    pub(crate) gateway: Arc<Gateway>,
}

/// One request's state between Pingora's hooks.
pub struct Context {
    request_id: RequestId,
    started: Instant,
    attempt_started: Instant,
    operation: Option<Operation>,
    /// The answer says that it may be old.
    is_stale: bool,
    informational: u32,
    transfer: Option<Box<Transfer>>,
    /// The attempt at a backend, until its head is there.
    watched: Option<Watched>,
    pace: Pace,
    /// The answer has begun before the request's body has ended: what still comes of it is not waited for.
    answered_early: bool,
    /// Why the request fails, kept for the answer while Pingora's own error unwinds.
    refusal: Option<Refusal>,
    error_code: Option<S3Code>,
    /// What of the gateway's own kept it from serving the request, for the log.
    cause: Option<String>,
    status: u16,
}

/// Informational answers taken from a backend in one request.
const MAX_INFORMATIONAL: u32 = 16;

/// What Pingora is told when the reason is in [`Context::refusal`].
const REFUSED: ErrorType = ErrorType::new("request refused");

impl Context {
    /// Keeps the refusal and gives Pingora an error to unwind with.
    fn refuse(&mut self, refusal: impl Into<Refusal>) -> Box<Error> {
        self.refusal = Some(refusal.into());
        Error::new(REFUSED)
    }
    fn transfer(&mut self) -> Result<&mut Transfer> {
        self.transfer.as_deref_mut().ok_or_else(|| Error::new(REFUSED))
    }
}

#[async_trait]
impl ProxyHttp for S3Service {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        let now = Instant::now();
        Context {
            request_id: RequestId::random(),
            started: now,
            attempt_started: now,
            operation: None,
            is_stale: false,
            informational: 0,
            transfer: None,
            watched: None,
            pace: Pace::new(now),
            answered_early: false,
            refusal: None,
            error_code: None,
            cause: None,
            status: 0,
        }
    }

    fn init_downstream_modules(&self, _: &mut pingora_core::modules::http::HttpModules) {}

    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        head_is_read();
        self.gateway.metrics.in_flight.inc();
        // Where Pingora has decided to close, the framing was in doubt: that stays.
        if session.get_keepalive().is_some() {
            let stopping = self.gateway.is_stopping();
            session.set_keepalive((!stopping).then_some(self.gateway.settings.downstream_keepalive.as_secs()));
        }
        session.set_ignore_info_resp(true);
        session.set_read_timeout(Some(self.gateway.settings.downstream_idle));
        session.set_write_timeout(Some(self.gateway.settings.downstream_idle));
        let begun =
            transfer::begin(&self.gateway, session, ctx.request_id, &mut ctx.operation, &mut ctx.is_stale).await;
        let answer = match begun {
            Ok(Verdict::Forward(transfer)) => {
                ctx.transfer = Some(transfer);
                return Ok(false);
            }
            Ok(Verdict::Read(read)) => return self.serve(session, read, ctx).await.map(|()| true),
            Ok(Verdict::Answer(answer)) => Ok(answer),
            Ok(Verdict::Eventually(work)) => {
                match carry_out(session, ctx.request_id, self.gateway.settings.downstream_progress, work).await? {
                    Ended::InTime(answer) => answer,
                    Ended::Late(answer, sent) => {
                        self.write_late(session, answer, sent, ctx).await?;
                        return Ok(true);
                    }
                }
            }
            Ok(Verdict::Listing(work)) => match while_awaited(session, work).await {
                Err(gone @ Refusal::ClientGone) => return Err(ctx.refuse(gone)),
                listed => listed,
            },
            Err(refusal) => Err(refusal),
        };
        let answer = answer.unwrap_or_else(|refusal| self.render_refusal(session, &refusal, ctx));
        self.write(session, answer, ctx).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
        ctx.attempt_started = Instant::now();
        ctx.transfer()?.choose().map_err(|refusal| ctx.refuse(refusal))
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        _: bool,
        _: &HttpPeer,
        fd: RawFd,
        digest: Option<&Digest>,
        ctx: &mut Context,
    ) -> Result<()> {
        ctx.watched = self.gateway.watch.begin(fd, digest);
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        match ctx.transfer()?.build_request() {
            Ok(built) => *request = built,
            Err(refusal) => return Err(ctx.refuse(refusal)),
        }
        Ok(())
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Context,
    ) -> Result<()> {
        if ctx.answered_early && ctx.transfer()?.is_answered() {
            return Err(ctx.refuse(Refusal::ClientGone));
        }
        if let Some(piece) = body.as_ref() {
            self.gateway.metrics.bytes_up.inc_by(piece.len() as u64);
            if !ctx.pace.keeps_up(piece.len(), self.gateway.settings.downstream_idle, Instant::now()) {
                return Err(ctx.refuse(S3Code::RequestTimeout));
            }
        }
        let transfer = ctx.transfer()?;
        let passed = transfer.pass_up(&self.gateway, body.take(), end).await;
        let is_complete = transfer.is_complete();
        match passed {
            Ok(released) => *body = released,
            Err(refusal) => return Err(ctx.refuse(refusal)),
        }
        if let Some(watched) = &ctx.watched {
            watched.passes();
            if is_complete {
                // What Pingora holds of it has still to be written.
                let upstream = &self.gateway.settings.upstream;
                watched.expects_head(upstream.write_timeout + upstream.head_timeout());
            }
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        _: &mut Session,
        head: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(ctx.refuse(UpstreamError::Malformed("switching protocols")));
        }
        if head.status.is_informational() {
            ctx.informational += 1;
            if ctx.informational > MAX_INFORMATIONAL {
                return Err(ctx.refuse(UpstreamError::Malformed("informational answers without end")));
            }
            // Nothing of it is for the client; it is not sent, and has nothing to say if it were.
            *head = ResponseHeader::build(head.status, Some(0))?;
            return Ok(());
        }
        self.gateway.metrics.observe_first_byte(ctx.attempt_started.elapsed());
        ctx.watched = None;
        let request_id = ctx.request_id;
        ctx.answered_early = !ctx.transfer()?.is_complete();
        match ctx.transfer()?.take_head(&self.gateway, head).await {
            Ok(mut rendered) => {
                crate::answer::put_common(&mut rendered.headers, request_id);
                *head = rendered.into();
                Ok(())
            }
            Err(refusal) => Err(ctx.refuse(refusal)),
        }
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Context,
    ) -> Result<Option<Duration>> {
        let request_id = ctx.request_id;
        let transfer = ctx.transfer()?;
        transfer.pass_down(body, end, request_id);
        if let Some(piece) = body.as_ref() {
            self.gateway.metrics.bytes_down.inc_by(piece.len() as u64);
        }
        Ok(None)
    }

    fn fail_to_connect(&self, _: &mut Session, _: &HttpPeer, ctx: &mut Context, mut error: Box<Error>) -> Box<Error> {
        if let Some(transfer) = ctx.transfer.as_deref_mut() {
            transfer.lost_before_request(error.etype().as_str());
        }
        error.set_retry(false);
        error
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        ctx: &mut Context,
        reused: bool,
    ) -> Box<Error> {
        let answered = session.response_written().is_some_and(|head| !head.status.is_informational());
        let replayable = !session.as_ref().retry_buffer_truncated();
        let from_client = *error.esource() == ErrorSource::Downstream;
        let is_cut = ctx.watched.take().is_some_and(|watched| watched.was_cut());
        let kind = if is_cut { ErrorType::ReadTimedout } else { error.etype().clone() };
        if answered
            && *error.esource() == ErrorSource::Upstream
            && let Some(transfer) = ctx.transfer.as_deref_mut()
        {
            transfer.report_cut_short();
        }
        let waits_for_client = ctx.transfer.as_deref().is_some_and(|transfer| !transfer.is_complete());
        if *error.esource() == ErrorSource::Upstream && kind == ErrorType::ReadTimedout && waits_for_client {
            // The backend waited for a body that the client does not send; over HTTP/2 nothing else notices.
            ctx.refusal.get_or_insert_with(|| S3Code::RequestTimeout.into());
        }
        let retry = match (ctx.transfer.as_deref_mut(), &ctx.refusal) {
            _ if answered || from_client => false,
            (Some(transfer), None) => transfer.lost_in_flight(kind.as_str(), reused, replayable),
            _ => false,
        };
        error.set_retry(retry);
        error
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Context) -> FailToProxy {
        if let Some(transfer) = ctx.transfer.as_deref_mut() {
            transfer.give_up(&self.gateway).await;
        }
        let written = session.response_written().is_some_and(|head| !head.status.is_informational());
        let refusal = ctx.refusal.take().unwrap_or_else(|| blame(error));
        if !written && !matches!(refusal, Refusal::ClientGone) {
            let answer = self.render_refusal(session, &refusal, ctx);
            session.set_keepalive(None);
            if let Err(error) = self.write(session, answer, ctx).await {
                tracing::debug!(%error, "client did not take the error answer");
            }
        } else if ctx.status == 0 || written {
            ctx.status = 499;
        }
        FailToProxy { error_code: ctx.status, can_reuse_downstream: false }
    }

    fn suppress_error_log(&self, _: &Session, _: &Context, _: &Error) -> bool {
        true // the access log has it, with the request id
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Context) {
        self.gateway.metrics.in_flight.dec();
        match session.response_written() {
            // An error that came behind its head counts as what it is.
            Some(head) if ctx.error_code.is_none() || !head.status.is_success() => ctx.status = head.status.as_u16(),
            _ => {}
        }
        let outcome = match (error, ctx.status) {
            (Some(error), 200..=299) if *error.esource() == ErrorSource::Upstream => RequestOutcome::Failed,
            (Some(_), 0 | 200..=299) => RequestOutcome::ClientGone,
            (_, 0 | 499) => RequestOutcome::ClientGone,
            (_, 200..=399) => RequestOutcome::Served,
            (_, 400..=499) => RequestOutcome::Refused,
            (_, 503) => RequestOutcome::Unavailable,
            _ => RequestOutcome::Failed,
        };
        let elapsed = ctx.started.elapsed();
        self.gateway.metrics.observe_request(ctx.operation, outcome, elapsed);
        tracing::info!(
            target: "s3gateway::access",
            request_id = %ctx.request_id,
            operation = ctx.operation.map_or("unknown", Operation::name),
            status = ctx.status,
            code = ctx.error_code.map_or("", S3Code::name),
            bytes_in = session.body_bytes_read(),
            bytes_out = session.body_bytes_sent(),
            seconds = elapsed.as_secs_f64(),
            cause = ctx.cause.as_deref().or_else(|| error.map(|error| error.etype().as_str())),
            "request"
        );
        if ctx.answered_early {
            linger(session).await;
        }
        head_is_awaited(self.gateway.settings.downstream_keepalive);
    }
}

impl S3Service {
    /// Streams an object down, or answers why not.
    async fn serve(&self, session: &mut Session, mut read: Box<ObjectRead>, ctx: &mut Context) -> Result<()> {
        let refusal = match read.serve(&self.gateway, session, ctx.request_id).await {
            Ok(()) => return Ok(()),
            Err(Unserved::Broken(error)) => return Err(error),
            Err(Unserved::Refused(Refusal::ClientGone)) => return Err(ctx.refuse(Refusal::ClientGone)),
            Err(Unserved::Refused(refusal)) => refusal,
        };
        let answer = self.render_refusal(session, &refusal, ctx);
        self.write(session, answer, ctx).await
    }

    fn render_refusal(&self, session: &Session, refusal: &Refusal, ctx: &mut Context) -> Answer {
        let error = refusal.to_s3();
        self.gateway.metrics.observe_error(error.code);
        ctx.error_code = Some(error.code);
        ctx.cause = refusal.cause();
        let head = session.req_header();
        let resource = head.uri.path();
        let mut answer = Answer::error(&error, resource, ctx.request_id, head.method == Method::HEAD);
        answer.headers.extend(refusal.headers());
        answer
    }

    /// Writes the document of an answer whose head is out. `sent`: how that went.
    async fn write_late(
        &self,
        session: &mut Session,
        answer: std::result::Result<Answer, Refusal>,
        sent: Result<()>,
        ctx: &mut Context,
    ) -> Result<()> {
        let answer = answer.unwrap_or_else(|refusal| self.render_refusal(session, &refusal, ctx));
        ctx.status = answer.status.as_u16();
        sent?;
        session.write_response_body(Some(without_declaration(&answer.body)), true).await
    }

    /// Writes a whole answer. What the client still sends is read for a moment, so that it sees the answer before a reset.
    async fn write(&self, session: &mut Session, mut answer: Answer, ctx: &mut Context) -> Result<()> {
        ctx.status = answer.status.as_u16();
        if ctx.is_stale {
            answer = answer.with(STALE, "true");
        }
        let is_head = session.req_header().method == Method::HEAD;
        let unread = !session.as_downstream_mut().is_body_done();
        if unread {
            session.set_keepalive(None);
        }
        let head = answer.render_head(ctx.request_id, is_head)?;
        let body = if is_head { Bytes::new() } else { answer.body };
        session.write_response_header(Box::new(head), body.is_empty()).await?;
        if !body.is_empty() {
            session.write_response_body(Some(body), true).await?;
        }
        if unread && session.get_header(http::header::EXPECT).is_none() {
            linger(session).await;
        }
        ctx.answered_early = false;
        Ok(())
    }
}

/// Says whose fault an error of Pingora's own was.
fn blame(error: &Error) -> Refusal {
    match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => S3Code::RequestTimeout.into(),
        (ErrorSource::Downstream, ErrorType::WriteError | ErrorType::WriteTimedout) => Refusal::ClientGone,
        (ErrorSource::Downstream, _) => S3Code::IncompleteBody.into(),
        (ErrorSource::Upstream, kind) => UpstreamError::Broken(kind.as_str().to_owned()).into(),
        _ => S3Code::InternalError.into(),
    }
}
