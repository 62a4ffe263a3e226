//! Drains replicas that have left their bucket's placement: looks through what such a backend really lists, marks those keys, and
//! lets the backend go once it was seen empty after everything had settled.
//! Invariants: a key is marked only if the home still knows it, so that nothing is deleted that exists only here; a physical bucket
//! is dropped only while it is empty, and never emptied. A drain that has ended says that nothing of the bucket is there, so it waits for what stands
//! aside of stranded keys, too, which an operator drops.
use crate::backend::{BackendError, Remote};
use crate::backends::Backends;
use crate::backlog::Backlog;
use crate::clock::millis;
use crate::contents::{is_empty, page_of_keys};
use crate::metrics::Metrics;
use crate::multipart::{Upload, UploadIds};
use crate::retire::drop_bucket;
use crate::settled::is_settled;
use crate::standing::Resting;
use crate::strangers::{is_strangers, require_not_ours};
use futures::{StreamExt, TryStreamExt, stream};
use s3gateway_config::BackendId;
use s3gateway_s3::{ObjectKey, PhysicalBucket};
use s3gateway_store::{DirtyKey, Drain, DrainLook, DrainState, Metadata, Queue, Route, StoreError};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Drains looked at in one round.
const DRAINS_AT_ONCE: u32 = 100;
/// Keys looked up at the home between two notes of how far a look is.
const KEYS_AT_ONCE: usize = 100;
/// Look-ups in flight.
const LOOKUPS_AT_ONCE: usize = 16;
/// Names the marks of drains in the job history.
const REQUEST: &str = "drain";

/// What draining needs.
pub(crate) struct Drainer {
    pub(crate) metadata: Metadata,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) backends: Arc<Backends>,
    pub(crate) backlog: Arc<Backlog>,
    pub(crate) metrics: Metrics,
    /// How long a claim on a drain stands.
    pub(crate) lease: Duration,
}

/// Why a drain does not go on now.
#[derive(Debug, thiserror::Error)]
enum DrainError {
    #[error("backend {0} is not known")]
    NoBackend(BackendId),
    #[error("the bucket has no name at its home")]
    NoHome,
    #[error("the replica is the bucket's home")]
    IsHome,
    #[error(transparent)]
    Resting(#[from] Resting),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One drain, and both ends of it.
struct Scene<'a> {
    drain: &'a Drain,
    route: Route,
    home: Arc<Remote>,
    home_bucket: PhysicalBucket,
    replica: Arc<Remote>,
}

/// What became of a key that the replica lists.
enum Seen {
    /// It was marked, or is dirty already.
    Marked,
    /// The home knows nothing of it.
    Stray(String),
}

impl Drainer {
    /// One round over all drains that no other worker has; what fails is tried again in the next.
    pub(crate) async fn round(&self, stop: &CancellationToken) {
        let drains = match self.metadata.open_drains(millis(SystemTime::now()), DRAINS_AT_ONCE).await {
            Ok(drains) => drains,
            Err(error) => return warn!(%error, "drains cannot be read"),
        };
        for drain in drains {
            if stop.is_cancelled() {
                return;
            }
            if let Err(error) = self.take_turn(&drain).await {
                debug!(bucket = drain.name, backend = %drain.backend, %error, "drain cannot be claimed");
            }
        }
    }

    /// Works on a drain for less than the claim on it lasts.
    async fn take_turn(&self, drain: &Drain) -> Result<(), StoreError> {
        let until = millis(SystemTime::now() + self.lease);
        if !self.metadata.claim_drain(drain, until).await? {
            return Ok(());
        }
        let budget = Instant::now() + self.lease / 2;
        // What a step that is cut off has done stands; the next turn goes on behind the last note.
        match tokio::time::timeout(self.lease * 3 / 4, self.advance(drain, budget)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => info!(bucket = drain.name, backend = %drain.backend, %error, "drain waits"),
            Err(_) => info!(bucket = drain.name, backend = %drain.backend, "drain is slow"),
        }
        let claimed = Drain { free_from: until, ..drain.clone() };
        self.metadata.claim_drain(&claimed, millis(SystemTime::now())).await.map(drop)
    }

    async fn advance(&self, drain: &Drain, budget: Instant) -> Result<(), DrainError> {
        let Some(route) = self.metadata.route_by_id(&drain.bucket).await? else { return Ok(()) };
        if route.home == drain.backend {
            return Err(DrainError::IsHome);
        }
        let home = self.known(&route.home).await?;
        let replica = self.known(&drain.backend).await?;
        let home_bucket = route.physical_on(&route.home).ok_or(DrainError::NoHome)?.clone();
        let scene = Scene { drain, route, home, home_bucket, replica };
        if drain.state == DrainState::Proven {
            return self.let_go(&scene).await;
        }
        if self.look(&scene, budget).await? {
            info!(bucket = drain.name, backend = %drain.backend, "replica was seen empty");
            return self.let_go(&scene).await;
        }
        Ok(())
    }

    async fn known(&self, id: &BackendId) -> Result<Arc<Remote>, DrainError> {
        let remote = self.backends.get(id).await?.ok_or_else(|| DrainError::NoBackend(id.clone()))?;
        remote.admit()?;
        Ok(remote)
    }

    /// Goes on with the look through the replica's list; whether it came to its end and proves that nothing is left.
    async fn look(&self, scene: &Scene<'_>, budget: Instant) -> Result<bool, DrainError> {
        let drain = scene.drain;
        let mut look = drain.look.clone();
        if look.since == 0 {
            // A worker that read the placement before the drain began may still be copying to the replica.
            let counts = is_settled(&*self.queue, &drain.bucket, drain.begun_at).await?;
            look = DrainLook { since: millis(SystemTime::now()), counts, ..DrainLook::default() };
        }
        loop {
            let (keys, more) = match page_of_keys(&scene.replica, &drain.physical, &look.after).await {
                // Somebody else may hold the bucket's name there; then none of our copies is in it.
                Err(BackendError::Refused { status: 403, .. }) if self.is_strangers(scene).await? => {
                    (Vec::new(), false)
                }
                page => page?,
            };
            for some in keys.chunks(KEYS_AT_ONCE) {
                if Instant::now() >= budget || self.backlog.is_full(&drain.bucket).await? {
                    return Ok(false);
                }
                self.look_at(scene, some, &mut look).await?;
                self.metadata.note_look(drain, &look).await?;
            }
            if !more {
                break;
            }
        }
        look.aside = self.metadata.count_aside(&drain.bucket, &drain.backend).await?;
        if look.seen == 0 && look.counts && look.aside == 0 {
            if is_settled(&*self.queue, &drain.bucket, look.since).await? {
                self.metadata.end_look(drain, &look).await?;
                return Ok(self.metadata.prove_drain(drain).await?);
            }
            // It stays open, from the beginning of the list, until what was dirty when it began has been converged.
            self.metadata.note_look(drain, &look).await?;
            return Ok(false);
        }
        if look.strays > 0 {
            warn!(bucket = drain.name, backend = %drain.backend, strays = look.strays, "only the replica has these keys, so it stays");
        }
        if look.aside > 0 {
            warn!(bucket = drain.name, backend = %drain.backend, keys = look.aside, "what stands aside of stranded keys is there, so the replica stays until it is dropped");
        }
        self.metadata.end_look(drain, &look).await?;
        Ok(false)
    }

    /// Looks at some keys of the list and adds up what was seen.
    async fn look_at(&self, scene: &Scene<'_>, keys: &[String], look: &mut DrainLook) -> Result<(), DrainError> {
        let mark = |key: String| async move { self.mark(scene, &key).await };
        let lookups = stream::iter(keys.to_vec()).map(mark).buffer_unordered(LOOKUPS_AT_ONCE);
        for seen in lookups.try_collect::<Vec<Seen>>().await? {
            look.seen += 1;
            if let Seen::Stray(key) = seen {
                look.strays += 1;
                look.stray = key;
            }
        }
        look.after = keys.last().cloned().unwrap_or_default();
        Ok(())
    }

    /// Marks a key that the home knows; converging it copies it to where it is wanted and takes it from the replica.
    async fn mark(&self, scene: &Scene<'_>, name: &str) -> Result<Seen, DrainError> {
        let Ok(key) = ObjectKey::parse(name) else { return Ok(Seen::Stray(name.to_owned())) };
        let dirty = DirtyKey { bucket: scene.drain.bucket.clone(), key };
        // One that is dirty is converged anyway, and to be marked again would only make it be converged twice.
        if self.queue.is_marked(&dirty).await? {
            return Ok(Seen::Marked);
        }
        if !scene.is_at_home(&dirty.key).await? {
            return Ok(Seen::Stray(name.to_owned()));
        }
        self.queue.mark(&dirty, REQUEST).await?;
        Ok(Seen::Marked)
    }

    async fn is_strangers(&self, scene: &Scene<'_>) -> Result<bool, DrainError> {
        is_strangers(&self.metadata, &scene.replica, &scene.drain.bucket, &scene.drain.physical).await
    }

    /// Drops the physical bucket of a replica that was seen empty; what has turned up in it since is looked at first.
    async fn let_go(&self, scene: &Scene<'_>) -> Result<(), DrainError> {
        let Scene { drain, replica, .. } = scene;
        let bucket = &drain.physical;
        // A name that never became a bucket of ours may have become somebody else's; one that was adopted stays.
        let is_adopted = self.metadata.is_adopted(&drain.bucket, &drain.backend).await?;
        if !is_adopted && !replica.owns_bucket(bucket).await? {
            require_not_ours::<DrainError>(&self.metadata, replica, &drain.bucket, bucket).await?;
        } else if !is_adopted {
            for (key, id) in UploadIds::open(replica, bucket, "").await?.into_all() {
                let Ok(key) = ObjectKey::parse(&key) else { continue };
                Upload { remote: replica, bucket, key: &key, id: &id }.abort().await?;
            }
            let dropped = match is_empty(replica, bucket).await? {
                true => drop_bucket(replica, bucket).await,
                false => Err(replica.refused("DeleteBucket", 409, "BucketNotEmpty")),
            };
            match dropped {
                Err(BackendError::Refused { status: 409, .. }) => {
                    info!(bucket = drain.name, backend = %drain.backend, "something turned up in a drained replica");
                    self.metadata.doubt_drain(drain).await?;
                    return Ok(());
                }
                done => done?,
            }
        }
        if is_adopted {
            // Others are open there with which the gateway has nothing to do.
            for open in self.metadata.open_places_at(&drain.bucket, &drain.backend).await? {
                Upload { remote: replica, bucket, key: &open.key, id: &open.place_upload_id }.abort().await?;
            }
        }
        self.metadata.drop_physical(&drain.bucket, &drain.backend).await?;
        self.metrics.retired.inc();
        info!(bucket = drain.name, backend = %drain.backend, "drained replica dropped");
        Ok(())
    }
}

impl Scene<'_> {
    /// Whether the home has the key, or has had it and still says so.
    async fn is_at_home(&self, key: &ObjectKey) -> Result<bool, DrainError> {
        let Self { route, home, home_bucket, .. } = self;
        if home.head(home_bucket, key).await?.is_some() {
            return Ok(true);
        }
        let keeps = route.versioning.is_set() && home.backend.capabilities.keeps_versions();
        Ok(keeps && !home.versions(home_bucket, key).await?.is_empty())
    }
}
