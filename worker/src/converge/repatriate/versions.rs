//! Brings the versions home that stayed behind at a former home: below what was written since, so that nothing is set aside. Each keeps the id
//! that clients know it by.
//! Invariant: what takes the place of a version at the home stands there, verified and noted, before that goes; and only what the former home
//! says is gone is deleted.
use super::{Alone, Side, is_of_before, require_allowed, require_whole};
use crate::claim::Claim;
use crate::clock::millis;
use crate::converge::versions::{HomeVersions, MOST_MOVED, VersionList};
use crate::converge::{ConvergeError, Converger, NotNow, Scene};
use crate::version_merge::Merged;
use crate::version_plan::VersionPlan;
use crate::versions::Listed;
use s3gateway_s3::VersionId;
use s3gateway_store::{MergeWriting, Merging, Millis, Route, Stranded, StrandedState, VersionCopy};
use std::collections::HashMap;
use std::time::{Duration, SystemTime};
use tracing::info;

/// How long a read may take from the question whether the key is stranded to the home: while versions are put in their order, an older one is
/// the current one there.
const READS_UNDER_WAY: Duration = Duration::from_secs(2);
/// Looks at the home: one finds what is to be done, one more is taken once no client writes any more, one once what another worker has left is
/// gone, and one sees that it is done.
const LOOKS: u32 = 5;

/// A key that waits, while no client's write of it is in flight.
pub(super) struct Waiting<'a> {
    pub(super) route: &'a Route,
    pub(super) row: &'a Stranded,
    /// `None`: it is given up, and only what has come home of it stays.
    pub(super) former: Option<&'a Side>,
    pub(super) home: &'a Side,
    pub(super) claim: &'a Claim,
    pub(super) alone: &'a Alone,
}

/// What is to stand at the home below what was written since, the oldest first, and where it is copied from.
struct Below<'a> {
    list: Vec<Listed>,
    former: Option<Scene<'a>>,
}

impl Converger {
    /// Makes a stranded key's versions at its home those of the former home and, above them, those written since.
    pub(super) async fn merge_versions(&self, waiting: &Waiting<'_>) -> Result<(), ConvergeError> {
        let Waiting { route, home, claim, alone, .. } = waiting;
        let (id, key) = (&home.remote.backend.id, &waiting.row.key);
        if !home.remote.versioning(&home.bucket).await?.is_set() {
            return Err(ConvergeError::Unavailable(format!("{id} keeps no versions of the bucket any more")));
        }
        let below = self.look_below(waiting).await?;
        let mut row = waiting.row.clone();
        for _ in 0..LOOKS {
            let held = home.remote.versions(&home.bucket, key).await?;
            let recorded = self.recorded_at_home(waiting).await?;
            let merged = Merged::of(id, below.list.clone(), &held, &recorded, &row);
            let plan = merged.plan();
            let to_go = merged.to_go(&plan);
            info!(
                key = key.as_str(),
                missing = plan.missing.len(),
                to_go = to_go.len(),
                "versions of a stranded key compared"
            );
            self.require_meant(waiting, &below, &merged).await?;
            if plan.missing.is_empty() && to_go.is_empty() {
                return self.end_merge(waiting, &below, &plan, row.merging.is_some()).await;
            }
            require_allowed(route, home)?;
            match row.merging {
                None => {
                    // What a client has written before it heard of this is not in the list.
                    self.metadata.begin_merging(&row.id).await?;
                    row.merging = Some(Merging::Begun);
                    if row.state == StrandedState::Overwritten {
                        tokio::time::sleep(READS_UNDER_WAY).await;
                    }
                    alone.begin_change(claim).await?;
                    continue;
                }
                Some(Merging::Begun) => {
                    alone.begin_change(claim).await?;
                    // What it writes from here on is none of these, should it die before it has recorded that.
                    require_shown(waiting, &held).await?;
                    let former: Vec<VersionId> = below.list.iter().map(|listed| listed.id.clone()).collect();
                    let since = merged.since();
                    if !self.metadata.begin_merge_writing(&row.id, &former, &since).await? {
                        return Err(ConvergeError::Changed);
                    }
                    row.merging = Some(Merging::Writing(MergeWriting { former, since, is_given_up: false }));
                }
                Some(Merging::Writing(_)) => {
                    alone.begin_change(claim).await?;
                    if !merged.unrecorded.is_empty() {
                        // An attempt that is not gone on with; each would leave as many.
                        self.delete_versions(waiting, &merged.unrecorded).await?;
                        continue;
                    }
                }
            }
            self.write_missing(waiting, &below, &merged, &plan, (held.last(), &recorded)).await?;
            self.delete_versions(waiting, &to_go).await?;
        }
        Err(ConvergeError::Refused(format!("{id} does not show the versions that it accepted")))
    }

    /// What the former home holds; of one that is given up what has come home of it.
    async fn look_below<'a>(&self, waiting: &Waiting<'a>) -> Result<Below<'a>, ConvergeError> {
        let Waiting { route, row, former, home, claim, .. } = waiting;
        let Some(former) = former else {
            let Some(Merging::Writing(MergeWriting { former, .. })) = &row.merging else {
                return Ok(Below { list: Vec::new(), former: None });
            };
            let held = home.remote.versions(&home.bucket, &row.key).await?;
            let recorded = self.recorded_at_home(waiting).await?;
            let by_own: HashMap<&VersionId, &Listed> = held.iter().map(|listed| (&listed.id, listed)).collect();
            let rows = recorded.iter().filter(|copy| !copy.is_gone());
            let mut come: HashMap<&VersionId, Listed> = rows
                .filter_map(|copy| Some((&copy.home_version, as_known(copy, by_own.get(&copy.version)?))))
                .collect();
            return Ok(Below { list: former.iter().filter_map(|id| come.remove(id)).collect(), former: None });
        };
        let (bucket, object) = (&former.bucket, former.object.as_ref());
        let versions = self.observe_versions(route, &former.remote, bucket, &row.key, object).await?;
        let Some(list) = versions.list.clone() else {
            return Err(ConvergeError::Refused(format!("{} keeps no versions any more", row.home)));
        };
        if list.iter().any(|listed| is_of_before(row, listed.modified)) {
            self.metadata.note_witness(row).await?;
        }
        // What was changed since is newer. By other clocks than this, but nothing was changed at the former home for longer than a lease by then.
        let before = row.stranded_at.saturating_sub(Millis::try_from(claim.lease.as_millis()).unwrap_or(0) / 2);
        let retagged = self.metadata.retagged(&route.bucket, &row.key, before).await?;
        Ok(Below { list, former: Some(waiting.scene(former, versions, retagged)) })
    }

    /// What is recorded of the home's own versions. What these should be nobody tells any more where the former home is given up.
    async fn recorded_at_home(&self, waiting: &Waiting<'_>) -> Result<Vec<VersionCopy>, ConvergeError> {
        let Waiting { route, row, former, home, .. } = waiting;
        let id = &home.remote.backend.id;
        let mut recorded = self.metadata.version_copies(&route.bucket, &row.key, id, MOST_MOVED).await?;
        if former.is_none() {
            recorded.iter_mut().for_each(|copy| copy.home_etag.clone_from(&copy.etag));
        }
        Ok(recorded)
    }

    /// Passes what the former home says: that it has none of the key, or none of a version any more, is believed of one that was not emptied.
    async fn require_meant(
        &self,
        waiting: &Waiting<'_>,
        below: &Below<'_>,
        merged: &Merged<'_>,
    ) -> Result<(), ConvergeError> {
        let (Some(former), Some(scene)) = (waiting.former, &below.former) else { return Ok(()) };
        if merged.lost.is_empty() && merged.of_former > 0 {
            return Ok(());
        }
        let is_whole = self.is_whole(waiting.row, former).await?;
        // Where nothing is deleted, and nothing can be asked for, there may have been nothing.
        if !merged.lost.is_empty() || is_whole.is_some() {
            require_whole(waiting.row, is_whole)?;
        }
        self.require_lost(scene, &merged.lost.iter().collect::<Vec<_>>()).await
    }

    /// Once nothing is missing: the tags; and what was written may not stand still, nor the former home have more than it has shown.
    async fn end_merge(
        &self,
        waiting: &Waiting<'_>,
        below: &Below<'_>,
        plan: &VersionPlan<'_>,
        has_begun: bool,
    ) -> Result<(), ConvergeError> {
        self.follow_tags_of_former(waiting, below, plan).await?;
        if has_begun && waiting.former.is_some() && self.look_below(waiting).await?.list != below.list {
            return Err(ConvergeError::Changed);
        }
        let (id, claim) = (&waiting.home.remote.backend.id, waiting.claim);
        // What may land yet would stand above all others, and readers are let in again.
        match claim.standing.unanswered().contains(id) {
            true => Err(ConvergeError::NotNow(format!("{id} has not answered"), NotNow::InFlight(claim.lease))),
            false => Ok(()),
        }
    }

    /// Writes what is missing above all others, of which `newest` is the newest.
    async fn write_missing(
        &self,
        waiting: &Waiting<'_>,
        below: &Below<'_>,
        merged: &Merged<'_>,
        plan: &VersionPlan<'_>,
        (mut newest, recorded): (Option<&Listed>, &[VersionCopy]),
    ) -> Result<(), ConvergeError> {
        let Waiting { row, home, .. } = waiting;
        let own = HomeVersions { moved: merged.moved(), ..HomeVersions::default() };
        let from_home = waiting.scene(home, own, Vec::new());
        let to_home = |scene| VersionList { converger: self, scene, remote: &home.remote, bucket: &home.bucket };
        let last = recorded.iter().map(|copy| copy.position).max().unwrap_or(0);
        for ((at, wanted), position) in (plan.kept.len()..).zip(plan.missing).zip(last + 1..) {
            let former = below.former.as_ref().filter(|_| at < merged.of_former);
            let list = to_home(former.unwrap_or(&from_home));
            let copy = match wanted.is_marker {
                true => list.write_marker(wanted, newest).await?,
                false => list.write_version(wanted).await?,
            };
            if let Some(former) = former {
                let own = former.versions.moved.own(&wanted.id);
                let copy = VersionCopy { backend: row.home.clone(), position, ..copy.clone() };
                list.note(as_copy(wanted, own, &copy)).await?;
            }
            list.note(VersionCopy { position, ..copy }).await?;
            newest = Some(wanted);
        }
        Ok(())
    }

    async fn delete_versions(&self, waiting: &Waiting<'_>, gone: &[&Listed]) -> Result<(), ConvergeError> {
        let home = waiting.home;
        let scene = waiting.scene(home, HomeVersions::default(), Vec::new());
        let list = VersionList { converger: self, scene: &scene, remote: &home.remote, bucket: &home.bucket };
        for gone in gone {
            list.delete(gone).await?;
        }
        Ok(())
    }

    /// Has the former home's versions carry the tags that they have there, where these were changed before it was replaced.
    async fn follow_tags_of_former(
        &self,
        Waiting { route, home, claim, alone, .. }: &Waiting<'_>,
        below: &Below<'_>,
        plan: &VersionPlan<'_>,
    ) -> Result<(), ConvergeError> {
        let Some(former) = below.former.as_ref().filter(|former| !former.retagged.is_empty()) else { return Ok(()) };
        require_allowed(route, home)?;
        alone.begin_change(claim).await?;
        let list = VersionList { converger: self, scene: former, remote: &home.remote, bucket: &home.bucket };
        let of_former = plan.kept.get(..below.list.len()).unwrap_or(&plan.kept);
        list.follow_tags(of_former, |id| former.retagged.contains(id)).await
    }
}

impl<'a> Waiting<'a> {
    /// One side as what is copied from.
    fn scene(&self, side: &Side, versions: HomeVersions, retagged: Vec<VersionId>) -> Scene<'a> {
        Scene {
            route: self.route,
            key: &self.row.key,
            home: side.remote.clone(),
            home_bucket: side.bucket.clone(),
            object: side.object.clone(),
            opened: None,
            versions,
            retagged,
            retagged_before: 0,
            claim: self.claim,
        }
    }
}

/// Passes a list of the home's versions that ends with what it shows as the current one.
async fn require_shown(waiting: &Waiting<'_>, held: &[Listed]) -> Result<(), ConvergeError> {
    let Waiting { row, home, .. } = waiting;
    let current = home.remote.head(&home.bucket, &row.key).await?;
    let is_shown = match (held.last(), current) {
        (None, None) => true,
        (Some(last), None) => last.is_marker,
        (Some(last), Some(current)) => !last.is_marker && last.id == current.version.unwrap_or_else(VersionId::null),
        (None, Some(_)) => false,
    };
    if is_shown { Ok(()) } else { Err(ConvergeError::Changed) }
}

/// A version of the former home as its copy at the home is.
fn as_known(copy: &VersionCopy, held: &Listed) -> Listed {
    Listed { id: copy.home_version.clone(), modified: copy.home_modified, ..held.clone() }
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
