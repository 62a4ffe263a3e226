//! The place that every request to a backend passes: it waits for its turn there, and its end is told to the backend's pace and
//! standing, which see what the backend does and not how long a request waited here.
use crate::pace::{Pace, Throttled};
use crate::standing::Standing;
use aws_sdk_s3::config::http::HttpRequest;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use std::error::Error;
use std::sync::Arc;
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

impl Throttled {
    /// Whether this is what an error comes from.
    pub(crate) fn find<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Self> {
        let mut causes = std::iter::successors(Some(error), |&error| error.source());
        causes.find_map(|cause| cause.downcast_ref())
    }
}

#[derive(Debug)]
struct Paced {
    inner: SharedHttpConnector,
    pace: Arc<Pace>,
    standing: Arc<Standing>,
    slow_after: Option<Duration>,
}

impl HttpConnector for Paced {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (inner, pace, standing) = (self.inner.clone(), self.pace.clone(), self.standing.clone());
        let slow_after = self.slow_after;
        HttpConnectorFuture::new(async move {
            // As the user's error, since the SDK would try others again.
            let _turn = pace.enter().await.map_err(|throttled| ConnectorError::user(throttled.into()))?;
            let began = Instant::now();
            let answer = inner.call(request).await;
            let status = answer.as_ref().ok().map(|answer| answer.status().as_u16());
            standing.note(status, slow_after.is_some_and(|limit| began.elapsed() > limit));
            let answer = answer?;
            let seconds = answer.headers().get("retry-after").and_then(|value| value.parse().ok());
            pace.note(answer.status().as_u16(), seconds.map(Duration::from_secs));
            Ok(answer)
        })
    }
}
