//! Ends what a gateway that died has left half done: buckets that were being created or deleted.
//! Invariant: a bucket with an object, a version or a delete marker in it is never dropped; its deletion is called off instead. Nor
//! is one that was there before the gateway.
use crate::backend::{BackendError, Remote};
use crate::backends::Backends;
use crate::clock::millis;
use crate::turn::Turn;
use s3gateway_s3::{PhysicalBucket, Versioning};
use s3gateway_store::{Metadata, StoreError, UnfinishedBucket};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Buckets looked at in one round.
const BUCKETS_AT_ONCE: u32 = 100;

/// What recovery needs.
pub(crate) struct Recoverer {
    pub(crate) metadata: Metadata,
    pub(crate) backends: Arc<Backends>,
    pub(crate) abandoned_after: Duration,
    /// How long a claim on a bucket stands without a sign of life.
    pub(crate) lease: Duration,
}

/// What became of an unfinished bucket.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Its creation was undone; whoever asked for it got no answer and asks again.
    Abandoned,
    /// Its deletion was completed.
    Deleted,
    /// It holds objects, so it stays.
    Kept,
}

impl Recoverer {
    /// One round over all unfinished buckets that no other worker has; what fails is tried again in the next.
    pub(crate) async fn round(&self, now: SystemTime, stop: &CancellationToken) {
        let before = millis(now.checked_sub(self.abandoned_after).unwrap_or(SystemTime::UNIX_EPOCH));
        let unfinished = match self.metadata.unfinished_buckets(before, BUCKETS_AT_ONCE).await {
            Ok(unfinished) => unfinished,
            Err(error) => return warn!(%error, "unfinished buckets cannot be read"),
        };
        for bucket in unfinished {
            if stop.is_cancelled() {
                return;
            }
            let id = bucket.route.bucket.as_str();
            let (metadata, lease, age) = (&self.metadata, self.lease, self.abandoned_after);
            let turn = Turn { metadata, bucket: &bucket.route.bucket, lease, age };
            match turn.take(bucket.since, self.end(&bucket)).await {
                Ok(None) => {}
                Ok(Some(Ok(end))) => info!(bucket = id, ?end, "unfinished bucket ended"),
                Ok(Some(Err(error))) => warn!(bucket = id, %error, "unfinished bucket stays"),
                Err(error) => warn!(bucket = id, %error, "unfinished bucket cannot be claimed"),
            }
        }
    }

    async fn end(&self, bucket: &UnfinishedBucket) -> Result<End, RecoverError> {
        let route = &bucket.route;
        let remote = self.backends.get(&route.home).await?.ok_or(RecoverError::NoHome)?;
        let physical = route.physical_on(&route.home).ok_or(RecoverError::NoHome)?;
        if remote.owns_bucket(physical).await? {
            if !is_empty(&remote, physical, route.versioning).await? {
                return self.keep(bucket).await;
            }
            if !self.metadata.is_adopted(&route.bucket, &route.home).await? {
                crate::retire::drop_bucket(&remote, physical).await?;
            }
        }
        if bucket.deleting {
            self.metadata.finish_delete_bucket(&route.bucket).await?;
            return Ok(End::Deleted);
        }
        self.metadata.abandon_bucket(&route.bucket).await?;
        Ok(End::Abandoned)
    }

    /// An object is there that someone was promised to find again.
    async fn keep(&self, bucket: &UnfinishedBucket) -> Result<End, RecoverError> {
        if bucket.deleting {
            self.metadata.cancel_delete_bucket(&bucket.route.bucket).await?;
        } else {
            self.metadata.activate_bucket(&bucket.route.bucket).await?;
        }
        Ok(End::Kept)
    }
}

/// Why a bucket stays unfinished for now.
#[derive(Debug, thiserror::Error)]
enum RecoverError {
    #[error("its home is not known")]
    NoHome,
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether a bucket holds nothing that a client could still read or bring back: old versions and delete markers count.
async fn is_empty(remote: &Remote, bucket: &PhysicalBucket, versioning: Versioning) -> Result<bool, BackendError> {
    if versioning.is_set() {
        let list = remote.control.list_object_versions().bucket(bucket.for_upstream()).max_keys(1).send().await;
        let page = list.map_err(|e| remote.classify("ListObjectVersions", &e))?;
        return Ok(page.versions().is_empty() && page.delete_markers().is_empty());
    }
    let list = remote.control.list_objects_v2().bucket(bucket.for_upstream()).max_keys(1).send().await;
    let page = list.map_err(|e| remote.classify("ListObjectsV2", &e))?;
    Ok(page.contents().is_empty())
}
