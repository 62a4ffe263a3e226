//! Answers that take their time. Where a copy or a completion is not done soon, the client gets its `200` and the XML
//! declaration at once, white space while the work goes on, and then the document: that of an error, too.
//! Source: Amazon S3 API Reference, "CopyObject" and "CompleteMultipartUpload": "S3 periodically sends white space
//! characters to keep the connection from timing out"; "a 200 OK response can contain either a success or an error".
use crate::{
    answer::{Answer, RequestId},
    refusal::Refusal,
};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Version, header};
use pingora_core::Result;
use pingora_proxy::Session;
use s3gateway_s3::xml::DECLARATION;
use std::{future::Future, time::Duration};

/// An operation that is being carried out; it goes on whatever becomes of the client.
pub(crate) type Work = BoxFuture<'static, std::result::Result<Answer, Refusal>>;

/// How an operation ended.
pub(crate) enum Ended {
    /// In time: nothing has been sent yet.
    InTime(std::result::Result<Answer, Refusal>),
    /// After the head had been sent, which the document is to follow; `Err`: the client is gone.
    Late(std::result::Result<Answer, Refusal>, Result<()>),
}

/// Waits for the end of `work`; from `pause` on, and then once in it, the client gets something.
pub(crate) async fn carry_out(
    session: &mut Session,
    request_id: RequestId,
    pause: Duration,
    mut work: Work,
) -> Result<Ended> {
    // HTTP/1.0 has no chunks: an answer that is cut off would look whole.
    if session.req_header().version < Version::HTTP_11 {
        return Ok(Ended::InTime(work.await));
    }
    if let Ok(done) = tokio::time::timeout(pause, &mut work).await {
        return Ok(Ended::InTime(done));
    }
    let mut head = Answer::xml(String::new()).render_head(request_id, false)?;
    head.remove_header(&header::CONTENT_LENGTH);
    head.insert_header(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
    let mut done = None;
    let mut sent = beside(&mut work, &mut done, async {
        session.write_response_header(Box::new(head), false).await?;
        session.write_response_body(Some(Bytes::from_static(DECLARATION.as_bytes())), false).await
    })
    .await;
    loop {
        let ended = match done {
            Some(done) => done,
            None => match tokio::time::timeout(pause, &mut work).await {
                Ok(done) => done,
                Err(_) => {
                    if sent.is_ok() {
                        let space = session.write_response_body(Some(Bytes::from_static(b" ")), false);
                        sent = beside(&mut work, &mut done, space).await;
                    }
                    continue;
                }
            },
        };
        return Ok(Ended::Late(ended, sent));
    }
}

/// Carries out what changes nothing, for as long as somebody waits for it: over HTTP/2 a client can give up one request
/// after the other on a connection that lives on.
pub(crate) async fn while_awaited(session: &mut Session, work: Work) -> std::result::Result<Answer, Refusal> {
    if session.req_header().version != Version::HTTP_2 {
        return work.await;
    }
    tokio::select! {
        biased;
        done = work => done,
        _ = session.as_downstream_mut().read_body_or_idle(true) => Err(Refusal::ClientGone),
    }
}

/// Sends while the work goes on, which must not stand still because a client does not read.
async fn beside<T>(
    work: &mut Work,
    done: &mut Option<std::result::Result<Answer, Refusal>>,
    sending: impl Future<Output = T>,
) -> T {
    let mut sending = std::pin::pin!(sending);
    loop {
        tokio::select! {
            sent = &mut sending => return sent,
            ended = &mut *work, if done.is_none() => *done = Some(ended),
        }
    }
}

/// What is left of a document whose declaration has been sent.
pub(crate) fn without_declaration(document: &Bytes) -> Bytes {
    let sent = if document.starts_with(DECLARATION.as_bytes()) { DECLARATION.len() } else { 0 };
    document.slice(sent..)
}
