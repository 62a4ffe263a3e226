//! A backend in memory, behind the SDK's own HTTP layer: what the worker sends is read as a server would read it.
use super::gate::{Fate, Gate};
use aws_sdk_s3::config::http::{HttpRequest, HttpResponse};
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use bytes::Bytes;
use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use md5::{Digest, Md5};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// One object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) body: Bytes,
    pub(super) tags: BTreeMap<String, String>,
}

impl Stored {
    fn etag(&self) -> String {
        format!("\"{}\"", hex::encode(Md5::digest(&self.body)))
    }
}

/// What a backend holds, by key; one bucket, which is there once it was made.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) objects: BTreeMap<String, Stored>,
    pub(super) has_bucket: bool,
}

/// A backend.
#[derive(Clone)]
pub(super) struct Site {
    name: &'static str,
    gate: Gate,
    pub(super) held: Arc<Mutex<Held>>,
}

impl Site {
    pub(super) fn new(name: &'static str, gate: Gate) -> Self {
        Self { name, gate, held: Arc::default() }
    }

    /// For the clients of this backend.
    pub(super) fn http_client(&self) -> SharedHttpClient {
        let connector = SharedHttpConnector::new(Connector(self.clone()));
        http_client_fn(move |_, _| connector.clone())
    }

    pub(super) fn object(&self, key: &str) -> Option<Stored> {
        self.held.lock().unwrap().objects.get(key).cloned()
    }

    async fn exchange(self, mut request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let (method, uri) = (request.method().to_owned(), request.uri().to_owned());
        let (path, query) = uri.split_once('?').unwrap_or((&uri, ""));
        let path = path.split_once("://").map_or(path, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
        let key = path.trim_start_matches('/').split_once('/').map(|(_, key)| key.to_owned()).unwrap_or_default();
        let is_tagging = query.split('&').any(|p| p == "tagging");
        let what = format!("{} {method} {key}{}", self.name, if is_tagging { "?tagging" } else { "" });
        let fate = self.gate.pass(what).await;
        if fate == Fate::Lost {
            return Err(ConnectorError::io("lost".into()));
        }
        if fate == Fate::Throttled {
            return Ok(error(503, "SlowDown"));
        }
        // What broke off on its way up is not kept.
        let body = match request.take_body().collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return Err(ConnectorError::io("the upload broke off".into())),
        };
        let answer = self.answer(&method, &key, is_tagging, &request, body, fate == Fate::Cut);
        if fate == Fate::AnswerLost { Err(ConnectorError::io("the answer was lost".into())) } else { Ok(answer) }
    }

    fn answer(
        &self,
        method: &str,
        key: &str,
        is_tagging: bool,
        request: &HttpRequest,
        body: Bytes,
        is_cut: bool,
    ) -> HttpResponse {
        let mut held = self.held.lock().unwrap();
        let header = |name: &str| request.headers().get(name).map(str::to_owned);
        match (method, key) {
            ("HEAD", "") => empty(if held.has_bucket { 200 } else { 404 }),
            ("PUT", "") => {
                held.has_bucket = true;
                empty(200)
            }
            _ if !held.has_bucket => error(404, "NoSuchBucket"),
            ("PUT", _) if is_tagging => match held.objects.get_mut(key) {
                Some(stored) => {
                    stored.tags = parse_tags(&String::from_utf8_lossy(&body));
                    empty(200)
                }
                None => error(404, "NoSuchKey"),
            },
            ("DELETE", _) if is_tagging => match held.objects.get_mut(key) {
                Some(stored) => {
                    stored.tags.clear();
                    empty(204)
                }
                None => error(404, "NoSuchKey"),
            },
            ("PUT", _) => {
                let pairs = header("x-amz-tagging").unwrap_or_default();
                let pairs = pairs.split('&').filter_map(|pair| pair.split_once('='));
                let tags = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
                let stored = Stored { body, tags };
                let mut answer = empty(200);
                answer.headers_mut().insert("etag", stored.etag());
                held.objects.insert(key.to_owned(), stored);
                answer
            }
            ("DELETE", _) => {
                held.objects.remove(key);
                empty(204)
            }
            ("GET" | "HEAD", _) => match held.objects.get(key) {
                None if method == "HEAD" => empty(404),
                None => error(404, "NoSuchKey"),
                Some(stored) if is_tagging => respond(200, render_tags(&stored.tags).into()),
                Some(stored) => {
                    if header("if-match").is_some_and(|etag| etag != stored.etag()) {
                        return error(412, "PreconditionFailed");
                    }
                    show(stored, method == "HEAD", is_cut)
                }
            },
            _ => error(501, "NotImplemented"),
        }
    }
}

/// A range is only ever asked for to see whether anything is there; a server may ignore it.
fn show(stored: &Stored, is_head: bool, is_cut: bool) -> HttpResponse {
    let whole = stored.body.clone();
    let body = match (is_head, is_cut) {
        (true, _) => SdkBody::empty(),
        (false, false) => SdkBody::from(whole),
        (false, true) => {
            let half = whole.slice(..whole.len() / 2);
            let broken = std::io::Error::other("the stream broke");
            let frames = stream::iter([Ok(Frame::data(half)), Err(broken)]);
            SdkBody::from_body_1_x(StreamBody::new(frames))
        }
    };
    let mut answer = respond(200, body);
    answer.headers_mut().insert("etag", stored.etag());
    answer.headers_mut().insert("content-length", stored.body.len().to_string());
    answer
}

fn respond(status: u16, body: SdkBody) -> HttpResponse {
    HttpResponse::new(status.try_into().unwrap(), body)
}

fn empty(status: u16) -> HttpResponse {
    respond(status, SdkBody::empty())
}

fn error(status: u16, code: &str) -> HttpResponse {
    respond(status, format!("<Error><Code>{code}</Code></Error>").into())
}

fn render_tags(tags: &BTreeMap<String, String>) -> String {
    let tags: String = tags.iter().map(|(k, v)| format!("<Tag><Key>{k}</Key><Value>{v}</Value></Tag>")).collect();
    format!("<Tagging><TagSet>{tags}</TagSet></Tagging>")
}

/// Of a document as the SDK writes it.
fn parse_tags(document: &str) -> BTreeMap<String, String> {
    let between = |text: &str, name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
    };
    document.split("<Tag>").skip(1).filter_map(|tag| Some((between(tag, "Key")?, between(tag, "Value")?))).collect()
}

#[derive(Clone)]
struct Connector(Site);

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name)
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.0.clone().exchange(request))
    }
}
