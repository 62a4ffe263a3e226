//! What a promotion's target may lack, by the records of copies: of a whole bucket, in pages, or of the keys that workers have recorded
//! since the promotion began. Invariant: no statement reads more than a page of a bucket that may have any number of keys.
use super::db::{Columns, write};
use super::sweeps::BEHIND_ALL;
use super::{Metadata, promotions};
use crate::{BucketId, Promotion, StoreError, sql};
use s3gateway_config::BackendId;
use s3gateway_s3::ObjectKey;
use sqlx::AnyConnection;

/// Keys of a page.
const PAGE: i64 = 2000;

impl Metadata {
    /// Those of the next page of keys, in byte order after `after`, whose copy on `other` is not proven to be equal to the one on
    /// `home`; and where the page after it begins, if there is one.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn keys_lacking(
        &self,
        bucket: &BucketId,
        home: &BackendId,
        other: &BackendId,
        after: Option<&ObjectKey>,
    ) -> Result<(Vec<ObjectKey>, Option<ObjectKey>), StoreError> {
        let after = after.map_or(&[][..], |key| key.as_str().as_bytes());
        let nth = sqlx::query(sql::COPIES_NTH).bind(bucket.as_str()).bind(home.as_str()).bind(after).bind(PAGE - 1);
        let last = self.db.read(nth.fetch_optional(self.db.pool())).await?.map(|row| row.key()).transpose()?;
        let until = last.as_ref().map_or(BEHIND_ALL, |key| key.as_str().as_bytes());
        let query = sqlx::query(sql::COPIES_LACKING).bind(bucket.as_str()).bind(home.as_str()).bind(other.as_str());
        let rows = self.db.read(query.bind(after).bind(until).fetch_all(self.db.pool())).await?;
        Ok((rows.iter().map(Columns::key).collect::<Result<_, _>>()?, last))
    }

    /// Has keys looked at once more before the home moves, as those that are recorded while a planned promotion of the bucket runs.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_promotion_keys(&self, bucket: &BucketId, keys: &[ObjectKey]) -> Result<(), StoreError> {
        let mut keys: Vec<&ObjectKey> = keys.iter().collect();
        keys.sort_unstable_by_key(|key| key.as_str());
        write!(&self.db, tx => {
            for key in &keys {
                note_promotion_key(tx, bucket, key).await?;
            }
            Ok(())
        })
    }

    /// Of the keys that were recorded since a planned promotion began, forgets those of the next page whose copy on the target has the ETag
    /// of the one at home; where the page after it begins, if there is one. Of all of them it is noted before which
    /// versions the home holds, by those on the target, as by [`Self::note_versions_at_home`].
    ///
    /// # Errors
    /// `Conflict` where the home has moved, or the promotion has failed.
    pub async fn settle_promotion_keys(
        &self,
        seen: &Promotion,
        after: Option<&ObjectKey>,
    ) -> Result<Option<ObjectKey>, StoreError> {
        let Promotion { bucket, source: home, target: other, .. } = seen;
        let after = after.map_or(&[][..], |key| key.as_str().as_bytes());
        write!(&self.db, tx => {
            promotions::hold(tx, seen).await?;
            let nth = sqlx::query(sql::PROMOTION_KEYS_NTH).bind(bucket.as_str()).bind(after).bind(PAGE);
            let Some(row) = nth.fetch_optional(&mut *tx).await? else { return Ok(None) };
            let last = row.key()?;
            let (from, to) = (after, last.as_str().as_bytes());
            // What is noted anew from here on stays.
            sqlx::query(sql::PROMOTION_KEYS_LOCK).bind(bucket.as_str()).bind(from).bind(to).execute(&mut *tx).await?;
            let note = match other.is_twin() {
                true => sql::PROMOTION_VERSIONS_NOTE_TWIN,
                false => sql::PROMOTION_VERSIONS_NOTE,
            };
            let query = sqlx::query(sql::VERSION_COPIES_NULL_FORGET).bind(bucket.as_str()).bind(home.as_str());
            query.bind(from).bind(to).execute(&mut *tx).await?;
            for statement in [sql::PROMOTION_VERSIONS_FORGET, note] {
                let query = sqlx::query(statement).bind(bucket.as_str()).bind(home.as_str()).bind(other.as_str());
                query.bind(from).bind(to).execute(&mut *tx).await?;
            }
            let query = sqlx::query(sql::PROMOTION_KEYS_SETTLE).bind(bucket.as_str()).bind(home.as_str());
            let query = query.bind(other.as_str()).bind(after).bind(last.as_str().as_bytes());
            query.execute(tx).await?;
            Ok(Some(last))
        })
    }

    /// One of the keys that were recorded since a planned promotion of the bucket began, whose copy on `other` has not the ETag of
    /// the one on `home`.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn unequal_promotion_key(
        &self,
        bucket: &BucketId,
        home: &BackendId,
        other: &BackendId,
    ) -> Result<Option<ObjectKey>, StoreError> {
        let query = sqlx::query(sql::PROMOTION_KEYS_UNEQUAL).bind(bucket.as_str()).bind(home.as_str());
        let query = query.bind(other.as_str());
        self.db.read(query.fetch_optional(self.db.pool())).await?.as_ref().map(Columns::key).transpose()
    }

    /// Forgets a page of what was recorded during promotions of the bucket, unless one runs; whether there may be more.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn forget_promotion_keys(&self, bucket: &BucketId) -> Result<bool, StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::PROMOTION_KEYS_FORGET).bind(bucket.as_str()).bind(PAGE);
            Ok(query.execute(tx).await?.rows_affected() == PAGE.unsigned_abs())
        })
    }
}

/// Has a key looked at before the home moves, where a planned promotion of its bucket runs. To be called before what is recorded of it is
/// changed: whoever settles the key waits then for the change.
pub(super) async fn note_promotion_key(
    tx: &mut AnyConnection,
    bucket: &BucketId,
    key: &ObjectKey,
) -> Result<(), StoreError> {
    let query = sqlx::query(sql::PROMOTION_KEY_NOTE).bind(bucket.as_str()).bind(key.as_str().as_bytes());
    query.execute(tx).await?;
    Ok(())
}
