//! Converges one key: looks at the home and at every other backend of the placement as they are now, decides with
//! [`crate::plan`], carries it out, verifies, and records what is where. Idempotent; safe to run twice and to stop anywhere.
mod act;
mod leftovers;
mod null_version;
mod observe;
mod outcome;
mod repatriate;
mod versions;

use crate::backend::{BackendError, Remote};
use crate::backends::Backends;
use crate::claim::{Claim, Lost};
use crate::clock::millis;
use crate::copy::Source;
use crate::metrics::Metrics;
use crate::object::{Object, Tags};
use crate::pace::Throttled;
use crate::plan::{Action, Home, Method, PENDING, Target, Wanted};
use crate::records::Records;
use crate::settings::WorkerSettings;
use s3gateway_config::BackendId;
use s3gateway_s3::{ObjectKey, PhysicalBucket, VersionId};
use s3gateway_store::{DirtyKey, Metadata, Millis, ObjectCopy, Route, StoreError, Writes};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use versions::HomeVersions;

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
    /// A backend is not to be asked now; the key has nothing to do with it.
    #[error("{0}")]
    NotNow(String, NotNow),
    /// A backend says no, or a copy did not verify.
    #[error("{0}")]
    Refused(String),
    /// Trying again will not help.
    #[error("{0}")]
    Impossible(String),
    /// It waits for other copies, whose own failures say what is to be done.
    #[error("a surplus copy stays until all others are there")]
    Stays,
    /// The object is large, and as many of these as may be are being copied already.
    #[error("large objects have their turn")]
    Large,
    /// Another worker has taken the key over.
    #[error("the claim was taken over")]
    LostClaim,
    /// The bucket is being made or deleted, and may be back.
    #[error("the bucket is not in service")]
    OutOfService,
    /// Another backend becomes or has become the bucket's home.
    #[error("the bucket's home changes")]
    Fenced,
    /// The metadata store or the queue failed.
    #[error("the metadata store or the queue failed")]
    Store(#[from] StoreError),
}

/// Why a backend is not to be asked now, and when to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotNow {
    /// It is left alone, as it erred or did not answer lately.
    Resting(Duration),
    /// It takes fewer requests than there are.
    Throttled(Throttled),
    /// A write of the key is in flight there, or may be.
    InFlight(Duration),
}

impl NotNow {
    /// When to come again at the earliest.
    pub(crate) fn rest(&self) -> Duration {
        match self {
            Self::Resting(rest) | Self::InFlight(rest) => *rest,
            Self::Throttled(throttled) => throttled.after,
        }
    }
}

/// What was done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Converged {
    /// All copies equal the home; the text says what was done.
    Done(String),
    /// The bucket is gone for good.
    NoBucket,
}

/// What converging needs, shared by all jobs.
pub(crate) struct Converger {
    pub(crate) metadata: Metadata,
    pub(crate) backends: Arc<Backends>,
    pub(crate) settings: WorkerSettings,
    pub(crate) metrics: Metrics,
    records: Records,
    known_buckets: moka::sync::Cache<(BackendId, String), ()>,
    /// Those of them that are known to keep each version, by the bucket's epoch: one that was home may keep fewer.
    known_versioned: moka::sync::Cache<((BackendId, String), i64), ()>,
}

/// One backend of the placement other than the home.
struct Place {
    id: BackendId,
    remote: Option<Arc<Remote>>,
    wanted: Wanted,
    target: Target,
    recorded: Option<ObjectCopy>,
    action: Action,
    /// Why it could not be looked at, and when to come again.
    not_now: Option<NotNow>,
}

/// One look at a key.
struct Scene<'a> {
    route: &'a Route,
    key: &'a ObjectKey,
    home: Arc<Remote>,
    home_bucket: PhysicalBucket,
    object: Option<Object>,
    /// The object's bytes, where the look at it brought them.
    opened: Option<Source>,
    versions: HomeVersions,
    /// Those of them whose tags may have been changed.
    retagged: Vec<VersionId>,
    /// Notes of such changes from before this have been seen through by this look.
    retagged_before: Millis,
    claim: &'a Claim,
}

impl Scene<'_> {
    /// Fails where another worker has taken the job over; asked before everything that changes a backend.
    async fn hold(&self) -> Result<(), ConvergeError> {
        match self.claim.check().await? {
            None => Ok(()),
            Some(lost) => Err(lost.into()),
        }
    }
}

impl Converger {
    /// Shared state for all jobs of a worker.
    pub(crate) fn new(metadata: Metadata, backends: Arc<Backends>, settings: WorkerSettings, metrics: Metrics) -> Self {
        let records = Records::new(&metadata);
        Self {
            metadata,
            backends,
            settings,
            metrics,
            records,
            known_buckets: known_ones(),
            known_versioned: known_ones(),
        }
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
        let Some(route) = self.records.route(&dirty.bucket).await? else {
            return match self.metadata.is_bucket_gone(&dirty.bucket).await? {
                true => Ok(Converged::NoBucket),
                false => Err(ConvergeError::OutOfService),
            };
        };
        if route.writes == Writes::Fenced {
            return Err(ConvergeError::Fenced);
        }
        claim.set_epoch(route.epoch);
        if route.has_stranded {
            // Until every proxy knows the new home, a write may still be acknowledged that has landed at the old one.
            if route.writes != Writes::Taken {
                return Err(ConvergeError::Fenced);
            }
            self.repatriate(&route, &dirty.key, claim).await?;
        }
        let home = self.known_backend(&route.home).await?;
        let home_bucket = physical_on(&route, &route.home)?.clone();
        home.admit().map_err(|resting| ConvergeError::NotNow(resting.to_string(), NotNow::Resting(resting.rest)))?;
        if !home.backend.capabilities.keys.holds(dirty.key.as_str()) {
            // Such a backend may show another key's object under this name.
            return Err(ConvergeError::Impossible("the home cannot hold this key".to_owned()));
        }
        let look = self.observe_home(&route, &home, &home_bucket, &dirty.key);
        let recorded = async { Ok(self.records.copies(dirty).await?) };
        let ((state, opened), recorded) = futures::try_join!(look, recorded)?;
        let object = match &state {
            Home::Unknown(why) => return Err(ConvergeError::Unavailable(why.clone())),
            Home::Absent => None,
            Home::Present(object) => Some(object.clone()),
        };
        let versions = self.observe_versions(&route, &home, &home_bucket, &dirty.key, object.as_ref()).await?;
        if let Some(replaced) = &versions.replaced {
            self.let_go((&home, &home_bucket), (&route, &dirty.key), replaced, claim).await?;
            return Err(ConvergeError::Changed);
        }
        // What is noted while this look goes on was not read by it, however long it takes.
        let retagged_before = versions::forgettable(SystemTime::now(), self.settings.retagged_kept);
        let retagged = match versions.list {
            Some(_) => self.metadata.retagged(&dirty.bucket, &dirty.key, Millis::MAX).await?,
            None => Vec::new(),
        };
        let places = self.observe_places(&route, &dirty.key, &state, versions.list.as_deref(), &recorded).await?;
        let is_large = object.as_ref().is_some_and(|object| object.size >= self.settings.large_object);
        if is_large && places.iter().any(|place| place.action.moves_bytes()) && !claim.may_be_large() {
            return Err(ConvergeError::Large);
        }
        let (route, key) = (&route, &dirty.key);
        let scene = Scene { route, key, home, home_bucket, object, opened, versions, retagged, retagged_before, claim };
        let recorded = self.note_pending(&scene, dirty, &places, recorded).await?;
        let results = self.carry_out(&scene, &places).await;
        let unchanged =
            if needs_another_look(&scene, &places) { self.is_home_unchanged(&scene).await } else { Ok(true) };
        // One that has taken over knows better what is where.
        scene.hold().await?;
        self.record(&scene, dirty, &places, &results, &recorded).await?;
        self.lend_tags(&scene, dirty, &places).await?;
        match outcome::sum_up(&scene, &places, results) {
            _ if matches!(unchanged, Ok(false)) => Err(ConvergeError::Changed),
            Ok(done) => {
                unchanged?;
                self.forget_retagged(&scene).await?;
                self.note_gone(&scene).await?;
                Ok(Converged::Done(done))
            }
            Err(error) => Err(error),
        }
    }

    async fn known_backend(&self, id: &BackendId) -> Result<Arc<Remote>, ConvergeError> {
        let remote = self.backends.get(id).await?;
        remote.ok_or_else(|| ConvergeError::Refused(format!("backend {id} is not known")))
    }

    /// Records copies that are about to be begun, so that the recorded ones never miss one that may exist, nor an upload that may
    /// be left open. All that are recorded now.
    async fn note_pending(
        &self,
        scene: &Scene<'_>,
        dirty: &DirtyKey,
        places: &[Place],
        recorded: Vec<ObjectCopy>,
    ) -> Result<Vec<ObjectCopy>, ConvergeError> {
        let is_new = |place: &&Place| match (&place.action, &place.recorded) {
            (Action::Copy(_) | Action::Versions, None) => true,
            (Action::Copy(method), Some(recorded)) if leftovers::is_by_parts(*method) => !self.may_be_open(recorded),
            _ => false,
        };
        let begun = places.iter().filter(is_new).map(|place| pending(&place.id, scene.object.as_ref()));
        let begun: Vec<ObjectCopy> = begun.collect();
        if !begun.is_empty() {
            self.records.add(dirty.clone(), begun.clone()).await?;
        }
        Ok(recorded.into_iter().chain(begun).collect())
    }

    fn may_be_open(&self, recorded: &ObjectCopy) -> bool {
        leftovers::may_be_open(recorded, self.settings.multipart_threshold)
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
        dirty: &DirtyKey,
        places: &[Place],
        results: &[Result<Option<ObjectCopy>, ConvergeError>],
        recorded: &[ObjectCopy],
    ) -> Result<(), ConvergeError> {
        let mut copies = Vec::new();
        if let Some(object) = &scene.object {
            copies.push(copy_record(&scene.route.home, &object.etag, object, "etag".to_owned()));
        }
        for (place, result) in places.iter().zip(results) {
            match result {
                Ok(copy) => copies.extend(copy.clone()),
                Err(_) => {
                    // A record by which an upload is to be looked for stays until that was done.
                    let left = place.recorded.clone().filter(|recorded| self.may_be_open(recorded));
                    let began = matches!(place.action, Action::Copy(_) | Action::CopyMetadata | Action::Versions)
                        .then(|| pending(&place.id, scene.object.as_ref()));
                    copies.extend(left.or(began).or_else(|| place.recorded.clone()));
                }
            }
        }
        // What was sent there and may land after this is found by its record.
        let is_removed = |(place, result): &(&Place, &Result<Option<ObjectCopy>, ConvergeError>)| {
            place.recorded.is_some() && matches!(result, Ok(None))
        };
        let removed: Vec<&Place> = places.iter().zip(results).filter(is_removed).map(|(place, _)| place).collect();
        if !removed.is_empty() {
            let late = scene.claim.late_places().await?;
            copies
                .extend(removed.iter().filter(|place| late.contains(&place.id)).map(|place| pending(&place.id, None)));
        }
        Ok(self.records.replace(dirty.clone(), recorded, copies).await?)
    }

    /// Keeps the home's tags in the metadata where a backend with a copy cannot, so that they survive the home's absence.
    async fn lend_tags(&self, scene: &Scene<'_>, dirty: &DirtyKey, places: &[Place]) -> Result<(), ConvergeError> {
        let lacks = |place: &Place| {
            place.wanted == Wanted::Yes && place.remote.as_ref().is_some_and(|r| !r.backend.capabilities.tagging)
        };
        let (Some(object), true) = (&scene.object, scene.home.backend.capabilities.tagging && places.iter().any(lacks))
        else {
            return Ok(());
        };
        let (bucket, key) = (&scene.route.bucket, scene.key);
        let kept = self.records.tags(dirty).await?;
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

/// Whether the home must be looked at once more after what was done. A small copy is of one answer of the home, given
/// after the claim: what is written since raises the sequence. What takes long, or deletes, is worth a request.
fn needs_another_look(scene: &Scene<'_>, places: &[Place]) -> bool {
    let is_one_answer = |place: &Place| {
        place.action == Action::Leave
            || (place.action == Action::Copy(Method::Put) && scene.opened.as_ref().is_some_and(Source::is_whole))
    };
    !places.iter().all(is_one_answer)
}

fn physical_on<'a>(route: &'a Route, id: &BackendId) -> Result<&'a PhysicalBucket, ConvergeError> {
    route.physical_on(id).ok_or_else(|| ConvergeError::Refused(format!("the bucket has no name on {id}")))
}

fn known_ones<K: Eq + Hash + Send + Sync + 'static>() -> moka::sync::Cache<K, ()> {
    moka::sync::Cache::builder().max_capacity(KNOWN_BUCKETS).time_to_live(Duration::from_secs(600)).build()
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
        verified_at: millis(SystemTime::now()),
    }
}

impl From<Lost> for ConvergeError {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Claim => Self::LostClaim,
            Lost::Epoch => Self::Fenced,
        }
    }
}

impl From<BackendError> for ConvergeError {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Changed | BackendError::NoSuchBucket => Self::Changed,
            BackendError::Unavailable { .. } => Self::Unavailable(error.to_string()),
            BackendError::Throttled { throttled, .. } => Self::NotNow(error.to_string(), NotNow::Throttled(throttled)),
            BackendError::NotFound { .. } | BackendError::Refused { .. } => Self::Refused(error.to_string()),
        }
    }
}
