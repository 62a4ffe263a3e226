//! What a walk compares with the listings: the recorded copies of many keys at once; and which of them it has found corrupt.
//! Invariant: a suspect copy stays so until its bytes were written anew, whatever others record of it meanwhile.
use super::Metadata;
use super::db::{Columns, write};
use super::{objects, versions};
use crate::{BucketId, ObjectCopy, StoreError, VersionCopy, sql};
use s3gateway_config::BackendId;
use s3gateway_s3::{ObjectKey, VersionId};

impl Metadata {
    /// What is known of the copies of all keys after `after` up to `up_to`, which may be empty for no end; by key in byte
    /// order, at most `limit` rows.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn copies_after(
        &self,
        bucket: &BucketId,
        after: &str,
        up_to: &str,
        limit: u32,
    ) -> Result<Vec<(ObjectKey, ObjectCopy)>, StoreError> {
        let query = sqlx::query(sql::COPIES_AFTER).bind(bucket.as_str()).bind(after.as_bytes()).bind(up_to.as_bytes());
        let query = query.bind(i64::from(up_to.is_empty()));
        let rows = self.db.read(query.bind(i64::from(limit)).fetch_all(self.db.pool())).await?;
        rows.iter().map(|row| Ok((row.key()?, objects::parse_copy(row)?))).collect()
    }

    /// What is known of the versions that replicas hold of all keys after `after` up to `up_to`, which may be empty for no
    /// end; by key in byte order, then by backend, the oldest first; at most `limit` rows.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn version_copies_after(
        &self,
        bucket: &BucketId,
        after: &str,
        up_to: &str,
        limit: u32,
    ) -> Result<Vec<(ObjectKey, VersionCopy)>, StoreError> {
        let query = sqlx::query(sql::VERSION_COPIES_AFTER).bind(bucket.as_str()).bind(after.as_bytes());
        let query = query.bind(up_to.as_bytes()).bind(i64::from(up_to.is_empty())).bind(i64::from(limit));
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        rows.iter().map(|row| Ok((row.key()?, versions::parse(row)?))).collect()
    }

    /// Whether a copy of any of the bucket's keys is known to be on a backend.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn has_copies_on(&self, bucket: &BucketId, backend: &BackendId) -> Result<bool, StoreError> {
        let query = sqlx::query(sql::COPIES_COUNT).bind(bucket.as_str()).bind(backend.as_str());
        let query = query.bind("".as_bytes()).bind(1_i64);
        Ok(self.db.read(query.fetch_one(self.db.pool())).await?.u64("n")? > 0)
    }

    /// Whether a backend was once seen to hold a copy of any of the bucket's keys: what was only begun does not count, nor what a
    /// former home was left with.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn has_verified_on(&self, bucket: &BucketId, backend: &BackendId) -> Result<bool, StoreError> {
        let query = sqlx::query(sql::COPIES_HELD).bind(bucket.as_str()).bind(backend.as_str());
        Ok(self.db.read(query.fetch_one(self.db.pool())).await?.u64("n")? > 0)
    }

    /// Notes that a copy's bytes are not the home's, unless it has another ETag by now.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn suspect_copy(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        backend: &BackendId,
        etag: &str,
    ) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::COPY_SUSPECT).bind(bucket.as_str()).bind(key.as_str().as_bytes());
            query.bind(backend.as_str()).bind(etag).execute(tx).await?;
            Ok(())
        })
    }

    /// Notes that a suspect copy was written anew; what it is now is still to be recorded.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn trust_copy(&self, bucket: &BucketId, key: &ObjectKey, backend: &BackendId) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::COPY_TRUST).bind(bucket.as_str()).bind(key.as_str().as_bytes());
            query.bind(backend.as_str()).execute(tx).await?;
            Ok(())
        })
    }

    /// Notes that the bytes of a version at a replica, by its id there, are not the home's.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn suspect_version(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        backend: &BackendId,
        version: &VersionId,
    ) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::VERSION_COPY_SUSPECT).bind(bucket.as_str()).bind(key.as_str().as_bytes());
            query.bind(backend.as_str()).bind(version.as_str()).execute(tx).await?;
            Ok(())
        })
    }
}
