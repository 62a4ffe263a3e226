//! Checksums and parts that the gateway keeps of objects and open uploads whose backends keep none.
use super::Metadata;
use super::db::{Columns, now, render_json, write};
use crate::{BucketId, FinishedParts, Millis, ObjectChecksum, StoreError, UploadedPart, sql};
use s3gateway_s3::ObjectKey;
use s3gateway_s3::checksum::{Algorithm, Checksum, ChecksumType};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use std::collections::HashMap;

/// Of so many objects that were under one key something is kept, where its bucket keeps versions.
const VERSIONS_KEPT: i64 = 1000;
/// Milliseconds for which what is kept of other objects stays where it does not: another write may be on its way.
const OVERLAP: Millis = 60_000;

impl Metadata {
    /// Keeps an object's checksum. What is kept of others under the key stays where the bucket `keeps_versions`.
    ///
    /// # Errors
    /// `NotFound` for an unknown bucket.
    pub async fn put_checksum(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        kept: &ObjectChecksum,
        keeps_versions: bool,
    ) -> Result<(), StoreError> {
        let size = bytes(kept.size)?;
        write!(&self.db, tx => {
            let query = sqlx::query(sql::CHECKSUM_PUT).bind(bucket.as_str()).bind(key.as_str().as_bytes());
            let query = query.bind(kept.etag.as_str()).bind(size).bind(kept.checksum.algorithm.name());
            let query = query.bind(kept.checksum.kind.name()).bind(kept.checksum.value.as_str()).bind(now());
            query.execute(&mut *tx).await?;
            drop_others(tx, bucket, key, keeps_versions, sql::CHECKSUMS_TRIM, sql::CHECKSUMS_PRUNE).await
        })
    }

    /// The checksum kept of the object with this ETag and size.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn checksum(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        etag: &str,
        size: u64,
    ) -> Result<Option<Checksum>, StoreError> {
        let query = sqlx::query(sql::CHECKSUM).bind(bucket.as_str()).bind(key.as_str().as_bytes());
        let query = query.bind(etag).bind(bytes(size)?);
        let row = self.db.read(query.fetch_optional(self.db.pool())).await?;
        row.map(|row| Ok(Checksum { algorithm: algorithm(&row)?, kind: kind(&row)?, value: row.text("value")? }))
            .transpose()
    }

    /// Forgets checksums and parts that were kept by a time under a key whose object is gone.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn delete_checksums(&self, bucket: &BucketId, key: &ObjectKey, by: Millis) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            for statement in [sql::CHECKSUMS_PRUNE, sql::OBJECT_PARTS_PRUNE] {
                let query = sqlx::query(statement).bind(bucket.as_str()).bind(key.as_str().as_bytes());
                query.bind(by).execute(&mut *tx).await?;
            }
            Ok(())
        })
    }

    /// Keeps the parts that an object was made of, as [`Self::put_checksum`] does its checksum.
    ///
    /// # Errors
    /// `NotFound` for an unknown bucket.
    pub async fn put_object_parts(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        finished: &FinishedParts,
        keeps_versions: bool,
    ) -> Result<(), StoreError> {
        let (size, parts) = (bytes(finished.size)?, render_json(&finished.parts)?);
        write!(&self.db, tx => {
            let query = sqlx::query(sql::OBJECT_PARTS_PUT).bind(bucket.as_str()).bind(key.as_str().as_bytes());
            let query = query.bind(finished.etag.as_str()).bind(size).bind(finished.algorithm.name());
            query.bind(parts.as_str()).bind(now()).execute(&mut *tx).await?;
            drop_others(tx, bucket, key, keeps_versions, sql::OBJECT_PARTS_TRIM, sql::OBJECT_PARTS_PRUNE).await
        })
    }

    /// The parts that the object with this ETag and size was made of.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn object_parts(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        etag: &str,
        size: u64,
    ) -> Result<Option<FinishedParts>, StoreError> {
        let query = sqlx::query(sql::OBJECT_PARTS).bind(bucket.as_str()).bind(key.as_str().as_bytes());
        let query = query.bind(etag).bind(bytes(size)?);
        let row = self.db.read(query.fetch_optional(self.db.pool())).await?;
        row.map(|row| {
            let (algorithm, parts) = (algorithm(&row)?, row.json("parts")?);
            Ok(FinishedParts { etag: etag.to_owned(), size, algorithm, parts })
        })
        .transpose()
    }

    /// Notes the checksum that an upload was asked for.
    ///
    /// # Errors
    /// `NotFound` for an unknown bucket.
    pub async fn put_upload_checksum(
        &self,
        bucket: &BucketId,
        upload_id: &str,
        algorithm: Algorithm,
        kind: ChecksumType,
    ) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::UPLOAD_CHECKSUM_PUT).bind(bucket.as_str()).bind(upload_id);
            query.bind(algorithm.name()).bind(kind.name()).execute(tx).await?;
            Ok(())
        })
    }

    /// The checksums that a bucket's open uploads were asked for, by upload id.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn upload_checksums(
        &self,
        bucket: &BucketId,
    ) -> Result<HashMap<String, (Algorithm, ChecksumType)>, StoreError> {
        let query = sqlx::query(sql::UPLOAD_CHECKSUMS).bind(bucket.as_str());
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        rows.iter().map(|row| Ok((row.text("upload_id")?, (algorithm(row)?, kind(row)?)))).collect()
    }

    /// Notes what a part turned out to be.
    ///
    /// # Errors
    /// `NotFound` for an unknown bucket.
    pub async fn put_upload_part(
        &self,
        bucket: &BucketId,
        upload_id: &str,
        part: &UploadedPart,
    ) -> Result<(), StoreError> {
        let size = bytes(part.size)?;
        write!(&self.db, tx => {
            let query = sqlx::query(sql::UPLOAD_PART_PUT).bind(bucket.as_str()).bind(upload_id);
            let query = query.bind(i64::from(part.number)).bind(part.etag.as_str()).bind(size);
            query.bind(part.value.as_str()).execute(tx).await?;
            Ok(())
        })
    }

    /// What is known of an upload's parts, by number.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn upload_parts(&self, bucket: &BucketId, upload_id: &str) -> Result<Vec<UploadedPart>, StoreError> {
        let query = sqlx::query(sql::UPLOAD_PARTS).bind(bucket.as_str()).bind(upload_id);
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        rows.iter()
            .map(|row| {
                Ok(UploadedPart {
                    number: row.u32("part_number")?,
                    etag: row.text("etag")?,
                    size: row.u64("size")?,
                    value: row.text("value")?,
                })
            })
            .collect()
    }

    /// Forgets what was noted of an upload that has ended.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn delete_upload_checksums(&self, bucket: &BucketId, upload_id: &str) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            for statement in [sql::UPLOAD_CHECKSUM_DELETE, sql::UPLOAD_PARTS_DELETE] {
                sqlx::query(statement).bind(bucket.as_str()).bind(upload_id).execute(&mut *tx).await?;
            }
            Ok(())
        })
    }
}

fn bytes(size: u64) -> Result<i64, StoreError> {
    i64::try_from(size).map_err(|_| StoreError::Invalid("a size".into()))
}

fn algorithm(row: &AnyRow) -> Result<Algorithm, StoreError> {
    row.parsed("algorithm", |name| Algorithm::from_name(name).ok_or(()))
}

fn kind(row: &AnyRow) -> Result<ChecksumType, StoreError> {
    row.parsed("kind", |name| ChecksumType::from_name(name).ok_or(()))
}

/// Removes what is kept of too many versions, or of objects that were overwritten.
async fn drop_others(
    tx: &mut AnyConnection,
    bucket: &BucketId,
    key: &ObjectKey,
    keeps_versions: bool,
    trim: &'static str,
    prune: &'static str,
) -> Result<(), StoreError> {
    let (statement, bound) = if keeps_versions { (trim, VERSIONS_KEPT) } else { (prune, now() - OVERLAP) };
    let query = sqlx::query(statement).bind(bucket.as_str()).bind(key.as_str().as_bytes());
    query.bind(bound).execute(tx).await?;
    Ok(())
}
