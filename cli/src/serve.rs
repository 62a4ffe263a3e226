//! Serves a router of ours (admin API, worker's figures) on a listener, with bounds, until stopped.
use axum::{Router, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Operators and scrapers are few; more connections than this wait in the kernel.
const CONNECTIONS: usize = 256;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// What is in flight after a stop gets this long.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until `stop`, then lets requests in flight finish for a few seconds.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let tasks = TaskTracker::new();
    while let Some(accepted) = accept(&listener, &connections, &stop).await {
        let (stream, from, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: accepting again at once would only spin.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let routes = TowerToHyperService::new(router.clone());
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(from));
            hyper::service::Service::call(&routes, request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended early");
            }
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!(left = tasks.len(), "connections were cut");
    }
}

type Accepted = std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)>;

async fn accept(listener: &TcpListener, connections: &Arc<Semaphore>, stop: &CancellationToken) -> Option<Accepted> {
    let next = async {
        let permit = connections.clone().acquire_owned().await.map_err(std::io::Error::other)?;
        let (stream, from) = listener.accept().await?;
        Ok((stream, from, permit))
    };
    tokio::select! { accepted = next => Some(accepted), () = stop.cancelled() => None }
}
