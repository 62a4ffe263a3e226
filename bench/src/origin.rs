//! An S3-shaped origin that costs next to nothing: GET answers the number of bytes that the key's name says, PUT swallows.
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, net::Ipv4Addr};

/// The largest object: 8 MiB.
const LARGEST: usize = 8 << 20;

/// Serves until the process is killed.
pub fn serve(port: u16) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async move {
        let bytes = Bytes::from(vec![b'x'; LARGEST]);
        let listener = match tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => listener,
            Err(error) => {
                eprintln!("origin cannot listen on port {port}: {error}");
                return;
            }
        };
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(request, bytes.clone()));
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}

/// `/bucket/1024` is an object of 1,024 bytes.
async fn answer(request: Request<Incoming>, bytes: Bytes) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_get = request.method() == Method::GET;
    let size: Option<usize> = request.uri().path().rsplit('/').next().and_then(|name| name.parse().ok());
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    let body = match size {
        Some(size) if is_get => bytes.slice(..size.min(LARGEST)),
        _ => Bytes::new(),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert("etag", http::HeaderValue::from_static("\"0123456789abcdef0123456789abcdef\""));
    headers.insert("last-modified", http::HeaderValue::from_static("Thu, 01 Jan 2026 00:00:00 GMT"));
    Ok(response)
}
