//! The client before real listeners, with certificates made on the spot.
use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::{net::SocketAddr, path::PathBuf, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

const TOKEN: &str = "sesame-sesame-sesame-sesame-sesame";

/// A CA of its own, and a server for `localhost` that it vouches for and that answers one request with what it heard.
struct Server {
    address: SocketAddr,
    folder: tempfile::TempDir,
    heard: tokio::task::JoinHandle<String>,
}

impl Server {
    async fn start() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            match acceptor.accept(stream).await {
                Ok(stream) => answer(stream).await,
                Err(_) => String::new(),
            }
        });
        Self { address, folder, heard }
    }
    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}", self.address.port())
    }
    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") && stream.read_buf(&mut heard).await.unwrap() > 0 {}
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"ok\":true}").await.unwrap();
    stream.flush().await.unwrap();
    String::from_utf8(heard).unwrap()
}

fn client(endpoint: &str, ca: Option<&Path>) -> Result<Client, Failure> {
    Client::new(endpoint, Secret::new(TOKEN.into()), ca)
}

#[tokio::test]
async fn https_with_a_private_ca() {
    let server = Server::start().await;
    let client = client(&server.url("localhost"), Some(&server.ca())).unwrap();
    let document = client.send(&Method::GET, "/v1/tenants?x=1", None, PATIENCE).await.unwrap();
    assert_eq!(document, serde_json::json!({"ok": true}));
    let heard = server.heard.await.unwrap();
    assert!(heard.starts_with("GET /v1/tenants?x=1 HTTP/1.1\r\n"), "{heard}");
    assert!(heard.contains(&format!("authorization: Bearer {TOKEN}\r\n")), "{heard}");
    assert!(heard.contains(&format!("host: localhost:{}\r\n", server.address.port())), "{heard}");
}

/// Another CA, the system's CAs, another name: each ends the handshake before the token is sent.
#[tokio::test]
async fn https_of_a_stranger_never_hears_the_token() {
    let other = Server::start().await;
    for (host, own_ca, other_ca) in
        [("localhost", false, true), ("localhost", false, false), ("127.0.0.1", true, false)]
    {
        let server = Server::start().await;
        let ca = if own_ca { Some(server.ca()) } else { other_ca.then(|| other.ca()) };
        let client = client(&server.url(host), ca.as_deref()).unwrap();
        let failure = client.send(&Method::GET, "/v1/tenants", None, PATIENCE).await.unwrap_err().message;
        assert!(failure.contains("cannot be trusted") && failure.contains("certificate"), "{failure}");
        assert!(!failure.contains(TOKEN), "{failure}");
        assert_eq!(server.heard.await.unwrap(), "", "{host}");
    }
}

#[tokio::test]
async fn http_stays_http() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let heard = tokio::spawn(async move { answer(listener.accept().await.unwrap().0).await });
    client(&endpoint, None).unwrap().send(&Method::GET, "/v1/tenants", None, PATIENCE).await.unwrap();
    assert!(heard.await.unwrap().contains(TOKEN));
}

/// Answers one request after the other, each on a connection of its own, with the bytes given.
async fn serve(answers: &'static [&'static str]) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n\r\n") && stream.read_buf(&mut heard).await.unwrap() > 0 {}
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (endpoint, served)
}

#[tokio::test]
async fn a_download_is_there_whole_or_not_at_all() {
    let (endpoint, served) = serve(&[
        "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhalf",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 20\r\n\r\n{\"detail\": \"is not\"}",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole",
    ])
    .await;
    let (client, folder) = (client(&endpoint, None).unwrap(), tempfile::tempdir().unwrap());
    let file = folder.path().join("kept");
    let left = || std::fs::read_dir(folder.path()).unwrap().count();
    client.save("/v1/stranded/1/object", &file).await.unwrap_err();
    assert_eq!(left(), 0, "nothing of what was cut short is in the way of another try");
    let refused = client.save("/v1/stranded/1/object", &file).await.unwrap_err();
    assert!(refused.message.contains("is not (404)"), "{refused}");
    assert_eq!(left(), 0);
    client.save("/v1/stranded/1/object", &file).await.unwrap();
    assert_eq!((std::fs::read_to_string(&file).unwrap().as_str(), left()), ("whole", 1));
    served.await.unwrap();
    let taken = client.save("/v1/stranded/1/object", &file).await.unwrap_err();
    assert!(taken.message.contains("is there already"), "nobody is asked: {taken}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "whole");
}

#[test]
fn an_endpoint_is_scheme_host_and_port_and_is_never_repeated() {
    for endpoint in [
        format!("ftp://{TOKEN}"),
        format!("https://:{TOKEN}@host"),
        format!("https://{TOKEN}@host"),
        format!("https://host/{TOKEN}"),
        format!("https://host/?token={TOKEN}"),
        format!("https://host/#{TOKEN}"),
        format!("https://ho st/{TOKEN}"),
        TOKEN.to_owned(),
    ] {
        let failure = client(&endpoint, None).err().unwrap();
        assert_eq!(failure.code, 2, "{endpoint}");
        assert!(!failure.message.contains(TOKEN), "{}", failure.message);
    }
    for endpoint in ["http://[::1]:9001", "http://host", "http://host:1/"] {
        assert!(client(endpoint, None).is_ok(), "{endpoint}");
    }
    for token in ["", "two words", "line\nbreak"] {
        let failure = Client::new("http://host", Secret::new(token.into()), None).err().unwrap();
        assert!(token.is_empty() || !failure.message.contains(token), "{}", failure.message);
    }
}

#[test]
fn a_ca_file_must_hold_certificates_and_have_a_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let says = |endpoint: &str| client(endpoint, Some(&path)).err().unwrap().message;
    assert!(says("https://host").contains("ca.pem"), "a missing file is named");
    std::fs::write(&path, "no PEM").unwrap();
    assert!(says("https://host").contains("holds no certificate"));
    std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(says("https://host").contains("ca.pem"));
    assert!(says("http://host").contains("https:// endpoint only"));
}
