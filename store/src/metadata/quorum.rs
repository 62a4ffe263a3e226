//! Quorum writes as rows: how many places a bucket's writes wait for, and copies that a proxy is about to begin.
use super::buckets::find;
use super::db::{now, write};
use super::{Metadata, feed};
use crate::{BucketId, Change, StoreError, sql};
use s3gateway_config::BackendId;
use s3gateway_s3::ObjectKey;

impl Metadata {
    /// Sets how many places, home included, must hold a write of the bucket before it is acknowledged.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for 0 or more than the replica count, and for more than 1 where the bucket keeps versions.
    pub async fn set_write_quorum(&self, bucket: &BucketId, quorum: u32) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let found = find(tx, bucket).await?;
            let query = sqlx::query(sql::BUCKET_SET_WRITE_QUORUM).bind(bucket.as_str()).bind(i64::from(quorum));
            if query.execute(&mut *tx).await?.rows_affected() == 0 {
                return Err(StoreError::Invalid(
                    "write quorum: from 1 to the replica count, and 1 where the bucket keeps versions".into(),
                ));
            }
            if quorum == 1 {
                // Nobody sends parts there any more.
                let query = sqlx::query(sql::UPLOAD_PLACES_LOSE_ALL).bind(bucket.as_str()).bind(now());
                query.execute(&mut *tx).await?;
            }
            feed::append(tx, &Change::Bucket(found.tenant, found.name)).await
        })
    }

    /// Notes copies of a key that are about to be begun, so that the recorded ones never miss one that may exist. What is
    /// known of a copy stays as it is. Only for who has the key's replicas to itself: a worker records over it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_pending(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        backends: &[BackendId],
    ) -> Result<(), StoreError> {
        // All touch a key's rows in the order of backends, so that two at once wait and never deadlock.
        let mut backends: Vec<&BackendId> = backends.iter().collect();
        backends.sort();
        write!(&self.db, tx => {
            for backend in &backends {
                let query = sqlx::query(sql::COPY_NOTE_PENDING).bind(bucket.as_str()).bind(key.as_str().as_bytes());
                query.bind(backend.as_str()).execute(&mut *tx).await?;
            }
            Ok(())
        })
    }
}
