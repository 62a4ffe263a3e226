//! The journal of writes that no listing shows, of tags or headers alone: where Redis forgets their marks, nothing else tells of them.
//! Invariant: a row stands from before the key's mark until that mark was cleared, or stands again, as old as the new mark.
use super::Metadata;
use super::db::{Columns, now, write};
use super::objects::render_keys;
use crate::{BucketId, DirtyKey, Millis, StoreError, sql};
use s3gateway_s3::ObjectKey;
use sqlx::any::AnyRow;

impl Metadata {
    /// Notes that a write is about to be marked that no listing will show.
    ///
    /// # Errors
    /// `NotFound` for an unknown bucket.
    pub async fn note_unlisted_write(&self, bucket: &BucketId, key: &ObjectKey) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::UNLISTED_NOTE).bind(bucket.as_str()).bind(key.as_str().as_bytes());
            query.bind(now()).execute(tx).await?;
            Ok(())
        })
    }

    /// Notes the keys of such writes as of now, so that they can be marked anew: those behind `after`, in the order of pages,
    /// at most `limit`.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn renote_unlisted_writes(
        &self,
        after: Option<&DirtyKey>,
        limit: u32,
    ) -> Result<Vec<DirtyKey>, StoreError> {
        let (bucket, key) = after.map_or(("", ""), |after| (after.bucket.as_str(), after.key.as_str()));
        let renote = self.by_kind(sql::UNLISTED_RENOTE_POSTGRES, sql::UNLISTED_RENOTE_SQLITE);
        write!(&self.db, tx => {
            let query = sqlx::query(sql::UNLISTED_PAGE).bind(bucket).bind(key.as_bytes()).bind(i64::from(limit));
            let rows = query.fetch_all(&mut *tx).await?;
            let parse = |row: &AnyRow| Ok(DirtyKey { bucket: BucketId::new(&row.text("bucket")?), key: row.key()? });
            let keys: Vec<DirtyKey> = rows.iter().map(parse).collect::<Result<_, StoreError>>()?;
            let noted = render_keys(&keys)?;
            sqlx::query(renote).bind(noted.as_str()).bind(now()).execute(tx).await?;
            Ok(keys)
        })
    }

    /// Forgets what was noted before `before`, at most `limit` rows; how many.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn prune_unlisted_writes(&self, before: Millis, limit: u32) -> Result<u64, StoreError> {
        let prune = self.by_kind(sql::UNLISTED_PRUNE_POSTGRES, sql::UNLISTED_PRUNE_SQLITE);
        write!(&self.db, tx => {
            let query = sqlx::query(prune).bind(before).bind(i64::from(limit));
            Ok(query.execute(tx).await?.rows_affected())
        })
    }
}
