//! Compares placements with policies and backends after one of them has changed: a replica whose place became forbidden or whose
//! backend is being retired is drained, and replaced where the bucket's locations give another place.
//! Invariant: a replica count goes down only where no place is left for a copy, and the drain's report says so.
use s3gateway_config::{BackendId, Place, ResidencyPolicy};
use s3gateway_filters::{placement, residency};
use s3gateway_store::{BucketId, Drain, DrainReason, Mapping, Metadata, Millis, PlacementChange, Route, StoreError};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Buckets looked at in one round.
const BUCKETS_AT_ONCE: u32 = 200;

/// What reviewing needs.
pub(crate) struct Reviewer {
    pub(crate) metadata: Metadata,
}

/// The backends as a review needs them.
struct Known {
    /// In order of creation.
    places: Vec<(BackendId, Place)>,
    retiring: Vec<BackendId>,
}

impl Reviewer {
    /// One round over the buckets whose review is due; what fails is tried again in the next.
    pub(crate) async fn round(&self, stop: &CancellationToken) {
        if let Err(error) = self.review_all(stop).await {
            warn!(%error, "placements cannot be reviewed");
        }
    }

    async fn review_all(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        // What is due already is reviewed whatever becomes of the rest.
        let made_due = async {
            while !stop.is_cancelled() && self.metadata.make_reviews_due().await? {}
            Ok::<(), StoreError>(())
        };
        if let Err(error) = made_due.await {
            warn!(%error, "placements that are to be reviewed wait");
        }
        let due = self.metadata.buckets_to_review(BUCKETS_AT_ONCE).await?;
        if due.is_empty() {
            return Ok(());
        }
        let backends = self.metadata.backends().await?;
        let retirements = self.metadata.retirements().await?;
        let known = Known {
            places: backends.into_iter().map(|backend| (backend.id, backend.place)).collect(),
            retiring: retirements.into_iter().map(|retirement| retirement.backend).collect(),
        };
        for (bucket, since) in due {
            if stop.is_cancelled() {
                break;
            }
            if let Err(error) = self.review(&bucket, since, &known).await {
                info!(bucket = bucket.as_str(), %error, "placement will be reviewed again");
                // Others have their turn first.
                self.metadata.postpone_review(&bucket, since).await?;
            }
        }
        Ok(())
    }

    async fn review(&self, bucket: &BucketId, since: Millis, known: &Known) -> Result<(), StoreError> {
        let Some(route) = self.metadata.route_by_id(bucket).await? else { return Ok(()) };
        let facts = Facts {
            route: &route,
            mapped: &self.metadata.mappings(bucket).await?,
            drains: &self.metadata.drains_of(bucket).await?,
            locations: &self.metadata.locations(bucket).await?,
            migrated: &self.metadata.migrated_between(bucket).await?,
            known,
        };
        let reviewed = decide(&facts);
        if let Some(change) = reviewed.change {
            self.metadata.change_placement(&change).await?;
            info!(bucket = bucket.as_str(), placement = ?change.placement, drained = ?change.drained, "placement changed by review");
        }
        self.metadata.reviewed(&route, since, reviewed.leave).await
    }
}

/// All that a review needs.
struct Facts<'a> {
    route: &'a Route,
    mapped: &'a [Mapping],
    /// Those that have not ended.
    drains: &'a [Drain],
    locations: &'a str,
    /// Where a migration goes on, from or to.
    migrated: &'a [BackendId],
    known: &'a Known,
}

/// What a review comes to.
struct Reviewed<'a> {
    change: Option<PlacementChange<'a>>,
    /// Whether the home must be left, which only a promotion can do.
    leave: bool,
}

impl Facts<'_> {
    /// Why a backend may not be used, if so. One that is not known has no place that a policy could allow.
    fn objection(&self, id: &BackendId) -> Option<DrainReason> {
        let Route { tenant_policy, bucket_policy, .. } = self.route;
        match self.known.places.iter().find(|(known, _)| known == id) {
            Some((_, place)) if is_allowed(tenant_policy, bucket_policy, place) => {
                self.known.retiring.contains(id).then_some(DrainReason::Retired)
            }
            _ => Some(DrainReason::Policy),
        }
    }

    /// A backend that may take the place of another: of the location that brought the other in, else of any of the bucket's.
    fn spare_for(&self, other: &BackendId, taken: &[BackendId]) -> Option<BackendId> {
        let resolve = |named: &str| placement::resolve(named, &self.known.places).unwrap_or_default();
        let located: Vec<Vec<BackendId>> = self.locations.split(',').map(resolve).collect();
        let (same, rest): (Vec<_>, Vec<_>) = located.into_iter().partition(|there| there.contains(other));
        let is_on = |id: &BackendId| {
            self.mapped.iter().any(|mapping| mapping.backend == *id) || taken.contains(id) || self.migrated.contains(id)
        };
        same.into_iter().chain(rest).flatten().find(|id| !is_on(id) && self.objection(id).is_none())
    }
}

fn is_allowed(tenant: &ResidencyPolicy, bucket: &ResidencyPolicy, place: &Place) -> bool {
    residency::decide(tenant, bucket, place).is_ok()
}

fn decide<'a>(facts: &Facts<'a>) -> Reviewed<'a> {
    let route = facts.route;
    let leave = facts.objection(&route.home).is_some();
    let replicas = || route.placement.iter().filter(|id| **id != route.home);
    let goes: Vec<(&BackendId, DrainReason)> = replicas().filter_map(|id| Some((id, facts.objection(id)?))).collect();
    // What left for a reason that holds no more comes back; what an operator took out does not.
    let back: Vec<&Drain> = facts.drains.iter().filter(|drain| comes_back(facts, drain)).collect();
    if goes.is_empty() && back.is_empty() {
        return Reviewed { change: None, leave };
    }
    let mut placement = vec![route.home.clone()];
    placement.extend(replicas().filter(|id| facts.objection(id).is_none()).cloned());
    placement.extend(back.iter().map(|drain| drain.backend.clone()));
    let mut replaced: Vec<Option<BackendId>> = Vec::with_capacity(goes.len());
    for (id, _) in &goes {
        let spare = facts.spare_for(id, &placement);
        placement.extend(spare.clone());
        replaced.push(spare);
    }
    let wanted = back.iter().map(|drain| drain.count_before).chain([route.replica_count]).max().unwrap_or(1);
    let replica_count = wanted.min(u32::try_from(placement.len()).unwrap_or(u32::MAX));
    let remark = |replaced: &Option<BackendId>| match replaced {
        Some(other) => format!("replaced by {other}"),
        None if replica_count < wanted => {
            format!("no other place in {}: copies reduced from {wanted} to {replica_count}", facts.locations)
        }
        None => String::new(),
    };
    let drained = goes.iter().zip(&replaced).map(|((id, reason), by)| ((*id).clone(), *reason, remark(by))).collect();
    let change = PlacementChange { seen: route, placement, replica_count, locations: None, drained };
    Reviewed { change: Some(change), leave }
}

fn comes_back(facts: &Facts<'_>, drain: &Drain) -> bool {
    drain.reason != DrainReason::Placement
        && facts.route.draining.contains(&drain.backend)
        && facts.objection(&drain.backend).is_none()
}

#[cfg(test)]
mod tests;
