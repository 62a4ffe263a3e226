//! Promotes by itself where the operator allows it: once a bucket's home has been away for the set time, as this worker sees it,
//! the first replica of its placement that answers takes its place.
use super::Promoter;
use crate::backend::{BackendError, Remote};
use s3gateway_config::BackendId;
use s3gateway_filters::residency;
use s3gateway_store::{BucketId, Route, StoreError};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Between two looks at the homes.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Since when homes do not answer.
pub(crate) struct Watch {
    promoter: Arc<Promoter>,
    away_since: HashMap<BackendId, Instant>,
}

impl Watch {
    pub(crate) fn new(promoter: Arc<Promoter>) -> Self {
        Self { promoter, away_since: HashMap::new() }
    }

    /// Looks until stopped.
    pub(crate) async fn follow(mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.look().await {
                debug!(%error, "homes are not watched");
            }
            let _ = tokio::time::timeout(LOOK_EVERY, stop.cancelled()).await;
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let mut seen: HashMap<BackendId, bool> = HashMap::new();
        for (bucket, after) in self.promoter.metadata.self_promoting_buckets().await? {
            let Some(route) = self.promoter.metadata.route_by_id(&bucket).await? else { continue };
            let answers = match seen.get(&route.home) {
                Some(answers) => *answers,
                None => self.answers(&route, &route.home).await?,
            };
            seen.insert(route.home.clone(), answers);
            if answers {
                self.away_since.remove(&route.home);
                continue;
            }
            let since = *self.away_since.entry(route.home.clone()).or_insert_with(Instant::now);
            if since.elapsed() >= after {
                self.promote(&bucket, &route).await?;
            }
        }
        // A home that no bucket asks about is not watched, so it may have come and gone.
        self.away_since.retain(|home, _| seen.contains_key(home));
        Ok(())
    }

    /// Whether a backend says anything about the bucket; what it says is no matter here.
    async fn answers(&self, route: &Route, id: &BackendId) -> Result<bool, StoreError> {
        let Some(remote) = self.promoter.backends.get(id).await? else { return Ok(false) };
        Ok(match route.physical_on(id) {
            Some(physical) => !matches!(remote.has_bucket(physical).await, Err(BackendError::Unavailable { .. })),
            None => false,
        })
    }

    async fn promote(&self, bucket: &BucketId, route: &Route) -> Result<(), StoreError> {
        for id in route.placement.iter().filter(|id| **id != route.home) {
            let Some(remote) = self.promoter.backends.get(id).await? else { continue };
            if !is_allowed(route, &remote) || !self.answers(route, id).await? {
                continue;
            }
            match self.promoter.metadata.begin_promotion(bucket, id, route.epoch, true).await {
                Ok(_) => {
                    warn!(bucket = bucket.as_str(), home = %route.home, target = %id, "home is away, a replica is promoted")
                }
                // Another worker was faster, or the bucket is none that can be promoted.
                Err(StoreError::Conflict(why)) => debug!(bucket = bucket.as_str(), why, "not promoted"),
                Err(StoreError::Invalid(why)) => info!(bucket = bucket.as_str(), why, "cannot be promoted"),
                Err(error) => return Err(error),
            }
            return Ok(());
        }
        Ok(())
    }
}

fn is_allowed(route: &Route, remote: &Remote) -> bool {
    residency::decide(&route.tenant_policy, &route.bucket_policy, &remote.backend.place).is_ok()
}
