//! Questions of an operator: where is this object, what would this name map to, why was this place refused.
use super::{
    input::{Params, Segment, Shared, render_time, resolve_bucket, resolve_placement, resolve_tenant},
    problem::Problem,
};
use axum::{Json, extract::State};
use s3gateway_config::{Place, ResidencyPolicy};
use s3gateway_filters::residency::{self, Finding};
use s3gateway_s3::{LogicalBucket, ObjectKey};
use s3gateway_store::{DirtyKey, names::propose};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfKey {
    key: String,
}

#[derive(Serialize)]
pub(super) struct Copies {
    tenant: String,
    bucket: String,
    key: String,
    home: String,
    replica_count: u32,
    /// `clean`: all copies are proven equal. `dirty`: still to be converged. `unknown`: the queue cannot be asked.
    state: &'static str,
    /// Of the current object.
    copies: Vec<CopyView>,
    /// On replicas that keep versions.
    versions: Vec<VersionsView>,
}

#[derive(Serialize)]
struct CopyView {
    backend: String,
    home: bool,
    physical_bucket: String,
    size: i64,
    etag: String,
    home_etag: String,
    verified_how: String,
    verified_at: String,
}

#[derive(Serialize)]
struct VersionsView {
    backend: String,
    /// Versions and delete markers of the key that are proven there.
    held: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfName {
    tenant: String,
    bucket: String,
    placement: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Names {
    tenant: String,
    bucket: String,
    /// Whether these names are recorded, or only what they would be.
    exists: bool,
    names: Vec<Name>,
}

#[derive(Serialize)]
struct Name {
    backend: String,
    physical_bucket: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfPolicy {
    tenant: String,
    bucket: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Explained {
    tenant: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<String>,
    places: Vec<Verdict>,
}

#[derive(Serialize)]
struct Verdict {
    backend: String,
    place: Place,
    allowed: bool,
    reason: String,
    /// Every rule that says something of this place, in the order in which they are asked.
    rules: Vec<Finding>,
}

pub(super) async fn copies(
    State(state): State<Shared>,
    Segment((tenant, bucket)): Segment<(String, String)>,
    Params(of): Params<OfKey>,
) -> Result<Json<Copies>, Problem> {
    let key = ObjectKey::parse(&of.key).map_err(|error| Problem::parameter("key", error.to_string()))?;
    let (tenant, route) = resolve_bucket(&state, &tenant, &bucket).await?;
    let recorded = state.metadata.copies(&route.bucket, &key).await?;
    let mut versions = state.metadata.count_version_copies(&route.bucket, &key).await?;
    versions.retain(|(backend, _)| route.placement.contains(backend) || route.draining.contains(backend));
    let state = match state.queue.is_clean(&DirtyKey { bucket: route.bucket.clone(), key }).await {
        Ok(true) => "clean",
        Ok(false) => "dirty",
        Err(_) => "unknown",
    };
    let copies = recorded.into_iter().map(|copy| CopyView {
        home: copy.backend == route.home,
        physical_bucket: route.physical_on(&copy.backend).map(|p| p.for_upstream().to_owned()).unwrap_or_default(),
        backend: copy.backend.to_string(),
        size: copy.size,
        etag: copy.etag,
        home_etag: copy.home_etag,
        verified_how: copy.verified_how,
        verified_at: render_time(copy.verified_at),
    });
    Ok(Json(Copies {
        tenant: tenant.name,
        bucket,
        key: of.key,
        home: route.home.to_string(),
        replica_count: route.replica_count,
        state,
        copies: copies.collect(),
        versions: versions
            .into_iter()
            // Of the home only those are noted that have come with it.
            .filter(|(id, _)| *id != route.home)
            .map(|(id, held)| VersionsView { backend: id.to_string(), held })
            .collect(),
    }))
}

pub(super) async fn names(State(state): State<Shared>, Params(of): Params<OfName>) -> Result<Json<Names>, Problem> {
    let tenant = resolve_tenant(&state, &of.tenant).await?;
    let bucket = LogicalBucket::parse(&of.bucket).map_err(|error| Problem::parameter("bucket", error.to_string()))?;
    let recorded = state.metadata.route(&tenant.id, &bucket).await?;
    let names = match &recorded {
        Some(route) => route.physical.iter().map(|(id, name)| (id.clone(), name.clone())).collect(),
        None => {
            let wanted = match &of.placement {
                Some(list) => list.split(',').map(str::to_owned).collect(),
                None => tenant.default_placement.clone(),
            };
            let placement = resolve_placement(&state, &wanted, "placement").await?;
            let backends = state.metadata.backends().await?;
            let region = |id: &s3gateway_config::BackendId| {
                backends.iter().find(|b| b.id == *id).map_or("", |b| b.place.region.as_str())
            };
            let proposed =
                placement.iter().map(|id| (id.clone(), propose(tenant.id.as_str(), region(id), &bucket, id, 0)));
            proposed.collect::<Vec<_>>()
        }
    };
    let names = names
        .into_iter()
        .map(|(id, name)| Name { backend: id.to_string(), physical_bucket: name.for_upstream().to_owned() })
        .collect();
    Ok(Json(Names { tenant: tenant.name, bucket: of.bucket, exists: recorded.is_some(), names }))
}

pub(super) async fn explain(
    State(state): State<Shared>,
    Params(of): Params<OfPolicy>,
) -> Result<Json<Explained>, Problem> {
    let (tenant, bucket_policy) = match &of.bucket {
        Some(bucket) => {
            let (tenant, route) = resolve_bucket(&state, &of.tenant, bucket).await?;
            (tenant, route.bucket_policy)
        }
        None => (resolve_tenant(&state, &of.tenant).await?, ResidencyPolicy::default()),
    };
    let places = state.metadata.backends().await?.into_iter().map(|backend| {
        let (allowed, reason) = match residency::decide(&tenant.policy, &bucket_policy, &backend.place) {
            Ok(_) => (true, "no rule forbids it".to_owned()),
            Err(denied) => (false, denied.message()),
        };
        let rules = residency::explain(&tenant.policy, &bucket_policy, &backend.place);
        Verdict { backend: backend.id.to_string(), place: backend.place, allowed, reason, rules }
    });
    let places = places.collect();
    Ok(Json(Explained { tenant: tenant.name, bucket: of.bucket, places }))
}
