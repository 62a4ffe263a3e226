//! Which Redis servers have held the queue, and whether one that is silent about a bucket is to be believed.
//! Invariant: a bucket that an untrusted server may have forgotten marks of is suspect until a walk has been over all of its keys that
//! began when the server had settled: when nothing could land any more that only an earlier server knew of.
use super::Metadata;
use super::db::{Columns, millis, write};
use crate::queue::database_now;
use crate::{BucketId, Millis, NewWalk, StoreError, WalkKind, sql};
use std::time::Duration;

/// Why these walks are begun.
const REASON: &str = "Redis may have forgotten marks";

impl Metadata {
    /// Whether any of the servers has not been noted yet.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn has_new_queue_server(&self, run_ids: &[String]) -> Result<bool, StoreError> {
        for id in run_ids {
            let query = sqlx::query(sql::QUEUE_SERVER_IS_NOTED).bind(id.as_str());
            if self.db.read(query.fetch_optional(self.db.pool())).await?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes servers by their run ids; whether any is new that may have forgotten marks. Those that were there before the first
    /// bucket have nothing to forget. Where there is a bucket, others may have been there before the first that is noted.
    ///
    /// `lease`: for how long a worker's copy may land without a sign of life. New servers have settled after that and the longest
    /// lease of a proxy's write, at the earliest.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_queue_servers(&self, run_ids: &[String], lease: Duration) -> Result<bool, StoreError> {
        write!(&self.db, tx => {
            let now = database_now(tx, self.db.kind()).await?;
            let settled_at = now.saturating_add(millis(lease));
            let known = sqlx::query(sql::QUEUE_SERVERS).bind(now).fetch_one(&mut *tx).await?;
            let newest = known.int("newest")?;
            let (is_trusted, mut noted) = (newest == 0 && known.int("has_buckets")? == 0, 0);
            for (generation, id) in (newest + 1..).zip(run_ids) {
                let query = sqlx::query(sql::QUEUE_SERVER_INSERT).bind(id.as_str()).bind(generation);
                let query = query.bind(i64::from(is_trusted)).bind(now).bind(settled_at);
                noted += query.execute(&mut *tx).await?.rows_affected();
            }
            Ok(noted > 0 && !is_trusted)
        })
    }

    /// Whether a key of the bucket is clean for certain where this server knows of no mark.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn queue_server_proves(&self, run_id: &str, bucket: &BucketId) -> Result<bool, StoreError> {
        let query = sqlx::query(sql::QUEUE_SERVER_PROVES).bind(run_id).bind(bucket.as_str());
        Ok(self.db.read(query.fetch_optional(self.db.pool())).await?.is_some())
    }

    /// Whether any bucket may still be suspect because of a server that is noted.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn has_suspect_queue_server(&self) -> Result<bool, StoreError> {
        let query = sqlx::query(sql::QUEUE_SERVERS).bind(0_i64);
        Ok(self.db.read(query.fetch_one(self.db.pool())).await?.int("is_any_suspect")? == 1)
    }

    /// When (by the database's clock) it was asked for servers of which it may be noted that they have settled; `None`: there are
    /// none. Before that everything in the journal of unlisted writes is to be marked once more.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn queue_servers_due(&self) -> Result<Option<Millis>, StoreError> {
        write!(&self.db, tx => {
            let now = database_now(tx, self.db.kind()).await?;
            let known = sqlx::query(sql::QUEUE_SERVERS).bind(now).fetch_one(tx).await?;
            Ok((known.int("is_any_due")? == 1).then_some(now))
        })
    }

    /// Notes that the servers have settled that [`Self::queue_servers_due`] was `asked` for.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn settle_queue_servers(&self, asked: Millis) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            sqlx::query(sql::QUEUE_SERVERS_SETTLE).bind(asked).execute(tx).await?;
            Ok(())
        })
    }

    /// Begins reconciles of buckets that are suspect because of servers that have settled, as long as fewer than `most` walks of that
    /// kind are under way, and trusts the servers once there is no such bucket; how many were begun.
    ///
    /// `passed`: the last bucket for which one was begun, so that the next call need not look at those before it. Where none is left it
    /// begins with the first again.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn begin_suspect_walks(
        &self,
        most: u32,
        rate: u32,
        passed: &mut Option<BucketId>,
    ) -> Result<usize, StoreError> {
        let servers = sqlx::query(sql::QUEUE_SERVERS).bind(0_i64);
        let suspect = self.db.read(servers.fetch_one(self.db.pool())).await?.int("suspect")?;
        if suspect == 0 {
            return Ok(0);
        }
        let kind = WalkKind::Reconcile;
        let query = sqlx::query(sql::WALKS_UNDER_WAY).bind(kind.as_str());
        let room = most.saturating_sub(self.db.read(query.fetch_one(self.db.pool())).await?.u32("n")?);
        if room == 0 {
            return Ok(0);
        }
        let after = passed.as_ref().map_or("", BucketId::as_str);
        let query = sqlx::query(sql::BUCKETS_SUSPECT).bind(suspect).bind(after).bind(i64::from(room));
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        if rows.is_empty() && passed.take().is_none() {
            self.trust_where_none_is_suspect(suspect).await?;
        }
        for row in &rows {
            let bucket = BucketId::new(&row.text("id")?);
            *passed = Some(bucket.clone());
            self.begin_walk(NewWalk { bucket, kind, rate, reason: REASON.to_owned() }).await?;
        }
        Ok(rows.len())
    }

    async fn trust_where_none_is_suspect(&self, generation: i64) -> Result<(), StoreError> {
        let query = sqlx::query(sql::BUCKET_SUSPECT_ANY).bind(generation);
        if self.db.read(query.fetch_optional(self.db.pool())).await?.is_some() {
            return Ok(());
        }
        write!(&self.db, tx => {
            sqlx::query(sql::QUEUE_SERVERS_TRUST).bind(generation).execute(tx).await?;
            Ok(())
        })
    }
}
