//! Walks over buckets: begun, watched, slowed or hastened, cancelled, and approved where the guard has stopped one.
use super::{
    input::{Body, Labels, Params, Segment, Shared, cursor, page, render_time, resolve_bucket},
    problem::Problem,
};
use axum::{Json, extract::State, http::StatusCode};
use s3gateway_store::{Cursor, Millis, NewWalk, StoreError, Walk, WalkId, WalkKind};
use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};

/// Most keys a second that a walk is held to; more is as good as no bound.
const MOST_RATE: u32 = 1_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    kind: WalkKind,
    /// Keys a second; 0 or none for no bound, of a backfill for the workers' `backfill_rate`.
    #[serde(default)]
    rate: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rate {
    /// Keys a second; 0 for no bound.
    rate: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Of {
    after: Option<String>,
    limit: Option<u32>,
    tenant: Option<String>,
    bucket: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Walks {
    walks: Vec<WalkView>,
    /// Give it as `after` to read on; absent where the page is not full.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
pub(super) struct WalkView {
    id: String,
    tenant: String,
    bucket: String,
    kind: &'static str,
    state: &'static str,
    /// Why it waits, is guarded or has failed.
    note: String,
    reason: String,
    /// Keys a second that it is held to, 0 for no bound.
    rate: u32,
    /// Keys of the home looked at.
    done: u64,
    /// Keys that were known when it began.
    total: u64,
    marked: u64,
    /// Of these, such as the home has no more.
    deletes: u64,
    /// Keys a second since it began.
    speed: u64,
    /// When it will be done at that speed; absent where that cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    eta: Option<String>,
    approved: bool,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    begun_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    walk: WalkView,
    /// How often what was found.
    found: Vec<Count>,
    /// The first of them, one by one.
    findings: Vec<FindingView>,
}

#[derive(Serialize)]
struct Count {
    kind: &'static str,
    times: u64,
}

#[derive(Serialize)]
struct FindingView {
    kind: &'static str,
    key: String,
    backend: String,
    detail: String,
    found_at: String,
}

pub(super) async fn start(
    State(state): State<Shared>,
    Segment((tenant, bucket)): Segment<(String, String)>,
    Body(wanted): Body<Wanted>,
) -> Result<(StatusCode, Json<WalkView>), Problem> {
    check_rate(wanted.rate)?;
    let (_, route) = resolve_bucket(&state, &tenant, &bucket).await?;
    let Wanted { kind, rate } = wanted;
    let new = NewWalk { bucket: route.bucket, kind, rate, reason: "an operator asked for it".to_owned() };
    let walk = state.metadata.begin_walk(new).await?;
    tracing::info!(tenant, bucket, kind = kind.as_str(), walk = walk.id.as_str(), "walk asked for");
    let view = view(&mut Labels::new(&state.metadata), walk).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

pub(super) async fn list(State(state): State<Shared>, Params(of): Params<Of>) -> Result<Json<Walks>, Problem> {
    let limit = page(of.limit)?;
    let bucket = match (&of.tenant, &of.bucket) {
        (Some(tenant), Some(bucket)) => Some(resolve_bucket(&state, tenant, bucket).await?.1.bucket),
        (None, None) => None,
        (Some(_), None) => return Err(Problem::parameter("bucket", "is needed with tenant")),
        (None, Some(_)) => return Err(Problem::parameter("tenant", "is needed with bucket")),
    };
    let found =
        state.metadata.walks(bucket.as_ref(), cursor(of.after.as_deref(), Cursor::parse)?.as_ref(), limit).await?;
    let mut labels = Labels::new(&state.metadata);
    let mut walks = Vec::with_capacity(found.rows.len());
    for walk in found.rows {
        walks.push(view(&mut labels, walk).await?);
    }
    Ok(Json(Walks { walks, next: found.next.map(|next| next.to_string()) }))
}

pub(super) async fn show(State(state): State<Shared>, Segment(id): Segment<String>) -> Result<Json<Report>, Problem> {
    report(&state, &known(&id)?).await
}

pub(super) async fn cancel(State(state): State<Shared>, Segment(id): Segment<String>) -> Result<Json<Report>, Problem> {
    let id = known(&id)?;
    state.metadata.cancel_walk(&id).await.map_err(refuse)?;
    tracing::info!(walk = id.as_str(), "walk cancelled");
    report(&state, &id).await
}

pub(super) async fn approve(
    State(state): State<Shared>,
    Segment(id): Segment<String>,
) -> Result<Json<Report>, Problem> {
    let id = known(&id)?;
    state.metadata.approve_walk(&id).await.map_err(refuse)?;
    tracing::info!(walk = id.as_str(), "walk approved");
    report(&state, &id).await
}

pub(super) async fn set_rate(
    State(state): State<Shared>,
    Segment(id): Segment<String>,
    Body(Rate { rate }): Body<Rate>,
) -> Result<Json<Report>, Problem> {
    check_rate(rate)?;
    let id = known(&id)?;
    state.metadata.set_walk_rate(&id, rate).await.map_err(refuse)?;
    tracing::info!(walk = id.as_str(), rate, "rate of a walk set");
    report(&state, &id).await
}

fn check_rate(rate: u32) -> Result<(), Problem> {
    let problem = || Problem::field("rate", format!("must be 0 to {MOST_RATE}"));
    if rate > MOST_RATE { Err(problem()) } else { Ok(()) }
}

/// Ids are UUIDs; NUL is no text for PostgreSQL.
fn known(id: &str) -> Result<WalkId, Problem> {
    let is_id = id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if is_id { Ok(WalkId::new(id)) } else { Err(Problem::missing("walk")) }
}

fn refuse(error: StoreError) -> Problem {
    match error {
        StoreError::NotFound => Problem::missing("walk"),
        StoreError::Conflict(_) => Problem::new(StatusCode::CONFLICT, "the walk has ended"),
        other => other.into(),
    }
}

async fn report(state: &Shared, id: &WalkId) -> Result<Json<Report>, Problem> {
    let walk = state.metadata.walk(id).await.map_err(refuse)?;
    let counts = state.metadata.walk_counts(id).await?;
    let findings = state.metadata.walk_findings(id).await?;
    let walk = view(&mut Labels::new(&state.metadata), walk).await?;
    let found = counts.into_iter().map(|(kind, times)| Count { kind: kind.as_str(), times }).collect();
    let findings = findings.into_iter().map(|finding| FindingView {
        kind: finding.kind.as_str(),
        key: finding.key.as_str().to_owned(),
        backend: finding.backend,
        detail: finding.detail,
        found_at: render_time(finding.found_at),
    });
    Ok(Json(Report { walk, found, findings: findings.collect() }))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a figure for people
async fn view(labels: &mut Labels<'_>, walk: Walk) -> Result<WalkView, Problem> {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Millis::try_from(elapsed.as_millis()).unwrap_or(Millis::MAX);
    let (tenant, bucket) = labels.of(&walk.bucket).await?;
    let at = |time: Millis| (time > 0).then(|| render_time(time));
    Ok(WalkView {
        tenant,
        bucket,
        kind: walk.kind.as_str(),
        state: walk.state.as_str(),
        rate: walk.rate,
        done: walk.done,
        // More may have been written since.
        total: walk.total.max(walk.done),
        marked: walk.marked,
        deletes: walk.deletes,
        speed: walk.speed(now).round() as u64,
        eta: walk.left(now).map(|left| render_time(now.saturating_add(left))),
        approved: walk.approved,
        created_at: render_time(walk.created_at),
        begun_at: at(walk.begun_at),
        finished_at: at(walk.finished_at),
        id: walk.id.as_str().to_owned(),
        note: walk.note,
        reason: walk.reason,
    })
}
