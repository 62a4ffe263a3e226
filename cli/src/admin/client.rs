//! One HTTP request to the admin API.
use crate::failure::{During, Failure};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::time::Duration;
use tokio::{net::TcpStream, time::timeout};
use url::Url;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// A thousand buckets with policies are about one MiB.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;

/// Where the admin API is.
pub struct Client {
    url: Url,
    token: String,
}

impl Client {
    /// Checks an endpoint.
    ///
    /// # Errors
    /// Where it is no `http://` URL or the token cannot stand in a header.
    pub fn new(endpoint: &str, token: String) -> Result<Self, Failure> {
        let url = Url::parse(endpoint).map_err(|error| Failure::of_input(format!("--endpoint {endpoint}: {error}")))?;
        if url.scheme() != "http" || url.host_str().is_none() || !matches!(url.path(), "" | "/") {
            return Err(Failure::of_input(format!(
                "--endpoint {endpoint}: write http://HOST:PORT; the admin API speaks plain HTTP, so reach a distant one through a tunnel"
            )));
        }
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Failure::of_input("the admin token is empty or holds characters that no token has"));
        }
        Ok(Self { url, token })
    }

    /// Sends one request and gives the answer's document back; `Null` where there is none.
    ///
    /// # Errors
    /// Where nothing answers, or with the API's own words where it refuses.
    pub async fn send(&self, method: &Method, target: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let (status, bytes) = timeout(ANSWER_TIMEOUT, self.exchange(method, target, body))
            .await
            .map_err(|_| Failure::new(format!("{} did not answer within a minute", self.url)))??;
        let document =
            if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap_or(Value::Null) };
        if status.is_success() {
            return Ok(document);
        }
        let detail = document.get("detail").and_then(Value::as_str).unwrap_or("no reason was given");
        let field = document.get("field").and_then(Value::as_str).map(|field| format!("{field}: ")).unwrap_or_default();
        Err(Failure::new(format!("{field}{detail} ({})", status.as_u16())))
    }

    async fn exchange(
        &self,
        method: &Method,
        target: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port_or_known_default().unwrap_or(80);
        // Url writes IPv6 in brackets, which the resolver does not take.
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect((name, port)))
            .await
            .map_err(|_| Failure::new(format!("{} cannot be reached within 5 s", self.url)))?
            .during(&format!("{} cannot be reached (is the gateway running?)", self.url))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.during("speaking HTTP")?;
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, format!("{host}:{port}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let bytes = body.map(|document| Bytes::from(document.to_string())).unwrap_or_default();
        let request = request.body(Full::new(bytes)).during("building the request")?;
        let answer = async {
            let response = sender.send_request(request).await.during("asking the admin API")?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
            let body = body.map_err(|error| Failure::new(format!("reading the answer: {error}")))?;
            Ok((status, body.to_bytes()))
        };
        tokio::select! {
            answer = answer => answer,
            // The connection is driven by this arm; that it ends first means that the peer went away.
            ended = connection => {
                ended.during("the connection broke")?;
                Err(Failure::new("the gateway closed the connection without an answer"))
            }
        }
    }
}
