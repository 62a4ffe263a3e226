//! Walks as operators and the rest of the gateway ask for them: begun, read, cancelled, approved.
use super::Metadata;
use super::db::{Columns, now, write};
use crate::page::{bounds, parse_page};
use crate::{
    BucketId, Cursor, FindingKind, Millis, NewWalk, Page, StoreError, Walk, WalkCounts, WalkFinding, WalkId, WalkKind,
    WalkState, sql,
};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use uuid::Uuid;

/// Attempts to share a walk that begins in the same moment, or to make a new one.
const BEGINNINGS: u32 = 5;

impl Metadata {
    /// Has workers walk over a bucket. Every key that existed when this was called is marked (backfill) or compared
    /// (reconcile, deep) before the walk that is answered is done: it is a new one, or one like it that has not begun.
    ///
    /// # Errors
    /// `NotFound` for an unknown bucket.
    pub async fn begin_walk(&self, new: NewWalk) -> Result<Walk, StoreError> {
        let id = write!(&self.db, tx => { begin(tx, &new).await })?;
        self.walk(&id).await
    }

    /// A walk and how far it has come.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn walk(&self, id: &WalkId) -> Result<Walk, StoreError> {
        let query = sqlx::query(sql::WALK).bind(id.as_str());
        let row = self.db.read(query.fetch_optional(self.db.pool())).await?;
        parse_walk(&row.ok_or(StoreError::NotFound)?)
    }

    /// A page of the walks, newest first, of one bucket or all.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn walks(
        &self,
        bucket: Option<&BucketId>,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<Walk>, StoreError> {
        let (at, id) = bounds(after);
        let query = match bucket {
            Some(bucket) => sqlx::query(sql::WALKS_OF_BUCKET).bind(bucket.as_str()),
            None => sqlx::query(sql::WALKS),
        };
        let query = query.bind(at).bind(id).bind(i64::from(limit));
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        parse_page(&rows, limit, "created_at", parse_walk)
    }

    /// The newest walks of a bucket, the newest first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn walks_of(&self, bucket: &BucketId, limit: u32) -> Result<Vec<Walk>, StoreError> {
        Ok(self.walks(Some(bucket), None, limit).await?.rows)
    }

    /// How often a walk found what.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn walk_counts(&self, id: &WalkId) -> Result<WalkCounts, StoreError> {
        let query = sqlx::query(sql::WALK_COUNTS).bind(id.as_str());
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        rows.iter().map(|row| Ok((row.parsed("kind", kind_of_finding)?, row.u64("found")?))).collect()
    }

    /// The first things that a walk found, one by one.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn walk_findings(&self, id: &WalkId) -> Result<Vec<WalkFinding>, StoreError> {
        let query = sqlx::query(sql::WALK_FINDINGS).bind(id.as_str());
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        rows.iter().map(parse_finding).collect()
    }

    /// Ends a walk; what it has marked stays marked.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where it has ended.
    pub async fn cancel_walk(&self, id: &WalkId) -> Result<(), StoreError> {
        self.end_walk(id, WalkState::Cancelled, "").await
    }

    /// Lets a walk mark as deleted whatever the home has no more.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where it has ended.
    pub async fn approve_walk(&self, id: &WalkId) -> Result<(), StoreError> {
        let changed = write!(&self.db, tx => {
            Ok(sqlx::query(sql::WALK_APPROVE).bind(id.as_str()).execute(tx).await?.rows_affected())
        })?;
        self.require_change(id, changed).await
    }

    /// Holds a walk to so many keys a second from now on, 0 for no bound.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where it has ended.
    pub async fn set_walk_rate(&self, id: &WalkId, rate: u32) -> Result<(), StoreError> {
        let changed = write!(&self.db, tx => {
            let query = sqlx::query(sql::WALK_RATE).bind(id.as_str()).bind(i64::from(rate));
            Ok(query.execute(tx).await?.rows_affected())
        })?;
        self.require_change(id, changed).await
    }

    /// Ends a walk that cannot be done.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where it has ended.
    pub async fn fail_walk(&self, id: &WalkId, why: &str) -> Result<(), StoreError> {
        self.end_walk(id, WalkState::Failed, why).await
    }

    async fn end_walk(&self, id: &WalkId, state: WalkState, why: &str) -> Result<(), StoreError> {
        let changed = write!(&self.db, tx => {
            let query = sqlx::query(sql::WALK_END).bind(id.as_str()).bind(state.as_str()).bind(why).bind(now());
            Ok(query.execute(tx).await?.rows_affected())
        })?;
        self.require_change(id, changed).await
    }

    async fn require_change(&self, id: &WalkId, changed: u64) -> Result<(), StoreError> {
        if changed > 0 {
            return Ok(());
        }
        self.walk(id).await?;
        Err(StoreError::Conflict("the end of this walk"))
    }

    /// Forgets walks that ended before `before`, but never the last of its kind on a bucket; how many.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn prune_walks(&self, before: Millis) -> Result<u64, StoreError> {
        write!(&self.db, tx => {
            Ok(sqlx::query(sql::WALKS_PRUNE).bind(before).execute(tx).await?.rows_affected())
        })
    }
}

/// As [`Metadata::begin_walk`], in the caller's transaction: where it changes what the walk is to see, nobody can see
/// the one without the other.
pub(super) async fn begin(tx: &mut AnyConnection, new: &NewWalk) -> Result<WalkId, StoreError> {
    let asked = now();
    if matches!(new.kind, WalkKind::Reconcile | WalkKind::Deep) {
        let query = sqlx::query(sql::BUCKET_SET_RECONCILED).bind(new.bucket.as_str()).bind(asked);
        query.execute(&mut *tx).await?;
    }
    for _ in 0..BEGINNINGS {
        let id = Uuid::now_v7().to_string();
        let query = sqlx::query(sql::WALK_INSERT).bind(id.as_str()).bind(new.bucket.as_str()).bind(new.kind.as_str());
        let query = query.bind(new.reason.as_str()).bind(i64::from(new.rate)).bind(asked);
        if query.execute(&mut *tx).await?.rows_affected() > 0 {
            return Ok(WalkId::new(&id));
        }
        let query = sqlx::query(sql::WALK_HASTEN).bind(new.bucket.as_str()).bind(new.kind.as_str());
        if let Some(row) = query.bind(i64::from(new.rate)).fetch_optional(&mut *tx).await? {
            return Ok(WalkId::new(&row.text("id")?));
        }
    }
    Err(StoreError::Unavailable("walks of the bucket begin all the time".into()))
}

pub(super) fn parse_walk(row: &AnyRow) -> Result<Walk, StoreError> {
    Ok(Walk {
        id: WalkId::new(&row.text("id")?),
        bucket: BucketId::new(&row.text("bucket")?),
        kind: row.parsed("kind", |word| WalkKind::parse(word).ok_or(()))?,
        reason: row.text("reason")?,
        rate: row.u32("rate")?,
        state: row.parsed("state", |word| WalkState::parse(word).ok_or(()))?,
        note: row.text("note")?,
        approved: row.int("approved")? != 0,
        total: row.u64("total")?,
        epoch: row.int("epoch")?,
        attempts: row.u32("attempts")?,
        due_at: row.int("due_at")?,
        done: row.u64("done")?,
        marked: row.u64("marked")?,
        deletes: row.u64("deletes")?,
        created_at: row.int("created_at")?,
        begun_at: row.int("begun_at")?,
        finished_at: row.int("finished_at")?,
    })
}

fn parse_finding(row: &AnyRow) -> Result<WalkFinding, StoreError> {
    Ok(WalkFinding {
        kind: row.parsed("kind", kind_of_finding)?,
        key: row.key()?,
        backend: row.text("backend")?,
        detail: row.text("detail")?,
        found_at: row.int("found_at")?,
    })
}

fn kind_of_finding(word: &str) -> Result<FindingKind, ()> {
    FindingKind::parse(word).ok_or(())
}
