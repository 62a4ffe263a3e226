//! The replication queue as operators see it: depth, history, dead letters, and driving those again.
use super::{
    input::{Body, Labels, Page, Params, Shared, cursor, last_of_full, page, render_time, resolve_bucket},
    problem::Problem,
};
use axum::{Json, extract::State};
use s3gateway_s3::ObjectKey;
use s3gateway_store::{Cursor, DirtyKey, StoreError, queue::LetterCursor};
use serde::{Deserialize, Serialize};

#[derive(Serialize)]
pub(super) struct DepthView {
    dirty: u64,
    claimed: u64,
    delayed: u64,
    dead: u64,
    /// When the oldest dirty key became dirty.
    oldest_dirty: Option<String>,
    /// Whether Redis may have forgotten marks of some buckets, which are walked over before their keys count as clean.
    suspect: bool,
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
pub(super) struct Jobs {
    jobs: Vec<JobView>,
    /// Give it as `after` to read on; absent where the page is not full.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct JobView {
    tenant: String,
    bucket: String,
    key: String,
    outcome: String,
    detail: String,
    attempts: i64,
    request_id: String,
    started_at: String,
    finished_at: String,
}

#[derive(Serialize)]
pub(super) struct Dead {
    dead_letters: Vec<DeadView>,
    /// Give it as `after` to read on; absent where the page is not full.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct DeadView {
    tenant: String,
    bucket: String,
    key: String,
    reason: String,
    attempts: u32,
    since: String,
}

/// Either `{"all": true}` or one key by `tenant`, `bucket`, `key`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Redrive {
    #[serde(default)]
    all: bool,
    tenant: Option<String>,
    bucket: Option<String>,
    key: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Redriven {
    redriven: u64,
}

pub(super) async fn depth(State(state): State<Shared>) -> Result<Json<DepthView>, Problem> {
    let depth = state.queue.depth().await?;
    let oldest_dirty = depth.oldest.map(render_time);
    // Who cannot tell does not say no.
    let suspect = state.queue.may_forget() && has_suspects(&state).await.unwrap_or(true);
    Ok(Json(DepthView {
        dirty: depth.dirty,
        claimed: depth.claimed,
        delayed: depth.delayed,
        dead: depth.dead,
        oldest_dirty,
        suspect,
    }))
}

async fn has_suspects(state: &Shared) -> Result<bool, StoreError> {
    let servers = state.queue.servers().await?;
    let is_any_new = state.metadata.has_new_queue_server(&servers).await?;
    Ok(is_any_new || state.metadata.has_suspect_queue_server().await?)
}

pub(super) async fn history(State(state): State<Shared>, Params(of): Params<Of>) -> Result<Json<Jobs>, Problem> {
    let limit = page(of.limit)?;
    let bucket = match (&of.tenant, &of.bucket) {
        (Some(tenant), Some(bucket)) => Some(resolve_bucket(&state, tenant, bucket).await?.1.bucket),
        (None, None) => None,
        (Some(_), None) => return Err(Problem::parameter("bucket", "is needed with tenant")),
        (None, Some(_)) => return Err(Problem::parameter("tenant", "is needed with bucket")),
    };
    let mut names = Labels::new(&state.metadata);
    let found =
        state.metadata.jobs(bucket.as_ref(), cursor(of.after.as_deref(), Cursor::parse)?.as_ref(), limit).await?;
    let mut jobs = Vec::with_capacity(found.rows.len());
    for job in found.rows {
        let (tenant, bucket) = names.of(&job.bucket).await?;
        jobs.push(JobView {
            tenant,
            bucket,
            key: job.key.as_str().to_owned(),
            outcome: job.outcome,
            detail: job.detail,
            attempts: job.attempts,
            request_id: job.request_id,
            started_at: render_time(job.started_at),
            finished_at: render_time(job.finished_at),
        });
    }
    Ok(Json(Jobs { jobs, next: found.next.map(|next| next.to_string()) }))
}

pub(super) async fn dead(State(state): State<Shared>, Params(of): Params<Page>) -> Result<Json<Dead>, Problem> {
    let limit = page(of.limit)?;
    let after = cursor(of.after.as_deref(), LetterCursor::parse)?;
    let letters = state.queue.dead_letters(after.as_ref(), usize::try_from(limit).unwrap_or(usize::MAX)).await?;
    let next = last_of_full(&letters, limit).map(|letter| letter.cursor().to_string());
    let mut names = Labels::new(&state.metadata);
    let mut dead_letters = Vec::with_capacity(letters.len());
    for letter in letters {
        let (tenant, bucket) = names.of(&letter.key.bucket).await?;
        dead_letters.push(DeadView {
            tenant,
            bucket,
            key: letter.key.key.as_str().to_owned(),
            reason: letter.reason,
            attempts: letter.attempts,
            since: render_time(letter.since),
        });
    }
    Ok(Json(Dead { dead_letters, next }))
}

pub(super) async fn redrive(
    State(state): State<Shared>,
    Body(asked): Body<Redrive>,
) -> Result<Json<Redriven>, Problem> {
    let redriven = match (asked.all, &asked.tenant, &asked.bucket, &asked.key) {
        (true, None, None, None) => state.queue.redrive(None).await?,
        (false, Some(tenant), Some(bucket), Some(key)) => {
            let key = ObjectKey::parse(key).map_err(|error| Problem::field("key", error.to_string()))?;
            let (_, route) = resolve_bucket(&state, tenant, bucket).await?;
            state.queue.redrive(Some(&DirtyKey { bucket: route.bucket, key })).await?
        }
        _ => return Err(Problem::field("all", "give either all, or tenant, bucket and key")),
    };
    tracing::info!(redriven, all = asked.all, "dead letters driven again");
    Ok(Json(Redriven { redriven }))
}
