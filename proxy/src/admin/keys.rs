//! Access keys: the secret is in the answer that creates one and in no other.
use super::{
    input::{Params, Segment, Shared, render_time, resolve_tenant},
    problem::Problem,
};
use axum::{Json, extract::State, http::StatusCode};
use s3gateway_store::{StoreError, TenantId};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

#[derive(Serialize)]
pub(super) struct NewKey {
    access_key: String,
    secret_key: String,
    tenant: String,
    created_at: String,
}

#[derive(Serialize)]
pub(super) struct KeyView {
    access_key: String,
    tenant: String,
    enabled: bool,
    created_at: String,
}

#[derive(Serialize)]
pub(super) struct Keys {
    keys: Vec<KeyView>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Of {
    tenant: Option<String>,
}

pub(super) async fn create(
    State(state): State<Shared>,
    Segment(name): Segment<String>,
) -> Result<(StatusCode, Json<NewKey>), Problem> {
    let tenant = resolve_tenant(&state, &name).await?;
    let (info, secret) = state.metadata.create_access_key(&tenant.id).await?;
    tracing::info!(tenant = %name, access_key = %info.id, "access key created");
    let created_at = render_time(info.created_at);
    let key = NewKey { access_key: info.id, secret_key: secret.expose().clone(), tenant: name, created_at };
    Ok((StatusCode::CREATED, Json(key)))
}

pub(super) async fn list(State(state): State<Shared>, Params(of): Params<Of>) -> Result<Json<Keys>, Problem> {
    let only = match &of.tenant {
        Some(name) => Some(resolve_tenant(&state, name).await?.id),
        None => None,
    };
    let names: HashMap<TenantId, String> =
        state.metadata.tenants().await?.into_iter().map(|t| (t.id, t.name)).collect();
    let keys = state.metadata.access_keys(only.as_ref()).await?.into_iter().map(|key| KeyView {
        tenant: names.get(&key.tenant).cloned().unwrap_or_default(),
        access_key: key.id,
        enabled: key.enabled,
        created_at: render_time(key.created_at),
    });
    Ok(Json(Keys { keys: keys.collect() }))
}

pub(super) async fn enable(State(state): State<Shared>, Segment(id): Segment<String>) -> Result<StatusCode, Problem> {
    set_enabled(&state, &id, true).await
}

pub(super) async fn disable(State(state): State<Shared>, Segment(id): Segment<String>) -> Result<StatusCode, Problem> {
    set_enabled(&state, &id, false).await
}

async fn set_enabled(state: &Shared, id: &str, enabled: bool) -> Result<StatusCode, Problem> {
    check_id(id)?;
    state.metadata.set_access_key_enabled(id, enabled).await.map_err(refuse)?;
    tracing::info!(access_key = %id, enabled, "access key switched");
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn delete(State(state): State<Shared>, Segment(id): Segment<String>) -> Result<StatusCode, Problem> {
    check_id(&id)?;
    state.metadata.delete_access_key(&id).await.map_err(refuse)?;
    tracing::info!(access_key = %id, "access key deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// Ids are made by the store from letters and digits; everything else cannot exist.
fn check_id(id: &str) -> Result<(), Problem> {
    let is_id = (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_id { Ok(()) } else { Err(Problem::missing("access key")) }
}

fn refuse(error: StoreError) -> Problem {
    match error {
        StoreError::NotFound => Problem::missing("access key"),
        other => other.into(),
    }
}
