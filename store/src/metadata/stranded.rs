//! Keys whose last write stayed behind at a home that was away when it was replaced, and what of them stands aside.
//! Invariant: a row ends only when the two sides were compared and found equal, or when an operator drops it.
use super::db::{Columns, render_json, write};
use super::{Metadata, feed, promotions};
use crate::queue::database_now;
use crate::{
    BucketId, Change, DirtyKey, Kept, MergeWriting, Merging, Promotion, StoreError, Stranded, StrandedCount,
    StrandedState, sql,
};
use s3gateway_config::BackendId;
use s3gateway_s3::{ObjectKey, PhysicalBucket, VersionId};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use uuid::Uuid;

impl Metadata {
    /// Lists keys as stranded by a promotion, each with the newest version that the target has of it. Of those that are, it is noted anew.
    ///
    /// # Errors
    /// `NotFound` where the bucket is gone; `Conflict` where the home has moved, or the promotion has failed.
    pub async fn strand_keys(
        &self,
        promotion: &Promotion,
        keys: &[(ObjectKey, Option<VersionId>)],
    ) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        write!(&self.db, tx => {
            promotions::hold(tx, promotion).await?;
            // It is compared with what backends say of their objects, and a worker's clock may be off.
            let now = database_now(tx, self.db.kind()).await?;
            for (key, newest) in keys {
                let query = sqlx::query(sql::STRANDED_INSERT).bind(Uuid::now_v7().to_string());
                let query = query.bind(promotion.bucket.as_str()).bind(key.as_str().as_bytes());
                let query = query.bind(promotion.source.as_str()).bind(promotion.epoch).bind(now);
                query.bind(newest.as_ref().map_or("", VersionId::as_str)).execute(&mut *tx).await?;
            }
            Ok(())
        })
    }

    /// What of a key waits to be compared, the oldest first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn stranded(&self, bucket: &BucketId, key: &ObjectKey) -> Result<Vec<Stranded>, StoreError> {
        let query = sqlx::query(sql::STRANDED_OF_KEY).bind(bucket.as_str()).bind(key.as_str().as_bytes());
        self.db.read(query.fetch_all(self.db.pool())).await?.iter().map(parse).collect()
    }

    /// Whether a key of a bucket waits for what an old home says of it, which must therefore not be made anew.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn is_awaited(&self, bucket: &BucketId, home: &BackendId) -> Result<bool, StoreError> {
        let query = sqlx::query(sql::STRANDED_AT).bind(bucket.as_str()).bind(home.as_str());
        Ok(self.db.read(query.fetch_optional(self.db.pool())).await?.is_some())
    }

    /// Keys of which the old home was seen to hold a copy before it was replaced, and whose last write it did not have alone:
    /// a few, to be asked for there.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn verified_beside(&self, stranded: &Stranded, limit: u32) -> Result<Vec<ObjectKey>, StoreError> {
        let query = sqlx::query(sql::COPIES_VERIFIED).bind(stranded.bucket.as_str()).bind(stranded.home.as_str());
        let query = query.bind(stranded.stranded_at).bind(i64::from(limit));
        self.db.read(query.fetch_all(self.db.pool())).await?.iter().map(Columns::key).collect()
    }

    /// Whether a row's home was the bucket's in the epoch that ended. Else it is a replica whose copy is asked for since that was given up.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn was_home(&self, stranded: &Stranded) -> Result<bool, StoreError> {
        let query = sqlx::query(sql::PROMOTION_SOURCE).bind(stranded.bucket.as_str()).bind(stranded.epoch);
        let row = self.db.read(query.fetch_optional(self.db.pool())).await?;
        Ok(row.map(|row| row.backend("source")).transpose()?.is_none_or(|source| source == stranded.home))
    }

    /// The old home of a stranded key was seen to hold it as it did: it has not come back empty.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_witness(&self, stranded: &Stranded) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::PROMOTION_WITNESS_NOTE).bind(stranded.bucket.as_str()).bind(stranded.epoch);
            query.bind(stranded.key.as_str().as_bytes()).execute(tx).await?;
            Ok(())
        })
    }

    /// A key that was stranded with this one, and that the old home was seen to hold.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn witness(&self, stranded: &Stranded) -> Result<Option<ObjectKey>, StoreError> {
        let query = sqlx::query(sql::PROMOTION_WITNESS).bind(stranded.bucket.as_str()).bind(stranded.epoch);
        self.db.read(query.fetch_optional(self.db.pool())).await?.as_ref().map(Columns::key).transpose()
    }

    /// Keys that wait to be compared, of all buckets, behind the row `after`, at most `limit`; and the last row.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn stranded_waiting(
        &self,
        after: &str,
        limit: u32,
    ) -> Result<(Vec<DirtyKey>, Option<String>), StoreError> {
        let query = sqlx::query(sql::STRANDED_WAITING).bind(after).bind(i64::from(limit));
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        let last = rows.last().map(|row| row.text("id")).transpose()?;
        let parse = |row: &AnyRow| Ok(DirtyKey { bucket: BucketId::new(&row.text("bucket")?), key: row.key()? });
        Ok((rows.iter().map(parse).collect::<Result<_, StoreError>>()?, last))
    }

    /// How many stranded keys of all buckets wait to be compared, and of how many something stands aside.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn count_stranded(&self) -> Result<StrandedCount, StoreError> {
        let row = self.db.read(sqlx::query(sql::STRANDED_COUNT).fetch_one(self.db.pool())).await?;
        Ok(StrandedCount { waiting: row.int("waiting")?, kept: row.int("kept")? })
    }

    /// Of how many stranded keys of a bucket something stands aside on a backend.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn count_aside(&self, bucket: &BucketId, backend: &BackendId) -> Result<u64, StoreError> {
        let query = sqlx::query(sql::STRANDED_ASIDE).bind(bucket.as_str()).bind(backend.as_str());
        self.db.read(query.fetch_one(self.db.pool())).await?.u64("aside")
    }

    /// One row by its id.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn stranded_by_id(&self, id: &str) -> Result<Stranded, StoreError> {
        let query = sqlx::query(sql::STRANDED_ONE).bind(id);
        let row = self.db.read(query.fetch_optional(self.db.pool())).await?;
        parse(&row.ok_or(StoreError::NotFound)?)
    }

    /// A bucket's rows after the id `after`, by time.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn stranded_of(
        &self,
        bucket: &BucketId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Stranded>, StoreError> {
        let query = sqlx::query(sql::STRANDED_OF_BUCKET).bind(bucket.as_str());
        let query = query.bind(after.unwrap_or_default()).bind(i64::from(limit));
        self.db.read(query.fetch_all(self.db.pool())).await?.iter().map(parse).collect()
    }

    /// A client has written or deleted the key since it was stranded: that is newer than what stayed behind.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn overwrite_stranded(&self, bucket: &BucketId, key: &ObjectKey) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::STRANDED_OVERWRITE).bind(bucket.as_str()).bind(key.as_str().as_bytes());
            query.execute(tx).await?;
            Ok(())
        })
    }

    /// What stayed behind of a row is to stand below what was written since: until that is so nobody is to read or write the key. Begun
    /// already is success.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn begin_merging(&self, id: &str) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            sqlx::query(sql::STRANDED_MERGE).bind(id).execute(tx).await?;
            Ok(())
        })
    }

    /// From now on a worker may have written, to have the versions `former` below those that were written `since`. False unless a merge has begun,
    /// and nobody has said so before.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn begin_merge_writing(
        &self,
        id: &str,
        former: &[VersionId],
        since: &[VersionId],
    ) -> Result<bool, StoreError> {
        let [former, since] = [former, since].map(|ids| ids.iter().map(VersionId::as_str).collect::<Vec<_>>());
        let (former, since) = (render_json(&former)?, render_json(&since)?);
        write!(&self.db, tx => {
            let query = sqlx::query(sql::STRANDED_MERGE_WRITING).bind(id).bind(former.as_str()).bind(since.as_str());
            Ok(query.execute(tx).await?.rows_affected() == 1)
        })
    }

    /// Gives up what stayed behind of a row, which goes; where something of it has come home, a worker ends that without the former home, and
    /// forgets the row then. Where another place is known to hold the key, and not as the present home does, the row is of that place from
    /// then on: what the former home had last may be there.
    ///
    /// # Errors
    /// `Busy` while a worker changes the key at its home.
    pub async fn give_up_stranded(&self, id: &str) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            sqlx::query(sql::STRANDED_GIVE_UP).bind(id).execute(tx).await?;
            Ok(())
        })?;
        self.settle(id, Settled::GivenUp).await.map(drop)
    }

    /// Notes what is set aside before anything takes its place, so that it is found whoever goes on from there.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn begin_keeping(&self, id: &str, kept: &Kept) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::STRANDED_BEGIN).bind(id).bind(kept.backend.as_str());
            let query = query.bind(kept.physical.for_upstream()).bind(kept.etag.as_str()).bind(kept.size);
            query.execute(tx).await?;
            Ok(())
        })
    }

    /// A worker is about to change the key at its home, in a bucket that keeps no versions: until the row ends, or the note is taken back, no
    /// proxy acknowledges a write of it, whichever queue it marks by. `lease`: the worker's. False where the row is not as it was seen, or a
    /// client has written since it was stranded.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn begin_bringing(&self, seen: &Stranded, lease: &str) -> Result<bool, StoreError> {
        let (merging, whose) = noted(seen);
        write!(&self.db, tx => {
            let query = sqlx::query(sql::STRANDED_BRING).bind(seen.id.as_str()).bind(seen.home.as_str()).bind(lease);
            Ok(query.bind(merging).bind(whose).execute(tx).await?.rows_affected() == 1)
        })
    }

    /// Takes back what was noted under the lease, or was `seen` to be noted: nothing is on its way to the home under either.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn end_bringing(&self, seen: &Stranded, lease: &str) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::STRANDED_BRING_END).bind(seen.id.as_str()).bind(lease);
            query.bind(seen.lease.as_str()).execute(tx).await?;
            Ok(())
        })
    }

    /// Settles a row that was compared: what has lost stands aside, or both sides are equal. False where it is not as it was seen.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn end_stranded(&self, seen: &Stranded, kept: Option<&Kept>) -> Result<bool, StoreError> {
        self.settle(&seen.id, Settled::Compared(seen, kept)).await
    }

    /// Has a row be of the next place that is known to hold the key, as [`Self::give_up_stranded`] does: the one that was asked lacks it. False
    /// where there is none.
    ///
    /// # Errors
    /// `Busy` while a worker changes the key at its home.
    pub async fn pass_stranded(&self, seen: &Stranded) -> Result<bool, StoreError> {
        write!(&self.db, tx => { move_on(tx, &seen.id).await })
    }

    /// Forgets a row: both sides are equal.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn drop_stranded(&self, id: &str) -> Result<(), StoreError> {
        self.settle(id, Settled::Equal).await.map(drop)
    }

    /// Proxies are told with the last open row: until then they ask before each read. Whether it was there and as it was seen.
    async fn settle(&self, id: &str, settled: Settled<'_>) -> Result<bool, StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let Some(row) = sqlx::query(sql::STRANDED_ONE).bind(id).fetch_optional(&mut *tx).await? else {
                return Ok(false);
            };
            let bucket = row.text("bucket")?;
            if matches!(settled, Settled::GivenUp) {
                // What is on its way to the home might land on a client's next write.
                if parse(&row)?.is_changing() {
                    return Err(StoreError::Busy);
                }
                if move_on(tx, id).await? {
                    return Ok(true);
                }
            }
            let query = match settled {
                Settled::Compared(seen, kept) => {
                    let (merging, whose) = noted(seen);
                    let text = if kept.is_some() { sql::STRANDED_KEEP } else { sql::STRANDED_END };
                    let query = sqlx::query(text).bind(id).bind(seen.home.as_str()).bind(state(seen));
                    let query = query.bind(merging).bind(whose);
                    match kept {
                        Some(kept) => {
                            let query = query.bind(kept.backend.as_str()).bind(kept.physical.for_upstream());
                            query.bind(kept.etag.as_str()).bind(kept.size)
                        }
                        None => query,
                    }
                }
                Settled::Equal => sqlx::query(sql::STRANDED_DROP).bind(id).bind(1_i64),
                Settled::GivenUp => sqlx::query(sql::STRANDED_DROP).bind(id).bind(0_i64),
            };
            let is_settled = query.execute(&mut *tx).await?.rows_affected() == 1;
            if is_settled && matches!(settled, Settled::GivenUp) {
                // What the old home calls `null` may be what was given up: nobody has compared it.
                let query = sqlx::query(sql::VERSION_COPY_NULL_DOUBT).bind(bucket.as_str());
                query.bind(row.bytes("object_key")?).bind(row.text("home")?).execute(&mut *tx).await?;
            }
            let open = sqlx::query(sql::STRANDED_IS_OPEN).bind(bucket.as_str()).fetch_optional(&mut *tx).await?;
            if open.is_none()
                && let Some((tenant, name)) = feed::bucket_name(tx, &bucket).await?
            {
                feed::append(tx, &Change::Bucket(tenant, name)).await?;
            }
            Ok(is_settled)
        })
    }
}

async fn move_on(tx: &mut AnyConnection, id: &str) -> Result<bool, StoreError> {
    let Some(next) = sqlx::query(sql::STRANDED_NEXT).bind(id).fetch_optional(&mut *tx).await? else { return Ok(false) };
    match sqlx::query(sql::STRANDED_MOVE).bind(id).bind(next.text("backend")?).execute(tx).await?.rows_affected() {
        0 => Err(StoreError::Busy),
        _ => Ok(true),
    }
}

/// How a row ends.
#[derive(Clone, Copy)]
enum Settled<'k> {
    /// As it was seen; something stands aside, or nothing is left of it.
    Compared(&'k Stranded, Option<&'k Kept>),
    Equal,
    GivenUp,
}

/// What a row notes where no versions are listed, and no lease.
const NO_VERSIONS: &str = "[]";

/// What a row notes of a worker that has begun, and by which lease.
fn noted(seen: &Stranded) -> (i64, &str) {
    match &seen.merging {
        None => (0, NO_VERSIONS),
        Some(Merging::Begun) if seen.lease.is_empty() => (1, NO_VERSIONS),
        Some(Merging::Begun) => (1, seen.lease.as_str()),
        Some(Merging::Writing(writing)) => (if writing.is_given_up { 3 } else { 2 }, NO_VERSIONS),
    }
}

fn state(seen: &Stranded) -> &'static str {
    match seen.state {
        StrandedState::Open => "open",
        StrandedState::Overwritten => "overwritten",
        StrandedState::Kept(_) => "kept",
    }
}

fn versions(row: &AnyRow, column: &'static str) -> Result<Vec<VersionId>, StoreError> {
    let ids: Vec<String> = row.json(column)?;
    ids.iter().map(|id| VersionId::parse(id).map_err(|_| StoreError::Corrupt(column))).collect()
}

fn version(row: &AnyRow, column: &'static str) -> Result<Option<VersionId>, StoreError> {
    match row.text(column)?.is_empty() {
        true => Ok(None),
        false => row.parsed(column, VersionId::parse).map(Some),
    }
}

fn parse(row: &AnyRow) -> Result<Stranded, StoreError> {
    let aside = match row.text("kept_on")?.is_empty() {
        true => None,
        false => Some(Kept {
            backend: row.parsed("kept_on", BackendId::parse)?,
            physical: row.parsed("kept_in", PhysicalBucket::parse)?,
            etag: row.text("etag")?,
            size: row.int("size")?,
        }),
    };
    let (state, begun) = match (row.text("state")?.as_str(), aside) {
        ("open", begun) => (StrandedState::Open, begun),
        ("overwritten", begun) => (StrandedState::Overwritten, begun),
        ("kept", Some(kept)) => (StrandedState::Kept(kept), None),
        _ => return Err(StoreError::Corrupt("state")),
    };
    Ok(Stranded {
        id: row.text("id")?,
        bucket: BucketId::new(&row.text("bucket")?),
        key: row.key()?,
        home: row.backend("home")?,
        epoch: row.int("epoch")?,
        state,
        begun,
        stranded_at: row.int("stranded_at")?,
        newest: version(row, "newest")?,
        merging: match row.int("merging")? {
            0 => None,
            1 => Some(Merging::Begun),
            state => Some(Merging::Writing(MergeWriting {
                former: versions(row, "former")?,
                since: versions(row, "since")?,
                is_given_up: state == 3,
            })),
        },
        // One that is kept is not brought anywhere, whatever a worker of another version has left there.
        lease: match (row.int("merging")?, row.text("since")?) {
            (1, lease) if lease != NO_VERSIONS && row.text("state")? != "kept" => lease,
            _ => String::new(),
        },
    })
}
