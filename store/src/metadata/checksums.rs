//! Checksums that the gateway keeps of objects whose backends keep none.
use super::Metadata;
use super::db::{Columns, write};
use crate::{BucketId, ObjectChecksum, StoreError, sql};
use s3gateway_s3::ObjectKey;
use s3gateway_s3::checksum::{Algorithm, Checksum, ChecksumType};
use sqlx::any::AnyRow;

impl Metadata {
    /// Replaces what is known of an object's checksum.
    ///
    /// # Errors
    /// `NotFound` for an unknown bucket.
    pub async fn put_checksum(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        kept: &ObjectChecksum,
    ) -> Result<(), StoreError> {
        let size = i64::try_from(kept.size).map_err(|_| StoreError::Invalid("an object's size".into()))?;
        write!(&self.db, tx => {
            let query = sqlx::query(sql::CHECKSUM_PUT).bind(bucket.as_str()).bind(key.as_str().as_bytes());
            let query = query.bind(kept.etag.as_str()).bind(size).bind(kept.checksum.algorithm.name());
            let query = query.bind(kept.checksum.kind.name()).bind(kept.checksum.value.as_str());
            query.execute(tx).await?;
            Ok(())
        })
    }

    /// The checksum kept under a key, whichever object it belongs to.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn checksum(&self, bucket: &BucketId, key: &ObjectKey) -> Result<Option<ObjectChecksum>, StoreError> {
        let query = sqlx::query(sql::CHECKSUM).bind(bucket.as_str()).bind(key.as_str().as_bytes());
        self.db.read(query.fetch_optional(self.db.pool())).await?.as_ref().map(parse).transpose()
    }

    /// Forgets the checksum of an object that is gone.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn delete_checksum(&self, bucket: &BucketId, key: &ObjectKey) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::CHECKSUM_DELETE).bind(bucket.as_str()).bind(key.as_str().as_bytes());
            query.execute(tx).await?;
            Ok(())
        })
    }
}

fn parse(row: &AnyRow) -> Result<ObjectChecksum, StoreError> {
    let algorithm = row.parsed("algorithm", |name| Algorithm::from_name(name).ok_or(()))?;
    let kind = row.parsed("kind", |name| ChecksumType::from_name(name).ok_or(()))?;
    Ok(ObjectChecksum {
        etag: row.text("etag")?,
        size: row.u64("size")?,
        checksum: Checksum { algorithm, kind, value: row.text("value")? },
    })
}
