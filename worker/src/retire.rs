//! Empties and drops what deleted buckets have left on their replicas.
//! Invariant: only a bucket that ListBuckets shows as our own is emptied; its home is gone, so nothing can be lost by it.
use crate::backend::{BackendError, Remote};
use crate::backends::Backends;
use crate::clock::millis;
use crate::metrics::Metrics;
use crate::multipart::{Upload, UploadIds};
use crate::standing::Resting;
use crate::strangers::require_not_ours;
use crate::turn::Turn;
use futures::{StreamExt, TryStreamExt, stream};
use s3gateway_config::BackendId;
use s3gateway_s3::xml::VersionEntry;
use s3gateway_s3::{ObjectKey, PhysicalBucket};
use s3gateway_store::{BucketId, Metadata, RetiringBucket, StoreError};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Buckets looked at in one round.
const BUCKETS_AT_ONCE: u32 = 100;
/// Deletes in flight per bucket.
const DELETES_AT_ONCE: usize = 16;

/// What retiring needs.
pub(crate) struct Retirer {
    pub(crate) metadata: Metadata,
    pub(crate) backends: Arc<Backends>,
    pub(crate) metrics: Metrics,
    /// How long a claim on a bucket stands without a sign of life.
    pub(crate) lease: Duration,
}

impl Retirer {
    /// One round over all retiring buckets that no other worker has; what fails is tried again in the next.
    pub(crate) async fn round(&self, now: SystemTime, stop: &CancellationToken) {
        let retiring = match self.metadata.retiring_buckets(BUCKETS_AT_ONCE).await {
            Ok(retiring) => retiring,
            Err(error) => return warn!(%error, "retiring buckets cannot be read"),
        };
        let (now, began) = (millis(now), Instant::now());
        for bucket in retiring.iter().filter(|bucket| bucket.free_from <= now) {
            // Those that were tried longest ago have the next round.
            if stop.is_cancelled() || began.elapsed() > self.lease {
                return;
            }
            let (metadata, lease) = (&self.metadata, self.lease);
            let turn = Turn { metadata, bucket: &bucket.bucket, lease, age: Duration::ZERO };
            if let Err(error) = turn.take(bucket.free_from, self.retire_all(bucket)).await {
                debug!(bucket = bucket.bucket.as_str(), %error, "retiring bucket cannot be claimed");
            }
        }
    }

    async fn retire_all(&self, bucket: &RetiringBucket) {
        for (id, physical) in &bucket.physical {
            match self.retire(&bucket.bucket, id, physical).await {
                Ok(()) => info!(bucket = bucket.bucket.as_str(), backend = %id, "replica bucket dropped"),
                Err(error) => debug!(bucket = bucket.bucket.as_str(), backend = %id, %error, "replica bucket stays"),
            }
        }
    }

    async fn retire(&self, bucket: &BucketId, id: &BackendId, physical: &PhysicalBucket) -> Result<(), RetireError> {
        let remote = self.backends.get(id).await?.ok_or(RetireError::NoBackend)?;
        remote.admit()?;
        // A name that never became a bucket of ours may have become somebody else's.
        if remote.owns_bucket(physical).await? {
            // A large one is gone on with in the next round, and keeps no other waiting.
            let emptied = tokio::time::timeout(self.lease / 2, empty(&remote, physical)).await;
            match emptied.map_err(|_| RetireError::IsLarge)? {
                // Two deletes at once can leave a backend a name in its list that nothing stands behind.
                Ok(()) | Err(BackendError::NoSuchBucket) => {}
                Err(error) => return Err(error.into()),
            }
            drop_bucket(&remote, physical).await?;
        } else {
            require_not_ours::<RetireError>(&self.metadata, &remote, bucket, physical).await?;
        }
        self.metadata.drop_physical(bucket, id).await?;
        self.metrics.retired.inc();
        Ok(())
    }
}

/// Why a bucket stays for now.
#[derive(Debug, thiserror::Error)]
enum RetireError {
    #[error("the backend is not known")]
    NoBackend,
    #[error("it is being emptied")]
    IsLarge,
    #[error(transparent)]
    Resting(#[from] Resting),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Deletes whatever is in a bucket.
pub(crate) async fn empty(remote: &Remote, bucket: &PhysicalBucket) -> Result<(), BackendError> {
    if remote.backend.capabilities.keeps_versions() {
        delete_versions(remote, bucket).await?;
    } else {
        delete_objects(remote, bucket).await?;
    }
    for (key, id) in UploadIds::open(remote, bucket, "").await?.into_all() {
        let Ok(key) = ObjectKey::parse(&key) else { continue };
        Upload { remote, bucket, key: &key, id: &id }.abort().await?;
    }
    Ok(())
}

/// Deletes every version and delete marker; in a bucket that never kept any each object is its own `null` version.
async fn delete_versions(remote: &Remote, bucket: &PhysicalBucket) -> Result<(), BackendError> {
    let mut before = None;
    loop {
        // Always the first page: what was on it is gone when it is asked for again.
        let (entries, next) = remote.page_of_versions(bucket, "", None).await?;
        let first = entries.first().map(|entry| (entry.object.key.clone(), entry.version_id.clone()));
        require_other(remote, "ListObjectVersions", &mut before, first)?;
        let delete = |entry: VersionEntry| async move {
            remote.delete_version(bucket, &entry.object.key, &entry.version_id).await
        };
        stream::iter(entries).map(delete).buffer_unordered(DELETES_AT_ONCE).try_collect::<()>().await?;
        if next.is_none() {
            return Ok(());
        }
    }
}

/// Passes a first page that begins otherwise than the one before it, all of which was deleted: else it would never end.
fn require_other<T: PartialEq>(
    remote: &Remote,
    operation: &'static str,
    before: &mut Option<T>,
    first: Option<T>,
) -> Result<(), BackendError> {
    if first.is_some() && *before == first {
        return Err(remote.unavailable(operation, "what was deleted is still listed"));
    }
    *before = first;
    Ok(())
}

async fn delete_objects(remote: &Remote, bucket: &PhysicalBucket) -> Result<(), BackendError> {
    let mut before = None;
    loop {
        // Always the first page: what was on it is gone when it is asked for again.
        let list = remote.control.list_objects_v2().bucket(bucket.for_upstream()).send().await;
        let page = list.map_err(|e| remote.classify("ListObjectsV2", &e))?;
        let keys: Vec<String> = page.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect();
        if keys.is_empty() {
            return Ok(());
        }
        require_other(remote, "ListObjectsV2", &mut before, keys.first().cloned())?;
        let delete = |key: String| async move { remote.delete(bucket, &key).await };
        stream::iter(keys).map(delete).buffer_unordered(DELETES_AT_ONCE).try_collect::<()>().await?;
        if page.is_truncated != Some(true) {
            return Ok(());
        }
    }
}

/// DeleteBucket; one that is not there is as good as dropped.
pub(crate) async fn drop_bucket(remote: &Remote, bucket: &PhysicalBucket) -> Result<(), BackendError> {
    let sent = remote.control.delete_bucket().bucket(bucket.for_upstream()).send().await;
    match sent.map_err(|e| remote.classify("DeleteBucket", &e)) {
        Ok(_) | Err(BackendError::NoSuchBucket) => Ok(()),
        Err(BackendError::NotFound { operation, .. }) => Err(remote.not_of_s3(operation)),
        Err(error) => Err(error),
    }
}
