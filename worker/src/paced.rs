//! The place that every request to a backend passes: it waits for its turn there, and tells the backend's pace how it was answered.
use crate::pace::{Pace, Throttled};
use aws_sdk_s3::config::http::HttpRequest;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// The same client at a backend's pace.
pub(crate) fn paced(client: SharedHttpClient, pace: Arc<Pace>) -> SharedHttpClient {
    http_client_fn(move |settings, components| {
        let inner = client.http_connector(settings, components);
        SharedHttpConnector::new(Paced { inner, pace: pace.clone() })
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
}

impl HttpConnector for Paced {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (inner, pace) = (self.inner.clone(), self.pace.clone());
        HttpConnectorFuture::new(async move {
            // As the user's error, since the SDK would try others again.
            let _turn = pace.enter().await.map_err(|throttled| ConnectorError::user(throttled.into()))?;
            let answer = inner.call(request).await?;
            let seconds = answer.headers().get("retry-after").and_then(|value| value.parse().ok());
            pace.note(answer.status().as_u16(), seconds.map(Duration::from_secs));
            Ok(answer)
        })
    }
}
