//! Buckets as operators see them: with the mapping that no client is ever told.
use super::{
    input::{Body, Params, Segment, Shared, last_of_full, page, render_time, resolve_bucket, resolve_tenant},
    policies,
    problem::Problem,
    tenants::REPLICAS_MOST,
};
use axum::{Json, extract::State, http::StatusCode};
use s3gateway_config::{BackendId, ResidencyPolicy};
use s3gateway_filters::{placement, residency};
use s3gateway_store::{MappingState, Retirement, Route};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    #[serde(default)]
    prefix: String,
    after: Option<String>,
    limit: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplicaCount {
    replica_count: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WriteQuorum {
    write_quorum: u32,
}

#[derive(Serialize)]
pub(super) struct BucketView {
    name: String,
    id: String,
    tenant: String,
    location: String,
    home: String,
    epoch: i64,
    replica_count: u32,
    /// Places, home included, that must hold a write before it is acknowledged.
    write_quorum: u32,
    /// As S3 names it; absent where it was never set.
    #[serde(skip_serializing_if = "Option::is_none")]
    versioning: Option<&'static str>,
    policy: ResidencyPolicy,
    /// Why the home must be left, which only a promotion can do: `policy` or `retired`; absent where it may stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    promote_first: Option<&'static str>,
    mapping: Vec<Mapping>,
    created_at: String,
    /// Of the policy, where it was given just now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Mapping {
    backend: String,
    physical_bucket: String,
    home: bool,
    /// `active`, or `draining` where it is no longer in the placement.
    state: &'static str,
}

#[derive(Serialize)]
pub(super) struct Buckets {
    buckets: Vec<BucketView>,
    /// Give it as `after` to read on; absent where the page is not full.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

pub(super) async fn list(
    State(state): State<Shared>,
    Segment(name): Segment<String>,
    Params(asked): Params<Page>,
) -> Result<Json<Buckets>, Problem> {
    let tenant = resolve_tenant(&state, &name).await?;
    let limit = page(asked.limit)?;
    for (field, value) in [("prefix", Some(&asked.prefix)), ("after", asked.after.as_ref())] {
        // No bucket name holds anything else, and NUL is no text for PostgreSQL.
        if value.is_some_and(|v| v.len() > 63 || v.bytes().any(|b| !(b.is_ascii_graphic()))) {
            return Err(Problem::parameter(field, "must be (the beginning of) a bucket name"));
        }
    }
    let listed = state.metadata.buckets(&tenant.id, &asked.prefix, asked.after.as_deref(), limit).await?;
    let next = last_of_full(&listed, limit).map(|bucket| bucket.name.as_str().to_owned());
    let retirements = state.metadata.retirements().await?;
    let mut buckets = Vec::with_capacity(listed.len());
    for bucket in listed {
        if let Some(route) = state.metadata.route(&tenant.id, &bucket.name).await? {
            buckets.push(view(&state, &tenant.name, &route, &retirements));
        }
    }
    Ok(Json(Buckets { buckets, next }))
}

pub(super) async fn show(
    State(state): State<Shared>,
    Segment((tenant, bucket)): Segment<(String, String)>,
) -> Result<Json<BucketView>, Problem> {
    show_bucket(&state, &tenant, &bucket).await
}

/// The bucket as it is now.
pub(super) async fn show_bucket(state: &Shared, tenant: &str, bucket: &str) -> Result<Json<BucketView>, Problem> {
    let (tenant, route) = resolve_bucket(state, tenant, bucket).await?;
    Ok(Json(view(state, &tenant.name, &route, &state.metadata.retirements().await?)))
}

pub(super) async fn set_replica_count(
    State(state): State<Shared>,
    Segment((tenant, bucket)): Segment<(String, String)>,
    Body(wanted): Body<ReplicaCount>,
) -> Result<Json<BucketView>, Problem> {
    let (_, route) = resolve_bucket(&state, &tenant, &bucket).await?;
    let most = u32::try_from(route.placement.len()).unwrap_or(REPLICAS_MOST);
    if !(1..=most).contains(&wanted.replica_count) {
        let detail = format!("must be 1 to {most}: the bucket's placement has {most} backends");
        return Err(Problem::field("replica_count", detail));
    }
    if wanted.replica_count < route.write_quorum {
        let detail =
            format!("writes to the bucket wait for {0} places: lower its write quorum first", route.write_quorum);
        return Err(Problem::field("replica_count", detail));
    }
    state.metadata.set_replica_count(&route.bucket, wanted.replica_count).await?;
    tracing::info!(tenant, bucket, replica_count = wanted.replica_count, "bucket's replica count set");
    show_bucket(&state, &tenant, &bucket).await
}

/// Sets how many places must hold a write before it is acknowledged.
pub(super) async fn set_write_quorum(
    State(state): State<Shared>,
    Segment((tenant, bucket)): Segment<(String, String)>,
    Body(wanted): Body<WriteQuorum>,
) -> Result<Json<BucketView>, Problem> {
    let (_, route) = resolve_bucket(&state, &tenant, &bucket).await?;
    let quorum = wanted.write_quorum;
    if quorum > 1 && route.versioning.is_set() {
        let detail = "the bucket keeps versions, with which a write quorum is not offered";
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    if !(1..=route.replica_count).contains(&quorum) {
        let detail = format!("must be 1 to {0}: each object of the bucket gets {0} copies", route.replica_count);
        return Err(Problem::field("write_quorum", detail));
    }
    let backends = state.metadata.backends().await?;
    let is_allowed = |id: &BackendId| {
        let place = backends.iter().find(|backend| backend.id == *id).map(|backend| &backend.place);
        place.is_some_and(|place| residency::decide(&route.tenant_policy, &route.bucket_policy, place).is_ok())
    };
    let places = 1 + placement::replicas(&route.placement, &route.home, route.replica_count, is_allowed).len();
    if places < usize::try_from(quorum).unwrap_or(usize::MAX) {
        let detail = format!("policy allows copies at {places} places of the bucket's placement");
        return Err(Problem::field("write_quorum", detail));
    }
    state.metadata.set_write_quorum(&route.bucket, quorum).await?;
    tracing::info!(tenant, bucket, write_quorum = quorum, "bucket's write quorum set");
    show_bucket(&state, &tenant, &bucket).await
}

pub(super) async fn set_policy(
    State(state): State<Shared>,
    Segment((tenant, bucket)): Segment<(String, String)>,
    Body(policy): Body<ResidencyPolicy>,
) -> Result<Json<BucketView>, Problem> {
    let (_, route) = resolve_bucket(&state, &tenant, &bucket).await?;
    let policy = policies::taken(policy, "")?;
    let warnings = policies::doubts(&state, &policy).await?;
    state.metadata.set_bucket_policy(&route.bucket, &policy).await?;
    tracing::info!(tenant, bucket, ?policy, "bucket's policy set");
    let Json(view) = show_bucket(&state, &tenant, &bucket).await?;
    Ok(Json(BucketView { warnings, ..view }))
}

fn view(state: &Shared, tenant: &str, route: &Route, retirements: &[Retirement]) -> BucketView {
    let placed = route.placement.iter().map(|backend| (backend, MappingState::Active));
    let drained = route.draining.iter().map(|backend| (backend, MappingState::Draining));
    let mapping = placed.chain(drained).filter_map(|(backend, state)| {
        let physical = route.physical_on(backend)?;
        Some(Mapping {
            backend: backend.to_string(),
            physical_bucket: physical.for_upstream().to_owned(),
            home: *backend == route.home,
            state: state.as_str(),
        })
    });
    let home = state.gateway.backends.get(&route.home);
    let is_allowed =
        home.is_none_or(|home| residency::decide(&route.tenant_policy, &route.bucket_policy, home.place()).is_ok());
    let is_retired = retirements.iter().any(|retired| retired.backend == route.home);
    BucketView {
        name: route.name.as_str().to_owned(),
        id: route.bucket.as_str().to_owned(),
        tenant: tenant.to_owned(),
        location: route.location.clone(),
        home: route.home.to_string(),
        epoch: route.epoch,
        replica_count: route.replica_count,
        write_quorum: route.write_quorum,
        versioning: route.versioning.status(),
        policy: route.bucket_policy.clone(),
        promote_first: match (is_allowed, is_retired) {
            (false, _) => Some("policy"),
            (true, true) => Some("retired"),
            (true, false) => None,
        },
        mapping: mapping.collect(),
        created_at: render_time(route.created_at),
        warnings: Vec::new(),
    }
}
