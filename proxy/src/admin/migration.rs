//! Migrations of buckets as operators ask for them, follow them and call them off; workers carry them out.
use super::{
    input::{Body, Params, Segment, Shared, known_backend, page, render_time, resolve_bucket},
    problem::Problem,
    promotion::why_not_promoted,
};
use axum::{
    Extension, Json,
    extract::{ConnectInfo, State},
    http::StatusCode,
};
use s3gateway_config::BackendId;
use s3gateway_filters::residency;
use s3gateway_store::{Migration, MigrationState, NewMigration, Route, StoreError};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// A backend; absent: the home's own, at a hashed name.
    #[serde(default)]
    to: Option<String>,
    /// Empty the old home of what was verified, and delete it.
    #[serde(default)]
    drop_old: bool,
    /// Read both to verify the new one.
    #[serde(default)]
    deep: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    limit: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct Migrations {
    migrations: Vec<MigrationView>,
}

#[derive(Serialize)]
pub(super) struct MigrationView {
    id: String,
    state: MigrationState,
    /// What it waits for, or what it came to.
    detail: String,
    from: String,
    from_bucket: String,
    to: String,
    to_bucket: String,
    drop_old: bool,
    deep: bool,
    /// Where the request came from.
    by: String,
    begun_at: String,
    /// Since when it is in its state.
    since: String,
    /// When the home moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    /// Objects of the old home that were compared with the new one.
    objects: u64,
    /// Of these, such as the new one has lost.
    differing: u64,
    /// Objects of the old home that are not as they were copied, or never were.
    strays: u64,
    /// One of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    stray: Option<String>,
    /// Objects that were deleted from the old home.
    dropped: u64,
}

impl From<Migration> for MigrationView {
    fn from(migration: Migration) -> Self {
        let Migration { look, .. } = migration;
        let some = |at: i64| (at > 0).then(|| render_time(at));
        Self {
            id: migration.id,
            state: migration.state,
            detail: migration.detail,
            from: migration.source.to_string(),
            from_bucket: migration.source_physical.for_upstream().to_owned(),
            to: migration.target.real().to_string(),
            to_bucket: migration.target_physical.for_upstream().to_owned(),
            drop_old: migration.drop_old,
            deep: migration.is_deep,
            by: migration.asked_by,
            begun_at: render_time(migration.begun_at),
            since: render_time(migration.since),
            moved_at: some(migration.moved_at),
            ended_at: some(migration.ended_at),
            objects: look.objects,
            differing: look.differing,
            strays: look.strays,
            stray: (!look.stray.is_empty()).then_some(look.stray),
            dropped: look.dropped,
        }
    }
}

pub(super) async fn migrate(
    State(state): State<Shared>,
    Segment((tenant, bucket)): Segment<(String, String)>,
    from: Option<Extension<ConnectInfo<SocketAddr>>>,
    Body(wanted): Body<Wanted>,
) -> Result<(StatusCode, Json<MigrationView>), Problem> {
    let (_, route) = resolve_bucket(&state, &tenant, &bucket).await?;
    let to = wanted.to.as_deref().unwrap_or(route.home.as_str());
    let backend = known_backend(&state, to).await.map_err(|problem| match problem.status {
        StatusCode::NOT_FOUND => Problem::field("to", "there is no such backend"),
        _ => problem,
    })?;
    residency::decide(&route.tenant_policy, &route.bucket_policy, &backend.place)
        .map_err(|denied| Problem::field("to", denied.message()))?;
    let why = why_not_promoted(route.versioning, backend.capabilities.keeps_versions());
    if let Some(why) = why.or_else(|| why_not_renamed(&route, &backend.id)) {
        return Err(Problem::new(StatusCode::CONFLICT, why));
    }
    let asked_by = from.map_or_else(|| "unknown".to_owned(), |Extension(ConnectInfo(peer))| peer.ip().to_string());
    let new = NewMigration {
        seen: &route,
        to: backend.id,
        drop_old: wanted.drop_old,
        is_deep: wanted.deep,
        asked_by: asked_by.clone(),
    };
    let begun = state.metadata.begin_migration(&new).await.map_err(refuse_migration)?;
    tracing::info!(tenant, bucket, to = %new.to, drop_old = new.drop_old, by = asked_by, migration = begun.id, "migration asked for");
    Ok((StatusCode::ACCEPTED, Json(begun.into())))
}

pub(super) async fn migrations(
    State(state): State<Shared>,
    Segment((tenant, bucket)): Segment<(String, String)>,
    Params(asked): Params<Limit>,
) -> Result<Json<Migrations>, Problem> {
    let limit = page(asked.limit)?;
    let (_, route) = resolve_bucket(&state, &tenant, &bucket).await?;
    let migrations = state.metadata.migrations_of(&route.bucket, limit).await?;
    Ok(Json(Migrations { migrations: migrations.into_iter().map(MigrationView::from).collect() }))
}

/// Calls it off: before the cut over nothing is left of it, after that the old home is kept.
pub(super) async fn cancel_migration(
    State(state): State<Shared>,
    Segment((tenant, bucket)): Segment<(String, String)>,
) -> Result<Json<MigrationView>, Problem> {
    let (_, route) = resolve_bucket(&state, &tenant, &bucket).await?;
    let last = last_migration(&state, &route).await?;
    if last.state.is_over() {
        return Err(Problem::new(StatusCode::CONFLICT, "the bucket's last migration has ended"));
    }
    let ended = state.metadata.cancel_migration(&last.id, "called off by an operator").await;
    let ended = ended.map_err(|error| match error {
        StoreError::Conflict(_) => Problem::new(StatusCode::CONFLICT, "it is just cutting over; try again"),
        other => other.into(),
    })?;
    tracing::info!(tenant, bucket, migration = ended.id, "migration called off");
    Ok(Json(ended.into()))
}

/// Why the home gets no other name on its backend: what it calls the versions that have moved there is recorded once for a backend.
fn why_not_renamed(route: &Route, to: &BackendId) -> Option<&'static str> {
    let why = "versions of the bucket have moved here from another home: it can move to another backend, not to another name on this one";
    (route.has_moved_versions && *to == route.home).then_some(why)
}

async fn last_migration(state: &Shared, route: &Route) -> Result<Migration, Problem> {
    let last = state.metadata.migrations_of(&route.bucket, 1).await?.pop();
    last.ok_or_else(|| Problem::missing("migration"))
}

fn refuse_migration(error: StoreError) -> Problem {
    match error {
        StoreError::Conflict(what) => Problem::new(StatusCode::CONFLICT, format!("there is {what} already")),
        StoreError::Invalid(why) => match why.split_once(": ") {
            Some((field, why)) => Problem::field(field.to_owned(), why.to_owned()),
            None => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why),
        },
        other => other.into(),
    }
}
