//! Objects in the store: versions and delete markers, how they come, are found, and go.
//! Source: User Guide, "How S3 Versioning works" and "Working with objects in a versioning-suspended bucket".
use crate::{
    conditions::WriteConditions,
    content::{Received, Slice},
    error::Internal,
    rows::{Deleted, Doomed, Found, NULL, NewVersion, Opened, Part, Stored, Version},
    store::{Bucket, Store, Versioning, Write, bucket, now, signed, unsigned},
    tags::Tags,
};
use s3s::{S3ErrorCode, S3Result, s3_error};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

impl Store {
    /// Makes a received body a version.
    pub(crate) async fn put(
        &self,
        bucket_name: &str,
        key: &str,
        new: NewVersion,
        mut received: Received,
        conditions: &WriteConditions,
    ) -> S3Result<Stored> {
        let slices = received.keep();
        let put = self.put_slices(bucket_name, key, new, &slices, conditions).await;
        if put.is_err() {
            self.contents.release(slices.into_iter().map(|slice| slice.content));
        }
        put
    }

    /// Makes content that is pinned a version.
    pub(crate) async fn put_slices(
        &self,
        bucket_name: &str,
        key: &str,
        new: NewVersion,
        slices: &[Slice],
        conditions: &WriteConditions,
    ) -> S3Result<Stored> {
        let mut write = self.write().await?;
        let bucket = bucket(&mut write.tx, bucket_name).await?;
        check(&mut write, &bucket, key, conditions).await?;
        let (seq, stored) = insert(&mut write, &bucket, key, &new).await?;
        let part = sqlx::query_scalar(
            "INSERT INTO part (version, number, size, etag, checksum, modified) VALUES (?, 1, ?, ?, ?, ?) RETURNING id",
        );
        let checksum = serde_json::to_string(&new.checksum).internal()?;
        let part = part.bind(seq).bind(signed(new.size)?).bind(&new.etag).bind(checksum).bind(stored.modified);
        let part: i64 = part.fetch_one(&mut *write.tx).await.internal()?;
        insert_slices(&mut write, part, slices).await?;
        write.commit().await?;
        Ok(stored)
    }

    /// The current version, or the one of that id.
    ///
    /// # Errors
    /// `NoSuchKey` and `NoSuchVersion`; a delete marker is found like any version.
    pub(crate) async fn find(&self, bucket_name: &str, key: &str, version: Option<&str>) -> S3Result<Found> {
        find(&mut *self.look().await?, bucket_name, key, version).await
    }

    /// The same, with its bytes.
    pub(crate) async fn open_version(&self, bucket_name: &str, key: &str, version: Option<&str>) -> S3Result<Opened> {
        let _looking = self.contents.looking().await;
        let mut rows = self.look().await?;
        let found = find(&mut rows, bucket_name, key, version).await?;
        let slices = sqlx::query(
            "SELECT content, start, length FROM slice JOIN part ON part.id = slice.part \
             WHERE part.version = ? ORDER BY part.number, slice.position",
        );
        let slices = slices.bind(found.version.seq).fetch_all(&mut *rows).await.internal()?;
        let slices = slices.iter().map(slice_of).collect::<S3Result<Vec<_>>>()?;
        let parts = match found.version.parts {
            Some(_) => parts_of(&mut rows, found.version.seq).await?,
            None => Vec::new(),
        };
        let pin = self.contents.pin(&slices);
        Ok(Opened { found, parts, slices, pin })
    }

    /// The parts of a multipart version, in order.
    pub(crate) async fn parts(&self, version: &Version) -> S3Result<Vec<Part>> {
        parts_of(&mut *self.rows.acquire().await.internal()?, version.seq).await
    }

    /// A delete without a version id hides the object, one with an id removes that version for good.
    pub(crate) async fn delete(
        &self,
        bucket_name: &str,
        key: &str,
        version: Option<&str>,
        conditions: &WriteConditions,
    ) -> S3Result<Deleted> {
        let mut write = self.write().await?;
        let bucket = bucket(&mut write.tx, bucket_name).await?;
        let deleted = delete(&mut write, &bucket, key, version, conditions).await?;
        write.commit().await?;
        Ok(deleted)
    }

    /// Many deletes in one transaction; one whose conditions fail leaves the others as they are.
    pub(crate) async fn delete_all(
        &self,
        bucket_name: &str,
        doomed: Vec<Doomed>,
    ) -> S3Result<Vec<(Doomed, S3Result<Deleted>)>> {
        let mut write = self.write().await?;
        let bucket = bucket(&mut write.tx, bucket_name).await?;
        let mut all = Vec::with_capacity(doomed.len());
        for one in doomed {
            let deleted = delete(&mut write, &bucket, &one.key, one.version.as_deref(), &one.conditions).await;
            match &deleted {
                Err(error) if *error.code() == S3ErrorCode::InternalError => return deleted.map(|_| Vec::new()),
                _ => all.push((one, deleted)),
            }
        }
        write.commit().await?;
        Ok(all)
    }

    /// Replaces the tags of a version; gives its id as an answer shows it.
    pub(crate) async fn set_tags(
        &self,
        bucket_name: &str,
        key: &str,
        version: Option<&str>,
        tags: &Tags,
    ) -> S3Result<Option<String>> {
        let mut write = self.write().await?;
        let Found { version, bucket } = find(&mut write.tx, bucket_name, key, version).await?;
        refuse_marker(&version)?;
        let set = sqlx::query("UPDATE version SET tags = ? WHERE seq = ?");
        let set = set.bind(serde_json::to_string(tags).internal()?).bind(version.seq);
        set.execute(&mut *write.tx).await.internal()?;
        write.commit().await?;
        Ok(bucket.shown(&version.id))
    }
}

/// Tags and attributes of a delete marker cannot be asked for.
pub(crate) fn refuse_marker(version: &Version) -> S3Result<()> {
    match (version.marker, version.latest) {
        (false, _) => Ok(()),
        (true, true) => Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
        (true, false) => Err(s3_error!(MethodNotAllowed, "The specified method is not allowed against this resource.")),
    }
}

async fn delete(
    write: &mut Write,
    bucket: &Bucket,
    key: &str,
    version: Option<&str>,
    conditions: &WriteConditions,
) -> S3Result<Deleted> {
    check(write, bucket, key, conditions).await?;
    match (version, bucket.versioning) {
        (Some(id), _) => remove_version(write, bucket, key, id).await,
        (None, None) => {
            remove_version(write, bucket, key, NULL).await?;
            Ok(Deleted::default())
        }
        (None, Some(_)) => {
            let (seq, stored) = insert(write, bucket, key, &NewVersion::default()).await?;
            let mark = sqlx::query("UPDATE version SET marker = TRUE WHERE seq = ?").bind(seq);
            mark.execute(&mut *write.tx).await.internal()?;
            Ok(Deleted { version_id: stored.version_id, marker: true })
        }
    }
}

async fn find(rows: &mut SqliteConnection, bucket_name: &str, key: &str, id: Option<&str>) -> S3Result<Found> {
    let bucket = bucket(&mut *rows, bucket_name).await?;
    let version = match id {
        None => {
            current(rows, &bucket, key).await?.ok_or_else(|| s3_error!(NoSuchKey, "The specified key does not exist."))
        }
        Some(id) => by_id(rows, &bucket, key, id)
            .await?
            .ok_or_else(|| s3_error!(NoSuchVersion, "The specified version does not exist.")),
    };
    Ok(Found { version: version?, bucket })
}

async fn current(rows: &mut SqliteConnection, bucket: &Bucket, key: &str) -> S3Result<Option<Version>> {
    let found = sqlx::query("SELECT * FROM version WHERE bucket = ? AND key = ? AND latest");
    let found = found.bind(bucket.id).bind(key.as_bytes()).fetch_optional(rows).await.internal()?;
    found.as_ref().map(Version::of).transpose()
}

async fn by_id(rows: &mut SqliteConnection, bucket: &Bucket, key: &str, id: &str) -> S3Result<Option<Version>> {
    let found = sqlx::query("SELECT * FROM version WHERE bucket = ? AND key = ? AND id = ?");
    let found = found.bind(bucket.id).bind(key.as_bytes()).bind(id).fetch_optional(rows).await.internal()?;
    found.as_ref().map(Version::of).transpose()
}

async fn parts_of(rows: &mut SqliteConnection, version: i64) -> S3Result<Vec<Part>> {
    let found = sqlx::query("SELECT * FROM part WHERE version = ? ORDER BY number");
    let found = found.bind(version).fetch_all(rows).await.internal()?;
    found.iter().map(Part::of).collect()
}

fn slice_of(row: &SqliteRow) -> S3Result<Slice> {
    Ok(Slice {
        content: row.try_get("content").internal()?,
        start: unsigned(row, "start")?,
        length: unsigned(row, "length")?,
    })
}

/// Whether a write's conditions hold for what is current.
pub(crate) async fn check(write: &mut Write, bucket: &Bucket, key: &str, conditions: &WriteConditions) -> S3Result<()> {
    let current = current(&mut write.tx, bucket, key).await?.filter(|version| !version.marker);
    conditions.check(current.map(|version| version.etag).as_deref())
}

/// Makes a row the current version: a new one where versioning is enabled, else in the place of the null version.
pub(crate) async fn insert(write: &mut Write, bucket: &Bucket, key: &str, new: &NewVersion) -> S3Result<(i64, Stored)> {
    let keeps_versions = bucket.versioning == Some(Versioning::Enabled);
    if !keeps_versions && let Some(old) = by_id(&mut write.tx, bucket, key, NULL).await? {
        remove_row(write, old.seq).await?;
    }
    let hide = sqlx::query("UPDATE version SET latest = FALSE WHERE bucket = ? AND key = ? AND latest");
    hide.bind(bucket.id).bind(key.as_bytes()).execute(&mut *write.tx).await.internal()?;
    let modified = now();
    let seq: i64 = sqlx::query_scalar(
        "INSERT INTO version (bucket, key, id, latest, marker, modified, etag, size, parts, meta, checksum, tags) \
         VALUES (?, ?, ?, TRUE, FALSE, ?, ?, ?, ?, ?, ?, ?) RETURNING seq",
    )
    .bind(bucket.id)
    .bind(key.as_bytes())
    .bind(if keeps_versions { "" } else { NULL })
    .bind(modified)
    .bind(&new.etag)
    .bind(signed(new.size)?)
    .bind(new.parts.map(signed).transpose()?)
    .bind(serde_json::to_string(&new.meta).internal()?)
    .bind(serde_json::to_string(&new.checksum).internal()?)
    .bind(serde_json::to_string(&new.tags).internal()?)
    .fetch_one(&mut *write.tx)
    .await
    .internal()?;
    let id = if keeps_versions { version_id(seq) } else { NULL.to_owned() };
    if keeps_versions {
        let name = sqlx::query("UPDATE version SET id = ? WHERE seq = ?").bind(&id).bind(seq);
        name.execute(&mut *write.tx).await.internal()?;
    }
    Ok((seq, Stored { version_id: bucket.shown(&id), modified }))
}

/// An id tells its place among the versions, so that a listing goes on from one that is deleted meanwhile.
fn version_id(seq: i64) -> String {
    let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
    format!("{seq:016x}{random:016x}")
}

/// The place that an id of [`version_id`] tells.
pub(crate) fn seq_of(id: &str) -> Option<i64> {
    i64::from_str_radix(id.get(..16).filter(|_| id.len() == 32)?, 16).ok()
}

pub(crate) async fn insert_slices(write: &mut Write, part: i64, slices: &[Slice]) -> S3Result<()> {
    for (position, slice) in (0_i64..).zip(slices) {
        let row = sqlx::query("INSERT INTO slice (part, position, content, start, length) VALUES (?, ?, ?, ?, ?)");
        let row = row.bind(part).bind(position).bind(&slice.content);
        let row = row.bind(signed(slice.start)?).bind(signed(slice.length)?);
        row.execute(&mut *write.tx).await.internal()?;
    }
    Ok(())
}

/// Removes a version for good and makes the next newest current. One that is not there is gone already.
async fn remove_version(write: &mut Write, bucket: &Bucket, key: &str, id: &str) -> S3Result<Deleted> {
    let version_id = bucket.shown(id);
    let Some(old) = by_id(&mut write.tx, bucket, key, id).await? else {
        return Ok(Deleted { version_id, marker: false });
    };
    remove_row(write, old.seq).await?;
    if old.latest {
        let next = sqlx::query(
            "UPDATE version SET latest = TRUE \
             WHERE seq = (SELECT MAX(seq) FROM version WHERE bucket = ? AND key = ?)",
        );
        next.bind(bucket.id).bind(key.as_bytes()).execute(&mut *write.tx).await.internal()?;
    }
    Ok(Deleted { version_id, marker: old.marker })
}

async fn remove_row(write: &mut Write, seq: i64) -> S3Result<()> {
    let freed = sqlx::query_scalar(
        "SELECT DISTINCT content FROM slice JOIN part ON part.id = slice.part WHERE part.version = ?",
    );
    let freed: Vec<String> = freed.bind(seq).fetch_all(&mut *write.tx).await.internal()?;
    write.freed.extend(freed);
    sqlx::query("DELETE FROM version WHERE seq = ?").bind(seq).execute(&mut *write.tx).await.internal()?;
    Ok(())
}
