//! What a worker shows to operators: whether it lives, whether it can work and why not, and its figures.
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus::{Registry, TextEncoder};
use s3gateway_store::{Metadata, Queue};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// A store that has not answered by then counts as away; short of the second that probes commonly wait.
const PING_TIMEOUT: Duration = Duration::from_millis(500);

/// What the routes look at.
#[derive(Clone)]
pub struct Ops {
    /// The control plane's store.
    pub metadata: Metadata,
    /// The queue of dirty keys.
    pub queue: Arc<dyn Queue>,
    /// What `/metrics` shows.
    pub registry: Registry,
    /// Once cancelled, `/readyz` says no.
    pub draining: CancellationToken,
}

/// `/healthz`, `/readyz` and `/metrics`.
pub fn router(ops: Ops) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(ops)
}

async fn readyz(State(ops): State<Ops>) -> Response {
    let metadata = tokio::time::timeout(PING_TIMEOUT, ops.metadata.ping());
    let queue = tokio::time::timeout(PING_TIMEOUT, ops.queue.ping());
    let (metadata, queue) = tokio::join!(metadata, queue);
    let checks = [
        ("metadata", matches!(metadata, Ok(Ok(()))), "does not answer"),
        ("queue", matches!(queue, Ok(Ok(()))), "does not answer"),
        ("draining", !ops.draining.is_cancelled(), "the process is stopping"),
    ];
    let ready = checks.iter().all(|(_, ok, _)| *ok);
    let checks: Vec<_> =
        checks
            .iter()
            .map(|(name, ok, reason)| {
                if *ok {
                    json!({"name": name, "ok": true})
                } else {
                    json!({"name": name, "ok": false, "reason": reason})
                }
            })
            .collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": ready, "checks": checks}))).into_response()
}

async fn metrics(State(ops): State<Ops>) -> Response {
    match TextEncoder::new().encode_to_string(&ops.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
