//! The way to a site: what comes along it is noted, and may be refused.
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use s3s::service::S3Service;
use s3s::{Body, HttpError};
use std::sync::Mutex;

/// What comes to a site of ours, and whether it is let in.
#[derive(Default)]
pub struct Wire {
    seen: Mutex<Vec<String>>,
    refused: Mutex<Option<Refused>>,
}

/// Requests that are answered without the site.
struct Refused {
    status: u16,
    /// Those whose method and path hold this.
    what: String,
}

impl Wire {
    /// Methods and paths since the last call.
    pub fn take_seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// Whether every request is answered SlowDown from now on.
    pub fn throttle(&self, throttles: bool) {
        if throttles { self.refuse(503, "") } else { self.let_in() }
    }

    /// Answers with the status from now on what has this in its method and path.
    pub fn refuse(&self, status: u16, what: &str) {
        *self.refused.lock().unwrap() = Some(Refused { status, what: what.to_owned() });
    }

    /// Lets everything in again.
    pub fn let_in(&self) {
        *self.refused.lock().unwrap() = None;
    }

    fn status_of(&self, line: &str) -> Option<u16> {
        let refused = self.refused.lock().unwrap();
        refused.as_ref().filter(|refused| line.contains(&refused.what)).map(|refused| refused.status)
    }

    pub(super) async fn pass(
        &self,
        service: &S3Service,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, HttpError> {
        let line = format!("{} {}", request.method(), request.uri());
        let status = self.status_of(&line);
        self.seen.lock().unwrap().push(line);
        if let Some(status) = status {
            let code = if status == 503 { "SlowDown" } else { "InternalError" };
            let text = format!("<Error><Code>{code}</Code><Message>refused</Message></Error>");
            return Ok(Response::builder().status(status).body(Body::from(text)).unwrap());
        }
        Service::call(service, request).await
    }
}
