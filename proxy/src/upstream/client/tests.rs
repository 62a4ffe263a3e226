//! The client before servers that drip, lose their bucket or close.
use super::*;
use crate::{settings::ProxySettings, upstream::Backends};
use pingora_core::ErrorType;
use s3gateway_config::{Capabilities, Place, Secret};
use s3gateway_store::Backend;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A backend that answers every connection by `answer`, and a client of it.
async fn served<F: Future<Output = ()> + Send + 'static>(
    answer: impl Fn(TcpStream) -> F + Send + 'static,
) -> (Client, Arc<UpstreamBackend>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            tokio::spawn(answer(stream));
        }
    });
    let mut settings = ProxySettings::default();
    settings.upstream.read_timeout = Duration::from_millis(100);
    settings.upstream.allow_networks = vec!["127.0.0.0/8".parse().expect("a network")];
    let id = BackendId::parse("fi-hel").expect("an id");
    let word = || "x".to_owned();
    let place = Place {
        zone: word(),
        region: word(),
        country: word(),
        jurisdiction: word(),
        provider: word(),
        certifications: Vec::new(),
    };
    let record = Backend {
        id: id.clone(),
        place,
        endpoint: format!("http://{address}"),
        region: "us-east-1".to_owned(),
        access_key: word(),
        secret_key: Arc::new(Secret::new(word())),
        capabilities: Capabilities::default(),
        position: 0,
    };
    let backends = Backends::new(settings.clone());
    backends.replace(vec![record]).await;
    (Client::new(&settings.upstream), backends.get(&id).expect("the backend"))
}

fn bucket() -> PhysicalBucket {
    PhysicalBucket::parse("s3gw-0").expect("a name")
}

#[tokio::test]
async fn be_05_an_answer_that_drips_without_end_is_given_up() {
    for head in ["HTTP/1.1 200 OK\r\n", "HTTP/1.1 404 Not Found\r\n"] {
        let (client, backend) = served(move |mut stream| async move {
            let _ = stream.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await;
            while stream.write_all(b"1\r\n \r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let request = || UpstreamRequest::new(Method::GET, &bucket(), None);
        let began = Instant::now();
        let error = client.send(&backend, request(), Bytes::new()).await.map(|_| ()).expect_err(head);
        assert!(matches!(&error, UpstreamError::Broken(kind) if kind == ErrorType::ReadTimedout.as_str()), "{error:?}");
        assert!(!error.may_be_stale(), "what it stood for may have been done");
        if head.contains("404") {
            let error = client.open(&backend, request()).await.map(|_| ()).expect_err("an endless error document");
            assert!(matches!(error, UpstreamError::Broken(_)), "{error:?}");
        }
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_bucket_is_asked_for_once_in_a_while_and_a_lost_one_each_time() {
    for (status, asked) in [("200 OK", 1), ("404 Not Found", 2)] {
        let count = Arc::new(AtomicUsize::new(0));
        let seen = count.clone();
        let (client, backend) = served(move |mut stream| {
            seen.fetch_add(1, Ordering::Relaxed);
            async move {
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        })
        .await;
        for _ in 0..2 {
            let result = client.require_bucket(&backend, &bucket()).await;
            assert_eq!(result.is_ok(), asked == 1, "{status}: {result:?}");
            assert!(result.map_or_else(|error| error.is_outage(), |()| true));
        }
        assert_eq!(count.load(Ordering::Relaxed), asked, "{status}");
    }
}

#[tokio::test]
async fn a_refusal_of_a_second_attempt_says_nothing_of_the_first() {
    for (method, status, is_told) in [
        (Method::GET, 404, true),
        (Method::HEAD, 400, true),
        (Method::PUT, 400, false),
        (Method::PUT, 404, false),
        (Method::DELETE, 409, false),
        (Method::DELETE, 404, true),
    ] {
        let count = Arc::new(AtomicUsize::new(0));
        let seen = count.clone();
        let (client, backend) = served(move |mut stream| {
            let is_first = seen.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                let status = if is_first { 200 } else { status };
                let answer = format!("HTTP/1.1 {status} Status\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
                // The next request is taken, and the connection closed without an answer.
                let _ = stream.read(&mut [0; 4096]).await;
            }
        })
        .await;
        let request = |method: &Method| UpstreamRequest::new(method.clone(), &bucket(), None);
        client.send(&backend, request(&Method::GET), Bytes::new()).await.expect("a connection to keep");
        let error = client.send(&backend, request(&method), Bytes::new()).await.map(|_| ()).expect_err("a refusal");
        assert_eq!(count.load(Ordering::Relaxed), 2, "{method} was sent again, on another connection");
        assert_eq!(error.is_definite(), is_told, "{method} {status}: {error:?}");
    }
}
