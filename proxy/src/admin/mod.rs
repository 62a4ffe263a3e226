//! The admin API: tenants, keys, backends, buckets, copies and jobs, for operators, on its own listener.
//! Never answers a secret after its creation, talks to a backend only to probe it, and shares nothing with the S3 side but
//! state.
mod adopt;
mod auth;
mod backends;
mod buckets;
mod copies;
mod endpoint;
mod health;
mod homes;
mod input;
mod jobs;
mod keys;
mod migration;
mod placement;
mod policies;
mod probe;
mod problem;
mod promotion;
mod stranded;
mod tenants;
#[cfg(test)]
mod tests;
mod walks;

use crate::Gateway;
use async_trait::async_trait;
use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post, put},
};
use ipnet::IpNet;
use s3gateway_config::{BackendId, Secret};
use s3gateway_store::{Metadata, Queue};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Largest request body in bytes; the largest honest one (a policy) is a few kilobytes.
const BODY_LIMIT: u64 = 1024 * 1024;

/// What the admin API works on.
#[derive(Clone)]
pub struct AdminState {
    /// The control plane's store.
    pub metadata: Metadata,
    /// The queue of dirty keys.
    pub queue: Arc<dyn Queue>,
    /// The proxy beside it, for health and freshness.
    pub gateway: Arc<Gateway>,
    /// The bearer token.
    pub token: Secret<String>,
    /// Takes embedded backends off the air; only `dev` has one.
    pub switch: Option<Arc<dyn BackendSwitch>>,
    /// Loopback, private and link-local networks that endpoints of backends may be in.
    pub allow_networks: Vec<IpNet>,
    /// What `/metrics` shows, together; where one process has several, their constant labels tell them apart.
    pub registries: Vec<prometheus::Registry>,
    /// Once cancelled, `/readyz` says no, so that load balancers turn away before connections are closed.
    pub draining: CancellationToken,
}

/// Takes a backend off the air and back.
#[async_trait]
pub trait BackendSwitch: Send + Sync {
    /// Closes its listener and cuts its connections. Stopping a stopped one is a success.
    async fn stop(&self, id: &BackendId) -> Result<(), SwitchError>;
    /// Listens again on the same address. Starting a running one is a success.
    async fn start(&self, id: &BackendId) -> Result<(), SwitchError>;
    /// Whether it is on the air; `None` for a backend that is not embedded.
    fn is_running(&self, id: &BackendId) -> Option<bool>;
}

/// Why a backend could not be switched.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// It does not run in this process.
    #[error("backend {0} does not run inside this process, so it can only be stopped and started where it runs")]
    NotEmbedded(BackendId),
    /// The system refused, for example because the port was taken meanwhile.
    #[error("backend {id}: {reason}")]
    Failed {
        /// Which backend.
        id: BackendId,
        /// The system's reason.
        reason: String,
    },
}

/// The routes. `/healthz`, `/readyz` and `/metrics` are open; everything under `/v1` needs the token, existing or not;
/// nothing else is there.
pub fn router(state: AdminState) -> Router {
    let state = Arc::new(state);
    let guard = Arc::new(auth::Guard::new(&state.token));
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/v1/tenants", get(tenants::list).post(tenants::create))
        .route("/v1/tenants/{tenant}", get(tenants::show).delete(tenants::delete))
        .route("/v1/tenants/{tenant}/policy", put(tenants::set_policy))
        .route("/v1/tenants/{tenant}/defaults", put(tenants::set_defaults))
        .route("/v1/tenants/{tenant}/signature-v2", put(tenants::set_signature_v2))
        .route("/v1/tenants/{tenant}/keys", post(keys::create))
        .route("/v1/tenants/{tenant}/buckets", get(buckets::list))
        .route("/v1/tenants/{tenant}/buckets/{bucket}", get(buckets::show))
        .route("/v1/tenants/{tenant}/buckets/{bucket}/policy", put(buckets::set_policy))
        .route("/v1/tenants/{tenant}/buckets/{bucket}/replica-count", put(buckets::set_replica_count))
        .route("/v1/tenants/{tenant}/buckets/{bucket}/write-quorum", put(buckets::set_write_quorum))
        .route("/v1/tenants/{tenant}/buckets/{bucket}/adopt", post(adopt::adopt))
        .route("/v1/tenants/{tenant}/buckets/{bucket}/release", post(adopt::release))
        .route("/v1/tenants/{tenant}/buckets/{bucket}/placement", put(placement::set_placement))
        .route("/v1/tenants/{tenant}/buckets/{bucket}/copies", get(copies::copies))
        .route("/v1/tenants/{tenant}/buckets/{bucket}/walks", post(walks::start))
        .route("/v1/tenants/{tenant}/buckets/{bucket}/promote", post(promotion::promote))
        .route("/v1/tenants/{tenant}/buckets/{bucket}/promote-after", put(promotion::set_after))
        .route("/v1/tenants/{tenant}/buckets/{bucket}/promotions", get(promotion::list))
        .route("/v1/tenants/{tenant}/buckets/{bucket}/migrate", post(migration::migrate))
        .route("/v1/tenants/{tenant}/buckets/{bucket}/migrations", get(migration::migrations))
        .route("/v1/tenants/{tenant}/buckets/{bucket}/migrations/cancel", post(migration::cancel_migration))
        .route("/v1/tenants/{tenant}/buckets/{bucket}/stranded", get(stranded::list))
        .route("/v1/stranded/{id}", get(stranded::show).delete(stranded::drop))
        .route("/v1/stranded/{id}/object", get(stranded::download))
        .route("/v1/keys", get(keys::list))
        .route("/v1/keys/{key}", axum::routing::delete(keys::delete))
        .route("/v1/keys/{key}/enable", post(keys::enable))
        .route("/v1/keys/{key}/disable", post(keys::disable))
        .route("/v1/backends", get(backends::list).post(backends::add))
        .route("/v1/backends/{backend}", get(backends::show).put(backends::replace).delete(backends::remove))
        .route("/v1/backends/{backend}/stop", post(backends::stop))
        .route("/v1/backends/{backend}/start", post(backends::start))
        .route("/v1/backends/{backend}/retire", post(backends::retire))
        .route("/v1/backends/{backend}/unretire", post(backends::unretire))
        .route("/v1/backends/{backend}/probe", get(probe::last).post(probe::run))
        .route("/v1/drains", get(placement::drains))
        .route("/v1/homes-to-leave", get(homes::list).post(homes::promote))
        .route("/v1/names", get(copies::names))
        .route("/v1/explain", get(copies::explain))
        .route("/v1/jobs", get(jobs::history))
        .route("/v1/jobs/depth", get(jobs::depth))
        .route("/v1/jobs/dead", get(jobs::dead))
        .route("/v1/jobs/redrive", post(jobs::redrive))
        .route("/v1/walks", get(walks::list))
        .route("/v1/walks/{walk}", get(walks::show))
        .route("/v1/walks/{walk}/cancel", post(walks::cancel))
        .route("/v1/walks/{walk}/approve", post(walks::approve))
        .route("/v1/walks/{walk}/rate", put(walks::set_rate))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(DefaultBodyLimit::max(usize::try_from(BODY_LIMIT).unwrap_or(usize::MAX)))
        .layer(middleware::from_fn_with_state(guard, auth::authenticate))
        .with_state(state)
}
