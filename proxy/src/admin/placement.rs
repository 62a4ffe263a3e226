//! Where buckets are: changing a placement, and what is being drained.
use super::{
    buckets::{BucketView, show_bucket},
    input::{Body, Params, Segment, Shared, cursor, page, render_time, resolve_bucket},
    problem::Problem,
};
use axum::{Json, extract::State, http::StatusCode};
use s3gateway_config::{BackendId, Place};
use s3gateway_filters::{placement, residency};
use s3gateway_store::{Cursor, Drain, DrainReason, DrainState, PlacementChange, Route, StoreError};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    placement: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfDrains {
    tenant: Option<String>,
    bucket: Option<String>,
    backend: Option<String>,
    after: Option<String>,
    limit: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct Drains {
    drains: Vec<DrainView>,
    /// Give it as `after` to read on; absent where the page is not full.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct DrainView {
    tenant: String,
    bucket: String,
    bucket_id: String,
    backend: String,
    physical_bucket: String,
    /// `placement`, `retired` or `policy`.
    reason: &'static str,
    /// `draining`, `proven`, `gone` or `called-off`.
    state: &'static str,
    /// Keys that it held when it was first looked through.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<u64>,
    /// Keys that it still held when it was last looked through.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<u64>,
    /// Of these, keys of which the home knows nothing: it is not let go while it has one.
    strays: u64,
    /// One of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    stray: Option<String>,
    /// What was decided along with it, and what is to be done for it to end.
    remark: String,
    begun_at: String,
    /// When it was seen empty after everything had settled.
    #[serde(skip_serializing_if = "Option::is_none")]
    proven_at: Option<String>,
    /// When its physical bucket was gone, or the drain was called off.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
}

impl From<Drain> for DrainView {
    fn from(drain: Drain) -> Self {
        let found = drain.found.unwrap_or_default();
        let is_held_up = drain.state == DrainState::Draining && found.aside > 0;
        let aside = || format!("of {} stranded keys something stands aside there: download and drop it", found.aside);
        let decided = Some(drain.remark).filter(|remark| !remark.is_empty());
        let remarks: Vec<String> = decided.into_iter().chain(is_held_up.then(aside)).collect();
        Self {
            tenant: drain.tenant,
            bucket: drain.name,
            bucket_id: drain.bucket.as_str().to_owned(),
            backend: drain.backend.to_string(),
            physical_bucket: drain.physical.for_upstream().to_owned(),
            reason: drain.reason.as_str(),
            state: drain.state.as_str(),
            keys: drain.keys,
            // Seen empty is the end of a look, too.
            left: if drain.proven_at.is_some() { Some(0) } else { drain.keys.map(|_| found.seen) },
            strays: found.strays,
            stray: (!found.stray.is_empty()).then_some(found.stray),
            remark: remarks.join("; "),
            begun_at: render_time(drain.begun_at),
            proven_at: drain.proven_at.map(render_time),
            ended_at: drain.ended_at.map(render_time),
        }
    }
}

/// Changes a bucket's placement: what is new is filled, what is in it no more is drained.
pub(super) async fn set_placement(
    State(state): State<Shared>,
    Segment((tenant, bucket)): Segment<(String, String)>,
    Body(wanted): Body<Wanted>,
) -> Result<Json<BucketView>, Problem> {
    let (_, route) = resolve_bucket(&state, &tenant, &bucket).await?;
    change(&state, &route, &wanted.placement).await?;
    show_bucket(&state, &tenant, &bucket).await
}

/// Changes the placement of a bucket that is as `route` says.
pub(super) async fn change(state: &Shared, route: &Route, locations: &[String]) -> Result<(), Problem> {
    let placement = decide(state, route, locations).await?;
    let gone = route.placement.iter().filter(|id| !placement.contains(id));
    let drained = gone.map(|id| (id.clone(), DrainReason::Placement, String::new())).collect();
    let locations = Some(locations.join(","));
    let change = PlacementChange { seen: route, replica_count: route.replica_count, placement, locations, drained };
    state.metadata.change_placement(&change).await.map_err(|error| match error {
        StoreError::Conflict(what) => Problem::new(StatusCode::CONFLICT, format!("{what} was in the way; try again")),
        other => other.into(),
    })?;
    let bucket = route.bucket.as_str();
    tracing::info!(bucket, placement = ?change.placement, drained = ?change.drained, "bucket's placement changed");
    Ok(())
}

/// The backends that the locations stand for: home first, none that is forbidden or retired, and enough for all copies.
async fn decide(state: &Shared, route: &Route, locations: &[String]) -> Result<Vec<BackendId>, Problem> {
    let refuse = |detail: String| Problem::field("placement", detail);
    if locations.iter().any(|location| location.contains(',')) {
        return Err(refuse("give each location as an element of its own".to_owned()));
    }
    let retirements = state.metadata.retirements().await?;
    let is_usable = |id: &BackendId| *id == route.home || !retirements.iter().any(|gone| gone.backend == *id);
    let backends = state.metadata.backends().await?;
    let places: Vec<(BackendId, Place)> =
        backends.into_iter().map(|b| (b.id, b.place)).filter(|(id, _)| is_usable(id)).collect();
    let placement = placement::resolve(&locations.join(","), &places).map_err(|error| refuse(error.to_string()))?;
    if placement.first() != Some(&route.home) {
        let home = places.iter().find(|(id, _)| *id == route.home).map_or("unknown", |(_, place)| &place.zone);
        return Err(refuse(format!(
            "the bucket's home is {} in {home} and stays first: to move it, promote a replica (bucket promote)",
            route.home
        )));
    }
    for (id, place) in places.iter().filter(|(id, _)| *id != route.home && placement.contains(id)) {
        residency::decide(&route.tenant_policy, &route.bucket_policy, place)
            .map_err(|denied| refuse(format!("{id}: {}", denied.message())))?;
    }
    let (given, wanted) = (placement.len(), route.replica_count);
    if usize::try_from(wanted).unwrap_or(usize::MAX) > given {
        return Err(refuse(format!(
            "gives {given} backends for {wanted} copies: lower the bucket's replica count first"
        )));
    }
    Ok(placement)
}

pub(super) async fn drains(State(state): State<Shared>, Params(of): Params<OfDrains>) -> Result<Json<Drains>, Problem> {
    let limit = page(of.limit)?;
    let bucket = match (&of.tenant, &of.bucket) {
        (Some(tenant), Some(bucket)) => Some(resolve_bucket(&state, tenant, bucket).await?.1.bucket),
        (None, None) => None,
        _ => return Err(Problem::parameter("bucket", "give tenant and bucket together")),
    };
    let backend = of.backend.as_deref().map(BackendId::parse).transpose();
    let backend = backend.map_err(|error| Problem::parameter("backend", error.to_string()))?;
    let after = cursor(of.after.as_deref(), Cursor::parse)?;
    let found = state.metadata.drains(bucket.as_ref(), backend.as_ref(), after.as_ref(), limit).await?;
    let drains = found.rows.into_iter().map(DrainView::from).collect();
    Ok(Json(Drains { drains, next: found.next.map(|next| next.to_string()) }))
}
