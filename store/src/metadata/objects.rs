//! What is known of objects: tags and open uploads lent to backends that keep none, verified copies, job history.
use super::Metadata;
use super::db::{Columns, Kind, render_json, write};
use crate::page::{bounds, parse_page};
use crate::{
    BucketId, Cursor, DirtyKey, JobRecord, KeyCopy, LentTags, Millis, ObjectCopy, OpenUpload, Page, StoreError, sql,
};
use s3gateway_config::BackendId;
use s3gateway_s3::ObjectKey;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

const DAY: Millis = 24 * 3600 * 1000;
/// Days of the job history that exist before they come, so that no clock and no pause of the workers leaves one without.
const DAYS_AHEAD: Millis = 3;
/// Most days that exist at a time, each a table.
const MOST_DAYS: Millis = 400;
/// Rows of the history deleted in one transaction.
const PRUNED_AT_ONCE: i64 = 1000;

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
    pub async fn tags(&self, bucket: &BucketId, key: &ObjectKey) -> Result<Option<LentTags>, StoreError> {
        let query = sqlx::query(sql::TAGS).bind(bucket.as_str()).bind(key.as_str().as_bytes());
        match self.db.read(query.fetch_optional(self.db.pool())).await? {
            Some(row) => Ok(Some((row.text("etag")?, row.json("tags")?))),
            None => Ok(None),
        }
    }

    /// The tags of many objects as by [`Metadata::tags`], in their order.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn tags_of_all(&self, keys: &[DirtyKey]) -> Result<Vec<Option<LentTags>>, StoreError> {
        let (wanted, text) = (render_keys(keys)?, self.by_kind(sql::TAGS_OF_ALL_POSTGRES, sql::TAGS_OF_ALL_SQLITE));
        let rows = self.db.read(sqlx::query(text).bind(wanted.as_str()).fetch_all(self.db.pool())).await?;
        let mut of_key: HashMap<(String, Vec<u8>), LentTags> = HashMap::new();
        for row in &rows {
            of_key.insert((row.text("bucket")?, row.bytes("object_key")?), (row.text("etag")?, row.json("tags")?));
        }
        Ok(keys.iter().map(|key| of_key.get(&named(key)).cloned()).collect())
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
        self.record_all_copies(&[(DirtyKey { bucket: bucket.clone(), key: key.clone() }, copies.to_vec())]).await
    }

    /// As [`Self::record_copies`] for many keys, all or none; of a key that comes twice the last counts.
    ///
    /// # Errors
    /// `NotFound` where any of the buckets is unknown.
    pub async fn record_all_copies(&self, of_keys: &[(DirtyKey, Vec<ObjectCopy>)]) -> Result<(), StoreError> {
        let mut keys: Vec<&DirtyKey> = of_keys.iter().map(|(key, _)| key).collect();
        keys.sort_by_key(|key| (key.bucket.as_str(), key.key.as_str()));
        let (keys, rows) = (render_keys(keys)?, render_copies(of_keys)?);
        let leave = self.by_kind(sql::COPIES_LEAVE_OTHERS_POSTGRES, sql::COPIES_LEAVE_OTHERS_SQLITE);
        let delete = self.by_kind(sql::COPIES_DELETE_OTHERS_POSTGRES, sql::COPIES_DELETE_OTHERS_SQLITE);
        write!(&self.db, tx => {
            sqlx::query(leave).bind(keys.as_str()).bind(rows.as_str()).execute(&mut *tx).await?;
            sqlx::query(delete).bind(keys.as_str()).bind(rows.as_str()).execute(&mut *tx).await?;
            self.put_copies(tx, &rows).await
        })
    }

    /// Records copies of many keys, all or none, beside what is known of other backends; of a key that comes twice the last counts.
    ///
    /// # Errors
    /// `NotFound` where any of the buckets is unknown.
    pub async fn put_all_copies(&self, of_keys: &[(DirtyKey, Vec<ObjectCopy>)]) -> Result<(), StoreError> {
        let rows = render_copies(of_keys)?;
        write!(&self.db, tx => {
            self.put_copies(tx, &rows).await
        })
    }

    /// Puts copies, rendered, and notes the keys among them whose bucket is being promoted.
    async fn put_copies(&self, tx: &mut AnyConnection, rows: &str) -> Result<(), StoreError> {
        let put = self.by_kind(sql::COPIES_PUT_POSTGRES, sql::COPIES_PUT_SQLITE);
        let note = self.by_kind(sql::PROMOTION_KEYS_NOTE_POSTGRES, sql::PROMOTION_KEYS_NOTE_SQLITE);
        for statement in [put, note] {
            sqlx::query(statement).bind(rows).execute(&mut *tx).await?;
        }
        Ok(())
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

    /// What is known of the copies of many keys, in their order.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn copies_of_all(&self, keys: &[DirtyKey]) -> Result<Vec<Vec<ObjectCopy>>, StoreError> {
        let (wanted, text) = (render_keys(keys)?, self.by_kind(sql::COPIES_OF_ALL_POSTGRES, sql::COPIES_OF_ALL_SQLITE));
        let rows = self.db.read(sqlx::query(text).bind(wanted.as_str()).fetch_all(self.db.pool())).await?;
        let mut of_key: HashMap<(String, Vec<u8>), Vec<ObjectCopy>> = HashMap::new();
        for row in &rows {
            let key = (row.text("bucket")?, row.bytes("object_key")?);
            of_key.entry(key).or_default().push(parse_copy(row)?);
        }
        Ok(keys.iter().map(|key| of_key.get(&named(key)).cloned().unwrap_or_default()).collect())
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
        let rows: Vec<_> = records
            .iter()
            .map(|job| {
                serde_json::json!({
                    "id": Uuid::now_v7().to_string(), "bucket": job.bucket.as_str(), "object_key": hex::encode(job.key.as_str()),
                    "outcome": job.outcome, "detail": job.detail, "attempts": job.attempts,
                    "request_id": job.request_id, "started_at": job.started_at, "finished_at": job.finished_at,
                })
            })
            .collect();
        let (rows, text) = (render_json(&rows)?, self.by_kind(sql::JOBS_INSERT_POSTGRES, sql::JOBS_INSERT_SQLITE));
        write!(&self.db, tx => {
            sqlx::query(text).bind(rows.as_str()).execute(tx).await?;
            Ok(())
        })
    }

    pub(super) fn by_kind(&self, postgres: &'static str, sqlite: &'static str) -> &'static str {
        match self.db.kind() {
            Kind::Postgres => postgres,
            Kind::Sqlite => sqlite,
        }
    }

    /// A page of the job history, newest first, of one bucket or all.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn jobs(
        &self,
        bucket: Option<&BucketId>,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<JobRecord>, StoreError> {
        let (at, id) = bounds(after);
        let query = match bucket {
            Some(bucket) => sqlx::query(sql::JOBS_OF_BUCKET).bind(bucket.as_str()),
            None => sqlx::query(sql::JOBS),
        };
        let query = query.bind(at).bind(id).bind(i64::from(limit));
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        parse_page(&rows, limit, "finished_at", parse_job)
    }

    /// Forgets attempts that ended before `before`, and makes room for those to come in the days after `now`: PostgreSQL
    /// keeps the history by UTC day, makes days ahead and drops one as a whole once all of it is past.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn prune_jobs(&self, before: Millis, now: Millis) -> Result<(), StoreError> {
        match self.db.kind() {
            Kind::Postgres => write!(&self.db, tx => {
                let query = sqlx::query(sql::JOBS_KEEP_POSTGRES).bind(before.max(now - MOST_DAYS * DAY));
                query.bind(now + DAYS_AHEAD * DAY).execute(tx).await?;
                Ok(())
            }),
            Kind::Sqlite => loop {
                let pruned = write!(&self.db, tx => {
                    let query = sqlx::query(sql::JOBS_PRUNE_SQLITE).bind(before).bind(PRUNED_AT_ONCE);
                    Ok(query.execute(tx).await?.rows_affected())
                })?;
                if pruned < PRUNED_AT_ONCE.unsigned_abs() {
                    return Ok(());
                }
            },
        }
    }
}

/// Names of objects as statements on many of them take them.
pub(super) fn render_keys<'a>(keys: impl IntoIterator<Item = &'a DirtyKey>) -> Result<String, StoreError> {
    let name = |key: &DirtyKey| serde_json::json!({"bucket": key.bucket.as_str(), "object_key": hex::encode(key.key.as_str())});
    render_json(&keys.into_iter().map(name).collect::<Vec<_>>())
}

/// Their copies, likewise; of a key that comes twice those that come last.
fn render_copies(of_keys: &[(DirtyKey, Vec<ObjectCopy>)]) -> Result<String, StoreError> {
    let of_keys: BTreeMap<(&str, &str), &Vec<ObjectCopy>> =
        of_keys.iter().map(|(key, copies)| ((key.bucket.as_str(), key.key.as_str()), copies)).collect();
    let mut rows = Vec::new();
    for ((bucket, key), copies) in of_keys {
        let key = hex::encode(key);
        let by_backend: BTreeMap<&BackendId, &ObjectCopy> = copies.iter().map(|copy| (&copy.backend, copy)).collect();
        // All touch rows in the same order, so that two at once wait and never deadlock.
        rows.extend(by_backend.into_iter().map(|(backend, copy)| {
            serde_json::json!({
                "bucket": bucket, "object_key": key, "backend": backend.as_str(), "etag": copy.etag,
                "home_etag": copy.home_etag, "size": copy.size, "verified_how": copy.verified_how,
                "verified_at": copy.verified_at,
            })
        }));
    }
    render_json(&rows)
}

fn named(key: &DirtyKey) -> (String, Vec<u8>) {
    (key.bucket.as_str().to_owned(), key.key.as_str().as_bytes().to_vec())
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
