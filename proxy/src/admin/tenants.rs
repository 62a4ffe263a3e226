//! Tenants: who stores, where by default, and where never.
use super::{
    input::{Body, Segment, Shared, is_tenant_name, render_time, resolve_placement, resolve_tenant},
    policies,
    problem::Problem,
};
use axum::{Json, extract::State, http::StatusCode};
use s3gateway_config::ResidencyPolicy;
use s3gateway_store::{StoreError, Tenant};
use serde::{Deserialize, Serialize};

/// More copies than this of one object is a mistake.
pub(super) const REPLICAS_MOST: u32 = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTenant {
    name: String,
    #[serde(default)]
    policy: ResidencyPolicy,
    #[serde(default)]
    default_placement: Vec<String>,
    #[serde(default = "one")]
    default_replica_count: u32,
}

fn one() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Defaults {
    placement: Vec<String>,
    replica_count: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignatureV2 {
    accepted: bool,
}

#[derive(Serialize)]
pub(super) struct TenantView {
    name: String,
    id: String,
    policy: ResidencyPolicy,
    default_placement: Vec<String>,
    default_replica_count: u32,
    signature_v2: bool,
    created_at: String,
    /// Of the policy, where it was given just now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Tenants {
    tenants: Vec<TenantView>,
}

impl From<Tenant> for TenantView {
    fn from(tenant: Tenant) -> Self {
        Self {
            name: tenant.name,
            id: tenant.id.as_str().to_owned(),
            policy: tenant.policy,
            default_placement: tenant.default_placement,
            default_replica_count: tenant.default_replica_count,
            signature_v2: tenant.signature_v2,
            created_at: render_time(tenant.created_at),
            warnings: Vec::new(),
        }
    }
}

pub(super) async fn list(State(state): State<Shared>) -> Result<Json<Tenants>, Problem> {
    let tenants = state.metadata.tenants().await?.into_iter().map(TenantView::from).collect();
    Ok(Json(Tenants { tenants }))
}

pub(super) async fn create(
    State(state): State<Shared>,
    Body(new): Body<NewTenant>,
) -> Result<(StatusCode, Json<TenantView>), Problem> {
    if !is_tenant_name(&new.name) {
        return Err(Problem::field("name", "must be 1 to 63 of a-z, 0-9 and '-'"));
    }
    if !new.default_placement.is_empty() {
        resolve_placement(&state, &new.default_placement, "default_placement").await?;
    }
    check_replica_count(new.default_replica_count, "default_replica_count")?;
    let policy = policies::taken(new.policy, "policy.")?;
    let warnings = policies::doubts(&state, &policy).await?;
    let created =
        state.metadata.create_tenant(&new.name, &policy, &new.default_placement, new.default_replica_count).await;
    let tenant = created.map_err(|error| match error {
        StoreError::Conflict(_) => Problem::new(StatusCode::CONFLICT, "a tenant of that name exists already"),
        other => other.into(),
    })?;
    tracing::info!(tenant = %tenant.name, "tenant created");
    Ok((StatusCode::CREATED, Json(TenantView { warnings, ..tenant.into() })))
}

pub(super) async fn show(
    State(state): State<Shared>,
    Segment(name): Segment<String>,
) -> Result<Json<TenantView>, Problem> {
    Ok(Json(resolve_tenant(&state, &name).await?.into()))
}

pub(super) async fn set_policy(
    State(state): State<Shared>,
    Segment(name): Segment<String>,
    Body(policy): Body<ResidencyPolicy>,
) -> Result<Json<TenantView>, Problem> {
    let tenant = resolve_tenant(&state, &name).await?;
    let policy = policies::taken(policy, "")?;
    let warnings = policies::doubts(&state, &policy).await?;
    state.metadata.set_tenant_policy(&tenant.id, &policy).await?;
    tracing::info!(tenant = %name, ?policy, "tenant's policy set");
    Ok(Json(TenantView { warnings, ..resolve_tenant(&state, &name).await?.into() }))
}

pub(super) async fn set_defaults(
    State(state): State<Shared>,
    Segment(name): Segment<String>,
    Body(defaults): Body<Defaults>,
) -> Result<Json<TenantView>, Problem> {
    let tenant = resolve_tenant(&state, &name).await?;
    if !defaults.placement.is_empty() {
        resolve_placement(&state, &defaults.placement, "placement").await?;
    }
    check_replica_count(defaults.replica_count, "replica_count")?;
    state.metadata.set_tenant_defaults(&tenant.id, &defaults.placement, defaults.replica_count).await?;
    tracing::info!(tenant = %name, placement = ?defaults.placement, replica_count = defaults.replica_count, "tenant's defaults set");
    Ok(Json(resolve_tenant(&state, &name).await?.into()))
}

pub(super) async fn set_signature_v2(
    State(state): State<Shared>,
    Segment(name): Segment<String>,
    Body(SignatureV2 { accepted }): Body<SignatureV2>,
) -> Result<Json<TenantView>, Problem> {
    let tenant = resolve_tenant(&state, &name).await?;
    state.metadata.set_tenant_signature_v2(&tenant.id, accepted).await?;
    tracing::info!(tenant = %name, accepted, "tenant's signature version 2 set");
    Ok(Json(resolve_tenant(&state, &name).await?.into()))
}

pub(super) async fn delete(State(state): State<Shared>, Segment(name): Segment<String>) -> Result<StatusCode, Problem> {
    let tenant = resolve_tenant(&state, &name).await?;
    state.metadata.delete_tenant(&tenant.id).await.map_err(|error| match error {
        StoreError::Conflict(_) => {
            Problem::new(StatusCode::CONFLICT, "the tenant still has buckets; delete them first")
        }
        other => other.into(),
    })?;
    tracing::info!(tenant = %name, "tenant deleted");
    Ok(StatusCode::NO_CONTENT)
}

fn check_replica_count(count: u32, field: &'static str) -> Result<(), Problem> {
    if (1..=REPLICAS_MOST).contains(&count) {
        Ok(())
    } else {
        Err(Problem::field(field, format!("must be 1 to {REPLICAS_MOST}")))
    }
}
