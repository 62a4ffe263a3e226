//! Looks at all copies of a key as they are now and plans for each.
use super::{ConvergeError, Converger, NotNow, Place};
use crate::backend::{BackendError, Opened, Remote};
use crate::copy::Source;
use crate::object::{Tags, unquote};
use crate::plan::{self, Action, Facts, Home, Target, Wanted, plan, plan_list};
use crate::strangers::is_strangers;
use crate::versions::Listed;
use futures::future::join_all;
use s3gateway_config::{BackendId, KeyRule};
use s3gateway_filters::{replica_count, residency};
use s3gateway_s3::{ObjectKey, PhysicalBucket};
use s3gateway_store::{DirtyKey, ObjectCopy, Route, StoreError};

/// The object tag that overrides a bucket's replica count.
const REPLICA_COUNT_TAG: &str = "replica-count";

impl Converger {
    /// Looks at the home. Absent is believed only after the bucket has answered and the backend has said NoSuchKey.
    /// Where one object is all that there is to see, its bytes come with the look.
    pub(super) async fn observe_home(
        &self,
        route: &Route,
        home: &Remote,
        bucket: &PhysicalBucket,
        key: &ObjectKey,
    ) -> Result<(Home, Option<Source>), ConvergeError> {
        let opens = !route.versioning.is_set() && home.backend.capabilities.keys == KeyRule::Any;
        let seen = async {
            if opens {
                match home.open(bucket, key).await {
                    Ok(opened) => return self.take_in(home, bucket, key, opened).await,
                    Err(BackendError::NotFound { code, .. })
                        if code == "NoSuchKey" && home.has_bucket(bucket).await? =>
                    {
                        return Ok((Home::Absent, None));
                    }
                    Err(BackendError::NotFound { .. } | BackendError::NoSuchBucket) => {}
                    Err(error) => return Err(error),
                }
            }
            let Some(mut object) = home.head(bucket, key).await? else {
                if !home.has_bucket(bucket).await? {
                    return Err(home.unavailable("HeadBucket", "the home bucket is not there"));
                }
                let is_gone = home.says_no_such_key(bucket, key).await?;
                return if is_gone { Ok((Home::Absent, None)) } else { Err(BackendError::Changed) };
            };
            object.tags = home.tags(bucket, key).await?;
            Ok((Home::Present(object), None))
        };
        match seen.await {
            Ok((Home::Present(mut object), source)) => {
                if !home.backend.capabilities.tagging {
                    object.tags = self.lent_tags(route, key, &object.etag).await?;
                }
                Ok((Home::Present(object), source))
            }
            Ok(seen) => Ok(seen),
            Err(error @ (BackendError::Unavailable { .. } | BackendError::NoSuchBucket)) => {
                Ok((Home::Unknown(error.to_string()), None))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// An opened object with its tags, which are asked for only where there may be any.
    async fn take_in(
        &self,
        home: &Remote,
        bucket: &PhysicalBucket,
        key: &ObjectKey,
        opened: Opened,
    ) -> Result<(Home, Option<Source>), BackendError> {
        let Opened { mut object, tags, body } = opened;
        let source = Source::read(body, object.size).await;
        let source = source.map_err(|_| home.unavailable("GetObject", "the stream broke"))?;
        if tags != Some(0) {
            object.tags = home.tags(bucket, key).await?;
        }
        Ok((Home::Present(object), Some(source)))
    }

    /// Tags that the gateway keeps because the home does not; those of an older object do not count.
    async fn lent_tags(&self, route: &Route, key: &ObjectKey, etag: &str) -> Result<Tags, ConvergeError> {
        let kept = self.records.tags(&DirtyKey { bucket: route.bucket.clone(), key: key.clone() }).await?;
        let current = kept.filter(|(of, _)| unquote(of) == etag);
        Ok(current.map(|(_, tags)| tags.into_iter().collect()).unwrap_or_default())
    }

    /// Looks at all other backends of the placement at once and plans for each.
    pub(super) async fn observe_places(
        &self,
        route: &Route,
        key: &ObjectKey,
        home: &Home,
        versions: Option<&[Listed]>,
        recorded: &[ObjectCopy],
    ) -> Result<Vec<Place>, ConvergeError> {
        let mapped = match versions {
            Some(_) => self.metadata.count_version_copies(&route.bucket, key).await?,
            None => Vec::new(),
        };
        let mut remotes = Vec::new();
        for id in route.placement.iter().chain(&route.draining).chain(&route.arriving) {
            remotes.push((id.clone(), self.backends.get(id).await?));
        }
        let place_of =
            |id: &BackendId| remotes.iter().find(|(other, _)| other == id).and_then(|(_, remote)| remote.as_ref());
        // A backend that is not known has no place that a policy could allow.
        let is_allowed = |id: &BackendId| {
            place_of(id).is_some_and(|r| {
                residency::decide(&route.tenant_policy, &route.bucket_policy, &r.backend.place).is_ok()
            })
        };
        let mut wanted = plan::decide_wanted(&route.placement, &route.home, decide_count(route, home), is_allowed);
        wanted.extend(
            route
                .draining
                .iter()
                .filter(|id| **id != route.home)
                .map(|id| (id.clone(), plan::decide_drained(is_allowed(id)))),
        );
        let is_small = match home {
            Home::Present(object) => object.size < self.settings.large_object,
            Home::Absent | Home::Unknown(_) => false,
        };
        wanted.extend(route.arriving.iter().map(|id| (id.clone(), plan::decide_arriving(is_allowed(id)))));
        let observe = |(id, wanted): (BackendId, Wanted)| {
            let remote = place_of(&id).cloned();
            let recorded = recorded.iter().find(|copy| copy.backend == id).cloned();
            let may_hold = recorded.is_some() || mapped.iter().any(|(backend, _)| *backend == id);
            let kept = versions.filter(|_| remote.as_ref().is_some_and(|r| r.backend.capabilities.keeps_versions()));
            async move {
                if let Some(resting) = remote.as_ref().and_then(|remote| remote.admit().err()) {
                    let target = Target::Unknown(resting.to_string());
                    let action = match kept {
                        Some(versions) => {
                            plan_list(!versions.is_empty(), &Err(resting.to_string()), wanted, may_hold, true)
                        }
                        None => self.plan_for(key, home, &target, wanted, recorded.as_ref(), remote.as_deref()),
                    };
                    return Place {
                        id,
                        remote,
                        wanted,
                        target,
                        recorded,
                        action,
                        not_now: Some(NotNow::Resting(resting.rest)),
                    };
                }
                if let (Some(versions), Some(remote)) = (kept, &remote) {
                    let held = self.observe_list(route, remote, key).await;
                    let not_now = held.as_ref().err().and_then(|unseen| unseen.not_now);
                    let held = held.map_err(|unseen| unseen.why);
                    let holds_key = remote.backend.capabilities.keys.holds(key.as_str());
                    let action = plan_list(!versions.is_empty(), &held, wanted, may_hold, holds_key);
                    let target = held.map_or_else(Target::Unknown, |_| Target::Absent);
                    let remote = Some(remote.clone());
                    return Place { id, remote, wanted, target, recorded, action, not_now };
                }
                // What may exist is recorded before it does. For large objects a look costs less than a copy in vain.
                let is_new = wanted == Wanted::Yes && recorded.is_none() && is_small;
                let seen = match &remote {
                    Some(_) if is_new => Ok(Target::Absent),
                    _ => self.observe_target(route, &id, remote.as_deref(), key, recorded.is_some()).await,
                };
                let not_now = seen.as_ref().err().and_then(|unseen| unseen.not_now);
                let target = seen.unwrap_or_else(|unseen| Target::Unknown(unseen.why));
                let action = self.plan_for(key, home, &target, wanted, recorded.as_ref(), remote.as_deref());
                Place { id, remote, wanted, target, recorded, action, not_now }
            }
        };
        Ok(join_all(wanted.into_iter().map(observe)).await)
    }

    fn plan_for(
        &self,
        key: &ObjectKey,
        home: &Home,
        target: &Target,
        wanted: Wanted,
        recorded: Option<&ObjectCopy>,
        remote: Option<&Remote>,
    ) -> Action {
        let capabilities = remote.map(|r| r.backend.capabilities.clone()).unwrap_or_default();
        plan(&Facts {
            home,
            target,
            wanted,
            recorded,
            holds_key: capabilities.keys.holds(key.as_str()),
            server_side_copy: capabilities.server_side_copy,
            tagging: capabilities.tagging,
            multipart_threshold: self.settings.multipart_threshold,
        })
    }
}

/// Why a backend could not be looked at.
struct Unseen {
    why: String,
    not_now: Option<NotNow>,
}

impl From<BackendError> for Unseen {
    fn from(error: BackendError) -> Self {
        let not_now = match &error {
            BackendError::Throttled { throttled, .. } => Some(NotNow::Throttled(*throttled)),
            _ => None,
        };
        Self { why: error.to_string(), not_now }
    }
}

impl From<StoreError> for Unseen {
    fn from(error: StoreError) -> Self {
        Self { why: error.to_string(), not_now: None }
    }
}

impl Converger {
    /// Looks at one backend. Where a copy is recorded, its absence is believed only in the backend's own words.
    async fn observe_target(
        &self,
        route: &Route,
        id: &BackendId,
        remote: Option<&Remote>,
        key: &ObjectKey,
        is_recorded: bool,
    ) -> Result<Target, Unseen> {
        let (Some(remote), Some(bucket)) = (remote, route.physical_on(id)) else {
            return Ok(Target::Unknown(format!("backend {id} is not known")));
        };
        if !remote.backend.capabilities.keys.holds(key.as_str()) {
            return Ok(Target::Absent);
        }
        let found = match remote.head(bucket, key).await {
            // Somebody else may hold the bucket's name there; then none of our copies is in it.
            Err(BackendError::Refused { status: 403, .. }) if self.is_strangers(route, remote, bucket).await? => {
                return Ok(Target::Absent);
            }
            found => found?,
        };
        let Some(mut copy) = found else {
            let is_gone = !is_recorded
                || match remote.says_no_such_key(bucket, key).await {
                    Err(BackendError::NoSuchBucket) => true,
                    said => said?,
                };
            return if is_gone { Ok(Target::Absent) } else { Err(remote.not_of_s3("HeadObject").into()) };
        };
        copy.tags = remote.tags(bucket, key).await?;
        Ok(Target::Present(copy))
    }

    /// Whether a backend that keeps versions holds any of the key.
    async fn observe_list(&self, route: &Route, remote: &Remote, key: &ObjectKey) -> Result<bool, Unseen> {
        let id = &remote.backend.id;
        let unnamed = || Unseen { why: format!("the bucket has no name on {id}"), not_now: None };
        let bucket = route.physical_on(id).ok_or_else(unnamed)?;
        if !remote.backend.capabilities.keys.holds(key.as_str()) {
            return Ok(false);
        }
        match remote.page_of_versions(bucket, key.as_str(), None).await {
            Err(BackendError::NoSuchBucket) => Ok(false),
            // Somebody else may hold the bucket's name there; then none of our copies is in it.
            Err(BackendError::Refused { status: 403, .. }) if self.is_strangers(route, remote, bucket).await? => {
                Ok(false)
            }
            page => Ok(page?.0.iter().any(|entry| entry.object.key == key.as_str())),
        }
    }

    async fn is_strangers(&self, route: &Route, remote: &Remote, bucket: &PhysicalBucket) -> Result<bool, Unseen> {
        is_strangers(&self.metadata, remote, &route.bucket, bucket).await
    }
}

/// Copies that must exist, home included: the object's own wish before the bucket's. A wish that cannot be read does
/// not count; it was refused when it was set, or came past the gateway.
fn decide_count(route: &Route, home: &Home) -> u32 {
    let Home::Present(object) = home else { return route.replica_count };
    let wish = object.tags.get(REPLICA_COUNT_TAG).and_then(|tag| replica_count::parse_tag(tag, u32::MAX).ok());
    wish.unwrap_or(route.replica_count)
}
