//! Makes a replica's versions of a key the home's: all of them, in their order, each mapped to its own.
//! Invariant: a version without a record at a replica is none that anything may be read from; the next attempt compares it
//! with the home's, and deletes it where it is not the same.
use super::{ConvergeError, Converger, Scene, copy_record, known, null_version, physical_on};
use crate::backend::{BackendError, Remote};
use crate::clock::millis;
use crate::copy::Copying;
use crate::multipart::Uploaders;
use crate::object::Object;
use crate::plan::{self, Wanted};
use crate::version_plan::{Kept, VersionPlan, plan_versions};
use crate::versions::{Listed, MOST_VERSIONS, MovedVersions};
use aws_sdk_s3::primitives::SdkBody;
use futures::future::try_join_all;
use s3gateway_s3::{ObjectKey, PhysicalBucket, VersionId};
use s3gateway_store::{Millis, ObjectCopy, Route, VersionCopy};
use std::collections::HashSet;
use std::time::{Duration, SystemTime};

/// Looks at a replica's list: one finds what is to be done, one sees that it is done, and one more each time that a
/// version turned out not to be what it looked like.
const ROUNDS: u32 = 4;
/// Versions that a home is asked for at the same time.
const ASKED_AT_ONCE: usize = 16;
/// What is recorded of a key on one backend beyond this is forgotten as the rest goes.
#[allow(clippy::cast_possible_truncation)] // as the most is a small constant
const MOST_RECORDED: u32 = MOST_VERSIONS as u32;
/// What is recorded of a home's own versions of a key, with those that it has had within a day.
pub(super) const MOST_MOVED: u32 = 10 * MOST_RECORDED;

/// Changes of tags noted before this have been made by `now`, so that a look that begins then sees them.
pub(super) fn forgettable(now: SystemTime, kept: Duration) -> Millis {
    millis(now.checked_sub(kept).unwrap_or(SystemTime::UNIX_EPOCH))
}

/// What a home, or one that was, has of a key whose versions it keeps.
#[derive(Default)]
pub(super) struct HomeVersions {
    /// All of them by the ids that clients know, the oldest first; `None` where its bucket keeps none.
    pub(super) list: Option<Vec<Listed>>,
    /// Which of its own these are.
    pub(super) moved: MovedVersions,
    /// What is recorded of its own versions that it lists no more, or again.
    pub(super) changed: Vec<VersionCopy>,
    /// What is recorded of a version whose place another one has taken.
    pub(super) replaced: Option<VersionCopy>,
}

impl Converger {
    /// The versions of the key at a home, or at one that was.
    ///
    /// # Errors
    /// `Unavailable` for a home that has forgotten that it keeps versions: its list says nothing of what was kept.
    pub(super) async fn observe_versions(
        &self,
        route: &Route,
        home: &Remote,
        bucket: &PhysicalBucket,
        key: &ObjectKey,
        object: Option<&Object>,
    ) -> Result<HomeVersions, ConvergeError> {
        if !route.versioning.is_set() || !home.backend.capabilities.keeps_versions() {
            return Ok(HomeVersions::default());
        }
        if !home.versioning(bucket).await?.is_set() {
            return Err(ConvergeError::Unavailable("the home keeps no versions of the bucket any more".to_owned()));
        }
        let mut versions = home.versions(bucket, key).await?;
        let is_current = match (versions.last(), object) {
            (None, None) => true,
            (Some(last), None) => last.is_marker,
            (Some(last), Some(object)) => !last.is_marker && last.etag == object.etag && last.size == object.size,
            (None, Some(_)) => false,
        };
        if !is_current {
            return Err(ConvergeError::Changed);
        }
        if !route.has_moved_versions {
            return Ok(HomeVersions { list: Some(versions), ..HomeVersions::default() });
        }
        let recorded = self.metadata.version_copies(&route.bucket, key, &home.backend.id, MOST_MOVED).await?;
        let own: HashSet<&VersionId> = versions.iter().map(|listed| &listed.id).collect();
        let is_changed = |copy: &&VersionCopy| {
            copy.is_gone() == own.contains(&copy.version) && !null_version::is_over(copy, &versions)
        };
        let changed = recorded.iter().filter(is_changed).cloned().collect();
        let replaced = null_version::replaced(&versions, &recorded).cloned();
        let is_over = |copy: &&VersionCopy| null_version::is_over(copy, &versions) || replaced.as_ref() == Some(copy);
        let moved = MovedVersions::of(recorded.iter().filter(|copy| !is_over(copy)));
        if let Some(replaced) = replaced.as_ref().filter(|replaced| !replaced.version.is_null()) {
            versions.retain(|listed| listed.id != replaced.version);
        }
        moved.show(&mut versions);
        Ok(HomeVersions { list: Some(versions), moved, changed, replaced })
    }

    /// Notes of the home's own versions that they are gone, now that no copy of them is left anywhere; or that they are not.
    pub(super) async fn note_gone(&self, scene: &Scene<'_>) -> Result<(), ConvergeError> {
        let changed = &scene.versions.changed;
        let objects: Vec<&VersionCopy> = changed.iter().filter(|copy| !copy.is_gone() && !copy.is_marker).collect();
        self.require_lost(scene, &objects).await?;
        for copy in changed {
            let verified_how = if copy.is_gone() { "etag" } else { VersionCopy::GONE }.to_owned();
            let noted = VersionCopy { verified_how, verified_at: millis(SystemTime::now()), ..copy.clone() };
            self.metadata.put_version_copy(&scene.route.bucket, scene.key, &noted).await?;
        }
        Ok(())
    }

    /// Fails where the home still has a version that its list lacks: only what it says of the version itself has a copy
    /// deleted that is known to be of it.
    pub(super) async fn require_lost(&self, scene: &Scene<'_>, lost: &[&VersionCopy]) -> Result<(), ConvergeError> {
        let Scene { key, home, home_bucket, versions: HomeVersions { moved, .. }, .. } = scene;
        for some in lost.chunks(ASKED_AT_ONCE) {
            let looks =
                some.iter().map(|copy| home.head_version(home_bucket, key, Some(moved.own(&copy.home_version))));
            if try_join_all(looks).await?.iter().any(Option::is_some) {
                return Err(ConvergeError::Unavailable("the home has a version that it does not list".to_owned()));
            }
        }
        // A bucket that has gone meanwhile answers the same.
        if !lost.is_empty() && !home.has_bucket(home_bucket).await? {
            return Err(ConvergeError::Unavailable("the home bucket is not there".to_owned()));
        }
        Ok(())
    }

    /// Fails where the bucket has another home by now, whose list says something else.
    pub(super) async fn require_same_home(&self, route: &Route) -> Result<(), ConvergeError> {
        let now = self.metadata.route_by_id(&route.bucket).await?;
        let is_same = now.is_some_and(|now| now.home == route.home && now.epoch == route.epoch);
        if is_same { Ok(()) } else { Err(ConvergeError::Changed) }
    }

    /// Makes the list on one backend the home's, or empty where no copy is wanted. Answers the copy of the current object.
    pub(super) async fn keep_versions(
        &self,
        scene: &Scene<'_>,
        remote: &Remote,
        wanted: Wanted,
    ) -> Result<Option<ObjectCopy>, ConvergeError> {
        let all = scene.versions.list.as_deref().unwrap_or_default();
        let home = if wanted == Wanted::Yes { all } else { &[] };
        let bucket = match home.is_empty() {
            true => physical_on(scene.route, &remote.backend.id)?.clone(),
            false => self.ensure_versions(scene, remote).await?,
        };
        let list = VersionList { converger: self, scene, remote, bucket: &bucket };
        let kept = list.settle(home).await;
        if matches!(kept, Err(ConvergeError::Changed | ConvergeError::Refused(_))) {
            self.known_buckets.invalidate(&known(remote, &bucket));
            self.known_versioned.invalidate(&(known(remote, &bucket), scene.route.epoch));
        }
        kept
    }

    /// Forgets old changes of tags, now that all copies have been compared since.
    pub(super) async fn forget_retagged(&self, scene: &Scene<'_>) -> Result<(), ConvergeError> {
        if scene.retagged.is_empty() {
            return Ok(());
        }
        Ok(self.metadata.forget_retagged(&scene.route.bucket, scene.key, scene.retagged_before).await?)
    }

    /// The bucket on the target, made where it is missing, and keeping versions.
    async fn ensure_versions(&self, scene: &Scene<'_>, remote: &Remote) -> Result<PhysicalBucket, ConvergeError> {
        let bucket = self.ensure_bucket(scene.route, remote).await?;
        let in_epoch = (known(remote, &bucket), scene.route.epoch);
        if !self.known_versioned.contains_key(&in_epoch) {
            scene.hold().await?;
            remote.enable_versioning(&bucket).await?;
            self.known_versioned.insert(in_epoch, ());
        }
        Ok(bucket)
    }
}

/// A key's versions on one backend.
pub(super) struct VersionList<'a> {
    pub(super) converger: &'a Converger,
    pub(super) scene: &'a Scene<'a>,
    pub(super) remote: &'a Remote,
    pub(super) bucket: &'a PhysicalBucket,
}

impl VersionList<'_> {
    /// Plans and acts until nothing is left to be done; the last look is the proof that it was done.
    async fn settle(&self, home: &[Listed]) -> Result<Option<ObjectCopy>, ConvergeError> {
        for _ in 0..ROUNDS {
            let held = match self.remote.versions(self.bucket, self.scene.key).await {
                Err(BackendError::NoSuchBucket) if home.is_empty() => Vec::new(),
                // A stranger's bucket by now: none of our copies is in it.
                Err(BackendError::Refused { status: 403, .. })
                    if home.is_empty() && !self.remote.owns_bucket(self.bucket).await? =>
                {
                    Vec::new()
                }
                held => held?,
            };
            let recorded = self.recorded().await?;
            let plan = plan_versions(home, &held, &recorded);
            if plan.is_settled() {
                // The current version, and those whose tags may have been changed.
                let current = plan.kept.last().map(|kept| &kept.home.id);
                let is_meant = |id: &VersionId| Some(id) == current || self.scene.retagged.contains(id);
                self.follow_tags(&plan.kept, is_meant).await?;
                return Ok(self.current(&plan));
            }
            self.carry_out(&plan).await?;
        }
        Err(ConvergeError::Refused(format!("{} does not show the versions that it accepted", self.remote.backend.id)))
    }

    async fn recorded(&self) -> Result<Vec<VersionCopy>, ConvergeError> {
        let (bucket, key) = (&self.scene.route.bucket, self.scene.key);
        let recorded =
            self.converger.metadata.version_copies(bucket, key, &self.remote.backend.id, MOST_RECORDED).await?;
        // What was gone when this was the home is nothing that a replica should have.
        Ok(recorded.into_iter().filter(|copy| !copy.is_gone()).collect())
    }

    /// The record of the current object, where there is one.
    fn current(&self, plan: &VersionPlan<'_>) -> Option<ObjectCopy> {
        let copy = plan.kept.last()?.recorded.filter(|copy| !copy.is_marker)?;
        let object = self.scene.object.as_ref()?;
        Some(copy_record(&copy.backend, &copy.etag, object, copy.verified_how.clone()))
    }

    async fn carry_out(&self, plan: &VersionPlan<'_>) -> Result<(), ConvergeError> {
        let doubtful = plan.doubtful(self.scene.versions.list.as_deref().unwrap_or_default());
        if !plan.stale.is_empty() || !doubtful.is_empty() {
            self.converger.require_same_home(self.scene.route).await?;
            self.converger.require_lost(self.scene, &doubtful).await?;
        }
        for stale in &plan.stale {
            self.delete(stale).await?;
        }
        for copy in &plan.forgotten {
            self.forget(copy).await?;
        }
        let mut position = 0;
        for kept in &plan.kept {
            position = match kept.recorded {
                Some(copy) if copy.position > position => copy.position,
                Some(copy) => self.note(VersionCopy { position: position + 1, ..copy.clone() }).await?,
                None => match self.adopt(kept).await? {
                    Some(copy) => self.note(VersionCopy { position: position + 1, ..copy }).await?,
                    // It only looked like the home's. What stands on it is written again in the next round.
                    None => return self.delete(kept.held).await,
                },
            };
        }
        let mut below = plan.kept.last().map(|kept| kept.home);
        for home in plan.missing {
            let copy = match home.is_marker {
                true => self.write_marker(home, below).await?,
                false => self.write_version(home).await?,
            };
            position = self.note(VersionCopy { position: position + 1, ..copy }).await?;
            below = Some(home);
        }
        Ok(())
    }

    pub(super) async fn delete(&self, stale: &Listed) -> Result<(), ConvergeError> {
        self.scene.hold().await?;
        Ok(self.remote.delete_version(self.bucket, self.scene.key.as_str(), stale.id.as_str()).await?)
    }

    async fn forget(&self, copy: &VersionCopy) -> Result<(), ConvergeError> {
        let (bucket, key) = (&self.scene.route.bucket, self.scene.key);
        Ok(self.converger.metadata.delete_version_copy(bucket, key, copy).await?)
    }

    /// Records a copy; answers its position.
    pub(super) async fn note(&self, copy: VersionCopy) -> Result<i64, ConvergeError> {
        let (bucket, key) = (&self.scene.route.bucket, self.scene.key);
        self.converger.metadata.put_version_copy(bucket, key, &copy).await?;
        Ok(copy.position)
    }

    /// Takes what was found for the home's version: written by an attempt that ended before it was recorded, or before
    /// the bucket kept versions. `None` where it is not the same.
    async fn adopt(&self, kept: &Kept<'_>) -> Result<Option<VersionCopy>, ConvergeError> {
        let Kept { home, held, .. } = kept;
        if home.is_marker {
            return Ok(Some(self.copy_of(home, held, "etag")));
        }
        let (ours, theirs) = (self.at_home(home).await?, self.on_replica(held).await?);
        if !theirs.headers.equal_home(&ours.headers) || !plan::is_same_content(&ours, &theirs, None) {
            return Ok(None);
        }
        if self.remote.tags_of_version(self.bucket, self.scene.key, Some(&held.id)).await? != ours.tags {
            self.scene.hold().await?;
            let (key, version) = (self.scene.key, Some(&held.id));
            self.remote.set_tags_of_version(self.bucket, key, version, &ours.tags).await?;
        }
        Ok(Some(self.copy_of(home, held, "etag")))
    }

    /// Writes a version behind all others and verifies it.
    pub(super) async fn write_version(&self, home: &Listed) -> Result<VersionCopy, ConvergeError> {
        let Scene { route: _, key, home: source, home_bucket, .. } = self.scene;
        let Converger { settings, metrics, .. } = self.converger;
        let object = self.at_home(home).await?;
        self.scene.hold().await?;
        let copying = Copying {
            source,
            source_bucket: home_bucket,
            target: self.remote,
            target_bucket: self.bucket,
            key,
            target_key: key,
            standing: &self.scene.claim.standing,
            version: Some(self.scene.versions.moved.own(&home.id)),
            object: &object,
            opened: None,
            uploaders: Uploaders::Workers(&[]),
            settings,
            metrics,
        };
        let acknowledged = copying.copy(plan::decide_method(&object, settings.multipart_threshold)).await?;
        let copy = self.newest(&object).await?;
        let version = copy.version.as_ref();
        if self.remote.tags_of_version(self.bucket, key, version).await? != object.tags {
            self.remote.set_tags_of_version(self.bucket, key, version, &object.tags).await?;
        }
        // Another one may have come to stand behind it.
        let how = acknowledged.verify(&copy, &object).ok_or(ConvergeError::Changed)?;
        let id = copy.version.ok_or(ConvergeError::Changed)?;
        let held = Listed { id, etag: copy.etag, ..home.clone() };
        Ok(self.copy_of(home, &held, how))
    }

    /// Writes a delete marker behind all others. `below`: what is the newest there now.
    pub(super) async fn write_marker(
        &self,
        home: &Listed,
        below: Option<&Listed>,
    ) -> Result<VersionCopy, ConvergeError> {
        self.scene.hold().await?;
        let key = self.scene.key;
        // Some servers make no delete marker upon another one, or upon nothing: so it is made upon an object that goes again.
        let stone = match below {
            Some(below) if !below.is_marker => None,
            _ => {
                self.remote.put(self.bucket, key, &Object::default(), SdkBody::empty()).await?;
                Some(self.newest(&Object::default()).await?.version.ok_or(ConvergeError::Changed)?)
            }
        };
        let id = self.remote.put_marker(self.bucket, key).await?;
        if let Some(stone) = stone {
            self.remote.delete_version(self.bucket, key.as_str(), stone.as_str()).await?;
        }
        Ok(self.copy_of(home, &Listed { id, ..home.clone() }, "etag"))
    }

    /// The object that was just written, as the backend shows it.
    async fn newest(&self, object: &Object) -> Result<Object, ConvergeError> {
        let id = &self.remote.backend.id;
        let copy = self.remote.head(self.bucket, self.scene.key).await?;
        let copy =
            copy.ok_or_else(|| ConvergeError::Refused(format!("{id} does not have the copy that it accepted")))?;
        if copy.size != object.size {
            return Err(ConvergeError::Refused(format!("{id} holds {} bytes of {}", copy.size, object.size)));
        }
        Ok(copy)
    }

    /// The home's version as it is now, with its tags.
    async fn at_home(&self, home: &Listed) -> Result<Object, ConvergeError> {
        let Scene { key, home: source, home_bucket, versions, .. } = self.scene;
        let own = Some(versions.moved.own(&home.id));
        let object = source.head_version(home_bucket, key, own).await?;
        let is_it = |object: &Object| object.etag == home.etag && object.size == home.size;
        let mut object = object.filter(is_it).ok_or(ConvergeError::Changed)?;
        object.tags = source.tags_of_version(home_bucket, key, own).await?;
        Ok(object)
    }

    async fn on_replica(&self, held: &Listed) -> Result<Object, ConvergeError> {
        let object = self.remote.head_version(self.bucket, self.scene.key, Some(&held.id)).await?;
        object.ok_or(ConvergeError::Changed)
    }

    /// Has the versions that are meant carry the tags that they have at home.
    pub(super) async fn follow_tags(
        &self,
        kept: &[Kept<'_>],
        is_meant: impl Fn(&VersionId) -> bool,
    ) -> Result<(), ConvergeError> {
        let Scene { key, home: source, home_bucket, versions, .. } = self.scene;
        for Kept { home, held, .. } in kept.iter().filter(|kept| !kept.home.is_marker && is_meant(&kept.home.id)) {
            let tags = source.tags_of_version(home_bucket, key, Some(versions.moved.own(&home.id))).await?;
            if self.remote.tags_of_version(self.bucket, key, Some(&held.id)).await? != tags {
                self.scene.hold().await?;
                self.remote.set_tags_of_version(self.bucket, key, Some(&held.id), &tags).await?;
            }
        }
        Ok(())
    }

    /// The record of a copy, whose position is still to be given.
    fn copy_of(&self, home: &Listed, held: &Listed, how: &str) -> VersionCopy {
        VersionCopy {
            backend: self.remote.backend.id.clone(),
            home_version: home.id.clone(),
            version: held.id.clone(),
            position: 0,
            is_marker: home.is_marker,
            etag: held.etag.clone(),
            home_etag: home.etag.clone(),
            size: i64::try_from(home.size).unwrap_or(i64::MAX),
            home_modified: home.modified,
            verified_how: how.to_owned(),
            verified_at: millis(SystemTime::now()),
        }
    }
}
