//! Whose a bucket is that its backend forbids to look into, or does not list as ours.
//! Invariant: one that is known to hold a verified copy of ours is not taken for a stranger's. It may be that the backend is asked
//! with keys of another account than made it.
use crate::backend::{BackendError, Remote};
use s3gateway_s3::PhysicalBucket;
use s3gateway_store::{BucketId, Metadata, StoreError};

/// Whether a bucket that may not be looked into is somebody else's, and so holds nothing of ours.
pub(crate) async fn is_strangers<E: From<BackendError> + From<StoreError>>(
    metadata: &Metadata,
    remote: &Remote,
    bucket: &BucketId,
    physical: &PhysicalBucket,
) -> Result<bool, E> {
    if remote.owns_bucket(physical).await? {
        return Ok(false);
    }
    Ok(!metadata.has_verified_on(bucket, &remote.backend.id).await?)
}

/// Passes a bucket that is not listed as ours, where it is gone or never held anything of ours.
pub(crate) async fn require_not_ours<E: From<BackendError> + From<StoreError>>(
    metadata: &Metadata,
    remote: &Remote,
    bucket: &BucketId,
    physical: &PhysicalBucket,
) -> Result<(), E> {
    let is_known = metadata.has_verified_on(bucket, &remote.backend.id).await?;
    if !is_known || remote.misses_bucket(physical).await? {
        return Ok(());
    }
    Err(remote.unavailable("ListBuckets", "a bucket that holds copies is not among those of these keys").into())
}
