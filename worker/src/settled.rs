//! Whether what was dirty at some time has been converged since, so that no worker acts any more on what it knew then.
use s3gateway_store::{BucketId, Millis, Queue, StoreError};

/// How far the clocks of gateways, workers and queue may be apart.
const SKEW: Millis = 5_000;

/// Whether all of the bucket that was dirty before `since` has been converged.
pub(crate) async fn is_settled(queue: &dyn Queue, bucket: &BucketId, since: Millis) -> Result<bool, StoreError> {
    if queue.is_bucket_clean(bucket).await? {
        return Ok(true);
    }
    // Of what the queue may have forgotten nobody knows when it became dirty.
    if !queue.proves(bucket).await? {
        return Ok(false);
    }
    // A bucket that is written to all the time is never clean; then what is dirty must have become so later.
    let oldest = queue.depth().await?.oldest;
    Ok(oldest.is_none_or(|oldest| oldest > since.saturating_add(SKEW)))
}
