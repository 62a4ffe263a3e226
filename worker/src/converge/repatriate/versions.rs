//! Brings the versions home that stayed behind at a former home: below what was written since, so that nothing is set aside. Each keeps the id
//! that clients know it by.
//! Invariant: what takes the place of a version at the home stands there, verified and noted, before that goes; and only what the former home
//! says is gone is deleted.
use super::{Alone, Side};
use crate::claim::Claim;
use crate::clock::millis;
use crate::converge::versions::{HomeVersions, MOST_MOVED, VersionList};
use crate::converge::{ConvergeError, Converger, Scene};
use crate::version_merge::Merged;
use crate::versions::Listed;
use s3gateway_s3::VersionId;
use s3gateway_store::{Route, Stranded, StrandedState, VersionCopy};
use std::time::{Duration, SystemTime};
use tracing::info;

/// How long a read may take from the question whether the key is stranded to the home: while versions are put in their order, an older one is
/// the current one there.
const READS_UNDER_WAY: Duration = Duration::from_secs(2);

impl Converger {
    /// Makes a stranded key's versions at its home those of the former home and, above them, those written since.
    pub(super) async fn merge_versions(
        &self,
        route: &Route,
        row: &Stranded,
        (former, home): (&Side, &Side),
        claim: &Claim,
        alone: &Alone,
    ) -> Result<(), ConvergeError> {
        let (id, key) = (&home.remote.backend.id, &row.key);
        let at_former =
            self.observe_versions(route, &former.remote, &former.bucket, key, former.object.as_ref()).await?;
        let Some(list) = at_former.list.clone() else {
            return Err(ConvergeError::Refused(format!("{} keeps no versions any more", row.home)));
        };
        let held = home.remote.versions(&home.bucket, key).await?;
        let recorded = self.metadata.version_copies(&route.bucket, key, id, MOST_MOVED).await?;
        let merged = Merged::of(id, list, &held, &recorded, row);
        let plan = merged.plan();
        let to_go = merged.to_go(&plan);
        // What a client has changed since is newer.
        let retagged = self.metadata.retagged(&route.bucket, key, row.stranded_at).await?;
        let scene = |side: &Side, versions, retagged| Scene {
            route,
            key,
            home: side.remote.clone(),
            home_bucket: side.bucket.clone(),
            object: side.object.clone(),
            opened: None,
            versions,
            retagged,
            retagged_before: 0,
            claim,
        };
        let own = HomeVersions { moved: merged.moved(), ..HomeVersions::default() };
        let (from_former, from_home) = (scene(former, at_former, retagged), scene(home, own, Vec::new()));
        let to_home = |scene| VersionList { converger: self, scene, remote: &home.remote, bucket: &home.bucket };
        info!(
            key = key.as_str(), former = %row.home, missing = plan.missing.len(), to_go = to_go.len(),
            "versions of a stranded key compared"
        );
        let lost = plan.lost(&merged.wanted);
        if !lost.is_empty() || (merged.of_former == 0 && !plan.stale.is_empty()) {
            self.require_that_former_holds(row, former).await?;
            self.require_lost(&from_former, &lost).await?;
        }
        if !plan.missing.is_empty() || !to_go.is_empty() {
            super::require_allowed(route, home)?;
            // It knows by this what it has written, should it die before it has recorded that.
            self.metadata.begin_merging(&row.id, held.last().map(|last| &last.id)).await?;
            if row.state == StrandedState::Overwritten && !plan.missing.is_empty() {
                tokio::time::sleep(READS_UNDER_WAY).await;
            }
            alone.begin_change(claim).await?;
        }
        let last = recorded.iter().map(|copy| copy.position).max().unwrap_or(0);
        let mut newest = held.last();
        for ((at, wanted), position) in (plan.kept.len()..).zip(plan.missing).zip(last + 1..) {
            let is_of_former = at < merged.of_former;
            let list = to_home(if is_of_former { &from_former } else { &from_home });
            let copy = match wanted.is_marker {
                true => list.write_marker(wanted, newest).await?,
                false => list.write_version(wanted).await?,
            };
            if is_of_former {
                let own = from_former.versions.moved.own(&wanted.id);
                list.note(as_copy(wanted, own, &VersionCopy { backend: row.home.clone(), position, ..copy.clone() }))
                    .await?;
            }
            list.note(VersionCopy { position, ..copy }).await?;
            newest = Some(wanted);
        }
        for gone in to_go {
            to_home(&from_home).delete(gone).await?;
        }
        let of_former = plan.kept.get(..merged.of_former).unwrap_or(&plan.kept);
        let is_meant = |id: &VersionId| from_former.retagged.contains(id);
        to_home(&from_former).follow_tags(of_former, is_meant).await
    }
}

/// The former home's own version as one that it holds of the home's, which is `copy`.
fn as_copy(former: &Listed, own: &VersionId, copy: &VersionCopy) -> VersionCopy {
    VersionCopy {
        version: own.clone(),
        etag: former.etag.clone(),
        home_etag: copy.etag.clone(),
        verified_at: millis(SystemTime::now()),
        ..copy.clone()
    }
}
