//! Which versions of a key its replicas hold, and which of those that clients know each of them is. A home has such rows for versions that
//! another home has given their ids.
use super::db::{Columns, now, write};
use super::promotion_keys::note_promotion_key;
use super::sweeps::BEHIND_ALL;
use super::{Metadata, promotions};
use crate::{BucketId, Millis, Promotion, StoreError, VersionCopy, sql};
use s3gateway_config::BackendId;
use s3gateway_s3::{ObjectKey, VersionId};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;

/// Rows of one page.
const PAGE: i64 = 1000;
/// Rows read at once of keys that may have any number.
const BATCH: u32 = 4000;

impl Metadata {
    /// Notes a version that a backend holds, in the place of what was known under the home's id there.
    ///
    /// # Errors
    /// `NotFound` for an unknown bucket.
    pub async fn put_version_copy(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        copy: &VersionCopy,
    ) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            note_promotion_key(tx, bucket, key).await?;
            let query = sqlx::query(sql::VERSION_COPY_PUT).bind(bucket.as_str()).bind(key.as_str().as_bytes());
            let query = query.bind(copy.backend.as_str()).bind(copy.home_version.as_str()).bind(copy.version.as_str());
            let query = query.bind(copy.position).bind(i64::from(copy.is_marker)).bind(copy.etag.as_str());
            let query = query.bind(copy.home_etag.as_str()).bind(copy.size).bind(copy.home_modified);
            query.bind(copy.verified_how.as_str()).bind(copy.verified_at).execute(tx).await?;
            Ok(())
        })
    }

    /// Forgets a version that a backend holds no more; one that was noted anew meanwhile stays.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn delete_version_copy(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        copy: &VersionCopy,
    ) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            note_promotion_key(tx, bucket, key).await?;
            let query = sqlx::query(sql::VERSION_COPY_DELETE).bind(bucket.as_str()).bind(key.as_str().as_bytes());
            let query = query.bind(copy.backend.as_str()).bind(copy.home_version.as_str());
            query.bind(copy.version.as_str()).execute(tx).await?;
            Ok(())
        })
    }

    /// Notes of a `null` version, by its home's own id of it, that another one has taken its place. `how`: [`VersionCopy::REPLACED`] while the home
    /// may still have it, then [`VersionCopy::GONE`].
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_null_over(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        home: &BackendId,
        own: &VersionId,
        how: &str,
    ) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            note_promotion_key(tx, bucket, key).await?;
            let query = sqlx::query(sql::VERSION_COPY_OVER).bind(bucket.as_str()).bind(key.as_str().as_bytes());
            query.bind(home.as_str()).bind(own.as_str()).bind(how).bind(now()).execute(tx).await?;
            Ok(())
        })
    }

    /// What one backend holds of a key, the oldest version first, at most `limit` of them.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn version_copies(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        backend: &BackendId,
        limit: u32,
    ) -> Result<Vec<VersionCopy>, StoreError> {
        let query = sqlx::query(sql::VERSION_COPIES).bind(bucket.as_str()).bind(key.as_str().as_bytes());
        let query = query.bind(backend.as_str()).bind(i64::from(limit));
        self.db.read(query.fetch_all(self.db.pool())).await?.iter().map(parse).collect()
    }

    /// What one backend holds of the keys from `first` to `last`, by key in byte order and the newest version first, at
    /// most `limit` of them; of the first key only the versions before `position`.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn version_copies_between(
        &self,
        bucket: &BucketId,
        backend: &BackendId,
        (first, position): (&[u8], i64),
        last: &[u8],
        limit: u32,
    ) -> Result<Vec<(ObjectKey, VersionCopy)>, StoreError> {
        let query = sqlx::query(sql::VERSION_COPIES_BETWEEN).bind(bucket.as_str()).bind(backend.as_str());
        let query = query.bind(first).bind(last).bind(position).bind(i64::from(limit));
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        rows.iter().map(|row| Ok((row.key()?, parse(row)?))).collect()
    }

    /// All that one backend holds of the keys from `first` to `last`, by key, the oldest version first, with those that are gone.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn version_copies_of_keys(
        &self,
        bucket: &BucketId,
        backend: &BackendId,
        first: &str,
        last: &str,
    ) -> Result<BTreeMap<String, Vec<VersionCopy>>, StoreError> {
        let (mut keys, mut from) = (BTreeMap::<String, Vec<VersionCopy>>::new(), (first.to_owned(), i64::MAX));
        loop {
            let begin = (from.0.as_bytes(), from.1);
            let rows = self.version_copies_between(bucket, backend, begin, last.as_bytes(), BATCH).await?;
            let is_last = rows.len() < BATCH as usize;
            for (key, copy) in rows {
                from = (key.as_str().to_owned(), copy.position);
                keys.entry(key.as_str().to_owned()).or_default().push(copy);
            }
            if is_last {
                keys.values_mut().for_each(|copies| copies.reverse());
                return Ok(keys);
            }
        }
    }

    /// The copies of one version, by backend.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn copies_of_version(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        home_version: &VersionId,
    ) -> Result<Vec<VersionCopy>, StoreError> {
        let query = sqlx::query(sql::VERSION_COPIES_OF).bind(bucket.as_str()).bind(key.as_str().as_bytes());
        let query = query.bind(home_version.as_str());
        self.db.read(query.fetch_all(self.db.pool())).await?.iter().map(parse).collect()
    }

    /// The copies of the current version, by backend; none where no backend holds any version.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn current_version_copies(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
    ) -> Result<Vec<VersionCopy>, StoreError> {
        let query = sqlx::query(sql::VERSION_COPIES_CURRENT).bind(bucket.as_str()).bind(key.as_str().as_bytes());
        self.db.read(query.fetch_all(self.db.pool())).await?.iter().map(parse).collect()
    }

    /// A backend's own id of the version that clients know by `shown`; `None` where it is the same, or there is none; a `null` version that has
    /// gone is none.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn own_version(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        backend: &BackendId,
        shown: &VersionId,
    ) -> Result<Option<VersionId>, StoreError> {
        self.other_id(sql::VERSION_NAMED, (bucket, key, backend, shown), "version").await
    }

    /// The id by which clients know the version that a backend calls `own`; `None` where it is the same, or there is none. Reads what is
    /// noted of the key's versions there.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn shown_version(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        backend: &BackendId,
        own: &VersionId,
    ) -> Result<Option<VersionId>, StoreError> {
        self.other_id(sql::VERSION_OWNED, (bucket, key, backend, own), "home_version").await
    }

    /// A backend's own id of the `null` version, and whether that is [replaced](VersionCopy::REPLACED); `None` where it is the same, or there is none.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn null_version(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        backend: &BackendId,
    ) -> Result<Option<(VersionId, bool)>, StoreError> {
        let query = sqlx::query(sql::VERSION_NULL).bind(bucket.as_str()).bind(key.as_str().as_bytes());
        let row = self.db.read(query.bind(backend.as_str()).fetch_optional(self.db.pool())).await?;
        let parse = |row: AnyRow| {
            Ok((row.parsed("version", VersionId::parse)?, row.text("verified_how")? == VersionCopy::REPLACED))
        };
        row.map(parse).transpose()
    }

    /// Whether a backend calls a version `null` that clients know by another id: where versioning is suspended, a write would replace it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn calls_another_null(&self, bucket: &BucketId, backend: &BackendId) -> Result<bool, StoreError> {
        let query = sqlx::query(sql::VERSION_CALLED_NULL).bind(bucket.as_str()).bind(backend.as_str());
        Ok(self.db.read(query.fetch_optional(self.db.pool())).await?.is_some())
    }

    /// The one of a version's two ids that stands in `column`, by the other.
    async fn other_id(
        &self,
        statement: &'static str,
        (bucket, key, backend, id): (&BucketId, &ObjectKey, &BackendId, &VersionId),
        column: &'static str,
    ) -> Result<Option<VersionId>, StoreError> {
        let query = sqlx::query(statement).bind(bucket.as_str()).bind(key.as_str().as_bytes());
        let query = query.bind(backend.as_str()).bind(id.as_str());
        let row = self.db.read(query.fetch_optional(self.db.pool())).await?;
        row.map(|row| row.parsed(column, VersionId::parse)).transpose()
    }

    /// Notes of a page of keys which versions the home of a bucket that is promoted holds, by the copies of them on the target: once the home is
    /// a replica, its own versions are known as copies by that. Where the target is the home's twin, it is noted which versions that holds: its
    /// bucket is to take the home's place on the same backend, and nobody asks for these rows before. What was noted before, and is not so, goes.
    /// Where the page after it begins, if there is one.
    ///
    /// # Errors
    /// `Conflict` where the home has moved, or the promotion has failed.
    pub async fn note_versions_at_home(
        &self,
        seen: &Promotion,
        after: Option<&ObjectKey>,
    ) -> Result<Option<ObjectKey>, StoreError> {
        let Promotion { bucket, source: home, target, .. } = seen;
        let from = after.map_or(&[][..], |key| key.as_str().as_bytes());
        write!(&self.db, tx => {
            promotions::hold(tx, seen).await?;
            let last = forget_at_home(tx, bucket, (home, target), from, true).await?;
            if let Some(last) = &last {
                let query = sqlx::query(sql::VERSION_COPIES_NULL_FORGET).bind(bucket.as_str()).bind(home.as_str());
                query.bind(from).bind(last.as_str().as_bytes()).execute(&mut *tx).await?;
                let note = if target.is_twin() { sql::VERSION_COPIES_OF_TWIN } else { sql::VERSION_COPIES_OF_HOME };
                let query = sqlx::query(note).bind(bucket.as_str()).bind(home.as_str());
                query.bind(target.as_str()).bind(from).bind(last.as_str().as_bytes()).execute(tx).await?;
            }
            Ok(last)
        })
    }

    /// Forgets a page of what [`Self::note_versions_at_home`] has noted, as long as that is still the home and knows all versions as clients
    /// do, and no other promotion of the bucket runs, which may have noted them anew; where the page after it begins, if there is one.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn forget_versions_at_home(
        &self,
        bucket: &BucketId,
        home: &BackendId,
        replica: &BackendId,
        after: Option<&ObjectKey>,
    ) -> Result<Option<ObjectKey>, StoreError> {
        let from = after.map_or(&[][..], |key| key.as_str().as_bytes());
        write!(&self.db, tx => {
            forget_at_home(tx, bucket, (home, replica), from, false).await
        })
    }

    /// Forgets versions that homes have had no more since before `before`, at most `limit`; how many.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn prune_gone_versions(&self, before: Millis, limit: u32) -> Result<u64, StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::VERSION_COPIES_PRUNE).bind(before).bind(i64::from(limit));
            Ok(query.execute(tx).await?.rows_affected())
        })
    }

    /// Of a page of keys those with a version on `backend` of which none is noted on `other`; and where the page after it
    /// begins, if there is one.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn keys_lacking_versions(
        &self,
        bucket: &BucketId,
        backend: &BackendId,
        other: &BackendId,
        after: Option<&ObjectKey>,
    ) -> Result<(Vec<ObjectKey>, Option<ObjectKey>), StoreError> {
        let after = after.map_or(&[][..], |key| key.as_str().as_bytes());
        let nth = sqlx::query(sql::VERSION_COPIES_NTH).bind(bucket.as_str()).bind(backend.as_str()).bind(after);
        let last = self.db.read(nth.bind(PAGE).fetch_optional(self.db.pool())).await?;
        let Some(last) = last.map(|row| row.key()).transpose()? else { return Ok((Vec::new(), None)) };
        let query = sqlx::query(sql::VERSION_COPIES_LACKING).bind(bucket.as_str()).bind(backend.as_str());
        let query = query.bind(other.as_str()).bind(after).bind(last.as_str().as_bytes());
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        Ok((rows.iter().map(Columns::key).collect::<Result<_, _>>()?, Some(last)))
    }

    /// How many versions and delete markers each backend holds of a key; backends without any are left out.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn count_version_copies(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
    ) -> Result<Vec<(BackendId, u64)>, StoreError> {
        let query = sqlx::query(sql::VERSION_COPIES_COUNT).bind(bucket.as_str()).bind(key.as_str().as_bytes());
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        rows.iter().map(|row| Ok((row.backend("backend")?, row.u64("held")?))).collect()
    }

    /// Notes that the tags of a version are about to be changed, so that its copies are compared.
    ///
    /// # Errors
    /// `NotFound` for an unknown bucket.
    pub async fn note_retagged(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        version: &VersionId,
    ) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::RETAGGED_NOTE).bind(bucket.as_str()).bind(key.as_str().as_bytes());
            query.bind(version.as_str()).bind(now()).execute(tx).await?;
            Ok(())
        })
    }

    /// The versions of a key whose tags were or are about to be changed, as noted before `before`.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn retagged(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        before: Millis,
    ) -> Result<Vec<VersionId>, StoreError> {
        let query = sqlx::query(sql::RETAGGED).bind(bucket.as_str()).bind(key.as_str().as_bytes());
        let rows = self.db.read(query.bind(before).fetch_all(self.db.pool())).await?;
        rows.iter().map(|row| row.parsed("version", VersionId::parse)).collect()
    }

    /// Forgets changes of tags that were noted before `before`.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn forget_retagged(&self, bucket: &BucketId, key: &ObjectKey, before: Millis) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::RETAGGED_FORGET).bind(bucket.as_str()).bind(key.as_str().as_bytes());
            query.bind(before).execute(tx).await?;
            Ok(())
        })
    }
}

/// Forgets what is noted of the home's versions of a page of keys, as many as the replica has rows of, for a promotion that runs or while none
/// does; the last key of the page, none where it was the last page, which ends behind all keys.
async fn forget_at_home(
    tx: &mut AnyConnection,
    bucket: &BucketId,
    (home, replica): (&BackendId, &BackendId),
    from: &[u8],
    is_promoted: bool,
) -> Result<Option<ObjectKey>, StoreError> {
    let nth = sqlx::query(sql::VERSION_COPIES_NTH).bind(bucket.as_str()).bind(replica.as_str()).bind(from);
    let last = nth.bind(PAGE).fetch_optional(&mut *tx).await?.map(|row| row.key()).transpose()?;
    let to = last.as_ref().map_or(BEHIND_ALL, |key| key.as_str().as_bytes());
    let query = sqlx::query(sql::VERSION_COPIES_OF_HOME_FORGET).bind(bucket.as_str()).bind(home.as_str());
    query.bind(from).bind(to).bind(i64::from(is_promoted)).execute(tx).await?;
    Ok(last)
}

pub(super) fn parse(row: &AnyRow) -> Result<VersionCopy, StoreError> {
    Ok(VersionCopy {
        backend: row.backend("backend")?,
        home_version: row.parsed("home_version", VersionId::parse)?,
        version: row.parsed("version", VersionId::parse)?,
        position: row.int("position")?,
        is_marker: row.int("is_marker")? != 0,
        etag: row.text("etag")?,
        home_etag: row.text("home_etag")?,
        size: row.int("size")?,
        home_modified: row.int("home_modified")?,
        verified_how: row.text("verified_how")?,
        verified_at: row.int("verified_at")?,
    })
}
