//! Adopts buckets that are on a backend already, and gives them back.
use super::{
    buckets::{BucketView, show_bucket},
    input::{Body, Segment, Shared, known_backend, resolve_bucket, resolve_tenant},
    placement,
    problem::Problem,
};
use crate::upstream::{UpstreamBackend, UpstreamError, UpstreamRequest, versioning_question};
use axum::{Json, extract::State, http::StatusCode};
use bytes::Bytes;
use http::Method;
use s3gateway_config::ResidencyPolicy;
use s3gateway_filters::residency;
use s3gateway_s3::{LogicalBucket, PhysicalBucket, Versioning, xml::VersioningConfiguration};
use s3gateway_store::{Adoption, Deletion, StoreError};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    backend: String,
    physical: String,
    /// Locations, home first; none leaves it where it is.
    #[serde(default)]
    placement: Vec<String>,
    /// Drop the physical bucket with the logical one.
    #[serde(default)]
    drop: bool,
}

/// Takes a bucket into service as it is, and has its keys walked over.
pub(super) async fn adopt(
    State(state): State<Shared>,
    Segment((tenant, bucket)): Segment<(String, String)>,
    Body(wanted): Body<Wanted>,
) -> Result<(StatusCode, Json<BucketView>), Problem> {
    let owner = resolve_tenant(&state, &tenant).await?;
    let name = LogicalBucket::parse(&bucket)
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{bucket}: {error}")))?;
    let physical = PhysicalBucket::parse(&wanted.physical)
        .map_err(|error| Problem::field("physical", format!("is no bucket name: {error}")))?;
    let backend = known_backend(&state, &wanted.backend).await?;
    residency::decide(&owner.policy, &ResidencyPolicy::default(), &backend.place)
        .map_err(|denied| Problem::field("backend", denied.message()))?;
    let unknown = || Problem::new(StatusCode::CONFLICT, "this gateway has not heard of that backend yet; try again");
    let remote = state.gateway.backends.get(&backend.id).ok_or_else(unknown)?;
    let versioning = look(&state, &remote, &physical).await?;
    let adoption = Adoption { tenant: owner.id, name, backend: backend.id, physical, stays: !wanted.drop, versioning };
    let route = state.metadata.adopt_bucket(&adoption).await.map_err(|error| match error {
        StoreError::Conflict(what) => Problem::new(StatusCode::CONFLICT, format!("there is {what} already")),
        other => other.into(),
    })?;
    tracing::info!(tenant, bucket, backend = wanted.backend, physical = wanted.physical, "bucket adopted");
    if !wanted.placement.is_empty() {
        placement::change(&state, &route, &wanted.placement).await.map_err(|problem| Problem {
            detail: format!("adopted, but not placed elsewhere: {}", problem.detail).into(),
            ..problem
        })?;
    }
    Ok((StatusCode::CREATED, show_bucket(&state, &tenant, &bucket).await?))
}

/// Takes an adopted bucket out of service and leaves it where it is, with what is in it; replicas of it are dropped.
pub(super) async fn release(
    State(state): State<Shared>,
    Segment((tenant, bucket)): Segment<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (_, route) = resolve_bucket(&state, &tenant, &bucket).await?;
    if !state.metadata.is_adopted(&route.bucket, &route.home).await? {
        return Err(Problem::new(StatusCode::CONFLICT, "its home was not adopted: its owner can empty and delete it"));
    }
    let begun = state.metadata.begin_delete_bucket(&route.bucket).await.map_err(|error| match error {
        StoreError::Conflict(what) => Problem::new(StatusCode::CONFLICT, format!("{what} is under way")),
        other => other.into(),
    })?;
    if begun == Deletion::Stranded {
        let why = "keys of it are stranded or stand aside; they must be settled or dropped first";
        return Err(Problem::new(StatusCode::CONFLICT, why));
    }
    state.metadata.finish_delete_bucket(&route.bucket).await?;
    tracing::info!(tenant, bucket, "adopted bucket released");
    Ok(StatusCode::NO_CONTENT)
}

/// Whether the gateway may use the bucket, and whether it keeps versions.
async fn look(state: &Shared, remote: &UpstreamBackend, physical: &PhysicalBucket) -> Result<Versioning, Problem> {
    let head = UpstreamRequest::new(Method::HEAD, physical, None);
    let list = UpstreamRequest::new(Method::GET, physical, None).query("list-type", "2").query("max-keys", "1");
    for request in [head, list] {
        state.gateway.client.send(remote, request, Bytes::new()).await.map_err(|error| refuse(&error))?;
    }
    if !remote.capabilities().versioning {
        return Ok(Versioning::Never);
    }
    let answer = state.gateway.client.send(remote, versioning_question(physical), Bytes::new()).await;
    let answer = answer.map_err(|error| refuse(&error))?;
    VersioningConfiguration::parse(&answer.body).map(|VersioningConfiguration(versioning)| versioning).map_err(|_| {
        Problem::new(StatusCode::BAD_GATEWAY, "the backend does not say whether the bucket keeps versions")
    })
}

fn refuse(error: &UpstreamError) -> Problem {
    match error {
        UpstreamError::Refused(refused) if refused.status == 404 => {
            Problem::field("physical", "there is no such bucket on that backend")
        }
        UpstreamError::OurCredentials(_) => Problem::field("physical", "the backend's credentials may not use it"),
        other => Problem::new(StatusCode::BAD_GATEWAY, format!("the backend cannot be asked: {other}")),
    }
}
