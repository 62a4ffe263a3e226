//! From Pingora's session to a parsed request and, where it carries one, its document proven true.
use crate::{admit::Admitted, gateway::Gateway, pace::Pace, refusal::Refusal};
use bytes::{Bytes, BytesMut};
use http::{Version, header};
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use s3gateway_filters::payload::{self, BodyPlan, BodyVerifier, Finished, Framing};
use s3gateway_s3::{S3Code, S3Request, adopt_authority, xml};
use std::time::{Duration, Instant};

/// S3's limit for all headers of a request and its query together (Amazon S3 API Reference, "Error responses",
/// `RequestHeaderSectionTooLarge`); the path has that of the key.
const MAX_HEADER_BYTES: usize = 8 << 10;
/// Most bytes of a body that an operation takes and does not read.
const MAX_UNREAD: usize = 64 << 10;

/// Parses the head, and takes it out of the session.
///
/// # Errors
/// S3's own for a head that is malformed or too large.
pub(super) fn parse(gateway: &Gateway, session: &mut Session) -> Result<(S3Request, Framing), Refusal> {
    // Asked of every request: it is now, with the head in place, that Pingora draws the body's framing from it.
    let has_body = !session.as_downstream_mut().is_body_empty();
    let head = session.req_header();
    let size: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if size + head.uri.query().map_or(0, str::len) > MAX_HEADER_BYTES {
        return Err(S3Code::RequestHeaderSectionTooLarge.into());
    }
    let content_length = match head.headers.get(header::CONTENT_LENGTH) {
        Some(value) => {
            Some(value.to_str().ok().and_then(|v| v.parse().ok()).ok_or_else(|| S3Code::InvalidArgument.error())?)
        }
        None => None,
    };
    // An HTTP/2 body without a length ends with its stream.
    let delimited = head.version == Version::HTTP_2 || head.headers.contains_key(header::TRANSFER_ENCODING);
    let chunked = content_length.is_none() && has_body && delimited;
    let head = detach_head(session);
    let target = std::str::from_utf8(head.raw_path()).map_err(|_| S3Code::InvalidURI.error())?.to_owned();
    let mut head = http::request::Parts::from(head);
    if head.version == Version::HTTP_2 {
        adopt_authority(&mut head.headers, head.uri.authority())?;
    }
    let request = S3Request::parse(&head.method, &target, head.headers, &gateway.settings.domains)?;
    Ok((request, Framing { content_length, chunked }))
}

/// Takes the client's head and leaves one with few headers in the session: Pingora has drawn its framing and keep-alive
/// from them, and would copy them for each attempt only to have the copy replaced.
fn detach_head(session: &mut Session) -> RequestHeader {
    let head = session.req_header_mut();
    let (mut left, ()) = http::Request::new(()).into_parts();
    (left.method, left.uri, left.version) = (head.method.clone(), head.uri.clone(), head.version);
    if let Some(expect) = head.headers.get(header::EXPECT) {
        left.headers.insert(header::EXPECT, expect.clone());
    }
    std::mem::replace(head, left.into())
}

/// Answers `Expect: 100-continue`, which is due only now that the head has been judged (RFC 9110 10.1.1).
pub(super) async fn expect(session: &mut Session) -> Result<(), Refusal> {
    let expects =
        session.get_header(header::EXPECT).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if expects {
        session.as_downstream_mut().write_continue_response().await.map_err(|_| Refusal::ClientGone)?;
    }
    Ok(())
}

/// Takes the document of an operation that is answered here, proven true.
pub(super) async fn read_document(
    gateway: &Gateway,
    session: &mut Session,
    admitted: &Admitted,
    framing: Framing,
) -> Result<Bytes, Refusal> {
    let framing = match framing {
        Framing { content_length: None, chunked: false } => Framing { content_length: Some(0), chunked: false },
        known => known,
    };
    let plan = payload::plan(&admitted.request, &admitted.verified, framing)?;
    let limit = xml::body_limit(admitted.request.operation).unwrap_or(MAX_UNREAD);
    if plan.decoded_length > limit as u64 {
        return Err(S3Code::MaxMessageLengthExceeded.into());
    }
    if framing.content_length != Some(0) {
        expect(session).await?;
    }
    Ok(read_whole(gateway.settings.downstream_idle, session, admitted, &plan).await?.tail)
}

/// Reads a body that the plan has bounded, and proves it; all of it is in the tail. `idle`: how long the client may take
/// between two pieces, which Pingora does not watch over HTTP/2.
pub(super) async fn read_whole(
    idle: Duration,
    session: &mut Session,
    admitted: &Admitted,
    plan: &BodyPlan,
) -> Result<Finished, Refusal> {
    let mut verifier = BodyVerifier::new(plan, &admitted.verified);
    let mut whole = BytesMut::new();
    let mut pace = Pace::new(Instant::now());
    loop {
        let next = tokio::time::timeout(idle, session.as_downstream_mut().read_request_body()).await;
        let piece = next.map_err(|_| S3Code::RequestTimeout)?.map_err(|e| match e.etype() {
            pingora_core::ErrorType::ReadTimedout => Refusal::from(S3Code::RequestTimeout),
            _ => Refusal::from(S3Code::IncompleteBody),
        })?;
        let Some(piece) = piece else { break };
        if !pace.keeps_up(piece.len(), idle, Instant::now()) {
            return Err(S3Code::RequestTimeout.into());
        }
        if let Some(released) = verifier.push(piece)? {
            whole.extend_from_slice(&released);
        }
    }
    let finished = verifier.finish()?;
    whole.extend_from_slice(&finished.tail);
    Ok(Finished { tail: whole.freeze(), ..finished })
}
