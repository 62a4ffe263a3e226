//! Converges one key: looks at the home and at every other backend of the placement as they are now, decides with
//! [`plan`], carries it out, verifies, and records what is where. Idempotent; safe to run twice and to stop anywhere.
use crate::backend::{BackendError, Created, Remote};
use crate::backends::Backends;
use crate::copy::{Copying, Proof};
use crate::metrics::Metrics;
use crate::object::{Object, Tags, unquote};
use crate::plan::{self, Action, Facts, Home, PENDING, Target, Wanted, plan};
use crate::settings::WorkerSettings;
use crate::worker::Claim;
use futures::future::join_all;
use s3gateway_config::BackendId;
use s3gateway_filters::{replica_count, residency};
use s3gateway_s3::{ObjectKey, PhysicalBucket};
use s3gateway_store::{DirtyKey, Metadata, ObjectCopy, Route, StoreError};
use std::sync::Arc;
use std::time::SystemTime;
use tracing::debug;

/// The object tag that overrides a bucket's replica count.
const REPLICA_COUNT_TAG: &str = "replica-count";
/// Times that one attempt starts over because the object changed under it.
const PASSES: u32 = 3;
/// Physical buckets known to exist; more are simply asked for again.
const KNOWN_BUCKETS: u64 = 10_000;

/// Why a key could not be converged now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConvergeError {
    /// It kept changing.
    #[error("the object changed while it was copied")]
    Changed,
    /// Something that should come back is away.
    #[error("{0}")]
    Unavailable(String),
    /// A backend says no, or a copy did not verify.
    #[error("{0}")]
    Refused(String),
    /// Trying again will not help.
    #[error("{0}")]
    Impossible(String),
    /// Another worker has taken the key over.
    #[error("the claim was taken over")]
    LostClaim,
    /// The metadata store or the queue failed.
    #[error("the metadata store or the queue failed")]
    Store(#[from] StoreError),
}

/// What was done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Converged {
    /// All copies equal the home; the text says what was done.
    Done(String),
    /// The bucket is not there (any more).
    NoBucket,
}

/// What converging needs, shared by all jobs.
pub(crate) struct Converger {
    pub(crate) metadata: Metadata,
    pub(crate) backends: Arc<Backends>,
    pub(crate) settings: WorkerSettings,
    pub(crate) metrics: Metrics,
    known_buckets: moka::sync::Cache<(BackendId, String), ()>,
}

/// One backend of the placement other than the home.
struct Place {
    id: BackendId,
    remote: Option<Arc<Remote>>,
    wanted: Wanted,
    target: Target,
    recorded: Option<ObjectCopy>,
    action: Action,
}

/// One look at a key.
struct Scene<'a> {
    route: &'a Route,
    key: &'a ObjectKey,
    home: Arc<Remote>,
    home_bucket: PhysicalBucket,
    object: Option<Object>,
    claim: &'a Claim,
}

impl Converger {
    /// Shared state for all jobs of a worker.
    pub(crate) fn new(metadata: Metadata, backends: Arc<Backends>, settings: WorkerSettings, metrics: Metrics) -> Self {
        let known_buckets = moka::sync::Cache::builder()
            .max_capacity(KNOWN_BUCKETS)
            .time_to_live(std::time::Duration::from_secs(600))
            .build();
        Self { metadata, backends, settings, metrics, known_buckets }
    }

    /// Makes all copies of the key equal to its home.
    ///
    /// Cancel: safe to drop between any two steps; the key is still dirty then.
    pub(crate) async fn converge(&self, key: &DirtyKey, claim: &Claim) -> Result<Converged, ConvergeError> {
        let mut passes = 1;
        loop {
            match self.pass(key, claim).await {
                Err(ConvergeError::Changed) if passes < PASSES => passes += 1,
                done => return done,
            }
        }
    }

    async fn pass(&self, dirty: &DirtyKey, claim: &Claim) -> Result<Converged, ConvergeError> {
        let Some(route) = self.metadata.route_by_id(&dirty.bucket).await? else { return Ok(Converged::NoBucket) };
        let home = self.known_backend(&route.home).await?;
        let home_bucket = physical_on(&route, &route.home)?.clone();
        if !home.backend.capabilities.keys.holds(dirty.key.as_str()) {
            // Such a backend may show another key's object under this name.
            return Err(ConvergeError::Impossible("the home cannot hold this key".to_owned()));
        }
        let state = self.observe_home(&route, &home, &home_bucket, &dirty.key).await?;
        let object = match &state {
            Home::Unknown(why) => return Err(ConvergeError::Unavailable(why.clone())),
            Home::Absent => None,
            Home::Present(object) => Some(object.clone()),
        };
        let recorded = self.metadata.copies(&dirty.bucket, &dirty.key).await?;
        let places = self.observe_places(&route, &dirty.key, &state, &recorded).await?;
        let scene = Scene { route: &route, key: &dirty.key, home, home_bucket, object, claim };
        self.note_pending(&scene, &places, &recorded).await?;
        let results = self.carry_out(&scene, &places).await;
        let is_moved = places.iter().any(|place| place.action != Action::Leave);
        let unchanged = if is_moved { self.is_home_unchanged(&scene).await } else { Ok(true) };
        self.record(&scene, &places, &results).await?;
        self.lend_tags(&scene, &places).await?;
        match sum_up(&scene, &places, results) {
            _ if matches!(unchanged, Ok(false)) => Err(ConvergeError::Changed),
            Ok(done) => unchanged.map(|_| Converged::Done(done)),
            Err(error) => Err(error),
        }
    }

    async fn known_backend(&self, id: &BackendId) -> Result<Arc<Remote>, ConvergeError> {
        let remote = self.backends.get(id).await?;
        remote.ok_or_else(|| ConvergeError::Refused(format!("backend {id} is not known")))
    }

    /// Looks at the home. Absent is believed only after the bucket has answered and the backend has said NoSuchKey.
    async fn observe_home(
        &self,
        route: &Route,
        home: &Remote,
        bucket: &PhysicalBucket,
        key: &ObjectKey,
    ) -> Result<Home, ConvergeError> {
        let seen = async {
            let Some(mut object) = home.head(bucket, key).await? else {
                if !home.has_bucket(bucket).await? {
                    return Err(home.unavailable("HeadBucket", "the home bucket is not there"));
                }
                let is_gone = home.says_no_such_key(bucket, key).await?;
                return if is_gone { Ok(Home::Absent) } else { Err(BackendError::Changed) };
            };
            object.tags = home.tags(bucket, key).await?;
            Ok(Home::Present(object))
        };
        match seen.await {
            Ok(Home::Present(mut object)) => {
                if !home.backend.capabilities.tagging {
                    object.tags = self.lent_tags(route, key, &object.etag).await?;
                }
                Ok(Home::Present(object))
            }
            Ok(state) => Ok(state),
            Err(error @ (BackendError::Unavailable { .. } | BackendError::NoSuchBucket)) => {
                Ok(Home::Unknown(error.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Tags that the gateway keeps because the home does not; those of an older object do not count.
    async fn lent_tags(&self, route: &Route, key: &ObjectKey, etag: &str) -> Result<Tags, ConvergeError> {
        let kept = self.metadata.tags(&route.bucket, key).await?;
        let current = kept.filter(|(of, _)| unquote(of) == etag);
        Ok(current.map(|(_, tags)| tags.into_iter().collect()).unwrap_or_default())
    }

    /// Looks at all other backends of the placement at once and plans for each.
    async fn observe_places(
        &self,
        route: &Route,
        key: &ObjectKey,
        home: &Home,
        recorded: &[ObjectCopy],
    ) -> Result<Vec<Place>, ConvergeError> {
        let mut remotes = Vec::new();
        for id in &route.placement {
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
        let wanted = plan::decide_wanted(&route.placement, &route.home, decide_count(route, home), is_allowed);
        let observe = |(id, wanted): (BackendId, Wanted)| {
            let remote = place_of(&id).cloned();
            let recorded = recorded.iter().find(|copy| copy.backend == id).cloned();
            async move {
                let target = observe_target(route, &id, remote.as_deref(), key).await;
                let action = self.plan_for(key, home, &target, wanted, recorded.as_ref(), remote.as_deref());
                Place { id, remote, wanted, target, recorded, action }
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

    /// Records copies that are about to be begun, so that the recorded ones never miss one that may exist.
    async fn note_pending(
        &self,
        scene: &Scene<'_>,
        places: &[Place],
        recorded: &[ObjectCopy],
    ) -> Result<(), ConvergeError> {
        let is_new = |place: &&Place| matches!(place.action, Action::Copy(_)) && place.recorded.is_none();
        let mut all = recorded.to_vec();
        all.extend(places.iter().filter(is_new).map(|place| pending(&place.id, scene.object.as_ref())));
        if all.len() > recorded.len() {
            self.metadata.record_copies(&scene.route.bucket, scene.key, &all).await?;
        }
        Ok(())
    }

    /// Carries all plans out: forbidden copies go first, then copies are made, and only when all are there do surplus
    /// ones go. One result per place, in their order: the copy that is there now, if any.
    async fn carry_out(&self, scene: &Scene<'_>, places: &[Place]) -> Vec<Result<Option<ObjectCopy>, ConvergeError>> {
        let is_surplus =
            |place: &Place| scene.object.is_some() && place.wanted == Wanted::Surplus && place.action == Action::Delete;
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
                let result = self.act(scene, place).await;
                let failed = result.is_err();
                *slot = Some(result);
                failed
            }));
            failed |= done.await.contains(&true);
        }
        let left = || ConvergeError::Unavailable("a surplus copy stays until all others are there".to_owned());
        results.into_iter().map(|result| result.unwrap_or_else(|| Err(left()))).collect()
    }

    /// Carries out one plan.
    async fn act(&self, scene: &Scene<'_>, place: &Place) -> Result<Option<ObjectCopy>, ConvergeError> {
        self.metrics.action(&place.action);
        debug!(backend = %place.id, action = ?place.action, "action");
        let object = scene.object.as_ref();
        let (remote, object, method) = match (&place.action, &place.remote, object) {
            (Action::Leave, ..) => return Ok(self.left_copy(place, object)),
            (Action::Wait(why), ..) => return Err(ConvergeError::Unavailable(why.clone())),
            (Action::Refuse(why), ..) => return Err(ConvergeError::Impossible(format!("{}: {why}", place.id))),
            (Action::Delete, Some(remote), _) => return self.delete(scene, remote).await,
            (Action::Copy(method), Some(remote), Some(object)) => (remote, object, *method),
            (Action::CopyMetadata, Some(remote), Some(object)) => {
                return self.copy_metadata(scene, place, remote, object).await;
            }
            (Action::CopyTags, Some(remote), Some(object)) => {
                scene.claim.held().await?;
                let bucket = physical_on(scene.route, &place.id)?;
                remote.set_tags(bucket, scene.key, &object.tags).await?;
                return Ok(self.left_copy(place, Some(object)));
            }
            _ => return Err(ConvergeError::Refused(format!("backend {} is not known", place.id))),
        };
        self.copy(scene, remote, object, method).await.map(Some)
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
        scene.claim.held().await?;
        remote.delete(bucket, scene.key.as_str()).await?;
        match remote.head(bucket, scene.key).await? {
            None => Ok(None),
            Some(_) => Err(ConvergeError::Refused(format!("{} still has the deleted copy", remote.backend.id))),
        }
    }

    /// Copies everything and verifies it.
    async fn copy(
        &self,
        scene: &Scene<'_>,
        remote: &Remote,
        object: &Object,
        method: plan::Method,
    ) -> Result<ObjectCopy, ConvergeError> {
        let bucket = self.ensure_bucket(scene.route, remote).await?;
        scene.claim.held().await?;
        let copying = Copying {
            source: &scene.home,
            source_bucket: &scene.home_bucket,
            target: remote,
            target_bucket: &bucket,
            key: scene.key,
            object,
            settings: &self.settings,
            metrics: &self.metrics,
        };
        let proof = match copying.copy(method).await {
            Err(BackendError::NoSuchBucket) => {
                self.known_buckets.invalidate(&known(remote, &bucket));
                return Err(ConvergeError::Changed);
            }
            done => done?,
        };
        let capabilities = &remote.backend.capabilities;
        if capabilities.tagging && remote.tags(&bucket, scene.key).await? != object.tags {
            remote.set_tags(&bucket, scene.key, &object.tags).await?;
        }
        self.verify(scene, remote, &bucket, object, proof).await
    }

    /// Looks at the finished copy.
    async fn verify(
        &self,
        scene: &Scene<'_>,
        remote: &Remote,
        bucket: &PhysicalBucket,
        object: &Object,
        proof: Proof,
    ) -> Result<ObjectCopy, ConvergeError> {
        let id = &remote.backend.id;
        let copy = remote.head(bucket, scene.key).await?;
        let copy =
            copy.ok_or_else(|| ConvergeError::Refused(format!("{id} does not have the copy that it accepted")))?;
        if copy.size != object.size {
            return Err(ConvergeError::Refused(format!("{id} holds {} bytes of {}", copy.size, object.size)));
        }
        let how = match proof {
            _ if copy.etag == object.etag => "etag",
            Proof::Md5 => "md5",
            Proof::Size => "size",
        };
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
        scene.claim.held().await?;
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
    async fn ensure_bucket(&self, route: &Route, remote: &Remote) -> Result<PhysicalBucket, ConvergeError> {
        let id = &remote.backend.id;
        let bucket = physical_on(route, id)?;
        if self.known_buckets.contains_key(&known(remote, bucket)) {
            return Ok(bucket.clone());
        }
        // A bucket that is being deleted must not rise again on a replica.
        if self.metadata.route_by_id(&route.bucket).await?.is_none() {
            return Err(ConvergeError::Changed);
        }
        match remote.create_bucket(bucket).await? {
            Created::Ours => {
                self.known_buckets.insert(known(remote, bucket), ());
                Ok(bucket.clone())
            }
            Created::Strangers => {
                self.metadata.raise_physical_name_from(&route.bucket, id, bucket).await?;
                Err(ConvergeError::Changed)
            }
        }
    }

    /// Whether the home still holds what was looked at.
    async fn is_home_unchanged(&self, scene: &Scene<'_>) -> Result<bool, ConvergeError> {
        let now = scene.home.head(&scene.home_bucket, scene.key).await?;
        Ok(match (&now, &scene.object) {
            (None, None) => true,
            (Some(now), Some(then)) => now.etag == then.etag && now.size == then.size && now.headers == then.headers,
            _ => false,
        })
    }

    /// Records what is where. What could not be verified keeps the record it had, or counts as pending.
    async fn record(
        &self,
        scene: &Scene<'_>,
        places: &[Place],
        results: &[Result<Option<ObjectCopy>, ConvergeError>],
    ) -> Result<(), ConvergeError> {
        let mut copies = Vec::new();
        if let Some(object) = &scene.object {
            copies.push(copy_record(&scene.route.home, &object.etag, object, "etag".to_owned()));
        }
        for (place, result) in places.iter().zip(results) {
            match result {
                Ok(copy) => copies.extend(copy.clone()),
                Err(_) => {
                    let began = matches!(place.action, Action::Copy(_) | Action::CopyMetadata)
                        .then(|| pending(&place.id, scene.object.as_ref()));
                    copies.extend(began.or_else(|| place.recorded.clone()));
                }
            }
        }
        Ok(self.metadata.record_copies(&scene.route.bucket, scene.key, &copies).await?)
    }

    /// Keeps the home's tags in the metadata where a backend with a copy cannot, so that they survive the home's absence.
    async fn lend_tags(&self, scene: &Scene<'_>, places: &[Place]) -> Result<(), ConvergeError> {
        let lacks = |place: &Place| {
            place.wanted == Wanted::Yes && place.remote.as_ref().is_some_and(|r| !r.backend.capabilities.tagging)
        };
        let (Some(object), true) = (&scene.object, scene.home.backend.capabilities.tagging && places.iter().any(lacks))
        else {
            return Ok(());
        };
        let (bucket, key) = (&scene.route.bucket, scene.key);
        let kept = self.metadata.tags(bucket, key).await?;
        let tags: Vec<(String, String)> = object.tags.clone().into_iter().collect();
        match kept {
            None if tags.is_empty() => {}
            Some((etag, kept)) if etag == object.etag && kept.iter().cloned().collect::<Tags>() == object.tags => {}
            Some(_) if tags.is_empty() => self.metadata.delete_tags(bucket, key).await?,
            _ => self.metadata.put_tags(bucket, key, &object.etag, &tags).await?,
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Forbidden,
    Others,
    Surplus,
}

/// Looks at one backend.
async fn observe_target(route: &Route, id: &BackendId, remote: Option<&Remote>, key: &ObjectKey) -> Target {
    let (Some(remote), Some(bucket)) = (remote, route.physical_on(id)) else {
        return Target::Unknown(format!("backend {id} is not known"));
    };
    if !remote.backend.capabilities.keys.holds(key.as_str()) {
        return Target::Absent;
    }
    let seen = async {
        let found = match remote.head(bucket, key).await {
            // Somebody else may hold the bucket's name there; then none of our copies is in it.
            Err(BackendError::Refused { status: 403, .. }) if !remote.owns_bucket(bucket).await? => None,
            found => found?,
        };
        let Some(mut copy) = found else { return Ok(Target::Absent) };
        copy.tags = remote.tags(bucket, key).await?;
        Ok::<_, BackendError>(Target::Present(copy))
    };
    seen.await.unwrap_or_else(|error| Target::Unknown(error.to_string()))
}

/// Copies that must exist, home included: the object's own wish before the bucket's. A wish that cannot be read does
/// not count; it was refused when it was set, or came past the gateway.
fn decide_count(route: &Route, home: &Home) -> u32 {
    let Home::Present(object) = home else { return route.replica_count };
    let wish = object.tags.get(REPLICA_COUNT_TAG).and_then(|tag| replica_count::parse_tag(tag, u32::MAX).ok());
    wish.unwrap_or(route.replica_count)
}

fn physical_on<'a>(route: &'a Route, id: &BackendId) -> Result<&'a PhysicalBucket, ConvergeError> {
    route.physical_on(id).ok_or_else(|| ConvergeError::Refused(format!("the bucket has no name on {id}")))
}

fn known(remote: &Remote, bucket: &PhysicalBucket) -> (BackendId, String) {
    (remote.backend.id.clone(), bucket.for_upstream().to_owned())
}

fn pending(id: &BackendId, object: Option<&Object>) -> ObjectCopy {
    let nothing = Object::default();
    ObjectCopy { verified_at: 0, ..copy_record(id, "", object.unwrap_or(&nothing), PENDING.to_owned()) }
}

fn copy_record(id: &BackendId, etag: &str, object: &Object, how: String) -> ObjectCopy {
    ObjectCopy {
        backend: id.clone(),
        etag: etag.to_owned(),
        home_etag: object.etag.clone(),
        size: i64::try_from(object.size).unwrap_or(i64::MAX),
        verified_how: how,
        verified_at: crate::worker::millis(SystemTime::now()),
    }
}

/// One line for the job history; or the failure that matters most: a lost claim, then a change, then what can never
/// work, then a refusal, then an absence.
fn sum_up(
    scene: &Scene<'_>,
    places: &[Place],
    results: Vec<Result<Option<ObjectCopy>, ConvergeError>>,
) -> Result<String, ConvergeError> {
    let rank = |error: &ConvergeError| match error {
        ConvergeError::LostClaim => 0,
        ConvergeError::Changed => 1,
        ConvergeError::Impossible(_) => 2,
        ConvergeError::Refused(_) => 3,
        ConvergeError::Store(_) => 4,
        ConvergeError::Unavailable(_) => 5,
    };
    let done = |place: &Place| format!("{} {}", place.id, <&str>::from(&place.action));
    let mut line: Vec<String> = vec![match scene.object {
        Some(_) => format!("{} home", scene.route.home),
        None => format!("{} absent", scene.route.home),
    }];
    line.extend(places.iter().map(done));
    match results.into_iter().filter_map(Result::err).min_by_key(rank) {
        Some(error) => Err(error),
        None => Ok(line.join(", ")),
    }
}

impl From<BackendError> for ConvergeError {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Changed | BackendError::NoSuchBucket => Self::Changed,
            BackendError::Unavailable { .. } => Self::Unavailable(error.to_string()),
            BackendError::NotFound { .. } | BackendError::Refused { .. } => Self::Refused(error.to_string()),
        }
    }
}
