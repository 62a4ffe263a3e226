//! The place that every request to a backend passes: it waits for its turn there, and its end is told to the backend's pace and
//! standing, which see what the backend does and not how long a request waited here.
//! Invariant: what a job sends to change a backend leaves while its claim stands, whatever it has waited for.
use crate::claim::{self, ClaimRanOut};
use crate::pace::Pace;
use crate::standing::Standing;
use aws_sdk_s3::config::http::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use std::error::Error;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// The same client at a backend's pace. `slow_after`: how long an answer may take that comes soon by its nature.
pub(crate) fn paced(
    client: SharedHttpClient,
    pace: Arc<Pace>,
    standing: Arc<Standing>,
    slow_after: Option<Duration>,
) -> SharedHttpClient {
    http_client_fn(move |settings, components| {
        let inner = client.http_connector(settings, components);
        SharedHttpConnector::new(Paced { inner, pace: pace.clone(), standing: standing.clone(), slow_after })
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
    slow_after: Option<Duration>,
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
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (inner, pace, standing) = (self.inner.clone(), self.pace.clone(), self.standing.clone());
        let slow_after = self.slow_after;
        let claim = claim::Standing::of_request().filter(|_| !matches!(request.method(), "GET" | "HEAD"));
        HttpConnectorFuture::new(async move {
            // As the user's error, since the SDK would try others again.
            let _turn = pace.enter().await.map_err(|throttled| ConnectorError::user(throttled.into()))?;
            let began = Instant::now();
            let sent = inner.call(request);
            let answer = match claim {
                Some(claim) => by_claim(&claim, sent).await.map_err(|ran_out| ConnectorError::user(ran_out.into()))?,
                None => sent.await,
            };
            let status = answer.as_ref().ok().map(|answer| answer.status().as_u16());
            standing.note(status, slow_after.is_some_and(|limit| began.elapsed() > limit));
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
    use aws_sdk_s3::primitives::SdkBody;
    use std::sync::atomic::{AtomicUsize, Ordering};

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
        let (inner, standing) = (SharedHttpConnector::new(backend), Standing::new("b", Duration::from_secs(1)));
        let paced = Paced { inner, pace: Pace::new(1, None), standing, slow_after: None };
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
}
