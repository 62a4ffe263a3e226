//! Stranded keys, and what of them stands aside: listed, downloaded, given up.
use super::{
    input::{Page, Params, Segment, Shared, last_of_full, page, position, render_time, resolve_bucket},
    problem::Problem,
};
use crate::upstream::UpstreamRequest;
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{Method, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use s3gateway_s3::ObjectKey;
use s3gateway_store::{DirtyKey, Kept, StoreError, Stranded, StrandedState};
use serde::Serialize;
use std::time::SystemTime;

/// Whose mark it is, in the job history.
const DROP: &str = "stranded-drop";

/// Pieces of a download that wait for the operator's connection.
const AHEAD: usize = 4;

#[derive(Serialize)]
pub(super) struct StrandedKeys {
    stranded: Vec<StrandedView>,
    /// Give it as `after` to read on; absent where the page is not full.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
pub(super) struct StrandedView {
    id: String,
    key: String,
    /// The old home.
    home: String,
    /// The epoch in which it was home.
    epoch: i64,
    /// `open`: to be compared, not readable. `overwritten`: to be compared, written anew since. `merging`: its versions are put in order, or what
    /// stayed behind is brought home; neither readable nor writable. `kept`: what has lost can be downloaded.
    state: &'static str,
    stranded_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<KeptView>,
}

#[derive(Serialize)]
pub(super) struct KeptView {
    backend: String,
    size: i64,
    etag: String,
}

pub(super) async fn list(
    State(state): State<Shared>,
    Segment((tenant, bucket)): Segment<(String, String)>,
    Params(asked): Params<Page>,
) -> Result<Json<StrandedKeys>, Problem> {
    let limit = page(asked.limit)?;
    let (_, route) = resolve_bucket(&state, &tenant, &bucket).await?;
    let found = state.metadata.stranded_of(&route.bucket, position(asked.after.as_deref())?, limit).await?;
    let next = last_of_full(&found, limit).map(|row| row.id.clone());
    Ok(Json(StrandedKeys { stranded: found.iter().map(view).collect(), next }))
}

pub(super) async fn show(
    State(state): State<Shared>,
    Segment(id): Segment<String>,
) -> Result<Json<StrandedView>, Problem> {
    Ok(Json(view(&find(&state, &id).await?)))
}

/// The bytes of what stands aside.
pub(super) async fn download(State(state): State<Shared>, Segment(id): Segment<String>) -> Result<Response, Problem> {
    let row = find(&state, &id).await?;
    let (kept, key) = kept_of(&row)?;
    let away = || Problem::new(StatusCode::BAD_GATEWAY, format!("backend {} does not give it out now", kept.backend));
    let backend = state.gateway.backends.get(&kept.backend).ok_or_else(away)?;
    let request = UpstreamRequest::new(Method::GET, &kept.physical, Some(&key));
    let request = request.sign(&backend, Some(&[]), SystemTime::now()).map_err(|_| away())?;
    let address = backend.admit(std::time::Instant::now()).ok_or_else(away)?;
    let (pieces, taken) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(AHEAD);
    let (head, asked) = tokio::sync::oneshot::channel();
    let gateway = state.gateway.clone();
    state.gateway.carry_on(async move {
        let Ok(mut exchange) = gateway.client.exchange(&backend, address).await else { return };
        let answered = exchange.ask(Box::new(request), &[]).await;
        let found = answered.is_ok() && exchange.head().is_ok_and(|head| head.status == StatusCode::OK);
        if !found || head.send(()).is_err() {
            return;
        }
        loop {
            let piece = match exchange.next().await {
                Ok(Some(piece)) => Ok(piece),
                Ok(None) => break,
                Err(error) => Err(std::io::Error::other(error.to_string())),
            };
            let is_cut = piece.is_err();
            if pieces.send(piece).await.is_err() || is_cut {
                return;
            }
        }
        exchange.end().await;
    });
    asked.await.map_err(|_| away())?;
    let stream = futures::stream::unfold(taken, |mut taken| async move { Some((taken.recv().await?, taken)) });
    let response = Response::builder().header(header::CONTENT_TYPE, "application/octet-stream");
    let response = response.header(header::CONTENT_LENGTH, kept.size).body(Body::from_stream(stream));
    response.map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be made"))
}

/// Gives up what a row stands for: what stands aside, or the write that stayed behind. The key's copies are converged anew.
///
/// The key is marked first, as for a write: whatever is cut off from there on, a worker looks at the key after the row
/// is gone.
/// Cancel: the key stays dirty until its lease has run out.
pub(super) async fn drop(State(state): State<Shared>, Segment(id): Segment<String>) -> Result<StatusCode, Problem> {
    let row = find(&state, &id).await?;
    let dirty = DirtyKey { bucket: row.bucket.clone(), key: row.key.clone() };
    let mark = state.queue.intent(&dirty, DROP, state.gateway.lease()).await?;
    // No worker is at it by now, unless Redis cannot tell of it.
    let found = match find(&state, &id).await {
        Ok(row) if row.is_changing() => Err(StoreError::Busy.into()),
        found => found,
    };
    let row = match found {
        Ok(row) => row,
        Err(problem) => {
            state.gateway.release(&dirty, &mark).await;
            return Err(problem);
        }
    };
    let kept = kept_of(&row).ok();
    if let Some((kept, key)) = &kept
        && let Err(problem) = delete_kept(&state, kept, key).await
    {
        state.gateway.release(&dirty, &mark).await;
        return Err(problem);
    }
    state.metadata.give_up_stranded(&row.id).await?;
    if let Some((kept, _)) = &kept {
        drop_emptied(&state, kept).await;
    }
    if let Err(error) = state.queue.commit(&dirty, &mark, DROP).await {
        tracing::warn!(%error, "a stranded key that was given up is converged once its lease has run out");
    }
    tracing::warn!(id = row.id, bucket = row.bucket.as_str(), key = row.key.as_str(), "stranded key given up");
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes what stands aside.
async fn delete_kept(state: &Shared, kept: &Kept, key: &ObjectKey) -> Result<(), Problem> {
    let away = || Problem::new(StatusCode::BAD_GATEWAY, format!("backend {} does not delete it now", kept.backend));
    let backend = state.gateway.backends.get(&kept.backend).ok_or_else(away)?;
    let request = UpstreamRequest::new(Method::DELETE, &kept.physical, Some(key));
    match state.gateway.client.send(&backend, request, Bytes::new()).await {
        // An attempt that came no further has been here.
        Err(error) if matches!(error.refused_code(), Some("NoSuchKey" | "NoSuchBucket")) => Ok(()),
        deleted => deleted.map(|_| ()).map_err(|_| away()),
    }
}

/// Drops the bucket of what stands aside with the last that stood there: while there are others, it is refused.
async fn drop_emptied(state: &Shared, kept: &Kept) {
    let Some(backend) = state.gateway.backends.get(&kept.backend) else { return };
    let bucket = UpstreamRequest::new(Method::DELETE, &kept.physical, None);
    if backend.capabilities().refuses_nonempty_delete
        && let Err(error) = state.gateway.client.send(&backend, bucket, Bytes::new()).await
    {
        tracing::debug!(%error, "the bucket of what stands aside stays");
    }
}

async fn find(state: &Shared, id: &str) -> Result<Stranded, Problem> {
    if !id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        return Err(Problem::missing("stranded key"));
    }
    state.metadata.stranded_by_id(id).await.map_err(|error| match error {
        StoreError::NotFound => Problem::missing("stranded key"),
        other => other.into(),
    })
}

/// What stands aside, and its key there.
fn kept_of(row: &Stranded) -> Result<(Kept, ObjectKey), Problem> {
    let nothing = || Problem::new(StatusCode::CONFLICT, "nothing of this key stands aside");
    let kept = row.aside().ok_or_else(nothing)?;
    Ok((kept.clone(), ObjectKey::parse(&row.id).map_err(|_| nothing())?))
}

fn view(row: &Stranded) -> StrandedView {
    let state = match &row.state {
        StrandedState::Open if row.merging.is_some() => "merging",
        StrandedState::Open => "open",
        StrandedState::Overwritten => "overwritten",
        StrandedState::Kept(_) => "kept",
    };
    StrandedView {
        id: row.id.clone(),
        key: row.key.as_str().to_owned(),
        home: row.home.to_string(),
        epoch: row.epoch,
        state,
        stranded_at: render_time(row.stranded_at),
        kept: row.aside().map(|kept| KeptView {
            backend: kept.backend.to_string(),
            size: kept.size,
            etag: kept.etag.clone(),
        }),
    }
}
