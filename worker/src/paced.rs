//! The place that every request to a backend passes: it waits for its turn there, and its end is told to the backend's pace and
//! standing, which see what the backend does and not how long a request waited here. An answer that is no object comes whole.
//! Invariant: what a job sends to change a backend leaves while its claim stands, whatever it has waited for; and the claim knows of each
//! change of an object that was not answered for certain, also where the SDK sent it again and was answered then.
use crate::claim::{self, ClaimRanOut};
use crate::egress::NotAllowed;
use crate::pace::{Pace, Throttled};
use crate::standing::Standing;
use crate::upload::{self, Upload};
use aws_sdk_s3::config::http::{HttpRequest, HttpResponse};
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper_util::client::legacy;
use std::error::Error;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// Most bytes of an answer that comes whole: several times S3's longest listing.
const MAX_ANSWER: usize = 16 << 20;

/// In an answer of success that is none.
const ERROR: &[u8] = b"<Error>";
/// In an answer by which a backend has done nothing.
const SLOW_DOWN: &[u8] = b"<Code>SlowDown</Code>";

/// The same client at a backend's pace. `soon`: how long an answer may take that comes soon by its nature; `slow_after`: and that is not
/// slow, where all come soon that the client asks for. `within`: how long the bytes of an answer that is no object may take behind its head.
pub(crate) fn paced(
    client: SharedHttpClient,
    pace: Arc<Pace>,
    standing: Arc<Standing>,
    soon: Duration,
    slow_after: Option<Duration>,
    within: Duration,
) -> SharedHttpClient {
    http_client_fn(move |settings, components| {
        let inner = client.http_connector(settings, components);
        let (pace, standing) = (pace.clone(), standing.clone());
        SharedHttpConnector::new(Paced { inner, pace, standing, soon, slow_after, within })
    })
}

/// What of this kind an error comes from.
pub(crate) fn find_cause<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.find_map(|cause| cause.downcast_ref())
}

#[derive(Debug)]
struct Paced {
    inner: SharedHttpConnector,
    pace: Arc<Pace>,
    standing: Arc<Standing>,
    soon: Duration,
    slow_after: Option<Duration>,
    within: Duration,
}

/// Whether a request asks for the bytes of an object, which are as many as they are.
fn is_object_read(request: &HttpRequest) -> bool {
    let query = request.uri().split_once('?').map_or("", |(_, query)| query);
    request.method() == "GET" && query.split('&').any(|parameter| parameter == "x-id=GetObject")
}

/// Whether a request may change an object by itself: parts do so by what completes their upload, and nothing else of an upload does.
fn changes_object(request: &HttpRequest) -> bool {
    let query = request.uri().split_once('?').map_or("", |(_, query)| query);
    let names = || query.split('&').map(|parameter| parameter.split_once('=').map_or(parameter, |(name, _)| name));
    let is_of_upload = names().any(|name| match request.method() {
        "DELETE" => name == "uploadId",
        _ => matches!(name, "partNumber" | "uploads"),
    });
    !matches!(request.method(), "GET" | "HEAD") && !is_of_upload
}

/// Whether what was asked for has been carried out, or never will be: by the backend's own word, or because nothing was connected to.
/// `completes`: it makes an object of parts, which a backend may go on with after it has answered that it failed.
fn is_certain(completes: bool, answer: &Result<HttpResponse, ConnectorError>) -> bool {
    let holds = |answer: &HttpResponse, text: &[u8]| {
        answer.body().bytes().unwrap_or_default().windows(text.len()).any(|some| some == text)
    };
    match answer {
        Ok(answer) => match answer.status().as_u16() {
            200..=299 => !holds(answer, ERROR),
            // Of something in between that has had no answer itself, and behind which the request goes on.
            408 | 502 | 504 | 520..=530 => false,
            500..=599 if completes => answer.status().as_u16() == 501 || holds(answer, SLOW_DOWN),
            _ => true,
        },
        Err(error) => {
            let is_unconnected = find_cause::<legacy::Error>(error).is_some_and(legacy::Error::is_connect);
            is_unconnected || find_cause::<NotAllowed>(error).is_some()
        }
    }
}

/// The answer with all of its bytes, which are neither too many nor too slow: else one backend could fill the memory, or keep a
/// job for ever.
async fn read_whole(mut answer: HttpResponse, within: Duration) -> Result<HttpResponse, ConnectorError> {
    let body = std::mem::replace(answer.body_mut(), SdkBody::empty());
    let read = tokio::time::timeout(within, Limited::new(body, MAX_ANSWER).collect()).await;
    let read = read.map_err(|elapsed| ConnectorError::timeout(elapsed.into()))?;
    let whole = read.map_err(|error| match error.is::<LengthLimitError>() {
        true => ConnectorError::other(error, None),
        false => ConnectorError::io(error),
    })?;
    *answer.body_mut() = SdkBody::from(whole.to_bytes());
    Ok(answer)
}

/// Sends a request as long as the claim stands, by the clock and not by what is woken first: connecting takes its time,
/// and a process may stand still at any point.
async fn by_claim(
    claim: &claim::Standing,
    sent: HttpConnectorFuture,
) -> Result<Result<HttpResponse, ConnectorError>, ClaimRanOut> {
    let mut sent = pin!(sent);
    poll_fn(|cx| match claim.stands() {
        true => sent.as_mut().poll(cx).map(Ok),
        false => Poll::Ready(Err(ClaimRanOut)),
    })
    .await
}

impl HttpConnector for Paced {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let (inner, pace, standing) = (self.inner.clone(), self.pace.clone(), self.standing.clone());
        let (soon, slow_after, within) = (self.soon, self.slow_after, self.within);
        let is_object = is_object_read(&request);
        let claim = claim::Standing::of_request().filter(|_| !matches!(request.method(), "GET" | "HEAD"));
        let changed_by = claim.clone().filter(|_| changes_object(&request));
        let completes = request.method() == "POST";
        HttpConnectorFuture::new(async move {
            // As the user's error, since the SDK would try others again.
            let throttled = |throttled: Throttled| ConnectorError::user(throttled.into());
            let _room =
                if upload::is_upload(&request) { Some(pace.enter_upload().await.map_err(throttled)?) } else { None };
            let _turn = pace.enter().await.map_err(throttled)?;
            let began = Instant::now();
            if let Some(claim) = &changed_by {
                claim.note_sent(standing.backend());
            }
            let upload = Upload::watch(&mut request, soon, within);
            let sent = inner.call(request);
            let sent = match upload.clone() {
                Some(upload) => HttpConnectorFuture::new(upload.answer(sent)),
                None => sent,
            };
            let answer = match claim {
                Some(claim) => by_claim(&claim, sent).await.map_err(|ran_out| ConnectorError::user(ran_out.into()))?,
                None => sent.await,
            };
            let was_slow = match &upload {
                Some(upload) => upload.was_slow(),
                None => slow_after.is_some_and(|limit| began.elapsed() > limit),
            };
            let within = if upload.is_some() { soon } else { within };
            let answer = match answer {
                Ok(answer) if !(is_object && answer.status().is_success()) => read_whole(answer, within).await,
                answer => answer,
            };
            if let Some(claim) = changed_by.filter(|_| is_certain(completes, &answer)) {
                claim.note_answered(standing.backend());
            }
            standing.note(answer.as_ref().ok().map(|answer| answer.status().as_u16()), was_slow);
            let answer = answer?;
            let seconds = answer.headers().get("retry-after").and_then(|value| value.parse().ok());
            pace.note(answer.status().as_u16(), seconds.map(Duration::from_secs));
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use s3gateway_config::BackendId;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const SOON: Duration = Duration::from_secs(30);

    fn standing() -> Arc<Standing> {
        Standing::new(&BackendId::parse("b").unwrap(), Duration::from_secs(1))
    }

    /// Answers everything once it is connected, and counts.
    #[derive(Clone, Debug)]
    struct Backend {
        connects: Duration,
        sent: Arc<AtomicUsize>,
    }

    impl HttpConnector for Backend {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            let Self { connects, sent } = self.clone();
            HttpConnectorFuture::new(async move {
                tokio::time::sleep(connects).await;
                sent.fetch_add(1, Ordering::Relaxed);
                Ok(HttpResponse::new(204.try_into().unwrap(), SdkBody::empty()))
            })
        }
    }

    /// Whether a request is sent by a claim with so long a lease, and what it comes to otherwise.
    async fn send(method: &str, lease: Option<u64>, connects: u64) -> (bool, bool) {
        let sent = Arc::new(AtomicUsize::new(0));
        let backend = Backend { connects: Duration::from_secs(connects), sent: sent.clone() };
        let (inner, standing) = (SharedHttpConnector::new(backend), standing());
        let paced =
            Paced { inner, pace: Pace::new(1, None), standing, soon: SOON, slow_after: None, within: Duration::MAX };
        let mut request = HttpRequest::new(SdkBody::empty());
        request.set_method(method).unwrap();
        request.set_uri("http://b/bucket/k").unwrap();
        let call = async { paced.call(request).await };
        let answer = match lease {
            Some(lease) => claim::Standing::since(Instant::now(), Duration::from_secs(lease)).run(call).await,
            None => call.await,
        };
        let ran_out = answer.is_err_and(|error| find_cause::<ClaimRanOut>(&error).is_some());
        (sent.load(Ordering::Relaxed) == 1, ran_out)
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_leaves_only_while_its_claim_stands() {
        for (method, lease, connects, is_sent) in [
            ("DELETE", Some(0), 0, false),
            ("PUT", Some(0), 0, false),
            ("POST", Some(0), 0, false),
            ("GET", Some(0), 0, true),
            ("HEAD", Some(0), 0, true),
            ("DELETE", None, 0, true),
            ("DELETE", Some(10), 1, true),
            // It ran out while the connection was made.
            ("DELETE", Some(3), 4, false),
            ("GET", Some(3), 4, true),
        ] {
            assert_eq!(send(method, lease, connects).await, (is_sent, !is_sent), "{method} {lease:?} {connects}");
        }
    }

    /// Answers everything with one status and body, or not at all.
    #[derive(Clone, Debug)]
    struct Says(Option<(u16, &'static str)>);

    impl HttpConnector for Says {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            HttpConnectorFuture::ready(match self.0 {
                Some((status, body)) => Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body))),
                None => Err(ConnectorError::timeout("no answer in time".into())),
            })
        }
    }

    #[tokio::test]
    async fn what_is_not_answered_for_certain_may_land_yet() {
        let slow_down = "<Error><Code>SlowDown</Code></Error>";
        for (method, query, says, may_land) in [
            ("DELETE", "?x-id=DeleteObject", Some((204, "")), false),
            ("DELETE", "?x-id=DeleteObject", Some((404, "")), false),
            ("DELETE", "?x-id=DeleteObject", Some((501, "")), false),
            ("DELETE", "?x-id=DeleteObject", Some((429, "")), false),
            ("DELETE", "?x-id=DeleteObject", Some((503, slow_down)), false),
            ("DELETE", "?x-id=DeleteObject", Some((503, "no server answers")), false),
            ("DELETE", "?x-id=DeleteObject", Some((500, "")), false),
            ("DELETE", "?x-id=DeleteObject", Some((408, "")), true),
            ("DELETE", "?x-id=DeleteObject", Some((502, "")), true),
            ("DELETE", "?x-id=DeleteObject", Some((504, "")), true),
            ("DELETE", "?x-id=DeleteObject", Some((522, "")), true),
            ("PUT", "?x-id=CopyObject", Some((200, "<CopyObjectResult/>")), false),
            ("PUT", "?x-id=CopyObject", Some((200, "<Error><Code>InternalError</Code></Error>")), true),
            ("POST", "?uploadId=u", Some((200, "<CompleteMultipartUploadResult/>")), false),
            ("POST", "?uploadId=u", Some((200, " <Error><Code>InternalError</Code></Error>")), true),
            ("POST", "?uploadId=u", Some((400, "<Error><Code>InvalidPart</Code></Error>")), false),
            ("POST", "?uploadId=u", Some((500, "")), true),
            ("POST", "?uploadId=u", Some((503, slow_down)), false),
            ("DELETE", "?x-id=DeleteObject", None, true),
            ("DELETE", "?versionId=v&x-id=DeleteObject", None, true),
            ("PUT", "?x-id=PutObject", None, true),
            ("PUT", "?tagging", None, true),
            ("DELETE", "?tagging", None, true),
            ("POST", "?uploadId=u", None, true),
            ("POST", "?uploads", None, false),
            ("PUT", "?x-id=UploadPart&partNumber=1&uploadId=u", None, false),
            ("DELETE", "?x-id=AbortMultipartUpload&uploadId=u", None, false),
            ("GET", "?x-id=GetObject", None, false),
            ("HEAD", "", None, false),
        ] {
            let standing = standing();
            let (inner, pace) = (SharedHttpConnector::new(Says(says)), Pace::new(1, None));
            let paced = Paced { inner, pace, standing, soon: SOON, slow_after: None, within: SOON };
            let claim = claim::Standing::since(Instant::now(), Duration::from_secs(60));
            let request = || {
                let mut request = HttpRequest::new(SdkBody::empty());
                request.set_method(method).unwrap();
                request.set_uri(format!("http://b/bucket/k{query}")).unwrap();
                request
            };
            let _ = claim.run(async { paced.call(request()).await }).await;
            assert_eq!(!claim.unanswered().is_empty(), may_land, "{method} {query} {says:?}");
            // It is sent again and answered: what was sent first may land all the same.
            let (inner, pace) = (SharedHttpConnector::new(Says(Some((200, "")))), Pace::new(1, None));
            let answers = Paced { inner, pace, ..paced };
            assert!(claim.run(async { answers.call(request()).await }).await.is_ok());
            assert_eq!(!claim.unanswered().is_empty(), may_land, "{method} {query} {says:?}, again");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_up_on_its_way_may_land_yet() {
        let backend = Backend { connects: Duration::from_secs(9), sent: Arc::default() };
        let (inner, standing) = (SharedHttpConnector::new(backend), standing());
        let paced =
            Paced { inner, pace: Pace::new(1, None), standing, soon: SOON, slow_after: None, within: Duration::MAX };
        let claim = claim::Standing::since(Instant::now(), Duration::from_secs(60));
        let call = async {
            let mut request = HttpRequest::new(SdkBody::empty());
            request.set_method("DELETE").unwrap();
            paced.call(request).await
        };
        assert!(tokio::time::timeout(Duration::from_secs(1), claim.run(call)).await.is_err());
        assert_eq!(claim.unanswered(), [BackendId::parse("b").unwrap()]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_does_not_answer_uploads_or_answers_them_late_is_left_alone() {
        const UPLOADS: &str = "http://b/bucket/k?x-id=PutObject";
        for (method, uri, answers, took, is_left_alone) in [
            ("PUT", UPLOADS, 9999, 30, true),
            ("PUT", "http://b/bucket/k?x-id=UploadPart&partNumber=1&uploadId=u", 9999, 30, true),
            ("PUT", UPLOADS, 16, 16, true),
            ("PUT", UPLOADS, 14, 14, false),
            // What makes an object of parts may take long.
            ("POST", "http://b/bucket/k?uploadId=u", 999, 999, false),
        ] {
            let backend = Backend { connects: Duration::from_secs(answers), sent: Arc::default() };
            let (inner, standing) = (SharedHttpConnector::new(backend), standing());
            let within = Duration::from_secs(3600);
            let (pace, left) = (Pace::new(8, None), standing.clone());
            let paced = Paced { inner, pace, standing, soon: SOON, slow_after: None, within };
            let claim = claim::Standing::since(Instant::now(), within);
            let call = || async {
                let mut request = HttpRequest::new(SdkBody::from("x"));
                request.set_method(method).unwrap();
                request.set_uri(uri).unwrap();
                request.headers_mut().insert("content-length", "1");
                paced.call(request).await.is_ok()
            };
            let began = Instant::now();
            let answered = claim.run(futures::future::join_all((0..4).map(|_| call()))).await;
            assert_eq!(began.elapsed().as_secs(), took, "{method} {uri} {answers}");
            assert_eq!(left.rest(Instant::now()).is_some(), is_left_alone, "{method} {uri} {answers}");
            let may_land = uri == UPLOADS && answered.contains(&false);
            assert_eq!(!claim.unanswered().is_empty(), may_land, "{method} {uri} {answers}");
        }
    }

    /// Answers everything with bytes that do not end, after a pause each time.
    #[derive(Clone, Debug)]
    struct Endless(Duration);

    impl HttpConnector for Endless {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            let pause = self.0;
            let bytes = stream::unfold((), move |()| async move {
                tokio::time::sleep(pause).await;
                Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b' '; 1 << 16]))), ()))
            });
            let body = SdkBody::from_body_1_x(StreamBody::new(bytes));
            HttpConnectorFuture::ready(Ok(HttpResponse::new(200.try_into().unwrap(), body)))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_end_is_none_unless_it_is_an_object() {
        let within = Duration::from_secs(30);
        for (uri, pause, is_passed) in [
            ("http://b/bucket?list-type=2", 0, false),
            ("http://b/bucket?list-type=2", 1, false),
            ("http://b/bucket/k?tagging", 1, false),
            ("http://b/bucket/x-id=GetObject?tagging", 1, false),
            ("http://b/bucket/k?x-id=GetObject", 0, true),
            ("http://b/bucket/k?x-id=GetObject&versionId=v", 1, true),
        ] {
            let inner = SharedHttpConnector::new(Endless(Duration::from_secs(pause)));
            let standing = standing();
            let paced = Paced { inner, pace: Pace::new(1, None), standing, soon: within, slow_after: None, within };
            let mut request = HttpRequest::new(SdkBody::empty());
            request.set_uri(uri).unwrap();
            let began = Instant::now();
            let answer = paced.call(request).await;
            assert_eq!(answer.is_ok(), is_passed, "{uri} {pause}: {answer:?}");
            assert!(began.elapsed() < within * 2, "{uri} {pause}: {:?}", began.elapsed());
        }
    }
}
