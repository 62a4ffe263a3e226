//! What is known of objects: tags and open uploads lent to backends that keep none, verified copies, job history.
use super::Metadata;
use super::db::{Columns, render_json, write};
use crate::{BucketId, JobRecord, KeyCopy, Millis, ObjectCopy, OpenUpload, StoreError, sql};
use s3gateway_config::BackendId;
use s3gateway_s3::ObjectKey;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;
use uuid::Uuid;

impl Metadata {
    /// Replaces an object's tags; they belong to the object with this ETag (without quotes) and no other.
    ///
    /// # Errors
    /// `NotFound` for an unknown bucket.
    pub async fn put_tags(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        etag: &str,
        tags: &[(String, String)],
    ) -> Result<(), StoreError> {
        let tags = render_json(&tags)?;
        write!(&self.db, tx => {
            let query = sqlx::query(sql::TAGS_PUT).bind(bucket.as_str()).bind(key.as_str().as_bytes());
            query.bind(etag).bind(tags.as_str()).execute(tx).await?;
            Ok(())
        })
    }

    /// An object's tags with the ETag that they belong to; `None` where none are kept.
    ///
    /// # Errors
    /// `Unavailable`.
    #[allow(clippy::type_complexity)] // an ETag and tags, as S3's own XML has them; a type would add a name, not sense
    pub async fn tags(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
    ) -> Result<Option<(String, Vec<(String, String)>)>, StoreError> {
        let query = sqlx::query(sql::TAGS).bind(bucket.as_str()).bind(key.as_str().as_bytes());
        match self.db.read(query.fetch_optional(self.db.pool())).await? {
            Some(row) => Ok(Some((row.text("etag")?, row.json("tags")?))),
            None => Ok(None),
        }
    }

    /// Forgets an object's tags.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn delete_tags(&self, bucket: &BucketId, key: &ObjectKey) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::TAGS_DELETE).bind(bucket.as_str()).bind(key.as_str().as_bytes());
            query.execute(tx).await?;
            Ok(())
        })
    }

    /// Notes an open multipart upload.
    ///
    /// # Errors
    /// `NotFound` for an unknown bucket.
    pub async fn put_upload(&self, bucket: &BucketId, upload: &OpenUpload) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::UPLOAD_PUT).bind(bucket.as_str()).bind(upload.upload_id.as_str());
            let query = query.bind(upload.key.as_str().as_bytes()).bind(upload.initiated_at);
            query.execute(tx).await?;
            Ok(())
        })
    }

    /// A bucket's open multipart uploads by key in byte order, then by when they began.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn uploads(&self, bucket: &BucketId) -> Result<Vec<OpenUpload>, StoreError> {
        let query = sqlx::query(sql::UPLOADS).bind(bucket.as_str());
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        rows.iter()
            .map(|row| {
                Ok(OpenUpload {
                    key: row.key()?,
                    upload_id: row.text("upload_id")?,
                    initiated_at: row.int("initiated_at")?,
                })
            })
            .collect()
    }

    /// Forgets a multipart upload that was completed or aborted.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn delete_upload(&self, bucket: &BucketId, upload_id: &str) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            sqlx::query(sql::UPLOAD_DELETE).bind(bucket.as_str()).bind(upload_id).execute(tx).await?;
            Ok(())
        })
    }

    /// Replaces what is known of a key's copies; none means that the object is gone everywhere.
    ///
    /// # Errors
    /// `NotFound` for an unknown bucket.
    pub async fn record_copies(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        copies: &[ObjectCopy],
    ) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let (bucket, key) = (bucket.as_str(), key.as_str().as_bytes());
            let known = sqlx::query(sql::COPIES).bind(bucket).bind(key).fetch_all(&mut *tx).await?;
            let mut rows: BTreeMap<BackendId, Option<&ObjectCopy>> = BTreeMap::new();
            for row in &known {
                rows.insert(row.backend("backend")?, None);
            }
            rows.extend(copies.iter().map(|copy| (copy.backend.clone(), Some(copy))));
            // All touch a key's rows in the order of backends, so that two at once wait and never deadlock.
            for (backend, copy) in &rows {
                let query = match copy {
                    None => {
                        sqlx::query(sql::COPY_LEAVE).bind(bucket).bind(key).bind(backend.as_str()).execute(&mut *tx).await?;
                        sqlx::query(sql::COPY_DELETE).bind(bucket).bind(key).bind(backend.as_str())
                    }
                    Some(copy) => {
                        let query = sqlx::query(sql::COPY_PUT).bind(bucket).bind(key).bind(backend.as_str());
                        let query = query.bind(copy.etag.as_str()).bind(copy.home_etag.as_str()).bind(copy.size);
                        query.bind(copy.verified_how.as_str()).bind(copy.verified_at)
                    }
                };
                query.execute(&mut *tx).await?;
            }
            Ok(())
        })
    }

    /// What is known of a key's copies, by backend.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn copies(&self, bucket: &BucketId, key: &ObjectKey) -> Result<Vec<ObjectCopy>, StoreError> {
        let query = sqlx::query(sql::COPIES).bind(bucket.as_str()).bind(key.as_str().as_bytes());
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        rows.iter().map(parse_copy).collect()
    }

    /// What is known of the copies of all keys from `first` to `last`, by key in byte order; at most `limit` rows.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn copies_between(
        &self,
        bucket: &BucketId,
        first: &[u8],
        last: &[u8],
        limit: usize,
    ) -> Result<Vec<KeyCopy>, StoreError> {
        let query = sqlx::query(sql::COPIES_BETWEEN).bind(bucket.as_str()).bind(first).bind(last);
        let query = query.bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        rows.iter()
            .map(|row| {
                Ok(KeyCopy {
                    key: row.key()?,
                    backend: row.backend("backend")?,
                    home_etag: row.text("home_etag")?,
                    verified_at: row.int("verified_at")?,
                })
            })
            .collect()
    }

    /// Adds finished attempts to the job history, all or none.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn record_jobs(&self, records: &[JobRecord]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        write!(&self.db, tx => {
            for job in records {
                let query = sqlx::query(sql::JOB_INSERT).bind(Uuid::now_v7().to_string()).bind(job.bucket.as_str());
                let query = query.bind(job.key.as_str().as_bytes()).bind(job.outcome.as_str());
                let query = query.bind(job.detail.as_str()).bind(job.attempts).bind(job.request_id.as_str());
                query.bind(job.started_at).bind(job.finished_at).execute(&mut *tx).await?;
            }
            Ok(())
        })
    }

    /// The job history, newest first, of one bucket or all.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn jobs(&self, limit: u32, bucket: Option<&BucketId>) -> Result<Vec<JobRecord>, StoreError> {
        let query = match bucket {
            Some(bucket) => sqlx::query(sql::JOBS_OF_BUCKET).bind(bucket.as_str()),
            None => sqlx::query(sql::JOBS),
        };
        let rows = self.db.read(query.bind(i64::from(limit)).fetch_all(self.db.pool())).await?;
        rows.iter().map(parse_job).collect()
    }

    /// Forgets attempts that ended before `before`; how many.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn prune_jobs(&self, before: Millis) -> Result<u64, StoreError> {
        write!(&self.db, tx => {
            Ok(sqlx::query(sql::JOBS_PRUNE).bind(before).execute(tx).await?.rows_affected())
        })
    }
}

pub(super) fn parse_copy(row: &AnyRow) -> Result<ObjectCopy, StoreError> {
    Ok(ObjectCopy {
        backend: row.backend("backend")?,
        etag: row.text("etag")?,
        home_etag: row.text("home_etag")?,
        size: row.int("size")?,
        verified_how: row.text("verified_how")?,
        verified_at: row.int("verified_at")?,
    })
}

fn parse_job(row: &AnyRow) -> Result<JobRecord, StoreError> {
    Ok(JobRecord {
        bucket: BucketId::new(&row.text("bucket")?),
        key: row.key()?,
        outcome: row.text("outcome")?,
        detail: row.text("detail")?,
        attempts: row.int("attempts")?,
        request_id: row.text("request_id")?,
        started_at: row.int("started_at")?,
        finished_at: row.int("finished_at")?,
    })
}
