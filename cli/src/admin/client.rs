//! One request to the admin API, over HTTP or HTTPS.
//! Invariant: the token leaves this file only in the `Authorization` header; errors name nothing but scheme, host and port.
use super::trust;
use crate::failure::{During, Failure};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use s3gateway_config::Secret;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::pki_types::ServerName};
use tokio_util::either::Either;
use url::Url;

/// TCP and TLS establishment together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than the API takes for any request but the ones below.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than it takes for one that measures a backend.
pub const PATIENCE_WITH_PROBES: Duration = Duration::from_secs(360);
/// A thousand buckets with policies are about one MiB.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;

/// Where the admin API is.
pub struct Client {
    url: Url,
    token: Secret<String>,
    /// For `https` only.
    tls: Option<TlsConnector>,
}

type Stream = Either<TcpStream, TlsStream<TcpStream>>;

impl Client {
    /// Checks an endpoint. `ca_file` holds the CAs that an `https` endpoint is believed by, instead of the system's.
    ///
    /// # Errors
    /// Where it is no `http(s)://HOST[:PORT]`, the token cannot stand in a header, or the CAs cannot be read. The
    /// endpoint is not repeated, as it may hold what does not belong there.
    pub fn new(endpoint: &str, token: Secret<String>, ca_file: Option<&Path>) -> Result<Self, Failure> {
        let url = Url::parse(endpoint).map_err(|error| Failure::of_input(format!("--endpoint: {error}")))?;
        if !is_bare(&url) {
            return Err(Failure::of_input("--endpoint: write http://HOST[:PORT] or https://HOST[:PORT], nothing more"));
        }
        let tls = match (url.scheme(), ca_file) {
            ("https", _) => Some(trust::connector(ca_file)?),
            (_, Some(_)) => return Err(Failure::of_input("--ca-file goes with an https:// endpoint only")),
            _ => None,
        };
        if token.expose().is_empty() || !token.expose().bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Failure::of_input("the admin token is empty or holds characters that no token has"));
        }
        Ok(Self { url, token, tls })
    }

    /// Sends one request and gives the answer's document back within `patience`; `Null` where there is none.
    ///
    /// # Errors
    /// Where nothing answers, or with the API's own words where it refuses.
    pub async fn send(
        &self,
        method: &Method,
        target: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Value, Failure> {
        let late = || Failure::new(format!("{} did not answer within {} s", self.url, patience.as_secs()));
        let answered = timeout(patience, self.exchange(method, target, body, whole)).await;
        let (status, bytes) = answered.map_err(|_| late())??;
        let document =
            if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap_or(Value::Null) };
        if status.is_success() { Ok(document) } else { Err(refused(status, &document)) }
    }

    /// Saves an answer in a file that is not there yet, which appears only once it is whole.
    ///
    /// # Errors
    /// As [`Client::send`]; where the file is there or cannot be written, or the answer is cut short.
    pub async fn save(&self, target: &str, path: &Path) -> Result<(), Failure> {
        require_absent(path)?;
        let save = async |response: Response<Incoming>| {
            let (status, body) = (response.status(), response.into_body());
            if !status.is_success() {
                let document =
                    Limited::new(body, ANSWER_LIMIT).collect().await.map_or_else(|_| Bytes::new(), |b| b.to_bytes());
                return Err(refused(status, &serde_json::from_slice(&document).unwrap_or(Value::Null)));
            }
            let mut partial = path.as_os_str().to_owned();
            partial.push(format!(".{:016x}.part", rand::random::<u64>()));
            let partial = PathBuf::from(partial);
            let saved = match write_out(body, &partial).await {
                Ok(()) => require_absent(path)
                    .and_then(|()| std::fs::rename(&partial, path).during(&path.display().to_string())),
                failed => failed,
            };
            if saved.is_err() {
                let _ = std::fs::remove_file(&partial);
            }
            saved
        };
        self.exchange(&Method::GET, target, None, save).await
    }
}

async fn write_out(mut body: Incoming, path: &Path) -> Result<(), Failure> {
    let name = path.display().to_string();
    let mut file = tokio::fs::File::create_new(path).await.during(&name)?;
    while let Some(frame) = body.frame().await {
        let frame = frame.during("reading the answer")?;
        file.write_all(frame.data_ref().map_or(&[][..], |piece| piece)).await.during(&name)?;
    }
    file.sync_all().await.during(&name)
}

/// A download takes nothing's place.
fn require_absent(path: &Path) -> Result<(), Failure> {
    match path.symlink_metadata() {
        Ok(_) => Err(Failure::of_input(format!("{} is there already", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).during(&path.display().to_string()),
    }
}

/// The API's own words for a refusal.
fn refused(status: StatusCode, document: &Value) -> Failure {
    let detail = document.get("detail").and_then(Value::as_str).unwrap_or("no reason was given");
    let field = document.get("field").and_then(Value::as_str).map(|field| format!("{field}: ")).unwrap_or_default();
    Failure::new(format!("{field}{detail} ({})", status.as_u16()))
}

/// Takes an answer whole.
async fn whole(response: Response<Incoming>) -> Result<(StatusCode, Bytes), Failure> {
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
    let body = body.map_err(|error| Failure::new(format!("reading the answer: {error}")))?;
    Ok((status, body.to_bytes()))
}

impl Client {
    async fn exchange<T>(
        &self,
        method: &Method,
        target: &str,
        body: Option<&Value>,
        take: impl AsyncFnOnce(Response<Incoming>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let stream = timeout(CONNECT_TIMEOUT, self.connect())
            .await
            .map_err(|_| Failure::new(format!("{} cannot be reached within 5 s", self.url)))??;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.during("speaking HTTP")?;
        let mut authorization = header::HeaderValue::try_from(format!("Bearer {}", self.token.expose()))
            .map_err(|_| Failure::new("the admin token cannot stand in a header"))?;
        authorization.set_sensitive(true);
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, self.url.authority())
            .header(header::AUTHORIZATION, authorization);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let bytes = body.map(|document| Bytes::from(document.to_string())).unwrap_or_default();
        let request = request.body(Full::new(bytes)).during("building the request")?;
        let answer = async move { take(sender.send_request(request).await.during("asking the admin API")?).await };
        // The connection ends when the answer is there and its sender is gone, or breaks and lets the answer fail.
        let (answer, ended) = tokio::join!(answer, connection);
        answer.or_else(|failure| ended.during("the connection broke").and(Err(failure)))
    }

    async fn connect(&self) -> Result<Stream, Failure> {
        // Url writes IPv6 in brackets, which neither the resolver nor a certificate takes.
        let host = self.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = self.url.port_or_known_default().unwrap_or(80);
        let stream = TcpStream::connect((host, port))
            .await
            .during(&format!("{} cannot be reached (is the gateway running?)", self.url))?;
        let Some(tls) = &self.tls else { return Ok(Either::Left(stream)) };
        let name = ServerName::try_from(host.to_owned()).during("--endpoint")?;
        let stream = tls.connect(name, stream).await.during(&format!(
            "{} cannot be trusted (does it speak TLS, for this name, and is its CA the system's or in --ca-file?)",
            self.url
        ))?;
        Ok(Either::Right(stream))
    }
}

/// Scheme, host and port: a password or query would be a secret in the wrong place.
fn is_bare(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none()
}

#[cfg(test)]
mod tests;
