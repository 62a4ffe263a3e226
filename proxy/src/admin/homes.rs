//! Homes that must be left, as policy forbids them or their backend is being retired: which, and promotions in their place.
use super::{
    input::{Page, Params, Shared, last_of_full, page, position},
    problem::Problem,
    promotion,
};
use axum::{Json, extract::State};
use s3gateway_config::BackendId;
use s3gateway_filters::{placement, residency};
use s3gateway_store::{Backend, HomeToLeave, Route, StoreError};
use serde::Serialize;
use std::collections::HashMap;

#[derive(Serialize)]
pub(super) struct Homes {
    buckets: Vec<HomeView>,
    /// Give it as `after` to read on; absent where the page is not full.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct HomeView {
    tenant: String,
    bucket: String,
    home: String,
    /// The replica that is being promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    promotion: Option<String>,
    /// Why none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<String>,
}

/// What came of one home.
enum Outcome {
    Begun { to: BackendId, promotion: String },
    Left(String),
}

/// Buckets whose home policy forbids or is being retired.
pub(super) async fn list(State(state): State<Shared>, Params(of): Params<Page>) -> Result<Json<Homes>, Problem> {
    let (homes, next) = read(&state, &of).await?;
    let view = |home: HomeToLeave| HomeView {
        tenant: home.tenant,
        bucket: home.name,
        home: home.home.to_string(),
        to: None,
        promotion: None,
        remark: None,
    };
    Ok(Json(Homes { buckets: homes.into_iter().map(view).collect(), next }))
}

/// Begins a planned promotion of each bucket of a page, of the first replica in its placement that may be home.
pub(super) async fn promote(State(state): State<Shared>, Params(of): Params<Page>) -> Result<Json<Homes>, Problem> {
    let (homes, next) = read(&state, &of).await?;
    let retiring: Vec<BackendId> =
        state.metadata.retirements().await?.into_iter().map(|retirement| retirement.backend).collect();
    let backends: HashMap<BackendId, Backend> =
        state.metadata.backends().await?.into_iter().map(|backend| (backend.id.clone(), backend)).collect();
    let mut buckets = Vec::new();
    for home in homes {
        let outcome = match state.metadata.route_by_id(&home.bucket).await? {
            None => Outcome::Left("the bucket is not in service".to_owned()),
            Some(route) => {
                // As workers choose them: others hold no copies.
                let holders = placement::replicas(&route.placement, &route.home, route.replica_count, |id| {
                    let backend = backends.get(id).filter(|_| !retiring.contains(id));
                    backend.is_some_and(|backend| {
                        residency::decide(&route.tenant_policy, &route.bucket_policy, &backend.place).is_ok()
                    })
                });
                let holders: Vec<_> = holders.into_iter().filter_map(|id| backends.get(id)).collect();
                begin(&state, &route, &holders).await?
            }
        };
        let (to, promotion, remark) = match outcome {
            Outcome::Begun { to, promotion } => {
                tracing::info!(tenant = home.tenant, bucket = home.name, %to, promotion, "promotion asked for");
                (Some(to.to_string()), Some(promotion), None)
            }
            Outcome::Left(why) => (None, None, Some(why)),
        };
        let HomeToLeave { tenant, name: bucket, home, .. } = home;
        buckets.push(HomeView { tenant, bucket, home: home.to_string(), to, promotion, remark });
    }
    Ok(Json(Homes { buckets, next }))
}

async fn read(state: &Shared, of: &Page) -> Result<(Vec<HomeToLeave>, Option<String>), Problem> {
    let limit = page(of.limit)?;
    let homes = state.metadata.homes_to_leave(position(of.after.as_deref())?, limit).await?;
    let next = last_of_full(&homes, limit).map(|home| home.bucket.as_str().to_owned());
    Ok((homes, next))
}

/// Begins the promotion of the first of the `holders` that keeps what the home does.
async fn begin(state: &Shared, route: &Route, holders: &[&Backend]) -> Result<Outcome, Problem> {
    let why_not =
        |holder: &Backend| promotion::why_not_promoted(route.versioning, holder.capabilities.keeps_versions());
    let Some(to) = holders.iter().find(|holder| why_not(holder).is_none()).map(|holder| holder.id.clone()) else {
        let why = holders.iter().find_map(|holder| why_not(holder));
        let why = why.unwrap_or("no replica may be its home: add one to its placement");
        return Ok(Outcome::Left(why.to_owned()));
    };
    match state.metadata.begin_promotion(&route.bucket, &to, route.epoch, false).await {
        Ok(promotion) => Ok(Outcome::Begun { to, promotion: promotion.id }),
        Err(StoreError::Conflict(what)) => Ok(Outcome::Left(format!("{what} runs already"))),
        Err(StoreError::Invalid(why)) => Ok(Outcome::Left(why)),
        Err(error) => Err(error.into()),
    }
}
