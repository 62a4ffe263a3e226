//! Promotions as operators ask for them and follow them; workers carry them out.
use super::{
    input::{Body, Params, Segment, Shared, page, render_time, resolve_bucket},
    problem::Problem,
};
use axum::{Json, extract::State, http::StatusCode};
use s3gateway_config::BackendId;
use s3gateway_s3::Versioning;
use s3gateway_store::{Promotion, PromotionState, StoreError};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// How long an answer waits for the promotion's end; one that takes longer is followed by asking.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A home that is away for as long will not come back; a longer time is a slip of the keyboard.
const AFTER_MOST: u64 = 7 * 24 * 3600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    to: String,
    #[serde(default)]
    force: bool,
}

/// Seconds; absent or null: never.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    limit: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct Promotions {
    /// How long the home must be away before a replica is promoted by itself; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    promote_after_seconds: Option<u64>,
    promotions: Vec<PromotionView>,
}

#[derive(Serialize)]
pub(super) struct PromotionView {
    id: String,
    from: String,
    to: String,
    forced: bool,
    state: PromotionState,
    /// What it waits for, what it came to, or why it failed.
    detail: String,
    /// The epoch that it ends.
    epoch: i64,
    begun_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
}

pub(super) async fn promote(
    State(state): State<Shared>,
    Segment((tenant, bucket)): Segment<(String, String)>,
    Body(wanted): Body<Wanted>,
) -> Result<(StatusCode, Json<PromotionView>), Problem> {
    let (_, route) = resolve_bucket(&state, &tenant, &bucket).await?;
    let target = BackendId::parse(&wanted.to).ok().filter(|id| route.placement.contains(id));
    let Some(target) = target else {
        return Err(Problem::field("to", "must be a backend of the bucket's placement"));
    };
    if target == route.home {
        return Err(Problem::field("to", "is the bucket's home already"));
    }
    let keeps_versions =
        state.gateway.backends.get(&target).is_some_and(|backend| backend.capabilities().keeps_versions());
    if let Some(why) = why_not_promoted(route.versioning, keeps_versions) {
        return Err(Problem::new(StatusCode::CONFLICT, why));
    }
    let begun = state.metadata.begin_promotion(&route.bucket, &target, route.epoch, wanted.force).await;
    let begun = begun.map_err(|error| match error {
        StoreError::Conflict(what) => Problem::new(StatusCode::CONFLICT, format!("{what} runs already")),
        other => other.into(),
    })?;
    tracing::info!(tenant, bucket, to = %target, force = wanted.force, promotion = begun.id, "promotion asked for");
    let since = Instant::now();
    let mut promotion = begun;
    while !promotion.state.is_over() && since.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK_EVERY).await;
        promotion = state.metadata.promotion(&promotion.id).await?;
    }
    let status = if promotion.state.is_over() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(view(promotion))))
}

pub(super) async fn list(
    State(state): State<Shared>,
    Segment((tenant, bucket)): Segment<(String, String)>,
    Params(asked): Params<Limit>,
) -> Result<Json<Promotions>, Problem> {
    let limit = page(asked.limit)?;
    let (_, route) = resolve_bucket(&state, &tenant, &bucket).await?;
    let after = state.metadata.promote_after(&route.bucket).await?;
    let promotions = state.metadata.promotions_of(&route.bucket, limit).await?;
    Ok(Json(Promotions {
        promote_after_seconds: after.map(|after| after.as_secs()),
        promotions: promotions.into_iter().map(view).collect(),
    }))
}

pub(super) async fn set_after(
    State(state): State<Shared>,
    Segment((tenant, bucket)): Segment<(String, String)>,
    Body(after): Body<After>,
) -> Result<StatusCode, Problem> {
    if after.seconds.is_some_and(|seconds| !(1..=AFTER_MOST).contains(&seconds)) {
        return Err(Problem::field("seconds", format!("must be 1 to {AFTER_MOST}, or null for never")));
    }
    let (_, route) = resolve_bucket(&state, &tenant, &bucket).await?;
    state.metadata.set_promote_after(&route.bucket, after.seconds.map(Duration::from_secs)).await?;
    tracing::info!(tenant, bucket, seconds = after.seconds, "promotion by itself set");
    Ok(StatusCode::NO_CONTENT)
}

/// Why a bucket is not promoted for the sake of the versions that it keeps. `keeps_versions`: whether the new home would.
pub(super) fn why_not_promoted(versioning: Versioning, keeps_versions: bool) -> Option<&'static str> {
    let is_kept = keeps_versions || !versioning.is_set();
    (!is_kept).then_some("the bucket keeps versions, and that backend does not")
}

fn view(promotion: Promotion) -> PromotionView {
    PromotionView {
        ended_at: promotion.state.is_over().then(|| render_time(promotion.ended_at)),
        id: promotion.id,
        from: promotion.source.to_string(),
        to: promotion.target.to_string(),
        forced: promotion.forced,
        state: promotion.state,
        detail: promotion.detail,
        epoch: promotion.epoch,
        begun_at: render_time(promotion.begun_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Versioning::{Enabled, Never, Suspended};

    #[test]
    fn versions_move_only_to_a_home_that_keeps_them() {
        for (versioning, keeps_versions, ok) in [
            (Never, false, true),
            (Never, true, true),
            (Enabled, true, true),
            (Enabled, false, false),
            (Suspended, true, true),
            (Suspended, false, false),
        ] {
            let why = why_not_promoted(versioning, keeps_versions);
            assert_eq!(why.is_none(), ok, "{versioning:?} {keeps_versions}: {why:?}");
        }
    }
}
