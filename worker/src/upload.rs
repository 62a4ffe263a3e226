//! How long a backend may be silent while it is sent a body. What counts is what it has taken of the body and when, not how long the
//! body takes: it is no fault of the backend where the source is slow, or where the body is held to a bandwidth.
use aws_sdk_s3::config::http::{HttpRequest, HttpResponse};
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::HttpConnectorFuture;
use aws_smithy_runtime_api::client::result::ConnectorError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Bytes a second at which a backend stores at least what it has taken: the last of them may still be on their way, and some
/// pass an object on to where it stays once they have all of it.
const LEAST_RATE: u64 = 256 << 10;

/// A body on its way to a backend.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    taken: Arc<Mutex<Taken>>,
    /// How long the backend may be silent before it has all bytes.
    silence: Duration,
    /// And how long once it has.
    silence_at_end: Duration,
}

/// What the backend has taken.
#[derive(Debug)]
struct Taken {
    left: u64,
    /// When it took some, or asked for some, last.
    at: Instant,
    /// It wants more than the source has given.
    is_source_awaited: bool,
}

/// The body, as it is taken.
struct Watched {
    inner: SdkBody,
    taken: Arc<Mutex<Taken>>,
}

fn locked(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long the answer may take once a backend has all bytes: as long as one that comes soon, and what it takes to store them.
fn decide_silence_at_end(length: u64, soon: Duration, most: Duration) -> Duration {
    soon.saturating_add(Duration::from_millis(length.saturating_mul(1000) / LEAST_RATE)).min(most)
}

/// Whether a request brings an object or a part, or what little is put besides (tags, settings of a bucket).
pub(crate) fn is_upload(request: &HttpRequest) -> bool {
    request.method() == "PUT"
        && !request.headers().contains_key("x-amz-copy-source")
        && request.headers().contains_key("content-length")
}

impl Upload {
    /// Watches the body of a request that brings an object or a part; `None` for others. `soon`: what an answer takes at most that
    /// comes soon by its nature; `most`: what any takes.
    pub(crate) fn watch(request: &mut HttpRequest, soon: Duration, most: Duration) -> Option<Self> {
        if !is_upload(request) {
            return None;
        }
        let length = request.headers().get("content-length")?.parse().ok()?;
        let taken = Taken { left: length, at: Instant::now(), is_source_awaited: false };
        let taken = Arc::new(Mutex::new(taken));
        let inner = request.take_body();
        *request.body_mut() = SdkBody::from_body_1_x(Watched { inner, taken: taken.clone() });
        Some(Self { taken, silence: soon, silence_at_end: decide_silence_at_end(length, soon, most) })
    }

    /// The answer, unless the backend is silent for too long.
    pub(crate) async fn answer(self, sent: HttpConnectorFuture) -> Result<HttpResponse, ConnectorError> {
        tokio::select! {
            // In an order that a simulation can repeat.
            biased;
            answer = sent => answer,
            () = self.silent_for_too_long() => Err(ConnectorError::timeout("no answer in time".into())),
        }
    }

    /// Whether an answer that has just come was slow.
    pub(crate) fn was_slow(&self) -> bool {
        let (at, allowed) = self.silence();
        at.elapsed() > allowed / 2
    }

    /// Since when the backend is silent, and how long it may be.
    fn silence(&self) -> (Instant, Duration) {
        let taken = locked(&self.taken);
        let at = if taken.is_source_awaited { Instant::now() } else { taken.at };
        (at, if taken.left == 0 { self.silence_at_end } else { self.silence })
    }

    async fn silent_for_too_long(&self) {
        loop {
            let (at, allowed) = self.silence();
            let until = at + allowed;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let given = Pin::new(&mut self.inner).poll_frame(cx);
        let mut taken = locked(&self.taken);
        taken.at = Instant::now();
        taken.is_source_awaited = given.is_pending();
        if let Poll::Ready(Some(Ok(frame))) = &given {
            taken.left = taken.left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
        }
        drop(taken);
        given
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http_body_util::{BodyExt, StreamBody};
    use std::convert::Infallible;

    const SOON: Duration = Duration::from_secs(30);
    const MOST: Duration = Duration::from_secs(3600);
    const FRAME: usize = 256 << 10;

    /// A PUT of so many frames, each of which the source gives after a pause.
    fn put(frames: usize, pause: Duration) -> HttpRequest {
        let given = stream::unfold(0, move |n| async move {
            if n == frames {
                return None;
            }
            tokio::time::sleep(pause).await;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(vec![0; FRAME]))), n + 1))
        });
        let mut request = HttpRequest::new(SdkBody::from_body_1_x(StreamBody::new(given)));
        request.set_method("PUT").unwrap();
        request.headers_mut().insert("content-length", (frames * FRAME).to_string());
        request
    }

    /// Seconds after which a PUT of four frames is answered or given up, and which.
    async fn send(gives: u64, takes: u64, most: usize, answers: Option<u64>) -> (u64, bool) {
        let mut request = put(4, Duration::from_secs(gives));
        let upload = Upload::watch(&mut request, SOON, MOST).unwrap();
        let mut body = request.take_body();
        let began = Instant::now();
        let sent = HttpConnectorFuture::new(async move {
            for _ in 0..most {
                body.frame().await.unwrap().unwrap();
                tokio::time::sleep(Duration::from_secs(takes)).await;
            }
            match answers {
                Some(after) => tokio::time::sleep(Duration::from_secs(after)).await,
                None => std::future::pending().await,
            }
            Ok(HttpResponse::new(200.try_into().unwrap(), SdkBody::empty()))
        });
        let answer = upload.answer(sent).await;
        assert!(answer.as_ref().err().is_none_or(ConnectorError::is_timeout), "{answer:?}");
        (began.elapsed().as_secs(), answer.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_is_silent_is_given_up_and_one_that_is_kept_waiting_is_not() {
        // The four frames take four seconds at the least rate.
        for (gives, takes, most, answers, want) in [
            (0, 0, 0, None, (30, false)),
            (0, 0, 2, None, (30, false)),
            (0, 0, 4, None, (34, false)),
            (0, 0, 4, Some(33), (33, true)),
            (0, 29, 4, Some(0), (116, true)),
            (0, 31, 4, Some(0), (30, false)),
            (100, 0, 4, Some(33), (433, true)),
            (100, 0, 4, None, (434, false)),
        ] {
            assert_eq!(send(gives, takes, most, answers).await, want, "{gives} {takes} {most} {answers:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_body_that_is_stored_has_such_a_limit() {
        for (method, copies, length, is_watched) in [
            ("PUT", false, Some("1"), true),
            ("PUT", false, Some("0"), true),
            ("PUT", false, None, false),
            ("PUT", true, Some("0"), false),
            // Of parts an object is made for as long as it takes.
            ("POST", false, Some("100"), false),
            ("GET", false, None, false),
        ] {
            let mut request = HttpRequest::new(SdkBody::empty());
            request.set_method(method).unwrap();
            if copies {
                request.headers_mut().insert("x-amz-copy-source", "bucket/k");
            }
            if let Some(length) = length {
                request.headers_mut().insert("content-length", length);
            }
            assert_eq!(Upload::watch(&mut request, SOON, MOST).is_some(), is_watched, "{method} {copies} {length:?}");
        }
    }

    #[test]
    fn the_answer_may_take_as_long_as_the_bytes_but_no_longer_than_any() {
        for (length, want) in [(0, 30), (LEAST_RATE, 31), (64 << 20, 286), (u64::MAX, 3600)] {
            assert_eq!(decide_silence_at_end(length, SOON, MOST), Duration::from_secs(want), "{length}");
        }
    }
}
