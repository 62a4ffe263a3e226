//! Promotions as rows: preparing → fencing → moved → done, or failed with the reason while the home is still the old one.
//! Invariant: the home changes only while no client's write is taken, and only from the epoch that the promotion began in.
use super::db::{Columns, millis, now, write};
use super::{Metadata, bucket_migrations, feed};
use crate::queue::database_now;
use crate::{BucketId, Change, Millis, Promotion, PromotionState, StoreError, Writes, sql};
use s3gateway_config::BackendId;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use std::time::Duration;
use uuid::Uuid;

/// How long a proxy that was not seen stays listed.
const VIEWER_KEPT: Millis = 24 * 3_600_000;

impl Metadata {
    /// Notes that a proxy's view knows every change up to `head`, and that it takes writes by it for `lease` at most
    /// (a quarter more, as it says so no more often than that). A write of it may land for `write_lease` without a sign of life.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_view(
        &self,
        viewer: &str,
        head: i64,
        lease: Duration,
        write_lease: Duration,
    ) -> Result<(), StoreError> {
        let [lease, write_lease] = [lease, write_lease].map(millis);
        write!(&self.db, tx => {
            let now = database_now(tx, self.db.kind()).await?;
            let query = sqlx::query(sql::VIEWER_BEAT).bind(viewer).bind(head).bind(lease).bind(now).bind(write_lease);
            query.execute(&mut *tx).await?;
            sqlx::query(sql::VIEWERS_PRUNE).bind(now.saturating_sub(VIEWER_KEPT)).execute(tx).await?;
            Ok(())
        })
    }

    /// Proxies that may still take writes without knowing the change `head`, and how long ago each was seen.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn views_behind(&self, head: i64) -> Result<Vec<(String, Duration)>, StoreError> {
        write!(&self.db, tx => {
            let now = database_now(tx, self.db.kind()).await?;
            let rows = sqlx::query(sql::VIEWERS_BEHIND).bind(head).bind(now).fetch_all(tx).await?;
            rows.iter()
                .map(|row| {
                    let ago = u64::try_from(now.saturating_sub(row.int("seen_at")?)).unwrap_or(0);
                    Ok((row.text("id")?, Duration::from_millis(ago)))
                })
                .collect()
        })
    }

    /// Begins to make a replica the home of a bucket; `epoch` is the one that the caller saw.
    ///
    /// # Errors
    /// `Conflict` while another promotion of the bucket runs, or a migration that this one does not force; `Invalid` where the bucket is no longer as the caller saw it,
    /// or has no such replica.
    pub async fn begin_promotion(
        &self,
        bucket: &BucketId,
        target: &BackendId,
        epoch: i64,
        forced: bool,
    ) -> Result<Promotion, StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            // One whose home is away cannot go on; it sees the epoch rise and is called off.
            if !forced {
                bucket_migrations::require_none(tx, bucket).await?;
            }
            begin(tx, bucket, target, epoch, forced).await
        })
    }

    /// One promotion.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn promotion(&self, id: &str) -> Result<Promotion, StoreError> {
        let query = sqlx::query(sql::PROMOTION).bind(id);
        let row = self.db.read(query.fetch_optional(self.db.pool())).await?;
        parse(&row.ok_or(StoreError::NotFound)?)
    }

    /// Promotions that have not ended, the oldest first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn running_promotions(&self, limit: u32) -> Result<Vec<Promotion>, StoreError> {
        let query = sqlx::query(sql::PROMOTIONS_RUNNING).bind(i64::from(limit));
        self.db.read(query.fetch_all(self.db.pool())).await?.iter().map(parse).collect()
    }

    /// How many promotions have not ended.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn count_running_promotions(&self) -> Result<i64, StoreError> {
        self.db.read(sqlx::query(sql::PROMOTIONS_COUNT).fetch_one(self.db.pool())).await?.int("running")
    }

    /// A bucket's promotions, the newest first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn promotions_of(&self, bucket: &BucketId, limit: u32) -> Result<Vec<Promotion>, StoreError> {
        let query = sqlx::query(sql::PROMOTIONS_OF_BUCKET).bind(bucket.as_str()).bind(i64::from(limit));
        self.db.read(query.fetch_all(self.db.pool())).await?.iter().map(parse).collect()
    }

    /// A worker's turn at a promotion, from what it has `seen` to the `next`. False where another was faster.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn claim_promotion(&self, id: &str, seen: Millis, next: Millis) -> Result<bool, StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::PROMOTION_CLAIM).bind(id).bind(seen).bind(next);
            Ok(query.execute(tx).await?.rows_affected() == 1)
        })
    }

    /// Says what a promotion waits for.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_promotion(&self, id: &str, detail: &str) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            sqlx::query(sql::PROMOTION_DETAIL).bind(id).bind(detail).execute(tx).await?;
            Ok(())
        })
    }

    /// Stops the writes of the bucket, for workers too where the promotion is forced. Done already is success.
    ///
    /// # Errors
    /// `Invalid` where the bucket has changed since the promotion began.
    pub async fn fence_bucket(&self, seen: &Promotion) -> Result<Promotion, StoreError> {
        let step = Step { from: PromotionState::Preparing, to: PromotionState::Fencing, detail: "" };
        self.step_promotion(seen, step, |promotion| if promotion.forced { Writes::Fenced } else { Writes::Stopped })
            .await
    }

    /// Lets the bucket take writes again where it was, to try once more later.
    ///
    /// # Errors
    /// `Invalid` where the home has moved.
    pub async fn lift_fence(&self, seen: &Promotion, detail: &str) -> Result<Promotion, StoreError> {
        let step = Step { from: PromotionState::Fencing, to: PromotionState::Preparing, detail };
        self.step_promotion(seen, step, |_| Writes::Taken).await
    }

    /// Ends a promotion without a new home, and lets the bucket take writes where it was.
    ///
    /// # Errors
    /// `Invalid` where the home has moved.
    pub async fn fail_promotion(&self, seen: &Promotion, detail: &str) -> Result<Promotion, StoreError> {
        let step = Step { from: seen.state, to: PromotionState::Failed, detail };
        self.step_promotion(seen, step, |_| Writes::Taken).await
    }

    /// Makes the target the home and raises the epoch. No client's write is taken before [`Self::finish_promotion`]. By force a bucket whose versioning
    /// is suspended has it enabled.
    ///
    /// # Errors
    /// `Invalid` where the bucket has changed since it was fenced.
    pub async fn move_home(&self, seen: &Promotion) -> Result<Promotion, StoreError> {
        let step = Step { from: PromotionState::Fencing, to: PromotionState::Moved, detail: "" };
        self.step_promotion(seen, step, |_| Writes::Stopped).await
    }

    /// Lets the new home take writes: every proxy knows it, or takes none.
    ///
    /// # Errors
    /// `Invalid` where it has not moved.
    pub async fn finish_promotion(&self, seen: &Promotion, detail: &str) -> Result<Promotion, StoreError> {
        let step = Step { from: PromotionState::Moved, to: PromotionState::Done, detail };
        self.step_promotion(seen, step, |_| Writes::Taken).await
    }

    /// The one way from state to state; the bucket follows in the same transaction, and proxies are told. A worker that
    /// stood still meanwhile does not take a step of another fence than the one it has looked behind.
    async fn step_promotion(
        &self,
        seen: &Promotion,
        step: Step<'_>,
        writes: impl Fn(&Promotion) -> Writes + Sync,
    ) -> Result<Promotion, StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let id = seen.id.as_str();
            let found = find(tx, id).await?;
            if found.state == step.to {
                return Ok(found);
            }
            let ends = step.to.is_over();
            let moves = step.to == PromotionState::Moved;
            let epoch = found.epoch + i64::from(found.state == PromotionState::Moved);
            let bucket = found.bucket.as_str();
            let query = match moves {
                true => sqlx::query(sql::BUCKET_MOVE_HOME).bind(bucket).bind(epoch).bind(found.target.real().to_string()).bind(i64::from(found.forced)),
                false => sqlx::query(sql::BUCKET_SET_WRITES).bind(bucket).bind(epoch).bind(writes(&found).as_str()),
            };
            let is_as_seen = query.execute(&mut *tx).await?.rows_affected() == 1;
            // A bucket that was deleted or moved otherwise has nothing to be given back.
            if found.state != step.from || found.fence != seen.fence || (!is_as_seen && step.to != PromotionState::Failed) {
                return Err(StoreError::Invalid("the bucket has changed since the promotion began".to_owned()));
            }
            if moves {
                // Nobody can go on with an upload of a former home: what it has at replicas is to be ended at once.
                sqlx::query(sql::UPLOAD_PLACES_LOSE_ALL).bind(bucket).bind(0_i64).execute(&mut *tx).await?;
            }
            if moves && !bucket_migrations::cut_over(tx, &found).await? {
                // What is drained is emptied, whatever it is.
                let query = sqlx::query(sql::MAPPING_IS_ACTIVE).bind(bucket).bind(found.target.as_str());
                if query.fetch_optional(&mut *tx).await?.is_none() {
                    return Err(StoreError::Invalid("the replica has left the placement since the promotion began".to_owned()));
                }
                sqlx::query(sql::MAPPING_FIRST).bind(bucket).bind(found.target.as_str()).execute(&mut *tx).await?;
            }
            let head = match feed::bucket_name(tx, bucket).await? {
                Some((tenant, name)) => feed::append_numbered(tx, &Change::Bucket(tenant, name)).await?,
                None => found.fence,
            };
            let time = now();
            let fenced_at = if step.to == PromotionState::Fencing { time } else { found.fenced_at };
            let query = sqlx::query(sql::PROMOTION_STEP).bind(id).bind(found.state.as_str()).bind(step.to.as_str());
            let query = query.bind(step.detail).bind(head).bind(fenced_at).bind(if ends { time } else { 0 });
            query.execute(&mut *tx).await?;
            find(tx, id).await
        })
    }

    /// Whether a worker may change copies of the bucket by what it knows of an epoch.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn epoch_stands(&self, bucket: &BucketId, epoch: i64) -> Result<bool, StoreError> {
        let query = sqlx::query(sql::BUCKET_EPOCH_STANDS).bind(bucket.as_str()).bind(epoch);
        Ok(self.db.read(query.fetch_optional(self.db.pool())).await?.is_some())
    }

    /// How long a bucket's home must be away before a replica is promoted without an operator; `None`: never.
    ///
    /// # Errors
    /// `NotFound` unless the bucket is in service.
    pub async fn promote_after(&self, bucket: &BucketId) -> Result<Option<Duration>, StoreError> {
        let query = sqlx::query(sql::BUCKET_PROMOTE_AFTER).bind(bucket.as_str());
        let row = self.db.read(query.fetch_optional(self.db.pool())).await?;
        let millis = row.ok_or(StoreError::NotFound)?.u64("promote_after")?;
        Ok((millis > 0).then(|| Duration::from_millis(millis)))
    }

    /// Sets how long a bucket's home must be away before a replica is promoted without an operator.
    ///
    /// # Errors
    /// `NotFound` unless the bucket is in service.
    pub async fn set_promote_after(&self, bucket: &BucketId, after: Option<Duration>) -> Result<(), StoreError> {
        let after = after.map_or(0, millis);
        write!(&self.db, tx => {
            let query = sqlx::query(sql::BUCKET_SET_PROMOTE_AFTER).bind(bucket.as_str()).bind(after);
            match query.execute(tx).await?.rows_affected() {
                0 => Err(StoreError::NotFound),
                _ => Ok(()),
            }
        })
    }

    /// Buckets whose replicas may be promoted without an operator, with how long the home must be away, where no promotion
    /// runs.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn self_promoting_buckets(&self) -> Result<Vec<(BucketId, Duration)>, StoreError> {
        let rows = self.db.read(sqlx::query(sql::BUCKETS_SELF_PROMOTING).fetch_all(self.db.pool())).await?;
        rows.iter()
            .map(|row| Ok((BucketId::new(&row.text("id")?), Duration::from_millis(row.u64("promote_after")?))))
            .collect()
    }
}

/// One step of a promotion.
struct Step<'d> {
    from: PromotionState,
    to: PromotionState,
    detail: &'d str,
}

/// Begins a promotion in the caller's transaction.
pub(super) async fn begin(
    tx: &mut AnyConnection,
    bucket: &BucketId,
    target: &BackendId,
    epoch: i64,
    forced: bool,
) -> Result<Promotion, StoreError> {
    let id = Uuid::now_v7().to_string();
    let Some((tenant, name)) = feed::bucket_name(tx, bucket.as_str()).await? else {
        return Err(StoreError::NotFound);
    };
    // Nothing has changed yet: whoever does not read this one does not read the feed.
    let head = feed::append_numbered(tx, &Change::Bucket(tenant, name)).await?;
    let query = sqlx::query(sql::PROMOTION_INSERT).bind(id.as_str()).bind(bucket.as_str());
    let query = query.bind(target.as_str()).bind(epoch).bind(i64::from(forced)).bind(now()).bind(head);
    match query.execute(&mut *tx).await {
        Ok(done) if done.rows_affected() == 0 => {
            Err(StoreError::Invalid("the bucket has changed meanwhile, or has no such replica".to_owned()))
        }
        Ok(_) => find(tx, &id).await,
        Err(error) => match StoreError::from(error) {
            StoreError::Conflict(_) => Err(StoreError::Conflict("a promotion of the bucket")),
            other => Err(other),
        },
    }
}

/// Holds a promotion where it is until the transaction ends. A worker that stood still may come to what belongs before the move when another one
/// has taken that step, or when the promotion has failed and the next one runs.
///
/// # Errors
/// `Conflict` where the home has moved, or the promotion has failed.
pub(super) async fn hold(tx: &mut AnyConnection, seen: &Promotion) -> Result<(), StoreError> {
    let query = sqlx::query(sql::PROMOTION_LOCK).bind(seen.id.as_str());
    match query.execute(tx).await?.rows_affected() {
        0 => Err(StoreError::Conflict("a later step of the promotion")),
        _ => Ok(()),
    }
}

/// Whether a promotion of the bucket has not ended.
pub(super) async fn runs(tx: &mut AnyConnection, bucket: &BucketId) -> Result<bool, StoreError> {
    Ok(running(tx, bucket).await?.is_some())
}

/// The bucket's promotion that has not ended.
pub(super) async fn running(tx: &mut AnyConnection, bucket: &BucketId) -> Result<Option<Promotion>, StoreError> {
    let query = sqlx::query(sql::PROMOTIONS_OF_BUCKET).bind(bucket.as_str()).bind(1_i64);
    let last = query.fetch_optional(tx).await?.as_ref().map(parse).transpose()?;
    Ok(last.filter(|last| !last.state.is_over()))
}

/// Fails a promotion that has not stopped writes yet; nothing to do for one that has failed. `false` for one that has stopped them.
pub(super) async fn call_off(tx: &mut AnyConnection, id: &str, why: &str) -> Result<bool, StoreError> {
    let found = find(tx, id).await?;
    let (from, to) = (PromotionState::Preparing.as_str(), PromotionState::Failed.as_str());
    let query = sqlx::query(sql::PROMOTION_STEP).bind(id).bind(from).bind(to).bind(why);
    let query = query.bind(found.fence).bind(found.fenced_at).bind(now());
    Ok(query.execute(tx).await?.rows_affected() == 1 || found.state == PromotionState::Failed)
}

async fn find(tx: &mut AnyConnection, id: &str) -> Result<Promotion, StoreError> {
    let row = sqlx::query(sql::PROMOTION).bind(id).fetch_optional(tx).await?;
    parse(&row.ok_or(StoreError::NotFound)?)
}

fn parse(row: &AnyRow) -> Result<Promotion, StoreError> {
    Ok(Promotion {
        id: row.text("id")?,
        bucket: BucketId::new(&row.text("bucket")?),
        source: row.backend("source")?,
        target: row.backend("target")?,
        epoch: row.int("epoch")?,
        forced: row.int("forced")? == 1,
        state: row.parsed("state", |text| PromotionState::parse(text).ok_or(()))?,
        detail: row.text("detail")?,
        fence: row.int("fence")?,
        begun_at: row.int("begun_at")?,
        fenced_at: row.int("fenced_at")?,
        ended_at: row.int("ended_at")?,
        turn: row.int("turn")?,
    })
}
