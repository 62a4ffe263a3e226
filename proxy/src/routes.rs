//! Routes of logical buckets in memory; a miss asks the store once for all who wait.
use crate::{cache::Cache, refusal::Refusal};
use s3gateway_s3::{LogicalBucket, S3Code};
use s3gateway_store::{Metadata, Route, StoreError, TenantId};
use std::{sync::Arc, time::Instant};

/// A bounded cache; the change feed drops what it names. What is not there is not cached, so that a bucket created
/// through another proxy is found at once.
pub struct Routes(Cache<(TenantId, LogicalBucket), Arc<Route>>);

impl Routes {
    /// A cache for at most `entries` routes.
    pub fn new(entries: u64) -> Self {
        Self(Cache::new(entries))
    }

    /// The route of a tenant's bucket.
    ///
    /// # Errors
    /// `NoSuchBucket`; a store error where it is not cached and cannot be read.
    pub async fn resolve(
        &self,
        metadata: &Metadata,
        tenant: &TenantId,
        bucket: &LogicalBucket,
    ) -> Result<Arc<Route>, Refusal> {
        let key = (tenant.clone(), bucket.clone());
        match self.0.get(&key) {
            Some(held) => Ok(held.value),
            None => Box::pin(self.look_up(metadata, key)).await,
        }
    }

    /// As [`Routes::resolve`], by what the store says now; only where it cannot be read, by what is held.
    ///
    /// # Errors
    /// As [`Routes::resolve`].
    pub async fn ask(
        &self,
        metadata: &Metadata,
        tenant: &TenantId,
        bucket: &LogicalBucket,
    ) -> Result<Arc<Route>, Refusal> {
        let key = (tenant.clone(), bucket.clone());
        match Box::pin(self.look_up(metadata, key.clone())).await {
            Err(refusal @ Refusal::Store(_)) => self.0.get(&key).map(|held| held.value).ok_or(refusal),
            Err(refusal) => {
                self.0.forget(&key, Instant::now());
                Err(refusal)
            }
            found => found,
        }
    }

    async fn look_up(&self, metadata: &Metadata, key: (TenantId, LogicalBucket)) -> Result<Arc<Route>, Refusal> {
        let (metadata, (tenant, bucket)) = (metadata.clone(), key.clone());
        let look_up = async move { metadata.route(&tenant, &bucket).await?.map(Arc::new).ok_or(StoreError::NotFound) };
        let loaded = self.0.load(key, look_up).await;
        loaded.map(|loaded| loaded.value).map_err(|error| match *error {
            StoreError::NotFound => S3Code::NoSuchBucket.into(),
            _ => shared_error(error),
        })
    }

    /// Drops one bucket's route, unless its look-up began after `changed`.
    pub fn forget(&self, tenant: &TenantId, bucket: &LogicalBucket, changed: Instant) {
        self.0.forget(&(tenant.clone(), bucket.clone()), changed);
    }

    /// Drops every route.
    pub fn forget_all(&self) {
        self.0.clear();
    }

    /// Drops all routes of a tenant, whose policy they hold, that were looked up before `changed`.
    pub fn forget_tenant(&self, tenant: &TenantId, changed: Instant) {
        self.0.forget_where(changed, |(owner, _)| owner == tenant);
    }
}

/// An error that several waiters share, as each one's own.
pub(crate) fn shared_error(error: Arc<StoreError>) -> Refusal {
    match &*error {
        StoreError::NotFound => StoreError::NotFound.into(),
        StoreError::Conflict(what) => StoreError::Conflict(what).into(),
        StoreError::Invalid(what) => StoreError::Invalid(what.clone()).into(),
        StoreError::Busy => StoreError::Busy.into(),
        StoreError::Corrupt(what) => StoreError::Corrupt(what).into(),
        StoreError::Unavailable(_) => StoreError::Unavailable(Box::new(SharedError(error))).into(),
    }
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct SharedError(Arc<StoreError>);
