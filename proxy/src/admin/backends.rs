//! Backends: where bytes can be put. Their secret keys go in and never come out.
use super::{
    SwitchError,
    endpoint::check_endpoint,
    input::{Body, Segment, Shared, find_backend, known_backend, render_time},
    probe,
    problem::Problem,
};
use crate::upstream::BreakerState;
use axum::{Json, extract::State, http::StatusCode};
use s3gateway_config::{BackendId, Capabilities, Place, Secret};
use s3gateway_store::{Backend, BackendUse, Retirement, StoreError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBackend {
    id: String,
    place: Place,
    endpoint: String,
    #[serde(default)]
    region: Option<String>,
    access_key: String,
    secret_key: String,
    /// What differs from S3's own; a new backend that comes without is measured.
    #[serde(default)]
    capabilities: Option<Capabilities>,
}

#[derive(Serialize)]
pub(super) struct BackendView {
    id: String,
    place: Place,
    endpoint: String,
    region: String,
    access_key: String,
    capabilities: Capabilities,
    /// What its probes say: `healthy`, `unhealthy`, or `unknown` until this process has heard of it.
    health: &'static str,
    /// What its traffic says: `closed` lets requests pass, `open` stops them, `half-open` lets one try; else `unknown`.
    breaker: &'static str,
    /// `active`; `retiring` while buckets, or something of stranded keys, are still there; `retired` once it can be removed.
    state: &'static str,
    /// How many buckets are there, and as what.
    #[serde(skip_serializing_if = "Option::is_none")]
    buckets: Option<BackendUse>,
    /// Since when it is being retired.
    #[serde(skip_serializing_if = "Option::is_none")]
    retiring_since: Option<String>,
    /// Only for embedded backends: whether it is on the air.
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<bool>,
}

#[derive(Serialize)]
pub(super) struct Backends {
    backends: Vec<BackendView>,
}

pub(super) async fn list(State(state): State<Shared>) -> Result<Json<Backends>, Problem> {
    let retirements = state.metadata.retirements().await?;
    let backends = state.metadata.backends().await?.into_iter();
    Ok(Json(Backends { backends: backends.map(|backend| view(&state, backend, &retirements)).collect() }))
}

pub(super) async fn show(
    State(state): State<Shared>,
    Segment(id): Segment<String>,
) -> Result<Json<BackendView>, Problem> {
    show_backend(&state, &id).await
}

/// The backend as it is now, with how many buckets are there.
async fn show_backend(state: &Shared, id: &str) -> Result<Json<BackendView>, Problem> {
    let backend = known_backend(state, id).await?;
    let used = state.metadata.backend_use(&backend.id).await?;
    let view = view(state, backend, &state.metadata.retirements().await?);
    Ok(Json(BackendView { buckets: Some(used), ..view }))
}

/// Has no new placement use the backend, and the replicas there drained.
pub(super) async fn retire(
    State(state): State<Shared>,
    Segment(id): Segment<String>,
) -> Result<Json<BackendView>, Problem> {
    let backend = known_backend(&state, &id).await?;
    state.metadata.retire_backend(&backend.id).await?;
    tracing::info!(backend = %id, "backend is being retired");
    show_backend(&state, &id).await
}

/// Uses a backend again; what is still there comes back into its placements.
pub(super) async fn unretire(
    State(state): State<Shared>,
    Segment(id): Segment<String>,
) -> Result<Json<BackendView>, Problem> {
    let backend = known_backend(&state, &id).await?;
    state.metadata.unretire_backend(&backend.id).await.map_err(|error| match error {
        StoreError::NotFound => Problem::new(StatusCode::CONFLICT, "that backend is not being retired"),
        other => other.into(),
    })?;
    tracing::info!(backend = %id, "backend is used again");
    show_backend(&state, &id).await
}

pub(super) async fn add(
    State(state): State<Shared>,
    Body(new): Body<NewBackend>,
) -> Result<(StatusCode, Json<BackendView>), Problem> {
    // Not after minutes of measuring; the store has the last word.
    if find_backend(&state, &new.id).await?.is_some() {
        return Err(taken_id());
    }
    check_place(&new.place)?;
    let is_measured = new.capabilities.is_none();
    let backend = check(&state, new).await?;
    let id = backend.id.clone();
    if is_measured {
        let state = state.clone();
        probe::to_its_end(&state.gateway.clone(), async move {
            let (backend, probe) = probe::try_out(&state, backend).await?;
            store(&state, &backend).await?;
            Ok(state.metadata.put_probe(&backend.id, &backend.endpoint, &probe).await?)
        })
        .await?;
    } else {
        store(&state, &backend).await?;
    }
    Ok((StatusCode::CREATED, show_backend(&state, id.as_str()).await?))
}

fn taken_id() -> Problem {
    Problem::new(StatusCode::CONFLICT, "a backend of that id exists already; PUT replaces it")
}

async fn store(state: &Shared, backend: &Backend) -> Result<(), Problem> {
    state.metadata.add_backend(backend).await.map_err(|error| match error {
        StoreError::Conflict(_) => taken_id(),
        other => other.into(),
    })?;
    tracing::info!(backend = %backend.id, endpoint = %backend.endpoint, place = ?backend.place, "backend added");
    Ok(())
}

/// New credentials, endpoint or capabilities for a backend that exists. Its place cannot change while it holds data.
pub(super) async fn replace(
    State(state): State<Shared>,
    Segment(id): Segment<String>,
    Body(new): Body<NewBackend>,
) -> Result<Json<BackendView>, Problem> {
    let before = known_backend(&state, &id).await?;
    if new.id != id {
        return Err(Problem::field("id", "must be the id in the path"));
    }
    // One that stands as it is must not keep new credentials out.
    if new.place != before.place {
        check_place(&new.place)?;
    }
    let keeps_capabilities = new.capabilities.is_none();
    let backend = check(&state, new).await?;
    state.metadata.replace_backend(&backend, keeps_capabilities).await.map_err(|error| match error {
        StoreError::Conflict(_) => {
            Problem::field("place", "cannot change while buckets are there: add a backend of another id")
        }
        StoreError::NotFound => Problem::missing("backend"),
        other => other.into(),
    })?;
    tracing::info!(backend = %id, endpoint = %backend.endpoint, place = ?backend.place, "backend replaced");
    show_backend(&state, &id).await
}

pub(super) async fn remove(State(state): State<Shared>, Segment(id): Segment<String>) -> Result<StatusCode, Problem> {
    let backend = known_backend(&state, &id).await?;
    state.metadata.delete_backend(&backend.id).await.map_err(|error| match error {
        StoreError::Conflict(what) => Problem::new(StatusCode::CONFLICT, format!("there still is {what}")),
        other => other.into(),
    })?;
    tracing::info!(backend = %id, "backend removed");
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn stop(
    State(state): State<Shared>,
    Segment(id): Segment<String>,
) -> Result<Json<BackendView>, Problem> {
    switch(&state, &id, false).await
}

pub(super) async fn start(
    State(state): State<Shared>,
    Segment(id): Segment<String>,
) -> Result<Json<BackendView>, Problem> {
    switch(&state, &id, true).await
}

async fn switch(state: &Shared, id: &str, on: bool) -> Result<Json<BackendView>, Problem> {
    let backend = known_backend(state, id).await?;
    let switched = match &state.switch {
        Some(switch) if on => switch.start(&backend.id).await,
        Some(switch) => switch.stop(&backend.id).await,
        None => Err(SwitchError::NotEmbedded(backend.id.clone())),
    };
    switched.map_err(|error| Problem::new(StatusCode::CONFLICT, error.to_string()))?;
    tracing::info!(backend = %id, on, "embedded backend switched");
    show_backend(state, id).await
}

async fn check(state: &Shared, new: NewBackend) -> Result<Backend, Problem> {
    let id = BackendId::parse(&new.id).map_err(|error| Problem::field("id", error.to_string()))?;
    let endpoint = check_endpoint(&new.endpoint, &state.allow_networks).await?;
    check_word("access_key", &new.access_key, 128)?;
    check_word("secret_key", &new.secret_key, 256)?;
    let region = new.region.unwrap_or_else(|| "us-east-1".into());
    check_word("region", &region, 64)?;
    Ok(Backend {
        id,
        place: new.place,
        endpoint,
        region,
        access_key: new.access_key,
        secret_key: Arc::new(Secret::new(new.secret_key)),
        capabilities: new.capabilities.unwrap_or_default(),
        position: 0,
    })
}

fn check_place(place: &Place) -> Result<(), Problem> {
    place.check().map_err(|error| Problem::field(format!("place.{}", error.field), error.to_string()))
}

/// Credentials and regions go into headers: visible ASCII only.
fn check_word(field: &'static str, value: &str, most: usize) -> Result<(), Problem> {
    if (1..=most).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(Problem::field(field, format!("must be 1 to {most} visible ASCII characters")))
    }
}

fn view(state: &Shared, backend: Backend, retirements: &[Retirement]) -> BackendView {
    let retirement = retirements.iter().find(|retired| retired.backend == backend.id);
    let known = state.gateway.backends.get(&backend.id);
    let health = match known.as_ref().map(|known| known.is_healthy()) {
        Some(true) => "healthy",
        Some(false) => "unhealthy",
        None => "unknown",
    };
    let breaker = match known.map(|known| known.breaker_state()) {
        Some(BreakerState::Closed { .. }) => "closed",
        Some(BreakerState::Open { .. }) => "open",
        Some(BreakerState::HalfOpen { .. }) => "half-open",
        None => "unknown",
    };
    BackendView {
        running: state.switch.as_ref().and_then(|switch| switch.is_running(&backend.id)),
        id: backend.id.to_string(),
        place: backend.place,
        endpoint: backend.endpoint,
        region: backend.region,
        access_key: backend.access_key,
        capabilities: backend.capabilities,
        health,
        breaker,
        state: match retirement {
            None => "active",
            Some(Retirement { is_used: true, .. }) => "retiring",
            Some(_) => "retired",
        },
        buckets: None,
        retiring_since: retirement.map(|retired| render_time(retired.begun_at)),
    }
}
