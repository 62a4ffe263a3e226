//! Carries the plans out: deletes, copies, verifies.
//! Invariant: before anything changes at a backend, the claim on the key has just been confirmed.
use super::{ConvergeError, Converger, Place, Scene, copy_record, known, leftovers, physical_on};
use crate::backend::{BackendError, Created, Remote};
use crate::copy::{Acknowledged, Copying};
use crate::multipart::Uploaders;
use crate::object::Object;
use crate::plan::{self, Action, PENDING, SUSPECT, Target, Wanted};
use futures::future::join_all;
use s3gateway_s3::PhysicalBucket;
use s3gateway_store::{ObjectCopy, Route};
use tracing::debug;

/// In which order the plans of one key are carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Forbidden,
    Others,
    Surplus,
}

impl Converger {
    /// Carries all plans out: forbidden copies go first, then copies are made, and only when all are there do surplus
    /// ones go. One result per place, in their order: the copy that is there now, if any.
    pub(super) async fn carry_out(
        &self,
        scene: &Scene<'_>,
        places: &[Place],
    ) -> Vec<Result<Option<ObjectCopy>, ConvergeError>> {
        let has_versions = scene.versions.list.as_ref().is_some_and(|versions| !versions.is_empty());
        let is_surplus = |place: &Place| match place.action {
            Action::Delete => scene.object.is_some() && place.wanted == Wanted::Surplus,
            Action::Versions => has_versions && place.wanted == Wanted::Surplus,
            _ => false,
        };
        let mut results: Vec<Option<Result<Option<ObjectCopy>, ConvergeError>>> = places.iter().map(|_| None).collect();
        let mut failed = false;
        for turn in [Turn::Forbidden, Turn::Others, Turn::Surplus] {
            if failed && turn == Turn::Surplus {
                break;
            }
            let in_turn = |place: &Place| {
                let own = match place.wanted {
                    Wanted::Denied => Turn::Forbidden,
                    _ if is_surplus(place) => Turn::Surplus,
                    _ => Turn::Others,
                };
                own == turn
            };
            let slots = results.iter_mut().zip(places).filter(|(_, place)| in_turn(place));
            let done = join_all(slots.map(|(slot, place)| async move {
                let result = match self.act(scene, place).await {
                    Ok(copy) => self.end_uploads(scene, place).await.map(|()| copy),
                    failed => failed,
                };
                let failed = result.is_err();
                *slot = Some(result);
                failed
            }));
            failed |= done.await.contains(&true);
        }
        results.into_iter().map(|result| result.unwrap_or(Err(ConvergeError::Stays))).collect()
    }

    /// Carries out one plan.
    async fn act(&self, scene: &Scene<'_>, place: &Place) -> Result<Option<ObjectCopy>, ConvergeError> {
        self.metrics.action(&place.action);
        debug!(backend = %place.id, action = ?place.action, "action");
        let object = scene.object.as_ref();
        let (remote, object, method) = match (&place.action, &place.remote, object) {
            (Action::Leave, ..) => return Ok(self.left_copy(place, object)),
            (Action::Wait(why), ..) => {
                return Err(match place.not_now {
                    Some(not_now) => ConvergeError::NotNow(why.clone(), not_now),
                    None => ConvergeError::Unavailable(why.clone()),
                });
            }
            (Action::Refuse(why), ..) => return Err(ConvergeError::Impossible(format!("{}: {why}", place.id))),
            (Action::Delete, Some(remote), _) => return self.delete(scene, remote).await,
            (Action::Versions, Some(remote), _) => return self.keep_versions(scene, remote, place.wanted).await,
            (Action::Copy(method), Some(remote), Some(object)) => (remote, object, *method),
            (Action::CopyMetadata, Some(remote), Some(object)) => {
                return self.copy_metadata(scene, place, remote, object).await;
            }
            (Action::CopyTags, Some(remote), Some(object)) => {
                scene.hold().await?;
                let bucket = physical_on(scene.route, &place.id)?;
                remote.set_tags(bucket, scene.key, &object.tags).await?;
                return Ok(self.left_copy(place, Some(object)));
            }
            _ => return Err(ConvergeError::Refused(format!("backend {} is not known", place.id))),
        };
        let copy = self.copy(scene, remote, object, method).await?;
        if place.recorded.as_ref().is_some_and(|r| r.verified_how == SUSPECT) {
            self.metadata.trust_copy(&scene.route.bucket, scene.key, &place.id).await?;
        }
        Ok(Some(copy))
    }

    /// The record of a copy that was found in order.
    fn left_copy(&self, place: &Place, object: Option<&Object>) -> Option<ObjectCopy> {
        let (Target::Present(copy), Some(object)) = (&place.target, object) else { return None };
        let verified = place
            .recorded
            .clone()
            .filter(|r| r.etag == copy.etag && r.home_etag == object.etag && r.verified_how != PENDING);
        let how = if copy.etag == object.etag {
            "etag".to_owned()
        } else {
            verified.map_or_else(|| "size".to_owned(), |r| r.verified_how)
        };
        Some(copy_record(&place.id, &copy.etag, object, how))
    }

    /// Deletes a copy, if the claim still stands and the bucket is still where it was.
    async fn delete(&self, scene: &Scene<'_>, remote: &Remote) -> Result<Option<ObjectCopy>, ConvergeError> {
        let bucket = physical_on(scene.route, &remote.backend.id)?;
        let now = self.metadata.route_by_id(&scene.route.bucket).await?;
        let same = now.is_some_and(|now| now.home == scene.route.home && now.epoch == scene.route.epoch);
        // The key could have been written since it was looked at.
        if !same || !self.is_home_unchanged(scene).await? {
            return Err(ConvergeError::Changed);
        }
        scene.hold().await?;
        remote.delete(bucket, scene.key.as_str()).await?;
        match remote.head(bucket, scene.key).await? {
            None => Ok(None),
            Some(_) => Err(ConvergeError::Refused(format!("{} still has the deleted copy", remote.backend.id))),
        }
    }

    /// Copies everything and verifies it.
    pub(super) async fn copy(
        &self,
        scene: &Scene<'_>,
        remote: &Remote,
        object: &Object,
        method: plan::Method,
    ) -> Result<ObjectCopy, ConvergeError> {
        let bucket = self.ensure_bucket(scene.route, remote).await?;
        scene.hold().await?;
        // What stayed behind at a former home comes to the home by this, too.
        let is_home = remote.backend.id == scene.route.home;
        let clients = match is_home || !leftovers::is_by_parts(method) {
            true => Vec::new(),
            false => self.metadata.client_uploads(&scene.route.bucket, scene.key, &remote.backend.id).await?,
        };
        let copying = Copying {
            source: &scene.home,
            source_bucket: &scene.home_bucket,
            target: remote,
            target_bucket: &bucket,
            key: scene.key,
            target_key: scene.key,
            standing: &scene.claim.standing,
            version: None,
            object,
            opened: scene.opened.as_ref(),
            uploaders: if is_home { Uploaders::Clients } else { Uploaders::Workers(&clients) },
            settings: &self.settings,
            metrics: &self.metrics,
        };
        let acknowledged = match copying.copy(method).await {
            Err(BackendError::NoSuchBucket) => {
                self.known_buckets.invalidate(&known(remote, &bucket));
                return Err(ConvergeError::Changed);
            }
            done => done?,
        };
        let capabilities = &remote.backend.capabilities;
        // A new object has no tags but those that came with it; some backends overlook these.
        let may_lack_tags = capabilities.tagging && (!object.tags.is_empty() || method != plan::Method::Put);
        if may_lack_tags && remote.tags(&bucket, scene.key).await? != object.tags {
            remote.set_tags(&bucket, scene.key, &object.tags).await?;
        }
        self.verify(scene, remote, &bucket, object, &acknowledged).await
    }

    /// Looks at the finished copy.
    async fn verify(
        &self,
        scene: &Scene<'_>,
        remote: &Remote,
        bucket: &PhysicalBucket,
        object: &Object,
        acknowledged: &Acknowledged,
    ) -> Result<ObjectCopy, ConvergeError> {
        let id = &remote.backend.id;
        let copy = remote.head(bucket, scene.key).await?;
        let copy =
            copy.ok_or_else(|| ConvergeError::Refused(format!("{id} does not have the copy that it accepted")))?;
        if copy.size != object.size {
            return Err(ConvergeError::Refused(format!("{id} holds {} bytes of {}", copy.size, object.size)));
        }
        let how = acknowledged.verify(&copy, object);
        let how = how.ok_or_else(|| ConvergeError::Refused(format!("{id} holds another object than it accepted")))?;
        Ok(copy_record(id, &copy.etag, object, how.to_owned()))
    }

    /// Replaces headers and user metadata in place; copies everything where that did not do it.
    async fn copy_metadata(
        &self,
        scene: &Scene<'_>,
        place: &Place,
        remote: &Remote,
        object: &Object,
    ) -> Result<Option<ObjectCopy>, ConvergeError> {
        let (Target::Present(copy), bucket) = (&place.target, physical_on(scene.route, &place.id)?) else {
            return Err(ConvergeError::Changed);
        };
        scene.hold().await?;
        let replaced = remote.replace_metadata(bucket, scene.key, &object.headers, &copy.etag).await;
        let refused = matches!(replaced, Err(BackendError::Refused { .. }));
        if !refused {
            replaced?;
        }
        let now = remote.head(bucket, scene.key).await?;
        let is_equal = now.is_some_and(|now| {
            now.headers.equal_home(&object.headers) && plan::is_same_content(object, &now, place.recorded.as_ref())
        });
        if !is_equal {
            return self.copy(scene, remote, object, plan::Method::Put).await.map(Some);
        }
        if remote.tags(bucket, scene.key).await? != object.tags && remote.backend.capabilities.tagging {
            remote.set_tags(bucket, scene.key, &object.tags).await?;
        }
        Ok(self.left_copy(place, Some(object)))
    }

    /// The bucket on the target, made where it is missing; a name taken by a stranger is replaced by another.
    pub(super) async fn ensure_bucket(&self, route: &Route, remote: &Remote) -> Result<PhysicalBucket, ConvergeError> {
        let id = &remote.backend.id;
        let bucket = physical_on(route, id)?;
        if self.known_buckets.contains_key(&known(remote, bucket)) {
            return Ok(bucket.clone());
        }
        // A bucket that is being deleted, or drained there, must not rise again on a replica.
        let now = self.metadata.route_by_id(&route.bucket).await?;
        if now.is_none_or(|now| !now.placement.contains(id) && now.arriving.as_ref() != Some(id)) {
            return Err(ConvergeError::Changed);
        }
        // A former home that has lost its bucket must not look like one of which all keys were deleted.
        if self.metadata.is_awaited(&route.bucket, id).await? && !remote.has_bucket(bucket).await? {
            return Err(ConvergeError::Unavailable(format!(
                "{id} was the bucket's home and has come back without it; drop the keys that are stranded there"
            )));
        }
        match remote.create_bucket(bucket).await? {
            Created::Ours => {
                self.known_buckets.insert(known(remote, bucket), ());
                Ok(bucket.clone())
            }
            // Its name was free when the migration began to fill it.
            Created::Strangers if route.arriving.as_ref() == Some(id) => {
                Err(ConvergeError::Refused(format!("a stranger holds the bucket's name on {}", id.real())))
            }
            Created::Strangers => {
                // Under another name these would be forgotten.
                if self.metadata.has_verified_on(&route.bucket, id).await? {
                    return Err(ConvergeError::Unavailable(format!(
                        "the bucket with the copies on {id} is not among those of its keys"
                    )));
                }
                self.metadata.raise_physical_name_from(&route.bucket, id, bucket).await?;
                Err(ConvergeError::Changed)
            }
        }
    }
}
