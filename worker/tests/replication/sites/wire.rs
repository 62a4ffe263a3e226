//! The way to a site: what comes along it is noted, and may be refused, or answered with less than there is.
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::Service;
use s3s::service::S3Service;
use s3s::{Body, HttpError};
use std::sync::Mutex;
use tokio::sync::Notify;

/// What comes to a site of ours, and whether it is let in.
#[derive(Default)]
pub struct Wire {
    seen: Mutex<Vec<String>>,
    hindered: Mutex<Vec<Hindered>>,
    /// Ids of versions that no listing shows.
    hidden: Mutex<Vec<String>>,
    let_in: Notify,
}

/// Requests that do not come to the site.
struct Hindered {
    /// Status and document of what they are answered; `None`: nothing, until they are let in.
    answer: Option<(u16, String)>,
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
        let code = if status == 503 { "SlowDown" } else { "InternalError" };
        *self.hindered.lock().unwrap() = Vec::new();
        self.answer(status, what, &error(code));
    }

    /// Answers nothing from now on to what has this in its method and path, until it is let in.
    pub fn hold(&self, what: &str) {
        *self.hindered.lock().unwrap() = vec![Hindered { answer: None, what: what.to_owned() }];
    }

    /// Leaves these versions out of what is listed from now on, as if the site had lost them.
    pub fn hide(&self, versions: &[&str]) {
        *self.hidden.lock().unwrap() = versions.iter().map(|id| (*id).to_owned()).collect();
    }

    /// Answers with the status and the document from now on what has this in its method and path, and is not hindered already.
    pub fn answer(&self, status: u16, what: &str, document: &str) {
        let hindered = Hindered { answer: Some((status, document.to_owned())), what: what.to_owned() };
        self.hindered.lock().unwrap().push(hindered);
    }

    /// Lets everything in again.
    pub fn let_in(&self) {
        self.hindered.lock().unwrap().clear();
        self.let_in.notify_waiters();
    }

    /// What a request is answered; `None`: nothing for now.
    fn answer_to(&self, line: &str) -> Option<Option<(u16, String)>> {
        let hindered = self.hindered.lock().unwrap();
        hindered.iter().find(|hindered| line.contains(&hindered.what)).map(|hindered| hindered.answer.clone())
    }

    pub(super) async fn pass(
        &self,
        service: &S3Service,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, HttpError> {
        let line = format!("{} {}", request.method(), request.uri());
        self.seen.lock().unwrap().push(line.clone());
        loop {
            // Registered before the look, so that being let in is not missed.
            let let_in = self.let_in.notified();
            let Some(answer) = self.answer_to(&line) else { break };
            let Some((status, document)) = answer else {
                let_in.await;
                continue;
            };
            return Ok(Response::builder().status(status).body(Body::from(document)).unwrap());
        }
        let answer = Service::call(service, request).await?;
        let hidden = self.hidden.lock().unwrap().clone();
        if hidden.is_empty() || !line.contains("?versions") {
            return Ok(answer);
        }
        let (mut head, body) = answer.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        head.headers.remove(http::header::CONTENT_LENGTH);
        Ok(Response::from_parts(head, Body::from(hidden.iter().fold(text, |text, id| without_version(&text, id)))))
    }
}

/// A listing without one version.
fn without_version(text: &str, id: &str) -> String {
    const END: &str = "</Version>";
    let Some(at) = text.find(&format!("<VersionId>{id}</VersionId>")) else { return text.to_owned() };
    let (start, end) = (text[..at].rfind("<Version>").unwrap(), at + text[at..].find(END).unwrap() + END.len());
    format!("{}{}", &text[..start], &text[end..])
}

/// The document of an S3 error.
pub fn error(code: &str) -> String {
    format!("<Error><Code>{code}</Code><Message>refused</Message></Error>")
}
