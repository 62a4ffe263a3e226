//! What a walk walks over: the home's listing, those of the replicas, and which places should hold copies.
use super::WalkError;
use super::compare::Place;
use super::listing::Listing;
use crate::backend::Remote;
use crate::backends::Backends;
use crate::plan::{self, Wanted};
use crate::versions::PAGE;
use s3gateway_config::BackendId;
use s3gateway_filters::residency;
use s3gateway_store::{Metadata, Route, WalkKind, WalkShard};
use std::sync::Arc;

/// Keys of one step of a deep walk, which reads them all: so many that listing them costs little, so few that a walk that
/// is stopped has soon stopped and reads little again.
const DEEP_PAGE: i32 = 50;

/// A bucket as a walk sees it.
pub(super) struct Ground {
    pub(super) route: Route,
    pub(super) home: Listing,
    /// All other backends of the placement, and where the bucket is migrated to; none for a backfill, which looks at the home alone.
    pub(super) places: Vec<Place>,
    /// Their listings, in the same order.
    pub(super) replicas: Vec<Listing>,
}

impl Ground {
    /// Looks at the bucket as it is now, for a walk of so many keys a second.
    pub(super) async fn survey(
        metadata: &Metadata,
        backends: &Backends,
        shard: &WalkShard,
        rate: u32,
    ) -> Result<Self, WalkError> {
        let route = metadata.route_by_id(&shard.bucket).await?.ok_or(WalkError::Gone)?;
        if route.epoch != shard.epoch {
            return Err(WalkError::Moved);
        }
        let mut remotes = Vec::new();
        for id in route.placement.iter().chain(&route.arriving) {
            let remote = backends.get(id).await?;
            remotes.push((id.clone(), remote.ok_or_else(|| WalkError::Waits(format!("backend {id} is not known")))?));
        }
        let home = remote_of(&remotes, &route.home)?;
        let home = listing(&route, home, shard.kind, rate, false)?;
        let (mut places, mut replicas) = (Vec::new(), Vec::new());
        if shard.kind != WalkKind::Backfill {
            for (id, wanted) in decide_wanted(&route, &remotes) {
                let replica = listing(&route, remote_of(&remotes, &id)?, shard.kind, rate, true)?;
                places.push(Place { id, wanted, versions: replica.versions });
                replicas.push(replica);
            }
        }
        Ok(Self { route, home, places, replicas })
    }

    /// Passes where no backend is left alone.
    pub(super) fn admit(&self) -> Result<(), WalkError> {
        admit(std::iter::once(&self.home).chain(&self.replicas))
    }

    /// Whether listings that were read of `self` still stand for what is there now.
    pub(super) fn is_same(&self, now: &Self) -> bool {
        let facts = |ground: &Self| {
            let Route { home, physical, replica_count, versioning, tenant_policy, bucket_policy, .. } = &ground.route;
            (home.clone(), physical.clone(), *replica_count, *versioning, tenant_policy.clone(), bucket_policy.clone())
        };
        let places =
            |ground: &Self| ground.places.iter().map(|p| (p.id.clone(), p.wanted, p.versions)).collect::<Vec<_>>();
        facts(self) == facts(now) && places(self) == places(now) && self.home.versions == now.home.versions
    }
}

fn remote_of<'a>(remotes: &'a [(BackendId, Arc<Remote>)], id: &BackendId) -> Result<&'a Arc<Remote>, WalkError> {
    let found = remotes.iter().find(|(other, _)| other == id).map(|(_, remote)| remote);
    found.ok_or_else(|| WalkError::Waits(format!("backend {id} is not known")))
}

/// Passes listings of which no backend is left alone. None is tried out in vain, as where another rests.
pub(super) fn admit<'a>(listings: impl IntoIterator<Item = &'a Listing> + Clone) -> Result<(), WalkError> {
    let remotes = || listings.clone().into_iter().map(|listing| &listing.remote);
    match remotes().find_map(|remote| remote.resting()) {
        Some(resting) => Err(resting.into()),
        None => Ok(remotes().try_for_each(|remote| remote.admit())?),
    }
}

/// A bucket's listing on a backend, as a walk of that kind and rate reads it.
pub(super) fn listing(
    route: &Route,
    remote: &Arc<Remote>,
    kind: WalkKind,
    rate: u32,
    may_lack: bool,
) -> Result<Listing, WalkError> {
    let id = &remote.backend.id;
    let bucket = route.physical_on(id).ok_or_else(|| WalkError::Waits(format!("the bucket has no name on {id}")))?;
    let versions = route.versioning.is_set() && remote.backend.capabilities.keeps_versions();
    let most = if kind == WalkKind::Deep { DEEP_PAGE } else { PAGE };
    // A second's worth, so that a slow walk goes in small steps.
    let page = if rate > 0 { most.min(i32::try_from(rate).unwrap_or(most)) } else { most };
    Ok(Listing { remote: remote.clone(), bucket: bucket.clone(), versions, may_lack, page })
}

/// By the bucket's replica count: a listing does not tell an object's own wish, which converging goes by.
fn decide_wanted(route: &Route, remotes: &[(BackendId, Arc<Remote>)]) -> Vec<(BackendId, Wanted)> {
    let is_allowed = |id: &BackendId| {
        let place = remotes.iter().find(|(other, _)| other == id).map(|(_, remote)| &remote.backend.place);
        place.is_some_and(|place| residency::decide(&route.tenant_policy, &route.bucket_policy, place).is_ok())
    };
    let mut wanted = plan::decide_wanted(&route.placement, &route.home, route.replica_count, is_allowed);
    wanted.extend(route.arriving.iter().map(|id| (id.clone(), plan::decide_arriving(is_allowed(id)))));
    wanted
}
