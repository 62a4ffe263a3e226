//! Multipart uploads in the store; completing one hands its parts over to a version, without touching a byte.
//! Source: User Guide, "Uploading and copying objects using multipart upload"; Amazon S3 API Reference, CompleteMultipartUpload.
use crate::{
    checksums::{Algorithm, Checksum, Kind, of_parts},
    conditions::WriteConditions,
    content::Slice,
    error::Internal,
    objects,
    rows::{Meta, NewVersion, Part, Stored},
    store::{Bucket, Store, Write, bucket, json, now, signed},
    tags::Tags,
};
use md5::{Digest as _, Md5};
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};
use std::collections::BTreeMap;

/// Of every part but the last (User Guide, "Amazon S3 multipart upload limits").
const MIN_PART: u64 = 5 << 20;

/// What CreateMultipartUpload says of checksums.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sums {
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) kind: Option<Kind>,
}

/// An upload in progress.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) id: String,
    pub(crate) key: Vec<u8>,
    pub(crate) initiated: i64,
    pub(crate) meta: Meta,
    pub(crate) tags: Tags,
    pub(crate) sums: Sums,
}

/// A part as CompleteMultipartUpload lists it.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) number: i32,
    pub(crate) etag: String,
    /// By their headers' names.
    pub(crate) checksums: Vec<(Algorithm, String)>,
}

/// What CompleteMultipartUpload expects of the whole.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) size: Option<u64>,
    pub(crate) kind: Option<Kind>,
    pub(crate) checksum: Option<(Algorithm, String)>,
}

/// A part that is to be stored.
pub(crate) struct NewPart {
    pub(crate) number: i32,
    pub(crate) size: u64,
    pub(crate) etag: String,
    pub(crate) checksum: Option<Checksum>,
}

/// An object that was completed.
pub(crate) struct Completed {
    pub(crate) stored: Stored,
    pub(crate) etag: String,
    pub(crate) checksum: Checksum,
}

impl Sums {
    /// The algorithm by which parts are summed up; S3's own where none was named.
    pub(crate) fn algorithm(self) -> Algorithm {
        self.algorithm.unwrap_or(Algorithm::Crc64Nvme)
    }

    /// What the whole's checksum is of.
    pub(crate) fn kind(self) -> Kind {
        self.kind.unwrap_or_else(|| self.algorithm().default_kind())
    }
}

impl Upload {
    pub(crate) fn of(row: &SqliteRow) -> S3Result<Self> {
        Ok(Self {
            id: row.try_get("id").internal()?,
            key: row.try_get("key").internal()?,
            initiated: row.try_get("initiated").internal()?,
            meta: json(row, "meta")?,
            tags: json(row, "tags")?,
            sums: json(row, "checksum")?,
        })
    }
}

impl Store {
    pub(crate) async fn create_upload(
        &self,
        bucket_name: &str,
        key: &str,
        meta: &Meta,
        tags: &Tags,
        sums: Sums,
    ) -> S3Result<String> {
        let mut write = self.write().await?;
        let bucket = bucket(&mut write.tx, bucket_name).await?;
        // In the order of time, which is the order in which S3 lists the uploads of a key.
        let id = uuid::Uuid::now_v7().simple().to_string();
        let row = sqlx::query(
            "INSERT INTO upload (id, bucket, key, initiated, meta, tags, checksum) VALUES (?, ?, ?, ?, ?, ?, ?)",
        );
        let row = row.bind(&id).bind(bucket.id).bind(key.as_bytes()).bind(now());
        let row = row.bind(serde_json::to_string(meta).internal()?).bind(serde_json::to_string(tags).internal()?);
        let row = row.bind(serde_json::to_string(&sums).internal()?);
        row.execute(&mut *write.tx).await.internal()?;
        write.commit().await?;
        Ok(id)
    }

    pub(crate) async fn find_upload(&self, bucket_name: &str, key: &str, id: &str) -> S3Result<Upload> {
        let mut rows = self.look().await?;
        let bucket = bucket(&mut rows, bucket_name).await?;
        find(&mut rows, &bucket, key, id).await
    }

    /// Stores a part in the place of one of the same number. Its content must be kept or pinned.
    pub(crate) async fn put_part(
        &self,
        (bucket_name, key, upload): (&str, &str, &str),
        new: &NewPart,
        slices: &[Slice],
    ) -> S3Result<i64> {
        let mut write = self.write().await?;
        let bucket = bucket(&mut write.tx, bucket_name).await?;
        let upload = find(&mut write.tx, &bucket, key, upload).await?;
        free(&mut write, &upload.id, Some(new.number)).await?;
        let old = sqlx::query("DELETE FROM part WHERE upload = ? AND number = ?").bind(&upload.id).bind(new.number);
        old.execute(&mut *write.tx).await.internal()?;
        let modified = now();
        let part = sqlx::query_scalar(
            "INSERT INTO part (upload, number, size, etag, checksum, modified) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
        );
        let checksum = serde_json::to_string(&new.checksum).internal()?;
        let part = part.bind(&upload.id).bind(new.number).bind(signed(new.size)?).bind(&new.etag);
        let part: i64 = part.bind(checksum).bind(modified).fetch_one(&mut *write.tx).await.internal()?;
        objects::insert_slices(&mut write, part, slices).await?;
        write.commit().await?;
        Ok(modified)
    }

    /// The parts of an upload from behind `after`, and one more than `limit` where there are more.
    pub(crate) async fn list_parts(&self, upload: &Upload, after: i32, limit: usize) -> S3Result<Vec<Part>> {
        let limit = i64::try_from(limit).internal()?.saturating_add(1);
        let found = sqlx::query("SELECT * FROM part WHERE upload = ? AND number > ? ORDER BY number LIMIT ?");
        let found = found.bind(&upload.id).bind(after).bind(limit).fetch_all(&self.rows).await.internal()?;
        found.iter().map(Part::of).collect()
    }

    pub(crate) async fn complete_upload(
        &self,
        (bucket_name, key, upload): (&str, &str, &str),
        listed: &[Listed],
        expected: &Expected,
        conditions: &WriteConditions,
    ) -> S3Result<Completed> {
        let mut write = self.write().await?;
        let bucket = bucket(&mut write.tx, bucket_name).await?;
        let upload = find(&mut write.tx, &bucket, key, upload).await?;
        let rows = sqlx::query("SELECT * FROM part WHERE upload = ?").bind(&upload.id).fetch_all(&mut *write.tx);
        let rows = rows.await.internal()?;
        let known = rows.iter().map(|row| Part::of(row).map(|part| (part.number, part)));
        let chosen = choose(&known.collect::<S3Result<BTreeMap<_, _>>>()?, listed)?;
        let new = whole(&upload, &chosen, expected)?;
        objects::check(&mut write, &bucket, key, conditions).await?;
        let (seq, stored) = objects::insert(&mut write, &bucket, key, &new).await?;
        for (number, part) in (1_i64..).zip(&chosen) {
            let give = sqlx::query("UPDATE part SET upload = NULL, version = ?, number = ? WHERE id = ?");
            give.bind(seq).bind(number).bind(part.id).execute(&mut *write.tx).await.internal()?;
        }
        remove(&mut write, &upload.id).await?;
        write.commit().await?;
        let checksum = new.checksum.ok_or_else(|| s3_error!(InternalError))?;
        Ok(Completed { stored, etag: new.etag, checksum })
    }

    pub(crate) async fn abort_upload(&self, bucket_name: &str, key: &str, upload: &str) -> S3Result<()> {
        let mut write = self.write().await?;
        let bucket = bucket(&mut write.tx, bucket_name).await?;
        let upload = find(&mut write.tx, &bucket, key, upload).await?;
        remove(&mut write, &upload.id).await?;
        write.commit().await
    }
}

async fn find(rows: &mut SqliteConnection, bucket: &Bucket, key: &str, id: &str) -> S3Result<Upload> {
    let found = sqlx::query("SELECT * FROM upload WHERE id = ? AND bucket = ? AND key = ?");
    let found = found.bind(id).bind(bucket.id).bind(key.as_bytes()).fetch_optional(rows).await.internal()?;
    Upload::of(&found.ok_or_else(|| {
        s3_error!(
            NoSuchUpload,
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
        )
    })?)
}

/// Notes the content of an upload's parts, or of one of them, as freed.
async fn free(write: &mut Write, upload: &str, number: Option<i32>) -> S3Result<()> {
    let freed = sqlx::query_scalar(
        "SELECT DISTINCT content FROM slice JOIN part ON part.id = slice.part \
         WHERE part.upload = ?1 AND (?2 IS NULL OR part.number = ?2)",
    );
    let freed: Vec<String> = freed.bind(upload).bind(number).fetch_all(&mut *write.tx).await.internal()?;
    write.freed.extend(freed);
    Ok(())
}

async fn remove(write: &mut Write, upload: &str) -> S3Result<()> {
    free(write, upload, None).await?;
    sqlx::query("DELETE FROM upload WHERE id = ?").bind(upload).execute(&mut *write.tx).await.internal()?;
    Ok(())
}

/// The parts that the list names, in its order.
///
/// # Errors
/// `MalformedXML`, `InvalidPartOrder`, `InvalidPart` and `EntityTooSmall`, as the API reference tells them apart.
fn choose(known: &BTreeMap<i32, Part>, listed: &[Listed]) -> S3Result<Vec<Part>> {
    if listed.is_empty() {
        return Err(s3_error!(
            MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema"
        ));
    }
    if !listed.is_sorted_by(|one, next| one.number < next.number) {
        return Err(s3_error!(
            InvalidPartOrder,
            "The list of parts was not in ascending order. Parts must be ordered by part number."
        ));
    }
    let mut chosen = Vec::with_capacity(listed.len());
    for asked in listed {
        let is_it = |part: &&Part| {
            let sums = |(algorithm, value): &(Algorithm, String)| {
                part.checksum.as_ref().is_none_or(|sum| sum.algorithm != *algorithm || sum.value == *value)
            };
            part.etag == asked.etag && asked.checksums.iter().all(sums)
        };
        let part = known.get(&asked.number).filter(is_it).ok_or_else(|| {
            s3_error!(
                InvalidPart,
                "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
            )
        })?;
        chosen.push(part.clone());
    }
    let all_but_last = chosen.split_last().map(|(_, before)| before).unwrap_or_default();
    if all_but_last.iter().any(|part| part.size < MIN_PART) {
        return Err(s3_error!(EntityTooSmall, "Your proposed upload is smaller than the minimum allowed size"));
    }
    Ok(chosen)
}

/// What the chosen parts come to, compared with what is expected of it.
fn whole(upload: &Upload, chosen: &[Part], expected: &Expected) -> S3Result<NewVersion> {
    let size = chosen.iter().map(|part| part.size).sum();
    if expected.size.is_some_and(|announced| announced != size) {
        return Err(s3_error!(
            InvalidRequest,
            "The provided 'x-amz-mp-object-size' header value does not match what was computed"
        ));
    }
    let (algorithm, kind) = (upload.sums.algorithm(), upload.sums.kind());
    if expected.kind.is_some_and(|expected| expected != kind) {
        return Err(s3_error!(BadDigest, "The checksum type does not match that of the upload."));
    }
    let mut sums = Vec::with_capacity(chosen.len());
    for part in chosen {
        sums.push((part.checksum.as_ref().ok_or_else(|| s3_error!(InternalError))?, part.size));
    }
    let checksum = of_parts(algorithm, kind, sums)?;
    if let Some((given, value)) = &expected.checksum {
        if *given != algorithm {
            return Err(s3_error!(InvalidRequest, "The checksum is of another algorithm than the upload's."));
        }
        if !checksum.is(value) {
            let name = algorithm.name();
            return Err(s3_error!(BadDigest, "The {name} you specified did not match the calculated checksum."));
        }
    }
    let mut md5 = Md5::new();
    for part in chosen {
        md5.update(hex::decode(&part.etag).internal()?);
    }
    Ok(NewVersion {
        meta: upload.meta.clone(),
        tags: upload.tags.clone(),
        etag: format!("{}-{}", hex::encode(md5.finalize()), chosen.len()),
        size,
        parts: Some(chosen.len() as u64),
        checksum: Some(checksum),
    })
}
